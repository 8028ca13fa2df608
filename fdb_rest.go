package bridge

import "runtime"

// A segment that grows takes room in advance, so that it does so seldom. What it has
// not used of that a second later it gives back: Tick makes it anew, as small as it is
// at rest. So from the moment that the timer of NextTimer has come which is due a second
// after the last address was learned, the table takes what fdb_table.go says of a table
// at rest. As long as an address is learned now and then, those segments do that have
// not grown for a second.
//
// Tick goes through the segments as a sweep does, by the hash, and holds the lock for one
// at a time; what is more than fdbRestAtOnce segments has to wait for the next Tick,
// which is asked for 10 ms later.

// fdbSettle is how long a segment that has grown is left alone.
const fdbSettle stamp = 1000

// fdbRestAtOnce is how many segments a Tick does: 150,000 addresses and more.
const fdbRestAtOnce = 512

// growsLocked notes that a segment has room in advance.
func (f *FDB) growsLocked(s *fdbSegment, now stamp) {
	s.settles = now + fdbSettle
	f.restNext = min(f.restNext, s.settles)
	if f.restAt.Load() == never {
		f.restAt.Store(int64(s.settles))
	}
}

// rest has the segments give back what they can by now. It is called by Tick once restAt
// has come.
func (f *FDB) rest(now stamp) {
	for range fdbRestAtOnce {
		if !f.restPart(now) {
			return
		}
		runtime.Gosched() // whoever waits for the lock is to get it
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.restFrom != 0 {
		f.restAt.Store(int64(now + 10))
	}
}

// restPart does the segment of restFrom, and says whether there are more to do now.
func (f *FDB) restPart(now stamp) (more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.restAt.Load() > int64(now) {
		return false // another Tick has come to the end
	}
	if f.restFrom == 0 {
		f.restNext = never
	}
	s := f.dir.Load().segment(f.restFrom)
	f.restFrom = s.last() + 1
	switch {
	case s.settles > now:
		f.restNext = min(f.restNext, s.settles)
	case s.settles != 0:
		s.settles = 0
		f.shrinkLocked(s)
	}
	if f.restFrom != 0 {
		return true
	}
	f.restAt.Store(int64(f.restNext))
	return false
}
