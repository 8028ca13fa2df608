package bridge

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/ddfb540f/bridge/frame"
)

// Multiple spanning tree instances, as Linux has them: VLANs are mapped to
// instances (Bridge.SetVLANGlobal), and somebody sets each port's state in each
// instance. With MSTEnabled the port's own state counts for no frame, those of VLANs
// do.
//
// What a frame meets is the state of its VLAN on the port, and that is all that is
// kept. The state of a port in an instance is that of its VLANs there: setting it
// sets theirs, and a VLAN that is mapped to the instance later takes it from them.

const maxMSTI = 4095

// MSTInfo is the state of a port in a spanning tree instance.
type MSTInfo struct {
	MSTI  int
	State PortState
}

// SetMST sets the port's state in a spanning tree instance, 1 to 4095, that is in
// each of the port's VLANs that are mapped to it now (`bridge mst set dev p1 msti N
// state S`). Nothing is flushed. Instance 0 follows the port's own state, so that it
// cannot be set here. Errors: EOPNOTSUPP for a port that has left, EBUSY while
// MSTEnabled is off, ERANGE for the instance and the state.
func (p *Port) SetMST(msti int, s PortState) error {
	return p.b.change("mst set", p.name, func(x *tx) error {
		switch {
		case x.cfg.conf(p) == nil:
			return x.refuse(EOPNOTSUPP, "not a port of the bridge")
		case !x.cfg.info.MSTEnabled:
			return x.refuse(EBUSY, "MST is disabled")
		case msti < 1 || msti > maxMSTI:
			return x.refuse(ERANGE, "MSTI must be 1 to 4095; instance 0 follows the state of the port")
		case s > StateBlocking:
			return x.refuse(ERANGE, "no such port state")
		}
		vlanDev{x, p}.setInstance(uint16(msti), s)
		return nil
	})
}

// MST lists the instances that the port's VLANs are in, ascending, each with the
// state of its lowest VLAN (`bridge mst show`). It is empty while MSTEnabled is off.
func (p *Port) MST() []MSTInfo {
	cfg := p.b.cfg.Load()
	pc := cfg.conf(p)
	if pc == nil || !cfg.info.MSTEnabled {
		return nil
	}
	var all []MSTInfo
	seen := map[uint16]bool{}
	pc.vlans.each(func(v frame.VID) {
		if msti := cfg.masters.msti(v); !seen[msti] {
			seen[msti] = true
			all = append(all, MSTInfo{int(msti), pc.vlans.state(v)})
		}
	})
	slices.SortFunc(all, func(a, b MSTInfo) int { return cmp.Compare(a.MSTI, b.MSTI) })
	return all
}

// setInstance sets the state of the port in an instance (br_mst_set_state).
func (d vlanDev) setInstance(msti uint16, s PortState) {
	g := d.group()
	g.each(func(v frame.VID) {
		if d.x.cfg.masters.msti(v) == msti && g.state(v) != s {
			d.setState(v, s)
		}
	})
}

// firstState is the state of a VLAN that the device joins: that of the port with
// MST, whatever the instance that the VLAN is mapped to.
func (d vlanDev) firstState() PortState {
	if d.p != nil && d.x.cfg.info.MSTEnabled {
		return d.x.cfg.conf(d.p).info.State
	}
	return StateForwarding
}

// mapVLAN maps a VLAN to an instance (br_mst_vlan_set_msti). The ports' states are
// changed with MST off too.
func (x *tx) mapVLAN(v frame.VID, msti uint16) {
	if x.cfg.masters.msti(v) == msti {
		return
	}
	p, _ := x.editMasters().writable(v)
	p.msti[v&63] = msti
	for _, pc := range x.cfg.ports {
		if pc.vlans.has(v) {
			d := vlanDev{x, pc.p}
			d.setState(v, d.inherited(v, msti))
		}
	}
}

// inherited is the state that the port has in the instance by way of another VLAN
// than v, the lowest: DISABLED if there is none.
func (d vlanDev) inherited(v frame.VID, msti uint16) PortState {
	g := d.group()
	for i, p := range g.pages {
		if p == nil {
			continue
		}
		for m := p.member; m != 0; m &= m - 1 {
			w := frame.VID(i<<6 + bits.TrailingZeros64(m))
			if w != v && d.x.cfg.masters.msti(w) == msti {
				return p.state[w&63]
			}
		}
	}
	return StateDisabled
}
