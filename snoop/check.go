package snoop

import "github.com/ddfb540f/bridge/frame"

// Check is what Handle would answer, and changes nothing: so a frame can be
// explained. Nothing else that Handle would do bears on where that same frame goes,
// as no group is looked up for a message, and a router that tells of itself is at the
// port the frame came from.
//
// It is exact but for a report of several records that reaches a limit by its own
// sources: those that it would make room for by dropping others are not reckoned
// with.
func (m *Machine) Check(port uint16, vid frame.VID, p *Packet) error {
	c, pc, ok := m.contexts(port, vid)
	if !ok || p.Kind != KindReport && p.Kind != KindReportV3 {
		return nil
	}
	d := dry{
		in:      input{m: m, c: c, pc: pc, vid: vid, p: p, mac: p.EthSrc},
		entries: map[Key]bool{}, members: map[Key]bool{},
	}
	if p.Kind == KindReport {
		return d.join(p.Group)
	}
	var failed error
	err := p.EachRecord(func(r Record) bool {
		failed = d.record(&r)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// dry is a packet that is looked at without effect, with what it would have made so
// far.
type dry struct {
	in      input
	entries map[Key]bool
	members map[Key]bool // of the packet's port or host
}

func (d *dry) record(r *Record) error {
	if r.Type < IsIn || r.Type > Block {
		return nil
	}
	plain := !d.in.c.modern(d.in.p.Family)
	if r.Len() > 0 || r.Type != ToIn && r.Type != IsIn {
		if err := d.join(r.Group); err != nil {
			return err
		}
	}
	if d.in.pc == nil || plain || r.Group.unsnooped(d.in.p.Family) || !d.in.m.usable(d.in.pc) {
		return nil
	}
	for i := range r.Len() {
		if s := r.Source(i); !s.badSource(r.Family) && r.Type != Block {
			_ = d.add(d.in.key(r.Group).of(s)) // (S,G) that cannot be made is left out
		}
	}
	return nil
}

func (d *dry) join(group Addr) error {
	if group.unsnooped(d.in.p.Family) || !d.in.m.usable(d.in.pc) {
		return nil
	}
	return d.add(d.in.key(group))
}

// add is group and addMember.
func (d *dry) add(key Key) error {
	m, pc := d.in.m, d.in.pc
	e := m.entries[key]
	isNew := e == nil && !d.entries[key]
	if isNew && uint64(len(m.entries)+len(d.entries)) >= uint64(m.hashMax) {
		return ErrHashFull
	}
	if isNew {
		d.entries[key] = true
	}
	if pc != nil && (e == nil || e.find(pc.port, d.in.mac) == nil) && !d.members[key] {
		more, hosts := uint32(len(d.members)), 0
		if e != nil {
			hosts = len(e.of(pc.port))
		}
		if !m.roomFor(pc.port, key.VID, more) || !pc.port.roomForHost(hosts, more) {
			return ErrTooManyGroups
		}
		d.members[key] = true
	}
	return nil
}
