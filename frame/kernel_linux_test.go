package frame_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// inNewNetns runs fn in a network namespace of its own, which lives as long as the
// sockets that fn opens. It skips the test where that is not allowed.
func inNewNetns(t *testing.T, fn func() error) {
	t.Helper()
	if os.Geteuid() != 0 {
		const why = "needs root, to make a network namespace"
		if os.Getenv("BRIDGE_REQUIRE_PRIVILEGED") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	done := make(chan error, 1)
	go func() { // ends with fn, and so does its thread, which is never unlocked
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("unshare: %w", err)
			return
		}
		err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			done <- err
			return
		}
		done <- fn()
	}()
	require.NoError(t, <-done)
}

// A wire is a pair of veth devices of the kernel, of which one end does nothing in
// hardware: what it is given to send, the kernel's software finishes first.
type wire struct {
	t        *testing.T
	in, out  int // packet sockets: in sends with a virtio_net_hdr, out receives
	buf, oob []byte
}

// newWire makes a wire. With gro, the kernel joins what arrives within a millisecond.
func newWire(t *testing.T, gro bool) *wire {
	w := &wire{t: t, in: -1, out: -1, buf: make([]byte, 1<<17), oob: make([]byte, 256)}
	t.Cleanup(func() {
		unix.Close(w.in)
		unix.Close(w.out)
	})
	inNewNetns(t, func() (err error) {
		for _, args := range [][]string{
			{"link", "add", "in", "mtu", "9000", "type", "veth", "peer", "name", "out", "mtu", "9000"},
			{"link", "set", "in", "up"},
			{"link", "set", "out", "up"},
		} {
			if text, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %v: %w: %s", args, err, text)
			}
		}
		if w.in, err = packetSocket("in", unix.PACKET_VNET_HDR); err != nil {
			return err
		}
		if w.out, err = packetSocket("out", unix.PACKET_VNET_HDR, unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING); err != nil {
			return err
		}
		// Without a checksum there is no segmentation in hardware either.
		for _, cmd := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO} {
			if err := ethtool(w.in, "in", cmd, 0); err != nil {
				return err
			}
		}
		if gro {
			if err := ethtool(w.out, "out", unix.ETHTOOL_SGRO, 1); err != nil {
				return err
			}
			if err := setSysfs("class/net/out/gro_flush_timeout", "1000000"); err != nil {
				return err
			}
		}
		return unix.SetsockoptInt(w.out, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	})
	w.awaitLink()
	return w
}

// awaitLink sends frames until one arrives: the kernel loses them without a word
// until it has seen that there is a carrier.
func (w *wire) awaitLink() {
	probe := frame.Frame{Data: hex(addrs, 0x88b5, make([]byte, 46))}
	moment, patience := unix.Timeval{Usec: 10000}, unix.Timeval{Sec: 60}
	require.NoError(w.t, unix.SetsockoptTimeval(w.out, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &moment))
	for range 6000 {
		require.NoError(w.t, w.send(&probe))
		if _, _, _, _, err := unix.Recvmsg(w.out, w.buf, w.oob, 0); err == nil {
			require.NoError(w.t, unix.SetsockoptTimeval(w.out, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
			return
		}
	}
	w.t.Fatal("nothing arrives over a pair of veth devices")
}

func packetSocket(ifname string, options ...int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	r, err := unix.NewIfreq(ifname)
	if err != nil {
		return fd, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		return fd, err
	}
	for _, opt := range options {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, 1); err != nil {
			return fd, err
		}
	}
	all := uint16(unix.ETH_P_ALL)
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: int(r.Uint32())})
}

// ethtool turns an offload of an interface off or on.
func ethtool(fd int, ifname string, cmd, data uint32) error {
	value := struct{ cmd, data uint32 }{cmd, data} // struct ethtool_value
	var r struct {                                 // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(r.name[:], ifname)
	r.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("ethtool command %#x: %w", cmd, errno)
	}
	return nil
}

// setSysfs writes an attribute of the thread's own network namespace, which the
// machine's sysfs does not show.
func setSysfs(path, value string) error {
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fsopen sysfs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("fsconfig sysfs: %w", err)
	}
	dir, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fsmount sysfs: %w", err)
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sysfs %s: %w", path, err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

// send gives the kernel a frame with its debts.
func (w *wire) send(f *frame.Frame) error {
	o := f.OwedOnWire()
	b := []byte{o.Flags, o.GSOType}
	for _, v := range []uint16{o.HdrLen, o.GSOSize, o.CsumStart, o.CsumOffset} {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	_, err := unix.Write(w.in, f.AppendWire(b))
	return err
}

// receive gives the next frame, in wire form.
func (w *wire) receive() frame.Frame {
	w.t.Helper()
	for {
		n, oobn, _, _, err := unix.Recvmsg(w.out, w.buf, w.oob, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		require.NoError(w.t, err, "the kernel sends fewer frames")
		h, f := w.buf[:10], frame.Frame{Data: w.buf[10:n]}
		if f.Type() == 0x88b5 {
			continue // awaitLink's
		}
		msgs, err := unix.ParseSocketControlMessage(w.oob[:oobn])
		require.NoError(w.t, err)
		for _, m := range msgs {
			// struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
			if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA &&
				binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
				f.Tag = frame.Tag{TCI: binary.NativeEndian.Uint16(m.Data[16:]), TPID: frame.EtherType(binary.NativeEndian.Uint16(m.Data[18:]))}
			}
		}
		if h[0]&frame.NeedsCsum != 0 || h[1] != 0 { // else it may say that a checksum is known to be right
			f.Owed = frame.Offload{
				Flags: h[0], GSOType: h[1],
				HdrLen: binary.NativeEndian.Uint16(h[2:]), GSOSize: binary.NativeEndian.Uint16(h[4:]),
				CsumStart: binary.NativeEndian.Uint16(h[6:]), CsumOffset: binary.NativeEndian.Uint16(h[8:]),
			}
		}
		return frame.Frame{Data: f.AppendWire(nil), Owed: f.OwedOnWire()}
	}
}

// The kernel cuts a frame into the same segments, byte for byte.
func TestFinishedAsByKernel(t *testing.T) {
	w := newWire(t, false)
	rnd := rand.New(rand.NewPCG(40, 1))
	for _, sh := range shapes {
		for _, tg := range taggings {
			t.Run(sh.name+"/"+tg.name, func(t *testing.T) {
				w.t = t
				for _, flags := range []byte{0, psh, fin | psh, cwr, cwr | ece | psh, urg} {
					if sh.proto == udp && flags != 0 {
						continue
					}
					for _, n := range []int{1, 700, 1400, 1401, 2800, 5000, 30000 + rnd.IntN(30000)} {
						p := sh.packet
						p.tags, p.payload, p.flags = tg, random(rnd, n), flags
						p.id, p.seq = 0xffff-uint16(rnd.IntN(5)), rnd.Uint32()
						for _, size := range []int{0, 1400} {
							if size == 0 && n > 8000 {
								continue
							}
							f := p.build(size)
							w.compare(f)
						}
					}
				}
			})
		}
	}
}

// compare holds what the kernel makes of f against what AppendFinished makes of it.
func (w *wire) compare(sent frame.Frame) {
	w.t.Helper()
	require.NoError(w.t, sent.CheckOwed())
	want, _ := sent.AppendFinished(nil, nil, frame.Form{TagInline: true})
	err := w.send(&sent)
	switch {
	case errors.Is(err, unix.ENOMEM) && len(want) == 1 && sent.Owed.GSOType&^frame.GSOECN != frame.GSOUDP &&
		len(sent.Data)-int(sent.Owed.CsumStart)-20 > int(sent.Owed.GSOSize):
		// The kernel reckons TCP's options to the payload when it asks whether this is one
		// segment (virtio_net_hdr_to_skb), then finds that it is (tcp_gso_segment), and
		// loses it. We do not.
		return
	case errors.Is(err, unix.EINVAL) && sent.Owed.GSOType == frame.GSOUDP:
		w.t.Skip("the kernel knows no segmentation of UDP in a virtio_net_hdr; Linux 6.2 does")
	}
	require.NoError(w.t, err, "the kernel refuses %+v", sent.Owed)
	for i := range want {
		f := w.receive()
		require.True(w.t, f.Owed.None(), "the kernel leaves a debt: %+v", f.Owed)
		got := f.Data
		if !slices.Equal(got, want[i].Data) {
			at := 0
			for at < min(len(got), len(want[i].Data)) && got[at] == want[i].Data[at] {
				at++
			}
			w.t.Fatalf("%+v, %d bytes: frame %d of %d: the kernel's has %d bytes, ours %d, different from byte %d on\nkernel: % x\nours:   % x",
				sent.Owed, len(sent.Data), i, len(want), len(got), len(want[i].Data), at, got[:min(len(got), 120)], want[i].Data[:min(len(want[i].Data), 120)])
		}
	}
}

// What CheckOwed lets pass of a guest's frames the kernel takes too, and what it
// refuses for the debt's own numbers the kernel refuses.
func TestDebtsAsByKernel(t *testing.T) {
	w := newWire(t, false)
	for _, tc := range []struct {
		name string
		o    frame.Offload
	}{
		{"segments of 65535 bytes", frame.Offload{Flags: 1, GSOType: 1, GSOSize: 65535, CsumStart: 34, CsumOffset: 16}},
		{"segments of no bytes", frame.Offload{Flags: 1, GSOType: 1, CsumStart: 34, CsumOffset: 16}},
		{"unknown kind", frame.Offload{Flags: 1, GSOType: 2, GSOSize: 1000, CsumStart: 34, CsumOffset: 16}},
		{"UDP's kind for TCP", frame.Offload{Flags: 1, GSOType: 5, GSOSize: 1000, CsumStart: 34, CsumOffset: 16}},
		{"UDP with ECN", frame.Offload{Flags: 1, GSOType: 5 | 0x80, GSOSize: 1000, CsumStart: 34, CsumOffset: 6}},
		{"the sum behind the end", frame.Offload{Flags: 1, CsumStart: 5000, CsumOffset: 16}},
		{"the checksum behind the end", frame.Offload{Flags: 1, CsumStart: 34, CsumOffset: 5000}},
		{"headers longer than the frame", frame.Offload{Flags: 1, GSOType: 1, HdrLen: 6000, GSOSize: 1000, CsumStart: 34, CsumOffset: 16}},
	} {
		f := packet{proto: tcp, payload: make([]byte, 3000)}.build(1000)
		f.Owed = tc.o
		require.ErrorIs(t, f.CheckOwed(), frame.ErrBadOffload, tc.name)
		require.ErrorIs(t, w.send(&f), unix.EINVAL, tc.name)
	}
	w.compare(packet{proto: tcp, payload: make([]byte, 3000)}.build(1000)) // and is well after all that
}

// The kernel's GRO joins the same segments, into the same frames. It may not, where
// a tick of its clock falls between two: so it is asked more than once.
func TestCoalesceAsByKernel(t *testing.T) {
	w := newWire(t, true)
	kernelMay := map[string]bool{ // join what we do not
		"urgent pointer":      true, // means nothing without URG; the kernel loses it
		"same identification": true, // since Linux 6.18, which has a way to say so that a virtio_net_hdr has not
	}
	var c frame.Coalescer
	for _, r := range rules {
		fs := r.frames()
		if !fs[1].Owed.None() || fs[1].Tunnel != fs[0].Tunnel || fs[1].Nexthop != fs[0].Nexthop {
			continue // not to be had from a wire
		}
		out, _ := c.Coalesce(fs)
		joined := false
		for try := 0; try < 20 && !joined; try++ {
			for i := range fs {
				require.NoError(t, w.send(&fs[i]))
			}
			f := w.receive()
			if joined = f.Owed.GSO(); !joined {
				w.receive()
				continue
			}
			if len(out) == 1 {
				require.Equal(t, out[0].AppendWire(nil), f.Data, r.name)
				f.Owed.HdrLen = out[0].OwedOnWire().HdrLen // the kernel's is the length of its first piece of memory
				require.Equal(t, out[0].OwedOnWire(), f.Owed, r.name)
			}
		}
		if !kernelMay[r.name] {
			require.Equal(t, r.want, joined, "%s: the kernel joins", r.name)
		}
	}
}
