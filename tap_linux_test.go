package bridge_test

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tapPair is a TAP that is up, and the kernel's end of it.
func tapPair(t testing.TB, cfg bridge.TAPConfig) (*bridge.TAP, *tapPeer) {
	t.Helper()
	cfg.Netns, cfg.Up = tapNetns(t), true
	tap := tapOpen(t, cfg)
	return tap, newTAPPeer(t, cfg.Netns, tap.Name())
}

func TestTAPFramesFromTheKernel(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{})
	var want [][]byte
	for i := range 100 {
		w := tapWire(byte(i), 60+14*i%1400)
		want = append(want, w)
		peer.send(w)
	}
	assert.Equal(t, want, tapCollect(t, tap, len(want)))
}

func TestTAPReadsNoMoreThanAskedAndKeepsTheRest(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{})
	for i := range 5 {
		peer.send(tapWire(byte(i), 64))
	}
	n, err := tap.ReadFrames(nil)
	assert.NoError(t, err)
	assert.Zero(t, n)
	fs := make([]frame.Frame, 3)
	n, err = tapRead(t, tap, fs)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	for i, f := range fs {
		assert.Equal(t, tapWire(byte(i), 64), f.Data)
		assert.Equal(t, len(f.Data), cap(f.Data), "an append would run into the next frame")
	}
	n, err = tapRead(t, tap, fs)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	assert.Equal(t, tapWire(3, 64), fs[0].Data)
}

// Every way in which a frame can hold a tag reaches the kernel as the bytes that
// AppendWire gives, and every tag that the kernel sends is in the data.
func TestTAPTags(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{})
	q := frame.Tag{TPID: frame.TypeDot1Q, TCI: 0xa00a}
	ad := frame.Tag{TPID: frame.TypeDot1AD, TCI: 0x0014}
	zero := frame.Tag{TPID: frame.TypeDot1Q}
	tagged := func(tags ...frame.Tag) []byte {
		w := tapWire(7, 80)
		for i := len(tags) - 1; i >= 0; i-- {
			w = (&frame.Frame{Data: w, Tag: tags[i]}).AppendWire(nil)
		}
		return w
	}
	datas := [][]byte{tagged(), tagged(q), tagged(ad), tagged(zero), tagged(ad, q)}
	for _, data := range datas {
		for _, tag := range []frame.Tag{{}, q, ad, zero} {
			for _, lifted := range []bool{false, true} {
				f := frame.Frame{Data: data, Tag: tag, Lifted: lifted}
				want := f.AppendWire(nil)
				if !tapOurs(want) {
					continue // leaving bytes out of an untagged frame makes another frame
				}
				n, err := tap.WriteFrames([]frame.Frame{f})
				require.NoError(t, err)
				require.Equal(t, 1, n)
				assert.Equal(t, want, peer.receive(), "tag %v, lifted %v, data % x", tag, lifted, data[:22])
			}
		}
	}
	for _, data := range datas {
		peer.send(data)
	}
	assert.Equal(t, datas, tapCollect(t, tap, len(datas)))
}

func TestTAPLongestFrames(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{MTU: 65521})
	const longest = 65521 + frame.HeaderLen // that a packet socket sends
	want := [][]byte{tapWire(1, longest), tapWire(2, 60), tapWire(3, longest), tapWire(4, longest), tapWire(5, longest-1)}
	for _, w := range want {
		peer.send(w)
	}
	assert.Equal(t, want, tapCollect(t, tap, len(want)))
	for _, w := range append(want, tapWire(7, bridge.MaxTAPFrame)) {
		n, err := tap.WriteFrames([]frame.Frame{{Data: w}})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		assert.Equal(t, w, peer.receive())
	}
	// The longest with its tag aside, written with two and three pieces.
	w := tapWire(6, bridge.MaxTAPFrame-frame.TagLen)
	f := frame.Frame{Data: w, Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}}
	_, err := tap.WriteFrames([]frame.Frame{f})
	require.NoError(t, err)
	assert.Equal(t, f.AppendWire(nil), peer.receive())
}

// A frame of the longest MTU and two tags passes from TAP to TAP, through the
// kernel's bridge and through this one, which lets it pass as the kernel does.
func TestTAPTagsBeyondTheMTU(t *testing.T) {
	ns := tapNetns(t)
	tapIP(t, ns, "link", "add", "kernel", "mtu", "65521", "type", "bridge")
	tapIP(t, ns, "link", "set", "kernel", "up")
	var taps [3]*bridge.TAP
	for i := range taps {
		taps[i] = tapOpen(t, bridge.TAPConfig{Netns: ns, MTU: 65521, Up: true})
	}
	tapIP(t, ns, "link", "set", taps[0].Name(), "master", "kernel")
	tapIP(t, ns, "link", "set", taps[1].Name(), "master", "kernel")
	peer := newTAPPeer(t, ns, taps[2].Name())

	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	defer b.Close()
	for _, tap := range taps[1:] {
		_, err := b.AddPort(tap.Name(), tap, bridge.PortConfig{MTU: 65521, Caps: tap.Caps()})
		require.NoError(t, err)
	}
	want := tapWire(8, 65521+frame.HeaderLen+2*frame.TagLen)
	copy(want[12:], []byte{0x81, 0, 0, 7, 0x81, 0, 0, 8, 0x88, 0xb5})
	_, err = taps[0].WriteFrames([]frame.Frame{{Data: want}})
	require.NoError(t, err)
	got := tapCollect(t, taps[1], 1)[0]
	require.Equal(t, want, got)
	require.NoError(t, b.Port(taps[1].Name()).Receive(frame.Frame{Data: got}))
	assert.Equal(t, want, peer.receive())
}

func TestTAPRefusesOneFrameAndTakesTheNext(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{NoOffload: true})
	good := frame.Frame{Data: tapWire(9, 64)}
	tag := frame.Tag{TPID: frame.TypeDot1Q, TCI: 1}
	for name, c := range map[string]struct {
		bad    frame.Frame
		reason bridge.DropReason
	}{
		"no bytes":          {frame.Frame{}, bridge.DropDriver},
		"runt":              {frame.Frame{Data: make([]byte, 13)}, bridge.DropDriver},
		"runt with tag":     {frame.Frame{Data: make([]byte, 13), Tag: tag}, bridge.DropDriver},
		"lifted from short": {frame.Frame{Data: make([]byte, 17), Lifted: true}, bridge.DropDriver},
		"owes a checksum":   {frame.Frame{Data: good.Data, Owed: frame.Offload{Flags: 1}}, bridge.DropNoOffload},
		"owes segments":     {frame.Frame{Data: good.Data, Owed: frame.Offload{GSOType: 1, GSOSize: 10}}, bridge.DropNoOffload},
		"too long":          {frame.Frame{Data: tapWire(0, bridge.MaxTAPFrame+1)}, bridge.DropTooLong},
		"too long by tag":   {frame.Frame{Data: tapWire(0, bridge.MaxTAPFrame-3), Tag: tag}, bridge.DropTooLong},
	} {
		fs := []frame.Frame{good, c.bad, good}
		n, err := tap.WriteFrames(fs)
		var fe *bridge.FrameError
		require.ErrorAs(t, err, &fe, name)
		assert.Equal(t, c.reason, fe.Reason, name)
		assert.Equal(t, 1, n, name)
		n, err = tap.WriteFrames(fs[2:])
		require.NoError(t, err, name)
		assert.Equal(t, 1, n, name)
		assert.Equal(t, good.Data, peer.receive(), name)
		assert.Equal(t, good.Data, peer.receive(), name)
	}
}

func TestTAPCloseEndsAReader(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{})
	peer.send(tapWire(1, 64))
	fs := make([]frame.Frame, 8)
	n, err := tapRead(t, tap, fs)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	name, lent := tap.Name(), fs[0].Data

	read := make(chan error)
	go func() {
		_, err := tap.ReadFrames(make([]frame.Frame, 8))
		read <- err
	}()
	time.Sleep(20 * time.Millisecond) // most likely waits by now; either way it has to end
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { assert.NoError(t, tap.Close()) })
	}
	both.Wait()
	select {
	case err := <-read:
		assert.ErrorIs(t, err, net.ErrClosed)
	case <-time.After(tapWait):
		t.Fatal("Close did not end the reader")
	}
	assert.NoError(t, tap.Close())
	assert.Equal(t, name, tap.Name())
	assert.Len(t, lent, 64)

	_, err = tap.ReadFrames(fs)
	assert.ErrorIs(t, err, net.ErrClosed)
	n, err = tap.WriteFrames([]frame.Frame{{Data: tapWire(1, 64)}})
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.Zero(t, n)
	_, err = tap.MTU()
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = tap.Address()
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorIs(t, tap.SetUp(true), net.ErrClosed)
	assert.ErrorIs(t, tap.SetMTU(1400), net.ErrClosed)
}

// What was lent stays unchanged until the next read begins, Close or not.
func TestTAPLentMemoryOutlivesClose(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{})
	peer.send(tapWire(1, 1500))
	fs := make([]frame.Frame, 8)
	_, err := tapRead(t, tap, fs)
	require.NoError(t, err)
	require.NoError(t, tap.Close())
	runtime.GC()
	assert.Equal(t, tapWire(1, 1500), fs[0].Data)
}

// Deleting the interface ends whoever reads and whoever writes.
func TestTAPDeletedUnderAReader(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Up: true})
	read := make(chan error)
	go func() {
		_, err := tap.ReadFrames(make([]frame.Frame, 8))
		read <- err
	}()
	time.Sleep(20 * time.Millisecond)
	name := tap.Name()
	tapIP(t, ns, "link", "del", name)
	select {
	case err := <-read:
		assert.ErrorIs(t, err, bridge.ENODEV)
		assert.ErrorContains(t, err, name)
	case <-time.After(tapWait):
		t.Fatal("the deletion did not end the reader")
	}
	_, err := tap.ReadFrames(make([]frame.Frame, 8))
	assert.ErrorIs(t, err, bridge.ENODEV)
	_, err = tap.WriteFrames([]frame.Frame{{Data: tapWire(1, 64)}})
	assert.ErrorIs(t, err, bridge.ENODEV)
	assert.ErrorIs(t, tap.SetUp(true), bridge.ENODEV)
	assert.Equal(t, name, tap.Name())
	assert.NoError(t, tap.Close())
}

// A reader, a writer and those who look at and change the interface run side by
// side, and Close ends them all.
func TestTAPSideBySide(t *testing.T) {
	tap, peer := tapPair(t, bridge.TAPConfig{})
	var all sync.WaitGroup
	all.Go(func() {
		fs := make([]frame.Frame, 16)
		for {
			if _, err := tap.ReadFrames(fs); err != nil {
				assert.ErrorIs(t, err, net.ErrClosed)
				return
			}
		}
	})
	all.Go(func() {
		fs := []frame.Frame{{Data: tapWire(1, 64)}, {Data: tapWire(2, 64), Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 3}}}
		for {
			if _, err := tap.WriteFrames(fs); err != nil {
				assert.ErrorIs(t, err, net.ErrClosed)
				return
			}
		}
	})
	all.Go(func() {
		for mtu := 1400; ; mtu = 2900 - mtu {
			if err := tap.SetMTU(mtu); err != nil {
				assert.ErrorIs(t, err, net.ErrClosed)
				return
			}
			_, _ = tap.Address()
		}
	})
	for i := range 500 {
		peer.send(tapWire(byte(i), 64))
	}
	require.NoError(t, tap.Close())
	all.Wait()
}

// TestTAPDownUnderSignals: the reader of an interface that is down is told so, also
// when signals (Go's runtime sends them to preempt) end its system calls.
func TestTAPDownUnderSignals(t *testing.T) {
	tap, _ := tapPair(t, bridge.TAPConfig{})
	require.NoError(t, tap.SetUp(false))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid, stop := unix.Getpid(), unix.Gettid(), make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Tgkill(pid, tid, unix.SIGURG)
			}
		}
	})
	in, out := make([]frame.Frame, 1), []frame.Frame{{Data: tapWire(1, 64)}}
	for range 5000 {
		_, err := tap.WriteFrames(out)
		require.ErrorIs(t, err, bridge.ENETDOWN)
		_, err = tap.ReadFrames(in)
		require.ErrorIs(t, err, bridge.ENETDOWN)
	}
}

func TestTAPDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, cfg := range map[string]bridge.TAPConfig{"offloads": {}, "no offloads": {NoOffload: true}, "one by one": {NoUring: true}} {
		t.Run(name, func(t *testing.T) {
			tap, peer := tapPair(t, cfg)
			wire := tapWire(1, 64)
			in := make([]frame.Frame, 8)
			assert.Zero(t, testing.AllocsPerRun(1000, func() {
				for range 4 {
					_, _ = unix.Write(peer.fd, wire)
				}
				_, _ = tap.ReadFrames(in)
			}), "reading")

			tag := frame.Tag{TPID: frame.TypeDot1Q, TCI: 3}
			out := []frame.Frame{{Data: wire}, {Data: wire, Tag: tag}, {Data: wire, Tag: tag, Lifted: true}, {Data: wire, Lifted: true}}
			if !cfg.NoOffload {
				out = append(out, tapOwing(frame.GSOTCPv4, 4000, 1000), tapOwing(0, 1000, 0))
			}
			assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = tap.WriteFrames(out) }), "writing")

			refused := []frame.Frame{{Data: wire, Owed: frame.Offload{Flags: 1, CsumStart: 9999}}}
			_, err := tap.WriteFrames(refused)
			require.Error(t, err)
			assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = tap.WriteFrames(refused) }), "refusing")
			require.NoError(t, tap.SetUp(false))
			assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = tap.WriteFrames(out) }), "writing while the interface is down")
			assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = tap.ReadFrames(in) }), "reading while the interface is down")
		})
	}
}
