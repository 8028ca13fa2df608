package bridge_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// learner makes addresses up and has them learned, one frame a batch, as the frames
// of a flood that come in by turns at some ports.
type learner struct {
	ins  []*bridge.Input
	fs   [1]frame.Frame
	next int
}

func newLearner(tb testing.TB, b *bridge.Bridge, ports int) *learner {
	tb.Helper()
	l := &learner{}
	for i := range ports {
		p, err := b.AddPort(fmt.Sprintf("flood%d", i), newSink(), bridge.PortConfig{NoFlood: true, NoBcastFlood: true})
		if err != nil {
			tb.Fatal(err)
		}
		l.ins = append(l.ins, p.Input())
	}
	l.fs[0] = benchFrame(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, frame.MAC{}) // learned, and handed to nobody
	return l
}

func (l *learner) learn(src frame.MAC) {
	copy(l.fs[0].Data[6:], src[:])
	_ = l.ins[l.next%len(l.ins)].Receive(l.fs[:])
	l.next++
}

// longest calls fn n times, and says how long the longest call was and how long one
// took in the mean.
func longest(n int, fn func(i int)) (worst, mean time.Duration) {
	begin := time.Now()
	last := begin
	for i := range n {
		fn(i)
		now := time.Now()
		worst = max(worst, now.Sub(last))
		last = now
	}
	return worst, time.Since(begin) / time.Duration(n)
}

// BenchmarkFDBLearn is the time of a frame whose source is new, without and with an
// eviction for it: "plain" starts again with an empty table at every 50,000th.
func BenchmarkFDBLearn(b *testing.B) {
	const room = 50_000
	b.Run("plain", func(b *testing.B) {
		br, err := bridge.New(bridge.Config{Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer br.Close()
		l := newLearner(b, br, 1)
		for n := 0; b.Loop(); n++ {
			if n%room == 0 {
				b.StopTimer()
				_, _ = br.FDB().Flush(bridge.FDBFlush{StateMask: bridge.NUDPermanent})
				b.StartTimer()
			}
			l.learn(benchMAC(n))
		}
	})
	for _, ports := range []int{1, 8, 200} {
		b.Run(fmt.Sprintf("evict/ports=%d", ports), func(b *testing.B) {
			br, err := bridge.New(bridge.Config{Seed: 1, FDBLimit: room})
			if err != nil {
				b.Fatal(err)
			}
			defer br.Close()
			l := newLearner(b, br, ports)
			for n := range room {
				l.learn(benchMAC(n))
			}
			for n := room; b.Loop(); n++ {
				l.learn(benchMAC(n))
			}
		})
	}
}

// BenchmarkFDBMillion learns a million addresses, then dumps them, and lets them
// expire, while another goroutine goes on learning; the metrics are the longest
// times that a single learn took meanwhile.
func BenchmarkFDBMillion(b *testing.B) {
	const million = 1_000_000
	var ticks atomic.Int64
	clock := func() time.Time { return time.Unix(1000+ticks.Load(), 0) }
	for b.Loop() {
		ticks.Store(0)
		br, err := bridge.New(bridge.Config{Seed: 1, FDBLimit: 2 * million, Clock: clock})
		if err != nil {
			b.Fatal(err)
		}
		l := newLearner(b, br, 8)
		runtime.GC()
		worst, mean := longest(million, func(i int) { l.learn(benchMAC(i)) })
		b.ReportMetric(float64(worst.Microseconds()), "grow-max-us")
		b.ReportMetric(float64(mean.Nanoseconds()), "grow-mean-ns")

		other := newLearner(b, br, 0)
		other.ins = l.ins[:1]
		beside := func(metric string, fn func()) {
			var wg sync.WaitGroup
			var over atomic.Bool
			wg.Go(func() {
				fn()
				over.Store(true)
			})
			var worst time.Duration
			for i := million; !over.Load(); i++ {
				begin := time.Now()
				other.learn(benchMAC(i % (2 * million)))
				worst = max(worst, time.Since(begin))
				time.Sleep(20 * time.Microsecond)
			}
			wg.Wait()
			b.ReportMetric(float64(worst.Microseconds()), metric+"-max-us")
		}
		beside("dump", func() {
			n := 0
			for range br.FDB().All() {
				n++
			}
			if n < million {
				b.Fatalf("%d entries listed", n)
			}
		})
		ticks.Store(400)
		beside("collect", func() { br.Tick(clock()) })
		if n := br.FDB().Learned(); n >= million {
			b.Fatalf("%d entries left", n)
		}
		_ = br.Close()
	}
}
