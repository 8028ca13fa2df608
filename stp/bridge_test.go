package stp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

const sec = time.Second

func TestBridgeBringsUp(t *testing.T) {
	l := newBridgeLab(t, Kernel, 2)
	assert.Equal(t, "li li ", l.states())
	assert.Equal(t, 15*sec, l.port(1).ForwardDelayTimer)
	assert.Empty(t, l.to(2*sec), "the first BPDU comes at the first hello")
	assert.Equal(t, []string{"2 sends config", "1 sends config"}, l.to(2*sec+tick))
	assert.Len(t, l.to(15*sec), 2*6)
	assert.Equal(t, "li li ", l.states())
	l.to(15*sec + tick)
	assert.Equal(t, "le le ", l.states())
	l.to(30 * sec)
	assert.Equal(t, "le le ", l.states())
	assert.False(t, l.b.Status(l.now).TopologyChange)
	log := l.to(30*sec + 3*tick)
	assert.Equal(t, "fo fo ", l.states())
	assert.Contains(t, log, "changing true")
	s := l.b.Status(l.now)
	assert.True(t, s.TopologyChange && s.TopologyChangeDetected)
	assert.InDelta(t, 35*sec, s.TopologyChangeTimer, float64(2*tick), "forward delay and max age")
	l.to(32*sec + tick)
	require.NotEmpty(t, l.out)
	assert.Equal(t, TopologyChange, l.out[0].Flags)
	assert.Contains(t, l.to(66*sec), "changing false")
	assert.False(t, l.b.Status(l.now).TopologyChangeDetected)
	p := l.port(1)
	assert.Equal(t, uint64(1), p.Stats.ToForwarding)
	assert.Equal(t, uint64(1), p.Stats.ToBlocking, "in which a port begins")
	assert.Equal(t, uint64(32), p.Stats.TxConfig)
}

func TestBridgeSends(t *testing.T) {
	l := newBridgeLab(t, Kernel, 1)
	l.b.SetForwardDelay(2300 * time.Millisecond)
	l.to(2*sec + tick)
	want := BPDU{Type: Config, Root: self, Bridge: self, Port: 0x8001, MaxAge: 20 * 256, HelloTime: 2 * 256, ForwardDelay: 588}
	assert.Equal(t, []BPDU{want}, l.out, "times are rounded down")
}

// Without a tree, and with somebody else's.
func TestBridgeModes(t *testing.T) {
	l := newBridgeLab(t, Off, 2)
	assert.Equal(t, "fo fo ", l.states())
	assert.Equal(t, 15*sec, l.port(1).ForwardDelayTimer, "which means nothing")
	l.b.SetState(l.now, 1, Blocking)
	assert.Equal(t, "fo fo ", l.states(), "undone at once")
	l.b.SetState(l.now, 1, Listening)
	assert.Equal(t, "li fo ", l.states())
	assert.Equal(t, []string{"1 learning"}, l.to(15*sec+tick), "the timer that ran takes it onwards")
	assert.Equal(t, []string{"1 forwarding"}, l.to(40*sec), "and again")
	l.b.SetState(l.now, 1, Disabled)
	l.hear(1, config(better, 0, better, 0x8001))
	l.root(t, self, 0, 0)
	assert.Zero(t, l.port(1).Stats)

	l.b.SetMode(l.now, Kernel)
	assert.Equal(t, "di fo ", l.states(), "ports that forward go on to")
	l.b.SetMode(l.now, User)
	assert.Equal(t, Kernel, l.b.Status(l.now).Mode, "it has to be turned off first")
	l.b.SetMode(l.now, Off)
	assert.NotZero(t, l.b.Status(l.now).HelloTimer, "which sends nothing any more")
	assert.Empty(t, l.later(10*sec))

	l = newBridgeLab(t, User, 2)
	assert.Equal(t, "bl bl ", l.states())
	l.b.SetState(l.now, 1, Forwarding)
	assert.Equal(t, "fo bl ", l.states())
	l.hear(1, config(better, 0, better, 0x8001))
	l.root(t, self, 0, 0)
	assert.Empty(t, l.later(100*sec))
	l.b.SetMode(l.now, Off)
	assert.Equal(t, "fo bl ", l.states(), "nobody chooses states when it ends")
}

func TestBridgeForwardDelayIsHeld(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{0: 2 * sec, 100 * sec: 30 * sec, 7 * sec: 7 * sec} {
		l := newBridgeLab(t, Off, 0)
		l.b.SetForwardDelay(d)
		assert.Equal(t, d, l.b.Status(0).Times.ForwardDelay)
		l.b.SetMode(0, Kernel)
		assert.Equal(t, want, l.b.Status(0).Times.ForwardDelay)
	}
	l := newBridgeLab(t, Off, 1)
	l.b.SetForwardDelay(0)
	l.b.DisablePort(0, 1)
	l.b.EnablePort(0, 1)
	assert.Zero(t, l.port(1).ForwardDelayTimer)
}

// A6: what is better than what, one difference at a time.
func TestBridgeSupersedes(t *testing.T) {
	have := config(bid(0x2000, 5), 50, bid(0x3000, 5), 0x8005)
	change := func(fn func(p *BPDU)) BPDU { p := have; fn(&p); return p }
	for name, c := range map[string]struct {
		p    BPDU
		want bool
	}{
		"the same again":         {have, true},
		"lower root priority":    {change(func(p *BPDU) { p.Root.Priority--; p.Cost, p.Bridge.Priority = 99, 0xffff }), true},
		"higher root priority":   {change(func(p *BPDU) { p.Root.Priority++; p.Cost, p.Bridge.Priority = 0, 0 }), false},
		"lower root address":     {change(func(p *BPDU) { p.Root.Address[5]-- }), true},
		"lower cost":             {change(func(p *BPDU) { p.Cost--; p.Bridge.Priority = 0xffff }), true},
		"higher cost":            {change(func(p *BPDU) { p.Cost++; p.Bridge.Priority = 0 }), false},
		"lower bridge":           {change(func(p *BPDU) { p.Bridge.Address[5]-- }), true},
		"higher bridge":          {change(func(p *BPDU) { p.Bridge.Address[5]++ }), false},
		"same bridge, port up":   {change(func(p *BPDU) { p.Port++ }), true},
		"same bridge, port down": {change(func(p *BPDU) { p.Port-- }), true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newBridgeLab(t, Kernel, 1)
			l.hear(1, have)
			require.Equal(t, have.Bridge, l.port(1).DesignatedBridge)
			l.hear(1, c.p)
			p := l.port(1)
			got := BPDU{Type: Config, Root: p.DesignatedRoot, Cost: p.DesignatedCost, Bridge: p.DesignatedBridge, Port: p.DesignatedPort,
				MaxAge: have.MaxAge, HelloTime: have.HelloTime, ForwardDelay: have.ForwardDelay}
			if c.want {
				assert.Equal(t, c.p, got)
			} else {
				assert.Equal(t, have, got)
			}
			assert.Equal(t, uint64(2), p.Stats.RxConfig)
		})
	}
}

// Two ports of one bridge on one segment: the one with the higher id is a backup.
func TestBridgeHearsItself(t *testing.T) {
	l := newBridgeLab(t, Kernel, 2)
	l.hear(2, config(self, 0, self, 0x8001))
	assert.Equal(t, "li bl ", l.states())
	l.hear(1, config(self, 0, self, 0x8002))
	assert.Equal(t, "li bl ", l.states())
	l.b.SetPortID(l.now, 2, 0x0002)
	assert.Equal(t, "li li ", l.states(), "the lower id serves")
	l.to(25 * sec)
	assert.Equal(t, "le le ", l.states())
}

func TestBridgeRoot(t *testing.T) {
	l := newBridgeLab(t, Kernel, 3)
	l.to(40 * sec)
	p := config(better, 10, bid(0x2000, 2), 0x8009)
	p.MessageAge, p.MaxAge, p.HelloTime, p.ForwardDelay = 256, 10*256, 3*256, 5*256
	log := l.hear(1, p)
	l.root(t, better, 110, 1)
	assert.Equal(t, []string{"1 sends tcn", "changing false", "3 sends config", "2 sends config"}, log)
	s := l.b.Status(l.now)
	assert.Equal(t, Times{10 * sec, 3 * sec, 5 * sec}, s.Times, "the root's")
	assert.Zero(t, s.HelloTimer)
	assert.Zero(t, s.TopologyChangeTimer)
	assert.Equal(t, 2*sec, s.TCNTimer, "its own hello time")
	relayed := l.out[1]
	assert.Equal(t, BPDU{Type: Config, Root: better, Cost: 110, Bridge: self, Port: 0x8003,
		MessageAge: 257, MaxAge: p.MaxAge, HelloTime: p.HelloTime, ForwardDelay: p.ForwardDelay}, relayed, "older by 1/256 s")
	assert.Equal(t, 9*sec, l.port(1).MessageAgeTimer)
	assert.Equal(t, []string{"1 sends tcn"}, l.later(2*sec+tick), "until the root says that it knows")
	p.Flags = TopologyChange | TopologyChangeAck
	assert.Equal(t, []string{"changing true", "3 sends config", "2 sends config"}, l.hear(1, p))
	assert.Zero(t, l.b.Status(l.now).TCNTimer)
	assert.False(t, l.b.Status(l.now).TopologyChangeDetected)
	assert.Equal(t, TopologyChange, l.out[0].Flags, "passed on")

	log = l.later(9*sec + tick)
	l.root(t, self, 0, 0)
	assert.Contains(t, log, "3 sends config", "it is the root again, with its own times")
	assert.Equal(t, DefaultTimes, l.b.Status(l.now).Times)
	assert.Equal(t, 2*sec, l.b.Status(l.now).HelloTimer)
	assert.Equal(t, "fo fo fo ", l.states())
}

// Which of two ports leads to the root, by one difference at a time.
func TestBridgeRootPort(t *testing.T) {
	base := config(better, 10, bid(0x2000, 2), 0x8009)
	for name, c := range map[string]struct {
		change func(l *bridgeLab, p *BPDU)
		want   uint16
	}{
		"own port id":      {func(*bridgeLab, *BPDU) {}, 1},
		"root":             {func(_ *bridgeLab, p *BPDU) { p.Root.Priority--; p.Cost = 1000 }, 2},
		"cost told":        {func(_ *bridgeLab, p *BPDU) { p.Cost--; p.Bridge.Priority++ }, 2},
		"cost of port":     {func(l *bridgeLab, _ *BPDU) { l.b.SetCost(l.now, 2, 99) }, 2},
		"cost of link":     {func(l *bridgeLab, _ *BPDU) { l.b.SetLinkCost(2, 99) }, 2},
		"bridge":           {func(_ *bridgeLab, p *BPDU) { p.Bridge.Address[5]--; p.Port++ }, 2},
		"port told":        {func(_ *bridgeLab, p *BPDU) { p.Port-- }, 2},
		"own, set better":  {func(l *bridgeLab, _ *BPDU) { l.b.SetPortID(l.now, 2, 0x7002) }, 2},
		"its root is ours": {func(_ *bridgeLab, p *BPDU) { p.Root = self }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newBridgeLab(t, Kernel, 2)
			p := base
			c.change(l, &p)
			l.hear(2, p)
			l.hear(1, base)
			assert.Equal(t, c.want, l.b.Status(l.now).RootPort)
			want := map[uint16]string{1: "li bl ", 2: "bl li "}[c.want]
			if name == "its root is ours" || name == "root" {
				want = "li li " // and serves the other segment, which hears of a better root
			}
			assert.Equal(t, want, l.states())
		})
	}
}

func TestBridgeAnswersInferior(t *testing.T) {
	l := newBridgeLab(t, Kernel, 2)
	assert.Equal(t, []string{"1 sends config"}, l.hear(1, config(worse, 0, worse, 0x8001)))
	assert.Empty(t, l.hear(1, config(worse, 0, worse, 0x8001)), "the hold timer runs")
	assert.True(t, l.port(1).ConfigPending)
	assert.Equal(t, []string{"1 sends config"}, l.to(sec+tick), "once it has expired")
	assert.False(t, l.port(1).ConfigPending)
	l.hear(1, config(better, 0, better, 0x8001))
	assert.Empty(t, l.hear(1, config(worse, 0, worse, 0x8001)), "not where another serves")
	l.root(t, better, 100, 1)
}

func TestBridgeIgnores(t *testing.T) {
	good := config(better, 0, better, 0x8001)
	for name, change := range map[string]func(l *bridgeLab, p *BPDU){
		"version 2":       func(_ *bridgeLab, p *BPDU) { p.Version = 2 },
		"too old":         func(_ *bridgeLab, p *BPDU) { p.MessageAge = p.MaxAge + 2 },
		"disabled":        func(l *bridgeLab, _ *BPDU) { l.b.DisablePort(l.now, 1) },
		"bridge down":     func(l *bridgeLab, _ *BPDU) { l.b.SetUp(l.now, false) },
		"off":             func(l *bridgeLab, _ *BPDU) { l.b.SetMode(l.now, Off) },
		"another type":    func(_ *bridgeLab, p *BPDU) { p.Type = 7 },
		"no such port":    func(l *bridgeLab, _ *BPDU) { l.b.RemovePort(l.now, 1) },
		"guard":           func(l *bridgeLab, _ *BPDU) { l.b.SetGuard(1, true, false) },
		"not its segment": func(l *bridgeLab, p *BPDU) { p.Type = TCN; l.hear(1, config(bid(0x7000, 2), 0, bid(0x7000, 2), 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newBridgeLab(t, Kernel, 1)
			p := good
			change(l, &p)
			l.hear(1, p)
			assert.NotEqual(t, better, l.b.Status(l.now).Root)
		})
	}
	l := newBridgeLab(t, Kernel, 1)
	good.MessageAge = good.MaxAge
	l.hear(1, good)
	l.root(t, better, 100, 1)
	assert.Contains(t, l.later(tick), "event 3 0")
	l.root(t, self, 0, 0)
}

func TestBridgeGuard(t *testing.T) {
	for name, pdu := range map[string]string{"a TCN": "00000080", "no type": "00000007", "too short a config": "0000000000"} {
		l := newBridgeLab(t, Kernel, 2)
		l.b.SetGuard(1, true, false)
		l.b.ReceivePDU(l.now, 1, unhex(t, pdu))
		assert.Equal(t, []string{"event 1 1", "1 disabled", "flush 1"}, l.take(), name)
		l.b.ReceivePDU(l.now, 1, unhex(t, pdu))
		assert.Empty(t, l.take(), name)
		l.to(100 * sec)
		assert.Equal(t, "di fo ", l.states(), name)
		l.b.EnablePort(l.now, 1)
		assert.Equal(t, "li fo ", l.states(), name)
	}
	for name, pdu := range map[string]string{"three bytes": "000000", "another protocol": "00010080", "version 2": "00000202"} {
		l := newBridgeLab(t, Kernel, 1)
		l.b.SetGuard(1, true, false)
		l.b.ReceivePDU(l.now, 1, unhex(t, pdu))
		assert.Empty(t, l.take(), name)
	}
}

func TestBridgeRootBlock(t *testing.T) {
	l := newBridgeLab(t, Kernel, 2)
	l.to(40 * sec)
	l.b.SetGuard(1, false, true)
	log := l.hear(1, config(better, 0, better, 0x8001))
	assert.Equal(t, []string{"event 2 1", "1 listening"}, log)
	l.root(t, self, 0, 0)
	assert.Equal(t, self, l.port(1).DesignatedBridge)
	l.later(15*sec + tick)
	assert.Equal(t, "le fo ", l.states(), "once it is heard no more")
	l.later(15*sec + tick)
	assert.Equal(t, "fo fo ", l.states())
}

func TestBridgeTopologyChange(t *testing.T) {
	l := newBridgeLab(t, Kernel, 3)
	l.to(100 * sec)
	require.False(t, l.b.Status(l.now).TopologyChange)
	log := l.hear(2, BPDU{Type: TCN})
	assert.Equal(t, []string{"event 3 0", "changing true", "2 sends config"}, log)
	assert.Equal(t, TopologyChange|TopologyChangeAck, l.out[0].Flags)
	assert.False(t, l.port(2).TopologyChangeAck)
	assert.Equal(t, uint64(1), l.port(2).Stats.RxTCN)
	l.hear(2, BPDU{Type: TCN})
	assert.True(t, l.port(2).TopologyChangeAck, "which waits for the hold timer")

	l.to(200 * sec)
	l.hear(1, config(better, 0, better, 0x8001))
	log = l.hear(2, BPDU{Type: TCN})
	assert.Equal(t, []string{"event 3 0", "1 sends tcn"}, log, "towards the root")
	assert.Empty(t, l.hear(1, BPDU{Type: TCN}), "not from there")
	assert.Equal(t, uint64(1), l.port(1).Stats.RxTCN, "but counted")
	log = l.hear(2, BPDU{Type: TCN})
	assert.NotContains(t, log, "1 sends tcn", "it was said already")
	log = l.hear(3, config(better, 50, bid(0x7000, 3), 0x8001))
	assert.Contains(t, log, "3 blocking", "another serves that segment")
	assert.Contains(t, log, "event 3 0", "a port that forwarded does not any more")
}

func TestBridgeIdentifiers(t *testing.T) {
	l := newBridgeLab(t, Kernel, 2)
	l.to(40 * sec)
	l.hear(1, config(bid(0x4000, 1), 0, bid(0x4000, 1), 0x8001))
	l.to(41*sec + tick)
	l.take()
	l.b.SetPriority(l.now, 0x1000)
	l.root(t, bid(0x1000, 0x10), 0, 0)
	log := l.take()
	assert.Contains(t, log, "1 sends config", "as it becomes the root")
	assert.Equal(t, bid(0x1000, 0x10), l.port(2).DesignatedBridge)

	l.b.SetAddress(l.now, frame.MAC{2, 0, 0, 0, 0, 0x20})
	l.root(t, bid(0x1000, 0x20), 0, 0)
	assert.Equal(t, bid(0x1000, 0x20), l.port(1).DesignatedRoot)
	l.b.SetPortID(l.now, 1, 0xfc01)
	assert.Equal(t, PortID(0xfc01), l.port(1).DesignatedPort)

	l.b.DisablePort(l.now, 2)
	l.b.SetPriority(l.now, 0x2000)
	assert.Equal(t, bid(0x1000, 0x20), l.port(2).DesignatedBridge, "a port that is disabled is passed over")
}

func TestBridgeGoesDown(t *testing.T) {
	l := newBridgeLab(t, Kernel, 2)
	l.to(40 * sec)
	l.hear(2, config(better, 0, better, 0x8001))
	l.to(42 * sec)
	l.take()
	l.b.SetUp(l.now, false)
	assert.Equal(t, "di di ", l.states())
	assert.Equal(t, []string{"2 disabled", "flush 2", "event 3 0", "changing true", "1 sends config",
		"1 disabled", "flush 1", "changing false"}, l.take(), "it is the root for the last port")
	_, ok := l.b.NextTimer()
	assert.False(t, ok)
	l.root(t, self, 0, 0)
	l.b.SetUp(l.now, true)
	l.b.EnablePort(l.now, 1)
	assert.Equal(t, "li di ", l.states())
}

func TestBridgePortsThatAreNotThere(t *testing.T) {
	l := newBridgeLab(t, Kernel, 1)
	l.b.AddPort(1, 0xffff, 1)
	l.b.AddPort(0, 0xffff, 1)
	assert.Equal(t, PortID(0x8001), l.port(1).ID)
	l.b.EnablePort(0, 9)
	l.b.DisablePort(0, 9)
	l.b.RemovePort(0, 9)
	l.b.SetCost(0, 9, 1)
	l.b.SetLinkCost(9, 1)
	l.b.SetPortID(0, 9, 1)
	l.b.SetGuard(9, true, true)
	l.b.SetState(0, 9, Forwarding)
	assert.Empty(t, l.take())
	_, ok := l.b.Port(0, 9)
	assert.False(t, ok)
	NewBridge(BridgeConfig{}).SetUp(0, true)
}

func TestRounded(t *testing.T) {
	ms := time.Millisecond
	for _, c := range [][3]time.Duration{
		{2000 * ms, 1000 * ms, 2000 * ms}, {2249 * ms, 1249 * ms, 2000 * ms}, {2250 * ms, 1250 * ms, 3000 * ms},
		{2999 * ms, 1999 * ms, 3000 * ms}, {2100 * ms, 2050 * ms, 2100 * ms},
	} {
		assert.Equal(t, c[2], rounded(c[0], c[1]), "%v at %v", c[0], c[1])
	}
	for _, x := range []Ticks{0, 1, 2, 256, 257, 3917, 5151, 60000} {
		assert.LessOrEqual(t, uint16(x), uint16(toTicks(fromTicks(x))))
		assert.LessOrEqual(t, uint16(toTicks(fromTicks(x)))-uint16(x), uint16(1))
	}
	assert.Equal(t, Ticks(3917), toTicks(fromTicks(3917)))
	assert.Equal(t, Ticks(0), toTicks(fromTicks(65535)), "16 bits hold no more")
}
