package bridge

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

const (
	// tapReadMax is what every read is offered: the longest frame and room for
	// tags, since a kernel cuts what does not fit and loses the rest.
	tapReadMax = MaxTAPFrame + 18

	// tapSlab holds the frames of one ReadFrames: 64 of 1500 bytes with room
	// for one of the longest behind them.
	tapSlab = 256 << 10

	// tapAlign starts every frame on a cache line.
	tapAlign = 64
)

// linuxTAP is a TAP's descriptor. Frames pass through raw system calls, which do
// not tell the Go scheduler: the descriptor never blocks, and the number of calls
// in a row is bounded by the caller's frames. The system calls are made by two
// functions that are made once and take their arguments from fields, since a
// closure made for each call would be an allocation for each.
type linuxTAP struct {
	file   *os.File
	raw    syscall.RawConn
	ctl    *os.File // a socket in the namespace of the interface
	opened string   // the name when opened
	closed atomic.Bool

	settings tapSettings

	reading struct { // the one reader's
		fn   func(fd uintptr) bool
		slab []byte
		fs   []frame.Frame
		n    int
		lent int // bytes of slab that the caller was given
		no   syscall.Errno
	}
	writing struct { // the one writer's
		fn  func(fd uintptr) bool
		fs  []frame.Frame
		n   int
		err error
		tag [frame.TagLen]byte
		iov [3]unix.Iovec
	}
}

// newLinuxTAP takes over fd, which is attached and does not block, and ctl.
func newLinuxTAP(fd int, ctl *os.File) (*linuxTAP, error) {
	t := &linuxTAP{file: os.NewFile(uintptr(fd), "TAP"), ctl: ctl}
	t.settings.init(t)
	t.reading.fn, t.writing.fn = t.drain, t.send
	t.reading.slab = make([]byte, tapSlab)
	raw, err := t.file.SyscallConn()
	if err == nil {
		// Only a descriptor that the runtime polls takes a deadline; without
		// the poller nothing would end a read that waits.
		err = t.file.SetDeadline(time.Time{})
	}
	if err != nil {
		t.close()
		return nil, err
	}
	t.raw = raw
	t.opened = t.name()
	return t, nil
}

func (t *linuxTAP) read(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	r := &t.reading
	spoilLent(r.slab[:r.lent])
	r.fs, r.n, r.lent, r.no = fs, 0, 0, 0
	err := t.raw.Read(r.fn)
	r.fs = nil
	switch {
	case t.closed.Load() && r.n == 0:
		return 0, net.ErrClosed
	case err != nil || r.no == unix.EBADFD:
		// The poller gives up a descriptor that is nothing but in error, which
		// a TAP's is from the moment its interface is being deleted.
		return 0, errTAPDeleted
	case r.no != 0:
		return 0, &hintedErrno{no: r.no}
	}
	return r.n, nil
}

// drain reads until there is nothing left, the caller's frames are set or the
// slab is full. It answers false, and so is called again when there is something,
// if it got nothing.
func (t *linuxTAP) drain(fd uintptr) bool {
	r := &t.reading
	for r.n < len(r.fs) && len(r.slab)-r.lent >= tapReadMax {
		off := r.lent
		n, no := rawRead(fd, r.slab[off:off+tapReadMax])
		switch no {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return r.n > 0
		default:
			if r.n == 0 {
				r.no = no
			}
			return true
		}
		r.fs[r.n] = frame.Frame{Data: r.slab[off : off+n : off+n]}
		r.n++
		r.lent = (off + n + tapAlign - 1) &^ (tapAlign - 1)
	}
	return true
}

func (t *linuxTAP) write(fs []frame.Frame) (int, error) {
	w := &t.writing
	w.fs, w.n, w.err = fs, 0, nil
	err := t.raw.Write(w.fn)
	w.fs, w.iov = nil, [3]unix.Iovec{}
	if t.closed.Load() && w.n < len(fs) {
		return w.n, net.ErrClosed
	}
	if err == nil {
		err = w.err
	}
	return w.n, err
}

// send writes until the caller's frames are sent or one is not taken. It never
// answers false: a writer does not wait.
func (t *linuxTAP) send(fd uintptr) bool {
	w := &t.writing
	for w.n < len(w.fs) {
		f := &w.fs[w.n]
		if w.err = tapRefusal(f); w.err != nil {
			return true
		}
		var no syscall.Errno
		if f.Plain() {
			no = rawWrite(fd, f.Data)
		} else {
			no = t.sendView(fd, f)
		}
		if no == unix.EINTR {
			continue
		}
		if w.err = tapWriteError(no); w.err != nil {
			return true
		}
		w.n++
	}
	return true
}

// sendView writes a frame whose wire form is not its Data: the addresses, the tag
// if there is one, and what is behind the tag that is left out.
func (t *linuxTAP) sendView(fd uintptr, f *frame.Frame) syscall.Errno {
	w := &t.writing
	w.iov[0].Base = &f.Data[0]
	w.iov[0].SetLen(12)
	n := 1
	if f.Tag.Present() {
		f.Tag.Put(w.tag[:])
		w.iov[n].Base = &w.tag[0]
		w.iov[n].SetLen(frame.TagLen)
		n++
	}
	rest := f.Rest() // two bytes at least, since f is well formed
	w.iov[n].Base = &rest[0]
	w.iov[n].SetLen(len(rest))
	n++
	return rawWritev(fd, w.iov[:n])
}

// tapWriteError is what WriteFrames answers for an error number (tun_get_user).
func tapWriteError(no syscall.Errno) error {
	switch no {
	case 0:
		return nil
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return ErrQueueFull
	case unix.EIO:
		return errTAPDown
	case unix.EMSGSIZE, unix.E2BIG:
		return errTAPLong
	case unix.EINVAL, unix.EFAULT:
		return errTAPKernel
	case unix.EBADFD, unix.ENODEV:
		return errTAPDeleted
	}
	return &hintedErrno{no: no}
}

var errTAPDeleted = &hintedErrno{unix.ENODEV, "the interface was deleted: close this TAP and open another"}

func (t *linuxTAP) close() error {
	if t.closed.Swap(true) {
		return nil
	}
	return errors.Join(t.settings.restore(), t.file.Close(), t.ctl.Close())
}

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

func rawRead(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, no := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), no
}

func rawWrite(fd uintptr, b []byte) syscall.Errno {
	_, _, no := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return no
}

func rawWritev(fd uintptr, iov []unix.Iovec) syscall.Errno {
	_, _, no := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return no
}
