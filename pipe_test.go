package bridge_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// pipeFrame is a plain frame of size bytes that carries its number.
func pipeFrame(i, size int) frame.Frame {
	data := bytes.Repeat([]byte{byte(i)}, size)
	copy(data, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5})
	binary.BigEndian.PutUint32(data[2:], uint32(i))
	return frame.Frame{Data: data}
}

func pipeFrames(n, size int) []frame.Frame {
	fs := make([]frame.Frame, n)
	for i := range fs {
		fs[i] = pipeFrame(i, size)
	}
	return fs
}

func pipeNumber(f frame.Frame) int { return int(binary.BigEndian.Uint32(f.Data[2:])) }

func TestPipeCarriesWhatIsKnownOfAFrame(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	data := pipeFrame(1, 60).Data
	binary.BigEndian.PutUint32(data[12:], 0x8100_0005)
	for _, tc := range []struct {
		tag    frame.Tag
		lifted bool
		start  uint16
	}{
		{frame.Tag{}, false, 34},
		{frame.Tag{}, true, 30},
		{frame.Tag{TPID: frame.TypeDot1AD, TCI: 0x2001}, false, 38},
		{frame.Tag{TPID: frame.TypeDot1Q, TCI: 0}, true, 34},
	} {
		sent := frame.Frame{
			Data: data, Tag: tc.tag, Lifted: tc.lifted, Tunnel: 8, Nexthop: 7, Time: 99,
			Owed: frame.Offload{Flags: 1, GSOType: 1, GSOSize: 10, HdrLen: 54, CsumStart: 34, CsumOffset: 16},
		}
		if n, err := a.WriteFrames([]frame.Frame{sent}); n != 1 || err != nil {
			t.Fatalf("WriteFrames = %d, %v", n, err)
		}
		fs := make([]frame.Frame, 2)
		if n := b.TryRead(fs); n != 1 {
			t.Fatalf("TryRead = %d; want 1", n)
		}
		got, owed := fs[0], sent.Owed
		owed.CsumStart, owed.HdrLen = tc.start, tc.start+20
		if !bytes.Equal(got.Data, sent.AppendWire(nil)) || got.Tag.Present() || got.Lifted {
			t.Errorf("%v, lifted %v: arrives as %+v", tc.tag, tc.lifted, got)
		}
		if got.Owed != owed || got.Tunnel != 8 || got.Nexthop != 7 || got.Time != 99 {
			t.Errorf("%v, lifted %v: owes %+v; want %+v (tunnel %d, time %d)", tc.tag, tc.lifted, got.Owed, owed, got.Tunnel, got.Time)
		}
	}
}

func TestPipeCaps(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: 1})
	c := a.Caps()
	if !c.TagAside || !c.Checksum || !c.TSO || !c.USO || c.MaxFrame != 0 || c.XmitProbe != "tun_net_xmit" {
		t.Errorf("Caps = %+v", c)
	}
	fs := make([]frame.Frame, 3)
	for i := range fs {
		fs[i].Data = make([]byte, 60)
	}
	if n, err := b.WriteFrames(fs); n != 1 || !errors.Is(err, bridge.ErrQueueFull) {
		t.Errorf("WriteFrames = %d, %v; want 1 and a full queue", n, err)
	}
	if n := a.Lost(); n != 2 {
		t.Errorf("%d lost, want the 2 that there was no room for", n)
	}
}

func TestPipeTailDrop(t *testing.T) {
	for _, tc := range []struct{ cfg, want int }{{0, 1000}, {-1, 1000}, {1, 1}, {3, 3}, {1500, 1500}} {
		a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: tc.cfg})
		n, err := a.WriteFrames(pipeFrames(2000, 60))
		if n != tc.want || !errors.Is(err, bridge.ErrQueueFull) {
			t.Errorf("QueueLen %d: WriteFrames = %d, %v; want %d, ErrQueueFull", tc.cfg, n, err, tc.want)
		}
		if n, err = a.WriteFrames(pipeFrames(1, 60)); n != 0 || !errors.Is(err, bridge.ErrQueueFull) {
			t.Errorf("QueueLen %d: full, WriteFrames = %d, %v", tc.cfg, n, err)
		}
		fs := make([]frame.Frame, 2000)
		if n := b.TryRead(fs); n != tc.want || pipeNumber(fs[n-1]) != tc.want-1 {
			t.Errorf("QueueLen %d: TryRead = %d, the last is frame %d; want the oldest %d", tc.cfg, n, pipeNumber(fs[n-1]), tc.want)
		}
		if n, err = a.WriteFrames(pipeFrames(1, 60)); n != 1 || err != nil {
			t.Errorf("QueueLen %d: read empty, WriteFrames = %d, %v", tc.cfg, n, err)
		}
		if a.Dropped() != 0 || b.Dropped() != 0 {
			t.Errorf("QueueLen %d: Dropped counts refused frames", tc.cfg)
		}
	}
}

func TestPipeRefusesMalformed(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	fs := pipeFrames(3, 60)
	for _, tc := range []struct {
		bad    frame.Frame
		reason bridge.DropReason
	}{
		{frame.Frame{}, bridge.DropRunt},
		{frame.Frame{Data: make([]byte, 13)}, bridge.DropRunt},
		{frame.Frame{Data: make([]byte, 13), Lifted: true}, bridge.DropRunt},
		{frame.Frame{Data: make([]byte, 14), Lifted: true}, bridge.DropTaggedRunt},
		{frame.Frame{Data: make([]byte, 17), Lifted: true}, bridge.DropTaggedRunt},
	} {
		fs[1] = tc.bad
		n, err := a.WriteFrames(fs)
		var fe *bridge.FrameError
		if n != 1 || !errors.As(err, &fe) || fe.Reason != tc.reason {
			t.Errorf("%+v: WriteFrames = %d, %v; want 1 and a FrameError for %q", tc.bad, n, err, tc.reason)
		}
		if err := a.WriteContext(t.Context(), tc.bad); !errors.As(err, &fe) {
			t.Errorf("%+v: WriteContext = %v", tc.bad, err)
		}
	}
	if n := b.TryRead(make([]frame.Frame, 100)); n != 5 {
		t.Errorf("%d frames arrived; want the 5 in front of the bad ones", n)
	}
}

func TestPipeReadIntoNothing(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	if n, err := b.ReadFrames(nil); n != 0 || err != nil {
		t.Errorf("ReadFrames(nil) = %d, %v", n, err)
	}
	if n, err := a.WriteFrames(nil); n != 0 || err != nil {
		t.Errorf("WriteFrames(nil) = %d, %v", n, err)
	}
	if n := b.TryRead(make([]frame.Frame, 4)); n != 0 {
		t.Errorf("TryRead of an empty pipe = %d", n)
	}
}

func TestPipeClose(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	one := pipeFrames(1, 60)
	for _, p := range []*bridge.Pipe{a, b} {
		if n, err := p.WriteFrames(pipeFrames(3, 60)); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	fs := make([]frame.Frame, 2)
	for range 2 {
		if n, err := a.ReadFrames(fs); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed end: ReadFrames = %d, %v", n, err)
		}
		if n, err := a.WriteFrames(one); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed end: WriteFrames = %d, %v", n, err)
		}
		if n, err := b.WriteFrames(one); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("open end: WriteFrames = %d, %v", n, err)
		}
	}
	if err := b.WriteContext(t.Context(), one[0]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("open end: WriteContext = %v", err)
	}
	for _, want := range []struct {
		n   int
		err error
	}{{2, nil}, {1, nil}, {0, io.EOF}, {0, io.EOF}} {
		if n, err := b.ReadFrames(fs); n != want.n || err != want.err {
			t.Errorf("open end: ReadFrames = %d, %v; want %d, %v", n, err, want.n, want.err)
		}
	}
	if a.Dropped() != 3 || b.Dropped() != 0 {
		t.Errorf("Dropped = %d, %d; want 3 that a never read, and none at b", a.Dropped(), b.Dropped())
	}
	b.Close()
	if n, err := b.ReadFrames(fs); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("both closed: ReadFrames = %d, %v", n, err)
	}
	if n := b.TryRead(fs); n != 0 {
		t.Errorf("both closed: TryRead = %d", n)
	}
}

func TestPipeCloseDropsWhatTheReaderLeft(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	a.WriteFrames(pipeFrames(5, 60))
	fs := make([]frame.Frame, 2)
	b.TryRead(fs)
	a.Close()
	b.Close()
	if b.Dropped() != 3 {
		t.Errorf("Dropped = %d; want 3", b.Dropped())
	}
	if pipeNumber(fs[1]) != 1 || !bytes.Equal(fs[1].Data, pipeFrame(1, 60).Data) {
		t.Error("Close touched lent memory")
	}
}

// Waiting is durably blocking, so a bubble's clock moves on while all wait.
func TestPipeWaitsInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: 2})
		start := time.Now()
		go func() { // ends with its last frame
			for i := range 5 {
				time.Sleep(time.Second)
				a.WriteFrames([]frame.Frame{pipeFrame(i, 60)})
			}
		}()
		fs := make([]frame.Frame, 4)
		for i := range 5 {
			n, err := b.ReadFrames(fs)
			if n != 1 || err != nil || pipeNumber(fs[0]) != i {
				t.Fatalf("ReadFrames = %d, %v, frame %d; want frame %d", n, err, pipeNumber(fs[0]), i)
			}
			if got, want := time.Since(start), time.Duration(i+1)*time.Second; got != want {
				t.Errorf("frame %d after %v; want %v", i, got, want)
			}
		}
	})
}

func TestPipeBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each = 3, 20
		a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: 2})
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					if err := a.WriteContext(t.Context(), pipeFrame(w*1000+i, 60)); err != nil {
						t.Errorf("WriteContext = %v", err)
					}
				}
			})
		}
		var next [writers]int
		fs := make([]frame.Frame, 1)
		for range writers * each {
			synctest.Wait() // every writer waits, or has ended
			if b.TryRead(fs) != 1 {
				t.Fatal("all wait, and the queue is empty: a wake-up was lost")
			}
			w, i := pipeNumber(fs[0])/1000, pipeNumber(fs[0])%1000
			if i != next[w] {
				t.Fatalf("frame %d of writer %d; want %d", i, w, next[w])
			}
			next[w]++
		}
		wg.Wait()
		if n := b.TryRead(fs); n != 0 {
			t.Errorf("%d frames too many", n)
		}
	})
}

func TestPipeWriteContextEnds(t *testing.T) {
	f := pipeFrame(0, 60)
	for _, tc := range []struct {
		name string
		end  func(a, b *bridge.Pipe, cancel func())
		want error
	}{
		{"context", func(_, _ *bridge.Pipe, cancel func()) { cancel() }, context.Canceled},
		{"own Close", func(a, _ *bridge.Pipe, _ func()) { a.Close() }, net.ErrClosed},
		{"other end's Close", func(_, b *bridge.Pipe, _ func()) { b.Close() }, net.ErrClosed},
		{"room", func(_, b *bridge.Pipe, _ func()) { b.TryRead(make([]frame.Frame, 1)) }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: 1})
				if err := a.WriteContext(ctx, f); err != nil {
					t.Fatalf("with room: %v", err)
				}
				got := make(chan error, 1)
				go func() { got <- a.WriteContext(ctx, f) }()
				synctest.Wait()
				select {
				case err := <-got:
					t.Fatalf("did not wait for room: %v", err)
				default:
				}
				tc.end(a, b, cancel)
				if err := <-got; !errors.Is(err, tc.want) {
					t.Errorf("WriteContext = %v; want %v", err, tc.want)
				}
			})
		})
	}
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.WriteContext(ctx, f); !errors.Is(err, context.Canceled) || b.TryRead(make([]frame.Frame, 1)) != 0 {
		t.Errorf("a context that is over sends: %v", err)
	}
}

func TestPipeCloseWakesReader(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(a, b *bridge.Pipe)
		want error
	}{
		{"own Close", func(a, _ *bridge.Pipe) { a.Close() }, net.ErrClosed},
		{"other end's Close", func(_, b *bridge.Pipe) { b.Close() }, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := bridge.NewPipe(bridge.PipeConfig{})
				got := make(chan error, 1)
				go func() {
					_, err := a.ReadFrames(make([]frame.Frame, 1))
					got <- err
				}()
				synctest.Wait()
				tc.end(a, b)
				if err := <-got; !errors.Is(err, tc.want) {
					t.Errorf("ReadFrames = %v; want %v", err, tc.want)
				}
			})
		})
	}
}

// TestPipeAgainstModel runs random calls on one goroutine and holds each answer
// against a slice of byte strings.
func TestPipeAgainstModel(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	const limit = 13
	a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: limit})
	var model, lent [][]byte
	fs := make([]frame.Frame, 8)
	got := 0
	for step := range 20000 {
		if rng.IntN(2) == 0 {
			out := make([]frame.Frame, rng.IntN(9))
			for i := range out {
				out[i] = pipeFrame(step*10+i, 20+rng.IntN(3000))
				out[i].Lifted = rng.IntN(3) == 0
				if rng.IntN(3) == 0 {
					out[i].Tag = frame.Tag{TPID: 0x8100, TCI: uint16(rng.Uint32())}
				}
			}
			n, err := a.WriteFrames(out)
			want := min(len(out), limit-len(model))
			if n != want || errors.Is(err, bridge.ErrQueueFull) != (want < len(out)) {
				t.Fatalf("step %d: WriteFrames of %d on %d queued = %d, %v", step, len(out), len(model), n, err)
			}
			for i := range n {
				model = append(model, out[i].AppendWire(nil))
			}
			for i := range out { // the caller's memory is the caller's again
				clear(out[i].Data)
			}
		} else {
			k := rng.IntN(len(fs) + 1)
			n := b.TryRead(fs[:k])
			if n != min(k, len(model)) {
				t.Fatalf("step %d: TryRead of %d on %d queued = %d", step, k, len(model), n)
			}
			lent, model, got = model[:n], model[n:], n
		}
		for i := range got { // lent frames stay what they were through any number of writes
			if !bytes.Equal(fs[i].Data, lent[i]) {
				t.Fatalf("step %d: lent frame %d is %x; want %x", step, i, fs[i].Data, lent[i])
			}
		}
	}
}

func TestPipeLentMemoryCannotBeAppendedInto(t *testing.T) {
	a, b := bridge.NewPipe(bridge.PipeConfig{})
	a.WriteFrames(pipeFrames(1, 60))
	fs := make([]frame.Frame, 1)
	b.TryRead(fs)
	if cap(fs[0].Data) != 60 {
		t.Errorf("a lent frame of 60 bytes has room for %d: an append would write into the Pipe's memory", cap(fs[0].Data))
	}
}

// Hosts at both ends of a cable; no goroutine, no waiting.
func ExampleNewPipe() {
	a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: 2})
	f := frame.Frame{
		Data: []byte{0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5, 'h', 'i'},
		Tag:  frame.Tag{TPID: frame.TypeDot1Q, TCI: 10},
	}
	n, err := a.WriteFrames([]frame.Frame{f, f, f})
	fmt.Println(n, "sent,", err)

	fs := make([]frame.Frame, 8)
	for i := range b.TryRead(fs) {
		fmt.Printf("%v -> %v: % x\n", fs[i].Src(), fs[i].Dst(), fs[i].Data[12:])
	}
	a.Close()
	_, err = b.ReadFrames(fs)
	fmt.Println(err)
	// Output:
	// 2 sent, bridge: queue full
	// 02:00:00:00:00:01 -> 02:00:00:00:00:02: 81 00 00 0a 88 b5 68 69
	// 02:00:00:00:00:01 -> 02:00:00:00:00:02: 81 00 00 0a 88 b5 68 69
	// EOF
}
