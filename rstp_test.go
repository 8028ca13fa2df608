package bridge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// bpdu is the frame of a BPDU from a neighbour behind port n.
func bpdu(n int, p stp.BPDU) frame.Frame { return bpduFrame(mac(0xb0+n), p) }

// rst is what a bridge of a priority says by its port 1, as the root.
func rst(priority uint16, flags stp.Flags) stp.BPDU {
	id := stp.BridgeID{Priority: priority, Address: frame.MAC{2, 0, 0, 0, 0xee, 1}}
	return stp.BPDU{
		Version: 2, Type: stp.RST, Flags: flags, Root: id, Bridge: id, Port: 0x8001,
		MaxAge: 20 * 256, HelloTime: 2 * 256, ForwardDelay: 15 * 256,
	}
}

// bpdus gives the BPDUs among deliveries, by port.
func bpdus(ds []delivery) map[string][]stp.BPDU {
	all := map[string][]stp.BPDU{}
	for _, d := range ds {
		if p, ok := bpduOf(d.wire); ok {
			all[d.dev] = append(all[d.dev], p)
		}
	}
	return all
}

// rapidLab is a lab with RSTP and n ports.
func rapidLab(t testing.TB, n int) *lab {
	l := newLabN(t, bridge.Config{STPState: 1, STPMode: bridge.STPModeRapid}, n)
	l.log.take()
	return l
}

// wait has time go by, second by second.
func (l *lab) wait(seconds int) {
	for range seconds {
		l.clock.add(time.Second)
		l.b.Tick(l.clock.now())
	}
}

func (l *lab) role(n int) stp.Role {
	s, ok := l.p(n).RSTP()
	require.True(l.t, ok)
	return s.Role
}

func (l *lab) state(n int) bridge.PortState { return l.p(n).Info().State }

func TestRSTPMode(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	i := l.b.Info()
	assert.Equal(t, bridge.STPModeAuto, i.STPMode)
	assert.Equal(t, 6, i.TxHoldCount)
	assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{STPMode: new(bridge.STPModeRapid + 1)}), bridge.EINVAL)
	assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{TxHoldCount: new(0)}), bridge.ERANGE)
	assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{TxHoldCount: new(11)}), bridge.ERANGE)
	assert.ErrorIs(t, l.p(1).Set(bridge.PortAttrs{PathCost: new(uint32(200_000_001))}), bridge.ERANGE)
	assert.ErrorIs(t, l.p(1).Set(bridge.PortAttrs{PointToPoint: new(stp.PointToPointNo + 1)}), bridge.EINVAL)
	assert.ErrorIs(t, l.p(1).Mcheck(), bridge.EINVAL)
	_, ok := l.b.RSTP()
	assert.False(t, ok)
	_, ok = l.p(1).RSTP()
	assert.False(t, ok)

	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPMode: new(bridge.STPModeRapid), STPState: new(1)}))
	assert.Equal(t, 2, l.b.Info().STPState, "as with a daemon")
	assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{STPMode: new(bridge.STPModeKernel)}), bridge.EBUSY)
	assert.NoError(t, l.b.Set(bridge.BridgeAttrs{STPMode: new(bridge.STPModeRapid)}))
	assert.ErrorIs(t, l.p(1).Set(bridge.PortAttrs{State: new(bridge.StateForwarding)}), bridge.EBUSY)
	s, ok := l.b.RSTP()
	assert.True(t, ok)
	assert.Equal(t, l.b.Info().BridgeID, s.ID)
	assert.NoError(t, l.p(1).Mcheck())

	p := l.p(2)
	require.NoError(t, l.b.RemovePort(p))
	_, ok = p.RSTP()
	assert.False(t, ok)
	assert.ErrorIs(t, p.Mcheck(), bridge.EOPNOTSUPP)
	assert.Equal(t, []string{"auto", "user", "kernel", "rapid", "unknown"}, []string{
		bridge.STPModeAuto.String(), bridge.STPModeUser.String(), bridge.STPModeKernel.String(), bridge.STPModeRapid.String(), bridge.STPMode(4).String()})
}

// A bridge that has RSTP turned on stops forwarding until it is known to be safe: here
// because nobody is there.
func TestRSTPStart(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	l.set(3, bridge.PortAttrs{AdminEdge: new(true)})
	assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPMode: new(bridge.STPModeRapid), STPState: new(1)}))
	sent := bpdus(l.log.take())
	assert.Len(t, sent, 3)
	assert.Equal(t, stp.RoleDesignated|stp.Proposal, sent["p1"][0].Flags)
	assert.Equal(t, l.b.Info().BridgeID, sent["p1"][0].Root)
	assert.Equal(t, bridge.StateBlocking, l.state(1))
	assert.Equal(t, bridge.StateForwarding, l.state(3))
	assert.Empty(t, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Equal(t, []string{"br0"}, l.out(3, ether(frame.Broadcast, mac(1))))
	l.wait(4)
	l.log.take()
	assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	s, _ := l.p(1).RSTP()
	assert.True(t, s.OperEdge)
	// Turned off it forwards everywhere at once, what a guard has shut too.
	l.set(2, bridge.PortAttrs{Guard: new(true)})
	l.in(2, bpdu(2, rst(0x9000, stp.RoleDesignated)))
	assert.Equal(t, bridge.StateDisabled, l.state(2))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(0)}))
	l.log.take()
	assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Equal(t, 0, l.b.Info().STPState)
	_, ok := l.b.RSTP()
	assert.False(t, ok)
	assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, bpdu(1, rst(0, stp.RoleDesignated))), "a BPDU is a frame like any other")
	balanced(t, l.b)
}

// A better root proposes: the bridge agrees, once its other ports discard, and before
// what else it has to say.
func TestRSTPAgreement(t *testing.T) {
	l := rapidLab(t, 3)
	l.wait(4)
	l.set(2, bridge.PortAttrs{AutoEdge: new(false)})
	require.NoError(t, l.p(2).SetLink(true, false))
	require.NoError(t, l.p(2).SetLink(true, true))
	l.wait(30)
	require.Equal(t, bridge.StateForwarding, l.state(2))
	l.log.take()
	var events []bridge.Event
	stop := l.b.Watch(func(e bridge.Event) { events = append(events, e) })
	defer stop()
	sent := bpdus(l.in(1, bpdu(1, rst(0x1000, stp.RoleDesignated))))
	assert.Equal(t, stp.RoleRoot|stp.Agreement, sent["p1"][0].Flags&(stp.RoleMask|stp.Agreement), "nobody hears worse than before")
	assert.Equal(t, bridge.StateForwarding, l.state(2))
	l.wait(2)
	l.log.take()
	far := rst(0x1000, stp.RoleDesignated|stp.Proposal)
	far.Cost = 1000
	sent = bpdus(l.in(1, bpdu(1, far)))
	require.NotEmpty(t, sent["p1"])
	assert.Equal(t, stp.RoleRoot|stp.Agreement, sent["p1"][0].Flags&(stp.RoleMask|stp.Agreement))
	assert.Equal(t, stp.RoleDesignated|stp.Proposal, sent["p2"][0].Flags&(stp.RoleMask|stp.Proposal|stp.ForwardingFlag))
	assert.Zero(t, l.p(1).Stats().RxDropped, "the bridge takes BPDUs")
	assert.Equal(t, stp.RoleOfRoot, l.role(1))
	assert.Equal(t, []bridge.PortState{bridge.StateForwarding, bridge.StateBlocking, bridge.StateForwarding}, []bridge.PortState{l.state(1), l.state(2), l.state(3)})
	i := l.b.Info()
	assert.Equal(t, rst(0x1000, 0).Root, i.RootID)
	assert.Equal(t, 1, i.RootPort)
	assert.Equal(t, uint32(201_000), i.RootPathCost)
	p := l.p(1).Info()
	assert.Equal(t, rst(0x1000, 0).Root, p.DesignatedBridge)
	assert.Equal(t, uint16(0x8001), p.DesignatedPort)
	assert.Equal(t, i.BridgeID, l.p(2).Info().DesignatedBridge)
	assert.Contains(t, events, bridge.Event{Kind: bridge.EventPortRole, Port: "p1", Role: stp.RoleOfRoot})
	assert.Contains(t, events, bridge.Event{Kind: bridge.EventTopologyChange, Port: "p1", Role: stp.RoleOfDesignated})
	assert.Contains(t, events, bridge.Event{Kind: bridge.EventPortState, Port: "p2", State: bridge.StateBlocking})
	assert.Equal(t, "port role p1 root", bridge.Event{Kind: bridge.EventPortRole, Port: "p1", Role: stp.RoleOfRoot}.String())

	// Who hears the other way to the root by p2 keeps it as an alternate.
	l.in(2, bpdu(2, rst(0x1000, stp.RoleDesignated)))
	l.set(2, bridge.PortAttrs{PathCost: new(uint32(300_000))})
	assert.Equal(t, stp.RoleOfAlternate, l.role(2))
	require.NoError(t, l.p(1).SetLink(true, false))
	assert.Equal(t, stp.RoleOfRoot, l.role(2))
	assert.Equal(t, bridge.StateForwarding, l.state(2), "at once")
	assert.Equal(t, stp.RoleOfDisabled, l.role(1))
	// Silence.
	l.wait(7)
	assert.Equal(t, stp.RoleOfDesignated, l.role(2))
	assert.Equal(t, i.BridgeID, l.b.Info().RootID)
	balanced(t, l.b)
}

// Explain of a BPDU does nothing.
func TestRSTPExplain(t *testing.T) {
	l := rapidLab(t, 2)
	l.wait(10)
	l.log.take()
	before, _ := l.b.RSTP()
	e := l.p(1).Explain(bpdu(1, rst(0x1000, stp.RoleDesignated|stp.Proposal)))
	assert.Empty(t, e.Out)
	after, _ := l.b.RSTP()
	assert.Equal(t, before, after)
	s, _ := l.p(1).RSTP()
	assert.Zero(t, s.Stats.RxRST)
	assert.Empty(t, l.log.take())
}

func TestRSTPGuards(t *testing.T) {
	l := rapidLab(t, 2)
	l.wait(4)
	var kinds []bridge.EventKind
	stop := l.b.Watch(func(e bridge.Event) {
		switch e.Kind {
		case bridge.EventBPDUGuard, bridge.EventRootBlocked, bridge.EventRootUnblocked, bridge.EventLoopGuard, bridge.EventLoopGuardEnd:
			kinds = append(kinds, e.Kind)
		}
	})
	defer stop()
	l.set(1, bridge.PortAttrs{Guard: new(true)})
	l.in(1, bpdu(1, rst(0x9000, stp.RoleDesignated)))
	assert.Equal(t, bridge.StateDisabled, l.state(1))
	l.wait(60)
	l.set(1, bridge.PortAttrs{Guard: new(false)})
	assert.Equal(t, bridge.StateDisabled, l.state(1), "until its link has gone")
	require.NoError(t, l.p(1).SetLink(true, false))
	require.NoError(t, l.p(1).SetLink(true, true))
	assert.Equal(t, bridge.StateBlocking, l.state(1))
	l.wait(4)
	assert.Equal(t, bridge.StateForwarding, l.state(1))

	l.set(1, bridge.PortAttrs{RootBlock: new(true)})
	l.in(1, bpdu(1, rst(0x1000, stp.RoleDesignated)))
	assert.Equal(t, bridge.StateBlocking, l.state(1))
	assert.Equal(t, stp.RoleOfAlternate, l.role(1))
	assert.Zero(t, l.b.Info().RootPort)
	l.wait(30)
	assert.Equal(t, bridge.StateForwarding, l.state(1))

	l.set(1, bridge.PortAttrs{RootBlock: new(false), LoopGuard: new(true)})
	l.in(1, bpdu(1, rst(0x1000, stp.RoleDesignated)))
	assert.Equal(t, bridge.StateForwarding, l.state(1))
	l.wait(30)
	assert.Equal(t, bridge.StateBlocking, l.state(1))
	l.in(1, bpdu(1, rst(0x1000, stp.RoleDesignated)))
	assert.Equal(t, stp.RoleOfRoot, l.role(1))
	assert.Equal(t, []bridge.EventKind{
		bridge.EventBPDUGuard, bridge.EventRootBlocked, bridge.EventRootUnblocked, bridge.EventLoopGuard, bridge.EventLoopGuardEnd,
	}, kinds)

	l.log.take()
	l.set(2, bridge.PortAttrs{BPDUFilter: new(true)})
	l.in(2, bpdu(2, rst(0, stp.RoleDesignated)))
	l.wait(10)
	assert.Empty(t, bpdus(l.log.take())["p2"])
	assert.Equal(t, stp.RoleOfDesignated, l.role(2))
	balanced(t, l.b)
}

// A topology change that is heard of empties the other ports.
func TestRSTPFlush(t *testing.T) {
	l := rapidLab(t, 3)
	l.set(2, bridge.PortAttrs{AutoEdge: new(false)})
	for range 30 {
		l.in(1, bpdu(1, rst(0x1000, stp.RoleDesignated)))
		l.wait(2)
	}
	for n := 1; n <= 3; n++ {
		require.Equal(t, bridge.StateForwarding, l.state(n))
		l.learn(n, mac(n))
	}
	l.in(1, bpdu(1, rst(0x1000, stp.RoleDesignated|stp.TopologyChange)))
	assert.Equal(t, "p1", l.where(mac(1), 0))
	assert.Equal(t, "-", l.where(mac(2), 0))
	assert.Equal(t, "p3", l.where(mac(3), 0), "an edge")
}

// What is set before is in force when it starts, and what is changed is followed.
func TestRSTPSettings(t *testing.T) {
	l := newLabN(t, bridge.Config{STPMode: bridge.STPModeRapid}, 1)
	l.add(2, bridge.PortConfig{Attrs: bridge.PortAttrs{
		PathCost: new(uint32(7)), AdminEdge: new(true), AutoEdge: new(false), PointToPoint: new(stp.PointToPointNo),
		RestrictedTCN: new(true), BPDUFilter: new(true), LoopGuard: new(true),
	}})
	i := l.p(2).Info()
	assert.Equal(t, []any{uint32(7), true, false, stp.PointToPointNo, true, true, true},
		[]any{i.PathCost, i.AdminEdge, i.AutoEdge, i.PointToPoint, i.RestrictedTCN, i.BPDUFilter, i.LoopGuard})
	assert.True(t, l.p(1).Info().AutoEdge)
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{
		STPState: new(1), Priority: new(uint16(0x4000)), MaxAge: new(10 * time.Second), HelloTime: new(time.Second),
		ForwardDelay: new(7 * time.Second), TxHoldCount: new(3),
	}))
	s, _ := l.p(2).RSTP()
	assert.Equal(t, []any{uint32(7), true, false, bridge.StateForwarding}, []any{s.Cost, s.OperEdge, s.OperPointToPoint, s.State})
	b := bpdus(l.log.take())["p1"][0]
	assert.Equal(t, stp.BPDU{
		Version: 2, Type: stp.RST, Flags: stp.RoleDesignated | stp.Proposal, Root: l.b.Info().BridgeID, Bridge: l.b.Info().BridgeID,
		Port: 0x8001, MaxAge: 10 * 256, HelloTime: 256, ForwardDelay: 7 * 256,
	}, b)
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{Priority: new(uint16(0x5000))}))
	require.NoError(t, l.b.SetAddress(mac(77)))
	l.set(1, bridge.PortAttrs{Priority: new(1)})
	l.log.take()
	l.wait(3)
	got := bpdus(l.log.take())["p1"]
	last := got[len(got)-1]
	assert.Equal(t, bridge.BridgeID{Priority: 0x5000, Address: mac(77)}, last.Root)
	assert.Equal(t, stp.PortID(1<<10|1), last.Port)
	// The bridge goes down and up: its ports are disabled meanwhile, and silent.
	require.NoError(t, l.b.SetUp(false))
	assert.Equal(t, bridge.StateDisabled, l.state(1))
	l.log.take()
	l.wait(10)
	assert.Empty(t, l.log.take())
	require.NoError(t, l.b.SetUp(true))
	assert.Equal(t, bridge.StateBlocking, l.state(1))
	assert.Equal(t, bridge.StateForwarding, l.state(2))
	l.wait(4)
	assert.Equal(t, bridge.StateForwarding, l.state(1))
}

// The cost by a port follows the speed of its link, on the standard's scale.
func TestRSTPSpeed(t *testing.T) {
	l := rapidLab(t, 1)
	cost := func() uint32 {
		s, ok := l.p(1).RSTP()
		require.True(t, ok)
		return s.Cost
	}
	assert.Equal(t, uint32(200_000), cost())
	require.NoError(t, l.p(1).SetSpeed(1000))
	assert.Equal(t, uint32(20_000), cost())
	l.set(1, bridge.PortAttrs{Cost: new(7)})
	assert.Equal(t, uint32(20_000), cost(), "the kernel's")
	l.set(1, bridge.PortAttrs{PathCost: new(uint32(7))})
	assert.Equal(t, uint32(7), cost())
}
