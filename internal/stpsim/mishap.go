package main

import (
	"fmt"
	"time"
)

// A mishap is what happens to a network, and how it ends.
type mishap struct {
	name  string
	begin func()
	end   func()
	lasts bool          // the network converges while it lasts, and once it has ended
	spell time.Duration // else: how long it lasts
	wild  bool          // BPDUs are lost or late, with what they say of changes of the topology

	// No frame is to circulate, nor to arrive twice, in any instant: from its beginning on,
	// and from its end on.
	tame, tameEnd bool
}

// mishaps draw one of each kind.
var mishaps = []func(n *network) mishap{
	(*network).cutSome, (*network).cutSome, (*network).silence, (*network).powerOff, (*network).hang,
	(*network).flap, (*network).oneWay, (*network).lose, (*network).reorder,
}

// some draws cables: one, or up to a few.
func (n *network) some() []*link {
	var ls []*link
	for _, i := range n.rand.Perm(len(n.links))[:min(1+n.rand.IntN(3), len(n.links))] {
		ls = append(ls, n.links[i])
	}
	return ls
}

func (n *network) cutSome() mishap { return n.cutting(n.some()) }

// cutting takes the carriers of cables.
func (n *network) cutting(ls []*link) mishap {
	set := func(cut bool) {
		for _, l := range ls {
			n.setCut(l, cut)
		}
	}
	return mishap{
		name: fmt.Sprintf("%d cables cut", len(ls)), lasts: true, tame: !n.echoes(ls, -1), tameEnd: true,
		begin: func() { set(true) }, end: func() { set(false) },
	}
}

func (n *network) silence() mishap { return n.silencing(n.some()) }

// silencing has cables carry nothing, with the carriers as they are: as behind a
// converter.
func (n *network) silencing(ls []*link) mishap {
	set := func(mute bool) {
		for _, l := range ls {
			n.setWay(l, 0, mute, 0, 0)
			n.setWay(l, 1, mute, 0, 0)
		}
	}
	return mishap{
		name: fmt.Sprintf("%d cables silent", len(ls)), lasts: true,
		begin: func() { set(true) }, end: func() { set(false) },
	}
}

func (n *network) powerOff() mishap { return n.killing(n.rand.IntN(n.topo.bridges)) }

// killing takes a bridge and the carriers of its cables away.
func (n *network) killing(node int) mishap {
	var ls []*link
	for _, l := range n.links {
		if (l.a == node || l.b == node) && !l.cut {
			ls = append(ls, l)
		}
	}
	return mishap{
		name: fmt.Sprintf("b%d without power", node), lasts: true, tame: !n.echoes(ls, node), tameEnd: true,
		begin: func() {
			n.setUp(node, false)
			for _, l := range ls {
				n.setCut(l, true)
			}
		},
		end: func() {
			n.setUp(node, true)
			for _, l := range ls {
				n.setCut(l, false)
			}
		},
	}
}

// hang stops a bridge; its neighbours see a carrier all the time.
func (n *network) hang() mishap {
	node := n.rand.IntN(n.topo.bridges)
	return mishap{
		name: fmt.Sprintf("b%d hangs", node), lasts: true,
		begin: func() { n.setUp(node, false) }, end: func() { n.setUp(node, true) },
	}
}

// flap cuts and mends cables, again and again.
func (n *network) flap() mishap {
	ls := n.some()
	m := mishap{name: "cables flap", tame: true, begin: func() {}, end: func() {}}
	for _, l := range ls {
		at := time.Duration(0)
		for range 1 + n.rand.IntN(6) {
			at += time.Duration(n.rand.Int64N(int64(3 * time.Second)))
			mend := at + 1 + time.Duration(n.rand.Int64N(int64(3*time.Second)))
			cut := at
			begin := m.begin
			m.begin = func() {
				begin()
				n.lab.After(cut, func() {
					n.echoed = n.echoed || n.echoesAmong(ls, -1, true)
					n.setCut(l, true)
				})
				n.lab.After(mend, func() { n.setCut(l, false) })
			}
			at = mend + 1
		}
		m.spell = max(m.spell, at)
	}
	return m
}

// oneWay has cables carry frames in one direction alone.
func (n *network) oneWay() mishap {
	ls, side := n.some(), n.rand.IntN(2)
	set := func(mute bool) {
		for _, l := range ls {
			n.setWay(l, side, mute, 0, 0)
		}
	}
	return mishap{
		name: fmt.Sprintf("%d one-way cables", len(ls)), spell: n.aWhile(), wild: true,
		begin: func() { set(true) }, end: func() { set(false) },
	}
}

// lose has a share of the BPDUs be lost, on some cables or on all.
func (n *network) lose() mishap {
	share := 0.1 + 0.85*n.rand.Float64()
	return n.impairing(fmt.Sprintf("%.0f%% of BPDUs lost", 100*share), share, 0)
}

// reorder has frames overtake each other.
func (n *network) reorder() mishap {
	jitter := time.Duration(1 + n.rand.Int64N(int64(500*time.Millisecond)))
	return n.impairing(fmt.Sprintf("jitter of %v", jitter.Round(time.Millisecond)), 0, jitter)
}

func (n *network) impairing(name string, loss float64, jitter time.Duration) mishap {
	ls := n.links
	if n.rand.IntN(2) == 0 {
		ls = n.some()
	}
	set := func(loss float64, jitter time.Duration) {
		for _, l := range ls {
			n.setWay(l, 0, false, loss, jitter)
			n.setWay(l, 1, false, loss, jitter)
		}
	}
	return mishap{
		name: fmt.Sprintf("%s on %d cables", name, len(ls)), spell: n.aWhile(), wild: true,
		begin: func() { set(loss, jitter) }, end: func() { set(0, 0) },
	}
}

// aWhile is how long what no protocol can mend lasts.
func (n *network) aWhile() time.Duration {
	return time.Second + time.Duration(n.rand.Int64N(int64(40*time.Second)))
}
