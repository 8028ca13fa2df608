package bridge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// mstLab has ports p1 to p3 with VLAN 1 untagged, 10 and 20 tagged, as br0 has them.
func mstLab(t testing.TB, c bridge.Config) *lab {
	c.VLANFiltering, c.MSTEnabled, c.VLANs = true, true, bridge.Trunk(1, 10, 20)
	l := newLab(t, c)
	for i := range 3 {
		l.add(i+1, bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)})
	}
	return l
}

// mapTo maps VLANs to an instance.
func (l *lab) mapTo(msti int, vids ...frame.VID) {
	l.t.Helper()
	for _, v := range vids {
		require.NoError(l.t, l.b.SetVLANGlobal(v, 0, bridge.VLANGlobalAttrs{MSTI: &msti}))
	}
}

func (l *lab) mst(n, msti int, s bridge.PortState) {
	l.t.Helper()
	require.NoError(l.t, l.p(n).SetMST(msti, s))
}

// instances are those of a port in words: "1 forwarding".
func (l *lab) instances(n int) []string {
	out := []string{}
	for _, i := range l.p(n).MST() {
		out = append(out, fmt.Sprintf("%d %s", i.MSTI, i.State))
	}
	return out
}

// A VLAN that is mapped takes the state that each port has in the instance, by way
// of its lowest VLAN there, and else is disabled (vlan.md 10).
func TestMSTMapping(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	all := func(want ...string) {
		t.Helper()
		for n := range 3 {
			assert.Equal(t, want, l.instances(n+1), "p%d", n+1)
		}
	}
	all("0 forwarding")
	l.mapTo(4095, 20)
	all("0 forwarding", "4095 disabled")
	assert.Equal(t, []string{"1 PVID untagged", "10", "20 disabled"}, members(l.p(1).VLANs()))
	assert.Equal(t, []string{"1 PVID untagged", "10", "20"}, members(l.b.VLANs()), "the bridge's own device has no instances")
	l.mapTo(4095, 20)
	l.mst(1, 4095, bridge.StateLearning)
	l.mapTo(4095, 20)
	assert.Equal(t, []string{"0 forwarding", "4095 learning"}, l.instances(1), "mapping it where it is changes nothing")
	l.mst(2, 4095, bridge.StateForwarding)
	l.mapTo(4095, 10)
	assert.Equal(t, []string{"1 PVID untagged", "10 learning", "20 learning"}, members(l.p(1).VLANs()), "inherited")
	assert.Equal(t, []string{"1 PVID untagged", "10", "20"}, members(l.p(2).VLANs()))
	assert.Equal(t, []string{"1 PVID untagged", "10 disabled", "20 disabled"}, members(l.p(3).VLANs()))
	l.mapTo(7, 1)
	all3 := []string{"7 disabled", "4095 learning"}
	assert.Equal(t, all3, l.instances(1), "nothing is left in instance 0")
	l.mapTo(0, 10)
	assert.Equal(t, []string{"0 disabled", "7 disabled", "4095 learning"}, l.instances(1), "instance 0 is no exception")
	l.mapTo(0, 20)
	l.mst(1, 7, bridge.StateBlocking)
	assert.Equal(t, []string{"0 disabled", "7 blocking"}, l.instances(1))
	l.set(1, bridge.PortAttrs{State: new(bridge.StateForwarding)})
	assert.Equal(t, []string{"0 forwarding", "7 blocking"}, l.instances(1), "written though the port's state is what it was")

	var three bridge.VLANGlobalAttrs
	three.MSTI = new(3)
	require.NoError(t, l.p(2).VLANs().Set(bridge.Trunk(1, 20)))
	require.NoError(t, l.b.SetVLANGlobal(1, 0, three))
	l.mst(1, 3, bridge.StateForwarding)
	l.mst(2, 3, bridge.StateBlocking)
	l.mapTo(3, 10, 20)
	assert.Equal(t, []string{"1 PVID untagged", "10", "20"}, members(l.p(1).VLANs()))
	assert.Equal(t, []string{"1 PVID untagged blocking", "20 blocking"}, members(l.p(2).VLANs()), "a port has to be in the VLAN")
}

// What an instance's state does to the frames of its VLANs, by both ways, whatever
// the state of the port (vlan.md 10, datapath.md 2 and 6).
func TestMSTPath(t *testing.T) {
	for s := bridge.StateDisabled; s <= bridge.StateBlocking; s++ {
		for ps := bridge.StateDisabled; ps < bridge.StateBlocking; ps++ {
			t.Run(fmt.Sprintf("instance %s, port %s", s, ps), func(t *testing.T) {
				l := mstLab(t, bridge.Config{})
				l.mapTo(1, 10)
				for n := range 3 {
					l.mst(n+1, 1, bridge.StateForwarding)
				}
				l.mst(1, 1, s)
				l.set(1, bridge.PortAttrs{State: &ps})
				require.Equal(t, []string{fmt.Sprint("0 ", ps), fmt.Sprint("1 ", s)}, l.instances(1))

				in, learned, reason := []string{}, "-", bridge.DropVLANIngress
				out := []string{"p3", "br0"}
				switch s {
				case bridge.StateLearning:
					learned, reason = "p1", bridge.DropLearning
				case bridge.StateForwarding:
					in, out = []string{"p3", "p2", "br0"}, []string{"p3", "p1", "br0"}
					learned, reason = "p1", bridge.NotDropped
				}
				before := l.ingress(1)
				assert.Equal(t, in, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 10)))
				assert.Equal(t, learned, l.where(mac(1), 10))
				if reason != bridge.NotDropped {
					assert.Equal(t, before.Dropped[reason]+1, l.ingress(1).Dropped[reason])
				}
				assert.Equal(t, out, l.out(2, dot1q(ether(frame.Broadcast, mac(2)), 10)))
				wantHost := []string{"p3", "p2"}
				if s == bridge.StateForwarding {
					wantHost = append(wantHost, "p1")
				}
				assert.Equal(t, wantHost, l.out(0, dot1q(ether(frame.Broadcast, mac(9)), 10)), "from the host")
				if ps == bridge.StateForwarding {
					assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 20)), "VLAN 20 is in instance 0")
				} else {
					assert.Empty(t, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 20)), "VLAN 20 is in instance 0")
				}

				require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(false)}))
				assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 10)), "without filtering no state counts")
				assert.Equal(t, "p1", l.where(mac(1), 0))
				balanced(t, l.b)
			})
		}
	}
}

// The PVID's frames, tagged or not, meet the state of its VLAN.
func TestMSTPathUntagged(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	l.mapTo(2, 1)
	assert.Empty(t, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Empty(t, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 1)))
	assert.Empty(t, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 0)))
	assert.Equal(t, "-", l.where(mac(1), 1))
	l.mst(1, 2, bridge.StateForwarding)
	l.mst(3, 2, bridge.StateForwarding)
	for _, f := range []frame.Frame{ether(frame.Broadcast, mac(1)), dot1q(ether(frame.Broadcast, mac(1)), 1), dot1q(ether(frame.Broadcast, mac(1)), 0)} {
		assert.Equal(t, []string{"p3", "br0"}, l.out(1, f))
	}
}

// A link-local frame that stays here teaches its source by the states of the port
// and of the VLAN, both (datapath.md 3, vlan.md 5).
func TestMSTLinkLocal(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	l.mapTo(1, 10)
	lldp := dot1q(ether(linkLocal(0xe), mac(1)), 10)
	l.in(1, lldp)
	assert.Equal(t, "-", l.where(mac(1), 10), "the VLAN is disabled")
	l.mst(1, 1, bridge.StateLearning)
	l.set(1, bridge.PortAttrs{State: new(bridge.StateListening)})
	l.in(1, lldp)
	assert.Equal(t, "-", l.where(mac(1), 10), "the port is listening")
	l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)})
	l.in(1, lldp)
	assert.Equal(t, "p1", l.where(mac(1), 10))
}

// Instance 0 follows the state of the port and its link, the others do not; what
// was learned in them goes when the link does (vlan.md 10).
func TestMSTFollowsThePort(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	l.mapTo(1, 10)
	l.mst(1, 1, bridge.StateForwarding)
	l.mst(2, 1, bridge.StateBlocking)
	f := dot1q(ether(frame.Broadcast, mac(1)), 10)
	l.in(1, f)
	l.mst(1, 1, bridge.StateBlocking)
	assert.Equal(t, "p1", l.where(mac(1), 10), "setting an instance's state flushes nothing")
	l.mst(1, 1, bridge.StateForwarding)
	for _, c := range []struct {
		name     string
		down, up func() error
	}{
		{"device", func() error { return l.p(1).SetLink(false, true) }, func() error { return l.p(1).SetLink(true, true) }},
		{"carrier", func() error { return l.p(1).SetLink(true, false) }, func() error { return l.p(1).SetLink(true, true) }},
		{"bridge", func() error { return l.b.SetUp(false) }, func() error { return l.b.SetUp(true) }},
	} {
		require.NoError(t, c.down(), c.name)
		assert.Equal(t, []string{"0 disabled", "1 forwarding"}, l.instances(1), c.name)
		assert.Equal(t, []string{"1 PVID untagged disabled", "10", "20 disabled"}, members(l.p(1).VLANs()), c.name)
		assert.Equal(t, "-", l.where(mac(1), 10), c.name)
		require.NoError(t, c.up(), c.name)
		assert.Equal(t, []string{"0 forwarding", "1 forwarding"}, l.instances(1), c.name)
		assert.Equal(t, []string{"0 forwarding", "1 blocking"}, l.instances(2), c.name)
		l.in(1, f)
		assert.Equal(t, "p1", l.where(mac(1), 10), c.name)
	}
	l.set(1, bridge.PortAttrs{State: new(bridge.StateBlocking)})
	assert.Equal(t, []string{"0 forwarding", "1 forwarding"}, l.instances(1), "without STP blocking becomes forwarding at once")
	l.set(1, bridge.PortAttrs{State: new(bridge.StateListening)})
	assert.Equal(t, []string{"0 listening", "1 forwarding"}, l.instances(1))
	for _, s := range []string{"0 learning", "0 forwarding"} {
		l.clock.add(l.b.Info().ForwardDelay + 10*time.Millisecond)
		l.b.Tick(l.clock.now())
		assert.Equal(t, []string{s, "1 forwarding"}, l.instances(1), "the forward delay timer")
	}
}

// A device without carrier sends nothing, though no state keeps the frames back.
func TestMSTNoCarrier(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	l.mapTo(1, 10)
	for n := range 3 {
		l.mst(n+1, 1, bridge.StateForwarding)
	}
	f := dot1q(ether(frame.Broadcast, mac(1)), 10)
	require.NoError(t, l.p(2).SetLink(true, false))
	assert.Equal(t, []string{"p3", "br0"}, l.out(1, f))
	assert.EqualValues(t, 1, l.p(2).Stats().Egress.Refused[bridge.DropPortDown])
	balanced(t, l.b)

	l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)})
	assert.Equal(t, []string{"p3", "p1"}, l.out(0, f), "p3 is forwarding: the bridge has a carrier")
	l.set(3, bridge.PortAttrs{State: new(bridge.StateListening)})
	require.False(t, l.b.Info().Carrier)
	before := l.b.Stats()
	assert.Empty(t, l.out(0, f), "no port is forwarding: the bridge's own device has no carrier")
	after := l.b.Stats()
	assert.Equal(t, before.TxPackets, after.TxPackets, "it never was sent")
	assert.Equal(t, before.Ingress.Dropped[bridge.DropHostDown]+1, after.Ingress.Dropped[bridge.DropHostDown])
	e := l.b.ExplainXmit(f)
	assert.Equal(t, bridge.DropHostDown, e.Reason)
	assert.NoError(t, e.Err)
	assert.Equal(t, []string{"p3", "br0"}, l.out(1, f), "frames of ports pass all the same")
	balanced(t, l.b)
}

// A VLAN that a port joins begins with the state of the port, in whatever instance
// it is; its mapping lives as long as it has members.
func TestMSTLateVLAN(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 30}))
	l.mapTo(5, 30)
	require.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 30}))
	assert.Equal(t, []string{"0 forwarding", "5 disabled"}, l.instances(1))
	assert.Equal(t, []string{"0 forwarding", "5 forwarding"}, l.instances(2))
	l.set(3, bridge.PortAttrs{State: new(bridge.StateListening)})
	require.NoError(t, l.p(3).VLANs().Add(bridge.VLAN{VID: 30, End: 31}))
	assert.Equal(t, []string{"1 PVID untagged listening", "10 listening", "20 listening", "30 listening", "31 listening"}, members(l.p(3).VLANs()))
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 30, PVID: true, Untagged: true}))
	assert.Equal(t, []string{"0 forwarding", "5 disabled"}, l.instances(1), "added again it keeps its state")

	for _, n := range []int{1, 2} {
		require.NoError(t, l.p(n).VLANs().Delete(30, 0))
	}
	require.NoError(t, l.b.RemovePort(l.p(3)))
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 30}))
	assert.Equal(t, []string{"0 forwarding"}, l.instances(1), "the last member took the mapping along")
	l.mapTo(5, 30)
	require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: 30}))
	require.NoError(t, l.p(1).VLANs().Delete(30, 0))
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 30}))
	assert.Equal(t, []string{"0 forwarding", "5 forwarding"}, l.instances(1), "the bridge's own device kept it")
}

// A port gets its VLANs before its link is looked at: those in another instance than
// 0 stay disabled.
func TestMSTJoin(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	l.mapTo(1, 1, 10)
	l.mst(1, 1, bridge.StateForwarding)
	require.NoError(t, l.b.RemovePort(l.p(2)))
	assert.Empty(t, l.p(2).MST())
	l.add(2, bridge.PortConfig{})
	assert.Equal(t, []string{"1 disabled"}, l.instances(2), "the default PVID")
	l.add(4, bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)})
	assert.Equal(t, []string{"0 forwarding", "1 disabled"}, l.instances(4))
	l.add(5, bridge.PortConfig{Down: true, VLANs: bridge.Trunk(0, 20)})
	assert.Equal(t, []string{"0 disabled"}, l.instances(5))
	require.NoError(t, l.p(5).SetLink(true, true))
	assert.Equal(t, []string{"0 forwarding"}, l.instances(5))

	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANDefaultPVID: new(frame.VID(20))}))
	assert.Equal(t, []string{"20 PVID untagged"}, members(l.p(2).VLANs()), "a new default PVID is in its own instance")
}

// MST is switched while no port has a VLAN; what takes the last ones away may come
// in the same request, before.
func TestMSTEnable(t *testing.T) {
	l := newLabN(t, bridge.Config{VLANFiltering: true}, 2)
	on := bridge.BridgeAttrs{MSTEnabled: new(true)}
	assert.Empty(t, l.p(1).MST(), "MST is off")
	for n := range 2 {
		assertRefused(t, l.b.Set(on), bridge.EBUSY, "br0")
		require.NoError(t, l.p(n+1).VLANs().Delete(1, 0))
	}
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{MSTEnabled: new(false)}))
	require.NoError(t, l.b.Set(on))
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 1, PVID: true, Untagged: true}))
	assertRefused(t, l.b.Set(on), bridge.EBUSY, "br0")
	assertRefused(t, l.b.Set(bridge.BridgeAttrs{MSTEnabled: new(false)}), bridge.EBUSY, "br0")

	both := bridge.BridgeAttrs{MSTEnabled: new(false), VLANStatsPerPort: new(true), VLANDefaultPVID: new(frame.VID(7))}
	before := snap(l.b)
	assertRefused(t, l.b.Set(both), bridge.EBUSY, "br0")
	assert.Equal(t, before, snap(l.b), "the new default PVID is taken back")
	both.VLANDefaultPVID = new(frame.VID(0))
	require.NoError(t, l.b.Set(both))
	assert.Empty(t, l.p(1).VLANs().All())
	assert.False(t, l.b.Info().MSTEnabled)
	assert.True(t, l.b.Info().VLANStatsPerPort)
}

// Without MST a VLAN can be mapped, and is disabled all the same; its state can then
// be set by itself.
func TestMSTMappingWithoutMST(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true})
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)})
	l.add(2, bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)})
	l.mapTo(1, 10)
	assert.Equal(t, []string{"1 PVID untagged", "10 disabled", "20"}, members(l.p(1).VLANs()))
	assert.Empty(t, l.p(1).MST())
	assertRefused(t, l.p(1).SetMST(1, bridge.StateForwarding), bridge.EBUSY, "p1")
	require.NoError(t, l.p(1).VLANs().SetState(10, 0, bridge.StateForwarding))
	l.set(2, bridge.PortAttrs{State: new(bridge.StateListening)})
	assert.Equal(t, []string{"1 PVID untagged", "10 disabled", "20"}, members(l.p(2).VLANs()), "VLANs do not follow the port")
	l.mapTo(1, 20)
	assert.Equal(t, []string{"1 PVID untagged", "10", "20"}, members(l.p(1).VLANs()))
	assert.Equal(t, []string{"1 PVID untagged", "10 disabled", "20 disabled"}, members(l.p(2).VLANs()))
	require.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 30}))
	assert.Equal(t, "30", members(l.p(2).VLANs())[3], "a new member is forwarding whatever the port's state")
}

// The port's own state still says whether an entry that ages may be added
// (vlan.md 10, fdb.md 6).
func TestMSTFDB(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	l.mapTo(1, 10)
	l.mst(1, 1, bridge.StateForwarding)
	add := func(n int) error {
		return l.b.FDB().Update(bridge.FDBRequest{Port: l.p(n), MAC: mac(5), VID: new(frame.VID(10)), State: bridge.NUDReachable, Mode: bridge.FDBReplace})
	}
	require.NoError(t, add(2), "the VLAN is disabled there")
	l.set(1, bridge.PortAttrs{State: new(bridge.StateDisabled)})
	assertRefused(t, add(1), bridge.EPERM, "p1")
	assert.Empty(t, l.out(1, dot1q(ether(mac(5), mac(1)), 10)), "p2 lets nothing out in VLAN 10")
	assert.EqualValues(t, 1, l.ingress(1).Dropped[bridge.DropVLANEgress])
}

// Refusals in the order in which Linux comes to them.
func TestRefusalMST(t *testing.T) {
	l := mstLab(t, bridge.Config{})
	gone := l.add(4, bridge.PortConfig{})
	require.NoError(t, l.b.RemovePort(gone))
	l.mapTo(1, 10)
	fwd := bridge.StateForwarding
	before := snap(l.b)
	for _, c := range []struct {
		name string
		p    *bridge.Port
		msti int
		s    bridge.PortState
		no   bridge.Errno
	}{
		{"instance 0", l.p(1), 0, fwd, bridge.ERANGE},
		{"instance -1", l.p(1), -1, fwd, bridge.ERANGE},
		{"instance 4096", l.p(1), 4096, fwd, bridge.ERANGE},
		{"instance 65537", l.p(1), 65537, fwd, bridge.ERANGE},
		{"state 5", l.p(1), 1, 5, bridge.ERANGE},
		{"port has left", gone, 1, fwd, bridge.EOPNOTSUPP},
		{"port has left, bad state", gone, 0, 5, bridge.EOPNOTSUPP},
	} {
		assertRefused(t, c.p.SetMST(c.msti, c.s), c.no, c.p.Name())
	}
	assertRefused(t, l.p(1).VLANs().SetState(10, 0, fwd), bridge.EBUSY, "p1")
	assertRefused(t, l.b.VLANs().SetState(10, 0, fwd), bridge.EBUSY, "br0")
	assertRefused(t, l.p(1).VLANs().SetState(99, 0, fwd), bridge.ENOENT, "p1")
	assertRefused(t, l.p(1).VLANs().SetState(10, 0, 5), bridge.EINVAL, "p1")
	assert.Equal(t, before, snap(l.b))
	l.mst(1, 999, fwd)
	assert.Equal(t, before, snap(l.b), "an instance that no VLAN is in has no state")

	off := newLabN(t, bridge.Config{}, 1)
	assertRefused(t, off.p(1).SetMST(0, 9), bridge.EBUSY, "p1")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(1)}))
	l.mst(1, 1, fwd)
	assert.Equal(t, []string{"0 forwarding", "1 forwarding"}, l.instances(1), "the spanning tree is for instance 0 only")
}
