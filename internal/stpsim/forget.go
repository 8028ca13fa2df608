package main

import "github.com/ddfb540f/bridge"

// mislaid says of each host whether bridges may go on sending frames for it where it is
// not, until it says a word: all may be that where nobody forgets, and with RSTP
//
//   - if a port forwards again that went on being a root or a designated port while it
//     did not: that is no change of the topology (802.1D-2004, 17.31), though frames may
//     have gone, and stations been learned, by other ways meanwhile. Ports that are asked
//     to agree do so for a moment, but for up to a second where BPDUs wait for the hold
//     count, as they do when the word of a root that is gone goes round;
//   - those behind a port that has become an edge, which no change has forget anything:
//     as one does on a segment from which nobody answers any more, where what is proposed
//     stays proposed (17.25), as if the other bridges had been taken away.
func (n *network) mislaid() []bool {
	hosts := make([]bool, len(n.hosts))

	nobody := n.lapsed() || n.untold || !n.proto.flushes
	for h := range hosts {
		hosts[h] = nobody || n.behindEdge(h)
	}
	return hosts
}

// lapsed says whether a port forwards again and nobody noticed, since it was asked last:
// the broadcasts of each check tell everyone where everyone is.
func (n *network) lapsed() (any bool) {
	for _, l := range n.links {
		for _, e := range l.ends {
			any = any || e.lapse.ended && !e.edge()
			e.lapse.ended = false
		}
	}
	return any
}

// edge says whether the port has found that no bridge is behind it.
func (e *end) edge() bool {
	s, ok := e.port.RSTP()
	return ok && s.OperEdge
}

// behindEdge says whether a bridge has learned a host on a port to other bridges that is
// an edge now.
func (n *network) behindEdge(host int) bool {
	for i, b := range n.bridges[:n.topo.bridges] {
		entry, _ := b.FDB().Lookup(n.hosts[host].MAC(), 0)
		if e := n.ends[i][entry.Port]; e != nil && e.edge() {
			return true
		}
	}
	return false
}

// A lapse is the time in which a port does not forward.
type lapse struct {
	carried uint64 // frames in cables when it began
	ended   bool   // after frames were carried elsewhere, and nobody noticed
}

// heard takes what a bridge says of the port. carried is how many frames cables have
// been given.
func (e *end) heard(ev *bridge.Event, carried uint64) {
	switch {
	case ev.Kind == bridge.EventTopologyChange:
		e.lapse.ended = false
	case ev.State != bridge.StateForwarding && e.state == bridge.StateForwarding:
		e.lapse = lapse{carried: carried}
	case ev.State == bridge.StateForwarding && carried != e.lapse.carried:
		e.lapse.ended = true
	}
}
