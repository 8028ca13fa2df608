package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) {
	collectSeldom()
	leaktest.Main(m)
}

// started is a network without a spanning tree whose bridges are all up.
func started(t *testing.T, topo *topology) *network {
	t.Helper()
	n, err := build(topo, protocols["off"], 1, nil)
	require.NoError(t, err)
	t.Cleanup(n.lab.Close)
	n.powerOn(0)
	n.lab.Run(time.Second)
	return n
}

// everywhere is a broadcast that each host is to get.
func (n *network) everywhere() error {
	all := func(int, int) bool { return true }
	return n.ask("broadcast", n.everyone(), n.broadcast(all))
}

// Where there is no loop nothing has to be done about it.
func TestTreesNeedNoProtocol(t *testing.T) {
	for _, kind := range []string{"line", "tree"} {
		n := started(t, shapes[kind](rand.New(rand.NewPCG(1, 1)), 30))
		require.NoError(t, n.check(), kind)
		assert.Zero(t, n.stormed)
		assert.Zero(t, n.looped)
	}
}

// The checks can fail: a ring without a protocol is seen by the states of its ports,
// and by its frames alone.
func TestLoopIsReported(t *testing.T) {
	for _, topo := range []*topology{
		ring(nil, 8),
		{kind: "two cables", bridges: 2, cables: []cable{{0, 1}, {1, 0}}},
		{kind: "itself", bridges: 2, cables: []cable{{0, 1}, {1, 1}}},
		{kind: "at a hub", bridges: 2, hubs: 1, cables: []cable{{0, 2}, {2, 1}, {2, 1}}},
	} {
		n := started(t, topo)
		assert.ErrorContains(t, n.check(), "has a loop", topo)
		assert.ErrorContains(t, n.everywhere(), "frames circulate", topo)
		assert.NotZero(t, n.stormed, topo)
	}
}

// One frame that circulates, so slowly that storm control lets it be, is under way
// still when all should have arrived.
func TestSlowLoopIsReported(t *testing.T) {
	n := started(t, ring(nil, 3))
	for _, l := range n.links {
		n.setWay(l, 0, false, 0, time.Second)
		n.setWay(l, 1, false, 0, time.Second)
	}
	n.send(0, -1)
	assert.ErrorContains(t, n.drain("one"), "still under way")
	assert.Zero(t, n.stormed)
}

// A port that blocks without need is seen by the states, and by what does not arrive.
func TestGapIsReported(t *testing.T) {
	n := started(t, line(nil, 4))
	require.NoError(t, n.check())
	require.NoError(t, n.links[1].ends[0].port.Set(bridge.PortAttrs{State: new(bridge.StateListening)}))
	n.lab.Run(time.Second)
	assert.ErrorContains(t, n.checkTree(), "does not reach every bridge")
	assert.ErrorContains(t, n.everywhere(), "reached h2 0 times, not 1")
	assert.ErrorContains(t, n.ask("unicast", []probe{{from: 0, to: 3}}, n.unicast(func(int, int) bool { return true })), "arrived 0 times")
}

// A cut that divides a network is no fault of the protocol, and is seen as one as soon
// as a frame gets across.
func TestPartsAreJudgedByThemselves(t *testing.T) {
	n := started(t, line(nil, 4))
	n.setCut(n.links[1], true)
	n.lab.Run(time.Second)
	require.NoError(t, n.check())
	n.setCut(n.links[1], false)
	n.links[1].cut = true // as if it were still
	assert.ErrorContains(t, n.check(), "reached h3 1 times")
}

// What arrives twice while hosts talk is counted.
func TestDoublesAreCounted(t *testing.T) {
	n := started(t, mesh(nil, 4))
	n.talk()
	n.lab.Run(10 * time.Second)
	n.hush()
	assert.NotZero(t, n.doubles)
	require.NoError(t, n.checkCrowd())
	n.peak = 10000
	require.ErrorContains(t, n.checkCrowd(), "10000 frames were under way")
	assert.ErrorContains(t, n.wasTame(0, 0, 0), "arrived twice")
}

// Cables lose, hold back and let pass what they are told to.
func TestWays(t *testing.T) {
	n := started(t, line(nil, 2))
	arrives := func() uint8 {
		n.forget()
		n.collect()
		n.send(0, 1)
		n.lab.Run(time.Second)
		n.collect()
		return n.sent[0].arrived[1]
	}
	assert.EqualValues(t, 1, arrives())
	n.setWay(n.links[0], 0, true, 0, 0)
	assert.EqualValues(t, 0, arrives(), "one-way")
	n.setWay(n.links[0], 0, false, 1, time.Millisecond)
	assert.EqualValues(t, 1, arrives(), "late, and no BPDU")
	n.setCut(n.links[0], true)
	assert.EqualValues(t, 0, arrives(), "cut")
	n.setCut(n.links[0], false)
	assert.EqualValues(t, 1, arrives(), "mended")
	n.setUp(1, false)
	assert.EqualValues(t, 0, arrives(), "hangs")
}

// A seed is one network and one life of it, to the last line of the trace.
func TestSameSeedSameTrace(t *testing.T) {
	run := func(seed uint64) string {
		var s bytes.Buffer
		play(protocols["off"], seed, &s)
		return s.String()
	}
	first := run(3)
	assert.Greater(t, strings.Count(first, "\n"), 100)
	assert.Equal(t, first, run(3))
	assert.NotEqual(t, first, run(4))
}

// A failure tells its seed and how to see it again, and the command fails.
func TestFailureTellsItsSeed(t *testing.T) {
	var out bytes.Buffer
	assert.Equal(t, 1, run([]string{"-protocol", "off", "-seed", "9", "-n", "1"}, &out, io.Discard))
	assert.Contains(t, out.String(), "FAILED")
	assert.Contains(t, out.String(), "go run ./internal/stpsim -protocol off -seed 9 -n 1 -v -trace")
	out.Reset()
	assert.Equal(t, 0, run([]string{"-protocol", "off", "-seed", "3", "-n", "1", "-trace"}, &out, io.Discard))
	assert.Contains(t, out.String(), "1 topologies, seeds 3 to 3, 0 failed")
	assert.Contains(t, out.String(), "is forwarding")

	for _, args := range [][]string{{"-protocol", "x"}, {"more"}, {"-n", "-1"}, {"-nosuch"}} {
		assert.Equal(t, 2, run(args, io.Discard, io.Discard), args)
	}
	assert.Equal(t, 0, run([]string{"-h"}, io.Discard, io.Discard))
}
