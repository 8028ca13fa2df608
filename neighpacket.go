package bridge

import (
	"encoding/binary"

	"github.com/ddfb540f/bridge/frame"
)

// The packets that proxy ARP and neighbour suppression read and make: ARP for IPv4
// over Ethernet (RFC 826), and IPv6 neighbour solicitations and advertisements (RFC
// 4861, sections 4.3 and 4.4). Lengths are checked once, when a packet is parsed.
// Like Linux, nobody looks at hop limit, payload length or checksum of a request.

const (
	typeRARP frame.EtherType = 0x8035

	arpLen        = 28
	arpRequest    = 1
	arpReply      = 2
	rarpRequest   = 3
	rarpReply     = 4
	arpEthernet   = 1
	arpIPv4Header = 0x0800_06_04 // protocol type, and lengths of both addresses

	ipv6HeaderLen = 40
	ndLen         = 24 // of a message without options
	icmpv6        = 58

	ndSolicitation  = 135
	ndAdvertisement = 136

	ndRouter    = 0x80
	ndSolicited = 0x40
	ndOverride  = 0x20

	optSourceLinkAddress = 1
	optTargetLinkAddress = 2
)

// allNodes is ff02::1, and allNodesMAC the group address that it has on Ethernet.
var (
	allNodes    = [16]byte{0: 0xff, 1: 0x02, 15: 1}
	allNodesMAC = frame.MAC{0x33, 0x33, 0, 0, 0, 1}
)

// An arpPacket is what is looked at of an ARP or RARP packet.
type arpPacket struct {
	op             uint16
	senderMAC      frame.MAC
	sender, target [4]byte
}

// parseARP reads a packet for IPv4 addresses and addresses of 6 bytes; of what
// hardware they are is not looked at. b begins behind the EtherType; what follows
// the packet is padding.
func parseARP(b []byte) (a arpPacket, ok bool) {
	if len(b) < arpLen || binary.BigEndian.Uint32(b[2:]) != arpIPv4Header {
		return a, false
	}
	return arpPacket{
		op:        binary.BigEndian.Uint16(b[6:]),
		senderMAC: frame.MAC(b[8:14]), sender: [4]byte(b[14:18]), target: [4]byte(b[24:28]),
	}, true
}

// isRARP reports an operation of RARP (RFC 903), under whatever EtherType.
func (a *arpPacket) isRARP() bool { return a.op == rarpRequest || a.op == rarpReply }

// appendARPReply appends the frame that answers a: target is at mac. It goes to the
// address that the packet names as its sender's, not to that of the frame.
func appendARPReply(b []byte, a *arpPacket, mac frame.MAC) []byte {
	b = appendHeader(b, a.senderMAC, mac, frame.TypeARP)
	b = binary.BigEndian.AppendUint16(b, arpEthernet)
	b = binary.BigEndian.AppendUint32(b, arpIPv4Header)
	b = binary.BigEndian.AppendUint16(b, arpReply)
	b = append(b, mac[:]...)
	b = append(b, a.target[:]...)
	b = append(b, a.senderMAC[:]...)
	return append(b, a.sender[:]...)
}

func appendHeader(b []byte, dst, src frame.MAC, t frame.EtherType) []byte {
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	return binary.BigEndian.AppendUint16(b, uint16(t))
}

// An ndMessage is what is looked at of a neighbour solicitation or advertisement.
type ndMessage struct {
	kind     uint8 // ndSolicitation or ndAdvertisement
	flags    uint8
	priority uint8 // the upper half of the traffic class
	src, dst [16]byte
	target   [16]byte
	options  []byte // to the end of the frame; a view
}

// parseND reads an IPv6 packet whose first header is a neighbour solicitation's or
// advertisement's. b begins behind the EtherType.
func parseND(b []byte) (m ndMessage, ok bool) {
	if len(b) < ipv6HeaderLen+ndLen || b[6] != icmpv6 {
		return m, false
	}
	icmp := b[ipv6HeaderLen:]
	if kind, code := icmp[0], icmp[1]; code != 0 || kind != ndSolicitation && kind != ndAdvertisement {
		return m, false
	}
	return ndMessage{
		kind: icmp[0], flags: icmp[4], priority: b[0] & 0xf,
		src: [16]byte(b[8:24]), dst: [16]byte(b[24:40]), target: [16]byte(icmp[8:24]), options: icmp[ndLen:],
	}, true
}

// isDAD reports a solicitation of who asks whether an address is free: it has none
// to be answered at (RFC 4862 section 5.4.2).
func (m *ndMessage) isDAD() bool { return m.src == [16]byte{} }

// asker is the link-layer address of who sent a solicitation: what the first source
// link-layer address option says, without one from, the address of the frame. It is
// false if an option in front of that, or itself, does not fit into the message.
func (m *ndMessage) asker(from frame.MAC) (mac frame.MAC, ok bool) {
	for opts := m.options; len(opts) >= 2; {
		n := int(opts[1]) * 8
		if n == 0 || n > len(opts) {
			return mac, false
		}
		if opts[0] == optSourceLinkAddress {
			return frame.MAC(opts[2:8]), true
		}
		opts = opts[n:]
	}
	return from, true
}

// appendAdvertisement appends the frame that answers the solicitation m, which came
// in a frame from from: its target is n. One whose asker has no address yet is
// answered to all nodes (RFC 4861 section 7.2.4). It is false, and nothing is
// appended, if the options of m are malformed.
func appendAdvertisement(b []byte, m *ndMessage, from frame.MAC, n Neighbour) ([]byte, bool) {
	mac, ok := m.asker(from)
	if !ok {
		return b, false
	}
	dst, flags := m.src, byte(ndOverride|ndSolicited)
	if m.isDAD() {
		mac, dst, flags = allNodesMAC, allNodes, ndOverride
	}
	if n.Router {
		flags |= ndRouter
	}
	const length = ndLen + 8
	b = appendHeader(b, mac, n.MAC, frame.TypeIPv6)
	b = append(b, 0x60|m.priority, 0, 0, 0, 0, length, icmpv6, 255)
	b = append(b, m.target[:]...)
	b = append(b, dst[:]...)
	at := len(b)
	b = append(b, ndAdvertisement, 0, 0, 0, flags, 0, 0, 0)
	b = append(b, m.target[:]...)
	b = append(b, optTargetLinkAddress, 1)
	b = append(b, n.MAC[:]...)
	sum := frame.Checksum(b[at:], frame.PseudoSum(m.target[:], dst[:], icmpv6, length))
	binary.BigEndian.PutUint16(b[at+2:], sum)
	return b, true
}
