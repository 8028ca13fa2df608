package snoop_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// Corners where Linux does what one would not expect, as found beside a running kernel.

// asking is a bench of one port whose bridge asks, with sources, every half second.
func asking(t *testing.T, count uint32) *bench {
	b := newBench(t, 1, newer)
	b.options(func(o *snoop.Options) {
		modern(o)
		o.Querier, o.QueryResponseInterval = true, 0
		o.LastMemberCount, o.LastMemberInterval = count, 500*time.Millisecond
	})
	b.wait(time.Millisecond)
	return b
}

// askedAfter is how many queries there were after a report, but those of the same moment.
func (b *bench) askedAfter(data []byte) int {
	require.NoError(b.t, b.receive(1, data))
	b.queries = nil
	b.wait(20 * time.Second)
	return len(b.queries)
}

// A query with the S flag, for sources that were asked for and wanted again, is one of
// those that they are to be asked for.
func TestSuppressedQueryCounts(t *testing.T) {
	for count := range uint32(4) {
		b := asking(t, count)
		b.options(func(o *snoop.Options) { o.LastMemberInterval = time.Minute })
		all := addrs("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6")
		var names []string
		for _, a := range all {
			names = append(names, a.IP(snoop.IPv4).String())
		}
		require.NoError(t, b.receive(1, report(1, record{snoop.IsIn, "239.1.1.1", names})))
		require.NoError(t, b.receive(1, report(1, record{snoop.Block, "239.1.1.1", names[:1]})))
		require.NoError(t, b.receive(1, report(1, record{snoop.Allow, "239.1.1.1", names[:1]})))
		b.queries = nil
		for i := range names[1:] {
			require.NoError(t, b.receive(1, report(1, record{snoop.Block, "239.1.1.1", names[1+i : 2+i]})))
		}
		var asked uint32
		for _, q := range b.queries {
			if first := all[0]; bytes.HasSuffix(q.Data, first[:4]) {
				asked++
			}
			assert.True(t, q.Member)
		}
		assert.Equal(t, count, asked)
	}
}

// Retransmissions are counted in 8 bits.
func TestManyRetransmissions(t *testing.T) {
	for count, want := range map[uint32]int{255: 254, 256: 255, 257: 0, 258: 1} {
		b := asking(t, count)
		b.options(func(o *snoop.Options) { o.LastMemberInterval = 10 * time.Millisecond })
		require.NoError(t, b.receive(1, report(1, record{snoop.IsEx, "239.1.1.1", nil})))
		assert.Equal(t, want, b.askedAfter(report(1, record{snoop.ToIn, "239.1.1.1", nil})), "%d", count)
	}
}

// Who sends from 0.1.2.3 is a source like others.
func TestSourceOfNet0(t *testing.T) {
	b := newBench(t, 1, newer)
	b.options(modern)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 1, Key: group("239.1.1.1", ""), Mode: snoop.ModeInclude, Sources: addrs("0.1.2.3")}))
	assert.Len(t, b.rows(group("239.1.1.1", "0.1.2.3")), 1)
}

// When a member leaves a group that is none of IP, the host leaves it, and nobody is told.
func TestHostOfL2GroupGoes(t *testing.T) {
	b := newBench(t, 2, newer)
	k := mac("03:00:00:00:00:01")
	for _, num := range []uint16{1, 2, 0} {
		require.NoError(t, b.m.Add(b.now, snoop.Request{Port: num, Key: k, Permanent: true}))
	}
	b.events = nil
	require.NoError(t, b.m.Delete(b.now, snoop.Request{Port: 1, Key: k}))
	rows := b.rows(k)
	require.Len(t, rows, 1)
	assert.Equal(t, uint16(2), rows[0].Port)
	require.Len(t, b.events, 1)
	assert.Equal(t, uint16(1), b.events[0].Port)
	assert.False(t, b.m.View().Group(k).Host)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Key: k, Permanent: true}))
	require.NoError(t, b.m.Delete(b.now, snoop.Request{Port: 2, Key: k}))
	assert.Zero(t, b.m.Len())
}

// A port that converts to unicast and wants all sources sends (S,G) to whom that was made
// for, though it is behind another port.
func TestUnicastOfSourcesOwner(t *testing.T) {
	b := newBench(t, 2, newer)
	b.options(modern)
	require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{ToUnicast: true, EHTHostsLimit: 512}))
	star := func() frame.MAC {
		g := b.m.View().Group(group("239.1.1.1", "192.0.2.1"))
		require.NotNil(t, g)
		require.Len(t, g.Members, 2)
		require.Equal(t, uint16(2), g.Members[0].Port)
		return g.Members[0].MAC
	}
	require.NoError(t, b.receive(2, report(2, record{snoop.IsEx, "239.1.1.1", nil})))
	require.NoError(t, b.receive(1, report(1, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.1"}})))
	assert.Equal(t, hostMAC(1), star(), "the source came to who wants all")
	require.NoError(t, b.receive(1, report(1, record{snoop.Block, "239.1.1.1", []string{"192.0.2.1"}})))
	b.m.DisablePort(b.now, 2)
	b.m.EnablePort(b.now, 2)
	require.NoError(t, b.receive(1, report(1, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.1"}})))
	require.NoError(t, b.receive(2, report(2, record{snoop.IsEx, "239.1.1.1", nil})))
	assert.Equal(t, hostMAC(2), star(), "who wants all came to the source")
}

// A VLAN's limit of groups holds while the VLAN snoops on its own.
func TestLimitOfVLAN(t *testing.T) {
	b := perVLAN(t)
	require.NoError(t, b.m.SetPortMaxGroups(1, 10, 1))
	require.NoError(t, b.receiveIn(1, 10, join4(1, "239.1.1.1")))
	require.ErrorIs(t, b.receiveIn(1, 10, join4(1, "239.1.1.2")), snoop.ErrTooManyGroups)
	b.m.SetPerVLAN(b.now, false)
	require.NoError(t, b.receiveIn(1, 10, join4(1, "239.1.1.1")))
	require.NoError(t, b.receiveIn(1, 10, join4(1, "239.1.1.2")))
	b.m.SetPerVLAN(b.now, true)
	require.NoError(t, b.receiveIn(1, 10, join4(1, "239.1.1.3")))
	require.ErrorIs(t, b.receiveIn(1, 10, join4(1, "239.1.1.4")), snoop.ErrTooManyGroups)
}

// Extension headers are looked for behind the end of the packet too.
func TestExtensionsInPadding(t *testing.T) {
	whole := packet6(1, "fe80::1", "ff0e::1", message6(snoop.TypeMLDv1Report, 0, "ff0e::1"))
	for _, tc := range []struct {
		name      string
		next      byte
		end, size int // of the IP packet's payload, and with padding
		err       error
	}{
		{"UDP behind a header that ends in padding", 17, 1, 2, nil},
		{"a header that is cut", 17, 1, 1, snoop.BadHeader},
		{"ICMPv6 behind a header that ends in padding", 58, 2, 32, snoop.BadLength},
		{"options, of which there is no more than the beginning", 60, 8, 10, nil},
		{"options that are not there", 60, 8, 8, snoop.BadHeader},
		{"a fragment header of four bytes", 44, 12, 12, nil},
		{"a fragment header of three bytes", 44, 11, 11, snoop.BadHeader},
	} {
		b := append([]byte(nil), whole[:54+tc.size]...)
		b[18], b[19], b[54] = 0, byte(tc.end), tc.next
		if tc.size > 8 {
			clear(b[62:])
			b[62] = 17
		}
		_, err := parse(t, b)
		assert.ErrorIs(t, err, tc.err, tc.name)
	}
}

// A bridge that goes down forgets the queriers of the VLANs that it is in itself.
func TestQuerierOfVLANsWhenDown(t *testing.T) {
	b := perVLAN(t) // the host is in 10, not in 20
	for _, vid := range []frame.VID{10, 20} {
		require.NoError(t, b.receiveIn(1, vid, query4(9, "10.0.0.9", 1)))
	}
	b.m.SetUp(b.now, false)
	b.m.SetUp(b.now, true)
	assert.False(t, b.m.Querier(b.now, 10, snoop.IPv4).Other)
	assert.True(t, b.m.Querier(b.now, 20, snoop.IPv4).Other)
}

// Whenever a port is enabled, what was learned in its VLANs that neither learn nor forward
// is forgotten, and they ask nothing.
func TestVLANStatesOfEnabledPort(t *testing.T) {
	for _, s := range []snoop.PortState{snoop.Disabled, snoop.Listening, snoop.Learning, snoop.Blocking} {
		b := perVLAN(t)
		o := snoop.DefaultOptions
		o.Querier = true
		require.NoError(t, b.m.SetOptions(b.now, 10, o))
		require.NoError(t, b.receiveIn(2, 10, join4(1, "239.1.1.1")))
		b.m.SetVLANState(b.now, 2, 10, s)
		b.wait(0)
		b.queries = nil
		assert.Len(t, b.rows(inVLAN(group("239.1.1.1", ""), 10)), 1)
		b.m.EnablePort(b.now, 2)
		b.wait(0)
		n := 0
		if s == snoop.Learning {
			n = 1
		}
		assert.Len(t, b.rows(inVLAN(group("239.1.1.1", ""), 10)), n, "%v", s)
		assert.Len(t, b.sent(snoop.IPv4), n, "%v", s)
		b.m.SetVLANState(b.now, 2, 10, snoop.Forwarding)
		require.NoError(t, b.receiveIn(2, 10, join4(1, "239.1.1.1")))
		assert.Len(t, b.rows(inVLAN(group("239.1.1.1", ""), 10)), 1)
	}
}

// Snooping that is turned on again sends no startup queries at ports, and lists no routers,
// where each VLAN has a context of its own.
func TestSnoopingOnBesideVLANs(t *testing.T) {
	for _, apart := range []bool{false, true} {
		b := perVLAN(t)
		b.m.SetPerVLAN(b.now, false)
		require.NoError(t, b.m.SetPortRouter(b.now, 1, 0, snoop.RouterAlways))
		b.m.SetPerVLAN(b.now, apart)
		for _, vid := range []frame.VID{0, 10} {
			o, _ := b.m.Options(vid)
			o.Querier = true
			require.NoError(t, b.m.SetOptions(b.now, vid, o))
		}
		b.wait(0)
		b.options(func(o *snoop.Options) { o.Snooping = false })
		b.queries = nil
		b.options(func(o *snoop.Options) { o.Snooping = true })
		b.wait(0)
		want := []uint16{0, 3, 2, 1}
		if apart {
			want = []uint16{0}
		}
		assert.ElementsMatch(t, want, b.sent(snoop.IPv4))
		assert.Equal(t, apart, len(b.m.RouterPorts(b.now, 0)) == 0)
	}
}
