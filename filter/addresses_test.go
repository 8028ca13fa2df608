package filter_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// What the station behind p1 with the address mac(1), 10.0.0.1 and 2001:db8::1 may
// say, and what not, whatever tags and LLC headers it puts in front.
func TestAddresses(t *testing.T) {
	own, other := mac(1), mac(66)
	const local, allNodes = "fe80::ff:fe00:1", "ff02::1" // EUI-64 of own
	request := func(src frame.MAC, b []byte) frame.Frame { return ether(frame.Broadcast, src, frame.TypeARP, b) }
	v4 := func(src string, proto byte, b []byte, fragment ...byte) frame.Frame {
		p := ipv4(src, "10.0.0.2", proto, b)
		copy(p[6:8], fragment)
		return ether(mac(2), own, frame.TypeIPv4, p)
	}
	v6 := func(src string, next byte, b ...[]byte) frame.Frame {
		return ether(mac(2), own, frame.TypeIPv6, ipv6(src, allNodes, next, b...))
	}
	cut := func(f frame.Frame, n int) frame.Frame { return frame.Frame{Data: f.Data[:n]} }
	frag := func(where byte) []byte { return []byte{58, 0, 0, where, 0, 0, 0, 1} }
	for _, c := range []struct {
		name string
		f    frame.Frame
		want filter.Spoof // 0: goes through
	}{
		{"anything of its own", plain(mac(2), own), 0},
		{"another source", plain(mac(2), other), filter.SpoofMAC},
		{"ARP", request(own, arp(1, own, "10.0.0.1", "10.0.0.2")), 0},
		{"ARP announcement", request(own, arp(1, own, "10.0.0.1", "10.0.0.1")), 0},
		{"ARP probe for its own", request(own, arp(1, own, "0.0.0.0", "10.0.0.1")), 0},
		{"ARP probe for another's", request(own, arp(1, own, "0.0.0.0", "10.0.0.2")), filter.SpoofARPIP},
		{"ARP reply from nowhere", request(own, arp(2, own, "0.0.0.0", "10.0.0.1")), filter.SpoofARPIP},
		{"ARP reply for the gateway", request(own, arp(2, own, "10.0.0.254", "10.0.0.2")), filter.SpoofARPIP},
		{"ARP with another hardware address", request(own, arp(1, other, "10.0.0.1", "10.0.0.2")), filter.SpoofARPMAC},
		{"ARP of another hardware", request(own, append([]byte{0, 7}, arp(1, own, "10.0.0.1", "10.0.0.2")[2:]...)), filter.SpoofMalformed},
		{"RARP announcement", ether(frame.Broadcast, own, 0x8035, arp(3, own, "0.0.0.0", "0.0.0.0")), 0},
		{"RARP of another", ether(frame.Broadcast, own, 0x8035, arp(3, other, "0.0.0.0", "0.0.0.0")), filter.SpoofARPMAC},
		{"IPv4", v4("10.0.0.1", 17, udp(1, 2)), 0},
		{"IPv4 of another", v4("10.0.0.9", 17, udp(1, 2)), filter.SpoofIP},
		{"DHCP", v4("0.0.0.0", 17, udp(68, 67)), 0},
		{"DHCP server from nowhere", v4("0.0.0.0", 17, udp(67, 68)), filter.SpoofIP},
		{"TCP from nowhere", v4("0.0.0.0", 6, udp(68, 67)), filter.SpoofIP},
		{"IGMP from nowhere", v4("0.0.0.0", 2, udp(0, 0)), 0},
		{"IPv6", v6("2001:db8::1", 17, udp(1, 2)), 0},
		{"IPv6 of another", v6("2001:db8::2", 17, udp(1, 2)), filter.SpoofIP},
		{"IPv6, its link-local address", v6(local, 17, udp(1, 2)), 0},
		{"IPv6, another link-local address", v6("fe80::1", 17, udp(1, 2)), filter.SpoofIP},
		{"IPv4-mapped", v6("::ffff:10.0.0.1", 17, udp(1, 2)), filter.SpoofIP},
		{"neighbour solicitation", v6(local, 58, nd(135, "2001:db8::2", link(1, own))), 0},
		{"with another's address", v6(local, 58, nd(135, "2001:db8::2", link(1, other))), filter.SpoofNDLink},
		{"duplicate address detection", v6("::", 58, nd(135, "2001:db8::1")), 0},
		{"for its link-local address", v6("::", 58, nd(135, local)), 0},
		{"for another's", v6("::", 58, nd(135, "2001:db8::2")), filter.SpoofNDTarget},
		{"neighbour advertisement", v6("2001:db8::1", 58, nd(136, "2001:db8::1", link(2, own))), 0},
		{"of another", v6("2001:db8::1", 58, nd(136, "2001:db8::2", link(2, own))), filter.SpoofNDTarget},
		{"for another's link-layer address", v6("2001:db8::1", 58, nd(136, "2001:db8::1", link(2, other))), filter.SpoofNDLink},
		{"from nowhere", v6("::", 58, nd(136, "2001:db8::1", link(2, own))), filter.SpoofIP},
		{"behind a destination option", v6("2001:db8::1", 60, []byte{58, 0, 1, 4, 0, 0, 0, 0}, nd(136, "2001:db8::2", link(2, own))), filter.SpoofNDTarget},
		{"in a fragment", v6("2001:db8::1", 44, frag(1), nd(136, "2001:db8::1", link(2, own))), filter.SpoofFragment},
		{"cut off", v6("2001:db8::1", 58, nd(136, "2001:db8::1")[:9]), filter.SpoofMalformed},
		{"router solicitation from nowhere", v6("::", 58, []byte{133, 0, 0, 0, 0, 0, 0, 0}), 0},
		{"MLD report from nowhere", v6("::", 0, []byte{58, 0, 5, 2, 0, 0, 0, 0}, []byte{143, 0, 0, 0, 0, 0, 0, 0}), 0},
		{"IPv4 of another, a later fragment", v4("10.0.0.9", 17, nil, 0x00, 0xb9), filter.SpoofIP},
		{"DHCP, a first fragment", v4("0.0.0.0", 17, udp(68, 67), 0x20, 0), 0},
		{"DHCP, a later fragment", v4("0.0.0.0", 17, udp(68, 67), 0x20, 1), filter.SpoofIP},
		{"IPv6 of another, a later fragment", v6("2001:db8::2", 44, []byte{17, 0, 0, 9, 0, 0, 0, 1}), filter.SpoofIP},
		{"ND behind headers that end in the next fragment", v6("2001:db8::1", 44, []byte{60, 0, 0, 1, 0, 0, 0, 1}, []byte{58, 0, 1, 4, 0, 0, 0, 0}), filter.SpoofMalformed},
		{"advertisement of another without an option", v6("2001:db8::1", 58, nd(136, "2001:db8::2")), filter.SpoofNDTarget},
		{"router advertisement of another", v6("fe80::1", 58, append([]byte{134, 15: 0}, link(1, own)...)), filter.SpoofIP},
		{"router advertisement with another's address", v6(local, 58, append([]byte{134, 15: 0}, link(1, other)...)), filter.SpoofNDLink},
		{"redirect of another", v6("fe80::1", 58, append([]byte{137, 39: 0}, link(2, other)...)), filter.SpoofIP},
		{"ARP cut off", cut(request(own, arp(2, own, "10.0.0.1", "10.0.0.2")), 41), filter.SpoofMalformed},
		{"echo from nowhere", v6("::", 58, []byte{128, 0, 0, 0, 0, 0, 0, 0}), filter.SpoofIP},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := filter.NewAddresses(map[string]filter.Allowed{"p1": {MACs: []frame.MAC{own}, IPs: prefixes("10.0.0.1/32", "2001:db8::1/128")}})
			require.NoError(t, err)
			r := newRig(t, 2, bridge.Config{Filters: []bridge.Filter{a.Filter()}})
			for _, w := range wraps {
				f := wrap(c.f, w...)
				dry := r.ports[0].Explain(f)
				got := r.out(1, f)
				if c.want == 0 {
					assert.Equal(t, "p2", got, "%q", w)
					assert.Equal(t, bridge.Used, dry.Verdict)
					continue
				}
				assert.Empty(t, got, "%q", w)
				assert.Equal(t, bridge.DropFilter, dry.Reason)
				assert.Contains(t, dry.String(), "addresses dropped: a filter dropped it (NETFILTER_DROP): "+c.want.String())
				assert.NotEmpty(t, r.out(2, f), "the other port may say it")
			}
			var dropped uint64
			if c.want != 0 {
				dropped = uint64(len(wraps))
				require.NotEmpty(t, r.events)
				assert.Equal(t, "p1", r.events[0].Port)
				var e *filter.SpoofError
				require.ErrorAs(t, r.events[0].Err, &e)
				assert.Equal(t, c.want, e.Spoof)
				assert.Contains(t, e.Error(), c.want.String())
			}
			assert.Equal(t, dropped, a.Dropped(c.want))
			assert.Equal(t, dropped, r.ports[0].Stats().Ingress.Dropped[bridge.DropFilter])
			r.balanced()
		})
	}
}

// What a port is not told it may do: a forged source is not learned, and the words of
// the event name what was forged.
func TestAddressesReport(t *testing.T) {
	a, err := filter.NewAddresses(map[string]filter.Allowed{
		"p1": {MACs: []frame.MAC{mac(1)}}, "p2": {IPs: prefixes("10.0.0.0/24")}, "p3": {},
	})
	require.NoError(t, err)
	r := newRig(t, 3, bridge.Config{Filters: []bridge.Filter{a.Filter()}})
	assert.Empty(t, r.out(1, plain(mac(9), mac(3))))
	lacp := plain(frame.MAC{1, 0x80, 0xc2, 0, 0, 2}, mac(4))
	assert.Empty(t, r.out(1, lacp), "for the port's own stack")
	for e := range r.b.FDB().All() {
		assert.NotContains(t, []frame.MAC{mac(3), mac(4)}, e.MAC, "learned")
	}
	any4 := ether(mac(9), mac(1), frame.TypeIPv4, ipv4("192.0.2.1", "10.0.0.2", 17, nil))
	assert.Equal(t, "p3 p2", r.out(1, any4), "no list of IPs")
	assert.Empty(t, r.out(2, any4))
	assert.Equal(t, "p3 p1", r.out(2, ether(mac(9), mac(7), frame.TypeIPv4, ipv4("10.0.0.77", "10.0.0.2", 17, nil))), "no list of MACs")
	assert.Equal(t, "p2 p1", r.out(3, ether(mac(9), mac(7), frame.TypeARP, nil)), "no list at all")
	assert.Equal(t, []string{
		"filter p1 " + mac(3).String() + ": addresses: source address is not allowed: " + mac(3).String(),
		"filter p1 " + mac(4).String() + ": addresses: source address is not allowed: " + mac(4).String(),
		"filter p2 " + mac(1).String() + ": addresses: IP source is not allowed: 192.0.2.1",
	}, r.reports())
	assert.Equal(t, uint64(2), a.Dropped(filter.SpoofMAC))
	assert.Zero(t, a.Dropped(200))
	assert.Empty(t, filter.Spoof(200).String())
	require.NoError(t, r.b.Xmit(plain(frame.Broadcast, mac(99))), "the host may")
	r.balanced()
}

func TestAddressesRefused(t *testing.T) {
	for _, ports := range []map[string]filter.Allowed{
		{"": {}}, {"p1": {MACs: []frame.MAC{frame.Broadcast}}}, {"p1": {MACs: []frame.MAC{{}}}},
		{"p1": {IPs: prefixes("10.0.0.5/24")}}, {"p1": {IPs: prefixes("2001:db8::5/64")}},
		{"p1": {IPs: []netip.Prefix{{}}}}, {"p1": {IPs: prefixes("::ffff:10.0.0.0/120")}},
	} {
		_, err := filter.NewAddresses(ports)
		assert.ErrorContains(t, err, "filter: ")
	}
}

// What no filter sees teaches the bridge its source all the same, unless it is told
// not to, as docs/filters.md says.
func TestAddressesUnseen(t *testing.T) {
	a, err := filter.NewAddresses(map[string]filter.Allowed{"p1": {MACs: []frame.MAC{mac(1)}}})
	require.NoError(t, err)
	for _, not := range []bool{false, true} {
		r := newRig(t, 2, bridge.Config{Filters: []bridge.Filter{a.Filter()}, Attrs: bridge.BridgeAttrs{NoLinkLocalLearn: new(not)}})
		r.in(1, plain(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, mac(5)))
		_, learned := r.b.FDB().Lookup(mac(5), 0)
		assert.Equal(t, !not, learned)
	}
	assert.Zero(t, a.Dropped(filter.SpoofMAC))
}
