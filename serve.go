package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// batchSize is how many frames are read, decided and written at a time.
const batchSize = 64

// serving is the shell around the bridge: the only place where it starts
// goroutines. One reads each queue of each cable and ends when that is closed;
// one runs the timers and ends with Serve.
type serving struct {
	done  chan struct{} // closed by stop
	shut  chan struct{} // closed when the bridge has closed its cables
	once  sync.Once
	mu    sync.Mutex // guards the rest, and the start of goroutines
	run   bool       // Serve was called
	began time.Time  // when; set before any reader starts
	over  bool       // Serve waits for its goroutines: no more are started
	wg    sync.WaitGroup
}

func (s *serving) init() { s.done, s.shut = make(chan struct{}), make(chan struct{}) }

func (s *serving) stop() { s.once.Do(func() { close(s.done) }) }

// Serve reads every cable, of ports that join later too, and runs the timers,
// until ctx ends or Close is called; then the bridge is closed, and Serve returns
// nil once every goroutine it started has ended and every cable was closed. It can be
// called once: EBUSY; on a closed bridge it answers an error matching net.ErrClosed.
func (b *Bridge) Serve(ctx context.Context) error {
	s := &b.serve
	if b.cfg.Load().closed {
		return errClosed
	}
	s.mu.Lock()
	if s.run {
		s.mu.Unlock()
		return refuse("serve", b.name, EBUSY, "Serve runs already, or has run")
	}
	s.run, s.began = true, time.Now()
	s.wg.Go(b.runTimers) // ends when done is closed
	for _, p := range b.Ports() {
		b.startReaders(p)
	}
	b.host.startReader()
	s.mu.Unlock()

	stop := context.AfterFunc(ctx, func() { _ = b.Close() })
	defer stop()
	<-s.done
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.wg.Wait()
	<-s.shut // a reader may end before its cable is closed, which can leave a file behind
	return nil
}

// whileRunning starts something if Serve runs; if it does not yet, Serve will.
func (s *serving) whileRunning(start func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run && !s.over {
		start()
	}
}

// startReaders starts the readers of a port, once. serve.mu must be held.
func (b *Bridge) startReaders(p *Port) {
	for _, q := range p.queues {
		if !q.reader.Swap(true) {
			in := p.Input()
			b.serve.wg.Go(func() { b.read(in, q) }) // ends when the cable is closed or fails
		}
	}
}

// read carries frames from a cable into the bridge until the cable ends, reports
// that, and makes the last call that lets a driver give back memory.
func (b *Bridge) read(in *Input, q *queue) {
	in.owner = goroutineID()
	err := in.pump(q)
	if q.down.CompareAndSwap(true, false) {
		b.downs.Add(-1)
	}
	b.end(q, err)
	b.afterwards()
	if !errors.Is(err, net.ErrClosed) {
		_, _ = readFrames(q.io, make([]frame.Frame, 1))
	}
}

// pump says why the cable ended.
func (in *Input) pump(q *queue) error {
	fs := make([]frame.Frame, batchSize)
	for {
		if q.down.Load() {
			q.asked.Store(in.b.uptime())
		}
		n, err := readFrames(q.io, fs)
		q.asked.Store(0)
		down := err != nil && isErrno(err, ENETDOWN)
		if n > 0 && !down && q.down.Load() {
			in.b.cableUp(q)
			in.b.afterwards() // these frames are to find the port as it is now
		}
		if n > 0 {
			_ = in.Receive(fs[:n]) // what is refused is counted
		}
		switch {
		case err == nil:
		case !down:
			return err
		default: // nothing can be read: neither poll hard nor end
			in.b.cableDown(q, err)
			in.b.afterwards()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-q.gone:
				return err
			}
		}
	}
}

// readFrames keeps a driver's panic, and its arithmetic, from the rest.
func readFrames(cable FrameIO, fs []frame.Frame) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, fmt.Errorf("bridge: ReadFrames panicked: %v", r)
		}
	}()
	n, err = cable.ReadFrames(fs)
	if n < 0 || n > len(fs) {
		return 0, fmt.Errorf("bridge: ReadFrames answered %d for %d frames", n, len(fs))
	}
	if n == 0 && err == nil {
		return 0, io.ErrNoProgress
	}
	return n, err
}

// Tick runs the timers that are due at now, which is on the scale of
// Config.Clock. Serve calls it; a simulation does too.
func (b *Bridge) Tick(now time.Time) {
	at := stampOf(now.Sub(b.start))
	b.spanning.tick(now.Sub(b.start))
	cfg := b.cfg.Load()
	if cfg.info.Up && b.gcAt.Load() <= int64(at) {
		b.collect(at)
	}
	if b.fdb.restAt.Load() <= int64(at) {
		b.fdb.rest(at)
	}
	if !cfg.closed {
		b.snooping.tick(now.Sub(b.start))
	}
	b.events.deliver()
}

// NextTimer says when Tick is to be called next; ok is false while no timer runs.
func (b *Bridge) NextTimer() (at time.Time, ok bool) {
	cfg := b.cfg.Load()
	if cfg.closed {
		return time.Time{}, false
	}
	next := min(b.snooping.next.Load(), b.spanning.next.Load()) // which go on while the bridge is down
	if at := b.fdb.restAt.Load(); at != never {
		next = min(next, at*int64(time.Millisecond)) // so does this
	}
	if cfg.info.Up {
		next = min(next, int64(time.Duration(b.gcAt.Load())*time.Millisecond))
	}
	return b.start.Add(time.Duration(next)), next != never
}

// collect runs the FDB's collector, unless the bridge is down: then nothing ages.
func (b *Bridge) collect(now stamp) {
	b.collecting.Lock()
	b.collected++
	turn := b.collected
	b.gcAt.Store(int64(now + 10)) // until it is known better: a handler may call Tick
	b.collecting.Unlock()
	if cfg := b.cfg.Load(); cfg.info.Up {
		next := b.fdb.collect(now, cfg.hold, b.events.deliver)
		b.collecting.Lock()
		if turn == b.collected { // else one that knows a newer ageing time runs, or has run
			b.gcAt.Store(int64(next))
			b.poke()
		}
		b.collecting.Unlock()
	}
	b.events.deliver()
}

// poke has Serve's timers look again.
func (b *Bridge) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *Bridge) runTimers() {
	timer := time.NewTimer(driverPatience)
	defer timer.Stop()
	patrol := time.Now().Add(driverPatience)
	for {
		if now := time.Now(); !now.Before(patrol) {
			b.patrol()
			patrol = now.Add(driverPatience)
		}
		wait := time.Until(patrol)
		if at, ok := b.NextTimer(); ok {
			wait = min(max(at.Sub(b.clock()), time.Millisecond), wait)
		}
		if b.downs.Load() > 0 {
			wait = min(wait, readPatience)
			b.lookForUp()
		}
		timer.Reset(wait)
		select {
		case <-b.serve.done:
			return
		case <-b.wake:
			b.events.deliver()
		case <-timer.C:
			b.Tick(b.clock())
		}
	}
}

// register has changes wait for an Input's batches, unless its port has left: then
// it receives nothing that could matter.
func (b *Bridge) register(in *Input) {
	b.inputsMu.Lock()
	defer b.inputsMu.Unlock()
	if in.port == nil || !in.port.left.Load() {
		b.inputs = append(b.inputs[:len(b.inputs):len(b.inputs)], in)
	}
}

// registered is a list that stays as it is.
func (b *Bridge) registered() []*Input {
	b.inputsMu.Lock()
	defer b.inputsMu.Unlock()
	return b.inputs
}

// forget no longer waits for the Inputs of a port that leaves.
func (b *Bridge) forget(p *Port) {
	b.inputsMu.Lock()
	p.left.Store(true)
	b.inputsMu.Unlock()
	b.unregister(func(in *Input) bool { return in.port == p })
}

func (b *Bridge) unregister(which func(*Input) bool) {
	b.inputsMu.Lock()
	defer b.inputsMu.Unlock()
	b.inputs = slices.DeleteFunc(slices.Clone(b.inputs), which)
}
