package snoop

import (
	"encoding/binary"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// Protocols and extension headers of IPv6 (RFC 8200).
const (
	hopByHop       = 0
	routing        = 43
	fragment       = 44
	authentication = 51
	icmpv6         = 58
	noNext         = 59
	options        = 60 // for the destination
)

// ipv6 is ipv6_mc_check_mld and the sorting of br_multicast_ipv6_rcv. MLD stands
// behind a hop-by-hop header; without one it is not taken for MLD.
func (p *Packet) ipv6(b []byte, owed bool) error {
	if len(b) < 40 || b[0]>>4 != 6 {
		return BadHeader
	}
	end := 40 + int(binary.BigEndian.Uint16(b[4:]))
	if end == 40 || len(b) < end {
		return BadHeader
	}
	p.readAddresses6(b)
	p.Padding = len(b) - end
	if b[6] != hopByHop {
		p.other6()
		return nil
	}
	next, at, ok := skipExtensions(b) // the headers may reach into padding
	if !ok {
		return BadHeader
	}
	if next != icmpv6 {
		p.other6()
		return nil
	}
	if at > end {
		return BadLength
	}
	return p.icmp6(b[at:end], owed)
}

// skipExtensions gives the protocol behind the extension headers that begin at byte
// 40 of an IPv6 packet with a hop-by-hop header, and where it begins, which may be
// behind the end (ipv6_skip_exthdr). A fragment other than the first ends the walk; a
// header that is cut, or nothing to follow, is an error.
func skipExtensions(b []byte) (next uint8, at int, ok bool) {
	next, at = b[6], 40
	for {
		size := 0
		switch next {
		case hopByHop, routing, options:
			if len(b) < at+2 {
				return 0, 0, false
			}
			size = (int(b[at+1]) + 1) * 8
		case fragment:
			if len(b) < at+4 {
				return 0, 0, false
			}
			if binary.BigEndian.Uint16(b[at+2:])&^7 != 0 {
				return fragment, at, true
			}
			size = 8
		case authentication:
			if len(b) < at+2 {
				return 0, 0, false
			}
			size = (int(b[at+1]) + 2) * 4
		case noNext:
			return 0, 0, false
		default:
			return next, at, true
		}
		next, at = b[at], at+size
	}
}

// other6 sorts IPv6 that is not MLD.
func (p *Packet) other6() { p.RoutersOnly = p.Dst != allNodes6 }

func (p *Packet) icmp6(b []byte, owed bool) error {
	if len(b) < 8 {
		return BadLength
	}
	if !owed && frame.Checksum(b, frame.PseudoSum(p.Src[:], p.Dst[:], icmpv6, len(b))) != 0 {
		return BadChecksum
	}
	if len(b) < 24 || b[0] < TypeMLDQuery || b[0] > TypeMLDDone && b[0] != TypeMLDv2Report {
		p.other6()
		if p.Dst == allSnoopers6 && b[0] == typeMRD6 {
			p.Kind = KindRouter
		}
		return nil
	}
	p.Type = b[0]
	switch b[0] {
	case TypeMLDv1Report:
		p.Kind, p.Version, p.RoutersOnly = KindReport, 1, true
	case TypeMLDDone:
		p.Kind, p.Version = KindLeave, 1
	case TypeMLDv2Report:
		p.Kind, p.Version = KindReportV3, 2
		p.Records, p.records = binary.BigEndian.Uint16(b[6:]), b[8:]
		return nil
	case TypeMLDQuery:
		if err := p.query6(b); err != nil {
			return err
		}
	}
	p.Group = Addr(b[8:24])
	return nil
}

// query6 reads a query by its length: 24 bytes are MLDv1, from 28 on MLDv2 (RFC
// 3810, section 8.1). Linux passes over one of MLDv1 that leaves no time to answer.
func (p *Packet) query6(b []byte) error {
	if !p.Src.linkLocal6() {
		return BadQuery
	}
	if len(b) != 24 && len(b) < 28 {
		return BadLength
	}
	if Addr(b[8:24]).isZero() && p.Dst != allNodes6 {
		return BadQuery
	}
	code := binary.BigEndian.Uint16(b[4:])
	p.Kind = KindQuery
	if len(b) == 24 {
		p.Version, p.Delay, p.ignored = 1, time.Duration(code)*time.Millisecond, code == 0
		return nil
	}
	p.Version, p.Delay = 2, max(floating16(code)*time.Millisecond, jiffy)
	p.Suppress = b[24]&8 != 0
	p.ignored = b[26]|b[27] != 0
	return nil
}
