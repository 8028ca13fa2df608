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
	// rawSlots is how many frames one system call reads. Each has room for the
	// longest, since the kernel does not tell a length before it has cut a frame.
	rawSlots = 6

	// rawShort is the longest frame that is moved together with others, so that
	// its slot can be read to again: a copy costs less than a batch of six, whose
	// segments can hardly be joined. rawPack is the room for that.
	rawShort = 2048
	rawPack  = 112 << 10

	// rawHead is where the frame begins in its slot, on a cache line; the header
	// that says what it owes ends there.
	rawHead = 64

	// rawSlot is a slot's length. A longer frame is cut by the kernel, which
	// says so.
	rawSlot = (rawHead + MaxRawFrame + 63) &^ 63

	// rawBatch is how many frames one system call sends.
	rawBatch = 64

	// rawFront is the longest that stands in front of a frame's bytes: what it
	// owes, both addresses, a tag.
	rawFront = virtioLen + 12 + frame.TagLen
)

const _ = uint(512<<10 - rawSlots*rawSlot - rawPack) // else this does not build

// linuxRawQueue is a queue of a raw socket. It has two sockets. The one for
// reading is watched by the runtime's poller. The one for writing has no protocol,
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
		fn     func(fd uintptr) bool
		slab   []byte
		msgs   [rawSlots]unix.Mmsghdr
		iov    [rawSlots]unix.Iovec
		ctl    [rawSlots]rawControl
		from   [rawSlots]unix.RawSockaddrLinklayer // filled in if ownToo
		ownToo bool                                // the kernel also gives what the host sends
		unsure bool                                // the interface may be down, or gone
		fs     []frame.Frame
		n      int
		lent   int // slots that the caller was given, or that were filled for it
		packed int // bytes of the room behind the slots that were used
		err    error
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

// rawControl is what the kernel tells beside a frame (PACKET_AUXDATA): the tag
// that it took out.
type rawControl struct {
	hdr unix.Cmsghdr
	aux unix.TpacketAuxdata
}

// newLinuxRawQueue takes over the two descriptors; that for reading does not
// block. ownToo: frames that the host sends come along, and are passed over.
func newLinuxRawQueue(recv, send int) (*linuxRawQueue, error) {
	q := &linuxRawQueue{recv: os.NewFile(uintptr(recv), "packet socket"), send: os.NewFile(uintptr(send), "packet socket")}
	r, w := &q.reading, &q.writing
	r.fn, w.fn = q.drain, q.sendAll
	r.slab, r.unsure = make([]byte, rawSlots*rawSlot+rawPack), true
	for i := range r.msgs {
		r.iov[i].Base = &r.slab[i*rawSlot+rawHead-virtioLen]
		r.iov[i].SetLen(rawSlot - (rawHead - virtioLen))
		h := &r.msgs[i].Hdr
		h.Iov, h.Control = &r.iov[i], (*byte)(unsafe.Pointer(&r.ctl[i]))
		h.SetIovlen(1)
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
		q.close()
		return nil, err
	}
	return q, nil
}

func (q *linuxRawQueue) read(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	r := &q.reading
	for i := range r.lent {
		spoilLent(r.slab[i*rawSlot+rawHead:][:max(int(r.msgs[i].Len)-virtioLen, 0)])
	}
	spoilLent(r.slab[rawSlots*rawSlot:][:r.packed])
	r.fs, r.n, r.lent, r.packed, r.err = fs, 0, 0, 0, nil
	err := q.rawRecv.Read(r.fn)
	r.fs = nil
	switch {
	case q.closed.Load() && r.n == 0:
		return 0, net.ErrClosed
	case err == nil:
		err = r.err
	}
	return r.n, err
}

// drain takes the frames that are there. It answers false, and so is called again
// when there is something, if there are none and the interface is up.
func (q *linuxRawQueue) drain(fd uintptr) bool {
	r := &q.reading
	for !q.closed.Load() {
		want := min(len(r.fs)-r.n, rawSlots)
		n, no := q.receive(fd, want)
		switch no {
		case 0:
			before := r.n
			if q.take(n); n == want && q.pack(before) {
				continue // there may be more, and room for it
			}
			if r.n > 0 {
				return true
			}
		case unix.EINTR:
		case unix.EAGAIN:
			if !r.unsure || r.n > 0 {
				return r.n > 0
			}
			// What happens to the interface from here on, the kernel says.
			if r.err = rawState(fd); r.err != nil {
				return true
			}
			r.unsure = false
			return false
		case unix.ENETDOWN:
			r.unsure = true // it was down, but frames may wait, and it may be up again
		case unix.EINVAL:
			// The kernel has no words for what one frame owes, and has let go
			// of it (virtio_net_hdr_from_skb). Behind others it says so now.
			q.lost.Add(1)
		default:
			r.err = &hintedErrno{no: no}
			return true
		}
	}
	return true
}

// receive asks the kernel for want frames at most, once, without waiting. No more
// than rawSlots are copied, so the scheduler is not told.
func (q *linuxRawQueue) receive(fd uintptr, want int) (n int, no syscall.Errno) {
	r := &q.reading
	for i := range want {
		h := &r.msgs[i].Hdr
		h.SetControllen(int(unsafe.Sizeof(rawControl{})))
		h.Flags = 0
		if r.ownToo {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&r.from[i])), unix.SizeofSockaddrLinklayer
		}
	}
	got, _, no := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(want), unix.MSG_DONTWAIT, 0, 0)
	return int(got), no
}

// take sets the caller's frames from the first n slots.
func (q *linuxRawQueue) take(n int) {
	r := &q.reading
	r.lent = n
	for i := range n {
		m := &r.msgs[i]
		length := int(m.Len) - virtioLen
		if m.Hdr.Flags&unix.MSG_TRUNC != 0 || length < 0 {
			q.lost.Add(1)
			continue
		}
		if r.ownToo && r.from[i].Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		at := i*rawSlot + rawHead
		r.fs[r.n] = frame.Frame{
			Data: r.slab[at : at+length : at+length],
			Tag:  r.ctl[i].tag(&m.Hdr),
			Owed: readVirtio(r.slab[at-virtioLen : at]),
		}
		if f := &r.fs[r.n]; f.WellFormed() {
			f.OweChecksum() // what the network card joined (LRO); the slab is ours to write to
		}
		r.n++
	}
}

// pack moves the caller's frames from number from on out of their slots, if all are
// short and there is room for as many as fill the slots, and says whether the slots
// can be read to again.
func (q *linuxRawQueue) pack(from int) bool {
	r := &q.reading
	if r.n == len(r.fs) || rawPack-r.packed < rawSlots*rawShort {
		return false
	}
	for i := from; i < r.n; i++ {
		if len(r.fs[i].Data) > rawShort {
			return false
		}
	}
	for i := from; i < r.n; i++ {
		at := rawSlots*rawSlot + r.packed
		n := copy(r.slab[at:], r.fs[i].Data)
		r.fs[i].Data = r.slab[at : at+n : at+n]
		r.packed += (n + 63) &^ 63
	}
	return true
}

// tag is the tag that the kernel took out of the frame. Kernels before 3.14 do not
// tell its TPID, and take out no other than 0x8100.
func (c *rawControl) tag(h *unix.Msghdr) frame.Tag {
	if h.Controllen == 0 || c.hdr.Level != unix.SOL_PACKET || c.hdr.Type != unix.PACKET_AUXDATA ||
		c.aux.Status&unix.TP_STATUS_VLAN_VALID == 0 {
		return frame.Tag{}
	}
	t := frame.Tag{TPID: frame.TypeDot1Q, TCI: c.aux.Vlan_tci}
	if c.aux.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		t.TPID = frame.EtherType(c.aux.Vlan_tpid)
	}
	return t
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

// close ends both sockets. What the kernel has dropped until then is counted.
func (q *linuxRawQueue) close() error {
	if q.closed.Swap(true) {
		return nil
	}
	q.countLost()
	return errors.Join(q.recv.Close(), q.send.Close())
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
