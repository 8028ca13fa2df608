package bridge

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// hintedErrno is an error number of Linux's with what to do about it. errors.Is
// matches the syscall.Errno, the Errno of the same name, and what the former
// matches: fs.ErrPermission, fs.ErrNotExist and others.
type hintedErrno struct {
	no   syscall.Errno
	hint string
}

func (e *hintedErrno) Error() string {
	if e.hint == "" {
		return e.no.Error()
	}
	return e.no.Error() + ": " + e.hint
}

func (e *hintedErrno) Is(target error) bool {
	t, ok := target.(Errno)
	return ok && t.isSyscall(e.no)
}

func (e *hintedErrno) Unwrap() error { return e.no }

// ifreq is Linux's struct ifreq: a name and a union, 40 bytes where pointers have
// eight and 32 where they have four; the kernel uses as much as it needs.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

func newIfreq(name string) *ifreq {
	var r ifreq
	copy(r.name[:len(r.name)-1], name)
	return &r
}

func (r *ifreq) ifName() string { return unix.ByteSliceToString(r.name[:]) }

// short and long are the union's ifr_flags and its ifr_mtu, ifr_qlen.
func (r *ifreq) short() *uint16 { return (*uint16)(unsafe.Pointer(&r.data)) }
func (r *ifreq) long() *int32   { return (*int32)(unsafe.Pointer(&r.data)) }

// mac is the address in the union's ifr_hwaddr, a struct sockaddr: two bytes of
// family, then data.
func (r *ifreq) mac() frame.MAC { return frame.MAC(r.data[2:8]) }

func (r *ifreq) putMAC(a frame.MAC) {
	*r.short() = unix.ARPHRD_ETHER
	copy(r.data[2:8], a[:])
}

// ioctlIfreq makes a request whose argument is an ifreq; 0 is success.
func ioctlIfreq(fd uintptr, req uint, r *ifreq) syscall.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(req), uintptr(unsafe.Pointer(r)))
	return errno
}

// ethtoolRequest is a struct ifreq whose union is a pointer, to a struct
// ethtool_value.
type ethtoolRequest struct {
	name  [unix.IFNAMSIZ]byte
	value *ethtoolValue
	_     [16]byte
}

type ethtoolValue struct{ cmd, data uint32 }

// carrier reports whether the interface that r holds the flags of has a carrier, as
// its driver says now (ETHTOOL_GLINK). The flag IFF_RUNNING, which answers for a
// driver that does not say, may follow a second later.
func (r *ifreq) carrier(fd uintptr) bool {
	v := &ethtoolValue{cmd: unix.ETHTOOL_GLINK}
	e := ethtoolRequest{name: r.name, value: v}
	_, _, no := unix.Syscall(unix.SYS_IOCTL, fd, unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&e)))
	if no != 0 {
		return *r.short()&unix.IFF_RUNNING != 0
	}
	return v.data != 0
}

// link tells from the flags that r holds whether the interface is up, and whether it
// also has a carrier. fd is a control socket.
func (r *ifreq) link(fd uintptr) (up, carrier bool) {
	up = *r.short()&unix.IFF_UP != 0
	return up, up && r.carrier(fd)
}

// openControl opens a socket in the thread's network namespace for ioctl on
// interfaces of that namespace, which any socket takes, and for rtnetlink
// (linkStats).
func openControl() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "interface control"), nil
}

// onDescriptor runs fn on the descriptor of f, which stays open meanwhile.
func onDescriptor(f *os.File, fn func(fd uintptr) syscall.Errno) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	if err := rc.Control(func(fd uintptr) { errno = fn(fd) }); err != nil {
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}
