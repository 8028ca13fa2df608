package stp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// types gives what a node sent since, as "1:PDlf" for a proposal of a designated port 1
// that neither learns nor forwards: A agreement, P proposal, T change, then the role, then
// L and F.
func (d *node) sentSince(since time.Duration) (all []string) {
	for _, s := range d.log {
		if s.at < since {
			continue
		}
		out := string(rune('0'+s.port)) + ":"
		switch s.b.Type {
		case Config:
			out += "config"
		case TCN:
			out += "tcn"
		case RST:
			for _, f := range []struct {
				f Flags
				c string
			}{{TopologyChange, "T"}, {Proposal, "P"}, {Agreement, "A"}} {
				if s.b.Flags&f.f != 0 {
					out += f.c
				}
			}
			out += map[Flags]string{RoleUnknown: "u", RoleAlternate: "a", RoleRoot: "r", RoleDesignated: "d"}[s.b.Flags&RoleMask]
			if s.b.Flags&LearningFlag != 0 {
				out += "L"
			}
			if s.b.Flags&ForwardingFlag != 0 {
				out += "F"
			}
		}
		all = append(all, out)
	}
	return all
}

// Proposal and agreement: two bridges that meet forward after three messages, with no
// timer involved.
func TestRapidHandshake(t *testing.T) {
	n := newNetwork(t)
	n.build(`
		1: a
		2: a`)
	one, two := n.nodes["1"], n.nodes["2"]
	assert.Equal(t, []string{"1:Pd"}, one.sentSince(0))
	assert.Equal(t, []string{"1:Pd"}, two.sentSince(0), "each takes itself for the root")
	took := n.until(time.Second, n.joined)
	assert.LessOrEqual(t, took, 3*latency)
	assert.Equal(t, "1:TArLF", two.sentSince(1)[0], "it agrees, and as nothing is behind it forwards at once")
	n.run(10 * time.Second)
	n.expect("1: D\n2: R")
	assert.NotContains(t, two.sentSince(n.now-3*time.Second), "1:Pd", "the root port is silent once the change is told")
}

// A bridge that gets a new root port has its other ports discard before it agrees: so
// the proposals run down a line of bridges, and no loop is open meanwhile.
func TestRapidSync(t *testing.T) {
	n := newNetwork(t)
	n.build(`
		5: a
		6: a b
		7: b c
		8: c d
		9: d e`)
	n.run(30 * time.Second)
	n.expect("5: D\n6: R D\n7: R D\n8: R D\n9: R D")
	// A better root comes at the far end.
	n.add("1", newRapidNode, "e")
	for _, e := range n.lans["e"].ends {
		e.node.m.setLink(n.now, e.port, true, true)
	}
	n.watch = func() { require.False(t, n.loop()) }
	start := n.now
	took := n.until(5*time.Second, func() bool { return n.joined() && n.nodes["5"].roles() == "R" })
	assert.Less(t, took, 100*time.Millisecond)
	assert.Contains(t, n.nodes["9"].sentSince(start), "1:TPAd", "it discarded by the old root port, and proposed")
	n.expect("1: D\n9: D R\n8: D R\n7: D R\n6: D R\n5: R")
}

func ring(n *network, bridges int) {
	var text string
	for i := range bridges {
		text += string(rune('1'+i)) + ": " + string(rune('a'+i)) + " " + string(rune('a'+(i+1)%bridges)) + "\n"
	}
	n.build(text)
}

// A ring that a link fails of is a line at once: no forward delay, no hello time.
func TestRapidRingHeals(t *testing.T) {
	for _, cut := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		n := newNetwork(t)
		ring(n, 8)
		n.watch = func() { require.False(t, n.loop()) }
		n.run(30 * time.Second)
		require.True(t, n.joined())
		n.cut(cut, true)
		took := n.until(10*time.Second, n.joined)
		t.Logf("link %s: healed after %v", cut, took)
		assert.Less(t, took, 100*time.Millisecond, "link %s", cut)
		n.run(time.Minute)
		require.True(t, n.joined())
		n.cut(cut, false)
		took = n.until(10*time.Second, n.joined)
		n.run(time.Minute)
		require.True(t, n.joined())
		assert.Less(t, took, 100*time.Millisecond, "link %s is back", cut)
	}
}

// Where BPDUs are lost and the link does not say so, what was heard last is good for
// three hello times.
func TestRapidSilence(t *testing.T) {
	n := newNetwork(t)
	ring(n, 4)
	n.run(30 * time.Second)
	n.expect("1: D D\n2: R D\n3: R A\n4: D R")
	n.lans["b"].deaf = func(*node, *BPDU) bool { return true }
	start := n.now
	n.until(time.Minute, func() bool { return n.nodes["2"].roles() == "D R" })
	assert.GreaterOrEqual(t, n.now-start, 4*time.Second)
	assert.LessOrEqual(t, n.now-start, 7*time.Second)
}

// A link that carries frames in one direction alone would be a loop; the dispute of the
// bridge that is not heard prevents it.
func TestRapidDispute(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a b\n2: a b")
	n.run(10 * time.Second)
	n.expect("1: D D\n2: R A")
	two := n.nodes["2"]
	n.lans["b"].deaf = func(from *node, _ *BPDU) bool { return from.name == "1" } // 2 hears nothing of 1
	n.watch = func() { require.False(t, n.loop()) }
	n.run(time.Minute)
	assert.Equal(t, "R D", two.roles())
	assert.Equal(t, Blocking, n.nodes["1"].state[2])
	n.lans["b"].deaf = nil
	n.run(40 * time.Second)
	n.expect("1: D D\n2: R A")
}

func TestRapidEdge(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a b")
	one := n.nodes["1"]
	o, _ := one.rapid.PortOptions(2)
	n.cut("b", true)
	o.AdminEdge = true
	one.rapid.SetPort(n.now, 2, o)
	n.cut("b", false)
	assert.Equal(t, Forwarding, one.state[2], "AdminEdge")
	assert.Equal(t, Blocking, one.state[1])
	n.run(10 * time.Second)
	s, _ := one.rapid.Port(1)
	assert.False(t, s.OperEdge, "not point to point: MaxAge until it is an edge")
	n.run(20 * time.Second)
	s, _ = one.rapid.Port(1)
	assert.True(t, s.OperEdge)
	assert.Equal(t, Forwarding, one.state[1])
	for _, e := range one.events {
		assert.NotEqual(t, RapidTopologyChange, e.Kind, "an edge port changes no topology")
	}
	// With a point-to-point link it takes MigrateTime.
	one.m.setLink(n.now, 1, false, true)
	one.m.setLink(n.now, 1, true, true)
	took := n.until(10*time.Second, func() bool { return one.state[1] == Forwarding })
	assert.InDelta(t, 3, took.Seconds(), 1)
	// A BPDU ends that, also of an AdminEdge port.
	for port := uint16(1); port <= 2; port++ {
		one.rapid.Handle(n.now, port, &BPDU{Version: 2, Type: RST, Flags: RoleDesignated | Proposal, Root: BridgeID{Priority: 0xf000}, Bridge: BridgeID{Priority: 0xf000}, MaxAge: 20 * 256})
		s, _ = one.rapid.Port(port)
		assert.False(t, s.OperEdge)
	}
	// NoAutoEdge: it takes the timers.
	o, _ = one.rapid.PortOptions(1)
	o.NoAutoEdge = true
	one.rapid.SetPort(n.now, 1, o)
	one.m.setLink(n.now, 1, false, true)
	one.m.setLink(n.now, 1, true, true)
	took = n.until(time.Minute, func() bool { return one.state[1] == Forwarding })
	assert.InDelta(t, 22, took.Seconds(), 1.1, "MaxAge until it learns, HelloTime until it forwards")
	s, _ = one.rapid.Port(1)
	assert.False(t, s.OperEdge)
}

// Who hears of a change forgets what other ports learned.
func TestRapidTopologyChange(t *testing.T) {
	n := newNetwork(t)
	n.build(`
		1: a b
		2: a c
		3: b c x`)
	n.run(30 * time.Second)
	n.expect("1: D D\n2: R D\n3: R A D")
	for _, name := range n.names {
		clear(n.nodes[name].flushed)
	}
	n.run(30 * time.Second)
	for _, name := range n.names {
		assert.Empty(t, n.nodes[name].flushed, "nothing changes, and nothing is forgotten")
	}
	n.cut("b", true)
	n.run(time.Second)
	n.expect("1: D -\n2: R D\n3: - R D")
	assert.Zero(t, n.nodes["3"].flushed[3], "an edge")
	assert.NotZero(t, n.nodes["3"].flushed[1], "the port that was disabled")
	assert.Zero(t, n.nodes["3"].flushed[2], "the change is seen here")
	assert.NotZero(t, n.nodes["2"].flushed[1], "the change came by the other port")
	assert.Zero(t, n.nodes["2"].flushed[2])
	assert.Zero(t, n.nodes["1"].flushed[1])
	assert.True(t, n.nodes["2"].rapid.Status().TopologyChange)
	n.run(10 * time.Second)
	assert.False(t, n.nodes["2"].rapid.Status().TopologyChange, "told for a hello time and a second")
}

// RestrictedTCN keeps changes from going on.
func TestRapidRestrictedTCN(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a b\n2: b c\n3: c d")
	n.run(30 * time.Second)
	o, _ := n.nodes["2"].rapid.PortOptions(2)
	o.RestrictedTCN = true
	n.nodes["2"].rapid.SetPort(n.now, 2, o)
	n.run(10 * time.Second)
	clear(n.nodes["2"].flushed)
	clear(n.nodes["1"].flushed)
	n.nodes["3"].rapid.Handle(n.now, 2, &BPDU{Type: TCN}) // ends the edge, and begins a change when it forwards again
	n.run(30 * time.Second)
	assert.Empty(t, n.nodes["1"].flushed)
	assert.Empty(t, n.nodes["2"].flushed)
}

// At most HoldCount BPDUs at once, and one a second from then on.
func TestRapidHoldCount(t *testing.T) {
	n := newNetwork(t)
	n.build("5: a\n6: a")
	n.run(10 * time.Second)
	five := n.nodes["5"]
	before := len(five.log)
	for i := range 100 { // each makes the port answer
		five.rapid.Handle(n.now, 1, &BPDU{Version: 2, Type: RST, Flags: RoleDesignated | Proposal, Root: BridgeID{Priority: uint16(100 - i)}, Bridge: BridgeID{Priority: 1}, Port: 1, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256})
	}
	assert.Equal(t, 6, len(five.log)-before)
	o := five.rapid.Options()
	o.HoldCount = 99
	five.rapid.SetOptions(n.now, o)
	assert.Equal(t, 10, five.rapid.Options().HoldCount)
}

// Timers run when a link is up, and not otherwise.
func TestRapidNextTimer(t *testing.T) {
	m := NewRapid(RapidConfig{}, BridgeID{Priority: 1})
	_, ok := m.NextTimer()
	assert.False(t, ok)
	m.AddPort(0, 1, RapidPort{ID: 0x8001})
	_, ok = m.NextTimer()
	assert.False(t, ok)
	m.SetLink(1500*time.Millisecond, 1, Link{Up: true, PointToPoint: true})
	at, ok := m.NextTimer()
	assert.True(t, ok)
	assert.Equal(t, 2500*time.Millisecond, at)
	m.Tick(2499 * time.Millisecond)
	at, _ = m.NextTimer()
	assert.Equal(t, 2500*time.Millisecond, at)
	m.Tick(7600 * time.Millisecond) // late by five seconds: it is an edge by now
	s, ok := m.Port(1)
	assert.True(t, ok)
	assert.Equal(t, Forwarding, s.State)
	at, _ = m.NextTimer()
	assert.Equal(t, 8500*time.Millisecond, at)
	m.SetLink(8*time.Second, 1, Link{})
	_, ok = m.NextTimer()
	assert.True(t, ok, "the hold count goes down still")
	m.Tick(time.Minute)
	_, ok = m.NextTimer()
	assert.False(t, ok)
	m.RemovePort(time.Minute, 1)
	_, ok = m.Port(1)
	assert.False(t, ok)
}

// A cable from a port to itself, and two ports on one hub.
func TestRapidLoopback(t *testing.T) {
	n := newNetwork(t)
	n.build("1: a a b b b")
	n.watch = func() { require.False(t, n.loop()) }
	n.run(time.Minute)
	n.expect("1: D B D B B")

	var back []BPDU
	m := NewRapid(RapidConfig{}, BridgeID{Priority: 1})
	m.cfg.Send = func(_ uint16, b *BPDU) { back = append(back, *b) }
	m.cfg.State = func(_ uint16, s State) { require.NotEqual(t, Forwarding, s) }
	m.AddPort(0, 1, RapidPort{ID: 0x8001})
	m.SetLink(0, 1, Link{Up: true, PointToPoint: true, Cost: 1})
	for now := time.Duration(0); now < time.Minute; now += time.Second {
		m.Tick(now)
		for len(back) > 0 {
			b := back[0]
			back = back[1:]
			m.Handle(now, 1, &b)
		}
	}
}
