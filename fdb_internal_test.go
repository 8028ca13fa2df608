package bridge

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

func testBridge(t testing.TB, c Config) *Bridge {
	t.Helper()
	b, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// nullIO takes everything and never has a frame.
type nullIO struct{ closed chan struct{} }

func (n nullIO) ReadFrames([]frame.Frame) (int, error)     { <-n.closed; return 0, errPipeClosed }
func (n nullIO) WriteFrames(fs []frame.Frame) (int, error) { return len(fs), nil }
func (n nullIO) Close() error                              { return nil }

func testPort(t testing.TB, b *Bridge, name string, c PortConfig) *Port {
	t.Helper()
	p, err := b.AddPort(name, nullIO{make(chan struct{})}, c)
	require.NoError(t, err)
	return p
}

func testMAC(i int) frame.MAC { return frame.MACFromUint64(0x0200_0000_0000 | uint64(i)) }

func learnFrame(src frame.MAC) frame.Frame {
	d := make([]byte, 60)
	copy(d, src[:]) // to itself: learned, then filtered
	copy(d[6:], src[:])
	d[12] = 0x88
	return frame.Frame{Data: d}
}

// tableBytes is the memory of the table, all of it, per entry.
func (f *FDB) tableBytes() (perEntry float64, live int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := uintptr(len(f.dir.Load().segs))*8 + uintptr(cap(f.segments))*8
	for _, s := range f.segments {
		if s != nil {
			n += unsafe.Sizeof(*s) + uintptr(len(s.slots))*unsafe.Sizeof(s.slots[0]) + uintptr(len(s.used))*unsafe.Sizeof(s.used[0]) + uintptr(len(s.links))*unsafe.Sizeof(s.links[0])
		}
	}
	return float64(n) / float64(f.live), f.live
}

// checkFDB holds that what is counted and linked twice agrees.
func checkFDB(t testing.TB, f *FDB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.dir.Load()
	live, timed, learned := 0, 0, map[int]int{}
	seen := map[uint64]bool{}
	for i := range d.segs {
		s := d.segs[i].Load()
		require.Same(t, s, f.segments[s.number])
		require.False(t, s.retired.Load())
		require.LessOrEqual(t, s.depth, d.depth())
		if uint64(i)<<1<<d.shift != s.prefix {
			continue
		}
		segLive, segDead := 0, 0
		for j := range s.slots {
			k, ok := s.entry(j)
			if s.slots[j].key.Load() != 0 && !ok {
				segDead++
			}
			if !ok {
				continue
			}
			segLive++
			h, v := f.hash(k), s.slots[j].load()
			require.Same(t, s, d.segment(h))
			require.True(t, s.prefix <= h && h <= s.last())
			require.False(t, seen[k], "one entry per key")
			seen[k] = true
			if v.timed() {
				timed++
			}
			if v.has(fdbLearned) {
				learned[v.port()]++
			}
		}
		require.Equal(t, []int{segLive, segDead}, []int{s.live, s.dead})
		require.LessOrEqual(t, (segLive+segDead)*8, len(s.slots)*5, "empty slots are left, so that searches are short")
		require.True(t, s.settles == 0 || f.restAt.Load() != never, "Tick will come to it")
		live += segLive
	}
	require.Equal(t, []int{live, timed}, []int{f.live, f.timed})
	total, segs := 0, 0
	for n, p := range f.ports {
		if p == nil {
			continue
		}
		require.Same(t, p, f.fullest[p.rank])
		require.True(t, p.rank == 0 || f.fullest[(p.rank-1)/2].learned >= p.learned, "the heap")
		count, prev := 0, fdbNone
		for id := p.first; id != fdbNone; id = f.place(id).links().next {
			at := f.place(id)
			require.Equal(t, prev, at.links().prev)
			v := at.slot().load()
			require.True(t, v.port() == n && v.has(fdbLearned) && !v.has(fdbDead))
			prev = id
			count++
		}
		require.Equal(t, prev, p.last)
		require.Equal(t, []int{learned[n], learned[n]}, []int{count, p.learned})
		total += count
	}
	require.Equal(t, total, f.learned)
	for _, s := range f.segments {
		if s != nil {
			segs++
		}
	}
	require.Equal(t, len(f.segments), segs+len(f.free))
}

// Design section 4: at rest at most 64 bytes an address, also after most are gone.
func TestFDBMemory(t *testing.T) {
	for _, n := range []int{1_000, 10_000, 65_000, 24_577, 49_153} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			now := time.Unix(1000, 0)
			b := testBridge(t, Config{Clock: func() time.Time { return now }})
			p := testPort(t, b, "p", PortConfig{})
			check := func(want int, when string) {
				perEntry, live := b.fdb.tableBytes()
				assert.InDelta(t, want, live, 8, when)
				assert.LessOrEqual(t, perEntry, 64.0, "%s: %d entries", when, live)
			}
			for i := range n {
				require.NoError(t, p.Receive(learnFrame(testMAC(i))))
			}
			perEntry, _ := b.fdb.tableBytes()
			assert.LessOrEqual(t, perEntry, 100.0, "growing")
			now = now.Add(200 * time.Second)
			b.Tick(now)
			check(n, "learned")
			keep := n / 10
			for i := range keep {
				require.NoError(t, p.Receive(learnFrame(testMAC(i))))
			}
			now = now.Add(100 * time.Second)
			b.Tick(now)
			check(keep, "collected")
			checkFDB(t, &b.fdb)
			for i := range keep {
				e, ok := b.FDB().Lookup(testMAC(i), 0)
				require.True(t, ok)
				require.Equal(t, "p", e.Port)
			}
		})
	}
}

// Many generations of addresses pass through the table: it does not grow, and
// finds what is there and nothing else.
func TestFDBChurn(t *testing.T) {
	b := testBridge(t, Config{Seed: 7})
	f := &b.fdb
	const ports = 100
	for i := range ports {
		testPort(t, b, fmt.Sprint("p", i), PortConfig{VLANs: []VLAN{}})
	}
	r := rand.New(rand.NewPCG(1, 2))
	there := map[uint64]fdbVal{}
	keys := make([]uint64, 20_000)
	for i := range keys {
		keys[i] = fdbKey(testMAC(i), frame.VID(i%5))
	}
	base, most := f.Len(), 0
	limit := 500
	for n := range 300_000 {
		if n%50_000 == 0 {
			limit = []int{500, 8000}[n/50_000%2]
			checkFDB(t, f)
		}
		k := keys[r.IntN(len(keys))]
		f.mu.Lock()
		at, _, v, ok := f.find(k)
		want, known := there[k]
		if known != ok || want != v&^fdbSeen {
			require.Equal(t, []any{known, want}, []any{ok, v})
		}
		switch {
		case !ok && len(there) < limit:
			there[k] = makeVal(1+r.IntN(ports), pick(r, 0, fdbStatic, fdbLearned, fdbSticky|fdbUser), stamp(r.IntN(1<<20)))
			f.insertLocked(k, there[k])
		case ok && r.IntN(3) == 0:
			there[k] = v.to(1+r.IntN(ports)).at(stamp(r.IntN(1<<20))) ^ pick(r, 0, fdbLearned)
			f.replaceLocked(at, there[k])
		case ok:
			f.deleteLocked(at)
			if r.IntN(2) == 0 {
				f.shrinkLocked(at.seg)
			}
			delete(there, k)
		}
		live := f.live
		f.mu.Unlock()
		require.Equal(t, len(there)+base, live)
		most = max(most, live)
	}
	assert.Greater(t, most, 5000, "the table was split")
	seen := map[uint64]fdbVal{}
	f.sweep(func(_ fdbAt, k uint64, v fdbVal) {
		if !v.has(fdbLocal) {
			seen[k] = v
		}
	}, nil)
	assert.Equal(t, there, seen)
	checkFDB(t, f)
	f.rest(1<<20 + fdbSettle)
	assert.EqualValues(t, never, f.restAt.Load())
	checkFDB(t, f)
	perEntry, _ := f.tableBytes()
	assert.LessOrEqual(t, perEntry, 64.0)
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// An entry is two words: what goes in comes out.
func TestFDBWords(t *testing.T) {
	for _, m := range []frame.MAC{{}, frame.Broadcast, testMAC(1), {0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54}} {
		for _, v := range []frame.VID{0, 1, frame.MaxVID} {
			for gen := range uint64(16) {
				k := fdbKey(m, v) | gen
				assert.Equal(t, m, keyMAC(k))
				assert.Equal(t, v, keyVID(k))
			}
		}
	}
	const month = stamp(30 * 24 * 3600 * 1000)
	for _, port := range []int{0, 1, maxPorts} {
		for _, at := range []stamp{0, 1, 400 * month} {
			for _, fl := range []fdbVal{0, fdbLocal, fdbLearned, fdbLearned | fdbSticky | fdbStatic} {
				v := makeVal(port, fl, at)
				assert.Equal(t, []any{port, at, fl}, []any{v.port(), v.updated(), v & fdbFlags})
				assert.Equal(t, []any{maxPorts, at, fl}, []any{v.to(maxPorts).port(), v.to(maxPorts).updated(), v.to(maxPorts) & fdbFlags})
				assert.Equal(t, []any{port, at + 5, fl}, []any{v.at(at + 5).port(), v.at(at + 5).updated(), v.at(at+5) & fdbFlags})
			}
		}
	}
}

// Readers look up, learn and refresh while entries come, go, move and the table is
// rebuilt: an address is only ever put on one of its own ports, so a value that
// belongs to another address shows.
func TestFDBReaders(t *testing.T) {
	var now atomic.Int64
	clock := func() time.Time { return time.Unix(0, now.Add(int64(time.Millisecond))) } // so that every frame refreshes
	b := testBridge(t, Config{Clock: clock, AgeingTime: new(20 * time.Second)})
	const ports, span = 8, 48 // few, so that they meet in the slots that deletes leave
	var ps []*Port
	for i := range ports {
		ps = append(ps, testPort(t, b, fmt.Sprint("p", i), PortConfig{}))
	}
	home := func(i int) int { return i % ports } // address i is on this port, or never mind, on none
	stop := make(chan struct{})
	var wg, readers sync.WaitGroup
	var found, wrong atomic.Int64
	for n := range 3 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			var ins []*Input
			for _, p := range ps {
				ins = append(ins, p.Input())
			}
			for range 150_000 {
				i := r.IntN(span)
				in := ins[home(i)]
				if r.IntN(2) == 0 {
					_ = in.Receive([]frame.Frame{learnFrame(testMAC(i))})
				}
				if n := r.IntN(8); n == 0 || len(in.dir.segs) == 0 { // mostly an old one
					in.dir = *b.fdb.dir.Load()
				}
				v, ok := in.lookup(fdbKey(testMAC(i), 0), &in.dst)
				if r.IntN(4) == 0 {
					_, _, v, ok = b.fdb.find(fdbKey(testMAC(i), 0))
				}
				if ok {
					found.Add(1)
					if v.port() != ps[home(i)].num || v.has(fdbDead) {
						wrong.Add(1)
					}
				}
			}
		})
	}
	wg.Go(func() { // deletes and flushes, and lets time pass, so that the collector shrinks the table
		r := rand.New(rand.NewPCG(9, 9))
		for {
			select {
			case <-stop:
				return
			default:
			}
			i := r.IntN(span)
			switch r.IntN(8) {
			case 0:
				_, _ = b.FDB().Flush(FDBFlush{Port: ps[r.IntN(ports)], StateMask: NUDPermanent})
			case 1:
				b.Tick(clock())
			case 2:
				_ = b.FDB().Update(FDBRequest{Port: ps[home(i)], MAC: testMAC(i), State: NUDNoARP, Mode: FDBReplace, VID: new(frame.VID(1))})
			default:
				_ = b.FDB().Delete(ps[home(i)], testMAC(i), nil)
			}
		}
	})
	wg.Go(func() { // fills the table with others and takes them out again, so that it grows and shrinks
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = ps[0].Receive(learnFrame(testMAC(1_000_000 + i%300)))
			if i%300 == 299 {
				_, _ = b.FDB().Flush(FDBFlush{Port: ps[0], StateMask: NUDPermanent})
				b.Tick(clock().Add(time.Hour))
			}
		}
	})
	readers.Wait()
	close(stop)
	wg.Wait()
	assert.Zero(t, wrong.Load(), "values of other addresses")
	assert.Greater(t, found.Load(), int64(1000), "the test looked at something")
	checkFDB(t, &b.fdb)
}

// Nothing of a port that left is kept: not its Inputs, for which changes would
// wait, nor its name.
func TestPortsLeaveNothing(t *testing.T) {
	b := testBridge(t, Config{})
	p := testPort(t, b, "first", PortConfig{})
	_ = p.Receive(learnFrame(testMAC(1)))
	inputs, entries := len(b.inputs), b.FDB().Len()
	for i := range 50 {
		q := testPort(t, b, fmt.Sprint("q", i), PortConfig{})
		in := q.Input()
		_ = in.Receive([]frame.Frame{learnFrame(testMAC(100 + i))})
		_ = q.Receive(learnFrame(testMAC(200 + i)))
		require.NoError(t, b.RemovePort(q))
		_ = q.Input().Receive([]frame.Frame{learnFrame(testMAC(300 + i))})
	}
	assert.Len(t, b.inputs, inputs)
	assert.Equal(t, entries, b.FDB().Len())
	assert.Len(t, b.fdb.fullest, 1)
	checkFDB(t, &b.fdb)
	assert.LessOrEqual(t, len(b.cfg.Load().byNum), 3)
}

// Two addresses take turns in one slot: whoever looks one up does not get the value
// of the other. A generation has four bits, so no lookup is to last for 16 turns.
func TestFDBSlotReuse(t *testing.T) {
	b := testBridge(t, Config{})
	f := &b.fdb
	var keys []uint64
	for i := 0; len(keys) < 2; i++ {
		k := fdbKey(testMAC(i), 0)
		if len(keys) == 0 || f.dir.Load().segment(0).home(f.hash(k)) == f.dir.Load().segment(0).home(f.hash(keys[0])) {
			keys = append(keys, k)
		}
	}
	var over atomic.Bool
	var wrong, found atomic.Int64
	var rounds [2]atomic.Int64 // of each reader
	var wg sync.WaitGroup
	for n := range rounds {
		wg.Go(func() {
			in := &Input{b: b, dir: *f.dir.Load()}
			for !over.Load() {
				for i, k := range keys {
					_, _, v, ok := f.find(k)
					if !ok {
						v, ok = in.lookup(k, &in.src)
					}
					if ok {
						found.Add(1)
						if v.port() != i+1 {
							wrong.Add(1)
						}
					}
				}
				if rounds[n].Add(1)%8 == 0 {
					runtime.Gosched() // few processors must do
				}
			}
		})
	}
	for n, end := 0, time.Now().Add(1500*time.Millisecond); time.Now().Before(end); n++ {
		f.mu.Lock()
		f.insertLocked(keys[n%2], makeVal(n%2+1, 0, stamp(n)))
		f.mu.Unlock()
		if n%12 == 0 {
			for i := range rounds {
				for at := rounds[i].Load(); rounds[i].Load() < at+2; {
					runtime.Gosched()
				}
			}
		}
		f.mu.Lock()
		if at, _, _, ok := f.find(keys[n%2]); ok {
			f.deleteLocked(at)
		}
		f.mu.Unlock()
	}
	over.Store(true)
	wg.Wait()
	assert.Zero(t, wrong.Load(), "values of the other address, of %d", found.Load())
	assert.Positive(t, found.Load())
}

// A table that was emptied at one stroke gives its memory back as well.
func TestFDBMemoryFlushed(t *testing.T) {
	now := time.Unix(1000, 0)
	b := testBridge(t, Config{Clock: func() time.Time { return now }})
	p := testPort(t, b, "p", PortConfig{})
	for i := range 20_000 {
		require.NoError(t, p.Receive(learnFrame(testMAC(i))))
	}
	require.NoError(t, p.SetLink(true, false))
	for range 3 {
		now = now.Add(301 * time.Second)
		b.Tick(now)
	}
	_, live := b.fdb.tableBytes()
	assert.LessOrEqual(t, live, 4)
	assert.Equal(t, fdbMinSlots, len(b.fdb.dir.Load().segment(0).slots), "slots")
	assert.Zero(t, b.fdb.dir.Load().depth())
	checkFDB(t, &b.fdb)
}

// A station that MAB is about to note, and that becomes known on another port at this
// moment, stays there: the locked port neither has it nor lets it in.
func TestMABTakesNobodyAway(t *testing.T) {
	b := testBridge(t, Config{})
	locked := testPort(t, b, "locked", PortConfig{Locked: true, MAB: true})
	open := testPort(t, b, "open", PortConfig{})
	require.NoError(t, open.Receive(learnFrame(testMAC(1))))
	in := &Input{b: b, cfg: b.cfg.Load(), now: b.stamp(), dir: *b.fdb.dir.Load()}
	pc := in.cfg.conf(locked)
	assert.Equal(t, LockedElsewhere, in.learn(pc, fdbKey(testMAC(1), 0), fdbLocked), "found elsewhere when it is to be noted")
	assert.Equal(t, LockedElsewhere, in.learnNew(pc, fdbKey(testMAC(1), 0), fdbLocked), "or only under the lock")
	e, ok := b.FDB().Lookup(testMAC(1), 0)
	require.True(t, ok)
	assert.Equal(t, "open", e.Port)
	require.NoError(t, locked.Receive(learnFrame(testMAC(1))))
	assert.EqualValues(t, 1, locked.Stats().Ingress.Dropped[DropLocked])
}

// An entry is its port's to the end: one that is still there while its port leaves is
// not the bridge's own.
func TestEntryOfLeavingPort(t *testing.T) {
	b := testBridge(t, Config{})
	p := testPort(t, b, "p", PortConfig{Address: testMAC(100)})
	require.NoError(t, p.Receive(learnFrame(testMAC(1))))
	_, err := b.publish("remove port", "p", func(x *tx) error { // the half of it that frames see first
		x.own()
		x.cfg.byNum[p.num], x.cfg.ports = nil, nil
		return nil
	})
	require.NoError(t, err)
	e, ok := b.FDB().Lookup(testMAC(1), 0)
	require.True(t, ok)
	assert.Equal(t, "p", e.Port)
	names := map[frame.MAC]string{}
	for e := range b.FDB().All() {
		names[e.MAC] = e.Port
	}
	assert.Equal(t, "p", names[testMAC(1)])
	assert.Equal(t, "p", names[testMAC(100)])
}
