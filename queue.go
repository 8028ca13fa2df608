package bridge

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// driverPatience is how long a driver's call may take that should not wait at all.
const driverPatience = time.Second

// closePatience is how long a Close may take: the kernel's work for one waits its turn
// behind that of every other interface of the machine.
const closePatience = 10 * time.Second

// A queue is one FrameIO: of a port, or of the host. One goroutine at a time has the
// turn to write; unlike for a mutex, the others can stop waiting for theirs.
type queue struct {
	p      *Port // nil: the host
	io     FrameIO
	busy   atomic.Bool   // somebody has the turn
	queued atomic.Int32  // how many wait for it
	turn   chan struct{} // tells one of them to look again
	gone   chan struct{} // closed when the cable has ended
	ended  atomic.Bool   // gone is closed
	down   atomic.Bool   // its reader was told ENETDOWN last
	asked  atomic.Int64  // while down: since when the reader waits for an answer, by Bridge.uptime; 0: it does not
	reader atomic.Bool   // it has a reader
}

func newQueue(p *Port, io FrameIO) *queue {
	return &queue{p: p, io: io, turn: make(chan struct{}, 1), gone: make(chan struct{})}
}

// acquire waits for the turn to write, and says whether it came: a cable that has
// ended gives none, and a writer that keeps the others waiting too long ends it.
func (b *Bridge) acquire(q *queue) bool {
	if q.ended.Load() {
		return false
	}
	return q.busy.CompareAndSwap(false, true) || b.acquireSlow(q)
}

func (b *Bridge) acquireSlow(q *queue) bool {
	q.queued.Add(1)
	defer q.queued.Add(-1)
	patience := time.NewTimer(driverPatience)
	defer patience.Stop()
	for !q.busy.CompareAndSwap(false, true) {
		select {
		case <-q.turn:
		case <-q.gone:
			return false
		case <-patience.C:
			b.end(q, errStuck)
			return false
		}
	}
	return true
}

// release gives the turn back. Whoever began to wait before is seen here, and whoever
// begins later sees that nobody has the turn.
func (q *queue) release() {
	q.busy.Store(false)
	if q.queued.Load() > 0 {
		select {
		case q.turn <- struct{}{}:
		default:
		}
	}
}

var errStuck = errors.New("bridge: the cable kept a write from ending")

// close ends the cable, once, and says whether this was it. A Close that does not
// return is left to itself after a while: the driver owns that goroutine then. Of
// an error or a panic there is nobody to tell.
func (q *queue) close() bool {
	if !q.ended.CompareAndSwap(false, true) {
		return false
	}
	close(q.gone)
	done := make(chan struct{})
	go func() { // ends when the driver's Close does
		defer close(done)
		defer func() { _ = recover() }()
		_ = q.io.Close()
	}()
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
	return true
}

// cableDown and cableUp follow what an interface says of itself: while any queue of
// a port is down, the port has no carrier.
func (b *Bridge) cableDown(q *queue, err error) {
	if !q.down.CompareAndSwap(false, true) {
		return
	}
	b.downs.Add(1)
	b.poke() // the timers look after it from now on
	if q.p == nil || q.p.downs.Add(1) == 1 {
		b.events.post(Event{Kind: EventCableDown, Port: q.name(), Err: err})
		b.unsettle(q.p)
	}
}

func (b *Bridge) cableUp(q *queue) {
	if !q.down.Load() || !q.down.CompareAndSwap(true, false) {
		return
	}
	b.downs.Add(-1)
	if q.p == nil || q.p.downs.Add(-1) == 0 {
		b.events.post(Event{Kind: EventCableUp, Port: q.name()})
		b.unsettle(q.p)
	}
}

// readPatience is how long the reader of a cable that was down has to be waiting for
// frames until that is taken for being up again.
const readPatience = 100 * time.Millisecond

// lookForUp finds the cables that are up again without having said so.
func (b *Bridge) lookForUp() {
	cfg := b.cfg.Load()
	for _, pc := range cfg.ports {
		for _, q := range pc.p.queues {
			b.lookAt(q)
		}
	}
	if c := b.host.cable.Load(); c != nil {
		b.lookAt(c.queue)
	}
	b.afterwards()
}

func (b *Bridge) lookAt(q *queue) {
	if at := q.asked.Load(); at != 0 && q.down.Load() && b.uptime()-at >= int64(readPatience) {
		b.cableUp(q)
	}
}

// uptime is the real time since Serve began, in nanoseconds, and not 0: drivers do
// not live by Config.Clock.
func (b *Bridge) uptime() int64 { return max(int64(time.Since(b.serve.began)), 1) }

// name is the port's for events; "" is the bridge itself.
func (q *queue) name() string {
	if q.p == nil {
		return ""
	}
	return q.p.name
}

// end is what happens to a cable that has ended by itself: it is closed and
// reported. A port then loses its carrier, once no batch is in the way, and stays a
// port until it is removed; the host's cable leaves its place to another.
func (b *Bridge) end(q *queue, err error) {
	if q.p != nil {
		b.fail(q.p, err)
	} else if q.close() {
		b.events.post(Event{Kind: EventPortFailed, Err: err})
	}
}

// fail ends a port whose cable ended, unless it has left. Any number of calls is
// one.
func (b *Bridge) fail(p *Port, err error) {
	if p.left.Load() || !p.failing.CompareAndSwap(false, true) {
		return
	}
	p.ended.Store(&err)
	p.closeCables()
	b.events.post(Event{Kind: EventPortFailed, Port: p.name, Err: err})
	b.unsettle(p)
}

func (p *Port) closeCables() {
	for _, q := range p.queues {
		q.close()
	}
}

// unsettled is the ports whose cable is no longer what their config says of it.
type unsettled struct {
	any   atomic.Bool // ports is not empty
	mu    sync.Mutex  // guards ports
	ports []*Port
}

func (b *Bridge) unsettle(p *Port) {
	if p == nil {
		return // the host's link is the bridge's own device, which stays as it is
	}
	u := &b.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ports = append(u.ports, p)
	u.any.Store(true)
}

// settleLinks has the ports follow their cables. It is called outside of any batch,
// with no lock held.
func (b *Bridge) settleLinks() {
	u := &b.unsettled
	for u.any.Load() {
		u.mu.Lock()
		ports := u.ports
		u.ports = nil
		u.any.Store(false)
		u.mu.Unlock()
		for _, p := range ports {
			_ = b.change("follow the link", p.name, func(x *tx) error { x.followCable(p); return nil }) // refused only by a bridge that is closed
		}
	}
}

// followCable takes the carrier from a port whose cable has ended or is down, and
// gives it back to one that is up again.
func (x *tx) followCable(p *Port) {
	if x.cfg.conf(p) == nil {
		return
	}
	pc := x.edit(p)
	pc.cut = p.failing.Load() || p.downs.Load() > 0
	pc.derive()
	x.link(p)
}

// patrol ends the cables whose driver has kept one batch from ending since the last
// patrol. Serve calls it, driverPatience apart, whatever else there is to do.
func (b *Bridge) patrol() {
	for _, in := range b.registered() {
		epoch := in.epoch.Load()
		if q := in.writing.Load(); q != nil && epoch&1 != 0 && epoch == in.patrolled {
			b.end(q, errStuck)
		}
		in.patrolled = epoch
	}
}
