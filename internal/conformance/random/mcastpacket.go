package random

import (
	"encoding/binary"
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
)

// Protocols of IP.
const (
	protoIGMP   = 2
	protoUDP    = 17
	protoICMPv6 = 58
	protoPIM    = 103
)

// groupMAC is the address of frames to a group (RFC 1112, section 6.4, RFC 2464, section 7).
func groupMAC(ip netip.Addr) frame.MAC {
	if ip.Is4() {
		b := ip.As4()
		return frame.MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	}
	b := ip.As16()
	return frame.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// A packet is one of IP as it is put together.
type packet struct {
	src, dst netip.Addr
	protocol byte
	hops     byte
	alert    bool // with the Router Alert option; always for MLD
	body     []byte
}

// bytes makes the packet; of IGMP and ICMPv6 the body has its checksum at offset 2.
func (p *packet) bytes() []byte {
	if p.dst.Is4() {
		return p.ipv4()
	}
	return p.ipv6()
}

func (p *packet) ipv4() []byte {
	if p.protocol == protoIGMP && len(p.body) >= 4 {
		binary.BigEndian.PutUint16(p.body[2:], frame.Checksum(p.body, 0))
	}
	head := []byte{0x45, 0xc0, 0, 0, 0, 0, 0, 0, p.hops, p.protocol, 0, 0}
	src, dst := p.src.As4(), p.dst.As4()
	head = append(append(head, src[:]...), dst[:]...)
	if p.alert {
		head[0]++
		head = append(head, 0x94, 4, 0, 0)
	}
	binary.BigEndian.PutUint16(head[2:], uint16(len(head)+len(p.body)))
	binary.BigEndian.PutUint16(head[10:], frame.Checksum(head, 0))
	return append(head, p.body...)
}

func (p *packet) ipv6() []byte {
	src, dst := p.src.As16(), p.dst.As16()
	if p.protocol == protoICMPv6 && len(p.body) >= 4 {
		binary.BigEndian.PutUint16(p.body[2:], frame.Checksum(p.body, frame.PseudoSum(src[:], dst[:], protoICMPv6, len(p.body))))
	}
	next, options := p.protocol, []byte(nil)
	if p.alert {
		next, options = 0, []byte{p.protocol, 0, 5, 2, 0, 0, 1, 0}
	}
	head := []byte{0x60, 0, 0, 0, 0, 0, next, p.hops}
	binary.BigEndian.PutUint16(head[4:], uint16(len(options)+len(p.body)))
	head = append(append(head, src[:]...), dst[:]...)
	return append(append(head, options...), p.body...)
}

// spoilt makes a packet, mostly a right one.
func (g *generator) spoilt(p *packet) []byte {
	p.alert = p.protocol == protoICMPv6 && !g.chance(6) || p.protocol == protoIGMP && g.chance(60)
	if g.chance(4) {
		p.hops = pick[byte](g, 0, 2, 255)
	}
	if p.dst.Is6() && p.src.Is4() { // no such packet
		p.src = netip.IPv6Unspecified()
	}
	if len(p.body) > 4 && g.chance(3) {
		p.body = p.body[:g.IntN(len(p.body))]
	}
	b := p.bytes()
	switch n := g.IntN(100); {
	case n < 3: // a bit
		b[g.IntN(len(b))] ^= 1 << g.IntN(8)
	case n < 5: // its end
		b = b[:g.IntN(len(b))]
	}
	return b
}

// udp is a datagram that carries a number, without a checksum where there need not be one.
func udp(n int) []byte {
	b := []byte{0x0f, 0xa0, 0x0f, 0xa0, 0, 12, 0, 0}
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// message is one of IGMPv1, IGMPv2 or MLDv1 (RFC 2236, section 2, RFC 2710, section 3).
func message(kind, code byte, group netip.Addr) []byte {
	b := []byte{kind, code, 0, 0}
	if group.Is6() {
		b = []byte{kind, 0, 0, 0, 0, 0, 0, 0}
	}
	return append(b, group.AsSlice()...)
}

// igmpQuery is a query of IGMPv2 or, modern, IGMPv3 (RFC 3376, section 4.1). soon has it
// answered in the shortest time that there is, else it is the longest.
func igmpQuery(group netip.Addr, sources []netip.Addr, modern, soon bool) []byte {
	const longest = 255
	code := byte(longest)
	if soon {
		code = 0
	}
	b := message(0x11, code, group)
	if modern {
		b = append(b, 2, 125)
		b = appendSources(b, sources)
	}
	return b
}

// mldQuery is igmpQuery for MLD (RFC 3810, section 5.1).
func mldQuery(group netip.Addr, sources []netip.Addr, modern, soon bool) []byte {
	const longest = 65_535
	b := message(130, 0, group)
	if !soon {
		binary.BigEndian.PutUint16(b[4:], longest)
	}
	if modern {
		b = append(b, 2, 125)
		b = appendSources(b, sources)
	}
	return b
}

// appendSources appends how many addresses follow, and those.
func appendSources(b []byte, sources []netip.Addr) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(sources)))
	for _, s := range sources {
		b = append(b, s.AsSlice()...)
	}
	return b
}

// records is a report of IGMPv3 or MLDv2 (RFC 3376, section 4.2, RFC 3810, section 5.2).
// One that says nothing of any source comes often: it joins or leaves.
func (g *generator) records(v6 bool) []byte {
	kind := byte(0x22)
	if v6 {
		kind = 143
	}
	n := 1 + g.IntN(2)
	b := []byte{kind, 0, 0, 0, 0, 0, 0, byte(n)}
	if g.chance(4) {
		b[7] = byte(g.IntN(4))
	}
	for range n {
		b = append(b, byte(1+g.IntN(6)), 0)
		if g.chance(3) {
			b[len(b)-2] = byte(pick(g, 0, 7))
		}
		var sources []netip.Addr
		if g.chance(70) {
			sources = g.sources(v6)
		}
		at := len(b)
		b = appendSources(b, sources)
		group := g.group(v6).AsSlice()
		list := append([]byte(nil), b[at+2:]...)
		b = append(append(b[:at+2], group...), list...)
		if g.chance(3) { // auxiliary data
			b[at-1] = 1
			b = append(b, 0, 0, 0, 0)
		}
	}
	return b
}
