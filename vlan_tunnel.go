package bridge

import (
	"cmp"
	"slices"

	"github.com/ddfb540f/bridge/frame"
)

// VLANs of tunnels: a port whose cable is a tunnel that tells of each frame by what
// tunnel id it came, and takes one with each frame to send (collect metadata, in
// Linux a VXLAN device). With PortAttrs.VLANTunnel its VLANs are mapped to tunnel ids.
// A frame that comes in with the id of a VLAN is tagged with that VLAN, the first of
// all that is done with it; one that leaves tagged in a VLAN that is mapped leaves
// without the tag and with the id.

// VLANTunnel maps a VLAN of a port to a tunnel id, or with End each VLAN of a range to
// one of as many ids, as `bridge vlan add vid VID[-END] tunnel_info id ID[-...]` asks
// for it.
type VLANTunnel struct {
	VID frame.VID // 1 to 4094
	End frame.VID // last of a range, above VID; 0: VID alone
	ID  uint32    // of VID; the next VLAN has the next id. Linux does not map a VLAN to id 0 on the way out
}

// AddTunnel maps VLANs of the port, which has to have VLANTunnel set and to be in
// them, to tunnel ids. Errors, which change nothing: EINVAL for the bridge's own
// device, a port without VLANTunnel, a bad VID or range, ids that end before the
// VLANs do, and a VLAN that the port is not in; EEXIST for a VLAN that is mapped and
// for an id that another VLAN is mapped to; EOPNOTSUPP for a port that has left.
func (v *VLANFilter) AddTunnel(t VLANTunnel) error {
	return v.changeTunnels("vlan tunnel add", t, func(x *tx, d vlanDev) error {
		last := uint32(t.last() - t.VID)
		if t.ID+last < t.ID {
			return x.refuse(EINVAL, "there are not as many tunnel ids left")
		}
		for i := range last + 1 {
			vid, id := t.VID+frame.VID(i), t.ID+i
			g := d.group()
			_, taken := g.tunnels.vlanOf(id)
			switch {
			case !g.has(vid):
				return x.refuse(EINVAL, "no such VLAN on the port")
			case g.tunnels.of(vid) != 0:
				return x.refuse(EEXIST, "the VLAN is mapped to a tunnel id already")
			case taken:
				return x.refuse(EEXIST, "another VLAN is mapped to the tunnel id")
			}
			d.edit().mapTunnel(vid, id)
		}
		return nil
	})
}

// DeleteTunnel ends the mapping of vid, or with end of each VLAN from vid to end;
// a VLAN without one is left as it is. Errors are those of AddTunnel, but ENOENT for
// a VLAN that the port is not in.
func (v *VLANFilter) DeleteTunnel(vid, end frame.VID) error {
	t := VLANTunnel{VID: vid, End: end}
	return v.changeTunnels("vlan tunnel del", t, func(x *tx, d vlanDev) error {
		for i := vid; i <= t.last(); i++ {
			if !d.group().has(i) {
				return x.refuse(ENOENT, "no such VLAN on the port")
			}
			d.edit().unmapTunnel(i)
		}
		return nil
	})
}

// Tunnels lists the mappings, one for each VLAN, ascending (`bridge vlan
// tunnelshow`).
func (v *VLANFilter) Tunnels() []VLANTunnel {
	g := v.group(v.b.cfg.Load())
	if g == nil || g.tunnels == nil {
		return nil
	}
	all := make([]VLANTunnel, 0, g.tunnels.count)
	g.each(func(vid frame.VID) {
		if t := g.tunnels.of(vid); t != 0 {
			all = append(all, VLANTunnel{VID: vid, ID: uint32(t - 1)})
		}
	})
	return all
}

// changeTunnels is change for what only a port with VLANTunnel can do.
func (v *VLANFilter) changeTunnels(op string, t VLANTunnel, fn func(x *tx, d vlanDev) error) error {
	return v.change(op, EOPNOTSUPP, func(x *tx, d vlanDev) error {
		if v.p == nil {
			return x.refuse(EINVAL, "the bridge's own device is no tunnel")
		}
		if !x.cfg.conf(v.p).info.VLANTunnel {
			return x.refuse(EINVAL, "vlan_tunnel is off on the port")
		}
		if why := (VLAN{VID: t.VID, End: t.End}).check(); why != "" {
			return x.refuse(EINVAL, why)
		}
		return fn(x, d)
	})
}

func (t VLANTunnel) last() frame.VID { return max(t.VID, t.End) }

// vlanTunnels is the mapping of one port's VLANs, nil where there is none. It is a
// part of a vlanGroup: never changed once that is published.
type vlanTunnels struct {
	count int
	ids   [64]*[64]uint64    // by VID: its Frame.Tunnel
	vids  [64][]tunnelledVID // by tunnelSlot: sorted by id
}

type tunnelledVID struct {
	id  uint32
	vid frame.VID
}

// tunnelSlot spreads ids, however far apart they were given.
func tunnelSlot(id uint32) uint32 { return id * 0x9e3779b1 >> 26 }

// of is the Frame.Tunnel of a VLAN, 0 if it is not mapped.
func (t *vlanTunnels) of(v frame.VID) uint64 {
	if t == nil || t.ids[v>>6&63] == nil {
		return 0
	}
	return t.ids[v>>6&63][v&63]
}

func (t *vlanTunnels) search(id uint32) (at int, ok bool) {
	return slices.BinarySearchFunc(t.vids[tunnelSlot(id)], id, func(e tunnelledVID, id uint32) int { return cmp.Compare(e.id, id) })
}

// vlanOf finds the VLAN that is mapped to an id.
func (t *vlanTunnels) vlanOf(id uint32) (vid frame.VID, ok bool) {
	if t == nil {
		return 0, false
	}
	at, ok := t.search(id)
	if !ok {
		return 0, false
	}
	return t.vids[tunnelSlot(id)][at].vid, true
}

// mapTunnel maps v to id; neither is mapped yet. What is shared is copied each time:
// a mapping is made seldom, and costs 3 KB.
func (g *vlanGroup) mapTunnel(v frame.VID, id uint32) {
	t := vlanTunnels{}
	if g.tunnels != nil {
		t = *g.tunnels
	}
	page := [64]uint64{}
	if p := t.ids[v>>6&63]; p != nil {
		page = *p
	}
	page[v&63] = uint64(id) + 1
	t.ids[v>>6&63] = &page
	at, _ := t.search(id)
	slot := &t.vids[tunnelSlot(id)]
	*slot = slices.Insert(slices.Clone(*slot), at, tunnelledVID{id, v})
	t.count++
	g.tunnels = &t
}

// unmapTunnel ends the mapping of v, if there is one.
func (g *vlanGroup) unmapTunnel(v frame.VID) {
	mapped := g.tunnels.of(v)
	if mapped == 0 {
		return
	}
	if g.tunnels.count == 1 {
		g.tunnels = nil
		return
	}
	t, page := *g.tunnels, *g.tunnels.ids[v>>6&63]
	page[v&63] = 0
	t.ids[v>>6&63] = &page
	id := uint32(mapped - 1)
	at, _ := t.search(id)
	slot := &t.vids[tunnelSlot(id)]
	*slot = slices.Delete(slices.Clone(*slot), at, at+1)
	t.count--
	g.tunnels = &t
}

// fromTunnel takes a frame that came in by a tunnel into the VLAN of that tunnel, if
// it bears no tag (br_handle_ingress_vlan_tunnel), whether VLANs are filtered or not.
// By what tunnel it came is of no use to anyone further on: a cable that found it would
// take it for what to send the frame by.
func (in *Input) fromTunnel(pc *portConf, f *frame.Frame) {
	t := f.Tunnel
	f.Tunnel, f.Nexthop = 0, 0
	if !pc.flags.has(flagTunnel) || t == 0 || t-1 > 1<<32-1 || f.Tag.Present() || f.Type().IsTag() {
		return
	}
	vid, ok := pc.vlans.tunnels.vlanOf(uint32(t - 1))
	if !ok {
		return
	}
	f.Tag = frame.Tag{TPID: in.cfg.info.VLANProtocol, TCI: uint16(vid)}
	if in.watched {
		in.show(pc.p, Step{Probe: ProbeHandleFrame, Tag: f.Tag, Tunnel: t, Decision: FromTunnel})
	}
}

// toTunnel is egress for a frame that leaves with tag by a port with vlan_tunnel
// (br_handle_egress_vlan_tunnel): if its VLAN is mapped it leaves with the tunnel id in
// the tag's place, and with the next hop of the port that this one is the backup of.
func (in *Input) toTunnel(pc *portConf, f *frame.Frame, tag frame.Tag) (frame.Frame, frame.Tag) {
	g := *f
	t := pc.vlans.tunnels.of(in.vid)
	if t <= 1 || !tag.Present() { // none, as without filtering, or id 0; or untagged here
		return g, tag
	}
	g.Tunnel, g.Nexthop = t, in.nexthop
	if in.watched {
		in.show(pc.p, Step{Probe: ProbeEgress, Tunnel: t, Nexthop: in.nexthop, Decision: ToTunnel})
	}
	return g, frame.Tag{}
}
