package bridge

import (
	"cmp"
	"iter"
	"runtime"
	"slices"
	"time"
)

// What goes through the whole table does so by the hash, a segment at a time, and
// lets go of the lock in between: learning waits for a few hundred entries, not for
// a million. An entry keeps its place in that order wherever segments are split and
// joined meanwhile, so each that is there from beginning to end is met exactly once.
// One that comes meanwhile is met or not; what a caller had refused before it began
// does not come (a port that has left learns nothing).

// sweep calls fn for every entry. fn runs under the lock, and may delete or replace
// the entry that it is given, and nothing else. between is called, if it is not
// nil, where the lock is free.
func (f *FDB) sweep(fn func(at fdbAt, k uint64, v fdbVal), between func()) {
	for from, more := uint64(0), true; more; {
		if from, more = f.sweepPart(from, fn); !more {
			return
		}
		if between != nil {
			between()
		}
		runtime.Gosched() // whoever waits for the lock is to get it
	}
}

// sweepPart sweeps the segment of a hash, from that hash on, and says where the
// next one begins.
func (f *FDB) sweepPart(from uint64, fn func(at fdbAt, k uint64, v fdbVal)) (next uint64, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.dir.Load().segment(from)
	joined := from != s.prefix // with one that was swept already
	for i := range s.slots {
		if k, ok := s.entry(i); ok && !(joined && f.hash(k) < from) {
			fn(fdbAt{s, uint32(i)}, k, s.slots[i].load())
		}
	}
	last := s.last()
	f.shrinkLocked(s)
	return last + 1, last != ^uint64(0)
}

// collect removes what has expired, tells of what has fallen idle, and says when to
// come again, as br_fdb_cleanup does: when the next entry is due, but after hold at
// the latest, and not within 10 ms.
func (f *FDB) collect(now, hold stamp, between func()) (next stamp) {
	delay := max(hold, 0)
	f.mu.Lock()
	timed := f.timed
	f.mu.Unlock()
	if timed > 0 {
		f.sweep(func(at fdbAt, k uint64, v fdbVal) {
			switch {
			case !v.timed():
			case v.updated()+hold > now:
				delay = min(delay, v.updated()+hold-now)
			case v.ages():
				f.deleteLocked(at)
				f.post(EventFDBDelete, k, v)
			case !v.has(fdbInactive):
				f.replaceLocked(at, v|fdbInactive)
				f.post(EventFDBIdle, k, v)
			}
		}, between)
	}
	return now + max(delay, 10)
}

// purgePort removes everything of a port that has left; local addresses may pass
// on.
func (f *FDB) purgePort(cfg *config, p *Port) {
	f.sweep(func(at fdbAt, k uint64, v fdbVal) {
		switch {
		case v.port() != p.num:
		case v.has(fdbLocal):
			f.passOnLocked(cfg, at, k, v)
		default:
			f.deleteLocked(at)
			f.post(EventFDBDelete, k, v)
		}
	}, nil)
	f.dropPort(p)
}

// flushIf removes the entries that want says.
func (f *FDB) flushIf(want func(k uint64, v fdbVal) bool) (n int) {
	f.sweep(func(at fdbAt, k uint64, v fdbVal) {
		if want(k, v) {
			f.deleteLocked(at)
			f.post(EventFDBDelete, k, v)
			n++
		}
	}, nil)
	return n
}

// fdbCopy is an entry as a dump takes it.
type fdbCopy struct {
	k    uint64
	v    fdbVal
	p    *Port // nil: the bridge itself
	used uint32
}

// copyLocked also notes whose an entry is: the number may be another port's soon.
func (f *FDB) copyLocked(at fdbAt, k uint64, v fdbVal) fdbCopy {
	c := fdbCopy{k: k, v: v, used: at.used().Load()}
	if n := v.port(); n != fdbSelf {
		c.p = f.ports[n].p
	}
	return c
}

// All lists the entries by address, then VLAN, as they are when it is ranged over.
// The table is copied in parts, 32 bytes an entry, and nobody waits for more than a
// few hundred entries: one that is there throughout is listed exactly once, one that
// comes or goes meanwhile may be, and one that moves is listed as it was before or
// after. A table of at most some 300 entries is one part, and so as it was at one
// moment. The caller may do anything meanwhile.
func (f *FDB) All() iter.Seq[FDBEntry] {
	return func(yield func(FDBEntry) bool) {
		now, hold := f.b.stamp(), f.b.cfg.Load().hold
		copies := make([]fdbCopy, 0, f.Len())
		f.sweep(func(at fdbAt, k uint64, v fdbVal) {
			copies = append(copies, f.copyLocked(at, k, v))
		}, nil)
		slices.SortFunc(copies, func(a, b fdbCopy) int { return cmp.Compare(a.k, b.k) })
		for _, c := range copies {
			if !yield(c.entry(now, hold)) {
				return
			}
		}
	}
}

// entry makes the public form (fdb_fill_info).
func (c fdbCopy) entry(now, hold stamp) FDBEntry {
	v := c.v
	e := FDBEntry{
		MAC: keyMAC(c.k), VID: keyVID(c.k), State: v.nud(now, hold),
		Sticky: v.has(fdbSticky), ExternLearn: v.has(fdbExtern), User: v.has(fdbUser), Locked: v.has(fdbLocked),
		Updated: time.Duration(max(now-v.updated(), 0)) * time.Millisecond,
		Used:    time.Duration(now.used()-c.used) * 10 * time.Millisecond,
	}
	if v.has(fdbNotify) {
		e.Activity = ActivityNotify
	}
	if v.has(fdbInactive) {
		e.Activity |= ActivityInactive
	}
	if c.p != nil {
		e.Port = c.p.name
	}
	return e
}
