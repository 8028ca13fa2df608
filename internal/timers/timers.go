// Package timers is the timers of a machine that has no clock: which of them run, and
// which is due first.
package timers

import "time"

// A Timer is part of what it belongs to. The zero Timer does not run; Of says whose it is.
type Timer[T any] struct {
	At  time.Duration // when it is due; stays readable after it has passed
	Of  T
	seq uint64 // of its setting
	pos int    // place in the heap, from 1; 0: it does not run
}

// Pending reports whether the timer runs.
func (t *Timer[T]) Pending() bool { return t.pos != 0 }

// Left is the time that remains, 0 if the timer does not run.
func (t *Timer[T]) Left(now time.Duration) time.Duration {
	if !t.Pending() {
		return 0
	}
	return max(t.At-now, 0)
}

// A Queue is a binary heap of what runs, the next on top. Setting, moving and stopping
// cost the logarithm of their number; there are as many as there is state. Of those due
// at one moment the one set last is the first, as in a bucket of the kernel's timer wheel.
type Queue[T any] struct {
	heap []*Timer[T]
	seq  uint64
}

// Len is how many timers run.
func (q *Queue[T]) Len() int { return len(q.heap) }

// Next is the timer that is due first; nil if none runs.
func (q *Queue[T]) Next() *Timer[T] {
	if len(q.heap) == 0 {
		return nil
	}
	return q.heap[0]
}

// Set starts t, or moves it if it runs.
func (q *Queue[T]) Set(t *Timer[T], at time.Duration) {
	q.seq++
	t.At, t.seq = at, q.seq
	if !t.Pending() {
		q.heap = append(q.heap, t)
		t.pos = len(q.heap)
	}
	q.down(q.up(t.pos))
}

// Stop makes t not run.
func (q *Queue[T]) Stop(t *Timer[T]) {
	pos := t.pos
	if pos == 0 {
		return
	}
	last := q.heap[len(q.heap)-1]
	q.heap[len(q.heap)-1] = nil
	q.heap = q.heap[:len(q.heap)-1]
	t.pos = 0
	if last != t {
		q.heap[pos-1], last.pos = last, pos
		q.down(q.up(pos))
	}
}

// before orders the timers.
func (t *Timer[T]) before(u *Timer[T]) bool {
	if t.At != u.At {
		return t.At < u.At
	}
	return t.seq > u.seq
}

func (q *Queue[T]) swap(a, b int) {
	q.heap[a-1], q.heap[b-1] = q.heap[b-1], q.heap[a-1]
	q.heap[a-1].pos, q.heap[b-1].pos = a, b
}

func (q *Queue[T]) up(pos int) int {
	for pos > 1 && q.heap[pos-1].before(q.heap[pos/2-1]) {
		q.swap(pos, pos/2)
		pos /= 2
	}
	return pos
}

func (q *Queue[T]) down(pos int) {
	for {
		least := pos
		for child := 2 * pos; child <= 2*pos+1 && child <= len(q.heap); child++ {
			if q.heap[child-1].before(q.heap[least-1]) {
				least = child
			}
		}
		if least == pos {
			return
		}
		q.swap(pos, least)
		pos = least
	}
}
