package qemu

import (
	"net"
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const (
	// flushPiece is what the flusher hands to the connection in one go, and so how
	// finely it makes room in the queue.
	flushPiece = 64 << 10

	// memoryPause is how long the flusher waits when the system has no memory.
	memoryPause = 10 * time.Millisecond
)

// A link is one connection of a Stream. Frames are written at once as long as the
// socket takes them; from the first that it does not take whole they go into the
// queue, and a goroutine of the link's own, the flusher, has the connection's writing
// to itself until the queue is empty again.
type link struct {
	s    *Stream
	conn net.Conn
	now  *direct // writes that do not wait; nil: there are none, all is queued
	done chan struct{}
	once sync.Once

	mu       sync.Mutex // guards the rest, and lets one write at once
	queue    ring
	dead     bool // nothing is written any more
	flushing bool // the flusher was started
	more     sync.Cond
}

func newLink(s *Stream, conn net.Conn) *link {
	l := &link{s: s, conn: conn, now: newDirect(conn), done: make(chan struct{}), queue: ring{limit: s.queueBytes}}
	l.more.L = &l.mu
	return l
}

// write takes as many of fs as the socket and the queue have room for. up is false
// once the connection is over.
func (l *link) write(fs []frame.Frame) (n int, err error, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return 0, nil, false
	}
	if l.queue.count == 0 && l.now != nil {
		var gone int
		n, gone, err = l.now.write(fs)
		switch {
		case err == errLinkOver:
			l.dieLocked()
			return n, nil, false
		case err != nil || n == len(fs):
			return n, err, true
		case gone > 0:
			l.queue.push(&fs[n], gone) // the queue holds the longest frame
			n++
		}
	}
	n, err = l.enqueueLocked(fs, n)
	return n, err, true
}

// enqueueLocked puts fs[n:] into the queue, as far as there is room, and has it
// flushed.
func (l *link) enqueueLocked(fs []frame.Frame, n int) (int, error) {
	var err error
	for ; n < len(fs); n++ {
		if err = refusal(&fs[n], MaxFrame); err != nil {
			break
		}
		if !l.queue.fits(prefixLen + fs[n].WireLen()) {
			err = bridge.ErrQueueFull
			break
		}
		l.queue.push(&fs[n], 0)
	}
	if l.queue.count > 0 {
		if !l.flushing {
			l.flushing = true
			l.s.routines.Go(l.flush) // ends when the link is dead; Close waits for it
		}
		l.more.Signal()
	}
	return n, err
}

// flush is the flusher.
func (l *link) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for l.queue.count == 0 && !l.dead {
			l.more.Wait()
		}
		if l.dead {
			return
		}
		piece := l.queue.piece(flushPiece)
		l.mu.Unlock()
		n, err := l.conn.Write(piece)
		if err != nil && noMemory(err) {
			err = nil
			select {
			case <-time.After(memoryPause):
			case <-l.done:
			}
		}
		l.mu.Lock()
		if l.dead {
			return
		}
		l.queue.drop(n)
		if err != nil {
			l.dieLocked()
			return
		}
	}
}

// dieLocked ends the writing. What the peer has sent can still be read, and the
// reader then finds the end.
func (l *link) dieLocked() {
	l.stopLocked()
	if half, ok := l.conn.(interface{ CloseRead() error }); !ok || half.CloseRead() != nil {
		l.conn.Close()
	}
}

// stopLocked counts what will not be sent.
func (l *link) stopLocked() {
	if l.dead {
		return
	}
	l.dead = true
	l.s.dropped.Add(uint64(l.queue.frames))
	l.queue = ring{}
	l.more.Broadcast()
}

// end ends the connection. Any number of calls is one.
func (l *link) end() {
	l.once.Do(func() {
		l.mu.Lock()
		l.stopLocked()
		l.mu.Unlock()
		l.conn.Close()
		close(l.done)
	})
}

// queued is how many bytes wait for the peer.
func (l *link) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.count
}
