package bridgetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// ErrBadPacket is what the errors of the parse functions match.
var ErrBadPacket = errors.New("bridgetest: bad packet")

func badPacket(why string) error { return fmt.Errorf("%w: %s", ErrBadPacket, why) }

// NewFrame makes an untagged frame. The payload is copied.
func NewFrame(dst, src frame.MAC, t frame.EtherType, payload []byte) frame.Frame {
	b := make([]byte, 0, frame.HeaderLen+len(payload))
	b = append(append(b, dst[:]...), src[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	return frame.Frame{Data: append(b, payload...)}
}

// The operations of an ARP packet.
const (
	ARPRequest uint16 = 1
	ARPReply   uint16 = 2
)

const (
	arpLen      = 28
	arpEthernet = 1
)

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826).
type ARP struct {
	Op        uint16
	SenderMAC frame.MAC
	SenderIP  netip.Addr // IPv4
	TargetMAC frame.MAC
	TargetIP  netip.Addr // IPv4
}

// Append appends the packet to b. An address that is not IPv4 is written as
// 0.0.0.0.
func (a ARP) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, arpEthernet)
	b = binary.BigEndian.AppendUint16(b, uint16(frame.TypeIPv4))
	b = append(b, 6, 4) // lengths of the two kinds of addresses
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = appendIPv4(append(b, a.SenderMAC[:]...), a.SenderIP)
	return appendIPv4(append(b, a.TargetMAC[:]...), a.TargetIP)
}

// ParseARP reads an ARP packet; what follows it is padding.
func ParseARP(b []byte) (ARP, error) {
	switch {
	case len(b) < arpLen:
		return ARP{}, badPacket("an ARP packet has 28 bytes")
	case binary.BigEndian.Uint16(b) != arpEthernet || frame.EtherType(binary.BigEndian.Uint16(b[2:])) != frame.TypeIPv4:
		return ARP{}, badPacket("not ARP for IPv4 over Ethernet")
	case b[4] != 6 || b[5] != 4:
		return ARP{}, badPacket("ARP with addresses of another length")
	}
	return ARP{
		Op:        binary.BigEndian.Uint16(b[6:]),
		SenderMAC: frame.MAC(b[8:14]),
		SenderIP:  netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC: frame.MAC(b[18:24]),
		TargetIP:  netip.AddrFrom4([4]byte(b[24:28])),
	}, nil
}

// ProtocolICMP is the protocol number of ICMP in an IPv4 header.
const ProtocolICMP uint8 = 1

const (
	ipv4HeaderLen    = 20
	ipv4MaxLen       = 65535
	ipv4DontFragment = 0x4000
	ipv4Fragment     = 0x3fff // more fragments follow, and the offset of this one
)

// IPv4 is an IPv4 packet (RFC 791) that is no fragment and has no options.
type IPv4 struct {
	TTL      uint8
	Protocol uint8
	Src, Dst netip.Addr
	Payload  []byte
}

// Append appends the packet to b, with its checksum, marked as not to be
// fragmented. An address that is not IPv4 is written as 0.0.0.0, and of a payload
// only what the length field can tell, 65515 bytes.
func (p IPv4) Append(b []byte) []byte {
	payload := p.Payload[:min(len(p.Payload), ipv4MaxLen-ipv4HeaderLen)]
	start := len(b)
	b = append(b, 4<<4|ipv4HeaderLen/4, 0) // version and header length; type of service
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4HeaderLen+len(payload)))
	b = append(b, 0, 0) // identification, of no use without fragments (RFC 6864)
	b = binary.BigEndian.AppendUint16(b, ipv4DontFragment)
	b = append(b, p.TTL, p.Protocol, 0, 0)
	b = appendIPv4(appendIPv4(b, p.Src), p.Dst)
	binary.BigEndian.PutUint16(b[start+10:], Checksum(b[start:]))
	return append(b, payload...)
}

// ParseIPv4 reads an IPv4 packet and verifies its checksum. Options are passed
// over, and what follows the packet is padding. A fragment is refused. Payload is
// a part of b.
func ParseIPv4(b []byte) (IPv4, error) {
	if len(b) < ipv4HeaderLen {
		return IPv4{}, badPacket("an IPv4 header has at least 20 bytes")
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0]>>4 != 4:
		return IPv4{}, badPacket("not IPv4")
	case header < ipv4HeaderLen || header > total || total > len(b):
		return IPv4{}, badPacket("the lengths of an IPv4 packet do not fit")
	case Checksum(b[:header]) != 0:
		return IPv4{}, badPacket("wrong IPv4 header checksum")
	case binary.BigEndian.Uint16(b[6:])&ipv4Fragment != 0:
		return IPv4{}, badPacket("an IPv4 fragment")
	}
	return IPv4{
		TTL: b[8], Protocol: b[9],
		Src:     netip.AddrFrom4([4]byte(b[12:16])),
		Dst:     netip.AddrFrom4([4]byte(b[16:20])),
		Payload: b[header:total],
	}, nil
}

const (
	icmpEchoReply   = 0
	icmpEchoRequest = 8
	icmpHeaderLen   = 8
)

// Echo is an ICMP echo request or reply (RFC 792).
type Echo struct {
	Reply   bool
	ID, Seq uint16
	Data    []byte
}

// Append appends the message to b, with its checksum.
func (e Echo) Append(b []byte) []byte {
	start, kind := len(b), byte(icmpEchoRequest)
	if e.Reply {
		kind = icmpEchoReply
	}
	b = append(b, kind, 0, 0, 0) // type, code, checksum
	b = binary.BigEndian.AppendUint16(b, e.ID)
	b = binary.BigEndian.AppendUint16(b, e.Seq)
	b = append(b, e.Data...)
	binary.BigEndian.PutUint16(b[start+2:], Checksum(b[start:]))
	return b
}

// ParseEcho reads an ICMP message, all of b, and verifies its checksum. Any other
// message than an echo is refused. Data is a part of b.
func ParseEcho(b []byte) (Echo, error) {
	switch {
	case len(b) < icmpHeaderLen:
		return Echo{}, badPacket("an ICMP echo has at least 8 bytes")
	case b[0] != icmpEchoReply && b[0] != icmpEchoRequest || b[1] != 0:
		return Echo{}, badPacket("not an ICMP echo")
	case Checksum(b) != 0:
		return Echo{}, badPacket("wrong ICMP checksum")
	}
	return Echo{
		Reply: b[0] == icmpEchoReply,
		ID:    binary.BigEndian.Uint16(b[4:]),
		Seq:   binary.BigEndian.Uint16(b[6:]),
		Data:  b[icmpHeaderLen:],
	}, nil
}

// Checksum is the Internet checksum of b (RFC 1071). Over bytes that hold their
// own checksum it is 0.
func Checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
		sum = sum&0xffff + sum>>16
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// appendIPv4 appends the four bytes of an address.
func appendIPv4(b []byte, a netip.Addr) []byte {
	a = a.Unmap()
	if !a.Is4() {
		return append(b, 0, 0, 0, 0)
	}
	raw := a.As4()
	return append(b, raw[:]...)
}

// describe says in words what a frame carries.
func describe(f frame.Frame) string {
	if !f.WellFormed() || !f.Lift() {
		return fmt.Sprintf("a frame of %d bytes, cut off", len(f.Data))
	}
	tag := ""
	if f.Tag.Present() {
		tag = "[" + f.Tag.String() + "] "
	}
	payload := f.Rest()[2:]
	if f.Dst().IsLinkLocal() && bytes.HasPrefix(payload, []byte(stp.LLC)) {
		if p, err := stp.Parse(payload[len(stp.LLC):]); err == nil {
			return tag + describeBPDU(p)
		}
	}
	switch f.Type() {
	case frame.TypeARP:
		if a, err := ParseARP(payload); err == nil {
			return tag + describeARP(a)
		}
	case frame.TypeIPv4:
		if p, err := ParseIPv4(payload); err == nil {
			return tag + describeIPv4(p)
		}
	}
	return fmt.Sprintf("%stype %s, %d bytes, %s > %s", tag, f.Type(), f.WireLen(), f.Src(), f.Dst())
}

func describeBPDU(p stp.BPDU) string {
	if p.Type == stp.TCN {
		return "BPDU tcn"
	}
	s := fmt.Sprintf("BPDU %v of %v port %04x, root %v cost %d", p.Type, p.Bridge, uint16(p.Port), p.Root, p.Cost)
	if p.Flags&stp.TopologyChange != 0 {
		s += ", topology change"
	}
	return s
}

func describeARP(a ARP) string {
	switch a.Op {
	case ARPRequest:
		return fmt.Sprintf("ARP who has %s? tell %s", a.TargetIP, a.SenderIP)
	case ARPReply:
		return fmt.Sprintf("ARP %s is at %s", a.SenderIP, a.SenderMAC)
	}
	return fmt.Sprintf("ARP operation %d from %s", a.Op, a.SenderIP)
}

func describeIGMP(b []byte) string {
	m, err := ParseIGMP(b)
	switch {
	case err != nil:
		return "IGMP"
	case m.Type == IGMPQuery && m.Group == noAddr:
		return "IGMP query for all groups"
	case m.Type == IGMPQuery:
		return "IGMP query for " + m.Group.String()
	case m.Type == IGMPReport:
		return "IGMP report of " + m.Group.String()
	case m.Type == IGMPLeave:
		return "IGMP leave of " + m.Group.String()
	}
	return fmt.Sprintf("IGMP type 0x%02x", m.Type)
}

func describeIPv4(p IPv4) string {
	way := fmt.Sprintf("%s > %s", p.Src, p.Dst)
	switch p.Protocol {
	case ProtocolICMP:
	case ProtocolIGMP:
		return describeIGMP(p.Payload) + ", " + way
	case ProtocolUDP:
		if u, err := ParseUDP(p.Payload); err == nil {
			return fmt.Sprintf("UDP %.32q, %s", u.Payload, way)
		}
		return "UDP, " + way
	default:
		return fmt.Sprintf("IPv4 protocol %d, %s", p.Protocol, way)
	}
	e, err := ParseEcho(p.Payload)
	switch {
	case err != nil:
		return "ICMP, " + way
	case e.Reply:
		return fmt.Sprintf("ICMP echo reply %d, %s", e.Seq, way)
	}
	return fmt.Sprintf("ICMP echo request %d, %s", e.Seq, way)
}
