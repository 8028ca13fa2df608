package bridge_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
)

var (
	mcGroup4 = netip.MustParseAddr("239.5.5.5")
	mcGroup6 = netip.MustParseAddr("ff05::5:5")
	mcGroups = []netip.Addr{mcGroup4, mcGroup6}

	// mcFlows are streams to both from station 1.
	mcFlows = []mcFlow{{1, false, mcGroup4}, {1, false, mcGroup6}}
)

// mcVersions runs a test with what the bridge speaks at first, and with what can name
// sources.
func mcVersions(t *testing.T, test func(t *testing.T, a bridge.BridgeAttrs)) {
	for _, modern := range []bool{false, true} {
		if modern && testing.Short() {
			break // it is the other once more, to the race detector
		}
		name, a := "IGMPv2 and MLDv1", mcShort()
		if modern {
			name, a.McastIGMPVersion, a.McastMLDVersion = "IGMPv3 and MLDv2", new(3), new(2)
		}
		t.Run(name, func(t *testing.T) { test(t, a) })
	}
}

// Sockets of three stations, the host one of them, join groups of both protocols behind
// a bridge that asks for them itself. A stream reaches everybody while nobody asks, then
// nobody, then the members, and stops when they have left, one after the other.
func TestMembersOfRealStations(t *testing.T) {
	t.Parallel()
	mcVersions(t, func(t *testing.T, a bridge.BridgeAttrs) {
		mcEach(t, 4, func(t *testing.T, n *mcNet) {
			n.set(a)
			n.becomes(mcFlows, 0, 2, 3, 4)
			n.set(bridge.BridgeAttrs{McastQuerier: new(true)})
			t.Log("restricted after", n.becomes(mcFlows))

			members := []map[int]*mcSocket{{}, {}}
			for k, group := range mcGroups {
				for _, i := range []int{2, 3, 0} {
					members[k][i] = n.stations[i].join(group)
				}
			}
			t.Log("joined within", n.becomes(mcFlows, 0, 2, 3))
			n.streams(members, 0, 2, 3)
			if n.b != nil { // the host's report came by Xmit
				for _, group := range mcGroups {
					rows, err := n.b.LookupMDB(bridge.MDBRequest{Group: group})
					require.NoError(t, err)
					assert.Equal(t, "", rows[0].Port, "the host is first")
				}
			}
			for _, left := range []struct {
				who  int
				stay []int
			}{{2, []int{0, 3}}, {0, []int{3}}, {3, nil}} {
				began := time.Now()
				for k := range mcGroups {
					members[k][left.who].leave(t)
					delete(members[k], left.who)
				}
				t.Log("left by", left.who, "after", n.becomes(mcFlows, left.stay...))
				notBefore(t, began)
				n.streams(members, left.stay...)
			}
			n.balanced()
		})
	})
}

// notBefore: who left, and no sooner than at that moment, was still asked for.
func notBefore(t *testing.T, left time.Time) {
	t.Helper()
	assert.GreaterOrEqual(t, time.Since(left), mcLMQT-mcTick)
}

// streams is stream for each of mcFlows.
func (n *mcNet) streams(members []map[int]*mcSocket, want ...int) {
	n.t.Helper()
	for k, f := range mcFlows {
		n.stream(f, members[k], want...)
	}
}

// Sockets name the source that they want, or do not want.
func TestSourcesOfRealStations(t *testing.T) {
	t.Parallel()
	mcEach(t, 4, func(t *testing.T, n *mcNet) {
		a := mcShort()
		a.McastIGMPVersion, a.McastMLDVersion = new(3), new(2)
		n.set(a)
		n.set(bridge.BridgeAttrs{McastQuerier: new(true)})
		n.becomes(mcFlows)
		second := []mcFlow{{1, true, mcGroup4}, {1, true, mcGroup6}}
		one, other, any := []map[int]*mcSocket{{}, {}}, []map[int]*mcSocket{{}, {}}, []map[int]*mcSocket{{}, {}}
		for k, g := range mcGroups {
			one[k][2] = n.stations[2].join(g, n.stations[1].source(g, false))
			other[k][3] = n.stations[3].join(g, n.stations[1].source(g, true))
		}
		n.becomes(mcFlows, 2)
		n.becomes(second, 3)
		n.streams(one, 2)
		for k, g := range mcGroups {
			n.stream(second[k], other[k], 3)
			any[k][4] = n.stations[4].join(g)
		}
		n.becomes(mcFlows, 2, 4)
		n.becomes(second, 3, 4)
		began := time.Now()
		for k, g := range mcGroups {
			any[k][4].change(t, unix.MCAST_BLOCK_SOURCE, n.stations[4], g, n.stations[1].source(g, true))
		}
		t.Log("blocked after", n.becomes(second, 3))
		notBefore(t, began)
		n.becomes(mcFlows, 2, 4)
		for k := range mcGroups {
			n.stream(second[k], other[k], 3)
		}
		began = time.Now()
		for k := range mcGroups {
			any[k][4].leave(t)
			one[k][2].leave(t)
		}
		t.Log("left after", n.becomes(mcFlows))
		notBefore(t, began)
		n.becomes(second, 3)
		began = time.Now()
		for k, g := range mcGroups { // one source in the place of the other
			other[k][3].change(t, unix.MCAST_JOIN_SOURCE_GROUP, n.stations[3], g, n.stations[1].source(g, false))
			other[k][3].change(t, unix.MCAST_LEAVE_SOURCE_GROUP, n.stations[3], g, n.stations[1].source(g, true))
		}
		t.Log("changed after", n.becomes(second))
		notBefore(t, began)
		n.becomes(mcFlows, 3)
		n.balanced()
	})
}

// A kernel's bridge behind a port asks: groups go to their members and to it, who leaves
// is asked for by it, and when it dies they go everywhere again. What the querier
// has counted as sent the bridge has counted as received.
func TestRealQuerierThatDies(t *testing.T) {
	t.Parallel()
	mcVersions(t, func(t *testing.T, a bridge.BridgeAttrs) {
		mcEach(t, 4, func(t *testing.T, n *mcNet) {
			const asks = 4
			a := a
			a.McastQuerierInterval, a.McastStats = new(5*time.Second), new(true)
			n.set(a)
			n.becomes(mcFlows, 0, 2, 3, asks)
			ns := n.stations[asks].ns
			w := mcWords{"link", "add", "br1", "type", "bridge", "forward_delay", "0", "mcast_stats_enabled", "1"}
			tapIP(t, ns, w...)
			w = mcWords{"link", "set", "br1", "type", "bridge", "mcast_querier", "1"}
			w.times(&a)
			tapIP(t, ns, w...)
			tapIP(t, ns, "link", "set", "eth0", "master", "br1")
			tapIP(t, ns, "link", "set", "br1", "up")
			n.becomes(mcFlows, asks)
			if n.b != nil {
				ip4, ip6 := n.b.Queriers(0)
				assert.Equal(t, "p4 0.0.0.0", ip4.Port+" "+ip4.Addr.String())
				assert.True(t, ip4.Other && ip6.Other && ip6.Port == "p4" && ip6.Addr.IsLinkLocalUnicast())
				assert.Equal(t, "p4", n.b.RouterPorts(0)[0].Port)
			}
			members := []map[int]*mcSocket{{}, {}}
			for k, g := range mcGroups {
				members[k][2], members[k][3] = n.stations[2].join(g), n.stations[3].join(g)
			}
			n.becomes(mcFlows, 2, 3, asks)
			n.streams(members, 2, 3, asks)
			began := time.Now()
			for k := range mcGroups {
				members[k][2].leave(t)
				delete(members[k], 2)
			}
			t.Log("left after", n.becomes(mcFlows, 3, asks))
			notBefore(t, began)
			n.streams(members, 3, asks)

			tapIP(t, ns, "link", "set", "br1", "down")
			t.Log("flooded again after", n.becomes(mcFlows, 0, 2, 3, asks))
			n.streams(members, 0, 2, 3, asks)
			theirs := mcKernelStats(t, ns, "eth0")
			require.NotZero(t, theirs.IGMPQueries[*a.McastIGMPVersion-1][1])
			require.NotZero(t, theirs.MLDQueries[*a.McastMLDVersion-1][1])
			require.NotZero(t, theirs.IGMPReports[*a.McastIGMPVersion-1][0], "reports that came to the querier")
			// Of MLD the queries alone: the stack that was there before the querier reported too.
			ours := n.stats(asks)
			for i := range theirs.IGMPQueries {
				assert.Equal(t, theirs.IGMPQueries[i][1], ours.IGMPQueries[i][0])
				assert.Equal(t, theirs.IGMPReports[i][1], ours.IGMPReports[i][0])
			}
			for i := range theirs.MLDQueries {
				assert.Equal(t, theirs.MLDQueries[i][1], ours.MLDQueries[i][0])
			}
			n.balanced()
		})
	})
}

// stats gives what the bridge has counted of IGMP and MLD on the port to a station.
func (n *mcNet) stats(station int) bridge.McastStats {
	name := "p" + string(rune('0'+station))
	if n.b != nil {
		return n.b.Port(name).McastStats()
	}
	return mcKernelStats(n.t, n.hub, name)
}

// mcKernelStats gives what a kernel's bridge has counted on a port.
func mcKernelStats(t testing.TB, ns, port string) (s bridge.McastStats) {
	t.Helper()
	type counts map[string]uint64
	var all []struct {
		Multicast struct {
			IGMPQueries counts `json:"igmp_queries"`
			IGMPReports counts `json:"igmp_reports"`
			IGMPLeaves  counts `json:"igmp_leaves"`
			MLDQueries  counts `json:"mld_queries"`
			MLDReports  counts `json:"mld_reports"`
			MLDLeaves   counts `json:"mld_leaves"`
		}
	}
	out := tapIP(t, ns, "-j", "link", "xstats", "type", "bridge_slave", "dev", port)
	require.NoError(t, json.NewDecoder(strings.NewReader(out)).Decode(&all), out)
	require.NotEmpty(t, all, out)
	m := all[0].Multicast
	for i, v := range []string{"_v1", "_v2", "_v3"} {
		s.IGMPQueries[i] = [2]uint64{m.IGMPQueries["rx"+v], m.IGMPQueries["tx"+v]}
		s.IGMPReports[i] = [2]uint64{m.IGMPReports["rx"+v], m.IGMPReports["tx"+v]}
		if i < 2 {
			s.MLDQueries[i] = [2]uint64{m.MLDQueries["rx"+v], m.MLDQueries["tx"+v]}
			s.MLDReports[i] = [2]uint64{m.MLDReports["rx"+v], m.MLDReports["tx"+v]}
		}
	}
	s.IGMPLeaves = [2]uint64{m.IGMPLeaves["rx"], m.IGMPLeaves["tx"]}
	s.MLDLeaves = [2]uint64{m.MLDLeaves["rx"], m.MLDLeaves["tx"]}
	return s
}
