package bridge_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// rawSmallest is the number of frames that the smallest ring holds.
const rawSmallest = 39

// A ring goes round and round, whatever is read at a time.
func TestRawRingGoesRound(t *testing.T) {
	ns := rawVeth(t)
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns})
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns, RcvBuf: 1})
	const atOnce = rawSmallest / 2 // what is lent takes room too
	got := 0
	for _, ask := range []int{1, 7, atOnce, 64} {
		fs := make([]frame.Frame, ask)
		for range 20 {
			for i := range atOnce {
				rawSend(t, a, frame.Frame{Data: tapWire(byte(got+i), 60+i*70)})
			}
			for i := 0; i < atOnce; {
				n, err := rawRead(t, b, fs)
				require.NoError(t, err)
				for _, f := range fs[:n] {
					require.Equal(t, frame.Frame{Data: tapWire(byte(got+i), 60+i*70)}, f)
					i++
				}
			}
			got += atOnce
		}
	}
	assert.Zero(t, b.Lost())
}

// Of a ring that is full, and lent, nothing is given twice: what comes meanwhile is
// lost, and counted.
func TestRawRingFullAndLent(t *testing.T) {
	ns := rawVeth(t)
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns})
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns, RcvBuf: 1})
	for i := range rawSmallest + 11 {
		rawSend(t, a, frame.Frame{Data: tapWire(byte(i), 1000)})
	}
	fs := make([]frame.Frame, 3*rawSmallest)
	for _, part := range [][2]int{{0, 20}, {20, 39}} { // half of it at a time
		n, err := rawRead(t, b, fs)
		require.NoError(t, err)
		require.Equal(t, part[1]-part[0], n)
		if part[0] == 0 {
			for range 5 {
				rawSend(t, a, frame.Frame{Data: tapWire(200, 1000)})
			}
		}
		for i, f := range fs[:n] {
			assert.Equal(t, tapWire(byte(part[0]+i), 1000), f.Data, "what is lent stays")
		}
	}
	assert.EqualValues(t, 16, b.Lost())
	more := make(chan byte)
	go func() { // ends when a frame comes
		if n, err := b.ReadFrames(fs); assert.NoError(t, err) && assert.Equal(t, 1, n) {
			more <- fs[0].Data[11]
		}
		close(more)
	}()
	select {
	case mark := <-more:
		t.Fatalf("frame %d came twice", mark)
	case <-time.After(20 * time.Millisecond):
	}
	rawSend(t, a, frame.Frame{Data: tapWire(100, 60)})
	assert.Equal(t, byte(100), <-more)
}

// A ring that is full of what the host sends itself keeps no reader waiting.
func TestRawRingFullOfOutgoing(t *testing.T) {
	ns := rawVeth(t)
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, RcvBuf: 1})
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
	require.NoError(t, bridge.SeeOutgoing(a))
	for range 5 {
		host := newTAPPeer(t, ns, "v0")
		for range 2 * rawSmallest {
			host.send(tapWire(1, 64))
		}
		got := make(chan []byte, 1)
		go func() { // ends when a frame comes
			fs := make([]frame.Frame, 1)
			_, err := a.ReadFrames(fs)
			assert.NoError(t, err)
			got <- slices.Clone(fs[0].Data)
		}()
		for sent := false; !sent; {
			rawSend(t, b, frame.Frame{Data: tapWire(2, 64)}) // lost while the ring is full
			select {
			case b := <-got:
				assert.Equal(t, tapWire(2, 64), b)
				sent = true
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// rawMapped counts the rings of so many bytes of this process.
func rawMapped(t testing.TB, size uint64) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
		require.NoError(t, err)
		if strings.Contains(line, "socket:[") && to-from == size {
			n++
		}
	}
	return n
}

// The memory of a ring is given back by Close, or if frames are lent by the next
// ReadFrames, or when nobody has the socket any more.
func TestRawRingIsUnmapped(t *testing.T) {
	ns, a, _ := rawPair(t)
	const size = 5 << 16 // as nobody else's
	mapped := func() int { return rawMapped(t, size) }
	open := func() *bridge.RawSocket {
		r, err := bridge.OpenRaw(bridge.RawConfig{Name: "v1", Netns: ns, Queues: 2, RcvBuf: size})
		require.NoError(t, err)
		assert.Equal(t, 2, mapped())
		return r
	}
	require.NoError(t, open().Close())
	assert.Zero(t, mapped())

	lend := func(r *bridge.RawSocket) (lender bridge.FrameIO, fs []frame.Frame) {
		given := make(chan bridge.FrameIO, 2)
		fs = make([]frame.Frame, 1)
		for _, q := range append(r.Queues(), r) {
			go func() { // ends with Close
				mine := make([]frame.Frame, 1)
				if _, err := q.ReadFrames(mine); err == nil {
					fs[0] = mine[0]
					given <- q
				}
			}()
		}
		rawSend(t, a, rawFlow(1, 1, false))
		return <-given, fs
	}
	r := open()
	lender, fs := lend(r)
	require.NoError(t, r.Close())
	assert.Equal(t, 1, mapped())
	assert.Equal(t, rawFlow(1, 1, false), fs[0])
	_, err := lender.ReadFrames(fs)
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.Zero(t, mapped())

	func() {
		r := open()
		lender, _ := lend(r)
		require.NoError(t, r.Close())
		assert.Equal(t, 1, mapped())
		runtime.KeepAlive(lender)
	}()
	assert.Eventually(t, func() bool { runtime.GC(); return mapped() == 0 }, tapWait, time.Millisecond)
}

// A queue that was closed while frames of it are lent lets in nothing more, and keeps
// the interface promiscuous no longer.
func TestRawClosedWhileLent(t *testing.T) {
	ns, a, b := rawPair(t)
	rawSend(t, a, frame.Frame{Data: tapWire(1, 64)})
	fs := make([]frame.Frame, 1)
	_, err := rawRead(t, b, fs)
	require.NoError(t, err)
	assert.Equal(t, "promiscuity 1", rawPromiscuity(t, ns, "v1"))
	require.NoError(t, b.Close())
	assert.Equal(t, "promiscuity 0", rawPromiscuity(t, ns, "v1"))
	rawSend(t, a, frame.Frame{Data: tapWire(2, 64)})
	assert.Equal(t, tapWire(1, 64), fs[0].Data)
	_, err = b.ReadFrames(fs)
	assert.ErrorIs(t, err, net.ErrClosed)
	tapIP(t, ns, "link", "del", "v1")
}
