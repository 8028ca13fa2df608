package bridge_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// mcPatience is how long a test waits for what is due within seconds, on a machine that
// is busy with other things.
const mcPatience = time.Minute

// A mcNet is a bridge, ours or the kernel's, with stations of the kernel's own stack
// around it, each in a namespace of its own.
type mcNet struct {
	t        testing.TB
	b        *bridge.Bridge // nil: the kernel's, br0 in hub
	hub      string         // the namespace of the ports p1, p2, ...
	stations []*mcStation   // the host, at br0, and then the one behind each port
	tags     atomic.Uint64
	copies   mcSeen // of ours: what it sent, by station
}

// mcEach runs a test on our bridge, and beside it on the kernel's, with the given number
// of ports.
func mcEach(t *testing.T, ports int, test func(t *testing.T, n *mcNet)) {
	netnstest.Needs(t, "ip")
	for _, kernel := range []bool{false, true} {
		t.Run(map[bool]string{false: "ours", true: "Linux"}[kernel], func(t *testing.T) {
			t.Parallel()
			test(t, newMcNet(t, kernel, ports))
		})
	}
}

// newMcNet makes it, with snooping off.
func newMcNet(t testing.TB, kernel bool, ports int) *mcNet {
	t.Helper()
	n := &mcNet{t: t, hub: mcNetns(t)}
	host := n.hub
	if kernel {
		tapIP(t, n.hub, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
		tapIP(t, n.hub, "link", "set", "br0", "up")
	} else {
		host = mcNetns(t)
		n.makeBridge(host)
	}
	n.addStation(host, "br0")
	for i := range ports {
		n.addPort(i + 1)
	}
	if !kernel {
		n.serve()
		ip6 := n.stations[0].linkLocal()
		require.NoError(t, n.b.SetQuerySource(netip.MustParseAddr("10.9.0.254"), ip6))
	}
	return n
}

// mcNetns makes a namespace whose interfaces have IPv6 addresses at once.
func mcNetns(t testing.TB) string {
	t.Helper()
	ns := netnstest.New(t, true).Path()
	for _, who := range []string{"all", "default"} {
		mcSysctl(t, ns, "ipv6/conf/"+who+"/accept_dad", "0")
		mcSysctl(t, ns, "ipv6/conf/"+who+"/router_solicitations", "0")
	}
	return ns
}

// mcSysctl sets a parameter of a namespace, named below net/.
func mcSysctl(t testing.TB, ns, name, value string) {
	t.Helper()
	tapIn(t, ns, func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
}

// makeBridge makes our bridge, and its host by a TAP.
func (n *mcNet) makeBridge(host string) {
	var err error
	n.b, err = bridge.New(bridge.Config{Address: mac(254), Filters: []bridge.Filter{{
		Name: "count", Hooks: bridge.Hooks(bridge.HookLocalIn, bridge.HookPostRouting),
		Judge: func(p *bridge.Passage) (r bridge.Ruling) {
			if tag, ok := mcTag(p.Frame.Data); ok && !p.Dry {
				at := 0
				if p.Out != nil {
					at, _ = strconv.Atoi(p.Out.Name()[1:])
				}
				n.copies.add(at, tag, p.Frame.Dst())
			}
			return r
		},
	}}})
	require.NoError(n.t, err)
	tap := tapOpen(n.t, bridge.TAPConfig{Name: "br0", Netns: host, Address: n.b.Info().Address})
	require.NoError(n.t, n.b.AttachHost(tap, bridge.HostConfig{Caps: tap.Caps(), Lost: tap.Lost}))
	require.NoError(n.t, tap.SetUp(true))
}

// addPort makes a station behind a port of either bridge.
func (n *mcNet) addPort(i int) {
	ns, name := mcNetns(n.t), fmt.Sprintf("p%d", i)
	tapIP(n.t, n.hub, "link", "add", name, "type", "veth", "peer", "name", "eth0")
	rawMove(n.t, n.hub, ns, "eth0")
	mcSysctl(n.t, n.hub, "ipv6/conf/"+name+"/disable_ipv6", "1")
	tapIP(n.t, ns, "link", "set", "eth0", "up")
	if n.b == nil {
		tapIP(n.t, n.hub, "link", "set", name, "master", "br0")
	}
	tapIP(n.t, n.hub, "link", "set", name, "up")
	rawAwaitUp(n.t, n.hub, name)
	rawAwaitUp(n.t, ns, "eth0")
	n.addStation(ns, "eth0")
	if n.b != nil {
		raw := rawOpen(n.t, bridge.RawConfig{Name: name, Netns: n.hub})
		_, err := n.b.AddPort(name, raw, bridge.PortConfig{Caps: raw.Caps(), Lost: raw.Lost})
		require.NoError(n.t, err)
	}
}

// serve serves our bridge until the test ends.
func (n *mcNet) serve() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.b.Serve(ctx) }()
	n.t.Cleanup(func() {
		stop()
		assert.NoError(n.t, <-done)
	})
}

// set changes settings of the bridge, those of either.
func (n *mcNet) set(a bridge.BridgeAttrs) {
	n.t.Helper()
	if n.b != nil {
		require.NoError(n.t, n.b.Set(a))
		return
	}
	w := mcWords{"link", "set", "br0", "type", "bridge"}
	w.flag("mcast_snooping", a.McastSnooping)
	w.flag("mcast_querier", a.McastQuerier)
	w.flag("mcast_stats_enabled", a.McastStats)
	w.times(&a)
	tapIP(n.t, n.hub, w...)
}

// setPort changes settings of the port to a station.
func (n *mcNet) setPort(station int, a bridge.PortAttrs) {
	n.t.Helper()
	name := fmt.Sprintf("p%d", station)
	if n.b != nil {
		require.NoError(n.t, n.b.Port(name).Set(a))
		return
	}
	w := mcWords{"link", "set", name, "type", "bridge_slave"}
	w.onOff("fastleave", a.FastLeave)
	w.onOff("mcast_to_unicast", a.McastToUnicast)
	w.onOff("mcast_flood", a.McastFlood)
	w.number("mcast_router", a.McastRouter)
	tapIP(n.t, n.hub, w...)
}

// mcWords are the arguments of ip(8).
type mcWords []string

func (w *mcWords) flag(name string, v *bool) {
	if v != nil {
		*w = append(*w, name, map[bool]string{false: "0", true: "1"}[*v])
	}
}

func (w *mcWords) onOff(name string, v *bool) {
	if v != nil {
		*w = append(*w, name, map[bool]string{false: "off", true: "on"}[*v])
	}
}

func (w *mcWords) number(name string, v *int) {
	if v != nil {
		*w = append(*w, name, strconv.Itoa(*v))
	}
}

func (w *mcWords) time(name string, v *time.Duration) {
	if v != nil {
		*w = append(*w, name, strconv.Itoa(int(*v/(10*time.Millisecond))))
	}
}

// times names versions and times.
func (w *mcWords) times(a *bridge.BridgeAttrs) {
	w.number("mcast_igmp_version", a.McastIGMPVersion)
	w.number("mcast_mld_version", a.McastMLDVersion)
	w.time("mcast_last_member_interval", a.McastLastMemberInterval)
	w.time("mcast_membership_interval", a.McastMembershipInterval)
	w.time("mcast_querier_interval", a.McastQuerierInterval)
	w.time("mcast_query_interval", a.McastQueryInterval)
	w.time("mcast_query_response_interval", a.McastQueryResponseInterval)
	w.time("mcast_startup_query_interval", a.McastStartupQueryInterval)
}

// Shortened times, of either bridge: who leaves is gone after mcLMQT.
const mcLMQT = time.Second

func mcShort() bridge.BridgeAttrs {
	return bridge.BridgeAttrs{
		McastSnooping: new(true), McastIGMPVersion: new(2), McastMLDVersion: new(1), McastLastMemberInterval: new(mcLMQT / 2), McastQueryResponseInterval: new(time.Second),
		McastQueryInterval: new(time.Second), McastStartupQueryInterval: new(time.Second),
	}
}

// A mcFlow is a stream: from the first or second address of a station to a group.
type mcFlow struct {
	station int
	second  bool
	group   netip.Addr
}

// send sends a packet of the stream, and gives its tag.
func (n *mcNet) send(f mcFlow) uint64 {
	n.t.Helper()
	tag := n.tags.Add(1)
	_, err := n.stations[f.station].dial(f).Write(mcPayload(tag))
	require.NoError(n.t, err)
	return tag
}

// fence waits until all that the stations before it have sent is where it goes: a
// broadcast behind it has come to all stations.
func (n *mcNet) fence(from int) {
	n.t.Helper()
	for end := time.Now().Add(mcPatience); ; {
		tag := n.tags.Add(1)
		n.stations[from].fence(tag)
		for again := time.Now().Add(time.Second); time.Now().Before(again); time.Sleep(time.Millisecond) {
			if !slices.ContainsFunc(n.stations, func(s *mcStation) bool { return s.i != from && s.seen.count(s.i, tag) == 0 }) {
				return
			}
		}
		require.True(n.t, time.Now().Before(end), "a broadcast does not come to all stations")
	}
}

// reach sends a packet of each stream, and gives for each the stations that it comes to.
func (n *mcNet) reach(flows ...mcFlow) (to [][]int) {
	n.t.Helper()
	var tags []uint64
	for _, f := range flows {
		tags = append(tags, n.send(f))
	}
	n.fence(flows[0].station)
	for _, tag := range tags {
		at := []int{}
		for _, s := range n.stations {
			if s.seen.count(s.i, tag) > 0 {
				at = append(at, s.i)
			}
		}
		to = append(to, at)
	}
	return to
}

// becomes waits until all the streams, which come from one station, reach these stations
// alone, and gives the time it took.
func (n *mcNet) becomes(flows []mcFlow, want ...int) time.Duration {
	n.t.Helper()
	begin := time.Now()
	var got [][]int
	for time.Since(begin) < mcPatience {
		sent := time.Now()
		got = n.reach(flows...)
		if !slices.ContainsFunc(got, func(at []int) bool { return !slices.Equal(at, want) }) {
			return sent.Sub(begin)
		}
		time.Sleep(10 * time.Millisecond)
	}
	require.FailNow(n.t, "does not become so", "%v reach %v, to be %v\n%s", flows, got, want, n.mdb())
	return 0
}

// stream sends packets of one stream, and holds what came to stations, to sockets and,
// of our bridge, what it counted against each other and what is wanted.
func (n *mcNet) stream(f mcFlow, members map[int]*mcSocket, want ...int) {
	n.t.Helper()
	const packets = 20
	var tags []uint64
	for range packets {
		tags = append(tags, n.send(f))
	}
	n.fence(f.station)
	for _, s := range n.stations {
		due := 0
		if slices.Contains(want, s.i) {
			due = 1
		}
		for _, tag := range tags {
			assert.Equal(n.t, due, s.seen.count(s.i, tag), "%v at %d", f, s.i)
			if n.b != nil {
				assert.Equal(n.t, due, n.copies.count(s.i, tag), "copies of %v to %d", f, s.i)
			}
		}
	}
	for i, m := range members {
		assert.Equal(n.t, tags, m.receive(n.t, tags[0], packets), "%v at the socket of %d", f, i)
	}
}

// mdb describes the groups that there are.
func (n *mcNet) mdb() string {
	if n.b == nil {
		var out strings.Builder
		tapIn(n.t, n.hub, func() error { return mcRun(&out, "bridge", "-d", "-s", "mdb", "show") })
		return out.String()
	}
	text := ""
	for _, e := range n.b.MDB() {
		text += fmt.Sprintf("%+v\n", e)
	}
	return text
}

// mcTick is the step in which the kernel keeps times, and by which it may be early.
const mcTick = 20 * time.Millisecond

// balanced checks the ledgers of our bridge.
func (n *mcNet) balanced() {
	n.t.Helper()
	if n.b != nil {
		balancedSoon(n.t, n.b)
	}
}
