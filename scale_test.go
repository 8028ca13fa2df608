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

// What does not show in the time of a frame and is held by counting: bytes.

// allocated is how many bytes a call of fn allocates, in the mean of n.
func allocated(n int, fn func(i int)) int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else's bytes
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range n {
		fn(i)
	}
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc-before.TotalAlloc) / n
}

// inUse is how many bytes are in use when fn has run that were not before.
func inUse(fn func()) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	fn()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}

// bridgesOfScale are a bridge as it is by default, and one with what most use.
var bridgesOfScale = map[string]bridge.Config{
	"plain": {},
	"usual": {VLANFiltering: true, McastSnooping: true, McastQuerier: true, STPState: 1, VLANStats: true},
}

// TestBytesOfNewAndAddPort: bridges and ports are cheap, however many there are.
func TestBytesOfNewAndAddPort(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, c := range bridgesOfScale {
		bs := make([]*bridge.Bridge, 100)
		n := allocated(len(bs), func(i int) { bs[i], _ = bridge.New(c) })
		assert.LessOrEqual(t, n, 16<<10, "New, %s", name)
		for _, b := range bs {
			require.NoError(t, b.Close())
		}
		for _, ports := range []int{8, 64, 512} {
			b, err := bridge.New(c)
			require.NoError(t, err)
			ios, names := make([]bridge.FrameIO, ports), make([]string, ports)
			for i := range ports {
				ios[i], names[i] = newSink(), fmt.Sprintf("p%d", i)
			}
			n := allocated(ports, func(i int) { _, err = b.AddPort(names[i], ios[i], bridge.PortConfig{}) })
			assert.NoError(t, err)
			assert.LessOrEqual(t, n, 4<<10, "AddPort, %s, of %d ports", name, ports)
			require.NoError(t, b.Close())
		}
	}
}

// scaleBridge has ports that are in VLANs 1 to vlans, and knows macs addresses.
func scaleBridge(t *testing.T, c bridge.Config, ports, vlans, macs int) (*bridge.Bridge, []*bridge.Port) {
	t.Helper()
	c.Seed, c.FDBLimit = 1, 2*macs+2*ports*vlans
	b, err := bridge.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	vs := bridge.Access(1)
	if vlans > 1 {
		vs = append(vs, bridge.VLAN{VID: 2, End: frame.VID(vlans)})
	}
	all := make([]*bridge.Port, ports)
	ins := make([]*bridge.Input, ports)
	for i := range all {
		all[i], err = b.AddPort(fmt.Sprintf("p%d", i), newSink(), bridge.PortConfig{VLANs: vs})
		require.NoError(t, err)
		ins[i] = all[i].Input()
	}
	hello := []frame.Frame{benchFrame(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, frame.MAC{})}
	for i := range macs {
		src := benchMAC(i)
		copy(hello[0].Data[6:], src[:])
		require.NoError(t, ins[i%ports].Receive(hello))
	}
	return b, all
}

// TestBytesOfAChange: what a change of the configuration allocates is in proportion to
// what it changes. Addresses and VLANs that are there cost nothing; ports, if one of them
// is what changes, the two words that each has in the lists of ports.
func TestBytesOfAChange(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const many = 512
	now := func() time.Time { return time.Unix(1000, 0) }
	c := bridge.Config{VLANFiltering: true, Clock: now, Attrs: bridge.BridgeAttrs{FDBLocalVLAN0: new(true)}}
	small, smallPorts := scaleBridge(t, c, 2, 100, 100)
	large, largePorts := scaleBridge(t, c, many, 4094, 100_000)
	for _, change := range []struct {
		name string
		list bool // it makes new lists of ports
		do   func(b *bridge.Bridge, p *bridge.Port, i int) error
	}{
		{"bridge", false, func(b *bridge.Bridge, _ *bridge.Port, i int) error {
			return b.Set(bridge.BridgeAttrs{GroupFwdMask: new(uint16(i % 2 * 8))})
		}},
		{"port", true, func(_ *bridge.Bridge, p *bridge.Port, i int) error {
			return p.Set(bridge.PortAttrs{Isolated: new(i%2 == 0)})
		}},
		{"VLAN of a port", true, func(_ *bridge.Bridge, p *bridge.Port, i int) error {
			if i%2 == 0 {
				return p.VLANs().Delete(70, 0)
			}
			return p.VLANs().Add(bridge.VLAN{VID: 70})
		}},
		{"VLAN of the bridge", false, func(b *bridge.Bridge, _ *bridge.Port, i int) error {
			if i%2 == 0 {
				return b.VLANs().Add(bridge.VLAN{VID: 70})
			}
			return b.VLANs().Delete(70, 0)
		}},
		{"address", false, func(b *bridge.Bridge, p *bridge.Port, i int) error {
			vid := frame.VID(7)
			if i%2 == 0 {
				return b.FDB().Update(bridge.FDBRequest{MAC: mac(200), VID: &vid, Port: p, State: bridge.NUDNoARP})
			}
			return b.FDB().Delete(p, mac(200), &vid)
		}},
	} {
		few := allocated(100, func(i int) { require.NoError(t, change.do(small, smallPorts[0], i)) })
		lots := allocated(100, func(i int) { require.NoError(t, change.do(large, largePorts[0], i)) })
		room := 256
		if change.list {
			room += 2 * 8 * many * 5 / 4 // and what an allocation is rounded up by
		}
		t.Logf("%s: %d and %d bytes", change.name, few, lots)
		assert.LessOrEqual(t, few, 3<<10, change.name)
		assert.LessOrEqual(t, lots, few+room, change.name)
	}
}

// TestBytesOfAnAddress holds the memory of an address at every step of a table that grows,
// where a segment that is replaced is in use beside those that replace it, and at rest,
// which is once the timer has come that stands after the last of them was learned.
func TestBytesOfAnAddress(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const most, step, segment = 200_000, 5000, 1024 * 28
	for _, breaks := range []bool{false, true} { // whether the table comes to rest on the way
		now := time.Unix(1000, 0)
		b, err := bridge.New(bridge.Config{Seed: 1, FDBLimit: 2 * most, Clock: func() time.Time { return now }})
		require.NoError(t, err)
		l := newLearner(t, b, 8)
		l.learn(benchMAC(most)) // the vectors take their size
		var growing, resting float64
		bytes := 0
		for known := step; known <= most; known += step {
			bytes += inUse(func() {
				for i := known - step; i < known; i++ {
					l.learn(benchMAC(i))
				}
			})
			growing = max(growing, float64(bytes+segment)/float64(known))
			if breaks || known == most {
				bytes += inUse(func() {
					for at, ok := bridge.RestTimer(b); ok; at, ok = bridge.RestTimer(b) {
						now = at
						b.Tick(now)
					}
				})
				resting = max(resting, float64(bytes)/float64(known))
			}
		}
		t.Logf("bytes of an address: %.1f at most while the table grows, %.1f at rest", growing, resting)
		assert.LessOrEqual(t, growing, 110.0)
		assert.LessOrEqual(t, resting, 64.0)
		require.NoError(t, b.Close())
	}
}

// TestPortLists holds the lists of ports, which configs share, against a model, while
// ports join, are refused late, leave and change, and frames are flooded.
func TestPortLists(t *testing.T) {
	b, err := bridge.New(bridge.Config{Seed: 1})
	require.NoError(t, err)
	defer b.Close()
	first, err := b.AddPort("first", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { // ends when stop is set
		in, fs := first.Input(), []frame.Frame{benchFrame(frame.Broadcast, mac(1))}
		for !stop.Load() {
			_ = in.Receive(fs)
		}
	})
	r := rand.New(rand.NewPCG(1, 2))
	model := []*bridge.Port{first}
	for i := range 600 {
		at := r.IntN(len(model))
		switch k := r.IntN(10); {
		case k < 5:
			p, err := b.AddPort(fmt.Sprintf("p%d", i), newSink(), bridge.PortConfig{})
			require.NoError(t, err)
			model = append(model, p)
		case k < 7: // refused once it stands in the lists
			_, err := b.AddPort("refused", newSink(), bridge.PortConfig{Attrs: bridge.PortAttrs{PathCost: new(uint32(1 << 31))}})
			require.Error(t, err)
		case k < 9 && at > 0:
			require.NoError(t, b.RemovePort(model[at]))
			model = slices.Delete(model, at, at+1)
		default:
			require.NoError(t, model[at].Set(bridge.PortAttrs{Isolated: new(i%2 == 0)}))
		}
		require.Equal(t, model, b.Ports())
	}
	stop.Store(true)
	wg.Wait()
	sent := map[*bridge.Port]uint64{}
	for _, p := range model {
		sent[p] = p.Stats().TxPackets
		require.NoError(t, p.Set(bridge.PortAttrs{Isolated: new(false)}))
	}
	require.NoError(t, first.Receive(benchFrame(frame.Broadcast, mac(1))))
	for _, p := range model[1:] {
		assert.Equal(t, sent[p]+1, p.Stats().TxPackets, p.Name())
	}
}
