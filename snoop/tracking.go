package snoop

import "time"

// tracking is which host behind a port wants which source of a group (explicit host
// tracking, br_multicast_eht.c): kept for ports with fast leave, so that a source or
// a group can be let go the moment its last host leaves. It only ever ends things
// early: what is not tracked, because a limit is reached or the time is over, lives by
// the timers alone.
type tracking struct {
	hosts map[Addr]*trackedHost
	sets  map[Addr]*trackedSet // by source; the zero Addr: all sources
}

// trackedHost is a host; it is tracked as long as it wants, or excludes, anything.
type trackedHost struct {
	addr    Addr
	exclude bool // its filter mode
	entries []*trackedEntry
	sources int // entries but that of the zero source
}

// trackedSet is a source with the hosts that named it.
type trackedSet struct {
	of      *member
	addr    Addr
	entries map[Addr]*trackedEntry // by host
	timer   timer
}

// trackedEntry is a source that a host named.
type trackedEntry struct {
	host  *trackedHost
	set   *trackedSet
	timer timer
}

// track follows a record with what is known of its host (br_multicast_eht_handle),
// and reports whether a source was let go.
func (t *told) track() bool {
	if !t.x.port.opts.FastLeave || t.x.gone {
		return false
	}
	if t.x.eht == nil {
		t.x.eht = &tracking{hosts: map[Addr]*trackedHost{}, sets: map[Addr]*trackedSet{}}
	}
	host := t.p.Src
	h := t.x.eht.hosts[host]
	excludes := h != nil && h.exclude
	switch t.r.Type {
	case Allow:
		if excludes {
			return t.release(host)
		}
		t.name(host, false, false)
	case Block:
		if !excludes {
			return t.release(host)
		}
		t.name(host, true, true)
	case IsIn:
		return t.restate(host, false, excludes)
	case ToIn:
		return t.restate(host, false, true)
	case IsEx:
		return t.restate(host, true, !excludes)
	case ToEx:
		return t.restate(host, true, true)
	}
	return false
}

// name notes that a host named the record's sources. unlimited: as many as it likes.
func (t *told) name(host Addr, exclude, unlimited bool) {
	for i := range t.r.Len() {
		t.note(t.r.Source(i), host, exclude, unlimited)
	}
}

// release notes that a host does not name the record's sources any more; those that
// no host names are let go.
func (t *told) release(host Addr) (changed bool) {
	m, eht := t.m, t.x.eht
	for i := range t.r.Len() {
		addr := t.r.Source(i)
		set := eht.sets[addr]
		if set == nil || set.entries[host] == nil {
			continue
		}
		m.forget(t.x, set.entries[host])
		if eht.sets[addr] != nil {
			continue
		}
		if s := t.x.source(addr); s != nil {
			m.deleteSource(t.now, s, true)
			changed = true
		}
	}
	return changed
}

// restate notes a host's filter mode with its whole list. afresh: what it named
// before does not count any more, and sources that nobody names now are let go.
func (t *told) restate(host Addr, exclude, afresh bool) (changed bool) {
	m, eht := t.m, t.x.eht
	if afresh {
		m.forgetHost(t.x, host)
	}
	if exclude {
		t.note(Addr{}, host, true, true)
	}
	t.name(host, exclude, false)
	if !afresh {
		return false
	}
	for i := len(t.x.sources) - 1; i >= 0; i-- {
		if i >= len(t.x.sources) {
			continue
		}
		s := t.x.sources[i]
		set := eht.sets[s.addr]
		switch {
		case set == nil:
			m.deleteSource(t.now, s, true)
			changed = true
		case s.send && t.r.Type == ToIn:
			// Hosts that do not answer within the last member query time are gone.
			m.set(&set.timer, t.now, t.c.lmqt())
		}
	}
	return changed
}

// note is br_multicast_create_eht_set_entry.
func (t *told) note(addr, host Addr, exclude, unlimited bool) {
	if addr.isZero() && !unlimited {
		return
	}
	m, x, eht := t.m, t.x, t.x.eht
	h := eht.hosts[host]
	if h == nil {
		if x.port.hosts >= x.port.opts.EHTHostsLimit {
			return
		}
		h = &trackedHost{addr: host, exclude: exclude}
	}
	set := eht.sets[addr]
	if set == nil {
		set = &trackedSet{of: x, addr: addr, entries: map[Addr]*trackedEntry{}}
		set.timer.Of = set
	}
	e := set.entries[host]
	if e == nil {
		if !unlimited && h.sources >= sourceLimit || len(h.entries) >= 4*sourceLimit {
			return
		}
		e = &trackedEntry{host: h, set: set}
		e.timer.Of = e
		set.entries[host], eht.sets[addr] = e, set
		if len(h.entries) == 0 {
			eht.hosts[host] = h
			x.port.hosts++
		}
		h.entries = append(h.entries, e)
		if !addr.isZero() {
			h.sources++
		}
	}
	m.set(&e.timer, t.now, t.gmi())
	m.set(&set.timer, t.now, t.gmi())
}

// forget takes an entry away, and with their last one its host and its set.
func (m *Machine) forget(x *member, e *trackedEntry) {
	m.stop(&e.timer)
	delete(e.set.entries, e.host.addr)
	if len(e.set.entries) == 0 {
		m.stop(&e.set.timer)
		delete(x.eht.sets, e.set.addr)
	}
	h := e.host
	for i := range h.entries {
		if h.entries[i] == e {
			h.entries = append(h.entries[:i], h.entries[i+1:]...)
			break
		}
	}
	if !e.set.addr.isZero() {
		h.sources--
	}
	if len(h.entries) == 0 {
		delete(x.eht.hosts, h.addr)
		x.port.hosts--
	}
}

func (m *Machine) forgetHost(x *member, host Addr) {
	h := x.eht.hosts[host]
	for h != nil && len(h.entries) > 0 {
		m.forget(x, h.entries[0])
	}
}

// untrack ends the tracking of a member that goes (br_multicast_eht_clean_sets).
func (m *Machine) untrack(x *member) {
	if x.eht == nil {
		return
	}
	for addr := range x.eht.hosts {
		m.forgetHost(x, addr)
	}
	x.eht = nil
}

// untracked reports that no host is left where all are tracked.
func (t *told) untracked() bool {
	return t.x.port.opts.FastLeave && (t.x.eht == nil || len(t.x.eht.hosts) == 0)
}

// expired: of the hosts that named this source nobody was heard for too long.
func (s *trackedSet) expired(m *Machine, _ *timer, _ time.Duration) {
	for _, e := range s.entries {
		m.forget(s.of, e)
	}
}

// expired: this host was not heard for too long.
func (e *trackedEntry) expired(m *Machine, _ *timer, _ time.Duration) {
	m.forget(e.set.of, e)
}
