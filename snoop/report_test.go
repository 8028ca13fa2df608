package snoop_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/snoop"
)

// sourceNames are the sources that rows of the tables name with one letter.
var sourceNames = map[bool]map[string]string{
	true:  {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3", "d": "192.0.2.4"},
	false: {"a": "2001:db8::1", "b": "2001:db8::2", "c": "2001:db8::3", "d": "2001:db8::4"},
}

func expand(v4 bool, letters string) (all []string) {
	for _, l := range strings.Split(letters, "") {
		if l != "" {
			all = append(all, sourceNames[v4][l])
		}
	}
	return all
}

// state is a member in words: mode, sources that are forwarded, sources that are
// not, each with the seconds left.
func state(v4 bool, rows []snoop.Entry) string {
	letter := map[snoop.Addr]string{}
	for l, s := range sourceNames[v4] {
		letter[ip(s)] = l
	}
	for _, r := range rows {
		if r.Port != 2 {
			continue
		}
		var x, y []string
		for _, s := range r.Sources {
			if s.Timer > 0 {
				x = append(x, fmt.Sprintf("%s%d", letter[s.Addr], int(s.Timer/time.Second)))
			} else {
				y = append(y, letter[s.Addr])
			}
		}
		slices.Sort(x)
		slices.Sort(y)
		if r.Mode == snoop.ModeInclude {
			return fmt.Sprintf("IN(%s) %d", strings.Join(x, " "), int(r.Timer/time.Second))
		}
		return fmt.Sprintf("EX(%s,%s) %d", strings.Join(x, " "), strings.Join(y, " "), int(r.Timer/time.Second))
	}
	return "none"
}

// TestFilterModeTables has every row of RFC 3376, sections 6.4.1 and 6.4.2 (RFC
// 3810, sections 7.4.1 and 7.4.2), for both families. 10 s pass between what makes
// the first state and the record, so timers tell what was refreshed: 260 is the
// membership interval, 250 what was left, 2 the last member query time.
func TestFilterModeTables(t *testing.T) {
	in := func(sources string) record { return record{typ: snoop.IsIn, sources: []string{sources}} }
	ex := func(sources string) record { return record{typ: snoop.IsEx, sources: []string{sources}} }
	tests := []struct {
		name  string
		first []record // sources in letters
		then  record
		want  string
	}{
		{"INCLUDE + IS_IN", []record{in("ab")}, record{typ: snoop.IsIn, sources: []string{"bc"}}, "IN(a250 b260 c260) 0"},
		{"INCLUDE + ALLOW", []record{in("ab")}, record{typ: snoop.Allow, sources: []string{"bc"}}, "IN(a250 b260 c260) 0"},
		{"INCLUDE + IS_EX", []record{in("ab")}, record{typ: snoop.IsEx, sources: []string{"bc"}}, "EX(b250,c) 260"},
		{"INCLUDE + TO_IN", []record{in("ab")}, record{typ: snoop.ToIn, sources: []string{"bc"}}, "IN(a2 b260 c260) 0"},
		{"INCLUDE + TO_EX", []record{in("ab")}, record{typ: snoop.ToEx, sources: []string{"bc"}}, "EX(b2,c) 260"},
		{"INCLUDE + BLOCK", []record{in("ab")}, record{typ: snoop.Block, sources: []string{"bc"}}, "IN(a250 b2) 0"},
		{"INCLUDE + TO_IN()", []record{in("ab")}, record{typ: snoop.ToIn, sources: []string{""}}, "IN(a2 b2) 0"},
		{"INCLUDE + IS_IN()", []record{in("ab")}, record{typ: snoop.IsIn, sources: []string{""}}, "IN(a250 b250) 0"},
		{"INCLUDE + TO_EX()", []record{in("ab")}, record{typ: snoop.ToEx, sources: []string{""}}, "EX(,) 260"},
		// EXCLUDE(a,b): INCLUDE(a), then IS_EX(a b).
		{"EXCLUDE + IS_IN", []record{in("a"), ex("ab")}, record{typ: snoop.IsIn, sources: []string{"bc"}}, "EX(a250 b260 c260,) 250"},
		{"EXCLUDE + ALLOW", []record{in("a"), ex("ab")}, record{typ: snoop.Allow, sources: []string{"bc"}}, "EX(a250 b260 c260,) 250"},
		{"EXCLUDE + IS_EX", []record{in("a"), ex("ab")}, record{typ: snoop.IsEx, sources: []string{"bc"}}, "EX(c260,b) 260"},
		{"EXCLUDE + IS_EX both", []record{in("a"), ex("ab")}, record{typ: snoop.IsEx, sources: []string{"abc"}}, "EX(a250 c260,b) 260"},
		{"EXCLUDE + TO_IN", []record{in("a"), ex("ab")}, record{typ: snoop.ToIn, sources: []string{"bc"}}, "EX(a2 b260 c260,) 2"},
		{"EXCLUDE + TO_EX", []record{in("a"), ex("ab")}, record{typ: snoop.ToEx, sources: []string{"bc"}}, "EX(c2,b) 260"},
		{"EXCLUDE + TO_EX both", []record{in("a"), ex("ab")}, record{typ: snoop.ToEx, sources: []string{"abc"}}, "EX(a2 c2,b) 260"},
		{"EXCLUDE + BLOCK", []record{in("a"), ex("ab")}, record{typ: snoop.Block, sources: []string{"abc"}}, "EX(a2 c2,b) 250"},
		{"EXCLUDE + TO_IN()", []record{in("a"), ex("ab")}, record{typ: snoop.ToIn, sources: []string{""}}, "EX(a2,b) 2"},
		{"EXCLUDE + IS_EX()", []record{in("a"), ex("ab")}, record{typ: snoop.IsEx, sources: []string{""}}, "EX(,) 260"},
		{"nothing + BLOCK", nil, record{typ: snoop.Block, sources: []string{"a"}}, "none"},
		{"nothing + TO_IN()", nil, record{typ: snoop.ToIn, sources: []string{""}}, "none"},
		{"nothing + ALLOW", nil, record{typ: snoop.Allow, sources: []string{"a"}}, "IN(a260) 0"},
		{"unknown type", []record{in("a")}, record{typ: 7, sources: []string{"b"}}, "IN(a250) 0"},
	}
	for _, tc := range tests {
		for _, g := range []string{"239.1.1.1", "ff0e::1"} {
			t.Run(tc.name+" "+g, func(t *testing.T) {
				v4 := g[0] == '2'
				b := newBench(t, 3, snoop.Rules{})
				b.options(modern)
				letters := func(r record) record {
					return record{r.typ, g, expand(v4, r.sources[0])}
				}
				for _, r := range tc.first {
					require.NoError(t, b.receive(2, report(1, letters(r))))
				}
				b.wait(10 * time.Second)
				require.NoError(t, b.receive(2, report(1, letters(tc.then))))
				assert.Equal(t, tc.want, state(v4, b.rows(group(g, ""))))
			})
		}
	}
}

// TestForwardedSources holds what is forwarded against the member's mode and timers,
// through all that can become of them.
func TestForwardedSources(t *testing.T) {
	b := newBench(t, 3, snoop.Rules{})
	b.options(modern)
	require.NoError(t, b.receive(1, query4(9, "10.0.0.254", 1)))
	b.wait(time.Second)
	gets := func() string {
		got := map[string]bool{}
		for l, s := range sourceNames[true] {
			ports, hit := b.targets(data(s, "239.1.1.1"))
			require.True(t, hit)
			if slices.Contains(ports, 2) {
				got[l] = true
			}
		}
		return strings.Join(slices.Sorted(maps.Keys(got)), "")
	}
	tell := func(typ snoop.RecordType, letters string) {
		require.NoError(t, b.receive(2, report(1, record{typ, "239.1.1.1", expand(true, letters)})))
	}
	assert.Empty(t, gets())
	tell(snoop.IsIn, "ab")
	assert.Equal(t, "ab", gets())
	tell(snoop.IsEx, "bc")
	assert.Equal(t, "abd", gets(), "b is forwarded still, c is blocked, the others are any source")
	b.wait(100 * time.Second)
	tell(snoop.Block, "d")
	assert.Equal(t, "abd", gets(), "until the last member query time is over")
	b.wait(2 * time.Second)
	assert.Equal(t, "ab", gets())
	tell(snoop.Allow, "c")
	b.wait(100 * time.Second)
	require.NoError(t, b.receive(1, query4(9, "10.0.0.254", 1)))
	b.wait(61 * time.Second)
	assert.Equal(t, "c", gets(), "the group's time is over: INCLUDE, of what has time left")
	b.wait(100 * time.Second)
	assert.Empty(t, gets())
	assert.Zero(t, b.m.Len())
}

// TestStarExclude: ports in EXCLUDE mode get what others asked for by source.
func TestStarExclude(t *testing.T) {
	b := newBench(t, 4, snoop.Rules{})
	b.options(modern)
	require.NoError(t, b.receive(1, query4(9, "10.0.0.254", 1)))
	b.wait(time.Second)
	require.NoError(t, b.receive(3, report(3, record{snoop.IsEx, "239.1.1.1", nil})))
	require.NoError(t, b.receive(2, report(2, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.1"}})))
	require.NoError(t, b.receive(4, report(4, record{snoop.IsEx, "239.1.1.1", []string{"192.0.2.1"}})))
	flags := func() (s string) {
		for _, r := range b.rows(group("239.1.1.1", "192.0.2.1")) {
			s += fmt.Sprintf("%d:%v,%v ", r.Port, r.AddedByStarExc, r.Blocked)
		}
		return strings.TrimSpace(s)
	}
	assert.Equal(t, "4:false,true 3:true,false 2:false,false", flags())
	ports, _ := b.targets(data("192.0.2.1", "239.1.1.1"))
	assert.Equal(t, []uint16{3, 2, 1}, ports)
	ports, _ = b.targets(data("192.0.2.9", "239.1.1.1"))
	assert.Equal(t, []uint16{4, 3, 1}, ports)

	// The one that asked for the source leaves: those that block it are members of
	// their own, and keep it.
	require.NoError(t, b.receive(2, report(2, record{snoop.ToIn, "239.1.1.1", nil})))
	b.wait(3 * time.Second)
	assert.Equal(t, "4:false,true 3:true,false", flags())
	require.NoError(t, b.receive(4, report(4, record{snoop.IsEx, "239.1.1.1", nil})))
	assert.Empty(t, flags())
}

// TestHostTracking: with fast leave a source ends with its last host.
func TestHostTracking(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	b.options(modern)
	require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{FastLeave: true, EHTHostsLimit: 3}))
	tell := func(host byte, typ snoop.RecordType, letters string) {
		require.NoError(t, b.receive(2, report(host, record{typ, "239.1.1.1", expand(true, letters)})))
	}
	is := func(want string) {
		t.Helper()
		assert.Equal(t, want, state(true, b.rows(group("239.1.1.1", ""))))
	}
	tell(1, snoop.IsIn, "ab")
	tell(2, snoop.IsIn, "bc")
	tell(1, snoop.Block, "ab")
	is("IN(b2 c260) 0")
	tell(2, snoop.ToIn, "c")
	is("IN(c260) 0")
	tell(2, snoop.ToEx, "")
	is("EX(,) 260")
	tell(3, snoop.ToEx, "d")
	tell(2, snoop.ToIn, "")
	is("EX(d2,) 2")
	tell(3, snoop.Allow, "d")
	is("EX(,) 2")
	tell(3, snoop.ToIn, "a")
	is("EX(a260,) 2")
	tell(3, snoop.ToIn, "")
	is("none")
	assert.Zero(t, b.m.Len())

	// A fourth host is not tracked, and so cannot keep the member; nor does it end it.
	for host := range byte(4) {
		tell(host+1, snoop.IsEx, "")
	}
	tell(1, snoop.ToIn, "")
	tell(2, snoop.ToIn, "")
	is("EX(,) 2")
	tell(3, snoop.ToIn, "")
	is("none")

	// Hosts that are silent are forgotten: nobody is left when the next one leaves.
	tell(1, snoop.IsEx, "")
	b.wait(200 * time.Second)
	tell(2, snoop.IsEx, "")
	b.wait(100 * time.Second)
	tell(2, snoop.ToIn, "")
	is("none")
}

// TestLeave has the ways of leaving with IGMPv2 and MLDv1.
func TestLeave(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		g, join, leave := "239.1.1.1", join4(1, "239.1.1.1"), leave4(1, "239.1.1.1")
		foreign := query4(9, "10.0.0.254", 1)
		if !v4 {
			g, join, leave = "ff0e::1", join6(1, "ff0e::1"), leave6(1, "ff0e::1")
			foreign = query6(9, "fe80::1", 100)
		}
		tests := []struct {
			name string
			set  func(b *bench)
			left time.Duration // -1: gone
			asks int
		}{
			{"nobody asks", func(*bench) {}, 2 * time.Second, 0},
			{"another asks", func(b *bench) { require.NoError(t, b.receive(1, foreign)) }, 260 * time.Second, 0},
			{"the bridge asks", func(b *bench) {
				b.options(func(o *snoop.Options) { o.Querier = true })
				b.wait(0)
			}, 2 * time.Second, 1},
			{"fast leave", func(b *bench) {
				require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{FastLeave: true, EHTHostsLimit: 1}))
			}, -1, 0},
		}
		for _, tc := range tests {
			t.Run(tc.name+" "+g, func(t *testing.T) {
				b := newBench(t, 2, snoop.Rules{})
				tc.set(b)
				require.NoError(t, b.receive(2, join))
				b.queries = nil
				require.NoError(t, b.receive(2, leave))
				assert.Len(t, b.queries, tc.asks)
				rows := b.rows(group(g, ""))
				if tc.left < 0 {
					assert.Empty(t, rows)
					return
				}
				require.Len(t, rows, 1)
				assert.Equal(t, tc.left, rows[0].Timer)
				if tc.asks > 0 {
					assert.Equal(t, uint16(2), b.queries[0].Port)
					b.queries = nil
					b.wait(2 * time.Second)
					require.Len(t, b.queries, 1, "a general query follows on that port")
					assert.Equal(t, uint16(2), b.queries[0].Port)
					assert.Equal(t, v4, b.queries[0].Family == snoop.IPv4)
				}
				b.wait(tc.left)
				assert.Zero(t, b.m.Len())
			})
		}
	}
}

// TestGroupsOfTheLink: what is never joined.
func TestGroupsOfTheLink(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	for _, g := range []string{"224.0.0.5", "224.0.0.251", "224.0.0.1"} {
		require.NoError(t, b.receive(2, join4(1, g)))
	}
	require.NoError(t, b.receive(2, join6(1, "ff02::1")))
	assert.Zero(t, b.m.Len())
	require.NoError(t, b.receive(2, join6(1, "ff02::fb")))
	require.NoError(t, b.receive(2, join4(1, "224.0.1.1")))
	assert.Equal(t, 2, b.m.Len())
}

// TestSourceLimits: 32 sources, and none that cannot be one.
func TestSourceLimits(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	b.options(modern)
	bad := []string{"0.0.0.0", "224.1.1.1", "239.255.0.1"}
	require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", bad})))
	rows := b.rows(group("239.1.1.1", ""))
	require.Len(t, rows, 1)
	assert.Empty(t, rows[0].Sources)
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("192.0.2.%d", i+1))
	}
	require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", many})))
	assert.Len(t, b.rows(group("239.1.1.1", ""))[0].Sources, 32)
	assert.Equal(t, 33, b.m.Len())
}

// TestBadRecord: what stands before the cut counts, and the frame is dropped.
func TestBadRecord(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	body := records(true, []record{{snoop.ToEx, "239.1.1.1", nil}, {snoop.ToEx, "239.1.1.2", []string{"192.0.2.1"}}})
	cut := packet4(1, host4(1), "224.0.0.22", 2, sumIGMP(slices.Clone(body[:len(body)-2])))
	assert.ErrorIs(t, b.receive(2, cut), snoop.BadRecord)
	assert.Len(t, b.rows(group("239.1.1.1", "")), 1)
	assert.Empty(t, b.rows(group("239.1.1.2", "")))
}

// TestBlockTwice: who says twice that a source is not wanted does not give it more
// time.
func TestBlockTwice(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	b.options(modern)
	tell := func(typ snoop.RecordType) {
		require.NoError(t, b.receive(2, report(1, record{typ, "239.1.1.1", expand(true, "a")})))
	}
	tell(snoop.IsIn)
	tell(snoop.Block)
	b.wait(1500 * time.Millisecond)
	tell(snoop.Block)
	assert.Equal(t, 500*time.Millisecond, b.rows(group("239.1.1.1", ""))[0].Sources[0].Timer)
	b.wait(500 * time.Millisecond)
	assert.Zero(t, b.m.Len())
}
