package bridge_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Snooped data takes no memory from the heap, whoever it goes to: copies for stations of a
// port that converts to unicast are made in scratch memory. Nor does a report that only
// refreshes, or a query of the querier that is known.
func TestSnoopingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	unknown := netip.MustParseAddr("239.9.9.9")
	for _, c := range []struct {
		name string
		from int // the port
		f    frame.Frame
		out  int // copies
	}{
		{"member, stations and router", 0, groupData(mac(9), source4, group4), 1 + 4 + 1},
		{"member and router", 0, groupData(mac(9), source4, group4b), 1 + 1},
		{"router alone", 0, groupData(mac(9), source4, unknown), 1},
		{"IPv6", 0, groupData(mac(9), source6, group6), 1 + 1},
		{"report of IGMPv2 again", 1, igmpReport(mac(1), group4), 1},
		{"report of IGMPv3 again", 1, igmpReportV3(mac(1), 1, group4b, source4), 5},
		{"report of IGMPv3 again, of what is not wanted", 1, igmpReportV3(mac(1), 2, group4, source4b), 5},
		{"report of MLD again", 1, mldReport(mac(1), group6), 1},
		{"query again", 1, igmpQuery(mac(9)), 5},
	} {
		for _, version := range []int{2, 3} {
			t.Run(c.name+" to "+[]string{2: "IGMPv2", 3: "IGMPv3"}[version], func(t *testing.T) {
				b, ports := benchBridge(t, 1000, bridge.Config{McastSnooping: true}, bridge.PortConfig{})
				for _, p := range ports[5:] {
					require.NoError(t, b.RemovePort(p))
				}
				plain, err := b.AddPort("plain", newSink(), bridge.PortConfig{})
				require.NoError(t, err)
				require.NoError(t, b.SetQuerySource(netip.IPv4Unspecified(), source6))
				require.NoError(t, b.Set(bridge.BridgeAttrs{McastIGMPVersion: &version}))
				restrictGroup(t, b, ports[1], plain)
				for _, f := range []frame.Frame{igmpReport(mac(1), group4b), mldReport(mac(1), group6)} {
					require.NoError(t, ports[1].Receive(f))
				}
				require.NoError(t, ports[3].Set(bridge.PortAttrs{McastRouter: new(2)}))
				in, fs := ports[c.from].Input(), make([]frame.Frame, 64)
				for i := range fs {
					fs[i] = c.f
				}
				_ = in.Receive(fs)
				sent := func() (n uint64) {
					for _, p := range b.Ports() {
						n += p.Stats().TxPackets
					}
					return n
				}
				before := sent()
				if n := testing.AllocsPerRun(20, func() { _ = in.Receive(fs) }); n != 0 {
					t.Errorf("%v allocations a batch of 64, want 0", n)
				}
				assert.EqualValues(t, 21*64*c.out, sent()-before)
			})
		}
	}
}

// joinOf is a report of IGMPv3 that joins groups n to n+count-1.
func joinOf(from frame.MAC, n, count int) frame.Frame {
	msg := []byte{0x22, 0, 0, 0, 0, 0, byte(count >> 8), byte(count)}
	for i := range count {
		msg = append(append(msg, 4, 0, 0, 0), groupNumber(n+i).AsSlice()...)
	}
	binary.BigEndian.PutUint16(msg[2:], frame.Checksum(msg, 0))
	dst := netip.MustParseAddr("224.0.0.22")
	f := ipv4Frame(from, source4, dst, 2, msg)
	binary.BigEndian.PutUint16(f.Data[16:], uint16(24+len(msg)))
	f.Data[24], f.Data[25] = 0, 0
	binary.BigEndian.PutUint16(f.Data[24:], frame.Checksum(f.Data[14:38], 0))
	return f
}

// A station that joins more groups than there may be ends snooping, once, with what it had
// said before; all is flooded then, nothing is forgotten, and memory stays within its
// bounds, however often it is tried.
func TestHashMaxInOneReport(t *testing.T) {
	const most = 100
	l := newMcastLab(t, bridge.Config{Attrs: bridge.BridgeAttrs{McastHashMax: new(uint32(most))}}, 3)
	ended := 0
	defer l.b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventSnoopingEnded {
			ended++
		}
	})()
	data := groupData(mac(9), source4, groupNumber(0))
	flood := joinOf(mac(1), 0, 180)
	assert.Equal(t, bridge.DropMulticast, l.p(2).Explain(flood).Reason)
	assert.Empty(t, rows(l.b), "Explain changes nothing")
	assert.Empty(t, l.out(2, flood), "dropped")
	assert.Equal(t, 1, ended)
	assert.False(t, l.b.Info().McastSnooping)
	assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, data))
	assert.Equal(t, []string{"p3", "p1", "br0"}, l.out(2, flood), "nobody looks")
	for n := range 5 {
		require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastSnooping: new(true)}))
		assert.Len(t, rows(l.b), most)
		assert.Empty(t, l.out(2, joinOf(mac(1), 200*n, 180)))
		assert.False(t, l.b.Info().McastSnooping)
		assert.Equal(t, 2+n, ended)
	}
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{McastSnooping: new(true)}))
	l.later(300 * time.Second)
	l.log.take()
	assert.Empty(t, rows(l.b), "their time is over")
	assert.Empty(t, l.out(1, data))
	balanced(t, l.b)
}

// What a station says in one frame may have the bridge send a query for each record. They
// are more than a batch gathers, and all leave.
func TestQueriesOfOneReport(t *testing.T) {
	l := newMcastLab(t, bridge.Config{Attrs: bridge.BridgeAttrs{McastIGMPVersion: new(3)}}, 2)
	const groups = 3000
	p := l.p(2)
	require.NoError(t, p.SetMTU(65521))
	for n := 0; n < groups; n += 1000 {
		l.in(2, joinOf(mac(1), n, 1000))
	}
	require.Len(t, rows(l.b), groups)
	leave := joinOf(mac(1), 0, groups)
	for at := 14 + 24 + 8; at < len(leave.Data); at += 8 {
		leave.Data[at] = 3 // to INCLUDE, of nothing
	}
	msg := leave.Data[38:]
	msg[2], msg[3] = 0, 0
	binary.BigEndian.PutUint16(msg[2:], frame.Checksum(msg, 0))
	out := l.in(2, leave)
	asked := devs(queriesOf(out, l.b.Info().Address))
	assert.Equal(t, groups, len(asked))
	assert.Equal(t, []string{"p2"}, slices.Compact(asked))
	assert.Equal(t, []string{"br0"}, devs(otherThanOwn(out, l.b.Info().Address)), "the report itself, too long for p1")
	l.later(3 * time.Second)
	assert.Empty(t, rows(l.b))
	balanced(t, l.b)
}
