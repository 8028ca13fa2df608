package bridge

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// Of a write to a TAP, that of a short frame above all, the system call is a good part.
// Short frames that follow one another are therefore handed to the kernel together,
// where io_uring lets them be.

const (
	// tapBurstLeast is how many frames go together at least: for fewer a call each
	// costs less.
	tapBurstLeast = 4

	// tapBurstBytes is the memory in which they are put together: 20 of 1514 bytes.
	tapBurstBytes = 32 << 10
)

// tapBurst is what one queue of a TAP needs to write many frames with one system call.
// It is the one writer's, until the queue is closed.
type tapBurst struct {
	on    atomic.Bool // there is a ring, and it works; else frames go one by one
	mu    sync.Mutex  // guards the rest
	ring  *writeRing  // nil: there is none
	bytes []byte      // of the frames of one call
}

// openBurst makes the queue's, or says why it cannot.
func (q *tapQueue) openBurst() error {
	ring, no := openWriteRing()
	if no != 0 {
		return uringError(no)
	}
	bytes := make([]byte, 0, tapBurstBytes)
	if err := onDescriptor(q.file, func(fd uintptr) syscall.Errno { return tryBurst(ring, fd, bytes[:1]) }); err != nil {
		ring.close()
		no, _ := err.(syscall.Errno)
		return uringError(no)
	}
	q.burst.ring, q.burst.bytes = ring, bytes
	q.burst.on.Store(true)
	return nil
}

// tryBurst writes short, which is too short for any frame: a kernel that takes frames
// from a ring refuses it as that, before it looks at anything else (tun_get_user).
func tryBurst(ring *writeRing, fd uintptr, short []byte) syscall.Errno {
	ring.add(fd, short)
	tried, no := ring.submit()
	switch {
	case tried == 0:
		return cmp.Or(no, unix.EAGAIN)
	case ring.done[0] == unix.EINVAL:
		return 0
	}
	return cmp.Or(ring.done[0], unix.EOPNOTSUPP)
}

// uringError adds to an error of io_uring what is behind it.
func uringError(no syscall.Errno) error {
	hint := ""
	switch no {
	case unix.ENOSYS:
		hint = "this kernel has no io_uring, or no such as TAPs need"
	case unix.EPERM, unix.EACCES:
		hint = "io_uring is forbidden here: by the sysctl kernel.io_uring_disabled, or by a filter for system calls such as containers have"
	case unix.EOPNOTSUPP:
		hint = "writing to a TAP without waiting needs Linux 6.4"
	case unix.ENOMEM:
		hint = "no memory for io_uring (before Linux 5.12 it counts as locked: ulimit -l)"
	}
	return &hintedErrno{no, hint}
}

// close gives the ring back.
func (b *tapBurst) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.on.Store(false); b.ring != nil {
		b.ring.close()
		b.ring = nil
	}
}

// sendBurst writes the next frames together if they are enough, as far as they are
// short and nothing is wrong with them, and says whether it wrote any. An interface that
// is down is tried with one frame at a time.
func (q *tapQueue) sendBurst(fd uintptr) bool {
	w, b := &q.writing, &q.burst
	if len(w.fs)-w.n < tapBurstLeast || !b.on.Load() || q.link.down.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring == nil { // since a moment ago
		return false
	}
	n := q.burstLen()
	if n < tapBurstLeast {
		return false
	}
	b.bytes = b.bytes[:0]
	for i := range w.fs[w.n : w.n+n] {
		f := &w.fs[w.n+i]
		if q.bare(f) {
			b.ring.add(fd, f.Data)
			continue
		}
		at := len(b.bytes)
		b.bytes = q.together(b.bytes, f)
		b.ring.add(fd, b.bytes[at:])
	}
	tried, no := b.ring.submit()
	switch no {
	case 0, unix.EAGAIN, unix.EBUSY, unix.ENOMEM, unix.EINTR:
	default:
		b.on.Store(false) // which will not pass
	}
	q.judge(b.ring.done[:tried])
	return tried > 0
}

// burstLen is how many of the next frames can go together.
func (q *tapQueue) burstLen() int {
	w := &q.writing
	room := cap(q.burst.bytes)
	fs := w.fs[w.n:]
	fs = fs[:min(len(fs), ringEntries)]
	for i := range fs {
		f := &fs[i]
		if n := f.WireLen(); n > tapShort || tapRefusal(f, q.tap.carrying.offload) != nil {
			return i
		} else if !q.bare(f) {
			if room -= q.ahead + n; room < 0 {
				return i
			}
		}
	}
	return len(fs)
}

// judge goes on behind the frames that were written together, of which done tells.
// The answer to a kernel that refuses the first bad one and all behind it for the same
// reason is as if only that one had been tried, unless that concerns each frame alone.
func (q *tapQueue) judge(done []syscall.Errno) {
	w := &q.writing
	bad := slices.IndexFunc(done, func(no syscall.Errno) bool { return no != 0 })
	if bad < 0 {
		w.n += len(done)
		return
	}
	w.n += bad
	fs, done := w.fs[w.n:], done[bad:]
	w.err = tapWriteError(done[0], &fs[0])
	w.down = slices.Contains(done, unix.EIO)
	_, single := w.err.(*FrameError)
	alike := func(i int) bool { return done[i] == done[0] || tapWriteError(done[i], &fs[i]) == w.err }
	if len(done) == 1 || !single && allOf(len(done), alike) {
		return
	}
	told := make([]*FrameError, len(done))
	for i, no := range done {
		told[i] = tapVerdict(tapWriteError(no, &fs[i]))
	}
	w.err = &BatchError{Frames: told}
}

// allOf says whether fn holds for each of n.
func allOf(n int, fn func(int) bool) bool {
	for i := range n {
		if !fn(i) {
			return false
		}
	}
	return true
}

// tapVerdict is tapWriteError's answer as that of one frame among others.
func tapVerdict(err error) *FrameError {
	switch err := err.(type) {
	case nil:
		return nil
	case *FrameError:
		return err
	}
	v := &FrameError{Reason: DropDriver, Err: err}
	switch err {
	case ErrQueueFull:
		v.Reason = DropQueueFull
	case errLinkDown:
		v.Reason = DropPortDown
	case errTAPDeleted:
		v.Reason = DropPortGone
	}
	return v
}

// bare says whether what is written for f is its Data as it stands.
func (q *tapQueue) bare(f *frame.Frame) bool { return q.ahead == 0 && f.Plain() }
