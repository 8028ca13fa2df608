package bridge_test

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const (
	tapWait = time.Minute
	tapTick = time.Millisecond
)

// tapReader reads in the background, until an error that it gives.
func tapReader(io bridge.FrameIO) <-chan error {
	ended := make(chan error, 1)
	go func() { // ends with the TAP at the latest
		fs := make([]frame.Frame, 4)
		for {
			if _, err := io.ReadFrames(fs); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

func tapEnded(t testing.TB, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(tapWait):
		require.FailNow(t, "the reader did not end")
		return nil
	}
}

// While the interface is down a reader waits, until a write has found out; from then
// on it answers at once, and waits again when the interface is up.
func TestTAPDown(t *testing.T) {
	for name, cfg := range map[string]bridge.TAPConfig{
		"offloads": {}, "no offloads": {NoOffload: true}, "queues": {Queues: 3},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Netns = tapNetns(t)
			tap := tapOpen(t, cfg)
			all := append([]bridge.FrameIO{tap}, tap.Queues()...)
			var waiting []<-chan error
			for _, q := range all {
				waiting = append(waiting, tapReader(q))
			}
			time.Sleep(20 * time.Millisecond) // most likely they wait by now; either way they have to end
			fs := []frame.Frame{{Data: tapWire(1, 64)}, {Data: tapWire(2, 64)}}
			for range 2 {
				n, err := all[len(all)-1].WriteFrames(fs)
				assert.Zero(t, n)
				tapIsDown(t, err, "write to TAP "+tap.Name()+": ", tap.Name())
			}
			assert.Equal(t, uint64(2), tapCounter(t, cfg.Netns, tap.Name(), "rx_dropped"))
			for i, q := range all {
				tapIsDown(t, tapEnded(t, waiting[i]), "read TAP "+tap.Name()+": ", tap.Name())
				for range 3 {
					n, err := q.ReadFrames(make([]frame.Frame, 4))
					assert.Zero(t, n)
					tapIsDown(t, err, "read TAP "+tap.Name()+": ", tap.Name())
				}
			}

			require.NoError(t, tap.SetUp(true))
			peer := newTAPPeer(t, cfg.Netns, tap.Name())
			for _, q := range all {
				n, err := q.WriteFrames(fs)
				require.NoError(t, err)
				assert.Equal(t, 2, n)
				assert.Equal(t, fs[0].Data, peer.receive())
				assert.Equal(t, fs[1].Data, peer.receive())
			}
			for i, q := range all {
				waiting[i] = tapReader(q)
			}
			require.NoError(t, tap.Close())
			for _, ended := range waiting {
				assert.ErrorIs(t, tapEnded(t, ended), net.ErrClosed, "they waited")
			}
		})
	}
}

func tapIsDown(t testing.TB, err error, begins, name string) {
	t.Helper()
	assert.ErrorIs(t, err, bridge.ENETDOWN)
	assert.ErrorIs(t, err, unix.ENETDOWN)
	assert.ErrorContains(t, err, begins)
	assert.ErrorContains(t, err, "(ip link set "+name+" up)")
}

// An interface in a namespace that the TAP does not reach is seen to be down and up
// all the same.
func TestTAPDownElsewhere(t *testing.T) {
	ns, other := tapNetns(t), tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "away", Up: true})
	tapIP(t, ns, "link", "set", "away", "netns", other) // which takes it down
	fs := []frame.Frame{{Data: tapWire(1, 64)}}
	_, err := tap.WriteFrames(fs)
	assert.ErrorIs(t, err, bridge.ENETDOWN)
	_, err = tap.ReadFrames(make([]frame.Frame, 1))
	assert.ErrorIs(t, err, bridge.ENETDOWN)
	_, _, err = tap.Link()
	assert.ErrorIs(t, err, bridge.ENODEV)
	tapIP(t, other, "link", "set", "away", "up")
	newTAPPeer(t, other, "away").send(tapWire(2, 64))
	assert.Equal(t, tapWire(2, 64), tapCollect(t, tap, 1)[0])
}

// A TAP that is deleted, or closed, while it is down says so.
func TestTAPEndsWhileDown(t *testing.T) {
	ns := tapNetns(t)
	fs := []frame.Frame{{Data: tapWire(1, 64)}}
	deleted, closed := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "d0"}), tapOpen(t, bridge.TAPConfig{Netns: ns})
	for _, tap := range []*bridge.TAP{deleted, closed} {
		_, err := tap.WriteFrames(fs)
		require.ErrorIs(t, err, bridge.ENETDOWN)
	}
	tapIP(t, ns, "link", "del", "d0")
	_, err := deleted.ReadFrames(fs)
	assert.ErrorIs(t, err, bridge.ENODEV)
	require.NoError(t, closed.Close())
	_, err = closed.ReadFrames(fs)
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = closed.WriteFrames(fs)
	assert.ErrorIs(t, err, net.ErrClosed)
}

// However often the interface goes up and down under a reader and a writer, in the
// end frames pass.
func TestTAPDownAndUpAndDown(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Queues: 2})
	var got, stop atomic.Bool
	var all sync.WaitGroup
	for _, q := range []bridge.FrameIO{tap, tap.Queues()[0]} {
		all.Go(func() {
			fs := make([]frame.Frame, 4)
			for {
				n, err := q.ReadFrames(fs)
				for _, f := range fs[:n] {
					if tapOurs(f.Data) {
						got.Store(true) // sent after the last change
					}
				}
				switch {
				case err == nil:
				case errors.Is(err, bridge.ENETDOWN):
					time.Sleep(tapTick)
				default:
					assert.ErrorIs(t, err, net.ErrClosed)
					return
				}
			}
		})
		all.Go(func() {
			for !stop.Load() {
				_, _ = q.WriteFrames([]frame.Frame{{Data: tapWire(1, 64)}})
			}
		})
	}
	for range 200 {
		require.NoError(t, tap.SetUp(true))
		require.NoError(t, tap.SetUp(false))
	}
	require.NoError(t, tap.SetUp(true))
	stop.Store(true)
	peer := newTAPPeer(t, ns, tap.Name())
	assert.Eventually(t, func() bool {
		_, _ = unix.Write(peer.fd, tapWire(1, 64))
		return got.Load()
	}, tapWait, tapTick)
	require.NoError(t, tap.Close())
	all.Wait()
}

func TestTAPLink(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "old"})
	is := func(wantUp, wantCarrier bool) {
		t.Helper()
		assert.Eventually(t, func() bool { // a carrier is noticed a little later (linkwatch)
			up, carrier, err := tap.Link()
			return err == nil && up == wantUp && carrier == wantCarrier
		}, tapWait, tapTick)
	}
	is(false, false)
	require.NoError(t, tap.SetUp(true))
	is(true, true)
	tapIP(t, ns, "link", "set", "dev", "old", "carrier", "off")
	is(true, false)
	tapIP(t, ns, "link", "set", "dev", "old", "carrier", "on", "name", "new")
	is(true, true)
	tapIP(t, ns, "link", "del", "new")
	_, _, err := tap.Link()
	assert.ErrorIs(t, err, bridge.ENODEV)
	assert.ErrorContains(t, err, "read the link of TAP")
	require.NoError(t, tap.Close())
	_, _, err = tap.Link()
	assert.ErrorIs(t, err, net.ErrClosed)
}

// A slow reader costs the newest frames, in the kernel's own queue and under the
// kernel's own counter, which Lost follows from OpenTAP on.
func TestTAPLost(t *testing.T) {
	ns, other := tapNetns(t), tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "slow", Up: true, QueueLen: 16, Persist: true})
	peer := newTAPPeer(t, ns, "slow")
	assert.Zero(t, tap.Lost())
	overflow := func(want int) {
		for i := range 40 {
			peer.send(tapWire(byte(i), 64))
		}
		got := tapCollect(t, tap, want)
		for i, w := range got {
			assert.Equal(t, tapWire(byte(i), 64), w)
		}
		peer.send(tapWire(200, 64))
		assert.Equal(t, tapWire(200, 64), tapCollect(t, tap, 1)[0], "nothing else was kept")
	}
	overflow(16)
	assert.Equal(t, uint64(24), tapCounter(t, ns, "slow", "tx_dropped"))
	assert.Equal(t, uint64(24), tap.Lost())
	tapIP(t, ns, "link", "set", "slow", "name", "new")
	overflow(16)
	assert.Equal(t, uint64(48), tap.Lost(), "of an interface that was renamed")
	require.NoError(t, tap.Close())
	assert.Equal(t, uint64(48), tap.Lost(), "after Close")

	tap = tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "new", QueueLen: 16, Queues: 1, Up: true})
	assert.Zero(t, tap.Lost(), "what others lost does not count")
	tapIP(t, ns, "link", "set", "new", "up")
	overflow(16)
	assert.Equal(t, uint64(24), tap.Lost())
	assert.Equal(t, uint64(72), tapCounter(t, ns, "new", "tx_dropped"))
	tapIP(t, ns, "link", "set", "new", "netns", other)
	assert.Equal(t, uint64(24), tap.Lost(), "of an interface that has left")
	tapIP(t, other, "link", "del", "new")
	assert.Equal(t, uint64(24), tap.Lost(), "of an interface that is no more")
}

// The MTU may change while frames pass: what passes is whole.
func TestTAPMTUChangedUnderLoad(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Up: true})
	rig := newTAPRig(t, ns, tap.Name())
	var all sync.WaitGroup
	var stop atomic.Bool
	all.Go(func() {
		for mtu := 576; !stop.Load(); mtu = 65521 + 576 - mtu {
			assert.NoError(t, tap.SetMTU(mtu))
		}
	})
	short, long, whole := tapWire(1, 500), tapWire(2, 1400), tapOwing(frame.GSOTCPv4, 5000, 500)
	fs := make([]frame.Frame, 16)
	for range 200 {
		rig.send(t, frame.Frame{Data: short})
		_, _ = rig.WriteFrames([]frame.Frame{{Data: long}, whole}) // may be too long just now
		_, err := tap.WriteFrames([]frame.Frame{{Data: long}, whole})
		require.NoError(t, err)
		assert.Equal(t, long, rig.next(t).Data)
		tapSame(t, whole.Data, whole.Owed, rig.next(t), "written")
		for shorts := 0; shorts == 0; {
			n, err := tapRead(t, tap, fs)
			require.NoError(t, err)
			for _, f := range fs[:n] {
				switch len(f.Data) {
				case len(short):
					shorts++
					assert.Equal(t, short, f.Data)
				case len(long):
					assert.Equal(t, long, f.Data)
				default:
					tapSame(t, whole.Data, whole.Owed, f, "read")
				}
			}
		}
	}
	stop.Store(true)
	all.Wait()
}

// A carrier is seen when it comes, though the flag that ip(8) shows may follow a
// second later.
func TestTAPLinkAtOnce(t *testing.T) {
	ns := tapNetns(t)
	tapIP(t, ns, "tuntap", "add", "dev", "found", "mode", "tap")
	tapIP(t, ns, "link", "set", "found", "up")
	for range 5 {
		tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: "found", Netns: ns})
		require.NoError(t, err)
		up, carrier, err := tap.Link()
		require.NoError(t, err)
		require.True(t, up && carrier)
		tapIP(t, ns, "link", "set", "found", "carrier", "off")
		up, carrier, err = tap.Link()
		require.NoError(t, err)
		require.True(t, up && !carrier)
		tapIP(t, ns, "link", "set", "found", "carrier", "on")
		require.NoError(t, tap.Close())
	}
}
