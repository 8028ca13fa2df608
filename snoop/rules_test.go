package snoop_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// A message of IGMP needs no Router Alert and no TTL of 1; one of MLD does need the
// hop-by-hop header that bears its Router Alert, or it is data.
func TestRouterAlert(t *testing.T) {
	msg := message(snoop.TypeIGMPv2Report, 0, "239.1.1.1")
	plain := packet4(1, host4(1), "239.1.1.1", 2, msg)
	plain = slices.Concat(plain[:34], msg)
	plain[14], plain[22] = 0x45, 64
	binary.BigEndian.PutUint16(plain[16:], uint16(20+len(msg)))
	binary.BigEndian.PutUint16(plain[24:], 0)
	binary.BigEndian.PutUint16(plain[24:], frame.Checksum(plain[14:34], 0))
	p, err := parse(t, plain)
	require.NoError(t, err)
	assert.Equal(t, snoop.KindReport, p.Kind)

	mld := join6(1, "ff0e::1")
	bare := slices.Concat(mld[:54], mld[62:])
	bare[20] = 58
	binary.BigEndian.PutUint16(bare[18:], uint16(len(bare)-54))
	p, err = parse(t, bare)
	require.NoError(t, err)
	assert.Equal(t, snoop.KindData, p.Kind)
	assert.True(t, p.RoutersOnly)
	b := newBench(t, 2, snoop.Rules{})
	require.NoError(t, b.receive(2, bare))
	assert.Zero(t, b.m.Len())
}

// With IGMPv2 and MLDv1 records are joins and leaves: who wants nothing leaves, everything
// else joins, whatever its sources. So it is for the host in any version.
func TestRecordsWithoutSources(t *testing.T) {
	for _, tc := range []struct {
		typ     snoop.RecordType
		sources []string
		joins   bool
	}{
		{snoop.IsIn, nil, false}, {snoop.ToIn, nil, false}, {snoop.IsIn, []string{"a"}, true}, {snoop.ToIn, []string{"a"}, true},
		{snoop.IsEx, nil, true}, {snoop.ToEx, []string{"a"}, true}, {snoop.Allow, []string{"a"}, true}, {snoop.Block, []string{"a"}, true}, {snoop.Block, nil, true},
	} {
		for _, g := range []string{"239.1.1.1", "ff0e::1"} {
			for _, port := range []uint16{0, 2} {
				b := newBench(t, 2, snoop.Rules{})
				if port == 0 {
					b.options(modern)
				}
				r := record{typ: tc.typ, group: g}
				for _, s := range tc.sources {
					r.sources = append(r.sources, sourceNames[g[0] == '2'][s])
				}
				require.NoError(t, b.receive(port, report(1, r)))
				rows := b.rows(group(g, ""))
				require.Equal(t, tc.joins, len(rows) == 1, "%v", tc)
				if tc.joins {
					assert.Equal(t, 260*time.Second, rows[0].Timer)
					assert.Empty(t, rows[0].Sources)
					assert.Equal(t, 1, b.m.Len(), "no (S,G)")
					leave := leave4(1, g)
					if g[0] == 'f' {
						leave = leave6(1, g)
					}
					require.NoError(t, b.receive(port, leave))
					b.wait(2 * time.Second)
				}
				assert.Zero(t, b.m.Len())
			}
		}
	}
}

// Who is the querier for IPv6. A bridge that asks and has no address is one with the lowest,
// ::, which nobody beats, though it sends nothing and does not count.
func TestElectionOfIPv6(t *testing.T) {
	for _, tc := range []struct {
		name        string
		own         bool
		ip6         string
		first, then string
		want        string // "": nobody else
	}{
		{"nobody", false, "::", "", "fe80::9", "fe80::9"},
		{"a lower address", false, "::", "fe80::9", "fe80::8", "fe80::8"},
		{"a higher address", false, "::", "fe80::9", "fe80::a", "fe80::9"},
		{"against an own querier that is lower", true, "fe80::7", "", "fe80::8", ""},
		{"against an own querier that is higher", true, "fe80::7", "", "fe80::6", "fe80::6"},
		{"against an own querier without address", true, "::", "", "fe80::1", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 3, snoop.Rules{})
			b.m.SetSource(snoop.Source{MAC: bridgeMAC, IPv6: ip(tc.ip6)})
			b.options(func(o *snoop.Options) { o.Querier = tc.own })
			b.wait(20 * time.Second)
			if tc.first != "" {
				require.NoError(t, b.receive(2, query6(1, tc.first, 1)))
			}
			require.NoError(t, b.receive(3, query6(2, tc.then, 1)))
			b.wait(time.Second)
			q := b.m.Querier(b.now, 0, snoop.IPv6)
			assert.Equal(t, tc.want != "", q.Other)
			if q.Other {
				assert.Equal(t, ip(tc.want), q.Addr)
			}
			_, hit := b.targets(data("2001:db8::1", "ff0e::1"))
			assert.Equal(t, q.Other || tc.own && tc.ip6 != "::", hit)
			if tc.want == "" {
				assert.Empty(t, b.m.RouterPorts(b.now, 0), "who is not taken is no router either")
			}
		})
	}
}

// Sources that may have lost their last listener have the last member query time left,
// whoever asks; only the querier asks.
func TestWhoAsksForSources(t *testing.T) {
	for _, tc := range []struct {
		own, other bool
		asks       bool
	}{{false, false, false}, {true, false, true}, {true, true, false}} {
		b := newBench(t, 2, snoop.Rules{})
		b.options(modern)
		b.options(func(o *snoop.Options) { o.Querier = tc.own })
		b.wait(20 * time.Second)
		if tc.other {
			require.NoError(t, b.receive(1, query4(9, "10.0.0.9", 1)))
		}
		require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", expand(true, "ab")})))
		b.queries = nil
		require.NoError(t, b.receive(2, report(1, record{snoop.Block, "239.1.1.1", expand(true, "a")})))
		b.wait(time.Second)
		assert.Equal(t, tc.asks, len(b.sent(snoop.IPv4)) > 0, "%v", tc)
		assert.Equal(t, "IN(a1 b259) 0", state(true, b.rows(group("239.1.1.1", ""))))
	}
}

// What outlives snooping, a port that goes down, and fast leave: what requests made for good,
// what the host has joined, and that a port is a router's always.
func TestWhatStays(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{DumpAlways: true})
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 2, Key: group("239.1.1.1", ""), Permanent: true}))
	require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{FastLeave: true, EHTHostsLimit: 1}))
	require.NoError(t, b.m.SetPortRouter(b.now, 2, 0, snoop.RouterAlways))
	require.NoError(t, b.receive(2, leave4(1, "239.1.1.1")))
	require.NoError(t, b.receive(2, join4(1, "239.1.1.2")))
	require.NoError(t, b.receive(0, join4(1, "239.1.1.3")))
	require.NoError(t, b.receive(1, query4(9, "10.0.0.9", 1)))
	assert.Equal(t, 3, b.m.Len())
	assert.Len(t, b.m.RouterPorts(b.now, 0), 2)
	for _, off := range []func(on bool){
		func(on bool) { b.options(func(o *snoop.Options) { o.Snooping = on }) },
		func(on bool) {
			if b.m.SetPortState(2, snoop.Disabled); on {
				b.m.SetPortState(2, snoop.Forwarding)
				b.m.EnablePort(b.now, 2)
				return
			}
			b.m.DisablePort(b.now, 2)
		},
	} {
		off(false)
		assert.NotEmpty(t, b.rows(group("239.1.1.1", "")), "permanent")
		assert.Empty(t, b.rows(group("239.1.1.2", "")), "learned")
		assert.NotEmpty(t, b.rows(group("239.1.1.3", "")), "the host's")
		off(true)
		routers := b.m.RouterPorts(b.now, 0)
		require.Len(t, routers, 1)
		assert.Equal(t, uint16(2), routers[0].Port)
		require.NoError(t, b.receive(2, join4(1, "239.1.1.2")))
	}
	b.m.RemovePort(b.now, 2)
	assert.Equal(t, 1, b.m.Len())
}

// Snooping that is turned off and on again has forgotten who is where, not that there is a
// querier: until stations have answered groups reach routers only.
func TestSnoopingTurnedOnAgain(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	b.options(func(o *snoop.Options) { o.Querier = true })
	b.wait(20 * time.Second)
	require.NoError(t, b.receive(2, join6(1, "ff02::1:ff00:1")))
	for _, on := range []bool{false, true} {
		b.options(func(o *snoop.Options) { o.Snooping = on })
	}
	b.queries = nil
	ports, hit := b.targets(data("fe80::2", "ff02::1:ff00:1"))
	assert.True(t, hit)
	assert.Empty(t, ports)
	b.wait(0)
	assert.ElementsMatch(t, []uint16{0, 1, 2}, b.sent(snoop.IPv6), "all are asked at once")
}

// A port that is DISABLED in a VLAN joins nothing there; one that is BLOCKING does.
func TestStatesOfVLANs(t *testing.T) {
	b := perVLAN(t)
	for s, joins := range map[snoop.PortState]bool{
		snoop.Disabled: false, snoop.Blocking: true, snoop.Listening: true, snoop.Learning: true, snoop.Forwarding: true,
	} {
		b.m.SetVLANState(b.now, 2, 10, s)
		require.NoError(t, b.receiveIn(2, 10, join4(1, "239.1.1.1")))
		assert.Equal(t, joins, b.m.Len() == 1, "state %d", s)
		_ = b.m.Delete(b.now, snoop.Request{Port: 2, Key: inVLAN(group("239.1.1.1", ""), 10)})
	}
}

// On which ports the querier asks. One that is not on lets its timers run out.
func TestWhereQueriesGo(t *testing.T) {
	b := newBench(t, 6, snoop.Rules{})
	b.wait(0)
	_, runs := b.m.NextTimer()
	assert.False(t, runs)
	assert.Empty(t, b.queries)
	for i, s := range []snoop.PortState{snoop.Disabled, snoop.Listening, snoop.Learning, snoop.Forwarding, snoop.Blocking} {
		b.m.SetPortState(uint16(i+1), s)
	}
	b.options(func(o *snoop.Options) { o.Querier = true })
	b.wait(0)
	assert.ElementsMatch(t, []uint16{0, 2, 3, 4, 6}, b.sent(snoop.IPv4))
}
