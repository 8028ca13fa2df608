package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
)

// A port that forwards again has lapsed if frames went by other ways meanwhile, and it
// tells of no change.
func TestLapses(t *testing.T) {
	e := &end{}
	hears := func(s bridge.PortState, carried uint64) bool {
		e.heard(&bridge.Event{Kind: bridge.EventPortState, State: s}, carried)
		e.state = s
		return e.lapse.ended
	}
	change := bridge.Event{Kind: bridge.EventTopologyChange}
	assert.True(t, hears(bridge.StateForwarding, 3), "for the first time, late")
	e.heard(&change, 3)
	assert.False(t, e.lapse.ended, "and tells of it")
	assert.False(t, hears(bridge.StateBlocking, 5))
	assert.False(t, hears(bridge.StateLearning, 5))
	assert.False(t, hears(bridge.StateForwarding, 5), "nothing has been carried")
	assert.False(t, hears(bridge.StateBlocking, 7))
	assert.False(t, hears(bridge.StateLearning, 8))
	assert.True(t, hears(bridge.StateForwarding, 8))
}

// A port on a shared segment that falls silent becomes an edge, and keeps what it has
// learned of it; one on a cable that two bridges have agreed on does not.
func TestBehindEdge(t *testing.T) {
	for _, topo := range []*topology{
		{kind: "hub", bridges: 2, hubs: 1, cables: []cable{{0, 2}, {1, 2}}},
		line(nil, 2),
	} {
		n, err := build(topo, protocols["rstp"], 1, nil)
		require.NoError(t, err)
		t.Cleanup(n.lab.Close)
		n.powerOn(0)
		n.lab.Run(time.Minute)
		require.NoError(t, n.check(), topo.kind)
		assert.Equal(t, []bool{false, false}, n.mislaid(), topo.kind)
		n.silencing(n.links[:1]).begin()
		n.lab.Run(time.Minute)
		edge := n.links[0].ends[0].edge() || n.links[len(n.links)-1].ends[0].edge()
		assert.Equal(t, topo.hubs > 0, edge, topo.kind)
		assert.Equal(t, topo.hubs > 0, n.behindEdge(0) || n.behindEdge(1), topo.kind)
	}
}
