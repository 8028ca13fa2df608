package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
)

// Between a TAP that takes what frames owe and one that does not the bridge finishes
// them, and TCP does not notice.
func TestTAPBridgesMixed(t *testing.T) {
	s := tapServe(t, bridge.TAPConfig{}, bridge.TAPConfig{NoOffload: true})
	s.tcp(t, 4<<20)
	s.udp(t)
	require.NoError(t, s.b.Close())
	assert.Positive(t, s.meters[0].read.long.Load())
	assert.Zero(t, s.meters[1].wrote.long.Load())
	assert.Zero(t, s.meters[1].read.long.Load())
	assert.Zero(t, s.b.Port("p2").Stats().Egress.Refused[bridge.DropNoOffload])
}
