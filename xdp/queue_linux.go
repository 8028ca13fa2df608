package xdp

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const (
	// spares is how many chunks a writing side puts by.
	spares = 64

	// lateKick is when the kernel is asked again to send what it has left in a TX
	// ring, and idleLook how long a reading side whose frames the network card
	// itself puts into memory waits before it looks whether the card is to be woken.
	lateKick = time.Millisecond
	idleLook = 50 * time.Millisecond
)

// A linuxQueue is the two sockets of a queue of an interface, one for each direction,
// which share the fill and the completion ring. The one for reading is watched by the
// runtime's poller. The one for writing is not, so that a frame that has been sent
// wakes nobody.
//
// Frames pass through two functions, which are made once and take their arguments
// from fields: a closure made for each call would be an allocation for each.
type linuxQueue struct {
	port             *linuxPort
	mem              *umem
	index            int // the queue's number at the interface
	recv, send       *os.File
	rawRecv, rawSend syscall.RawConn
	closed           atomic.Bool
	lost             atomic.Uint64 // once closed

	// rings are mapped until the queue is closed, and neither reads nor writes: their
	// mappings keep the kernel's sockets, which are to be gone then.
	rings mapping

	reading struct { // the one reader's
		fn    func(fd uintptr) bool
		fill  ring[uint64]
		rx    ring[unix.XDPDesc]
		held  int      // chunks in the fill ring, with the kernel, in the RX ring, or lent
		lent  []uint32 // never longer than its capacity
		spare []uint32 // on the way to the fill ring
		ended bool     // it has answered net.ErrClosed
		fs    []frame.Frame
		n     int
		err   error
	}
	writing struct { // the one writer's
		fn    func(fd uintptr) bool
		tx    ring[unix.XDPDesc]
		done  ring[uint64]
		out   int      // chunks in the TX ring, with the kernel, or in the completion ring
		spare []uint32 // never longer than its capacity
		late  *time.Timer
		fs    []frame.Frame
		n     int
		err   error
	}
}

// prepare makes what the two directions need besides their rings.
func (q *linuxQueue) prepare(entries int) {
	r, w := &q.reading, &q.writing
	r.fn, w.fn = q.drain, q.sendAll
	r.lent, r.spare = make([]uint32, 0, entries/4), make([]uint32, 0, entries)
	w.spare = make([]uint32, 0, spares)
	w.late = time.AfterFunc(time.Hour, q.kickLate)
	w.late.Stop()
}

func (q *linuxQueue) read(fs []frame.Frame) (int, error) {
	r := &q.reading
	switch {
	case r.ended:
		return 0, net.ErrClosed
	case len(fs) == 0:
		return 0, nil
	}
	q.endLoan()
	if !q.rings.enter() {
		return 0, q.endReading()
	}
	r.fs, r.n, r.err = fs, 0, nil
	var err error
	for {
		if q.port.zeroCopy {
			_ = q.recv.SetReadDeadline(time.Now().Add(idleLook)) // of a closed file, which the next line tells
		}
		if err = q.rawRecv.Read(r.fn); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		// It was woken to look at its interface, or the card. What is to be seen
		// there was so before.
		_ = q.recv.SetReadDeadline(time.Time{})
	}
	r.fs = nil
	q.rings.leave()
	switch {
	case q.closed.Load() && r.n == 0:
		return 0, q.endReading()
	case err == nil:
		err = r.err
	}
	return r.n, err
}

// endReading answers for a queue that is closed, from now on.
func (q *linuxQueue) endReading() error {
	q.reading.ended = true
	q.mem.leave()
	return net.ErrClosed
}

// endLoan takes back the chunks that the reader was lent, but for those that are on
// their way out: whoever sends the last of these puts it to use again.
func (q *linuxQueue) endLoan() {
	r := &q.reading
	for _, c := range r.lent {
		if q.mem.drop(c) {
			spoilLent(q.mem.chunk(c))
			r.spare = append(r.spare, c)
		}
	}
	r.held -= len(r.lent)
	r.lent = r.lent[:0]
	if q.closed.Load() {
		q.mem.put(r.spare)
		r.spare = r.spare[:0]
	}
}

// drain takes the frames that are there. It answers false, and so is called again
// when there is something, if there are none and nothing is wrong.
func (q *linuxQueue) drain(fd uintptr) bool {
	if q.closed.Load() {
		return true
	}
	q.refill(fd)
	q.take()
	if q.reading.n == 0 {
		q.reading.err = q.port.fault()
	}
	return q.reading.n > 0 || q.reading.err != nil
}

// refill gives the kernel as many chunks as it may have, and wakes the driver if it
// wants that.
func (q *linuxQueue) refill(fd uintptr) {
	r := &q.reading
	if missing := len(r.fill.at) - r.held - len(r.spare); missing > 0 {
		r.spare = q.mem.get(r.spare, missing)
	}
	if n := len(r.spare); n > 0 {
		for i, c := range r.spare {
			*r.fill.entry(i) = uint64(c) << q.mem.shift
		}
		r.fill.produce(n)
		r.held += n
		r.spare = r.spare[:0]
	}
	if r.fill.wants() {
		// What it answers is of no interest: it takes no frame.
		_, _, _ = unix.Syscall6(unix.SYS_RECVFROM, fd, 0, 0, unix.MSG_DONTWAIT, 0, 0)
	}
}

// take sets the caller's frames, and lends their chunks.
func (q *linuxQueue) take() {
	r := &q.reading
	n := min(r.rx.filled(), len(r.fs), cap(r.lent))
	if n == 0 {
		return
	}
	for i := range n {
		d := r.rx.entry(i)
		c := uint32(d.Addr >> q.mem.shift)
		q.mem.hold(c)
		r.lent = append(r.lent, c)
		end := d.Addr + uint64(d.Len)
		f := &r.fs[i]
		*f = frame.Frame{Data: q.mem.bytes[d.Addr:end:end]}
		if q.port.local && f.WellFormed() {
			f.OweUnfilled()
		}
	}
	r.rx.consume(n)
	r.n = n
}

func (q *linuxQueue) write(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	if !q.enter() {
		return 0, net.ErrClosed
	}
	defer q.leave()
	w := &q.writing
	w.fs, w.n, w.err = fs, 0, nil
	err := q.rawSend.Write(w.fn)
	w.fs = nil
	if q.closed.Load() && w.n < len(fs) {
		return w.n, net.ErrClosed
	}
	if err == nil {
		err = w.err
	}
	return w.n, err
}

// enter keeps mapped what a writer needs until leave; false: the queue is closed.
func (q *linuxQueue) enter() bool {
	if q.closed.Load() || !q.mem.enter() {
		return false
	}
	if !q.rings.enter() {
		q.mem.leave()
		return false
	}
	return true
}

func (q *linuxQueue) leave() {
	q.rings.leave()
	q.mem.leave()
}

// sendAll writes until the caller's frames are sent or one is not taken. It never
// answers false: a writer does not wait.
func (q *linuxQueue) sendAll(fd uintptr) bool {
	w := &q.writing
	q.reclaim()
	if w.err = q.port.fault(); w.err != nil {
		return true
	}
	for w.n < len(w.fs) && w.err == nil {
		room := len(w.tx.at) - w.out
		if room == 0 {
			w.err = bridge.ErrQueueFull
			break
		}
		k := q.load(w.fs[w.n:], room)
		w.tx.produce(k)
		w.out += k
		w.n += k
		if err := q.kick(fd); err != nil {
			w.err = err
		}
		q.reclaim()
	}
	return true
}

// reclaim takes back the chunks whose frames the kernel has done with.
func (q *linuxQueue) reclaim() {
	w := &q.writing
	n := w.done.filled()
	if n == 0 {
		return
	}
	for i := range n {
		c := uint32(*w.done.entry(i) >> q.mem.shift)
		if !q.mem.drop(c) {
			continue // its reader has it yet, or another port
		}
		if len(w.spare) == cap(w.spare) {
			q.mem.put(w.spare[spares/2:])
			w.spare = w.spare[:spares/2]
		}
		w.spare = append(w.spare, c)
	}
	w.done.consume(n)
	w.out -= n
}

// load puts the first k of fs into the TX ring, which has room for that many, up to
// one that is refused.
func (q *linuxQueue) load(fs []frame.Frame, room int) (k int) {
	w := &q.writing
	for k < min(len(fs), room) {
		f := &fs[k]
		if w.err = refusal(f, q.mem.shift); w.err != nil {
			return k
		}
		at, length, shared := uint64(0), len(f.Data), false
		if f.Plain() {
			at, shared = q.mem.share(f.Data)
		}
		if !shared {
			if len(w.spare) == 0 {
				if w.spare = q.mem.get(w.spare, spares/2); len(w.spare) == 0 {
					w.err = bridge.ErrQueueFull
					return k
				}
			}
			c := w.spare[len(w.spare)-1]
			w.spare = w.spare[:len(w.spare)-1]
			q.mem.hold(c)
			at, length = q.mem.copyIn(c, f)
		}
		*w.tx.entry(k) = unix.XDPDesc{Addr: at, Len: uint32(length)}
		k++
	}
	return k
}

// kick has the kernel send what is in the TX ring. What it leaves there for now it is
// asked for again later.
func (q *linuxQueue) kick(fd uintptr) error {
	w := &q.writing
	for w.tx.wants() {
		before := w.tx.consumed.Load()
		if before == w.tx.produced.Load() {
			return nil
		}
		_, _, no := unix.Syscall6(unix.SYS_SENDTO, fd, 0, 0, unix.MSG_DONTWAIT, 0, 0)
		switch no {
		case 0, unix.EINTR, unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.ENOMEM, unix.ENETDOWN:
			if no == 0 && q.port.zeroCopy {
				return nil // the driver sends, and says if it is to be woken again
			}
			if w.tx.consumed.Load() == before && no != unix.EINTR {
				w.late.Reset(lateKick)
				return nil
			}
		case unix.ENXIO, unix.ENODEV:
			return errGone
		default:
			return &fault{no: no}
		}
	}
	return nil
}

// kickLate runs on the timer's goroutine.
func (q *linuxQueue) kickLate() {
	if !q.enter() {
		return
	}
	defer q.leave()
	again := lateKick
	if q.port.fault() != nil {
		again *= 100 // it is down: what is left goes out when it is up
	}
	_ = q.rawSend.Write(func(fd uintptr) bool { // closed: nothing is to be sent
		w := &q.writing
		if w.tx.consumed.Load() == w.tx.produced.Load() {
			return true
		}
		_, _, no := unix.Syscall6(unix.SYS_SENDTO, fd, 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if w.tx.consumed.Load() != w.tx.produced.Load() && no != unix.ENXIO {
			w.late.Reset(again)
		}
		return true
	})
}

func (q *linuxQueue) close() error {
	if q.closed.Swap(true) {
		return nil
	}
	q.writing.late.Stop()
	n, _ := q.dropped()
	q.lost.Store(n)
	err := errors.Join(q.recv.Close(), q.send.Close())
	q.rings.leave()
	return err
}
