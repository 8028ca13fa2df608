package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

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
// them evenly: address i is behind port i modulo 8. Twice as many have room, if c does not
// say otherwise.
func benchBridge(tb testing.TB, macs int, c bridge.Config, pc bridge.PortConfig) (*bridge.Bridge, []*bridge.Port) {
	tb.Helper()
	if c.FDBLimit == 0 {
		c.FDBLimit = 2 * macs
	}
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
// known addresses behind the other ports: so many that a table of macs addresses is
// not in the processor's caches only because the same few are asked for.
func unicastFrames(macs int) []frame.Frame {
	r := rand.New(rand.NewPCG(1, 2))
	fs := make([]frame.Frame, min(max(macs/4, 4096), 1<<18)/batch*batch)
	data := make([]byte, 64*len(fs))
	for i := range fs {
		src := benchMAC(r.IntN(macs/benchPorts) * benchPorts)
		dst := benchMAC(r.IntN(macs/benchPorts)*benchPorts + 1 + r.IntN(benchPorts-1))
		fs[i].Data = data[64*i : 64*i+64 : 64*i+64]
		copy(fs[i].Data, dst[:])
		copy(fs[i].Data[6:], src[:])
		copy(fs[i].Data[12:], []byte{0x88, 0xb5})
	}
	return fs
}

// acceptAll is a filter that lets everything through, at one point.
var acceptAll = bridge.Filter{Name: "accept", Hooks: bridge.Hooks(bridge.HookPreRouting),
	Judge: func(*bridge.Passage) bridge.Ruling { return bridge.Ruling{} }}

func benchReceive(b *testing.B, in *bridge.Input, fs []frame.Frame) {
	b.ReportAllocs()
	_ = in.Receive(fs) // the vectors take their size
	at := 0
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		_ = in.Receive(fs[at : at+batch])
		at = (at + batch) % len(fs)
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
