package bridge

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

// A Host answers what the kernel's bridge asks the stack that it is part of, for
// proxy ARP and neighbour suppression. Its answers are about one device: with vid 0
// the bridge's own, else the VLAN device of that VLAN on top of it (br0.10), which
// has addresses and neighbours of its own. A HostTable is one that is ready to use.
//
// The methods are called from the datapath, by several goroutines at a time, for
// requests that a guest may send at line rate: they must be quick, must not block
// and must not call the Bridge (a configuration call answers ErrInBatch). They are
// called in a dry run (Port.Explain) too. If one panics, the port whose frame it
// was ends.
type Host interface {
	// VLANDevice says whether there is a VLAN device for vid, of protocol tpid
	// (frame.TypeDot1Q or frame.TypeDot1AD), on top of the bridge.
	VLANDevice(tpid frame.EtherType, vid frame.VID) bool

	// Local says whether ip, IPv4 or IPv6, is an address of the device or of a
	// device on top of it: then the host answers for it, and the bridge does not.
	// Linux says so of 0.0.0.0 too, while one of them has no IPv4 address.
	Local(vid frame.VID, ip netip.Addr) bool

	// Neighbour looks ip up in the device's neighbour table (`ip neigh show dev
	// br0`). ok is false for one that is not there, or not valid (NUD_VALID).
	Neighbour(vid frame.VID, ip netip.Addr) (n Neighbour, ok bool)
}

// A Neighbour is what a neighbour table holds of an address.
type Neighbour struct {
	MAC    frame.MAC
	Router bool // NTF_ROUTER: advertisements say that it is a router
}

// HostTable is a Host whose answers are tables: neighbours, addresses and VLAN
// devices. The zero HostTable is empty and ready to use. All methods may be called
// by any goroutine at any time, and a change counts for the next frame. Lookups take
// no lock and do not allocate; a change costs a copy of the table it is in.
//
// Addresses are kept without a zone, and those in the form ::ffff:a.b.c.d as IPv4.
type HostTable struct {
	mu         sync.Mutex // orders changes
	neighbours atomic.Pointer[[]neighbourEntry]
	addresses  atomic.Pointer[[]hostAddress]
	devices    atomic.Pointer[[]hostDevice]
}

var _ Host = (*HostTable)(nil)

// hostAddress is an IP address of one device.
type hostAddress struct {
	vid frame.VID
	ip  netip.Addr
}

func (a hostAddress) compare(b hostAddress) int {
	return cmp.Or(cmp.Compare(a.vid, b.vid), a.ip.Compare(b.ip))
}

// onDevice is how an address is kept.
func onDevice(vid frame.VID, ip netip.Addr) hostAddress {
	return hostAddress{vid, ip.Unmap().WithZone("")}
}

type neighbourEntry struct {
	hostAddress
	Neighbour
}

func (e neighbourEntry) compare(a hostAddress) int { return e.hostAddress.compare(a) }

type hostDevice struct {
	tpid frame.EtherType
	vid  frame.VID
}

func (d hostDevice) compare(e hostDevice) int {
	return cmp.Or(cmp.Compare(d.tpid, e.tpid), cmp.Compare(d.vid, e.vid))
}

// findIn finds k in a published table, which is sorted and never changed.
func findIn[E, K any](t *atomic.Pointer[[]E], k K, compare func(E, K) int) (e E, ok bool) {
	list := t.Load()
	if list == nil {
		return e, false
	}
	i, ok := slices.BinarySearchFunc(*list, k, compare)
	if ok {
		e = (*list)[i]
	}
	return e, ok
}

// replaceIn makes the next table, a copy in which k is e, or nothing if e is nil.
// Whoever calls it holds the lock that orders changes.
func replaceIn[E, K any](t *atomic.Pointer[[]E], k K, compare func(E, K) int, e *E) {
	var old []E
	if list := t.Load(); list != nil {
		old = *list
	}
	i, found := slices.BinarySearchFunc(old, k, compare)
	rest := old[i:]
	if found {
		rest = old[i+1:]
	}
	next := make([]E, 0, len(old)+1)
	next = append(next, old[:i]...)
	if e != nil {
		next = append(next, *e)
	}
	next = append(next, rest...)
	t.Store(&next)
}

// SetNeighbour makes or replaces the entry of ip on a device (`ip neigh replace IP
// lladdr MAC dev br0 nud permanent`).
func (h *HostTable) SetNeighbour(vid frame.VID, ip netip.Addr, n Neighbour) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := onDevice(vid, ip)
	replaceIn(&h.neighbours, a, neighbourEntry.compare, &neighbourEntry{a, n})
}

// DeleteNeighbour takes the entry of ip away, if there is one.
func (h *HostTable) DeleteNeighbour(vid frame.VID, ip netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	replaceIn(&h.neighbours, onDevice(vid, ip), neighbourEntry.compare, nil)
}

// AddAddress gives a device an address (`ip address add IP dev br0`).
func (h *HostTable) AddAddress(vid frame.VID, ip netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := onDevice(vid, ip)
	replaceIn(&h.addresses, a, hostAddress.compare, &a)
}

// DeleteAddress takes an address away, if the device has it.
func (h *HostTable) DeleteAddress(vid frame.VID, ip netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	replaceIn(&h.addresses, onDevice(vid, ip), hostAddress.compare, nil)
}

// AddVLANDevice says that there is a VLAN device on top of the bridge (`ip link add
// link br0 name br0.10 type vlan protocol 802.1Q id 10`). Its addresses are those of
// a device on top of the bridge's own too.
func (h *HostTable) AddVLANDevice(tpid frame.EtherType, vid frame.VID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := hostDevice{tpid, vid}
	replaceIn(&h.devices, d, hostDevice.compare, &d)
}

// DeleteVLANDevice says that the VLAN device is gone. Addresses and neighbours that
// were set for its VLAN stay in their tables, and are asked for no more.
func (h *HostTable) DeleteVLANDevice(tpid frame.EtherType, vid frame.VID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	replaceIn(&h.devices, hostDevice{tpid, vid}, hostDevice.compare, nil)
}

// VLANDevice implements Host.
func (h *HostTable) VLANDevice(tpid frame.EtherType, vid frame.VID) bool {
	_, ok := findIn(&h.devices, hostDevice{tpid, vid}, hostDevice.compare)
	return ok
}

// Local implements Host: of the bridge's own device are also the addresses of the
// VLAN devices on top of it.
func (h *HostTable) Local(vid frame.VID, ip netip.Addr) bool {
	if ip == netip.IPv4Unspecified() {
		return h.lacksIPv4(vid)
	}
	a := hostAddress{vid, ip}
	if _, ok := findIn(&h.addresses, a, hostAddress.compare); ok || vid != 0 {
		return ok
	}
	list := h.addresses.Load()
	return list != nil && slices.ContainsFunc(*list, func(b hostAddress) bool {
		return b.ip == a.ip && (h.VLANDevice(frame.TypeDot1Q, b.vid) || h.VLANDevice(frame.TypeDot1AD, b.vid))
	})
}

// lacksIPv4 reports whether a device, or one on top of it, has no IPv4 address.
func (h *HostTable) lacksIPv4(vid frame.VID) bool {
	lacks := func(vid frame.VID) bool {
		list := h.addresses.Load()
		return list == nil || !slices.ContainsFunc(*list, func(a hostAddress) bool { return a.vid == vid && a.ip.Is4() })
	}
	if lacks(vid) || vid != 0 {
		return lacks(vid)
	}
	list := h.devices.Load()
	return list != nil && slices.ContainsFunc(*list, func(d hostDevice) bool { return lacks(d.vid) })
}

// Neighbour implements Host.
func (h *HostTable) Neighbour(vid frame.VID, ip netip.Addr) (Neighbour, bool) {
	e, ok := findIn(&h.neighbours, hostAddress{vid, ip}, neighbourEntry.compare)
	return e.Neighbour, ok
}
