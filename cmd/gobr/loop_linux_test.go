package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// A cable that leads from the bridge to the bridge is found, and taken out: what two
// hosts say to each other gets through, once, and when the cable is gone the port is let
// go.
func TestLoopThroughGobr(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping")
	mid := newNetns(t)
	hosts := []host{newHost(t, 1, "eth0"), newHost(t, 2, "eth0")}
	hosts[0].plug(t, mid, "h1")
	hosts[1].plug(t, mid, "h2")
	mid.ip(t, "link add va type veth peer name vb")
	mid.ip(t, "link set va up")
	mid.ip(t, "link set vb up")
	mid.waitRunning(t, "va", true)
	mid.waitRunning(t, "vb", true)
	at := "@" + mid.Path()
	gobr, first := start(t, "run", "--raw", "va"+at, "--raw", "vb"+at, "--raw", "h1"+at, "--raw", "h2"+at,
		"--loop-probe", "hold,every=1,hold=3", "--port", "vb=loop_keep")
	require.Contains(t, first, "br0 bridges va, vb, h1, h2", gobr.stderr())
	for _, h := range hosts {
		h.address(t) // which it tells the others, and the storm begins
	}
	gobr.says(t, `gobr: filter v[ab] [0-9a-f:]{17}: loop: a loop from v[ab] to v[ab], va is held down\n`)
	hosts[0].reachesEventually(t, hosts[1].ip4)
	out, err := hosts[0].Run("ping", "-c", "5", "-i", "0.2", hosts[1].ip4)
	require.NoError(t, err)
	assert.NotContains(t, out, "DUP")
	mid.ip(t, "link set vb down")
	gobr.says(t, `gobr: va: held down no more`)
	_, out = gobr.end(t, os.Interrupt)
	balanced(t, out)
	assert.Regexp(t, `(?m)^va +refused .* `+bridge.DropFilter.String(), out)
}
