package filter_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// wraps are the ways in which a packet can be hidden (CERT VU#855201).
var wraps = [][]string{
	nil, {prio}, {prio, prio}, {tag5}, {stag5, tag5}, {stag5, prio, prio, prio}, {snap}, {snapLie}, {snapH}, {jumboLLC},
	{prio, snap}, {prio, prio, snapLie}, {snap, prio}, {snap, prio, snap, prio}, {oldTag, prio},
}

func TestParseBehindHeaders(t *testing.T) {
	a := ether(frame.Broadcast, mac(1), frame.TypeARP, arp(1, mac(1), "10.0.0.1", "10.0.0.2"))
	n := ether(frame.Broadcast, mac(1), frame.TypeIPv6, ipv6("fe80::1", "ff02::1", 58, nd(136, "2001:db8::9", link(2, mac(9)))))
	for _, w := range wraps {
		for _, lifted := range []bool{false, true} {
			f, g := wrap(a, w...), wrap(n, w...)
			if lifted {
				require.True(t, f.Lift() && g.Lift())
			}
			p := filter.Parse(&f)
			assert.Equal(t, filter.ARP, p.Kind, "%q", w)
			assert.False(t, p.Broken)
			assert.Equal(t, mac(1), p.Sender)
			assert.Equal(t, "10.0.0.1", p.Src.String())
			assert.Equal(t, "10.0.0.2", p.Dst.String())
			assert.Equal(t, a.Data[14:], f.Data[p.At:])
			p = filter.Parse(&g)
			assert.Equal(t, filter.ND, p.Kind, "%q", w)
			assert.Equal(t, mac(9), p.Sender)
			assert.Equal(t, "2001:db8::9", p.Target.String())
		}
	}
}

func TestParse(t *testing.T) {
	hop := func(next byte, units byte) []byte {
		return append([]byte{next, units}, make([]byte, 6+8*int(units))...)
	}
	frag := func(next byte, where uint16) []byte {
		return []byte{next, 0, byte(where >> 8), byte(where), 0, 0, 0, 1}
	}
	na := nd(136, "2001:db8::9", link(2, mac(9)))
	for _, c := range []struct {
		name   string
		t      frame.EtherType
		b      []byte
		kind   filter.Kind
		broken bool
		frag   bool
		proto  uint8
	}{
		{"nothing known", 0x88b5, []byte{1}, filter.Other, false, false, 0},
		{"LLC, no SNAP", 0x002e, []byte("\x42\x42\x03"), filter.Other, false, false, 0},
		{"SNAP of somebody", 0x002e, []byte("\xaa\xaa\x03\x00\x00\x0c\x08\x06"), filter.Other, false, false, 0},
		{"ARP", frame.TypeARP, arp(2, mac(1), "10.0.0.1", "10.0.0.2"), filter.ARP, false, false, 0},
		{"ARP of IEEE 802", frame.TypeARP, append([]byte{0, 6}, arp(2, mac(1), "10.0.0.1", "10.0.0.2")[2:]...), filter.ARP, false, false, 0},
		{"ARP of another hardware", frame.TypeARP, append([]byte{0, 7}, arp(2, mac(1), "10.0.0.1", "10.0.0.2")[2:]...), filter.ARP, true, false, 0},
		{"IPv4", frame.TypeIPv4, ipv4("10.0.0.1", "10.0.0.2", 17, udp(1, 2)), filter.IPv4, false, false, 17},
		{"IPv4 of another version", frame.TypeIPv4, append([]byte{0x65}, ipv4("10.0.0.1", "10.0.0.2", 17, nil)[1:]...), filter.IPv4, true, false, 0},
		{"IPv4, header too long", frame.TypeIPv4, append([]byte{0x4f}, ipv4("10.0.0.1", "10.0.0.2", 17, nil)[1:]...), filter.IPv4, true, false, 0},
		{"IPv6", frame.TypeIPv6, ipv6("::1", "::2", 17, udp(1, 2)), filter.IPv6, false, false, 17},
		{"ND behind headers", frame.TypeIPv6, ipv6("::1", "::2", 0, hop(60, 0), hop(43, 1), hop(58, 0), na), filter.ND, false, false, 58},
		{"ND behind an authentication header", frame.TypeIPv6, ipv6("::1", "::2", 51, append([]byte{58, 4}, make([]byte, 22)...), na), filter.ND, false, false, 58},
		{"ND in an atomic fragment", frame.TypeIPv6, ipv6("::1", "::2", 44, frag(58, 0), na), filter.ND, false, false, 58},
		{"ND in a first fragment", frame.TypeIPv6, ipv6("::1", "::2", 44, frag(58, 1), na), filter.ND, false, true, 58},
		{"a further fragment", frame.TypeIPv6, ipv6("::1", "::2", 44, frag(58, 9), na), filter.IPv6, false, true, 58},
		{"a header cut off", frame.TypeIPv6, ipv6("::1", "::2", 0, hop(58, 3)[:8]), filter.IPv6, true, false, 58},
		{"ND cut off", frame.TypeIPv6, ipv6("::1", "::2", 58, na[:20]), filter.ND, true, false, 58},
		{"an option of no length", frame.TypeIPv6, ipv6("::1", "::2", 58, nd(135, "::3", []byte{1, 0, 0, 0, 0, 0, 0, 0})), filter.ND, true, false, 58},
		{"an option longer than the message", frame.TypeIPv6, ipv6("::1", "::2", 58, nd(135, "::3", []byte{1, 9, 0, 0, 0, 0, 0, 0})), filter.ND, true, false, 58},
		{"two addresses", frame.TypeIPv6, ipv6("::1", "::2", 58, nd(135, "::3", link(1, mac(1)), link(1, mac(2)))), filter.ND, true, false, 58},
		{"one address twice", frame.TypeIPv6, ipv6("::1", "::2", 58, nd(135, "::3", link(1, mac(1)), link(1, mac(1)))), filter.ND, false, false, 58},
		{"longer than the frame", frame.TypeIPv6, ipv6("::1", "::2", 17, make([]byte, 100))[:90], filter.IPv6, true, false, 0},
	} {
		f := ether(mac(2), mac(1), c.t, c.b)
		p := filter.Parse(&f)
		assert.Equal(t, c.kind, p.Kind, c.name)
		assert.Equal(t, c.broken, p.Broken, c.name)
		assert.Equal(t, c.frag, p.Fragment, c.name)
		assert.Equal(t, c.proto, p.Proto, c.name)
	}
	for n := range 4 {
		f := frame.Frame{Data: wrap(plain(mac(2), mac(1)), prio).Data[:14+n]}
		_, at, ok := filter.Payload(&f)
		assert.False(t, ok, "a frame that ends within its tags")
		assert.Equal(t, len(f.Data), at)
		assert.True(t, filter.Parse(&f).Broken)
	}
}

// FuzzParse holds two laws: what is found lies within the frame, and a frame behind
// any number of VLAN 0 tags and SNAP headers, in any order, carries the same.
func FuzzParse(f *testing.F) {
	for _, w := range wraps {
		a := ether(frame.Broadcast, mac(1), frame.TypeARP, arp(1, mac(1), "10.0.0.1", "10.0.0.2"))
		f.Add(wrap(a, w...).Data, []byte{0, 1, 2, 3}, true)
	}
	f.Add(ether(mac(2), mac(1), frame.TypeIPv6, ipv6("fe80::1", "ff02::1", 0, append([]byte{58, 0}, make([]byte, 6)...), nd(135, "::9", link(1, mac(9))))).Data, []byte{1, 1}, false)
	f.Add(ether(mac(2), mac(1), frame.TypeIPv4, ipv4("10.0.0.1", "10.0.0.2", 17, udp(68, 67))).Data, []byte{}, false)
	f.Fuzz(func(t *testing.T, wire, how []byte, lift bool) {
		in := frame.Frame{Data: wire}
		if !in.WellFormed() {
			return
		}
		p := filter.Parse(&in)
		within(t, &in, p)
		var headers []string
		for _, h := range how[:min(len(how), 64)] {
			headers = append(headers, []string{prio, snap, snapLie, stag5, snapH, oldTag}[int(h)%6])
		}
		out := wrap(in, headers...)
		if lift && !out.Lift() {
			return
		}
		q := filter.Parse(&out)
		within(t, &out, q)
		if !bytes.Equal(in.Data[p.At:], out.Data[q.At:]) {
			t.Fatalf("another payload behind %q", headers)
		}
		q.At = p.At
		if p.L4 != 0 {
			q.L4 -= len(out.Data) - len(in.Data)
		}
		if p != q {
			t.Fatalf("behind %q\n%+v\n%+v", headers, p, q)
		}
	})
}

func within(t *testing.T, f *frame.Frame, p filter.Packet) {
	t.Helper()
	from := len(f.Data) - len(f.Rest())
	if p.At < from || p.At > len(f.Data) || p.L4 != 0 && (p.L4 < p.At || p.L4 > len(f.Data)) {
		t.Fatalf("outside of the frame of %d bytes: %+v", len(f.Data), p)
	}
	if p.Broken {
		return
	}
	length := map[filter.Kind]int{filter.ARP: 28, filter.IPv4: 20, filter.IPv6: 40, filter.ND: 40 + 8}[p.Kind]
	if p.At+length > len(f.Data) {
		t.Fatalf("too short for what it is: %+v", p)
	}
	if p.Kind == filter.ND && (p.Op < filter.RouterSolicitation || p.Op > filter.Redirect) {
		t.Fatalf("no message of ND: %+v", p)
	}
	if p.Kind != filter.Other && (p.Src == netip.Addr{} || p.Dst == netip.Addr{}) {
		t.Fatalf("no addresses: %+v", p)
	}
}
