package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// sight is what was seen of a frame at one place of its path.
type sight struct {
	at       time.Time
	who      string // "kernel" or "bridge"
	text     string
	src, dst frame.MAC
	enters   bool   // a frame comes into the host here
	what     string // what it carries, of one that enters
}

// recorder takes down the steps of the bridge.
type recorder struct {
	mu    sync.Mutex // guards steps: each port has a reader of its own
	steps []sight
}

// trace is the bridge.Trace. What the bridge hands to a TAP enters the kernel by the
// TAP's write, tun_get_user; netif_receive_skb, which follows, the eyes see.
func (r *recorder) trace(s bridge.Step) {
	if s.Probe == bridge.ProbeNetifReceive && s.Dev == "br0" {
		s.Driver = "tun_get_user"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, sight{at: time.Now(), who: "bridge", text: s.String(), src: s.Src, dst: s.Dst})
}

// watch does something and gives all that was seen meanwhile, in the order of time
// but that each frame's path is in one piece.
func (w *world) watch(do func() error) ([]sight, error) {
	if _, err := w.looked(); err != nil { // what was before is none of this
		return nil, err
	}
	var r recorder
	w.bridge.SetTrace(r.trace)
	err := do()
	w.bridge.SetTrace(nil)
	// A change of the configuration, be it to what it is already, returns when all
	// that was under way before has ended.
	if err := errors.Join(err, w.bridge.SetPromisc(false)); err != nil {
		return nil, err
	}
	kernel, err := w.looked()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return paths(append(kernel, r.steps...)), nil
}

// looked collects what the eyes have seen.
func (w *world) looked() (all []sight, err error) {
	for _, e := range w.eyes {
		seen, err := e.look()
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", e.dev, err)
		}
		all = append(all, seen...)
	}
	return all, nil
}

// paths orders sights by time, and then moves each to the last frame between the same
// two addresses that had entered: the bridge may still be busy with a frame for many
// while the first answer is on its way. No frame goes before one that it answers.
func paths(all []sight) []sight {
	slices.SortStableFunc(all, func(a, b sight) int { return a.at.Compare(b.at) })
	var frames [][]sight
	for _, s := range all {
		i := len(frames) - 1
		for i >= 0 && (frames[i][0].src != s.src || frames[i][0].dst != s.dst) {
			i--
		}
		if s.enters || i < 0 {
			frames = append(frames, nil)
			i = len(frames) - 1
		}
		frames[i] = append(frames[i], s)
	}
	return slices.Concat(frames...)
}

// printPaths prints one line a sight, and what a frame carries above its first.
func printPaths(w io.Writer, all []sight) {
	for _, s := range all {
		if s.enters {
			fmt.Fprintf(w, "%s\n", s.what)
		}
		fmt.Fprintf(w, "  %s  %s\n", s.who, s.text)
	}
}
