package bridge_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frameio"
	"github.com/ddfb540f/bridge/frameio/frameiotest"
)

// tapRig carries the frames of a packet socket, one a call.
type tapRig struct {
	file     *os.File
	raw      syscall.RawConn
	buf, oob []byte
}

func newTAPRig(t *testing.T, ns, ifname string) *tapRig {
	t.Helper()
	fd := tapSocket(t, ns, ifname)
	require.NoError(t, unix.SetNonblock(fd, true))
	r := &tapRig{file: os.NewFile(uintptr(fd), "packet socket"), buf: make([]byte, 1<<17), oob: make([]byte, 256)}
	var err error
	r.raw, err = r.file.SyscallConn()
	require.NoError(t, err)
	return r
}

func (r *tapRig) Read(b []byte) (n int, err error) {
	rawErr := r.raw.Read(func(fd uintptr) bool {
		var wire []byte
		wire, err = tapReceive(int(fd), r.buf, r.oob)
		n = copy(b, wire)
		return err != unix.EAGAIN
	})
	if rawErr != nil {
		return 0, rawErr
	}
	return n, err
}

// Write asks the socket once: os.File's Write would wait for room.
func (r *tapRig) Write(b []byte) (n int, err error) {
	rawErr := r.raw.Write(func(fd uintptr) bool {
		n, err = unix.Write(int(fd), b)
		return true
	})
	if rawErr != nil {
		return 0, rawErr
	}
	return n, err
}

func (r *tapRig) Close() error { return r.file.Close() }

// A TAP keeps the contract of a FrameIO, seen from the kernel's end of its cable.
func TestTAPIsAFrameIO(t *testing.T) {
	tapNeedsRoot(t)
	mk := func(t *testing.T) (a, b bridge.FrameIO) {
		ns := tapNetns(t)
		tap := tapOpen(t, bridge.TAPConfig{Netns: ns, MTU: 65521, Up: true})
		return tap, frameio.Single(newTAPRig(t, ns, tap.Name()), frameio.SingleOptions{})
	}
	frameiotest.Run(t, mk, frameiotest.Options{
		Caps: (*bridge.TAP)(nil).Caps(), OneSided: true, Full: frameiotest.FullDrops,
		MinFrame: 20,    // a kernel loses what ends right behind a VLAN tag (skb_vlan_untag)
		MaxFrame: 65535, // of the MTU; what is longer is TestTAPTagsBeyondTheMTU's
	})
}
