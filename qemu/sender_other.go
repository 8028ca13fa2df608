//go:build !unix

package qemu

// A sender sends datagrams of UDP, which wait for nobody but the system.
type sender struct{ conn dgramConn }

func newSender(conn dgramConn) (*sender, error) { return &sender{conn}, nil }

func (s *sender) send(b []byte, p *peer) error {
	if p != nil {
		return errNoPeer
	}
	_, err := s.conn.Write(b)
	return judge(err)
}
