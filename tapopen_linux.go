package bridge

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const tunDevice = "/dev/net/tun"

func openTAP(cfg TAPConfig) (tapDevice, error) {
	a, err := attachTAP(&cfg)
	if err != nil {
		return nil, err
	}
	t, err := newLinuxTAP(a.fds, a.ctl, a.virtio)
	if err != nil {
		return nil, err
	}
	t.settings.found = cfg.File != nil || t.persistent()
	t.lost() // what there was before does not count
	if cfg.NoUring {
		t.noUring = errTAPNoUring
	} else {
		t.openBursts()
	}
	if err := t.configure(&cfg, a.virtio); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if cfg.File != nil {
		cfg.File.Close() // t has a duplicate; an error would change nothing for it
	}
	return t, nil
}

// tapAttached is an interface that is open.
type tapAttached struct {
	fds    []int    // non-blocking, a queue each
	ctl    *os.File // a control socket in the namespace of the interface
	virtio bool     // there is a virtio header in front of each frame
}

func (a *tapAttached) close() {
	for _, fd := range a.fds {
		unix.Close(fd)
	}
	if a.ctl != nil {
		a.ctl.Close()
	}
}

// attachTAP opens the TAP that cfg names.
func attachTAP(cfg *TAPConfig) (a *tapAttached, err error) {
	open := func() (err error) {
		a, err = openTAPHere(cfg)
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
			return nil, err
		}
		defer ns.Close()
		err = inNetns(ns, open)
	}
	return a, err
}

// openTAPHere is attachTAP in the thread's namespace.
func openTAPHere(cfg *TAPConfig) (*tapAttached, error) {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if !cfg.NoOffload {
		flags |= unix.IFF_VNET_HDR
	}
	if cfg.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	a := &tapAttached{virtio: !cfg.NoOffload}
	name := cfg.Name
	for range max(cfg.Queues, 1) {
		fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			a.close()
			return nil, tunOpenError(err)
		}
		a.fds = append(a.fds, fd)
		r := newIfreq(name)
		*r.short() = flags
		if no := ioctlIfreq(uintptr(fd), unix.TUNSETIFF, r); no != 0 {
			a.close()
			return nil, tunAttachError(no, cfg.Queues)
		}
		name = r.ifName() // as the kernel chose it, for the others
	}
	err := a.sameInterface()
	if err == nil {
		a.ctl, err = openControl()
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// sameInterface sees that nobody renamed the interface meanwhile: then a further
// queue has made another one under the old name.
func (a *tapAttached) sameInterface() error {
	var first, r ifreq
	for i, fd := range a.fds {
		no := ioctlIfreq(uintptr(fd), unix.TUNGETIFF, &r)
		if no != 0 {
			return &hintedErrno{no, "the interface was deleted while it was opened"}
		}
		if i == 0 {
			first = r
		}
		if r.name != first.name {
			return &hintedErrno{unix.EBUSY, "the interface was renamed while it was opened: try again"}
		}
	}
	return nil
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
func tunAttachError(no syscall.Errno, queues int) error {
	hint := ""
	switch {
	case no == unix.EPERM:
		hint = "creating a TAP needs CAP_NET_ADMIN (run as root, or attach to a TAP made for this user with: ip tuntap add dev NAME mode tap user USER)"
	case no == unix.EBUSY:
		hint = "it is in use by another program: end that one, or choose another name"
	case no == unix.E2BIG:
		hint = "it has no more queues: ask for fewer, or end the other programs that use it"
	case no == unix.EINVAL && queues > 1:
		hint = "an interface of this name exists and is no TAP, or was made without multi_queue: choose another name, or set Queues to 1"
	case no == unix.EINVAL:
		hint = "an interface of this name exists and is no TAP, or was made with multi_queue: choose another name, or set Queues to 2 or more"
	}
	return &hintedErrno{no, hint}
}

// adoptTAP is attachTAP for a descriptor that somebody else opened.
func adoptTAP(f *os.File) (*tapAttached, error) {
	var fd int
	err := onDescriptor(f, func(orig uintptr) syscall.Errno {
		n, err := unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0)
		fd = n
		no, _ := err.(syscall.Errno)
		return no
	})
	if err != nil {
		return nil, fmt.Errorf("the descriptor in File: %w", err)
	}
	a := &tapAttached{fds: []int{fd}}
	if a.virtio, err = checkAdopted(fd); err == nil {
		a.ctl, err = controlOf(fd)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // last, since it changes what others hold as well
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// checkAdopted tells what is wrong with a descriptor as that of a TAP, and if nothing
// is, whether it has a virtio header in front of each frame.
func checkAdopted(fd int) (virtio bool, err error) {
	var r ifreq
	switch no := ioctlIfreq(uintptr(fd), unix.TUNGETIFF, &r); no {
	case 0:
	case unix.EBADFD:
		return false, &hintedErrno{no, "File is not attached to an interface"}
	default:
		return false, &hintedErrno{unix.EINVAL, "File is no descriptor of " + tunDevice}
	}
	flags, bad := *r.short(), ""
	switch {
	case flags&unix.IFF_TAP == 0:
		bad = "it is a TUN: it has no Ethernet header (IFF_TAP is not set)"
	case flags&unix.IFF_NO_PI == 0 || hasPacketInfo(fd):
		bad = "it has packet information before each frame (IFF_NO_PI is not set)"
	case flags&unix.IFF_NAPI_FRAGS != 0:
		bad = "it takes frames in fragments (IFF_NAPI_FRAGS is set)"
	default:
		return flags&unix.IFF_VNET_HDR != 0, nil
	}
	return false, &hintedErrno{unix.EINVAL, "File is interface " + strconv.Quote(r.ifName()) + ", but " + bad}
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
func (t *linuxTAP) configure(cfg *TAPConfig, virtio bool) error {
	if virtio {
		if err := t.setHeader(); err != nil {
			return fmt.Errorf("set the form of the virtio header: %w", err)
		}
	}
	if err := t.setOffload(virtio && !cfg.NoOffload); err != nil {
		return fmt.Errorf("set the offloads: %w", err)
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
		{cfg.Persist, "make it persistent", func() error { return t.fdNumber(unix.TUNSETPERSIST, 1) }},
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

// setHeader gives the virtio header the form that readVirtio and putVirtio know,
// whichever a program that had the TAP before chose: the numbers in the machine's
// own order. A kernel that knows no other order refuses to talk about it.
func (t *linuxTAP) setHeader() error {
	for _, req := range []uint{unix.TUNSETVNETLE, unix.TUNSETVNETBE} {
		if err := t.fdPointer(req, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return t.fdPointer(unix.TUNSETVNETHDRSZ, virtioLen)
}

// setOffload tells the kernel what frames it sends may owe; without it nothing,
// whatever a program that had the TAP before promised.
func (t *linuxTAP) setOffload(on bool) error {
	if !on {
		return t.fdNumber(unix.TUNSETOFFLOAD, 0)
	}
	const tso = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	const uso = unix.TUN_F_USO4 | unix.TUN_F_USO6 // since Linux 6.2, in both directions
	err := t.fdNumber(unix.TUNSETOFFLOAD, tso|uso)
	t.carrying = tapCarrying{offload: true, uso: err == nil}
	if errors.Is(err, unix.EINVAL) {
		err = t.fdNumber(unix.TUNSETOFFLOAD, tso)
	}
	return err
}
