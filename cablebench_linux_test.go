package bridge_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The benchmarks of cables measure the time that the processor works for a frame, in
// this thread and what the kernel does in it, beside the plain way to do the same: an
// os.File that is read or written a frame at a time. Both take turns, batch by batch,
// in the same run. They need root, for namespaces of their own.

// cableBatch is how many frames cross at a time, as in a bridge.
const cableBatch = 64

// cableSizes are short frames, full ones of the usual MTU, and what a ring of a raw
// socket has no slots for.
var cableSizes = []int{60, 1514, 9014}

// cableCPU is the time for which this thread has had a processor.
func cableCPU(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// cableCompare measures two ways to have cableBatch frames cross.
func cableCompare(b *testing.B, ours, plain func()) {
	b.Helper()
	cableTurns(b, cableWay{run: ours}, cableWay{run: plain})
}

// A cableWay is what is measured, and what is done first each time and is not.
type cableWay struct{ first, run func() }

// cableTurns is cableCompare of such ways.
func cableTurns(b *testing.B, ours, plain cableWay) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ways := [2]cableWay{ours, plain}
	var spent [2]time.Duration
	rounds := 0
	for b.Loop() {
		for i := range 2 {
			way := (rounds + i) % 2
			if first := ways[way].first; first != nil {
				first()
			}
			from := cableCPU(b)
			ways[way].run()
			spent[way] += cableCPU(b) - from
		}
		rounds++
	}
	frames := float64(rounds * cableBatch)
	b.ReportMetric(float64(spent[0])/frames, "cpu-ns/frame")
	b.ReportMetric(float64(spent[1])/frames, "plain-cpu-ns/frame")
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "ours/plain")
	b.ReportMetric(0, "ns/op") // of both together it says nothing
}

// cableFrames is a batch.
func cableFrames(size int) []frame.Frame {
	fs := make([]frame.Frame, cableBatch)
	for i := range fs {
		fs[i].Data = tapWire(byte(i), size)
	}
	return fs
}

// cableWrite has a cable take a batch.
func cableWrite(b *testing.B, io bridge.FrameIO, fs []frame.Frame) {
	for len(fs) > 0 {
		n, err := io.WriteFrames(fs)
		if err != nil && err != bridge.ErrQueueFull {
			b.Fatal(err)
		}
		fs = fs[n:]
	}
}

// cableRead has a cable give a batch.
func cableRead(b *testing.B, io bridge.FrameIO, into []frame.Frame) {
	for left := cableBatch; left > 0; {
		n, err := io.ReadFrames(into)
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
}

// plainWrite writes a batch by a file.
func plainWrite(b *testing.B, f *os.File, fs []frame.Frame) {
	for i := range fs {
		if _, err := f.Write(fs[i].Data); err != nil {
			b.Fatal(err)
		}
	}
}

// plainRead reads a batch from a file.
func plainRead(b *testing.B, f *os.File, buf []byte) {
	for range cableBatch {
		if _, err := f.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// cableTAPs runs fn for each size of frames, and for TAPs with and without offloads:
// those tell, and are told, what each frame owes, which the plain way is not. There is
// another TAP, open as a plain file, in the same namespace.
func cableTAPs(b *testing.B, fn func(b *testing.B, ns string, ours *bridge.TAP, plain *os.File, fs []frame.Frame)) {
	for _, size := range cableSizes {
		for _, complete := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/offloads=%v", size, !complete), func(b *testing.B) {
				ns := tapNetns(b)
				ours := tapOpen(b, bridge.TAPConfig{Netns: ns, Name: "ours", MTU: 9000, Up: true, NoOffload: complete})
				fn(b, ns, ours, cablePlainTAP(b, ns), cableFrames(size))
			})
		}
	}
}

// cablePlainTAP is a TAP as a file.
func cablePlainTAP(b *testing.B, ns string) *os.File {
	blocking := tapRaw(b, ns, "plain", unix.IFF_TAP|unix.IFF_NO_PI)
	fd, err := unix.Dup(int(blocking.Fd()))
	require.NoError(b, err)
	require.NoError(b, unix.SetNonblock(fd, true))
	plain := os.NewFile(uintptr(fd), "plain")
	b.Cleanup(func() { plain.Close() })
	tapIP(b, ns, "link", "set", "plain", "mtu", "9000", "up")
	return plain
}

// BenchmarkTAPRead is frames from the kernel, with its own work to send them.
func BenchmarkTAPRead(b *testing.B) {
	cableTAPs(b, func(b *testing.B, ns string, ours *bridge.TAP, plain *os.File, fs []frame.Frame) {
		toOurs := rawOpen(b, bridge.RawConfig{Netns: ns, Name: "ours"})
		toPlain := rawOpen(b, bridge.RawConfig{Netns: ns, Name: "plain"})
		into, buf := make([]frame.Frame, cableBatch), make([]byte, 1<<16)
		cableCompare(b,
			func() { cableWrite(b, toOurs, fs); cableRead(b, ours, into) },
			func() { cableWrite(b, toPlain, fs); plainRead(b, plain, buf) })
	})
}

// BenchmarkTAPWrite is frames to the kernel, which nobody there is interested in.
func BenchmarkTAPWrite(b *testing.B) {
	cableTAPs(b, func(b *testing.B, _ string, ours *bridge.TAP, plain *os.File, fs []frame.Frame) {
		cableCompare(b, func() { cableWrite(b, ours, fs) }, func() { plainWrite(b, plain, fs) })
	})
}

// BenchmarkTAPWriteTogether is frames to the kernel that go with one system call, beside
// a system call for each: a batch of so many.
func BenchmarkTAPWriteTogether(b *testing.B) {
	for _, size := range cableSizes[:2] {
		for _, n := range []int{4, 8, 16, cableBatch} {
			b.Run(fmt.Sprintf("%d/frames=%d", size, n), func(b *testing.B) {
				ns := tapNetns(b)
				ours := tapUring(b, bridge.TAPConfig{Netns: ns, Up: true})
				plain := tapOpen(b, bridge.TAPConfig{Netns: ns, Up: true, NoUring: true})
				fs := cableFrames(size)
				write := func(io bridge.FrameIO) func() {
					return func() {
						for at := 0; at < len(fs); at += n {
							cableWrite(b, io, fs[at:at+n])
						}
					}
				}
				cableCompare(b, write(ours), write(plain))
			})
		}
	}
}

// BenchmarkTAPToTAP is what a bridge does for frames from one TAP to another: it reads,
// decides and writes them, together or one by one. What it costs to send them is not in it.
func BenchmarkTAPToTAP(b *testing.B) {
	for _, size := range cableSizes[:2] {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ns := tapNetns(b)
			tapUring(b, bridge.TAPConfig{Netns: ns}).Close()
			ours, plain := cableBridged(b, ns, size, false), cableBridged(b, ns, size, true)
			cableTurns(b, ours, plain)
		})
	}
}

// cableBridged joins two TAPs by a bridge that knows who is where. A batch is sent to one
// of them first, and carried to the other.
func cableBridged(b *testing.B, ns string, size int, oneByOne bool) cableWay {
	br, err := bridge.New(bridge.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { br.Close() })
	var taps [2]*bridge.TAP
	var ins [2]*bridge.Input
	for i := range taps {
		taps[i] = tapOpen(b, bridge.TAPConfig{Netns: ns, Up: true, NoUring: oneByOne})
		p, err := br.AddPort(taps[i].Name(), taps[i], bridge.PortConfig{Caps: taps[i].Caps()})
		require.NoError(b, err)
		ins[i] = p.Input()
	}
	fs, into := cableFrames(size), make([]frame.Frame, cableBatch)
	there, back := fs[0].Data[6:12], frame.MustParseMAC("02:00:00:00:0f:fc")
	for i := range fs {
		copy(fs[i].Data, back[:])
		copy(fs[i].Data[6:], there)
	}
	answer := fs[0].Clone()
	copy(answer.Data, there)
	copy(answer.Data[6:], back[:])
	require.NoError(b, ins[1].Receive([]frame.Frame{answer}))
	from := rawOpen(b, bridge.RawConfig{Netns: ns, Name: taps[0].Name()})
	send := func() { cableWrite(b, from, fs) }
	carry := func() {
		for left := cableBatch; left > 0; {
			n, err := taps[0].ReadFrames(into)
			if err == nil {
				err = ins[0].Receive(into[:n])
			}
			if err != nil {
				b.Fatal(err)
			}
			left -= n
		}
	}
	return cableWay{first: send, run: carry}
}

// cableVeths are two pairs of interfaces: v0 and v1, w0 and w1.
func cableVeths(b *testing.B) (ns string) {
	ns = rawVeth(b)
	rawCable(b, ns, ns, "w0", "w1")
	for _, name := range []string{"v0", "v1", "w0", "w1"} {
		tapIP(b, ns, "link", "set", name, "mtu", "9000")
	}
	return ns
}

// cablePlainSocket is a packet socket as a file.
func cablePlainSocket(b *testing.B, ns, name string) *os.File {
	fd := tapSocket(b, ns, name)
	require.NoError(b, unix.SetNonblock(fd, true))
	f := os.NewFile(uintptr(fd), name)
	b.Cleanup(func() { f.Close() })
	return f
}

// BenchmarkRawRead is frames that come in at an interface, with the kernel's work to
// send them at the other end of its cable. The plain way is told neither of tags nor of
// what frames owe.
func BenchmarkRawRead(b *testing.B) {
	for _, size := range cableSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ns := cableVeths(b)
			toOurs := rawOpen(b, bridge.RawConfig{Netns: ns, Name: "v0"})
			toPlain := rawOpen(b, bridge.RawConfig{Netns: ns, Name: "w0"})
			ours := rawOpen(b, bridge.RawConfig{Netns: ns, Name: "v1"})
			plain := cablePlainSocket(b, ns, "w1")
			fs, into, buf := cableFrames(size), make([]frame.Frame, cableBatch), make([]byte, 1<<16)
			cableCompare(b,
				func() { cableWrite(b, toOurs, fs); cableRead(b, ours, into) },
				func() { cableWrite(b, toPlain, fs); plainRead(b, plain, buf) })
		})
	}
}

// BenchmarkRawWrite is frames that leave by an interface, at whose other end nobody is
// interested in them.
func BenchmarkRawWrite(b *testing.B) {
	for _, size := range cableSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ns := cableVeths(b)
			ours, plain := rawOpen(b, bridge.RawConfig{Netns: ns, Name: "v0"}), cablePlainSocket(b, ns, "w0")
			fs := cableFrames(size)
			cableCompare(b, func() { cableWrite(b, ours, fs) }, func() { plainWrite(b, plain, fs) })
		})
	}
}
