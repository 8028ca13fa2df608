package bridge_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// A meshWire is one end of a cable between two bridges of a mesh.
type meshWire struct {
	m    *mesh
	peer *meshWire
	port *bridge.Port
	cut  bool
}

func (w *meshWire) ReadFrames([]frame.Frame) (int, error) { return 0, net.ErrClosed }
func (w *meshWire) Close() error                          { return nil }

func (w *meshWire) WriteFrames(fs []frame.Frame) (int, error) {
	for i := range fs {
		if !w.cut {
			w.m.due = append(w.m.due, meshFrame{w.peer, fs[i].AppendWire(nil)})
		}
	}
	return len(fs), nil
}

type meshFrame struct {
	to   *meshWire
	wire []byte
}

// A mesh is bridges in virtual time, cables between them, and a host at each.
type mesh struct {
	t     *testing.T
	clock *fakeClock
	bs    []*bridge.Bridge
	hosts []*bridge.Port
	log   *tape
	due   []meshFrame
	moved int // frames that crossed a cable
}

func newMesh(t *testing.T, n int) *mesh {
	m := &mesh{t: t, clock: newClock(), log: new(tape)}
	for i := range n {
		b, err := bridge.New(bridge.Config{Clock: m.clock.now, Address: frame.MAC{2, 0, 0, 0, 0xb0, byte(i)}, STPState: 1, Seed: 1})
		require.NoError(t, err)
		t.Cleanup(func() { _ = b.Close() })
		h, err := b.AddPort("host", newRecorder(string(rune('a'+i)), m.log), bridge.PortConfig{})
		require.NoError(t, err)
		m.bs, m.hosts = append(m.bs, b), append(m.hosts, h)
	}
	return m
}

func (m *mesh) join(name string, a, b int) (x, y *meshWire) {
	x, y = &meshWire{m: m}, &meshWire{m: m}
	x.peer, y.peer = y, x
	var err error
	x.port, err = m.bs[a].AddPort(name, x, bridge.PortConfig{})
	require.NoError(m.t, err)
	y.port, err = m.bs[b].AddPort(name, y, bridge.PortConfig{})
	require.NoError(m.t, err)
	return x, y
}

// settle carries what is on the cables.
func (m *mesh) settle() {
	for n := 0; len(m.due) > 0; n++ {
		require.Less(m.t, n, 10_000, "a storm")
		f := m.due[0]
		m.due = m.due[1:]
		m.moved++
		_ = f.to.port.Receive(frame.Frame{Data: f.wire})
	}
}

func (m *mesh) later(d time.Duration) {
	end := m.clock.now().Add(d)
	for {
		next := end
		for _, b := range m.bs {
			if at, ok := b.NextTimer(); ok && at.Before(next) {
				next = at
			}
		}
		m.clock.add(max(next.Sub(m.clock.now()), 0))
		for _, b := range m.bs {
			b.Tick(m.clock.now())
			m.settle()
		}
		if !next.Before(end) {
			return
		}
	}
}

// reaches says where a broadcast of a host's arrives, a letter for each copy.
func (m *mesh) reaches(from int) (who string) {
	m.settle()
	m.log.take()
	require.NoError(m.t, m.hosts[from].Receive(ether(frame.Broadcast, mac(from+1))))
	m.settle()
	for _, d := range m.log.take() {
		if !isBPDU(d.wire) {
			who += d.dev
		}
	}
	return who
}

func state(w *meshWire) bridge.PortState { return w.port.Info().State }

// Two bridges with two cables between them: one cable is blocked, and takes over when the
// other is cut, with a carrier that goes or without.
func TestSpanningLoop(t *testing.T) {
	m := newMesh(t, 2)
	x1, y1 := m.join("one", 0, 1)
	x2, y2 := m.join("two", 0, 1)
	m.later(29 * time.Second)
	assert.Equal(t, "", m.reaches(0), "nobody forwards before twice the forward delay has passed")
	m.later(5 * time.Second)
	forwarding, blocking := bridge.StateForwarding, bridge.StateBlocking
	assert.Equal(t, []bridge.PortState{forwarding, forwarding, forwarding, blocking},
		[]bridge.PortState{state(x1), state(x2), state(y1), state(y2)})
	assert.Equal(t, "b", m.reaches(0))
	assert.Equal(t, "a", m.reaches(1))
	i := m.bs[1].Info()
	assert.Equal(t, m.bs[0].Info().BridgeID, i.RootID)
	assert.Equal(t, []any{y1.port.Info().No, uint32(100)}, []any{i.RootPort, i.RootPathCost})

	require.NoError(t, x1.port.SetLink(true, false))
	require.NoError(t, y1.port.SetLink(true, false))
	assert.Equal(t, "", m.reaches(0))
	m.later(31 * time.Second)
	assert.Equal(t, "b", m.reaches(0), "healed")
	assert.Equal(t, "a", m.reaches(1))
	require.NoError(t, x1.port.SetLink(true, true))
	require.NoError(t, y1.port.SetLink(true, true))
	m.later(60 * time.Second)
	assert.Equal(t, "b", m.reaches(0))
	assert.Equal(t, blocking, state(y2), "the lower port number leads to the root")

	x1.cut, y1.cut = true, true // and nobody sees it
	m.later(19 * time.Second)
	assert.Equal(t, "", m.reaches(0))
	m.later(35 * time.Second)
	assert.Equal(t, "b", m.reaches(0))
	m.later(100 * time.Second)
	m.moved = 0
	m.later(100 * time.Second)
	assert.InDelta(t, 50, m.moved, 1, "a hello every 2 s: the bridge that is not root says nothing where it does not serve")
}

// Three in a ring: the cable furthest from the root is cut in two.
func TestSpanningRing(t *testing.T) {
	m := newMesh(t, 3)
	m.join("ab", 0, 1)
	ca, _ := m.join("ca", 2, 0)
	bc, cb := m.join("bc", 1, 2)
	m.later(60 * time.Second)
	assert.Equal(t, bridge.StateForwarding, state(bc))
	assert.Equal(t, bridge.StateBlocking, state(cb))
	for i, want := range []string{"bc", "ac", "ab"} {
		assert.ElementsMatch(t, []rune(want), []rune(m.reaches(i)))
	}
	assert.Positive(t, bc.port.Stats().STP.TxConfig)
	require.NoError(t, ca.port.SetLink(false, true))
	m.later(60 * time.Second)
	for i, want := range []string{"bc", "ac", "ab"} {
		assert.ElementsMatch(t, []rune(want), []rune(m.reaches(i)))
	}
	s := cb.port.Stats()
	assert.Positive(t, s.STP.TxTCN, "the root was told")
	assert.Zero(t, s.Egress.Balance())
	assert.Zero(t, s.Ingress.Balance())
	assert.False(t, m.bs[2].Info().TopologyChangeDetected, "and knows")
}

// rootBPDU is what a better root says.
func rootBPDU() stp.BPDU {
	id := stp.BridgeID{Priority: 0x1000, Address: mac(77)}
	return stp.BPDU{Type: stp.Config, Root: id, Bridge: id, Port: 0x8001, MaxAge: 20 * 256, HelloTime: 2 * 256, ForwardDelay: 15 * 256}
}

func TestBPDUIn(t *testing.T) {
	good := bpduFrame(mac(77), rootBPDU())
	padded := frame.Frame{Data: append(good.Clone().Data, make([]byte, 8)...)}
	long := good.Clone()
	long.Data[13]++
	other := good.Clone()
	other.Data[16] = 0x13
	raw := other.Clone()
	raw.Data[14], raw.Data[15] = 0xff, 0xff
	for name, c := range map[string]struct {
		f    frame.Frame
		took bool
	}{
		"raw 802.3":            {raw, false},
		"as it is":             {good, true},
		"padded":               {padded, true},
		"longer than its data": {long, false},
		"another LLC":          {other, false},
		"no length":            {ether(linkLocal(0), mac(77)), false},
		"short":                {frame.Frame{Data: good.Data[:16]}, false},
		"empty":                {frame.Frame{Data: good.Data[:14]}, false},
		"in VLAN 0":            {dot1q(good, 0), true},
		"in VLAN 1":            {dot1q(good, 1), false},
		"another address":      {llcFrame(linkLocal(0xe), mac(77), good.Data[17:]), false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 2)
			l.stp()
			before := l.b.Info()
			e := l.p(1).Explain(c.f)
			assert.Equal(t, bridge.Passed, e.Verdict)
			assert.Equal(t, before, l.b.Info(), "Explain has no effect")
			assert.Equal(t, map[bool]int{true: 1}[c.took], len(l.in(1, c.f)), "the root's word goes on by the other port")
			s := l.p(1).Stats()
			assert.EqualValues(t, 1, s.Ingress.Passed)
			if i := l.b.Info(); c.took {
				assert.Equal(t, rootBPDU().Root, i.RootID)
				assert.Zero(t, s.RxDropped, "somebody took it")
				assert.EqualValues(t, 1, s.STP.RxConfig)
			} else {
				before.FDBLearned = 1
				assert.Equal(t, before, i)
				unwanted := name == "no length" || name == "raw 802.3"
				assert.Equal(t, unwanted, s.RxDropped == 1, "LLC takes all others, and drops them")
			}
			assert.Equal(t, "p1", l.where(mac(77), 0), "and learned")
			balanced(t, l.b)
		})
	}
}

// The frame that is made because of a BPDU leaves in the batch of that, behind what came
// before it and in front of what comes after; and that batch is forwarded as the BPDU
// says.
func TestBPDUOrder(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	l.stp()
	data := func(n int) frame.Frame { return ether(frame.Broadcast, mac(n)) }
	var kinds string
	for _, d := range l.in(1, data(1), bpduFrame(mac(77), rootBPDU()), data(2)) {
		kinds += d.dev + map[bool]string{true: " bpdu ", false: " data "}[isBPDU(d.wire)]
	}
	assert.Equal(t, "p2 data p2 bpdu p2 data br0 data br0 data ", kinds)
	l.set(2, bridge.PortAttrs{Guard: new(true)})
	assert.Equal(t, []string{"p1", "br0"}, l.out(2, data(3), bpduFrame(mac(77), rootBPDU()), data(4)), "the second frame finds a port that is disabled")
	balanced(t, l.b)
}

func TestBPDUOut(t *testing.T) {
	l := newLab(t, bridge.Config{STPState: 1, GroupAddress: linkLocal(8)})
	for i := range 2 {
		l.add(i+1, bridge.PortConfig{Priority: new(i)})
	}
	l.later(2 * time.Second)
	var seen []bridge.Hook
	require.NoError(t, l.b.SetFilters(bridge.Filter{Name: "all", Hooks: bridge.Hooks(
		bridge.HookPreRouting, bridge.HookForward, bridge.HookLocalOut, bridge.HookPostRouting, bridge.HookLocalIn,
	), Judge: func(s *bridge.Passage) bridge.Ruling {
		seen = append(seen, s.Hook)
		if s.Out.Name() == "p1" {
			return bridge.FilterDrop.Because("a test")
		}
		return bridge.Ruling{}
	}}))
	out := l.laterOut(time.Second)
	require.Len(t, out, 1)
	p, ok := bpduOf(out[0].wire)
	require.True(t, ok)
	assert.Equal(t, stp.PortID(1<<10|2), p.Port)
	assert.Equal(t, linkLocal(8), frame.MAC(out[0].wire[:6]))
	assert.Equal(t, l.p(2).Info().Address, frame.MAC(out[0].wire[6:12]))
	assert.Len(t, out[0].wire, 52, "not padded")
	assert.Equal(t, []bridge.Hook{bridge.HookLocalOut, bridge.HookLocalOut}, seen)
	assert.EqualValues(t, 1, l.p(1).Stats().Egress.Refused[bridge.DropFilter])
	balanced(t, l.b)
}

func TestBPDUGuard(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	l.stp()
	l.learn(1, mac(5))
	l.set(1, bridge.PortAttrs{Guard: new(true)})
	take := l.watch()
	l.in(1, bpduFrame(mac(77), rootBPDU()))
	assert.Contains(t, take(), "bpdu guard p1")
	assert.Equal(t, bridge.StateDisabled, l.p(1).Info().State)
	assert.Equal(t, "-", l.where(mac(5), 0), "what was learned there is forgotten")
	require.NoError(t, l.p(1).SetLink(true, false))
	require.NoError(t, l.p(1).SetLink(true, true))
	assert.Equal(t, bridge.StateListening, l.p(1).Info().State)

	l.set(2, bridge.PortAttrs{RootBlock: new(true)})
	take()
	l.in(2, bpduFrame(mac(77), rootBPDU()))
	assert.Contains(t, take(), "root blocked p2")
	assert.Equal(t, l.b.Info().BridgeID, l.b.Info().RootID)
}

// With stp_mode user the states are somebody else's, who gets the BPDUs.
func TestSTPModeUser(t *testing.T) {
	l := newLab(t, bridge.Config{STPState: 1, STPMode: bridge.STPModeUser})
	var heard int
	l.add(1, bridge.PortConfig{OnPass: func(*bridge.Port, frame.Frame) { heard++ }})
	l.add(2, bridge.PortConfig{})
	assert.Equal(t, 2, l.b.Info().STPState)
	assert.Equal(t, bridge.StateBlocking, l.p(1).Info().State)
	l.later(60 * time.Second)
	assert.Equal(t, bridge.StateBlocking, l.p(1).Info().State)
	l.set(1, bridge.PortAttrs{State: new(bridge.StateForwarding)})
	l.set(2, bridge.PortAttrs{State: new(bridge.StateLearning)})
	assert.Empty(t, l.out(1, bpduFrame(mac(77), rootBPDU())))
	assert.Equal(t, 1, heard)
	assert.Equal(t, l.b.Info().BridgeID, l.b.Info().RootID)
	for _, m := range []bridge.STPMode{bridge.STPModeAuto, bridge.STPModeKernel} {
		assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{STPMode: &m}), bridge.EBUSY)
	}
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPMode: new(bridge.STPModeUser)}), "which it is")
	assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{STPMode: new(bridge.STPModeRapid + 1)}), bridge.EINVAL)
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(0)}))
	assert.Equal(t, bridge.StateLearning, l.p(2).Info().State, "nobody chooses states when it ends")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(1), STPMode: new(bridge.STPModeKernel)}))
	assert.Equal(t, 1, l.b.Info().STPState)
	assert.Equal(t, []string{"p2"}, l.out(1, bpduFrame(mac(77), rootBPDU())), "now it is the bridge that listens")
}

func TestPathCost(t *testing.T) {
	l := newLab(t, bridge.Config{})
	p := l.add(1, bridge.PortConfig{Speed: 1000})
	cost := func() int { return p.Info().Cost }
	assert.Equal(t, 5, cost())
	for mbps, want := range map[int]int{0: 100, 10: 100, 100: 19, 1000: 5, 2500: 4, 5000: 3, 10_000: 2, 40_000: 1, 200: 100} {
		require.NoError(t, p.SetSpeed(mbps))
		assert.Equal(t, want, cost(), mbps)
	}
	assert.ErrorIs(t, p.SetSpeed(-1), bridge.EINVAL)
	require.NoError(t, p.SetSpeed(1000))
	require.NoError(t, p.SetLink(false, true))
	require.NoError(t, p.SetSpeed(100))
	assert.Equal(t, 5, cost(), "a device that is down has no speed")
	require.NoError(t, p.SetLink(true, true))
	require.NoError(t, p.SetSpeed(100))
	assert.Equal(t, 19, cost())
	l.set(1, bridge.PortAttrs{Cost: new(7)})
	require.NoError(t, p.SetSpeed(10))
	assert.Equal(t, 7, cost(), "somebody said so")
	_, err := l.b.AddPort("p2", newRecorder("p2", l.log), bridge.PortConfig{Speed: -1})
	assert.ErrorIs(t, err, bridge.EINVAL)
}

// A spanning tree costs data no memory, and no BPDU is missed among it.
func TestSpanningAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	b, ports := benchBridge(t, 1000, bridge.Config{}, bridge.PortConfig{})
	require.NoError(t, b.Set(bridge.BridgeAttrs{STPState: new(1)}))
	fs := make([]frame.Frame, 64)
	for i := range fs {
		fs[i] = benchFrame(benchMAC(i*benchPorts+1), benchMAC(i*benchPorts))
	}
	in := ports[0].Input()
	require.NoError(t, in.Receive(append(fs[:63:63], bpduFrame(mac(77), rootBPDU()))))
	require.Equal(t, ports[0].Info().No, b.Info().RootPort)
	before := ports[1].Stats().TxPackets
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = in.Receive(fs) }))
	assert.Greater(t, ports[1].Stats().TxPackets, before)
}

// A BPDU that says nothing new needs no memory for each port.
func TestBPDUAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, mode := range []bridge.STPMode{bridge.STPModeKernel, bridge.STPModeRapid} {
		b, ports := benchBridge(t, 10, bridge.Config{STPState: 1, STPMode: mode}, bridge.PortConfig{})
		for i := range 60 {
			_, err := b.AddPort(fmt.Sprint("more", i), newRecorder("", new(tape)), bridge.PortConfig{})
			require.NoError(t, err)
		}
		in, fs := ports[0].Input(), []frame.Frame{bpduFrame(mac(77), rootBPDU())}
		require.NoError(t, in.Receive(fs))
		require.Equal(t, ports[0].Info().No, b.Info().RootPort)
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = in.Receive(fs) }), 10.0, mode)
	}
}

// What is refused has told the spanning tree nothing.
func TestSpanningRefused(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	l.stp()
	l.take(2 * time.Second)
	before := l.b.Info()
	assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{Priority: new(uint16(0)), HelloTime: new(time.Second), MSTEnabled: new(true)}), bridge.EBUSY)
	_, err := l.b.AddPort("p3", newRecorder("p3", l.log), bridge.PortConfig{Attrs: bridge.PortAttrs{McastRouter: new(9)}})
	assert.ErrorIs(t, err, bridge.EINVAL)
	assert.Equal(t, before, l.b.Info())
	assert.Empty(t, l.log.take())
	l.add(3, bridge.PortConfig{})
	assert.Equal(t, bridge.StateListening, l.p(3).Info().State)
	assert.Equal(t, 3, l.p(3).Info().No)
}

// take lets time pass and forgets what left.
func (l *lab) take(d time.Duration) { l.laterOut(d) }

// BPDUs come in by several ports while settings, links and ports change: nothing hangs,
// and in the end the states are those of the tree.
func TestSpanningUnderTraffic(t *testing.T) {
	l := newLabN(t, bridge.Config{Clock: time.Now}, 4)
	l.stp()
	l.forget()
	stop := l.traffic(2)
	done := make(chan struct{})
	go func() { // ends by itself
		defer close(done)
		p := rootBPDU()
		for i := range 300 {
			p.Root.Address[5], p.Cost = 0x80|byte(i), uint32(i%7) // worse than that of the end
			for n := 3; n <= 4; n++ {
				p.Port = stp.PortID(n)
				_ = l.p(n).Receive(bpduFrame(mac(77), p))
			}
			l.b.Tick(time.Now())
		}
	}()
	for i := range 100 {
		require.NoError(t, l.b.Set(bridge.BridgeAttrs{Priority: new(uint16(i << 8)), STPState: new(1)}))
		require.NoError(t, l.p(1+i%2).SetLink(true, i%4 > 1))
		l.set(3, bridge.PortAttrs{Cost: new(1 + i)})
		_ = l.b.Info()
		_ = l.p(3).Info()
	}
	<-done
	stop()
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{Priority: new(uint16(0xffff))}))
	for n := 3; n <= 4; n++ {
		require.NoError(t, l.p(n).Receive(bpduFrame(mac(77), rootBPDU())))
	}
	i := l.b.Info()
	assert.Equal(t, rootBPDU().Root, i.RootID)
	for n := 3; n <= 4; n++ {
		p := l.p(n).Info()
		assert.Equal(t, p.No == i.RootPort, p.State != bridge.StateBlocking, "%v", p.State)
	}
	balanced(t, l.b)
}
