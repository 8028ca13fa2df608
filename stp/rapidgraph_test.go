package stp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// graph makes a connected network of bridges, joined at random by cables and hubs.
func graph(n *network, r *rand.Rand) {
	bridges := 2 + r.IntN(9)
	lans := make([][]string, bridges)
	join := func(name string, of ...int) {
		for _, i := range of {
			lans[i] = append(lans[i], name)
		}
	}
	for i := 1; i < bridges; i++ {
		join(fmt.Sprint("tree", i), i, r.IntN(i))
	}
	for i := range r.IntN(bridges + 2) {
		join(fmt.Sprint("more", i), r.IntN(bridges), r.IntN(bridges))
	}
	if r.IntN(3) == 0 {
		join("hub", r.IntN(bridges), r.IntN(bridges), r.IntN(bridges))
	}
	ids := r.Perm(200)
	for i, l := range lans {
		n.add(fmt.Sprintf("%x", 1+ids[i]), newRapidNode, l...)
	}
	for _, name := range n.names {
		n.nodes[name].plug()
	}
	for _, name := range n.names {
		d := n.nodes[name]
		for i := range d.lans {
			if r.IntN(3) == 0 {
				d.set(uint16(i+1), func(o *RapidPort) { o.Cost = uint32(1+r.IntN(4)) * 100_000 })
			}
		}
	}
}

// offer is what a bridge knows of the way to the root, by the words of 17.5 and 17.6.
type offer struct {
	v    rapidVector
	port uint16 // of the bridge itself; 0: it is the root
}

// tree computes what the network must come to, by relaxation instead of messages: for
// each bridge the way to the root.
func (n *network) tree() map[*node]offer {
	best := map[*node]offer{}
	for _, name := range n.names {
		d := n.nodes[name]
		best[d] = offer{v: rapidVector{root: d.id(), bridge: d.id()}}
	}
	for changed := true; changed; {
		changed = false
		for _, name := range n.names {
			d := n.nodes[name]
			for i, l := range d.lans {
				for _, e := range l.ends {
					if l.down || e.node == d {
						continue
					}
					v := best[e.node].v
					o, _ := d.rapid.Port(uint16(i + 1))
					v = rapidVector{v.root, v.cost + o.Cost, e.node.id(), testPortID(e.port)}
					old := best[d]
					if order := v.compare(&old.v); order < 0 || order == 0 && uint16(i+1) < old.port {
						best[d] = offer{v, uint16(i + 1)}
						changed = true
					}
				}
			}
		}
	}
	return best
}

// requireTree checks the role of each port against tree.
func (n *network) requireTree() {
	best := n.tree()
	served := func(e end) rapidVector { // what e would tell its LAN
		v := best[e.node].v
		return rapidVector{v.root, v.cost, e.node.id(), testPortID(e.port)}
	}
	for _, name := range n.names {
		d := n.nodes[name]
		for i, l := range d.lans {
			me := end{d, uint16(i + 1)}
			serving := me
			for _, e := range l.ends {
				a, b := served(e), served(serving)
				if a.compare(&b) < 0 {
					serving = e
				}
			}
			want := RoleOfAlternate
			switch {
			case l.down:
				want = RoleOfDisabled
			case best[d].port == me.port:
				want = RoleOfRoot
			case serving == me:
				want = RoleOfDesignated
			case serving.node == d:
				want = RoleOfBackup
			}
			s, _ := d.rapid.Port(me.port)
			require.Equal(n.t, want, s.Role, "bridge %s port %d on %s", name, me.port, l.name)
			forwards := want == RoleOfRoot || want == RoleOfDesignated
			require.Equal(n.t, forwards, d.state[me.port] == Forwarding, "bridge %s port %d is %v, %v", name, me.port, want, s.State)
		}
	}
	require.False(n.t, n.loop())
}

// Networks at random come to the tree that the priorities say, and come to it again
// after links failed and came back.
func TestRapidGraphs(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 17))
			n := newNetwork(t)
			graph(n, r)
			n.run(time.Minute)
			n.requireTree()
			var names []string
			for _, name := range n.names {
				for _, l := range n.nodes[name].lans {
					names = append(names, l.name)
				}
			}
			for range 4 {
				for range 1 + r.IntN(3) {
					name := names[r.IntN(len(names))]
					n.cut(name, !n.lans[name].down)
					n.run(time.Duration(r.IntN(3000)) * time.Millisecond)
				}
				n.run(time.Minute)
				n.requireTree()
			}
		})
	}
}
