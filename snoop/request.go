package snoop

import (
	"fmt"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// Request asks for an entry to be made, changed or deleted (RTM_NEWMDB, RTM_DELMDB).
// Where a port's VLANs are meant by a request without one the caller asks for each.
type Request struct {
	Port      uint16 // 0: the host
	Key       Key
	Permanent bool

	// What follows came with Linux 6.3 (Rules.Sources).
	Replace bool       // what is there is changed; else it is EEXIST
	Mode    FilterMode // of (*,G); without one EXCLUDE
	Sources []Addr     // of (*,G), with a Mode; at most 31
	Proto   uint8      // 0 is ProtoStatic
}

// valid is what is refused without a look at the bridge (rtnl_validate_mdb_entry).
func (r *Request) valid(rules Rules) error {
	k := &r.Key
	switch {
	case k.Family == L2 && !k.Group.multicast(L2):
		return refusal(EINVAL, "L2 entry group is not multicast")
	case k.Family == IPv4 && !k.Group.multicast(IPv4):
		return refusal(EINVAL, "IPv4 entry group address is not multicast")
	case k.Family == IPv4 && k.Group.unsnooped(IPv4):
		return refusal(EINVAL, "IPv4 entry group address is local multicast")
	case k.Family == IPv6 && k.Group.unsnooped(IPv6):
		return refusal(EINVAL, "IPv6 entry group address is link-local all nodes")
	case !rules.Sources && (r.Mode != ModeNone || len(r.Sources) > 0 || r.Proto != 0):
		return refusal(EINVAL, "Unknown attribute type")
	}
	return k.valid()
}

// valid is what is refused of a group's source and VLAN (is_valid_mdb_source).
func (k *Key) valid() error {
	switch {
	case k.VID > 4094:
		return refusal(EINVAL, "Invalid entry VLAN id")
	case k.Family == L2 && !k.star():
		return refusal(EINVAL, "Invalid protocol used with source address")
	case !k.star() && k.Source.multicast(k.Family):
		return refusal(EINVAL, k.Family.String()+" multicast source address is not allowed")
	}
	return nil
}

// validSources is br_mdb_config_attrs_init.
func (r *Request) validSources() error {
	k := &r.Key
	switch {
	case r.Proto != 0 && r.Proto < ProtoStatic:
		return refusal(ERANGE, "Protocols below RTPROT_STATIC are the kernel's")
	case r.Mode > ModeExclude:
		return refusal(EINVAL, "Invalid filter mode")
	case r.Mode != ModeNone && r.Port == 0:
		return refusal(EINVAL, "Filter mode cannot be set for host groups")
	case r.Mode != ModeNone && (!k.star() || k.Family == L2):
		return refusal(EINVAL, "Filter mode can only be set for (*, G) entries")
	case len(r.Sources) > 0 && r.Port == 0:
		return refusal(EINVAL, "Source list cannot be set for host groups")
	case len(r.Sources) > 0 && (!k.star() || k.Family == L2):
		return refusal(EINVAL, "Source list can only be set for (*, G) entries")
	case len(r.Sources) > 0 && r.Mode == ModeNone:
		return refusal(EINVAL, "Source list cannot be set without filter mode")
	case len(r.Sources) >= sourceLimit:
		return refusal(EINVAL, "Exceeded maximum number of source entries")
	case r.Mode == ModeInclude && len(r.Sources) == 0:
		return refusal(EINVAL, "Cannot add (*, G) INCLUDE with an empty source list")
	case r.Proto != 0 && r.Port == 0:
		return refusal(EINVAL, "Protocol cannot be set for host groups")
	}
	for _, s := range r.Sources {
		if s.multicast(k.Family) {
			return refusal(EINVAL, k.Family.String()+" multicast source address is not allowed")
		}
	}
	return nil
}

// find is what both kinds of request begin with.
func (m *Machine) find(r *Request) (*port, error) {
	if err := r.valid(m.cfg.Rules); err != nil {
		return nil, err
	}
	switch p := m.ports[r.Port]; {
	case !m.running:
		return nil, refusal(EINVAL, "Bridge device is not running")
	case !m.bridge.opts.Snooping:
		return nil, refusal(EINVAL, "Bridge's multicast processing is disabled")
	case r.Port != 0 && p == nil:
		return nil, refusal(EINVAL, "Net device is not a bridge port")
	default:
		return p, r.validSources()
	}
}

// Add makes an entry, or with Replace changes the one that is there (br_mdb_add).
// What it refuses changes nothing, but two things, as in Linux: a table that is full
// (E2BIG) ends snooping, and a member that was to get other sources, where a limit
// (ENOMEM) is reached on the way, has none.
func (m *Machine) Add(now time.Duration, r Request) error {
	if err := m.Addable(r); err != nil {
		return err
	}
	c, err := m.requestContext(&r)
	if err != nil {
		return err
	}
	defer m.flush()
	p := m.ports[r.Port]
	if p == nil {
		return m.addHost(now, c, &r)
	}
	if r.Proto == 0 {
		r.Proto = ProtoStatic
	}
	a := adding{m: m, now: now, c: c, p: p, r: &r}
	if r.Key.star() && r.Key.Family != L2 {
		return a.star()
	}
	_, err = a.entry(r.Key, false, false)
	return err
}

// Addable is what Add refuses without a look at VLANs. Linux asks it once also where
// a request without a VLAN means all VLANs of a port, and the port has none; for
// Delete it does not.
func (m *Machine) Addable(r Request) error {
	p, err := m.find(&r)
	ip := r.Key.Family != L2
	switch {
	case err != nil:
		return err
	case p == nil && ip && r.Permanent:
		return refusal(EINVAL, "Flags are not allowed for host groups")
	case p == nil && ip && !r.Key.star():
		return refusal(EINVAL, "Groups with sources cannot be manually host joined")
	case !ip && !r.Permanent:
		return refusal(EINVAL, "Only permanent L2 entries allowed")
	case p != nil && p.state == Disabled && !r.Permanent:
		return refusal(EINVAL, "Port is in disabled state and entry is not permanent")
	}
	return nil
}

// requestContext is __br_mdb_choose_context.
func (m *Machine) requestContext(r *Request) (*context, error) {
	switch {
	case !m.perVLAN:
		return m.bridge, nil
	case r.Key.VID == 0:
		return nil, refusal(EINVAL, "Cannot add an entry without a vlan when vlan snooping is enabled")
	}
	switch c := m.vlan(r.Key.VID); {
	case c == nil:
		return nil, refusal(EINVAL, "Vlan is not configured")
	case !c.opts.Snooping:
		return nil, refusal(EINVAL, "Vlan's multicast processing is disabled")
	default:
		return c, nil
	}
}

// groupFor is group for a request: a full table is E2BIG.
func (m *Machine) groupFor(key Key) (*entry, error) {
	e, err := m.group(key)
	if err != nil {
		return nil, refusal(E2BIG, "the table of groups is full")
	}
	return e, nil
}

func (m *Machine) addHost(now time.Duration, c *context, r *Request) error {
	e, err := m.groupFor(r.Key)
	switch {
	case err != nil:
		return err
	case e.host && !(r.Replace && m.cfg.Rules.ReplaceHost):
		return refusal(EEXIST, "Group is already joined by host")
	}
	m.hostJoin(now, c, e)
	return nil
}

// adding is a request for a port on its way.
type adding struct {
	m   *Machine
	now time.Duration
	c   *context
	p   *port
	r   *Request
}

// put finds the port's member of a group or makes it. isNew is false where it was
// there and may be replaced. As in Linux a new group stays, with nobody in it, where its
// member cannot be made.
func (a *adding) put(key Key, x member) (y *member, isNew bool, err error) {
	m := a.m
	e, err := m.groupFor(key)
	if err != nil {
		return nil, false, err
	}
	if all := e.of(a.p); len(all) > 0 {
		if !a.r.Replace || !m.cfg.Rules.Sources {
			return nil, false, refusal(EEXIST, a.exists(key))
		}
		return all[0], false, nil
	}
	x.port, x.mac, x.permanent, x.proto = a.p, frame.Broadcast, a.r.Permanent, a.r.Proto
	if y, err = m.addMember(e, x); err != nil {
		e.touch(m)
		return nil, false, refusal(ENOMEM, a.full())
	}
	return y, true, nil
}

func (a *adding) exists(key Key) string {
	switch {
	case !a.m.cfg.Rules.Sources:
		return "Group is already joined by port"
	case key.star():
		return "(*, G) group is already joined by port"
	}
	return "(S, G) group is already joined by port"
}

func (a *adding) full() string {
	pc := &a.p.ctx
	where := "Port"
	if v := a.p.vlan(a.r.Key.VID); v != nil && v.maxGroups != 0 && v.groups >= v.maxGroups {
		pc, where = v, "Port-VLAN"
	}
	return fmt.Sprintf("%s is already in %d groups, and mcast_max_groups=%d", where, pc.groups, pc.maxGroups)
}

// entry adds (S,G) or an L2 group; ofSource: as the forwarding of a source in a list,
// and then without a timer of its own (br_mdb_add_group_sg).
func (a *adding) entry(key Key, ofSource, blocked bool) (*member, error) {
	m := a.m
	x, isNew, err := a.put(key, member{blocked: blocked, exclude: key.star()})
	if err != nil {
		return nil, err
	}
	if !isNew {
		x.permanent, x.proto, x.blocked = a.r.Permanent, a.r.Proto, blocked
		x.starExcl, x.fastLeave = false, false
		x.touch(m)
	}
	if a.r.Permanent || ofSource {
		m.stop(&x.timer)
	} else {
		m.set(&x.timer, a.now, a.c.opts.MembershipInterval)
	}
	m.memberChanged(a.now, x)
	if isNew && a.c.modern(key.Family) && !key.star() {
		if star := m.entries[key.of(Addr{})]; star != nil {
			m.extend(a.now, star, x)
		}
	}
	return x, nil
}

// star adds (*,G) with its sources (br_mdb_add_group_star_g).
func (a *adding) star() error {
	m, r := a.m, a.r
	exclude := r.Mode != ModeInclude
	if err := a.mayReplace(); err != nil {
		return err
	}
	x, isNew, err := a.put(r.Key, member{exclude: exclude})
	if err != nil {
		return err
	}
	if err := a.sources(x, exclude); err != nil {
		if isNew {
			m.removeMember(a.now, x)
		}
		return err
	}
	if !isNew {
		x.permanent, x.exclude, x.proto = r.Permanent, exclude, r.Proto
		x.starExcl, x.blocked, x.fastLeave = false, false, false
		x.touch(m)
	}
	if !r.Permanent && exclude {
		m.set(&x.timer, a.now, a.c.opts.MembershipInterval)
	} else {
		m.stop(&x.timer)
	}
	m.memberChanged(a.now, x)
	if a.c.modern(r.Key.Family) {
		m.replicate(a.now, x, exclude)
	}
	return nil
}

// mayReplace refuses what would fail half way for a reason that can be known before:
// a source whose (S,G) the port is in already.
func (a *adding) mayReplace() error {
	if a.r.Replace && a.m.cfg.Rules.Sources {
		return nil
	}
	if e := a.m.entries[a.r.Key]; e != nil && len(e.of(a.p)) > 0 {
		return refusal(EEXIST, a.exists(a.r.Key))
	}
	for _, addr := range a.r.Sources {
		if a.m.memberOf(a.r.Key.of(addr), a.p) != nil {
			return refusal(EEXIST, a.exists(a.r.Key.of(addr)))
		}
	}
	return nil
}

// sources has a member keep the request's sources and no others. On error it keeps
// none.
func (a *adding) sources(x *member, exclude bool) (err error) {
	for _, s := range x.sources {
		s.doomed = true
	}
	for _, addr := range a.r.Sources {
		if err = a.source(x, addr, exclude); err != nil {
			break
		}
	}
	for _, s := range slices.Clone(x.sources) {
		if s.doomed || err != nil {
			a.m.deleteSource(a.now, s, false)
		}
	}
	return err
}

// source adds a source of a request to a member, with its (S,G), which is blocked in
// EXCLUDE mode (br_mdb_add_group_src).
func (a *adding) source(x *member, addr Addr, exclude bool) error {
	m := a.m
	s := x.source(addr)
	switch {
	case s != nil && !a.r.Replace:
		return refusal(EEXIST, "Source entry already exists") // it is named twice
	case s == nil:
		if s = x.addSource(addr); s == nil {
			return refusal(ENOSPC, "Failed to add new source entry")
		}
	}
	s.doomed = false
	if !exclude && !a.r.Permanent {
		m.set(&s.timer, a.now, a.c.opts.MembershipInterval)
	} else {
		m.stop(&s.timer)
	}
	if _, err := a.entry(a.r.Key.of(addr), true, exclude); err != nil {
		return err
	}
	s.installed, s.user = true, true
	return nil
}

// Delete deletes an entry, with (*,G) its sources' entries too (br_mdb_del). What is
// not there is EINVAL, as in Linux. As in Linux too, the (S,G) of a source may be
// deleted while the source stays in the list of (*,G), and ports in EXCLUDE mode that
// are added to it later stay in it until they go down; and where the port converts to
// unicast and a report had made the membership of (*,G), its sources' entries stay.
func (m *Machine) Delete(now time.Duration, r Request) error {
	p, err := m.find(&r)
	if err != nil {
		return err
	}
	e := m.entries[r.Key]
	switch {
	case e == nil, p == nil && !e.host, p != nil && len(e.of(p)) == 0:
		return refusal(EINVAL, "no such entry")
	case p == nil:
		m.setHost(now, e, false)
		m.stop(&e.timer)
		m.dropIfEmpty(e)
	default:
		m.deleteMember(now, e.of(p)[0])
	}
	m.flush()
	return nil
}

// Lookup gives the rows of one group (br_mdb_get). It is ENOENT if there is none, and
// EINVAL for a source or a VLAN that none can have; the group is not looked at.
func (m *Machine) Lookup(now time.Duration, key Key) (rows []Entry, err error) {
	if err := key.valid(); err != nil {
		return nil, err
	}
	e := m.entries[key]
	if e == nil || !e.host && len(e.members) == 0 {
		return nil, refusal(ENOENT, "MDB entry not found")
	}
	if e.host {
		rows = append(rows, m.hostEntry(now, e))
	}
	for _, x := range e.members {
		rows = append(rows, m.memberEntry(now, x))
	}
	return rows, nil
}

// Flush says which entries FlushEntries deletes: those that meet all it asks. The
// zero Flush is all.
type Flush struct {
	Port      *uint16    // 0: the host's
	VID       *frame.VID // nil: of any VLAN
	Proto     uint8      // 0: of any; the host's entries have none
	Permanent *bool      // an IP group of the host is not permanent, an L2 group is
}

func (f *Flush) host(k *Key) bool {
	return (f.Port == nil || *f.Port == 0) && f.Proto == 0 && (f.VID == nil || *f.VID == k.VID) &&
		(f.Permanent == nil || *f.Permanent == (k.Family == L2))
}

func (f *Flush) member(x *member) bool {
	return (f.Port == nil || *f.Port == x.port.num) && (f.Proto == 0 || f.Proto == x.proto) &&
		(f.VID == nil || *f.VID == x.entry.key.VID) && (f.Permanent == nil || *f.Permanent == x.permanent)
}

// FlushEntries deletes many entries at once (`bridge mdb flush`, Linux 6.8).
func (m *Machine) FlushEntries(now time.Duration, f Flush) {
	var all []*entry
	for e := m.newest; e != nil; e = e.next {
		all = append(all, e)
	}
	for _, e := range all {
		if e.host && f.host(&e.key) {
			m.setHost(now, e, false)
			m.stop(&e.timer)
			m.dropIfEmpty(e)
		}
		for _, x := range slices.Clone(e.members) {
			if f.member(x) {
				m.deleteMember(now, x)
			}
		}
	}
	m.flush()
}
