package main

import "github.com/ddfb540f/bridge/stp"

// echoes says whether bridges would lose their way to the root, with these cables cut
// and this bridge down (-1: none), that are connected by a loop of cables among
// themselves. With RSTP what one of them says of the way that is gone reaches another
// that has lost it too, and counts there if it is better than what comes from outside: it
// goes round, dearer and older each time, until it is worse than that or too old (the
// count to infinity). Then bridges agree to what has changed while the agreement was
// under way, which nothing in it tells (802.1D-2004, 17.21.9; an agreement in 802.1aq
// says what it is to), and what would tell it waits for the hold count (17.26): for up to
// a second at a time frames may circulate. Where there is no such loop nobody hears again
// what it has said itself, and where ways only become better any agreement is good.
func (n *network) echoes(ls []*link, node int) bool { return n.echoesAmong(ls, node, false) }

// echoesAmong is echoes for cables that come and go: then what goes round may take them,
// too.
func (n *network) echoesAmong(ls []*link, node int, comeAndGo bool) bool {
	if !n.proto.rapid {
		return false
	}
	gone := map[*link]bool{}
	for _, l := range ls {
		gone[l] = true
	}
	lost := n.lost(gone, node)
	p := newParts(n.topo.nodes())
	for _, l := range n.links {
		there := l.works() && !gone[l] || gone[l] && comeAndGo
		if there && l.a != l.b && lost[l.a] && lost[l.b] && !p.join(l.a, l.b) {
			return true
		}
	}
	return false
}

// lost are the bridges whose way to the root leads by a cable that is gone, or by the
// bridge that goes down, which itself is none of them. Who has no way now and is not the
// root has lost it already.
func (n *network) lost(gone map[*link]bool, node int) []bool {
	lost, next := make([]bool, n.topo.nodes()), make([]int, n.topo.nodes())
	for i := range next {
		next[i] = -1
	}
	for _, l := range n.links {
		for side, e := range l.ends {
			if s, ok := e.port.RSTP(); ok && s.Role == stp.RoleOfRoot && l.works() && !gone[l] {
				next[e.node] = l.ends[1-side].node
			}
		}
	}
	for i, root := range n.roots() {
		at := i
		for range next {
			if at < 0 || at == root || at == node {
				break
			}
			at = next[at]
		}
		lost[i] = i != node && n.up[i] && (at != root || root == node)
	}
	return lost
}

// roots gives the bridge with the lowest identifier of the part that each bridge is in.
func (n *network) roots() []int {
	reach, best := n.reach(), map[int]int{}
	for i := range n.topo.bridges {
		part := reach.find(i)
		if r, ok := best[part]; !ok || n.bridges[i].Info().BridgeID.Compare(n.bridges[r].Info().BridgeID) < 0 {
			best[part] = i
		}
	}
	roots := make([]int, n.topo.bridges)
	for i := range roots {
		roots[i] = best[reach.find(i)]
	}
	return roots
}
