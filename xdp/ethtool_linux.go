package xdp

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An ethtool asks the driver of an interface, in the network namespace in which it was
// opened.
type ethtool struct{ socket *os.File }

// openEthtool opens it in the thread's network namespace.
func openEthtool() (*ethtool, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return &ethtool{os.NewFile(uintptr(fd), "ethtool")}, nil
}

func (e *ethtool) close() error { return e.socket.Close() }

// ask makes a request, a structure that begins with its number.
func (e *ethtool) ask(name string, request unsafe.Pointer) error {
	rc, err := e.socket.SyscallConn()
	if err != nil {
		return err
	}
	r := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: request}
	copy(r.name[:len(r.name)-1], name)
	var no syscall.Errno
	err = rc.Control(func(fd uintptr) {
		_, _, no = unix.Syscall(unix.SYS_IOCTL, fd, unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r)))
	})
	if err == nil && no != 0 {
		err = no
	}
	return err
}

// channels is how many queues an interface has for frames that come in (ethtool -l).
func (e *ethtool) channels(name string) int {
	v := struct {
		cmd                                 uint32
		maxRx, maxTx, maxOther, maxCombined uint32
		rx, tx, other, combined             uint32
	}{cmd: unix.ETHTOOL_GCHANNELS}
	if e.ask(name, unsafe.Pointer(&v)) != nil {
		return 1
	}
	return max(int(v.rx+v.combined), 1)
}

// hardware reports whether the interface is a device on a bus, such as a network card
// (ethtool -i).
func (e *ethtool) hardware(name string) bool {
	v := unix.EthtoolDrvinfo{Cmd: unix.ETHTOOL_GDRVINFO}
	if e.ask(name, unsafe.Pointer(&v)) != nil {
		return false
	}
	return strings.Contains(unix.ByteSliceToString(v.Bus_info[:]), ":")
}

// Some of the flags of ETHTOOL_GFLAGS.
const flagRxVLAN = 1 << 8 // ETH_FLAG_RXVLAN: tags are taken out of frames that come in

func (e *ethtool) flags(name string) (uint32, error) {
	v := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_GFLAGS}
	err := e.ask(name, unsafe.Pointer(&v))
	return v.data, err
}

// setFlags sets those flags that mask has.
func (e *ethtool) setFlags(name string, flags, mask uint32) error {
	now, err := e.flags(name)
	if err != nil {
		return err
	}
	v := struct{ cmd, data uint32 }{unix.ETHTOOL_SFLAGS, now&^mask | flags}
	return e.ask(name, unsafe.Pointer(&v))
}

// leaveTags has the driver leave VLAN tags in the frames: beside them, an AF_XDP socket
// does not get them.
func (p *linuxPort) leaveTags(name string) {
	if now, err := p.tool.flags(name); err != nil || now&flagRxVLAN == 0 {
		return
	}
	if err := p.tool.setFlags(name, 0, flagRxVLAN); err == nil {
		if now, err := p.tool.flags(name); err == nil && now&flagRxVLAN == 0 {
			p.untagged = true
			return
		}
	}
	p.hints = append(p.hints, name+" takes VLAN tags out of frames and cannot be told not to: tagged frames arrive untagged (ethtool -k "+name+")")
}

// look says what is in the way of a bridge port, in the thread's network namespace.
// What cannot be found out is no reason not to open it.
func (p *linuxPort) look(ifi *net.Interface) (hints []string) {
	var ips []string
	if addrs, err := ifi.Addrs(); err == nil {
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
				ips = append(ips, ip.String())
			}
		}
	}
	if len(ips) > 0 {
		hints = append(hints, fmt.Sprintf("%s has the address %s, at which nothing arrives any more: move it to the bridge's host interface (ip address del %s dev %s)",
			ifi.Name, strings.Join(ips, ", "), ips[0], ifi.Name))
	}
	if most := p.mtu + onWire; most > largeChunk-kernelRoom {
		hints = append(hints, fmt.Sprintf("the MTU of %s is %d: frames of more than %d bytes do not fit a chunk, and are lost (ip link set %s mtu %d)",
			ifi.Name, p.mtu, largeChunk-kernelRoom, ifi.Name, largeChunk-kernelRoom-onWire))
	}
	return hints
}
