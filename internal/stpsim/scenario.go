package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// A phase is what a network did between something that happened and its being quiet
// again.
type phase struct {
	name   string
	ok     time.Duration // until the active topology was a spanning tree for good
	quiet  time.Duration // until the last port changed its state
	looped time.Duration // for how long the active topology had a loop
}

// A result is what became of one topology.
type result struct {
	topo    string
	phases  []phase
	looped  time.Duration // for how long there was a loop, all together
	astray  int           // frames to silent hosts that did not arrive
	doubles int           // frames that reached a host twice on the way
	stormed uint64        // frames that storm control held back
	frames  uint64        // in cables between bridges
	bpdus   uint64
	peak    int // frames under way at one time
	virtual time.Duration
	err     error
}

// play makes the topology of a seed, powers it on, has a few things happen to it, and
// checks it whenever it has converged.
func play(p *protocol, seed uint64, trace io.Writer) (r result) {
	chance := rand.New(rand.NewPCG(seed, 1))
	t := draw(chance)
	r.topo = t.String()
	n, err := build(t, p, seed, trace)
	if err != nil {
		r.err = err
		return r
	}
	defer n.lab.Close()
	r.err = n.live(&r)
	r.looped, r.astray, r.doubles, r.stormed, r.peak = n.looped, n.astray, n.doubles, n.stormed, n.peak
	r.frames, r.bpdus, r.virtual = n.carried, n.bpdus, n.lab.Now()
	return r
}

// live is what happens to a network in its life.
func (n *network) live(r *result) error {
	if err := n.phase(r, "power on", true, func() { n.powerOn(3 * time.Second) }); err != nil {
		return err
	}
	for range 1 + n.rand.IntN(3) {
		m := mishaps[n.rand.IntN(len(mishaps))](n)
		if err := n.suffer(r, m); err != nil {
			return err
		}
	}
	return nil
}

// suffer is a mishap and its end.
func (n *network) suffer(r *result, m mishap) error {
	if m.lasts {
		if err := n.phase(r, m.name, m.tame, m.begin); err != nil {
			return err
		}
		return n.phase(r, m.name+": over", m.tameEnd, m.end)
	}
	n.talk()
	looped, doubles, stormed := n.looped, n.doubles, n.stormed
	m.begin()
	n.lab.Run(m.spell)
	n.hush()
	if m.tame && !n.echoed {
		if err := n.wasTame(looped, doubles, stormed); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	n.echoed = false
	n.untold = m.wild
	defer func() { n.untold = false }()
	return n.phase(r, m.name+": over", false, m.end)
}

// phase has something happen, waits until the network is quiet, and checks it. A tame
// one has no loop in any instant.
func (n *network) phase(r *result, name string, tame bool, happens func()) error {
	if n.trace != nil {
		n.tell("%s", name)
	}
	start := n.lab.Now()
	looped, doubles, stormed := n.looped, n.doubles, n.stormed
	n.talk()
	happens()
	err := n.settle(n.proto.quiet(n.topo, n.times), n.proto.limit(n.topo, n.times))
	n.hush()
	n.look()
	r.phases = append(r.phases, phase{
		name: name, ok: max(n.since-start, 0), quiet: n.changed - start, looped: n.looped - looped,
	})
	if n.looped > looped { // what was learned then no protocol has to forget: a port that blocks changes nothing
		defer func(was bool) { n.untold = was }(n.untold)
		n.untold = true
	}
	if err == nil {
		err = n.check()
	}
	if err == nil {
		err = n.checkCrowd()
	}
	if err == nil && tame {
		err = n.wasTame(looped, doubles, stormed)
	}
	if err != nil {
		return fmt.Errorf("%s (at %v): %w", name, start, err)
	}
	return nil
}

// wasTame says whether there was no loop since then, and what it would have done. RSTP
// with shared segments is asked for nothing: there nobody agrees, a port waits for two
// hello times instead (802.1D-2004, 17.20.5), and what is said of a way that is gone can
// go round for longer than that.
func (n *network) wasTame(looped time.Duration, doubles int, stormed uint64) error {
	if n.proto.rapid && n.topo.hubs > 0 || n.looped == looped && n.doubles == doubles && n.stormed == stormed {
		return nil
	}
	return fmt.Errorf("on the way there was a loop for %v, %d frames arrived twice, and storm control held %d back",
		n.looped-looped, n.doubles-doubles, n.stormed-stormed)
}
