package qemu

import (
	"context"
	"errors"
	"net"
	"time"
)

const (
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 10 * time.Second

	// acceptPause is how long no connection is accepted when that failed, such as
	// for want of file descriptors.
	acceptPause = 100 * time.Millisecond
)

// accept serves one connection after the other.
func (s *Stream) accept() {
	for s.ctx.Err() == nil {
		conn, err := s.listener.Accept()
		if err != nil {
			s.rest(acceptPause)
			continue
		}
		if l := s.begin(conn); l != nil {
			<-l.done
		}
	}
}

// connect makes one connection after the other.
func (s *Stream) connect(network, at string, pause time.Duration) {
	for s.ctx.Err() == nil {
		conn, err := s.dial(network, at)
		if err != nil {
			s.absent(err, err)
		} else if l := s.begin(conn); l != nil {
			<-l.done
		}
		s.rest(pause)
	}
}

func (s *Stream) dial(network, at string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	return d.DialContext(ctx, network, at)
}

// rest waits, or as long as Close leaves.
func (s *Stream) rest(pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// begin makes a connection the one that is served; nil after Close.
func (s *Stream) begin(conn net.Conn) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		conn.Close()
		return nil
	}
	s.connections.Add(1)
	l := newLink(s, conn)
	s.link.Store(l)
	return l
}

// end ends a connection because of what its reader met, counts what that costs and
// gives what ReadFrames answers.
func (s *Stream) end(l *link, cause error) error {
	if s.closed.Load() {
		return errClosed
	}
	var bad lengthError
	switch {
	case errors.As(cause, &bad):
		s.badLengths.Add(1)
	case s.in.cut():
		s.cutShort.Add(1)
	}
	s.mu.Lock()
	err := s.absent(cause, cause)
	s.link.Store(nil)
	l.end()
	s.mu.Unlock()
	return err
}
