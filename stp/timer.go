package stp

import (
	"cmp"
	"container/heap"
	"time"
)

// Linux counts time in ticks, here of 4 ms (HZ 250), and what is between them it does
// not see: moments and lengths of timers are whole ticks, rounded down.
const (
	tick     = time.Second / hz
	hz       = 250
	holdTime = time.Second
)

func tickOf(t time.Duration) time.Duration { return t - t%tick }

// fromTicks is the time that a BPDU tells, as Linux keeps it: in ticks of its own,
// rounded up (br_get_ticks).
func fromTicks(t Ticks) time.Duration { return (time.Duration(t)*hz + 255) / 256 * tick }

// toTicks is how Linux tells a time in a BPDU: rounded down, and of what does not fit
// the lower 16 bits (br_set_ticks).
func toTicks(d time.Duration) Ticks { return Ticks(uint16(d / tick * 256 / hz)) }

// rounded is a moment moved to a full second, so that timers which need not be exact
// expire together: down if it is less than a quarter of a second past one, else up, and
// not moved at all if that would not be ahead of now (round_jiffies).
func rounded(at, now time.Duration) time.Duration {
	past := at % time.Second
	to := at - past
	if past >= time.Second/4 {
		to += time.Second
	}
	if to <= now {
		return at
	}
	return to
}

// A timer is one timer of a Bridge. It runs while it is in the Bridge's timers.
type timer struct {
	at      time.Duration
	seq     uint64
	place   int // in the heap, plus one; 0: it does not run
	expired func(now time.Duration)
}

func (t *timer) running() bool { return t.place != 0 }

// left is how long the timer has still to run, 0 if it does not.
func (t *timer) left(now time.Duration) time.Duration {
	if !t.running() {
		return 0
	}
	return max(t.at-now, 0)
}

// timers is those that run, the first one due in front; of two that are due at the same
// moment the one that was set last comes first, as in Linux. Linux sees to it that no timer
// expires early: it expires a tick after the moment that it was set for, so that a BPDU of
// that very moment comes before it.
type timers struct {
	heap timerHeap
	seq  uint64
}

// set starts a timer, or moves it.
func (s *timers) set(t *timer, now, after time.Duration) { s.setAt(t, now, now+tickOf(after)) }

func (s *timers) setAt(t *timer, now, at time.Duration) {
	s.seq++
	t.at, t.seq = max(at, now), s.seq
	if t.running() {
		heap.Fix(&s.heap, t.place-1)
		return
	}
	heap.Push(&s.heap, t)
}

func (s *timers) stop(t *timer) {
	if t.running() {
		heap.Remove(&s.heap, t.place-1)
	}
}

func (s *timers) next() (at time.Duration, ok bool) {
	if len(s.heap) == 0 {
		return 0, false
	}
	return s.heap[0].at + tick, true
}

// run runs what is due.
func (s *timers) run(now time.Duration) { // a timer that one sets is not due yet
	for len(s.heap) > 0 && s.heap[0].at < now {
		t := s.heap[0]
		s.stop(t)
		t.expired(now)
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].at, h[j].at), cmp.Compare(h[j].seq, h[i].seq)) < 0
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.place = len(*h)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.place = 0
	return t
}
