package snoop_test

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// TestTargets has what a port can be to a frame: member, router, both, or a port that
// converts to unicast.
func TestTargets(t *testing.T) {
	type to = snoop.Target
	tests := []struct {
		name string
		set  func(b *bench)
		want []to
	}{
		{"nobody", func(*bench) {}, nil},
		{"routers", func(b *bench) {
			require.NoError(t, b.m.SetPortRouter(b.now, 2, 0, snoop.RouterAlways))
			require.NoError(t, b.m.SetPortRouter(b.now, 4, 0, snoop.RouterAlways))
		}, []to{{Port: 4}, {Port: 2}}},
		{"members and routers, the newest first", func(b *bench) {
			require.NoError(t, b.m.SetPortRouter(b.now, 3, 0, snoop.RouterAlways))
			require.NoError(t, b.receive(2, join4(1, "239.1.1.1")))
			require.NoError(t, b.receive(4, join4(2, "239.1.1.1")))
		}, []to{{Port: 4}, {Port: 3}, {Port: 2}}},
		{"both at once", func(b *bench) {
			require.NoError(t, b.m.SetPortRouter(b.now, 3, 0, snoop.RouterAlways))
			require.NoError(t, b.receive(3, join4(1, "239.1.1.1")))
			require.NoError(t, b.receive(2, join4(1, "239.1.1.1")))
		}, []to{{Port: 3}, {Port: 2}}},
		{"unicast", func(b *bench) {
			require.NoError(t, b.m.SetPortOptions(3, snoop.PortOptions{ToUnicast: true, EHTHostsLimit: 1}))
			for n := range byte(3) {
				require.NoError(t, b.receive(3, join4(n, "239.1.1.1")))
			}
			require.NoError(t, b.receive(4, join4(9, "239.1.1.1")))
		}, []to{{Port: 4}, {3, hostMAC(0)}, {3, hostMAC(1)}, {3, hostMAC(2)}}},
		{"unicast at a router port", func(b *bench) {
			require.NoError(t, b.m.SetPortOptions(3, snoop.PortOptions{ToUnicast: true, EHTHostsLimit: 1}))
			require.NoError(t, b.m.SetPortRouter(b.now, 3, 0, snoop.RouterAlways))
			require.NoError(t, b.receive(3, join4(1, "239.1.1.1")))
			require.NoError(t, b.receive(3, join4(2, "239.1.1.1")))
		}, []to{{3, hostMAC(2)}, {Port: 3}}},
		{"a request knows no host", func(b *bench) {
			require.NoError(t, b.m.SetPortOptions(3, snoop.PortOptions{ToUnicast: true, EHTHostsLimit: 1}))
			require.NoError(t, b.m.Add(b.now, snoop.Request{Port: 3, Key: group("239.1.1.1", "")}))
		}, []to{{Port: 3}}},
		{"unicast is switched off", func(b *bench) {
			require.NoError(t, b.m.SetPortOptions(3, snoop.PortOptions{ToUnicast: true, EHTHostsLimit: 1}))
			require.NoError(t, b.receive(3, join4(1, "239.1.1.1")))
			require.NoError(t, b.m.SetPortOptions(3, snoop.PortOptions{EHTHostsLimit: 1}))
		}, []to{{Port: 3}}},
		{"INCLUDE counts where sources do", func(b *bench) {
			b.options(modern)
			require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.9"}})))
			require.NoError(t, b.receive(3, join4(1, "239.1.1.1")))
		}, []to{{Port: 3}}},
		{"and not where they do not", func(b *bench) {
			b.options(modern)
			require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", []string{"10.9.0.1"}})))
			require.NoError(t, b.receive(3, join4(1, "239.1.1.1")))
			b.options(func(o *snoop.Options) { o.IGMPVersion = 2 })
		}, []to{{Port: 3}, {Port: 2}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 4, snoop.Rules{})
			require.NoError(t, b.receive(0, query4(9, "10.0.0.254", 1)))
			b.wait(time.Second)
			tc.set(b)
			f := frame.Frame{Data: data("10.9.0.1", "239.1.1.1")}
			var p snoop.Packet
			require.NoError(t, p.Parse(&f))
			d := b.m.View().Decide(&p, 0)
			require.True(t, d.Hit)
			var got []to
			for x, ok := d.Next(); ok; x, ok = d.Next() {
				got = append(got, x)
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

// TestL2Groups: what is neither IPv4 nor IPv6 is restricted by entries alone.
func TestL2Groups(t *testing.T) {
	b := newBench(t, 3, snoop.Rules{})
	data := []byte{3, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x88, 0xb5, 1}
	_, hit := b.targets(data)
	assert.False(t, hit)
	require.NoError(t, b.m.Add(0, snoop.Request{Port: 2, Key: mac("03:00:00:00:00:01"), Permanent: true}))
	require.NoError(t, b.m.SetPortRouter(0, 3, 0, snoop.RouterAlways))
	ports, hit := b.targets(data)
	assert.True(t, hit)
	assert.Equal(t, []uint16{3, 2}, ports)
}

// TestHostJoins: what the host sends makes it a member, and its time runs out.
func TestHostJoins(t *testing.T) {
	b := newBench(t, 2, snoop.Rules{})
	b.options(modern)
	require.NoError(t, b.receive(0, join4(1, "239.1.1.1")))
	require.NoError(t, b.receive(2, report(1, record{snoop.IsIn, "239.1.1.1", []string{"192.0.2.1"}})))
	g := b.m.View().Group(group("239.1.1.1", "192.0.2.1"))
	require.NotNil(t, g)
	assert.True(t, g.Host, "any source is this one too")
	require.NoError(t, b.receive(0, leave4(1, "239.1.1.1")))
	b.wait(2 * time.Second)
	assert.False(t, b.m.View().Group(group("239.1.1.1", "192.0.2.1")).Host)
	require.NoError(t, b.receive(0, report(1, record{snoop.ToEx, "239.1.1.1", []string{"192.0.2.1"}})))
	assert.True(t, b.m.View().Group(group("239.1.1.1", "")).Host, "for the host a record is a join")
	b.wait(260 * time.Second)
	assert.Zero(t, b.m.Len())
}

// TestViewIsTheMachine holds what is published against what the machine keeps, over
// a long random walk of joins, leaves, requests and time.
func TestViewIsTheMachine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := newBench(t, 5, newer)
	b.options(modern)
	require.NoError(t, b.m.SetPortOptions(2, snoop.PortOptions{FastLeave: true, EHTHostsLimit: 2}))
	require.NoError(t, b.m.SetPortOptions(3, snoop.PortOptions{ToUnicast: true, EHTHostsLimit: 2}))
	for range 2000 {
		b.random(r)
		b.check()
	}
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// random makes one change.
func (b *bench) random(r *rand.Rand) {
	g := pick(r, "239.1.1.1", "239.1.1.2", "ff0e::1")
	v4 := g[0] == '2'
	port, n := uint16(r.IntN(6)), byte(r.IntN(4))
	var sources []string
	for _, s := range sourceNames[v4] {
		if r.IntN(2) == 0 {
			sources = append(sources, s)
		}
	}
	switch r.IntN(12) {
	case 0:
		b.wait(time.Duration(r.IntN(300)) * time.Second)
	case 1:
		b.wait(time.Duration(r.IntN(2000)) * time.Millisecond)
	case 2:
		_ = b.receive(port, pick(r, query4(9, "10.0.0.9", 1), query6(9, "fe80::9", 9)))
	case 3:
		_ = b.receive(port, pick(r, leave4(n, g), leave4(n, "239.1.1.1"), leave6(n, "ff0e::1")))
	case 4:
		_ = b.receive(port, pick(r, join4(n, "239.1.1.1"), join6(n, "ff0e::1")))
	case 5:
		req := snoop.Request{Port: port, Key: group(g, ""), Permanent: r.IntN(2) == 0, Replace: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			req.Mode, req.Sources = pick(r, snoop.ModeInclude, snoop.ModeExclude), addrs(sources...)
		}
		if port == 3 && req.Sources != nil {
			for _, s := range sources {
				b.given[withSource(req.Key, s)] = true
			}
		}
		_ = b.m.Add(b.now, req)
	case 6:
		// Not (S,G) of a source: what others have of it would stay, as in Linux.
		_ = b.m.Delete(b.now, snoop.Request{Port: port, Key: group(g, "")})
	case 7:
		b.options(func(o *snoop.Options) {
			o.Querier, o.IGMPVersion = r.IntN(2) == 0, pick[uint8](r, 2, 3, 3, 3)
		})
	case 8:
		if r.IntN(4) == 0 {
			b.m.DisablePort(b.now, port)
			b.m.EnablePort(b.now, port)
		}
	default:
		_ = b.receive(port, report(n, record{snoop.RecordType(r.IntN(7)), g, sources}))
	}
}

// check holds the View against the entries, and the entries against one another.
func (b *bench) check() {
	b.t.Helper()
	seen := map[snoop.Key]int{}
	memberships := map[uint16]uint32{}
	keys := map[snoop.Key]bool{}
	b.m.Entries(b.now, func(e snoop.Entry) bool { keys[e.Key] = true; return true })
	b.m.Entries(b.now, func(e snoop.Entry) bool {
		g := b.m.View().Group(e.Key)
		require.NotNil(b.t, g, "%+v", e)
		if e.Port == 0 {
			require.True(b.t, g.Host)
			return true
		}
		m := g.Members[seen[e.Key]]
		seen[e.Key]++
		memberships[e.Port]++
		require.Equal(b.t, e.Port, m.Port)
		require.Equal(b.t, e.Blocked, m.Blocked)
		require.Equal(b.t, e.MAC, m.MAC)
		if e.Mode != snoop.ModeNone {
			require.Equal(b.t, e.Mode == snoop.ModeInclude, m.Include)
		}
		require.LessOrEqual(b.t, len(e.Sources), 32)
		require.False(b.t, e.AddedByStarExc && e.Key.Source == snoop.Addr{}, "only (S,G) is")
		return true
	})
	for k := range keys {
		require.Len(b.t, b.m.View().Group(k).Members, seen[k])
	}
	if b.limited {
		require.LessOrEqual(b.t, len(keys), b.m.Len(), "a group stays whose member was one too many")
	} else {
		require.Equal(b.t, len(keys), b.m.Len(), "no group without anybody")
	}
	for port := range uint16(6) {
		n, _ := b.m.Groups(port, 0)
		require.Equal(b.t, memberships[port], n)
	}
	if at, ok := b.m.NextTimer(); ok {
		require.Greater(b.t, at, b.now-1)
	}
}

// TestConcurrentView has readers decide while the machine changes: what they see is
// whole, and a group that is never left is never missed.
func TestConcurrentView(t *testing.T) {
	b := newBench(t, 3, snoop.Rules{})
	b.options(func(o *snoop.Options) { o.MembershipInterval = 1000 * time.Hour; o.QuerierInterval = 1000 * time.Hour })
	require.NoError(t, b.receive(1, query4(9, "10.0.0.254", 1)))
	b.wait(time.Second)
	require.NoError(t, b.receive(2, join4(1, "239.0.0.1")))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			f := frame.Frame{Data: data("10.9.0.1", "239.0.0.1")}
			var p snoop.Packet
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !assert.NoError(t, b.m.View().Parse(&f, 0, &p)) {
					return
				}
				d := b.m.View().Decide(&p, 0)
				if !assert.True(t, d.Hit && d.Group != nil && d.Group.Members[0].Port == 2) {
					return
				}
			}
		})
	}
	for i := range 3000 {
		g := netip.AddrFrom4([4]byte{239, 1, byte(i >> 8), byte(i)}).String()
		require.NoError(t, b.receive(3, join4(1, g)))
	}
	b.m.DisablePort(b.now, 3)
	close(stop)
	wg.Wait()
	assert.Equal(t, 1, b.m.Len())
	assert.NotNil(t, b.m.View().Group(group("239.0.0.1", "")))
	assert.Nil(t, b.m.View().Group(group("239.1.0.0", "")))
}

// TestDecideAllocatesNothing: data that is restricted costs no memory.
func TestDecideAllocatesNothing(t *testing.T) {
	b := newBench(t, 3, snoop.Rules{})
	b.options(modern)
	require.NoError(t, b.receive(1, query4(9, "10.0.0.254", 1)))
	b.wait(time.Second)
	require.NoError(t, b.receive(2, join4(1, "239.1.1.1")))
	v, f := b.m.View(), frame.Frame{Data: data("10.9.0.1", "239.1.1.1")}
	n := 0
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		var p snoop.Packet
		if v.Parse(&f, 0, &p) == nil {
			d := v.Decide(&p, 0)
			for _, ok := d.Next(); ok; _, ok = d.Next() {
				n++
			}
		}
	}))
	assert.Positive(t, n)
}
