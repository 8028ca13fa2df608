package snoop

import (
	"encoding/binary"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// Types of the messages that hosts and routers exchange about groups (RFC 1112, RFC
// 2236, RFC 3376, RFC 2710, RFC 3810), and of router advertisements (RFC 4286).
const (
	TypeIGMPQuery    = 0x11
	TypeIGMPv1Report = 0x12
	TypeIGMPv2Report = 0x16
	TypeIGMPLeave    = 0x17
	TypeIGMPv3Report = 0x22
	TypeMLDQuery     = 130
	TypeMLDv1Report  = 131
	TypeMLDDone      = 132
	TypeMLDv2Report  = 143

	typeMRD4 = 0x30
	typeMRD6 = 151
)

// Kind sorts what a Packet is.
type Kind uint8

// The kinds. All but the first two are control: they change what is known of
// groups and routers, and no group is looked up for them but for KindRouter.
const (
	KindData     Kind = iota // anything else
	KindUnseen               // snooping does not look at this VLAN's frames; nothing else is known of it
	KindRouter               // PIM hello or router advertisement: a router is there
	KindReport               // a report of IGMPv1, IGMPv2 or MLDv1: one group is joined
	KindLeave                // IGMP leave or MLD done
	KindReportV3             // a report of IGMPv3 or MLDv2: records
	KindQuery                // a query of any version
)

// Packet is what a multicast frame says to a snooping bridge. Group messages point
// into the frame they were read from, and hold as long as its bytes.
type Packet struct {
	Kind        Kind
	Family      Family // of the packet: L2 if it is neither IPv4 nor IPv6
	RoutersOnly bool   // where groups are restricted, and this one is not known, it goes to routers alone
	Type        uint8  // of the message, one of the constants above; 0 for data
	Version     uint8  // of the message, 1 to 3 for IGMP and 1 or 2 for MLD; 0 for data
	Suppress    bool   // a query's S flag (RFC 3376, section 4.1.5)
	Records     uint16 // of a report
	Dst, Src    Addr   // network addresses; for L2 Dst is the MAC address
	Group       Addr   // whom the message is about; zero in a general query, and in reports with records
	Delay       time.Duration
	EthSrc      frame.MAC

	// Padding is the number of bytes behind the IP packet, which nobody reads.
	Padding int

	ignored bool   // a query that Linux passes over
	records []byte // what follows the fixed part of a report
}

// Control reports that the packet must be given to [Machine.Handle].
func (p *Packet) Control() bool { return p.Kind >= KindRouter }

// Message reports a message of IGMP or MLD: no group is looked up for it.
func (p *Packet) Message() bool { return p.Kind >= KindReport }

// ParseError is why a multicast frame is dropped: what it claims is not true of its
// bytes. With snooping off nobody looks, and the frame passes.
type ParseError uint8

// The faults (ip_mc_check_igmp, ipv6_mc_check_mld).
const (
	BadHeader   ParseError = iota + 1 // IP version, header length, or total length
	BadChecksum                       // of the IPv4 header, or of the message
	BadLength                         // a message shorter than its type allows
	BadQuery                          // a general query not sent to all nodes, or an MLD query not from a link-local address
	BadRecord                         // a report is cut short within its records
)

// Error says what is wrong.
func (e ParseError) Error() string {
	return "snoop: " + [...]string{"", "impossible IP header", "wrong checksum", "message too short",
		"query that nobody may send", "report cut short"}[e%6]
}

// Parse reads a multicast frame into p. The frame is well-formed
// ([frame.Frame.WellFormed]), and its destination is a group address; its outer tag
// is lifted or held aside, and what lies behind another one is not looked at. A
// checksum that the frame owes ([frame.Offload]) is not held against the message,
// as in Linux. It changes and keeps nothing and allocates nothing. On error p is not
// to be used, but Family is set.
func (p *Packet) Parse(f *frame.Frame) error {
	*p = Packet{EthSrc: f.Src()}
	rest := f.Rest()
	switch f.Type() {
	case frame.TypeIPv4:
		p.Family = IPv4
		return p.ipv4(rest[2:], f.Owed.Flags&frame.NeedsCsum != 0)
	case frame.TypeIPv6:
		p.Family = IPv6
		return p.ipv6(rest[2:], f.Owed.Flags&frame.NeedsCsum != 0)
	}
	p.Dst = MACAddr(f.Dst())
	return nil
}

func (p *Packet) readAddresses4(b []byte) {
	copy(p.Src[:4], b[12:16])
	copy(p.Dst[:4], b[16:20])
}

func (p *Packet) readAddresses6(b []byte) {
	p.Src, p.Dst = Addr(b[8:24]), Addr(b[24:40])
}

// ipv4 is ip_mc_check_igmp and the sorting of br_multicast_ipv4_rcv.
func (p *Packet) ipv4(b []byte, owed bool) error {
	if len(b) < 20 || b[0]>>4 != 4 {
		return BadHeader
	}
	ihl, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if ihl < 20 || len(b) < ihl || total < ihl || len(b) < total {
		return BadHeader
	}
	if frame.Checksum(b[:ihl], 0) != 0 {
		return BadChecksum
	}
	p.readAddresses4(b)
	p.Padding = len(b) - total
	if b[9] != 2 {
		p.other4(b[9], b[ihl:]) // as Linux does, to the end of the frame
		return nil
	}
	return p.igmp(b[ihl:total], owed)
}

// other4 sorts IPv4 that is not IGMP, or IGMP of an unknown type. PIM hellos are
// those of version 2 (RFC 7761, section 4.9).
func (p *Packet) other4(protocol uint8, msg []byte) {
	switch {
	case !p.Dst.unsnooped(IPv4):
		p.RoutersOnly = true
	case p.Dst == allPIM4 && protocol == 103 && len(msg) >= 4 && msg[0] == 0x20,
		p.Dst == allSnoopers4 && protocol == 2 && msg[0] == typeMRD4:
		p.Kind = KindRouter
	}
}

func (p *Packet) igmp(b []byte, owed bool) error {
	if len(b) < 8 {
		return BadLength
	}
	if !owed && frame.Checksum(b, 0) != 0 {
		return BadChecksum
	}
	switch b[0] {
	case TypeIGMPv1Report:
		p.Kind, p.Version, p.RoutersOnly = KindReport, 1, true
		copy(p.Group[:4], b[4:8])
	case TypeIGMPv2Report:
		p.Kind, p.Version, p.RoutersOnly = KindReport, 2, true
		copy(p.Group[:4], b[4:8])
	case TypeIGMPLeave:
		p.Kind, p.Version = KindLeave, 2
		copy(p.Group[:4], b[4:8])
	case TypeIGMPv3Report:
		p.Kind, p.Version = KindReportV3, 3
		p.Records, p.records = binary.BigEndian.Uint16(b[6:]), b[8:]
	case TypeIGMPQuery:
		if err := p.query4(b); err != nil {
			return err
		}
	default:
		p.other4(2, b)
		return nil
	}
	p.Type = b[0]
	return nil
}

// query4 reads a query by its length: 8 bytes are IGMPv1 (code 0) or IGMPv2, from 12
// on IGMPv3 (RFC 3376, section 7.1).
func (p *Packet) query4(b []byte) error {
	if len(b) != 8 && len(b) < 12 {
		return BadLength
	}
	general := binary.BigEndian.Uint32(b[4:]) == 0
	if general && p.Dst != allNodes4 {
		return BadQuery
	}
	p.Kind = KindQuery
	switch {
	case len(b) == 8 && b[1] == 0:
		// Whatever group it names, a query of IGMPv1 is general.
		p.Version, p.Delay = 1, 10*time.Second
		return nil
	case len(b) == 8:
		p.Version, p.Delay = 2, time.Duration(b[1])*100*time.Millisecond
	default:
		p.Version, p.Delay = 3, max(floating8(b[1])*100*time.Millisecond, jiffy)
		p.Suppress = b[8]&8 != 0
		p.ignored = b[10]|b[11] != 0
	}
	copy(p.Group[:4], b[4:8])
	return nil
}

// floating8 is Max Resp Code in tenths of a second (RFC 3376, section 4.1.1).
func floating8(code uint8) time.Duration {
	if code < 128 {
		return time.Duration(code)
	}
	return time.Duration(code&15|16) << (code>>4&7 + 3)
}

// floating16 is MLDv2's Maximum Response Code in milliseconds (RFC 3810, section
// 5.1.3).
func floating16(code uint16) time.Duration {
	if code < 32768 {
		return time.Duration(code)
	}
	return time.Duration(code&0xfff|0x1000) << (code>>12&7 + 3)
}
