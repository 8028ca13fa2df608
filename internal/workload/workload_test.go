package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func network(t *testing.T, c Config) *Network {
	t.Helper()
	n, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = n.Bridge.Close() })
	return n
}

// TestUnicast: all stations are known, and every frame leaves by just one cable.
func TestUnicast(t *testing.T) {
	n := network(t, Config{Ports: 16, Receiving: 3, Stations: 600, Bridge: bridge.Config{VLANFiltering: true}})
	assert.Equal(t, 600, n.Bridge.FDB().Learned())
	n.Load(n.Unicast(100, 4)).Run(2 * frames)
	assert.EqualValues(t, 2*frames, n.Sent())
	for i, s := range n.Sinks {
		assert.Equal(t, i >= 1 && i <= 3, s.Frames() > 0, "port %d", i)
	}
	assert.Equal(t, 600, n.Bridge.FDB().Learned())
}

// TestVLANs: stations are in many VLANs, and their frames reach those in the same one.
func TestVLANs(t *testing.T) {
	n := network(t, Config{Ports: 4, Stations: 1000, VLANs: 300})
	e, ok := n.Bridge.FDB().Lookup(Address(601), 1)
	require.True(t, ok)
	assert.EqualValues(t, 1, e.VID)
	n.Load(n.Unicast(64, 1)).Run(frames)
	assert.EqualValues(t, frames, n.Sent())
}

func TestMulticast(t *testing.T) {
	n := network(t, Config{Ports: 8, Stations: 100, Groups: 300, Members: 2})
	assert.Len(t, n.Bridge.MDB(), 600)
	before := n.Sent() // the querier has spoken
	n.Load(n.Multicast()).Run(frames)
	assert.EqualValues(t, 2*frames, n.Sent()-before)
	assert.Zero(t, n.Sinks[3].Frames()-n.Sinks[4].Frames())
	assert.Greater(t, n.Sinks[1].Frames(), n.Sinks[3].Frames()+frames-1)
}

func TestStrangers(t *testing.T) {
	n := network(t, Config{Ports: 2, Stations: 10, Bridge: bridge.Config{FDBLimit: 1000}})
	n.Load(n.Strangers(0, 128)).Run(256)
	assert.Equal(t, 138, n.Bridge.FDB().Learned())
	assert.Zero(t, n.Sent())
}

// TestPass: time goes by when it is told to.
func TestPass(t *testing.T) {
	n := network(t, Config{Ports: 2, Stations: 10})
	n.Load(n.To(frame.Broadcast, 64)).Run(Batch)
	assert.Equal(t, 10, n.Bridge.FDB().Learned())
	n.Pass(time.Hour)
	assert.Zero(t, n.Bridge.FDB().Learned())
}
