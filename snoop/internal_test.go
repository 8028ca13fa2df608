package snoop

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type counted struct{ n int }

func (c *counted) expired(*Machine, *timer, time.Duration) { c.n++ }

// TestTickBounded: a timer that sets itself again at once does not hold up a Tick,
// and waits for a jiffy.
func TestTickBounded(t *testing.T) {
	m := New(Config{})
	n := 0
	x := &timer{}
	x.Of = expirerFunc(func(now time.Duration) { n++; m.set(x, now, 0) })
	m.set(x, 0, 0)
	for i := range 10 {
		at, ok := m.NextTimer()
		require.True(t, ok)
		assert.Equal(t, time.Duration(i)*jiffy, at)
		m.Tick(at)
		assert.Equal(t, i+1, n)
	}
}

type expirerFunc func(now time.Duration)

func (f expirerFunc) expired(_ *Machine, _ *timer, now time.Duration) { f(now) }

// TestTable holds the table of published groups against a map.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var table table
	model := map[Key]*Group{}
	for range 50000 {
		n := r.IntN(2000)
		k := Key{Group: Addr{239, byte(n >> 8), byte(n)}, Family: IPv4}
		if r.IntN(5) == 0 {
			k.Source = Addr{10}
		}
		if r.IntN(2) == 0 {
			g := &Group{Key: k}
			table.put(g, [2]uint64{1, 3})
			model[k] = g
		} else {
			table.delete(k)
			delete(model, k)
		}
		require.Same(t, model[k], table.get(&k))
	}
	for k, g := range model {
		require.Same(t, g, table.get(&k))
	}
	for k := range model {
		table.delete(k)
	}
	assert.True(t, table.empty())
}

// TestTimes does not overflow.
func TestTimes(t *testing.T) {
	assert.Equal(t, 3*time.Second, times(3, time.Second))
	assert.Zero(t, times(0, longest))
	assert.Equal(t, longest, times(1<<32-1, longest))
	m := New(Config{})
	x := timer{Of: &counted{}}
	m.set(&x, longest, 1<<63-1)
	assert.Positive(t, x.At)
}
