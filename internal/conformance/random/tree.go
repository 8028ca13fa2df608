package random

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/stp"
)

// The kernel's spanning tree by chance. A scenario takes less than the second for which
// the hold timer runs, and all other timers are longer: so nothing depends on one. With
// snooping it would take more, as its timers are waited for.

// tree reports whether a spanning tree may be used.
func (o *Options) tree() bool { return o.has(o.Features.Bridge, "stp_state") && !o.without("bpdu") }

// spanning has the bridge begin with times that are long.
func (g *generator) spanning(b replay.Attrs) {
	b["hello_time"], b["priority"] = num(1000), pick(g, num(32768), num(0), num(0xffff))
}

// treeID is one of a few identifiers of bridges, seldom that of the one that is tried.
func (g *generator) treeID() stp.BridgeID {
	id := stp.BridgeID{
		Priority: pick[uint16](g, 0x8000, 0x8000, 0x1000, 0xf000, 0),
		Address:  frame.MAC{2, 0, 0, 0, 0x0c, byte(1 + g.IntN(3))},
	}
	if g.chance(15) {
		id.Address = frame.MAC{2, 0, 0, 0, 0x0b}
	}
	return id
}

// bpdu gives one to a port. One that is as old as it may get is left out: what it says
// would be forgotten at once, by a timer.
func (g *generator) bpdu() replay.Step {
	p := stp.BPDU{
		Type: stp.Config, Root: g.treeID(), Bridge: g.treeID(), Flags: pick[stp.Flags](g, 0, 0, 1, 0x80, 0x81, 0x7e),
		Cost: pick[uint32](g, 0, 0, 1, 99, 100, 101, 1<<32-50), Port: pick[stp.PortID](g, 0x8001, 0x8002, 0x8003, 1, 0xffff),
		MessageAge: pick[stp.Ticks](g, 0, 0, 256, 1), MaxAge: pick[stp.Ticks](g, 20*256, 40*256, 6*256),
		HelloTime: pick[stp.Ticks](g, 10*256, 2*256), ForwardDelay: pick[stp.Ticks](g, 15*256, 4*256, 30*256),
	}
	if g.chance(40) {
		p.Bridge = p.Root
		p.Cost = 0
	}
	switch n := g.IntN(100); {
	case n < 15:
		p = stp.BPDU{Type: stp.TCN}
	case n < 18:
		p.Version = pick[uint8](g, 1, 2, 3)
	case n < 20:
		p.Type, p.Version = stp.RST, 2
	case n < 22:
		p.Type = 3
	case n < 25:
		p.MessageAge = p.MaxAge + 1
	}
	return replay.Step{Op: "inject", Port: g.insider(), Frame: hex.EncodeToString(g.bpduFrame(p.Append(nil)))}
}

// insider is a port that is in the bridge: one at least always is, see anchor.
func (g *generator) insider() string {
	for {
		if p := g.anyPort(); !g.outside[p] {
			return p
		}
	}
}

// bpduFrame puts the headers in front, and something that is wrong, or only unusual, now
// and then.
func (g *generator) bpduFrame(pdu []byte) []byte {
	dst := frame.MAC{1, 0x80, 0xc2}
	if g.s.Bridge["group_address"].Word == "01:80:c2:00:00:08" {
		dst[5] = 8
	}
	if g.chance(5) {
		dst[5] = pick[byte](g, 0, 8, 0xd)
	}
	b := append(dst[:], 2, 0, 0, 0, 0x0a, byte(1+g.IntN(3)))
	if g.chance(5) {
		b = g.tag(b)
	}
	if g.chance(5) {
		pdu = pdu[:g.IntN(len(pdu))]
	}
	if g.chance(5) {
		pdu = append(pdu, 0, 1)
	}
	n := 3 + len(pdu)
	if g.chance(4) {
		n += g.IntN(7) - 3
	}
	b = append(binary.BigEndian.AppendUint16(b, uint16(max(n, 0))), stp.LLC...)
	if g.chance(4) {
		b[len(b)-1-g.IntN(3)] ^= 1 << g.IntN(8)
	}
	b = append(b, pdu...)
	if g.chance(20) {
		b = append(b, make([]byte, g.IntN(20))...)
	}
	return b
}
