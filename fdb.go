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
// What a frame asks of it is here and in fdb_learn.go: is this source known, and
// still there (Input.learn), and behind which port is that destination
// (Input.lookup)? Both are answered without a lock. All else changes the table, and
// does so under FDB.mu:
//
//	fdb_learn.go    the datapath: learning, moving, refreshing
//	fdb_request.go  what `bridge fdb` asks for: add, replace, delete, flush, dump
//	fdb_local.go    the addresses of the bridge and its ports
//	fdb_sweep.go    what goes through the whole table: collection, flushes, dumps
//	fdb_evict.go    who makes room when a limit of ours is reached
//	fdb_table.go    the memory: segments that are split, joined and made anew
//	fdb_rest.go     giving back what growing segments had in advance
//
// An entry is two words, 16 bytes, and that is all that a lookup touches:
//
//	key  MAC 48 | VID 12 | generation 4
//	val  time 40 (ms since New) | flags 13 | port 11
//
// It stands in an open-addressing hash table. A zero key is an empty slot (the zero
// MAC is never stored); a val with the dead flag is a tombstone; nothing is shifted
// back on delete. A reader loads key, val, and key again: a tombstone is reused only
// with a new generation, stored before its val, so a val does not answer for
// another address (short of a reader that is interrupted between two loads for
// sixteen reuses of the slot, the last by the address it looks for).
//
// A station that goes on talking has its time renewed by a compare-and-swap on val:
// it fails, and is given up, if the entry was moved or deleted meanwhile, so it
// undoes neither. The same swap sets the flag that a limit asks for before it evicts
// (fdbSeen); where both stand already nothing is written.
//
// The table is cut into segments by the leading bits of the hash, so that it grows
// and shrinks a few hundred entries at a time, and so that whoever goes through all
// of it holds the lock for one segment at a time. What lookup does not need, when an
// entry last was a destination and its neighbours in the list of its port, lies in
// cold arrays of each segment.
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

	defaultFDBLimit = 65536
)

// fdbVal is the value word of an entry.
type fdbVal uint64

// The flags of an entry (BR_FDB_*).
const (
	fdbLocal    fdbVal = 1 << (fdbPortBits + iota) // ends at the host; shown as permanent
	fdbStatic                                      // never ages
	fdbSticky                                      // never moves
	fdbUser                                        // touched by a request
	fdbExtern                                      // externally learned: does not age
	fdbLocked                                      // made by MAB: blocks its station
	fdbLearned                                     // counts against the limits
	fdbNotify                                      // the collector tells when it falls idle
	fdbInactive                                    // idle: the next frame from it is told
	fdbSeen                                        // a source again since it was learned or last spared
	fdbDead                                        // tombstone

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

// timed says whether the collector has anything to do with the entry, some day.
func (v fdbVal) timed() bool { return v.ages() || v.has(fdbNotify) }

// nud is the state that Linux shows (fdb_to_nud).
func (v fdbVal) nud(now, hold stamp) NUDState {
	switch {
	case v.has(fdbLocal):
		return NUDPermanent
	case v.has(fdbStatic):
		return NUDNoARP
	case v.expired(now, hold):
		return NUDStale
	}
	return NUDReachable
}

// A stamp is milliseconds since the bridge was made.
type stamp int64

// used is s in the unit of fdbSegment.used, which wraps after 497 days.
func (s stamp) used() uint32 { return uint32(s / 10) }

// stampOf holds d to what the 40 bits of an entry can say, 34 years, less room to add
// two.
func stampOf(d time.Duration) stamp { return min(stamp(d/time.Millisecond), 1<<38) }

// fdbKey is the key word with generation 0.
func fdbKey(m frame.MAC, v frame.VID) uint64 { return addressOf(m).key(v) }

// An address is a frame.MAC as a number, first byte highest: the datapath asks much of
// it, and a number is in a register where six bytes are in memory.
type address uint64

const broadcast address = 1<<48 - 1

func addressOf(m frame.MAC) address { return address(m.Uint64()) }

func (a address) mac() frame.MAC         { return frame.MACFromUint64(uint64(a)) }
func (a address) key(v frame.VID) uint64 { return uint64(a)<<16 | uint64(v)<<4 }
func (a address) isMulticast() bool      { return a>>40&1 != 0 }
func (a address) isValid() bool          { return a != 0 && !a.isMulticast() }
func (a address) isLinkLocal() bool      { return a>>4 == 0x0180c200000 }

func keyMAC(k uint64) frame.MAC { return frame.MACFromUint64(k >> 16) }
func keyVID(k uint64) frame.VID { return frame.VID(k >> 4 & 0xfff) }

// FDB is the forwarding database of one bridge. All methods may be called by any
// goroutine at any time.
type FDB struct {
	b      *Bridge
	dir    atomic.Pointer[fdbDir]
	k0, k1 uint64 // hash key, so that no sender can choose addresses that collide

	mu       sync.Mutex    // orders every change of the table but refreshes; guards the rest
	segments []*fdbSegment // by number; nil where a number is free
	free     []uint32      // those numbers
	depths   [64]int       // segments by depth
	live     int           // entries
	timed    int           // of these, those that the collector comes for
	learned  int           // of these, those that limits count
	ports    []*fdbPort    // by port number; nil where there is none
	fullest  []*fdbPort    // a heap by learned entries, the most first

	restAt   atomic.Int64 // when Tick is to come, on the scale of gcAt; never if nothing has grown
	restFrom uint64       // the hash where it goes on
	restNext stamp        // the first time after that, by what it has met so far

	large   atomic.Bool // it has many segments, see Input.fetch
	refused atomic.Uint64
	evicted atomic.Uint64
}

func (f *FDB) init(b *Bridge, k0, k1 uint64) {
	f.b, f.k0, f.k1 = b, k0|1, k1|1
	seg := f.newSegmentLocked(0, 0, fdbMinSlots)
	f.dir.Store(newFDBDir(0))
	f.restAt.Store(never)
	f.publishLocked(seg)
}

func (f *FDB) hash(k uint64) uint64 {
	hi, lo := bits.Mul64(k^f.k0, f.k1)
	hi, lo = bits.Mul64(hi^lo^f.k1, f.k0) // once leaves numbered addresses in long runs
	return hi ^ lo
}

// find looks k up. It says where it is, and the two words that it saw there.
func (f *FDB) find(k uint64) (at fdbAt, key uint64, v fdbVal, ok bool) {
	h := f.hash(k)
	for {
		seg := f.dir.Load().segment(h)
		i, key, v := seg.find(k, h)
		if v != 0 || !seg.retired.Load() {
			return fdbAt{seg, i}, key, v, v != 0
		}
	}
}

// insertLocked adds an entry that is not there.
func (f *FDB) insertLocked(k uint64, v fdbVal) {
	h := f.hash(k)
	s := f.dir.Load().segment(h)
	i, _ := s.seek(k, h)
	f.insertAtLocked(s, i, k, h, v)
}

// insertAtLocked is insertLocked for one who has looked: h is the hash, and slot i of
// s what seek gave.
func (f *FDB) insertAtLocked(s *fdbSegment, i uint32, k, h uint64, v fdbVal) {
	at := f.fillLocked(s, i, k, h, v)
	at.used().Store(v.updated().used())
	f.live++
	f.countLocked(v, +1)
	if v.has(fdbLearned) {
		f.linkLocked(at, v.port())
	}
}

// replaceLocked gives an entry that is there another value, whatever refreshes
// happen at the same time.
func (f *FDB) replaceLocked(at fdbAt, v fdbVal) {
	old := at.slot().load()
	f.countLocked(old, -1)
	f.countLocked(v, +1)
	moves := old.port() != v.port()
	if old.has(fdbLearned) && (moves || !v.has(fdbLearned)) {
		f.unlinkLocked(at, old.port())
	}
	if v.has(fdbLearned) && (moves || !old.has(fdbLearned)) {
		f.linkLocked(at, v.port())
	}
	at.slot().store(v)
}

func (f *FDB) deleteLocked(at fdbAt) {
	v := at.slot().load()
	f.live--
	f.countLocked(v, -1)
	if v.has(fdbLearned) {
		f.unlinkLocked(at, v.port())
	}
	at.slot().store(v | fdbDead)
	at.seg.live--
	at.seg.dead++
}

func (f *FDB) countLocked(v fdbVal, n int) {
	if v.timed() {
		f.timed += n
	}
	if v.has(fdbLearned) {
		f.learned += n
	}
}

// post tells of a change. f.mu must be held.
func (f *FDB) post(kind EventKind, k uint64, v fdbVal) {
	if f.b.events.watched() {
		f.b.events.post(f.event(kind, k, v))
	}
}

func (f *FDB) event(kind EventKind, k uint64, v fdbVal) Event {
	e := Event{Kind: kind, MAC: keyMAC(k), VID: keyVID(k)}
	if n := v.port(); n < len(f.ports) && f.ports[n] != nil {
		e.Port = f.ports[n].p.name
	}
	return e
}
