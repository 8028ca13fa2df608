package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The assertions of the kernel's test_bridge_neigh_suppress, in its topology: a host
// on port 1, a tunnel on port 2, which suppresses, and behind it the station that is
// asked for.

func TestSelftestNeighSuppress(t *testing.T) {
	unicast := solicit(1, 2)
	unicast.dst, unicast.to = neighMAC(2), ip6(2)
	for _, family := range []struct {
		name             string
		request, unicast frame.Frame
	}{
		{"ARP", whoHas(1, 2), arp{dst: neighMAC(2), src: neighMAC(1), sender: ip4(1), target: ip4(2)}.frame()},
		{"NS", solicit(1, 2).frame(), unicast.frame()},
	} {
		t.Run(family.name, func(t *testing.T) {
			table := new(bridge.HostTable)
			l := newLabN(t, bridge.Config{Host: table}, 2)
			assert.Equal(t, "br0 p2", l.went(1, family.request), "suppression off: request goes to the tunnel port")

			l.set(2, bridge.PortAttrs{NeighSuppress: on()})
			assert.Equal(t, "br0 p2", l.went(1, family.request), "on without neighbour entry: still flooded")

			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(2), MAC: neighMAC(2), State: bridge.NUDNoARP}))
			assert.Equal(t, "br0 p2", l.went(1, family.request), "with an FDB entry alone: still flooded")
			n := bridge.Neighbour{MAC: neighMAC(2)}
			table.SetNeighbour(0, ip4(2), n)
			table.SetNeighbour(0, ip6(2), n)
			assert.Equal(t, "br0 p1!", l.went(1, family.request),
				"on with FDB and neighbour entry: answered by the bridge, not sent to the suppressing port")

			require.NoError(t, l.p(2).SetLink(true, false))
			assert.Equal(t, "br0 p1!", l.went(1, family.request), "works with the target down")
			require.NoError(t, l.p(2).SetLink(true, true))

			assert.Equal(t, "p2", l.went(1, family.unicast), "unicast ARP request / NS is forwarded, not answered")

			l.set(2, bridge.PortAttrs{NeighSuppress: off()})
			assert.Equal(t, "br0 p2", l.went(1, family.request), "off again: flooded")
		})
	}
}

func TestSelftestNeighVLANSuppress(t *testing.T) {
	for _, family := range []struct {
		name    string
		request frame.Frame
	}{{"ARP", whoHas(1, 2)}, {"NS", solicit(1, 2).frame()}} {
		t.Run(family.name, func(t *testing.T) {
			table := new(bridge.HostTable)
			l := newLabN(t, bridge.Config{Host: table, VLANFiltering: true}, 2)
			vids := []frame.VID{10, 20}
			for _, vid := range vids {
				require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: vid}))
				table.AddVLANDevice(frame.TypeDot1Q, vid)
				table.SetNeighbour(vid, ip4(2), bridge.Neighbour{MAC: neighMAC(2)})
				table.SetNeighbour(vid, ip6(2), bridge.Neighbour{MAC: neighMAC(2)})
				for n := 1; n <= 2; n++ {
					require.NoError(t, l.p(n).VLANs().Add(bridge.VLAN{VID: vid}))
				}
				require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(2), MAC: neighMAC(2), VID: &vid, State: bridge.NUDNoARP}))
			}
			check := func(what string, suppressed ...bool) {
				t.Helper()
				for i, vid := range vids {
					want := "br0 p2"
					if suppressed[i] {
						want = "br0 p1!"
					}
					assert.Equal(t, want, l.went(1, dot1q(family.request, vid)), "%s: VLAN %d", what, vid)
				}
			}
			check("off", false, false)
			l.set(2, bridge.PortAttrs{NeighSuppress: on()})
			check("the port flag decides", true, true)
			l.set(2, bridge.PortAttrs{NeighVLANSuppress: on()})
			check("only VLANs with their own flag are suppressed when neigh_vlan_suppress is on", false, false)
			require.NoError(t, l.p(2).VLANs().SetNeighSuppress(10, 0, true))
			check("one VLAN with its own flag", true, false)
			l.set(2, bridge.PortAttrs{NeighSuppress: off()})
			check("the port flag does not matter", true, false)
			l.set(2, bridge.PortAttrs{NeighVLANSuppress: off()})
			check("neigh_vlan_suppress off: port flag decides", false, false)
			l.set(2, bridge.PortAttrs{NeighSuppress: on()})
			check("neigh_vlan_suppress off: port flag decides", true, true)
		})
	}
}
