package qemu_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
)

// batch is frames as a bridge writes them, some with tags held aside.
func batch(n, size int, tags bool) []frame.Frame {
	fs := make([]frame.Frame, n)
	for i := range fs {
		fs[i].Data = data(size)
		if tags && i%3 == 1 {
			fs[i].Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}
		}
		if tags && i%4 == 2 {
			fs[i].Lifted = true
		}
	}
	return fs
}

// cross writes a batch at one end and reads it at the other.
func cross(t testing.TB, from, to bridge.FrameIO, fs, into []frame.Frame) {
	for at := 0; at < len(fs); {
		n, err := from.WriteFrames(fs[at:])
		if err != nil && (n == 0 || !errors.Is(err, bridge.ErrQueueFull)) {
			t.Fatal(err)
		}
		at += n
		for left := n; left > 0; {
			k, err := to.ReadFrames(into)
			if err != nil {
				t.Fatal(err)
			}
			left -= k
		}
	}
}

func TestNoAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	into := make([]frame.Frame, 64)
	for name, mk := range map[string]func() (a, b bridge.FrameIO){
		"stream":  func() (a, b bridge.FrameIO) { return streamPair(t, "unix:"+unixPath(t)) },
		"tcp":     func() (a, b bridge.FrameIO) { return streamPair(t, "tcp:127.0.0.1:0") },
		"queued":  func() (a, b bridge.FrameIO) { return overPipe(t) },
		"unix":    func() (a, b bridge.FrameIO) { return unixDgrams(t) },
		"udp":     func() (a, b bridge.FrameIO) { return udpDgrams(t) },
		"learned": func() (a, b bridge.FrameIO) { return learnedDgrams(t) },
	} {
		a, b := mk()
		for _, size := range []int{60, 1514} {
			fs := batch(8, size, true) // as many as a unix socket keeps of datagrams
			for range 10 {
				cross(t, a, b, fs, into)
			}
			if n := testing.AllocsPerRun(200, func() { cross(t, a, b, fs, into) }); n != 0 {
				t.Errorf("%s: 8 frames of %d bytes allocate %v times", name, size, n)
			}
		}
		a.Close()
		b.Close()
	}
}

// A queue that is full refuses without allocating.
func TestNoAllocsWhenFull(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t)})
	guest(t, s)
	fill(t, s, 1514)
	fs := batch(64, 1514, false)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := s.WriteFrames(fs); err != bridge.ErrQueueFull {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a full queue allocates %v times", n)
	}
}

const benchSize = 64

// count measures what crosses a second, from here until the function that it gives is
// called, and how long this process has processors for a frame, both ends together.
func count(b *testing.B, size int) (done func()) {
	b.ReportAllocs()
	b.ResetTimer()
	from := processorTime(b)
	return func() {
		b.ReportMetric(float64(processorTime(b)-from)/float64(b.N), "cpu-ns/frame")
		b.ReportMetric(float64(b.N)*1e3/float64(b.Elapsed().Nanoseconds()), "Mframes/s")
		b.SetBytes(int64(size))
	}
}

func processorTime(b *testing.B) time.Duration {
	var r unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// carried measures b.N frames on their way from near to far.
func carried(b *testing.B, near, far bridge.FrameIO, fs []frame.Frame) {
	defer count(b, len(fs[0].Data))()
	go func() { // ends when all is taken
		for left := b.N; left > 0; {
			n, err := near.WriteFrames(fs[:min(left, len(fs))])
			left -= n
			if errors.Is(err, bridge.ErrQueueFull) {
				time.Sleep(50 * time.Microsecond) // and leave the processor to who reads
			} else if err != nil {
				return
			}
		}
	}()
	into := make([]frame.Frame, 64)
	for got := 0; got < b.N; {
		n, err := far.ReadFrames(into)
		require.NoError(b, err)
		got += n
	}
}

// BenchmarkStream is frames from one Stream to another over a unix socket, in batches
// of 64.
func BenchmarkStream(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"64", benchSize}, {"1514", 1514}, {"65000", 65000}} {
		b.Run(c.name, func(b *testing.B) {
			near := listen(b, qemu.StreamConfig{Address: "unix:" + unixPath(b)})
			far := connect(b, qemu.StreamConfig{Address: addressOf(near)})
			served(b, near, 1)
			fs := batch(64, c.size, false)
			carried(b, near, far, fs)
		})
	}
}

// BenchmarkStreamPlain is the same with a writev for each frame, and a read for its
// length and another for the rest, as QEMU does it.
func BenchmarkStreamPlain(b *testing.B) {
	l, err := net.Listen("unix", unixPath(b))
	require.NoError(b, err)
	defer l.Close()
	near, err := net.Dial("unix", l.Addr().String())
	require.NoError(b, err)
	defer near.Close()
	far, err := l.Accept()
	require.NoError(b, err)
	defer far.Close()
	defer count(b, benchSize)()
	go func() { // ends when all is written
		frame, prefix := data(benchSize), binary.BigEndian.AppendUint32(nil, benchSize)
		var store [2][]byte
		for range b.N {
			store = [2][]byte{prefix, frame}
			v := net.Buffers(store[:])
			if _, err := v.WriteTo(near); err != nil {
				return
			}
		}
	}()
	into := make([]byte, qemu.MaxFrame)
	for range b.N {
		_, err := io.ReadFull(far, into[:4])
		require.NoError(b, err)
		_, err = io.ReadFull(far, into[:binary.BigEndian.Uint32(into)])
		require.NoError(b, err)
	}
}

// BenchmarkDgram is frames over unix datagrams, of which few wait at a time.
func BenchmarkDgram(b *testing.B) {
	near, far := unixDgrams(b)
	fs := batch(64, benchSize, false)
	carried(b, near, far, fs)
}
