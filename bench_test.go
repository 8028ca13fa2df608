package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// sink is a cable that takes everything, so that a benchmark measures the bridge.
type sink struct {
	frames atomic.Uint64
	closed chan struct{}
}

func newSink() *sink { return &sink{closed: make(chan struct{})} }

func (s *sink) ReadFrames([]frame.Frame) (int, error) { <-s.closed; return 0, net.ErrClosed }
func (s *sink) WriteFrames(fs []frame.Frame) (int, error) {
	s.frames.Add(uint64(len(fs)))
	return len(fs), nil
}
func (s *sink) Close() error { return nil }

const benchPorts = 8

// benchBridge is a bridge of eight ports that knows macs addresses, spread over
// them evenly: address i is behind port i modulo 8.
func benchBridge(tb testing.TB, macs int, c bridge.Config, pc bridge.PortConfig) (*bridge.Bridge, []*bridge.Port) {
	tb.Helper()
	c.FDBLimit = 2 * macs
	b, err := bridge.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	pc.Caps.TagAside = true
	var ports []*bridge.Port
	for i := range benchPorts {
		p, err := b.AddPort(fmt.Sprintf("p%d", i), newSink(), pc)
		if err != nil {
			tb.Fatal(err)
		}
		ports = append(ports, p)
	}
	for i := range macs {
		if err := ports[i%benchPorts].Receive(benchFrame(frame.Broadcast, benchMAC(i))); err != nil {
			tb.Fatal(err)
		}
	}
	return b, ports
}

func benchMAC(i int) frame.MAC {
	return frame.MACFromUint64(0x020000000000 | uint64(i)*0x10001&0xffffffffff)
}

func benchFrame(dst, src frame.MAC) frame.Frame {
	d := make([]byte, 64)
	copy(d, dst[:])
	copy(d[6:], src[:])
	d[12], d[13] = 0x88, 0xb5
	return frame.Frame{Data: d}
}

// unicastFrames are frames from random known addresses behind port 0 to random
// known addresses behind the other ports.
func unicastFrames(macs int) []frame.Frame {
	r := rand.New(rand.NewPCG(1, 2))
	fs := make([]frame.Frame, 64*64)
	for i := range fs {
		src := r.IntN(macs/benchPorts) * benchPorts
		dst := r.IntN(macs/benchPorts)*benchPorts + 1 + r.IntN(benchPorts-1)
		fs[i] = benchFrame(benchMAC(dst), benchMAC(src))
	}
	return fs
}

// BenchmarkForward is the time of one 64-byte frame through the bridge, in batches
// of 64, between cables that take everything. naive is what anyone writes first, a
// map and a mutex, on the same frames.
func BenchmarkForward(b *testing.B) {
	for _, macs := range []int{1_000, 100_000} {
		name := fmt.Sprintf("macs=%dk", macs/1000)
		b.Run("unicast/"+name, func(b *testing.B) {
			_, ports := benchBridge(b, macs, bridge.Config{}, bridge.PortConfig{})
			benchReceive(b, ports[0].Input(), unicastFrames(macs))
		})
		b.Run("unicast-vlan/"+name, func(b *testing.B) {
			_, ports := benchBridge(b, macs, bridge.Config{VLANFiltering: true}, bridge.PortConfig{})
			benchReceive(b, ports[0].Input(), unicastFrames(macs))
		})
		b.Run("unicast-filter/"+name, func(b *testing.B) {
			br, ports := benchBridge(b, macs, bridge.Config{}, bridge.PortConfig{})
			if err := br.SetFilters(acceptAll); err != nil {
				b.Fatal(err)
			}
			benchReceive(b, ports[0].Input(), unicastFrames(macs))
		})
		b.Run("naive/"+name, func(b *testing.B) { benchNaive(b, macs, unicastFrames(macs)) })
	}
	b.Run("unicast-flow/macs=1k", func(b *testing.B) {
		_, ports := benchBridge(b, 1000, bridge.Config{}, bridge.PortConfig{})
		fs := unicastFrames(1000)
		for i := range fs {
			fs[i] = fs[i/8*8] // runs of eight frames of one flow, as traffic comes
		}
		benchReceive(b, ports[0].Input(), fs)
	})
	b.Run("flood/ports=8", func(b *testing.B) {
		_, ports := benchBridge(b, 1000, bridge.Config{}, bridge.PortConfig{})
		fs := unicastFrames(1000)
		for i := range fs {
			copy(fs[i].Data, frame.Broadcast[:])
		}
		benchReceive(b, ports[0].Input(), fs)
	})
	for _, members := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("multicast/members=%d", members), func(b *testing.B) {
			_, ports := mcastBench(b, bridge.Config{McastSnooping: true}, 18, 1000, members)
			benchReceive(b, ports[0].Input(), mcastFrames(18, toGroups(1000)))
		})
	}
	b.Run("host", func(b *testing.B) {
		br, ports := benchBridge(b, 1000, bridge.Config{}, bridge.PortConfig{})
		if err := br.AttachHost(newSink(), bridge.HostConfig{Caps: bridge.Caps{TagAside: true}}); err != nil {
			b.Fatal(err)
		}
		fs, addr := unicastFrames(1000), br.Info().Address
		for i := range fs {
			copy(fs[i].Data, addr[:])
		}
		benchReceive(b, ports[0].Input(), fs)
	})
}

// acceptAll is a filter that lets everything through, at one point.
var acceptAll = bridge.Filter{Name: "accept", Hooks: bridge.Hooks(bridge.HookPreRouting),
	Judge: func(*bridge.Passage) bridge.Ruling { return bridge.Ruling{} }}

// BenchmarkForwardParallel is BenchmarkForward/unicast with an Input a goroutine.
func BenchmarkForwardParallel(b *testing.B) {
	_, ports := benchBridge(b, 1000, bridge.Config{}, bridge.PortConfig{})
	var next atomic.Int32
	b.RunParallel(func(pb *testing.PB) {
		in, fs, at := ports[next.Add(1)%benchPorts].Input(), unicastFrames(1000), 0
		for n := 0; pb.Next(); n++ {
			if n%64 == 0 {
				_ = in.Receive(fs[at : at+64])
				at = (at + 64) % len(fs)
			}
		}
	})
}

func benchReceive(b *testing.B, in *bridge.Input, fs []frame.Frame) {
	b.ReportAllocs()
	_ = in.Receive(fs) // the vectors take their size
	at := 0
	b.ResetTimer()
	for n := 0; n < b.N; n += 64 {
		_ = in.Receive(fs[at : at+64])
		at = (at + 64) % len(fs)
	}
}

// naive is a learning switch of a map and a mutex.
type naive struct {
	mu    sync.Mutex
	table map[frame.MAC]naiveEntry
	out   [benchPorts]bridge.FrameIO
}

type naiveEntry struct {
	port int
	seen time.Time
}

func (n *naive) receive(port int, f *frame.Frame, one []frame.Frame) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.table[f.Src()] = naiveEntry{port, now}
	e, ok := n.table[f.Dst()]
	one[0] = *f
	switch {
	case ok && now.Sub(e.seen) < 5*time.Minute:
		if e.port != port {
			_, _ = n.out[e.port].WriteFrames(one)
		}
	default:
		for i, w := range n.out {
			if i != port {
				_, _ = w.WriteFrames(one)
			}
		}
	}
}

func benchNaive(b *testing.B, macs int, fs []frame.Frame) {
	n := &naive{table: map[frame.MAC]naiveEntry{}}
	for i := range n.out {
		n.out[i] = newSink()
	}
	for i := range macs {
		n.table[benchMAC(i)] = naiveEntry{i % benchPorts, time.Now()}
	}
	one := make([]frame.Frame, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		n.receive(0, &fs[i%len(fs)], one)
	}
}

// everywhere is a filter that looks at every frame at every point, and copies and
// reports some.
var everywhere = bridge.Filter{Name: "everywhere", Hooks: everyHook, Judge: func(s *bridge.Passage) bridge.Ruling {
	_, _, known := s.Lookup(s.Frame.Dst())
	if s.Out != nil && !known {
		s.CopyTo(s.Out)
	}
	why := s.Out
	s.Report(func() error { return why.Info().Failed })
	if s.Now().IsZero() {
		return bridge.FilterDrop.Because("never")
	}
	return bridge.FilterAccept.Because("always")
}}

// TestForwardAllocatesNothing holds the promise of no allocation a frame.
func TestForwardAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct {
		name string
		cfg  bridge.Config
		dst  func(*bridge.Bridge, int) frame.MAC
	}{
		{"unicast", bridge.Config{}, func(_ *bridge.Bridge, i int) frame.MAC { return benchMAC(i*benchPorts + 1) }},
		{"unicast vlan", bridge.Config{VLANFiltering: true}, func(_ *bridge.Bridge, i int) frame.MAC { return benchMAC(i*benchPorts + 1) }},
		{"unknown unicast", bridge.Config{}, func(*bridge.Bridge, int) frame.MAC { return frame.MAC{2, 0xff, 0, 0, 0, 1} }},
		{"broadcast", bridge.Config{}, func(*bridge.Bridge, int) frame.MAC { return frame.Broadcast }},
		{"broadcast vlan", bridge.Config{VLANFiltering: true}, func(*bridge.Bridge, int) frame.MAC { return frame.Broadcast }},
		{"host", bridge.Config{}, func(b *bridge.Bridge, _ int) frame.MAC { return b.Info().Address }},
		{"filtered", bridge.Config{Filters: []bridge.Filter{everywhere}}, func(*bridge.Bridge, int) frame.MAC { return frame.Broadcast }},
		{"group", bridge.Config{McastSnooping: true}, nil},
		{"group vlan", bridge.Config{McastSnooping: true, VLANFiltering: true}, nil},
		{"filtered vlan", bridge.Config{VLANFiltering: true, Filters: []bridge.Filter{everywhere}}, func(*bridge.Bridge, int) frame.MAC { return frame.Broadcast }},
	} {
		for _, aside := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s aside=%t", c.name, aside), func(t *testing.T) {
				b, ports := benchBridge(t, 1000, c.cfg, bridge.PortConfig{})
				if err := b.AttachHost(newSink(), bridge.HostConfig{Caps: bridge.Caps{TagAside: aside}}); err != nil {
					t.Fatal(err)
				}
				plain, err := b.AddPort("plain", newSink(), bridge.PortConfig{Caps: bridge.Caps{TagAside: aside}})
				if err != nil {
					t.Fatal(err)
				}
				fs := make([]frame.Frame, 64)
				for i := range fs {
					if c.dst == nil {
						fs[i] = groupData(benchMAC(i*benchPorts), source4, group4)
					} else {
						fs[i] = benchFrame(c.dst(b, i), benchMAC(i*benchPorts))
					}
				}
				if c.dst == nil {
					restrictGroup(t, b, ports[1], plain)
				}
				in := ports[0].Input()
				_ = in.Receive(fs)
				before := plain.Stats().TxPackets + b.Stats().RxPackets + ports[1].Stats().TxPackets
				if n := testing.AllocsPerRun(100, func() { _ = in.Receive(fs) }); n != 0 {
					t.Errorf("%v allocations a batch of 64, want 0", n)
				}
				if plain.Stats().TxPackets+b.Stats().RxPackets+ports[1].Stats().TxPackets == before {
					t.Error("no frame was carried")
				}
			})
		}
	}
}
