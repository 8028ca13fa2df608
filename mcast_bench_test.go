package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A turn is one of several things that are measured side by side; do carries frames
// frames. What before does, if it is set, is not measured.
type turn struct {
	name   string
	frames int
	do     func()
	before func()
}

func (t *turn) prepare() {
	if t.before != nil {
		t.before()
	}
}

// byTurns does each of the turns once an operation, A B C A B C, and reports for each the
// time of a frame, and the ratio to the first in the same round: median, 10% and 90%.
// Machines are noisy, but less so within a few milliseconds.
func byTurns(b *testing.B, turns ...turn) {
	ratios, took := make([][]float64, len(turns)), make([][]float64, len(turns))
	for _, t := range turns {
		t.prepare()
		t.do() // memory takes its size
	}
	for b.Loop() {
		var first float64
		for i, t := range turns {
			t.prepare()
			begin := time.Now()
			t.do()
			ns := float64(time.Since(begin).Nanoseconds()) / float64(t.frames)
			if i == 0 {
				first = ns
			}
			took[i], ratios[i] = append(took[i], ns), append(ratios[i], ns/first)
		}
	}
	b.ReportMetric(0, "ns/op") // of a whole round, which says nothing
	for i, t := range turns {
		slices.Sort(took[i])
		slices.Sort(ratios[i])
		b.ReportMetric(took[i][len(took[i])/2], t.name+"-ns")
		if i > 0 {
			b.ReportMetric(ratios[i][len(ratios[i])/2], t.name+"-x")
			b.ReportMetric(ratios[i][len(ratios[i])/10], t.name+"-x-p10")
			b.ReportMetric(ratios[i][len(ratios[i])*9/10], t.name+"-x-p90")
		}
	}
}

// carrying is a turn that carries 512 of fs in batches, and the next ones in its next turn:
// so few that most turns pass undisturbed on a machine that has other work too.
func carrying(name string, in *bridge.Input, fs []frame.Frame) turn {
	return carryingN(name, in, fs, 512)
}

func carryingN(name string, in *bridge.Input, fs []frame.Frame, n int) turn {
	next := 0
	return turn{name: name, frames: n, do: func() {
		_ = in.Receive(fs[next : next+n])
		if next += n; next+n > len(fs) {
			next = 0
		}
	}}
}

// groupNumber is the i-th of many groups.
func groupNumber(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{239, byte(1 + i>>16), byte(i >> 8), byte(i)})
}

// mcastBench is a bridge with ports and groups: group i has the members ports that come
// behind port 0, in order; no group with members 0. It restricts groups, if snooping.
func mcastBench(tb testing.TB, c bridge.Config, ports, groups, members int) (*bridge.Bridge, []*bridge.Port) {
	tb.Helper()
	c.Attrs.McastHashMax = new(uint32(1 << 20))
	c.Attrs.McastQueryResponseInterval = new(time.Millisecond)
	b, err := bridge.New(c)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = b.Close() })
	all := make([]*bridge.Port, ports)
	for i := range all {
		all[i], err = b.AddPort(fmt.Sprintf("p%d", i), newSink(), bridge.PortConfig{Caps: bridge.Caps{TagAside: true}})
		require.NoError(tb, err)
	}
	for i := range 1000 {
		require.NoError(tb, all[i%ports].Receive(benchFrame(frame.Broadcast, benchMAC(i))))
	}
	if !c.McastSnooping {
		return b, all
	}
	require.NoError(tb, b.Set(bridge.BridgeAttrs{McastQuerier: new(true)}))
	at, ok := b.NextTimer()
	require.True(tb, ok)
	b.Tick(at.Add(time.Second))
	for i := range groups {
		for _, p := range all[1 : 1+members] {
			require.NoError(tb, p.Receive(igmpReport(mac(1), groupNumber(i))))
		}
	}
	return b, all
}

// mcastFrames are 4096 frames of UDP from random addresses behind port 0, to where to
// says.
func mcastFrames(ports int, to func(r *rand.Rand, f *frame.Frame)) []frame.Frame {
	r := rand.New(rand.NewPCG(1, 2))
	fs := make([]frame.Frame, 4096)
	for i := range fs {
		fs[i] = groupData(benchMAC(r.IntN(1000/ports)*ports), source4, group4)
		to(r, &fs[i])
	}
	return fs
}

// toStations sends to stations behind the other ports.
func toStations(ports int) func(r *rand.Rand, f *frame.Frame) {
	return func(r *rand.Rand, f *frame.Frame) {
		dst := benchMAC(r.IntN(1000/ports-1)*ports + 1 + r.IntN(ports-1))
		copy(f.Data, dst[:])
	}
}

// toGroups sends to one of n groups.
func toGroups(n int) func(r *rand.Rand, f *frame.Frame) {
	return func(r *rand.Rand, f *frame.Frame) { *f = groupData(f.Src(), source4, groupNumber(r.IntN(n))) }
}

func toAll(_ *rand.Rand, f *frame.Frame) { copy(f.Data, frame.Broadcast[:]) }

// BenchmarkMulticast is the time of a frame of snooped data, to random ones of 1000
// groups, beside a unicast frame to random ones of 1000 stations, and a frame that is
// flooded to as many ports as a group has members.
func BenchmarkMulticast(b *testing.B) {
	const groups = 1000
	for _, members := range []int{1, 4, 16} {
		for _, version := range []int{2, 3} {
			b.Run(fmt.Sprintf("members=%d/igmp=%d", members, version), func(b *testing.B) {
				c := bridge.Config{McastSnooping: true, Attrs: bridge.BridgeAttrs{McastIGMPVersion: &version}}
				_, ports := mcastBench(b, c, 18, groups, members)
				_, few := mcastBench(b, bridge.Config{McastSnooping: true}, members+1, 0, 0)
				in := ports[0].Input()
				byTurns(b, carrying("unicast", in, mcastFrames(18, toStations(18))),
					carrying("group", in, mcastFrames(18, toGroups(groups))),
					carrying("flood", few[0].Input(), mcastFrames(members+1, toAll)))
			})
		}
	}
}

// BenchmarkSnoopingOn is what snooping costs frames that it has nothing to say about.
func BenchmarkSnoopingOn(b *testing.B) {
	for _, c := range []struct {
		name string
		to   func(*rand.Rand, *frame.Frame)
	}{{"unicast", toStations(8)}, {"broadcast", toAll}, {"unrestricted", toGroups(1000)}} {
		b.Run(c.name, func(b *testing.B) {
			_, off := mcastBench(b, bridge.Config{}, 8, 0, 0)
			on, ports := mcastBench(b, bridge.Config{McastSnooping: true}, 8, 1000, 1)
			require.NoError(b, on.Set(bridge.BridgeAttrs{McastQuerier: new(false)}))
			fs := mcastFrames(8, c.to)
			byTurns(b, carrying("off", off[0].Input(), fs), carrying("on", ports[0].Input(), fs))
		})
	}
}

// A churner is a station that joins groups and leaves them again, by an Input of its own
// at a port with fast leave; all its groups are others than those that are there.
type churner struct {
	in           *bridge.Input
	join, leave  []frame.Frame
	next, joined int
}

func newChurner(tb testing.TB, p *bridge.Port, n int) *churner {
	tb.Helper()
	require.NoError(tb, p.Set(bridge.PortAttrs{FastLeave: new(true)}))
	c := &churner{in: p.Input()}
	for i := range n {
		g := groupNumber(1<<20 + i)
		c.join, c.leave = append(c.join, igmpReport(mac(2), g)), append(c.leave, igmpLeave(mac(2), g))
	}
	return c
}

// change is one join and one leave, of a group that was joined half a round ago.
func (c *churner) change() {
	n := len(c.join)
	_ = c.in.Receive(c.join[c.next : c.next+1])
	if c.joined++; c.joined > n/2 {
		at := (c.next + n - n/2) % n
		_ = c.in.Receive(c.leave[at : at+1])
	}
	c.next = (c.next + 1) % n
}

// BenchmarkUnicastUnderChurn is the time of a unicast frame while another port carries
// 1000 joins and 1000 leaves a second, among 10,000 groups, beside the time without.
func BenchmarkUnicastUnderChurn(b *testing.B) {
	const perSecond, span = 1000, 20 * time.Millisecond
	br, ports := mcastBench(b, bridge.Config{McastSnooping: true}, 8, 10_000, 1)
	in, fs := ports[0].Input(), mcastFrames(8, toStations(8))
	c := newChurner(b, ports[2], 2000)
	var on, stop atomic.Bool
	var changes atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		var since time.Time
		for done := 0; !stop.Load(); time.Sleep(time.Millisecond) {
			if !on.Load() {
				since = time.Time{}
				continue
			}
			if since.IsZero() {
				since, done = time.Now(), 0
			}
			for ; done < int(time.Since(since)*perSecond/time.Second); done++ {
				c.change()
				changes.Add(1)
			}
		}
	})
	var ratios, quiet, busy []float64
	for b.Loop() {
		var ns [2]float64
		for i, churn := range []bool{false, true} {
			on.Store(churn)
			begin, n := time.Now(), 0
			for time.Since(begin) < span {
				_ = in.Receive(fs)
				n += len(fs)
			}
			ns[i] = float64(time.Since(begin).Nanoseconds()) / float64(n)
		}
		quiet, busy, ratios = append(quiet, ns[0]), append(busy, ns[1]), append(ratios, ns[1]/ns[0])
	}
	stop.Store(true)
	wg.Wait()
	if len(br.MDB()) < 10_000 {
		b.Fatal("the groups are gone")
	}
	for _, s := range [][]float64{ratios, quiet, busy} {
		slices.Sort(s)
	}
	half := len(ratios) / 2
	b.ReportMetric(quiet[half], "ns/op")
	b.ReportMetric(busy[half], "churn-ns")
	b.ReportMetric(ratios[half], "churn-x")
	b.ReportMetric(ratios[0], "churn-x-min")
	b.ReportMetric(ratios[len(ratios)-1], "churn-x-max")
	b.ReportMetric(float64(changes.Load())/(float64(len(ratios))*span.Seconds()), "changes/s")
}

// A crowd is a bridge with n groups whose time stands still, with a station of its own
// that joins, refreshes and leaves 64 groups more.
type crowd struct {
	b           *bridge.Bridge
	now         time.Time
	in          *bridge.Input
	join, leave []frame.Frame
	fast, slow  *bridge.Port
}

func newCrowd(tb testing.TB, n int) *crowd {
	tb.Helper()
	c := &crowd{now: time.Unix(1000, 0)}
	cfg := bridge.Config{McastSnooping: true, Clock: func() time.Time { return c.now }}
	cfg.Attrs.McastMembershipInterval = new(1e6 * time.Second)
	var ports []*bridge.Port
	c.b, ports = mcastBench(tb, cfg, 8, n, 1)
	require.NoError(tb, c.b.Set(bridge.BridgeAttrs{McastMembershipInterval: new(10 * time.Second)}))
	c.fast, c.slow = ports[2], ports[3]
	more := newChurner(tb, c.fast, 64)
	c.in, c.join, c.leave = more.in, more.join, more.leave
	return c
}

func (c *crowd) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.b.Tick(c.now)
}

// BenchmarkMembership is the time of one change among 10, 1000 and 10,000 groups; it is
// to be the same. Each is one frame of a batch of 64, but for those that end because
// their time is over. "asked" is a leave that the bridge sends a query for.
func BenchmarkMembership(b *testing.B) {
	sizes := []int{10, 1000, 10_000}
	steps := []string{"join", "refresh", "leave", "rejoin", "asked", "expire"}
	crowds := make([]*crowd, len(sizes))
	slowIn := make([]*bridge.Input, len(sizes))
	for i, n := range sizes {
		crowds[i] = newCrowd(b, n)
		slowIn[i] = crowds[i].slow.Input()
	}
	took := map[string][][]float64{}
	for _, s := range steps {
		took[s] = make([][]float64, len(sizes))
	}
	round := func(keep bool) {
		for i, c := range crowds {
			for k, do := range []func(){
				func() { _ = c.in.Receive(c.join) },
				func() { _ = c.in.Receive(c.join) },
				func() { _ = c.in.Receive(c.leave) },
				func() { _ = slowIn[i].Receive(c.join) },
				func() { _ = slowIn[i].Receive(c.leave) },
				func() { c.pass(3 * time.Second) },
			} {
				begin := time.Now()
				do()
				if ns := float64(time.Since(begin).Nanoseconds()) / float64(len(c.join)); keep {
					took[steps[k]][i] = append(took[steps[k]][i], ns)
				}
			}
			if n := c.fast.Info().McastGroups + c.slow.Info().McastGroups; n != 0 {
				b.Fatalf("%d groups are left", n)
			}
		}
	}
	round(false)
	for b.Loop() {
		round(true)
	}
	b.ReportMetric(0, "ns/op")
	for _, s := range steps {
		var first float64
		for i, n := range sizes {
			all := took[s][i]
			slices.Sort(all)
			median := all[len(all)/2]
			b.ReportMetric(median, fmt.Sprintf("%s-%d-ns", s, n))
			if i == 0 {
				first = median
			} else {
				b.ReportMetric(median/first, fmt.Sprintf("%s-%d-x", s, n))
			}
		}
	}
}

// BenchmarkTick is the time of a Tick for which nothing is due, while the timers of
// groups run.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) {
			c := newCrowd(b, n)
			c.pass(0)
			b.ReportAllocs()
			for b.Loop() {
				c.b.Tick(c.now)
			}
		})
	}
}

// BenchmarkMDB is the time of a dump of 10,000 groups, and how long a single join waited
// at most meanwhile, and while all groups ran out of time in one Tick; and the memory that
// a group takes.
func BenchmarkMDB(b *testing.B) {
	const groups = 10_000
	var heap [2]runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&heap[0])
		c := newCrowd(b, groups)
		runtime.GC()
		runtime.ReadMemStats(&heap[1])
		b.ReportMetric(float64(heap[1].HeapAlloc-heap[0].HeapAlloc)/groups, "B/group")
		beside := func(metric string, fn func()) {
			var wg sync.WaitGroup
			var over atomic.Bool
			var took time.Duration
			wg.Go(func() {
				begin := time.Now()
				fn()
				took = time.Since(begin)
				over.Store(true)
			})
			var worst time.Duration
			for i := 0; !over.Load(); i++ {
				begin := time.Now()
				_ = c.in.Receive(c.join[i%64 : i%64+1])
				worst = max(worst, time.Since(begin))
				time.Sleep(20 * time.Microsecond)
			}
			wg.Wait()
			b.ReportMetric(float64(took.Nanoseconds())/groups, metric+"-ns/group")
			b.ReportMetric(float64(worst.Microseconds()), metric+"-wait-us")
		}
		beside("dump", func() {
			if n := len(c.b.MDB()); n < groups {
				b.Errorf("%d rows", n)
			}
		})
		later := c.now.Add(2e6 * time.Second)
		beside("expire", func() { c.b.Tick(later) })
		if n := len(c.b.MDB()); n > 64 {
			b.Errorf("%d rows are left", n)
		}
	}
}
