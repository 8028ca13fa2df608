package xdp_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// ip runs ip(8) in a namespace.
func ip(t testing.TB, ns *netns.NS, args ...string) string {
	t.Helper()
	out, err := ns.Run("ip", args...)
	require.NoError(t, err)
	return out
}

// A station is a namespace of its own with one interface, eth0, whose other end lies
// in the namespace of the switch.
type station struct {
	ns   *netns.NS
	addr string
}

// newStation makes a station with an address of 192.0.2.0/24, connected to interface
// port in namespace hub. Its checksums and segments it makes itself, unless whole is
// false.
func newStation(t testing.TB, hub *netns.NS, port, addr string, whole bool) *station {
	t.Helper()
	s := &station{ns: netnstest.New(t, false), addr: addr}
	ip(t, hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", s.ns.Path())
	if whole {
		_, err := s.ns.Run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
		require.NoError(t, err)
	}
	ip(t, s.ns, "link", "set", "lo", "up")
	ip(t, s.ns, "address", "add", addr+"/24", "dev", "eth0")
	ip(t, s.ns, "link", "set", "eth0", "up")
	ip(t, hub, "link", "set", port, "up")
	awaitUp(t, hub, port)
	awaitUp(t, s.ns, "eth0")
	return s
}

// awaitUp waits until an interface that was brought up sends: a while after the carrier
// came. Until then the kernel drops what it is given, without a word.
func awaitUp(t testing.TB, ns *netns.NS, name string) {
	t.Helper()
	var state string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		state = ip(t, ns, "link", "show", name)
		if strings.Contains(state, "state UP") && !strings.Contains(state, "qdisc noop ") {
			return
		}
	}
	t.Fatalf("not up: %s", state)
}

// ping has three echoes come back.
func (s *station) ping(t testing.TB, to *station) {
	t.Helper()
	out, err := s.ns.Run("ping", "-c", "3", "-i", "0.05", "-W", "30", to.addr)
	require.NoError(t, err, out)
}

// open opens a group that the end of the test closes.
func open(t testing.TB, cfg xdp.Config) *xdp.Group {
	t.Helper()
	g, err := xdp.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

// serve has a bridge join cables until the test ends.
func serve(t testing.TB, b *bridge.Bridge) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx) }() // ends with the test
	t.Cleanup(func() {
		cancel()
		<-done
		b.Close()
	})
}

// join makes xdp ports ports of a bridge.
func join(t testing.TB, b *bridge.Bridge, ports ...*xdp.Port) {
	t.Helper()
	for _, p := range ports {
		mtu, err := p.MTU()
		require.NoError(t, err)
		_, err = b.AddPort(p.Name(), p, bridge.PortConfig{MTU: mtu, Caps: p.Caps(), Queues: p.Queues(), Lost: p.Lost})
		require.NoError(t, err)
	}
}

// joinRaw makes an interface a port of a bridge by a packet socket.
func joinRaw(t testing.TB, b *bridge.Bridge, hub *netns.NS, name string) {
	t.Helper()
	r, err := bridge.OpenRaw(bridge.RawConfig{Name: name, Netns: hub.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	_, err = b.AddPort(name, r, bridge.PortConfig{Caps: r.Caps(), Lost: r.Lost})
	require.NoError(t, err)
}

// dontLeaveSegments has a station cut what it sends, though it leaves its checksums.
func (s *station) dontLeaveSegments(t testing.TB) {
	t.Helper()
	_, err := s.ns.Run("ethtool", "-K", "eth0", "tso", "off", "gso", "off")
	require.NoError(t, err)
}

// bulk sends 20 MB of TCP to another station, and has as much sent back.
func (s *station) bulk(t testing.TB, to *station) {
	t.Helper()
	for _, way := range [][]string{nil, {"-R"}} {
		server := exec.Command("iperf3", "-s", "-1", "-B", to.addr)
		require.NoError(t, to.ns.Start(server))
		var out string
		var err error
		for range 1000 { // until it listens
			if out, err = s.ns.Run("iperf3", append([]string{"-c", to.addr, "-n", "20M"}, way...)...); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			_ = server.Process.Kill()
		}
		_ = server.Wait() // the client's answer counts
		require.NoError(t, err, out)
	}
}
