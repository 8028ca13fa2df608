package filter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// through counts how many of n frames leave the bridge.
func (r *rig) through(port, n int, f frame.Frame) (left int) {
	for range n {
		if r.out(port, f) != "" {
			left++
		}
	}
	return left
}

// Each class of each port has its own bucket; what is known is not limited; the clock
// fills the buckets.
func TestStorm(t *testing.T) {
	s, err := filter.NewStorm(map[string]filter.Rates{
		"p1": {filter.Broadcast: {Frames: 100}, filter.Multicast: {Frames: 50, Burst: time.Second}, filter.UnknownUnicast: {Bytes: 6000}},
	}, filter.Rates{filter.Broadcast: {Frames: 20}})
	require.NoError(t, err)
	r := newRig(t, 3, bridge.Config{Filters: []bridge.Filter{s.Filter()}})
	bcast, mcast, unknown := plain(frame.Broadcast, mac(1)), plain(group, mac(1)), plain(mac(200), mac(1))
	for range 20 {
		assert.Equal(t, bridge.Used, r.ports[0].Explain(bcast).Verdict, "a dry run takes nothing")
	}
	assert.Equal(t, 10, r.through(1, 100, bcast), "a tenth of a second's")
	assert.Equal(t, bridge.DropFilter, r.ports[0].Explain(bcast).Reason)
	assert.Equal(t, 50, r.through(1, 100, mcast))
	assert.Equal(t, 10, r.through(1, 100, unknown), "60 bytes each")
	r.in(3, plain(mac(1), mac(200)))
	assert.Equal(t, 100, r.through(1, 100, unknown), "it is known now")
	assert.Equal(t, 2, r.through(2, 100, bcast), "the rate of other ports")
	assert.Equal(t, 100, r.through(2, 100, mcast))

	r.pass(50 * time.Millisecond)
	assert.Equal(t, 5, r.through(1, 100, bcast))
	r.pass(time.Hour)
	assert.Equal(t, 10, r.through(1, 100, bcast), "not more is saved up")
	var got int
	for range 2000 {
		r.pass(time.Millisecond)
		got += r.through(1, 1, bcast)
	}
	assert.InDelta(t, 200, got, 1, "in two seconds")

	assert.Equal(t, uint64(90+95+90+1800), s.Dropped(filter.Broadcast)-98, "98 of p2")
	assert.Equal(t, uint64(50), s.Dropped(filter.Multicast))
	assert.Equal(t, uint64(90), s.Dropped(filter.UnknownUnicast))
	assert.Zero(t, s.Dropped(9))
	require.NotEmpty(t, r.events)
	assert.Equal(t, "filter p1 "+mac(1).String()+": storm: too much broadcast", r.reports()[0])
	for range 100 {
		require.NoError(t, r.b.Xmit(plain(frame.Broadcast, mac(99))))
	}
	assert.Equal(t, uint64(100), r.b.Stats().Ingress.Used, "the host is not limited")
	r.balanced()
}

// A frame larger than the burst passes a full bucket, and empties it for its price.
func TestStormLarge(t *testing.T) {
	s, err := filter.NewStorm(nil, filter.Rates{
		filter.Multicast: {Bytes: 1000, Burst: time.Millisecond}, filter.Broadcast: {Frames: 10, Bytes: 600, Burst: time.Second},
	})
	require.NoError(t, err)
	r := newRig(t, 2, bridge.Config{Filters: []bridge.Filter{s.Filter()}})
	big := ether(group, mac(1), 0x88b5, make([]byte, 986))
	assert.Equal(t, 1, r.through(1, 10, big))
	r.pass(999 * time.Millisecond)
	assert.Zero(t, r.through(1, 10, big))
	r.pass(2 * time.Millisecond)
	assert.Equal(t, 1, r.through(1, 10, big))

	whole := ether(frame.Broadcast, mac(1), 0x88b5, make([]byte, 86)) // 100 bytes
	assert.Equal(t, 6, r.through(1, 10, whole), "the bytes end before the frames, and a frame refused takes none")
	r.pass(100 * time.Millisecond)
	assert.Equal(t, 1, r.through(1, 1, plain(frame.Broadcast, mac(1))))
	r.balanced()
}

func TestStormRefused(t *testing.T) {
	for _, bad := range []filter.Rate{{Frames: -1}, {Bytes: -1}, {Burst: -1}} {
		_, err := filter.NewStorm(nil, filter.Rates{bad})
		assert.ErrorContains(t, err, "filter: ")
		_, err = filter.NewStorm(map[string]filter.Rates{"p1": {bad}}, filter.Rates{})
		assert.ErrorContains(t, err, "p1")
	}
	_, err := filter.NewStorm(map[string]filter.Rates{"": {}}, filter.Rates{})
	assert.ErrorContains(t, err, "filter: ")
}
