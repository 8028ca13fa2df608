package xdp_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// modes are the ways in which these tests have the kernel run the program.
var modes = map[string]bool{"native": false, "generic": true}

// Three stations find each other, by ARP requests that are flooded, and the end of the
// bridge gives back the memory of its ports.
func TestPing(t *testing.T) {
	netnstest.Needs(t, "ping", "ethtool")
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			hub := netnstest.New(t, false)
			var all []*station
			var cfg xdp.Config
			for i, addr := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
				port := fmt.Sprint("p", i)
				all = append(all, newStation(t, hub, port, addr, true))
				cfg.Ports = append(cfg.Ports, xdp.PortConfig{Name: port, Netns: hub.Path(), Generic: generic})
			}
			g := open(t, cfg)
			t.Cleanup(func() { assert.True(t, xdp.Unmapped(g)) }) // after the bridge's end
			br, err := bridge.New(bridge.Config{})
			require.NoError(t, err)
			join(t, br, g.Ports()...)
			serve(t, br)
			for i, s := range all {
				s.ping(t, all[(i+1)%len(all)])
				s.ping(t, all[(i+2)%len(all)])
			}
			for i, p := range g.Ports() {
				assert.Equal(t, cfg.Ports[i].Name, p.Name())
				assert.Equal(t, map[bool]string{false: "native", true: "generic"}[generic], p.Mode().String())
				assert.False(t, p.ZeroCopy(), "a veth has none")
				assert.Contains(t, p.Why(), "no zero-copy")
				up, carrier, err := p.Link()
				assert.True(t, err == nil && up && carrier)
				mtu, err := p.MTU()
				assert.True(t, err == nil && mtu == 1500)
				mac, err := p.Address()
				assert.True(t, err == nil && mac.IsValid())
				mbps, _, err := p.Speed()
				assert.True(t, err == nil && mbps > 0)
			}
		})
	}
}

// With a TAP whose kernel leaves both checksums and segments to the other end.
func TestTCPToTAP(t *testing.T) {
	netnstest.Needs(t, "iperf3", "ethtool")
	hub := netnstest.New(t, false)
	a := newStation(t, hub, "p0", "192.0.2.1", false)
	b := &station{ns: netnstest.New(t, false), addr: "192.0.2.2"}
	tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: "eth0", Netns: b.ns.Path(), Up: true})
	require.NoError(t, err)
	t.Cleanup(func() { tap.Close() })
	ip(t, b.ns, "address", "add", b.addr+"/24", "dev", "eth0")
	g := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "p0", Netns: hub.Path()}}})
	br, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	join(t, br, g.Ports()...)
	_, err = br.AddPort("tap", tap, bridge.PortConfig{Caps: tap.Caps()})
	require.NoError(t, err)
	serve(t, br)
	a.ping(t, b)
	a.bulk(t, b)
}

// Bulk TCP crosses, one way and the other, between two ports and from one to a packet
// socket's side, though the senders leave their checksums to others. In generic
// mode nobody would cut what they leave uncut.
func TestTCP(t *testing.T) {
	netnstest.Needs(t, "iperf3", "ethtool")
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			hub := netnstest.New(t, false)
			a := newStation(t, hub, "p0", "192.0.2.1", false)
			b := newStation(t, hub, "p1", "192.0.2.2", false)
			c := newStation(t, hub, "p2", "192.0.2.3", false)
			if generic {
				for _, s := range []*station{a, b} {
					s.dontLeaveSegments(t)
				}
			}
			g := open(t, xdp.Config{Ports: []xdp.PortConfig{
				{Name: "p0", Netns: hub.Path(), Generic: generic}, {Name: "p1", Netns: hub.Path(), Generic: generic},
			}})
			br, err := bridge.New(bridge.Config{})
			require.NoError(t, err)
			join(t, br, g.Ports()...)
			joinRaw(t, br, hub, "p2")
			serve(t, br)
			a.ping(t, b)
			b.ping(t, c)
			a.bulk(t, b)
			a.bulk(t, c)
		})
	}
}
