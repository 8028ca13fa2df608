package bridgetest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/stp"
)

// rapidRing is a ring of n switches with RSTP, sw1 the root, with a host on each.
func rapidRing(t *testing.T, n int) *bridgetest.Lab {
	c := bridgetest.Config{}
	for i := 1; i <= n; i++ {
		c.Switches = append(c.Switches, bridge.Config{
			Name: fmt.Sprint("sw", i), STPState: 1, STPMode: bridge.STPModeRapid, Priority: new(uint16(i << 12)),
		})
		c.Hosts = append(c.Hosts, bridgetest.HostConfig{Name: fmt.Sprint("h", i), Switch: fmt.Sprint("sw", i)})
		c.Cables = append(c.Cables, bridgetest.Cable{
			A: bridgetest.End{Switch: fmt.Sprint("sw", i), PortName: "right"},
			B: bridgetest.End{Switch: fmt.Sprint("sw", i%n+1), PortName: "left"},
		})
	}
	return bridgetest.NewLab(t, c)
}

func findPort(t *testing.T, b *bridge.Bridge, name string) *bridge.Port {
	for _, p := range b.Ports() {
		if p.Name() == name {
			return p
		}
	}
	require.Fail(t, "no such port")
	return nil
}

// Switches in a ring: hosts reach each other, a broadcast comes once, and when a cable
// is cut the next ping goes through.
func TestRSTPRing(t *testing.T) {
	const n = 8
	lab := rapidRing(t, n)
	lab.Run(5 * time.Second)
	roles := map[stp.Role]int{}
	for i := 1; i <= n; i++ {
		for _, p := range lab.Switch(fmt.Sprint("sw", i)).Ports() {
			s, ok := p.RSTP()
			require.True(t, ok)
			roles[s.Role]++
		}
	}
	assert.Equal(t, map[stp.Role]int{stp.RoleOfRoot: n - 1, stp.RoleOfAlternate: 1, stp.RoleOfDesignated: 2*n - 7 - 1 + n}, roles)
	ping := func(from, to int) {
		t.Helper()
		_, err := lab.Host(fmt.Sprint("h", from)).Ping(lab.Host(fmt.Sprint("h", to)).IP())
		require.NoError(t, err, "h%d to h%d at %v", from, to, lab.Now())
	}
	for i := 2; i <= n; i++ {
		ping(1, i)
		ping(i, i%n+1)
	}
	for cut := 1; cut <= n; cut++ {
		right := findPort(t, lab.Switch(fmt.Sprint("sw", cut)), "right")
		left := findPort(t, lab.Switch(fmt.Sprint("sw", cut%n+1)), "left")
		require.NoError(t, right.SetLink(true, false))
		require.NoError(t, left.SetLink(true, false))
		lab.Run(50 * time.Millisecond) // proposals and topology changes go round
		for i := 2; i <= n; i++ {
			ping(1, i)
			ping(i, i%n+1)
		}
		require.NoError(t, right.SetLink(true, true))
		require.NoError(t, left.SetLink(true, true))
		lab.Run(10 * time.Second)
		for i := 2; i <= n; i++ {
			ping(1, i)
		}
	}
}

// RSTP beside the kernel's STP: the port that hears it falls back, and the tree is one.
func TestRSTPBesideSTP(t *testing.T) {
	for _, root := range []bridge.STPMode{bridge.STPModeKernel, bridge.STPModeRapid} {
		other := bridge.STPModeKernel + bridge.STPModeRapid - root
		lab := bridgetest.NewLab(t, bridgetest.Config{
			Switches: []bridge.Config{
				{Name: "root", STPState: 1, STPMode: root, Priority: new(uint16(0x1000))},
				{Name: "leaf", STPState: 1, STPMode: other},
			},
			Hosts: []bridgetest.HostConfig{{Name: "a", Switch: "root"}, {Name: "b", Switch: "leaf"}},
			Cables: []bridgetest.Cable{
				{A: bridgetest.End{Switch: "root", PortName: "r1"}, B: bridgetest.End{Switch: "leaf", PortName: "l1"}},
				{A: bridgetest.End{Switch: "root", PortName: "r2"}, B: bridgetest.End{Switch: "leaf", PortName: "l2"}},
			},
		})
		lab.Run(100 * time.Second)
		state := func(sw, p string) bridge.PortState { return findPort(t, lab.Switch(sw), p).Info().State }
		assert.Equal(t, []bridge.PortState{bridge.StateForwarding, bridge.StateForwarding, bridge.StateForwarding, bridge.StateBlocking},
			[]bridge.PortState{state("root", "r1"), state("root", "r2"), state("leaf", "l1"), state("leaf", "l2")}, "root %v", root)
		assert.Equal(t, lab.Switch("root").Info().BridgeID, lab.Switch("leaf").Info().RootID)
		for _, sw := range []string{"root", "leaf"} {
			for _, p := range lab.Switch(sw).Ports() {
				if s, ok := p.RSTP(); ok && p.Name()[0] != 'p' {
					assert.False(t, s.SendRSTP, p.Name())
				}
			}
		}
		_, err := lab.Host("a").Ping(lab.Host("b").IP())
		assert.NoError(t, err)
		for _, p := range []struct{ sw, name string }{{"root", "r1"}, {"leaf", "l1"}} {
			require.NoError(t, findPort(t, lab.Switch(p.sw), p.name).SetLink(true, false))
		}
		lab.Run(80 * time.Second)
		_, err = lab.Host("a").Ping(lab.Host("b").IP())
		assert.NoError(t, err)
	}
}
