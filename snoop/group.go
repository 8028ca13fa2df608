package snoop

import (
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// entry is one group: (*,G), (S,G), or an L2 group (struct net_bridge_mdb_entry).
type entry struct {
	key         Key
	host        bool // joined
	timer       timer
	members     []*member // newest port first; the hosts of one port oldest first
	newer, next *entry    // the list of all
	rows        []Member  // members as the datapath is shown them
	shown       bool      // rows are published, and not to be edited any more
	gone        bool
	changed     bool // is to be published
	sources     int  // in the lists of all members
	withdrawing bool // who is here because of EXCLUDE is being deleted
}

// member is a port in a group, or a host behind a port that converts to unicast
// (struct net_bridge_port_group).
type member struct {
	entry      *entry
	port       *port
	mac        frame.MAC // who joined; broadcast: a request
	permanent  bool
	starExcl   bool // is there because the port is in (*,G) with EXCLUDE
	blocked    bool
	fastLeave  bool // the reason why it goes
	exclude    bool // the filter mode
	gone       bool
	proto      uint8
	timer      timer
	rexmit     timer
	groupQuery uint8 // retransmissions left; Linux counts them in 8 bits, whatever LastMemberCount is
	sources    []*source
	eht        *tracking     // nil: nobody is tracked
	now        time.Duration // of the call that asks for sources
	prev, next *member       // the list of the port in the group's VLAN
	serial     uint64        // counts the memberships of the port
}

// source is a source in the list of a (*,G) member (struct net_bridge_group_src). It
// is forwarded while its timer runs, or with a permanent member as the mode says.
type source struct {
	of         *member
	addr       Addr
	timer      timer
	retransmit uint8 // queries left, likewise
	installed  bool  // (S,G) has the port
	user       bool  // came with a request
	send       bool  // is to be asked for
	doomed     bool  // is to be deleted
}

// Who has made an entry (RTPROT_*).
const (
	ProtoKernel uint8 = 2 // learned
	ProtoStatic uint8 = 4
)

// sourceLimit is the number of sources a member may have (PG_SRC_ENT_LIMIT).
const sourceLimit = 32

// Hosts behind a port that converts to unicast each are a member, and may make up any
// number of addresses: so many a port and group there may be, and so many memberships a
// port before a group has one host only.
const (
	hostLimit       = 1 << 14
	membershipLimit = 1 << 16
)

// touch has the group published at the end of the call.
func (e *entry) touch(m *Machine) {
	if !e.changed {
		e.changed = true
		m.dirty = append(m.dirty, e)
	}
}

// touch is that of a member's group, once what is shown of the member has changed.
func (x *member) touch(m *Machine) {
	x.entry.edit()
	x.entry.rows[x.entry.index(x)] = x.row()
	x.entry.touch(m)
}

func (x *member) row() Member {
	return Member{PortRef: x.port.ref(), Include: !x.exclude, Blocked: x.blocked, Unicast: x.port.opts.ToUnicast, MAC: x.mac}
}

// edit makes rows ones that may be edited: the first change after they are published
// copies them, however many follow.
func (e *entry) edit() {
	if e.shown {
		e.rows, e.shown = append(make([]Member, 0, len(e.rows)+1), e.rows...), false
	}
}

func (e *entry) publish(m *Machine) {
	e.changed = false
	if e.gone {
		if m.entries[e.key] == nil {
			m.view.groups.delete(e.key)
		}
		return
	}
	g := &Group{Key: e.key, Host: e.host, Members: slices.Clip(e.rows)}
	e.shown = true
	m.view.groups.put(g, m.secret)
}

// group finds or makes a group (br_multicast_new_group). A table that is full ends
// snooping.
func (m *Machine) group(key Key) (*entry, error) {
	if e := m.entries[key]; e != nil {
		return e, nil
	}
	if uint64(len(m.entries)) >= uint64(m.hashMax) {
		if m.bridge.opts.Snooping {
			m.bridge.opts.Snooping = false
			m.refresh()
			m.notify(Event{Kind: SnoopingEnded})
		}
		return nil, ErrHashFull
	}
	e := &entry{key: key, next: m.newest}
	e.timer.Of = e
	if m.newest != nil {
		m.newest.newer = e
	}
	m.newest = e
	m.entries[key] = e
	return e, nil
}

// dropIfEmpty deletes a group that nobody is in.
func (m *Machine) dropIfEmpty(e *entry) {
	if e.gone || e.host || len(e.members) > 0 {
		return
	}
	e.gone = true
	m.stop(&e.timer)
	if e.newer == nil {
		m.newest = e.next
	} else {
		e.newer.next = e.next
	}
	if e.next != nil {
		e.next.newer = e.newer
	}
	delete(m.entries, e.key)
	e.touch(m)
}

// of finds the member of a port, or with a port that converts to unicast the one of
// a host (br_port_group_equal).
func (e *entry) find(p *port, mac frame.MAC) *member {
	for _, x := range e.of(p) {
		if !p.opts.ToUnicast || x.mac == mac {
			return x
		}
	}
	return nil
}

// first is where the members of a port begin, or, if ok is false, where they would.
func (e *entry) first(p *port) (at int, ok bool) {
	return slices.BinarySearchFunc(e.members, p.rank, func(x *member, rank uint32) int { return int(int64(rank) - int64(x.port.rank)) })
}

// index is the place of a member.
func (e *entry) index(x *member) int {
	at, _ := e.first(x.port)
	for e.members[at] != x {
		at++
	}
	return at
}

// of gives the members of one port.
func (e *entry) of(p *port) []*member {
	from, ok := e.first(p)
	if !ok {
		return nil
	}
	to := from
	for to < len(e.members) && e.members[to].port == p {
		to++
	}
	return e.members[from:to]
}

// memberOf is the first member of a port in a group, nil if there is none: of (S,G)
// a port has one at most.
func (m *Machine) memberOf(key Key, p *port) *member {
	if e := m.entries[key]; e != nil {
		if all := e.of(p); len(all) > 0 {
			return all[0]
		}
	}
	return nil
}

// addMember makes a port, or a host behind it, a member (br_multicast_new_port_group).
func (m *Machine) addMember(e *entry, x member) (*member, error) {
	if all := e.of(x.port); len(all) > 0 && (!e.key.star() || !x.port.roomForHost(len(all), 0)) {
		return nil, ErrTooManyGroups
	}
	if !m.countGroup(x.port, e.key.VID) {
		return nil, ErrTooManyGroups
	}
	n := &x
	n.entry, n.timer.Of, n.rexmit.Of = e, n, n
	at, _ := slices.BinarySearchFunc(e.members, n.port.rank, func(x *member, rank uint32) int {
		if x.port.rank >= rank {
			return -1
		}
		return 1
	})
	e.members = slices.Insert(e.members, at, n)
	e.edit()
	e.rows = slices.Insert(e.rows, at, n.row())
	n.port.link(n)
	e.touch(m)
	return n, nil
}

// roomFor reports that a port may be in one group more than it is, and than more. A
// VLAN's limit holds while the VLAN snoops on its own.
func (m *Machine) roomFor(p *port, vid frame.VID, more uint32) bool {
	over := func(pc *portContext) bool {
		return m.cfg.Rules.MaxGroups && pc.maxGroups != 0 && pc.groups+more >= pc.maxGroups
	}
	v := p.vlan(vid)
	return !over(&p.ctx) && (v == nil || !m.perVLAN || !v.enabled || !over(v))
}

// roomForHost reports that behind a port that converts to unicast there may be one host
// more in a group where n are, and in more groups than there are. Linux knows no such
// bounds.
func (p *port) roomForHost(n int, more uint32) bool {
	return n == 0 || n < hostLimit && p.ctx.groups+more < membershipLimit
}

// countGroup counts one more membership of a port, unless a limit is reached
// (br_multicast_port_ngroups_inc).
func (m *Machine) countGroup(p *port, vid frame.VID) bool {
	if !m.roomFor(p, vid, 0) {
		return false
	}
	p.ctx.groups++
	if v := p.vlan(vid); v != nil {
		v.groups++
	}
	return true
}

func (m *Machine) uncountGroup(p *port, vid frame.VID) {
	p.ctx.groups--
	if v := p.vlan(vid); v != nil && v.groups > 0 {
		v.groups--
	}
}

// deleteMember is br_multicast_del_pg, with all that depends on the member.
func (m *Machine) deleteMember(now time.Duration, x *member) {
	if !x.gone {
		m.removeMember(now, x)
		m.dropIfEmpty(x.entry)
	}
}

// removeMember is deleteMember, but that the group stays.
func (m *Machine) removeMember(now time.Duration, x *member) {
	x.gone = true
	e := x.entry
	at := e.index(x)
	e.members = slices.Delete(e.members, at, at+1)
	if len(e.members) == 0 {
		e.rows, e.shown = nil, false
	} else {
		e.edit()
		e.rows = slices.Delete(e.rows, at, at+1)
	}
	e.touch(m)
	x.port.unlink(x)
	m.untrack(x)
	for _, s := range slices.Clone(x.sources) {
		m.deleteSource(now, s, false)
	}
	m.memberEvent(now, MemberRemoved, x)
	m.stop(&x.timer)
	m.stop(&x.rexmit)
	m.uncountGroup(x.port, e.key.VID)
	if e.key.star() && e.key.Family != L2 {
		m.replicate(now, x, false)
	} else {
		m.withdraw(now, e)
	}
}

// setHost makes the host join or leave a group (br_multicast_host_join,
// br_multicast_host_leave).
func (m *Machine) setHost(now time.Duration, e *entry, joined bool) {
	if e.host == joined {
		return
	}
	kind := MemberRemoved
	if e.host = joined; joined {
		kind = MemberChanged
	}
	e.touch(m)
	m.notify(Event{Kind: kind, VID: e.key.VID, Member: m.hostEntry(now, e)})
	if e.key.star() {
		for _, x := range e.members {
			for _, s := range x.sources {
				if sg := m.entries[e.key.of(s.addr)]; sg != nil && s.installed && sg.host != joined {
					sg.host = joined
					sg.touch(m)
					m.dropIfEmpty(sg)
				}
			}
		}
	}
}

func (m *Machine) hostJoin(now time.Duration, c *context, e *entry) {
	m.setHost(now, e, true)
	if e.key.Family != L2 {
		m.set(&e.timer, now, c.opts.MembershipInterval)
	}
}

// expired: the host has not been heard of for too long (br_multicast_group_expired).
func (e *entry) expired(m *Machine, _ *timer, now time.Duration) {
	if !m.running {
		return
	}
	m.setHost(now, e, false)
	m.dropIfEmpty(e)
}

// expired runs a member's timers.
func (x *member) expired(m *Machine, t *timer, now time.Duration) {
	if x.gone {
		return
	}
	if t == &x.rexmit {
		m.retransmit(now, x)
		return
	}
	if m.running && !x.permanent {
		m.memberExpired(now, x)
	}
}

// memberExpired is br_multicast_port_group_expired: nobody wants all sources any
// more.
func (m *Machine) memberExpired(now time.Duration, x *member) {
	changed := x.exclude
	x.exclude = false
	for _, s := range slices.Clone(x.sources) {
		if !s.timer.Pending() {
			m.deleteSource(now, s, false)
			changed = true
		}
	}
	if len(x.sources) == 0 {
		m.deleteMember(now, x)
		return
	}
	if changed {
		x.touch(m)
		if x.entry.key.star() {
			m.replicate(now, x, false)
		}
		m.memberChanged(now, x)
	}
}

func (m *Machine) memberChanged(now time.Duration, x *member) { m.memberEvent(now, MemberChanged, x) }

func (m *Machine) memberEvent(now time.Duration, kind EventKind, x *member) {
	if m.cfg.Notify != nil {
		m.notify(Event{Kind: kind, Port: x.port.num, VID: x.entry.key.VID, Member: m.memberEntry(now, x)})
	}
}
