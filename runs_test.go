package bridge_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A burst is frames that come in by a port in one batch, 0 being the host's cable, and
// what happens before them.
type burst struct {
	before func(l *lab)
	port   int
	fs     []frame.Frame
	want   string // what each device takes of it: "p2 3, br0 1"
}

// A burstCase is bursts into one bridge.
type burstCase struct {
	name   string
	cfg    bridge.Config
	ports  []bridge.PortConfig // p1 and so on; nil: four
	setup  func(l *lab)
	bursts []burst
}

// times is one frame n times.
func times(n int, f frame.Frame) []frame.Frame { return slices.Repeat([]frame.Frame{f}, n) }

// burstCable writes down all that a frame leaves with, and gives its reader what it is
// fed, a batch at a time.
type burstCable struct {
	*recorder
	feed chan []frame.Frame
}

func (c *burstCable) ReadFrames(fs []frame.Frame) (int, error) {
	select {
	case batch := <-c.feed:
		return copy(fs, batch), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *burstCable) WriteFrames(fs []frame.Frame) (int, error) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	for i := range fs {
		f := &fs[i]
		wire := fmt.Appendf(f.AppendWire(nil), " tunnel %d nexthop %d %+v", f.Tunnel, f.Nexthop, f.OwedOnWire())
		c.log.got = append(c.log.got, delivery{c.name, wire})
	}
	return len(fs), nil
}

// A burstLab is a lab of a burstCase, and the way in which frames come to it.
type burstLab struct {
	*lab
	host   *burstCable
	events func() []string
	bring  func(l *burstLab, port int, fs []frame.Frame)
}

// lab makes a lab of c, of which the cables take what caps says; without a host there is
// none.
func (c *burstCase) lab(t *testing.T, caps bridge.Caps, host bool) *burstLab {
	l := &burstLab{lab: newLab(t, c.cfg)}
	l.host = &burstCable{newRecorder("br0", l.log), make(chan []frame.Frame)}
	require.NoError(t, l.b.DetachHost())
	if host {
		require.NoError(t, l.b.AttachHost(l.host, bridge.HostConfig{Caps: caps}))
	}
	ports := c.ports
	if ports == nil {
		ports = make([]bridge.PortConfig, 4)
	}
	for i, pc := range ports {
		pc.Address, pc.Caps = portMAC(i+1), caps
		name := portName(i + 1)
		p, err := l.b.AddPort(name, &burstCable{newRecorder(name, l.log), nil}, pc)
		require.NoError(t, err)
		l.ports[name] = p
	}
	if c.setup != nil {
		c.setup(l.lab)
	}
	l.log.take()
	l.events = l.watch()
	return l
}

// The ways: one by one, while each is watched or not; in one batch, the host's by its
// reader; cut in two batches that two Inputs of the port bring in turn.
func (l *burstLab) oneByOne(port int, fs []frame.Frame) {
	for _, f := range fs {
		if port == 0 {
			require.NoError(l.t, l.b.Xmit(f))
		} else {
			require.NoError(l.t, l.p(port).Receive(f))
		}
	}
}

func (l *burstLab) whole(port int, fs []frame.Frame) {
	if port != 0 {
		require.NoError(l.t, l.p(port).Receive(fs...))
		return
	}
	l.host.feed <- fs
	synctest.Wait()
}

func cutter() func(l *burstLab, port int, fs []frame.Frame) {
	ins := map[int][]*bridge.Input{}
	return func(l *burstLab, port int, fs []frame.Frame) {
		if port == 0 {
			l.whole(0, fs[:len(fs)/2])
			l.whole(0, fs[len(fs)/2:])
			return
		}
		if ins[port] == nil {
			ins[port] = []*bridge.Input{l.p(port).Input(), l.p(port).Input()}
		}
		require.NoError(l.t, ins[port][0].Receive(fs[:len(fs)/2]))
		require.NoError(l.t, ins[port][1].Receive(fs[len(fs)/2:]))
	}
}

// serve has the bridge read its cables, until the test ends.
func (l *burstLab) serve() {
	served := make(chan error)
	go func() { served <- l.b.Serve(context.Background()) }() // ends when the bridge is closed
	l.t.Cleanup(func() {
		require.NoError(l.t, l.b.Close())
		require.NoError(l.t, <-served)
	})
	synctest.Wait()
}

// A burstEnd is all that can be seen of a bridge but what left it.
type burstEnd struct {
	snapshot
	Stats  map[string]any
	Mcast  map[string]bridge.McastStats
	Events []string
}

func (l *burstLab) end() burstEnd {
	e := burstEnd{snap(l.b), l.stats(), map[string]bridge.McastStats{"": l.b.McastStats()}, l.events()}
	for _, p := range l.b.Ports() {
		e.Mcast[p.Name()] = p.McastStats()
	}
	return e
}

// sums says how much each device took.
func sums(ds []delivery) string {
	n := map[string]int{}
	for _, d := range ds {
		n[d.dev]++
	}
	var parts []string
	for _, dev := range slices.Backward(slices.Sorted(maps.Keys(n))) {
		parts = append(parts, fmt.Sprint(dev, " ", n[dev]))
	}
	return strings.Join(parts, ", ")
}

// play has every lab take the bursts, and holds them against the first one, in which
// each frame is a batch of its own and is watched, so that no frame can owe anything to
// the one before.
func (c *burstCase) play(t *testing.T, caps bridge.Caps, host, exact bool) {
	labs := map[string]*burstLab{}
	for name, bring := range map[string]func(*burstLab, int, []frame.Frame){
		"watched": (*burstLab).oneByOne, "one by one": (*burstLab).oneByOne, "in one batch": (*burstLab).whole, "cut": cutter(),
	} {
		labs[name] = c.lab(t, caps, host)
		labs[name].bring = bring
		labs[name].serve()
	}
	ref := labs["watched"]
	ref.b.SetTrace(func(bridge.Step) {})
	for i, s := range c.bursts {
		var want []delivery
		var end burstEnd
		for _, name := range []string{"watched", "one by one", "in one batch", "cut"} {
			l := labs[name]
			what := fmt.Sprintf("burst %d, %s", i, name)
			if s.before != nil {
				s.before(l.lab)
				l.log.take()
			}
			l.bring(l, s.port, s.fs)
			synctest.Wait()
			got, e := l.log.take(), l.end()
			if l == ref {
				want, end = got, e
				if exact {
					require.Equal(t, s.want, sums(got), what)
				}
				continue
			}
			require.Equal(t, sums(want), sums(got), what)
			require.True(t, sameDeliveries(want, got), what)
			require.Equal(t, end, e, what)
		}
	}
	for _, l := range labs {
		balanced(t, l.b)
	}
}

// What frames do that come in runs, within a batch and from batch to batch, each does by
// itself: with cables that take everything and such that take nothing, with a host, with
// one that hears all, and with none.
func TestBursts(t *testing.T) {
	all := bridge.Caps{TagAside: true, Checksum: true, TSO: true, USO: true}
	for _, c := range slices.Concat(burstsOfPorts(), burstsOfVLANs(), burstsOfTrees(), burstsOfStations(), burstsOfGroups(), burstsOfHosts()) {
		bubble(t, c.name, func(t *testing.T) { c.play(t, all, true, true) })
		bubble(t, c.name+", plain cables", func(t *testing.T) { c.play(t, bridge.Caps{}, true, false) })
		bubble(t, c.name+", promiscuous", func(t *testing.T) {
			c.cfg.Promisc = true
			c.play(t, all, true, false)
		})
		if !slices.ContainsFunc(c.bursts, func(s burst) bool { return s.port == 0 }) {
			bubble(t, c.name+", no host", func(t *testing.T) { c.play(t, all, false, false) })
		}
	}
}
