package filter

import (
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
)

// A clock counts a filter's time from the first frame that it is asked about:
// Config.Clock may tell any time, a simulation's the year 1, which is no number of
// nanoseconds since 1970.
type clock struct {
	once  sync.Once
	start time.Time
}

// now is the time of a frame, in ns, never below 0: a reader whose batch began before
// that of the first frame is taken to be as late.
func (c *clock) now(s *bridge.Passage) int64 { return c.at(s.Now()) }

func (c *clock) at(t time.Time) int64 {
	c.once.Do(func() { c.start = t })
	return max(int64(t.Sub(c.start)), 0)
}
