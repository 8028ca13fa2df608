package bridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

const (
	// rawLongs is how many frames longer than a slot of the ring are given at a time,
	// and read by one system call. Each has room for the longest, since the kernel does
	// not tell a length before it has cut a frame.
	rawLongs = 6

	// rawHead is where the frame begins in its room, on a cache line; the header
	// that says what it owes ends there.
	rawHead = 64

	// rawRoom is the room for a frame. A longer one is cut by the kernel, which
	// says so.
	rawRoom = (rawHead + MaxRawFrame + 63) &^ 63

	// rawBatch is how many frames one system call sends.
	rawBatch = 64

	// rawFront is the longest that stands in front of a frame's bytes: what it
	// owes, both addresses, a tag.
	rawFront = virtioLen + 12 + frame.TagLen
)

const _ = uint(512<<10 - rawLongs*rawRoom) // else this does not build

// linuxRawQueue is a queue of a raw socket. It has two sockets. The one for
// reading has a ring, and is watched by the runtime's poller. The one for writing has no protocol,
// so that the kernel hands it no frame and none of the errors that a reader has to
// know of, and it is not polled, so that a frame that has been sent wakes nobody.
//
// Frames pass through system calls that are made by two functions, which are made
// once and take their arguments from fields: a closure made for each call would be
// an allocation for each.
type linuxRawQueue struct {
	recv, send       *os.File
	rawRecv, rawSend syscall.RawConn
	closed           atomic.Bool
	lost             atomic.Uint64

	reading struct { // the one reader's
		mu     sync.Mutex // held while it reads; close waits for that before it looks whether anything is lent
		fn     func(fd uintptr) bool
		ring   rawRing
		slab   []byte // for frames that are longer than a slot
		msgs   [rawLongs]unix.Mmsghdr
		iov    [rawLongs]unix.Iovec
		longs  int  // rooms in slab that the caller was given, or that were filled for it
		ownToo bool // the kernel also gives what the host sends
		unsure bool // the interface may be down, or gone
		fs     []frame.Frame
		n      int
		err    error
		no     int32  // where the kernel puts the socket's error number
		noLen  uint32 // and how long it is
	}
	writing struct { // the one writer's
		fn    func(fd uintptr) bool
		fs    []frame.Frame
		n     int
		err   error
		msgs  [rawBatch]unix.Mmsghdr
		iov   [2 * rawBatch]unix.Iovec
		front [rawBatch][rawFront]byte
	}
}

// newLinuxRawQueue takes over the two descriptors; that for reading does not
// block, and has no ring yet.
func newLinuxRawQueue(recv, send int) (*linuxRawQueue, error) {
	q := &linuxRawQueue{recv: os.NewFile(uintptr(recv), "packet socket"), send: os.NewFile(uintptr(send), "packet socket")}
	r, w := &q.reading, &q.writing
	r.fn, w.fn = q.drain, q.sendAll
	r.slab, r.unsure = make([]byte, rawLongs*rawRoom), true
	for i := range r.msgs {
		r.iov[i].Base = &r.slab[i*rawRoom+rawHead-virtioLen]
		r.iov[i].SetLen(rawRoom - (rawHead - virtioLen))
		r.msgs[i].Hdr.Iov = &r.iov[i]
		r.msgs[i].Hdr.SetIovlen(1)
	}
	for i := range w.msgs {
		w.msgs[i].Hdr.Iov = &w.iov[2*i]
		w.msgs[i].Hdr.SetIovlen(2)
	}
	var err error
	if q.rawRecv, err = q.recv.SyscallConn(); err == nil {
		q.rawSend, err = q.send.SyscallConn()
	}
	if err == nil {
		// Only a descriptor that the runtime polls takes a deadline; without
		// the poller nothing would end a read that waits.
		err = q.recv.SetDeadline(time.Time{})
	}
	if err != nil {
		q.recv.Close()
		q.send.Close()
		return nil, err
	}
	return q, nil
}

func (q *linuxRawQueue) read(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	r := &q.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	q.endLoan()
	r.fs, r.n, r.err = fs, 0, nil
	err := q.rawRecv.Read(r.fn)
	r.fs = nil
	switch {
	case q.closed.Load() && r.n == 0:
		r.ring.unmap()
		return 0, net.ErrClosed
	case err == nil:
		err = r.err
	}
	return r.n, err
}

// endLoan takes the memory back that the last read lent.
func (q *linuxRawQueue) endLoan() {
	r := &q.reading
	for i := range r.longs {
		spoilLent(r.slab[i*rawRoom+rawHead:][:max(int(r.msgs[i].Len)-virtioLen, 0)])
	}
	r.longs = 0
	r.ring.giveBack()
}

// drain takes the frames that are there. It answers false, and so is called again
// when there is something, if there are none and the interface is up.
func (q *linuxRawQueue) drain(fd uintptr) bool {
	r := &q.reading
	for !q.closed.Load() {
		if q.take(fd); r.n > 0 {
			return true
		}
		if r.ring.lent > 0 {
			q.endLoan() // none of these could be given, and there may be more behind them
			continue
		}
		switch no := q.socketError(fd); no {
		case 0:
		case unix.ENETDOWN:
			r.unsure = true // it was down, but may be up again
		default:
			r.err = &hintedErrno{no: no}
			return true
		}
		if !r.unsure {
			return false
		}
		// What happens to the interface from here on, the kernel says.
		if r.err = rawState(fd); r.err != nil {
			return true
		}
		r.unsure = false
		return false
	}
	return true
}

// socketError gives the number of the error that the kernel has kept for the socket,
// which it then forgets.
func (q *linuxRawQueue) socketError(fd uintptr) syscall.Errno {
	r := &q.reading
	r.no, r.noLen = 0, uint32(unsafe.Sizeof(r.no))
	_, _, no := unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&r.no)), uintptr(unsafe.Pointer(&r.noLen)), 0)
	if no != 0 {
		return no
	}
	return syscall.Errno(r.no)
}

// take sets the caller's frames from the ring, as far as there are any, and room for
// long ones.
func (q *linuxRawQueue) take(fd uintptr) {
	r := &q.reading
	for r.n < len(r.fs) {
		s := r.ring.slot(0)
		switch {
		case s == nil:
			return
		case s.elsewhere():
			if r.longs == rawLongs {
				return
			}
			q.takeLong(fd)
			continue
		case !s.whole():
			q.lost.Add(1) // the socket's queue had no room for it
		default:
			q.give(s, s.data(), s.owed())
		}
		r.ring.advance(1)
	}
}

// give sets the caller's next frame, unless it is one that the host sent. s says what
// it is, b are its bytes.
func (q *linuxRawQueue) give(s *rawSlot, b []byte, owed frame.Offload) {
	r := &q.reading
	if r.ownToo && s.outgoing() {
		return
	}
	f := &r.fs[r.n]
	*f = frame.Frame{Data: b, Tag: s.tag(), Owed: owed}
	if f.WellFormed() {
		f.OweChecksum() // what the network card joined (LRO); the memory is ours to write to
	}
	r.n++
}

// takeLong takes frames from the socket's queue, with one system call: the next, and
// those of the slots behind its own that are there as well. No more than rawLongs are
// copied, so the scheduler is not told.
func (q *linuxRawQueue) takeLong(fd uintptr) {
	r := &q.reading
	want := 1
	for want < min(rawLongs-r.longs, len(r.fs)-r.n) {
		if s := r.ring.slot(want); s == nil || !s.elsewhere() {
			break
		}
		want++
	}
	for i := range want {
		r.msgs[r.longs+i].Hdr.Flags = 0
	}
	n, _, no := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[r.longs])), uintptr(want), unix.MSG_DONTWAIT, 0, 0)
	if no == unix.EINTR {
		return
	}
	if no != 0 || n == 0 {
		q.lost.Add(1) // the kernel could not hand it over
		r.ring.advance(1)
		return
	}
	for range n {
		m, at := &r.msgs[r.longs], r.longs*rawRoom+rawHead
		length := int(m.Len) - virtioLen
		if m.Hdr.Flags&unix.MSG_TRUNC != 0 || length < 0 {
			q.lost.Add(1)
		} else {
			q.give(r.ring.slot(0), r.slab[at:at+length:at+length], readVirtio(r.slab[at-virtioLen:at]))
		}
		r.longs++
		r.ring.advance(1)
	}
}

func (q *linuxRawQueue) write(fs []frame.Frame) (int, error) {
	w := &q.writing
	w.fs, w.n, w.err = fs, 0, nil
	err := q.rawSend.Write(w.fn)
	w.fs = nil
	for i := range min(len(fs), rawBatch) {
		w.iov[2*i].Base, w.iov[2*i+1].Base = nil, nil // no hold on the memory of others
	}
	if q.closed.Load() && w.n < len(fs) {
		return w.n, net.ErrClosed
	}
	if err == nil {
		err = w.err
	}
	return w.n, err
}

// sendAll writes until the caller's frames are sent or one is not taken. It never
// answers false: a writer does not wait.
func (q *linuxRawQueue) sendAll(fd uintptr) bool {
	w := &q.writing
	for w.n < len(w.fs) && w.err == nil {
		k, refusal := q.load(w.fs[w.n:])
		for at := 0; at < k && w.err == nil; {
			// After frames that were sent, the kernel tells only when asked
			// again why it stopped at the next.
			n, _, no := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.msgs[at])), uintptr(k-at), unix.MSG_DONTWAIT, 0, 0)
			switch no {
			case 0:
				at += int(n)
				w.n += int(n)
			case unix.EINTR:
			default:
				w.err = rawSendError(no, &w.fs[w.n])
			}
		}
		if w.err == nil {
			w.err = refusal
		}
	}
	return true
}

// load prepares the messages of the first k of fs, as many as there is room for,
// up to one that is refused. Each is put together of two pieces: what stands in
// front, and bytes of the frame's own.
func (q *linuxRawQueue) load(fs []frame.Frame) (k int, refusal error) {
	w := &q.writing
	for k < min(len(fs), rawBatch) {
		f := &fs[k]
		if refusal = rawRefusal(f); refusal != nil {
			return k, refusal
		}
		front, rest := w.front[k][:virtioLen], f.Data
		if f.Owed.None() {
			clear(front)
		} else {
			putVirtio(front, f.OwedOnWire())
		}
		if !f.Plain() {
			front, rest = append(front, f.Data[:12]...), f.Rest()
			if f.Tag.Present() {
				front = front[:len(front)+frame.TagLen]
				f.Tag.Put(front[len(front)-frame.TagLen:])
			}
		}
		w.iov[2*k].Base, w.iov[2*k+1].Base = &front[0], &rest[0]
		w.iov[2*k].SetLen(len(front))
		w.iov[2*k+1].SetLen(len(rest))
		k++
	}
	return k, nil
}

// rawSendError is what WriteFrames answers for an error number (packet_snd).
func rawSendError(no syscall.Errno, f *frame.Frame) error {
	switch no {
	case unix.EAGAIN:
		return ErrQueueFull
	case unix.ENOBUFS:
		return errRawDropped
	case unix.ENETDOWN:
		return errLinkDown
	case unix.EMSGSIZE:
		return errRawLong
	case unix.EINVAL, unix.ENOMEM:
		switch {
		case f.Owes(): // ENOMEM: it was to be cut, and cannot be (validate_xmit_skb)
			return errRawOffload
		case no == unix.ENOMEM:
			return ErrQueueFull
		}
		return errRawKernel
	case unix.ENXIO, unix.ENODEV:
		return errRawGone
	}
	return &hintedErrno{no: no}
}

var errRawGone = &hintedErrno{unix.ENODEV, "the interface was deleted or has left its network namespace: close this socket and open another"}

// close ends both sockets. What the kernel has dropped until then is counted. As long
// as the ring is mapped the kernel keeps the socket: if a reader has frames of it, until
// its next read. So nothing more is let in.
func (q *linuxRawQueue) close() error {
	if q.closed.Swap(true) {
		return nil
	}
	_ = q.keepOut() // what comes in nevertheless is not read
	q.countLost()
	err := errors.Join(q.recv.Close(), q.send.Close()) // a reader that waits has left
	r := &q.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring.lent == 0 {
		r.ring.unmap()
	}
	return err
}

// countLost adds what the kernel has dropped since it was asked last.
func (q *linuxRawQueue) countLost() {
	_ = onDescriptor(q.recv, func(fd uintptr) syscall.Errno {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			q.lost.Add(uint64(s.Drops))
		}
		return 0
	}) // once closed, everything is counted
}
