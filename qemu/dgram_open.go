package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/ddfb540f/bridge"
)

// What the system is asked to keep for a socket, in bytes. It may allow less.
const (
	dgramReadBuf  = 4 << 20
	dgramWriteBuf = 1 << 20
)

// dgramKind says how a Dgram knows its peer.
type dgramKind uint8

const (
	kindUDP     dgramKind = iota // the socket is connected
	kindGroup                    // a multicast group: all but itself
	kindUnix                     // whoever may send to the path
	kindLearned                  // who sent first
)

// dgramConn is a *net.UDPConn or a *net.UnixConn.
type dgramConn interface {
	net.Conn
	net.PacketConn
	syscall.Conn
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

var (
	_ dgramConn = (*net.UDPConn)(nil)
	_ dgramConn = (*net.UnixConn)(nil)
)

// sockets are what a Dgram reads and writes: one for both but for a group, since
// all its members are bound to the same address, and could not tell their own frames.
type sockets struct {
	kind    dgramKind
	in, out dgramConn
	remote  string         // kindUnix's
	own     netip.AddrPort // kindGroup's: where its own frames come from
	path    string         // to be removed by close
}

// close removes the path first, as long as nobody else can have made it theirs.
func (s *sockets) close() (err error) {
	if s.path != "" {
		if err = os.Remove(s.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	err = errors.Join(err, s.in.Close())
	if s.out != s.in {
		err = errors.Join(err, s.out.Close())
	}
	return err
}

func (cfg *DgramConfig) open() (s sockets, err error) {
	if cfg.Local == cfg.Remote && cfg.Local != "" {
		return s, fmt.Errorf("%w: Local and Remote are the same: the peer has a socket of its own", bridge.EINVAL)
	}
	if strings.HasPrefix(cfg.Local, "unix:") {
		s, err = cfg.openUnix()
	} else {
		s, err = cfg.openUDP()
	}
	if err != nil {
		return s, err
	}
	_ = s.in.SetReadBuffer(dgramReadBuf) // less will do
	_ = s.out.SetWriteBuffer(dgramWriteBuf)
	return s, nil
}

func (cfg *DgramConfig) openUnix() (s sockets, err error) {
	_, at, err := parseAddress(cfg.Local, "udp", "unixgram")
	if err != nil {
		return s, err
	}
	s.kind = kindLearned
	if cfg.Remote != "" {
		network, remote, err := parseAddress(cfg.Remote, "udp", "unixgram")
		if err != nil {
			return s, err
		}
		if network != "unixgram" {
			return s, fmt.Errorf("%w: Local is a unix socket, and Remote is not", bridge.EINVAL)
		}
		s.kind, s.remote = kindUnix, remote
	}
	var conn *net.UnixConn
	err = overStale("unixgram", at, func() (err error) {
		conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
		return err
	})
	if err != nil {
		return s, err
	}
	if !strings.HasPrefix(at, "@") {
		s.path = at
	}
	s.in, s.out = conn, conn
	return s, nil
}

func (cfg *DgramConfig) openUDP() (s sockets, err error) {
	remote, err := resolveUDP(cfg.Remote)
	if err != nil {
		return s, err
	}
	if remote.Port == 0 {
		return s, fmt.Errorf("%w: Remote has port 0, which nobody can be at", bridge.EINVAL)
	}
	var local *net.UDPAddr
	if cfg.Local != "" {
		if local, err = resolveUDP(cfg.Local); err != nil {
			return s, err
		}
	}
	if remote.IP.IsMulticast() {
		return openGroup(local, remote)
	}
	if local == nil {
		return s, fmt.Errorf("%w: Local is empty: the peer has to know where to send", bridge.EINVAL)
	}
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		return s, err
	}
	return sockets{kind: kindUDP, in: conn, out: conn}, nil
}

func resolveUDP(text string) (*net.UDPAddr, error) {
	network, at, err := parseAddress(text, "udp", "unixgram")
	if err != nil {
		return nil, err
	}
	if network != "udp" {
		return nil, fmt.Errorf("%w: one of Local and Remote is a unix socket, and one is not", bridge.EINVAL)
	}
	return net.ResolveUDPAddr("udp", at)
}

// openGroup joins an IPv4 multicast group on the interface that has the address local,
// or on the one that the system chooses. Frames leave by a socket of their own, whose
// address tells them when they come back.
func openGroup(local, group *net.UDPAddr) (s sockets, err error) {
	if group.IP.To4() == nil || local != nil && local.IP.To4() == nil {
		return s, fmt.Errorf("%w: a multicast group is one of IPv4, and so is Local", bridge.EINVAL)
	}
	if local != nil && local.Port != 0 {
		return s, fmt.Errorf("%w: Local says which interface reaches a multicast group: its port is 0", bridge.EINVAL)
	}
	out, err := net.DialUDP("udp4", local, group)
	if err != nil {
		return s, err
	}
	in, err := joinGroup(local, group)
	if err != nil {
		out.Close()
		return s, err
	}
	own := out.LocalAddr().(*net.UDPAddr).AddrPort()
	own = netip.AddrPortFrom(own.Addr().Unmap(), own.Port())
	return sockets{kind: kindGroup, in: in, out: out, own: own}, nil
}
