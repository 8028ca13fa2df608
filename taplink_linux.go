package bridge

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// tapLink is what one queue of a TAP knows about the interface being down. Linux
// tells only a writer (EIO), so the first write that meets it has the reader, which
// may wait, look for itself from then on.
type tapLink struct {
	down atomic.Bool // a write has met EIO, and the reader has not seen the interface up since

	// mu keeps down and the read deadline, which is in the past while down is
	// set, together, and guards the rest.
	mu sync.Mutex
	fn func(fd uintptr)
	up bool // as fn saw it
}

// aLongTimeAgo ends a read that waits.
var aLongTimeAgo = time.Unix(1, 0)

// wentDown wakes the reader of q. The deadline cannot be set once q is closed, and
// need not then.
func (l *tapLink) wentDown(q *tapQueue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down.Load() {
		l.down.Store(true)
		_ = q.file.SetReadDeadline(aLongTimeAgo)
	}
}

// stillDown looks whether the interface is up, and if so lets the reader wait again.
// Where that cannot be seen the reader waits too: it will learn the reason.
func (l *tapLink) stillDown(q *tapQueue) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = true
	_ = q.raw.Control(l.fn)
	if l.up {
		l.down.Store(false)
		_ = q.file.SetReadDeadline(time.Time{})
	}
	return !l.up
}

// look asks whether the descriptor can be written to, which the kernel denies while
// the interface is down, in whatever namespace that is (tun_chr_poll). It denies it
// also while more frames of ours are on their way than somebody allowed
// (TUNSETSNDBUF): a reader that asks just then asks again. A signal that is pending
// ends even a poll that does not wait, and says nothing about the interface.
func (l *tapLink) look(fd uintptr) {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(p[:], 0)
	for err == unix.EINTR {
		n, err = unix.Poll(p[:], 0)
	}
	l.up = err != nil || n > 0
}
