package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// Between two XDP ports and a packet socket stations reach each other, and the end
// leaves no program.
func TestXDPPorts(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping")
	mid := newNetns(t)
	hosts := []host{newHost(t, 1, "eth0"), newHost(t, 2, "eth1"), newHost(t, 3, "eth2")}
	for i, h := range hosts {
		h.plug(t, mid, []string{"veth0", "veth1", "veth2"}[i])
	}
	gobr, first := start(t, "run", "--xdp", "veth0@"+mid.Path(), "--xdp", "veth1@"+mid.Path()+",generic,ring=256", "--raw", "veth2@"+mid.Path())
	require.Contains(t, first, "br0 bridges veth0, veth1, veth2", gobr.stderr())
	for _, h := range hosts {
		h.address(t)
	}
	pingAll(t, hosts)
	out, err := mid.Run("ip", "link", "show", "veth1")
	require.NoError(t, err)
	assert.Contains(t, out, "xdpgeneric")
	status, _ := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	assert.Contains(t, gobr.stderr(), "veth0: XDP in native mode (no zero-copy: ")
	assert.Contains(t, gobr.stderr(), "veth1: XDP in generic mode (generic mode: asked for; no zero-copy: ")
	out, err = mid.Run("ip", "link", "show")
	require.NoError(t, err)
	assert.NotContains(t, out, "prog/xdp")
}

func TestParseXDP(t *testing.T) {
	o := parse(t, "--xdp eth0@red,generic,ring=512 --xdp eth1 --port eth1=up")
	assert.Equal(t, &xdpSource{rawSource{ifSpec{"eth0", "/run/netns/red"}}, "eth0@red,generic,ring=512", true, 512}, o.ports[0].source)
	assert.Equal(t, &xdpSource{rawSource: rawSource{ifSpec{"eth1", ""}}, text: "eth1"}, o.ports[1].source)
	assert.Equal(t, "--xdp eth1", o.ports[1].source.String())
	for _, bad := range []string{"", "eth%d", "eth0,ring=100", "eth0,ring=x", "eth0,fast", "eth0,"} {
		_, err := parseXDP(bad)
		assert.Error(t, err, bad)
	}
}
