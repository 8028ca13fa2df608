package snoop

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

func compare(a, b Addr) int { return bytes.Compare(a[:], b[:]) }

// routerSeen is br_multicast_mark_router: a router has told of itself, on a port or,
// with pc nil, on the host.
func (m *Machine) routerSeen(now time.Duration, c *context, pc *portContext, f Family) {
	i := f.ip()
	switch {
	case !m.usable(pc):
	case pc == nil:
		if c.opts.Router == RouterLearned {
			if !c.routerTimer[i].Pending() {
				c.touch(m)
			}
			m.set(&c.routerTimer[i], now, c.opts.QuerierInterval)
		}
	case pc.router != RouterNever && pc.router != RouterAlways:
		pc.list(m, i)
		m.set(&pc.routerTimer[i], now, c.opts.QuerierInterval)
	}
}

// list puts a port among the router ports of a family (br_multicast_add_router).
func (pc *portContext) list(m *Machine, i int) {
	if pc.listed[i] {
		return
	}
	if !pc.listed[0] && !pc.listed[1] {
		m.notify(Event{Kind: RouterAdded, Port: pc.port.num, VID: pc.vid})
	}
	pc.listed[i] = true
	c := pc.ctx
	at, _ := slices.BinarySearchFunc(c.routers[i], pc, func(a, b *portContext) int { return cmp.Compare(b.port.rank, a.port.rank) })
	c.routers[i] = slices.Insert(c.routers[i], at, pc)
	c.touch(m)
}

// unlist takes a port from the router ports of a family, and reports whether it was
// there.
func (pc *portContext) unlist(m *Machine, i int) bool {
	if !pc.listed[i] {
		return false
	}
	pc.listed[i] = false
	c := pc.ctx
	c.routers[i] = slices.DeleteFunc(c.routers[i], func(x *portContext) bool { return x == pc })
	c.touch(m)
	return true
}

// unlisted follows what unlist did for one family or both: with no family left the
// port is no router any more, and RouterTemporary is over (br_multicast_rport_del_notify).
func (pc *portContext) unlisted(m *Machine, gone bool) {
	if !gone || pc.listed[0] || pc.listed[1] {
		return
	}
	m.notify(Event{Kind: RouterRemoved, Port: pc.port.num, VID: pc.vid})
	if pc.router == RouterTemporary {
		pc.router = RouterLearned
	}
}

// SetPortRouter sets whether multicast routers are taken to be at a port, bridge-wide
// (vid 0) or in a VLAN (br_multicast_set_port_router). RouterTemporary begins a new
// interval also where it is set already. A value out of range is EINVAL, a VLAN that
// the port is not in ENOENT.
func (m *Machine) SetPortRouter(now time.Duration, num uint16, vid frame.VID, r Router) error {
	pc := m.portContext(num, vid)
	switch {
	case pc == nil:
		return refusal(ENOENT, "the port is not in this VLAN")
	case r > RouterTemporary:
		return refusal(EINVAL, "a port is a router port never, as learned, always, or temporarily")
	}
	defer m.flush()
	if pc.router == r {
		if r == RouterTemporary {
			for i := range families {
				m.set(&pc.routerTimer[i], now, pc.ctx.opts.QuerierInterval)
			}
		}
		return nil
	}
	pc.router = r
	switch r {
	case RouterNever, RouterLearned:
		gone := false
		for i := range families {
			gone = pc.unlist(m, i) || gone
			if r == RouterNever {
				m.stop(&pc.routerTimer[i])
			}
		}
		pc.unlisted(m, gone)
	case RouterAlways:
		for i := range families {
			m.stop(&pc.routerTimer[i])
			pc.list(m, i)
		}
	case RouterTemporary:
		for _, f := range families {
			m.routerSeen(now, pc.ctx, pc, f)
		}
	}
	return nil
}

// PortRouter gives what SetPortRouter set, or what has become of it.
func (m *Machine) PortRouter(num uint16, vid frame.VID) (r Router, ok bool) {
	if pc := m.portContext(num, vid); pc != nil {
		return pc.router, true
	}
	return 0, false
}
