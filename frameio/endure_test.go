//go:build !plan9

package frameio_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/frameio"
)

// Reads that give nothing, and do not wait either, are slowed down for as long as
// they go on; only Close ends the cable.
func TestSingleEnduresReadsThatGiveNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		answer
	}{
		{"no byte", answer{}},
		{"EAGAIN", answer{err: syscall.EAGAIN}},
		{"EINTR", answer{err: syscall.EINTR}},
		{"ECONNREFUSED", answer{err: opErr("udp", syscall.ECONNREFUSED)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rw := &scripted{reads: []answer{tc.answer}}
				s := frameio.Single(rw, frameio.SingleOptions{MaxFrame: 100})
				end := make(chan error, 1)
				go func() { end <- drain(s) }() // ends when s is closed
				time.Sleep(time.Minute)
				synctest.Wait()
				// 100 Reads each 10 ms: fewer would hold up frames behind empty datagrams.
				if want := 100 * 60 * 100; rw.calls > want+1000 || rw.calls < want-1000 {
					t.Errorf("%d reads in a minute; want about %d", rw.calls, want)
				}
				time.Sleep(time.Millisecond) // into a pause
				closing := time.Now()
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := <-end; !errors.Is(err, net.ErrClosed) {
					t.Errorf("ReadFrames ends with %v; want net.ErrClosed", err)
				}
				if d := time.Since(closing); d != 0 {
					t.Errorf("ReadFrames ends %v after Close; want at once", d)
				}
			})
		})
	}
}

// drain reads until the cable ends, and says why it did. Nothing but frames of no
// bytes may come.
func drain(s *frameio.SingleIO) error {
	fs := make([]frame.Frame, 1)
	for {
		n, err := s.ReadFrames(fs)
		if err != nil {
			return err
		}
		if n != 1 || len(fs[0].Data) != 0 {
			return errors.New("not a frame of no bytes")
		}
	}
}

// The pauses grow from 1 ms to 10 ms, and begin anew after a frame.
func TestSinglePausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads []answer
		for range 2 {
			for range 600 {
				reads = append(reads, answer{err: syscall.EAGAIN})
			}
			reads = append(reads, answer{data: plain(60).Data})
		}
		s := frameio.Single(&scripted{reads: reads}, frameio.SingleOptions{})
		for i := range 2 {
			start := time.Now()
			n, err := s.ReadFrames(make([]frame.Frame, 1))
			want := (1 + 2 + 4 + 8 + 10 + 10) * time.Millisecond
			if d := time.Since(start); n != 1 || err != nil || d != want {
				t.Errorf("frame %d: ReadFrames = %d, %v after %v; want a frame after %v", i, n, err, d, want)
			}
		}
	})
}

func TestSingleEndsAfterEmptyReads(t *testing.T) {
	reads := make([]answer, 250, 251)
	s := frameio.Single(&scripted{reads: append(reads, answer{err: io.EOF})}, frameio.SingleOptions{})
	if err := drain(s); err != io.EOF {
		t.Errorf("ReadFrames ends with %v; want io.EOF", err)
	}
}

// udpPair is two UDP sockets on 127.0.0.1 connected to each other.
func udpPair(t *testing.T) (a, b *net.UDPConn) {
	t.Helper()
	free := func() *net.UDPAddr {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr)
	}
	from := free()
	b, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to := b.LocalAddr().(*net.UDPAddr)
	if a, err = net.DialUDP("udp4", from, to); err != nil {
		t.Fatal(err)
	}
	if err = b.Close(); err != nil {
		t.Fatal(err)
	}
	return a, dialUDP(t, to, a.LocalAddr())
}

func dialUDP(t *testing.T, from, to net.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp4", from.(*net.UDPAddr), to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// lengths reads frames of s in a goroutine, until s ends: their lengths, and
// then why it ended.
func lengths(s *frameio.SingleIO) (got <-chan int, end <-chan error) {
	ns, why := make(chan int, 10000), make(chan error, 1)
	go func() {
		fs := make([]frame.Frame, 1)
		for {
			n, err := s.ReadFrames(fs)
			if err != nil {
				why <- err
				return
			}
			for _, f := range fs[:n] {
				ns <- len(f.Data)
			}
		}
	}()
	return ns, why
}

// awaitFrame has resend called until a frame of want bytes came.
func awaitFrame(t *testing.T, got <-chan int, end <-chan error, want int, resend func()) {
	t.Helper()
	for range 6000 {
		resend()
		again := time.After(10 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case n := <-got:
				if n == want {
					return
				}
			case err := <-end:
				t.Fatalf("the cable ended: %v", err)
			case <-again:
				waiting = false
			}
		}
	}
	t.Fatalf("no frame of %d bytes came", want)
}

func closeAndWait(t *testing.T, s *frameio.SingleIO, end <-chan error) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-end:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrames ends with %v; want net.ErrClosed", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("ReadFrames goes on after Close")
	}
}

func TestSingleEnduresEmptyDatagrams(t *testing.T) {
	a, peer := udpPair(t)
	s := frameio.Single(a, frameio.SingleOptions{})
	got, end := lengths(s)
	empty := 0
	for i := range 1000 {
		if _, err := peer.Write(nil); err != nil {
			t.Fatal(err)
		}
		if i%50 != 49 {
			continue
		}
		for range 50 { // in step: what overflows a socket's buffer tests nothing
			select {
			case n := <-got:
				if n != 0 {
					t.Fatalf("a frame of %d bytes", n)
				}
				empty++
			case err := <-end:
				t.Fatalf("the cable ended after %d empty datagrams: %v", empty, err)
			case <-time.After(time.Minute):
				t.Fatalf("%d of 1000 empty datagrams came", empty)
			}
		}
	}
	awaitFrame(t, got, end, 60, func() { _, _ = peer.Write(plain(60).Data) })
	closeAndWait(t, s, end)
}

// A peer that closes its socket, and has ICMP say so, finds the cable as it left
// it when it is back.
func TestSingleEnduresAPeerThatIsGone(t *testing.T) {
	a, peer := udpPair(t)
	s := frameio.Single(a, frameio.SingleOptions{})
	got, end := lengths(s)
	awaitFrame(t, got, end, 60, func() { _, _ = peer.Write(plain(60).Data) })
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	for range 6000 {
		var one *bridge.FrameError
		if n, err := s.WriteFrames([]frame.Frame{plain(60)}); err != nil && (n != 0 || !errors.As(err, &one) || one.Reason != bridge.DropDriver) {
			t.Fatalf("WriteFrames = %d, %v; want success, or a FrameError for %q", n, err, bridge.DropDriver)
		}
	}
	back := dialUDP(t, peer.LocalAddr(), a.LocalAddr())
	awaitFrame(t, got, end, 61, func() { _, _ = back.Write(plain(61).Data) })

	if err := back.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, _ = s.WriteFrames([]frame.Frame{plain(62)}) // may be told of what was lost before
	_, _ = s.WriteFrames([]frame.Frame{plain(62)})
	if n, err := back.Read(make([]byte, 100)); n != 62 || err != nil {
		t.Errorf("the peer that is back reads %d bytes, %v; want 62", n, err)
	}
	closeAndWait(t, s, end)
}
