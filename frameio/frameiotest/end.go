package frameiotest

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

var errClosed = net.ErrClosed

// end is one end of a cable and, once it listens, what has arrived there.
type end struct {
	s    *suite
	name string
	peer *end
	io   bridge.FrameIO
	last frame.Frame // what carry saw last

	reader chan struct{} // closed when the reader has ended; nil before listen
	wake   chan struct{} // holds a token after an arrival

	mu  sync.Mutex
	in  []frame.Frame // arrived and not looked at; guarded by mu
	err error         // how the reader ended; guarded by mu
}

// junk is what stands in fs before ReadFrames, which has to set all of it.
var junk = frame.Frame{
	Data:   make([]byte, 64),
	Tag:    frame.Tag{TPID: 0xdead, TCI: 0xbeef},
	Lifted: true,
	Owed:   frame.Offload{Flags: 0xdb, GSOType: 0xdb, HdrLen: 0xdbdb, GSOSize: 0xdbdb, CsumStart: 0xdbdb, CsumOffset: 0xdbdb},
	Tunnel: 0xdeadbeef,
	Time:   -0xdeadbeef,

	Nexthop: 0xdeadbeef,
}

// unset names the field of f that ReadFrames left as it was.
func unset(f *frame.Frame) string {
	switch {
	case unsafe.SliceData(f.Data) == unsafe.SliceData(junk.Data):
		return "Data"
	case f.Tag == junk.Tag:
		return "Tag"
	case f.Lifted && !f.WellFormed():
		return "Lifted"
	case f.Owed == junk.Owed:
		return "Owed"
	case f.Tunnel == junk.Tunnel:
		return "Tunnel"
	case f.Time == junk.Time:
		return "Time"
	case f.Nexthop == junk.Nexthop:
		return "Nexthop"
	}
	return ""
}

// read is one ReadFrames, held against what it promises in every case.
func (e *end) read(fs []frame.Frame) (n int, err error) {
	for i := range fs {
		fs[i] = junk
	}
	n, err = e.io.ReadFrames(fs)
	if n < 0 || n > len(fs) {
		return 0, fmt.Errorf("%s: ReadFrames of at most %d frames gives n = %d", e.name, len(fs), n)
	}
	if n == 0 && err == nil {
		return 0, fmt.Errorf("%s: ReadFrames gives neither a frame nor an error", e.name)
	}
	for i := range fs[:n] {
		if field := unset(&fs[i]); field != "" {
			return 0, fmt.Errorf("%s: ReadFrames leaves fs[%d].%s as it was; it has to set the whole frame", e.name, i, field)
		}
	}
	return n, err
}

// listen reads until ReadFrames fails, up to batch frames a call, into the inbox.
func (e *end) listen(batch int) {
	e.reader, e.wake = make(chan struct{}), make(chan struct{}, 1)
	go func() { // ends when e is closed; awaitReader waits for it
		defer close(e.reader)
		defer func() {
			if p := recover(); p != nil {
				e.put(nil, fmt.Errorf("%s: ReadFrames panics: %v", e.name, p))
			}
		}()
		fs := make([]frame.Frame, batch)
		for {
			n, err := e.read(fs)
			e.put(fs[:n], err)
			if err != nil {
				return
			}
		}
	}()
}

// put notes what a read gave.
func (e *end) put(fs []frame.Frame, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range fs {
		if fs[i].WellFormed() && ours(fs[i].AppendWire(nil)) {
			e.in = append(e.in, fs[i].Clone())
		}
	}
	e.err = err
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// next waits for the next frame that arrives.
func (e *end) next(wait time.Duration) (frame.Frame, bool) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		e.mu.Lock()
		if len(e.in) > 0 {
			f := e.in[0]
			e.in = e.in[1:]
			e.mu.Unlock()
			return f, true
		}
		over := e.err != nil
		e.mu.Unlock()
		if over {
			return frame.Frame{}, false
		}
		select {
		case <-e.wake:
		case <-timeout.C:
			return frame.Frame{}, false
		}
	}
}

// readErr is how reading has ended, if it has.
func (e *end) readErr() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// missing is the error for a frame that does not arrive at e.
func (e *end) missing(format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if err := e.readErr(); err != nil {
		return fmt.Errorf("%s does not arrive at %s: reading has ended: %w", what, e.name, err)
	}
	return fmt.Errorf("%s does not arrive at %s within %v", what, e.name, e.s.opt.Wait)
}

// again reports whether f is what carry saw last: sent more than once over an
// unreliable medium, it may arrive more than once.
func (e *end) again(f frame.Frame) bool {
	return e.s.opt.Unreliable && e.last.Data != nil && diff(f, e.last) == ""
}

// quiet sees that nothing more arrives.
func (e *end) quiet() error {
	if f, ok := e.next(e.s.opt.Settle); ok && !e.again(f) {
		return fmt.Errorf("%s: a frame too many arrives: % x", e.name, f.Data[:min(64, len(f.Data))])
	}
	return nil
}

// flush forgets what arrives.
func (e *end) flush() {
	for {
		if _, ok := e.next(e.s.opt.Settle); !ok {
			return
		}
	}
}

// write is one WriteFrames, held against what it promises in every case.
func (e *end) write(fs []frame.Frame) (n int, err error) {
	var answer struct { // a call that comes late must not write to our results
		n   int
		err error
	}
	if late := e.s.bounded(e.name+": WriteFrames", func() { answer.n, answer.err = e.io.WriteFrames(fs) }); late != nil {
		return 0, late
	}
	n, err = answer.n, answer.err
	switch {
	case n < 0 || n > len(fs):
		return 0, fmt.Errorf("%s: WriteFrames of %d frames gives n = %d", e.name, len(fs), n)
	case err == nil && n < len(fs):
		return 0, fmt.Errorf("%s: WriteFrames of %d frames gives n = %d without an error", e.name, len(fs), n)
	case err != nil && n == len(fs):
		return 0, fmt.Errorf("%s: WriteFrames took all %d frames, and fails: %w", e.name, n, err)
	}
	var batch *bridge.BatchError
	if errors.As(err, &batch) && (len(batch.Frames) == 0 || len(batch.Frames) > len(fs)-n) {
		return 0, fmt.Errorf("%s: WriteFrames took %d of %d frames, and tells of %d more", e.name, n, len(fs), len(batch.Frames))
	}
	return n, err
}

// send writes fs as a bridge does: it goes on behind a frame that is refused and
// tries again, for a while, where there was no room. It gives the refused ones.
func (e *end) send(fs []frame.Frame) (refused []int, err error) {
	end, idle := time.Now().Add(e.s.opt.Wait), 0
	for at := 0; at < len(fs); {
		n, err := e.write(fs[at:])
		at += n
		if n > 0 {
			end, idle = time.Now().Add(e.s.opt.Wait), 0
		}
		var fe *bridge.FrameError
		var batch *bridge.BatchError
		switch {
		case err == nil:
		case errors.As(err, &fe):
			refused = append(refused, at)
			at++
		case errors.As(err, &batch):
			for _, verdict := range batch.Frames {
				if verdict != nil {
					refused = append(refused, at)
				}
				at++
			}
		case !errors.Is(err, bridge.ErrQueueFull):
			return refused, fmt.Errorf("%s: WriteFrames: %w", e.name, err)
		case e.peer.readErr() != nil:
			return refused, fmt.Errorf("%s: no room any more: reading at the other end has ended: %w", e.name, e.peer.readErr())
		case time.Now().After(end):
			return refused, fmt.Errorf("%s: no room for %v, though the other end reads: %w", e.name, e.s.opt.Wait, err)
		case idle < 100: // a reader in this process needs no more than a turn
			idle++
			runtime.Gosched()
		default:
			time.Sleep(time.Millisecond)
		}
	}
	return refused, nil
}

// sendAll is send of frames that must not be refused.
func (e *end) sendAll(fs []frame.Frame) error {
	refused, err := e.send(fs)
	if err == nil && len(refused) > 0 {
		f := fs[refused[0]]
		err = fmt.Errorf("%s: WriteFrames refuses a frame of %d bytes (tag %v, lifted %v)", e.name, f.WireLen(), f.Tag, f.Lifted)
	}
	return err
}

// offer writes fs once, with nobody reading at the other end, and gives those
// that were taken.
func (e *end) offer(fs []frame.Frame) ([]frame.Frame, error) {
	n, err := e.write(fs)
	if err == nil || errors.Is(err, bridge.ErrQueueFull) && n > 0 {
		return fs[:n], nil
	}
	return nil, fmt.Errorf("%s: WriteFrames of %d frames to an empty cable = %d: %w", e.name, len(fs), n, err)
}

// mayWrite writes fs once and does not mind if there is no room for all.
func (e *end) mayWrite(fs []frame.Frame) error {
	_, err := e.write(fs)
	if errors.Is(err, bridge.ErrQueueFull) {
		return nil
	}
	return err
}

// close closes the end; Close's own error is nobody's business.
func (e *end) close() error {
	return e.s.bounded(e.name+": Close", func() { e.io.Close() })
}

// awaitReader waits until the reader of a closed end has ended.
func (e *end) awaitReader() error {
	if e.reader == nil {
		return nil
	}
	return e.s.bounded(e.name+": ReadFrames after Close", func() { <-e.reader })
}
