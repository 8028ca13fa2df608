package workload

import (
	"net/netip"

	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// Datagram is an empty UDP datagram to a group.
func Datagram(src frame.MAC, group netip.Addr) frame.Frame {
	return toGroup(src, group, bridgetest.ProtocolUDP, bridgetest.UDP{Src: 5000, Dst: 5000}.Append(nil))
}

// Join is an IGMPv2 report: its sender is a member of the group.
func Join(src frame.MAC, group netip.Addr) frame.Frame {
	return toGroup(src, group, bridgetest.ProtocolIGMP, bridgetest.IGMP{Type: bridgetest.IGMPReport, Group: group}.Append(nil))
}

// toGroup is a packet to a group, in a frame to the address of RFC 1112, section 6.4.
func toGroup(src frame.MAC, group netip.Addr, protocol uint8, payload []byte) frame.Frame {
	a := group.As4()
	dst := frame.MAC{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	p := bridgetest.IPv4{TTL: 1, Protocol: protocol, Src: netip.AddrFrom4([4]byte{10, 0, 0, 1}), Dst: group, Payload: payload}
	return bridgetest.NewFrame(dst, src, frame.TypeIPv4, p.Append(nil))
}
