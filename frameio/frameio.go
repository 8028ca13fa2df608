// Package frameio makes cables for a bridge out of things that carry frames.
//
// A bridge speaks to its cables in batches, with VLAN tags held aside and memory
// lent for the time of a batch (bridge.FrameIO). Most things that carry frames
// are simpler: a Read gives one frame, a Write takes one. Single makes the one
// out of the other. Package frameio/frameiotest holds the suite that every
// FrameIO, from here or from elsewhere, has to pass.
package frameio

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const (
	// defaultMaxFrame is a packet of 65536 bytes with an Ethernet header and a
	// VLAN tag.
	defaultMaxFrame = 65536 + frame.HeaderLen + frame.TagLen

	// A Read that gives nothing maxIdle times in a row within idleSpan does not
	// wait, and would keep a processor busy. Each such round is followed by a
	// pause, which doubles from minPause to maxPause. Rounds rather than single
	// Reads, so that what a peer sends in vain delays what others send by little.
	maxIdle  = 100
	idleSpan = time.Second
	minPause = time.Millisecond
	maxPause = 10 * time.Millisecond

	// maxTries bounds how often one Write is repeated because a signal came.
	maxTries = 100
)

// SingleOptions are the options of Single; the zero value fits every Ethernet
// device.
type SingleOptions struct {
	// MaxFrame is the longest frame carried, in bytes from the destination
	// address to the end of the payload, tag included, either way. 0 (or less)
	// means 65554. The cable holds one such buffer for reading.
	MaxFrame int
}

// SingleIO is the FrameIO that Single makes.
type SingleIO struct {
	rw  io.ReadWriteCloser
	max int

	// ReadFrames's.
	buf       []byte        // lent; max+1 bytes, so that a longer frame is noticed
	idle      int           // reads in a row that gave nothing, of this round
	idleSince time.Time     // the first of them
	pause     time.Duration // the last one; 0: none since a byte came
	paused    bool          // pause is to be made before the next Read
	later     error         // came along with a frame; the answer to the next ReadFrames

	// WriteFrames's.
	scratch []byte // the wire form of a frame that is not plain

	closed  atomic.Bool
	done    chan struct{} // closed with rw; ends a pause
	close   func() error  // closes done and rw once
	tooLong atomic.Uint64
}

var _ bridge.FrameIO = (*SingleIO)(nil)

// Single makes a cable of rw, each of whose Reads gives one whole frame and each
// of whose Writes takes one: a packet socket, a datagram socket, a TUN library's
// device, a message queue. A stream will not do, nor will a Read that cuts a
// frame short when the buffer would have held it.
//
// Read waits for a frame and is called by one goroutine at a time, Write by
// another. Write must not wait for a slow peer, since a bridge would wait with
// it: let it answer EAGAIN or ENOBUFS, or drop the frame. Close must end a Read
// that waits. Single closes rw once.
func Single(rw io.ReadWriteCloser, opts SingleOptions) *SingleIO {
	longest := opts.MaxFrame
	if longest <= 0 {
		longest = defaultMaxFrame
	}
	done := make(chan struct{})
	return &SingleIO{rw: rw, max: longest, done: done, close: sync.OnceValue(func() error {
		close(done)
		return rw.Close()
	})}
}

// Caps is what the cable takes, for PortConfig.Caps: tags held aside, frames up
// to MaxFrame, and no offloads.
func (s *SingleIO) Caps() bridge.Caps {
	return bridge.Caps{TagAside: true, MaxFrame: s.max}
}

// TooLong is how many frames were read that were longer than MaxFrame. What
// Read gave of them is not passed on: a frame cut short is none.
func (s *SingleIO) TooLong() uint64 { return s.tooLong.Load() }

// ReadFrames waits for one frame, whatever len(fs). Its Data is lent until the
// next ReadFrames begins. A runt is given as it came, an empty Read as a frame
// of no bytes: the bridge judges, and counts, them.
//
// Nothing that a peer sends, or leaves unread, ends the cable. A Read is tried
// again that fails with EINTR, EAGAIN, ENOBUFS or a deadline, or, unless rw is a
// stream of package net, with ECONNREFUSED, EHOSTUNREACH, ENETUNREACH or another
// error that tells of a datagram not delivered. After a hundred Reads in a row
// within a second that failed so, or gave no byte, ReadFrames pauses before the
// next, first for 1 ms and in the end for 10 ms; Close ends a pause. So an rw
// whose Read does not wait costs little, but is late by up to a pause.
//
// Any other error ends the cable, io.EOF as it is. An error matching os.ErrClosed
// or io.ErrClosedPipe, and any error after Close, matches net.ErrClosed here;
// syscall.ENETDOWN also matches bridge.ENETDOWN.
func (s *SingleIO) ReadFrames(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	if s.buf == nil {
		s.buf = make([]byte, s.max+1)
	}
	spoilLent(s.buf)
	for {
		s.rest()
		if s.closed.Load() {
			return 0, errClosed
		}
		if err := s.later; err != nil {
			s.later = nil
			return 0, err
		}
		n, err := s.rw.Read(s.buf)
		got, err := s.judge(n, err)
		if err != nil {
			return 0, err
		}
		if got {
			fs[0] = frame.Frame{Data: s.buf[:n:n]}
			return 1, nil
		}
	}
}

// judge looks at what Read answered and says whether it gave a frame to pass on,
// or how ReadFrames ends; neither means to read again.
func (s *SingleIO) judge(n int, err error) (got bool, end error) {
	if s.closed.Load() {
		return false, errClosed // also when a frame came: after Close, nothing is given
	}
	lasts := err != nil && !passes(err) && !notDelivered(err)
	if n > 0 {
		s.idle, s.pause = 0, 0
		if lasts {
			s.later = s.mapErr("read", err)
		}
		if n > s.max {
			s.tooLong.Add(1)
			return false, nil
		}
		return true, nil
	}
	if lasts {
		return false, s.mapErr("read", err)
	}
	s.gaveNothing()
	return err == nil, nil // a frame of no bytes, or read again
}

// gaveNothing counts a Read that gave no byte, and asks for a pause when there
// have been too many of them in too short a time.
func (s *SingleIO) gaveNothing() {
	if s.idle == 0 {
		s.idleSince = time.Now()
	}
	s.idle++
	if s.idle < maxIdle {
		return
	}
	s.idle = 0
	if time.Since(s.idleSince) >= idleSpan {
		s.pause = 0
		return
	}
	s.pause = min(max(2*s.pause, minPause), maxPause)
	s.paused = true
}

// rest makes the pause that is due, if any, or as much of it as Close leaves.
func (s *SingleIO) rest() {
	if !s.paused {
		return
	}
	s.paused = false
	t := time.NewTimer(s.pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.done:
	}
}

// WriteFrames writes frame after frame, each with one Write of its wire form.
// *FrameError: fs[n] is too long, owes a checksum or a segmentation, lacks bytes
// that its fields promise, was written in part, was refused with EMSGSIZE, or,
// unless rw is a stream of package net, with ECONNREFUSED, EHOSTUNREACH,
// ENETUNREACH or another error that tells of a datagram not delivered, be it this
// one or one before it: the peer may be back for the next. EAGAIN, ENOBUFS and a
// write deadline that has passed are ErrQueueFull, EINTR is tried again. Errors of
// a closed rw, and of one that is down, match as in ReadFrames.
func (s *SingleIO) WriteFrames(fs []frame.Frame) (int, error) {
	if s.closed.Load() {
		return 0, errClosed
	}
	for i := range fs {
		if err := s.writeFrame(&fs[i]); err != nil {
			return i, err
		}
	}
	return len(fs), nil
}

func (s *SingleIO) writeFrame(f *frame.Frame) error {
	if err := s.unfit(f); err != nil {
		return err
	}
	wire := f.Data
	if !f.Plain() {
		s.scratch = f.AppendWire(slices.Grow(s.scratch[:0], f.WireLen()))
		wire = s.scratch
	}
	for range maxTries {
		n, err := s.rw.Write(wire)
		switch {
		case err == nil && n == len(wire):
			return nil
		case err == nil:
			return &bridge.FrameError{Reason: bridge.DropDriver, Err: fmt.Errorf("%w: %d of %d bytes", io.ErrShortWrite, n, len(wire))}
		case s.closed.Load():
			return errClosed
		case interrupted(err):
			continue
		case tooLongForMedium(err):
			return &bridge.FrameError{Reason: bridge.DropTooLong, Err: err}
		case notDelivered(err):
			return &bridge.FrameError{Reason: bridge.DropDriver, Err: err}
		}
		return s.mapErr("write", err)
	}
	return bridge.ErrQueueFull
}

// unfit gives the refusal of a frame that rw is not even asked to take.
func (s *SingleIO) unfit(f *frame.Frame) error {
	switch {
	case len(f.Data) < frame.HeaderLen:
		return &bridge.FrameError{Reason: bridge.DropRunt}
	case !f.WellFormed():
		return &bridge.FrameError{Reason: bridge.DropTaggedRunt}
	case !f.Owed.None():
		return &bridge.FrameError{Reason: bridge.DropNoOffload, Err: errOwes}
	case f.WireLen() > s.max:
		return &bridge.FrameError{Reason: bridge.DropTooLong, Err: fmt.Errorf("%d bytes; the longest taken are %d", f.WireLen(), s.max)}
	}
	return nil
}

// Close closes rw, once, and gives that Close's answer each time. ReadFrames and
// WriteFrames fail from now on.
func (s *SingleIO) Close() error {
	s.closed.Store(true)
	return s.close()
}

var (
	errClosed = fmt.Errorf("frameio: the cable is closed: %w", net.ErrClosed)
	errOwes   = errors.New("the cable takes whole frames alone: leave Checksum, TSO and USO out of its Caps")
)

// mapErr gives rw's error the form that a bridge knows.
func (s *SingleIO) mapErr(op string, err error) error {
	switch {
	case s.closed.Load():
		return errClosed
	case op == "write" && passes(err):
		return bridge.ErrQueueFull
	case errors.Is(err, net.ErrClosed):
	case errors.Is(err, os.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return fmt.Errorf("frameio: %s: %w (%w)", op, err, net.ErrClosed)
	case netDown(err):
		return fmt.Errorf("frameio: %s: %w (%w)", op, err, bridge.ENETDOWN)
	case err == io.EOF:
		return io.EOF
	}
	return fmt.Errorf("frameio: %s: %w", op, err)
}
