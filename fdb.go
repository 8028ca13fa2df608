package bridge

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// The forwarding database: which port an address was last seen on, per VLAN.
//
// It is an open-addressing hash table that readers walk without a lock. An entry
// is two words:
//
//	key  MAC 48 | VID 12 | generation 4
//	val  time 40 (ms since New) | flags 13 | port 11
//
// A zero key is an empty slot (the zero MAC is never stored); a val with the dead
// flag is a tombstone. Inserts, moves and deletes happen under FDB.mu; nothing is
// shifted back on delete. A reader loads key, val, and key again: a tombstone is
// reused only with a new generation, stored before its val, so a val does not
// answer for another address (short of a reader that is interrupted between two
// loads for sixteen reuses of the slot, the last by the address it looks for).
// Refreshing the time is a compare-and-swap on val:
// it fails, and is given up, if the entry was moved or deleted meanwhile, so it
// undoes neither.
//
// Lookup does not test the age: as in Linux an expired entry forwards until the
// collector has been there.

const (
	fdbPortBits = 11
	fdbFlagBits = 13
	fdbTimeAt   = fdbPortBits + fdbFlagBits
	fdbPortMask = 1<<fdbPortBits - 1
	fdbGenMask  = 0xf

	fdbSelf = 0 // the port number of the bridge's own entries (dst NULL)

	fdbMinSlots     = 32
	defaultFDBLimit = 65536
)

// fdbVal is the value word of an entry.
type fdbVal uint64

// The flags of an entry (BR_FDB_*).
const (
	fdbLocal   fdbVal = 1 << (fdbPortBits + iota) // ends at the host; shown as permanent
	fdbStatic                                     // never ages
	fdbSticky                                     // never moves
	fdbUser                                       // touched by a request
	fdbExtern                                     // externally learned: does not age
	fdbLocked                                     // made by MAB: blocks its station
	fdbLearned                                    // counts against the limits
	fdbDead                                       // tombstone

	fdbFlags fdbVal = (1<<fdbFlagBits - 1) << fdbPortBits
)

func makeVal(port int, flags fdbVal, now stamp) fdbVal {
	return fdbVal(now)<<fdbTimeAt | flags | fdbVal(port)
}

func (v fdbVal) port() int           { return int(v & fdbPortMask) }
func (v fdbVal) updated() stamp      { return stamp(v >> fdbTimeAt) }
func (v fdbVal) has(f fdbVal) bool   { return v&f != 0 }
func (v fdbVal) at(now stamp) fdbVal { return v&(1<<fdbTimeAt-1) | fdbVal(now)<<fdbTimeAt }
func (v fdbVal) to(port int) fdbVal  { return v&^fdbPortMask | fdbVal(port) }

// expired is Linux's has_expired: static and external entries never are.
func (v fdbVal) expired(now, hold stamp) bool {
	return v.ages() && v.updated()+hold <= now
}

func (v fdbVal) ages() bool { return !v.has(fdbStatic | fdbExtern) }

// A stamp is milliseconds since the bridge was made.
type stamp int64

// used is s in the unit of fdbTable.used, which wraps after 497 days.
func (s stamp) used() uint32 { return uint32(s / 10) }

// stampOf holds d to what the 40 bits of an entry can say, 34 years, less room to add
// two.
func stampOf(d time.Duration) stamp { return min(stamp(d/time.Millisecond), 1<<38) }

// fdbKey is the key word with generation 0.
func fdbKey(m frame.MAC, v frame.VID) uint64 { return m.Uint64()<<16 | uint64(v)<<4 }

func keyMAC(k uint64) frame.MAC { return frame.MACFromUint64(k >> 16) }
func keyVID(k uint64) frame.VID { return frame.VID(k >> 4 & 0xfff) }

// FDB is the forwarding database of one bridge. All methods may be called by any
// goroutine at any time.
type FDB struct {
	b      *Bridge
	tab    atomic.Pointer[fdbTable]
	k0, k1 uint64 // hash key, so that no sender can choose addresses that collide

	mu      sync.Mutex     // orders every change of tab but refreshes
	ageing  int            // entries that age, which the collector comes for; guarded by mu
	learned int            // entries with fdbLearned; guarded by mu
	perPort map[int]int    // of these, by port number; guarded by mu
	names   map[int]string // of the ports that may have entries, for events; guarded by mu
	refused atomic.Uint64
}

// fdbTable is one size of the table. It always has an empty slot, so that every
// search ends.
type fdbTable struct {
	number uint64 // 1, 2, ... in the order of their making
	mask   uint64
	slots  []fdbSlot
	used   []atomic.Uint32 // when the entry last was a destination, in 10 ms; not needed to look up
	live   int             // guarded by FDB.mu
	dead   int             // guarded by FDB.mu
}

type fdbSlot struct {
	key atomic.Uint64
	val atomic.Uint64
}

func (s *fdbSlot) load() fdbVal   { return fdbVal(s.val.Load()) }
func (s *fdbSlot) store(v fdbVal) { s.val.Store(uint64(v)) }

func (f *FDB) init(b *Bridge, k0, k1 uint64) {
	f.b, f.k0, f.k1 = b, k0|1, k1|1
	f.perPort, f.names = map[int]int{}, map[int]string{}
	f.tab.Store(newFDBTable(1, fdbMinSlots))
}

func newFDBTable(number uint64, n int) *fdbTable {
	return &fdbTable{number: number, mask: uint64(n - 1), slots: make([]fdbSlot, n), used: make([]atomic.Uint32, n)}
}

func (f *FDB) hash(k uint64) uint64 {
	hi, lo := bits.Mul64(k^f.k0, f.k1)
	hi, lo = bits.Mul64(hi^lo^f.k1, f.k0) // once leaves numbered addresses in long runs
	return hi ^ lo
}

// find looks k up. It returns the slot and the two words it saw there.
func (t *fdbTable) find(k, h uint64) (slot uint64, key uint64, v fdbVal, ok bool) {
	for i := h & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
	again:
		key := s.key.Load()
		if key == 0 {
			return 0, 0, 0, false
		}
		if key&^fdbGenMask != k {
			continue
		}
		v := s.load()
		if s.key.Load() != key {
			goto again // the slot was given to another address in between
		}
		if v&fdbDead == 0 {
			return i, key, v, true
		}
	}
}

// find is the search for those who hold no hint.
func (f *FDB) find(k uint64) (t *fdbTable, slot uint64, v fdbVal, ok bool) {
	t = f.tab.Load()
	slot, _, v, ok = t.find(k, f.hash(k))
	return t, slot, v, ok
}

// insertLocked adds an entry that is not there.
func (f *FDB) insertLocked(k uint64, v fdbVal) {
	t := f.tab.Load()
	if (t.live+t.dead+1)*4 > len(t.slots)*3 {
		t = f.resizeLocked(t, t.live+1)
	}
	i := f.hash(k) & t.mask
	for ; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		old := s.key.Load()
		if old == 0 {
			s.store(v)
			s.key.Store(k)
			break
		}
		if s.load()&fdbDead != 0 {
			s.key.Store(k | (old+1)&fdbGenMask)
			s.store(v)
			t.dead--
			break
		}
	}
	t.used[i].Store(v.updated().used())
	t.live++
	f.countLocked(v, +1)
}

// replaceLocked gives an entry that is there another value, whatever refreshes
// happen at the same time.
func (f *FDB) replaceLocked(t *fdbTable, slot uint64, v fdbVal) {
	f.countLocked(t.slots[slot].load(), -1)
	f.countLocked(v, +1)
	t.slots[slot].store(v)
}

func (f *FDB) deleteLocked(t *fdbTable, slot uint64) {
	v := t.slots[slot].load()
	f.countLocked(v, -1)
	t.slots[slot].store(v | fdbDead)
	t.live--
	t.dead++
}

func (f *FDB) countLocked(v fdbVal, n int) {
	if v.ages() {
		f.ageing += n
	}
	if !v.has(fdbLearned) {
		return
	}
	f.learned += n
	if f.perPort[v.port()] += n; f.perPort[v.port()] == 0 {
		delete(f.perPort, v.port())
	}
}

// resizeLocked moves the live entries to a table with room for n of them and
// publishes it. It is then 5/16 to 5/8 full, at 20 bytes a slot at most 64 bytes
// an address, and an eighth of it or more is filled before the next time. A refresh
// that hits the old table meanwhile is lost; the next frame makes up for it.
func (f *FDB) resizeLocked(old *fdbTable, n int) *fdbTable {
	size := fdbMinSlots
	for n*8 > size*5 {
		size *= 2
	}
	t := newFDBTable(old.number+1, size)
	for i := range old.slots {
		s := &old.slots[i]
		k, v := s.key.Load(), s.load()
		if k == 0 || v.has(fdbDead) {
			continue
		}
		j := f.hash(k&^fdbGenMask) & t.mask
		for t.slots[j].key.Load() != 0 {
			j = (j + 1) & t.mask
		}
		t.slots[j].store(v)
		t.slots[j].key.Store(k)
		t.used[j].Store(old.used[i].Load())
	}
	t.live = old.live
	f.tab.Store(t)
	return t
}

// eachLocked calls fn for every entry; fn may delete or replace the one it is
// given, and nothing else.
func (f *FDB) eachLocked(fn func(t *fdbTable, slot uint64, k uint64, v fdbVal)) {
	t := f.tab.Load()
	for i := range t.slots {
		s := &t.slots[i]
		if k, v := s.key.Load(), s.load(); k != 0 && !v.has(fdbDead) {
			fn(t, uint64(i), k&^fdbGenMask, v)
		}
	}
}

// collect removes what has expired and says when to come again, as br_fdb_cleanup
// does: when the next entry is due, but after hold at the latest, and not within
// 10 ms.
func (f *FDB) collect(now, hold stamp) (next stamp) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delay := max(hold, 0)
	if f.ageing > 0 {
		f.eachLocked(func(t *fdbTable, slot uint64, k uint64, v fdbVal) {
			switch {
			case !v.ages():
			case v.expired(now, hold):
				f.deleteLocked(t, slot)
				f.post(EventFDBDelete, k, v)
			default:
				delay = min(delay, v.updated()+hold-now)
			}
		})
	}
	if t := f.tab.Load(); len(t.slots) > fdbMinSlots && t.live*16 < len(t.slots)*5 {
		f.resizeLocked(t, t.live)
	}
	return now + max(delay, 10)
}

// post tells of a change. f.mu must be held.
func (f *FDB) post(kind EventKind, k uint64, v fdbVal) {
	if f.b.events.watched() {
		f.b.events.post(Event{Kind: kind, Port: f.names[v.port()], MAC: keyMAC(k), VID: keyVID(k)})
	}
}

// name gives a port number a name, before the port has its first entry; purgePort
// takes it away.
func (f *FDB) name(port int, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[port] = name
}
