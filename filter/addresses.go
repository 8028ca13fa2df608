package filter

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Allowed is how the station behind a port may call itself.
type Allowed struct {
	// MACs may be the source of frames, the sender of ARP, and stand in the link-layer
	// address options of ND. None: any may.
	MACs []frame.MAC

	// IPs may be the source of packets, the sender of ARP, and the target of neighbour
	// advertisements. None: any may; if there are those of one family only, none of
	// the other may. Always allowed are the link-local address of IPv6 that follows
	// from the frame's source (EUI-64; others, as of RFC 7217, have to be named), and
	// what a station needs to get an address: DHCP and IGMP from 0.0.0.0, ARP probes and
	// duplicate address detection for an allowed address, router solicitations and MLD
	// reports from ::.
	IPs []netip.Prefix
}

// Addresses lets a port use the addresses only that it may use (anti-spoofing). It
// does not look into what is carried within IP, PPPoE or MPLS, and keeps nobody from
// speaking as a router or a DHCP server under its own address.
type Addresses struct {
	ports  map[string]Allowed
	counts [numSpoofs]atomic.Uint64
}

// A Spoof is what a frame was dropped for by Addresses.
type Spoof uint8

// What frames are dropped for.
const (
	notSpoofed     Spoof = iota
	SpoofMAC             // the source address
	SpoofARPMAC          // the sender's hardware address in ARP
	SpoofARPIP           // its protocol address, or what a probe asks for
	SpoofIP              // the source of an IP packet
	SpoofNDLink          // a link-layer address in ND
	SpoofNDTarget        // the target of a neighbour advertisement, or of duplicate address detection
	SpoofFragment        // ND in fragments, which stations do not take (RFC 6980)
	SpoofMalformed       // it cannot be told what stations will make of it
	numSpoofs
)

var spoofWords = [numSpoofs]string{
	SpoofMAC: "source address is not allowed", SpoofARPMAC: "ARP sender's hardware address is not allowed",
	SpoofARPIP: "ARP sender's protocol address is not allowed", SpoofIP: "IP source is not allowed",
	SpoofNDLink: "link-layer address in ND is not allowed", SpoofNDTarget: "ND target is not allowed",
	SpoofFragment: "ND in fragments", SpoofMalformed: "malformed ARP, IP or ND",
}

// String gives it in words.
func (s Spoof) String() string {
	if s < numSpoofs {
		return spoofWords[s]
	}
	return ""
}

// A SpoofError is the Err of the events of Addresses.
type SpoofError struct {
	Spoof Spoof
	MAC   frame.MAC  // that is not allowed; else zero
	IP    netip.Addr // that is not allowed; else invalid
}

// Error gives "ARP sender's protocol address is not allowed: 10.0.0.1".
func (e *SpoofError) Error() string {
	switch {
	case e.IP.IsValid():
		return e.Spoof.String() + ": " + e.IP.String()
	case !e.MAC.IsZero():
		return e.Spoof.String() + ": " + e.MAC.String()
	}
	return e.Spoof.String()
}

// NewAddresses makes a filter from what ports, by name, may use. Others, and the
// host, may use anything. Errors: a port without a name, a MAC that no station can
// have, an invalid prefix, one with bits behind its length: 10.0.0.5/24, as it is
// written of an interface, would allow the neighbours' addresses too.
func NewAddresses(ports map[string]Allowed) (*Addresses, error) {
	a := &Addresses{ports: maps.Clone(ports)}
	for name, w := range a.ports {
		for _, m := range w.MACs {
			if !m.IsValid() {
				return nil, fmt.Errorf("filter: port %s: %s is not the address of a station", name, m)
			}
		}
		for _, ip := range w.IPs {
			if !ip.IsValid() || ip.Addr().Is4In6() {
				return nil, fmt.Errorf("filter: port %s: invalid prefix %s", name, ip)
			}
			if ip != ip.Masked() {
				return nil, fmt.Errorf("filter: port %s: %s is neither the address %s/%d nor the prefix %s",
					name, ip, ip.Addr(), ip.Addr().BitLen(), ip.Masked())
			}
		}
		if name == "" {
			return nil, errPortName
		}
		a.ports[name] = Allowed{MACs: slices.Clone(w.MACs), IPs: slices.Clone(w.IPs)}
	}
	return a, nil
}

// Filter is the filter, named "addresses".
func (a *Addresses) Filter() bridge.Filter {
	return bridge.Filter{Name: "addresses", Hooks: bridge.Hooks(bridge.HookPreRouting, bridge.HookLocalIn), Judge: a.judge}
}

// Dropped is how many frames were dropped for s.
func (a *Addresses) Dropped(s Spoof) uint64 {
	if s >= numSpoofs {
		return 0
	}
	return a.counts[s].Load()
}

func (a *Addresses) judge(s *bridge.Passage) bridge.Ruling {
	if s.In == nil || s.Hook == bridge.HookLocalIn && !s.OwnStack {
		return bridge.Ruling{}
	}
	w, guarded := a.ports[s.In.Name()]
	if !guarded || len(w.MACs)+len(w.IPs) == 0 {
		return bridge.Ruling{}
	}
	e := w.check(s.Frame)
	if e.Spoof == notSpoofed {
		return bridge.Ruling{}
	}
	if !s.Dry {
		a.counts[e.Spoof].Add(1)
	}
	s.Report(func() error { return &SpoofError{e.Spoof, e.MAC, e.IP} })
	return bridge.FilterDrop.Because(e.Spoof.String())
}

// check finds the first address that is not allowed.
func (w *Allowed) check(f *frame.Frame) (e SpoofError) {
	if src := f.Src(); !w.mac(src) {
		return SpoofError{Spoof: SpoofMAC, MAC: src}
	}
	p := Parse(f)
	switch {
	case p.Broken:
		return SpoofError{Spoof: SpoofMalformed}
	case p.Kind == ARP:
		return w.checkARP(&p)
	case p.Kind == ND && p.Fragment:
		return SpoofError{Spoof: SpoofFragment}
	case p.Kind == ND && p.HasLink && !w.mac(p.Sender):
		return SpoofError{Spoof: SpoofNDLink, MAC: p.Sender}
	case p.Kind == Other || len(w.IPs) == 0:
		return SpoofError{}
	case p.Src.IsUnspecified():
		return w.checkUnspecified(f, &p)
	case !w.ip(p.Src, f.Src()):
		return SpoofError{Spoof: SpoofIP, IP: p.Src}
	case p.Kind == ND && p.Op == NeighborAdvertisement && !w.ip(p.Target, f.Src()):
		return SpoofError{Spoof: SpoofNDTarget, IP: p.Target}
	}
	return SpoofError{}
}

func (w *Allowed) checkARP(p *Packet) SpoofError {
	const request = 1
	switch {
	case !w.mac(p.Sender):
		return SpoofError{Spoof: SpoofARPMAC, MAC: p.Sender}
	case len(w.IPs) == 0 || p.Type == typeRARP && p.Src.IsUnspecified():
		return SpoofError{}
	case p.Src.IsUnspecified() && p.Op == request: // a probe (RFC 5227)
		if !w.ip(p.Dst, p.Sender) {
			return SpoofError{Spoof: SpoofARPIP, IP: p.Dst}
		}
	case !w.ip(p.Src, p.Sender):
		return SpoofError{Spoof: SpoofARPIP, IP: p.Src}
	}
	return SpoofError{}
}

// checkUnspecified judges an IP packet of a station that has no address yet.
func (w *Allowed) checkUnspecified(f *frame.Frame, p *Packet) SpoofError {
	const igmp, udp, dhcpClient, dhcpServer = 2, 17, 68, 67
	const mldReport, mldDone, mldv2Report = 131, 132, 143
	ok := false
	switch {
	case p.Kind == IPv4 && p.Proto == udp && p.L4 != 0 && len(f.Data) >= p.L4+8:
		ok = binary.BigEndian.Uint16(f.Data[p.L4:]) == dhcpClient && binary.BigEndian.Uint16(f.Data[p.L4+2:]) == dhcpServer
	case p.Kind == IPv4:
		ok = p.Proto == igmp
	case p.Kind == ND && p.Op == NeighborSolicitation: // duplicate address detection (RFC 4862)
		if !w.ip(p.Target, f.Src()) {
			return SpoofError{Spoof: SpoofNDTarget, IP: p.Target}
		}
		ok = true
	case p.Kind == ND:
		ok = p.Op == RouterSolicitation
	case p.Proto == protoICMPv6 && p.L4 != 0:
		ok = p.Op == mldReport || p.Op == mldDone || p.Op == mldv2Report
	}
	if !ok {
		return SpoofError{Spoof: SpoofIP, IP: p.Src}
	}
	return SpoofError{}
}

func (w *Allowed) mac(m frame.MAC) bool {
	return len(w.MACs) == 0 || slices.Contains(w.MACs, m)
}

// ip says whether a station with the address m may use a.
func (w *Allowed) ip(a netip.Addr, m frame.MAC) bool {
	for _, p := range w.IPs {
		if p.Contains(a) {
			return true
		}
	}
	return a == eui64(m) && w.mac(m)
}

// eui64 is the link-local address that a station with the address m gives itself
// (RFC 4291, appendix A).
func eui64(m frame.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
