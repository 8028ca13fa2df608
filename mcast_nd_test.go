package bridge_test

import (
	"encoding/binary"
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

// Groups of solicited nodes are restricted like any other of IPv6, so neighbour discovery
// lives by stations reporting them, as RFC 4861, section 7.2.1, has them do. Here stations
// behind the ports, and the bridge's own host, do it as Linux does: they report when an
// address comes, when their link comes, and when they are asked; in MLDv2, or in MLDv1
// after a query of MLDv1 (RFC 3810, section 8.2.1), and then they keep a report to
// themselves that another has made.

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
	mdns6      = netip.MustParseAddr("ff02::fb")
)

// solicitedNodeOf is the group of solicited nodes of an address (RFC 4291, section 2.7.1).
func solicitedNodeOf(ip netip.Addr) netip.Addr {
	a, b := solicitedNode.As16(), ip.As16()
	copy(a[13:], b[13:])
	return netip.AddrFrom16(a)
}

// A station is a host of IPv6.
type station struct {
	n       int
	port    int // 0: it is the bridge's own host
	groups  []netip.Addr
	v1      bool      // it never speaks MLDv2
	v1Until time.Time // a querier of MLDv1 is there
	due     map[netip.Addr]time.Time

	// Of a querier.
	asks bool
	mldv int
	next time.Time
}

func (s *station) old(now time.Time) bool { return s.v1 || now.Before(s.v1Until) }

// report is a report of one group.
func (s *station) report(group netip.Addr, old bool) frame.Frame {
	if old {
		return ipv6Frame(neighMAC(s.n), ip6(s.n), group, append([]byte{131, 0, 0, 0, 0, 0, 0, 0}, group.AsSlice()...))
	}
	msg := append([]byte{143, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0}, group.AsSlice()...) // MODE_IS_EXCLUDE, of no source
	return ipv6Frame(neighMAC(s.n), ip6(s.n), netip.MustParseAddr("ff02::16"), msg)
}

const stationAnswers = 10 * time.Second // Maximum Response Delay of queries

func (s *station) query() frame.Frame {
	msg := binary.BigEndian.AppendUint16([]byte{130, 0, 0, 0}, uint16(stationAnswers/time.Millisecond))
	msg = append(msg, make([]byte, 18)...)
	if s.mldv == 2 {
		msg = append(msg, 2, 125, 0, 0)
	}
	return ipv6Frame(neighMAC(s.n), ip6(s.n), allNodes, msg)
}

// A link is a lab with stations on it. Stations behind one port hear each other.
type link struct {
	*lab
	r        *rand.Rand
	vid      frame.VID // 0: the bridge filters no VLANs
	stations []*station
}

func (k *link) now() time.Time { return k.clock.now() }

// say has a station send a frame, and all that get it hear it. It gives the devices by
// which the frame left.
func (k *link) say(s *station, f frame.Frame) []string {
	out := k.in(s.port, f)
	for _, x := range k.stations {
		if x != s && x.port == s.port {
			k.hear(x, f.Data)
		}
	}
	k.deliver(out)
	return devs(out)
}

func (k *link) deliver(out []delivery) {
	for _, d := range out {
		for _, s := range k.stations {
			if d.dev == k.dev(s.port) {
				k.hear(s, d.wire)
			}
		}
	}
}

func (k *link) dev(port int) string {
	if port == 0 {
		return "br0"
	}
	return portName(port)
}

// hear is what a station does about queries, and reports of others.
func (k *link) hear(s *station, wire []byte) {
	if len(wire) < 86 || wire[12] != 0x86 || wire[20] != 0 {
		return
	}
	msg := wire[62:]
	switch msg[0] {
	case 130:
		if n := int(binary.BigEndian.Uint16(wire[18:])) - 8; n == 24 {
			s.v1Until = k.now().Add(260 * time.Second)
		}
		wait := time.Duration(binary.BigEndian.Uint16(msg[4:])) * time.Millisecond
		for _, g := range s.groups {
			at := k.now().Add(time.Duration(k.r.Int64N(int64(wait))))
			if was, ok := s.due[g]; !ok || at.Before(was) {
				s.due[g] = at
			}
		}
	case 131:
		if s.old(k.now()) {
			delete(s.due, netip.AddrFrom16([16]byte(msg[8:24])))
		}
	}
}

// arrive has a station report all its groups: its link, or its address, has come.
func (k *link) arrive(s *station) {
	for _, g := range s.groups {
		k.say(s, s.report(g, s.old(k.now())))
	}
}

// pass lets time pass: the bridge's timers run, stations answer, queriers ask.
func (k *link) pass(d time.Duration) {
	for end := k.now().Add(d); ; {
		next := end
		earlier := func(at time.Time) {
			if at.Before(next) {
				next = at
			}
		}
		at, ok := k.b.NextTimer()
		if ok {
			earlier(at)
		}
		for _, s := range k.stations {
			for _, at := range s.due {
				earlier(at)
			}
			if s.asks {
				earlier(s.next)
			}
		}
		k.clock.add(max(next.Sub(k.now()), 0))
		if ok && !at.After(k.now()) {
			k.b.Tick(k.now())
			k.deliver(k.log.take())
		}
		for _, s := range k.stations {
			k.speak(s)
		}
		if next == end {
			return
		}
	}
}

// speak has a station say what it is time for.
func (k *link) speak(s *station) {
	if s.asks && !s.next.After(k.now()) {
		s.next = k.now().Add(125 * time.Second)
		k.say(s, s.query())
	}
	for _, g := range s.groups {
		if at, ok := s.due[g]; ok && !at.After(k.now()) {
			delete(s.due, g)
			k.say(s, s.report(g, s.old(k.now())))
		}
	}
}

// discover has a station look for another's address, or, with probe, whether anybody has
// it already, and require that both hear each other.
func (k *link) discover(a, b *station, probe bool) {
	if a.port == b.port {
		return
	}
	group := solicitedNodeOf(ip6(b.n))
	ask := nd{dst: groupMACOf(group), src: neighMAC(a.n), from: ip6(a.n), to: group, target: ip6(b.n), options: sourceLink(neighMAC(a.n))}
	answer := nd{dst: neighMAC(a.n), src: neighMAC(b.n), from: ip6(b.n), to: ip6(a.n), target: ip6(b.n), kind: 136, flags: 0x60}
	if probe {
		ask.from, ask.options = netip.IPv6Unspecified(), nil
		answer.to, answer.dst = allNodes, allNodesMAC
	}
	require.Contains(k.t, k.say(a, ask.frame()), k.dev(b.port), "%v asks for %v, probe %v\n%v", a.n, b.n, probe, rows(k.b))
	require.Contains(k.t, k.say(b, answer.frame()), k.dev(a.port), "%v answers %v, probe %v", b.n, a.n, probe)
}

// discoverAll does it between all, and has routers found.
func (k *link) discoverAll() {
	for _, a := range k.stations {
		for _, b := range k.stations {
			k.discover(a, b, coin(k.r, 3))
			if slices.Contains(b.groups, allRouters) && a.port != b.port {
				rs := nd{dst: groupMACOf(allRouters), src: neighMAC(a.n), from: ip6(a.n), to: allRouters, target: netip.IPv6Unspecified(), kind: 133}
				require.Contains(k.t, k.say(a, rs.frame()), k.dev(b.port), "%v looks for routers", a.n)
				ra := nd{dst: allNodesMAC, src: neighMAC(b.n), from: ip6(b.n), to: allNodes, target: netip.IPv6Unspecified(), kind: 134}
				require.Contains(k.t, k.say(b, ra.frame()), k.dev(a.port), "%v tells of itself", b.n)
			}
		}
	}
}

// newStation makes a station with an address, that joins as that comes.
func (k *link) newStation(n, port int, groups ...netip.Addr) *station {
	s := &station{n: n, port: port, v1: coin(k.r, 4), due: map[netip.Addr]time.Time{}, mldv: pick(k.r, 1, 2)}
	s.groups = append(groups, solicitedNodeOf(ip6(n)), mdns6)
	k.stations = append(k.stations, s)
	k.arrive(s)
	return s
}

// querier sets the bridge's own.
func (k *link) querier(on bool) {
	if k.vid != 0 {
		require.NoError(k.t, k.b.SetVLANGlobal(k.vid, 0, bridge.VLANGlobalAttrs{McastQuerier: &on}))
		return
	}
	require.NoError(k.t, k.b.Set(bridge.BridgeAttrs{McastQuerier: &on}))
}

func (k *link) version(mld int) {
	if k.vid != 0 {
		require.NoError(k.t, k.b.SetVLANGlobal(k.vid, 0, bridge.VLANGlobalAttrs{McastMLDVersion: &mld}))
		return
	}
	require.NoError(k.t, k.b.Set(bridge.BridgeAttrs{McastMLDVersion: &mld}))
}

// newLink is a link with four ports.
func newLink(t testing.TB, seed uint64, perVLAN bool) *link {
	k := &link{r: rand.New(rand.NewPCG(seed, 11))}
	c := bridge.Config{McastSnooping: true, Address: neighMAC(1)} // the host is station 1
	var p bridge.PortConfig
	if perVLAN {
		k.vid = 10
		c.VLANFiltering, c.VLANs, p.VLANs = true, bridge.Access(k.vid), bridge.Access(k.vid)
	}
	k.lab = newLab(t, c)
	for n := range 4 {
		k.add(n+1, p)
	}
	require.NoError(t, k.b.Set(bridge.BridgeAttrs{McastVLANSnooping: &perVLAN}))
	if !coin(k.r, 4) {
		require.NoError(t, k.b.SetQuerySource(netip.Addr{}, ip6(200)))
	}
	return k
}

// move plugs a station in elsewhere. It joins anew as its link comes, as stations that were
// behind the two ports do: those links went too.
func (k *link) move(s *station) {
	from := s.port
	for s.port == from {
		s.port = 1 + k.r.IntN(4)
	}
	for _, n := range []int{from, s.port} {
		require.NoError(k.t, k.p(n).SetLink(true, false))
		require.NoError(k.t, k.p(n).SetLink(true, true))
		k.deliver(k.log.take())
	}
	for _, x := range k.stations {
		if x.port == from || x.port == s.port {
			k.arrive(x)
		}
	}
}

// Stations that join find each other, and routers, whatever queriers there are, were and
// come again, and whoever comes or moves.
func TestNeighbourDiscoveryUnderSnooping(t *testing.T) {
	restricted, seeds := 0, repetitions(15)
	for seed := range uint64(seeds) {
		for _, perVLAN := range []bool{false, true} {
			t.Run(fmt.Sprint(seed, " ", perVLAN), func(t *testing.T) {
				k := newLink(t, seed, perVLAN)
				k.newStation(1, 0)
				k.newStation(2, 1)
				k.newStation(3, 2)
				router := k.newStation(4, 3, allRouters)
				for range 25 {
					k.happen(router)
					k.discoverAll()
					k.pass(pick(k.r, 0, time.Second, 9*time.Second, 11*time.Second, 100*time.Second, 250*time.Second, 259*time.Second, 700*time.Second))
					k.discoverAll()
					if !slices.Contains(k.say(router, groupData(neighMAC(router.n), ip6(router.n), group6)), "p1") {
						restricted++
					}
				}
				balanced(t, k.b)
			})
		}
	}
	require.Greater(t, restricted, 10*seeds, "queriers are there often enough to restrict what nobody wants")
}

// happen is one of the things that happen on a link.
func (k *link) happen(router *station) {
	switch k.r.IntN(8) {
	case 0, 1:
		router.asks, router.next = !router.asks, k.now().Add(time.Duration(k.r.IntN(5))*time.Second)
	case 2:
		router.mldv = 3 - router.mldv
	case 3:
		k.querier(coin(k.r, 2))
		k.pass(0)
	case 4:
		k.version(1 + k.r.IntN(2))
	case 5:
		if n := len(k.stations) + 1; n < 9 {
			k.newStation(n, 1+k.r.IntN(4))
		}
	case 6:
		if s := k.stations[k.r.IntN(len(k.stations))]; s.port != 0 {
			k.move(s)
		}
	case 7:
		// Another router begins to ask, with a lower address or a higher one.
		s := k.stations[k.r.IntN(len(k.stations))]
		s.asks, s.next = coin(k.r, 2), k.now()
	}
}

// Where this ends, as in Linux: stations of MLDv1 that are in one group, whose memberships
// ran out while nobody asked. The first querier's first question is answered while nothing
// is restricted yet, so all hear the first answer and keep their own to themselves, and only
// one is a member until the next question.
func TestReportKeptToItself(t *testing.T) {
	k := newLink(t, 1, false)
	require.NoError(t, k.b.SetQuerySource(netip.Addr{}, ip6(200)))
	a, b, c := k.newStation(2, 1), k.newStation(3, 2), k.newStation(4, 3)
	for _, s := range k.stations {
		s.v1 = true
	}
	gets := func() (all []string) {
		for _, d := range k.say(a, groupData(neighMAC(a.n), ip6(a.n), mdns6)) {
			if d == k.dev(b.port) || d == k.dev(c.port) {
				all = append(all, d)
			}
		}
		return all
	}
	k.pass(300 * time.Second)
	require.Empty(t, rows(k.b))
	k.querier(true)
	k.pass(9999 * time.Millisecond)
	require.Len(t, gets(), 2, "not restricted yet")
	k.pass(time.Second)
	require.LessOrEqual(t, len(gets()), 1)
	k.discoverAll()
	k.pass(31250 * time.Millisecond)
	require.Len(t, gets(), 2, "reports go to routers alone now: everybody answers for itself")
}
