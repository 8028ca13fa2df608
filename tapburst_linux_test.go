package bridge_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tapUring opens a TAP that writes many frames with one system call; where that is not
// to be had the test is skipped, for the reason that the TAP gives.
func tapUring(t testing.TB, cfg bridge.TAPConfig) *bridge.TAP {
	t.Helper()
	tap := tapOpen(t, cfg)
	if err := tap.Uring(); err != nil {
		t.Skip(err)
	}
	return tap
}

// tapBatch is n frames that differ, of every kind that goes with others or not.
func tapBatch(r *rand.Rand, n int, owing bool) []frame.Frame {
	fs := make([]frame.Frame, n)
	for i := range fs {
		size := 60 + r.IntN(300)
		switch r.IntN(16) {
		case 0:
			size = 2044 + r.IntN(6) // around what is short, with a tag and without
		case 1:
			size = 2100 + r.IntN(1000)
		}
		f := frame.Frame{Data: tapWire(byte(i), size)}
		switch r.IntN(8) {
		case 0:
			f.Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: uint16(r.IntN(4094) + 1)}
		case 1:
			f.Data = (&frame.Frame{Data: f.Data, Tag: frame.Tag{TPID: frame.TypeDot1AD, TCI: 7}}).AppendWire(nil)
			f.Lifted = true
		case 2:
			if owing {
				f = tapOwing(0, 100+r.IntN(200), 0)
			}
		}
		binary.BigEndian.PutUint32(f.Data[len(f.Data)-4:], r.Uint32())
		fs[i] = f
	}
	return fs
}

// Frames come out as they were given and in their order, together or one by one.
func TestTAPBurstsKeepTheOrder(t *testing.T) {
	for name, cfg := range map[string]bridge.TAPConfig{
		"offloads": {}, "no offloads": {NoOffload: true}, "one by one": {NoUring: true}, "queues": {Queues: 2},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Netns, cfg.Up, cfg.MTU = tapNetns(t), true, 9000
			tap := tapOpen(t, cfg)
			rig := newTAPRig(t, cfg.Netns, tap.Name())
			cables := append([]bridge.FrameIO{tap}, tap.Queues()...)
			r := rand.New(rand.NewPCG(1, 2))
			for round := range 150 {
				fs := tapBatch(r, 1+r.IntN(70), !cfg.NoOffload)
				n, err := cables[round%len(cables)].WriteFrames(fs)
				require.NoError(t, err)
				require.Equal(t, len(fs), n)
				for i := range fs {
					got := rig.next(t)
					require.Equal(t, fs[i].AppendWire(nil), got.AppendWire(nil), "frame %d of %d", i, len(fs))
					require.Equal(t, fs[i].OwedOnWire(), got.Owed)
				}
			}
		})
	}
}

// tapRefused is a frame whose debt the kernel does not understand.
func tapRefused() frame.Frame {
	return frame.Frame{Data: tapWire(0xee, 80), Owed: frame.Offload{Flags: frame.NeedsCsum, CsumStart: 9999}}
}

// What the kernel refuses is told for each frame, and the others are sent, once.
func TestTAPBurstRefusals(t *testing.T) {
	ns := tapNetns(t)
	tap := tapUring(t, bridge.TAPConfig{Netns: ns, Up: true})
	peer := newTAPPeer(t, ns, tap.Name())
	batch := func(n int, bad ...int) []frame.Frame {
		fs := make([]frame.Frame, n)
		for i := range fs {
			fs[i].Data = tapWire(byte(i), 64)
		}
		for _, i := range bad {
			fs[i] = tapRefused()
		}
		return fs
	}
	arrive := func(fs []frame.Frame, marks ...int) {
		t.Helper()
		for _, i := range marks {
			assert.Equal(t, fs[i].Data, peer.receive())
		}
	}

	fs := batch(12, 3, 7)
	n, err := tap.WriteFrames(fs)
	told, ok := errors.AsType[*bridge.BatchError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, 3, n)
	require.Len(t, told.Frames, 9)
	for i, refusal := range told.Frames {
		if i == 0 || i == 4 {
			require.NotNil(t, refusal)
			assert.Equal(t, bridge.DropNoOffload, refusal.Reason)
		} else {
			assert.Nil(t, refusal)
		}
	}
	assert.ErrorContains(t, err, "cannot do what the frame owes")
	_, one := errors.AsType[*bridge.FrameError](err)
	assert.False(t, one, "going on right behind it would be wrong")
	arrive(fs, 0, 1, 2, 4, 5, 6, 8, 9, 10, 11)

	fs = batch(12, 11) // nothing is behind it
	n, err = tap.WriteFrames(fs)
	_, one = errors.AsType[*bridge.FrameError](err)
	assert.True(t, one, "%v", err)
	assert.Equal(t, 11, n)
	arrive(fs, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)

	fs = batch(12)
	fs[8] = frame.Frame{Data: make([]byte, 13)} // which is not even tried
	n, err = tap.WriteFrames(fs)
	_, one = errors.AsType[*bridge.FrameError](err)
	assert.True(t, one, "%v", err)
	assert.Equal(t, 8, n)
	n, err = tap.WriteFrames(fs[9:])
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	arrive(fs, 0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11)

	fs = batch(100, 70) // in the second call of the kernel
	n, err = tap.WriteFrames(fs)
	told, ok = errors.AsType[*bridge.BatchError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, 70, n)
	assert.Len(t, told.Frames, 30)
}

// A bridge counts each frame as the kernel took it.
func TestTAPBurstRefusalsInABridge(t *testing.T) {
	ns := tapNetns(t)
	tap := tapUring(t, bridge.TAPConfig{Netns: ns, Up: true})
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	defer b.Close()
	cable := &badIO{recorder: newRecorder("bad", &tape{})}
	cable.write = func(fs []frame.Frame) (int, error) {
		for i := range fs {
			if fs[i].Data[11]%5 == 0 {
				fs[i].Owed = tapRefused().Owed // which no bridge lets in
			}
		}
		return tap.WriteFrames(fs)
	}
	p, err := b.AddPort("tap", cable, bridge.PortConfig{Caps: tap.Caps()})
	require.NoError(t, err)
	from, err := b.AddPort("from", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	var fs []frame.Frame
	for i := range 64 {
		fs = append(fs, frame.Frame{Data: tapWire(byte(i), 64)})
	}
	require.NoError(t, from.Receive(fs...))
	e := p.Stats().Egress
	assert.EqualValues(t, 64-13, e.Sent)
	assert.EqualValues(t, 13, e.Refused[bridge.DropNoOffload])
	assert.EqualValues(t, e.Sent, tapCounter(t, ns, tap.Name(), "rx_packets"))
	balanced(t, b)
}

// What is answered for all that can become of frames that were written together.
func TestTAPBurstVerdicts(t *testing.T) {
	tap := tapOpen(t, bridge.TAPConfig{Netns: tapNetns(t)})
	const ok, down, full, bad, gone, odd = syscall.Errno(0), unix.EIO, unix.EAGAIN, unix.EINVAL, unix.EBADFD, unix.ENOTTY
	const none = bridge.NotDropped
	for _, c := range []struct {
		done []syscall.Errno
		n    int
		is   error // of all that is left
		told []bridge.DropReason
	}{
		{done: []syscall.Errno{ok, ok, ok}, n: 3},
		{done: []syscall.Errno{down, down}, is: bridge.ENETDOWN},
		{done: []syscall.Errno{ok, down}, n: 1, is: bridge.ENETDOWN},
		{done: []syscall.Errno{ok, down, ok, down}, n: 1, told: []bridge.DropReason{bridge.DropPortDown, none, bridge.DropPortDown}},
		{done: []syscall.Errno{ok, full, unix.ENOBUFS, unix.ENOMEM}, n: 1, is: bridge.ErrQueueFull},
		{done: []syscall.Errno{full, ok}, told: []bridge.DropReason{bridge.DropQueueFull, none}},
		{done: []syscall.Errno{ok, gone, gone}, n: 1, is: bridge.ENODEV},
		{done: []syscall.Errno{bad, gone}, told: []bridge.DropReason{bridge.DropDriver, bridge.DropPortGone}},
		{done: []syscall.Errno{full, down}, told: []bridge.DropReason{bridge.DropQueueFull, bridge.DropPortDown}},
		{done: []syscall.Errno{bad, bad}, told: []bridge.DropReason{bridge.DropDriver, bridge.DropDriver}},
		{done: []syscall.Errno{odd, odd}, is: unix.ENOTTY},
		{done: []syscall.Errno{odd, ok}, told: []bridge.DropReason{bridge.DropDriver, none}},
	} {
		fs := make([]frame.Frame, len(c.done)+2) // and two that were not tried
		n, err := bridge.JudgeBurst(tap, fs, c.done...)
		assert.Equal(t, c.n, n, "%v", c.done)
		batch, isBatch := errors.AsType[*bridge.BatchError](err)
		assert.Equal(t, c.told != nil, isBatch, "%v: %v", c.done, err)
		switch {
		case isBatch:
			var told []bridge.DropReason
			for _, refusal := range batch.Frames {
				if refusal == nil {
					told = append(told, none)
				} else {
					told = append(told, refusal.Reason)
				}
			}
			assert.Equal(t, c.told, told, "%v", c.done)
		case c.is == bridge.ENETDOWN:
			assert.ErrorContains(t, err, "down", "%v", c.done)
		case c.is != nil:
			assert.ErrorIs(t, err, c.is, "%v", c.done)
		default:
			assert.NoError(t, err, "%v", c.done)
		}
	}
}

// However often the interface goes up and down meanwhile, what is said to be sent is what
// the kernel counts.
func TestTAPBurstsDownAndUp(t *testing.T) {
	ns := tapNetns(t)
	tap := tapUring(t, bridge.TAPConfig{Netns: ns})
	fs := make([]frame.Frame, 64)
	for i := range fs {
		fs[i].Data = tapWire(byte(i), 64)
	}
	n, err := tap.WriteFrames(fs)
	assert.Zero(t, n)
	assert.ErrorIs(t, err, bridge.ENETDOWN)
	n, err = tap.WriteFrames(fs)
	assert.Zero(t, n)
	assert.ErrorIs(t, err, bridge.ENETDOWN)
	assert.EqualValues(t, 64+1, tapCounter(t, ns, tap.Name(), "rx_dropped"), "the second time only one was tried")

	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() { // or the interface stays down for the writer
		in := make([]frame.Frame, 8)
		for {
			if _, err := tap.ReadFrames(in); errors.Is(err, net.ErrClosed) {
				return
			}
		}
	})
	all.Go(func() {
		defer close(stop)
		for range 300 {
			assert.NoError(t, tap.SetUp(true))
			runtime.Gosched()
			assert.NoError(t, tap.SetUp(false))
		}
	})
	var sent uint64
	for going := true; going; {
		select {
		case <-stop:
			going = false
		default:
		}
		for at := 0; at < len(fs); {
			n, err := tap.WriteFrames(fs[at:])
			sent, at = sent+uint64(n), at+n
			batch, isBatch := errors.AsType[*bridge.BatchError](err)
			switch {
			case isBatch:
				for _, refusal := range batch.Frames {
					if refusal == nil {
						sent++
					}
				}
				at += len(batch.Frames)
			case err != nil:
				require.ErrorIs(t, err, bridge.ENETDOWN)
				at = len(fs)
			}
		}
	}
	assert.Equal(t, sent, tapCounter(t, ns, tap.Name(), "rx_packets"))
	require.NoError(t, tap.Close())
	all.Wait()
}

// tapDescriptors is how many descriptors this process has open.
func tapDescriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

// Close comes while frames are on their way: the writer learns it, and nothing is left.
func TestTAPBurstsAndClose(t *testing.T) {
	ns := tapNetns(t)
	fs := make([]frame.Frame, 64)
	for i := range fs {
		fs[i].Data = tapWire(byte(i), 64)
	}
	tapUring(t, bridge.TAPConfig{Netns: ns}).Close()
	before := tapDescriptors(t)
	for round := range 60 {
		tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "closing", Up: true, Queues: 2})
		require.NoError(t, tap.Uring())
		var all sync.WaitGroup
		for _, q := range append(tap.Queues(), tap) {
			all.Go(func() {
				for {
					if _, err := q.WriteFrames(fs); err != nil {
						assert.ErrorIs(t, err, net.ErrClosed)
						return
					}
				}
			})
		}
		if round%2 == 0 {
			runtime.Gosched()
			require.NoError(t, tap.Queues()[0].Close())
		}
		require.NoError(t, tap.Close())
		assert.Nil(t, tapInterface(t, ns, "closing"))
		all.Wait()
	}
	assert.LessOrEqual(t, tapDescriptors(t), before)
}

// Deleting the interface ends a writer of many frames too.
func TestTAPBurstsDeleted(t *testing.T) {
	ns := tapNetns(t)
	tap := tapUring(t, bridge.TAPConfig{Netns: ns, Up: true})
	fs := slices.Repeat([]frame.Frame{{Data: tapWire(1, 64)}}, 16)
	_, err := tap.WriteFrames(fs)
	require.NoError(t, err)
	tapIP(t, ns, "link", "del", tap.Name())
	n, err := tap.WriteFrames(fs)
	assert.Zero(t, n)
	assert.ErrorIs(t, err, bridge.ENODEV)
}

// The ring is there from the start, whatever the interface's state, and has left no trace
// in its counters.
func TestTAPUring(t *testing.T) {
	ns := tapNetns(t)
	tap := tapUring(t, bridge.TAPConfig{Netns: ns, Name: "fresh"})
	for _, counter := range []string{"rx_packets", "rx_dropped", "rx_errors"} {
		assert.Zero(t, tapCounter(t, ns, "fresh", counter), counter)
	}
	for _, cfg := range []bridge.TAPConfig{
		{Up: true}, {NoOffload: true}, {Queues: 3},
		{File: tapRaw(t, ns, "given", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)},
	} {
		if cfg.File == nil {
			cfg.Netns = ns
		}
		assert.NoError(t, tapOpen(t, cfg).Uring(), "%+v", cfg)
	}
	err := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "plain", NoUring: true}).Uring()
	assert.EqualError(t, err, "bridge: use io_uring for TAP plain: TAPConfig.NoUring is set")
	require.NoError(t, tap.Close())
	assert.NoError(t, tap.Uring())
}

// A ring that does not work any more is given up, and no frame is lost.
func TestTAPUringBreaks(t *testing.T) {
	ns := tapNetns(t)
	tap := tapUring(t, bridge.TAPConfig{Netns: ns, Up: true})
	peer := newTAPPeer(t, ns, tap.Name())
	defer bridge.BreakUring(tap)()
	for range 2 {
		fs := make([]frame.Frame, 16)
		for i := range fs {
			fs[i].Data = tapWire(byte(i), 64)
		}
		n, err := tap.WriteFrames(fs)
		require.NoError(t, err)
		assert.Equal(t, 16, n)
		for i := range fs {
			assert.Equal(t, fs[i].Data, peer.receive())
		}
		assert.True(t, bridge.UringBroken(tap), "it was used")
	}
}

// Where io_uring is forbidden, as in most containers, a TAP works without, and says so.
func TestTAPUringForbidden(t *testing.T) {
	ns := tapNetns(t)
	type opened struct {
		tap *bridge.TAP
		err error
	}
	done := make(chan opened)
	go func() { // ends with its thread, which stays forbidden
		runtime.LockOSThread()
		if err := tapForbid(unix.SYS_IO_URING_SETUP); err != nil {
			done <- opened{err: err}
			return
		}
		tap, err := bridge.OpenTAP(bridge.TAPConfig{Netns: ns, Name: "jailed", Up: true})
		done <- opened{tap, err}
	}()
	o := <-done
	require.NoError(t, o.err)
	defer o.tap.Close()
	err := o.tap.Uring()
	assert.ErrorIs(t, err, bridge.EPERM)
	assert.ErrorContains(t, err, "bridge: use io_uring for TAP jailed: operation not permitted: io_uring is forbidden here")
	peer := newTAPPeer(t, ns, "jailed")
	fs := slices.Repeat([]frame.Frame{{Data: tapWire(1, 64)}}, 16)
	n, err := o.tap.WriteFrames(fs)
	require.NoError(t, err)
	assert.Equal(t, 16, n)
	for range fs {
		assert.Equal(t, fs[0].Data, peer.receive())
	}
}

// tapForbid has the kernel answer EPERM for a system call of this thread (seccomp(2)).
func tapForbid(call uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}
