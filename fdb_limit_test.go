package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// onPort is how many learned addresses each port holds.
func (l *lab) onPort() map[string]int {
	n := map[string]int{}
	for e := range l.b.FDB().All() {
		if !e.User && e.State&bridge.NUDPermanent == 0 {
			n[e.Port]++
		}
	}
	return n
}

// At FDBLimit a new address takes the place of one of the port that holds most: the
// one that was silent for the longest.
func TestFDBLimit(t *testing.T) {
	l := newLab(t, bridge.Config{FDBLimit: 4})
	for i := range 3 {
		l.add(i+1, bridge.PortConfig{})
	}
	l.learn(1, mac(1))
	l.learn(2, mac(2), mac(3), mac(4))
	take := l.watch()
	l.learn(3, mac(5))
	assert.Equal(t, []string{"fdb delete p2 " + mac(2).String() + " evicted", "fdb add p3 " + mac(5).String()}, take(), "the oldest of p2")
	l.learn(2, mac(3))
	l.learn(2, mac(6))
	assert.Equal(t, map[string]int{"p1": 1, "p2": 2, "p3": 1}, l.onPort(), "among its own, as no port holds more")
	assert.Equal(t, []string{"p2", "-", "p2"}, []string{l.where(mac(3), 0), l.where(mac(4), 0), l.where(mac(6), 0)}, "mac(3) was seen again, and is spared")
	l.learn(2, mac(7), mac(8))
	assert.Equal(t, []string{"-", "-"}, []string{l.where(mac(3), 0), l.where(mac(6), 0)}, "once")
	assert.Equal(t, []string{"p1", "p3"}, []string{l.where(mac(1), 0), l.where(mac(5), 0)}, "a flood pushes no other port below its share")
	assert.EqualValues(t, 4, l.b.Stats().FDBEvicted)
	assert.EqualValues(t, 4, l.p(2).Stats().FDBEvicted)
	assert.Zero(t, l.b.Stats().FDBRefused)
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(50), State: bridge.NUDNoARP}))
	assert.Equal(t, 4, l.b.FDB().Learned(), "requests are not limited, and evict nothing")
	l.learn(1, mac(7))
	assert.Equal(t, map[string]int{"p1": 2, "p2": 1, "p3": 1}, l.onPort(), "a move is no new address")
}

// At PortConfig.FDBLimit an address that is new on the port, or roams to it, takes
// the place of another one there.
func TestFDBPortLimit(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{FDBLimit: 2})
	l.learn(2, mac(1), mac(2), mac(3))
	assert.Equal(t, []string{"-", "p2", "p2"}, []string{l.where(mac(1), 0), l.where(mac(2), 0), l.where(mac(3), 0)})
	l.learn(1, mac(9))
	take := l.watch()
	l.learn(2, mac(9))
	assert.Equal(t, []string{"fdb delete p2 " + mac(2).String() + " evicted", "fdb move p2 " + mac(9).String()}, take(), "who roams to a full port is found there")
	assert.Equal(t, []string{"p2"}, l.out(1, ether(mac(9), mac(8))))
	assert.Equal(t, 3, l.b.FDB().Learned())
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(20), State: bridge.NUDNoARP}))
	l.learn(2, mac(20))
	assert.Equal(t, "p2", l.where(mac(20), 0))
	assert.Equal(t, 3, l.b.FDB().Learned(), "what a request made counts nowhere, and needs nobody's place")
	assert.EqualValues(t, 2, l.p(2).Stats().FDBEvicted)
}

// fdb_max_learned is Linux's and comes first: it refuses, and nobody is evicted for
// an address that is refused.
func TestFDBLimitAndMaxLearned(t *testing.T) {
	l := newLab(t, bridge.Config{FDBLimit: 3, FDBMaxLearned: 3})
	l.add(1, bridge.PortConfig{FDBLimit: 2})
	l.add(2, bridge.PortConfig{})
	l.learn(1, mac(1), mac(2))
	l.learn(2, mac(3), mac(4))
	l.learn(1, mac(5))
	assert.Equal(t, map[string]int{"p1": 2, "p2": 1}, l.onPort())
	assert.EqualValues(t, 2, l.b.Stats().FDBRefused)
	assert.Zero(t, l.b.Stats().FDBEvicted)
}

// An eviction is shown before the learning that it is for; Explain shows it too, and
// evicts nobody.
func TestFDBLimitTrace(t *testing.T) {
	l := newLab(t, bridge.Config{FDBLimit: 2})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	l.learn(1, mac(1), mac(2))
	steps := func(all []bridge.Step) (lines []string) {
		for _, s := range all {
			if s.Probe == bridge.ProbeFDBDelete || s.Probe == bridge.ProbeFDBUpdate {
				lines = append(lines, s.String())
			}
		}
		return lines
	}
	f := ether(frame.Broadcast, mac(3))
	want := []string{
		"fdb_delete dev: p1 " + mac(1).String() + " evicted, FDBLimit is reached",
		"br_fdb_update dev: p2 " + mac(3).String() + " -> ff:ff:ff:ff:ff:ff source learned",
	}
	assert.Equal(t, want, steps(l.p(2).Explain(f).Steps))
	assert.Equal(t, "p1", l.where(mac(1), 0))
	assert.Zero(t, l.b.Stats().FDBEvicted)
	var traced []bridge.Step
	l.b.SetTrace(func(s bridge.Step) { traced = append(traced, s) })
	l.in(2, f)
	assert.Equal(t, want, steps(traced))
	assert.Equal(t, "-", l.where(mac(1), 0))
}

// A flood of made-up addresses from some ports, and stations that speak now and
// then on all of them: every honest port keeps its share of the limit, whatever the
// limit and however many flood.
func TestFDBLimitFlood(t *testing.T) {
	properties(t, 12, func(t *testing.T, r *rand.Rand) {
		ports := 2 + r.IntN(7)
		flooders := 1 + r.IntN(ports-1)
		limit := ports + r.IntN(400)
		share := limit / ports
		l := newLab(t, bridge.Config{FDBLimit: limit, AgeingTime: new(time.Hour)})
		for i := range ports {
			l.add(i+1, bridge.PortConfig{})
		}
		station := func(port, i int) frame.MAC { return frame.MAC{2, 0xaa, 0, byte(port), byte(i >> 8), byte(i)} }
		stations := map[int]int{}
		for p := 1; p <= ports; p++ {
			stations[p] = 1 + r.IntN(share)
			for i := range stations[p] {
				l.learn(p, station(p, i))
			}
		}
		made := 0
		for round := range 40 {
			for range limit / 8 {
				made++
				l.learn(1+r.IntN(flooders), frame.MAC{2, 0xbb, byte(made >> 24), byte(made >> 16), byte(made >> 8), byte(made)})
			}
			for p := flooders + 1; p <= ports; p++ { // not one of them is ever evicted, also if it is silent
				for i := range stations[p] {
					require.Equal(t, portName(p), l.where(station(p, i), 0), "round %d, %d ports, %d flood, limit %d", round, ports, flooders, limit)
				}
			}
			require.LessOrEqual(t, l.b.FDB().Learned(), limit)
		}
		require.Equal(t, limit, l.b.FDB().Learned(), "the flood filled the table")
		for p, n := range l.onPort() {
			require.GreaterOrEqual(t, n, min(share, stations[portNumber(t, p)]), p)
		}
	})
}

func portNumber(t *testing.T, port string) (n int) {
	_, err := fmt.Sscanf(port, "p%d", &n)
	require.NoError(t, err)
	return n
}

// A port that holds more than its share, because others needed less, is pushed down
// to the share by a flood, and no further.
func TestFDBLimitShare(t *testing.T) {
	l := newLab(t, bridge.Config{FDBLimit: 100})
	for i := range 4 {
		l.add(i+1, bridge.PortConfig{})
	}
	for i := range 90 {
		l.learn(1, mac(i))
	}
	l.learn(2, mac(1000))
	for i := range 10_000 {
		l.learn(3, mac(2000+i))
		n := l.onPort()["p1"]
		require.GreaterOrEqual(t, n, 100/4)
	}
	assert.Equal(t, map[string]int{"p1": 49, "p2": 1, "p3": 50}, l.onPort(), "of what p2 does not need the two have equal parts")
}

// Stations on the port that is flooded keep their entries as long as they speak
// between two turns of the flood through the port's list.
func TestFDBLimitSecondChance(t *testing.T) {
	l := newLab(t, bridge.Config{FDBLimit: 200})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	for i := range 50 {
		l.learn(1, mac(i), mac(i))
	}
	for i := range 5000 {
		l.learn(1, mac(1000+i))
		if i%100 == 0 {
			for i := range 50 {
				require.Equal(t, "p1", l.where(mac(i), 0))
				l.learn(1, mac(i))
			}
		}
	}
}

func TestNegativeLimit(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	_, err := l.b.AddPort("p2", newRecorder("p2", l.log), bridge.PortConfig{FDBLimit: -1})
	require.ErrorIs(t, err, bridge.EINVAL)
	require.Len(t, l.b.Ports(), 1)
}
