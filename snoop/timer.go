package snoop

import "time"

// jiffy is the shortest time from one expiry of a timer to its next: that of a
// kernel with HZ=250. It keeps an interval of zero from being an endless loop.
const jiffy = 4 * time.Millisecond

// longest is a time that nobody waits for: sums of two still fit.
const longest = time.Duration(1 << 61)

// times is n times d, at most longest.
func times(n uint32, d time.Duration) time.Duration {
	if n != 0 && d > longest/time.Duration(n) {
		return longest
	}
	return time.Duration(n) * d
}

// An expirer has timers, and is told when one is due. The timer does not run any
// more then, and may be set again.
type expirer interface {
	expired(m *Machine, t *timer, now time.Duration)
}

// A timer is part of what it belongs to. The zero timer with its owner set does not
// run. Its moment stays readable after it has passed.
type timer struct {
	at  time.Duration
	seq uint64 // of its setting
	pos int    // place in the heap, from 1; 0: it does not run
	of  expirer
}

func (t *timer) pending() bool { return t.pos != 0 }

// left is the time that remains, 0 if the timer does not run.
func (t *timer) left(now time.Duration) time.Duration {
	if !t.pending() {
		return 0
	}
	return max(t.at-now, 0)
}

// timers is a binary heap of what runs, the next on top. Setting, moving and
// stopping cost the logarithm of their number; there are as many as there is state.
type timers struct {
	heap []*timer
	seq  uint64
}

// before orders the timers. Of those due at one moment the one set last is the
// first, as in a bucket of the kernel's timer wheel: so a retransmission still finds
// the sources that expire at that very moment.
func before(a, b *timer) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.seq > b.seq
}

// set starts t, or moves it if it runs.
func (h *timers) set(t *timer, at time.Duration) {
	h.seq++
	t.at, t.seq = at, h.seq
	if !t.pending() {
		h.heap = append(h.heap, t)
		t.pos = len(h.heap)
	}
	h.down(h.up(t.pos))
}

// stop makes t not run.
func (h *timers) stop(t *timer) {
	pos := t.pos
	if pos == 0 {
		return
	}
	last := h.heap[len(h.heap)-1]
	h.heap[len(h.heap)-1] = nil
	h.heap = h.heap[:len(h.heap)-1]
	t.pos = 0
	if last != t {
		h.heap[pos-1], last.pos = last, pos
		h.down(h.up(pos))
	}
}

// next is the timer that is due first; nil if none runs.
func (h *timers) next() *timer {
	if len(h.heap) == 0 {
		return nil
	}
	return h.heap[0]
}

func (h *timers) swap(a, b int) {
	h.heap[a-1], h.heap[b-1] = h.heap[b-1], h.heap[a-1]
	h.heap[a-1].pos, h.heap[b-1].pos = a, b
}

func (h *timers) up(pos int) int {
	for pos > 1 && before(h.heap[pos-1], h.heap[pos/2-1]) {
		h.swap(pos, pos/2)
		pos /= 2
	}
	return pos
}

func (h *timers) down(pos int) {
	for {
		least := pos
		for child := 2 * pos; child <= 2*pos+1 && child <= len(h.heap); child++ {
			if before(h.heap[child-1], h.heap[least-1]) {
				least = child
			}
		}
		if least == pos {
			return
		}
		h.swap(pos, least)
		pos = least
	}
}
