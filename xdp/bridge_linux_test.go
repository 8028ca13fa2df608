package xdp_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// modes are the ways in which these tests have the kernel run the program.
var modes = map[string]bool{"native": false, "generic": true}

func TestPing(t *testing.T) {
	netnstest.Needs(t, "ping", "ethtool")
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			hub := netnstest.New(t, false)
			a := newStation(t, hub, "p0", "192.0.2.1", true)
			b := newStation(t, hub, "p1", "192.0.2.2", true)
			g := open(t, xdp.Config{Ports: []xdp.PortConfig{
				{Name: "p0", Netns: hub.Path(), Generic: generic}, {Name: "p1", Netns: hub.Path(), Generic: generic},
			}})
			br, err := bridge.New(bridge.Config{})
			require.NoError(t, err)
			join(t, br, g.Ports()...)
			serve(t, br)
			a.ping(t, b)
			for _, p := range g.Ports() {
				assert.Equal(t, generic, p.Mode() == xdp.Generic)
				t.Log(p.Name(), p.Mode(), p.ZeroCopy(), p.Why(), p.Lost())
			}
		})
	}
}

// Bulk TCP crosses, both ways at once, between two ports and from one to a TAP's or a
// packet socket's side, though the senders leave their checksums to others. In generic
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
