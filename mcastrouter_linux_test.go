package bridge_test

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// mcRoutes is what smcroute is told: it announces itself as a router by IGMP (RFC 4286),
// and takes one group of each protocol out of the bridge, and one in.
const mcRoutes = `
phyint eth0 enable mrdisc ttl-threshold 1
phyint eth1 enable ttl-threshold 1
mroute from eth0 group 239.5.5.5 to eth1
mroute from eth1 group 239.5.5.7 to eth0
mroute from eth0 group ff05::5:5 to eth1
mroute from eth1 group ff05::5:7 to eth0
`

// route makes a router of a station: with an interface eth1, to a network of its own in
// which there is one station, which is given.
func (n *mcNet) route(router int) (far *mcStation) {
	t, ns := n.t, n.stations[router].ns
	beyond := mcNetns(t)
	rawCable(t, ns, beyond, "eth1", "eth2")
	tapIP(t, ns, "address", "add", "10.10.0.1/16", "dev", "eth1")
	others := n.stations
	n.stations = nil
	n.addStation(beyond, "eth2") // which is no station of the bridge
	far, n.stations = n.stations[0], others
	for _, who := range []string{"all", "default", "eth0", "eth1"} {
		mcSysctl(t, ns, "ipv4/conf/"+who+"/rp_filter", "0")
	}
	for _, s := range []*mcStation{far, n.stations[2], n.stations[3]} {
		mcSysctl(t, s.ns, "ipv4/conf/all/rp_filter", "0")
		mcSysctl(t, s.ns, "ipv4/conf/"+s.dev+"/rp_filter", "0")
	}

	dir := netnstest.SharedDir(t) // a short path: it is that of a socket
	conf := filepath.Join(dir, "conf")
	require.NoError(t, os.WriteFile(conf, []byte(mcRoutes), 0o600))
	var said bytes.Buffer
	cmd := exec.Command("smcrouted", "-n", "-N", "-m", "4", "-f", conf, "-P", filepath.Join(dir, "pid"), "-u", filepath.Join(dir, "sock"))
	cmd.Stdout, cmd.Stderr = &said, &said
	tapIn(t, ns, cmd.Start)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log("smcrouted says:", said.String())
		}
	})
	return far
}

// A router behind a port gets every group and routes it on, and what it routes to here
// goes to members alone. The bridge learns where it is from its announcements, which for
// IPv6 there are none of.
func TestRealRouter(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "smcrouted")
	mcEach(t, 4, func(t *testing.T, n *mcNet) {
		const router = 4
		n.set(mcShort())
		n.set(bridge.BridgeAttrs{McastQuerier: new(true)})
		n.becomes(mcFlows)
		far := n.route(router)
		n.becomes(mcFlows[:1], router)
		n.becomes(mcFlows[1:])
		n.setPort(router, bridge.PortAttrs{McastRouter: new(2)})
		n.becomes(mcFlows, router)
		members := map[int]*mcSocket{2: n.stations[2].join(mcGroup4)}
		n.becomes(mcFlows[:1], 2, router)
		n.stream(mcFlows[0], members, 2, router)
		members[2].leave(t)
		n.becomes(mcFlows, router)
		for _, f := range mcFlows {
			beyond := map[int]*mcSocket{router: far.join(f.group)}
			require.Eventually(t, func() bool { return far.seen.count(far.i, n.sent(f)) > 0 }, mcPatience, 10*time.Millisecond, "the router routes nothing")
			n.stream(f, beyond, router)
		}
		for _, group := range []netip.Addr{netip.MustParseAddr("239.5.5.7"), netip.MustParseAddr("ff05::5:7")} {
			f := mcFlow{group: group} // its station is far
			m := n.stations[2].join(group)
			var tag uint64
			require.Eventually(t, func() bool {
				tag = n.tags.Add(1)
				_, err := far.dial(f).Write(mcPayload(tag))
				require.NoError(t, err)
				n.fence(router)
				return n.stations[2].seen.count(2, tag) == 1
			}, mcPatience, 10*time.Millisecond, "%v does not come to its member", group)
			assert.Equal(t, []uint64{tag}, m.receive(t, tag, 1))
			n.fence(router)
			for _, s := range n.stations {
				assert.Equal(t, s.i == 2, s.seen.count(s.i, tag) > 0, "%v at %d", group, s.i)
			}
		}
		n.balanced()
	})
}

// sent sends a packet of a stream and a fence behind it, and gives its tag.
func (n *mcNet) sent(f mcFlow) uint64 {
	tag := n.send(f)
	n.fence(f.station)
	return tag
}

// Settings of ports: who leaves by a port with fast leave is gone at once, though times are
// long; a router is where it is said to be, and queries make none of a port where it is
// not; groups that nobody has joined do not leave by a port without mcast_flood; and each
// station of a port with mcast_to_unicast gets a copy of its own.
func TestPortSettingsForRealStations(t *testing.T) {
	t.Parallel()
	mcVersions(t, func(t *testing.T, a bridge.BridgeAttrs) {
		mcEach(t, 4, func(t *testing.T, n *mcNet) {
			a := a
			a.McastLastMemberInterval = new(10 * mcPatience)
			n.set(a)
			n.setPort(3, bridge.PortAttrs{McastFlood: new(false)})
			n.becomes(mcFlows, 0, 2, 4)
			n.setPort(2, bridge.PortAttrs{FastLeave: new(true), McastToUnicast: new(true)})
			n.set(bridge.BridgeAttrs{McastQuerier: new(true)})
			n.becomes(mcFlows)
			n.setPort(4, bridge.PortAttrs{McastRouter: new(2)})
			n.becomes(mcFlows, 4)
			members := []map[int]*mcSocket{{}, {}}
			for k, g := range mcGroups {
				members[k][2], members[k][3] = n.stations[2].join(g), n.stations[3].join(g)
			}
			n.becomes(mcFlows, 2, 3, 4)
			n.streams(members, 2, 3, 4)
			for _, f := range mcFlows {
				tag := n.sent(f)
				assert.Equal(t, groupMACOf(f.group).String(), n.stations[3].seen.addresses(3, tag)[0].String())
				assert.Equal(t, n.stations[2].link.HardwareAddr.String(), n.stations[2].seen.addresses(2, tag)[0].String())
			}
			for k := range mcGroups {
				members[k][2].leave(t)
				members[k][3].leave(t)
			}
			t.Log("left at once after", n.becomes(mcFlows, 3, 4))
			n.setPort(4, bridge.PortAttrs{McastRouter: new(0)})
			n.becomes(mcFlows, 3)
			n.balanced()
		})
	})
}

// IPv6 between stations whose groups the bridge restricts: link-local addresses reach each
// other and stay reachable when memberships have had to be renewed, an address that is
// there already is found out, and all that is so too when nobody asks any more.
func TestIPv6OfRealStations(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ping")
	mcVersions(t, func(t *testing.T, a bridge.BridgeAttrs) {
		mcEach(t, 3, func(t *testing.T, n *mcNet) {
			a := a
			a.McastMembershipInterval = new(3 * time.Second)
			n.set(a)
			n.set(bridge.BridgeAttrs{McastQuerier: new(true)})
			n.becomes(mcFlows)
			mcSysctl(t, n.stations[3].ns, "ipv6/conf/eth0/accept_dad", "1")
			for _, asked := range []bool{true, false} {
				n.set(bridge.BridgeAttrs{McastQuerier: &asked})
				if !asked {
					n.becomes(mcFlows, 0, 2, 3)
				}
				n.pingLinkLocal()
				if asked {
					time.Sleep(*a.McastMembershipInterval + time.Second)
					n.pingLinkLocal()
				}
				mine, theirs := "fd09::1234", "fd09::1" // the latter is of station 1
				tapIP(t, n.stations[3].ns, "address", "add", mine+"/64", "dev", "eth0")
				tapIP(t, n.stations[3].ns, "address", "add", theirs+"/64", "dev", "eth0")
				n.address(3, theirs, "dadfailed")
				n.address(3, mine, "")
				tapIP(t, n.stations[3].ns, "address", "del", mine+"/64", "dev", "eth0")
				tapIP(t, n.stations[3].ns, "address", "del", theirs+"/64", "dev", "eth0")
			}
			n.balanced()
		})
	})
}

// address waits until an address of a station, tentative at first, has this flag, or none.
func (n *mcNet) address(station int, ip, flag string) {
	n.t.Helper()
	var got string
	require.Eventually(n.t, func() bool {
		s := n.stations[station]
		for line := range strings.Lines(tapIP(n.t, s.ns, "-o", "-6", "address", "show", "dev", s.dev)) {
			if strings.Contains(line, " "+ip+"/") {
				got = line
			}
		}
		if flag != "" {
			return strings.Contains(got, " "+flag+" ")
		}
		return got != "" && !strings.Contains(got, "tentative") && !strings.Contains(got, "dadfailed")
	}, mcPatience, 50*time.Millisecond, "%s is not %s: %s", ip, flag, got)
}

// pingLinkLocal has every station ping every other, none of which it knows any more.
func (n *mcNet) pingLinkLocal() {
	n.t.Helper()
	for _, s := range n.stations {
		tapIP(n.t, s.ns, "neigh", "flush", "all")
	}
	var all sync.WaitGroup
	for _, from := range n.stations {
		for _, to := range n.stations {
			if from == to {
				continue
			}
			ip := to.linkLocal().String() + "%" + from.dev
			all.Go(func() {
				ns, err := netns.Open(from.ns)
				if assert.NoError(n.t, err) {
					defer ns.Close()
					_, err = ns.Run("ping", "-c", "3", "-i", "0.2", "-W", "10", ip)
					assert.NoError(n.t, err, "from %d to %d", from.i, to.i)
				}
			})
		}
	}
	all.Wait()
}
