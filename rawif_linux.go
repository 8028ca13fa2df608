package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// on runs fn on a socket in the namespace of the interface.
func (t *linuxRaw) on(fn func(fd uintptr) syscall.Errno) error {
	err := onDescriptor(t.qs[0].send, fn)
	var no syscall.Errno
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &no) && t.closed.Load():
		return net.ErrClosed // of the kernel's own answers none says so
	case errors.Is(err, unix.EPERM):
		return &hintedErrno{unix.EPERM, "changing an interface needs CAP_NET_ADMIN (run as root)"}
	}
	return err
}

// rawIfreq names, for an ioctl, the interface to which the socket is bound. The
// kernel ends that bond when the interface is deleted or leaves the namespace.
func rawIfreq(fd uintptr) (r *ifreq, no syscall.Errno) {
	a, err := unix.Getsockname(int(fd))
	if err != nil {
		no, _ = err.(syscall.Errno)
		return nil, no
	}
	ll, ok := a.(*unix.SockaddrLinklayer)
	if !ok || ll.Ifindex <= 0 {
		return nil, unix.ENODEV
	}
	r = new(ifreq)
	*r.long() = int32(ll.Ifindex)
	return r, ioctlIfreq(fd, unix.SIOCGIFNAME, r)
}

// rawGet makes a request whose answer is an ifreq. Should the interface have another
// name than a moment ago, it is made again. One that is being renamed is known by no
// name for a grace period of RCU (dev_change_name), which may take a while; one that is
// gone has no name at all.
func rawGet(fd uintptr, req uint) (r *ifreq, no syscall.Errno) {
	for pause := 100 * time.Microsecond; ; pause *= 2 {
		if r, no = rawIfreq(fd); no != 0 {
			return nil, no
		}
		if no = ioctlIfreq(fd, req, r); no != unix.ENODEV || pause > 200*time.Millisecond {
			return r, no
		}
		time.Sleep(pause)
	}
}

// rawState says why nothing can come: the interface is down or gone; nil if it is
// up.
func rawState(fd uintptr) error {
	r, no := rawGet(fd, unix.SIOCGIFFLAGS)
	switch {
	case no == unix.ENODEV:
		return errRawGone
	case no != 0:
		return &hintedErrno{no: no}
	case *r.short()&unix.IFF_UP == 0:
		return errLinkDown
	}
	return nil
}

// get makes a request whose answer is an ifreq.
func (t *linuxRaw) get(req uint) (r *ifreq, err error) {
	err = t.on(func(fd uintptr) (no syscall.Errno) {
		r, no = rawGet(fd, req)
		return no
	})
	if errors.Is(err, unix.ENODEV) {
		return nil, errRawGone
	}
	return r, err
}

func (t *linuxRaw) name() string {
	name := t.opened
	_ = t.on(func(fd uintptr) syscall.Errno {
		r, no := rawIfreq(fd)
		if no == 0 {
			name = r.ifName()
		}
		return no
	})
	return name
}

func (t *linuxRaw) address() (frame.MAC, error) {
	r, err := t.get(unix.SIOCGIFHWADDR)
	if err != nil {
		return frame.MAC{}, err
	}
	return r.mac(), nil
}

func (t *linuxRaw) mtu() (int, error) {
	r, err := t.get(unix.SIOCGIFMTU)
	if err != nil {
		return 0, err
	}
	return int(*r.long()), nil
}

func (t *linuxRaw) link() (up, carrier bool, err error) {
	r, err := t.get(unix.SIOCGIFFLAGS)
	if err == nil {
		err = t.on(func(fd uintptr) syscall.Errno {
			up, carrier = r.link(fd)
			return 0
		})
	}
	return up, carrier, err
}

func (t *linuxRaw) queues() (qs []netEnd) {
	for _, q := range t.qs {
		qs = append(qs, q)
	}
	return qs
}

func (t *linuxRaw) lost() (n uint64) {
	for _, q := range t.qs {
		q.countLost()
		n += q.lost.Load()
	}
	return n
}

func (t *linuxRaw) warnings() []string { return t.hints }

// uso: Linux 6.2 has VIRTIO_NET_HDR_GSO_UDP_L4.
func (t *linuxRaw) uso() bool { return kernelIs(6, 2) }

// kernelIs reports whether the running kernel is of the given release or newer.
func kernelIs(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var x, y int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &x, &y)
	return err == nil && (x > major || x == major && y >= minor)
}

// rawWarnings looks in the thread's namespace at what else uses an interface. What
// cannot be found out is no reason not to open it.
func rawWarnings(name string, index int) (hints []string) {
	ifi, err := net.InterfaceByIndex(index)
	if err != nil {
		return nil
	}
	var ips []string
	if addrs, err := ifi.Addrs(); err == nil {
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
				ips = append(ips, ip.String())
			}
		}
	}
	if len(ips) > 0 {
		hints = append(hints, fmt.Sprintf("%s has the address %s, so the host answers there beside the bridge: move it to the bridge's host interface (ip address del %s dev %s)",
			name, strings.Join(ips, ", "), ips[0], name))
	}
	if index := masterOf(index); index != 0 {
		master := fmt.Sprintf("interface %d", index)
		if m, err := net.InterfaceByIndex(index); err == nil {
			master = m.Name
		}
		hints = append(hints, fmt.Sprintf("%s is a port of %s, which gets every frame too: take it out (ip link set %s nomaster)", name, master, name))
	}
	return hints
}

// masterOf gives the index of the bridge, bond or the like whose port an interface
// is; 0: of none, or it cannot be found out.
func masterOf(index int) int {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return 0
	}
	msgs, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return 0
	}
	for i := range msgs {
		m := &msgs[i]
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
			continue
		}
		if int(int32(binary.NativeEndian.Uint32(m.Data[4:]))) != index { // ifi_index
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return 0
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.IFLA_MASTER && len(a.Value) == 4 {
				return int(binary.NativeEndian.Uint32(a.Value))
			}
		}
	}
	return 0
}
