package filter_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// loopRig is a bridge with a Loop, in which every probe is caught.
type loopRig struct {
	*rig
	loop *filter.Loop
}

func newLoopRig(t *testing.T, ports int, c filter.Probing) *loopRig {
	t.Helper()
	c.Seed[0] = 1
	l, err := filter.NewLoop(c)
	require.NoError(t, err)
	r := &loopRig{newRig(t, ports, bridge.Config{}), l}
	r.filters(l.Filter())
	return r
}

// tick lets time go by, and gives the probes that left, by port.
func (r *loopRig) tick(d time.Duration) map[string][]frame.Frame {
	r.t.Helper()
	r.pass(d)
	next := r.loop.Tick(r.b, r.at())
	assert.True(r.t, next.After(r.at()))
	all := map[string][]frame.Frame{}
	for _, s := range r.taken() {
		all[s.dev] = append(all[s.dev], frame.Frame{Data: s.wire})
	}
	return all
}

func (r *loopRig) at() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now }

func (r *loopRig) taken() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// passes says whether a broadcast goes from one port to another, counted from 1.
func (r *loopRig) passes(from, to int) bool {
	r.t.Helper()
	for _, s := range r.in(from, plain(frame.Broadcast, mac(from))) {
		if s.dev == r.ports[to-1].Name() {
			return true
		}
	}
	return false
}

// A probe that comes back by another port has that port held down, in both directions,
// until nothing comes back any more; each time for twice as long.
func TestLoopHolds(t *testing.T) {
	r := newLoopRig(t, 3, filter.Probing{Every: time.Second, Hold: 10 * time.Second, MaxHold: 30 * time.Second})
	probes := r.tick(0)
	require.Len(t, probes, 3)
	for name, fs := range probes {
		require.Len(t, fs, 1)
		assert.Len(t, fs[0].Data, 60)
		assert.Equal(t, r.b.Port(name).Info().Address, fs[0].Src())
		assert.Equal(t, frame.EtherType(0x9000), fs[0].Type())
	}
	assert.Empty(t, r.tick(999*time.Millisecond))
	assert.Empty(t, r.reports())

	assert.Empty(t, r.in(2, probes["p1"]...), "a probe ends where it comes back")
	require.Len(t, r.events, 1)
	var e *filter.LoopError
	require.True(t, errors.As(r.events[0].Err, &e))
	assert.Equal(t, filter.LoopError{From: "p1", To: "p2", Held: "p2"}, *e)
	assert.Equal(t, []string{"filter p2 " + r.ports[0].Info().Address.String() + ": loop: a loop from p1 to p2, p2 is held down"}, r.reports())
	assert.Equal(t, []string{"p2"}, r.loop.Held())
	assert.False(t, r.passes(1, 2))
	assert.False(t, r.passes(2, 1))
	assert.True(t, r.passes(1, 3))
	require.NoError(t, r.b.Xmit(plain(frame.Broadcast, mac(9))))
	assert.Len(t, r.taken(), 2, "the host does not reach it either")
	assert.Equal(t, uint64(4), r.loop.Dropped())

	// While it lasts either port's probe says so, and the other port stays free.
	for i := range 20 {
		probes = r.tick(time.Second)
		require.Len(t, probes, 3)
		if i%2 == 0 {
			assert.Empty(t, r.in(1, probes["p2"]...))
		} else {
			assert.Empty(t, r.in(2, probes["p1"]...))
		}
	}
	assert.Equal(t, []string{"p2"}, r.loop.Held())
	assert.Empty(t, r.reports())
	r.tick(9999 * time.Millisecond)
	assert.Equal(t, []string{"p2"}, r.loop.Held())
	r.tick(time.Millisecond)
	assert.Empty(t, r.loop.Held())
	assert.True(t, r.passes(1, 2))

	for _, hold := range []time.Duration{20 * time.Second, 30 * time.Second, 30 * time.Second} {
		probes = r.tick(time.Second)
		r.in(2, probes["p1"]...)
		assert.Len(t, r.reports(), 1)
		r.tick(hold - time.Millisecond)
		assert.Equal(t, []string{"p2"}, r.loop.Held())
		r.tick(time.Millisecond)
		assert.Empty(t, r.loop.Held())
	}
	probes = r.tick(31 * time.Second) // it was free for so long that it is forgotten
	r.in(2, probes["p1"]...)
	r.tick(10 * time.Second)
	assert.Empty(t, r.loop.Held())
	r.balanced()
}

// What goes around behind one port holds that port.
func TestLoopBehindOnePort(t *testing.T) {
	r := newLoopRig(t, 2, filter.Probing{})
	r.in(1, r.tick(0)["p1"]...)
	assert.Contains(t, r.reports()[0], "a loop from p1 to itself, p1 is held down")
	assert.Equal(t, []string{"p1"}, r.loop.Held())
}

// Of three ports that are all connected two are held, one after the other, and both let
// go when it is over.
func TestLoopOfThree(t *testing.T) {
	r := newLoopRig(t, 3, filter.Probing{Every: time.Second, Hold: 5 * time.Second})
	goRound := func(probes map[string][]frame.Frame, ports ...int) {
		for _, from := range ports {
			for _, to := range ports {
				if from != to {
					r.in(to, probes[r.ports[from-1].Name()]...)
				}
			}
		}
	}
	goRound(r.tick(0), 1, 2, 3)
	assert.Equal(t, []string{"p2", "p3"}, r.loop.Held())
	goRound(r.tick(time.Second), 1, 2, 3)
	assert.Len(t, r.reports(), 2)
	// Without the first the other two are still a loop: one of them is held.
	for range 10 {
		goRound(r.tick(time.Second), 2, 3)
	}
	assert.Equal(t, []string{"p3"}, r.loop.Held())
	for range 5 {
		r.tick(time.Second)
	}
	assert.Empty(t, r.loop.Held())
	r.balanced()
}

// A port that is to be kept is not held, if the other end may be.
func TestLoopKeeps(t *testing.T) {
	r := newLoopRig(t, 3, filter.Probing{Keep: []string{"p2", "p3"}})
	probes := r.tick(0)
	r.in(2, probes["p3"]...)
	assert.Contains(t, r.reports()[0], "a loop from p3 to p2")
	assert.Empty(t, r.loop.Held())
	r.in(2, probes["p1"]...)
	assert.Contains(t, r.reports()[0], "a loop from p1 to p2, p1 is held down")
	assert.Equal(t, []string{"p1"}, r.loop.Held())
}

func TestLoopReportsOnly(t *testing.T) {
	r := newLoopRig(t, 2, filter.Probing{Hold: -1})
	for range 3 {
		probes := r.tick(5 * time.Second)
		r.in(2, probes["p1"]...)
		r.in(2, probes["p1"]...) // the same once more
		lines := r.reports()
		require.Len(t, lines, 1)
		assert.Contains(t, lines[0], "a loop from p1 to p2")
		assert.NotContains(t, lines[0], "held")
	}
	assert.True(t, r.passes(1, 2))
	assert.Zero(t, r.loop.Dropped())
}

// The host's stack may be the way around: then the port is held that the probe left by.
func TestLoopThroughTheHost(t *testing.T) {
	r := newLoopRig(t, 2, filter.Probing{})
	probes := r.tick(0)
	require.NoError(t, r.b.Xmit(probes["p1"][0]))
	assert.Empty(t, r.taken())
	lines := r.reports()
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "a loop from p1 to the host, p1 is held down")
	r.balanced()
}

// Probes that this bridge has not sent, or long ago, pass, and deceive nobody.
func TestLoopBelievesItsOwnProbesOnly(t *testing.T) {
	r := newLoopRig(t, 2, filter.Probing{Every: time.Second})
	probe := r.tick(0)["p1"][0]
	forged := probe.Clone()
	forged.Data[40]++
	assert.Equal(t, "p2", r.out(1, forged))
	assert.Equal(t, "p2", r.out(1, frame.Frame{Data: probe.Data[:51]}), "cut short")
	r.tick(time.Second)
	e := r.ports[1].Explain(probe)
	assert.Equal(t, bridge.Consumed, e.Verdict)
	assert.Empty(t, r.reports(), "a dry run changes nothing")
	assert.Empty(t, r.loop.Held())
	r.tick(time.Second)
	assert.Equal(t, "p1", r.out(2, probe))
	assert.Empty(t, r.loop.Held())
	r.balanced()
}

// A port that does not forward is no way around: it is not probed, and what comes back
// by it says nothing.
func TestLoopLeavesBlockedPortsAlone(t *testing.T) {
	r := newLoopRig(t, 3, filter.Probing{VLANs: []frame.VID{7}})
	require.NoError(t, r.ports[1].Set(bridge.PortAttrs{State: new(bridge.StateLearning)}))
	probes := r.tick(0)
	assert.NotContains(t, probes, "p2")
	require.Len(t, probes["p1"], 2)
	tagged := probes["p1"][1]
	assert.Equal(t, frame.EtherType(0x8100), tagged.Type())
	r.in(2, probes["p1"]...)
	assert.Empty(t, r.reports())
	r.in(3, tagged)
	assert.Equal(t, []string{"p3"}, r.loop.Held())
	r.balanced()
}

func TestNewLoopRefuses(t *testing.T) {
	for name, c := range map[string]filter.Probing{
		"every": {Every: -1}, "max hold": {MaxHold: -1}, "keep": {Keep: []string{""}},
		"VLAN 0": {VLANs: []frame.VID{0}}, "VLAN 4095": {VLANs: []frame.VID{4095}},
	} {
		_, err := filter.NewLoop(c)
		assert.Error(t, err, name)
	}
	a, err := filter.NewLoop(filter.Probing{})
	require.NoError(t, err)
	assert.Empty(t, a.Held())
}

// While a port is held no frame costs an allocation, and neither does a probe.
func TestLoopAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newLoopRig(t, 3, filter.Probing{})
	probes := r.tick(0)
	r.in(2, probes["p1"]...)
	require.Equal(t, []string{"p2"}, r.loop.Held())
	r.keep = false
	fs := []frame.Frame{plain(frame.Broadcast, mac(1)), probes["p1"][0], plain(mac(7), mac(1))}
	for _, p := range r.ports {
		in := p.Input()
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = in.Receive(fs) }), p.Name())
	}
	r.balanced()
}

// Ports are probed, held and let go while frames pass on several readers.
func TestLoopUnderTraffic(t *testing.T) {
	r := newLoopRig(t, 3, filter.Probing{Every: time.Millisecond, Hold: 3 * time.Millisecond})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for n, p := range r.ports {
		in := p.Input()
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = in.Receive([]frame.Frame{plain(frame.Broadcast, mac(n)), plain(mac(n+1), mac(n))})
				}
			}
		})
	}
	found := 0
	for range 300 {
		for _, from := range []string{"p1", "p3"} {
			for _, f := range r.tick(time.Millisecond)[from] {
				if f.Type() == 0x9000 {
					require.NoError(t, r.ports[1].Receive(f))
					found++
				}
			}
		}
		_ = r.loop.Held()
	}
	close(stop)
	wg.Wait()
	assert.NotZero(t, found)
	assert.NotZero(t, r.loop.Dropped())
	r.balanced()
}
