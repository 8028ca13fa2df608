package bridge_test

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// rawFlow is the n-th frame of a UDP flow between two addresses, either way.
func rawFlow(flow, n int, back bool) frame.Frame {
	w := make([]byte, 60)
	copy(w, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, 17})
	there, here := []byte{10, 0, 1, byte(flow)}, []byte{10, 0, 2, 9}
	if back {
		there, here = here, there
	}
	copy(w[26:], there)
	copy(w[30:], here)
	w[42], w[43], w[44] = byte(flow), byte(n), 0xcb
	return frame.Frame{Data: w}
}

// Queues share the frames: each frame comes once, a flow by one queue, both ways
// and in order, and each queue has some flows. A queue that is closed leaves its
// share to the others.
func TestRawQueues(t *testing.T) {
	const flows, each, queues = 64, 20, 3
	ns := rawVeth(t)
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: queues})
	rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: queues}) // a group of its own
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
	require.Len(t, a.Queues(), queues-1)
	for n := range each {
		for flow := range flows {
			rawSend(t, b, rawFlow(flow, n, n%2 == 1))
		}
	}
	type arrival struct{ queue, flow, n int }
	arrivals := make(chan arrival, 2*flows*each)
	var readers sync.WaitGroup
	for i, q := range append([]bridge.FrameIO{a}, a.Queues()...) {
		readers.Go(func() {
			fs := make([]frame.Frame, 64)
			for {
				n, err := q.ReadFrames(fs)
				if err != nil {
					assert.ErrorIs(t, err, net.ErrClosed)
					return
				}
				for _, f := range fs[:n] {
					if len(f.Data) == 60 && f.Data[44] == 0xcb {
						arrivals <- arrival{i, int(f.Data[42]), int(f.Data[43])}
					}
				}
			}
		})
	}
	defer readers.Wait()
	defer a.Close()
	next := func() arrival {
		select {
		case got := <-arrivals:
			return got
		case <-time.After(tapWait):
			t.Fatal("a frame is missing")
		}
		return arrival{}
	}
	queueOf, nextOf, share := map[int]int{}, map[int]int{}, map[int]int{}
	for range flows * each {
		got := next()
		if got.n == 0 {
			queueOf[got.flow] = got.queue
			share[got.queue]++
		}
		assert.Equal(t, queueOf[got.flow], got.queue, "flow %d", got.flow)
		assert.Equal(t, nextOf[got.flow], got.n, "flow %d", got.flow)
		nextOf[got.flow]++
	}
	assert.Len(t, share, queues, "flows of each queue: %v", share)

	require.NoError(t, a.Queues()[0].Close())
	for flow := range flows {
		rawSend(t, b, rawFlow(flow, 0, false))
	}
	for range flows {
		assert.NotEqual(t, 1, next().queue)
	}
	assert.Empty(t, arrivals)
	assert.Zero(t, a.Lost())
}

// Whoever opens several queues while frames pass gets none of them twice.
func TestRawQueuesOpenedUnderTraffic(t *testing.T) {
	ns := rawVeth(t)
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				f := frame.Frame{Data: tapWire(0, 64)}
				copy(f.Data[20:], strconv.Itoa(1000000+n))
				_, err := b.WriteFrames([]frame.Frame{f})
				if err != nil && err != bridge.ErrQueueFull {
					assert.NoError(t, err)
					return
				}
			}
		}
	})
	defer sender.Wait()
	defer close(stop)
	for range 5 {
		a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: 4})
		seen := map[string]bool{}
		got := rawGather(t, a, 50)
		for _, f := range got {
			assert.False(t, seen[string(f.Data[20:27])], "frame %s came twice", f.Data[20:27])
			seen[string(f.Data[20:27])] = true
		}
		require.NotEmpty(t, got)
	}
}

// rawGather closes a when any of its queues has given n frames of these tests, and
// gives what all of them gave.
func rawGather(t testing.TB, a *bridge.RawSocket, n int) []frame.Frame {
	t.Helper()
	var mu sync.Mutex // guards all
	var all []frame.Frame
	var readers sync.WaitGroup
	watchdog := time.AfterFunc(tapWait, func() { a.Close() })
	defer watchdog.Stop()
	for _, q := range append(a.Queues(), a) {
		readers.Go(func() {
			fs := make([]frame.Frame, 64)
			for mine := 0; mine < n; {
				k, err := q.ReadFrames(fs)
				if err != nil {
					assert.ErrorIs(t, err, net.ErrClosed)
					return
				}
				mu.Lock()
				for _, f := range fs[:k] {
					if tapOurs(f.Data) {
						all = append(all, f.Clone())
						mine++
					}
				}
				mu.Unlock()
			}
			a.Close()
		})
	}
	readers.Wait()
	return all
}
