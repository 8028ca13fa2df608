package stp

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// A network is bridges and LANs in virtual time. A BPDU takes a millisecond.
type network struct {
	t       testing.TB
	now     time.Duration
	nodes   map[string]*node
	names   []string // of nodes, in the order in which they came
	lans    map[string]*lan
	pending events
	seq     int
	watch   func() // called after each event
}

// A speaker is a machine of either protocol.
type speaker interface {
	handle(now time.Duration, port uint16, b *BPDU)
	setLink(now time.Duration, port uint16, up, pointToPoint bool)
	tick(now time.Duration)
	next() (time.Duration, bool)
	role(port uint16) Role
}

// A node is a bridge of a network.
type node struct {
	n       *network
	name    string
	m       speaker
	rapid   *Rapid // nil: it is no Rapid
	lans    []*lan // by port, from 1
	state   map[uint16]State
	flushed map[uint16]int
	events  []RapidEvent
	log     []sent
}

type sent struct {
	at   time.Duration
	port uint16
	b    BPDU
}

// A lan is a cable, or with more than two ends a hub.
type lan struct {
	name string
	ends []end
	down bool // and the bridges see it
	deaf func(from *node, b *BPDU) bool
}

type end struct {
	node *node
	port uint16
}

type netEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type events []netEvent

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(netEvent)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

const latency = time.Millisecond

func newNetwork(t testing.TB) *network {
	return &network{t: t, nodes: map[string]*node{}, lans: map[string]*lan{}}
}

func (n *network) at(after time.Duration, do func()) {
	n.seq++
	heap.Push(&n.pending, netEvent{n.now + after, n.seq, do})
}

// build makes bridges of lines like "111: a b c": the identifier, in hexadecimal, then
// the LAN of each port from 1 up. Ports of 200,000 each; a LAN with two ends is a
// point-to-point link. Links come up at once, in the order of lines.
func (n *network) build(text string) { n.buildOf(newRapidNode, text) }

// buildOf is build for machines of either protocol.
func (n *network) buildOf(make func(*node) speaker, text string) {
	for line := range strings.Lines(text) {
		name, ports, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "" {
			n.add(name, make, strings.Fields(ports)...)
		}
	}
	for _, name := range n.names {
		n.nodes[name].plug()
	}
}

func (n *network) add(name string, make func(*node) speaker, lans ...string) *node {
	d := &node{n: n, name: name, state: map[uint16]State{}, flushed: map[uint16]int{}}
	n.nodes[name] = d
	n.names = append(n.names, name)
	for i, name := range lans {
		l := n.lans[name]
		if l == nil {
			l = &lan{name: name}
			n.lans[name] = l
		}
		l.ends = append(l.ends, end{d, uint16(i + 1)})
		d.lans = append(d.lans, l)
	}
	d.m = make(d)
	return d
}

func (d *node) id() BridgeID {
	var low uint64
	_, err := fmt.Sscanf(d.name, "%x", &low)
	require.NoError(d.n.t, err)
	return BridgeID{0x8000, frame.MACFromUint64(0x020000000000 | low)}
}

func testPortID(num uint16) PortID { return PortID(0x8000 | num) }

// plug brings the links of a bridge up.
func (d *node) plug() {
	for i, l := range d.lans {
		d.m.setLink(d.n.now, uint16(i+1), !l.down, len(l.ends) == 2)
	}
}

// cut takes a LAN down, or up again, for all its ends at once.
func (n *network) cut(name string, down bool) {
	l := n.lans[name]
	l.down = down
	for _, e := range l.ends {
		e.node.m.setLink(n.now, e.port, !down, len(l.ends) == 2)
	}
}

// send is what a machine sends by a port.
func (d *node) send(port uint16, b *BPDU) {
	d.log = append(d.log, sent{d.n.now, port, *b})
	l := d.lans[port-1]
	wire := b.Append(nil)
	for _, e := range l.ends {
		if l.down || e == (end{d, port}) || l.deaf != nil && l.deaf(d, b) {
			continue
		}
		d.n.at(latency, func() {
			p, err := Parse(wire)
			require.NoError(d.n.t, err)
			e.node.m.handle(d.n.now, e.port, &p)
		})
	}
}

// run lets time go by.
func (n *network) run(d time.Duration) {
	for end := n.now + d; ; {
		at := end
		var who *node
		for _, name := range n.names {
			if t, ok := n.nodes[name].m.next(); ok && t < at {
				at, who = t, n.nodes[name]
			}
		}
		switch {
		case len(n.pending) > 0 && n.pending[0].at <= at:
			e := heap.Pop(&n.pending).(netEvent)
			n.now = e.at
			e.do()
		case who != nil:
			n.now = at
			who.m.tick(at)
		default:
			n.now = end
			return
		}
		if n.watch != nil {
			n.watch()
		}
	}
}

// until runs until ok, and says how long that took.
func (n *network) until(most time.Duration, ok func() bool) time.Duration {
	return n.untilEvery(latency, most, ok)
}

// untilEvery is until that asks ok seldom.
func (n *network) untilEvery(d, most time.Duration, ok func() bool) time.Duration {
	start := n.now
	for !ok() {
		require.Less(n.t, n.now-start, most, "did not converge")
		n.run(d)
	}
	return n.now - start
}

// roles gives "R D A B -" of a bridge's ports.
func (d *node) roles() string {
	var s []string
	for i := range d.lans {
		s = append(s, string("-RDAB"[d.m.role(uint16(i+1))]))
	}
	return strings.Join(s, " ")
}

// expect checks roles against lines like "111: D R", and that root and designated ports
// forward and no other does.
func (n *network) expect(text string) {
	n.t.Helper()
	var got, want []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			name, _, _ := strings.Cut(line, ":")
			want = append(want, line)
			got = append(got, name+": "+n.nodes[name].roles())
		}
	}
	require.Equal(n.t, want, got)
	for _, name := range n.names {
		d := n.nodes[name]
		for port, s := range d.state {
			r := d.m.role(port)
			forwards := r == RoleOfRoot || r == RoleOfDesignated
			require.Equal(n.t, forwards, s == Forwarding, "bridge %s port %d is %v, %v", name, port, r, s)
		}
	}
}

// loop finds whether frames could circulate now: bridges and LANs, joined by ports that
// forward, are no forest.
func (n *network) loop() bool {
	parent := map[any]any{}
	find := func(x any) any {
		for parent[x] != nil {
			x = parent[x]
		}
		return x
	}
	for _, name := range slices.Sorted(maps.Keys(n.nodes)) {
		d := n.nodes[name]
		for i, l := range d.lans {
			if d.state[uint16(i+1)] != Forwarding || l.down {
				continue
			}
			a, b := find(d), find(l)
			if a == b {
				return true
			}
			parent[a] = b
		}
	}
	return false
}

// joined reports whether all bridges reach each other by ports that forward, without a
// loop.
func (n *network) joined() bool {
	if n.loop() {
		return false
	}
	seen := map[*node]bool{}
	var visit func(d *node)
	visit = func(d *node) {
		if seen[d] {
			return
		}
		seen[d] = true
		for i, l := range d.lans {
			for _, e := range l.ends {
				if !l.down && d.state[uint16(i+1)] == Forwarding && e.node.state[e.port] == Forwarding {
					visit(e.node)
				}
			}
		}
	}
	visit(n.nodes[n.names[0]])
	return len(seen) == len(n.names)
}

// rapidNode is a Rapid in a network.
type rapidNode struct{ *Rapid }

func newRapidNode(d *node) speaker { return newRapidWith(d, RapidPort{}) }

// newRapidWith makes a Rapid whose ports have the settings, but for the identifier.
func newRapidWith(d *node, o RapidPort) speaker {
	d.rapid = NewRapid(RapidConfig{
		Send:   d.send,
		State:  func(port uint16, s State) { d.state[port] = s },
		Flush:  func(port uint16) { d.flushed[port]++ },
		Notify: func(e RapidEvent) { d.events = append(d.events, e) },
	}, d.id())
	for i := range d.lans {
		o.ID = testPortID(uint16(i + 1))
		d.rapid.AddPort(d.n.now, uint16(i+1), o)
	}
	return rapidNode{d.rapid}
}

func (r rapidNode) handle(now time.Duration, port uint16, b *BPDU) { r.Handle(now, port, b) }
func (r rapidNode) tick(now time.Duration)                         { r.Tick(now) }
func (r rapidNode) next() (time.Duration, bool)                    { return r.NextTimer() }
func (r rapidNode) setLink(now time.Duration, port uint16, up, pointToPoint bool) {
	r.SetLink(now, port, Link{Up: up, PointToPoint: pointToPoint, Cost: RapidCost(100)})
}

func (r rapidNode) role(port uint16) Role {
	s, _ := r.Port(port)
	return s.Role
}
