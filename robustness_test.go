package bridge_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A request to the FDB is over when it returns: it waits for a frame that is on its
// way because of what the table said before.
func TestFDBRequestsWaitForBatches(t *testing.T) {
	for name, do := range map[string]func(b *bridge.Bridge) error{
		"flush": func(b *bridge.Bridge) error { _, err := b.FDB().Flush(bridge.FDBFlush{}); return err },
		"delete": func(b *bridge.Bridge) error {
			return b.FDB().Delete(b.Port("slow"), mac(2), nil)
		},
		"replace": func(b *bridge.Bridge) error {
			return b.FDB().Update(bridge.FDBRequest{Port: b.Port("p"), MAC: mac(2), State: bridge.NUDNoARP, Mode: bridge.FDBReplace})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := bridge.New(bridge.Config{})
				require.NoError(t, err)
				slow := &badIO{recorder: newRecorder("slow", new(tape)), write: func(fs []frame.Frame) (int, error) {
					time.Sleep(100 * time.Millisecond)
					return len(fs), nil
				}}
				q, err := b.AddPort("slow", slow, bridge.PortConfig{})
				require.NoError(t, err)
				p, err := b.AddPort("p", newRecorder("p", new(tape)), bridge.PortConfig{})
				require.NoError(t, err)
				require.NoError(t, q.Receive(ether(mac(9), mac(2))))
				var wg sync.WaitGroup
				wg.Go(func() { _ = p.Receive(ether(mac(2), mac(1))) })
				synctest.Wait() // the frame is being written
				begin := time.Now()
				require.NoError(t, do(b))
				assert.GreaterOrEqual(t, time.Since(begin), 90*time.Millisecond)
				wg.Wait()
				require.NoError(t, b.Close())
			})
		})
	}
}

// One end of a cable is plugged in once: two readers would break its contract.
func TestCableInUse(t *testing.T) {
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	defer b.Close()
	one, two := bridge.NewPipe(bridge.PipeConfig{})
	p, err := b.AddPort("p1", one, bridge.PortConfig{})
	require.NoError(t, err)
	_, err = b.AddPort("p2", one, bridge.PortConfig{})
	assert.ErrorIs(t, err, bridge.EBUSY)
	assert.ErrorIs(t, b.AttachHost(one, bridge.HostConfig{}), bridge.EBUSY)
	_, err = b.AddPort("p3", two, bridge.PortConfig{Queues: []bridge.FrameIO{two}})
	assert.ErrorIs(t, err, bridge.EBUSY)
	require.NoError(t, b.RemovePort(p))
	require.NoError(t, b.AttachHost(two, bridge.HostConfig{}))
	_, err = b.AddPort("p4", two, bridge.PortConfig{})
	assert.ErrorIs(t, err, bridge.EBUSY)
	require.NoError(t, b.DetachHost())
}

// Every setting can be there from a port's, and a bridge's, first frame on.
func TestAttrsFromTheStart(t *testing.T) {
	b, err := bridge.New(bridge.Config{
		Attrs: bridge.BridgeAttrs{McastQuerier: new(true), FDBLocalVLAN0: new(true)},
		Clock: func() time.Time { return time.Time{} }, // entries grow no older between two looks
	})
	require.NoError(t, err)
	defer b.Close()
	assert.True(t, b.Info().McastQuerier)
	assert.True(t, b.Info().FDBLocalVLAN0)
	_, err = b.AddPort("p1", newRecorder("p1", new(tape)), bridge.PortConfig{})
	require.NoError(t, err)
	p, err := b.AddPort("p2", newRecorder("p2", new(tape)), bridge.PortConfig{Attrs: bridge.PortAttrs{
		State: new(bridge.StateListening), BackupPort: new("p1"), Guard: new(true), McastRouter: new(2),
	}})
	require.NoError(t, err)
	i := p.Info()
	assert.Equal(t, bridge.StateListening, i.State)
	assert.Equal(t, "p1", i.BackupPort)
	assert.True(t, i.Guard)
	assert.Equal(t, 2, i.McastRouter)
	before := snap(b)
	_, err = b.AddPort("p3", newRecorder("p3", new(tape)), bridge.PortConfig{Attrs: bridge.PortAttrs{McastRouter: new(4)}})
	assert.ErrorIs(t, err, bridge.EINVAL)
	assert.Equal(t, before, snap(b), "refused whole")
	for e := range b.FDB().All() {
		assert.Zero(t, e.VID, "local entries stand at VLAN 0 only: %v", e.MAC)
	}
}

// A reader stays small among many ports, also after it has flooded a full batch to
// all of them.
func TestInputsStaySmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is in the way")
	}
	const ports = 200
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	defer b.Close()
	for i := range ports {
		_, err := b.AddPort(fmt.Sprintf("p%d", i), newSink(), bridge.PortConfig{Caps: bridge.Caps{TagAside: true}})
		require.NoError(t, err)
	}
	before := heap()
	fs := make([]frame.Frame, 64)
	for i := range fs {
		fs[i] = ether(frame.Broadcast, mac(i))
	}
	for _, p := range b.Ports() {
		require.NoError(t, p.Receive(fs...))
	}
	per := int64(heap()-before) / ports
	assert.Less(t, per, int64(64<<10), "bytes an Input; a vector of frames for each of %d ports would take %d", ports, ports*64*56)
	runtime.KeepAlive(b)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Numbered addresses, as laboratories and attackers make them, are found in a few
// steps whatever the bridge's seed.
func TestNumberedAddresses(t *testing.T) {
	for seed := range uint64(repetitions(50)) {
		b, err := bridge.New(bridge.Config{Seed: seed + 1})
		require.NoError(t, err)
		for i := range 2000 {
			require.NoError(t, b.FDB().Update(bridge.FDBRequest{
				Port: nil, MAC: frame.MACFromUint64(0x020000000000 + uint64(i)), State: bridge.NUDPermanent, Mode: bridge.FDBReplace,
			}))
		}
		if n := bridge.LongestProbe(b); n > 64 {
			t.Errorf("seed %d: a search takes %d steps", seed+1, n)
		}
		require.NoError(t, b.Close())
	}
}

// A driver or a callback that ends the goroutine in the middle of a batch, as a
// failing test does, leaves a bridge that goes on and ledgers that balance.
func TestGoexitInBatch(t *testing.T) {
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	bad := &badIO{recorder: newRecorder("bad", new(tape)), write: func([]frame.Frame) (int, error) {
		runtime.Goexit()
		return 0, errors.New("not reached")
	}}
	_, err = b.AddPort("bad", bad, bridge.PortConfig{})
	require.NoError(t, err)
	p, err := b.AddPort("p", newRecorder("p", new(tape)), bridge.PortConfig{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Receive(ether(frame.Broadcast, mac(1)), ether(frame.Broadcast, mac(2))) })
	wg.Wait()
	balanced(t, b)
	within(t, time.Minute, "Close", func() { assert.NoError(t, b.Close()) })
}
