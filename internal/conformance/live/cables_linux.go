package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// maxFrame is the longest frame that is read: a TAP's largest MTU and all headers.
const maxFrame = 1 << 17

// A tap is the device of a port, with the wire in our hands. Its device outlives
// the descriptor and ends with its namespace: so the kernel takes down the devices
// of many namespaces at once, where each alone would cost waits.
type tap struct {
	name  string
	index int32
	fd    int
}

// openTAP makes a TAP in the thread's namespace, whose speed is that of the
// recordings (10 Mbit/s), so that the path cost is.
func openTAP(name string) (*tap, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	t := &tap{name: name, fd: fd}
	if err := t.attach(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TAP %s: %w", name, err)
	}
	return t, nil
}

func (t *tap) attach() error {
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(t.fd, unix.TUNSETIFF, ifr); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(t.fd, unix.TUNSETPERSIST, 1); err != nil {
		return err
	}
	ctl, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ctl)
	if err := setSpeed(ctl, t.name); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(ctl, unix.SIOCGIFINDEX, ifr); err != nil {
		return err
	}
	t.index = int32(ifr.Uint32())
	return nil
}

// setSpeed tells a TAP that it has 10 Mbit/s (ETHTOOL_SSET).
func setSpeed(ctl int, name string) error {
	cmd := struct {
		cmd, supported, advertising uint32
		speed                       uint16
		_                           [30]byte
	}{cmd: unix.ETHTOOL_SSET, speed: 10}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&cmd)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(ctl), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); no != 0 {
		return fmt.Errorf("ethtool: %w", no)
	}
	return nil
}

// carrier plugs the cable in or pulls it out.
func (t *tap) carrier(on bool) error {
	v := int32(0)
	if on {
		v = 1
	}
	return unix.IoctlSetPointerInt(t.fd, unix.TUNSETCARRIER, int(v))
}

// send puts a frame on the wire towards the port.
func (t *tap) send(data []byte) error {
	_, err := unix.Write(t.fd, data)
	return err
}

// received gives what the port has sent.
func (t *tap) received(buf []byte) (frames [][]byte, err error) {
	for {
		n, err := unix.Read(t.fd, buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return frames, nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", t.name, err)
		default:
			frames = append(frames, append([]byte(nil), buf[:n]...))
		}
	}
}

// host is the stack behind br0: one socket hears what comes in, another sends, which
// the device going down does not disturb.
type host struct{ in, out, index int }

func openHost(index int32) (*host, error) {
	out, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	in, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		unix.Close(out)
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	h := &host{in: in, out: out, index: int(index)}
	err = errors.Join(
		unix.SetsockoptInt(in, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(in, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.Bind(in, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: h.index}))
	if err != nil {
		h.close()
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return h, nil
}

func (h *host) close() {
	unix.Close(h.in)
	unix.Close(h.out)
}

// bigEndian gives the number whose bytes in memory are v's in network order.
func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// send has the host send a frame through br0. The kernel takes its type from the
// frame, as from any that gives no other.
func (h *host) send(data []byte) error {
	return unix.Sendto(h.out, data, 0, &unix.SockaddrLinklayer{Ifindex: h.index})
}

// received gives what was delivered to the host, with the tag that the kernel holds
// aside (struct tpacket_auxdata) back in its place.
func (h *host) received(buf []byte) (frames [][]byte, err error) {
	var oob [128]byte
	for {
		n, oobn, _, _, err := unix.Recvmsg(h.in, buf, oob[:], 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return frames, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN): // told once when br0 goes down
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", hostName, err)
		default:
			frames = append(frames, withTag(buf[:n], oob[:oobn]))
		}
	}
}

func withTag(data, oob []byte) []byte {
	const valid, tpidValid = unix.TP_STATUS_VLAN_VALID, unix.TP_STATUS_VLAN_TPID_VALID
	msgs, _ := unix.ParseSocketControlMessage(oob)
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
		if aux.Status&valid == 0 {
			break
		}
		tag := frame.Tag{TPID: frame.TypeDot1Q, TCI: aux.Vlan_tci}
		if aux.Status&tpidValid != 0 {
			tag.TPID = frame.EtherType(aux.Vlan_tpid)
		}
		f := frame.Frame{Data: data, Tag: tag}
		return f.AppendWire(nil)
	}
	return append([]byte(nil), data...)
}
