package stp

import (
	"time"

	"github.com/ddfb540f/bridge/internal/timers"
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

// A timer is one of a Bridge's: what it does when it expires.
type timer = timers.Timer[func(now time.Duration)]

// clock is the timers that run. Linux sees to it that none expires early: it expires a
// tick after the moment that it was set for, so that a BPDU of that very moment comes
// before it.
type clock struct {
	timers.Queue[func(now time.Duration)]
}

// set starts a timer, or moves it.
func (c *clock) set(t *timer, now, after time.Duration) { c.setAt(t, now, now+tickOf(after)) }

func (c *clock) setAt(t *timer, now, at time.Duration) { c.Set(t, max(at, now)) }

func (c *clock) next() (at time.Duration, ok bool) {
	t := c.Next()
	if t == nil {
		return 0, false
	}
	return t.At + tick, true
}

// run runs what is due. A timer that one sets is not due yet.
func (c *clock) run(now time.Duration) {
	for t := c.Next(); t != nil && t.At < now; t = c.Next() {
		c.Stop(t)
		t.Of(now)
	}
}
