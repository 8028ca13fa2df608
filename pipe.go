package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

const (
	// defaultQueueLen is the tx_queue_len of Linux's TAP (tun_net_init).
	defaultQueueLen = 1000

	// pipeIdleBytes bounds the buffers that one direction of a Pipe keeps for
	// frames to come: a full queue of frames of 1514 bytes.
	pipeIdleBytes = 2 << 20
)

// PipeConfig says how a Pipe is made; the zero value is a cable between two TAPs
// as Linux makes them.
type PipeConfig struct {
	// QueueLen is how many frames each direction holds that are not read yet;
	// 0 (or less) means 1000, the tx_queue_len of a TAP.
	QueueLen int
}

// Pipe is one end of an Ethernet cable in memory, a FrameIO. What one end
// writes the other reads, in order, as it goes on the wire: a Tag held aside is
// put into the data, Lifted is carried out, and Owed, Tunnel, Nexthop and Time
// cross as they are (Owed's offsets moved to the wire form).
//
// Each direction is a queue of PipeConfig.QueueLen frames. A frame for which
// there is no room is refused with ErrQueueFull, as tun_net_xmit drops it.
//
// The frame's bytes are copied into memory of the Pipe's own, so the writer's may
// be reused at once. What ReadFrames and TryRead give is lent until the next call
// of either begins; in programs built with -race it is overwritten with 0xdb
// then, so that whoever keeps it too long is found. Memory is taken as frames
// need it, and reused: moving frames allocates nothing once the pipe is warm. A
// direction keeps at most 2 MiB for frames to come; the frames in it are bounded
// by QueueLen, those lent by what one call took.
//
// Nothing in a Pipe depends on time or chance, and it starts no goroutine. It
// waits on channels only, so one that is made in a testing/synctest bubble can
// be waited for there.
type Pipe struct {
	in, out *pipeQueue
}

var _ FrameIO = (*Pipe)(nil)

// errPipeCut is the answer to a write towards an end that is closed: nobody will
// ever read it, so the cable is of no more use.
var errPipeCut = fmt.Errorf("bridge: the other end of the pipe is closed: %w", net.ErrClosed)

var errPipeClosed = fmt.Errorf("bridge: the pipe is closed: %w", net.ErrClosed)

// NewPipe gives the two ends of a new cable. Both are alike; give one to
// AddPort, and hold the other.
func NewPipe(cfg PipeConfig) (a, b *Pipe) {
	limit := cfg.QueueLen
	if limit <= 0 {
		limit = defaultQueueLen
	}
	ab, ba := newPipeQueue(limit), newPipeQueue(limit)
	return &Pipe{in: ba, out: ab}, &Pipe{in: ab, out: ba}
}

// Caps is what a Pipe takes, for PortConfig.Caps: everything, of any length.
func (p *Pipe) Caps() Caps {
	return Caps{TagAside: true, Checksum: true, TSO: true, USO: true, XmitProbe: "tun_net_xmit"}
}

// Lost is how many frames WriteFrames of the other end refused because the queue
// towards this end was full; for PortConfig.Lost.
func (p *Pipe) Lost() uint64 { return p.in.lost.Load() }

// ReadFrames waits for at least one frame from the other end and gives as many
// as are there and fs can take; see FrameIO. It ends the loan of what the last
// ReadFrames or TryRead gave. When the other end is closed it gives what was
// written before, and then io.EOF; after Close it gives an error matching
// net.ErrClosed, whatever is still queued. An empty fs gives 0 at once.
func (p *Pipe) ReadFrames(fs []frame.Frame) (int, error) {
	for {
		n, err := p.in.take(fs)
		if n > 0 || err != nil || len(fs) == 0 {
			return n, err
		}
		select {
		case <-p.in.ready:
		case <-p.in.over:
		}
	}
}

// TryRead is ReadFrames that never waits: it gives 0 where ReadFrames would wait
// or fail. It counts as a ReadFrames for the loan of memory, and as one for the
// rule that one goroutine reads at a time.
func (p *Pipe) TryRead(fs []frame.Frame) int {
	n, _ := p.in.take(fs)
	return n
}

// WriteFrames copies fs into the queue to the other end; see FrameIO. It never
// waits. ErrQueueFull: there was no room for fs[n:]. *FrameError: fs[n] is not
// well-formed (DropRunt, or DropTaggedRunt where Lifted leaves out bytes that
// are not there). After Close of either end the error matches net.ErrClosed: a
// cable that is cut carries nothing, and a port at its end is over.
func (p *Pipe) WriteFrames(fs []frame.Frame) (int, error) {
	n, err := p.out.put(fs)
	if err == ErrQueueFull {
		p.out.lost.Add(uint64(len(fs) - n))
	}
	return n, err
}

// WriteContext sends f as WriteFrames does, but waits for room while the queue is
// full, until ctx ends: backpressure, for the end that a test or a simulated
// host holds. It may be called from several goroutines at once. The errors are
// ctx's, or those of WriteFrames but ErrQueueFull.
func (p *Pipe) WriteContext(ctx context.Context, f frame.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fs := [1]frame.Frame{f}
	for {
		if _, err := p.out.put(fs[:]); !errors.Is(err, ErrQueueFull) {
			return err
		}
		select {
		case <-p.out.room:
		case <-p.out.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close pulls this end out. Whoever waits in ReadFrames or WriteContext here, or
// in WriteContext at the other end, comes back at once. What was queued towards
// this end is dropped (see Dropped), what it wrote before can still be read at
// the other end. Close may be called at any time, by anyone, again and again; it
// never fails.
func (p *Pipe) Close() error {
	p.in.closeReader()
	p.out.closeWriter()
	return nil
}

// Dropped is how many frames were queued towards this end and never read,
// because it was closed. A frame that WriteFrames refused was never the Pipe's,
// and is not counted here.
func (p *Pipe) Dropped() uint64 {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return p.in.dropped
}

// pipeQueue is one direction of a cable. A frame's buffer goes round: from idle
// into ring by put, into lent by take, and back to idle when the loan ends.
type pipeQueue struct {
	ready chan struct{} // holds a token if there may be frames to take
	room  chan struct{} // holds a token if there may be room to put
	over  chan struct{} // closed when either end is
	limit int           // frames that ring may hold
	lost  atomic.Uint64 // frames that there was no room for

	// mu is never held while waiting. It guards all below.
	mu        sync.Mutex
	ring      []frame.Frame // the queue: count frames from head on, round the end
	head      int
	count     int
	lent      [][]byte // buffers of the frames that the last take gave
	idle      [][]byte // buffers without a frame
	idleBytes int      // their capacity
	dropped   uint64
	noReader  bool
	noWriter  bool
}

func newPipeQueue(limit int) *pipeQueue {
	return &pipeQueue{
		ready: make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		over:  make(chan struct{}),
		limit: limit,
	}
}

// signal leaves a token in c, unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put copies frames into the queue; it is WriteFrames.
func (q *pipeQueue) put(fs []frame.Frame) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.noWriter:
		return 0, errPipeClosed
	case q.noReader:
		return 0, errPipeCut
	}
	for n < len(fs) {
		f := &fs[n]
		if !f.WellFormed() {
			err = malformed(f)
			break
		}
		if q.count == q.limit {
			err = ErrQueueFull
			break
		}
		q.pushLocked(f)
		n++
	}
	if n > 0 {
		signal(q.ready)
	}
	if q.count < q.limit {
		signal(q.room) // the token taken by one waiter serves the next as well
	}
	return n, err
}

// malformed is the refusal of a frame without the bytes that its fields promise.
func malformed(f *frame.Frame) error {
	reason := DropRunt
	if len(f.Data) >= frame.HeaderLen {
		reason = DropTaggedRunt
	}
	return &FrameError{Reason: reason, Err: fmt.Errorf("%d bytes: %s", len(f.Data), reason)}
}

// pushLocked appends a copy of f, in wire form, to the ring, where there is room.
func (q *pipeQueue) pushLocked(f *frame.Frame) {
	if q.count == len(q.ring) {
		q.growLocked()
	}
	var buf []byte
	if last := len(q.idle) - 1; last >= 0 {
		buf, q.idle[last] = q.idle[last], nil
		q.idle = q.idle[:last]
		q.idleBytes -= cap(buf)
	}
	buf = f.AppendWire(slices.Grow(buf[:0], f.WireLen()))
	q.ring[(q.head+q.count)%len(q.ring)] = frame.Frame{Data: buf, Owed: f.OwedOnWire(), Tunnel: f.Tunnel, Time: f.Time, Nexthop: f.Nexthop}
	q.count++
}

// growLocked doubles the ring, up to the limit.
func (q *pipeQueue) growLocked() {
	ring := make([]frame.Frame, min(max(8, 2*len(q.ring)), q.limit))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}

// take ends the loan of the last take and lends out frames; it is TryRead with
// the reason why there are none. io.EOF: there will never be one again.
func (q *pipeQueue) take(fs []frame.Frame) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endLoanLocked()
	if q.noReader {
		return 0, errPipeClosed
	}
	for ; n < len(fs) && q.count > 0; n++ {
		f := &q.ring[q.head]
		q.lent = append(q.lent, f.Data)
		fs[n] = *f
		fs[n].Data = f.Data[:len(f.Data):len(f.Data)] // an append must not run into the Pipe's memory
		*f = frame.Frame{}
		q.head = (q.head + 1) % len(q.ring)
		q.count--
	}
	switch {
	case n > 0:
		signal(q.room)
	case q.noWriter && q.count == 0:
		err = io.EOF
	}
	return n, err
}

// endLoanLocked takes the lent buffers back, and lets go of what would be more
// than pipeIdleBytes, or of all of them if nothing will come any more.
func (q *pipeQueue) endLoanLocked() {
	for i, buf := range q.lent {
		spoilLent(buf[:cap(buf)])
		if q.idleBytes+cap(buf) <= pipeIdleBytes && !q.noReader && !q.noWriter {
			q.idle = append(q.idle, buf)
			q.idleBytes += cap(buf)
		}
		q.lent[i] = nil
	}
	q.lent = q.lent[:0]
}

// closeReader drops what is queued. What is lent stays: its loan ends when the
// reader comes back, closed or not.
func (q *pipeQueue) closeReader() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.noReader {
		return
	}
	q.dropped += uint64(q.count)
	q.ring, q.head, q.count = nil, 0, 0
	q.idle, q.idleBytes = nil, 0
	q.noReader = true
	q.overLocked(q.noWriter)
}

// closeWriter leaves what is queued to the reader.
func (q *pipeQueue) closeWriter() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.noWriter {
		return
	}
	q.idle, q.idleBytes = nil, 0
	q.noWriter = true
	q.overLocked(q.noReader)
}

// overLocked wakes all who wait, unless the other end has done so.
func (q *pipeQueue) overLocked(already bool) {
	if !already {
		close(q.over)
	}
}
