package frameio_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/frameio"
	"github.com/ddfb540f/bridge/frameio/frameiotest"
)

// seqpacket is one end of a socketpair that keeps packets apart. Its Write asks
// the socket once: os.File's would wait for room, and a cable must not.
type seqpacket struct{ *os.File }

func (s seqpacket) Write(b []byte) (n int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	if rawErr := raw.Write(func(fd uintptr) bool {
		err = syscall.Sendto(int(fd), b, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil)
		return true
	}); rawErr != nil {
		return 0, rawErr
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func TestSingleOverSeqpacket(t *testing.T) {
	opts := frameio.SingleOptions{MaxFrame: 9018}
	mk := func(t *testing.T) (a, b bridge.FrameIO) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		end := func(fd int) bridge.FrameIO {
			return frameio.Single(seqpacket{os.NewFile(uintptr(fd), "seqpacket")}, opts)
		}
		return end(fds[0]), end(fds[1])
	}
	frameiotest.Run(t, mk, frameiotest.Options{Caps: singleCaps(opts), Settle: 5 * time.Millisecond})
}

// On loopback ICMP arrives before Write returns, so that it is certain which call
// is told of it.
func TestSingleTellsOfAPeerThatIsGone(t *testing.T) {
	a, peer := udpPair(t)
	s := frameio.Single(a, frameio.SingleOptions{})
	defer s.Close()
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	fs := []frame.Frame{plain(60)}
	if n, err := s.WriteFrames(fs); n != 1 || err != nil {
		t.Fatalf("first WriteFrames = %d, %v; want 1", n, err)
	}
	var one *bridge.FrameError
	n, err := s.WriteFrames(fs)
	if n != 0 || !errors.As(err, &one) || one.Reason != bridge.DropDriver || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("second WriteFrames = %d, %v; want a FrameError for %q of ECONNREFUSED", n, err, bridge.DropDriver)
	}
	if n, err := s.WriteFrames(fs); n != 1 || err != nil {
		t.Fatalf("third WriteFrames = %d, %v; want 1", n, err)
	}
	back := dialUDP(t, peer.LocalAddr(), a.LocalAddr())
	if _, err := back.Write(plain(61).Data); err != nil {
		t.Fatal(err)
	}
	// The first Read is told of the third frame.
	if n, err := s.ReadFrames(fs); n != 1 || err != nil || len(fs[0].Data) != 61 {
		t.Errorf("ReadFrames = %d, %v, %d bytes; want the frame behind ECONNREFUSED", n, err, len(fs[0].Data))
	}
}
