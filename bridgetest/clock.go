package bridgetest

import (
	"container/heap"
	"time"
)

// An event is something that happens at an instant.
type event struct {
	at  time.Duration
	seq uint64 // orders the events of an instant: as they were scheduled
	do  func()
}

// eventQueue is a heap of events, the next one first.
type eventQueue []event

func (q eventQueue) Len() int      { return len(q) }
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }

func (q eventQueue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}

func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{} // lets go of what the event holds
	*q = (*q)[:last]
	return e
}

// Now is the virtual time since the lab was made.
func (l *Lab) Now() time.Duration { return l.now }

// clock is the time for the switches, and for Frame.Time: that of the Unix epoch
// is when the lab was made.
func (l *Lab) clock() time.Time { return time.Unix(0, int64(l.now)).UTC() }

// After has fn called once d has gone by, at once in the next Run if d is 0 or
// less. It may do anything but run the lab or ping.
func (l *Lab) After(d time.Duration, fn func()) {
	l.seq++
	heap.Push(&l.events, event{l.now + max(d, 0), l.seq, fn})
}

// Run lets time go by: frames arrive, hosts answer, and the timers of the
// switches run. It panics if it is called from inside a Run.
func (l *Lab) Run(d time.Duration) { l.run(d, func() bool { return false }) }

// run is Run that ends early after an instant at whose end done is true, and says
// whether that was so.
func (l *Lab) run(d time.Duration, done func() bool) bool {
	if l.running {
		panic("bridgetest: Run or Ping called from inside a Run")
	}
	l.running = true
	defer func() { l.running = false }()
	end := l.now + max(d, 0)
	for {
		at, ok := l.next()
		if !ok || at > end {
			l.now = end
			return false
		}
		l.now = max(l.now, at)
		l.instant()
		if done() {
			return true
		}
	}
}

// next is when something happens next, which may be past: it is overdue then.
func (l *Lab) next() (at time.Duration, ok bool) {
	if len(l.events) > 0 {
		at, ok = l.events[0].at, true
	}
	for _, b := range l.switches {
		if t, runs := b.NextTimer(); runs {
			if due := time.Duration(t.UnixNano()); !ok || due < at {
				at, ok = due, true
			}
		}
	}
	return at, ok
}

// instant runs what is due now.
func (l *Lab) instant() {
	for len(l.events) > 0 && l.events[0].at <= l.now {
		heap.Pop(&l.events).(event).do()
	}
	now := l.clock()
	for _, b := range l.switches {
		if t, runs := b.NextTimer(); runs && !t.After(now) {
			b.Tick(now)
		}
	}
}
