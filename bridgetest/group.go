package bridgetest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// Types of an IGMP message.
const (
	IGMPQuery  uint8 = 0x11
	IGMPReport uint8 = 0x16
	IGMPLeave  uint8 = 0x17
)

// ProtocolIGMP and ProtocolUDP are protocol numbers of an IPv4 header.
const (
	ProtocolIGMP uint8 = 2
	ProtocolUDP  uint8 = 17
)

const (
	igmpLen      = 8
	igmpUnit     = time.Second / 10      // of the maximum response time
	answerUnit   = 10 * time.Millisecond // of the time that a host waits with an answer
	udpHeaderLen = 8
	groupTTL     = 1
	maxGroups    = 1024
)

var (
	allHosts   = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	allRouters = netip.AddrFrom4([4]byte{224, 0, 0, 2})
	noAddr     = netip.AddrFrom4([4]byte{})
)

// IGMP is a message of IGMPv2 (RFC 2236).
type IGMP struct {
	Type    uint8
	MaxResp time.Duration // of a query: in tenths of a second, up to 25.5 s
	Group   netip.Addr    // IPv4; 0.0.0.0 in a query for all groups
}

// Append appends the message to b, with its checksum.
func (m IGMP) Append(b []byte) []byte {
	start := len(b)
	code := min(max(m.MaxResp, 0)/igmpUnit, 255)
	b = appendIPv4(append(b, m.Type, byte(code), 0, 0), m.Group)
	binary.BigEndian.PutUint16(b[start+2:], Checksum(b[start:]))
	return b
}

// ParseIGMP reads a message of IGMPv2, all of b, and verifies its checksum. Of a longer
// query, which is one of IGMPv3, it gives what IGMPv2 knows (RFC 3376, 7.2.1).
func ParseIGMP(b []byte) (IGMP, error) {
	switch {
	case len(b) < igmpLen || len(b) > igmpLen && b[0] != IGMPQuery:
		return IGMP{}, badPacket("an IGMPv2 message has 8 bytes")
	case Checksum(b) != 0:
		return IGMP{}, badPacket("wrong IGMP checksum")
	}
	return IGMP{b[0], time.Duration(b[1]) * igmpUnit, netip.AddrFrom4([4]byte(b[4:8]))}, nil
}

// UDP is a datagram over IPv4 (RFC 768), without a checksum.
type UDP struct {
	Src, Dst uint16
	Payload  []byte
}

// Append appends the datagram to b, and of a payload only what the length field can
// tell.
func (u UDP) Append(b []byte) []byte {
	payload := u.Payload[:min(len(u.Payload), ipv4MaxLen-ipv4HeaderLen-udpHeaderLen)]
	b = binary.BigEndian.AppendUint16(b, u.Src)
	b = binary.BigEndian.AppendUint16(b, u.Dst)
	b = binary.BigEndian.AppendUint16(b, uint16(udpHeaderLen+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// ParseUDP reads a datagram; its checksum is not looked at. Payload is a part of b.
func ParseUDP(b []byte) (UDP, error) {
	if len(b) < udpHeaderLen {
		return UDP{}, badPacket("a UDP header has 8 bytes")
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < udpHeaderLen || n > len(b) {
		return UDP{}, badPacket("the length of a UDP datagram does not fit")
	}
	return UDP{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[udpHeaderLen:n]}, nil
}

// groupMAC is where frames to an IPv4 group go (RFC 1112, 6.4).
func groupMAC(group netip.Addr) frame.MAC {
	a := group.As4()
	return frame.MAC{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
}

// A membership is a group that a host is in.
type membership struct {
	group  netip.Addr
	answer uint64 // the answer that is to be given to a query, counted; 0: none
	last   bool   // no other host has reported the group since this one did
}

// Join makes the host a member of an IPv4 group: it reports that at once and when it
// is asked, and takes the group's frames (RFC 2236). A group that it is in is
// reported again. The error is that of Send, or tells of an address that is no IPv4
// group above 224.0.0.255 (those up to there need no report).
func (h *Host) Join(group netip.Addr) error {
	if err := checkGroup(group); err != nil {
		return fmt.Errorf("bridgetest: %s joins %s: %w", h.name, group, err)
	}
	if h.member(group) == nil {
		if len(h.groups) >= maxGroups {
			return fmt.Errorf("bridgetest: %s joins %s: a host is in %d groups at most", h.name, group, maxGroups)
		}
		h.groups = append(h.groups, &membership{group: group})
	}
	return h.report(h.member(group))
}

// Leave ends a membership, and says so if no other host has reported the group last.
// The error is that of Send, or tells of a group that the host is not in.
func (h *Host) Leave(group netip.Addr) error {
	m := h.member(group)
	if m == nil {
		return fmt.Errorf("bridgetest: %s leaves %s: it is not in it", h.name, group)
	}
	h.groups = slices.DeleteFunc(h.groups, func(o *membership) bool { return o == m })
	if !m.last {
		return nil
	}
	return h.sendGroup(allRouters, ProtocolIGMP, IGMP{Type: IGMPLeave, Group: group}.Append(nil))
}

// Forget ends a membership without a word, as a host does that is switched off.
func (h *Host) Forget(group netip.Addr) {
	h.groups = slices.DeleteFunc(h.groups, func(m *membership) bool { return m.group == group })
}

// Groups lists the groups that the host is in, in the order of joining.
func (h *Host) Groups() []netip.Addr {
	var all []netip.Addr
	for _, m := range h.groups {
		all = append(all, m.group)
	}
	return all
}

// SendGroup sends a UDP datagram to an IPv4 group; the host need not be in it. The
// error is that of Send, or tells of an address that is no IPv4 group.
func (h *Host) SendGroup(group netip.Addr, payload []byte) error {
	if !group.Is4() || !group.IsMulticast() {
		return fmt.Errorf("bridgetest: %s sends to %s: not an IPv4 group", h.name, group)
	}
	return h.sendGroup(group, ProtocolUDP, UDP{Src: 5000, Dst: 5000, Payload: payload}.Append(nil))
}

// Query has the host ask who is in which group, and again each interval, until Query
// with an interval of 0 ends it: it is the querier of the network. Hosts answer within
// maxResp. An election among queriers does not take place.
func (h *Host) Query(interval, maxResp time.Duration) {
	h.querying++
	if interval <= 0 {
		return
	}
	turn := h.querying
	var ask func()
	ask = func() {
		if h.querying != turn || h.plug.out.cut {
			return
		}
		_ = h.sendGroup(allHosts, ProtocolIGMP, // refused by a full cable: lost
			IGMP{Type: IGMPQuery, MaxResp: maxResp, Group: noAddr}.Append(nil))
		h.lab.After(interval, ask)
	}
	h.lab.After(0, ask)
}

func checkGroup(group netip.Addr) error {
	if !group.Is4() || !group.IsMulticast() {
		return fmt.Errorf("not an IPv4 group")
	}
	if group.As4()[0] == 224 && group.As4()[1] == 0 && group.As4()[2] == 0 {
		return fmt.Errorf("a group of the link, which every host is in")
	}
	return nil
}

func (h *Host) member(group netip.Addr) *membership {
	for _, m := range h.groups {
		if m.group == group {
			return m
		}
	}
	return nil
}

// report says that the host is in a group.
func (h *Host) report(m *membership) error {
	m.answer, m.last = 0, true
	return h.sendGroup(m.group, ProtocolIGMP, IGMP{Type: IGMPReport, Group: m.group}.Append(nil))
}

func (h *Host) sendGroup(group netip.Addr, protocol uint8, payload []byte) error {
	p := IPv4{TTL: groupTTL, Protocol: protocol, Src: h.ip, Dst: group, Payload: payload}
	return h.send(groupMAC(group), frame.TypeIPv4, p.Append(nil))
}

// receiveIGMP answers queries, a while later and unless somebody else does.
func (h *Host) receiveIGMP(m IGMP) {
	switch m.Type {
	case IGMPQuery:
		for _, g := range h.groups {
			if m.Group == g.group || m.Group == noAddr {
				h.answerLater(g, m.MaxResp)
			}
		}
	case IGMPReport:
		if g := h.member(m.Group); g != nil {
			g.answer, g.last = 0, false
		}
	}
}

func (h *Host) answerLater(m *membership, within time.Duration) {
	if m.answer != 0 {
		return // it is going to answer
	}
	h.answers++
	m.answer = h.answers
	turn := m.answer
	turns := int64(max(within, igmpUnit) / answerUnit)
	h.lab.After(time.Duration(h.lab.rand.Int64N(turns))*answerUnit, func() {
		if h.member(m.group) == m && m.answer == turn {
			_ = h.report(m) // refused by a full cable: lost
		}
	})
}

// wantsGroup says whether the host takes an IPv4 group's frames.
func (h *Host) wantsGroup(mac frame.MAC) bool {
	link := mac[3] == 0 && mac[4] == 0 // 224.0.0.0/24, and 31 more that look the same
	return link || slices.ContainsFunc(h.groups, func(m *membership) bool { return groupMAC(m.group) == mac })
}
