package random

import (
	"encoding/binary"
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// Addresses of stations: station n has the MAC address 02:00:00:00:0a:n.

const stations = 6

func stationMAC(n int) frame.MAC { return frame.MAC{0x02, 4: 0x0a, 5: byte(n)} }

func stationIPv4(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }

func stationIPv6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(n)})
}

func (g *generator) station() int { return 1 + g.IntN(stations) }

func (g *generator) ipv6() bool { return g.s.Bridge["ipv6"].Num != 0 }

// neighAdd tells the host of a station, mostly the truth.
func (g *generator) neighAdd() replay.Step {
	n := g.station()
	t := replay.Step{Op: "neigh-add", IP: g.neighbour(n), MAC: stationMAC(n).String()}
	if g.chance(15) {
		t.MAC = g.mac()
	}
	return t
}

func (g *generator) neighDel() replay.Step {
	return replay.Step{Op: "neigh-del", IP: g.neighbour(g.station())}
}

// neighbour is an address of a station. Without IPv6 the host refuses one of those.
func (g *generator) neighbour(n int) string {
	if g.ipv6() && g.chance(60) || g.chance(4) {
		return stationIPv6(n).String()
	}
	return stationIPv4(n).String()
}

// asks makes the frame b, which has both addresses and tags, a question for a
// neighbour or an answer: ARP, or neighbour discovery.
func (g *generator) asks(b []byte) []byte {
	who, whom := g.station(), g.station()
	if !g.chance(15) {
		m := stationMAC(who)
		copy(b[6:12], m[:])
	}
	nd := g.chance(30)
	if g.ipv6() {
		nd = g.chance(70)
	}
	if g.chance(80) {
		group := frame.Broadcast
		if nd {
			group = frame.MAC{0x33, 0x33, 0xff, 5: byte(whom)}
		}
		copy(b, group[:])
	}
	head := len(b)
	if nd {
		b = g.discovery(b, who, whom)
	} else {
		b = g.arp(b, who, whom)
	}
	if g.chance(4) {
		return b[:head+2+g.IntN(len(b)-head-2)]
	}
	if g.chance(30) {
		b = append(b, make([]byte, g.IntN(20))...)
	}
	return b
}

// arp appends an ARP packet (RFC 826), by which who asks for whom.
func (g *generator) arp(b []byte, who, whom int) []byte {
	const ethernet, request = 1, 1
	etherType, hardware, proto, sizes, op := uint16(frame.TypeARP), uint16(ethernet), uint16(frame.TypeIPv4), uint16(0x0604), uint16(request)
	if g.chance(30) {
		op = pick[uint16](g, 2, 2, 3, 4, 5, 9)
	}
	if g.chance(8) {
		switch g.IntN(4) {
		case 0:
			etherType = 0x8035 // RARP
		case 1:
			hardware = 6
		case 2:
			proto = uint16(frame.TypeIPv6)
		case 3:
			sizes = 0x0804
		}
	}
	for _, v := range []uint16{etherType, hardware, proto, sizes, op} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	sender, target := stationIPv4(who).As4(), stationIPv4(whom).As4()
	switch n := g.IntN(100); {
	case n < 10:
		sender = [4]byte{}
	case n < 18:
		sender = target
	}
	if g.chance(4) {
		target = pick(g, [4]byte{127, 0, 0, 1}, [4]byte{224, 0, 0, 5}, [4]byte{}, [4]byte{255, 255, 255, 255})
	}
	mac := stationMAC(who)
	if g.chance(5) {
		mac = frame.MustParseMAC(g.mac())
	}
	b = append(append(b, mac[:]...), sender[:]...)
	b = append(b, make([]byte, len(mac))...)
	return append(b, target[:]...)
}

// discovery appends a neighbour solicitation or advertisement (RFC 4861, sections 4.3
// and 4.4). Routers are not spoken of: the host would listen to them.
func (g *generator) discovery(b []byte, who, whom int) []byte {
	const icmpv6, solicitation, advertisement, hops = 58, 135, 136, 255
	src, target := stationIPv6(who).As16(), stationIPv6(whom).As16()
	dst := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 15: byte(whom)}
	switch n := g.IntN(100); {
	case n < 15:
		src = [16]byte{}
	case n < 20:
		src = target
	}
	switch n := g.IntN(100); {
	case n < 10:
		dst = target
	case n < 15:
		dst = [16]byte{0: 0xff, 1: 0x02, 15: 1}
	case n < 18:
		dst = src
	}
	kind, flags := byte(solicitation), byte(0)
	if g.chance(20) {
		kind, flags = advertisement, byte(pick(g, 0x60, 0x20, 0x40, 0))
	}
	message := append([]byte{kind, 0, 0, 0, flags, 0, 0, 0}, target[:]...)
	message = append(message, g.options(who)...)
	sum := frame.Checksum(message, frame.PseudoSum(src[:], dst[:], icmpv6, len(message)))
	binary.BigEndian.PutUint16(message[2:], sum)

	b = binary.BigEndian.AppendUint16(b, uint16(frame.TypeIPv6))
	b = append(b, 0x60|byte(pick(g, 0, 0, 0, 0xe)), 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	b = append(b, byte(pick(g, icmpv6, icmpv6, icmpv6, icmpv6, icmpv6, icmpv6, 59)), hops)
	b = append(append(b, src[:]...), dst[:]...)
	return append(b, message...)
}

// options are those of a solicitation: mostly the asker's link-layer address.
func (g *generator) options(who int) []byte {
	mac := stationMAC(who)
	own := append([]byte{1, 1}, mac[:]...)
	switch n := g.IntN(100); {
	case n < 60:
		return own
	case n < 80:
		return nil
	case n < 85: // another in front
		return append([]byte{14, 1, 0, 0, 0, 0, 0, 0}, own...)
	case n < 90: // of no length
		return append([]byte{14, 0, 0, 0, 0, 0, 0, 0}, own...)
	case n < 95: // that is longer than the message
		own[1] = 9
		return own
	}
	return own[:g.IntN(len(own))]
}

// instance is a spanning tree instance: few, so that they meet.
func (g *generator) instance() int { return pick(g, 1, 1, 2, 2, 3, 4095) }

func (g *generator) mstSet() replay.Step {
	t := replay.Step{Op: "mst-set", Port: g.device(), MSTI: new(g.instance()), State: new(g.state())}
	if g.chance(4) {
		t.MSTI = new(pick(g, 0, 4096))
	}
	return t
}

// state is a port's, seldom one that there is not.
func (g *generator) state() string {
	return pick(g, "disabled", "listening", "learning", "forwarding", "forwarding", "blocking", "7")
}

// globalValues are the global options of a VLAN.
var globalValues = map[string]setting{
	"msti": {free: func(g *generator) replay.Value { return num(int64(pick(g, 0, g.instance(), g.instance()))) }},
}

// vlanGlobalSet is half about instances, if there can be any.
func (g *generator) vlanGlobalSet() replay.Step {
	t := replay.Step{Op: "vlan-global-set"}
	t.VID, t.VIDEnd = g.span()
	name := globalNames[g.IntN(len(globalNames))]
	if g.chance(50) && !g.mcast {
		name = "msti"
	}
	if name == "msti" && !g.opt.mst() || g.opt.without(name) {
		name = "mcast_snooping"
	}
	t.Attrs = replay.Attrs{name: g.value(globalValues[name])}
	return t
}
