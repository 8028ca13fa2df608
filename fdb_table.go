package bridge

import "sync/atomic"

// The memory of the FDB. The table is a directory of segments, chosen by the
// leading bits of the hash (extendible hashing). A segment that fills is made anew
// a quarter larger, or split in two once it is at its largest; two neighbours that
// have become small are joined. Each such step moves the entries of one segment, so
// a writer never holds the lock for long, however large the table is, and none of
// it stops readers: the new segments are filled before they are published, and the
// old one then has all its slots marked dead, so that a reader that still stands in
// it, or comes back to it by a hint, finds nothing there and looks again.
//
// A segment is 5/8 full at most, so that searches are short, and 7/16 at least, also
// after a sweep or a request deleted entries: at 28 bytes a slot an address takes 45
// to 64 bytes.

const (
	fdbSlotBits = 10
	fdbMinSlots = 32
	fdbMaxSlots = 1 << fdbSlotBits

	// Two neighbours with so few entries between them are joined. It is half of what
	// the largest segment holds, so that a joined one is not split again at once.
	fdbJoin = fdbMaxSlots / 4

	// More segments than this are more than fits in the caches next to a processor.
	fdbLarge = 32
)

// fdbSegment is a part of the table. It always has an empty slot, so that every
// search ends.
type fdbSegment struct {
	slots   []fdbSlot
	used    []atomic.Uint32 // when the entry last was a destination, in 10 ms
	retired atomic.Bool     // others have taken its place; its slots are dead

	// Guarded by FDB.mu.
	links      []fdbLinks
	number     uint32 // of FDB.segments
	depth      uint   // how many leading bits of the hash its entries share
	prefix     uint64 // those bits, and zeros
	live, dead int

	_ [8]byte // makes it 128 bytes: what readers need is in one cache line
}

type fdbSlot struct {
	key atomic.Uint64
	val atomic.Uint64
}

func (s *fdbSlot) load() fdbVal   { return fdbVal(s.val.Load()) }
func (s *fdbSlot) store(v fdbVal) { s.val.Store(uint64(v)) }

// fdbLinks are the neighbours of an entry in the list of its port, if it is learned.
type fdbLinks struct{ prev, next fdbID }

// fdbAt is a place in the table, valid until FDB.mu is released.
type fdbAt struct {
	seg *fdbSegment
	i   uint32
}

func (a fdbAt) slot() *fdbSlot       { return &a.seg.slots[a.i] }
func (a fdbAt) used() *atomic.Uint32 { return &a.seg.used[a.i] }
func (a fdbAt) links() *fdbLinks     { return &a.seg.links[a.i] }
func (a fdbAt) id() fdbID            { return fdbID(a.seg.number<<fdbSlotBits | a.i) }

// fdbID names a place in four bytes.
type fdbID uint32

const fdbNone fdbID = 1<<32 - 1

func (f *FDB) place(id fdbID) fdbAt {
	return fdbAt{f.segments[id>>fdbSlotBits], uint32(id) & (fdbMaxSlots - 1)}
}

// fdbDir finds segments by the leading bits of a hash. Its elements are replaced in
// place; when its size changes there is a new one.
type fdbDir struct {
	shift uint // 63 less the number of bits
	segs  []atomic.Pointer[fdbSegment]
}

func newFDBDir(depth uint) *fdbDir {
	return &fdbDir{shift: 63 - depth, segs: make([]atomic.Pointer[fdbSegment], 1<<depth)}
}

func (d *fdbDir) depth() uint { return 63 - d.shift }

func (d *fdbDir) segment(h uint64) *fdbSegment { return d.segs[h>>1>>(d.shift&63)].Load() }

// home is where the search for a hash begins.
func (s *fdbSegment) home(h uint64) uint32 {
	return uint32(uint64(uint32(h)) * uint64(len(s.slots)) >> 32)
}

// find looks k up. It returns the slot and the two words it saw there; a val of 0, which
// no entry has, if there is none.
func (s *fdbSegment) find(k, h uint64) (slot uint32, key uint64, v fdbVal) {
	slots := s.slots
	for i := int(s.home(h)); ; {
		e := &slots[i]
		key := e.key.Load()
		if key&^fdbGenMask == k {
			v := e.load()
			if e.key.Load() != key {
				continue // the slot was given to another address in between
			}
			if v&fdbDead == 0 {
				return uint32(i), key, v
			}
		}
		if key == 0 {
			return 0, 0, 0
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}

// last is the highest hash whose entry belongs here.
func (s *fdbSegment) last() uint64 { return s.prefix | ^uint64(0)>>s.depth }

// fdbSlotsFor is how many slots n entries get: of the sizes 8, 9, 10 and so on to 15
// times a power of two the first that they fill to a half at most. An eighth of it
// or more is filled before the next time.
func fdbSlotsFor(n int) int {
	for unit := fdbMinSlots / 8; ; unit *= 2 {
		for size := 8 * unit; size < 16*unit; size += unit {
			if n*2 <= size {
				return size
			}
		}
	}
}

// newSegmentLocked makes a segment with room for n entries, not published yet.
func (f *FDB) newSegmentLocked(depth uint, prefix uint64, n int) *fdbSegment {
	size := fdbSlotsFor(n)
	s := &fdbSegment{slots: make([]fdbSlot, size), used: make([]atomic.Uint32, size), links: make([]fdbLinks, size), depth: depth, prefix: prefix}
	if last := len(f.free) - 1; last >= 0 {
		s.number, f.free = f.free[last], f.free[:last]
		f.segments[s.number] = s
	} else {
		s.number = uint32(len(f.segments))
		f.segments = append(f.segments, s)
	}
	f.depths[depth]++
	f.large.Store(len(f.segments)-len(f.free) > fdbLarge)
	return s
}

// publishLocked has readers find a segment.
func (f *FDB) publishLocked(s *fdbSegment) {
	d := f.dir.Load()
	at := s.prefix >> 1 >> d.shift
	for i := range uint64(1) << (d.depth() - s.depth) {
		d.segs[at+i].Store(s)
	}
}

// retireLocked takes a segment away whose entries are elsewhere by now. A refresh
// that hits it at this moment is lost; the next frame makes up for it.
func (f *FDB) retireLocked(s *fdbSegment) {
	s.retired.Store(true)
	for i := range s.slots {
		if e := &s.slots[i]; e.key.Load() != 0 {
			e.store(fdbDead)
		}
	}
	f.depths[s.depth]--
	f.segments[s.number] = nil
	f.free = append(f.free, s.number)
	f.large.Store(len(f.segments)-len(f.free) > fdbLarge)
}

// placeLocked finds a slot for k, which is not there, and fills it.
func (f *FDB) placeLocked(k uint64, v fdbVal) fdbAt {
	h := f.hash(k)
	s := f.dir.Load().segment(h)
	for (s.live+s.dead+1)*8 > len(s.slots)*5 {
		f.makeRoomLocked(s)
		s = f.dir.Load().segment(h)
	}
	for i := int(s.home(h)); ; {
		e := &s.slots[i]
		old := e.key.Load()
		if old == 0 {
			e.store(v)
			e.key.Store(k)
			s.live++
			return fdbAt{s, uint32(i)}
		}
		if e.load()&fdbDead != 0 {
			e.key.Store(k | (old+1)&fdbGenMask)
			e.store(v)
			s.live++
			s.dead--
			return fdbAt{s, uint32(i)}
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}

// makeRoomLocked rids a segment of its tombstones, makes it larger, or splits it.
func (f *FDB) makeRoomLocked(s *fdbSegment) {
	want := s.live + 1
	if fdbSlotsFor(want) <= fdbMaxSlots {
		f.resizeLocked(s, want)
		return
	}
	bit := uint64(1) << (63 - s.depth)
	var n [2]int
	for i := range s.slots {
		if k, ok := s.entry(i); ok {
			if f.hash(k)&bit == 0 {
				n[0]++
			} else {
				n[1]++
			}
		}
	}
	if d := f.dir.Load(); d.depth() == s.depth {
		f.setDepthLocked(s.depth + 1)
	}
	lo := f.newSegmentLocked(s.depth+1, s.prefix, n[0])
	hi := f.newSegmentLocked(s.depth+1, s.prefix|bit, n[1])
	f.transplantLocked(s, lo, hi)
	f.publishLocked(lo)
	f.publishLocked(hi)
	f.retireLocked(s)
}

// resizeLocked makes a segment anew, with room for n entries.
func (f *FDB) resizeLocked(s *fdbSegment, n int) {
	to := f.newSegmentLocked(s.depth, s.prefix, n)
	f.transplantLocked(s, to, to)
	f.publishLocked(to)
	f.retireLocked(s)
}

// shrinkLocked gives memory back after deletes, and joins the segment with its
// neighbour where both have become small.
func (f *FDB) shrinkLocked(s *fdbSegment) {
	for s.depth > 0 {
		twin := f.dir.Load().segment(s.prefix ^ 1<<(64-s.depth))
		if twin.depth != s.depth || s.live+twin.live > fdbJoin {
			break
		}
		to := f.newSegmentLocked(s.depth-1, s.prefix&^(1<<(64-s.depth)), s.live+twin.live)
		f.transplantLocked(s, to, to)
		f.transplantLocked(twin, to, to)
		f.publishLocked(to)
		f.retireLocked(s)
		f.retireLocked(twin)
		for d := f.dir.Load(); d.depth() > 0 && f.depths[d.depth()] == 0; d = f.dir.Load() {
			f.setDepthLocked(d.depth() - 1)
		}
		s = to
	}
	if len(s.slots) > fdbMinSlots && s.live*16 < len(s.slots)*7 {
		f.resizeLocked(s, s.live)
	}
}

// setDepthLocked makes the directory twice as large, or half.
func (f *FDB) setDepthLocked(depth uint) {
	old, d := f.dir.Load(), newFDBDir(depth)
	for i := range d.segs {
		d.segs[i].Store(old.segment(uint64(i) << 1 << d.shift))
	}
	f.dir.Store(d)
}

// entry gives the key of slot i, with generation 0, if there is an entry.
func (s *fdbSegment) entry(i int) (k uint64, ok bool) {
	e := &s.slots[i]
	k = e.key.Load()
	return k &^ fdbGenMask, k != 0 && !e.load().has(fdbDead)
}

// transplantLocked copies the entries of a segment to new ones that nobody reads
// yet, by the first bit of the hash that is not s's.
func (f *FDB) transplantLocked(s, lo, hi *fdbSegment) {
	for i := range s.slots {
		k, ok := s.entry(i)
		if !ok {
			continue
		}
		h := f.hash(k)
		to := lo
		if h<<s.depth>>63 != 0 {
			to = hi
		}
		j := to.home(h)
		for to.slots[j].key.Load() != 0 {
			if j++; int(j) == len(to.slots) {
				j = 0
			}
		}
		v := s.slots[i].load()
		to.slots[j].store(v)
		to.slots[j].key.Store(k)
		to.live++
		from, at := fdbAt{s, uint32(i)}, fdbAt{to, j}
		at.used().Store(from.used().Load())
		if v.has(fdbLearned) {
			f.relinkLocked(from, at, v.port())
		}
	}
}
