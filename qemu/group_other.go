//go:build !linux

package qemu

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/ddfb540f/bridge"
)

// joinGroup makes a socket that hears the group on an interface, and what else is sent
// to its port.
func joinGroup(local, group *net.UDPAddr) (*net.UDPConn, error) {
	if local == nil {
		return net.ListenMulticastUDP("udp4", nil, group)
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for i := range all {
		addrs, err := all[i].Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == local.AddrPort().Addr().Unmap() {
				return net.ListenMulticastUDP("udp4", &all[i], group)
			}
		}
	}
	return nil, fmt.Errorf("%w: no interface has the address %v", bridge.EADDRNOTAVAIL, local.IP)
}
