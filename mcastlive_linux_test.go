package bridge_test

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
)

// joinLive has the stack of a namespace join a group, until the socket is closed.
func joinLive(t *testing.T, ns string, group netip.AddrPort) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	tapIn(t, ns, func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c, err = net.ListenMulticastUDP("udp4", eth0, net.UDPAddrFromAddrPort(group))
		return err
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Sockets of three stacks of the kernel's: a stream reaches the two that joined its group
// and not the third, follows one that leaves, and stops after the last has left.
func TestSnoopingOfRealStations(t *testing.T) {
	t.Parallel()
	s := tapServe(t, bridge.TAPConfig{}, bridge.TAPConfig{}, bridge.TAPConfig{}, bridge.TAPConfig{})
	group := netip.MustParseAddrPort("239.5.5.5:5005")
	var copies [4]atomic.Int64 // of the stream, by port
	require.NoError(t, s.b.SetFilters(bridge.Filter{Name: "count", Hooks: bridge.Hooks(bridge.HookPostRouting), Judge: func(p *bridge.Passage) bridge.Ruling {
		if !p.Dry && p.Frame.Dst() == groupMACOf(group.Addr()) && p.Frame.Data[23] == 17 {
			copies[slices.Index(s.b.Ports(), p.Out)].Add(1)
		}
		return bridge.Ruling{}
	}}))
	require.NoError(t, s.b.SetQuerySource(netip.MustParseAddr("10.9.0.254"), netip.Addr{}))
	require.NoError(t, s.b.Set(bridge.BridgeAttrs{
		McastSnooping: new(true), McastQueryUseIfaddr: new(true),
		McastQueryResponseInterval: new(300 * time.Millisecond), McastLastMemberInterval: new(300 * time.Millisecond),
		McastQueryInterval: new(time.Second), McastStartupQueryInterval: new(time.Second),
		McastMembershipInterval: new(10 * time.Second), // who once kept silent for another's report does not tell of leaving
	}))
	members := []*net.UDPConn{joinLive(t, s.ns[1], group), joinLive(t, s.ns[2], group)}
	require.NoError(t, s.b.Set(bridge.BridgeAttrs{McastQuerier: new(true)}))

	data := groupData(mac(1), netip.MustParseAddr("10.9.0.1"), group.Addr())
	reaches := func(want ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			out := []string{}
			for _, o := range s.b.Port("p1").Explain(data).Out {
				out = append(out, o.Dev)
			}
			return slices.Equal(out, want)
		}, 30*time.Second, 10*time.Millisecond, "the group reaches not %v, but\n%v", want, s.b.MDB())
	}
	var from net.Conn
	tapIP(t, s.ns[0], "route", "add", "224.0.0.0/4", "dev", "eth0")
	tapIn(t, s.ns[0], func() (err error) {
		from, err = net.Dial("udp4", group.String())
		return err
	})
	defer from.Close()
	const packets = 20
	stream := func(to ...*net.UDPConn) (got [4]int64) {
		t.Helper()
		before := s.b.Port("p1").Stats().RxPackets
		for i := range copies {
			copies[i].Store(0)
		}
		for range packets {
			_, err := from.Write([]byte("stream"))
			require.NoError(t, err)
		}
		for _, c := range to {
			require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
			for range packets {
				n, _, err := c.ReadFrom(make([]byte, 100))
				require.NoError(t, err)
				assert.Equal(t, 6, n)
			}
		}
		require.Eventually(t, func() bool { return s.b.Port("p1").Stats().RxPackets >= before+packets }, 30*time.Second, time.Millisecond)
		require.NoError(t, s.b.SetPromisc(false)) // a change waits for what is under way
		for i := range copies {
			got[i] = copies[i].Load()
		}
		return got
	}

	reaches("p3", "p2")
	assert.Equal(t, [4]int64{0, packets, packets, 0}, stream(members...))
	require.NoError(t, members[0].Close())
	reaches("p3")
	assert.Equal(t, [4]int64{0, 0, packets, 0}, stream(members[1]))
	require.NoError(t, members[1].Close())
	reaches()
	assert.Equal(t, [4]int64{}, stream())
	assert.NotZero(t, s.b.Port("p1").Stats().Ingress.Dropped[bridge.DropNoTXTarget])

	joinLive(t, s.ns[3], group)
	reaches("p4")
	assert.Equal(t, [4]int64{0, 0, 0, packets}, stream())
	balancedSoon(t, s.b)
}

// balancedSoon is balanced for a bridge that serves.
func balancedSoon(t testing.TB, b *bridge.Bridge) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, p := range b.Ports() {
			if st := p.Stats(); st.Ingress.Balance() != 0 || st.Egress.Balance() != 0 {
				return false
			}
		}
		return true
	}, 30*time.Second, 10*time.Millisecond)
}
