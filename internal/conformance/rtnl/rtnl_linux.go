package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"
)

var ne = binary.NativeEndian

// Nested marks an attribute that holds attributes (NLA_F_NESTED).
const Nested = unix.NLA_F_NESTED

// typeMask takes the flags from an attribute's type (NLA_TYPE_MASK).
const typeMask = 0x3fff

// A Msg is a request that is being put together.
type Msg struct{ b []byte }

// New begins a request of a kind such as RTM_NEWLINK, with flags beside
// NLM_F_REQUEST and with the fixed part that the kind has.
func New(kind, flags uint16, fixed []byte) *Msg {
	m := &Msg{make([]byte, unix.SizeofNlMsghdr, 256)}
	ne.PutUint16(m.b[4:], kind)
	ne.PutUint16(m.b[6:], flags|unix.NLM_F_REQUEST)
	m.b = append(m.b, fixed...)
	m.pad()
	return m
}

// Link is a struct ifinfomsg; the bits of flags that are in change are set.
func Link(family uint8, index int32, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	b[0] = family
	ne.PutUint32(b[4:], uint32(index))
	ne.PutUint32(b[8:], flags)
	ne.PutUint32(b[12:], change)
	return b
}

// Neighbour is a struct ndmsg.
func Neighbour(family uint8, index int32, state uint16, flags uint8) []byte {
	b := make([]byte, unix.SizeofNdMsg)
	b[0] = family
	ne.PutUint32(b[4:], uint32(index))
	ne.PutUint16(b[8:], state)
	b[10] = flags
	return b
}

func (m *Msg) pad() {
	for len(m.b)%unix.NLMSG_ALIGNTO != 0 {
		m.b = append(m.b, 0)
	}
}

// Bytes adds an attribute.
func (m *Msg) Bytes(kind uint16, v []byte) *Msg {
	m.b = ne.AppendUint16(m.b, uint16(unix.SizeofNlAttr+len(v)))
	m.b = ne.AppendUint16(m.b, kind)
	m.b = append(m.b, v...)
	m.pad()
	return m
}

// U8 adds a number.
func (m *Msg) U8(kind uint16, v uint8) *Msg { return m.Bytes(kind, []byte{v}) }

// U16 adds a number.
func (m *Msg) U16(kind, v uint16) *Msg { return m.Bytes(kind, ne.AppendUint16(nil, v)) }

// U32 adds a number.
func (m *Msg) U32(kind uint16, v uint32) *Msg { return m.Bytes(kind, ne.AppendUint32(nil, v)) }

// U64 adds a number.
func (m *Msg) U64(kind uint16, v uint64) *Msg { return m.Bytes(kind, ne.AppendUint64(nil, v)) }

// Raw32 adds the numbers of a struct, inside of what Nest has begun.
func (m *Msg) Raw32(vs ...uint32) {
	for _, v := range vs {
		m.b = ne.AppendUint32(m.b, v)
	}
}

// Text adds a string with the zero at its end.
func (m *Msg) Text(kind uint16, v string) *Msg { return m.Bytes(kind, append([]byte(v), 0)) }

// Nest adds an attribute that holds those that fill adds.
func (m *Msg) Nest(kind uint16, fill func()) *Msg {
	at := len(m.b)
	m.b = append(m.b, 0, 0, 0, 0)
	fill()
	ne.PutUint16(m.b[at:], uint16(len(m.b)-at))
	ne.PutUint16(m.b[at+2:], kind)
	return m
}

// Attrs gives the attributes in b by their types, without flags, up to the first
// that is cut short. Fixed parts are the caller's to take off.
func Attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			size := int(ne.Uint16(b))
			if size < unix.SizeofNlAttr || size > len(b) {
				return
			}
			if !yield(ne.Uint16(b[2:])&typeMask, b[unix.SizeofNlAttr:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// Num is the number in an attribute of 1, 2, 4 or 8 bytes, 0 for others.
func Num(v []byte) uint64 {
	switch len(v) {
	case 1:
		return uint64(v[0])
	case 2:
		return uint64(ne.Uint16(v))
	case 4:
		return uint64(ne.Uint32(v))
	case 8:
		return ne.Uint64(v)
	}
	return 0
}

// A Conn is a socket of the namespace that it was opened in. One goroutine uses it
// at a time.
type Conn struct {
	fd  int
	seq uint32
	buf []byte
}

// patience bounds the wait for an answer, which the kernel gives while it takes the
// request: only a fault of this package could need it.
const patience = 20 // seconds

// Open opens a socket in the thread's network namespace.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink: %w", err)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience})
	return &Conn{fd: fd, buf: make([]byte, 64<<10)}, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// Do sends a request and waits for its acknowledgement: nil or the unix.Errno of
// the kernel's refusal.
func (c *Conn) Do(m *Msg) error {
	return c.ask(m, unix.NLM_F_ACK, func(uint16, []byte) {})
}

// Get asks for one object and gives what follows the header of the answer.
func (c *Conn) Get(m *Msg) (body []byte, err error) {
	err = c.ask(m, unix.NLM_F_ACK, func(_ uint16, b []byte) { body = append([]byte(nil), b...) })
	if err == nil && body == nil {
		err = errors.New("rtnetlink: no answer but an acknowledgement")
	}
	return body, err
}

// Dump asks for all objects; each gets what follows the header of every message,
// which is valid until it returns.
func (c *Conn) Dump(m *Msg, each func(body []byte)) error {
	return c.ask(m, unix.NLM_F_DUMP, func(_ uint16, b []byte) { each(b) })
}

func (c *Conn) ask(m *Msg, flags uint16, each func(kind uint16, body []byte)) error {
	c.seq++
	ne.PutUint32(m.b, uint32(len(m.b)))
	ne.PutUint16(m.b[6:], ne.Uint16(m.b[6:])|flags)
	ne.PutUint32(m.b[8:], c.seq)
	if err := unix.Sendto(c.fd, m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("rtnetlink: send: %v", err)
	}
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("rtnetlink: receive: %v", err)
		}
		if done, err := c.answers(c.buf[:n], each); done || err != nil {
			return err
		}
	}
}

// answers goes through the messages of one datagram.
func (c *Conn) answers(b []byte, each func(kind uint16, body []byte)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(ne.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true, errors.New("rtnetlink: a message is cut short")
		}
		kind, seq, body := ne.Uint16(b[4:]), ne.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size]
		b = b[min((size+3)&^3, len(b)):]
		switch {
		case seq != c.seq: // of a request that was given up
		case kind == unix.NLMSG_ERROR, kind == unix.NLMSG_DONE:
			if len(body) >= 4 && int32(ne.Uint32(body)) < 0 {
				return true, unix.Errno(-int64(int32(ne.Uint32(body)))) // also of the least int32
			}
			return true, nil
		default:
			each(kind, body)
		}
	}
	return false, nil
}
