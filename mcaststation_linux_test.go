package bridge_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// A mcStation is a stack of the kernel's with one interface: eth0, or br0 of the host.
// Its addresses end in its number, those of the host in 254: 10.9.0.1 and fd09::1, and as
// second ones 10.9.1.1 and fd09::1:1.
type mcStation struct {
	t       testing.TB
	i       int // 0 is the host
	ns, dev string
	link    net.Interface
	fd      int    // of a packet socket
	seen    mcSeen // what came in at the interface
	conns   map[mcFlow]net.Conn
}

// addStation makes a station of an interface that is up.
func (n *mcNet) addStation(ns, dev string) {
	t := n.t
	s := &mcStation{t: t, i: len(n.stations), ns: ns, dev: dev, conns: map[mcFlow]net.Conn{}}
	for _, second := range []bool{false, true} {
		ip4, ip6 := s.addresses(second)
		tapIP(t, ns, "address", "add", ip4+"/16", "dev", dev)
		tapIP(t, ns, "address", "add", ip6+"/64", "dev", dev, "nodad")
	}
	tapIP(t, ns, "route", "add", "224.0.0.0/4", "dev", dev)
	tapIn(t, ns, func() error {
		link, err := net.InterfaceByName(dev)
		if err == nil {
			s.link = *link
		}
		return err
	})
	s.fd = tapSocket(t, ns, dev)
	require.NoError(t, unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	var ended atomic.Bool
	done := make(chan struct{})
	go func() { // ends within a tenth of a second after ended
		defer close(done)
		for buf, oob := make([]byte, 1<<17), make([]byte, 256); !ended.Load(); {
			if wire, err := tapReceive(s.fd, buf, oob); err == nil {
				if tag, ok := mcTag(wire); ok {
					s.seen.add(s.i, tag, frame.MAC(wire[:6]))
				}
			}
		}
	}()
	t.Cleanup(func() {
		ended.Store(true)
		<-done
		_ = unix.Close(s.fd)
		for _, c := range s.conns {
			_ = c.Close()
		}
	})
	n.stations = append(n.stations, s)
}

func (s *mcStation) addresses(second bool) (ip4, ip6 string) {
	i, net4, net6 := s.i, 0, ""
	if i == 0 {
		i = 254
	}
	if second {
		net4, net6 = 1, "1:"
	}
	return fmt.Sprintf("10.9.%d.%d", net4, i), fmt.Sprintf("fd09::%s%d", net6, i)
}

// source is an address of the station as the source of what is for a group.
func (s *mcStation) source(group netip.Addr, second bool) netip.Addr {
	ip4, ip6 := s.addresses(second)
	if group.Is4() {
		return netip.MustParseAddr(ip4)
	}
	return netip.MustParseAddr(ip6)
}

// linkLocal waits for the link-local address of the station.
func (s *mcStation) linkLocal() (ip netip.Addr) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		tapIn(s.t, s.ns, func() error {
			all, err := s.link.Addrs()
			for _, a := range all {
				if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
					ip = p.Addr()
				}
			}
			return err
		})
		return ip.IsValid()
	}, mcPatience, 10*time.Millisecond)
	return ip
}

// dial gives the socket that sends a stream.
func (s *mcStation) dial(f mcFlow) net.Conn {
	s.t.Helper()
	if c := s.conns[f]; c != nil {
		return c
	}
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.source(f.group, f.second), 0))
	tapIn(s.t, s.ns, func() error {
		c, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(netip.AddrPortFrom(f.group, mcPort)))
		if err != nil {
			return err
		}
		s.conns[f] = c
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) { // routers send it on
			if f.group.Is4() {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 8)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 8)
			}
		})
	})
	return s.conns[f]
}

// fence sends a broadcast.
func (s *mcStation) fence(tag uint64) {
	s.t.Helper()
	wire := append(bytes.Repeat([]byte{0xff}, 6), s.link.HardwareAddr...)
	wire = binary.BigEndian.AppendUint16(wire, uint16(tapTestType))
	_, err := unix.Write(s.fd, append(wire, mcPayload(tag)...))
	require.NoError(s.t, err)
}

// A mcSocket is a socket that has joined a group.
type mcSocket struct{ file *os.File }

// join joins a group from any source, or with a source from that one alone.
func (s *mcStation) join(group netip.Addr, source ...netip.Addr) *mcSocket {
	s.t.Helper()
	family, level := unix.AF_INET, unix.IPPROTO_IP
	var bind unix.Sockaddr = &unix.SockaddrInet4{Port: mcPort}
	if group.Is6() {
		family, level = unix.AF_INET6, unix.IPPROTO_IPV6
		bind = &unix.SockaddrInet6{Port: mcPort}
	}
	opt := unix.MCAST_JOIN_GROUP
	if len(source) > 0 {
		opt = unix.MCAST_JOIN_SOURCE_GROUP
	}
	var fd int
	tapIn(s.t, s.ns, func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		all := unix.IP_MULTICAST_ALL // of other sockets' groups too: no
		if group.Is6() {
			all = unix.IPV6_MULTICAST_ALL
		}
		if err := unix.SetsockoptInt(fd, level, all, 0); err != nil {
			return err
		}
		if err := unix.Bind(fd, bind); err != nil {
			return err
		}
		return unix.SetsockoptString(fd, level, opt, s.groupRequest(group, source...))
	})
	m := &mcSocket{os.NewFile(uintptr(fd), group.String())}
	s.t.Cleanup(func() { _ = m.file.Close() })
	return m
}

// groupRequest is a struct group_req, or group_source_req: the number of the interface,
// and one or two sockaddr_storage.
func (s *mcStation) groupRequest(group netip.Addr, source ...netip.Addr) string {
	req := make([]byte, 8)
	binary.NativeEndian.PutUint32(req, uint32(s.link.Index))
	for _, ip := range append([]netip.Addr{group}, source...) {
		req = append(req, mcSockaddr(ip)...)
	}
	return string(req)
}

// change has a socket of the station want a source, or want it no more.
func (m *mcSocket) change(t testing.TB, opt int, s *mcStation, group, source netip.Addr) {
	t.Helper()
	level := unix.IPPROTO_IP
	if group.Is6() {
		level = unix.IPPROTO_IPV6
	}
	raw, err := m.file.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), level, opt, s.groupRequest(group, source)) }))
	require.NoError(t, err)
}

// mcSockaddr is a struct sockaddr_storage.
func mcSockaddr(ip netip.Addr) []byte {
	b := make([]byte, 128)
	if ip.Is4() {
		binary.NativeEndian.PutUint16(b, unix.AF_INET)
		copy(b[4:], ip.AsSlice())
	} else {
		binary.NativeEndian.PutUint16(b, unix.AF_INET6)
		copy(b[8:], ip.AsSlice())
	}
	return b
}

// leave has the station leave the group.
func (m *mcSocket) leave(t testing.TB) {
	t.Helper()
	require.NoError(t, m.file.Close())
}

// receive gives the tags of the next packets, from first on; those before are left out.
func (m *mcSocket) receive(t testing.TB, first uint64, packets int) (tags []uint64) {
	t.Helper()
	require.NoError(t, m.file.SetReadDeadline(time.Now().Add(mcPatience)))
	for buf := make([]byte, 2000); len(tags) < packets; {
		n, err := m.file.Read(buf)
		require.NoError(t, err, "after %d packets", len(tags))
		tag, ok := mcPayloadTag(buf[:n])
		require.True(t, ok)
		if tag >= first {
			tags = append(tags, tag)
		}
	}
	return tags
}

// mcSeen is which packets came to which stations, and to what addresses. It is safe for
// use by several goroutines.
type mcSeen struct {
	mu sync.Mutex
	to map[mcTagged][]frame.MAC
}

type mcTagged struct {
	station int
	tag     uint64
}

func (s *mcSeen) add(station int, tag uint64, dst frame.MAC) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to == nil {
		s.to = map[mcTagged][]frame.MAC{}
	}
	at := mcTagged{station, tag}
	s.to[at] = append(s.to[at], dst)
}

func (s *mcSeen) addresses(station int, tag uint64) []frame.MAC {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to[mcTagged{station, tag}]
}

func (s *mcSeen) count(station int, tag uint64) int { return len(s.addresses(station, tag)) }

const mcMagic = "a packet of the tests of snooping"

// mcPayload is what a packet of these tests carries.
func mcPayload(tag uint64) []byte { return binary.BigEndian.AppendUint64([]byte(mcMagic), tag) }

func mcPayloadTag(b []byte) (tag uint64, ok bool) {
	if b, ok = bytes.CutPrefix(b, []byte(mcMagic)); !ok || len(b) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// mcTag gives the tag of a frame of these tests: UDP over IPv4 or IPv6, or a fence.
func mcTag(wire []byte) (tag uint64, ok bool) {
	at := 14
	switch {
	case len(wire) < 34:
		return 0, false
	case wire[12] == 0x08 && wire[13] == 0 && wire[23] == 17:
		at += int(wire[14]&15)*4 + 8
	case wire[12] == 0x86 && wire[13] == 0xdd && wire[20] == 17:
		at += 48
	case frame.EtherType(binary.BigEndian.Uint16(wire[12:])) != tapTestType:
		return 0, false
	}
	return mcPayloadTag(wire[min(at, len(wire)):])
}

// mcPort is where packets of these tests go.
const mcPort = 5005

// mcRun runs a program of the namespace that the thread is in.
func mcRun(out io.Writer, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}
