package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A trace is what several readers bring, each at its port, in order. Each frame
// bears its reader and number behind its header.
type trace struct {
	cfg   bridge.Config
	ports []bridge.PortConfig
	at    []int // the port of each reader
	fs    [][]frame.Frame
}

func randomTrace(r *rand.Rand) trace {
	tr := trace{cfg: bridge.Config{VLANFiltering: coin(r, 2)}}
	if coin(r, 3) {
		tr.cfg.FDBMaxLearned = 1 + r.Uint32N(2)
	}
	for range 3 {
		tr.ports = append(tr.ports, bridge.PortConfig{
			Hairpin: coin(r, 4), NoFlood: coin(r, 6), Isolated: coin(r, 6), NoLearning: coin(r, 6),
			VLANs: pick(r, nil, bridge.Trunk(1, 10)), Caps: bridge.Caps{TagAside: coin(r, 2)},
		})
	}
	for i, n := range pick(r, []int{2, 2}, []int{3, 3}, []int{2, 1, 1}, []int{1, 1, 1}) {
		var fs []frame.Frame
		for j := range n {
			f := ether(pick(r, mac(1), mac(2), mac(3), frame.Broadcast), pick(r, mac(1), mac(2), mac(3)))
			f.Data[14], f.Data[15] = byte(i), byte(j)
			if coin(r, 3) {
				f = aside(f, frame.TypeDot1Q, 10)
			}
			fs = append(fs, f)
		}
		tr.at, tr.fs = append(tr.at, 1+r.IntN(3)), append(tr.fs, fs)
	}
	return tr
}

// lab is a bridge of the trace's configuration; one address is known already, and
// one does not move.
func (tr *trace) lab(t testing.TB) *lab {
	l := newLab(t, tr.cfg)
	for i, c := range tr.ports {
		l.add(i+1, c)
	}
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(3), MAC: mac(3), State: bridge.NUDNoARP, Flags: bridge.NTFSticky}))
	return l
}

// An ending is what can be seen in the end: where each frame left, and the table.
type ending struct {
	out map[[2]byte][]string // by reader and number, sorted
	fdb []bridge.FDBEntry
}

func (l *lab) ending() ending {
	e := ending{out: map[[2]byte][]string{}, fdb: slices.Collect(l.b.FDB().All())}
	e.left(l.log.take())
	return e
}

// left notes deliveries.
func (e *ending) left(ds []delivery) {
	for _, d := range ds {
		k := serial(d.wire)
		e.out[k] = append(e.out[k], fmt.Sprintf("%s %x", d.dev, d.wire))
	}
	for _, out := range e.out {
		slices.Sort(out)
	}
}

// serial is the reader and number in a frame's payload.
func serial(wire []byte) [2]byte {
	f := frame.Frame{Data: wire}
	f.Lift()
	return [2]byte(f.Rest()[2:4])
}

// sideBySide has each reader bring its frames at the same time, by an Input of its own; with
// shake the goroutines also change places between the steps of a frame.
func (tr *trace) sideBySide(t testing.TB, shake bool) ending {
	l := tr.lab(t)
	if shake {
		var n atomic.Uint32
		l.b.SetTrace(func(bridge.Step) {
			if n.Add(0x9e3779b9)>>30 == 0 {
				runtime.Gosched()
			}
		})
	}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i, fs := range tr.fs {
		in := l.p(tr.at[i]).Input()
		wg.Go(func() {
			<-start
			assert.NoError(t, in.Receive(fs))
		})
	}
	close(start)
	wg.Wait()
	balanced(t, l.b)
	l.inOrder(tr)
	return l.ending()
}

// inOrder asserts that every device got each reader's frames in their order.
func (l *lab) inOrder(tr *trace) {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	last := map[string]int{}
	for _, d := range l.log.got {
		s := serial(d.wire)
		k := fmt.Sprint(d.dev, s[0])
		require.LessOrEqual(l.t, last[k], int(s[1]), "%s got the frames of reader %d in another order", d.dev, s[0])
		last[k] = int(s[1])
	}
}

// endsAs says whether the frames, brought as order says, one step of one reader at a
// time, end as want: a frame's first step teaches its source, its second forwards it.
func (tr *trace) endsAs(t testing.TB, want ending, order []int) bool {
	l := tr.lab(t)
	defer l.b.Close()
	steps, frames := make([]int, len(tr.fs)), 0
	for _, i := range order {
		p, n := l.p(tr.at[i]), steps[i]/2
		half := []bridge.PortAttrs{
			{State: new(bridge.StateLearning)},
			{State: new(bridge.StateForwarding), Learning: new(false)},
		}[steps[i]%2]
		require.NoError(t, p.Set(half))
		require.NoError(t, p.Receive(tr.fs[i][n]))
		require.NoError(t, p.Set(bridge.PortAttrs{State: new(bridge.StateForwarding), Learning: new(!tr.ports[tr.at[i]-1].NoLearning)}))
		if steps[i]++; steps[i]%2 == 1 {
			continue
		}
		got, k := ending{out: map[[2]byte][]string{}}, [2]byte{byte(i), byte(n)}
		if got.left(l.log.take()); !slices.Equal(want.out[k], got.out[k]) {
			return false // and so however it goes on
		}
		if len(got.out) > 0 {
			frames++
		}
	}
	return frames == len(want.out) && slices.Equal(want.fdb, slices.Collect(l.b.FDB().All()))
}

// orders calls fn with each order that keeps each reader's own, until it says true.
func (tr *trace) orders(fn func(order []int) bool) bool {
	left, n := make([]int, len(tr.fs)), 0
	for i, fs := range tr.fs {
		left[i] = 2 * len(fs)
		n += left[i]
	}
	var next func(order []int) bool
	next = func(order []int) bool {
		if len(order) == n {
			return fn(order)
		}
		for i := range left {
			if left[i] > 0 {
				left[i]--
				done := next(append(order, i))
				left[i]++
				if done {
					return true
				}
			}
		}
		return false
	}
	return next(nil)
}

// With several readers the result is that of some order that keeps each reader's.
// The steps that are ordered are not whole frames: a frame teaches its source and
// then is forwarded, and between the two another may do either, as on several
// processors in Linux (TestTwoStepsOfAFrame).
func TestReadersInterleave(t *testing.T) {
	properties(t, 40, func(t *testing.T, r *rand.Rand) {
		tr := randomTrace(r)
		for k := range 6 {
			got := tr.sideBySide(t, k%2 == 0)
			found := tr.orders(func(order []int) bool { return tr.endsAs(t, got, order) })
			require.True(t, found, "no order of %+v gives %+v", tr, got)
		}
	})
}

// The check itself sees what no order gives: a frame too many, too few, elsewhere,
// an address elsewhere.
func TestInterleavingIsChecked(t *testing.T) {
	tr := trace{ports: make([]bridge.PortConfig, 3), at: []int{1, 2}}
	for i, f := range []frame.Frame{ether(mac(2), mac(1)), ether(mac(1), mac(2))} {
		f.Data[14], f.Data[15] = byte(i), 0
		tr.fs = append(tr.fs, []frame.Frame{f})
	}
	for name, spoil := range map[string]func(e *ending){
		"as it was":        func(*ending) {},
		"a frame too few":  func(e *ending) { delete(e.out, [2]byte{0, 0}) },
		"a frame too many": func(e *ending) { e.out[[2]byte{7, 7}] = []string{"p1"} },
		"neither leaves":   func(e *ending) { clear(e.out) },
		"an address less":  func(e *ending) { e.fdb = e.fdb[1:] },
		"an address moved": func(e *ending) { e.fdb[len(e.fdb)-1].Port = "p1" },
	} {
		e := tr.sideBySide(t, false)
		spoil(&e)
		found := tr.orders(func(order []int) bool { return tr.endsAs(t, e, order) })
		assert.Equal(t, name == "as it was", found, name)
	}
}

// Two stations that speak to each other for the first time at the same moment can
// each be known to the other's frame: no order of whole frames gives that.
func TestTwoStepsOfAFrame(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	var learned sync.WaitGroup
	learned.Add(2)
	l.b.SetTrace(func(s bridge.Step) {
		if s.Probe == bridge.ProbeFDBUpdate { // its source is learned, its destination not yet looked up
			learned.Done()
			learned.Wait()
		}
	})
	var wg sync.WaitGroup
	for i := 1; i <= 2; i++ {
		in, f := l.p(i).Input(), ether(mac(3-i), mac(i))
		wg.Go(func() { assert.NoError(t, in.Receive([]frame.Frame{f})) })
	}
	within(t, time.Minute, "two readers", wg.Wait)
	got := devs(l.log.take())
	slices.Sort(got)
	assert.Equal(t, []string{"p1", "p2"}, got, "neither is flooded")
}

// Whoever reads tables, statistics and settings, dumps, explains and watches
// meanwhile changes nothing.
func TestOnlookersChangeNothing(t *testing.T) {
	properties(t, 20, func(t *testing.T, r *rand.Rand) {
		w := randomWorld(r)
		alone, watched := w.lab(t, false), w.lab(t, false)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for n := range 3 {
			rr := rand.New(rand.NewPCG(r.Uint64(), uint64(n)))
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						look(rr, &w, watched)
					}
				}
			})
		}
		for range 150 {
			s := w.randomFrame(r)
			if coin(r, 10) {
				alone.clock.add(time.Second)
				watched.clock.add(time.Second)
				alone.b.Tick(alone.clock.now())
				watched.b.Tick(watched.clock.now())
			}
			want := alone.in(s.port, s.f)
			assert.Equal(t, brief(want), brief(watched.in(s.port, s.f)))
			runtime.Gosched()
		}
		close(stop)
		wg.Wait()
		same(t, alone, watched, "with onlookers")
		balanced(t, watched.b)
	})
}

// look looks at something.
func look(r *rand.Rand, w *world, l *lab) {
	p := l.p(1 + r.IntN(len(w.ports)))
	switch r.IntN(7) {
	case 0:
		_ = snap(l.b)
	case 1:
		_ = l.stats()
	case 2:
		_, _ = l.b.FDB().Lookup(mac(r.IntN(6)), 0)
		_, _ = l.b.FDB().Len(), l.b.FDB().Learned()
	case 3:
		_ = l.b.ExplainXmit(w.randomFrame(r).f)
	case 4:
		_, _ = l.b.NextTimer()
		_ = p.VLANs().All()
	case 5:
		l.b.Watch(func(bridge.Event) {})()
	default:
		_ = p.Explain(w.randomFrame(r).f).String()
	}
}
