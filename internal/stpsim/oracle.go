package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/stp"
)

// A segment is what frames of one port reach without a bridge: a cable, or a hub with
// all of its cables.
type segment []*end

// segments are those with ports of bridges that are up. A cable that does not work is
// none.
func (n *network) segments() (all []segment) {
	hubs := make([]segment, n.topo.hubs)
	for _, l := range n.links {
		if !l.works() || !n.up[l.a] || !n.up[l.b] {
			continue
		}
		switch a, b := l.ends[0], l.ends[1]; {
		case l.b >= n.topo.bridges:
			hubs[l.b-n.topo.bridges] = append(hubs[l.b-n.topo.bridges], a)
		case l.a >= n.topo.bridges:
			hubs[l.a-n.topo.bridges] = append(hubs[l.a-n.topo.bridges], b)
		default:
			all = append(all, segment{a, b})
		}
	}
	for _, h := range hubs {
		if len(h) > 0 {
			all = append(all, h)
		}
	}
	return all
}

// checkPriorities holds what ports know of the tree against what follows from the graph
// (802.1D-2004, 17.4): in each part the bridge with the lowest identifier is root, what
// a bridge is away from it is the cheapest way by the costs of the ports that face it,
// and each segment is served by the bridge that is nearest, of those the one with the
// lowest identifier.
func (n *network) checkPriorities() error {
	ids := make([]stp.BridgeID, n.topo.bridges)
	for i := range ids {
		ids[i] = n.bridges[i].Info().BridgeID
	}
	all := n.segments()
	root, away := n.nearest(ids, all)
	var errs []error
	for _, s := range all {
		best := s[0].node
		for _, e := range s {
			if cmp.Or(cmp.Compare(away[e.node], away[best]), ids[e.node].Compare(ids[best])) < 0 {
				best = e.node
			}
		}
		for _, e := range s {
			i := e.port.Info()
			if i.DesignatedRoot != ids[root[e.node]] || i.DesignatedCost != uint32(away[best]) || i.DesignatedBridge != ids[best] {
				errs = append(errs, fmt.Errorf("port %s knows root %v, cost %d, designated %v; not root %v, cost %d, designated %v",
					e.name, i.DesignatedRoot, i.DesignatedCost, i.DesignatedBridge, ids[root[e.node]], away[best], ids[best]))
			}
		}
	}
	return errors.Join(errs...)
}

// nearest gives the root of each bridge's part, and how far away from it the bridge is
// (Bellman and Ford).
func (n *network) nearest(ids []stp.BridgeID, all []segment) (root, away []int) {
	root, away = make([]int, len(ids)), make([]int, len(ids))
	for i := range root {
		root[i] = i
	}
	costs := map[*bridge.Port]int{}
	for _, s := range all {
		for _, e := range s {
			i := e.port.Info()
			costs[e.port] = n.proto.cost(&i)
		}
	}
	for changed := true; changed; {
		changed = false
		for _, s := range all {
			for _, from := range s {
				for _, to := range s {
					a := away[from.node] + costs[to.port]
					if from.node != to.node && cmp.Or(ids[root[from.node]].Compare(ids[root[to.node]]), cmp.Compare(a, away[to.node])) < 0 {
						root[to.node], away[to.node], changed = root[from.node], a, true
					}
				}
			}
		}
	}
	return root, away
}
