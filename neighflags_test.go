package bridge_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Proxy ARP: answers for requests from the port, and nothing flooded leaves it.
func TestProxyARP(t *testing.T) {
	l := neighLab(t, bridge.Config{}, new(bridge.HostTable))
	l.set(1, bridge.PortAttrs{ProxyARP: on()})
	assert.Equal(t, "br0 p1! p2 p3", l.went(1, whoHas(1, 2)))
	assert.Equal(t, "br0 p1! p2 p3", l.went(1, whoHas(1, 1)), "gratuitous: no port suppresses, so nothing sets it apart")
	assert.Equal(t, "br0 p1! p2 p3", l.went(1, arp{src: neighMAC(1), sender: netip.IPv4Unspecified(), target: ip4(2)}.frame()), "a probe")
	assert.Equal(t, "p1! p2", l.went(1, arp{dst: neighMAC(2), src: neighMAC(1), sender: ip4(1), target: ip4(2)}.frame()), "unicast")
	assert.Equal(t, "br0 p2", l.went(3, whoHas(3, 1)), "asked elsewhere")
	assert.Equal(t, "br0 p2 p3", l.went(1, solicit(1, 2).frame()), "it is for ARP only")
	assert.Equal(t, "p2 p3", l.went(0, whoHas(0, 2)), "the host's own request, no port suppressing")
}

// Proxy ARP on Wi-Fi: answers for stations behind the port, from which what was
// answered is kept.
func TestProxyARPWifi(t *testing.T) {
	table := new(bridge.HostTable)
	l := neighLab(t, bridge.Config{}, table)
	l.set(3, bridge.PortAttrs{ProxyARPWifi: on()})
	assert.Equal(t, "br0 p1! p2", l.went(1, whoHas(1, 3)))
	assert.Equal(t, "br0 p1! p2", l.went(1, arp{src: neighMAC(1), sender: netip.IPv4Unspecified(), target: ip4(3)}.frame()), "a probe")
	assert.Equal(t, "p1! p3", l.went(1, arp{dst: neighMAC(3), src: neighMAC(1), sender: ip4(1), target: ip4(3)}.frame()), "unicast")
	assert.Equal(t, "br0 p2 p3", l.went(1, whoHas(1, 2)), "for a station elsewhere")
	assert.Equal(t, "br0 p2 p3", l.went(1, whoHas(1, 1)), "gratuitous")
	assert.Equal(t, "br0 p2 p3", l.went(1, solicit(1, 3).frame()), "it is for ARP only")
	assert.Equal(t, "p1 p2 p3", l.went(0, whoHas(0, 3)), "the host's own request, no port suppressing")
	table.AddAddress(0, ip4(3))
	assert.Equal(t, "br0 p1! p2", l.went(1, whoHas(1, 3)), "that it is the host's counts where a port suppresses")
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	assert.Equal(t, "br0", l.went(1, whoHas(1, 3)))
	assert.Equal(t, "br0", l.went(1, whoHas(1, 1)), "gratuitous: kept from both kinds of ports")
}

// A station on the port that asks: the answer goes back where it came from.
func TestProxyARPForIngressPort(t *testing.T) {
	table := new(bridge.HostTable)
	l := neighLab(t, bridge.Config{}, table)
	l.learn(1, neighMAC(0x44))
	table.SetNeighbour(0, ip4(0x44), bridge.Neighbour{MAC: neighMAC(0x44)})
	l.set(1, bridge.PortAttrs{ProxyARP: on()})
	assert.Equal(t, "br0 p1! p2 p3", l.went(1, whoHas(1, 0x44)))
}

// Linux remembers that a port suppresses until a flag is changed: it goes on as if
// one did when the last has left.
func TestSuppressionOutlivesItsPort(t *testing.T) {
	l := neighLab(t, bridge.Config{}, new(bridge.HostTable))
	l.set(3, bridge.PortAttrs{ProxyARPWifi: on()})
	gratuitous := whoHas(1, 1)
	assert.Equal(t, "br0 p2 p3", l.went(1, gratuitous))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	assert.Equal(t, "br0", l.went(1, gratuitous))
	require.NoError(t, l.b.RemovePort(l.p(2)))
	assert.Equal(t, "br0", l.went(1, gratuitous), "the port has left")
	l.add(2, bridge.PortConfig{})
	l.set(2, bridge.PortAttrs{Learning: off(), NeighSuppress: off()})
	assert.Equal(t, "br0 p2", l.went(1, gratuitous), "and is back, and nothing was changed")
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	l.set(2, bridge.PortAttrs{NeighSuppress: off()})
	assert.Equal(t, "br0 p2 p3", l.went(1, gratuitous), "until a flag is changed")
}

// A bridge device without ARP takes no notice of ARP, and IPv6 does not mind.
func TestNoARP(t *testing.T) {
	l := neighLab(t, bridge.Config{NoARP: true}, new(bridge.HostTable))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	require.True(t, l.b.Info().NoARP)
	assert.Equal(t, "br0 p2 p3", l.went(1, whoHas(1, 2)))
	assert.Equal(t, "br0 p2 p3", l.went(1, whoHas(1, 1)))
	assert.Equal(t, "br0 p1! p3", l.went(1, solicit(1, 2).frame()))
	require.NoError(t, l.b.SetNoARP(false))
	assert.Equal(t, "br0 p1! p3", l.went(1, whoHas(1, 2)))
}

// The host's own ARP request is answered through br_dev_xmit: the answer goes to the
// port that the asker's address is behind, and to nowhere if that is the bridge.
func TestAnswerToHost(t *testing.T) {
	l := neighLab(t, bridge.Config{}, new(bridge.HostTable))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	ask := func(sha frame.MAC) frame.Frame {
		return arp{src: hostMAC, sha: sha, sender: ip4(254), target: ip4(2)}.frame()
	}
	for _, c := range []struct {
		name string
		sha  frame.MAC
		want string
	}{
		{"the bridge's", hostMAC, "p1 p3"},
		{"a station's", neighMAC(1), "p1 p1! p3"},
		{"a port's", portMAC(2), "p1 p2! p3"},
		{"unknown", neighMAC(0x77), "p1 p1! p2! p3 p3!"},
		{"broadcast", frame.Broadcast, "p1 p1! p2! p3 p3!"},
	} {
		before := l.b.Stats()
		assert.Equal(t, c.want, l.went(0, ask(c.sha)), c.name)
		after := l.b.Stats()
		assert.EqualValues(t, 2, after.TxPackets-before.TxPackets, "the request and its answer")
		assert.EqualValues(t, 84, after.TxBytes-before.TxBytes)
		assert.EqualValues(t, 1, after.Ingress.Received-before.Ingress.Received, "the host sent one")
	}
}

// With VLANs the answer has the request's tag, unless its VLAN is the PVID of the
// device by which it leaves, and the neighbours are those of the VLAN's device.
func TestAnswerInVLAN(t *testing.T) {
	table := new(bridge.HostTable)
	l := neighLab(t, bridge.Config{VLANFiltering: true}, table)
	for n := range 4 {
		v := l.b.VLANs()
		if n > 0 {
			v = l.p(n).VLANs()
		}
		for _, vid := range []frame.VID{5, 7} {
			require.NoError(t, v.Add(bridge.VLAN{VID: vid}))
			if n > 0 {
				l.in(n, dot1q(ether(frame.Broadcast, neighMAC(n)), vid))
			}
		}
	}
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	assert.Equal(t, "br0 p2 p3", l.went(1, whoHas(1, 2)), "no device in VLAN 1: the bridge's own neighbours do not count")
	table.AddVLANDevice(frame.TypeDot1Q, 1)
	table.AddVLANDevice(frame.TypeDot1Q, 5)
	table.AddVLANDevice(frame.TypeDot1AD, 7)
	assert.Equal(t, "br0 p2 p3", l.went(1, whoHas(1, 2)), "a device without neighbours")
	for _, vid := range []frame.VID{1, 5, 7} {
		table.SetNeighbour(vid, ip4(2), bridge.Neighbour{MAC: neighMAC(2)})
		table.SetNeighbour(vid, ip6(2), bridge.Neighbour{MAC: neighMAC(2)})
	}
	priority := func(f frame.Frame, tci uint16) frame.Frame { return tagged(f, frame.TypeDot1Q, tci) }
	for _, c := range []struct {
		name string
		from int
		f    frame.Frame
		dev  string
		tag  string // in the answer; "-": there is none
	}{
		{"untagged, PVID", 1, whoHas(1, 2), "p1", ""},
		{"tagged with the PVID", 1, dot1q(whoHas(1, 2), 1), "p1", ""},
		{"priority tag", 1, priority(whoHas(1, 2), 0xa000), "p1", ""},
		{"tagged, with priority", 1, priority(whoHas(1, 2), 0xa005), "p1", "8100a005"},
		{"and drop eligible", 1, priority(whoHas(1, 2), 0xb005), "p1", "8100b005"},
		{"the device is of another protocol", 1, dot1q(whoHas(1, 2), 7), "p1", "-"},
		{"a tag of another protocol", 1, tagged(whoHas(1, 2), frame.TypeDot1AD, 5), "p1", "-"},
		{"solicitation", 1, solicit(1, 2).frame(), "p1", ""},
		{"tagged solicitation", 1, priority(solicit(1, 2).frame(), 0xa005), "p1", "8100a005"},
		{"the host's request", 0, whoHas(1, 2), "br0", ""},
		{"the host's tagged request", 0, dot1q(whoHas(1, 2), 5), "br0", "81000005"},
		{"the host's solicitation", 0, solicit(1, 2).frame(), "br0", ""},
		{"the host's tagged solicitation", 0, priority(solicit(1, 2).frame(), 0xa005), "br0", "8100a005"},
	} {
		got := ""
		for _, w := range wires(l.in(c.from, c.f), c.dev) {
			if frame.MAC(w[6:12]) == neighMAC(2) {
				got += "answered "
				if w[12] == 0x81 {
					got += fmt.Sprintf("%x", w[12:16])
				}
			}
		}
		want := ""
		if c.tag != "-" {
			want = "answered " + c.tag
		}
		assert.Equal(t, want, got, c.name)
	}
	balanced(t, l.b)
}

// The PVID decides about the tag, not whether the VLAN leaves untagged.
func TestAnswerTagFollowsPVID(t *testing.T) {
	table := new(bridge.HostTable)
	table.AddVLANDevice(frame.TypeDot1Q, 5)
	l := neighLab(t, bridge.Config{VLANFiltering: true}, table)
	table.SetNeighbour(5, ip4(2), bridge.Neighbour{MAC: neighMAC(2)})
	require.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 5}))
	l.in(2, dot1q(ether(frame.Broadcast, neighMAC(2)), 5))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	for _, c := range []struct {
		vlan   bridge.VLAN
		tagged bool // the answer
	}{
		{bridge.VLAN{VID: 5}, true},
		{bridge.VLAN{VID: 5, Untagged: true}, true},
		{bridge.VLAN{VID: 5, PVID: true}, false},
		{bridge.VLAN{VID: 5, PVID: true, Untagged: true}, false},
	} {
		require.NoError(t, l.p(1).VLANs().Add(c.vlan))
		got := wires(l.in(1, dot1q(whoHas(1, 2), 5)), "p1")
		require.Len(t, got, 1, "%+v", c.vlan)
		assert.Equal(t, c.tagged, got[0][12] == 0x81, "%+v", c.vlan)
	}
}

// Suppression of single VLANs: with neigh_vlan_suppress the VLAN's flag decides,
// without it, and without filtering, the port's.
func TestNeighVLANSuppress(t *testing.T) {
	table := new(bridge.HostTable)
	l := neighLab(t, bridge.Config{VLANFiltering: true}, table)
	for _, vid := range []frame.VID{1, 5} {
		table.AddVLANDevice(frame.TypeDot1Q, vid)
		table.SetNeighbour(vid, ip4(2), bridge.Neighbour{MAC: neighMAC(2)})
	}
	require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: 5}))
	for n := 1; n <= 3; n++ {
		require.NoError(t, l.p(n).VLANs().Add(bridge.VLAN{VID: 5}))
		l.in(n, dot1q(ether(frame.Broadcast, neighMAC(n)), 5))
	}
	suppressed := func(vid frame.VID) bool {
		f := whoHas(1, 2)
		if vid != 1 {
			f = dot1q(f, vid)
		}
		switch got := l.went(1, f); got {
		case "br0 p1! p3":
			return true
		case "br0 p2 p3":
			return false
		default:
			t.Fatal(got)
			return false
		}
	}
	v := l.p(2).VLANs()
	for _, c := range []struct {
		name      string
		port, per *bool
		five      bool // the flag of VLAN 5
		one, tag5 bool // what is suppressed
	}{
		{"port", on(), nil, false, true, true},
		{"per VLAN, none", nil, on(), false, false, false},
		{"per VLAN, VLAN 5", nil, nil, true, false, true},
		{"without the port's flag", off(), nil, true, false, true},
		{"nothing on but VLAN 5", nil, off(), true, false, false},
		{"the port decides again", on(), nil, false, true, true},
	} {
		l.set(2, bridge.PortAttrs{NeighSuppress: c.port, NeighVLANSuppress: c.per})
		require.NoError(t, v.SetNeighSuppress(5, 0, c.five))
		assert.Equal(t, c.five, v.All()[1].NeighSuppress, c.name)
		assert.Equal(t, c.one, suppressed(1), "%s: VLAN 1", c.name)
		assert.Equal(t, c.tag5, suppressed(5), "%s: VLAN 5", c.name)
	}
	l.set(2, bridge.PortAttrs{NeighVLANSuppress: on()})
	require.NoError(t, v.SetNeighSuppress(1, 0, true))
	require.NoError(t, v.SetNeighSuppress(5, 0, true))
	require.NoError(t, v.Delete(5, 0))
	require.NoError(t, v.Add(bridge.VLAN{VID: 5}))
	l.in(2, dot1q(ether(frame.Broadcast, neighMAC(2)), 5))
	assert.False(t, suppressed(5), "a VLAN that was deleted has forgotten")
	assert.True(t, suppressed(1))
	l.set(2, bridge.PortAttrs{NeighSuppress: off()})
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: off()}))
	l.learn(2, neighMAC(2))
	assert.False(t, suppressed(1), "without filtering there are no VLANs")
}

// SetNeighSuppress refuses as Linux does, and then changes nothing.
func TestNeighVLANSuppressRefusals(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	v := l.p(1).VLANs()
	require.NoError(t, v.Add(bridge.VLAN{VID: 5, End: 6}))
	require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: 5}))
	for _, c := range []struct {
		v        *bridge.VLANFilter
		vid, end frame.VID
		want     error
	}{
		{v, 0, 0, bridge.EINVAL},
		{v, 4095, 0, bridge.EINVAL},
		{v, 6, 5, bridge.EINVAL},
		{v, 7, 0, bridge.ENOENT},
		{v, 5, 7, bridge.ENOENT},
		{l.b.VLANs(), 5, 0, bridge.EINVAL},
		{l.b.VLANs(), 6, 0, bridge.ENOENT},
	} {
		assert.ErrorIs(t, c.v.SetNeighSuppress(c.vid, c.end, true), c.want, "%d to %d", c.vid, c.end)
	}
	for _, i := range v.All() {
		assert.False(t, i.NeighSuppress, "VLAN %d", i.VID)
	}
	require.NoError(t, v.SetNeighSuppress(5, 6, true))
	assert.True(t, v.All()[1].NeighSuppress && v.All()[2].NeighSuppress)
	old := newLabN(t, bridge.Config{Kernel: bridge.Linux6_3}, 1)
	assert.ErrorIs(t, old.p(1).VLANs().SetNeighSuppress(1, 0, true), bridge.EINVAL)
}

// Where the rules change.
func TestNeighboursByRelease(t *testing.T) {
	unicast := arp{dst: neighMAC(2), src: neighMAC(1), sender: ip4(1), target: ip4(2)}.frame()
	probe := arp{src: neighMAC(1), sender: netip.IPv4Unspecified(), target: ip4(2)}.frame()
	for _, c := range []struct {
		k              bridge.Kernel
		probe, unicast bool // answered
	}{
		{bridge.Linux6_1, true, true}, {bridge.Linux6_2, false, true}, {bridge.Linux6_14, false, true},
		{bridge.Linux6_15, false, false}, {bridge.KernelNewest, false, false},
	} {
		l := neighLab(t, bridge.Config{Kernel: c.k}, new(bridge.HostTable))
		l.set(2, bridge.PortAttrs{NeighSuppress: on()})
		assert.Equal(t, c.probe, len(wires(l.in(1, probe), "p1")) == 1, "%v: probe", c.k)
		assert.Equal(t, c.unicast, len(wires(l.in(1, unicast), "p1")) == 1, "%v: unicast", c.k)
	}
	old := newLabN(t, bridge.Config{Kernel: bridge.Linux6_3}, 1)
	old.set(1, bridge.PortAttrs{NeighVLANSuppress: on()})
	assert.False(t, old.p(1).Info().NeighVLANSuppress, "not known to 6.3, and ignored")
	require.NoError(t, newLabN(t, bridge.Config{Kernel: bridge.Linux6_4}, 1).p(1).VLANs().SetNeighSuppress(1, 0, true))
}
