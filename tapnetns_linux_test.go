package bridge_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// tapTestType marks the frames of these tests among those that the kernel sends
// of its own (IEEE 802 local experimental EtherType 1).
const tapTestType = frame.EtherType(0x88b5)

// tapNetns makes a network namespace without IPv6, which sends frames of its own
// accord, and gives its path. It is gone when the test ends.
func tapNetns(t testing.TB) string {
	t.Helper()
	return netnstest.New(t, false).Path()
}

// tapIn runs fn in the namespace ns; programs that fn starts run there too.
func tapIn(t testing.TB, ns string, fn func() error) {
	t.Helper()
	n, err := netns.Open(ns)
	require.NoError(t, err)
	defer n.Close()
	require.NoError(t, n.Do(fn))
}

// tapIP runs ip(8) in the namespace ns.
func tapIP(t testing.TB, ns string, args ...string) string {
	t.Helper()
	var out []byte
	tapIn(t, ns, func() (err error) {
		out, err = exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	})
	return string(out)
}

// tapOpen opens a TAP that the end of the test closes.
func tapOpen(t testing.TB, cfg bridge.TAPConfig) *bridge.TAP {
	t.Helper()
	tap, err := bridge.OpenTAP(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { tap.Close() })
	return tap
}

// tapRaw opens a descriptor of a TAP as another program would, blocking.
func tapRaw(t testing.TB, ns, name string, flags uint16) *os.File {
	t.Helper()
	var fd int
	tapIn(t, ns, func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		r.SetUint16(flags)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	})
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}

// tapRead reads one batch, and ends the TAP if none comes.
func tapRead(t testing.TB, tap *bridge.TAP, fs []frame.Frame) (int, error) {
	t.Helper()
	watchdog := time.AfterFunc(tapWait, func() { tap.Close() })
	defer watchdog.Stop()
	return tap.ReadFrames(fs)
}

// tapCollect reads n frames of these tests, in bytes of their own.
func tapCollect(t testing.TB, tap *bridge.TAP, n int) [][]byte {
	t.Helper()
	var got [][]byte
	fs := make([]frame.Frame, 64)
	for len(got) < n {
		k, err := tapRead(t, tap, fs)
		require.NoError(t, err, "after %d of %d frames", len(got), n)
		for _, f := range fs[:k] {
			require.True(t, f.Plain() && f.Owed.None())
			if tapOurs(f.Data) {
				got = append(got, slices.Clone(f.Data))
			}
		}
	}
	return got
}

// tapOurs reports whether a wire form is a frame of these tests, under any tags.
func tapOurs(wire []byte) bool {
	for at := 12; at+2 <= len(wire); at += 4 {
		switch frame.EtherType(binary.BigEndian.Uint16(wire[at:])) {
		case tapTestType:
			return true
		case frame.TypeDot1Q, frame.TypeDot1AD:
		default:
			return false
		}
	}
	return false
}

// tapWire is a frame of these tests of the given length, filled with a pattern.
func tapWire(mark byte, length int) []byte {
	b := make([]byte, length)
	copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, mark})
	binary.BigEndian.PutUint16(b[12:], uint16(tapTestType))
	for i := 14; i < length; i++ {
		b[i] = byte(i) ^ mark
	}
	return b
}

// tapSocket opens a packet socket on an interface, which sees what the interface
// receives and sends on it.
func tapSocket(t testing.TB, ns, ifname string) int {
	t.Helper()
	fd := -1
	tapIn(t, ns, func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		r, err := unix.NewIfreq(ifname)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
			return err
		}
		for _, opt := range []int{unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
			if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, 1); err != nil {
				return err
			}
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		all := uint16(unix.ETH_P_ALL)
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: int(r.Uint32())})
	})
	return fd
}

// tapReceive gives the next frame that the socket got, with the outer tag, which
// the kernel tells apart from it, back in its place.
func tapReceive(fd int, buf, oob []byte) ([]byte, error) {
	n, oobn, _, _, err := unix.Recvmsg(fd, buf, oob, 0)
	if err != nil {
		return nil, err
	}
	f := frame.Frame{Data: buf[:n]}
	if f.Tag, err = tapAuxTag(oob[:oobn]); err != nil {
		return nil, err
	}
	return f.AppendWire(nil), nil
}

// tapAuxTag is the tag in what came beside a frame, none if there is none.
func tapAuxTag(oob []byte) (frame.Tag, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	for _, m := range msgs {
		// struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA &&
			binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
			return frame.Tag{
				TCI:  binary.NativeEndian.Uint16(m.Data[16:]),
				TPID: frame.EtherType(binary.NativeEndian.Uint16(m.Data[18:])),
			}, nil
		}
	}
	return frame.Tag{}, err
}

// tapPeer is the kernel's end of a TAP: a packet socket on the interface.
type tapPeer struct {
	t        testing.TB
	fd       int
	buf, oob []byte
}

func newTAPPeer(t testing.TB, ns, ifname string) *tapPeer {
	t.Helper()
	p := &tapPeer{t: t, fd: tapSocket(t, ns, ifname), buf: make([]byte, 1<<17), oob: make([]byte, 256)}
	t.Cleanup(func() { unix.Close(p.fd) })
	five := unix.Timeval{Sec: 5}
	require.NoError(t, unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &five))
	return p
}

// send gives the kernel a frame to send on the interface.
func (p *tapPeer) send(wire []byte) {
	p.t.Helper()
	_, err := unix.Write(p.fd, wire)
	require.NoError(p.t, err)
}

// receive gives the next frame of these tests that the interface received.
func (p *tapPeer) receive() []byte {
	p.t.Helper()
	for {
		wire, err := tapReceive(p.fd, p.buf, p.oob)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		require.NoError(p.t, err)
		if tapOurs(wire) {
			return wire
		}
	}
}
