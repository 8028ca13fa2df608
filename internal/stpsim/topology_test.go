package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/stp"
)

// Every topology that is drawn is in one part, is of a size that its protocols can
// serve, and is what its kind says; and chance draws all there is to draw.
func TestTopologiesAreConnected(t *testing.T) {
	seen, large, parallel, itself := map[string]int{}, 0, 0, 0
	for seed := range uint64(2000) {
		topo := draw(rand.New(rand.NewPCG(seed, 1)))
		p, pairs := newParts(topo.nodes()), map[cable]int{}
		for _, c := range topo.cables {
			p.join(c.a, c.b)
			pairs[cable{min(c.a, c.b), max(c.a, c.b)}]++
			require.False(t, c.a >= topo.bridges && c.b >= topo.bridges, "two hubs make a loop that nobody can open")
			if c.a == c.b {
				itself++
			}
		}
		require.Equal(t, 1, p.count, "seed %d: %v", seed, topo)
		require.LessOrEqual(t, topo.bridges, 200)
		require.GreaterOrEqual(t, topo.bridges, 3)
		if topo.kind == "line" || topo.kind == "ring" {
			require.LessOrEqual(t, topo.bridges, longest)
		}
		for _, n := range pairs {
			if n > 1 {
				parallel++
				break
			}
		}
		if topo.bridges >= 100 {
			large++
		}
		seen[topo.kind]++
	}
	assert.Len(t, seen, len(shapes))
	assert.NotZero(t, large)
	assert.NotZero(t, parallel)
	assert.NotZero(t, itself)
}

func TestShapes(t *testing.T) {
	for kind, want := range map[string]int{"line": 11, "ring": 12, "mesh": 66, "grid": 17, "tree": 11} {
		topo := shapes[kind](rand.New(rand.NewPCG(1, 1)), 12)
		assert.Equal(t, 12, topo.bridges, kind)
		assert.Len(t, topo.cables, want, kind)
		assert.Equal(t, kind, topo.kind)
	}
}

func TestParts(t *testing.T) {
	p := newParts(5)
	assert.True(t, p.join(0, 1))
	assert.True(t, p.join(2, 3))
	assert.True(t, p.join(1, 3))
	assert.False(t, p.join(0, 2), "they were")
	assert.False(t, p.join(4, 4), "nobody needs a way to himself")
	assert.Equal(t, 2, p.count)
	assert.Equal(t, p.find(0), p.find(2))
	assert.NotEqual(t, p.find(0), p.find(4))
}

// The cheapest way may be a longer one, and what counts are the costs of the ports that
// face the root.
func TestNearest(t *testing.T) {
	topo := ring(nil, 4)
	n, err := build(topo, protocols["off"], 1, nil)
	require.NoError(t, err)
	defer n.lab.Close()
	n.powerOn(0)
	n.lab.Run(1)
	for i, c := range [][2]int{{7, 1}, {7, 2}, {7, 3}, {1, 50}} { // of cable i: at bridge i, and at the next
		for side, e := range n.links[i].ends {
			require.NoError(t, e.port.Set(bridge.PortAttrs{Cost: &c[side]}))
		}
	}
	ids := []stp.BridgeID{{Priority: 1}, {Priority: 2}, {Priority: 3}, {Priority: 4}}
	root, away := n.nearest(ids, n.segments())
	assert.Equal(t, []int{0, 0, 0, 0}, root)
	assert.Equal(t, []int{0, 1, 3, 1}, away, "from 0 to 3 by their own cable, whose end at 3 costs 1")

	n.setCut(n.links[3], true)
	_, away = n.nearest(ids, n.segments())
	assert.Equal(t, []int{0, 1, 3, 6}, away)
	n.setCut(n.links[1], true)
	root, away = n.nearest(ids, n.segments())
	assert.Equal(t, []int{0, 0, 2, 2}, root)
	assert.Equal(t, []int{0, 1, 0, 3}, away)
}

// Who loses the way to the root counts, if there is a loop of cables among those who do;
// and the root itself does not miss anybody.
func TestEchoes(t *testing.T) {
	var root int
	settled := func(topo *topology, seed uint64) *network {
		n, err := build(topo, protocols["rstp"], seed, nil)
		require.NoError(t, err)
		t.Cleanup(n.lab.Close)
		root = n.root()
		n.powerOn(0)
		n.lab.Run(30 * time.Second)
		require.NoError(t, n.check())
		return n
	}
	n := settled(ring(nil, 4), 1)
	next := n.links[root] // from the root to the next bridge
	assert.False(t, n.echoes(nil, -1))
	assert.False(t, n.echoes([]*link{next}, -1), "those behind are a line")
	assert.False(t, n.echoes(nil, root))

	n = settled(mesh(nil, 4), 1)
	assert.False(t, n.echoes(n.links[:1], -1), "one bridge at most loses its way")
	assert.False(t, n.echoes(nil, (root+1)%4))
	assert.True(t, n.echoes(nil, root), "the others are a ring")

	// Two cables between those behind, or one from a bridge to itself, whose own words
	// are nothing to it.
	for _, more := range []cable{{1, 2}, {2, 2}} {
		root = -1
		for seed := uint64(1); root != 0; seed++ {
			n = settled(&topology{kind: "tail", bridges: 3, cables: []cable{{0, 1}, {1, 2}, more}}, seed)
		}
		assert.Equal(t, more.a != more.b, n.echoes(n.links[:1], -1), more)
		assert.Equal(t, more.a != more.b, n.echoes(nil, 0), more)
		assert.False(t, n.echoes(nil, 1), more)
		assert.False(t, n.echoes(n.links[1:], -1), more)
	}
}
