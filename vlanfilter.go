package bridge

import "github.com/ddfb540f/bridge/frame"

// VLANFilter is the VLANs of one port, or of the bridge's own device, whose
// membership decides what the host sends and receives and nothing else. The table
// is kept, and has no effect, while VLAN filtering is off. All methods may be
// called by any goroutine.
type VLANFilter struct {
	b *Bridge
	p *Port // nil: the bridge's own device
}

// VLANs is the VLAN table of the bridge's own device (`bridge vlan show dev br0`).
func (b *Bridge) VLANs() *VLANFilter { return &VLANFilter{b, nil} }

// VLANs is the VLAN table of the port.
func (p *Port) VLANs() *VLANFilter { return &VLANFilter{p.b, p} }

// change runs fn in a transaction on the device's group. A port that has left
// answers with the error left.
func (v *VLANFilter) change(op string, left Errno, fn func(x *tx, d vlanDev) error) error {
	return v.b.change(op, v.b.devName(v.p), func(x *tx) error {
		if v.p != nil && x.cfg.conf(v.p) == nil {
			return x.refuse(left, "not a port of the bridge")
		}
		return fn(x, vlanDev{x, v.p})
	})
}

// Add makes the device a member of a VLAN, or of a range. For one that it is in
// already the flags are replaced, so adding again without flags strips PVID and
// Untagged (br_vlan_add). A new PVID replaces the old one, which stays a member.
// Errors: EINVAL for a bad VID or range, EOPNOTSUPP for a port that has left.
func (v *VLANFilter) Add(vl VLAN) error {
	return v.change("vlan add", EOPNOTSUPP, func(x *tx, d vlanDev) error {
		if why := vl.check(); why != "" {
			return x.refuse(EINVAL, why)
		}
		d.addRange(vl)
		return nil
	})
}

// Delete ends membership in vid, or with end in vid to end. The PVID goes with its
// VLAN, learned entries of the VLAN on this port are flushed, static ones stay.
// Deleting what is not there succeeds, as in Linux.
func (v *VLANFilter) Delete(vid, end frame.VID) error {
	return v.change("vlan del", EOPNOTSUPP, func(x *tx, d vlanDev) error {
		vl := VLAN{VID: vid, End: end}
		if why := vl.check(); why != "" {
			return x.refuse(EINVAL, why)
		}
		for i := vid; i <= vl.last(); i++ {
			d.del(i)
		}
		return nil
	})
}

// Set makes the table exactly vs, in one step.
func (v *VLANFilter) Set(vs []VLAN) error {
	return v.change("vlan set", EOPNOTSUPP, func(x *tx, d vlanDev) error {
		for _, vl := range vs {
			if why := vl.check(); why != "" {
				return x.refuse(EINVAL, why)
			}
		}
		d.set(vs)
		return nil
	})
}

// SetState sets the spanning-tree state of the device in vid, or with end in each
// of vid to end (`bridge vlan set vid V state S`). It counts while the port's own
// state is FORWARDING. Errors: EINVAL for a bad VID, range or state and for a port
// that has left (br_vlan_rtm_process), ENOENT for a VLAN that the device is not in,
// EBUSY while STP or MST is on.
func (v *VLANFilter) SetState(vid, end frame.VID, s PortState) error {
	return v.change("vlan state", EINVAL, func(x *tx, d vlanDev) error {
		vl := VLAN{VID: vid, End: end}
		if why := vl.check(); why != "" {
			return x.refuse(EINVAL, why)
		}
		g := d.group()
		for i := vid; i <= vl.last(); i++ { // all of a range, before anything else is looked at
			if !g.has(i) {
				return x.refuse(ENOENT, "no such VLAN on the device")
			}
		}
		switch {
		case s > StateBlocking:
			return x.refuse(EINVAL, "invalid VLAN state")
		case x.cfg.info.STPState == 1:
			return x.refuse(EBUSY, "the spanning tree decides VLAN states")
		case x.cfg.info.MSTEnabled:
			return x.refuse(EBUSY, "the spanning tree instances decide VLAN states")
		}
		for i := vid; i <= vl.last(); i++ {
			if d.group().state(i) != s {
				d.setState(i, s)
			}
		}
		return nil
	})
}

// SetNeighSuppress turns neighbour suppression on or off for the port in vid, or with
// end in each of vid to end (`bridge vlan set vid V neigh_suppress on`). It counts
// while PortAttrs.NeighVLANSuppress is on for the port. Errors: EINVAL for a bad VID or
// range, for the bridge's own device and for a release before 6.4, ENOENT for a VLAN
// that the port is not in.
func (v *VLANFilter) SetNeighSuppress(vid, end frame.VID, on bool) error {
	return v.change("vlan neigh_suppress", EINVAL, func(x *tx, d vlanDev) error {
		vl := VLAN{VID: vid, End: end}
		if !x.cfg.rules.neighVLAN {
			return x.refuse(EINVAL, "neigh_suppress of a VLAN is known from Linux 6.4 on")
		}
		if why := vl.check(); why != "" {
			return x.refuse(EINVAL, why)
		}
		for i := vid; i <= vl.last(); i++ {
			switch {
			case !d.group().has(i):
				return x.refuse(ENOENT, "no such VLAN on the device")
			case d.p == nil:
				return x.refuse(EINVAL, "neighbour suppression is for ports")
			}
		}
		for i := vid; i <= vl.last(); i++ {
			p, bit := d.edit().writable(i)
			if p.neighSuppress &^= bit; on {
				p.neighSuppress |= bit
			}
		}
		return nil
	})
}

// All lists the VLANs, ascending.
func (v *VLANFilter) All() []VLANInfo {
	cfg := v.b.cfg.Load()
	g := v.group(cfg)
	if g == nil {
		return nil
	}
	all, num := cfg.vlanInfo(g), 0
	if v.p != nil {
		num = v.p.num
	}
	v.b.snooping.fillVLANs(num, all)
	return all
}

// group is the device's VLANs as they are in cfg, nil for a port that has left.
func (v *VLANFilter) group(cfg *config) *vlanGroup {
	if v.p == nil {
		return cfg.self
	}
	if pc := cfg.conf(v.p); pc != nil {
		return pc.vlans
	}
	return nil
}

// A vlanDev is one device's VLANs inside a transaction.
type vlanDev struct {
	x *tx
	p *Port // nil: the bridge's own device
}

func (d vlanDev) group() *vlanGroup {
	if d.p == nil {
		return d.x.cfg.self
	}
	return d.x.cfg.conf(d.p).vlans
}

// edit gives the group to write to: a copy, made once a transaction.
func (d vlanDev) edit() *vlanGroup {
	if d.p == nil {
		d.x.cfg.self = d.x.cfg.self.writableBy(d.x)
		return d.x.cfg.self
	}
	pc := d.x.edit(d.p)
	pc.vlans = pc.vlans.writableBy(d.x)
	return pc.vlans
}

// setState sets the state of a VLAN that the device is in.
func (d vlanDev) setState(v frame.VID, s PortState) {
	d.edit().setState(v, s)
	d.x.snoopVLANState(d.p, v, s)
}

func (d vlanDev) address() frame.MAC {
	if d.p == nil {
		return d.x.cfg.info.Address
	}
	return d.x.cfg.conf(d.p).info.Address
}

func (d vlanDev) addRange(vl VLAN) {
	for i := vl.VID; i <= vl.last(); i++ {
		d.add(i, vl.PVID, vl.Untagged)
	}
}

// add makes or changes membership; a new member's own address becomes a local one
// in the VLAN.
func (d vlanDev) add(vid frame.VID, pvid, untagged bool) {
	g := d.edit()
	if !g.has(vid) {
		g.insert(vid, d.p != nil && d.x.cfg.info.VLANStatsPerPort, d.firstState())
		d.joined(vid)
	}
	g.setFlags(vid, pvid, untagged)
}

// joined is what follows when the device has come into a VLAN.
func (d vlanDev) joined(vid frame.VID) {
	d.x.joinVLAN(vid)
	d.x.snoopJoin(d.p, vid, d.firstState())
	d.x.addLocal(d.p, d.address(), vid)
}

// first gives a port that joins its members vs. Most ports of a bridge are in the same
// VLANs: it shares the group of the port that joined last, if that is what it would get.
func (d vlanDev) first(vs []VLAN) {
	cfg := d.x.cfg
	if len(cfg.ports) < 2 || cfg.info.VLANStatsPerPort || !cfg.ports[1].vlans.isJust(vs, d.firstState()) {
		d.set(vs)
		return
	}
	d.x.edit(d.p).vlans = cfg.ports[1].vlans
	for _, vl := range vs {
		for v := vl.VID; v <= vl.last(); v++ {
			d.joined(v)
		}
	}
}

func (d vlanDev) del(vid frame.VID) {
	if !d.group().has(vid) {
		return
	}
	d.edit().remove(vid)
	d.x.snoopLeave(d.p, vid)
	d.x.leaveVLAN(vid)
	d.x.delLocal(d.p, d.address(), vid)
	if d.p != nil {
		d.x.flushVLAN(d.p, vid)
	}
}

// set makes the members exactly vs.
func (d vlanDev) set(vs []VLAN) {
	keep := map[frame.VID]bool{}
	for _, vl := range vs {
		for i := vl.VID; i <= vl.last(); i++ {
			keep[i] = true
		}
	}
	d.group().each(func(v frame.VID) {
		if !keep[v] {
			d.del(v)
		}
	})
	for _, vl := range vs {
		d.addRange(vl)
	}
}

// moveDefault follows a change of the default PVID from old to new: where the old
// one is still as it was given, or there was none, and new is not configured yet,
// new takes its place (__br_vlan_set_default_pvid).
func (d vlanDev) moveDefault(old, new frame.VID) {
	g := d.group()
	untouched := old != 0 && g.pvid == old && g.untagged(old)
	switch {
	case new == 0:
		if untouched {
			d.del(old)
		}
	case (old == 0 || untouched) && !g.has(new):
		d.add(new, true, true)
		if untouched {
			d.del(old)
		}
	}
}
