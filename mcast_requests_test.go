package bridge_test

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A request without a VLAN means each VLAN of the port, for the host each that there is.
func TestMDBRequestOfAllVLANs(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, VLANs: bridge.Access(1), McastSnooping: true})
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)})
	l.add(2, bridge.PortConfig{VLANs: bridge.Access(30)})
	l.add(3, bridge.PortConfig{VLANs: []bridge.VLAN{}})
	require.NoError(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(1), Group: group4, VID: 10}))
	r := bridge.MDBRequest{Port: l.p(1), Group: group4, Permanent: true}
	require.ErrorIs(t, l.b.AddMDB(r), bridge.EEXIST)
	assert.ElementsMatch(t, []string{"239.1.1.1 at p1 vlan 10", "239.1.1.1 at p1 vlan 1 permanent"}, rows(l.b), "up to the one that is refused")
	require.NoError(t, l.b.FlushMDB(bridge.MDBFlush{}))
	require.NoError(t, l.b.AddMDB(bridge.MDBRequest{Group: group4}))
	assert.ElementsMatch(t, []string{"239.1.1.1 at  vlan 1", "239.1.1.1 at  vlan 10", "239.1.1.1 at  vlan 20", "239.1.1.1 at  vlan 30"}, rows(l.b))
	require.NoError(t, l.b.DeleteMDB(bridge.MDBRequest{Group: group4}))
	assert.Empty(t, rows(l.b))
	require.NoError(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(3), Group: group4, Permanent: true}), "there is nothing to be done")
	require.ErrorIs(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(3), Group: source4, Permanent: true}), bridge.EINVAL)
	assert.Empty(t, rows(l.b))
}

// What can be seen of a group, of its sources, and of who asks and routes.
func TestMDBDump(t *testing.T) {
	l := newMcastLab(t, bridge.Config{Attrs: bridge.BridgeAttrs{McastIGMPVersion: new(3)}}, 3)
	require.NoError(t, l.b.AddMDB(bridge.MDBRequest{
		Port: l.p(1), Group: group4, Mode: bridge.MDBInclude, Sources: []netip.Addr{source4, source4b}, Protocol: 99,
	}))
	got, err := l.b.LookupMDB(bridge.MDBRequest{Group: group4})
	require.NoError(t, err)
	assert.Equal(t, []bridge.MDBEntry{{
		Port: "p1", Group: group4, Mode: bridge.MDBInclude, Protocol: 99, MAC: frame.Broadcast,
		Sources: []bridge.MDBSource{{Addr: source4b, Timer: 260 * time.Second}, {Addr: source4, Timer: 260 * time.Second}},
	}}, got)
	assert.ElementsMatch(t, []string{"239.1.1.1 at p1", "239.1.1.1 from 192.0.2.1 at p1", "239.1.1.1 from 192.0.2.2 at p1"}, rows(l.b))
	assert.Equal(t, 3, l.p(1).Info().McastGroups)
	_, err = l.b.LookupMDB(bridge.MDBRequest{Group: group4b})
	require.ErrorIs(t, err, bridge.ENOENT)
	_, err = l.b.LookupMDB(bridge.MDBRequest{Group: group4, Source: source6})
	require.ErrorIs(t, err, bridge.EINVAL)
	assert.Equal(t, []string{"p1"}, l.out(2, groupData(mac(9), source4, group4)))
	assert.Empty(t, l.out(2, groupData(mac(9), netip.MustParseAddr("192.0.2.9"), group4)), "a source that is not wanted")

	ip4, ip6 := l.b.Queriers(0)
	assert.Equal(t, bridge.Querier{Known: true, Addr: netip.IPv4Unspecified()}, ip4)
	assert.True(t, ip6.Known, "it is to be one, and has no address")
	l.in(3, igmpQuery(mac(3)))
	ip4, _ = l.b.Queriers(0)
	assert.Equal(t, bridge.Querier{Known: true, Addr: source4, Other: true, Port: "p3", Timer: 255 * time.Second}, ip4)
	assert.Equal(t, []bridge.RouterPort{{Port: "p3", Type: 1, Timer4: 255 * time.Second, Timer6: -1}}, l.b.RouterPorts(0))
	l.set(1, bridge.PortAttrs{McastRouter: new(3)})
	require.NoError(t, l.p(1).SetLink(false, true))
	assert.Equal(t, 1, l.p(1).Info().McastRouter, "3 is over when the port is disabled")

	require.NoError(t, l.b.RemovePort(l.p(3)))
	ip4, _ = l.b.Queriers(0)
	assert.Empty(t, ip4.Port)
	assert.Empty(t, l.b.RouterPorts(0))
	require.NoError(t, l.b.AddMDB(bridge.MDBRequest{Port: l.p(2), Group: group4}))
	before := len(l.b.MDB())
	require.NoError(t, l.b.FlushMDB(bridge.MDBFlush{Port: l.p(3)}), "a port that has left has no rows")
	assert.Len(t, l.b.MDB(), before)
	for what, err := range map[string]error{
		"add": l.b.AddMDB(bridge.MDBRequest{Port: l.p(3), Group: group4}), "delete": l.b.DeleteMDB(bridge.MDBRequest{Port: l.p(3), Group: group4}),
		"vlan":          l.p(3).VLANs().SetMcastRouter(1, 0, 2),
		"host and port": l.b.FlushMDB(bridge.MDBFlush{Port: l.p(1), Host: true}), "vid": l.b.FlushMDB(bridge.MDBFlush{VID: new(frame.VID(4095))}),
	} {
		assert.ErrorIs(t, err, bridge.EINVAL, what)
	}
}

// Settings of VLANs count while snooping is per VLAN, and are kept while it is not.
func TestMcastOfVLANs(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, VLANs: bridge.Access(10), McastSnooping: true})
	for n := range 3 {
		l.add(n+1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)})
	}
	vlans := l.p(1).VLANs()
	router := func() int { return vlans.All()[0].McastRouter }
	require.NoError(t, vlans.SetMcastRouter(10, 0, 2))
	assert.Equal(t, 2, router())
	assert.Equal(t, 1, l.p(1).Info().McastRouter)
	assert.ErrorIs(t, vlans.SetMcastMaxGroups(10, 0, 1), bridge.EINVAL, "there is no snooping of its own")
	assert.ErrorIs(t, vlans.SetMcastRouter(10, 0, 4), bridge.EINVAL)
	assert.ErrorIs(t, vlans.SetMcastRouter(11, 0, 1), bridge.ENOENT)
	assert.ErrorIs(t, l.b.VLANs().SetMcastRouter(10, 0, 3), bridge.EINVAL)
	assert.ErrorIs(t, l.b.VLANs().SetMcastMaxGroups(10, 0, 3), bridge.EINVAL)
	require.NoError(t, l.b.VLANs().SetMcastRouter(10, 0, 0))
	assert.Equal(t, 0, l.b.VLANs().All()[0].McastRouter)

	require.NoError(t, l.b.SetVLANGlobal(10, 0, bridge.VLANGlobalAttrs{McastQuerier: new(true), McastQueryResponseInterval: new(time.Second)}))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastVLANSnooping: new(true)}))
	l.later(20 * time.Second)
	l.log.take()
	data := func(vid frame.VID) frame.Frame { return dot1q(groupData(mac(9), source4, group4), vid) }
	assert.Equal(t, []string{"p1"}, l.out(2, data(10)), "a router is taken to be there")
	assert.Equal(t, []string{"p3", "p1"}, l.out(2, data(20)), "nobody asks in VLAN 20, and the host is not in it")

	require.NoError(t, l.p(3).VLANs().SetMcastMaxGroups(10, 0, 1))
	l.in(3, dot1q(igmpReport(mac(3), group4), 10))
	l.in(3, dot1q(igmpReport(mac(3), group4b), 10))
	assert.Equal(t, []string{"239.1.1.1 at p3 vlan 10"}, rows(l.b))
	assert.Equal(t, uint64(1), l.ingress(3).Dropped[bridge.DropMulticast])
	i := l.p(3).VLANs().All()[0]
	assert.Equal(t, [2]int{1, 1}, [2]int{i.McastGroups, int(i.McastMaxGroups)})
	assert.Equal(t, []string{"p3", "p1"}, l.out(2, data(10)))

	require.NoError(t, l.p(3).VLANs().Delete(10, 0))
	assert.Empty(t, rows(l.b), "learned, and the port has left the VLAN")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(false)}))
	assert.False(t, l.b.Info().McastVLANSnooping)
	balanced(t, l.b)
}

// Messages and data on every port, while all that snooping knows is changed: nothing
// races, and nothing is lost to the ledgers.
func TestSnoopingUnderTraffic(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, McastSnooping: true, McastQuerier: true, Attrs: bridge.BridgeAttrs{McastStats: new(true)}})
	l.forget()
	for n := range 4 {
		l.add(n+1, bridge.PortConfig{})
	}
	l.later(11 * time.Second)
	var stop atomic.Bool
	var rounds [4]atomic.Int64
	var wg sync.WaitGroup
	for n := range 4 {
		in, p := l.p(n+1).Input(), l.p(n+1)
		wg.Go(func() {
			for k := 0; !stop.Load(); k++ {
				m := mac(n*100 + k%8)
				_ = in.Receive([]frame.Frame{
					igmpReport(m, group4), groupData(m, source4, group4), igmpLeave(m, group4b), igmpReport(m, group4b),
					mldReport(m, group6), igmpReportV3(m, byte(1+k%6), group4, source4), groupData(m, source4, group4b), igmpQuery(m),
				}) // a port may be down
				_ = p.Explain(groupData(m, source4, group4))
				rounds[n].Add(1)
				runtime.Gosched()
			}
		})
	}
	for k := range 150 {
		on := k%2 == 0
		for was := rounds[0].Load(); rounds[0].Load() == was; { // else all is over before anything comes
			runtime.Gosched()
		}
		switch k % 10 {
		case 0:
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastVLANSnooping: new(k%20 == 0)}))
		case 1:
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastSnooping: new(k%4 == 1), McastIGMPVersion: new(2 + k/10%2)}))
		case 2:
			_ = l.b.AddMDB(bridge.MDBRequest{Port: l.p(1), Group: group4, Permanent: true}) // or there is one
		case 3:
			_ = l.b.DeleteMDB(bridge.MDBRequest{Port: l.p(1), Group: group4}) // or there is none
		case 4:
			require.NoError(t, l.p(2).SetLink(k%20 == 4, true))
		case 5:
			require.NoError(t, l.p(3).Set(bridge.PortAttrs{McastToUnicast: &on, FastLeave: new(k%4 == 1), McastRouter: new(k % 4)}))
		case 6:
			l.clock.add(time.Second)
			l.b.Tick(l.clock.now())
		case 7:
			_, _, _ = l.b.MDB(), l.b.RouterPorts(1), l.p(1).McastStats()
			_, _ = l.b.Queriers(1)
		case 8:
			require.NoError(t, l.b.FlushMDB(bridge.MDBFlush{}))
		case 9:
			require.NoError(t, l.b.RemovePort(l.p(4)))
			l.add(4, bridge.PortConfig{})
		}
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastSnooping: new(true)}))
	assert.Positive(t, l.p(1).McastStats().IGMPReports[1][0])
	balanced(t, l.b)
}

// What stands behind the IP packet of a message goes along, in every release.
func TestPaddingOfMessages(t *testing.T) {
	for _, k := range []bridge.Kernel{bridge.Linux6_1, bridge.Linux6_18} {
		l := newLabN(t, bridge.Config{McastSnooping: true, Kernel: k}, 2)
		f := igmpReport(mac(1), group4)
		f.Data = append(f.Data, make([]byte, 14)...)
		out := l.in(1, f)
		require.Len(t, out, 2)
		for _, d := range out {
			assert.Len(t, d.wire, len(f.Data))
		}
		assert.Len(t, l.b.MDB(), 1)
	}
}

// A request to delete that names no VLAN goes through all of the port, whichever of them
// has the entry; the answer is that of the last.
func TestDeleteMDBOfAllVLANs(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, McastSnooping: true})
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)})
	r := bridge.MDBRequest{Port: l.p(1), Group: group4}
	for _, vid := range []frame.VID{20, 10} {
		in := r
		in.VID = vid
		require.NoError(t, l.b.AddMDB(in))
		err := l.b.DeleteMDB(r)
		assert.Equal(t, vid == 20, err == nil, "in VLAN %d: %v", vid, err)
		assert.Empty(t, l.b.MDB())
	}
}
