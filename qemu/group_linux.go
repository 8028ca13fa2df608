package qemu

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// joinGroup binds a socket to the group itself. One of package net would be bound to
// all addresses, and hear what is sent to the port and not to the group.
func joinGroup(local, group *net.UDPAddr) (*net.UDPConn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "multicast group") // FilePacketConn takes a duplicate
	defer file.Close()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	at := unix.SockaddrInet4{Port: group.Port, Addr: [4]byte(group.IP.To4())}
	if err := unix.Bind(fd, &at); err != nil {
		return nil, fmt.Errorf("bind to %v: %w", group, err)
	}
	join := unix.IPMreq{Multiaddr: at.Addr}
	if local != nil {
		join.Interface = [4]byte(local.IP.To4())
	}
	if err := unix.SetsockoptIPMreq(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &join); err != nil {
		return nil, fmt.Errorf("join %v, on the interface of Local if there is one: %w", group.IP, err)
	}
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}
