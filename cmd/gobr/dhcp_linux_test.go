package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// leased is what udhcpc calls: it gives the interface the address.
const leased = `#!/bin/sh
[ "$1" = bound ] || exit 0
exec ip address add "$ip/$mask" dev "$interface"
`

// serveDHCP starts a DHCP server that has two addresses for the hosts around h,
// which has an address already.
func (h host) serveDHCP(t *testing.T) {
	t.Helper()
	dir := netnstest.SharedDir(t)
	conf := filepath.Join(dir, "udhcpd.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `interface %s
start 10.55.0.100
end 10.55.0.101
max_leases 2
option subnet 255.255.255.0
option lease 600
lease_file %s/leases
pidfile %[2]s/pid
`, h.dev, dir), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "leases"), nil, 0o600))
	require.NoError(t, h.background(t, nil, "busybox", "udhcpd", "-f", "-a", "100", conf))
}

// lease has a DHCP client get an address for the host, and gives it.
func (h host) lease(t *testing.T) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "leased")
	require.NoError(t, os.WriteFile(script, []byte(leased), 0o700))
	require.NoError(t, h.command("busybox", "udhcpc", "-f", "-q", "-n", "-t", "50", "-T", "1", "-i", h.dev, "-s", script))
	var ip string
	require.NoError(t, h.Do(func() error {
		i, err := net.InterfaceByName(h.dev)
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		for _, a := range addrs {
			if n := a.(*net.IPNet); n.IP.To4() != nil {
				ip = n.IP.String()
			}
		}
		return err
	}))
	return ip
}

// Clients behind a TAP and behind a veth pair get their addresses from a server
// behind the other one, and reach it under them.
func TestDHCP(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping", "busybox")
	for _, c := range []struct{ server, client string }{{"tap0", "eth0"}, {"eth0", "tap0"}} {
		mid := newNetns(t)
		server, client := newHost(t, 1, c.server), newHost(t, 2, c.client)
		hosts := map[string]host{c.server: server, c.client: client}
		hosts["eth0"].plug(t, mid, "veth0")
		gobr, first := start(t, "run", "--tap", "tap0@"+hosts["tap0"].Path(), "--raw", "veth0@"+mid.Path())
		require.Contains(t, first, "br0 bridges tap0, veth0", gobr.stderr())
		server.address(t)
		server.serveDHCP(t)
		assert.Regexp(t, `^10\.55\.0\.10[01]$`, client.lease(t))
		assert.True(t, client.reaches(server.ip4))
		_, out := gobr.end(t, os.Interrupt)
		balanced(t, out)
		neverFull(t, out, "tap0|veth0")
	}
}
