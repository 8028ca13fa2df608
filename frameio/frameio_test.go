//go:build !plan9

package frameio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/frameio"
	"github.com/ddfb540f/bridge/frameio/frameiotest"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// packets is one end of a medium that keeps packets apart, with a queue that can
// be full: the simplest thing that Single is for.
type packets struct {
	in, out chan []byte
	done    chan struct{}
	once    sync.Once
}

func newPackets(queue int) (a, b *packets) {
	x, y := make(chan []byte, queue), make(chan []byte, queue)
	return &packets{in: x, out: y, done: make(chan struct{})}, &packets{in: y, out: x, done: make(chan struct{})}
}

func (p *packets) Read(b []byte) (int, error) {
	select {
	case packet := <-p.in:
		return copy(b, packet), nil
	case <-p.done:
		return 0, os.ErrClosed
	}
}

func (p *packets) Write(b []byte) (int, error) {
	select {
	case p.out <- bytes.Clone(b):
		return len(b), nil
	default:
		return 0, syscall.EAGAIN
	}
}

func (p *packets) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func TestSingle(t *testing.T) {
	for _, longest := range []int{0, 1518} {
		t.Run(fmt.Sprint("MaxFrame=", longest), func(t *testing.T) {
			opts := frameio.SingleOptions{MaxFrame: longest}
			mk := func(*testing.T) (a, b bridge.FrameIO) {
				p, q := newPackets(100)
				return frameio.Single(p, opts), frameio.Single(q, opts)
			}
			frameiotest.Run(t, mk, frameiotest.Options{Caps: singleCaps(opts), Settle: 5 * time.Millisecond})
		})
	}
}

func singleCaps(opts frameio.SingleOptions) bridge.Caps {
	return frameio.Single(&scripted{}, opts).Caps()
}

// scripted answers Reads and Writes as told, and then for ever with the last.
type scripted struct {
	reads, writes []answer
	calls         int
	written       [][]byte
	closes        int
	closeErr      error
}

type answer struct {
	n    int // -1: all
	data []byte
	err  error
}

func (s *scripted) Read(b []byte) (int, error) {
	a := s.reads[min(s.calls, len(s.reads)-1)]
	s.calls++
	return copy(b, a.data), a.err
}

func (s *scripted) Write(b []byte) (int, error) {
	a := answer{n: -1}
	if len(s.writes) > 0 {
		a = s.writes[min(s.calls, len(s.writes)-1)]
	}
	s.calls++
	if a.n < 0 {
		s.written = append(s.written, bytes.Clone(b))
		return len(b), a.err
	}
	return a.n, a.err
}

func (s *scripted) Close() error { s.closes++; return s.closeErr }

func plain(size int) frame.Frame {
	return frame.Frame{Data: append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, make([]byte, size-14)...)}
}

var errOdd = errors.New("odd")

// opErr is an error as a net.Conn gives it.
func opErr(network string, err error) error {
	return &net.OpError{Op: "x", Net: network, Err: os.NewSyscallError("x", err)}
}

func TestSingleReadErrors(t *testing.T) {
	path := func(err error) error { return &os.PathError{Op: "read", Path: "x", Err: err} }
	for _, tc := range []struct {
		name  string
		reads []answer
		want  error // nil: a frame of 60 bytes
	}{
		{"frame", []answer{{data: plain(60).Data}}, nil},
		{"EINTR", []answer{{err: path(syscall.EINTR)}, {data: plain(60).Data}}, nil},
		{"EAGAIN", []answer{{err: path(syscall.EAGAIN)}, {data: plain(60).Data}}, nil},
		{"ENOBUFS", []answer{{err: path(syscall.ENOBUFS)}, {data: plain(60).Data}}, nil},
		{"deadline", []answer{{err: path(os.ErrDeadlineExceeded)}, {data: plain(60).Data}}, nil},
		{"frame and EOF", []answer{{data: plain(60).Data, err: io.EOF}}, nil},
		{"EOF", []answer{{err: io.EOF}}, io.EOF},
		{"os.ErrClosed", []answer{{err: path(os.ErrClosed)}}, net.ErrClosed},
		{"io.ErrClosedPipe", []answer{{err: io.ErrClosedPipe}}, net.ErrClosed},
		{"net.ErrClosed", []answer{{err: net.ErrClosed}}, net.ErrClosed},
		{"ENETDOWN", []answer{{err: path(syscall.ENETDOWN)}}, syscall.ENETDOWN},
		{"ENETDOWN, as a bridge knows it", []answer{{err: path(syscall.ENETDOWN)}}, bridge.ENETDOWN},
		{"other", []answer{{err: errOdd}}, errOdd},
		{"ECONNREFUSED", []answer{{err: path(syscall.ECONNREFUSED)}, {data: plain(60).Data}}, nil},
		{"EHOSTUNREACH", []answer{{err: path(syscall.EHOSTUNREACH)}, {data: plain(60).Data}}, nil},
		{"ENETUNREACH", []answer{{err: path(syscall.ENETUNREACH)}, {data: plain(60).Data}}, nil},
		{"ECONNREFUSED along with a frame", []answer{{data: plain(60).Data, err: path(syscall.ECONNREFUSED)}}, nil},
		{"ECONNRESET of a datagram socket", []answer{{err: opErr("udp", syscall.ECONNRESET)}, {data: plain(60).Data}}, nil},
		{"EACCES of a datagram socket", []answer{{err: opErr("udp6", syscall.EACCES)}, {data: plain(60).Data}}, nil},
		{"EMSGSIZE of a datagram socket", []answer{{err: opErr("udp", syscall.EMSGSIZE)}, {data: plain(60).Data}}, nil},
		{"EHOSTUNREACH of a stream", []answer{{err: opErr("tcp", syscall.EHOSTUNREACH)}, {data: plain(60).Data}}, syscall.EHOSTUNREACH},
		{"ECONNRESET of a stream", []answer{{err: opErr("tcp", syscall.ECONNRESET)}, {data: plain(60).Data}}, syscall.ECONNRESET},
		{"EACCES of a file", []answer{{err: path(syscall.EACCES)}, {data: plain(60).Data}}, syscall.EACCES},
		{"EBADF of a datagram socket", []answer{{err: opErr("udp", syscall.EBADF)}, {data: plain(60).Data}}, syscall.EBADF},
		{"too long, then a frame", []answer{{data: make([]byte, 2000)}, {data: plain(60).Data}}, nil},
	} {
		s := frameio.Single(&scripted{reads: tc.reads}, frameio.SingleOptions{MaxFrame: 1518})
		fs := []frame.Frame{{Tag: frame.Tag{TPID: 1}, Lifted: true}, {}}
		n, err := s.ReadFrames(fs)
		if !errors.Is(err, tc.want) || (tc.want == nil) != (n == 1) {
			t.Errorf("%s: ReadFrames = %d, %v; want %v", tc.name, n, err, tc.want)
		}
		if n == 1 && (len(fs[0].Data) != 60 || fs[0].Tag.Present() || fs[0].Lifted) {
			t.Errorf("%s: ReadFrames gives %+v", tc.name, fs[0])
		}
	}
}

func TestSingleGivesTheErrorThatCameWithAFrame(t *testing.T) {
	s := frameio.Single(&scripted{reads: []answer{{data: plain(60).Data, err: io.EOF}, {err: errOdd}}}, frameio.SingleOptions{})
	fs := make([]frame.Frame, 1)
	for i, want := range []error{nil, io.EOF, errOdd} {
		if _, err := s.ReadFrames(fs); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("read %d: %v; want %v", i, err, want)
		}
	}
}

func TestSinglePassesRuntsOn(t *testing.T) {
	s := frameio.Single(&scripted{reads: []answer{{data: []byte{1, 2, 3}}, {}, {data: plain(14).Data}}}, frameio.SingleOptions{})
	fs := make([]frame.Frame, 1)
	for _, want := range []int{3, 0, 14} {
		if n, err := s.ReadFrames(fs); n != 1 || err != nil || len(fs[0].Data) != want {
			t.Errorf("ReadFrames = %d, %v, %d bytes; want %d", n, err, len(fs[0].Data), want)
		}
	}
	if n, err := s.ReadFrames(nil); n != 0 || err != nil {
		t.Errorf("ReadFrames(nil) = %d, %v", n, err)
	}
}

// slow answers each Read with a deadline that has passed, a second later.
type slow struct {
	scripted
	left int
}

func (s *slow) Read(b []byte) (int, error) {
	if s.left--; s.left < 0 {
		return copy(b, plain(60).Data), nil
	}
	time.Sleep(time.Second)
	return 0, os.ErrDeadlineExceeded
}

// An idle cable whose Read comes back now and then is no cable that spins.
func TestSingleWaitsThroughDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := frameio.Single(&slow{left: 1000}, frameio.SingleOptions{})
		if n, err := s.ReadFrames(make([]frame.Frame, 1)); n != 1 || err != nil {
			t.Errorf("ReadFrames = %d, %v; want the frame that came at last", n, err)
		}
	})
}

func TestSingleCountsWhatIsTooLong(t *testing.T) {
	s := frameio.Single(&scripted{reads: []answer{
		{data: make([]byte, 101)}, {data: make([]byte, 1000)}, {data: plain(100).Data},
	}}, frameio.SingleOptions{MaxFrame: 100})
	fs := make([]frame.Frame, 1)
	if n, err := s.ReadFrames(fs); n != 1 || err != nil || len(fs[0].Data) != 100 || s.TooLong() != 2 {
		t.Errorf("ReadFrames = %d, %v, %d bytes, TooLong %d; want 100 bytes behind 2 too long", n, err, len(fs[0].Data), s.TooLong())
	}
}

func TestSingleWriteErrors(t *testing.T) {
	sysErr := func(err error) error { return os.NewSyscallError("write", err) }
	tag := frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}
	long := plain(97)
	long.Tag = tag
	lifted := plain(17)
	lifted.Lifted = true
	owes := plain(60)
	owes.Owed.Flags = 1
	refused := func(r bridge.DropReason) *bridge.FrameError { return &bridge.FrameError{Reason: r} }
	for _, tc := range []struct {
		name  string
		f     frame.Frame
		write answer
		want  error
	}{
		{"runt", frame.Frame{Data: make([]byte, 13)}, answer{n: -1}, refused(bridge.DropRunt)},
		{"no tag to lift", lifted, answer{n: -1}, refused(bridge.DropTaggedRunt)},
		{"owes", owes, answer{n: -1}, refused(bridge.DropNoOffload)},
		{"too long", plain(101), answer{n: -1}, refused(bridge.DropTooLong)},
		{"too long with its tag", long, answer{n: -1}, refused(bridge.DropTooLong)},
		{"EMSGSIZE", plain(60), answer{err: sysErr(syscall.EMSGSIZE)}, refused(bridge.DropTooLong)},
		{"short write", plain(60), answer{n: 59}, refused(bridge.DropDriver)},
		{"ECONNREFUSED", plain(60), answer{err: sysErr(syscall.ECONNREFUSED)}, refused(bridge.DropDriver)},
		{"EHOSTUNREACH", plain(60), answer{err: sysErr(syscall.EHOSTUNREACH)}, refused(bridge.DropDriver)},
		{"ENETUNREACH", plain(60), answer{err: sysErr(syscall.ENETUNREACH)}, refused(bridge.DropDriver)},
		{"ECONNREFUSED of a datagram socket", plain(60), answer{err: opErr("udp", syscall.ECONNREFUSED)}, refused(bridge.DropDriver)},
		{"EPERM of a datagram socket", plain(60), answer{err: opErr("unixgram", syscall.EPERM)}, refused(bridge.DropDriver)},
		{"EHOSTUNREACH of a stream", plain(60), answer{err: opErr("tcp4", syscall.EHOSTUNREACH)}, syscall.EHOSTUNREACH},
		{"EPERM of a file", plain(60), answer{err: sysErr(syscall.EPERM)}, syscall.EPERM},
		{"EPIPE", plain(60), answer{err: opErr("unixgram", syscall.EPIPE)}, syscall.EPIPE},
		{"EAGAIN", plain(60), answer{err: sysErr(syscall.EAGAIN)}, bridge.ErrQueueFull},
		{"ENOBUFS", plain(60), answer{err: sysErr(syscall.ENOBUFS)}, bridge.ErrQueueFull},
		{"deadline", plain(60), answer{err: os.ErrDeadlineExceeded}, bridge.ErrQueueFull},
		{"EINTR for ever", plain(60), answer{err: sysErr(syscall.EINTR)}, bridge.ErrQueueFull},
		{"os.ErrClosed", plain(60), answer{err: os.ErrClosed}, net.ErrClosed},
		{"io.ErrClosedPipe", plain(60), answer{err: io.ErrClosedPipe}, net.ErrClosed},
		{"net.ErrClosed", plain(60), answer{err: net.ErrClosed}, net.ErrClosed},
		{"ENETDOWN", plain(60), answer{err: sysErr(syscall.ENETDOWN)}, syscall.ENETDOWN},
		{"ENETDOWN, as a bridge knows it", plain(60), answer{err: sysErr(syscall.ENETDOWN)}, bridge.ENETDOWN},
		{"other", plain(60), answer{err: errOdd}, errOdd},
	} {
		rw := &scripted{writes: []answer{{n: -1}, tc.write}}
		s := frameio.Single(rw, frameio.SingleOptions{MaxFrame: 100})
		n, err := s.WriteFrames([]frame.Frame{plain(60), tc.f, plain(60)})
		var got, want *bridge.FrameError
		ok := errors.Is(err, tc.want)
		if errors.As(tc.want, &want) {
			ok = errors.As(err, &got) && got.Reason == want.Reason
		}
		if n != 1 || !ok {
			t.Errorf("%s: WriteFrames = %d, %v; want 1, %v", tc.name, n, err, tc.want)
		}
	}
}

func TestSingleTriesAgainAfterASignal(t *testing.T) {
	rw := &scripted{writes: []answer{{err: syscall.EINTR}, {err: syscall.EINTR}, {n: -1}}}
	if n, err := frameio.Single(rw, frameio.SingleOptions{}).WriteFrames([]frame.Frame{plain(60)}); n != 1 || err != nil || len(rw.written) != 1 {
		t.Errorf("WriteFrames = %d, %v, %d written", n, err, len(rw.written))
	}
}

func TestSingleCloses(t *testing.T) {
	rw := &scripted{reads: []answer{{data: plain(60).Data}}, closeErr: errOdd}
	s := frameio.Single(rw, frameio.SingleOptions{})
	for range 3 {
		if err := s.Close(); err != errOdd {
			t.Errorf("Close = %v; want what the cable's Close gave", err)
		}
	}
	if rw.closes != 1 {
		t.Errorf("closed %d times; want once", rw.closes)
	}
	fs := []frame.Frame{plain(60)}
	for _, call := range []func([]frame.Frame) (int, error){s.ReadFrames, s.WriteFrames} {
		if n, err := call(fs); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %d, %v", n, err)
		}
	}
	if rw.calls != 0 {
		t.Errorf("%d calls of a cable that is closed", rw.calls)
	}
}

func TestSingleCaps(t *testing.T) {
	for longest, want := range map[int]int{0: 65554, -1: 65554, 1518: 1518} {
		got := frameio.Single(&scripted{}, frameio.SingleOptions{MaxFrame: longest}).Caps()
		if got != (bridge.Caps{TagAside: true, MaxFrame: want}) {
			t.Errorf("MaxFrame %d: Caps = %+v", longest, got)
		}
	}
}

// endless gives one frame after another and takes all.
type endless struct{ data []byte }

func (e endless) Read(b []byte) (int, error)  { return copy(b, e.data), nil }
func (e endless) Write(b []byte) (int, error) { return len(b), nil }
func (e endless) Close() error                { return nil }

func TestSingleNoAllocs(t *testing.T) {
	s := frameio.Single(endless{plain(1514).Data}, frameio.SingleOptions{MaxFrame: 1518})
	tagged := plain(1514)
	tagged.Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}
	in, out := make([]frame.Frame, 1), []frame.Frame{plain(60), tagged}
	if n := testing.AllocsPerRun(100, func() {
		if n, err := s.ReadFrames(in); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := s.WriteFrames(out); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("a read and a write of two frames allocate %v times; want 0", n)
	}
}

// A net.PacketConn's peer, a message queue, a device file: whatever gives and
// takes one frame a call becomes a cable.
func ExampleSingle() {
	p, q := newPackets(16)
	a, b := frameio.Single(p, frameio.SingleOptions{MaxFrame: 1518}), frameio.Single(q, frameio.SingleOptions{MaxFrame: 1518})
	defer a.Close()
	defer b.Close()

	f := frame.Frame{
		Data: []byte{0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5, 'h', 'i'},
		Tag:  frame.Tag{TPID: frame.TypeDot1Q, TCI: 10},
	}
	fmt.Println(a.WriteFrames([]frame.Frame{f}))

	fs := make([]frame.Frame, 8)
	n, err := b.ReadFrames(fs)
	fmt.Println(n, err)
	fmt.Printf("% x\n", fs[0].Data)
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 02 00 00 00 00 02 02 00 00 00 00 01 81 00 00 0a 88 b5 68 69
}
