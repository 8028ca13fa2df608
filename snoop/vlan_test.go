package snoop_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// perVLAN is a bench with VLANs 10 and 20 on all ports, the host in 10, and a context
// for each.
func perVLAN(t *testing.T) *bench {
	b := newBench(t, 3, newer)
	for _, vid := range []frame.VID{10, 20} {
		b.m.AddVLAN(vid)
		for num := range uint16(3) {
			b.m.AddPortVLAN(0, num+1, vid, snoop.Forwarding)
		}
	}
	b.m.SetSelf(0, 10, true)
	b.m.SetPerVLAN(0, true)
	return b
}

func (b *bench) decide(vid frame.VID, data []byte) snoop.Decision {
	f := frame.Frame{Data: data}
	var p snoop.Packet
	require.NoError(b.t, b.m.View().Parse(&f, vid, &p))
	return b.m.View().Decide(&p, vid)
}

// TestVLANsAreApart: querier, groups, routers and settings of one VLAN mean nothing in
// another.
func TestVLANsAreApart(t *testing.T) {
	b := perVLAN(t)
	o := snoop.DefaultOptions
	o.IGMPVersion, o.MembershipInterval = 3, 100*time.Second
	require.NoError(t, b.m.SetOptions(0, 10, o))
	require.NoError(t, b.receiveIn(1, 10, query4(9, "10.0.0.9", 1)))
	require.NoError(t, b.receiveIn(2, 10, report(1, record{snoop.IsIn, "239.1.1.1", []string{"10.9.0.1"}})))
	require.NoError(t, b.receiveIn(3, 20, report(1, record{snoop.IsIn, "239.1.1.1", []string{"10.9.0.1"}})))
	b.wait(time.Second)
	x := data("10.9.0.1", "239.1.1.1")
	d := b.decide(10, x)
	require.True(t, d.Hit)
	assert.Equal(t, ip("10.9.0.1"), d.Group.Key.Source)
	assert.False(t, b.decide(20, x).Hit)
	assert.Len(t, b.m.RouterPorts(b.now, 10), 1)
	assert.Empty(t, b.m.RouterPorts(b.now, 20))
	assert.Empty(t, b.m.RouterPorts(b.now, 0))
	assert.True(t, b.m.Querier(b.now, 10, snoop.IPv4).Other)
	assert.False(t, b.m.Querier(b.now, 20, snoop.IPv4).Known)
	n, _ := b.m.Groups(2, 10)
	assert.Equal(t, uint32(2), n)
	b.wait(100 * time.Second)
	assert.Empty(t, b.rows(inVLAN(group("239.1.1.1", ""), 10)))
	assert.Len(t, b.rows(inVLAN(group("239.1.1.1", ""), 20)), 1)
}

// TestVLANOff: a VLAN without snooping is not looked at: not even what is wrong is
// dropped.
func TestVLANOff(t *testing.T) {
	b := perVLAN(t)
	require.NoError(t, b.receiveIn(1, 10, query4(9, "10.0.0.9", 1)))
	require.NoError(t, b.receiveIn(2, 10, join4(1, "239.1.1.1")))
	b.wait(time.Second)
	o := snoop.DefaultOptions
	o.Snooping = false
	require.NoError(t, b.m.SetOptions(b.now, 10, o))
	assert.Zero(t, b.m.Len())
	bad := with(data("10.0.0.1", "239.1.1.1"), 24, 1, 2)
	f := frame.Frame{Data: bad}
	var p snoop.Packet
	require.NoError(t, b.m.View().Parse(&f, 10, &p))
	assert.Equal(t, snoop.KindUnseen, p.Kind)
	require.Error(t, b.m.View().Parse(&f, 20, &p))
	require.NoError(t, b.receiveIn(2, 10, join4(1, "239.1.1.1")))
	assert.Zero(t, b.m.Len())
	assert.False(t, b.decide(10, data("10.0.0.1", "239.1.1.1")).Hit)
	for _, short := range [][]byte{bad[:14], bad[:20], join6(1, "ff0e::1")[:40]} {
		f := frame.Frame{Data: short}
		require.NoError(t, b.m.View().Parse(&f, 10, &p))
		assert.False(t, b.m.View().Decide(&p, 10).Hit)
	}
}

// TestVLANQueries: where a VLAN's queries go, as ports and the host come and go.
func TestVLANQueries(t *testing.T) {
	b := perVLAN(t)
	ask := func(vid frame.VID) (ports []uint16) {
		b.wait(0)
		for _, q := range b.queries {
			if q.VID == vid && q.Family == snoop.IPv4 {
				ports = append(ports, q.Port)
			}
		}
		b.queries = nil
		return ports
	}
	o := snoop.DefaultOptions
	o.Querier = true
	require.NoError(t, b.m.SetOptions(b.now, 10, o))
	require.NoError(t, b.m.SetOptions(b.now, 20, o))
	b.wait(0)
	all := append([]snoop.Query(nil), b.queries...)
	assert.ElementsMatch(t, []uint16{0, 1, 2, 3}, ask(10))
	b.queries = all
	assert.ElementsMatch(t, []uint16{1, 2, 3}, ask(20), "the host is not in it")
	b.m.SetVLANState(b.now, 1, 10, snoop.Blocking)
	b.wait(32 * time.Second)
	assert.ElementsMatch(t, []uint16{0, 2, 3}, ask(10))
	b.m.SetVLANState(b.now, 1, 10, snoop.Learning)
	assert.ElementsMatch(t, []uint16{1}, ask(10))
	b.m.RemovePortVLAN(b.now, 2, 10)
	b.m.SetSelf(b.now, 20, true)
	assert.ElementsMatch(t, []uint16{0}, ask(20))
	b.wait(130 * time.Second)
	assert.NotContains(t, ask(10), uint16(2))
	b.m.SetPerVLAN(b.now, false)
	b.wait(200 * time.Second)
	assert.Empty(t, b.queries)
}

// TestVLANLimit: groups of a port in a VLAN.
func TestVLANLimit(t *testing.T) {
	b := perVLAN(t)
	require.NoError(t, b.m.SetPortMaxGroups(2, 10, 1))
	require.NoError(t, b.receiveIn(2, 10, join4(1, "239.1.1.1")))
	require.ErrorIs(t, b.receiveIn(2, 10, join4(1, "239.1.1.2")), snoop.ErrTooManyGroups)
	require.NoError(t, b.receiveIn(2, 20, join4(1, "239.1.1.2")))
	err := b.m.Add(b.now, snoop.Request{Port: 2, Key: inVLAN(group("239.1.1.2", ""), 10)})
	assert.ErrorContains(t, err, "Port-VLAN is already in 1 groups, and mcast_max_groups=1")
	b.m.RemovePortVLAN(b.now, 2, 10)
	n, _ := b.m.Groups(2, 0)
	assert.Equal(t, uint32(1), n, "what was learned there is forgotten")
	b.m.AddPortVLAN(b.now, 2, 10, snoop.Forwarding)
	_, limit := b.m.Groups(2, 10)
	assert.Zero(t, limit)
}

// TestRemoval: ports and VLANs leave nothing behind.
func TestRemoval(t *testing.T) {
	b := perVLAN(t)
	require.NoError(t, b.receiveIn(1, 10, query4(9, "10.0.0.9", 1)))
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 2, Key: inVLAN(group("239.1.1.1", ""), 10), Permanent: true}))
	require.NoError(t, b.receiveIn(2, 20, join4(1, "239.1.1.1")))
	require.NoError(t, b.receiveIn(1, 20, join4(1, "239.1.1.1")))
	b.m.RemovePort(b.now, 2)
	assert.Equal(t, 1, b.m.Len(), "permanent ones go with the port")
	b.m.RemovePort(b.now, 1)
	b.m.RemovePort(b.now, 1)
	assert.Zero(t, b.m.Len())
	assert.Empty(t, b.m.RouterPorts(b.now, 10))
	b.m.RemoveVLAN(b.now, 10)
	b.m.RemoveVLAN(b.now, 20)
	b.m.RemovePort(b.now, 3)
	b.m.SetUp(b.now, false)
	_, ok := b.m.NextTimer()
	assert.False(t, ok, "no timer runs")
	require.NoError(t, b.receiveIn(2, 20, join4(1, "239.1.1.1")), "a port that is not there")
	assert.Zero(t, b.m.Len())
	assert.False(t, b.decide(20, data("10.0.0.1", "239.1.1.1")).Hit)
}

// TestDisabledPort: what is learned goes, what is permanent stays, and nothing is
// joined on a port that is DISABLED.
func TestDisabledPort(t *testing.T) {
	b := newBench(t, 2, newer)
	require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 2, Key: group("239.1.1.1", ""), Permanent: true}))
	require.NoError(t, b.receive(2, join4(1, "239.1.1.2")))
	require.NoError(t, b.m.SetPortRouter(b.now, 2, 0, snoop.RouterTemporary))
	b.m.SetPortState(2, snoop.Disabled)
	b.m.DisablePort(b.now, 2)
	assert.Equal(t, 1, b.m.Len())
	r, _ := b.m.PortRouter(2, 0)
	assert.Equal(t, snoop.RouterLearned, r, "temporary is over")
	require.NoError(t, b.receive(2, join4(1, "239.1.1.2")))
	require.NoError(t, b.receive(2, query4(1, "10.0.0.9", 1)))
	assert.Equal(t, 1, b.m.Len())
	assert.False(t, b.m.Querier(b.now, 0, snoop.IPv4).Known)
	b.m.SetPortState(2, snoop.Learning)
	require.NoError(t, b.receive(2, join4(1, "239.1.1.2")))
	assert.Equal(t, 2, b.m.Len())
}

// TestStats counts messages by kind, version and direction, while it is on.
func TestStats(t *testing.T) {
	b := newBench(t, 2, newer)
	c, host := b.m.Counters(2), b.m.Counters(0)
	require.NoError(t, b.receive(2, join4(1, "239.1.1.1")))
	assert.Zero(t, c.Stats())
	b.m.SetStats(true)
	assert.True(t, b.m.StatsOn())
	v1 := packet4(1, "10.0.0.1", "239.1.1.1", 2, message(snoop.TypeIGMPv1Report, 0, "239.1.1.1"))
	for _, x := range [][]byte{v1, join4(1, "239.1.1.1"), report(1, record{snoop.IsIn, "239.1.1.1", nil}), leave4(1, "239.1.1.1"),
		query4(1, "10.0.0.9", 0), join6(1, "ff0e::1"), leave6(1, "ff0e::1"), query6(1, "fe80::9", 1)} {
		require.NoError(t, b.receive(2, x))
	}
	p, err := parse(t, join4(1, "239.1.1.1"))
	require.NoError(t, err)
	c.Count(&p, snoop.Sent)
	p, _ = parse(t, with(join6(1, "ff0e::1"), 70, 7))
	c.CountError(&p)
	want := snoop.Stats{MLDParseErrors: 1}
	want.IGMPReports[0][snoop.Received], want.IGMPReports[1][snoop.Received], want.IGMPReports[2][snoop.Received] = 1, 1, 1
	want.IGMPReports[1][snoop.Sent] = 1
	want.IGMPLeaves[snoop.Received], want.IGMPQueries[0][snoop.Received] = 1, 1
	want.MLDReports[0][snoop.Received], want.MLDLeaves[snoop.Received], want.MLDQueries[0][snoop.Received] = 1, 1, 1
	assert.Equal(t, want, c.Stats())

	b.wait(300 * time.Second)
	b.options(func(o *snoop.Options) { o.Querier = true })
	b.wait(0)
	assert.Equal(t, uint64(1), c.Stats().IGMPQueries[1][snoop.Sent])
	assert.Equal(t, uint64(1), host.Stats().IGMPQueries[1][snoop.Received], "the host's copy")
	assert.Zero(t, b.m.Counters(99).Stats())
}
