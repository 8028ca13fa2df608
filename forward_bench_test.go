package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The yardsticks of the core, and the core beside them:
//
//	go test -run '^$' -bench 'BenchmarkForward|BenchmarkBaseline|BenchmarkFloor' .
//
// Every figure is the time of one 64-byte frame. BenchmarkForward has VLAN filtering,
// learning, counters and drop reasons on, and a Trace that was set and taken away
// again; frames come in batches of 64, from random senders behind the first port to
// random receivers behind the others, and leave by cables that discard them.

var benchSizes = []struct {
	name string
	macs int
}{{"1k", 1_000}, {"100k", 100_000}, {"1M", 1_000_000}}

// benchVLANs are the settings of every BenchmarkForward.
var benchVLANs = bridge.Config{VLANFiltering: true, Seed: 1}

// forwarding is a bridge that knows macs addresses.
func forwarding(b *testing.B, macs int, c bridge.Config, pc bridge.PortConfig) (*bridge.Bridge, []*bridge.Port) {
	br, ports := benchBridge(b, macs, c, pc)
	br.SetTrace(func(bridge.Step) {})
	br.SetTrace(nil)
	return br, ports
}

func BenchmarkForward(b *testing.B) {
	for _, size := range benchSizes {
		b.Run("unicast/macs="+size.name, func(b *testing.B) {
			_, ports := forwarding(b, size.macs, benchVLANs, bridge.PortConfig{})
			benchReceive(b, ports[0].Input(), unicastFrames(size.macs))
		})
	}
	b.Run("unicast/bursty", func(b *testing.B) { // runs of eight frames of one flow, as traffic comes
		_, ports := forwarding(b, 100_000, benchVLANs, bridge.PortConfig{})
		benchReceive(b, ports[0].Input(), bursts(unicastFrames(100_000), 8))
	})
	for _, n := range []int{8, 64} {
		b.Run(fmt.Sprintf("flood/ports=%d", n), func(b *testing.B) {
			in, fs := flooding(b, n)
			benchReceive(b, in, fs)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n-1), "ns/port")
		})
	}
	b.Run("multicast/members=4", func(b *testing.B) {
		c := benchVLANs
		c.McastSnooping = true
		_, ports := mcastBench(b, c, 18, 1000, 4)
		benchReceive(b, ports[0].Input(), mcastFrames(18, toGroups(1000)))
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4, "ns/port")
	})
	b.Run("host", func(b *testing.B) {
		br, ports := forwarding(b, 1000, benchVLANs, bridge.PortConfig{})
		if err := br.AttachHost(newSink(), bridge.HostConfig{Caps: bridge.Caps{TagAside: true}}); err != nil {
			b.Fatal(err)
		}
		fs, addr := unicastFrames(1000), br.Info().Address
		for i := range fs {
			copy(fs[i].Data, addr[:])
		}
		benchReceive(b, ports[0].Input(), fs)
	})
	b.Run("parallel/macs=100k", func(b *testing.B) { benchParallel(b, 100_000) })
	b.Run("batch=1/macs=1k", func(b *testing.B) {
		_, ports := forwarding(b, 1000, benchVLANs, bridge.PortConfig{})
		in, fs := ports[0].Input(), unicastFrames(1000)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_ = in.Receive(fs[i%len(fs) : i%len(fs)+1])
		}
	})
	b.Run("filter/macs=1k", func(b *testing.B) {
		br, ports := forwarding(b, 1000, benchVLANs, bridge.PortConfig{})
		if err := br.SetFilters(acceptAll); err != nil {
			b.Fatal(err)
		}
		benchReceive(b, ports[0].Input(), unicastFrames(1000))
	})
	b.Run("retag", func(b *testing.B) { // an access port to trunks
		_, ports := forwarding(b, 1000, benchVLANs, bridge.PortConfig{})
		for _, p := range ports[1:] {
			if err := p.VLANs().Set(bridge.Trunk(0, 1)); err != nil {
				b.Fatal(err)
			}
		}
		benchReceive(b, ports[0].Input(), unicastFrames(1000))
	})
}

// flooding is a bridge of n ports, and broadcasts that come in by the first.
func flooding(b *testing.B, n int) (*bridge.Input, []frame.Frame) {
	br, ports := forwarding(b, 1000, benchVLANs, bridge.PortConfig{})
	for i := benchPorts; i < n; i++ {
		pc := bridge.PortConfig{Caps: bridge.Caps{TagAside: true}}
		if _, err := br.AddPort(fmt.Sprintf("p%d", i), newSink(), pc); err != nil {
			b.Fatal(err)
		}
	}
	fs := unicastFrames(1000)
	for i := range fs {
		copy(fs[i].Data, frame.Broadcast[:])
	}
	return ports[0].Input(), fs
}

// bursts makes each frame come n times in a row.
func bursts(fs []frame.Frame, n int) []frame.Frame {
	for i := range fs {
		fs[i] = fs[i/n*n]
	}
	return fs
}

// benchParallel has two Inputs carry frames side by side, from two ports.
func benchParallel(b *testing.B, macs int) {
	_, ports := forwarding(b, macs, benchVLANs, bridge.PortConfig{})
	other := unicastFrames(macs)
	for i := range other { // the answers, of which those from behind the second port come in there
		src, dst := other[i].Src(), other[i].Dst()
		if dst.Uint64()%benchPorts != 1 {
			dst = benchMAC(rand.IntN(macs/benchPorts)*benchPorts + 1)
		}
		copy(other[i].Data, src[:])
		copy(other[i].Data[6:], dst[:])
	}
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i, fs := range [][]frame.Frame{unicastFrames(macs), other} {
		in := ports[i].Input()
		wg.Go(func() {
			for n, at := 0, 0; n < b.N/2; n += batch {
				_ = in.Receive(fs[at : at+batch])
				at = (at + batch) % len(fs)
			}
		})
	}
	wg.Wait()
}

const batch = 64

// BenchmarkBaseline is the usual switch in Go: a map of addresses, one lock, and a
// look at the clock for each frame; it learns and looks up, nothing else.
func BenchmarkBaseline(b *testing.B) {
	for _, size := range benchSizes {
		b.Run("macs="+size.name, func(b *testing.B) {
			s, fs, sum := newUsualSwitch(size.macs), unicastFrames(size.macs), 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				sum += s.receive(0, fs[i%len(fs)].Data)
			}
			used = sum
		})
	}
}

type usualSwitch struct {
	mu    sync.Mutex
	table map[[6]byte]usualEntry
}

type usualEntry struct {
	port int
	seen time.Time
}

func newUsualSwitch(macs int) *usualSwitch {
	s := &usualSwitch{table: map[[6]byte]usualEntry{}}
	for i := range macs {
		s.table[benchMAC(i)] = usualEntry{i % benchPorts, time.Now()}
	}
	return s
}

func (s *usualSwitch) receive(port int, data []byte) (to int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.table[[6]byte(data[6:12])] = usualEntry{port, now}
	e, ok := s.table[[6]byte(data[:6])]
	if !ok || now.Sub(e.seen) > 5*time.Minute {
		return -1
	}
	return e.port
}

// used keeps the compiler from leaving out what is measured.
var used int

// BenchmarkFloor is what no switch of this kind can pass: two look-ups, independent of
// each other, in a bare table of 16 bytes an entry, and one store.
func BenchmarkFloor(b *testing.B) {
	for _, size := range benchSizes {
		b.Run("macs="+size.name, func(b *testing.B) {
			t, fs := newBareTable(size.macs), unicastFrames(size.macs)
			b.ResetTimer()
			for i := range b.N {
				t.switchFrame(i, fs[i%len(fs)].Data)
			}
			used = t.out[0]
		})
	}
}

// BenchmarkRatios holds the core against its yardsticks, and kinds of frames against one
// another, by turns: of each the time of a frame, and the ratio to the first.
//
//	go test -run '^$' -bench BenchmarkRatios -benchtime 300x -cpu 1 .
func BenchmarkRatios(b *testing.B) {
	unicast := func(b *testing.B, name string, macs, run int) turn {
		_, ports := forwarding(b, macs, benchVLANs, bridge.PortConfig{})
		return carryingN(name, ports[0].Input(), bursts(unicastFrames(macs), run), longTurn)
	}
	for _, size := range benchSizes {
		b.Run("unicast/macs="+size.name, func(b *testing.B) {
			fs := unicastFrames(size.macs)
			s, t := newUsualSwitch(size.macs), newBareTable(size.macs)
			ours := unicast(b, "bridge", size.macs, 1)
			byTurns(b, ours, eachOf("baseline", fs, func(_ int, data []byte) { used += s.receive(0, data) }), eachOf("floor", fs, t.switchFrame))
			used += t.out[0]
		})
	}
	b.Run("bursty/macs=100k", func(b *testing.B) {
		byTurns(b, unicast(b, "random", 100_000, 1), unicast(b, "bursty", 100_000, 8))
	})
	for _, n := range []int{8, 64} {
		b.Run(fmt.Sprintf("flood/ports=%d", n), func(b *testing.B) {
			in, fs := flooding(b, n)
			t := carryingN("port", in, fs, longTurn)
			t.frames *= n - 1
			byTurns(b, unicast(b, "unicast", 1000, 1), t)
		})
	}
	b.Run("learn", benchLearning)
}

// longTurn is how many frames a turn has, so that what the others had in the caches
// does not count for much.
const longTurn = 4096

// eachOf is a turn that gives fn frames of fs, one by one, and the next ones in its next
// turn.
func eachOf(name string, fs []frame.Frame, fn func(i int, data []byte)) turn {
	const n = longTurn
	next := 0
	return turn{name: name, frames: n, do: func() {
		for i := next; i < next+n; i++ {
			fn(i, fs[i].Data)
		}
		if next += n; next+n > len(fs) {
			next = 0
		}
	}}
}

// benchLearning is of 65,536 frames, all from new addresses, into an empty table each
// time: of the bridge, of one at its limit, which evicts an address for each, of the
// usual switch, and of the bridge once it knows them.
func benchLearning(b *testing.B) {
	const n = 1 << 16
	fs := make([]frame.Frame, n)
	for i := range fs {
		fs[i] = benchFrame(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, frame.MAC{}) // learned, and handed to nobody
	}
	var names int
	rename := func() {
		for i := range fs {
			src := benchMAC(names)
			copy(fs[i].Data[6:], src[:])
			names++
		}
	}
	learning := func(name string, limit int, before func(*bridge.Bridge)) turn {
		c := benchVLANs
		c.FDBLimit = limit
		br, ports := benchBridge(b, 8, c, bridge.PortConfig{})
		in := ports[0].Input()
		return turn{name, n, func() { _ = in.Receive(fs) }, func() { before(br) }}
	}
	plain := learning("learn", 1<<20, func(br *bridge.Bridge) {
		_, _ = br.FDB().Flush(bridge.FDBFlush{StateMask: bridge.NUDPermanent})
		rename()
	})
	known := turn{name: "known", frames: n, do: plain.do}
	evict := learning("evict", 1<<15, func(*bridge.Bridge) { rename() })
	var s *usualSwitch
	usual := turn{"baseline", n, func() {
		for i := range fs {
			used += s.receive(0, fs[i].Data)
		}
	}, func() { s = newUsualSwitch(0); rename() }}
	byTurns(b, plain, known, evict, usual)
}

// bareTable is open addressing, half full at most.
type bareTable struct {
	shift uint
	slots []struct{ key, val uint64 }
	out   [benchPorts]int
}

func newBareTable(n int) *bareTable {
	t := &bareTable{shift: 64}
	for size := 1; size < 2*n; size *= 2 {
		t.shift--
	}
	t.slots = make([]struct{ key, val uint64 }, 1<<(64-t.shift))
	for i := range n {
		t.put(benchMAC(i).Uint64(), uint64(i%benchPorts))
	}
	return t
}

func (t *bareTable) switchFrame(i int, data []byte) {
	src := t.get(frame.MAC(data[6:12]).Uint64())
	dst := t.get(frame.MAC(data[:6]).Uint64())
	t.out[dst&(benchPorts-1)] = i + int(src)
}

func (t *bareTable) at(key uint64) *uint64 {
	for i := key * 0x9e3779b97f4a7c15 >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if s := &t.slots[i]; s.key == key || s.key == 0 {
			s.key = key
			return &s.val
		}
	}
}

func (t *bareTable) put(key, val uint64) { *t.at(key) = val }

func (t *bareTable) get(key uint64) uint64 {
	mask := uint64(len(t.slots) - 1)
	for i := key * 0x9e3779b97f4a7c15 >> t.shift; ; i = (i + 1) & mask {
		s := &t.slots[i&mask]
		if s.key == key {
			return s.val
		}
		if s.key == 0 {
			return 0
		}
	}
}
