package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const (
	defaultQueueBytes = 1 << 20
	minQueueBytes     = prefixLen + MaxFrame // the rest of a frame always has room
	minReconnect      = time.Millisecond
)

// StreamConfig says where the peer of a Stream is. Only Address has to be set.
type StreamConfig struct {
	// Address is "unix:PATH" or "tcp:HOST:PORT". On Linux a PATH that begins with
	// @ is a name in the abstract namespace.
	Address string

	// Reconnect is for Connect: how long after each attempt that failed, and after
	// the end of each connection, the next attempt is made, 1 ms or more; always the
	// same. 0: there is one connection, and its end is the cable's.
	Reconnect time.Duration

	// QueueBytes is how much is kept for a peer that does not read as fast as the
	// bridge writes, in bytes with 4 more for each frame; 69636 or more, 0 is 1 MiB.
	// Memory is taken as it is needed.
	QueueBytes int
}

// A Stream is a cable to a program that speaks QEMU's -netdev stream or socket over a
// connection; its peers may come and go. It takes frames of up to MaxFrame bytes, and
// a peer's length is believed up to that: a longer one ends the connection.
//
// All methods may be called from several goroutines at once, but ReadFrames and
// WriteFrames each from one at a time (see bridge.FrameIO).
type Stream struct {
	address    string // for errors
	queueBytes int
	lasting    bool // the end of a connection is not the end of the cable
	listener   net.Listener
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	close      func() error
	closed     atomic.Bool
	routines   sync.WaitGroup

	in      parser                  // the one reader's
	link    atomic.Pointer[link]    // nil: there is no peer
	absence atomic.Pointer[absence] // then

	mu sync.Mutex // lets links begin and end one at a time, none begin after Close, and Stats see no half of it

	connections, badLengths, cutShort, dropped atomic.Uint64
}

var _ bridge.FrameIO = (*Stream)(nil)

// absence is why there is no peer.
type absence struct {
	ended  error // what ended the last connection or attempt; nil: there was none
	answer error // what calls answer
}

// StreamStats is what a Stream has counted since it was made, and how it is now.
type StreamStats struct {
	Connected   bool   // there is a peer now
	Ended       error  // if there is none: what ended the last connection (io.EOF: the peer) or attempt; nil: there was neither
	Connections uint64 // how many there were, with that
	BadLengths  uint64 // connections that were ended because a frame was announced that is longer than MaxFrame
	CutShort    uint64 // frames that the peer had sent in part when the connection ended
	Dropped     uint64 // frames that WriteFrames took, and that were not sent whole when the connection ended
	Queued      int    // bytes that wait for the peer now
}

// Listen waits for a peer at cfg.Address. It serves one at a time, and the next that
// connects meanwhile when that has gone; until then the system holds what it sends. A
// unix socket is removed by Close, and one that a program left behind is replaced; its
// mode is what the umask leaves, and who may write to it may connect.
//
// Errors of a StreamConfig that makes no sense match bridge.EINVAL; others are those
// of package net.
func Listen(cfg StreamConfig) (*Stream, error) {
	network, at, err := cfg.check()
	if err == nil && cfg.Reconnect != 0 {
		err = fmt.Errorf("%w: Reconnect is for Connect", bridge.EINVAL)
	}
	if err != nil {
		return nil, fmt.Errorf("qemu: listen: %w", err)
	}
	s := newStream(cfg)
	err = overStale(network, at, func() (err error) {
		s.listener, err = net.Listen(network, at)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("qemu: listen on %s: %w", cfg.Address, err)
	}
	s.lasting = true
	s.absent(errors.New("nobody has connected yet"), nil)
	s.routines.Go(s.accept) // ends with Close
	return s, nil
}

// Connect makes a connection to cfg.Address. Without Reconnect there has to be a
// listener, for whom it waits 10 s at most, and the end of the connection ends the
// cable with io.EOF. With Reconnect it returns at once, and a peer may come at any
// time and any number of times. Errors are as those of Listen.
func Connect(cfg StreamConfig) (*Stream, error) {
	network, at, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("qemu: connect: %w", err)
	}
	s := newStream(cfg)
	if cfg.Reconnect != 0 {
		s.lasting = true
		s.absent(errors.New("not connected yet"), nil)
		s.routines.Go(func() { s.connect(network, at, cfg.Reconnect) }) // ends with Close
		return s, nil
	}
	conn, err := s.dial(network, at)
	if err != nil {
		return nil, fmt.Errorf("qemu: connect to %s: %w", cfg.Address, err)
	}
	s.begin(conn)
	return s, nil
}

// NewStream takes over a connection that there is, such as one end of a socketpair
// whose other end a child was given (-netdev stream,addr.type=fd; passt --fd). It
// needs no Address, and no Reconnect: the end of the connection ends the cable with
// io.EOF. Errors match bridge.EINVAL.
func NewStream(conn net.Conn, cfg StreamConfig) (*Stream, error) {
	if cfg.Address != "" || cfg.Reconnect != 0 {
		return nil, fmt.Errorf("qemu: new stream: %w: the connection says where the peer is: Address and Reconnect stay empty", bridge.EINVAL)
	}
	if err := cfg.checkQueue(); err != nil {
		return nil, fmt.Errorf("qemu: new stream: %w", err)
	}
	s := newStream(cfg)
	s.address = "a connection"
	s.begin(conn)
	return s, nil
}

func (cfg *StreamConfig) check() (network, at string, err error) {
	if cfg.Reconnect != 0 && cfg.Reconnect < minReconnect {
		return "", "", fmt.Errorf("%w: Reconnect is less than 1 ms", bridge.EINVAL)
	}
	if err := cfg.checkQueue(); err != nil {
		return "", "", err
	}
	return parseAddress(cfg.Address, "tcp", "unix")
}

func (cfg *StreamConfig) checkQueue() error {
	if cfg.QueueBytes != 0 && cfg.QueueBytes < minQueueBytes {
		return fmt.Errorf("%w: QueueBytes is less than the longest frame takes, %d", bridge.EINVAL, minQueueBytes)
	}
	return nil
}

func newStream(cfg StreamConfig) *Stream {
	s := &Stream{address: cfg.Address, queueBytes: cfg.QueueBytes}
	if s.queueBytes == 0 {
		s.queueBytes = defaultQueueBytes
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.close = sync.OnceValue(s.closeOnce)
	return s
}

// Caps is what the cable takes, for bridge.PortConfig.Caps.
func (s *Stream) Caps() bridge.Caps { return bridge.Caps{TagAside: true, MaxFrame: MaxFrame} }

// Lost is how many frames the peer had begun to send, or announced, that ReadFrames
// could not give; for bridge.PortConfig.Lost.
func (s *Stream) Lost() uint64 { return s.badLengths.Load() + s.cutShort.Load() }

// Stats is what was counted.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock() // Connections, Connected and Ended are of one moment
	st := StreamStats{
		Connections: s.connections.Load(), BadLengths: s.badLengths.Load(),
		CutShort: s.cutShort.Load(), Dropped: s.dropped.Load(),
	}
	switch l := s.link.Load(); {
	case s.closed.Load():
		st.Ended = errClosed
	case l != nil:
		st.Connected, st.Queued = true, l.queued()
	default:
		st.Ended = s.absence.Load().ended
	}
	return st
}

// Addr is where a Stream of Listen listens, which tells the port if that of its
// Address was 0; nil for others.
func (s *Stream) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// ReadFrames waits for frames from the peer and gives those that one read of up to
// 256 KB brought whole. Their Data lies in that memory, and is lent until the next
// ReadFrames begins. A frame shorter than a header, which a guest may well send, is
// given as it came: the bridge counts it.
//
// While there is no peer it answers an error that says why, matching bridge.ENETDOWN,
// at once and each time, and at least once for each connection that ended; or io.EOF
// if there will not be another. After Close the error matches net.ErrClosed.
func (s *Stream) ReadFrames(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	s.in.endLoan()
	for {
		if s.closed.Load() {
			return 0, errClosed
		}
		l := s.link.Load()
		if l == nil {
			return 0, s.whyNot()
		}
		if s.in.link != l {
			s.in.begin(l)
		}
		n, err := s.in.take(fs)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			err = s.in.fill(l.conn)
		}
		if err != nil {
			return 0, s.end(l, err)
		}
	}
}

// WriteFrames sends fs to the peer, many frames a system call. It never waits: from
// where the socket has no room, frames are queued, and ErrQueueFull is the answer
// when QueueBytes are. What is queued is sent when there is room, whether or not
// anything else is written; Dropped counts what the end of the connection leaves of
// it. *bridge.FrameError: fs[n] is longer than MaxFrame, shorter than its header and
// tag, or owes something. The error matches bridge.ENETDOWN while there is no peer,
// and is as that of ReadFrames when the cable has ended.
func (s *Stream) WriteFrames(fs []frame.Frame) (int, error) {
	if s.closed.Load() {
		return 0, errClosed
	}
	if len(fs) == 0 {
		return 0, nil
	}
	l := s.link.Load()
	if l == nil {
		return 0, s.whyNot()
	}
	n, err, up := l.write(fs)
	switch {
	case up:
		return n, err
	case s.closed.Load():
		return n, errClosed
	}
	return n, errLeaving
}

// errLeaving is what is answered between the moment when nothing more can be sent and
// that when all is read.
var errLeaving = fmt.Errorf("qemu: the peer has gone: %w", bridge.ENETDOWN)

// whyNot is what calls answer without a peer.
func (s *Stream) whyNot() error {
	if s.closed.Load() {
		return errClosed
	}
	return s.absence.Load().answer
}

// absent says why there is no peer, before there is none, and what ended the last
// connection or attempt. The answer is no other error than it says: a cause that
// matches net.ErrClosed must not look like the cable's end.
func (s *Stream) absent(why, ended error) error {
	_, bad := why.(lengthError)
	var err error
	switch {
	case s.lasting && why == io.EOF:
		err = fmt.Errorf("qemu: %s: %w: the peer has gone", s.address, bridge.ENETDOWN)
	case s.lasting:
		err = fmt.Errorf("qemu: %s: %w: %v", s.address, bridge.ENETDOWN, why)
	case bad:
		err = fmt.Errorf("qemu: %s: %v: %w", s.address, why, io.EOF)
	default:
		err = io.EOF
	}
	s.absence.Store(&absence{ended, err})
	return err
}

// Close ends the connection and closes the listener, and returns when no goroutine
// is left. What is queued for the peer is dropped.
func (s *Stream) Close() error {
	s.closed.Store(true)
	return s.close()
}

func (s *Stream) closeOnce() (err error) {
	s.cancel()
	if s.listener != nil {
		err = s.listener.Close()
	}
	s.mu.Lock()
	l := s.link.Load()
	s.mu.Unlock()
	if l != nil {
		l.end()
	}
	s.routines.Wait()
	if err != nil {
		return fmt.Errorf("qemu: close %s: %w", s.address, err)
	}
	return nil
}
