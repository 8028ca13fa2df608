package snoop_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// sent gives when which ports were asked, in a family, and forgets it.
func (b *bench) sent(f snoop.Family) (ports []uint16) {
	for _, q := range b.queries {
		if q.Family == f {
			ports = append(ports, q.Port)
		}
	}
	b.queries = nil
	return ports
}

// TestStartupQueries: the count, the intervals, the copy for the host, and that no
// query is sent on a port that blocks.
func TestStartupQueries(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	b.m.SetPortState(1, snoop.Blocking)
	b.options(func(o *snoop.Options) { o.Querier, o.StartupQueryCount = true, 3 })
	for i, gap := range []time.Duration{0, 31250, 31250, 125000, 125000} {
		b.wait(gap * time.Millisecond)
		assert.ElementsMatch(t, []uint16{0, 2}, b.sent(snoop.IPv4), "query %d", i)
		b.wait(0)
		assert.Empty(t, b.sent(snoop.IPv4))
	}
	b.m.SetPortState(1, snoop.Learning)
	b.m.EnablePort(b.now, 1)
	b.wait(0)
	assert.Equal(t, []uint16{1}, b.sent(snoop.IPv4))
	b.options(func(o *snoop.Options) { o.Querier = false })
	b.wait(300 * time.Second)
	assert.Empty(t, b.sent(snoop.IPv4))
}

// TestQueryBytes holds the queries against bytes that a kernel sent, and the MLD ones
// against the fields of RFC 2710 and RFC 3810.
func TestQueryBytes(t *testing.T) {
	b := newBench(t, 1, snoop.Rules{})
	one := func(f snoop.Family) string {
		b.wait(0)
		for _, q := range b.queries {
			if q.Port == 1 && q.Family == f {
				b.queries = nil
				return hex.EncodeToString(q.Data)
			}
		}
		t.Fatal("no query")
		return ""
	}
	b.options(func(o *snoop.Options) { o.Querier, o.QueryResponseInterval = true, 10500*time.Millisecond })
	assert.Equal(t, "01005e000001"+"020000000b00"+"0800"+"46c00020000040000102041700000000e000000194040000"+"1169ee9600000000", one(snoop.IPv4))
	b.options(func(o *snoop.Options) { o.Querier = false })
	b.options(func(o *snoop.Options) { modern(o); o.Querier = true })
	v3 := one(snoop.IPv4)
	assert.Equal(t, "1169ec1900000000027d0000", v3[76:])

	b.options(func(o *snoop.Options) { o.Querier, o.MLDVersion = false, 1 })
	b.options(func(o *snoop.Options) { o.Querier = true })
	mld := one(snoop.IPv6)
	assert.Equal(t, "333300000001"+"020000000b00"+"86dd"+"60000000"+"0020"+"0001"+
		"fe80000000000000000000000000000b"+"ff020000000000000000000000000001"+"3a00050200000100"+"8200", mld[:128])
	data, err := hex.DecodeString(mld)
	require.NoError(t, err)
	p, err := parse(t, data)
	require.NoError(t, err)
	delay(10500*time.Millisecond, 1)(t, p)
}

// TestUseIfAddr: the address of IGMP queries.
func TestUseIfAddr(t *testing.T) {
	b := newBench(t, 1, snoop.Rules{})
	b.m.SetSource(snoop.Source{MAC: bridgeMAC, IPv4: ip("192.0.2.7")})
	b.options(func(o *snoop.Options) { o.Querier, o.QueryUseIfAddr = true, true })
	b.wait(0)
	require.NotEmpty(t, b.queries)
	for _, q := range b.queries {
		p, err := parse(t, q.Data)
		require.NoError(t, err)
		assert.Equal(t, snoop.IPv4, q.Family, "without an IPv6 address no MLD query")
		assert.Equal(t, ip("192.0.2.7"), p.Src)
	}
	assert.Equal(t, ip("192.0.2.7"), b.m.Querier(b.now, 0, snoop.IPv4).Addr)
}

// TestElection: who is the querier, row by row (RFC 3376, section 6.6.2, as Linux
// does it).
func TestElection(t *testing.T) {
	tests := []struct {
		name   string
		own    bool
		source bool // queries come from 192.0.2.7
		first  string
		then   string
		want   string
	}{
		{"nobody", false, false, "", "10.0.0.9", "10.0.0.9"},
		{"a lower address", false, false, "10.0.0.9", "10.0.0.8", "10.0.0.8"},
		{"the same address", false, false, "10.0.0.9", "10.0.0.9", "10.0.0.9"},
		{"a higher address", false, false, "10.0.0.9", "10.0.0.10", "10.0.0.9"},
		{"0.0.0.0 is low", false, false, "10.0.0.9", "0.0.0.0", "0.0.0.0"},
		{"and means nobody", false, false, "0.0.0.0", "10.0.0.9", "10.0.0.9"},
		{"against an own querier without address", true, false, "", "10.0.0.9", "10.0.0.9"},
		{"against an own querier that is lower", true, true, "", "192.0.2.8", "192.0.2.7"},
		{"against an own querier that is higher", true, true, "", "192.0.2.6", "192.0.2.6"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 3, snoop.Rules{})
			if tc.source {
				b.m.SetSource(snoop.Source{MAC: bridgeMAC, IPv4: ip("192.0.2.7")})
			}
			b.options(func(o *snoop.Options) { o.Querier, o.QueryUseIfAddr = tc.own, tc.source })
			b.wait(0)
			if tc.first != "" {
				require.NoError(t, b.receive(2, query4(1, tc.first, 1)))
			}
			require.NoError(t, b.receive(3, query4(2, tc.then, 1)))
			q := b.m.Querier(b.now, 0, snoop.IPv4)
			assert.Equal(t, ip(tc.want), q.Addr)
			assert.Equal(t, tc.want != "192.0.2.7", q.Other)
			if q.Other {
				assert.Equal(t, 255*time.Second, q.Timer)
				b.queries = nil
				b.wait(254 * time.Second)
				assert.Empty(t, b.sent(snoop.IPv4), "the bridge is silent")
				b.wait(time.Second + 4*time.Millisecond)
				if tc.own {
					assert.ElementsMatch(t, []uint16{0, 1, 2, 3}, b.sent(snoop.IPv4))
				}
				assert.Equal(t, tc.own, b.m.Querier(b.now, 0, snoop.IPv4).Known)
			}
		})
	}
}

// TestRestriction: when groups begin to be restricted.
func TestRestriction(t *testing.T) {
	hit := func(b *bench) bool {
		_, hit := b.targets(data("10.0.0.1", "239.1.1.1"))
		return hit
	}
	t.Run("no querier", func(t *testing.T) {
		b := newBench(t, 2, snoop.Rules{})
		require.NoError(t, b.receive(2, join4(1, "239.1.1.1")))
		assert.False(t, hit(b))
	})
	t.Run("after the response time of the first query", func(t *testing.T) {
		b := newBench(t, 2, snoop.Rules{})
		require.NoError(t, b.receive(1, query4(1, "10.0.0.9", 30)))
		b.wait(2999 * time.Millisecond)
		assert.False(t, hit(b))
		require.NoError(t, b.receive(1, query4(1, "10.0.0.9", 100)))
		b.wait(time.Millisecond)
		assert.True(t, hit(b), "a later query begins no new delay")
		b.wait(255 * time.Second)
		assert.False(t, hit(b), "the querier is gone")
	})
	t.Run("own querier", func(t *testing.T) {
		b := newBench(t, 2, snoop.Rules{})
		b.options(func(o *snoop.Options) { o.Querier = true })
		b.wait(9999 * time.Millisecond)
		assert.False(t, hit(b))
		b.wait(time.Millisecond)
		assert.True(t, hit(b))
		_, hit6 := b.targets(data("2001:db8::1", "ff0e::1"))
		assert.True(t, hit6)
		b.m.SetSource(snoop.Source{MAC: bridgeMAC})
		_, hit6 = b.targets(data("2001:db8::1", "ff0e::1"))
		assert.False(t, hit6, "no querier for IPv6 without an address")
	})
	t.Run("the other family does not count", func(t *testing.T) {
		b := newBench(t, 2, snoop.Rules{})
		require.NoError(t, b.receive(1, query6(1, "fe80::9", 100)))
		b.wait(time.Second)
		assert.False(t, hit(b))
		_, hit6 := b.targets(data("2001:db8::1", "ff0e::1"))
		assert.True(t, hit6)
	})
	t.Run("never the groups of the link", func(t *testing.T) {
		b := newBench(t, 2, snoop.Rules{})
		require.NoError(t, b.receive(1, query4(1, "10.0.0.9", 1)))
		require.NoError(t, b.receive(1, query6(1, "fe80::9", 100)))
		b.wait(time.Second)
		for _, x := range [][]byte{data("10.0.0.1", "224.0.0.251"), data("fe80::1", "ff02::1"), report(1, record{snoop.IsIn, "239.1.1.1", nil})} {
			_, hit := b.targets(x)
			assert.False(t, hit)
		}
		_, hit := b.targets(join4(1, "239.1.1.1"))
		assert.True(t, hit)
	})
}

// TestQueriesOfOthers: what queries for one group do, and which are passed over.
func TestQueriesOfOthers(t *testing.T) {
	ask4 := func(body []byte) []byte { return packet4(9, "10.0.0.9", "239.1.1.1", 2, sumIGMP(body)) }
	v2 := message(snoop.TypeIGMPQuery, 10, "239.1.1.1")
	v3 := append(message(snoop.TypeIGMPQuery, 10, "239.1.1.1"), 2, 125, 0, 0)
	suppressed := append(message(snoop.TypeIGMPQuery, 10, "239.1.1.1"), 8|2, 125, 0, 0)
	sources := append(message(snoop.TypeIGMPQuery, 10, "239.1.1.1"), 2, 125, 0, 1, 10, 0, 0, 1)
	tests := []struct {
		name   string
		query  []byte
		modern bool
		want   time.Duration
	}{
		{"v2", ask4(v2), false, 2 * time.Second},
		{"v3", ask4(v3), false, 2 * time.Second},
		{"v3 suppressed, the bridge at v2", ask4(suppressed), false, 2 * time.Second},
		{"v3 suppressed", ask4(suppressed), true, 260 * time.Second},
		{"with sources", ask4(sources), true, 260 * time.Second},
		{"MLDv1", packet6(9, "fe80::9", "ff0e::1", message6(snoop.TypeMLDQuery, 1000, "ff0e::1")), false, 2 * time.Second},
		{"MLDv1 without time", packet6(9, "fe80::9", "ff0e::1", message6(snoop.TypeMLDQuery, 0, "ff0e::1")), false, 260 * time.Second},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 2, snoop.Rules{})
			if tc.modern {
				b.options(modern)
			}
			require.NoError(t, b.receive(2, join4(1, "239.1.1.1")))
			require.NoError(t, b.receive(0, join6(1, "ff0e::1")))
			require.NoError(t, b.receive(2, join6(1, "ff0e::1")))
			require.NoError(t, b.receive(1, tc.query))
			g := "239.1.1.1"
			if tc.name[0] == 'M' {
				g = "ff0e::1"
			}
			for _, r := range b.rows(group(g, "")) {
				assert.Equal(t, tc.want, r.Timer)
			}
			assert.Empty(t, b.m.RouterPorts(b.now, 0), "only a general query tells of a router")
		})
	}
}

// TestSourceQueries: what is asked, and how often, when a source may have lost its
// last listener.
func TestSourceQueries(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	b.options(func(o *snoop.Options) { modern(o); o.Querier, o.LastMemberCount = true, 3 })
	b.wait(20 * time.Second)
	tell := func(r record) {
		r.group = "239.1.1.1"
		require.NoError(t, b.receive(2, report(1, r)))
	}
	last := func() (all []string) {
		for _, q := range b.queries {
			if q.Family == snoop.IPv4 && q.Port == 2 && len(q.Data) >= 50 {
				p, err := parse(t, q.Data)
				require.NoError(t, err)
				if p.Group != (snoop.Addr{}) {
					assert.Equal(t, ip("239.1.1.1"), p.Dst)
					all = append(all, hex.EncodeToString(q.Data[46:]))
				}
			}
		}
		b.queries = nil
		return all
	}
	tell(record{typ: snoop.IsIn, sources: []string{"192.0.2.1", "192.0.2.2"}})
	assert.Empty(t, last())
	tell(record{typ: snoop.Block, sources: []string{"192.0.2.1"}})
	assert.Empty(t, last(), "the first query is due with the first retransmission")
	for i := range 3 {
		b.wait(time.Second)
		assert.Equal(t, []string{"027d0001c0000201"}, last(), "%d s", i+1)
	}
	b.wait(10 * time.Second)
	assert.Empty(t, last())
	assert.Len(t, b.rows(group("239.1.1.1", ""))[0].Sources, 1)

	tell(record{typ: snoop.ToEx})
	last()
	tell(record{typ: snoop.ToIn})
	assert.Equal(t, []string{"027d0000"}, last(), "the group, at once")
	b.wait(time.Second)
	assert.Equal(t, []string{"0a7d0000"}, last(), "and again with the S flag")
	b.wait(time.Second)
	assert.Equal(t, []string{"0a7d0000"}, last())
	b.wait(10 * time.Second)
	assert.Empty(t, last())
	assert.Zero(t, b.m.Len())
}

// TestRouterPorts has the modes of a port: what it is at once, after a query, and
// after the querier interval without one.
func TestRouterPorts(t *testing.T) {
	tests := []struct {
		mode                snoop.Router
		now, queried, after bool
		becomes             snoop.Router
	}{
		{snoop.RouterNever, false, false, false, snoop.RouterNever},
		{snoop.RouterLearned, false, true, false, snoop.RouterLearned},
		{snoop.RouterAlways, true, true, true, snoop.RouterAlways},
		{snoop.RouterTemporary, true, true, false, snoop.RouterLearned},
	}
	for _, tc := range tests {
		for _, pim := range []bool{false, true} {
			b := newBench(t, 2, snoop.Rules{})
			hello := query4(9, "10.0.0.9", 1)
			if pim {
				hello = packet4(9, "10.0.0.9", "224.0.0.13", 103, []byte{0x20, 0, 0, 0})
			}
			is := func(want bool, when string) {
				t.Helper()
				ports := b.m.RouterPorts(b.now, 0)
				require.Equal(t, want, len(ports) == 1, "mode %d %s", tc.mode, when)
			}
			require.NoError(t, b.m.SetPortRouter(b.now, 2, 0, tc.mode))
			is(tc.now, "at once")
			b.wait(10 * time.Second)
			require.NoError(t, b.receive(2, hello))
			is(tc.queried, "after a query")
			b.wait(255*time.Second - 1)
			is(tc.queried, "before the interval is over")
			b.wait(1)
			is(tc.after, "after the interval")
			got, _ := b.m.PortRouter(2, 0)
			assert.Equal(t, tc.becomes, got)
		}
	}
}

// TestRouterEvents: one event when the first family begins, and one when the last
// ends.
func TestRouterEvents(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	kinds := func() (all []snoop.EventKind) {
		for _, e := range b.events {
			all = append(all, e.Kind)
		}
		b.events = nil
		return all
	}
	require.NoError(t, b.receive(2, query4(9, "10.0.0.9", 1)))
	require.NoError(t, b.receive(2, query6(9, "fe80::9", 100)))
	assert.Equal(t, []snoop.EventKind{snoop.RouterAdded}, kinds())
	r := b.m.RouterPorts(b.now, 0)
	require.Len(t, r, 1)
	assert.Equal(t, snoop.RouterPort{Port: 2, Type: snoop.RouterLearned, Timer4: 255 * time.Second, Timer6: 255 * time.Second}, r[0])
	b.wait(100 * time.Second)
	require.NoError(t, b.receive(2, query6(9, "fe80::9", 100)))
	b.wait(155 * time.Second)
	assert.Empty(t, kinds())
	assert.Negative(t, b.m.RouterPorts(b.now, 0)[0].Timer4)
	b.wait(100 * time.Second)
	assert.Equal(t, []snoop.EventKind{snoop.RouterRemoved}, kinds())

	require.NoError(t, b.m.SetPortRouter(b.now, 1, 0, snoop.RouterAlways))
	b.m.DisablePort(b.now, 1)
	b.m.EnablePort(b.now, 1)
	assert.Equal(t, []snoop.EventKind{snoop.RouterAdded, snoop.RouterRemoved, snoop.RouterAdded}, kinds())
}

// TestHostRouter has the bridge's own modes: whether its host gets what is not
// registered.
func TestHostRouter(t *testing.T) {
	for mode, want := range map[snoop.Router][2]bool{snoop.RouterNever: {false, false}, snoop.RouterLearned: {false, true}, snoop.RouterAlways: {true, true}} {
		b := newBench(t, 2, snoop.Rules{})
		b.options(func(o *snoop.Options) { o.Router = mode })
		require.NoError(t, b.receive(1, query4(1, "10.0.0.9", 1)))
		b.wait(time.Second)
		host := func() bool {
			f := frame.Frame{Data: data("10.0.0.1", "239.1.1.1")}
			var p snoop.Packet
			require.NoError(t, p.Parse(&f))
			d := b.m.View().Decide(&p, 0)
			require.True(t, d.Hit)
			return d.Host
		}
		assert.Equal(t, want[0], host(), "mode %d", mode)
		require.NoError(t, b.receive(0, query4(2, "10.0.0.8", 1)))
		b.wait(time.Second)
		assert.Equal(t, want[1], host(), "mode %d, the host asks", mode)
	}
}

func TestBadSettings(t *testing.T) {
	b := newBench(t, 1, snoop.Rules{})
	for _, do := range []func(*snoop.Options){
		func(o *snoop.Options) { o.IGMPVersion = 1 }, func(o *snoop.Options) { o.IGMPVersion = 4 },
		func(o *snoop.Options) { o.MLDVersion = 0 }, func(o *snoop.Options) { o.MLDVersion = 3 },
		func(o *snoop.Options) { o.Router = snoop.RouterTemporary },
	} {
		o := snoop.DefaultOptions
		do(&o)
		o.Querier = true
		var r *snoop.Refusal
		require.ErrorAs(t, b.m.SetOptions(0, 0, o), &r)
		assert.Equal(t, snoop.EINVAL, r.Errno)
		got, _ := b.m.Options(0)
		assert.Equal(t, snoop.DefaultOptions, got)
	}
	b.options(func(o *snoop.Options) { o.QueryInterval, o.StartupQueryInterval = 0, 1000*time.Hour })
	got, _ := b.m.Options(0)
	assert.Equal(t, time.Second, got.QueryInterval)
	assert.Equal(t, 24*time.Hour, got.StartupQueryInterval)
	assert.ErrorContains(t, b.m.SetOptions(0, 5, snoop.DefaultOptions), "ENOENT")
	assert.ErrorContains(t, b.m.SetPortRouter(0, 1, 0, 4), "EINVAL")
	assert.ErrorContains(t, b.m.SetPortRouter(0, 1, 7, 1), "ENOENT")
	assert.ErrorContains(t, b.m.SetPortOptions(1, snoop.PortOptions{}), "EINVAL")
	assert.ErrorContains(t, b.m.SetPortMaxGroups(1, 0, 1), "EINVAL")
}
