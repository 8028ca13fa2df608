package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Where a multicast frame goes is a law of what anybody can see: settings, the database, the
// router ports and the queriers. Here it is held over random states of all these. The law:
//
//	always flooded   224.0.0.0/24 but for reports of IGMPv1 and v2, ff02::1, queries,
//	                 leaves, reports of IGMPv3 and MLDv2, and groups that are neither
//	                 of IPv4 nor of IPv6 and not in the database
//	restricted       everything else, while there is a querier of its protocol that all
//	                 have had the time to answer: to members and router ports. Reports
//	                 of IGMPv1, v2 and MLDv1 to router ports only
//	flooded          else
//
// Flooded is to every port that lets it with mcast_flood on, from the host to every port
// that lets it, and from ports to the host.

// groupKind says what of the law a frame is under.
type groupKind int

const (
	alwaysFlooded groupKind = iota
	groupOfData             // members and routers
	groupOfReport           // routers
)

// groupSample is a frame with what the law has of it.
type groupSample struct {
	name   string
	f      frame.Frame
	kind   groupKind
	ip     bool       // of IPv4 or IPv6; else mac is the group
	group  netip.Addr // of data
	source netip.Addr
	mac    frame.MAC
}

func (s groupSample) ipv6() bool { return s.f.Type() == frame.TypeIPv6 }

// Some groups that stations report.
var (
	ssdp4, ssdp6 = netip.MustParseAddr("239.255.255.250"), netip.MustParseAddr("ff02::c")
	nodes        = []netip.Addr{solicitedNodeOf(ip6(1)), solicitedNodeOf(ip6(2)), mdns6, ssdp6, allRouters, group6}
	groups4      = []netip.Addr{group4, group4b, ssdp4}
)

var l2Group = frame.MustParseMAC("03:00:00:00:00:01")

// groupSamples are one frame of everything, from a station that is nobody else.
func groupSamples() (all []groupSample) {
	from, any6 := mac(99), netip.IPv6Unspecified()
	always := func(name string, f frame.Frame) {
		all = append(all, groupSample{name: name, f: f})
	}
	local := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for name, to := range map[string]string{"all hosts": "224.0.0.1", "mDNS": "224.0.0.251", "LLMNR": "224.0.0.252"} {
		always(name, groupData(from, source4, local(to)))
	}
	for name, p := range map[string]byte{"224.0.0.5": 89, "224.0.0.18": 112, "224.0.0.13": 103} {
		always("protocol of "+name, ipv4Frame(from, source4, local(name), p, []byte{0x20, 0, 0, 0, 0, 0, 0, 0}))
	}
	always("all nodes", groupData(from, source6, allNodes))
	always("IGMP query", igmpQuery(from))
	always("IGMP leave", igmpLeave(from, group4))
	always("IGMPv3 report", igmpReportV3(from, 2, group4))
	always("MLD query", mldQuery(from))
	always("MLD done", mldDone(from, group6))
	always("MLDv2 report", (&station{n: 99}).report(mdns6, false))
	for name, m := range map[string]nd{
		"advertisement":        {from: ip6(1), target: ip6(1), kind: 136},
		"router advertisement": {from: ip6(1), target: any6, kind: 134},
		"redirect":             {from: ip6(1), target: ip6(2), kind: 137},
	} {
		m.src, m.to, m.dst = from, allNodes, allNodesMAC
		always(name+" to all nodes", m.frame())
	}
	data := func(name string, f frame.Frame, group, source netip.Addr) {
		all = append(all, groupSample{name: name, f: f, kind: groupOfData, ip: true, group: group, source: source})
	}
	for _, g := range groups4 {
		for _, s := range []netip.Addr{source4, source4b} {
			data("data", groupData(from, s, g), g, s)
		}
		all = append(all, groupSample{name: "IGMPv2 report", f: igmpReport(from, g), kind: groupOfReport, ip: true})
	}
	for _, g := range nodes {
		data("data", groupData(from, source6, g), g, source6)
		data("solicitation of a probe", nd{dst: groupMACOf(g), src: from, from: any6, to: g, target: ip6(1)}.frame(), g, any6)
		data("router solicitation", nd{dst: groupMACOf(g), src: from, from: ip6(9), to: g, target: any6, kind: 133}.frame(), g, ip6(9))
		all = append(all, groupSample{name: "MLDv1 report", f: mldReport(from, g), kind: groupOfReport, ip: true})
	}
	all = append(all, groupSample{name: "report of a group of the link", f: igmpReport(from, local("224.0.0.251")), kind: groupOfReport, ip: true})
	return append(all, groupSample{name: "neither", f: ether(l2Group, from), kind: groupOfData, mac: l2Group},
		groupSample{name: "neither, another", f: ether(linkLocal(0x21), from), kind: groupOfData, mac: linkLocal(0x21)})
}

// mcastWorld is a lab in which multicast happens by chance.
type mcastWorld struct {
	*lab
	r        *rand.Rand
	vids     []frame.VID // {0} without VLAN filtering
	perVLAN  bool
	modern   bool
	asks6    bool      // there is an address for queries of MLD
	allMulti bool      // the host takes everything
	settled  time.Time // from then on all have had the time to answer
	rows     []bridge.MDBEntry
}

func newMcastWorld(t testing.TB, seed uint64) *mcastWorld {
	w := &mcastWorld{r: rand.New(rand.NewPCG(seed, 17)), vids: []frame.VID{0}}
	c := bridge.Config{McastSnooping: true}
	filtering := seed%3 != 0
	if filtering {
		w.perVLAN, w.vids = seed%3 == 2, []frame.VID{10, 20}
		c.VLANFiltering, c.VLANs = true, pick(w.r, bridge.Trunk(0, 10), bridge.Trunk(0, 10, 20), bridge.Access(20))
	}
	w.lab = newLab(t, c)
	for n := range 4 {
		var p bridge.PortConfig
		if filtering {
			p.VLANs = pick(w.r, bridge.Trunk(0, 10, 20), bridge.Trunk(0, 10, 20), bridge.Trunk(10, 20), bridge.Access(10))
		}
		w.add(n+1, p)
	}
	require.NoError(t, w.b.Set(bridge.BridgeAttrs{McastVLANSnooping: &w.perVLAN}))
	if w.asks6 = coin(w.r, 2); w.asks6 {
		require.NoError(t, w.b.SetQuerySource(netip.Addr{}, ip6(200)))
	}
	w.settled = w.clock.now()
	return w
}

// context is where the querier and the routers of a VLAN are looked for.
func (w *mcastWorld) context(vid frame.VID) frame.VID {
	if w.perVLAN {
		return vid
	}
	return 0
}

func inTag(f frame.Frame, vid frame.VID) frame.Frame {
	if vid == 0 {
		return f
	}
	return dot1q(f, vid)
}

// unsettled: a querier may have begun to ask, and all have 10 s to answer.
func (w *mcastWorld) unsettled() { w.settled = w.clock.now().Add(10 * time.Second) }

// speak has somebody, the host too, send a message about groups.
func (w *mcastWorld) speak() {
	r, from := w.r, mac(1+w.r.IntN(3))
	g4, g6 := pick(r, groups4...), pick(r, nodes...)
	var f frame.Frame
	switch r.IntN(8) {
	case 0:
		f = igmpReport(from, g4)
	case 1, 2:
		f = igmpReportV3(from, byte(1+r.IntN(6)), g4, []netip.Addr{source4, source4b}[:r.IntN(3)]...)
	case 3:
		f = (&station{n: r.IntN(5)}).report(g6, coin(r, 2))
	case 4:
		f = pick(r, igmpLeave(from, g4), mldDone(from, g6))
	case 5:
		f = mldReport(from, g6)
	default:
		f = pick(r, igmpQuery(from), mldQuery(from), (&station{n: 7, mldv: 2}).query())
		w.unsettled()
	}
	n := r.IntN(5)
	f = inTag(f, pick(r, w.vids...))
	if n == 0 {
		_ = w.b.Xmit(f) // the host need not be in the VLAN
		return
	}
	w.in(n, f)
}

// request adds or deletes entries.
func (w *mcastWorld) request() {
	r := w.r
	q := bridge.MDBRequest{VID: pick(r, w.vids...), Permanent: coin(r, 2)}
	if n := r.IntN(5); n > 0 {
		q.Port = w.p(n)
	}
	switch r.IntN(4) {
	case 0:
		q.GroupMAC, q.Permanent = l2Group, true
	case 1:
		q.Group = pick(r, nodes...)
	default:
		q.Group = pick(r, groups4...)
		if coin(r, 3) {
			q.Source = pick(r, source4, source4b)
		} else if q.Port != nil && coin(r, 2) {
			q.Mode, q.Sources = pick(r, bridge.MDBInclude, bridge.MDBExclude), []netip.Addr{source4}
		}
	}
	switch r.IntN(6) {
	case 0:
		_ = w.b.DeleteMDB(q)
	case 1:
		require.NoError(w.t, w.b.FlushMDB(bridge.MDBFlush{Port: q.Port, VID: &q.VID}))
	default:
		_ = w.b.AddMDB(q) // which may be there, or be refused for another reason
	}
}

// configure changes a setting.
func (w *mcastWorld) configure() {
	r, p, vid := w.r, 1+w.r.IntN(4), pick(w.r, w.vids...)
	on := coin(r, 2)
	switch r.IntN(9) {
	case 0, 1:
		w.unsettled()
		if w.perVLAN {
			require.NoError(w.t, w.b.SetVLANGlobal(vid, 0, bridge.VLANGlobalAttrs{McastQuerier: &on}))
			return
		}
		require.NoError(w.t, w.b.Set(bridge.BridgeAttrs{McastQuerier: &on}))
	case 2:
		w.modern = on
		igmp, mld := 2, 1
		if on {
			igmp, mld = 3, 2
		}
		require.NoError(w.t, w.b.Set(bridge.BridgeAttrs{McastIGMPVersion: &igmp, McastMLDVersion: &mld}))
		for _, v := range w.vids {
			if v != 0 {
				require.NoError(w.t, w.b.SetVLANGlobal(v, 0, bridge.VLANGlobalAttrs{McastIGMPVersion: &igmp, McastMLDVersion: &mld}))
			}
		}
	case 3:
		router := r.IntN(4)
		if w.perVLAN && coin(r, 2) {
			_ = w.p(p).VLANs().SetMcastRouter(vid, 0, router) // where the port is in it
			return
		}
		w.set(p, bridge.PortAttrs{McastRouter: &router})
	case 4:
		router := 1 + r.IntN(2) // with 0 router ports are not shown
		if w.perVLAN {
			_ = w.b.VLANs().SetMcastRouter(vid, 0, router)
			return
		}
		require.NoError(w.t, w.b.Set(bridge.BridgeAttrs{McastRouter: &router}))
	case 5:
		w.unsettled()
		if w.perVLAN && coin(r, 2) {
			require.NoError(w.t, w.b.SetVLANGlobal(vid, 0, bridge.VLANGlobalAttrs{McastSnooping: &on}))
			return
		}
		require.NoError(w.t, w.b.Set(bridge.BridgeAttrs{McastSnooping: &on}))
	case 6:
		w.allMulti = on
		require.NoError(w.t, w.b.SetAllMulti(on))
	case 7:
		w.set(p, bridge.PortAttrs{State: new(pick(r, bridge.StateForwarding, bridge.StateForwarding, bridge.StateLearning, bridge.StateBlocking))})
	default:
		w.set(p, bridge.PortAttrs{
			McastFlood: new(!coin(r, 3)), Isolated: new(coin(r, 3)), Hairpin: new(coin(r, 3)), FastLeave: new(coin(r, 3)), McastToUnicast: new(coin(r, 3)),
		})
	}
}

// carries says that a device is in a VLAN; 0 is the host.
func (w *mcastWorld) carries(n int, vid frame.VID) bool {
	vlans := w.b.VLANs()
	if n != 0 {
		vlans = w.p(n).VLANs()
	}
	return vid == 0 || slices.ContainsFunc(vlans.All(), func(i bridge.VLANInfo) bool { return i.VID == vid })
}

// lets says that a frame that came in by a port may leave by another.
func (w *mcastWorld) lets(from, to int, vid frame.VID) bool {
	i := w.p(to).Info()
	switch {
	case i.State != bridge.StateForwarding, !w.carries(to, vid), from == to && !i.Hairpin:
		return false
	}
	return from == 0 || !(i.Isolated && w.p(from).Info().Isolated)
}

// flooded is what flooding reaches.
func (w *mcastWorld) flooded(from int, vid frame.VID) (devs []string) {
	for n := 1; n <= 4; n++ {
		if w.lets(from, n, vid) && (from == 0 || w.p(n).Info().McastFlood) {
			devs = append(devs, portName(n))
		}
	}
	if from != 0 && w.carries(0, vid) {
		devs = append(devs, "br0")
	}
	return devs
}

// querier says whether there may be one that counts, and whether there must be.
func (w *mcastWorld) querier(vid frame.VID, v6 bool) (may, must bool) {
	q, q6 := w.b.Queriers(w.context(vid))
	if v6 {
		q = q6
	}
	may = q.Known && (q.Other || !v6 || w.asks6)
	return may, may && !w.clock.now().Before(w.settled)
}

// snoops says that snooping looks at a VLAN.
func (w *mcastWorld) snoops(vid frame.VID) bool {
	if !w.b.Info().McastSnooping || !w.perVLAN {
		return w.b.Info().McastSnooping
	}
	return slices.ContainsFunc(w.b.VLANGlobals(), func(i bridge.VLANGlobalInfo) bool { return i.VID == vid && i.McastSnooping })
}

// entry is the rows of the entry that data is looked up by; nil if there is none.
func (w *mcastWorld) entry(s *groupSample, vid frame.VID) (rows []bridge.MDBEntry) {
	find := func(source netip.Addr) {
		for _, e := range w.rows {
			if e.VID == vid && e.Group == s.group && e.GroupMAC == s.mac && e.Source == source {
				rows = append(rows, e)
			}
		}
	}
	if w.modern && s.ip {
		find(s.source)
	}
	if rows == nil {
		find(netip.Addr{})
	}
	return rows
}

// restricted is what a group reaches while it is restricted. host says whether the host
// gets it: 1 yes, 0 no, -1 if it has asked as a router, which nobody can see.
func (w *mcastWorld) restricted(s *groupSample, from int, vid frame.VID) (devs []string, host int) {
	wanted := map[string]bool{}
	var joined bool
	if s.kind == groupOfData {
		for _, e := range w.entry(s, vid) {
			unwanted := e.Blocked || s.ip && !e.Source.IsValid() && e.Mode == bridge.MDBInclude
			joined = joined || e.Port == ""
			wanted[e.Port] = wanted[e.Port] || !unwanted || e.Port != "" && w.ports[e.Port].Info().McastToUnicast
		}
	}
	for _, p := range w.b.RouterPorts(w.context(vid)) {
		if left := map[bool]time.Duration{false: p.Timer4, true: p.Timer6}[s.ipv6()]; left >= 0 {
			wanted[p.Port] = true
		}
	}
	for n := 1; n <= 4; n++ {
		if wanted[portName(n)] && w.lets(from, n, vid) {
			devs = append(devs, portName(n))
		}
	}
	router := w.b.Info().McastRouter
	for _, i := range w.b.VLANs().All() {
		if w.perVLAN && i.VID == vid {
			router = i.McastRouter
		}
	}
	switch {
	case from == 0 || !w.carries(0, vid):
		host = 0
	case joined || w.allMulti || router == 2:
		host = 1
	case s.ip:
		host = -1
	}
	return devs, host
}

// holds requires the law of a frame.
func (w *mcastWorld) holds(s *groupSample, from int, vid frame.VID, seen map[string]int) {
	f := inTag(s.f, vid)
	var e bridge.Explanation
	if from == 0 {
		e = w.b.ExplainXmit(f)
	} else {
		e = w.p(from).Explain(f)
	}
	got := []string{}
	for _, o := range e.Out {
		got = append(got, o.Dev)
	}
	slices.Sort(got)
	got = slices.Compact(got) // a port that converts to unicast has a copy for each station
	flooded := w.flooded(from, vid)
	slices.Sort(flooded)
	may, must := w.querier(vid, s.ipv6())
	if !s.ip {
		may = len(w.entry(s, vid)) > 0
		must = may
	}
	if s.kind == alwaysFlooded || !w.snoops(vid) {
		may, must = false, false
	}
	devs, host := w.restricted(s, from, vid)
	what := fmt.Sprintf("%s to %s from %d in VLAN %d, %v %v\n%v", s.name, s.f.Dst(), from, vid, may, must, e)
	switch {
	case !may, !must && slices.Equal(got, flooded):
		require.ElementsMatch(w.t, flooded, got, what)
		seen["flooded"]++
		return
	case host == 1, host < 0 && slices.Contains(got, "br0"):
		devs = append(devs, "br0")
	}
	require.ElementsMatch(w.t, devs, got, what)
	seen[fmt.Sprint("restricted ", s.kind)]++
}

func TestLawsOfGroups(t *testing.T) {
	samples := groupSamples()
	seen := map[string]int{}
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newMcastWorld(t, seed)
			for range 250 {
				switch w.r.IntN(9) {
				case 0, 1, 2, 3:
					w.speak()
				case 4, 5:
					w.request()
				case 6, 7:
					w.configure()
				default:
					w.later(pick(w.r, 0, 500*time.Millisecond, 3*time.Second, 11*time.Second, 12*time.Second, 100*time.Second, 300*time.Second))
				}
				w.log.take()
				w.rows = w.b.MDB()
				from, vid := w.r.IntN(5), pick(w.r, w.vids...)
				if !w.carries(from, vid) || from != 0 && w.p(from).Info().State != bridge.StateForwarding {
					continue
				}
				for i := range samples {
					w.holds(&samples[i], from, vid, seen)
				}
			}
			balanced(t, w.b)
		})
	}
	for _, what := range []string{"flooded", "restricted 1", "restricted 2"} {
		require.Greater(t, seen[what], 1000, "%v", seen)
	}
}
