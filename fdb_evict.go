package bridge

// Who makes room. Two limits are the library's own. Config.FDBLimit bounds the
// learned addresses of the bridge: at it a new one takes the place of another, of
// the port that holds most of them, or of its own port if none holds more. So a
// port that makes up addresses without end drives out its own, and can push
// another down to an equal share of the limit, never below. PortConfig.FDBLimit
// bounds one port: at it what is learned there, or moves there, takes the place of
// another of the same port. In both cases the station loses that was silent for
// the longest: each port keeps its learned entries in a list, the newest last, and
// the first of the list goes, unless it was a source again since it came to the end
// of the list (fdbSeen): then it gets a second chance there.
//
// What requests made, local and static addresses, are in no list. They count for
// no limit and are not evicted.

// fdbSpared is how many entries get a second chance in one go; the next one goes
// though it was seen. It bounds what one learn costs.
const fdbSpared = 64

// fdbPort is what the FDB knows of a port. FDB.mu guards it.
type fdbPort struct {
	p           *Port
	learned     int   // entries in its list
	first, last fdbID // next to go, and the newest
	rank        int   // its place in FDB.fullest
}

// addPort makes a port known before it has its first entry.
func (f *FDB) addPort(p *Port) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p.num >= len(f.ports) {
		f.ports = append(f.ports, nil)
	}
	fp := &fdbPort{p: p, first: fdbNone, last: fdbNone, rank: len(f.fullest)}
	f.ports[p.num] = fp
	f.fullest = append(f.fullest, fp)
	f.raiseLocked(fp)
}

// dropPort forgets a port that has no entry any more.
func (f *FDB) dropPort(p *Port) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fp := f.ports[p.num]
	f.ports[p.num] = nil
	at, end := fp.rank, len(f.fullest)-1
	f.swapRanks(at, end)
	f.fullest[end] = nil
	f.fullest = f.fullest[:end]
	if at < end {
		fp = f.fullest[at]
		f.raiseLocked(fp)
		f.lowerLocked(fp)
	}
}

// linkLocked puts a learned entry at the end of the list of a port.
func (f *FDB) linkLocked(at fdbAt, port int) {
	fp, id := f.ports[port], at.id()
	at.links().prev, at.links().next = fp.last, fdbNone
	f.setNextLocked(fp, fp.last, id)
	fp.last = id
	fp.learned++
	f.raiseLocked(fp)
}

func (f *FDB) unlinkLocked(at fdbAt, port int) {
	fp, c := f.ports[port], at.links()
	f.setNextLocked(fp, c.prev, c.next)
	f.setPrevLocked(fp, c.next, c.prev)
	fp.learned--
	f.lowerLocked(fp)
}

// relinkLocked follows an entry, of these neighbours, to another place of the table.
func (f *FDB) relinkLocked(c fdbLinks, to fdbAt, port int) {
	id := to.id()
	*to.links() = c
	if c.prev == fdbNone {
		f.ports[port].first = id
	} else {
		f.place(c.prev).links().next = id
	}
	if c.next == fdbNone {
		f.ports[port].last = id
	} else {
		f.place(c.next).links().prev = id
	}
}

func (f *FDB) setNextLocked(fp *fdbPort, of, to fdbID) {
	if of == fdbNone {
		fp.first = to
	} else {
		f.place(of).links().next = to
	}
}

func (f *FDB) setPrevLocked(fp *fdbPort, of, to fdbID) {
	if of == fdbNone {
		fp.last = to
	} else {
		f.place(of).links().prev = to
	}
}

// before says who makes room first: the port that holds more, of two that hold the
// same the one with the lower number, so that the same frames have the same effect.
func (fp *fdbPort) before(o *fdbPort) bool {
	return fp.learned > o.learned || fp.learned == o.learned && fp.p.num < o.p.num
}

// raiseLocked restores the heap after a port has got an entry more.
func (f *FDB) raiseLocked(fp *fdbPort) {
	for fp.rank > 0 && fp.before(f.fullest[(fp.rank-1)/2]) {
		f.swapRanks(fp.rank, (fp.rank-1)/2)
	}
}

// lowerLocked restores the heap after a port has lost an entry.
func (f *FDB) lowerLocked(fp *fdbPort) {
	for {
		most := fp.rank
		for child := 2*fp.rank + 1; child <= 2*fp.rank+2 && child < len(f.fullest); child++ {
			if f.fullest[child].before(f.fullest[most]) {
				most = child
			}
		}
		if most == fp.rank {
			return
		}
		f.swapRanks(fp.rank, most)
	}
}

func (f *FDB) swapRanks(i, j int) {
	f.fullest[i], f.fullest[j] = f.fullest[j], f.fullest[i]
	f.fullest[i].rank, f.fullest[j].rank = i, j
}

// crowdedLocked is the port that has to make room for an address that is new on p,
// and was or was not in the table before; nil if there is room.
func (f *FDB) crowdedLocked(p *Port, isNew bool) *fdbPort {
	own := f.ports[p.num]
	switch {
	case p.fdbLimit != 0 && own.learned >= p.fdbLimit:
		return own
	case !isNew || f.learned < f.b.fdbLimit:
		return nil
	case f.fullest[0].learned > own.learned:
		return f.fullest[0]
	}
	return own
}

// victimLocked finds the entry of a port that is to go, and how many before it get
// a second chance.
func (f *FDB) victimLocked(fp *fdbPort) (at fdbAt, spared int) {
	for id := fp.first; id != fdbNone; spared++ {
		at = f.place(id)
		if spared == fdbSpared || !at.slot().load().has(fdbSeen) {
			return at, spared
		}
		id = at.links().next
	}
	return f.place(fp.first), spared // all were seen
}

// evictLocked takes an entry of a port away. In a dry run it only says which.
func (f *FDB) evictLocked(fp *fdbPort, dry bool) (k uint64) {
	at, spared := f.victimLocked(fp)
	k, v := at.slot().key.Load()&^fdbGenMask, at.slot().load()
	if dry {
		return k
	}
	for range spared {
		first := f.place(fp.first)
		old := first.slot().load()
		first.slot().val.CompareAndSwap(uint64(old), uint64(old&^fdbSeen)) // fails if it is seen at this moment
		f.toEndLocked(fp, first)
	}
	f.deleteLocked(at)
	f.evicted.Add(1)
	fp.p.evicted.Add(1)
	if f.b.events.watched() {
		e := f.event(EventFDBDelete, k, v)
		e.Evicted = true
		f.b.events.post(e)
	}
	return k
}

// toEndLocked makes the first of a port's list the last.
func (f *FDB) toEndLocked(fp *fdbPort, at fdbAt) {
	c := at.links()
	if c.next == fdbNone {
		return
	}
	f.place(c.next).links().prev = fdbNone
	fp.first = c.next
	c.prev, c.next = fp.last, fdbNone
	f.place(fp.last).links().next = at.id()
	fp.last = at.id()
}
