package bridge_test

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tapVirtio is the length of a struct virtio_net_hdr (virtio 1.2, section 5.1.6).
const tapVirtio = 10

// tapRig is the kernel's end of a TAP as a FrameIO: a packet socket that says and is
// told what frames owe, one frame a call.
type tapRig struct {
	file     *os.File
	raw      syscall.RawConn
	buf, oob []byte
}

func newTAPRig(t testing.TB, ns, ifname string) *tapRig {
	t.Helper()
	fd := tapSocket(t, ns, ifname)
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1))
	require.NoError(t, unix.SetNonblock(fd, true))
	r := &tapRig{file: os.NewFile(uintptr(fd), "packet socket"), buf: make([]byte, 1<<17), oob: make([]byte, 256)}
	t.Cleanup(func() { r.file.Close() })
	var err error
	r.raw, err = r.file.SyscallConn()
	require.NoError(t, err)
	return r
}

func (r *tapRig) ReadFrames(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	var n, oobn int
	var err error
	rawErr := r.raw.Read(func(fd uintptr) bool {
		for err = unix.EINTR; err == unix.EINTR; {
			n, oobn, _, _, err = unix.Recvmsg(int(fd), r.buf, r.oob, 0)
		}
		return err != unix.EAGAIN
	})
	switch {
	case errors.Is(rawErr, os.ErrClosed):
		return 0, net.ErrClosed
	case rawErr != nil:
		return 0, rawErr
	case err != nil:
		return 0, err
	}
	f := frame.Frame{Data: r.buf[tapVirtio:n:n], Owed: tapOwed(r.buf)}
	f.Tag, err = tapAuxTag(r.oob[:oobn])
	fs[0] = f
	return 1, err
}

// Caps has the bridge's and the suite's users hand over what frames owe.
func (r *tapRig) Caps() bridge.Caps {
	return bridge.Caps{TagAside: true, Checksum: true, TSO: true, USO: true}
}

func (r *tapRig) WriteFrames(fs []frame.Frame) (int, error) {
	for i := range fs {
		if !fs[i].WellFormed() {
			return i, &bridge.FrameError{Reason: bridge.DropDriver}
		}
		b := fs[i].AppendWire(tapHeader(fs[i].OwedOnWire()))
		var err error
		// Once: os.File's Write would wait for room.
		rawErr := r.raw.Write(func(fd uintptr) bool {
			for err = unix.EINTR; err == unix.EINTR; {
				_, err = unix.Write(int(fd), b)
			}
			return true
		})
		switch {
		case errors.Is(rawErr, os.ErrClosed):
			return i, net.ErrClosed
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
			return i, bridge.ErrQueueFull
		case errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.EINVAL):
			return i, &bridge.FrameError{Reason: bridge.DropTooLong, Err: err}
		case err != nil:
			return i, err
		}
	}
	return len(fs), nil
}

func (r *tapRig) Close() error { return r.file.Close() }

// next gives the next frame of these tests, with bytes of its own.
func (r *tapRig) next(t testing.TB) frame.Frame {
	t.Helper()
	require.NoError(t, r.file.SetReadDeadline(time.Now().Add(tapWait)))
	for {
		fs := make([]frame.Frame, 1)
		_, err := r.ReadFrames(fs)
		require.NoError(t, err)
		if tapTests(&fs[0]) {
			return fs[0].Clone()
		}
	}
}

// send gives the kernel a frame to send on the interface.
func (r *tapRig) send(t testing.TB, f frame.Frame) {
	t.Helper()
	_, err := r.WriteFrames([]frame.Frame{f})
	require.NoError(t, err)
}

// tapTests reports whether f is a frame of these tests.
func tapTests(f *frame.Frame) bool {
	return tapOurs(f.AppendWire(nil)) || slices.Equal(f.Data[6:12], tapIPSource[:])
}

// tapOwed reads, and tapHeader writes, what is in front of a frame.
func tapOwed(b []byte) frame.Offload {
	ne := binary.NativeEndian
	o := frame.Offload{
		Flags: b[0] & frame.NeedsCsum, GSOType: b[1], HdrLen: ne.Uint16(b[2:]),
		GSOSize: ne.Uint16(b[4:]), CsumStart: ne.Uint16(b[6:]), CsumOffset: ne.Uint16(b[8:]),
	}
	if o.None() {
		return frame.Offload{}
	}
	return o
}

func tapHeader(o frame.Offload) []byte {
	ne := binary.NativeEndian
	b := []byte{o.Flags, o.GSOType}
	b = ne.AppendUint16(b, o.HdrLen)
	b = ne.AppendUint16(b, o.GSOSize)
	b = ne.AppendUint16(b, o.CsumStart)
	return ne.AppendUint16(b, o.CsumOffset)
}

// tapIPSource is the source address of the frames that tapOwing makes.
var tapIPSource = frame.MustParseMAC("02:00:00:00:0f:fe")

// tapOwing is a broadcast frame of these tests that owes its checksum and, if gso is
// not 0, its segmentation: TCP or UDP over IPv4, TCP over IPv6 for GSOTCPv6, with so
// many bytes of payload. In the checksum's place stands the sum over the pseudo
// header, as the kernel leaves it.
func tapOwing(gso uint8, payload, size int) frame.Frame {
	proto, l4, at := byte(unix.IPPROTO_TCP), 20, 16 // length of the header, place of the sum
	if gso == frame.GSOUDP {
		proto, l4, at = unix.IPPROTO_UDP, 8, 6
	}
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, tapIPSource[:]...)
	be := binary.BigEndian
	var addresses []byte
	if gso&^frame.GSOECN == frame.GSOTCPv6 {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
		b = be.AppendUint16(b, uint16(l4+payload))
		b = append(b, proto, 64)
		b = append(b, net.ParseIP("2001:db8::1")...)
		b = append(b, net.ParseIP("2001:db8::2")...)
		addresses = b[22:54]
	} else {
		b = append(b, 8, 0, 0x45, 0)
		b = be.AppendUint16(b, uint16(20+l4+payload))
		b = append(b, 0, 1, 0x40, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
		be.PutUint16(b[24:], ^tapFold(tapSum(b[14:34])))
		addresses = b[26:34]
	}
	start := len(b)
	pseudo := tapFold(tapSum(addresses) + uint32(proto) + uint32(l4+payload))
	b = append(b, make([]byte, l4)...)
	copy(b[start:], []byte{0x30, 0x39, 0x30, 0x3a})
	if proto == unix.IPPROTO_TCP {
		copy(b[start+4:], []byte{0, 0, 0, 100, 0, 0, 0, 200, 5 << 4, 0x10, 0x20, 0})
	} else {
		be.PutUint16(b[start+4:], uint16(l4+payload))
	}
	be.PutUint16(b[start+at:], pseudo)
	for i := range payload {
		b = append(b, byte(i*7))
	}
	o := frame.Offload{Flags: frame.NeedsCsum, CsumStart: uint16(start), CsumOffset: uint16(at)}
	if gso != 0 {
		o.GSOType, o.GSOSize, o.HdrLen = gso, uint16(size), uint16(start+l4)
	}
	return frame.Frame{Data: b, Owed: o}
}

// tapSum and tapFold are the Internet checksum (RFC 1071) in two steps.
func tapSum(b []byte) (n uint32) {
	for i, x := range b {
		n += uint32(x) << (8 * (1 - i&1))
	}
	return n
}

func tapFold(n uint32) uint16 {
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}

// tapAddress is where bytes begin.
func tapAddress(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
