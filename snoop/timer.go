package snoop

import (
	"time"

	"github.com/ddfb540f/bridge/internal/timers"
)

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

// A timer is one of the Machine's. Of those due at one moment the one set last is the
// first: so a retransmission still finds the sources that expire at that very moment.
type timer = timers.Timer[expirer]
