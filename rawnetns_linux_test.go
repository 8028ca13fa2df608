package bridge_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// rawVeth makes a pair of interfaces, both up, in a namespace of their own.
func rawVeth(t testing.TB) (ns string) {
	t.Helper()
	ns = tapNetns(t)
	rawCable(t, ns, ns, "v0", "v1")
	return ns
}

// rawCable makes a pair of interfaces, both up, that connects two namespaces.
func rawCable(t testing.TB, nsA, nsB, a, b string) {
	t.Helper()
	tapIP(t, nsA, "link", "add", a, "type", "veth", "peer", "name", b)
	if nsB != nsA {
		rawMove(t, nsA, nsB, b)
	}
	tapIP(t, nsA, "link", "set", a, "up")
	tapIP(t, nsB, "link", "set", b, "up")
	rawAwaitUp(t, nsA, a)
	rawAwaitUp(t, nsB, b)
}

// rawAwaitUp waits until an interface that was brought up sends: a while after the
// carrier came (linkwatch_do_dev). Until then the kernel drops what it is given,
// without a word.
func rawAwaitUp(t testing.TB, ns, name string) {
	t.Helper()
	var state string
	for end := time.Now().Add(tapWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		state = tapIP(t, ns, "link", "show", name)
		if strings.Contains(state, "state UP") && !strings.Contains(state, "qdisc noop ") {
			return
		}
	}
	t.Fatalf("not up: %s", state)
}

// rawMove moves an interface to another namespace.
func rawMove(t testing.TB, from, to, name string) {
	t.Helper()
	tapIP(t, from, "link", "set", name, "netns", to)
}

// rawOpen opens a raw socket that the end of the test closes.
func rawOpen(t testing.TB, cfg bridge.RawConfig) *bridge.RawSocket {
	t.Helper()
	r, err := bridge.OpenRaw(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// rawRead reads one batch, and ends the cable if none comes.
func rawRead(t testing.TB, io bridge.FrameIO, fs []frame.Frame) (int, error) {
	t.Helper()
	watchdog := time.AfterFunc(tapWait, func() { io.Close() })
	defer watchdog.Stop()
	return io.ReadFrames(fs)
}

// rawCollect reads n frames of these tests, with bytes of their own.
func rawCollect(t testing.TB, io bridge.FrameIO, n int) []frame.Frame {
	t.Helper()
	var got []frame.Frame
	fs := make([]frame.Frame, n)
	for len(got) < n {
		k, err := rawRead(t, io, fs[len(got):])
		require.NoError(t, err, "after %d of %d frames", len(got), n)
		for _, f := range fs[len(got):][:k] {
			if tapOurs(f.AppendWire(nil)) {
				got = append(got, f.Clone())
			}
		}
	}
	return got
}

// rawTC runs tc(8) in the namespace ns.
func rawTC(t testing.TB, ns string, args ...string) {
	t.Helper()
	tapIn(t, ns, func() error {
		if out, err := exec.Command("tc", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("tc %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	})
}

// rawSendVirtio sends a frame, of any length, with what it owes on an interface, by
// a socket of the test's own.
func rawSendVirtio(t testing.TB, ns, ifname string, f frame.Frame) {
	t.Helper()
	fd := tapSocket(t, ns, ifname)
	defer unix.Close(fd)
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20))
	w := []byte{f.Owed.Flags, f.Owed.GSOType}
	for _, v := range []uint16{f.Owed.HdrLen, f.Owed.GSOSize, f.Owed.CsumStart, f.Owed.CsumOffset} {
		w = binary.NativeEndian.AppendUint16(w, v)
	}
	_, err := unix.Write(fd, append(w, f.Data...))
	require.NoError(t, err)
}

// rawSegmentedUDP sends bytes from a namespace that its kernel is to cut into
// datagrams of size bytes (UDP_SEGMENT).
func rawSegmentedUDP(t testing.TB, ns, from string, to net.Addr, b []byte, size int) {
	t.Helper()
	var c net.PacketConn
	tapIn(t, ns, func() (err error) {
		c, err = net.ListenPacket("udp4", from)
		return err
	})
	defer c.Close()
	rc, err := c.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }))
	require.NoError(t, err)
	_, err = c.WriteTo(b, to)
	require.NoError(t, err)
}
