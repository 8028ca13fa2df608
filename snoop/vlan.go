package snoop

import (
	"cmp"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// AddVLAN makes the context of a VLAN, with DefaultOptions, unless it is there. A
// VLAN is on the bridge as long as any port or the bridge device is in it.
func (m *Machine) AddVLAN(vid frame.VID) {
	i, ok := slices.BinarySearchFunc(m.vlans, vid, func(c *context, vid frame.VID) int { return cmp.Compare(c.vid, vid) })
	if ok || vid == 0 || vid > 4094 {
		return
	}
	c := newContext(vid)
	m.vlans = slices.Insert(m.vlans, i, c)
	c.touch(m)
	m.flush()
}

// RemoveVLAN takes a VLAN's context away, and the ports out of it.
func (m *Machine) RemoveVLAN(now time.Duration, vid frame.VID) {
	c := m.vlan(vid)
	if c == nil {
		return
	}
	for _, p := range m.byRank {
		m.RemovePortVLAN(now, p.num, vid)
	}
	c.stop(m)
	m.vlans = slices.DeleteFunc(m.vlans, func(x *context) bool { return x == c })
	c.view = nil
	if m.views != nil {
		m.views[vid].Store(nil)
	}
	m.flush()
}

// SetSelf says whether the bridge device is in a VLAN. Its queries begin when it
// comes in; that it has left does not end them, as in Linux.
func (m *Machine) SetSelf(now time.Duration, vid frame.VID, in bool) {
	c := m.vlan(vid)
	if c == nil {
		return
	}
	c.self = in
	if in && m.perVLAN {
		m.toggleSelf(now, c, true)
	}
	c.touch(m)
	m.flush()
}

// AddPortVLAN puts a port in a VLAN whose context is there, in state s.
func (m *Machine) AddPortVLAN(now time.Duration, num uint16, vid frame.VID, s PortState) {
	p, c := m.ports[num], m.vlan(vid)
	if p == nil || c == nil || p.vlan(vid) != nil {
		return
	}
	pc := new(portContext)
	pc.init(p, c, vid)
	pc.state = s
	i, _ := slices.BinarySearchFunc(p.vlans, vid, func(c *portContext, vid frame.VID) int { return cmp.Compare(c.vid, vid) })
	p.vlans = slices.Insert(p.vlans, i, pc)
	for x := p.members[vid]; x != nil; x = x.next {
		pc.groups++
	}
	if m.perVLAN {
		m.togglePortVLAN(now, pc, true)
	}
	m.flush()
}

// RemovePortVLAN takes a port out of a VLAN: what was learned there is forgotten.
func (m *Machine) RemovePortVLAN(now time.Duration, num uint16, vid frame.VID) {
	pc := m.portContext(num, vid)
	if pc == nil || !pc.isVLAN() {
		return
	}
	m.togglePortVLAN(now, pc, false)
	pc.forget(m)
	p := pc.port
	p.vlans = slices.DeleteFunc(p.vlans, func(x *portContext) bool { return x == pc })
	m.flush()
}

// SetVLANState tells the state of a port in a VLAN. In LEARNING or FORWARDING its
// queries start anew; in BLOCKING they run out.
func (m *Machine) SetVLANState(now time.Duration, num uint16, vid frame.VID, s PortState) {
	pc := m.portContext(num, vid)
	if pc == nil || !pc.isVLAN() {
		return
	}
	pc.state = s
	if m.perVLAN && pc.enabled && (s == Learning || s == Forwarding) {
		pc.enable(m, now)
	}
	m.flush()
}

// toggleVLAN is br_multicast_toggle_vlan: it starts or ends snooping in a VLAN, on
// its ports and for the host.
func (m *Machine) toggleVLAN(now time.Duration, c *context, on bool) {
	m.eachPort(func(p *port) {
		if pc := p.vlan(c.vid); pc != nil {
			m.togglePortVLAN(now, pc, on)
		}
	})
	m.toggleSelf(now, c, on)
	c.touch(m)
}

// togglePortVLAN and toggleSelf are br_multicast_toggle_one_vlan.
func (m *Machine) togglePortVLAN(now time.Duration, pc *portContext, on bool) {
	if pc.enabled == on || on && !pc.ctx.opts.Snooping {
		return
	}
	pc.enabled = on
	if on {
		pc.enable(m, now)
	} else {
		pc.disable(m, now)
	}
}

func (m *Machine) toggleSelf(now time.Duration, c *context, on bool) {
	if c.enabled == on || !c.self || on && !c.opts.Snooping {
		return
	}
	c.enabled = on
	if on {
		c.open(m, now)
	} else {
		c.stop(m)
	}
}
