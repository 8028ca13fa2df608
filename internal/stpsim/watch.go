package main

import (
	"fmt"
	"time"

	"github.com/ddfb540f/bridge"
)

// A watch looks at the active topology whenever it may have changed: the cables that
// work, between ports that are FORWARDING.
type watch struct {
	ends    []map[string]*end // of each node, by port
	due     bool              // a look is scheduled
	missed  int               // events that were not delivered
	changed time.Duration     // when a port's state changed last

	spans  bool          // the active topology reaches wherever a cable leads, and has no loop
	since  time.Duration // since when
	loops  bool          // it has a loop
	looped time.Duration // for how long it had one, all together
	looked time.Duration // when it was looked at last
}

// start has every bridge tell what its ports do.
func (w *watch) start(n *network) {
	w.ends = make([]map[string]*end, n.topo.nodes())
	for i := range w.ends {
		w.ends[i] = map[string]*end{}
	}
	for _, l := range n.links {
		for _, e := range l.ends {
			w.ends[e.node][e.name] = e
			e.state = e.port.Info().State
		}
	}
	for i, b := range n.bridges {
		b.Watch(func(ev bridge.Event) { n.heard(i, &ev) }) // for as long as the bridge lives
	}
}

// heard takes one event of a bridge.
func (n *network) heard(node int, ev *bridge.Event) {
	switch ev.Kind {
	case bridge.EventLost:
		n.missed += ev.Lost
	case bridge.EventPortState:
		if n.trace != nil {
			n.tell("%s %s is %v", n.bridges[node].Name(), ev.Port, ev.State)
		}
		n.changed = n.lab.Now()
		if e := n.ends[node][ev.Port]; e != nil {
			e.heard(ev, n.carried)
			e.state = ev.State
			n.touch()
		}
	case bridge.EventTopologyChange:
		if e := n.ends[node][ev.Port]; e != nil {
			e.heard(ev, n.carried)
		}
	}
}

// touch has the active topology looked at behind this instant, within which the ports
// of a bridge change one after the other.
func (n *network) touch() {
	if !n.due {
		n.due = true
		n.lab.After(1, n.look)
	}
}

// look compares the active topology with the cables that there are.
func (n *network) look() {
	n.due = false
	cables, active := newParts(n.topo.nodes()), newParts(n.topo.nodes())
	loops := false
	for _, l := range n.links {
		if l.cut || !n.up[l.a] || !n.up[l.b] {
			continue
		}
		forwards := l.ends[0].state == bridge.StateForwarding && l.ends[1].state == bridge.StateForwarding
		if l.works() {
			cables.join(l.a, l.b)
			loops = forwards && !active.join(l.a, l.b) || loops
		}
	}
	loops = loops || n.oneWayLoop(active)
	now := n.lab.Now()
	if n.loops {
		n.looped += now - n.looked
	}
	n.looked = now
	if n.trace != nil && loops != n.loops {
		n.tell("the active topology has a loop: %v", loops)
	}
	n.loops = loops
	if spans := !loops && active.count == cables.count; spans != n.spans {
		n.spans, n.since = spans, now
		if n.trace != nil {
			n.tell("the active topology is a spanning tree: %v", spans)
		}
	}
}

// oneWayLoop says whether a cable that carries frames in one direction closes a loop of
// the active topology.
func (n *network) oneWayLoop(active *parts) bool {
	for _, l := range n.links {
		if l.cut || l.works() || l.ways[0].mute && l.ways[1].mute || !n.up[l.a] || !n.up[l.b] {
			continue
		}
		forwards := l.ends[0].state == bridge.StateForwarding && l.ends[1].state == bridge.StateForwarding
		if forwards && active.find(l.a) == active.find(l.b) {
			return true
		}
	}
	return false
}

// reach gives a number to the part of the network that each node is in, by the cables
// that work between bridges that are up.
func (n *network) reach() *parts {
	p := newParts(n.topo.nodes())
	for _, l := range n.links {
		if l.works() && n.up[l.a] && n.up[l.b] {
			p.join(l.a, l.b)
		}
	}
	return p
}

// settle lets time go by until no port has changed its state for quiet, for limit at
// most.
func (n *network) settle(quiet, limit time.Duration) error {
	start := n.lab.Now()
	n.changed = start
	for {
		end := n.changed + quiet
		if n.lab.Now() >= end {
			break
		}
		if n.changed > start+limit {
			return fmt.Errorf("ports still change their states after %v", n.changed-start)
		}
		n.lab.Run(end - n.lab.Now())
	}
	if n.due {
		n.lab.Run(time.Microsecond)
	}
	return nil
}

// parts are sets of nodes that are connected (a union-find).
type parts struct {
	parent []int
	count  int // how many sets there are
}

func newParts(n int) *parts {
	p := &parts{parent: make([]int, n), count: n}
	for i := range p.parent {
		p.parent[i] = i
	}
	return p
}

func (p *parts) find(i int) int {
	for p.parent[i] != i {
		p.parent[i] = p.parent[p.parent[i]]
		i = p.parent[i]
	}
	return i
}

// join connects two nodes; false: they were.
func (p *parts) join(a, b int) bool {
	a, b = p.find(a), p.find(b)
	if a == b {
		return false
	}
	p.parent[a] = b
	p.count--
	return true
}
