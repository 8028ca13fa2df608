package replay

import (
	"cmp"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A carrier gives frames to a port otherwise than one at a time, and answers the
// first refusal.
type carrier func(p *bridge.Port, fs []frame.Frame) error

// burst is how many steps from i on inject frames at one port.
func burst(steps []Step, i int) int {
	n := 0
	for _, t := range steps[i:] {
		if t.Op != "inject" || t.Port == hostName || t.Port != steps[i].Port {
			break
		}
		n++
	}
	return n
}

// merged is a step that stands for several: their frames left in order, and the
// first of their refusals is the answer.
func merged(steps []Step) (t Step, fs []frame.Frame, err error) {
	t = Step{Op: "inject", Port: steps[0].Port, Out: map[string][]string{}}
	for _, s := range steps {
		data, err := hex.DecodeString(s.Frame)
		if err != nil {
			return t, nil, err
		}
		fs = append(fs, frame.Frame{Data: data})
		for _, name := range slices.Sorted(maps.Keys(s.Out)) {
			t.Out[name] = append(t.Out[name], s.Out[name]...)
		}
		if t.Err == "" {
			t.Err = s.Err
		}
	}
	return t, fs, nil
}

// replayIn replays s, but frames that come in one after the other at one port go
// by way of carry. It says how many frames did.
func replayIn(s *Scenario, opt Options, carry carrier) (n int, d *Difference) {
	r := &run{s: s, opt: opt, now: epoch, at: -1}
	defer r.end()
	if err := r.build(); err != nil {
		return 0, r.difference(err)
	}
	r.collect()
	for r.at = 0; r.at < len(s.Steps); {
		err, some := error(nil), burst(s.Steps, r.at)
		if some < 2 {
			some, err = 1, r.step(&s.Steps[r.at])
		} else {
			err = r.carried(s.Steps[r.at:r.at+some], carry)
			n += some
		}
		if err != nil {
			return n, r.difference(err)
		}
		r.at += some
	}
	return n, nil
}

// carried is step for a burst.
func (r *run) carried(steps []Step, carry carrier) error {
	t, fs, err := merged(steps)
	if err != nil {
		return err
	}
	d := r.dev(t.Port)
	for i := range fs {
		d.strayed(fs[i].Data)
		if r.opt.TagAside {
			fs[i] = aside(fs[i])
		}
	}
	if err := sameRefusal(t.Err, carry(d.port, fs)); err != nil {
		return err
	}
	for i := range steps {
		if err := r.pause(&steps[i]); err != nil {
			return err
		}
	}
	if err := r.compareFrames(&t); err != nil {
		return err
	}
	return r.checkLedgers()
}

// carriers are ways to carry a burst that are to make no difference.
func carriers(r *rand.Rand) map[string]carrier {
	cut := func(fs []frame.Frame, each func([]frame.Frame) error) (err error) {
		for len(fs) > 0 {
			n := 1 + r.IntN(len(fs))
			err = cmp.Or(err, each(fs[:n]))
			fs = fs[n:]
		}
		return err
	}
	inputs := map[*bridge.Port][]*bridge.Input{}
	return map[string]carrier{
		"one batch": func(p *bridge.Port, fs []frame.Frame) error { return p.Receive(fs...) },
		"cut at random": func(p *bridge.Port, fs []frame.Frame) error {
			return cut(fs, func(fs []frame.Frame) error { return p.Receive(fs...) })
		},
		"by three Inputs in turn": func(p *bridge.Port, fs []frame.Frame) error {
			if inputs[p] == nil {
				inputs[p] = []*bridge.Input{p.Input(), p.Input(), p.Input()}
			}
			return cut(fs, func(fs []frame.Frame) error { return inputs[p][r.IntN(3)].Receive(fs) })
		},
	}
}

// A batch is transport: a scenario that passes frame by frame passes however the
// frames that follow one another at a port are cut into batches, and spread over
// Inputs. Tags are in the data and beside it in turn. Short is every fifth scenario.
func TestRecordingsInBatches(t *testing.T) {
	frames, scenarios, every := 0, 0, 1
	if testing.Short() {
		every = 5
	}
	for i, s := range readAll(t) {
		if i%every != 0 {
			continue
		}
		opt := Options{TagAside: i%2 == 1}
		if !slices.ContainsFunc(indices(s.Steps), func(i int) bool { return burst(s.Steps, i) > 1 }) || Run(s, opt) != nil {
			continue // nothing to cut, or as it is with single frames
		}
		some := 0
		for name, carry := range carriers(rand.New(rand.NewPCG(uint64(i), 7))) {
			n, d := replayIn(s, opt, carry)
			require.Nil(t, d, "%s: %v", name, d)
			some = n
		}
		frames, scenarios = frames+some, scenarios+1
	}
	assert.Greater(t, scenarios, 400/every, "scenarios with frames that follow one another at a port")
	assert.Greater(t, frames, 2000/every, "such frames")
}

// What carries a burst wrongly is noticed: a frame left out, two in the wrong
// order, the answer of another.
func TestBurstsCount(t *testing.T) {
	for name, carry := range map[string]carrier{
		"a frame is left out":   func(p *bridge.Port, fs []frame.Frame) error { return p.Receive(fs[1:]...) },
		"the order is reversed": func(p *bridge.Port, fs []frame.Frame) error { slices.Reverse(fs); return p.Receive(fs...) },
		"a refusal is lost":     func(p *bridge.Port, fs []frame.Frame) error { _ = p.Receive(fs...); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range readAll(t) {
				if Run(s, Options{}) != nil {
					continue
				}
				if _, d := replayIn(s, Options{}, carry); d != nil {
					return
				}
			}
			t.Error("no scenario notices")
		})
	}
}
