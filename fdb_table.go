package bridge

import "sync/atomic"

// The memory of the FDB. The table is a directory of segments, chosen by the
// leading bits of the hash (extendible hashing). A segment that fills is made anew
// twice as large, or split in two if that is too large for one; two neighbours that
// have become small are joined. Each such step moves the entries of one segment, so
// a writer never holds the lock for long, however large the table is, and none of
// it stops readers: the new segments are filled before they are published, and the
// old one then has all its slots marked dead, so that a reader that still stands in
// it, or comes back to it by a hint, finds nothing there and looks again.
//
// A segment is 5/8 full at most, so that searches are short. One that has just grown is
// a third full, so that an entry is moved once or twice until the table stands, and no
// more often. At 28 bytes a slot an address takes 45 to 95 bytes meanwhile. At rest a
// segment is half full at least, which makes it 45 to 56: Tick sees to that once a
// segment has not grown for a second (fdb_rest.go), and in one that does not grow the
// sweep or the flush that has deleted entries.

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
	used    []fdbHalf   // when the entry last was a destination, in 10 ms
	retired atomic.Bool // others have taken its place; its slots are dead

	// Guarded by FDB.mu.
	links      []fdbLinks
	number     uint32 // of FDB.segments
	depth      uint   // how many leading bits of the hash its entries share
	prefix     uint64 // those bits, and zeros
	live, dead int
	settles    stamp // when it may be made smaller, if it has grown; 0 at once

	// This makes 128 bytes: what readers need is in one cache line.
}

type fdbSlot struct{ key, val fdbWord }

// A fdbWord is read and written as an atomic.Uint64, but plainly while its segment is
// being made, and nobody else can read it. On 32 bits it is aligned since the slots of a
// segment come first in their allocation.
type fdbWord struct{ plain uint64 }

func (w *fdbWord) Load() uint64   { return atomic.LoadUint64(&w.plain) }
func (w *fdbWord) Store(v uint64) { atomic.StoreUint64(&w.plain, v) }

func (w *fdbWord) CompareAndSwap(old, next uint64) bool {
	return atomic.CompareAndSwapUint64(&w.plain, old, next)
}

// A fdbHalf is to atomic.Uint32 what a fdbWord is to atomic.Uint64.
type fdbHalf struct{ plain uint32 }

func (h *fdbHalf) Load() uint32   { return atomic.LoadUint32(&h.plain) }
func (h *fdbHalf) Store(v uint32) { atomic.StoreUint32(&h.plain, v) }

func (s *fdbSlot) load() fdbVal   { return fdbVal(s.val.Load()) }
func (s *fdbSlot) store(v fdbVal) { s.val.Store(uint64(v)) }

// fdbLinks are the neighbours of an entry in the list of its port, if it is learned.
type fdbLinks struct{ prev, next fdbID }

// fdbAt is a place in the table, valid until FDB.mu is released.
type fdbAt struct {
	seg *fdbSegment
	i   uint32
}

func (a fdbAt) slot() *fdbSlot   { return &a.seg.slots[a.i] }
func (a fdbAt) used() *fdbHalf   { return &a.seg.used[a.i] }
func (a fdbAt) links() *fdbLinks { return &a.seg.links[a.i] }
func (a fdbAt) id() fdbID        { return fdbID(a.seg.number<<fdbSlotBits | a.i) }

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
		if key == 0 { // its val may be being written: look for no key of 0 there
			return 0, 0, 0
		}
		if key&^fdbGenMask == k {
			v := e.load()
			if e.key.Load() != key {
				continue // the slot was given to another address in between
			}
			if v&fdbDead == 0 {
				return uint32(i), key, v
			}
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}

// last is the highest hash whose entry belongs here.
func (s *fdbSegment) last() uint64 { return s.prefix | ^uint64(0)>>s.depth }

// seek finds the entry of k, or where one is to be put: the first tombstone on the way,
// or the empty slot at its end. FDB.mu must be held.
func (s *fdbSegment) seek(k, h uint64) (slot uint32, ok bool) {
	slots, dead := s.slots, -1
	for i := int(s.home(h)); ; {
		e := &slots[i]
		switch key := e.key.Load(); {
		case key == 0 && dead < 0:
			return uint32(i), false
		case key == 0:
			return uint32(dead), false
		case !e.load().has(fdbDead):
			if key&^fdbGenMask == k {
				return uint32(i), true
			}
		case dead < 0:
			dead = i
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}

// fdbRoomy and fdbSnug are how many slots n entries get: with room for as many again,
// and at rest.
func fdbRoomy(n int) int { return fdbSize(3 * n) }
func fdbSnug(n int) int  { return fdbSize((16*n + 8) / 9) }

// fdbSize is the first that is n or more of the sizes 8, 9, 10 and so on to 15 times a
// power of two.
func fdbSize(n int) int {
	unit := fdbMinSlots / 8
	for n > 15*unit {
		unit *= 2
	}
	return max(8, (n+unit-1)/unit) * unit
}

// newSegmentLocked makes a segment, not published yet.
func (f *FDB) newSegmentLocked(depth uint, prefix uint64, size int) *fdbSegment {
	s := &fdbSegment{depth: depth, prefix: prefix}
	if size == fdbMaxSlots { // most that growing tables need are: once to the allocator, not three times
		m := new(struct {
			slots [fdbMaxSlots]fdbSlot
			used  [fdbMaxSlots]fdbHalf
			links [fdbMaxSlots]fdbLinks
		})
		s.slots, s.used, s.links = m.slots[:], m.used[:], m.links[:]
	} else {
		s.slots, s.used, s.links = make([]fdbSlot, size), make([]fdbHalf, size), make([]fdbLinks, size)
	}
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
// that hits it at this moment is lost, and when an entry was a destination; the next frame
// makes up for it.
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

// fillLocked makes an entry of k, whose hash is h, at the slot that seek gave, or where
// that is once there is room.
func (f *FDB) fillLocked(s *fdbSegment, i uint32, k, h uint64, v fdbVal) fdbAt {
	for s.slots[i].key.Load() == 0 && (s.live+s.dead+1)*8 > len(s.slots)*5 {
		f.makeRoomLocked(s, v.updated())
		s = f.dir.Load().segment(h)
		i, _ = s.seek(k, h)
	}
	e := &s.slots[i]
	if old := e.key.Load(); old != 0 {
		e.key.Store(k | (old+1)&fdbGenMask)
		e.store(v)
		s.dead--
	} else {
		e.val.plain = uint64(v) // nobody reads it before there is a key
		e.key.Store(k)
	}
	s.live++
	return fdbAt{s, i}
}

// makeRoomLocked rids a segment of its tombstones, makes it larger, or splits it.
func (f *FDB) makeRoomLocked(s *fdbSegment, now stamp) {
	if size := fdbRoomy(s.live + 1); size <= fdbMaxSlots {
		f.growsLocked(f.resizeLocked(s, size), now)
		return
	}
	if d := f.dir.Load(); d.depth() == s.depth {
		f.setDepthLocked(s.depth + 1)
	}
	// Of so many entries each gets about half; either could hold them all.
	size := fdbRoomy(s.live/2 + 1)
	lo := f.newSegmentLocked(s.depth+1, s.prefix, size)
	hi := f.newSegmentLocked(s.depth+1, s.prefix|1<<(63-s.depth), size)
	f.growsLocked(lo, now)
	f.growsLocked(hi, now)
	f.transplantLocked(s, lo, hi)
	f.publishLocked(lo)
	f.publishLocked(hi)
	f.retireLocked(s)
}

// resizeLocked makes a segment anew, of another size.
func (f *FDB) resizeLocked(s *fdbSegment, size int) *fdbSegment {
	to := f.newSegmentLocked(s.depth, s.prefix, size)
	f.transplantLocked(s, to, to)
	f.publishLocked(to)
	f.retireLocked(s)
	return to
}

// shrinkLocked gives memory back after deletes, and joins the segment with its
// neighbour where both have become small. Of one that has grown a moment ago Tick
// gives back what it has too much, unless that is most of it.
func (f *FDB) shrinkLocked(s *fdbSegment) {
	for s.depth > 0 {
		twin := f.dir.Load().segment(s.prefix ^ 1<<(64-s.depth))
		if twin.depth != s.depth || s.live+twin.live > fdbJoin {
			break
		}
		to := f.newSegmentLocked(s.depth-1, s.prefix&^(1<<(64-s.depth)), fdbSnug(s.live+twin.live))
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
	least := 2
	if s.settles != 0 {
		least = 4
	}
	if size := fdbSnug(s.live); s.live*least < len(s.slots) && size < len(s.slots) {
		f.resizeLocked(s, size)
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
// yet, by the first bit of the hash that is not s's. The slots are gone through in the
// order of the hash, nearly, and so those of the new ones are.
func (f *FDB) transplantLocked(s, lo, hi *fdbSegment) {
	halves := [2]*fdbSegment{lo, hi}
	used, links := s.used[:len(s.slots)], s.links[:len(s.slots)]
	for i := range s.slots {
		k, ok := s.entry(i)
		if !ok {
			continue
		}
		h := f.hash(k)
		to := halves[h<<s.depth>>63]
		slots, j := to.slots, int(to.home(h))
		for slots[j].key.plain != 0 {
			if j++; j == len(slots) {
				j = 0
			}
		}
		v := s.slots[i].load()
		slots[j].val.plain, slots[j].key.plain = uint64(v), k
		to.used[j].plain = used[i].Load()
		to.live++
		if v.has(fdbLearned) {
			f.relinkLocked(links[i], fdbAt{to, uint32(j)}, v.port())
		}
	}
}
