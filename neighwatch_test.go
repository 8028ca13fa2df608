package bridge_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// What a trace tells of an answer, under the kernel's function names.
func TestTraceOfAnswer(t *testing.T) {
	l := neighLab(t, bridge.Config{}, new(bridge.HostTable))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	for _, c := range []struct {
		f    frame.Frame
		from int
		want string
	}{
		{whoHas(1, 2), 1, `
br_handle_frame dev: p1 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff
br_allowed_ingress dev: p1 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff VLAN filtering is off
br_fdb_update dev: p1 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff source refreshed
br_do_proxy_suppress_arp dev: p1 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff neighbour known, answered
br_arp_send dev: p1 02:00:00:00:0a:02 -> 02:00:00:00:0a:01
br_flood dev: p1 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff broadcast
__br_forward to dev: p3 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff
maybe_deliver to dev: p2 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff passed over: neigh_suppress or proxy_arp_wifi
maybe_deliver to dev: p1 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff passed over: it came in by this port
br_pass_frame_up dev: br0 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff
dev_queue_xmit dev: p1 02:00:00:00:0a:02 -> 02:00:00:00:0a:01
dev_queue_xmit dev: p3 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff
netif_receive_skb dev: br0 02:00:00:00:0a:01 -> ff:ff:ff:ff:ff:ff
`},
		{arp{src: hostMAC, sender: ip4(254), target: ip4(2)}.frame(), 0, `
br_dev_xmit dev: br0 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff
br_allowed_ingress dev: br0 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff VLAN filtering is off
br_do_proxy_suppress_arp dev: br0 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff neighbour known, answered
br_arp_send dev: br0 02:00:00:00:0a:02 -> 02:00:00:00:0b:00
br_dev_xmit dev: br0 02:00:00:00:0a:02 -> 02:00:00:00:0b:00
kfree_skb dev: br0 02:00:00:00:0a:02 -> 02:00:00:00:0b:00 dropped: the address is the bridge's own: there is no port to leave by
br_flood dev: br0 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff broadcast
__br_forward to dev: p3 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff
maybe_deliver to dev: p2 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff passed over: neigh_suppress or proxy_arp_wifi
__br_forward to dev: p1 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff
dev_queue_xmit dev: p3 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff
dev_queue_xmit dev: p1 02:00:00:00:0b:00 -> ff:ff:ff:ff:ff:ff
`},
	} {
		var text bytes.Buffer
		l.b.SetTrace(bridge.TextTrace(&text))
		l.in(c.from, c.f)
		l.b.SetTrace(nil)
		assert.Equal(t, strings.TrimPrefix(c.want, "\n"), text.String())
	}
	e := l.p(1).Explain(solicit(1, 2).frame())
	assert.Contains(t, e.String(), "br_do_suppress_nd dev: p1 02:00:00:00:0a:01 -> 33:33:ff:00:00:02 neighbour known, answered\n"+
		"br_nd_send dev: p1 02:00:00:00:0a:02 -> 02:00:00:00:0a:01\n")
	assert.Empty(t, l.log.take(), "a dry run sends nothing")
}

// A request whose sender is the very neighbour that it asks for: what the frame itself
// teaches counts for it, in a dry run too.
func TestExplainAnswerToWhatTheFrameTeaches(t *testing.T) {
	table := new(bridge.HostTable)
	l := newLabN(t, bridge.Config{Host: table}, 2)
	table.SetNeighbour(0, ip4(2), bridge.Neighbour{MAC: neighMAC(1)})
	l.set(1, bridge.PortAttrs{ProxyARP: on()})
	f := whoHas(1, 2)
	e := l.p(1).Explain(f)
	require.Len(t, e.Out, 3)
	assert.Equal(t, "-", l.where(neighMAC(1), 0), "a dry run learns nothing")
	got := l.in(1, f)
	for i, d := range got {
		assert.Equal(t, e.Out[i].Dev, d.dev)
		assert.Equal(t, e.Out[i].Frame.AppendWire(nil), d.wire)
	}
}

// The answer takes its place among the frames that leave the port, and each is one of
// the port's egress ledger; so it is however the frames are cut into batches.
func TestAnswersInOrder(t *testing.T) {
	var batch []frame.Frame
	for i := range 30 {
		batch = append(batch, ether(neighMAC(1), neighMAC(3)), whoHas(3, 2), dot1q(ether(frame.Broadcast, neighMAC(3)), frame.VID(i+1)),
			solicit(3, 2).frame(), arp{src: neighMAC(3), sender: ip4(3), target: ip4(2), sha: neighMAC(i)}.frame())
	}
	run := func(size int) []delivery {
		l := neighLab(t, bridge.Config{}, new(bridge.HostTable))
		l.set(2, bridge.PortAttrs{NeighSuppress: on()})
		l.set(3, bridge.PortAttrs{Hairpin: on()})
		before := l.p(3).Stats()
		var got []delivery
		for part := range slices.Chunk(batch, size) {
			got = append(got, l.in(3, part...)...)
		}
		after := l.p(3).Stats()
		// Four of five come back by the hairpin, three of five are answered.
		assert.EqualValues(t, 30*(4+3), after.Egress.Offered-before.Egress.Offered)
		assert.EqualValues(t, 30*(4+3), after.TxPackets-before.TxPackets)
		assert.EqualValues(t, 150, after.Ingress.Received-before.Ingress.Received)
		balanced(t, l.b)
		return got
	}
	one := run(1)
	for i, w := range wires(one, "p3")[:2] {
		assert.Equal(t, []frame.MAC{neighMAC(2), neighMAC(3)}[i], frame.MAC(w[6:12]), "the answer, then the request")
	}
	for _, size := range []int{2, 7, 64, 150} {
		assert.True(t, sameDeliveries(one, run(size)), "batches of %d", size)
	}
}

// An answer is sent whether or not a frame may pass between the two ports.
func TestAnswerForUnreachable(t *testing.T) {
	table := new(bridge.HostTable)
	table.AddVLANDevice(frame.TypeDot1Q, 5)
	l := neighLab(t, bridge.Config{VLANFiltering: true}, table)
	table.SetNeighbour(5, ip4(2), bridge.Neighbour{MAC: neighMAC(2)})
	for _, n := range []int{1, 2} {
		require.NoError(t, l.p(n).VLANs().Add(bridge.VLAN{VID: 5}))
	}
	l.in(2, dot1q(ether(frame.Broadcast, neighMAC(2)), 5))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	l.set(1, bridge.PortAttrs{Isolated: on()})
	l.set(2, bridge.PortAttrs{Isolated: on()})
	assert.Equal(t, "p1!", l.went(1, dot1q(whoHas(1, 2), 5)), "answered for a station that could not be reached")
}

func TestAnswersAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := neighLab(t, bridge.Config{}, new(bridge.HostTable))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	l.forget()
	sunk, err := l.b.AddPort("sunk", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	in := sunk.Input()
	for name, f := range map[string]frame.Frame{
		"ARP": whoHas(9, 2), "ND": solicit(9, 2).frame(), "kept": whoHas(9, 9), "known": whoHas(9, 1),
	} {
		batch := slices.Repeat([]frame.Frame{f}, 64)
		carry := func() { _ = in.Receive(batch) }
		carry()
		assert.Zero(t, testing.AllocsPerRun(100, carry), name)
	}
	assert.NotZero(t, sunk.Stats().TxPackets)
}
