package timers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestQueue holds the heap against a sorted list, with timers set, moved and
// stopped at random.
func TestQueue(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var h Queue[string]
	all := make([]Timer[string], 50)
	for range 20000 {
		x := &all[r.IntN(len(all))]
		if r.IntN(3) == 0 {
			h.Stop(x)
			require.False(t, x.Pending())
		} else {
			h.Set(x, time.Duration(r.IntN(20)))
		}
		var running []*Timer[string]
		for i := range all {
			if all[i].Pending() {
				running = append(running, &all[i])
			}
		}
		require.Equal(t, len(running), h.Len())
		if len(running) == 0 {
			require.Nil(t, h.Next())
			continue
		}
		first := slices.MinFunc(running, func(a, b *Timer[string]) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		require.Same(t, first, h.Next())
		for i, x := range h.heap {
			require.Equal(t, i+1, x.pos)
		}
	}
}
