package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// Two guests and the host, each in a namespace of its own, reach each other
// through gobr, which after an interrupt accounts for every frame and leaves
// nothing behind.
func TestBridgesRealTAPs(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping")
	hosts := []host{
		{newNetns(t), "br0", "10.55.0.1", "fd55::1"},
		{newNetns(t), "tap0", "10.55.0.2", "fd55::2"},
		{newNetns(t), "tap1", "10.55.0.3", "fd55::3"},
	}
	before, err := net.Interfaces()
	require.NoError(t, err)
	gobr, first := start(t, "run", "--name", "br0", "--host", "br0@"+hosts[0].Path(),
		"--tap", "tap0@"+hosts[1].Path(), "--tap", "tap1@"+hosts[2].Path(), "--mtu", "4000", "--trace")
	require.Contains(t, first, "br0 bridges tap0, tap1; the host is at br0, address ", gobr.stderr())
	for _, h := range hosts {
		assert.Equal(t, []string{h.dev}, h.interfaces(t))
		h.address(t)
	}
	pingAll(t, hosts)
	pingAll(t, hosts[:2], "-M", "do", "-s", "3900") // as long as the MTU lets them

	status, out := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	assert.Empty(t, gobr.stderr())
	trace, table, _ := strings.Cut(out, "\nFrames\n")
	for _, step := range []string{"br_handle_frame dev: tap0 ", "br_forward to dev: tap1 ", "br_flood dev: tap0 ",
		"tun_net_xmit dev: tap0 ", "br_pass_frame_up dev: br0 ", "br_dev_xmit dev: br0 "} {
		assert.Contains(t, "\n"+trace, "\n"+step)
	}
	assert.Contains(t, table, "\nForwarding database\n")
	assert.NotContains(t, table, "missing")
	for _, dev := range []string{"tap0", "tap1"} {
		assert.Regexp(t, `(?m)^[0-9a-f:]{17}  -     `+dev+` +dynamic `, table)
	}
	for _, h := range hosts {
		assert.Empty(t, h.interfaces(t))
	}
	after, err := net.Interfaces()
	require.NoError(t, err)
	assert.Equal(t, len(before), len(after))
}

// TAPs, veth pairs held by raw sockets, and the host: each reaches each, with short,
// long and fragmented packets, TCP and UDP, by IPv4 and IPv6.
func TestEveryPairOfPorts(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping", "iperf3")
	mid := newNetns(t)
	hosts := []host{
		newHost(t, 1, "br0"), newHost(t, 2, "tap0"), newHost(t, 3, "tap1"), newHost(t, 4, "eth0"), newHost(t, 5, "eth1"),
	}
	hosts[3].plug(t, mid, "veth0")
	hosts[4].plug(t, mid, "veth1")
	gobr, first := start(t, "run", "--host", "br0@"+hosts[0].Path(), "--tap", "tap0@"+hosts[1].Path(), "--tap", "tap1@"+hosts[2].Path(),
		"--raw", "veth0@"+mid.Path(), "--raw", "veth1@"+mid.Path())
	require.Contains(t, first, "br0 bridges tap0, tap1, veth0, veth1; the host is at br0, address ", gobr.stderr())
	for _, h := range hosts {
		h.address(t)
	}
	pingAll(t, hosts)
	pingAll(t, hosts, "-s", "1372", "-M", "do", "-c", "1") // 1,400 bytes of IPv4
	pingAll(t, hosts, "-s", "8000", "-c", "1")             // in fragments

	br0, tap0, tap1, veth0, veth1 := hosts[0], hosts[1], hosts[2], hosts[3], hosts[4]
	pairs := [][2]host{{tap0, tap1}, {veth0, veth1}, {tap1, veth0}, {veth1, tap0}, {br0, tap0}, {veth0, br0}}
	for _, udp := range []bool{false, true} {
		var xs []transfer
		for i, pair := range pairs {
			xs = append(xs, transfer{from: pair[0], to: pair[1], ip: pair[1].ip4, port: 5201 + i, udp: udp},
				transfer{from: pair[0], to: pair[1], ip: pair[1].ip6, port: 5301 + i, udp: udp})
		}
		runAll(t, xs)
	}
	status, out := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	assert.Empty(t, gobr.stderr())
	balanced(t, out)
	neverFull(t, out, "br0|tap[01]")
	assert.ElementsMatch(t, []string{"veth0", "veth1"}, mid.interfaces(t))
}

// Ports with queues, and ports that take no offload beside ports that do: what one
// leaves to be done is done for the other. Isolated ports do not reach each other.
func TestPortOptionsThroughGobr(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping", "iperf3")
	mid := newNetns(t)
	br0, tap0, tap1, eth0 := newHost(t, 1, "br0"), newHost(t, 2, "tap0"), newHost(t, 3, "tap1"), newHost(t, 4, "eth0")
	eth0.plug(t, mid, "veth0")
	gobr, first := start(t, "run", "--host", "br0@"+br0.Path(), "--tap", "tap0@"+tap0.Path(), "--tap", "tap1@"+tap1.Path(),
		"--raw", "veth0@"+mid.Path(), "--port", "tap0=isolated,queues=2,txqueue=2000", "--port", "tap1=isolated,offload=off",
		"--port", "veth0=queues=2,rcvbuf=8388608", "--port", "br0=offload=off")
	require.Contains(t, first, "br0 bridges tap0, tap1, veth0; the host is at br0, address ", gobr.stderr())
	hosts := []host{br0, tap0, tap1, eth0}
	for _, h := range hosts {
		h.address(t)
	}
	pingAll(t, []host{br0, tap0, eth0}, "-s", "8000")
	pingAll(t, []host{br0, tap1, eth0}, "-s", "8000")
	assert.False(t, tap0.reaches(tap1.ip4), "isolated ports reach each other")
	var xs []transfer
	for i, pair := range [][2]host{{tap0, eth0}, {eth0, tap0}, {tap1, eth0}, {eth0, tap1}, {br0, eth0}, {tap0, br0}} {
		xs = append(xs, transfer{from: pair[0], to: pair[1], ip: pair[1].ip4, port: 5201 + i},
			transfer{from: pair[0], to: pair[1], ip: pair[1].ip6, port: 5301 + i},
			transfer{from: pair[0], to: pair[1], ip: pair[1].ip4, port: 5401 + i, udp: true})
	}
	runAll(t, xs)
	_, out := gobr.end(t, os.Interrupt)
	assert.Empty(t, gobr.stderr())
	balanced(t, out)
	neverFull(t, out, "br0|tap[01]")
	assert.NotContains(t, out, "offload", "what a port does not take is not done for it")
}

// Without host and trace, and ended by a SIGTERM.
func TestBridgesTwoTAPs(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping")
	hosts := []host{
		{newNetns(t), "tap0", "10.55.0.2", "fd55::2"},
		{newNetns(t), "tap1", "10.55.0.3", "fd55::3"},
	}
	gobr, first := start(t, "run", "--vlan-filtering", "--tap", "tap%d@"+hosts[0].Path(), "--tap", "tap1@"+hosts[1].Path())
	require.Equal(t, "br0 bridges tap0, tap1; interrupt ends it\n", first, gobr.stderr())
	for _, h := range hosts {
		h.address(t)
	}
	pingAll(t, hosts)
	status, out := gobr.end(t, syscall.SIGTERM)
	assert.Equal(t, exitOK, status)
	assert.Empty(t, gobr.stderr())
	assert.True(t, strings.HasPrefix(out, "\nFrames\n"), out)
	assert.NotContains(t, out, "missing")
	assert.Regexp(t, `(?m)^[0-9a-f:]{17}  1     tap0 +dynamic `, out)
}

// A TAP that is deleted ends its port and nothing else.
func TestTAPDeletedUnderGobr(t *testing.T) {
	netnstest.Needs(t, "ip")
	ns := newNetns(t)
	gobr, _ := start(t, "run", "--tap", "tap0@"+ns.Path(), "--tap", "tap1@"+ns.Path())
	require.NoError(t, ns.command("ip", "link", "del", "tap0"))
	gobr.says(t, "gobr: port failed tap0: ")
	assert.Equal(t, []string{"tap1"}, ns.interfaces(t))
	status, out := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	balanced(t, out)
	// An interface is taken down before it is deleted, which may be seen.
	assert.Regexp(t, `^(gobr: tap0: down, it was up\n)?gobr: port failed tap0: [^\n]*\n$`, gobr.stderr())
}

// Where the last TAP cannot be had, those opened before it vanish.
func TestFailureLeavesNothing(t *testing.T) {
	netnstest.Needs(t)
	ns := newNetns(t)
	taken, err := bridge.OpenTAP(bridge.TAPConfig{Name: "taken", Netns: ns.Path()})
	require.NoError(t, err)
	defer taken.Close()
	for says, args := range map[string][]string{
		"no TAP":        {"--host", "br0@" + ns.Path(), "--tap", "tap0@" + ns.Path(), "--tap", "lo@" + ns.Path()},
		"in use":        {"--tap", "tap0@" + ns.Path(), "--tap", "taken@" + ns.Path()},
		"cannot be ope": {"--tap", "tap0@" + ns.Path(), "--tap", "tap1@" + filepath.Join(t.TempDir(), "none")},
	} {
		gobr, first := start(t, append([]string{"run"}, args...)...)
		status, out := gobr.end(t, nil)
		assert.Equal(t, exitFailure, status, args)
		assert.Empty(t, first+out)
		assert.Contains(t, gobr.stderr(), says)
		assert.Equal(t, 1, strings.Count(gobr.stderr(), "\n"), gobr.stderr())
		assert.Equal(t, []string{"taken"}, ns.interfaces(t))
	}
}
