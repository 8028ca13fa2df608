package snoop

import (
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// input is one packet that is being taken in.
type input struct {
	m   *Machine
	now time.Duration
	c   *context
	pc  *portContext // nil: the host sent it
	vid frame.VID
	p   *Packet
	mac frame.MAC
}

func (in *input) key(group Addr) Key {
	return Key{Group: group, VID: in.vid, Family: in.p.Family}
}

// joining is how a member comes into a group, if it is new there.
type joining struct {
	mac      frame.MAC
	exclude  bool // the filter mode
	blocked  bool
	starExcl bool
	refresh  bool // also of one that is there the timer starts anew: IGMPv1, IGMPv2, MLDv1
}

// join makes a port, or the host, a member of a group, unless it is one
// (__br_multicast_add_group). The member is nil where the host joined, or where the
// context does not count. As in Linux a new group stays, with nobody in it, where its
// member cannot be made: it counts in the table, and who leaves it is asked about.
func (m *Machine) join(now time.Duration, c *context, pc *portContext, key Key, how joining) (*member, error) {
	if !m.usable(pc) {
		return nil, nil
	}
	e, err := m.group(key)
	if err != nil {
		return nil, err
	}
	if pc == nil {
		m.hostJoin(now, c, e)
		return nil, nil
	}
	x := e.find(pc.port, how.mac)
	if x == nil {
		x, err = m.addMember(e, member{
			port: pc.port, mac: how.mac, exclude: how.exclude, blocked: how.blocked, starExcl: how.starExcl, proto: ProtoKernel,
		})
		if err != nil {
			e.touch(m)
			return nil, err
		}
		if how.refresh {
			m.set(&x.timer, now, c.opts.MembershipInterval)
		}
		m.memberChanged(now, x)
		return x, nil
	}
	if how.refresh {
		m.set(&x.timer, now, c.opts.MembershipInterval)
	}
	return x, nil
}

// join is br_ip4_multicast_add_group and br_ip6_multicast_add_group. plain: sources
// do not count.
func (in *input) join(group Addr, plain bool) error {
	if group.unsnooped(in.p.Family) {
		return nil
	}
	_, err := in.m.join(in.now, in.c, in.pc, in.key(group), joining{mac: in.mac, exclude: plain, refresh: plain})
	return err
}

// leave is br_multicast_leave_group. Without a querier nobody asks whether others
// are still there, but the time runs all the same.
func (in *input) leave(group Addr) {
	m, c, pc, i := in.m, in.c, in.pc, in.p.Family.ip()
	if group.unsnooped(in.p.Family) || !m.usable(pc) {
		return
	}
	e := m.entries[in.key(group)]
	if e == nil {
		return
	}
	if pc != nil && pc.port.opts.FastLeave {
		if x := e.find(pc.port, in.mac); x != nil && !x.permanent {
			x.fastLeave = true
			m.deleteMember(in.now, x)
		}
		return
	}
	if c.other[i].Pending() {
		return
	}
	wait := c.lmqt()
	if c.opts.Querier {
		m.sendQuery(c, pc, queryFor{family: in.p.Family, group: group})
		own := &c.own[i]
		if pc != nil {
			own = &pc.own[i]
		}
		m.set(&own.timer, in.now, wait)
	}
	if pc == nil {
		if e.host {
			m.lower(&e.timer, in.now, wait)
		}
		return
	}
	if x := e.find(pc.port, in.mac); x != nil && c.opts.Querier {
		m.lower(&x.timer, in.now, wait)
	}
	if all := e.of(pc.port); len(all) > 0 {
		m.lower(&all[0].timer, in.now, wait)
	}
}

// report takes in the records of IGMPv3 or MLDv2 (br_ip4_multicast_igmp3_report,
// br_ip6_multicast_mld2_report). Where sources do not count, and for the host, a
// record is a join or a leave.
func (in *input) report() error {
	var failed error
	err := in.p.EachRecord(func(r Record) bool {
		if r.Type < IsIn || r.Type > Block {
			return true
		}
		plain := !in.c.modern(in.p.Family)
		if r.Len() == 0 && (r.Type == ToIn || r.Type == IsIn) {
			if in.pc == nil || plain {
				in.leave(r.Group)
				return true
			}
		} else if failed = in.join(r.Group, plain); failed != nil {
			return false
		}
		if in.pc != nil && !plain && in.m.usable(in.pc) {
			in.record(r)
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// record is the part of a report that counts sources (RFC 3376, section 6.4; RFC
// 3810, section 7.4), kept for a port and not for a host.
func (in *input) record(r Record) {
	e := in.m.entries[in.key(r.Group)]
	if e == nil {
		return
	}
	x := e.find(in.pc.port, in.mac)
	if x == nil || x.permanent {
		return
	}
	x.now = in.now
	t := &told{input: *in, x: x, r: r}
	changed := false
	switch r.Type {
	case IsIn, Allow:
		changed = t.allow()
	case IsEx:
		changed = t.isEx()
	case ToIn:
		changed = t.toIn()
	case ToEx:
		changed = t.toEx()
	case Block:
		changed = t.block()
	}
	if changed && !x.gone {
		in.m.memberChanged(in.now, x)
	}
}

// told is one record that is being applied to a member. Its methods are the rows of
// RFC 3376's tables: A or X and Y are the member's sources, those of the record B. Each
// reports whether the member is to be told of.
type told struct {
	input
	x    *member
	r    Record
	send int // sources to be asked for
}

func (t *told) gmi() time.Duration { return t.c.opts.MembershipInterval }

// arm sets a source's timer, and its forwarding follows.
func (t *told) arm(s *source, after time.Duration) {
	t.m.set(&s.timer, t.now, after)
	t.m.install(t.now, s)
}

// each visits the record's sources: those in the member's list, and new ones as far
// as there is room.
func (t *told) each(found, added func(*source)) (any bool) {
	for i := range t.r.Len() {
		addr := t.r.Source(i)
		if s := t.x.source(addr); s != nil {
			found(s)
		} else if s := t.x.addSource(addr); s != nil {
			added(s)
			any = true
		}
	}
	return any
}

// allow: INCLUDE(A) becomes INCLUDE(A+B), EXCLUDE(X,Y) becomes EXCLUDE(X+B,Y-B), with
// (B)=GMI.
func (t *told) allow() bool {
	arm := func(s *source) { t.arm(s, t.gmi()) }
	added := t.each(arm, arm)
	return t.track() || added
}

// doomAll marks the sources for deletion, to be spared by those that the record names.
func (t *told) doomAll() {
	for _, s := range t.x.sources {
		s.doomed, s.send = true, false
	}
}

func (t *told) deleteDoomed() (any bool) {
	for i := 0; i < len(t.x.sources); {
		if s := t.x.sources[i]; s.doomed {
			t.m.deleteSource(t.now, s, false)
			any = true
		} else {
			i++
		}
	}
	return any
}

func (t *told) spare(s *source) { s.doomed = false }

// blocked puts a new source among those not wanted.
func (t *told) blocked(s *source) { t.m.install(t.now, s) }

// toExclude is what IS_EX and TO_EX end with: EXCLUDE mode, for the membership
// interval.
func (t *told) toExclude() {
	if !t.x.exclude {
		t.m.replicate(t.now, t.x, true)
		t.x.exclude = true
		t.x.touch(t.m)
	}
	t.m.set(&t.x.timer, t.now, t.gmi())
}

// isEx: INCLUDE(A) becomes EXCLUDE(A*B,B-A), with (B-A)=0 and A-B deleted;
// EXCLUDE(X,Y) becomes EXCLUDE(B-Y,Y*B), with (B-X-Y)=GMI, X-B and Y-B deleted.
func (t *told) isEx() bool {
	changed := !t.x.exclude
	t.doomAll()
	added := t.blocked
	if t.x.exclude {
		added = func(s *source) { t.arm(s, t.gmi()) }
	}
	changed = t.each(t.spare, added) || changed
	changed = t.track() || changed
	changed = t.deleteDoomed() || changed
	t.toExclude()
	return changed
}

// ask marks a source to be asked for.
func (t *told) ask(s *source) {
	s.send = true
	t.send++
}

func (t *told) askNobody() {
	for _, s := range t.x.sources {
		s.send = false
	}
}

// toIn: INCLUDE(A) becomes INCLUDE(A+B), asking for A-B; EXCLUDE(X,Y) becomes
// EXCLUDE(X+B,Y-B), asking for X-B and the group; (B)=GMI.
func (t *told) toIn() bool {
	for _, s := range t.x.sources {
		s.send = !t.x.exclude || s.timer.Pending()
		if s.send {
			t.send++
		}
	}
	exclude := t.x.exclude
	changed := t.each(func(s *source) {
		// Linux counts down for each mention, so a record that names a source twice may
		// keep it from asking for another.
		if !exclude || s.timer.Pending() {
			s.send = false
			t.send--
		}
		t.arm(s, t.gmi())
	}, func(s *source) { t.arm(s, t.gmi()) })
	changed = t.track() || changed
	m := t.m
	if t.send != 0 {
		m.askForSources(t.now, t.c, t.pc, t.x)
	}
	if t.x.exclude {
		m.askForGroup(t.now, t.c, t.pc, t.x)
	}
	return !t.lastHostLeft() && changed
}

// toEx: INCLUDE(A) becomes EXCLUDE(A*B,B-A), with (B-A)=0, A-B deleted, asking for
// A*B; EXCLUDE(X,Y) becomes EXCLUDE(B-Y,Y*B), with (B-X-Y)=group timer, X-B and Y-B
// deleted, asking for B-Y.
func (t *told) toEx() bool {
	changed := !t.x.exclude
	t.doomAll()
	if !t.x.exclude {
		t.each(func(s *source) { t.spare(s); t.ask(s) }, t.blocked)
	} else {
		wanted := func(s *source) {
			if s.timer.Pending() {
				t.ask(s)
			}
		}
		changed = t.each(
			func(s *source) { t.spare(s); wanted(s) },
			func(s *source) { t.armAsGroup(s); wanted(s) }) || changed
	}
	changed = t.track() || changed
	changed = t.deleteDoomed() || changed
	if t.send > 0 {
		t.m.askForSources(t.now, t.c, t.pc, t.x)
	}
	t.toExclude()
	return changed
}

// armAsGroup lets a source run as long as the group: it was wanted till now.
func (t *told) armAsGroup(s *source) { t.arm(s, t.x.timer.At-t.now) }

// block: INCLUDE(A) asks for A*B; EXCLUDE(X,Y) becomes EXCLUDE(X+(B-Y),Y), with
// (B-X-Y)=group timer, asking for B-Y.
func (t *told) block() bool {
	t.askNobody()
	changed := false
	if !t.x.exclude {
		for i := range t.r.Len() {
			if s := t.x.source(t.r.Source(i)); s != nil {
				t.ask(s)
			}
		}
	} else {
		wanted := func(s *source) {
			if s.timer.Pending() {
				t.ask(s)
			}
		}
		changed = t.each(wanted, func(s *source) { t.armAsGroup(s); wanted(s) })
	}
	changed = t.track() || changed
	if t.send > 0 {
		t.m.askForSources(t.now, t.c, t.pc, t.x)
	}
	if !t.x.exclude && len(t.x.sources) == 0 {
		t.x.fastLeave = t.x.fastLeave || t.untracked()
		t.m.deleteMember(t.now, t.x)
		return false
	}
	return !t.lastHostLeft() && changed
}

// lastHostLeft deletes a member of which all hosts are tracked, and none is left
// (br_multicast_eht_should_del_pg).
func (t *told) lastHostLeft() bool {
	if t.x.gone || !t.untracked() {
		return t.x.gone
	}
	t.x.fastLeave = true
	t.m.deleteMember(t.now, t.x)
	return true
}

// askForSources is __grp_src_query_marked_and_rexmit: the marked sources have the
// last member query time left, and the querier asks who wants them; not where the
// report's own groups have filled the table, and so ended snooping.
func (m *Machine) askForSources(now time.Duration, c *context, pc *portContext, x *member) {
	if x.gone || !m.bridge.opts.Snooping {
		return
	}
	asks := c.sends(m, x.entry.key.Family.ip(), pc)
	lmqt := c.lmqt()
	for _, s := range slices.Clone(x.sources) {
		if !s.send {
			continue
		}
		s.send = false
		if s.timer.At <= now+lmqt {
			continue
		}
		if asks {
			s.retransmit = uint8(c.opts.LastMemberCount)
		}
		m.set(&s.timer, now, lmqt)
		m.install(now, s)
	}
	if !asks {
		return
	}
	m.sendSources(now, c, pc, x, true)
	m.lower(&x.rexmit, now, c.opts.LastMemberInterval)
}

// sendSources asks for sources: with the S flag first for those whose timers nobody
// lowered, then for the others. It reports whether some are to be asked for again.
func (m *Machine) sendSources(now time.Duration, c *context, pc *portContext, x *member, suppress bool) (again bool) {
	x.now = now
	q := queryFor{family: x.entry.key.Family, group: x.entry.key.Group, toGroup: true, member: true, of: x, suppress: suppress, overLMQT: suppress}
	for {
		sent := m.sendQuery(c, pc, q)
		if sent && c.modern(q.family) {
			limit := now + c.lmqt()
			for _, s := range x.sources {
				if q.wants(s, limit) {
					s.retransmit--
					again = again || s.retransmit > 0
				}
			}
		}
		if !sent || !q.overLMQT {
			return again
		}
		q.overLMQT = false
	}
}

// askForGroup is __grp_send_query_and_rexmit, likewise.
func (m *Machine) askForGroup(now time.Duration, c *context, pc *portContext, x *member) {
	if x.gone || !m.bridge.opts.Snooping {
		return
	}
	if c.sends(m, x.entry.key.Family.ip(), pc) {
		x.groupQuery = uint8(c.opts.LastMemberCount - 1)
		m.sendQuery(c, pc, groupQuery(x, false))
		m.lower(&x.rexmit, now, c.opts.LastMemberInterval)
	}
	if x.exclude {
		m.lower(&x.timer, now, c.lmqt())
	}
}

func groupQuery(x *member, suppress bool) queryFor {
	return queryFor{family: x.entry.key.Family, group: x.entry.key.Group, toGroup: true, member: true, suppress: suppress}
}

// retransmit is br_multicast_port_group_rexmit.
func (m *Machine) retransmit(now time.Duration, x *member) {
	c, pc := m.of(&x.entry.key, x.port)
	if !c.sends(m, x.entry.key.Family.ip(), pc) {
		return
	}
	if x.groupQuery > 0 {
		x.groupQuery--
		m.sendQuery(c, pc, groupQuery(x, true))
	}
	again := m.sendSources(now, c, pc, x, false)
	if x.groupQuery > 0 || again {
		m.set(&x.rexmit, now, c.opts.LastMemberInterval)
	}
}
