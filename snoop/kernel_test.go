package snoop_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// What was found beside a running kernel.

// A source that a request names twice is refused where the second one would be added,
// and nothing stays; replacing takes it.
func TestSourceTwice(t *testing.T) {
	b := newBench(t, 1, newer)
	r := snoop.Request{Port: 1, Key: group("239.1.1.1", ""), Mode: snoop.ModeInclude, Sources: addrs("192.0.2.1", "192.0.2.1")}
	var no *snoop.Refusal
	require.ErrorAs(t, b.m.Add(b.now, r), &no)
	assert.Equal(t, snoop.EEXIST, no.Errno)
	assert.Empty(t, dump(b))
	r.Replace = true
	require.NoError(t, b.m.Add(b.now, r))
	require.ErrorAs(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: group("239.1.1.2", ""), Mode: snoop.ModeExclude, Sources: addrs("192.0.2.1", "0.0.0.0")}), &no)
	assert.Equal(t, snoop.ENOSPC, no.Errno, "nobody sends from there")
	assert.NotContains(t, dump(b), "239 1 1 2 ")
	require.ErrorAs(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: group("239.1.1.2", ""), Proto: 3}), &no)
	assert.Equal(t, snoop.ERANGE, no.Errno, "protocols of the kernel's own")
}

// A group whose only member was refused stays in the table.
func TestGroupWithoutMember(t *testing.T) {
	b := newBench(t, 2, newer)
	require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{MaxGroups: 1, EHTHostsLimit: 1}))
	require.NoError(t, b.receive(2, join4(1, "239.1.1.1")))
	require.ErrorIs(t, b.receive(2, join4(1, "239.1.1.2")), snoop.ErrTooManyGroups)
	b.m.FlushEntries(b.now, snoop.Flush{VID: new(frame.VID(7))})
	assert.Equal(t, 2, b.m.Len(), "a flush that does not mean it leaves it")
	_, err := b.m.Lookup(b.now, group("239.1.1.2", ""))
	assert.ErrorContains(t, err, "not found", "there is nothing to be seen")
	require.NoError(t, b.receive(1, join4(1, "239.1.1.2")))
	assert.Equal(t, 2, b.m.Len())
	require.NoError(t, b.m.Delete(b.now, snoop.Request{Port: 1, Key: group("239.1.1.2", "")}))
	assert.Equal(t, 1, b.m.Len(), "it goes with its last member")
}

// The host's membership can be replaced, and groups are shown while snooping is off,
// where the release has it so.
func TestReleaseOfDump(t *testing.T) {
	for _, rules := range []snoop.Rules{newer, {Sources: true, ReplaceHost: true, DumpAlways: true}} {
		b := newBench(t, 1, rules)
		r := snoop.Request{Key: group("239.1.1.1", "")}
		require.NoError(t, b.m.Add(b.now, r))
		assert.Error(t, b.m.Add(b.now, r))
		r.Replace = true
		assert.Equal(t, rules.ReplaceHost, b.m.Add(b.now, r) == nil)
		b.options(func(o *snoop.Options) { o.Snooping = false })
		assert.Equal(t, rules.DumpAlways, dump(b) != "")
	}
}

// A record that names sources twice may keep Linux from asking for others.
func TestToInTwice(t *testing.T) {
	for _, tc := range []struct {
		named []string
		asked bool
	}{{[]string{"192.0.2.1", "192.0.2.3"}, true}, {[]string{"192.0.2.1", "192.0.2.3", "192.0.2.3"}, false}} {
		b := newBench(t, 1, newer)
		b.options(modern)
		require.NoError(t, b.receive(1, report(1, record{snoop.Allow, "239.1.1.1", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}})))
		require.NoError(t, b.receive(1, report(1, record{snoop.ToIn, "239.1.1.1", tc.named})))
		for _, s := range b.rows(group("239.1.1.1", ""))[0].Sources {
			assert.Equal(t, tc.asked && s.Addr == ip("192.0.2.2"), s.Timer < 10*time.Second, "%v", s)
		}
	}
}

// A source that a request gave a station's membership stays when that goes, as the source's
// (S,G) has the MAC address of no station.
func TestSourceOfStation(t *testing.T) {
	for _, unicast := range []bool{false, true} {
		b := newBench(t, 1, newer)
		b.options(modern)
		require.NoError(t, b.m.SetPortOptions(1, snoop.PortOptions{ToUnicast: unicast, EHTHostsLimit: 1}))
		require.NoError(t, b.receive(1, report(1, record{snoop.IsEx, "239.1.1.1", nil})))
		r := snoop.Request{Port: 1, Key: group("239.1.1.1", ""), Replace: true, Mode: snoop.ModeInclude, Sources: addrs("192.0.2.1")}
		require.NoError(t, b.m.Add(b.now, r))
		require.NoError(t, b.m.Delete(b.now, r))
		assert.Equal(t, unicast, len(b.rows(group("239.1.1.1", "192.0.2.1"))) == 1)
		assert.Empty(t, b.rows(group("239.1.1.1", "")))
	}
}

// A request that gives one station a source which another station's report has made
// leaves the source without an (S,G) once that station does not want it any more. A port
// that then excludes nothing is added to (S,G) for it, and stays there for good.
func TestSourceOfAnotherStation(t *testing.T) {
	b := newBench(t, 2, newer)
	b.options(modern)
	require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{ToUnicast: true, EHTHostsLimit: 2}))
	require.NoError(t, b.receive(2, report(1, record{snoop.IsEx, "239.1.1.1", nil})))
	require.NoError(t, b.receive(2, report(2, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.1"}})))
	b.wait(200 * time.Second)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 2, Key: group("239.1.1.1", ""), Replace: true, Mode: snoop.ModeInclude, Sources: addrs("192.0.2.1")}))
	b.wait(70 * time.Second) // the other station's source ends
	assert.Empty(t, b.rows(group("239.1.1.1", "192.0.2.1")))
	require.NoError(t, b.receive(1, report(3, record{snoop.IsEx, "239.1.1.1", nil})))
	b.wait(1000 * time.Second)
	assert.Empty(t, b.rows(group("239.1.1.1", "")))
	rows := b.rows(group("239.1.1.1", "192.0.2.1"))
	require.Len(t, rows, 1)
	assert.True(t, rows[0].Port == 1 && rows[0].AddedByStarExc, "%+v", rows)
	b.m.DisablePort(b.now, 1)
	assert.Empty(t, b.rows(group("239.1.1.1", "192.0.2.1")))
}

// Of one group rows are given whether or not the bridge is up and snoops. What no group
// can be is not refused, but a source and a VLAN that none can have.
func TestLookup(t *testing.T) {
	b := newBench(t, 1, newer)
	g := group("239.1.1.1", "")
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: g, Permanent: true}))
	b.options(func(o *snoop.Options) { o.Snooping = false })
	b.m.SetUp(b.now, false)
	assert.Len(t, b.rows(g), 1)
	for _, tc := range []struct {
		key  snoop.Key
		want snoop.Errno
	}{
		{group("239.1.1.2", ""), snoop.ENOENT}, {group("10.0.0.1", ""), snoop.ENOENT}, {group("224.0.0.1", ""), snoop.ENOENT},
		{inVLAN(g, 4094), snoop.ENOENT}, {inVLAN(g, 4095), snoop.EINVAL}, {withSource(g, "224.0.0.1"), snoop.EINVAL},
		{withSource(g, "0.0.0.1"), snoop.ENOENT}, {withSource(mac("03:00:00:00:00:01"), "192.0.2.1"), snoop.EINVAL},
	} {
		var no *snoop.Refusal
		_, err := b.m.Lookup(b.now, tc.key)
		require.ErrorAs(t, err, &no, "%v", tc.key)
		assert.Equal(t, tc.want, no.Errno, "%v", tc.key)
	}
}

// A query may come from a group of the link, which Linux takes for an address of it.
func TestQueryFromGroup(t *testing.T) {
	for src, taken := range map[string]bool{"ff02::1:ff00:2": true, "ff05::2": false, "fe80::1": true, "2001:db8::1": false} {
		f := frame.Frame{Data: packet6(1, src, "ff02::1", message6(snoop.TypeMLDQuery, 1000, "::"))}
		assert.Equal(t, taken, new(snoop.Packet).Parse(&f) == nil, src)
	}
}

// A query of the bridge's own that leaves no time to answer counts as one of IGMPv1.
func TestQueryWithoutTime(t *testing.T) {
	for _, tc := range []struct {
		response time.Duration
		want     int
	}{{0, 0}, {10 * time.Second, 1}, {25600 * time.Millisecond, 0}} {
		b := newBench(t, 1, newer)
		b.m.SetStats(true)
		b.options(func(o *snoop.Options) { o.QueryResponseInterval = tc.response })
		b.options(func(o *snoop.Options) { o.Querier = true })
		b.wait(0)
		var want [3][2]uint64
		want[tc.want][snoop.Sent] = 1
		assert.Equal(t, want, b.m.Counters(1).Stats().IGMPQueries, "%v", tc.response)
	}
}

// A report whose first record fills the table, which ends snooping, shortens nothing in
// the second.
func TestReportThatEndsSnooping(t *testing.T) {
	b := newBench(t, 1, snoop.Rules{DumpAlways: true})
	b.options(modern)
	b.m.SetHashMax(2)
	require.NoError(t, b.receive(1, report(1,
		record{snoop.IsEx, "239.1.1.1", []string{"192.0.2.1", "192.0.2.2"}}, record{snoop.ToIn, "239.1.1.1", nil})))
	rows := b.rows(group("239.1.1.1", ""))
	require.Len(t, rows, 1)
	assert.Equal(t, 260*time.Second, rows[0].Timer)
	assert.Error(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: group("239.1.1.2", "")}), "no more")
}

// The bridge's own querier is shown also while VLANs have queriers of their own.
func TestQuerierBesideVLANs(t *testing.T) {
	b := newBench(t, 1, newer)
	b.options(func(o *snoop.Options) { o.Querier = true })
	b.m.SetPerVLAN(b.now, true)
	assert.True(t, b.m.Querier(b.now, 0, snoop.IPv4).Known)
}

// A router of IP behind the host is told of no group that is none of IP.
func TestHostRouterOfIP(t *testing.T) {
	b := newBench(t, 1, newer)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: mac("03:00:00:00:00:01"), Permanent: true}))
	require.NoError(t, b.receive(0, query4(1, "10.0.0.9", 100)))
	f := frame.Frame{Data: append([]byte{3, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0x0a, 2, 0x88, 0xb5}, make([]byte, 46)...)}
	decide := func() snoop.Decision {
		var p snoop.Packet
		require.NoError(t, b.m.View().Parse(&f, 0, &p))
		return b.m.View().Decide(&p, 0)
	}
	d := decide()
	assert.True(t, d.Hit)
	assert.False(t, d.Host)
	b.options(func(o *snoop.Options) { o.Router = snoop.RouterAlways })
	assert.True(t, decide().Host)
}
