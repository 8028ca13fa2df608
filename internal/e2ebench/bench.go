//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"
)

// A bench measures the contestants over one cable.
type bench struct {
	opts options
	log  io.Writer // what goes on, and what is left out
}

// run measures all that is asked for, and gives each table as soon as it is full.
func (b *bench) run(ctx context.Context, full func(t *table)) error {
	for _, c := range b.opts.cables {
		if err := b.runCable(ctx, c, full); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) runCable(ctx context.Context, c cable, full func(t *table)) error {
	rigs, err := b.setUp(ctx, c)
	defer func() {
		for _, r := range rigs {
			r.close()
		}
	}()
	if err != nil {
		return err
	}
	for _, w := range b.opts.workloads {
		if !c.bears(w) {
			fmt.Fprintf(b.log, "skipped: %s over %s: there are no hosts\n", w.name, c.name)
			continue
		}
		t, err := b.measure(ctx, c, w, rigs)
		if err != nil {
			return fmt.Errorf("%s over %s: %w", w.name, c.name, err)
		}
		full(t)
	}
	return nil
}

// setUp gives a rig for ours and, behind it, one for each peer that can be had. All
// stay for the whole time: one that is not measured has nothing to do.
func (b *bench) setUp(ctx context.Context, c cable) (rigs []*rig, err error) {
	for _, p := range append([]peer{ours}, b.opts.peers...) {
		why := p.missing()
		switch {
		case !p.fits(c):
			why = "not with this cable"
		case why == "":
			r, err := newRig(ctx, p, c, b.opts.profile)
			if err == nil {
				rigs = append(rigs, r)
				continue
			}
			if p.name == oursName || ctx.Err() != nil {
				return rigs, err
			}
			why = err.Error()
		}
		fmt.Fprintf(b.log, "skipped: %s over %s: %s\n", p.name, c.name, why)
	}
	return rigs, nil
}

// measure runs one workload over all rigs in turns. A peer that fails is taken down and
// left out from then on.
func (b *bench) measure(ctx context.Context, c cable, w workload, rigs []*rig) (*table, error) {
	if w.plain {
		if err := offloads(ctx, rigs, false); err != nil {
			return nil, err
		}
		defer func() { _ = offloads(context.WithoutCancel(ctx), rigs, true) }()
	}
	s := newSeries(rigs, w)
	for round := range b.opts.pairs {
		for _, t := range turns(len(rigs), round) {
			if err := b.take(ctx, w, rigs, t, s); err != nil {
				return nil, err
			}
		}
	}
	return s.table(c), nil
}

func offloads(ctx context.Context, rigs []*rig, on bool) error {
	for _, r := range rigs {
		if r.plain || r.down {
			continue
		}
		if _, err := r.stations[0].ask(ctx, request{Op: "offload", On: on}); err != nil {
			return fmt.Errorf("%s: %w", r.peer.name, err)
		}
	}
	return nil
}

// settle is the pause between two runs, in which what is under way arrives.
const settle = 30 * time.Millisecond

// take has one turn.
func (b *bench) take(ctx context.Context, w workload, rigs []*rig, t turn, s *series) error {
	got := map[int][]float64{}
	for _, i := range t {
		if rigs[i].down {
			continue
		}
		m, err := w.run(ctx, rigs[i], b.opts.lengthOf(w))
		switch {
		case err == nil:
		case i == 0 || ctx.Err() != nil:
			return fmt.Errorf("%s: %w", rigs[i].peer.name, err)
		default:
			rigs[i].close()
			fmt.Fprintf(b.log, "left out: %s: %s: %v\n", rigs[i].peer.name, w.name, err)
			continue
		}
		for _, metric := range w.metrics {
			v := metric.of(m)
			if math.IsInf(v, 0) {
				v = math.NaN()
			}
			got[i] = append(got[i], v)
		}
		if err := sleep(ctx, settle); err != nil {
			return err
		}
	}
	s.add(got)
	return nil
}
