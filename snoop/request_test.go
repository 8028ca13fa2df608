package snoop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

var newer = snoop.Rules{Sources: true, MaxGroups: true}

func mac(g string) snoop.Key { return snoop.Key{Group: snoop.MACAddr(frame.MustParseMAC(g))} }

func inVLAN(k snoop.Key, vid frame.VID) snoop.Key {
	k.VID = vid
	return k
}

func withSource(k snoop.Key, s string) snoop.Key {
	k.Source = ip(s)
	return k
}

func addrs(all ...string) (list []snoop.Addr) {
	for _, s := range all {
		list = append(list, ip(s))
	}
	return list
}

// TestRefusals has each reason for which a request is refused, and that nothing has
// changed then.
func TestRefusals(t *testing.T) {
	g, sg := group("239.1.1.1", ""), group("239.1.1.1", "192.0.2.1")
	many := func(n int) (list []snoop.Addr) {
		for i := range n {
			list = append(list, ip(fmt.Sprintf("192.0.2.%d", i+1)))
		}
		return list
	}
	tests := []struct {
		name  string
		set   func(b *bench)
		req   snoop.Request
		errno snoop.Errno
		text  string
	}{
		{name: "not multicast", req: snoop.Request{Port: 1, Key: group("10.0.0.1", "")}, text: "IPv4 entry group address is not multicast"},
		{name: "0.0.0.0", req: snoop.Request{Port: 1, Key: group("0.0.0.0", "")}, text: "not multicast"},
		{name: "of the link", req: snoop.Request{Port: 1, Key: group("224.0.0.5", "")}, text: "local multicast"},
		{name: "ff02::1", req: snoop.Request{Port: 1, Key: group("ff02::1", "")}, text: "link-local all nodes"},
		{name: "unicast MAC", req: snoop.Request{Port: 1, Key: mac("02:00:00:00:00:01"), Permanent: true}, text: "L2 entry group is not multicast"},
		{name: "L2 with a source", req: snoop.Request{Port: 1, Key: withSource(mac("03:00:00:00:00:01"), "192.0.2.1"), Permanent: true}, text: "Invalid protocol"},
		{name: "L2 for a while", req: snoop.Request{Port: 1, Key: mac("03:00:00:00:00:01")}, text: "Only permanent L2"},
		{name: "VLAN 4095", req: snoop.Request{Port: 1, Key: inVLAN(g, 4095)}, text: "VLAN id"},
		{name: "multicast source", req: snoop.Request{Port: 1, Key: group("239.1.1.1", "239.1.1.2")}, text: "multicast source address"},
		{name: "bridge down", set: func(b *bench) { b.m.SetUp(b.now, false) }, req: snoop.Request{Port: 1, Key: g}, text: "not running"},
		{name: "snooping off", set: func(b *bench) { b.options(func(o *snoop.Options) { o.Snooping = false }) }, req: snoop.Request{Port: 1, Key: g}, text: "processing is disabled"},
		{name: "no port", req: snoop.Request{Port: 9, Key: g}, text: "not a bridge port"},
		{name: "host for good", req: snoop.Request{Key: g, Permanent: true}, text: "Flags are not allowed"},
		{name: "host with a source", req: snoop.Request{Key: sg}, text: "cannot be manually host joined"},
		{name: "port disabled", set: func(b *bench) { b.m.SetPortState(1, snoop.Disabled) }, req: snoop.Request{Port: 1, Key: g}, text: "disabled state"},
		{name: "no VLAN", set: func(b *bench) { b.m.SetPerVLAN(b.now, true) }, req: snoop.Request{Port: 1, Key: g}, text: "without a vlan"},
		{name: "no such VLAN", set: func(b *bench) { b.m.SetPerVLAN(b.now, true) }, req: snoop.Request{Port: 1, Key: inVLAN(g, 5)}, text: "not configured"},
		{name: "VLAN off", set: func(b *bench) {
			b.m.SetPerVLAN(b.now, true)
			b.m.AddVLAN(5)
			o := snoop.DefaultOptions
			o.Snooping = false
			require.NoError(t, b.m.SetOptions(b.now, 5, o))
		}, req: snoop.Request{Port: 1, Key: inVLAN(g, 5)}, text: "Vlan's multicast processing is disabled"},
		{name: "table full", set: func(b *bench) { b.m.SetHashMax(0) }, req: snoop.Request{Port: 1, Key: g}, errno: snoop.E2BIG},
		{name: "too many groups", set: func(b *bench) {
			require.NoError(t, b.m.SetPortOptions(1, snoop.PortOptions{MaxGroups: 1, EHTHostsLimit: 1}))
			require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: group("239.9.9.9", "")}))
		}, req: snoop.Request{Port: 1, Key: g}, errno: snoop.ENOMEM, text: "Port is already in 1 groups, and mcast_max_groups=1"},
		{name: "(*,G) exists", set: func(b *bench) { require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: g})) }, req: snoop.Request{Port: 1, Key: g}, errno: snoop.EEXIST, text: "(*, G) group is already joined by port"},
		{name: "(S,G) exists", set: func(b *bench) { require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: sg})) }, req: snoop.Request{Port: 1, Key: sg}, errno: snoop.EEXIST, text: "(S, G) group is already joined by port"},
		{name: "host exists", set: func(b *bench) { require.NoError(t, b.m.Add(b.now, snoop.Request{Key: g})) }, req: snoop.Request{Key: g}, errno: snoop.EEXIST, text: "already joined by host"},
		{name: "source has an entry", set: func(b *bench) { require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: sg})) },
			req: snoop.Request{Port: 1, Key: g, Mode: snoop.ModeInclude, Sources: addrs("192.0.2.1")}, errno: snoop.EEXIST},
		{name: "include nobody", req: snoop.Request{Port: 1, Key: g, Mode: snoop.ModeInclude}, text: "INCLUDE with an empty source list"},
		{name: "sources without mode", req: snoop.Request{Port: 1, Key: g, Sources: addrs("192.0.2.1")}, text: "without filter mode"},
		{name: "mode of (S,G)", req: snoop.Request{Port: 1, Key: sg, Mode: snoop.ModeExclude}, text: "Filter mode can only be set for (*, G)"},
		{name: "mode of L2", req: snoop.Request{Port: 1, Key: mac("03:00:00:00:00:01"), Permanent: true, Mode: snoop.ModeExclude}, text: "Filter mode can only"},
		{name: "mode of the host", req: snoop.Request{Key: g, Mode: snoop.ModeExclude}, text: "host groups"},
		{name: "sources of the host", req: snoop.Request{Key: g, Sources: addrs("192.0.2.1")}, text: "host groups"},
		{name: "sources of (S,G)", req: snoop.Request{Port: 1, Key: sg, Sources: addrs("192.0.2.1")}, text: "Source list can only"},
		{name: "protocol of the host", req: snoop.Request{Key: g, Proto: 99}, text: "host groups"},
		{name: "a protocol of the kernel's", req: snoop.Request{Port: 1, Key: g, Proto: snoop.ProtoKernel}, errno: snoop.ERANGE},
		{name: "no such mode", req: snoop.Request{Port: 1, Key: g, Mode: 3}, text: "filter mode"},
		{name: "multicast in the list", req: snoop.Request{Port: 1, Key: g, Mode: snoop.ModeInclude, Sources: addrs("239.1.1.9")}, text: "multicast source"},
		{name: "32 sources", req: snoop.Request{Port: 1, Key: g, Mode: snoop.ModeInclude, Sources: many(32)}, text: "maximum number of source entries"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 2, newer)
			if tc.set != nil {
				tc.set(b)
			}
			before, events := dump(b), len(b.events)
			var r *snoop.Refusal
			require.ErrorAs(t, b.m.Add(b.now, tc.req), &r)
			if tc.errno == 0 {
				tc.errno = snoop.EINVAL
			}
			assert.Equal(t, tc.errno, r.Errno)
			assert.Contains(t, r.Error(), tc.text)
			assert.Equal(t, before, dump(b))
			if tc.errno != snoop.E2BIG {
				assert.Len(t, b.events, events)
			}
		})
	}
	b := newBench(t, 1, newer)
	require.NoError(t, b.m.Add(0, snoop.Request{Port: 1, Key: g, Mode: snoop.ModeInclude, Sources: many(31)}))
	assert.Equal(t, 32, b.m.Len())
	old := newBench(t, 1, snoop.Rules{})
	assert.ErrorContains(t, old.m.Add(0, snoop.Request{Port: 1, Key: g, Mode: snoop.ModeExclude}), "EINVAL", "6.1 does not know it")
	require.NoError(t, old.m.Add(0, snoop.Request{Port: 1, Key: g}))
	assert.ErrorContains(t, old.m.Add(0, snoop.Request{Port: 1, Key: g, Replace: true}), "EEXIST")
}

func dump(b *bench) (s string) {
	b.m.Entries(b.now, func(e snoop.Entry) bool {
		s += fmt.Sprintf("%+v\n", e)
		return true
	})
	return s
}

// TestRequestTimers: which timers an entry of a request has.
func TestRequestTimers(t *testing.T) {
	g, sg := group("239.1.1.1", ""), group("239.1.1.1", "192.0.2.1")
	src := addrs("192.0.2.1")
	const gmi = 260 * time.Second
	tests := []struct {
		name            string
		req             snoop.Request
		member, source  time.Duration
		ofSource        bool // (S,G) of the list
		blocked, static bool
	}{
		{name: "permanent", req: snoop.Request{Port: 1, Key: g, Permanent: true}},
		{name: "for a while", req: snoop.Request{Port: 1, Key: g}, member: gmi},
		{name: "EXCLUDE for a while", req: snoop.Request{Port: 1, Key: g, Mode: snoop.ModeExclude, Sources: src}, member: gmi, ofSource: true, blocked: true},
		{name: "INCLUDE for a while", req: snoop.Request{Port: 1, Key: g, Mode: snoop.ModeInclude, Sources: src}, source: gmi, ofSource: true},
		{name: "INCLUDE for good", req: snoop.Request{Port: 1, Key: g, Mode: snoop.ModeInclude, Sources: src, Permanent: true}, ofSource: true},
		{name: "(S,G) for a while", req: snoop.Request{Port: 1, Key: sg}, member: gmi},
		{name: "(S,G) for good", req: snoop.Request{Port: 1, Key: sg, Permanent: true}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 2, newer)
			b.options(modern)
			require.NoError(t, b.m.Add(b.now, tc.req))
			rows := b.rows(tc.req.Key)
			require.Len(t, rows, 1)
			assert.Equal(t, tc.member, rows[0].Timer)
			assert.Equal(t, tc.req.Permanent, rows[0].Permanent)
			assert.Equal(t, snoop.ProtoStatic, rows[0].Proto)
			if tc.ofSource {
				assert.Equal(t, []snoop.EntrySource{{Addr: src[0], Timer: tc.source}}, rows[0].Sources)
				of := b.rows(sg)
				require.Len(t, of, 1)
				assert.Zero(t, of[0].Timer)
				assert.Equal(t, tc.blocked, of[0].Blocked)
				assert.Equal(t, tc.req.Permanent, of[0].Permanent)
			}
			b.wait(400 * time.Second)
			if tc.req.Permanent {
				require.NoError(t, b.m.Delete(b.now, snoop.Request{Port: 1, Key: tc.req.Key}))
			}
			assert.Zero(t, b.m.Len(), "with (*,G) what its sources made")
		})
	}
}

// TestReplace changes sources, mode, state and protocol, and what follows from them.
func TestReplace(t *testing.T) {
	b := newBench(t, 3, newer)
	b.options(modern)
	g := group("239.1.1.1", "")
	add := func(r snoop.Request) { require.NoError(t, b.m.Add(b.now, r)) }
	add(snoop.Request{Port: 2, Key: g, Permanent: true, Mode: snoop.ModeInclude, Sources: addrs("192.0.2.1")})
	add(snoop.Request{Port: 3, Key: g, Permanent: true, Mode: snoop.ModeExclude, Sources: addrs("192.0.2.1")})
	add(snoop.Request{Port: 2, Key: g, Replace: true, Proto: 99, Mode: snoop.ModeExclude, Sources: addrs("192.0.2.2")})
	sg := func(s string) (out string) {
		for _, r := range b.rows(group("239.1.1.1", s)) {
			out += fmt.Sprintf("%d star=%v blocked=%v proto=%d perm=%v; ", r.Port, r.AddedByStarExc, r.Blocked, r.Proto, r.Permanent)
		}
		return strings.TrimSuffix(out, "; ")
	}
	assert.Equal(t, "3 star=false blocked=true proto=4 perm=true; 2 star=true blocked=false proto=2 perm=false", sg("192.0.2.1"))
	assert.Equal(t, "3 star=true blocked=false proto=2 perm=false; 2 star=false blocked=true proto=99 perm=false", sg("192.0.2.2"))
	assert.Equal(t, 260*time.Second, b.rows(g)[1].Timer)

	// A port that is in (S,G) because of its EXCLUDE may ask for the source.
	add(snoop.Request{Port: 2, Key: g, Replace: true, Permanent: true, Mode: snoop.ModeInclude, Sources: addrs("192.0.2.1", "192.0.2.2")})
	assert.Equal(t, "3 star=false blocked=true proto=4 perm=true; 2 star=false blocked=false proto=4 perm=true", sg("192.0.2.1"))

	// A report does not change it.
	require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.9"}})))
	assert.Empty(t, sg("192.0.2.9"))
}

// TestDelete: what is not there is EINVAL; the host and ports are told apart.
func TestDelete(t *testing.T) {
	b := newBench(t, 2, newer)
	g := group("239.1.1.1", "")
	gone := func(port uint16) {
		assert.ErrorContains(t, b.m.Delete(b.now, snoop.Request{Port: port, Key: g}), "EINVAL")
	}
	gone(1)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: g}))
	gone(2)
	gone(0)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Key: g}))
	require.NoError(t, b.m.Delete(b.now, snoop.Request{Port: 1, Key: g}))
	gone(1)
	require.NoError(t, b.m.Delete(b.now, snoop.Request{Key: g}))
	_, err := b.m.Lookup(b.now, g)
	assert.ErrorContains(t, err, "ENOENT")
	var kinds []snoop.EventKind
	for _, e := range b.events {
		kinds = append(kinds, e.Kind)
	}
	assert.Equal(t, []snoop.EventKind{snoop.MemberChanged, snoop.MemberChanged, snoop.MemberRemoved, snoop.MemberRemoved}, kinds)
}

// TestFlushEntries has each filter.
func TestFlushEntries(t *testing.T) {
	all := func(b *bench) {
		add := func(r snoop.Request) { require.NoError(t, b.m.Add(b.now, r)) }
		add(snoop.Request{Port: 1, Key: group("239.1.1.1", "")})
		add(snoop.Request{Port: 2, Key: group("239.1.1.1", ""), Permanent: true})
		add(snoop.Request{Port: 2, Key: inVLAN(group("239.1.1.1", ""), 10), Proto: 99})
		add(snoop.Request{Key: group("239.1.1.1", "")})
		add(snoop.Request{Key: mac("03:00:00:00:00:01"), Permanent: true})
	}
	tests := map[string]struct {
		flush snoop.Flush
		left  int
	}{
		"all":           {snoop.Flush{}, 0},
		"port":          {snoop.Flush{Port: new(uint16(2))}, 3},
		"host":          {snoop.Flush{Port: new(uint16(0))}, 3},
		"VLAN":          {snoop.Flush{VID: new(frame.VID(10))}, 4},
		"no VLAN":       {snoop.Flush{VID: new(frame.VID(0))}, 1},
		"protocol":      {snoop.Flush{Proto: 99}, 4},
		"permanent":     {snoop.Flush{Permanent: new(true)}, 3},
		"not permanent": {snoop.Flush{Permanent: new(false)}, 2},
		"both":          {snoop.Flush{Port: new(uint16(2)), Permanent: new(false)}, 4},
	}
	for name, tc := range tests {
		b := newBench(t, 2, newer)
		all(b)
		b.m.FlushEntries(b.now, tc.flush)
		assert.Equal(t, tc.left, strings.Count(dump(b), "\n"), name)
	}
}

// TestLimits: groups a port, groups in all, and what a full table does.
func TestLimits(t *testing.T) {
	b := newBench(t, 2, newer)
	b.options(modern)
	require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{MaxGroups: 5, EHTHostsLimit: 1}))
	four := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
	require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", four})))
	n, limit := b.m.Groups(2, 0)
	assert.Equal(t, [2]uint32{5, 5}, [2]uint32{n, limit})
	assert.ErrorIs(t, b.receive(2, join4(1, "239.1.1.2")), snoop.ErrTooManyGroups)
	require.NoError(t, b.receive(1, join4(1, "239.1.1.2")), "another port")
	require.NoError(t, b.receive(2, report(1, record{snoop.Block, "239.1.1.1", four})))
	b.wait(3 * time.Second)
	n, _ = b.m.Groups(2, 0)
	assert.Zero(t, n)

	b.m.SetHashMax(2)
	require.NoError(t, b.receive(2, join4(1, "239.1.1.2")), "it is there already")
	require.NoError(t, b.receive(2, join4(1, "239.1.1.3")))
	assert.ErrorIs(t, b.receive(2, join4(1, "239.1.1.4")), snoop.ErrHashFull)
	assert.False(t, b.m.View().On())
	assert.Equal(t, snoop.SnoopingEnded, b.events[len(b.events)-1].Kind)
	o, _ := b.m.Options(0)
	assert.False(t, o.Snooping)
	assert.Empty(t, dump(b))
	o.Snooping = true
	require.NoError(t, b.m.SetOptions(b.now, 0, o))
	assert.Equal(t, 3, strings.Count(dump(b), "\n"), "nothing was forgotten")
}

// TestRequestAndReport: an entry of a request that a report names too.
func TestRequestAndReport(t *testing.T) {
	sg := group("239.1.1.1", "192.0.2.1")
	wanted := report(1, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.1"}})

	b := newBench(t, 3, newer)
	b.options(modern)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 2, Key: sg}))
	require.NoError(t, b.receive(2, wanted))
	assert.Zero(t, b.rows(sg)[0].Timer, "it lives by the source now")
	b.wait(260 * time.Second)
	assert.Zero(t, b.m.Len())

	// A permanent one stays when the source is not wanted any more, and does not keep
	// the ports that are there because of their EXCLUDE.
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 2, Key: sg, Permanent: true}))
	require.NoError(t, b.receive(3, report(3, record{snoop.IsEx, "239.1.1.1", nil})))
	require.NoError(t, b.receive(1, wanted))
	require.Len(t, b.rows(sg), 3)
	assert.True(t, b.rows(sg)[0].AddedByStarExc)
	require.NoError(t, b.receive(1, report(1, record{snoop.Block, "239.1.1.1", []string{"192.0.2.1"}})))
	b.wait(2 * time.Second)
	rows := b.rows(sg)
	require.Len(t, rows, 1)
	assert.True(t, rows[0].Permanent)
	b.wait(300 * time.Second)
	assert.Equal(t, 1, b.m.Len())
}
