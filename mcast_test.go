package bridge_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// newMcastLab is a lab with n ports that snoops and is the querier, past the time in
// which nothing is restricted yet.
func newMcastLab(t testing.TB, c bridge.Config, n int) *lab {
	t.Helper()
	c.McastSnooping, c.McastQuerier = true, true
	l := newLabN(t, c, n)
	l.later(11 * time.Second)
	l.log.take()
	return l
}

// later lets time pass, with the timers that are due on the way.
func (l *lab) later(d time.Duration) {
	l.t.Helper()
	for end := l.clock.now().Add(d); ; {
		at, ok := l.b.NextTimer()
		if !ok || at.After(end) {
			l.clock.add(end.Sub(l.clock.now()))
			return
		}
		if step := at.Sub(l.clock.now()); step > 0 {
			l.clock.add(step)
		}
		l.b.Tick(l.clock.now())
	}
}

// rows are the multicast database in words.
func rows(b *bridge.Bridge) []string {
	all := []string{}
	for _, e := range b.MDB() {
		s := e.GroupMAC.String()
		if e.Group.IsValid() {
			s = e.Group.String()
		}
		if e.Source.IsValid() {
			s += " from " + e.Source.String()
		}
		if s += " at " + e.Port; e.VID != 0 {
			s += fmt.Sprint(" vlan ", e.VID)
		}
		if e.Permanent {
			s += " permanent"
		}
		all = append(all, s)
	}
	return all
}

// A stream reaches members and router ports only, the newest first, and the host only if
// it joined; without a querier everybody.
func TestSnooping(t *testing.T) {
	l := newLabN(t, bridge.Config{McastSnooping: true}, 4)
	data := groupData(mac(9), source4, group4)
	l.in(2, igmpReport(mac(2), group4))
	assert.Equal(t, []string{"p4", "p3", "p2", "br0"}, l.out(1, data), "nobody asks")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastQuerier: new(true)}))
	assert.Equal(t, []string{"p4", "p3", "p2", "br0"}, l.out(1, data), "not all had the time to answer")
	l.later(11 * time.Second)
	l.log.take()

	assert.Equal(t, []string{"p2"}, l.out(1, data))
	assert.Equal(t, []string{"239.1.1.1 at p2"}, rows(l.b))
	assert.Empty(t, l.out(1, groupData(mac(9), source4, group4b)), "a group that nobody wants")
	assert.Equal(t, bridge.Drop, l.p(1).Explain(groupData(mac(9), source4, group4b)).Verdict)
	assert.Equal(t, []string{"p4", "p3", "p2", "br0"}, l.out(1, groupData(mac(9), source6, group6)), "no querier for IPv6: there is no address for it")

	l.set(4, bridge.PortAttrs{McastRouter: new(2)})
	assert.Equal(t, []string{"p4", "p2"}, l.out(1, data))
	assert.Equal(t, []string{"p4"}, l.out(1, igmpReport(mac(1), group4b)), "reports of IGMPv2 go to routers alone")
	l.in(0, igmpReport(mac(0), group4))
	assert.Equal(t, []string{"p4", "p2", "br0"}, l.out(1, data))
	assert.Equal(t, []string{"p4", "p2"}, l.out(0, data), "never back to the host")
	require.NoError(t, l.b.SetAllMulti(true))
	assert.Equal(t, []string{"p4", "p1", "br0"}, l.out(2, groupData(mac(9), source4, group4b)))

	assert.Equal(t, []string{"br0", "p4", "p3", "p2", "p1"}, devs(queriesOf(l.laterOut(125*time.Second), l.b.Info().Address)))
	balanced(t, l.b)
}

// laterOut is later, and what came out.
func (l *lab) laterOut(d time.Duration) []delivery {
	l.t.Helper()
	l.later(d)
	return l.log.take()
}

// Who leaves is asked for, and forgotten without an answer; with fast leave at once.
func TestLeave(t *testing.T) {
	l := newMcastLab(t, bridge.Config{}, 3)
	l.in(2, igmpReport(mac(2), group4))
	l.in(3, igmpReport(mac(3), group4))
	l.set(3, bridge.PortAttrs{FastLeave: new(true)})
	data := groupData(mac(9), source4, group4)

	foretold := l.p(2).Explain(igmpLeave(mac(2), group4))
	assert.Equal(t, []string{"239.1.1.1 at p3", "239.1.1.1 at p2"}, rows(l.b), "Explain changes nothing")
	out := l.in(2, igmpLeave(mac(2), group4))
	require.Equal(t, []string{"p2"}, devs(queriesOf(out, l.b.Info().Address)), "the port is asked who is left")
	assert.Len(t, foretold.Out, len(out)-1, "all but the query")
	assert.Equal(t, []string{"p3", "p2"}, l.out(1, data))
	l.later(1900 * time.Millisecond)
	l.log.take()
	assert.Equal(t, []string{"p3", "p2"}, l.out(1, data))
	l.later(200 * time.Millisecond)
	l.log.take()
	assert.Equal(t, []string{"p3"}, l.out(1, data))

	assert.Empty(t, queriesOf(l.in(3, igmpLeave(mac(3), group4)), l.b.Info().Address))
	assert.Empty(t, rows(l.b))
	assert.Empty(t, l.out(1, data))
	balanced(t, l.b)
}

// With mcast_to_unicast each station gets a copy of its own, and who sent it none.
func TestToUnicast(t *testing.T) {
	l := newMcastLab(t, bridge.Config{}, 3)
	l.set(2, bridge.PortAttrs{McastToUnicast: new(true), Hairpin: new(true)})
	l.in(3, igmpReport(mac(7), group4))
	for _, n := range []int{4, 5, 6} {
		l.in(2, igmpReport(mac(n), group4))
	}
	data := groupData(mac(9), source4, group4)
	dsts := func(ds []delivery) (all []string) {
		for _, d := range ds {
			f := frame.Frame{Data: d.wire}
			all = append(all, d.dev+" "+f.Dst().String())
			assert.Equal(t, data.Data[12:], d.wire[12:])
		}
		return all
	}
	before := slices.Clone(data.Data)
	got := dsts(l.in(1, data))
	assert.ElementsMatch(t, []string{"p3 " + groupMACOf(group4).String(), "p2 " + mac(4).String(), "p2 " + mac(5).String(), "p2 " + mac(6).String()}, got)
	assert.Equal(t, "p3 "+groupMACOf(group4).String(), got[0], "the newest port first, with the frame as it is")
	assert.Equal(t, before, data.Data, "the caller's bytes are its own")

	data = groupData(mac(5), source4, group4)
	assert.ElementsMatch(t, []string{"p3 " + groupMACOf(group4).String(), "p2 " + mac(4).String(), "p2 " + mac(6).String()}, dsts(l.in(2, data)))
	e := l.p(2).Explain(data)
	require.Len(t, e.Out, 3)
	assert.Contains(t, e.String(), bridge.SkipSender.String())
	balanced(t, l.b)
}

// However many stations a port stands for, a batch is written in parts that fit.
func TestToUnicastOfMany(t *testing.T) {
	const stations = 9000
	l := newMcastLab(t, bridge.Config{Attrs: bridge.BridgeAttrs{McastHashMax: new(uint32(5))}}, 3)
	l.set(2, bridge.PortAttrs{McastToUnicast: new(true)})
	for n := range stations {
		l.in(2, igmpReport(mac(n), group4))
	}
	l.in(3, igmpReport(mac(1), group4))
	data, others := groupData(mac(9), source4, group4), ether(frame.Broadcast, mac(9))
	for _, o := range l.p(1).Explain(data).Out {
		require.Equal(t, data.Data[12:], o.Frame.Data[12:])
	}
	assert.Len(t, l.p(1).Explain(data).Out, stations+1)
	l.log.take()
	got := map[string]int{}
	for _, d := range l.in(1, data, others, data) {
		got[fmt.Sprint(d.dev, len(d.wire))]++
		if len(d.wire) == len(data.Data) && !slices.Equal(data.Data[12:], d.wire[12:]) {
			t.Fatalf("%s got % x", d.dev, d.wire)
		}
	}
	size := len(data.Data)
	assert.Equal(t, map[string]int{fmt.Sprint("p2", size): 2 * stations, fmt.Sprint("p3", size): 2, "p260": 1, "p360": 1, "br060": 1}, got)
	balanced(t, l.b)
}

// A malformed packet for a group is dropped under its own reason while snooping is on.
func TestMulticastMalformed(t *testing.T) {
	l := newMcastLab(t, bridge.Config{Attrs: bridge.BridgeAttrs{McastStats: new(true)}}, 2)
	bad := groupData(mac(9), source4, group4)
	bad.Data[24] ^= 1 // the header's checksum
	e := l.p(1).Explain(bad)
	assert.Equal(t, bridge.DropMulticast, e.Reason)
	assert.Contains(t, e.String(), bridge.McastMalformed.String())
	assert.Zero(t, l.p(1).McastStats().IGMPParseErrors)
	assert.Empty(t, l.out(1, bad))
	assert.Equal(t, uint64(1), l.ingress(1).Dropped[bridge.DropMulticast])
	assert.Equal(t, uint64(1), l.p(1).McastStats().IGMPParseErrors)
	assert.Empty(t, l.out(0, bad))
	assert.Equal(t, uint64(1), l.ingress(0).Dropped[bridge.DropMulticast])
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastSnooping: new(false)}))
	assert.Equal(t, []string{"p2", "br0"}, l.out(1, bad), "nobody looks")
	balanced(t, l.b)
}

// One group too many ends snooping, and an event tells.
func TestHashMax(t *testing.T) {
	l := newMcastLab(t, bridge.Config{Attrs: bridge.BridgeAttrs{McastHashMax: new(uint32(1))}}, 2)
	var got []bridge.Event
	defer l.b.Watch(func(e bridge.Event) {
		if e.Kind >= bridge.EventMDBAdd && e.Kind <= bridge.EventSnoopingEnded {
			got = append(got, e)
		}
	})()
	l.in(1, igmpReport(mac(1), group4))
	assert.Equal(t, bridge.DropMulticast, l.p(1).Explain(igmpReport(mac(1), group4b)).Reason)
	assert.True(t, l.b.Info().McastSnooping)
	assert.Empty(t, l.out(1, igmpReport(mac(1), group4b)), "dropped")
	assert.False(t, l.b.Info().McastSnooping)
	require.Len(t, got, 2)
	assert.Equal(t, "mdb add p1 239.1.1.1", got[0].String())
	assert.Equal(t, "snooping ended", got[1].String())
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastSnooping: new(true), McastHashMax: new(uint32(2))}))
	assert.ErrorIs(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(1), Group: netip.MustParseAddr("224.0.0.1")}), bridge.EINVAL)
	assert.ErrorIs(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(1), Group: group4, Permanent: true}), bridge.EEXIST, "what was learned is there again")
	require.NoError(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(1), Group: group6}))
	assert.ErrorIs(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(2), Group: group4b}), bridge.E2BIG)
	assert.False(t, l.b.Info().McastSnooping)
}

// Queries leave with the tag of their VLAN, pass HookLocalOut and no other point, and
// their place is in front of the frame that caused them.
func TestQueries(t *testing.T) {
	c := bridge.Config{VLANFiltering: true, VLANs: []bridge.VLAN{{VID: 10}}, McastSnooping: true}
	l := newLab(t, c)
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
	l.add(2, bridge.PortConfig{VLANs: bridge.Access(10)})
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastVLANSnooping: new(true)}))
	require.NoError(t, l.b.SetVLANGlobal(10, 0, bridge.VLANGlobalAttrs{McastQuerier: new(true)}))
	require.NoError(t, l.b.SetQuerySource(netip.Addr{}, source6))
	var seen []string
	require.NoError(t, l.b.SetFilters(bridge.Filter{Name: "all", Hooks: bridge.Hooks(
		bridge.HookPreRouting, bridge.HookForward, bridge.HookLocalOut, bridge.HookPostRouting, bridge.HookLocalIn,
	), Judge: func(s *bridge.Passage) bridge.Ruling {
		if !s.Dry && isQueryOf(wireOf(*s.Frame), l.b.Info().Address) {
			seen = append(seen, fmt.Sprint(s.Hook, " ", s.In == nil, " ", s.Out.Name(), " ", s.VID))
			if s.Out.Name() == "p2" && s.Frame.Type() == frame.TypeIPv6 {
				return bridge.FilterDrop.Because("a test")
			}
		}
		return bridge.Ruling{}
	}}))
	out := l.laterOut(0)
	tags := []string{}
	for _, d := range out {
		f := frame.Frame{Data: d.wire}
		require.True(t, f.Lift())
		tags = append(tags, fmt.Sprint(d.dev, " ", f.Tag, " ", f.Type()))
	}
	assert.ElementsMatch(t, []string{
		"p1 802.1Q vid 10 0x0800", "p1 802.1Q vid 10 0x86dd", "p2 untagged 0x0800", "br0 802.1Q vid 10 0x0800", "br0 802.1Q vid 10 0x86dd",
	}, tags)
	assert.ElementsMatch(t, []string{
		"NF_BR_LOCAL_OUT true p1 10", "NF_BR_LOCAL_OUT true p1 10", "NF_BR_LOCAL_OUT true p2 10", "NF_BR_LOCAL_OUT true p2 10",
	}, seen)
	assert.Equal(t, uint64(1), l.p(2).Stats().Egress.Refused[bridge.DropFilter])

	l.in(1, dot1q(igmpReport(mac(1), group4), 10))
	seen = nil
	out = l.in(1, dot1q(igmpLeave(mac(1), group4), 10))
	assert.Equal(t, []string{"p1", "p2", "br0"}, devs(out))
	assert.Equal(t, []string{"NF_BR_LOCAL_OUT true p1 10"}, seen)
	balanced(t, l.b)
}

// A general query has to fit in the bridge's MTU only, one that asks a member of a group
// in its port's too. Ports send what is longer than their MTU by a header and a tag.
func TestQueriesAndMTU(t *testing.T) {
	c := bridge.Config{MTU: 1500, McastSnooping: true, McastQuerier: true}
	l := newLab(t, c)
	l.add(1, bridge.PortConfig{MTU: 68})
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastIGMPVersion: new(3), McastQueryResponseInterval: new(time.Duration(0))}))
	require.NoError(t, l.b.SetQuerySource(netip.Addr{}, source6))
	queries := func(out []delivery) (n int) {
		for _, d := range out {
			if d.dev == "p1" {
				n++
			}
		}
		return n
	}
	assert.Equal(t, 2, queries(l.laterOut(time.Second)), "86 bytes of MLD")
	for want, n := range []int{5, 4} { // of 70 and 66 bytes
		group := netip.AddrFrom4([4]byte{239, 1, 1, byte(n)})
		var sources []netip.Addr
		for i := range n {
			sources = append(sources, netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}))
		}
		l.in(1, igmpReportV3(mac(1), 1, group, sources...)) // MODE_IS_INCLUDE
		l.in(1, igmpReportV3(mac(1), 6, group, sources...)) // BLOCK_OLD_SOURCES
		assert.Equal(t, want, queries(l.laterOut(time.Second)), "%d sources", n)
	}
	balanced(t, l.b)
}

// restrictGroup has the bridge restrict group4 to a port, and to another that converts to
// unicast, with four stations behind it.
func restrictGroup(t testing.TB, b *bridge.Bridge, members, unicast *bridge.Port) {
	t.Helper()
	require.NoError(t, b.Set(bridge.BridgeAttrs{McastQueryResponseInterval: new(time.Millisecond)}))
	require.NoError(t, b.Set(bridge.BridgeAttrs{McastQuerier: new(true)}))
	b.Tick(time.Now().Add(time.Second))
	require.NoError(t, unicast.Set(bridge.PortAttrs{McastToUnicast: new(true)}))
	require.NoError(t, members.Receive(igmpReport(mac(1), group4)))
	for n := range 4 {
		require.NoError(t, unicast.Receive(igmpReport(mac(n), group4)))
	}
	before := b.Stats().RxPackets
	require.NoError(t, b.Ports()[0].Receive(groupData(mac(9), source4, group4)))
	require.Equal(t, before, b.Stats().RxPackets, "the host is not in the group")
}
