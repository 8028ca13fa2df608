package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// What the drivers of veth and tun say of their speed, and what the kernel's bridge makes
// of it as the cost of a port, is what is told here.
func TestSpeed(t *testing.T) {
	netnstest.Needs(t, "ip")
	ns := rawVeth(t)
	raw := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns})
	mbps, full, err := raw.Speed()
	require.NoError(t, err)
	assert.Equal(t, 10000, mbps)
	assert.True(t, full)

	tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: "t0", Netns: ns, Up: true})
	require.NoError(t, err)
	defer tap.Close()
	mbps, full, err = tap.Speed()
	require.NoError(t, err)
	assert.Equal(t, 10000, mbps)
	assert.True(t, full)

	tapIP(t, ns, "link", "add", "br0", "type", "bridge")
	tapIP(t, ns, "link", "set", "v1", "master", "br0")
	assert.Contains(t, tapIP(t, ns, "-d", "link", "show", "v1"), " cost 2 ")

	tapIP(t, ns, "link", "del", "v1")
	_, _, err = raw.Speed()
	assert.ErrorIs(t, err, bridge.ENODEV)
	require.NoError(t, tap.Close())
	_, _, err = tap.Speed()
	assert.Error(t, err)
}
