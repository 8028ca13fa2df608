package filter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// The time may be any, and the filters the same: what they measure are differences. A
// clock that goes back stands still until it is there again.
func TestAnyTime(t *testing.T) {
	for _, start := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)} {
		s, err := filter.NewStorm(nil, filter.Rates{filter.Broadcast: {Frames: 100}})
		require.NoError(t, err)
		fl, err := filter.NewFlap(filter.Flapping{Moves: 2, Hold: time.Second})
		require.NoError(t, err)
		r := newRigAt(t, start, 2, bridge.Config{Filters: []bridge.Filter{s.Filter(), fl.Filter()}})
		f := plain(frame.Broadcast, mac(1))
		assert.Equal(t, bridge.Used, r.ports[0].Explain(f).Verdict)
		assert.Equal(t, 10, r.through(1, 100, f), start)
		r.pass(50 * time.Millisecond)
		assert.Equal(t, 5, r.through(1, 100, f))
		r.pass(time.Minute)
		r.in(2, f)
		assert.NotEmpty(t, r.out(1, f))
		r.in(2, f)
		assert.Empty(t, r.out(2, f), "held")
		r.pass(1100 * time.Millisecond)
		assert.NotEmpty(t, r.out(2, f), "for a second")

		r.pass(5 * 365 * 24 * time.Hour)
		assert.Equal(t, 10, r.through(1, 100, f))
		r.pass(-time.Hour)
		assert.Zero(t, r.through(1, 100, f))
		r.pass(time.Hour + 50*time.Millisecond)
		assert.Equal(t, 5, r.through(1, 100, f))
		r.balanced()
	}
}
