package bridge_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// vlan_protocol changed at run time counts from the next frame on, both ways, and
// touches neither VLANs nor the FDB (vlan.md 2 and 4).
func TestVLANProtocolChanged(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true})
	f := ether(frame.Broadcast, mac(9))
	q, ad := dot1q(f, 10), tagged(f, frame.TypeDot1AD, 10)
	l.in(1, q)
	before, entries := members(l.p(1).VLANs()), slices.Collect(l.b.FDB().All())
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANProtocol: new(frame.TypeDot1AD)}))
	assert.Equal(t, before, members(l.p(1).VLANs()))
	assert.Equal(t, entries, slices.Collect(l.b.FDB().All()))
	assert.Equal(t, []delivery{{"p3", wireOf(ad)}, {"p2", wireOf(f)}, {"br0", wireOf(ad)}}, l.in(1, ad))
	assert.Equal(t, []delivery{{"br0", wireOf(q)}}, l.in(1, q), "payload in VLAN 1")
	own := ether(frame.Broadcast, mac(2))
	ownAD := tagged(own, frame.TypeDot1AD, 10)
	assert.Equal(t, []delivery{{"p3", wireOf(ownAD)}, {"p1", wireOf(ownAD)}, {"br0", wireOf(ownAD)}}, l.in(2, own), "what came untagged too")
	assert.Equal(t, []string{"p1"}, l.out(2, ether(mac(9), mac(2))), "found in VLAN 10, by either tag")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANProtocol: new(frame.TypeDot1Q)}))
	assert.Equal(t, []delivery{{"p3", wireOf(q)}, {"p2", wireOf(f)}, {"br0", wireOf(q)}}, l.in(1, q))
}

// br_should_learn: a link-local frame that stays here is learned in the VLAN of its
// tag, else of the PVID, if the port is in it and its state there lets frames in
// (vlan.md 5). It is passed on whatever that says.
func TestVLANLinkLocalLearn(t *testing.T) {
	lldp := ether(linkLocal(0xe), mac(9))
	state := func(vid frame.VID, s bridge.PortState) func(l *lab) {
		return func(l *lab) { require.NoError(l.t, l.p(1).VLANs().SetState(vid, 0, s)) }
	}
	for _, c := range []struct {
		name  string
		vlans []bridge.VLAN
		f     frame.Frame
		vid   frame.VID // 0: not learned
		setup func(l *lab)
	}{
		{name: "untagged", vlans: bridge.Trunk(5, 10), f: lldp, vid: 5},
		{name: "priority tag", vlans: bridge.Trunk(5, 10), f: dot1q(lldp, 0), vid: 5},
		{name: "tagged", vlans: bridge.Trunk(5, 10), f: dot1q(lldp, 10), vid: 10},
		{name: "foreign tag", vlans: bridge.Trunk(5, 10), f: tagged(lldp, frame.TypeDot1AD, 10), vid: 5},
		{name: "tagged, no PVID", vlans: bridge.Trunk(0, 10), f: dot1q(lldp, 10), vid: 10},
		{name: "untagged, no PVID", vlans: bridge.Trunk(0, 10), f: lldp},
		{name: "priority tag, no PVID", vlans: bridge.Trunk(0, 10), f: dot1q(lldp, 0)},
		{name: "foreign tag, no PVID", vlans: bridge.Trunk(0, 10), f: tagged(lldp, frame.TypeDot1AD, 10)},
		{name: "not a member", vlans: bridge.Trunk(5, 10), f: dot1q(lldp, 20)},
		{name: "4095", vlans: bridge.Trunk(5, 10), f: dot1q(lldp, 4095)},
		{name: "no VLAN at all", vlans: []bridge.VLAN{}, f: lldp},
		{name: "VLAN learning", vlans: bridge.Trunk(5, 10), f: dot1q(lldp, 10), vid: 10, setup: state(10, bridge.StateLearning)},
		{name: "VLAN blocking", vlans: bridge.Trunk(5, 10), f: dot1q(lldp, 10), setup: state(10, bridge.StateBlocking)},
		{name: "VLAN listening", vlans: bridge.Trunk(5, 10), f: dot1q(lldp, 10), setup: state(10, bridge.StateListening)},
		{name: "PVID learning", vlans: bridge.Trunk(5, 10), f: lldp, vid: 5, setup: state(5, bridge.StateLearning)},
		{name: "PVID disabled", vlans: bridge.Trunk(5, 10), f: lldp, setup: state(5, bridge.StateDisabled)},
		{name: "port learning, VLAN blocking", vlans: bridge.Trunk(5, 10), f: lldp, setup: func(l *lab) {
			l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)})
			state(5, bridge.StateBlocking)(l)
		}},
		{name: "port listening", vlans: bridge.Trunk(5, 10), f: lldp, setup: func(l *lab) { l.set(1, bridge.PortAttrs{State: new(bridge.StateListening)}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, bridge.Config{VLANFiltering: true})
			l.add(1, bridge.PortConfig{VLANs: c.vlans})
			l.add(2, bridge.PortConfig{VLANs: c.vlans})
			if c.setup != nil {
				c.setup(l)
			}
			assert.Empty(t, l.in(1, c.f))
			assert.EqualValues(t, 1, l.ingress(1).Passed)
			learned := []frame.VID{}
			for e := range l.b.FDB().All() {
				if e.MAC == mac(9) {
					learned = append(learned, e.VID)
				}
			}
			want := []frame.VID{}
			if c.vid != 0 {
				want = append(want, c.vid)
			}
			assert.Equal(t, want, learned)
		})
	}
}

// The state of a VLAN is looked at while that of the port is FORWARDING only, and
// bounds both ways (vlan.md 4 step 6, 6, 9).
func TestVLANStates(t *testing.T) {
	for ps := bridge.StateDisabled; ps < bridge.StateBlocking; ps++ {
		for vs := bridge.StateDisabled; vs <= bridge.StateBlocking; vs++ {
			t.Run(fmt.Sprintf("port %s, VLAN %s", ps, vs), func(t *testing.T) {
				l := vlanLab(t, bridge.Config{VLANFiltering: true, VLANStats: true})
				l.set(2, bridge.PortAttrs{State: &ps})
				require.NoError(t, l.p(2).VLANs().SetState(10, 0, vs))
				var want bridge.DropReason
				switch {
				case ps != bridge.StateForwarding && ps != bridge.StateLearning:
					want = bridge.DropPortState
				case ps == bridge.StateLearning, vs == bridge.StateLearning:
					want = bridge.DropLearning
				case vs != bridge.StateForwarding:
					want = bridge.DropVLANIngress
				}
				got := l.out(2, ether(frame.Broadcast, mac(2)))
				if want == bridge.NotDropped {
					assert.Equal(t, []string{"p3", "p1", "br0"}, got)
				} else {
					assert.Empty(t, got)
					assert.EqualValues(t, 1, l.ingress(2).Dropped[want], "%s", want)
				}
				passed := want == bridge.NotDropped || want == bridge.DropLearning
				assert.Equal(t, passed, l.where(mac(2), 10) == "p2", "learned once it passed ingress")
				rx := l.p(2).VLANs().All()[0].RxPackets
				assert.Equal(t, passed, rx == 1, "counted once it passed ingress: %d", rx)

				out := []string{"p3", "br0"}
				if ps == bridge.StateForwarding && vs == bridge.StateForwarding {
					out = []string{"p3", "p2", "br0"}
				}
				assert.Equal(t, out, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 10)))
				balanced(t, l.b)
			})
		}
	}
}

// The states of the bridge's own device: for what the host sends, and what goes up
// to it, where promiscuity goes first and the tag by the VLAN all the same.
func TestVLANStatesOfTheHost(t *testing.T) {
	for _, c := range []struct {
		s        bridge.PortState
		promisc  bool
		sent, up bool
	}{
		{bridge.StateForwarding, false, true, true},
		{bridge.StateLearning, false, true, false},
		{bridge.StateBlocking, false, false, false},
		{bridge.StateDisabled, false, false, false},
		{bridge.StateLearning, true, true, true},
		{bridge.StateBlocking, true, false, true},
	} {
		l := newLab(t, bridge.Config{VLANFiltering: true, VLANStats: true, Promisc: c.promisc, VLANs: bridge.Access(1)})
		l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 1)})
		require.NoError(t, l.b.VLANs().SetState(1, 0, c.s))
		f := ether(frame.Broadcast, mac(1))
		got := l.in(1, dot1q(f, 1))
		want := []delivery(nil)
		if c.up {
			want = []delivery{{"br0", wireOf(f)}}
		}
		assert.Equal(t, want, got, "%s, promisc %v", c.s, c.promisc)
		assert.Equal(t, c.up, l.b.VLANs().All()[0].TxPackets == 1, "counted towards the host")
		assert.EqualValues(t, 1, l.b.Stats().RxPackets, "br_pass_frame_up counts before the VLAN is looked at")
		got = l.in(0, ether(frame.Broadcast, mac(9)))
		assert.Equal(t, c.sent, len(got) == 1, "%s: sent by the host", c.s)
		balanced(t, l.b)
	}
}

// vlan.md 4 step 7 and 6 step 3: every kind of frame is counted in the VLAN that it
// is in, its bytes without Ethernet header and tag; switched at run time, counts
// stay.
func TestVLANStatsOfEachKind(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, VLANs: []bridge.VLAN{}})
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(5, 10)})
	of := func(vid frame.VID) [2]uint64 {
		for _, i := range l.p(1).VLANs().All() {
			if i.VID == vid {
				return [2]uint64{i.RxPackets, i.RxBytes}
			}
		}
		return [2]uint64{}
	}
	f := ether(frame.Broadcast, mac(1))
	stats := func(on bool) { require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANStats: &on})) }
	l.in(1, f)
	assert.Equal(t, [2]uint64{}, of(5), "off")
	stats(true)
	l.in(1, f)
	assert.Equal(t, [2]uint64{1, 46}, of(5), "untagged")
	l.in(1, dot1q(f, 0))
	assert.Equal(t, [2]uint64{2, 92}, of(5), "priority-tagged")
	l.in(1, tagged(f, frame.TypeDot1AD, 10))
	assert.Equal(t, [2]uint64{3, 142}, of(5), "a foreign tag is payload")
	l.in(1, aside(f, frame.TypeDot1AD, 10))
	assert.Equal(t, [2]uint64{4, 192}, of(5), "aside too")
	l.in(1, dot1q(f, 5))
	assert.Equal(t, [2]uint64{5, 238}, of(5), "tagged")
	assert.Equal(t, [2]uint64{}, of(10))
	l.in(1, dot1q(f, 10), dot1q(f, 20))
	assert.Equal(t, [2]uint64{1, 46}, of(10))
	stats(false)
	l.in(1, f)
	assert.Equal(t, [2]uint64{5, 238}, of(5))
	stats(true)
	l.in(1, f)
	assert.Equal(t, [2]uint64{6, 284}, of(5))
}

// A tag of the host's that ends right behind itself is lost as one of a port's is.
func TestVLANHostRunt(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true})
	short := frame.Frame{Data: dot1q(ether(frame.Broadcast, mac(9)), 10).Data[:19]}
	assert.Empty(t, l.out(0, short))
	assert.EqualValues(t, 1, l.ingress(0).Dropped[bridge.DropVLANIngress])
	short.Data = append(short.Data, 0)
	assert.Len(t, l.in(0, short), 3)
}

// Several VLANs may leave one port untagged; what comes in untagged is in one of
// them (vlan.md 6).
func TestVLANSeveralUntagged(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true})
	l.add(6, bridge.PortConfig{VLANs: append(bridge.Access(10), bridge.VLAN{VID: 20, End: 30, Untagged: true})})
	for _, vid := range []frame.VID{10, 20, 30} {
		f := ether(frame.Broadcast, mac(1))
		assert.Equal(t, [][]byte{wireOf(f)}, wires(l.in(1, tagged(f, frame.TypeDot1Q, 0x6000|uint16(vid))), "p6"))
	}
	l.in(6, ether(frame.Broadcast, mac(6)))
	assert.Equal(t, "p6", l.where(mac(6), 10))
	assert.Equal(t, "-", l.where(mac(6), 20))
}

// Kernel selftest bridge_vlan_aware, vlan_deletion: deleting another VLAN from a port
// leaves the traffic of its PVID alone. So does deleting the bridge's own.
func TestVLANDeletionOfAnother(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true})
	l.in(2, ether(frame.Broadcast, mac(2)))
	require.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 20}))
	require.NoError(t, l.p(2).VLANs().Delete(20, 0))
	require.NoError(t, l.b.VLANs().Delete(10, 0))
	assert.Equal(t, "p2", l.where(mac(2), 10))
	assert.Equal(t, []string{"p2"}, l.out(1, dot1q(ether(mac(2), mac(1)), 10)))
	assert.Equal(t, []string{"p3", "p1"}, l.out(2, ether(frame.Broadcast, mac(2))))
}

// Kernel selftest no_forwarding, one VLAN-aware bridge: p1 with PVID 1 untagged alone
// and p2 with PVID 2 have nothing for each other, of any kind and tag.
func TestVLANNoForwarding(t *testing.T) {
	for _, learned := range []bool{false, true} {
		l := newLab(t, bridge.Config{VLANFiltering: true, VLANDefaultPVID: new(frame.VID(0))})
		l.add(1, bridge.PortConfig{VLANs: bridge.Access(1)})
		l.add(2, bridge.PortConfig{VLANs: bridge.Access(2)})
		if learned {
			l.learn(2, mac(2))
		}
		for _, dst := range []frame.MAC{mac(2), portMAC(2), frame.Broadcast, groupMAC, {1, 2, 3, 4, 5, 6}, {1, 0, 0x5e, 0, 0, 1}, {0x33, 0x33, 0, 0, 0, 1}} {
			for _, et := range []frame.EtherType{testProto, frame.TypeIPv4, frame.TypeIPv6} {
				f := withType(ether(dst, mac(1)), et)
				assert.Empty(t, wires(l.in(1, f), "p2"))
				for _, vid := range []frame.VID{0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 4000, 4094} {
					for _, tpid := range []frame.EtherType{frame.TypeDot1Q, frame.TypeDot1AD} {
						assert.Empty(t, wires(l.in(1, tagged(f, tpid, uint16(vid))), "p2"), "%s %s %d", dst, tpid, vid)
					}
				}
			}
		}
		balanced(t, l.b)
	}
}
