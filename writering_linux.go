package bridge

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringEntries is how many writes go to the kernel with one system call at most: as many
// as a batch has frames. It is a power of two.
const ringEntries = 64

// The kernel's include/uapi/linux/io_uring.h, as io_uring_setup(2) and io_uring_enter(2)
// tell of it.
const (
	ioringOpWrite        = 23         // IORING_OP_WRITE
	ioringEnterGetevents = 1          // IORING_ENTER_GETEVENTS
	ioringFeatSingleMmap = 1          // IORING_FEAT_SINGLE_MMAP, since Linux 5.4
	ioringFeatRWCurPos   = 8          // IORING_FEAT_RW_CUR_POS, since Linux 5.6, as IORING_OP_WRITE
	ioringOffSQRing      = 0          // IORING_OFF_SQ_RING
	ioringOffSQEs        = 0x10000000 // IORING_OFF_SQES
)

// ioringParams is struct io_uring_params.
type ioringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFd uint32
	_                                                                      [3]uint32

	sqOff struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cqOff struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

// ioringSQE is struct io_uring_sqe as a write uses it.
type ioringSQE struct {
	opcode       uint8
	_            [3]uint8
	fd           int32
	_            uint64 // where in the file
	addr         uint64
	len, rwFlags uint32
	userData     uint64
	_            [3]uint64
}

// ioringCQE is struct io_uring_cqe.
type ioringCQE struct {
	userData uint64
	res      int32
	_        uint32
}

const (
	_ = uint(unsafe.Sizeof(ioringParams{}) - 120)
	_ = uint(120 - unsafe.Sizeof(ioringParams{}))
	_ = uint(unsafe.Sizeof(ioringSQE{}) - 64)
	_ = uint(64 - unsafe.Sizeof(ioringSQE{}))
)

// A writeRing hands many writes to the kernel with one system call (io_uring(7)), for a
// file that never waits. The kernel makes them in their order, one after the other,
// before the call ends: each bears RWF_NOWAIT, so that one that would have to wait fails
// with EAGAIN and is not left to a worker of the kernel, who would be overtaken. They are
// not linked: one that fails does not hold up those behind it.
//
// It is used by one goroutine at a time, of any thread, and holds no file open between
// calls but its own. There is no thread of the kernel's either.
type writeRing struct {
	fd     int
	mapped []byte // the two queues
	places []byte // what the submission queue points to

	sqHead, sqTail *uint32
	cqHead, cqTail *uint32
	sqes           *[ringEntries]ioringSQE
	cqes           unsafe.Pointer // to cqMask+1 of ioringCQE
	cqMask         uint32

	unclosed runtime.Cleanup // of a ring that nobody closes

	set  int                        // writes that were added
	done [ringEntries]syscall.Errno // what became of those of the last submit
}

// openWriteRing makes a ring, unless the kernel has none or forbids it.
func openWriteRing() (*writeRing, syscall.Errno) {
	var p ioringParams
	fd, _, no := unix.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&p)), 0)
	if no != 0 {
		return nil, no
	}
	r := &writeRing{fd: int(fd)}
	const needed = ioringFeatSingleMmap | ioringFeatRWCurPos
	if p.features&needed != needed || p.sqEntries != ringEntries {
		r.close()
		return nil, unix.ENOSYS
	}
	if err := r.mmap(&p); err != nil {
		r.close()
		no, _ := err.(syscall.Errno)
		return nil, no
	}
	r.unclosed = runtime.AddCleanup(r, ringHold.release, ringHold{r.fd, r.mapped, r.places})
	return r, 0
}

// A ringHold is what the kernel holds for a ring.
type ringHold struct {
	fd             int
	mapped, places []byte
}

func (h ringHold) release() {
	for _, m := range [][]byte{h.mapped, h.places} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	_ = unix.Close(h.fd)
}

func (r *writeRing) mmap(p *ioringParams) (err error) {
	size := max(p.sqOff.array+ringEntries*4, p.cqOff.cqes+p.cqEntries*uint32(unsafe.Sizeof(ioringCQE{})))
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.mapped, err = unix.Mmap(r.fd, ioringOffSQRing, int(size), prot, flags); err != nil {
		return err
	}
	if r.places, err = unix.Mmap(r.fd, ioringOffSQEs, int(unsafe.Sizeof(*r.sqes)), prot, flags); err != nil {
		return err
	}
	at := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.mapped[off])) }
	r.sqHead, r.sqTail = at(p.sqOff.head), at(p.sqOff.tail)
	r.cqHead, r.cqTail, r.cqMask = at(p.cqOff.head), at(p.cqOff.tail), *at(p.cqOff.ringMask)
	r.cqes = unsafe.Pointer(&r.mapped[p.cqOff.cqes])
	r.sqes = (*[ringEntries]ioringSQE)(unsafe.Pointer(&r.places[0]))
	for i := range uint32(ringEntries) {
		*at(p.sqOff.array + 4*i) = i // for good: place i of the queue is entry i
	}
	return nil
}

// close gives everything back. No submit may run.
func (r *writeRing) close() {
	r.unclosed.Stop()
	ringHold{r.fd, r.mapped, r.places}.release()
}

// add has b, which is not empty and stays as it is and where it is until submit has
// returned, written to fd behind what was added before: ringEntries at most.
func (r *writeRing) add(fd uintptr, b []byte) {
	at := *r.sqTail + uint32(r.set)
	r.sqes[at%ringEntries] = ioringSQE{
		opcode: ioringOpWrite, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&b[0]))),
		len: uint32(len(b)), rwFlags: unix.RWF_NOWAIT, userData: uint64(r.set),
	}
	r.set++
}

// submit makes the writes that were added, and says how many were tried, from the first
// on; done tells what became of each. Fewer than all are tried if the kernel has no memory
// for more, and none for the reason no; the rest is forgotten. Go's scheduler is told of
// the call, which is as long as many.
func (r *writeRing) submit() (tried int, no syscall.Errno) {
	atomic.StoreUint32(r.sqTail, *r.sqTail+uint32(r.set)) // nobody else writes it
	n, _, no := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.set), 0, 0, 0, 0)
	r.set = 0
	atomic.StoreUint32(r.sqTail, atomic.LoadUint32(r.sqHead))
	if no != 0 {
		return 0, no
	}
	for got := r.collect(); got < int(n); got += r.collect() {
		// Does not happen with RWF_NOWAIT; but the memory is the kernel's until then.
		_, _, _ = unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, ioringEnterGetevents, 0, 0)
	}
	return int(n), 0
}

// collect takes the answers that there are and says how many.
func (r *writeRing) collect() int {
	head := *r.cqHead // which nobody else writes
	tail := atomic.LoadUint32(r.cqTail)
	for at := head; at != tail; at++ {
		c := (*ioringCQE)(unsafe.Add(r.cqes, uintptr(at&r.cqMask)*unsafe.Sizeof(ioringCQE{})))
		r.done[c.userData%ringEntries] = syscall.Errno(max(-c.res, 0))
	}
	atomic.StoreUint32(r.cqHead, tail)
	return int(tail - head)
}
