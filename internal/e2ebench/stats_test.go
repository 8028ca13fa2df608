//go:build linux

package main

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpread(t *testing.T) {
	assert.Equal(t, spread{}, spreadOf(nil))
	assert.Equal(t, spread{3, 3, 3}, spreadOf([]float64{3}))
	xs := []float64{9, 1, 4, 2}
	assert.Equal(t, spread{3, 1, 9}, spreadOf(xs))
	assert.Equal(t, []float64{9, 1, 4, 2}, xs, "what was measured stays in its order")
	assert.Equal(t, spread{4, 1, 9}, spreadOf([]float64{9, 1, 4}))
}

func TestRatios(t *testing.T) {
	assert.Equal(t, []float64{2, 0.5}, ratios([]float64{4, 1, 5}, []float64{2, 2}))
	assert.Equal(t, []float64{2}, ratios([]float64{4, 1}, []float64{2, 0}), "nothing can be compared with 0")
	assert.Equal(t, []float64{0}, ratios([]float64{0, math.NaN()}, []float64{2, 2}))
}

func TestPercentile(t *testing.T) {
	var hundred []int64
	for i := range int64(100) {
		hundred = append(hundred, i+1)
	}
	for _, tc := range []struct {
		p    float64
		want int64
	}{{.5, 50}, {.99, 99}, {.999, 100}, {0, 1}, {1, 100}} {
		assert.Equal(t, tc.want, percentile(hundred, tc.p), "%v", tc.p)
	}
	assert.Equal(t, int64(7), percentile([]int64{7}, .5))
	assert.Zero(t, percentile(nil, .5))
}

// Every rival has ours for a neighbour in each round, and what is first in one round is
// last in the next.
func TestTurns(t *testing.T) {
	assert.Equal(t, []turn{{0}}, turns(1, 0))
	assert.Equal(t, []turn{{1, 0}}, turns(2, 0))
	assert.Equal(t, []turn{{0, 1}}, turns(2, 1))
	assert.Equal(t, []turn{{1, 0, 2}, {3, 0}}, turns(4, 0))
	assert.Equal(t, []turn{{0, 3}, {2, 0, 1}}, turns(4, 1))
	for n := 2; n < 10; n++ {
		for round := range 2 {
			seen := map[int]int{}
			for _, turn := range turns(n, round) {
				for i, who := range turn {
					seen[who]++
					if who != 0 {
						assert.True(t, i > 0 && turn[i-1] == 0 || i+1 < len(turn) && turn[i+1] == 0, "%d of %d has no pair in %v", who, n, turn)
					}
				}
			}
			for who := 1; who < n; who++ {
				assert.Equal(t, 1, seen[who], "turns of %d of %d", who, n)
			}
		}
	}
}

func TestParseBusy(t *testing.T) {
	busy, err := parseBusy("cpu  100 20 30 4000 500 6 7 800 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
	require.NoError(t, err)
	assert.Equal(t, 1630*time.Millisecond, busy, "neither idle nor waiting nor stolen")
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8"} {
		_, err := parseBusy(bad)
		assert.Error(t, err, "%q", bad)
	}
	real, err := machineBusy()
	require.NoError(t, err)
	assert.Positive(t, real)
}

func TestParseReceived(t *testing.T) {
	dev := "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n" +
		"    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n" +
		"    e0:64000 1000 0 0 0 0 0 0 128 2 0 0 0 0 0 0\n"
	n, err := parseReceived(dev, "e0")
	require.NoError(t, err)
	assert.Equal(t, uint64(1000), n)
	_, err = parseReceived(dev, "e1")
	assert.Error(t, err)
	_, err = parseReceived(" e0: many few\n", "e0")
	assert.Error(t, err)
}

func TestProcessBusy(t *testing.T) {
	before := processBusy([]int{1})
	assert.Positive(t, before)
	assert.Zero(t, processBusy([]int{1 << 23}), "a process that is not there: PID_MAX_LIMIT is 1 << 22")
	assert.GreaterOrEqual(t, processBusy([]int{1, 1 << 23}), before)
}

// A pace gives what is due, whole, and does not make up for a long absence by a flood.
func TestPace(t *testing.T) {
	p := &pace{rate: 50_000}
	assert.Equal(t, int64(0), p.due(19_999))
	assert.Equal(t, int64(1), p.due(20_000))
	assert.Equal(t, int64(50_000*3600*24*365), p.due(int64(365*24*time.Hour)), "for a year")

	p.began = monotonic() - int64(time.Second)
	assert.Equal(t, blastBatch, p.wait())
	p.sent += blastBatch
	assert.Less(t, p.due(monotonic())-p.sent, int64(50_000/2), "half a second's frames at once")
	assert.Equal(t, blastBatch, newPace(0).wait(), "as fast as it goes")
}
