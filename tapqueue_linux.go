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
	// tapReadMax is the room that every read has for a frame, since a kernel cuts
	// what does not fit and loses the rest. Linux at most sends the longest MTU
	// with its header and the tags of eight VLAN devices, one above the other
	// (MAX_NEST_DEV), and one more: 65571.
	tapReadMax = MaxTAPFrame + 18

	// tapSlab holds the frames of one ReadFrames: 64 of 1500 bytes with room
	// for one of the longest behind them.
	tapSlab = 256 << 10

	// tapShort is the longest frame that is copied, to be written in one piece with
	// what stands in front of it: a second piece costs the kernel more than the copy.
	tapShort = 2048

	// tapAlign starts the Data of every frame on a cache line.
	tapAlign = 64
)

// tapQueue is one descriptor of a TAP. Frames pass through raw system calls, which
// do not tell the Go scheduler: the descriptor never blocks, and the number of calls
// in a row is bounded by the caller's frames. The system calls are made by two
// functions that are made once and take their arguments from fields, since a
// closure made for each call would be an allocation for each.
type tapQueue struct {
	tap    *linuxTAP
	file   *os.File
	raw    syscall.RawConn
	ahead  int // bytes in front of each frame: virtioLen or 0
	closed atomic.Bool
	link   tapLink
	burst  tapBurst

	unreadable atomic.Uint64 // frames that the kernel could not hand over

	reading struct { // the one reader's
		fn   func(fd uintptr) bool
		slab []byte
		fs   []frame.Frame
		n    int
		lent int // bytes of slab that the caller was given
		no   syscall.Errno
	}
	writing struct { // the one writer's
		fn   func(fd uintptr) bool
		fs   []frame.Frame
		n    int
		err  error
		down bool            // a write has met the interface down
		none [virtioLen]byte // always zero: what a complete frame owes
		owed [virtioLen]byte
		tag  [frame.TagLen]byte
		iov  [4]unix.Iovec

		short [virtioLen + tapShort]byte // what is written together
	}
}

// newTAPQueue takes over fd, also when it fails: it is closed with its TAP.
func newTAPQueue(t *linuxTAP, fd int, virtio bool) (*tapQueue, error) {
	q := &tapQueue{tap: t, file: os.NewFile(uintptr(fd), "TAP")}
	if virtio {
		q.ahead = virtioLen
	}
	q.reading.fn, q.writing.fn, q.link.fn = q.drain, q.send, q.link.look
	q.reading.slab = make([]byte, tapSlab)
	raw, err := q.file.SyscallConn()
	if err != nil {
		return q, err
	}
	q.raw = raw
	// Only a descriptor that the runtime polls takes a deadline; without the
	// poller nothing would end a read that waits.
	return q, q.file.SetDeadline(time.Time{})
}

func (q *tapQueue) close() error {
	if q.closed.Swap(true) {
		return nil
	}
	return q.shut()
}

// shut closes what the queue has open.
func (q *tapQueue) shut() error {
	err := q.file.Close()
	q.burst.close()
	return err
}

func (q *tapQueue) read(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	r := &q.reading
	spoilLent(r.slab[:r.lent])
	r.fs, r.n, r.lent, r.no = fs, 0, 0, 0
	err := q.receive()
	r.fs = nil
	switch {
	case q.closed.Load() && r.n == 0:
		return 0, net.ErrClosed
	case err == errLinkDown:
		return 0, err
	case err != nil || r.no == unix.EBADFD:
		// The poller gives up a descriptor that is nothing but in error, which
		// a TAP's is from the moment its interface is being deleted.
		return 0, errTAPDeleted
	case r.no != 0:
		return 0, &hintedErrno{no: r.no}
	}
	return r.n, nil
}

// receive waits until there is something to tell.
func (q *tapQueue) receive() error {
	r := &q.reading
	for {
		if q.link.down.Load() && q.link.stillDown(q) {
			return errLinkDown
		}
		err := q.raw.Read(r.fn)
		switch {
		case err == nil && r.n == 0 && r.no == 0: // nothing that could be read
		case err != nil && errors.Is(err, os.ErrDeadlineExceeded): // wentDown
		default:
			return err
		}
	}
}

// drain reads until there is nothing left, the caller's frames are set or the
// slab is full. It answers false, and so is called again when there is something,
// if there was nothing.
func (q *tapQueue) drain(fd uintptr) bool {
	r := &q.reading
	for range r.fs {
		at := (r.lent + q.ahead + tapAlign - 1) &^ (tapAlign - 1) // where Data begins
		if len(r.slab)-at < tapReadMax {
			return true
		}
		n, no := rawRead(fd, r.slab[at-q.ahead:at+tapReadMax])
		switch {
		case no == 0 && n >= q.ahead:
			q.take(at, n-q.ahead)
		case no == unix.EINTR:
		case no == unix.EAGAIN:
			return r.n > 0
		case no == unix.EINVAL && q.ahead > 0:
			q.unreadable.Add(1) // the header has no words for what it owes, or no room (tun_put_user)
		default:
			if r.n == 0 {
				r.no = no
			}
			return true
		}
	}
	return true
}

// take gives the caller the n bytes of slab from at on, which may owe what the bytes
// before them say.
func (q *tapQueue) take(at, n int) {
	r := &q.reading
	end := at + n
	r.fs[r.n] = frame.Frame{Data: r.slab[at:end:end]}
	if q.ahead > 0 {
		r.fs[r.n].Owed = readVirtio(r.slab[at-virtioLen : at])
	}
	r.n++
	r.lent = end
}

func (q *tapQueue) write(fs []frame.Frame) (int, error) {
	w := &q.writing
	w.fs, w.n, w.err, w.down = fs, 0, nil, false
	err := q.raw.Write(w.fn)
	w.fs, w.iov = nil, [4]unix.Iovec{}
	_, told := w.err.(*BatchError)
	if q.closed.Load() && w.n < len(fs) && !told {
		return w.n, net.ErrClosed
	}
	if err == nil {
		err = w.err
	}
	if w.down {
		q.tap.wentDown()
	}
	return w.n, err
}

// send writes until the caller's frames are sent or one is not taken. It never
// answers false: a writer does not wait.
func (q *tapQueue) send(fd uintptr) bool {
	w := &q.writing
	for w.n < len(w.fs) && w.err == nil {
		if !q.sendBurst(fd) {
			q.sendOne(fd)
		}
	}
	return true
}

// sendOne writes the next frame with a system call of its own.
func (q *tapQueue) sendOne(fd uintptr) {
	w := &q.writing
	f := &w.fs[w.n]
	if w.err = tapRefusal(f, q.tap.carrying.offload); w.err != nil {
		return
	}
	no := unix.EINTR
	for no == unix.EINTR {
		switch {
		case q.bare(f):
			no = rawWrite(fd, f.Data)
		case f.WireLen() <= tapShort:
			no = rawWrite(fd, q.together(w.short[:0], f))
		default:
			no = rawWritev(fd, q.gather(f))
		}
	}
	if w.err = tapWriteError(no, f); w.err == nil {
		w.n++
	}
	w.down = no == unix.EIO
}

// header gives what stands in front of f's wire form: what f owes, if that is told at
// all.
func (q *tapQueue) header(f *frame.Frame) []byte {
	w := &q.writing
	if f.Owed.None() {
		return w.none[:q.ahead]
	}
	putVirtio(w.owed[:], f.OwedOnWire())
	return w.owed[:q.ahead]
}

// together appends to b what is written for f in one piece.
func (q *tapQueue) together(b []byte, f *frame.Frame) []byte {
	return f.AppendWire(append(b, q.header(f)...))
}

// gather gives the pieces of what is written for f: its header, if there is one, and
// its wire form: Data as it stands, or the addresses, the tag if there is one, and
// what is behind the tag that is left out.
func (q *tapQueue) gather(f *frame.Frame) []unix.Iovec {
	w := &q.writing
	n := 0
	if q.ahead > 0 {
		n = putIovec(&w.iov, n, q.header(f))
	}
	if f.Plain() {
		return w.iov[:putIovec(&w.iov, n, f.Data)]
	}
	n = putIovec(&w.iov, n, f.Data[:12])
	if f.Tag.Present() {
		f.Tag.Put(w.tag[:])
		n = putIovec(&w.iov, n, w.tag[:])
	}
	return w.iov[:putIovec(&w.iov, n, f.Rest())] // Rest has two bytes at least, since f is well formed
}

// putIovec makes b, which is not empty, the piece n, and gives the number of the next.
func putIovec(iov *[4]unix.Iovec, n int, b []byte) int {
	iov[n].Base = &b[0]
	iov[n].SetLen(len(b))
	return n + 1
}

// tapWriteError is what WriteFrames answers for the error number that f met
// (tun_get_user).
func tapWriteError(no syscall.Errno, f *frame.Frame) error {
	switch no {
	case 0:
		return nil
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.EINTR, unix.ECANCELED: // the last two in a burst alone
		return ErrQueueFull
	case unix.EIO:
		return errLinkDown
	case unix.EMSGSIZE, unix.E2BIG:
		return errTAPLong
	case unix.EINVAL, unix.EFAULT:
		if f.Owes() {
			return errTAPOwed
		}
		return errTAPKernel
	case unix.EBADFD, unix.ENODEV:
		return errTAPDeleted
	}
	return &hintedErrno{no: no}
}

var errTAPDeleted = &hintedErrno{unix.ENODEV, "the interface was deleted: close this TAP and open another"}

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
