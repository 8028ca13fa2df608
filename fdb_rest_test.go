package bridge

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// segmentsOf counts the segments of the table, and those of them that have room in
// advance.
func segmentsOf(f *FDB) (all, roomy int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.segments {
		if s != nil {
			all++
		}
		if s != nil && s.settles != 0 {
			roomy++
		}
	}
	return all, roomy
}

// ages is the order in which the entries of a port would be evicted.
func ages(f *FDB, p *Port) (keys []uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := f.ports[p.num].first; id != fdbNone; id = f.place(id).links().next {
		keys = append(keys, f.place(id).slot().key.Load()&^fdbGenMask)
	}
	return keys
}

// A table that has grown gives back what it had in advance: not before a second has
// passed, all of it after that, in parts, and then no timer is left. Who is evicted first
// stays.
func TestFDBRest(t *testing.T) {
	const n = 400_000
	now := time.Unix(1000, 0)
	b := testBridge(t, Config{Clock: func() time.Time { return now }, FDBLimit: 2 * n, Down: true})
	require.NoError(t, b.SetUp(true))
	f, p := &b.fdb, testPort(t, b, "p", PortConfig{})
	restAt := func() time.Time { return b.start.Add(time.Duration(f.restAt.Load()) * time.Millisecond) }
	assert.EqualValues(t, never, f.restAt.Load(), "nothing has grown")
	in := p.Input()
	for i := range n {
		_ = in.Receive(learnFramesOf(i))
	}
	require.Equal(t, now.Add(time.Second), restAt())
	order := ages(f, p)
	all, roomy := segmentsOf(f)
	require.Greater(t, all, fdbRestAtOnce, "more than one Tick does")
	now = now.Add(time.Second - time.Millisecond)
	b.Tick(now)
	_, still := segmentsOf(f)
	assert.Equal(t, roomy, still, "they have not settled")

	now = now.Add(time.Millisecond)
	for i := range 3000 {
		_ = in.Receive(learnFramesOf(n + i)) // some segments grow
	}
	_, roomy = segmentsOf(f)
	b.Tick(now)
	_, still = segmentsOf(f)
	assert.Positive(t, still)
	assert.GreaterOrEqual(t, roomy-still, 1, "a part")
	assert.LessOrEqual(t, roomy-still, fdbRestAtOnce)
	assert.Equal(t, now.Add(10*time.Millisecond), restAt(), "it goes on then")
	next, ok := b.NextTimer()
	require.True(t, ok)
	assert.False(t, next.After(restAt()))
	for f.restAt.Load() != never {
		require.False(t, restAt().Before(now))
		now = restAt()
		b.Tick(now)
	}
	checkFDB(t, f)
	assert.LessOrEqual(t, now.Sub(time.Unix(1000, 0)), 2100*time.Millisecond, "the last have settled")
	_, still = segmentsOf(f)
	assert.Zero(t, still)
	perEntry, live := f.tableBytes()
	assert.LessOrEqual(t, perEntry, 57.0)
	assert.InDelta(t, n+3000, live, 4)
	assert.Equal(t, order, ages(f, p)[:n])
}

func learnFramesOf(i int) []frame.Frame { return []frame.Frame{learnFrame(testMAC(i))} }

// A table that learns without end, at its limit, keeps what it needs for that, and
// comes to rest after it.
func TestFDBRestAfterFlood(t *testing.T) {
	const limit = 5000
	now := time.Unix(1000, 0)
	b := testBridge(t, Config{Clock: func() time.Time { return now }, FDBLimit: limit})
	f, in := &b.fdb, testPort(t, b, "p", PortConfig{}).Input()
	for i := range 20 * limit {
		if i%100 == 0 {
			now = now.Add(time.Millisecond)
			b.Tick(now)
		}
		_ = in.Receive(learnFramesOf(i))
		if i%limit == limit-1 {
			perEntry, _ := f.tableBytes()
			require.LessOrEqual(t, perEntry, 110.0)
		}
	}
	checkFDB(t, f)
	for range 10 {
		now = now.Add(time.Second)
		b.Tick(now)
	}
	assert.EqualValues(t, never, f.restAt.Load())
	perEntry, live := f.tableBytes()
	assert.InDelta(t, limit, live, 4)
	assert.LessOrEqual(t, perEntry, 57.0)
	checkFDB(t, f)
}

// Readers find what is there at every moment, while the table grows, comes to rest, and
// is flushed.
func TestFDBRestBesideReaders(t *testing.T) {
	const stay, flux = 400, 4000
	var now atomic.Int64
	clock := func() time.Time { return time.Unix(1000, now.Load()) }
	b := testBridge(t, Config{Clock: clock})
	here, there := testPort(t, b, "here", PortConfig{}), testPort(t, b, "there", PortConfig{})
	for i := range stay {
		require.NoError(t, here.Receive(learnFrame(testMAC(i))))
	}
	var over atomic.Bool
	var missed, looked atomic.Int64
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() { // ends when over is set
			in := &Input{b: b, dir: *b.fdb.dir.Load()}
			for i := n; !over.Load(); i++ {
				if v, ok := in.lookup(fdbKey(testMAC(i%stay), 0), &in.src); !ok || v.port() != here.num {
					missed.Add(1)
				}
				looked.Add(1)
			}
		})
	}
	in := there.Input()
	for range 3 {
		for i := range flux {
			_ = in.Receive(learnFramesOf(stay + i))
		}
		now.Add(int64(time.Second))
		b.Tick(clock())
		require.EqualValues(t, never, b.fdb.restAt.Load())
		_, err := b.FDB().Flush(FDBFlush{Port: there, StateMask: NUDPermanent})
		require.NoError(t, err)
	}
	for looked.Load() < 1000 {
		time.Sleep(time.Millisecond)
	}
	over.Store(true)
	wg.Wait()
	assert.Zero(t, missed.Load(), "of %d", looked.Load())
	checkFDB(t, &b.fdb)
}
