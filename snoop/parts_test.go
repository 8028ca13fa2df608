package snoop_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/snoop"
)

// A dump in parts gives each group that stays, once and in order, whatever comes and goes
// between the parts.
func TestEntriesInParts(t *testing.T) {
	b := newBench(t, 2, newer)
	require.NoError(t, b.m.SetPortOptions(2, fastLeave))
	r := rand.New(rand.NewPCG(1, 1))
	const n = 300
	stays := map[string]bool{}
	join := func(i int) {
		if i%3 == 0 { // of those at port 2 some leave
			require.NoError(t, b.receive(2, join4(2, groupNumber(i))))
		} else {
			stays[groupNumber(i)] = true
			require.NoError(t, b.receive(1, join4(1, groupNumber(i))))
		}
	}
	for i := range n {
		join(i)
	}
	var c snoop.Cursor
	var seen []string
	next := n
	for more := true; more; {
		more = b.m.EntriesFrom(b.now, &c, 1+r.IntN(5), func(e snoop.Entry) bool {
			seen = append(seen, e.Key.Group.IP(e.Key.Family).String())
			return true
		})
		for range r.IntN(20) { // those before the cursor, behind it, and where it stands
			require.NoError(t, b.receive(2, leave4(2, groupNumber(r.IntN(n/3)*3))))
		}
		join(next)
		next++
	}
	last := n
	for _, g := range seen {
		a := ip(g)
		i := int(a[1])<<16 | int(a[2])<<8 | int(a[3])
		require.Less(t, i, last, "the newest first, and none twice")
		last = i
		delete(stays, g)
	}
	for i := n; i < next; i++ {
		delete(stays, groupNumber(i)) // came when the dump had begun
	}
	assert.Empty(t, stays)

	assert.False(t, b.m.EntriesFrom(b.now, new(snoop.Cursor), 1, func(snoop.Entry) bool { return false }), "yield has had enough")
	c = snoop.Cursor{}
	require.True(t, b.m.EntriesFrom(b.now, &c, 1, func(snoop.Entry) bool { return true }))
	b.options(func(o *snoop.Options) { o.Snooping = false })
	assert.False(t, b.m.EntriesFrom(b.now, &c, 1, func(snoop.Entry) bool { t.Error("a row"); return true }))
}

// A Tick in parts runs as many timers as it is told, and all of them in the end.
func TestTickSome(t *testing.T) {
	b := newBench(t, 2, newer)
	for i := range 10 {
		require.NoError(t, b.receive(1, join4(1, groupNumber(i))))
	}
	b.wait(250 * time.Second)
	assert.False(t, b.m.TickSome(b.now, 3), "nothing is due")
	b.now += 20 * time.Second
	for left := 10; left > 1; left -= 3 {
		require.Equal(t, left, b.m.Len())
		require.True(t, b.m.TickSome(b.now, 3))
	}
	assert.False(t, b.m.TickSome(b.now, 3))
	assert.Zero(t, b.m.Len())
}
