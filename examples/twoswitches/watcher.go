package main

import (
	"strings"
	"sync"

	"github.com/ddfb540f/bridge"
)

// A watcher puts into words what one switch did with a frame, from the steps that
// its trace shows.
type watcher struct {
	mu    sync.Mutex // guards the rest: a real switch works in goroutines of its own
	words []string
	out   []string // the ports that it left by
}

// step is the switch's Trace.
func (w *watcher) step(s bridge.Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch s.Probe {
	case bridge.ProbeHandleFrame:
		w.words = append(w.words, "takes it in by "+s.Dev)
	case bridge.ProbeFDBUpdate:
		if s.Decision == bridge.Learned {
			w.words = append(w.words, "learns where the sender is")
		}
	case bridge.ProbeForward:
		w.words = append(w.words, "knows the destination")
	case bridge.ProbeFlood:
		if s.Decision == bridge.UnknownUnicast {
			w.words = append(w.words, "does not know the destination")
		} else {
			w.words = append(w.words, "floods it")
		}
	case bridge.ProbeEgress:
		w.out = append(w.out, s.Dev)
	}
}

// take gives the words since the last call.
func (w *watcher) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	words, out := w.words, w.out
	w.words, w.out = nil, nil
	if len(words) == 0 {
		return "does not see it"
	}
	return strings.Join(words, ", ") + ": out of " + strings.Join(out, ", ")
}
