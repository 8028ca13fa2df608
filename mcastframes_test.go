package bridge_test

import (
	"encoding/binary"
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
)

// Messages of IGMP and MLD, and data for groups, as stations and routers send them.

var (
	group4, group4b = netip.MustParseAddr("239.1.1.1"), netip.MustParseAddr("239.1.1.2")
	group6          = netip.MustParseAddr("ff0e::1:1")
	source4         = netip.MustParseAddr("192.0.2.1")
	source4b        = netip.MustParseAddr("192.0.2.2")
	source6         = netip.MustParseAddr("fe80::1")
)

// groupMACOf is the Ethernet address of a group (RFC 1112 section 6.4, RFC 2464 section 7).
func groupMACOf(ip netip.Addr) frame.MAC {
	b := ip.AsSlice()
	if ip.Is4() {
		return frame.MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	}
	return frame.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

func ethernet(dst, src frame.MAC, t frame.EtherType, payload []byte) frame.Frame {
	d := append(append(dst[:], src[:]...), byte(t>>8), byte(t))
	return frame.Frame{Data: append(d, payload...)}
}

// ipv4Frame is a packet with Router Alert.
func ipv4Frame(from frame.MAC, src, dst netip.Addr, protocol byte, payload []byte) frame.Frame {
	h := []byte{0x46, 0xc0, 0, byte(24 + len(payload)), 0, 0, 0x40, 0, 1, protocol, 0, 0}
	h = append(append(append(h, src.AsSlice()...), dst.AsSlice()...), 0x94, 4, 0, 0)
	binary.BigEndian.PutUint16(h[10:], frame.Checksum(h, 0))
	return ethernet(groupMACOf(dst), from, frame.TypeIPv4, append(h, payload...))
}

// ipv6Frame is an ICMPv6 message behind a hop-by-hop header with Router Alert.
func ipv6Frame(from frame.MAC, src, dst netip.Addr, msg []byte) frame.Frame {
	sum := frame.Checksum(msg, frame.PseudoSum(src.AsSlice(), dst.AsSlice(), 58, len(msg)))
	binary.BigEndian.PutUint16(msg[2:], sum)
	h := []byte{0x60, 0, 0, 0, 0, byte(8 + len(msg)), 0, 1}
	h = append(append(append(h, src.AsSlice()...), dst.AsSlice()...), 58, 0, 5, 2, 0, 0, 1, 0)
	return ethernet(groupMACOf(dst), from, frame.TypeIPv6, append(h, msg...))
}

func igmp(from frame.MAC, dst netip.Addr, msg ...byte) frame.Frame {
	binary.BigEndian.PutUint16(msg[2:], frame.Checksum(msg, 0))
	return ipv4Frame(from, source4, dst, 2, msg)
}

func igmpMessage(from frame.MAC, dst netip.Addr, kind, code byte, group netip.Addr) frame.Frame {
	return igmp(from, dst, append([]byte{kind, code, 0, 0}, group.AsSlice()...)...)
}

// igmpReport and igmpLeave are IGMPv2's.
func igmpReport(from frame.MAC, group netip.Addr) frame.Frame {
	return igmpMessage(from, group, 0x16, 0, group)
}

func igmpLeave(from frame.MAC, group netip.Addr) frame.Frame {
	return igmpMessage(from, netip.MustParseAddr("224.0.0.2"), 0x17, 0, group)
}

// igmpQuery is a general query of IGMPv2 that gives stations 100 ms.
func igmpQuery(from frame.MAC) frame.Frame {
	return igmpMessage(from, netip.MustParseAddr("224.0.0.1"), 0x11, 1, netip.IPv4Unspecified())
}

// igmpReportV3 has one record.
func igmpReportV3(from frame.MAC, kind byte, group netip.Addr, sources ...netip.Addr) frame.Frame {
	msg := append([]byte{0x22, 0, 0, 0, 0, 0, 0, 1, kind, 0, 0, byte(len(sources))}, group.AsSlice()...)
	for _, s := range sources {
		msg = append(msg, s.AsSlice()...)
	}
	return igmp(from, netip.MustParseAddr("224.0.0.22"), msg...)
}

// mldMessage is one of MLDv1.
func mldMessage(from frame.MAC, dst netip.Addr, kind byte, group netip.Addr) frame.Frame {
	return ipv6Frame(from, source6, dst, append([]byte{kind, 0, 0, 0, 0, 100, 0, 0}, group.AsSlice()...))
}

func mldReport(from frame.MAC, group netip.Addr) frame.Frame {
	return mldMessage(from, group, 131, group)
}

func mldDone(from frame.MAC, group netip.Addr) frame.Frame {
	return mldMessage(from, netip.MustParseAddr("ff02::2"), 132, group)
}

func mldQuery(from frame.MAC) frame.Frame {
	return mldMessage(from, netip.MustParseAddr("ff02::1"), 130, netip.IPv6Unspecified())
}

// groupData is data for a group; it is UDP.
func groupData(from frame.MAC, src, group netip.Addr) frame.Frame {
	udp := []byte{0x0f, 0xa0, 0x13, 0x88, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}
	if group.Is4() {
		return ipv4Frame(from, src, group, 17, udp)
	}
	h := append([]byte{0x60, 0, 0, 0, 0, 16, 17, 8}, src.AsSlice()...)
	return ethernet(groupMACOf(group), from, frame.TypeIPv6, append(append(h, group.AsSlice()...), udp...))
}

// isQueryOf reports a query of IGMP or MLD from a station.
func isQueryOf(wire []byte, from frame.MAC) bool {
	f := frame.Frame{Data: wire}
	if !f.WellFormed() || f.Src() != from || !f.Lift() {
		return false
	}
	switch ip := f.Rest()[2:]; f.Type() {
	case frame.TypeIPv4:
		return len(ip) > 24 && ip[0] == 0x46 && ip[9] == 2 && ip[24] == 0x11
	case frame.TypeIPv6:
		return len(ip) > 48 && ip[6] == 0 && ip[48] == 130
	}
	return false
}

// queriesOf are what the bridge asks by itself.
func queriesOf(ds []delivery, bridge frame.MAC) (queries []delivery) {
	for _, d := range ds {
		if isQueryOf(d.wire, bridge) {
			queries = append(queries, d)
		}
	}
	return queries
}
