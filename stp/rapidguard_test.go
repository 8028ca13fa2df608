package stp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kinds gives what happened on a port, without roles.
func (d *node) kinds(port uint16) (all []RapidEventKind) {
	for _, e := range d.events {
		if e.Port == port && e.Kind != RapidRole {
			all = append(all, e.Kind)
		}
	}
	return all
}

// set changes the settings of a port.
func (d *node) set(port uint16, change func(o *RapidPort)) {
	o, ok := d.rapid.PortOptions(port)
	require.True(d.n.t, ok)
	change(&o)
	d.rapid.SetPort(d.n.now, port, o)
}

func TestRapidBPDUGuard(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a b\n2: a b\n3: b")
	n.lans["b"].ends = n.lans["b"].ends[:2]
	n.nodes["1"].set(2, func(o *RapidPort) { o.BPDUGuard = true })
	n.run(10 * time.Second)
	one := n.nodes["1"]
	assert.Equal(t, Disabled, one.state[2])
	assert.Equal(t, []RapidEventKind{RapidBPDUGuard}, one.kinds(2))
	s, _ := one.rapid.Port(2)
	assert.True(t, s.BPDUGuardError)
	before := len(one.sentSince(0))
	one.set(2, func(o *RapidPort) { o.BPDUGuard = false })
	n.run(2500 * time.Millisecond)
	assert.Equal(t, Disabled, one.state[2], "until its link has gone down")
	for _, s := range one.sentSince(0)[before:] {
		assert.Equal(t, "1:", s[:2], "a port that is shut sends nothing")
	}
	one.m.setLink(n.now, 2, false, true)
	one.m.setLink(n.now, 2, true, true)
	n.run(10 * time.Second)
	n.expect("1: D D\n2: R A")
}

func TestRapidBPDUFilter(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a b\n2: a b")
	n.nodes["2"].set(2, func(o *RapidPort) { o.BPDUFilter = true })
	n.run(30 * time.Second)
	assert.Equal(t, "R D", n.nodes["2"].roles(), "deaf")
	from := n.now
	n.run(10 * time.Second)
	for _, s := range n.nodes["2"].sentSince(from) {
		assert.Equal(t, "1:", s[:2])
	}
	assert.True(t, n.loop(), "this is what the filter does where there is a bridge")
	n.nodes["2"].set(2, func(o *RapidPort) { o.BPDUFilter = false })
	n.run(10 * time.Second)
	n.expect("1: D D\n2: R A")
}

// Root guard: a port that must not become the root port discards while somebody
// behind it claims to know a better root.
func TestRapidRestrictedRole(t *testing.T) {
	n := newNetwork(t)
	n.build("2: a b\n3: a b")
	two := n.nodes["2"]
	n.run(10 * time.Second)
	two.set(2, func(o *RapidPort) { o.RestrictedRole = true })
	n.run(10 * time.Second)
	n.expect("2: D D\n3: R A")
	intruder := &BPDU{Version: 2, Type: RST, Flags: RoleDesignated | Proposal, Root: BridgeID{Priority: 1}, Bridge: BridgeID{Priority: 1}, Port: 1, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256}
	two.rapid.Handle(n.now, 2, intruder)
	assert.Equal(t, "D A", two.roles())
	assert.Equal(t, Blocking, two.state[2])
	assert.Equal(t, Forwarding, two.state[1])
	assert.Zero(t, two.rapid.Status().RootPort)
	n.run(10 * time.Second)
	n.expect("2: D D\n3: R A")
	assert.Equal(t, []RapidEventKind{RapidTopologyChange, RapidRootGuard, RapidRootGuardEnd, RapidTopologyChange}, two.kinds(2))
	// By a port without the guard the intruder becomes the root.
	two.rapid.Handle(n.now, 1, intruder)
	assert.Equal(t, uint16(1), two.rapid.Status().RootPort)
	assert.Equal(t, BridgeID{Priority: 1}, two.rapid.Status().Root)
}

func TestRapidLoopGuard(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a b\n2: a b")
	one, two := n.nodes["1"], n.nodes["2"]
	for _, d := range []*node{one, two} {
		for port := uint16(1); port <= 2; port++ {
			d.set(port, func(o *RapidPort) { o.LoopGuard = true })
		}
	}
	n.watch = func() { require.False(t, n.loop()) }
	n.run(10 * time.Second)
	n.expect("1: D D\n2: R A")
	// Neither hears the other any more by either link: no dispute helps.
	n.lans["b"].deaf = func(*node, *BPDU) bool { return true }
	n.run(time.Minute)
	n.expect("1: D D\n2: R A")
	assert.Equal(t, []RapidEventKind{RapidLoopGuard}, two.kinds(2))
	s, _ := two.rapid.Port(2)
	assert.True(t, s.LoopInconsistent)
	assert.Empty(t, one.kinds(2)[1:], "a designated port is not guarded")
	n.lans["a"].deaf = n.lans["b"].deaf
	n.run(time.Minute)
	n.expect("1: D D\n2: A A")
	assert.Equal(t, BridgeID{0x8000, two.id().Address}, two.rapid.Status().Root)
	// It hears again.
	n.lans["a"].deaf, n.lans["b"].deaf = nil, nil
	n.run(10 * time.Second)
	n.expect("1: D D\n2: R A")
	assert.Equal(t, []RapidEventKind{RapidLoopGuard, RapidLoopGuardEnd}, two.kinds(2))
	// And so does the guard end by being switched off, or by the link going down.
	n.lans["b"].deaf = func(*node, *BPDU) bool { return true }
	n.run(10 * time.Second)
	n.cut("b", true)
	n.cut("b", false)
	s, _ = two.rapid.Port(2)
	assert.Equal(t, RoleOfDesignated, s.Role)
	n.watch = nil
	n.lans["b"].deaf = nil
	n.run(10 * time.Second)
	n.lans["b"].deaf = func(*node, *BPDU) bool { return true }
	n.run(10 * time.Second)
	assert.Equal(t, "R A", two.roles())
	two.set(2, func(o *RapidPort) { o.LoopGuard = false })
	assert.Equal(t, "R D", two.roles())
}

// A root or alternate that hears anything again is no longer held, even if what it hears
// is that it should be designated.
func TestRapidLoopGuardHearsInferior(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a\n2: a")
	two := n.nodes["2"]
	two.set(1, func(o *RapidPort) { o.LoopGuard = true })
	n.run(10 * time.Second)
	n.lans["a"].deaf = func(*node, *BPDU) bool { return true }
	n.run(10 * time.Second)
	assert.Equal(t, "A", two.roles())
	for _, b := range []BPDU{
		{Version: 2, Type: RST, Flags: RoleRoot | Agreement, Root: two.id(), Bridge: BridgeID{Priority: 0x9000}, Port: 1, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256},
		{Type: TCN},
		{Version: 2, Type: RST, Flags: RoleDesignated, Root: BridgeID{Priority: 0x9000}, Bridge: BridgeID{Priority: 0x9000}, Port: 1, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256},
	} {
		two.rapid.Handle(n.now, 1, &b)
		s, _ := two.rapid.Port(1)
		assert.False(t, s.LoopInconsistent)
		assert.Equal(t, RoleOfDesignated, s.Role, "%v", b)
		// And so back to where it was.
		n.lans["a"].deaf = nil
		n.run(10 * time.Second)
		assert.Equal(t, "R", two.roles())
		n.lans["a"].deaf = func(*node, *BPDU) bool { return true }
		n.run(10 * time.Second)
		assert.Equal(t, "A", two.roles())
	}
}

// A port that hears STP speaks STP, and RSTP again when it hears that, or is told to
// find out.
func TestRapidMigration(t *testing.T) {
	n := newNetwork(t)
	n.build("2: a b\n3: b")
	n.lans["a"].deaf = func(*node, *BPDU) bool { return true }
	two := n.nodes["2"]
	n.cut("a", true)
	n.cut("a", false)
	two.m.setLink(n.now, 1, true, true)
	n.run(time.Second)
	config := &BPDU{Type: Config, Root: BridgeID{Priority: 0x9000}, Bridge: BridgeID{Priority: 0x9000}, Port: 1, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256}
	two.rapid.Handle(n.now, 1, config)
	s, _ := two.rapid.Port(1)
	assert.True(t, s.SendRSTP, "not before MigrateTime is over")
	n.run(4 * time.Second)
	from := n.now
	two.rapid.Handle(n.now, 1, config)
	s, _ = two.rapid.Port(1)
	assert.False(t, s.SendRSTP)
	n.run(10 * time.Second)
	heard := two.sentSince(from)
	assert.Contains(t, heard, "1:config")
	assert.Contains(t, heard, "2:dLF", "the other port still speaks RSTP")
	assert.NotContains(t, heard, "1:Pd")
	// Forward delays, in place of hello times.
	two.set(1, func(o *RapidPort) { o.NoAutoEdge = true })
	two.m.setLink(n.now, 1, false, true)
	two.m.setLink(n.now, 1, true, true)
	n.run(3500 * time.Millisecond)
	two.rapid.Handle(n.now, 1, &BPDU{Type: TCN})
	from = n.now
	n.until(time.Minute, func() bool { return two.state[1] == Learning })
	learning := n.now
	n.until(time.Minute, func() bool { return two.state[1] == Forwarding })
	assert.InDelta(t, 15, (n.now - learning).Seconds(), 1)
	assert.GreaterOrEqual(t, n.now-from, 25*time.Second)
	// A TCN is acknowledged.
	n.run(3 * time.Second)
	from = n.now
	two.rapid.Handle(n.now, 1, &BPDU{Type: TCN})
	n.run(3 * time.Second)
	var acks int
	for _, s := range two.log {
		if s.at >= from && s.port == 1 && s.b.Flags&TopologyChangeAck != 0 {
			acks++
		}
	}
	assert.Equal(t, 1, acks)
	// An RST BPDU brings RSTP back.
	two.rapid.Handle(n.now, 1, &BPDU{Version: 2, Type: RST, Flags: RoleRoot, Root: two.id(), Bridge: BridgeID{Priority: 0x9000}, Port: 1, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256})
	s, _ = two.rapid.Port(1)
	assert.True(t, s.SendRSTP)
	n.run(4 * time.Second)
	two.rapid.Handle(n.now, 1, config)
	s, _ = two.rapid.Port(1)
	assert.False(t, s.SendRSTP)
	n.run(4 * time.Second)
	two.rapid.Mcheck(n.now, 1)
	s, _ = two.rapid.Port(1)
	assert.True(t, s.SendRSTP)
}

// As the root port of a network whose root knows STP alone it sends TCNs until one is
// acknowledged.
func TestRapidTCN(t *testing.T) {
	n := newNetwork(t)
	n.build("2: a b\n3: b")
	n.lans["a"].ends = nil
	two := n.nodes["2"]
	root := BPDU{Type: Config, Root: BridgeID{Priority: 1}, Bridge: BridgeID{Priority: 1}, Port: 1, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256}
	hear := func(flags Flags, d time.Duration) {
		for range d / (2 * time.Second) {
			b := root
			b.Flags = flags
			two.rapid.Handle(n.now, 1, &b)
			n.run(2 * time.Second)
		}
	}
	hear(0, 40*time.Second)
	assert.Equal(t, "R D", two.roles())
	from := n.now
	n.cut("b", true)
	n.cut("b", false)
	hear(0, 10*time.Second)
	tcns := func() (k int) {
		for _, s := range two.sentSince(from) {
			if s == "1:tcn" {
				k++
			}
		}
		return k
	}
	assert.GreaterOrEqual(t, tcns(), 3)
	hear(TopologyChangeAck, 2*time.Second)
	from = n.now
	hear(0, 10*time.Second)
	assert.Zero(t, tcns())
}

// ForceSTP: Config BPDUs, forward delays.
func TestRapidForceSTP(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a\n2: a")
	for _, name := range n.names {
		m := n.nodes[name].rapid
		o := m.Options()
		o.ForceSTP = true
		m.SetOptions(n.now, o)
	}
	from := n.now + 10*time.Millisecond
	took := n.until(2*time.Minute, n.joined)
	assert.InDelta(t, 35, took.Seconds(), 1.5, "MaxAge as from a disabled port, then ForwardDelay")
	for _, name := range n.names {
		for _, s := range n.nodes[name].sentSince(from) {
			assert.Contains(t, []string{"1:config", "1:tcn"}, s)
		}
		n.nodes[name].rapid.Mcheck(n.now, 1)
	}
	s, _ := n.nodes["1"].rapid.Port(1)
	assert.False(t, s.SendRSTP)
}

// What an operator changes is followed at once.
func TestRapidSettings(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a b\n2: a b")
	n.run(10 * time.Second)
	n.expect("1: D D\n2: R A")
	n.nodes["2"].set(1, func(o *RapidPort) { o.Cost = 300_000 })
	n.run(10 * time.Second)
	n.expect("1: D D\n2: A R")
	two := n.nodes["2"].rapid
	o := two.Options()
	o.ID.Priority = 0x1000
	o.MaxAge, o.ForwardDelay, o.HelloTime = 100*time.Second, time.Second, 0
	two.SetOptions(n.now, o)
	n.run(10 * time.Second)
	n.expect("1: R A\n2: D D")
	s := n.nodes["1"].rapid.Status()
	assert.Equal(t, o.ID, s.Root)
	assert.Equal(t, uint32(200_000), s.RootCost)
	assert.Equal(t, uint16(1), s.RootPort)
	assert.Equal(t, 40*time.Second, s.MaxAge)
	assert.Equal(t, 2*time.Second, s.ForwardDelay)
	assert.Equal(t, 2*time.Second, s.HelloTime)
	assert.Equal(t, time.Second, two.Status().HelloTime)
	assert.Equal(t, time.Second, s.MessageAge)
	p, _ := n.nodes["1"].rapid.Port(1)
	assert.Equal(t, o.ID, p.DesignatedBridge)
	assert.Equal(t, PortID(0x8001), p.DesignatedPort)
	assert.NotZero(t, p.Stats.RxRST)
	assert.NotZero(t, p.Stats.TxRST)
	assert.Equal(t, uint64(1), p.Stats.ToForwarding)
	assert.Zero(t, p.Stats.ToBlocking, "it went from one role to the other")
}

func TestRapidNames(t *testing.T) {
	assert.Equal(t, "backup", RoleOfBackup.String())
	assert.Equal(t, "role 5", Role(5).String())
	assert.Equal(t, "auto yes no", PointToPointAuto.String()+" "+PointToPointYes.String()+" "+PointToPointNo.String())
	for mbps, want := range map[uint64]uint32{0: 200_000, 10: 2_000_000, 100: 200_000, 1000: 20_000, 2500: 8000, 10_000: 2000, 100_000: 200, 100_000_000: 1} {
		assert.Equal(t, want, RapidCost(mbps), mbps)
	}
}
