package bridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// linuxTAP is an interface and the descriptors of it that are open here.
type linuxTAP struct {
	queues   []*tapQueue // the first is the TAP's own; all have the same carrying
	carrying tapCarrying
	ctl      *os.File // a socket in the namespace of the interface
	opened   string   // the name when opened
	noUring  error    // why not every queue writes many frames with one system call
	closed   atomic.Bool
	settings tapSettings

	losses struct { // what the interface dropped
		sync.Mutex
		known bool   // base is
		base  uint64 // before the TAP was opened
		since uint64 // after that, when it could be looked up last
	}
}

// newLinuxTAP takes over fds, which are attached and do not block, and ctl.
func newLinuxTAP(fds []int, ctl *os.File, virtio bool) (*linuxTAP, error) {
	t := &linuxTAP{ctl: ctl}
	t.settings.init(t)
	var err error
	for _, fd := range fds {
		q, bad := newTAPQueue(t, fd, virtio)
		t.queues = append(t.queues, q)
		err = errors.Join(err, bad)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	t.opened = t.name()
	return t, nil
}

func (t *linuxTAP) ends() []netEnd {
	ends := make([]netEnd, 0, len(t.queues))
	for _, q := range t.queues {
		ends = append(ends, q)
	}
	return ends
}

func (t *linuxTAP) carries() tapCarrying { return t.carrying }

// openBursts has each queue write many frames with one system call, if it can.
func (t *linuxTAP) openBursts() {
	for _, q := range t.queues {
		if t.noUring = q.openBurst(); t.noUring != nil {
			return // nor will the others
		}
	}
}

func (t *linuxTAP) uring() error { return t.noUring }

func (t *linuxTAP) close() error {
	if t.closed.Swap(true) {
		return nil
	}
	var open []*tapQueue
	for _, q := range t.queues {
		if !q.closed.Swap(true) { // not closed on its own before
			open = append(open, q)
		}
	}
	err := t.settings.restore()
	for _, q := range open {
		err = errors.Join(err, q.shut())
	}
	return errors.Join(err, t.ctl.Close())
}

// wentDown has every reader look whether the interface is up.
func (t *linuxTAP) wentDown() {
	for _, q := range t.queues {
		q.link.wentDown(q)
	}
}

// lost is what was dropped since the TAP was opened. Of an interface that is gone,
// or out of reach, it is what was known last.
func (t *linuxTAP) lost() uint64 {
	l := &t.losses
	l.Lock()
	defer l.Unlock()
	now, err := t.txDropped()
	switch {
	case err != nil:
	case !l.known:
		l.known, l.base = true, now
	default:
		l.since = max(l.since, now-min(now, l.base))
	}
	sum := l.since
	for _, q := range t.queues {
		sum += q.unreadable.Load()
	}
	return sum
}

// txDropped is what the kernel did not put in a queue of the interface since it was
// made (tun_net_xmit).
func (t *linuxTAP) txDropped() (uint64, error) {
	r, err := t.device()
	if err == nil {
		err = t.onControl(unix.SIOCGIFINDEX, r)
	}
	if err != nil {
		return 0, err
	}
	_, dropped, err := linkStats(t.ctl, int(*r.long()))
	return dropped, err
}

// file is the first queue's, for requests that concern the interface.
func (t *linuxTAP) file() *os.File { return t.queues[0].file }

// on runs fn on the descriptor of f, which is t's file or its control socket.
func (t *linuxTAP) on(f *os.File, fn func(fd uintptr) syscall.Errno) error {
	err := onDescriptor(f, fn)
	var no syscall.Errno
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &no) && t.closed.Load():
		return net.ErrClosed // of the kernel's own answers none says so
	case errors.Is(err, unix.EBADFD), errors.Is(err, unix.ENODEV):
		return &hintedErrno{unix.ENODEV, "the interface was deleted or has left its network namespace: close this TAP and open another"}
	case errors.Is(err, unix.EPERM):
		return &hintedErrno{unix.EPERM, "changing an interface needs CAP_NET_ADMIN (run as root)"}
	}
	return err
}

// fdNumber makes a request of the descriptor whose argument is a number.
func (t *linuxTAP) fdNumber(req, arg uintptr) error {
	return t.on(t.file(), func(fd uintptr) syscall.Errno {
		_, _, no := unix.Syscall(unix.SYS_IOCTL, fd, req, arg)
		return no
	})
}

// fdPointer makes a request of the descriptor whose argument points to a number.
func (t *linuxTAP) fdPointer(req uint, arg int) error {
	return t.on(t.file(), func(fd uintptr) syscall.Errno {
		no, _ := unix.IoctlSetPointerInt(int(fd), req, arg).(syscall.Errno)
		return no
	})
}

// onFile makes a request of the descriptor whose argument is an ifreq.
func (t *linuxTAP) onFile(req uint, r *ifreq) error {
	return t.on(t.file(), func(fd uintptr) syscall.Errno { return ioctlIfreq(fd, req, r) })
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
