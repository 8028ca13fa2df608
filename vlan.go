package bridge

import (
	"math/bits"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

// VLAN is membership in one VLAN, or with End in each of a range, as `bridge vlan
// add vid VID[-END] [pvid] [untagged]` asks for it.
type VLAN struct {
	VID      frame.VID // 1 to 4094
	End      frame.VID // last of a range, above VID; 0: VID alone
	PVID     bool      // untagged frames that come in belong to it; not for a range
	Untagged bool      // frames leave without the tag
}

// Access gives the VLANs of an access port: vid alone, untagged both ways.
func Access(vid frame.VID) []VLAN { return []VLAN{{VID: vid, PVID: true, Untagged: true}} }

// Trunk gives the VLANs of a trunk port: vids tagged, and native, unless it is 0,
// untagged both ways. Nothing else is left on the port, no VLAN 1 either.
func Trunk(native frame.VID, vids ...frame.VID) []VLAN {
	vs := []VLAN{}
	if native != 0 {
		vs = append(vs, VLAN{VID: native, PVID: true, Untagged: true})
	}
	for _, v := range vids {
		if v != native {
			vs = append(vs, VLAN{VID: v})
		}
	}
	return vs
}

// check refuses what br_vlan_info_validate and its callers refuse.
func (v VLAN) check() string {
	switch {
	case v.VID == 0 || v.VID > frame.MaxVID || v.End > frame.MaxVID:
		return "VLAN id is invalid, it must be 1 to 4094"
	case v.End != 0 && v.PVID:
		return "PVID isn't allowed in a range"
	case v.End != 0 && v.End <= v.VID:
		return "end VLAN id is less than or equal to start VLAN id"
	}
	return ""
}

func (v VLAN) last() frame.VID { return max(v.VID, v.End) }

// VLANInfo is what is known of one VLAN of a port or of the bridge device.
type VLANInfo struct {
	VID         frame.VID
	PVID        bool
	Untagged    bool
	State       PortState
	McastRouter int // see VLANFilter.SetMcastRouter

	McastGroups    int    // of a port: groups that it is in, while snooping is per VLAN (mcast_n_groups)
	McastMaxGroups uint32 // likewise, see VLANFilter.SetMcastMaxGroups

	NeighSuppress bool // see VLANFilter.SetNeighSuppress

	// Counted while VLANStats is on: by the whole VLAN together, or by this port
	// with VLANStatsPerPort. Bytes are without the Ethernet header and the tag.
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
}

// vlanGroup is the VLANs of one device (net_bridge_vlan_group). A published group
// is never changed; an edit copies it, and of its pages those that it touches.
type vlanGroup struct {
	pvid  frame.VID
	count int
	pages [64]*vlanPage
	owner uint64 // tx.serial of the transaction that made this copy, and alone may write it
	owned uint64 // pages that it may write

	tunnels *vlanTunnels // nil: no VLAN is mapped to a tunnel id
}

// vlanPage holds 64 consecutive VIDs, one bit each where the datapath asks.
type vlanPage struct {
	member, untagged uint64
	forwarding       uint64 // state is FORWARDING
	lets             uint64 // state is FORWARDING or LEARNING
	neighSuppress    uint64
	state            [64]PortState
	own              *[64]*vlanStats // with VLANStatsPerPort; nil: those that the members share
}

type vlanStats struct{ rxPackets, rxBytes, txPackets, txBytes atomic.Uint64 }

func (s *vlanStats) countIn(f *frame.Frame) {
	if s != nil {
		s.rxPackets.Add(1)
		s.rxBytes.Add(uint64(f.Len() - frame.HeaderLen))
	}
}

func (s *vlanStats) countOut(f *frame.Frame) {
	if s != nil {
		s.txPackets.Add(1)
		s.txBytes.Add(uint64(f.Len() - frame.HeaderLen))
	}
}

// vlanStats gives the counters of a device with the VLANs g, nil for a VLAN that it is
// not in.
func (c *config) vlanStats(g *vlanGroup, v frame.VID) *vlanStats {
	p, bit := g.page(v)
	switch {
	case p == nil || p.member&bit == 0:
		return nil
	case p.own != nil:
		return p.own[v&63]
	}
	return c.masters.stats(v)
}

func (g *vlanGroup) page(v frame.VID) (*vlanPage, uint64) {
	return g.pages[v>>6&63], 1 << (v & 63)
}

func (g *vlanGroup) has(v frame.VID) bool {
	p, bit := g.page(v)
	return p != nil && p.member&bit != 0
}

func (g *vlanGroup) untagged(v frame.VID) bool {
	p, bit := g.page(v)
	return p != nil && p.untagged&bit != 0
}

// forwards reports membership with state FORWARDING, which egress wants.
func (g *vlanGroup) forwards(v frame.VID) bool {
	p, bit := g.page(v)
	return p != nil && p.member&p.forwarding&bit != 0
}

func (g *vlanGroup) suppresses(v frame.VID) bool {
	p, bit := g.page(v)
	return p != nil && p.neighSuppress&bit != 0
}

func (g *vlanGroup) state(v frame.VID) PortState {
	p, _ := g.page(v)
	return p.state[v&63]
}

// each calls fn for every member, ascending.
func (g *vlanGroup) each(fn func(v frame.VID)) {
	for i, p := range g.pages {
		if p == nil {
			continue
		}
		for m := p.member; m != 0; m &= m - 1 {
			fn(frame.VID(i<<6 + bits.TrailingZeros64(m)))
		}
	}
}

// writableBy gives g itself to the transaction that made it, and to any other a copy.
func (g *vlanGroup) writableBy(x *tx) *vlanGroup {
	if g.owner == x.serial {
		return g
	}
	c := *g
	c.owner, c.owned = x.serial, 0
	return &c
}

// isJust reports whether the members are vs and nothing else, all of them in state s and
// as they are when they are new, without counters of their own.
func (g *vlanGroup) isJust(vs []VLAN, s PortState) bool {
	n, pvid := 0, frame.VID(0)
	for _, vl := range vs {
		if vl.PVID {
			pvid = vl.VID
		}
		for v := vl.VID; v <= vl.last(); v++ {
			p, bit := g.page(v)
			if p == nil || p.member&bit == 0 || (p.untagged&bit != 0) != vl.Untagged ||
				p.state[v&63] != s || p.neighSuppress&bit != 0 || p.own != nil {
				return false
			}
			n++
		}
	}
	return n == g.count && pvid == g.pvid && g.tunnels == nil
}

// writable gives the page of v to a clone that may write it.
func (g *vlanGroup) writable(v frame.VID) (*vlanPage, uint64) {
	i := v >> 6 & 63
	if g.owned&(1<<i) == 0 {
		p := vlanPage{}
		if g.pages[i] != nil {
			p = *g.pages[i]
		}
		if p.own != nil {
			p.own = new(*p.own)
		}
		g.pages[i] = &p
		g.owned |= 1 << i
	}
	return g.pages[i], 1 << (v & 63)
}

func (g *vlanGroup) setFlags(v frame.VID, pvid, untagged bool) {
	p, bit := g.writable(v)
	p.untagged &^= bit
	if untagged {
		p.untagged |= bit
	}
	switch {
	case pvid:
		g.pvid = v
	case g.pvid == v:
		g.pvid = 0
	}
}

func (g *vlanGroup) setState(v frame.VID, s PortState) {
	p, bit := g.writable(v)
	p.state[v&63] = s
	p.forwarding &^= bit
	p.lets &^= bit
	if s == StateForwarding {
		p.forwarding |= bit
	}
	if s.Learns() {
		p.lets |= bit
	}
}

// insert adds a member, with counters of its own or without.
func (g *vlanGroup) insert(v frame.VID, counts bool, s PortState) {
	p, bit := g.writable(v)
	p.member |= bit
	if counts {
		if p.own == nil {
			p.own = new([64]*vlanStats)
		}
		p.own[v&63] = new(vlanStats)
	}
	g.count++
	g.setState(v, s)
}

func (g *vlanGroup) remove(v frame.VID) {
	p, bit := g.writable(v)
	p.member &^= bit
	p.untagged &^= bit
	p.forwarding &^= bit
	p.lets &^= bit
	p.neighSuppress &^= bit
	if p.own != nil {
		p.own[v&63] = nil
	}
	g.unmapTunnel(v)
	g.count--
	if g.pvid == v {
		g.pvid = 0
	}
}

// vlanInfo lists the members of a device's VLANs for a dump.
func (c *config) vlanInfo(g *vlanGroup) []VLANInfo {
	vs := make([]VLANInfo, 0, g.count)
	g.each(func(v frame.VID) {
		p, bit := g.page(v)
		i := VLANInfo{
			VID: v, PVID: g.pvid == v, Untagged: p.untagged&bit != 0,
			State:         p.state[v&63],
			NeighSuppress: p.neighSuppress&bit != 0,
		}
		st := c.vlanStats(g, v)
		i.RxPackets, i.RxBytes = st.rxPackets.Load(), st.rxBytes.Load()
		i.TxPackets, i.TxBytes = st.txPackets.Load(), st.txBytes.Load()
		vs = append(vs, i)
	})
	return vs
}

// The ingress side, br_allowed_ingress.

// ingress decides the VLAN of a frame that came in by a device with the VLANs g,
// and makes the frame's view fit it: afterwards f.Tag is the tag of that VLAN. It
// may lower *state, the state of the device, to that of the VLAN.
func (in *Input) ingress(g *vlanGroup, f *frame.Frame, state *PortState) (vid frame.VID, d Decision) {
	cfg := in.cfg
	if !cfg.info.VLANFiltering {
		return 0, VLANOff
	}
	proto := cfg.info.VLANProtocol
	if !f.Tag.Present() && !in.liftHost(f, proto) {
		return 0, VLANNotMember
	}
	d = VLANTagged
	if f.Tag.Present() && f.Tag.TPID != proto {
		in.pushBack(f)
		d = VLANForeign
	}
	if vid = f.Tag.VID(); vid == 0 {
		if vid = g.pvid; vid == 0 {
			return 0, VLANNotMember
		}
		if d == VLANTagged {
			d = VLANPVID
		}
		f.Tag = frame.Tag{TPID: proto, TCI: f.Tag.TCI}.WithVID(vid)
	}
	p, bit := g.page(vid)
	if p == nil || p.member&bit == 0 {
		return vid, VLANNotMember
	}
	if *state == StateForwarding && p.forwarding&bit == 0 {
		if *state = p.state[vid&63]; !state.Learns() {
			return vid, VLANNotMember
		}
	}
	if cfg.info.VLANStats && in.dry == nil {
		cfg.vlanStats(g, vid).countIn(f)
	}
	return vid, d
}

// liftHost lifts a tag that is still in the data: only the host's frames come so,
// those of ports were lifted at the door whatever the filtering.
func (in *Input) liftHost(f *frame.Frame, proto frame.EtherType) bool {
	if in.port != nil || f.Lifted || f.Type() != proto {
		return true
	}
	return f.Lift()
}

// pushBack makes a tag of the other protocol payload again. One that was lifted is
// still in the data; one that came aside has to be copied in, the only place where
// the bridge copies a frame.
func (in *Input) pushBack(f *frame.Frame) {
	if f.LiftedTag() == f.Tag {
		f.Tag, f.Lifted = frame.Tag{}, false
		return
	}
	owed := f.OwedOnWire()
	start := len(in.pushed)
	in.pushed = f.AppendWire(in.pushed)
	f.Data = in.pushed[start:len(in.pushed):len(in.pushed)]
	f.Tag, f.Lifted, f.Owed = frame.Tag{}, false, owed
}

// expectVLAN says whether a frame may teach its source, and in which VLAN, that did
// not pass ingress: a link-local one that is not forwarded (br_should_learn), or one
// that filters see first. Unlike ingress it drops nothing.
func (in *Input) expectVLAN(g *vlanGroup, f *frame.Frame) (vid frame.VID, ok bool) {
	if !in.cfg.info.VLANFiltering {
		return 0, true
	}
	if f.Tag.TPID == in.cfg.info.VLANProtocol {
		vid = f.Tag.VID()
	}
	if vid == 0 {
		vid = g.pvid
	}
	return vid, vid != 0 && g.has(vid) && g.state(vid).Learns()
}

// egressTag gives the tag with which the frame leaves a device with the VLANs g
// (br_handle_vlan).
func (in *Input) egressTag(g *vlanGroup, f *frame.Frame) frame.Tag {
	if !in.filtered {
		return f.Tag
	}
	if in.cfg.info.VLANStats && in.dry == nil {
		in.cfg.vlanStats(g, in.vid).countOut(f)
	}
	if g.untagged(in.vid) {
		return frame.Tag{}
	}
	return f.Tag
}
