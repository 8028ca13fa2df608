package bridge_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

func TestPipeManyAreCheap(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const pipes = 1000
	ends := make([]*bridge.Pipe, 0, 2*pipes)
	fs := pipeFrames(1, 60)
	before := heap()
	for range pipes {
		a, b := bridge.NewPipe(bridge.PipeConfig{})
		a.WriteFrames(fs)
		ends = append(ends, a, b)
	}
	each := (int64(heap()) - int64(before)) / pipes
	runtime.KeepAlive(ends)
	if each > 4096 {
		t.Errorf("a pipe with one short frame in it holds %d bytes; want at most 4096", each)
	}
}

func TestPipeMemoryIsBounded(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	const super = 65550
	fs, burst := make([]frame.Frame, 1000), make([]frame.Frame, 1000)
	one := pipeFrame(0, super)
	for i := range burst {
		burst[i] = one
	}
	if n, err := a.WriteFrames(burst); n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	if n := b.TryRead(fs); n != 1000 {
		t.Fatal(n)
	}
	clear(fs)
	b.TryRead(fs) // ends the loan
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	// A burst of 64 MB has gone; other tests of the package hold little.
	if m.HeapAlloc > 32<<20 {
		t.Errorf("after a burst of %d MB the heap holds %d MB", 1000*super>>20, m.HeapAlloc>>20)
	}
	runtime.KeepAlive(a)
}

func TestPipeNoAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	for _, size := range []int{60, 1514, 65550} {
		out := pipeFrames(16, size)
		for i := range out {
			out[i].Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}
		}
		in := make([]frame.Frame, 16)
		if n := testing.AllocsPerRun(100, func() {
			if n, err := a.WriteFrames(out); n != 16 || err != nil {
				t.Fatal(n, err)
			}
			if n := b.TryRead(in); n != 16 {
				t.Fatal(n)
			}
		}); n != 0 {
			t.Errorf("%d bytes: WriteFrames and TryRead of a batch of 16 allocate %v times; want 0", size, n)
		}
	}
}

func BenchmarkPipe(b *testing.B) {
	for _, batch := range []int{1, 64} {
		for _, size := range []int{60, 1514} {
			b.Run(fmt.Sprintf("batch=%d/size=%d", batch, size), func(b *testing.B) {
				p, q := bridge.NewPipe(bridge.PipeConfig{})
				out, in := pipeFrames(batch, size), make([]frame.Frame, batch)
				b.SetBytes(int64(size * batch))
				for b.Loop() {
					p.WriteFrames(out)
					if q.TryRead(in) != batch {
						b.Fatal("frames lost")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/frame")
			})
		}
	}
}
