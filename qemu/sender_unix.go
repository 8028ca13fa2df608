//go:build unix

package qemu

import "syscall"

// A sender sends datagrams without waiting.
type sender struct {
	raw syscall.RawConn
	fn  func(fd uintptr)
	b   []byte
	p   *peer // nil: the socket is connected
	err error
}

func newSender(conn dgramConn) (*sender, error) {
	raw, err := conn.SyscallConn()
	s := &sender{raw: raw}
	s.fn = s.sendTo
	return s, err
}

func (s *sender) send(b []byte, p *peer) error {
	s.b, s.p = b, p
	err := s.raw.Control(s.fn)
	s.b, s.p = nil, nil
	if err != nil {
		return err
	}
	return judge(s.err)
}

// sendTo relies on the descriptor, which the runtime polls, not to block.
func (s *sender) sendTo(fd uintptr) {
	for {
		if s.p == nil {
			_, s.err = syscall.Write(int(fd), s.b)
		} else {
			s.err = syscall.Sendto(int(fd), s.b, 0, &syscall.SockaddrUnix{Name: s.p.name})
		}
		if s.err != syscall.EINTR {
			return
		}
	}
}
