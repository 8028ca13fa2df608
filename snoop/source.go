package snoop

import (
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

func (x *member) source(addr Addr) *source {
	for _, s := range x.sources {
		if s.addr == addr {
			return s
		}
	}
	return nil
}

// addSource puts a source in a member's list, the newest in front; nil if the list
// is full or no packet can come from there (br_multicast_new_group_src).
func (x *member) addSource(addr Addr) *source {
	if len(x.sources) >= sourceLimit || addr.badSource(x.entry.key.Family) {
		return nil
	}
	s := &source{of: x, addr: addr}
	s.timer.Of = s
	x.sources = slices.Insert(x.sources, 0, s)
	x.entry.sources++
	return s
}

// deleteSource is br_multicast_del_group_src. fastLeave: the last host that wanted
// it is known to have left.
func (m *Machine) deleteSource(now time.Duration, s *source, fastLeave bool) {
	m.uninstall(now, s, fastLeave)
	s.of.sources = slices.DeleteFunc(s.of.sources, func(x *source) bool { return x == s })
	s.of.entry.sources--
	m.stop(&s.timer)
}

// install makes (S,G) of a source, or has it follow the source's timer
// (br_multicast_fwd_src_handle): it is blocked while the timer does not run.
func (m *Machine) install(now time.Duration, s *source) {
	x := s.of
	blocked := !s.timer.Pending()
	if s.installed {
		if sg := m.memberOf(x.entry.key.of(s.addr), x.port); sg != nil && sg.blocked != blocked {
			sg.blocked = blocked
			sg.touch(m)
			m.memberChanged(now, sg)
		}
		return
	}
	c, pc := m.of(&x.entry.key, x.port)
	sg, err := m.join(now, c, pc, x.entry.key.of(s.addr), joining{mac: x.mac, blocked: blocked})
	if err != nil || sg == nil {
		return
	}
	s.installed, sg.starExcl = true, false
	if sg.proto != ProtoKernel && sg.permanent {
		return
	}
	m.stop(&sg.timer)
	m.extend(now, x.entry, sg)
}

// uninstall takes a source's port out of (S,G) (br_multicast_fwd_src_remove), unless
// a request has put it there for good.
func (m *Machine) uninstall(now time.Duration, s *source, fastLeave bool) {
	if !s.installed {
		return
	}
	s.installed = false
	x := s.of
	e := m.entries[x.entry.key.of(s.addr)]
	if e == nil {
		return
	}
	sg := e.find(x.port, x.mac)
	if sg == nil || sg.proto != ProtoKernel && sg.permanent && !s.user {
		return
	}
	sg.fastLeave = sg.fastLeave || fastLeave
	m.deleteMember(now, sg)
}

// expired is br_multicast_group_src_expired: in INCLUDE mode the source is not
// wanted any more; in EXCLUDE mode it is one of those not wanted.
func (s *source) expired(m *Machine, _ *timer, now time.Duration) {
	x := s.of
	if x.gone || !m.running {
		return
	}
	if x.exclude {
		m.install(now, s)
		return
	}
	m.deleteSource(now, s, false)
	if len(x.sources) == 0 {
		m.deleteMember(now, x)
	}
}

// replicate is br_multicast_star_g_handle_mode. A port in (*,G) with EXCLUDE wants
// every source but those it blocks, so it is added to each (S,G) that the sources
// of other members have made; and taken away when the mode ends.
func (m *Machine) replicate(now time.Duration, x *member, exclude bool) {
	if x.entry.sources == 0 {
		return
	}
	c, pc := m.of(&x.entry.key, x.port)
	for _, other := range slices.Clone(x.entry.members) {
		if other == x || other.gone {
			continue
		}
		for _, s := range slices.Clone(other.sources) {
			if !s.installed {
				continue
			}
			key := x.entry.key.of(s.addr)
			sg := m.memberOf(key, x.port)
			switch {
			case exclude && sg == nil:
				m.joinStarExcl(now, c, pc, key, x.mac)
			case !exclude && sg != nil && sg.starExcl:
				m.deleteMember(now, sg)
			}
		}
	}
}

// extend is br_multicast_sg_add_exclude_ports: the ports in (*,G) with EXCLUDE are
// added to an (S,G) that has got a member of its own, and so is the host if it has
// joined (*,G), which for it means all sources. As in Linux such a port, if it converts
// to unicast, sends to the station that sg is for, which may be behind another port.
func (m *Machine) extend(now time.Duration, star *entry, sg *member) {
	if sg.starExcl {
		return
	}
	if star.host && !sg.entry.host {
		sg.entry.host = true
		sg.entry.touch(m)
	}
	for _, x := range slices.Clone(star.members) {
		if x == sg || !x.exclude || m.memberOf(sg.entry.key, x.port) != nil {
			continue
		}
		c, pc := m.of(&x.entry.key, x.port)
		m.joinStarExcl(now, c, pc, sg.entry.key, sg.mac)
	}
}

func (m *Machine) joinStarExcl(now time.Duration, c *context, pc *portContext, key Key, mac frame.MAC) {
	sg, err := m.join(now, c, pc, key, joining{mac: mac, starExcl: true})
	if err == nil && sg != nil && sg.proto == ProtoKernel {
		sg.starExcl = true
	}
}

// withdraw is br_multicast_sg_del_exclude_ports: when the last member of its own has
// left (S,G), those that are there because of their EXCLUDE leave too, and the host,
// which can only have joined (*,G). Permanent ones neither keep nor leave it. Linux goes
// by this with an L2 group too, whose members are all permanent: when one goes the host
// goes with it, and nobody is told.
func (m *Machine) withdraw(now time.Duration, e *entry) {
	if e.withdrawing {
		return
	}
	for _, x := range e.members {
		if !x.starExcl && !x.permanent {
			return
		}
	}
	if e.host {
		e.host = false
		e.touch(m)
	}
	e.withdrawing = true
	for _, x := range slices.Clone(e.members) {
		if !x.permanent {
			m.deleteMember(now, x)
		}
	}
	e.withdrawing = false
}
