package snoop

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
)

// Family says what kind of address a group has.
type Family uint8

// The families. Frames that are neither IPv4 nor IPv6 have groups by their
// destination MAC address.
const (
	L2 Family = iota
	IPv4
	IPv6
)

// String gives "L2", "IPv4" or "IPv6".
func (f Family) String() string { return [...]string{"L2", "IPv4", "IPv6"}[f%3] }

// ip is the place of an IP family in an array of two.
func (f Family) ip() int { return int(f) - int(IPv4) }

// families are the two that have queriers and routers, by their place in arrays.
var families = [2]Family{IPv4, IPv6}

// Addr is an address of any family: IPv4 in the first four bytes, a MAC address in
// the first six, zeros behind. It is comparable; the Family is told beside it.
type Addr [16]byte

// AddrOf is the Addr of an IP address, with its family. An IPv4 address inside an
// IPv6 one is IPv6; the zero netip.Addr is the zero Addr of L2.
func AddrOf(ip netip.Addr) (a Addr, f Family) {
	switch {
	case ip.Is4():
		b := ip.As4()
		copy(a[:], b[:])
		return a, IPv4
	case ip.Is6():
		return ip.As16(), IPv6
	}
	return a, L2
}

// MACAddr is the Addr of a MAC address.
func MACAddr(mac frame.MAC) (a Addr) {
	copy(a[:], mac[:])
	return a
}

// IP is the IP address that a is in family f; the zero netip.Addr for L2.
func (a Addr) IP(f Family) netip.Addr {
	switch f {
	case IPv4:
		return netip.AddrFrom4([4]byte(a[:4]))
	case IPv6:
		return netip.AddrFrom16(a)
	}
	return netip.Addr{}
}

// MAC is the MAC address that a is in family L2.
func (a Addr) MAC() frame.MAC { return frame.MAC(a[:6]) }

func (a Addr) isZero() bool { return a == Addr{} }

// multicast reports a multicast address of the family.
func (a Addr) multicast(f Family) bool {
	switch f {
	case IPv4:
		return a[0]&0xf0 == 0xe0
	case IPv6:
		return a[0] == 0xff
	}
	return a[0]&1 != 0
}

// badSource reports an address that no packet may have as its source, and that
// reports therefore name in vain: 0.0.0.0, ::, and multicast.
func (a Addr) badSource(f Family) bool { return a.isZero() || a.multicast(f) }

// The groups with a meaning of their own.
var (
	allNodes4    = Addr{224, 0, 0, 1}
	allPIM4      = Addr{224, 0, 0, 13}
	allSnoopers4 = Addr{224, 0, 0, 106}
	allNodes6    = Addr{0xff, 0x02, 15: 1}
	allSnoopers6 = Addr{0xff, 0x02, 15: 0x6a}
)

// unsnooped reports a group that is neither joined nor left: all of 224.0.0.0/24,
// and ff02::1. Every other group of link-local scope is snooped in IPv6.
func (a Addr) unsnooped(f Family) bool {
	if f == IPv4 {
		return a[0] == 224 && a[1] == 0 && a[2] == 0
	}
	return a == allNodes6
}

// Key names a group: (*,G) if Source is zero, else (S,G) (struct br_ip). Two keys
// are of the same group if they are equal.
type Key struct {
	Group  Addr
	Source Addr
	VID    frame.VID // 0 without VLAN filtering
	Family Family
}

// star reports (*,G): no source of its own.
func (k *Key) star() bool { return k.Source.isZero() }

// is reports that two keys are equal; field by field the compiler does it without a call.
func (k *Key) is(o *Key) bool {
	return k.Group == o.Group && k.Source == o.Source && k.VID == o.VID && k.Family == o.Family
}

// of is the key of the same group with a source; the zero Addr gives (*,G).
func (k Key) of(source Addr) Key {
	k.Source = source
	return k
}

// hash spreads keys with two secret words, so that who chooses groups cannot choose
// their places in the table.
func (k *Key) hash(secret *[2]uint64) uint64 {
	le := binary.LittleEndian
	h := mix(le.Uint64(k.Group[0:])^secret[0], le.Uint64(k.Group[8:])^secret[1])
	if !k.Source.isZero() {
		h = mix(le.Uint64(k.Source[0:])^secret[1]^h, le.Uint64(k.Source[8:])^secret[0])
	}
	return mix(h^secret[0], uint64(k.VID)<<8^uint64(k.Family)^secret[1])
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// linkLocal6 reports an IPv6 address of the link, as Linux tells them: groups of that
// scope are among them.
func (a Addr) linkLocal6() bool {
	return a[0] == 0xfe && a[1]&0xc0 == 0x80 || a[0] == 0xff && a[1]&0x0f == 0x02
}
