package replay

import (
	"fmt"
	"net/netip"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// stack is the host behind the bridge device, as far as the bridge asks it: a
// neighbour table. It has no addresses and no VLAN devices.
type stack struct {
	table bridge.HostTable
	known map[netip.Addr]bool // what is in table
}

// forget empties the table, as Linux does when the device goes down or gets an
// address: permanent entries go too.
func (s *stack) forget() {
	for ip := range s.known {
		s.table.DeleteNeighbour(0, ip)
	}
	clear(s.known)
}

// neighAdd is `ip neigh replace`. A device on which IPv6 is off takes no IPv6
// neighbours.
func (r *run) neighAdd(t *Step) error {
	ip, err := netip.ParseAddr(t.IP)
	if err != nil {
		return mismatchf("bad address in the record: %v", err)
	}
	mac, err := frame.ParseMAC(t.MAC)
	if err != nil {
		return mismatchf("bad address in the record: %v", err)
	}
	if ip.Is6() && r.s.Bridge["ipv6"].Num == 0 {
		return fmt.Errorf("IPv6 is off on the bridge device: %w", bridge.EINVAL)
	}
	if r.stack.known == nil {
		r.stack.known = map[netip.Addr]bool{}
	}
	r.stack.table.SetNeighbour(0, ip, bridge.Neighbour{MAC: mac})
	r.stack.known[ip] = true
	return nil
}

// neighDel is `ip neigh del`.
func (r *run) neighDel(t *Step) error {
	ip, err := netip.ParseAddr(t.IP)
	if err != nil {
		return mismatchf("bad address in the record: %v", err)
	}
	if !r.stack.known[ip] {
		return fmt.Errorf("no such neighbour: %w", bridge.ENOENT)
	}
	r.stack.table.DeleteNeighbour(0, ip)
	delete(r.stack.known, ip)
	return nil
}
