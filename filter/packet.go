package filter

import (
	"encoding/binary"
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
)

// A Kind is what a frame carries, as far as it matters to filters.
type Kind uint8

// The kinds.
const (
	Other Kind = iota
	ARP        // ARP or RARP, for IPv4 over Ethernet
	IPv4
	IPv6
	ND // an IPv6 packet with a message of neighbour discovery (RFC 4861)
)

// The messages of neighbour discovery, types of ICMPv6.
const (
	RouterSolicitation    = 133
	RouterAdvertisement   = 134
	NeighborSolicitation  = 135
	NeighborAdvertisement = 136
	Redirect              = 137
)

// EtherTypes that matter here only.
const (
	typeRARP     frame.EtherType = 0x8035
	typeOldQinQ  frame.EtherType = 0x9100 // tags of bridges from before 802.1ad
	typeOldQinQ2 frame.EtherType = 0x9200
	typeJumboLLC frame.EtherType = 0x8870 // stands for a length that does not fit (IEEE 802.1AC)
	minType      frame.EtherType = 0x0600 // what is below is a length, right or wrong
)

// A Packet is what a frame carries behind all its VLAN tags and LLC/SNAP headers: a
// value, which holds nothing of the frame.
type Packet struct {
	Kind Kind

	// Broken: the frame ends too early, or contradicts itself, where ARP, IP or ND would
	// be, so that stations may understand different things. Kind says how far it came.
	Broken bool

	Type frame.EtherType // behind all tags; 0: an LLC frame without SNAP, or it ends before
	At   int             // where the payload of Type begins, in Frame.Data

	Src, Dst netip.Addr // of IP; of ARP the sender's and the target's protocol address
	Proto    uint8      // of IP, behind all extension headers
	L4       int        // where it begins, in Frame.Data; 0: in another fragment
	Fragment bool       // the packet is not whole

	Op      uint16     // of ARP; of ICMPv6 the type
	Sender  frame.MAC  // of ARP the sender's hardware address; of ND that of a link-layer address option
	HasLink bool       // Sender is set
	Target  netip.Addr // of a neighbour solicitation or advertisement
}

// Payload finds what lies behind all VLAN tags, of whatever TPID and VID, and behind
// LLC/SNAP headers, in any order and number: stations take them away too, and
// filters that do not can be passed (CERT VU#855201). The 802.3 length in front of an
// LLC header is not believed. t is 0 for an LLC frame without SNAP; ok is false for a
// frame that ends before its type. at is where the payload begins in f.Data, never
// behind its end. f must be well-formed.
func Payload(f *frame.Frame) (t frame.EtherType, at int, ok bool) {
	d, i := f.Data, len(f.Data)-len(f.Rest())
	for i+2 <= len(d) {
		t = frame.EtherType(binary.BigEndian.Uint16(d[i:]))
		switch {
		case t.IsTag() || t == typeOldQinQ || t == typeOldQinQ2:
			i += frame.TagLen
		case t >= minType && t != typeJumboLLC:
			return t, i + 2, true
		case isSNAP(d[i+2:]):
			i += snapLen
		default:
			return 0, i + 2, true
		}
	}
	return 0, len(d), false
}

// snapLen is a length, LLC, and the organisation of SNAP.
const snapLen = 2 + 3 + 3

// isSNAP reports an LLC header with SNAP whose type is an EtherType: RFC 1042, or
// IEEE 802.1H (bridge tunnel). The bits that tell groups, responses and polls are not
// looked at.
func isSNAP(b []byte) bool {
	return len(b) >= 6 && b[0]&^1 == 0xaa && b[1]&^1 == 0xaa && b[2]&^0x10 == 0x03 &&
		b[3] == 0 && b[4] == 0 && (b[5] == 0 || b[5] == 0xf8)
}

// Parse reads what a frame carries. f must be well-formed.
func Parse(f *frame.Frame) (p Packet) {
	var ok bool
	p.Type, p.At, ok = Payload(f)
	p.Broken = !ok
	b := f.Data[p.At:]
	switch p.Type {
	case frame.TypeARP, typeRARP:
		p.Kind = ARP
		p.Broken = !p.readARP(b)
	case frame.TypeIPv4:
		p.Kind = IPv4
		p.Broken = !p.readIPv4(b)
	case frame.TypeIPv6:
		p.Kind = IPv6
		p.Broken = !p.readIPv6(b)
	}
	return p
}

// readARP reads an ARP packet for IPv4 over Ethernet, whose hardware type may be that
// of IEEE 802 as well: stations take both (RFC 826, RFC 1122).
func (p *Packet) readARP(b []byte) bool {
	const size, ethernet, ieee802 = 28, 1, 6
	if len(b) < size {
		return false
	}
	hw := binary.BigEndian.Uint16(b)
	if hw != ethernet && hw != ieee802 || binary.BigEndian.Uint16(b[2:]) != uint16(frame.TypeIPv4) || b[4] != 6 || b[5] != 4 {
		return false
	}
	p.Op = binary.BigEndian.Uint16(b[6:])
	p.Sender, p.HasLink = frame.MAC(b[8:14]), true
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	return true
}

func (p *Packet) readIPv4(b []byte) bool {
	const size = 20
	if len(b) < size || b[0]>>4 != 4 {
		return false
	}
	header := int(b[0]&15) * 4
	if header < size || header > len(b) {
		return false
	}
	p.Src, p.Dst, p.Proto = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
	where := binary.BigEndian.Uint16(b[6:])
	p.Fragment = where&0x3fff != 0 // more to come, or an offset
	if where&0x1fff == 0 {
		p.L4 = p.At + header
	}
	return true
}

// Headers of IPv6.
const (
	protoHopByHop = 0
	protoRouting  = 43
	protoFragment = 44
	protoAuth     = 51
	protoICMPv6   = 58
	protoDstOpts  = 60
	protoMobility = 135
	protoHIP      = 139
	protoShim6    = 140
)

// readIPv6 walks the chain of extension headers, which must be in the first fragment
// as a whole (RFC 7112).
func (p *Packet) readIPv6(b []byte) bool {
	const size = 40
	if len(b) < size || b[0]>>4 != 6 {
		return false
	}
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	if n := int(binary.BigEndian.Uint16(b[4:])); n != 0 { // 0: a jumbogram, or a segmentation is owed
		if size+n > len(b) {
			return false
		}
		b = b[:size+n] // what is behind is padding
	}
	p.Proto = b[6]
	for i := size; ; {
		n := 0
		switch p.Proto {
		case protoHopByHop, protoRouting, protoDstOpts, protoMobility, protoHIP, protoShim6, protoAuth, protoFragment:
			if i+8 > len(b) {
				return false
			}
			n = 8 + int(b[i+1])*8
		default:
			p.L4 = p.At + i
			return p.Proto != protoICMPv6 || p.readICMPv6(b[i:])
		}
		switch p.Proto {
		case protoAuth:
			n = 8 + int(b[i+1])*4
		case protoFragment:
			n = 8
			where := binary.BigEndian.Uint16(b[i+2:])
			p.Fragment = p.Fragment || where&^6 != 0
			if where>>3 != 0 {
				p.Proto = b[i]
				return true
			}
		}
		p.Proto = b[i]
		if i += n; i > len(b) {
			return false
		}
	}
}

// readICMPv6 reads the messages of neighbour discovery.
func (p *Packet) readICMPv6(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	options := 0
	switch p.Op = uint16(b[0]); p.Op {
	case RouterSolicitation:
		options = 8
	case RouterAdvertisement:
		options = 16
	case NeighborSolicitation, NeighborAdvertisement:
		options = 24
	case Redirect:
		options = 40
	default:
		return true
	}
	p.Kind = ND
	if len(b) < options {
		return false
	}
	if options >= 24 {
		p.Target = netip.AddrFrom16([16]byte(b[8:24]))
	}
	return p.readOptions(b[options:])
}

// readOptions reads the link-layer addresses in the options of a message. A redirect
// has one that is not the sender's. Several that are not the same are understood
// differently by different stations.
func (p *Packet) readOptions(b []byte) bool {
	const sourceLink, targetLink = 1, 2
	for len(b) > 0 {
		if len(b) < 8 || b[1] == 0 || int(b[1])*8 > len(b) {
			return false
		}
		if b[0] == sourceLink || b[0] == targetLink && p.Op == NeighborAdvertisement {
			m := frame.MAC(b[2:8])
			if b[1] != 1 || p.HasLink && p.Sender != m {
				return false
			}
			p.Sender, p.HasLink = m, true
		}
		b = b[int(b[1])*8:]
	}
	return true
}
