package random

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// mac is an address that may be a station's, a device's or nobody's.
func (g *generator) mac() string {
	switch n := g.IntN(100); {
	case n < 75:
		return fmt.Sprintf("02:00:00:00:0a:%02x", 1+g.IntN(6))
	case n < 85:
		return fmt.Sprintf("02:00:00:00:0b:%02x", g.IntN(4))
	case n < 95:
		return fmt.Sprintf("02:00:00:00:0f:%02x", 1+g.IntN(2))
	}
	return pick(g, "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:01:01:01", "01:80:c2:00:00:0e")
}

// groups are destinations that are no station's.
var groups = []string{
	"ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff", "01:00:5e:01:01:01", "33:33:00:00:00:05", "33:33:ff:00:00:01",
	"01:80:c2:00:00:00", "01:80:c2:00:00:01", "01:80:c2:00:00:02", "01:80:c2:00:00:03", "01:80:c2:00:00:08",
	"01:80:c2:00:00:0d", "01:80:c2:00:00:0e", "01:80:c2:00:00:0f", "01:80:c2:00:00:10", "01:80:c2:00:00:21",
}

func (g *generator) destination() string {
	if g.chance(35) {
		return groups[g.IntN(len(groups))]
	}
	return g.mac()
}

// tag adds a tag: of the VLANs in use, of others, or a priority.
func (g *generator) tag(b []byte) []byte {
	tpid := pick[uint16](g, 0x8100, 0x8100, 0x8100, 0x88a8)
	if g.s.Bridge["vlan_protocol"].Word == "802.1ad" && g.chance(60) {
		tpid = 0x88a8
	}
	vid := g.vid()
	if g.chance(20) {
		vid = pick[uint16](g, 0, 0, 3, 4095)
	}
	b = binary.BigEndian.AppendUint16(b, tpid)
	return binary.BigEndian.AppendUint16(b, vid|uint16(pick(g, 0, 0, 0x6000, 0xe000, 0x1000)))
}

// types are what frames carry; a number below 1536 is a length.
var types = []uint16{0x88b5, 0x88b5, 0x88b5, 0x88b5, 0x88b5, 0x0800, 0x86dd, 0x0806, 0x8863, 0x0026, 0x88cc}

func (g *generator) frame() []byte {
	addr := func(text string) []byte {
		m := frame.MustParseMAC(text)
		return m[:]
	}
	b := append(addr(g.destination()), addr(g.mac())...)
	tagged := 25
	if g.opt.vlans() {
		tagged = 55
	}
	for g.chance(tagged) && len(b) < 24 {
		b, tagged = g.tag(b), 25
	}
	if g.chance(20) && !g.opt.without("neigh") {
		return g.asks(b)
	}
	b = binary.BigEndian.AppendUint16(b, types[g.IntN(len(types))])
	if g.chance(3) && len(b) <= 18 {
		// A runt. Of two tags none is cut: where the kernel has br_netfilter, that drops a
		// frame whose inner tag is not whole, whatever it was told.
		return b[:g.IntN(len(b)+1)]
	}
	g.frames++
	b = binary.BigEndian.AppendUint32(b, uint32(g.frames))
	size := g.IntN(50)
	if g.chance(4) {
		size = pick(g, 1400, 1500, 1504, 2000) - 4 + g.IntN(9) - 4
	}
	return append(b, make([]byte, size)...)
}

// inject gives a frame to a port or to the host. A device outside of the bridge is
// none of the bridge's business.
func (g *generator) inject() replay.Step {
	port := g.anyPort()
	switch {
	case g.tree: // what becomes of the host's frames depends on a carrier, see anchor
		port = g.insider()
	case g.chance(15) || g.outside[port]:
		port = hostName
	}
	return replay.Step{Op: "inject", Port: port, Frame: hex.EncodeToString(g.frame())}
}

// device is a port, or seldom the bridge.
func (g *generator) device() string {
	if g.chance(15) {
		return hostName
	}
	return g.anyPort()
}

func (g *generator) vlan() *uint16 {
	if !g.opt.vlans() || g.chance(50) {
		return nil
	}
	return new(g.vid())
}

func (g *generator) fdbAdd() replay.Step {
	t := replay.Step{
		Op: "fdb-add", Port: g.device(), MAC: g.mac(), VLAN: g.vlan(),
		State: new(pick(g, "permanent", "static", "static", "dynamic", "dynamic")),
		Mode:  pick(g, "add", "add", "replace", "replace", "append", "change"),
	}
	for _, flag := range []string{"sticky", "extern_learn", "use", "router"} {
		if g.chance(10) && !g.opt.without(flag) {
			t.Flags = append(t.Flags, flag)
		}
	}
	return t
}

func (g *generator) fdbDel() replay.Step {
	return replay.Step{Op: "fdb-del", Port: g.device(), MAC: g.mac(), VLAN: g.vlan()}
}

func (g *generator) fdbFlush() replay.Step {
	return replay.Step{Op: "fdb-flush", Port: pick(g, "", g.anyPort())}
}

func (g *generator) fdbFlushBulk() replay.Step {
	t := replay.Step{Op: "fdb-flush-bulk", Port: pick(g, "", g.anyPort()), VLAN: g.vlan()}
	if g.chance(10) {
		t.Port = hostName
	}
	for _, name := range []string{"permanent", "static", "dynamic", "sticky", "extern_learn"} {
		if g.chance(15) {
			t.Flags = append(t.Flags, pick(g, "", "no")+name)
		}
	}
	return t
}

// span is a VLAN or, sometimes, the end of a range.
func (g *generator) span() (vid, end uint16) {
	vid = g.vid()
	switch n := g.IntN(100); {
	case n < 4:
		return pick[uint16](g, 0, 4095), 0
	case n < 20:
		return vid, min(vid+uint16(g.IntN(6)), 4094)
	}
	return vid, 0
}

func (g *generator) vlanAdd() replay.Step {
	t := replay.Step{Op: "vlan-add", Port: g.device(), PVID: g.chance(30), Untagged: g.chance(40)}
	t.VID, t.VIDEnd = g.span()
	for vid := t.VID; vid <= max(t.VID, t.VIDEnd); vid++ {
		g.slowVLANs(vid)
	}
	return t
}

func (g *generator) vlanDel() replay.Step {
	t := replay.Step{Op: "vlan-del", Port: g.device()}
	t.VID, t.VIDEnd = g.span()
	return t
}

// vlanSet has no ranges: of one that ends in a refusal the kernel keeps what came
// before it.
func (g *generator) vlanSet() replay.Step {
	t := replay.Step{Op: "vlan-set", Port: g.device(), VID: g.vid()}
	if name := "neigh_suppress"; g.chance(50) && g.opt.has(g.opt.Features.Port, "neigh_vlan_suppress") && !g.opt.without(name) {
		t.Attrs = replay.Attrs{name: num(int64(g.IntN(2)))}
		return t
	}
	if g.mcast && g.chance(60) {
		t.Attrs = g.mcastVLANAttrs()
		return t
	}
	t.State = new(g.state())
	return t
}

func (g *generator) link() replay.Step {
	t := replay.Step{Op: pick(g, "link-up", "link-up", "link-down"), Port: g.device()}
	if t.Port == anchor {
		t.Port = g.loosePort()
	}
	return t
}

func (g *generator) carrier() replay.Step {
	port := g.loosePort()
	g.noWire[port] = !g.noWire[port]
	return replay.Step{Op: "carrier", Port: port, On: !g.noWire[port]}
}

// membership takes a port out, or brings one back that is.
func (g *generator) membership() replay.Step {
	port := g.loosePort()
	for p, out := range g.outside {
		if out && len(g.outside) == 1 {
			port = p
		}
	}
	g.outside[port] = !g.outside[port]
	if g.outside[port] {
		return replay.Step{Op: "port-del", Port: port}
	}
	delete(g.outside, port)
	g.slowVLANs(1, 2, 5, 10, 4094) // one of them is the default
	return replay.Step{Op: "port-add", Port: port}
}

func (g *generator) wait() replay.Step {
	ms := min(int64(1+g.IntN(20)), live.MaxWait-g.waited)
	g.waited += ms
	return replay.Step{Op: "wait", MS: ms}
}

func (g *generator) dump() replay.Step {
	all := g.dumps()
	return all[g.IntN(len(all))]
}

func (g *generator) dumps() []replay.Step {
	steps := []replay.Step{{Op: "dump-fdb"}, {Op: "dump-port"}, {Op: "dump-bridge"}, {Op: "dump-stats"}}
	if g.mcast {
		steps = append(steps, replay.Step{Op: "dump-mdb"})
	}
	if g.opt.vlans() {
		steps = append(steps, replay.Step{Op: "dump-vlan"}, replay.Step{Op: "dump-vlan-global"})
	}
	if g.opt.mst() {
		steps = append(steps, replay.Step{Op: "dump-mst"})
	}
	return steps
}
