package bridge

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

const tunDevice = "/dev/net/tun"

func openTAP(cfg TAPConfig) (tapDevice, error) {
	fd, ctl, err := attachTAP(&cfg)
	if err != nil {
		return nil, err
	}
	t, err := newLinuxTAP(fd, ctl)
	if err != nil {
		return nil, err
	}
	t.settings.found = cfg.File != nil || t.persistent()
	if err := t.configure(&cfg); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if cfg.File != nil {
		cfg.File.Close() // t has a duplicate; an error would change nothing for it
	}
	return t, nil
}

// attachTAP gives a non-blocking descriptor of the TAP that cfg names, and a
// control socket in the namespace of its interface.
func attachTAP(cfg *TAPConfig) (fd int, ctl *os.File, err error) {
	open := func() (err error) {
		fd, ctl, err = openTAPHere(cfg.Name)
		return err
	}
	switch {
	case cfg.File != nil:
		return adoptTAP(cfg.File)
	case cfg.Netns == "":
		err = open()
	default:
		var ns *os.File
		if ns, err = openNetns(cfg.Netns); err != nil {
			return -1, nil, err
		}
		defer ns.Close()
		err = inNetns(ns, open)
	}
	return fd, ctl, err
}

// openTAPHere is attachTAP in the thread's namespace.
func openTAPHere(name string) (fd int, ctl *os.File, err error) {
	fd, err = unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, tunOpenError(err)
	}
	r := newIfreq(name)
	*r.short() = unix.IFF_TAP | unix.IFF_NO_PI
	if no := ioctlIfreq(uintptr(fd), unix.TUNSETIFF, r); no != 0 {
		unix.Close(fd)
		return -1, nil, tunAttachError(no)
	}
	ctl, err = openControl()
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, ctl, nil
}

// tunOpenError adds to an error of opening /dev/net/tun what to do about it.
func tunOpenError(err error) error {
	no, _ := err.(syscall.Errno)
	switch no {
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return &hintedErrno{no, tunDevice + " is missing: modprobe tun, or give the container this device"}
	case unix.EACCES, unix.EPERM:
		return &hintedErrno{no, tunDevice + ": run as root, or give this user read and write access to it (in a container: to the device itself)"}
	}
	return fmt.Errorf("%s: %w", tunDevice, err)
}

// tunAttachError adds to an error of TUNSETIFF what to do about it.
func tunAttachError(no syscall.Errno) error {
	hint := ""
	switch no {
	case unix.EPERM:
		hint = "creating a TAP needs CAP_NET_ADMIN (run as root, or attach to a TAP made for this user with: ip tuntap add dev NAME mode tap user USER)"
	case unix.EBUSY:
		hint = "it is in use by another program: end that one, or choose another name"
	case unix.EINVAL:
		hint = "an interface of this name exists and is no TAP, or was made with multi_queue: choose another name"
	}
	return &hintedErrno{no, hint}
}

// adoptTAP is attachTAP for a descriptor that somebody else opened.
func adoptTAP(f *os.File) (fd int, ctl *os.File, err error) {
	err = onDescriptor(f, func(orig uintptr) syscall.Errno {
		n, err := unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0)
		fd = n
		no, _ := err.(syscall.Errno)
		return no
	})
	if err != nil {
		return -1, nil, fmt.Errorf("the descriptor in File: %w", err)
	}
	if err = checkAdopted(fd); err == nil {
		ctl, err = controlOf(fd)
	}
	if err == nil {
		// Last, since it changes what others hold as well.
		if err = unix.SetNonblock(fd, true); err != nil {
			ctl.Close()
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, ctl, nil
}

// checkAdopted tells what is wrong with a descriptor as that of a TAP.
func checkAdopted(fd int) error {
	var r ifreq
	switch no := ioctlIfreq(uintptr(fd), unix.TUNGETIFF, &r); no {
	case 0:
	case unix.EBADFD:
		return &hintedErrno{no, "File is not attached to an interface"}
	default:
		return &hintedErrno{unix.EINVAL, "File is no descriptor of " + tunDevice}
	}
	flags, bad := *r.short(), ""
	switch {
	case flags&unix.IFF_TAP == 0:
		bad = "it is a TUN: it has no Ethernet header (IFF_TAP is not set)"
	case flags&unix.IFF_NO_PI == 0 || hasPacketInfo(fd):
		bad = "it has packet information before each frame (IFF_NO_PI is not set)"
	case flags&unix.IFF_VNET_HDR != 0:
		bad = "it has a virtio header before each frame (IFF_VNET_HDR is set)"
	case flags&unix.IFF_NAPI_FRAGS != 0:
		bad = "it takes frames in fragments (IFF_NAPI_FRAGS is set)"
	default:
		return nil
	}
	return &hintedErrno{unix.EINVAL, "File is interface " + strconv.Quote(r.ifName()) + ", but " + bad}
}

// hasPacketInfo reports whether the TAP lacks IFF_NO_PI. TUNGETIFF shows the same
// bit for a TAP without socket filter (IFF_NOFILTER), so only with a filter does
// the bit tell; this one lets everything pass.
func hasPacketInfo(fd int) bool {
	all := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff}
	prog := unix.SockFprog{Len: 1, Filter: &all}
	var r ifreq
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNATTACHFILTER, uintptr(unsafe.Pointer(&prog))); no != 0 {
		return false
	}
	no := ioctlIfreq(uintptr(fd), unix.TUNGETIFF, &r)
	unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNDETACHFILTER, 0)
	return no == 0 && *r.short()&unix.IFF_NO_PI == 0
}

// controlOf opens a control socket in the namespace of an interface that somebody
// else opened. Asking for it needs CAP_NET_ADMIN there and entering it
// CAP_SYS_ADMIN; without them the thread's namespace is the best guess, which
// linuxTAP.device holds against the interface.
func controlOf(fd int) (ctl *os.File, err error) {
	n, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNGETDEVNETNS, 0)
	if no == 0 {
		ns := os.NewFile(n, "network namespace")
		defer ns.Close()
		err = inNetns(ns, func() (err error) {
			ctl, err = openControl()
			return err
		})
		if err == nil {
			return ctl, nil
		}
	}
	return openControl()
}

// configure sets what cfg asks for, making the TAP outlive its descriptor last,
// so that a failure leaves no new TAP behind.
func (t *linuxTAP) configure(cfg *TAPConfig) error {
	// A program that had the TAP before may have promised the kernel to finish
	// checksums and segments, which this one cannot.
	if err := t.fdRequest(unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("turn offloads off: %w", err)
	}
	steps := []struct {
		wanted bool
		what   string
		do     func() error
	}{
		{!cfg.Address.IsZero(), "set the address", func() error { return t.setAddress(cfg.Address) }},
		{cfg.MTU != 0, "set the MTU", func() error { return t.setMTU(cfg.MTU) }},
		{cfg.QueueLen != 0, "set the queue length", func() error { return t.settings.queueLen.set(cfg.QueueLen) }},
		{cfg.Up, "bring it up", func() error { return t.setUp(true) }},
		{cfg.Persist, "make it persistent", func() error { return t.fdRequest(unix.TUNSETPERSIST, 1) }},
	}
	for _, s := range steps {
		if !s.wanted {
			continue
		}
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// fdRequest makes a request of the descriptor whose argument is a number.
func (t *linuxTAP) fdRequest(req, arg uintptr) error {
	return t.on(t.file, func(fd uintptr) syscall.Errno {
		_, _, no := unix.Syscall(unix.SYS_IOCTL, fd, req, arg)
		return no
	})
}

// onFile makes a request of the descriptor whose argument is an ifreq.
func (t *linuxTAP) onFile(req uint, r *ifreq) error {
	return t.on(t.file, func(fd uintptr) syscall.Errno { return ioctlIfreq(fd, req, r) })
}

// onControl makes a request of the control socket; r names the interface.
func (t *linuxTAP) onControl(req uint, r *ifreq) error {
	return t.on(t.ctl, func(fd uintptr) syscall.Errno { return ioctlIfreq(fd, req, r) })
}

// device gives an ifreq that names the interface for the control socket. Another
// interface may have its name there if it has left the namespace, so the address
// there has to be the one that the descriptor tells.
func (t *linuxTAP) device() (*ifreq, error) {
	var now ifreq
	if err := t.onFile(unix.TUNGETIFF, &now); err != nil {
		return nil, err
	}
	want, err := t.address()
	if err != nil {
		return nil, err
	}
	there := newIfreq(now.ifName())
	if err := t.onControl(unix.SIOCGIFHWADDR, there); err != nil {
		return nil, err
	}
	if there.mac() != want {
		return nil, &hintedErrno{unix.ENODEV, "the interface is in another network namespace"}
	}
	return newIfreq(now.ifName()), nil
}

// persistent reports whether the interface outlives its descriptor. A new one
// does not.
func (t *linuxTAP) persistent() bool {
	var r ifreq
	return t.onFile(unix.TUNGETIFF, &r) == nil && *r.short()&unix.IFF_PERSIST != 0
}

func (t *linuxTAP) name() string {
	var r ifreq
	if t.onFile(unix.TUNGETIFF, &r) != nil {
		return t.opened
	}
	return r.ifName()
}

func (t *linuxTAP) address() (frame.MAC, error) {
	var r ifreq
	err := t.onFile(unix.SIOCGIFHWADDR, &r)
	return r.mac(), err
}
