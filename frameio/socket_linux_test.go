package frameio_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
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
