package bridge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// counts is what one frame adds to the counters of datapath.md section 10: of the
// ports p1 and p2, of the bridge device, and of VLAN 10 of them all together.
type counts struct {
	rx, rxBytes, rxDropped     uint64 // p1
	tx, txBytes, txDropped     uint64 // p2
	host, hostBytes, multicast uint64 // what the bridge device received
	sent, sentBytes            uint64 // and sent
	vrx, vrxBytes, vtx, vtxB   uint64 // VLAN 10
}

func (l *lab) counts() counts {
	p1, p2, h := l.p(1).Stats(), l.p(2).Stats(), l.b.Stats()
	c := counts{
		p1.RxPackets, p1.RxBytes, p1.RxDropped, p2.TxPackets, p2.TxBytes, p2.TxDropped,
		h.RxPackets, h.RxBytes, h.Multicast, h.TxPackets, h.TxBytes, 0, 0, 0, 0,
	}
	for _, v := range l.p(1).VLANs().All() {
		if v.VID == 10 {
			c.vrx, c.vrxBytes, c.vtx, c.vtxB = v.RxPackets, v.RxBytes, v.TxPackets, v.TxBytes
		}
	}
	return c
}

func (c counts) less(b counts) counts {
	return counts{
		c.rx - b.rx, c.rxBytes - b.rxBytes, c.rxDropped - b.rxDropped, c.tx - b.tx, c.txBytes - b.txBytes, c.txDropped - b.txDropped,
		c.host - b.host, c.hostBytes - b.hostBytes, c.multicast - b.multicast, c.sent - b.sent, c.sentBytes - b.sentBytes,
		c.vrx - b.vrx, c.vrxBytes - b.vrxBytes, c.vtx - b.vtx, c.vtxB - b.vtxB,
	}
}

// A port counts what its driver does, the bridge device what br_pass_frame_up and
// br_dev_xmit begin with, a VLAN what passes its ingress and egress. Frames are of
// 100 bytes, 86 without their header.
func TestCounters(t *testing.T) {
	h := mac(9)
	bc, mc := etherN(frame.Broadcast, h, 100), etherN(groupMAC, h, 100)
	tag10, filtering := func(f frame.Frame) frame.Frame { return dot1q(f, 10) }, bridge.Config{VLANFiltering: true, VLANStats: true}
	attrs := func(a bridge.PortAttrs) func(l *lab) { return func(l *lab) { l.set(2, a) } }
	for _, c := range []struct {
		name  string
		cfg   bridge.Config
		setup func(l *lab)
		in    int
		f     frame.Frame
		want  counts
	}{
		{"broadcast: received, sent, delivered, not multicast", bridge.Config{}, nil, 1, bc, counts{rx: 1, rxBytes: 100, tx: 1, txBytes: 100, host: 1, hostBytes: 86}},
		{"multicast", bridge.Config{}, nil, 1, mc, counts{rx: 1, rxBytes: 100, tx: 1, txBytes: 100, host: 1, hostBytes: 86, multicast: 1}},
		{"the tag counts in bytes of ports, not of the bridge", bridge.Config{}, nil, 1, tag10(mc), counts{rx: 1, rxBytes: 104, tx: 1, txBytes: 104, host: 1, hostBytes: 86, multicast: 1}},
		{"a second tag counts", bridge.Config{}, nil, 1, tag10(tag10(bc)), counts{rx: 1, rxBytes: 108, tx: 1, txBytes: 108, host: 1, hostBytes: 90}},
		{"dropped by the bridge: no counter of a device", bridge.Config{}, nil, 1, etherN(linkLocal(1), h, 100), counts{rx: 1, rxBytes: 100}},
		{"source zero", bridge.Config{}, nil, 1, etherN(frame.Broadcast, zeroMAC, 100), counts{rx: 1, rxBytes: 100}},
		{"for the port's own stack, and nobody there", bridge.Config{}, nil, 1, etherN(linkLocal(2), h, 100), counts{rx: 1, rxBytes: 100, rxDropped: 1}},
		{"too long for p2: counted nowhere", bridge.Config{}, func(l *lab) { require.NoError(l.t, l.p(2).SetMTU(68)) }, 1, bc, counts{rx: 1, rxBytes: 100, host: 1, hostBytes: 86}},
		{"p2 down: counted nowhere", bridge.Config{}, func(l *lab) { require.NoError(l.t, l.p(2).SetLink(false, true)) }, 1, bc, counts{rx: 1, rxBytes: 100, host: 1, hostBytes: 86}},
		{"p1 down: the device takes nothing", bridge.Config{}, func(l *lab) { require.NoError(l.t, l.p(1).SetLink(false, true)) }, 1, bc, counts{}},
		{"a runt: the device takes nothing", bridge.Config{}, nil, 1, frame.Frame{Data: bc.Data[:13]}, counts{}},
		{"not to be flooded there", bridge.Config{}, attrs(bridge.PortAttrs{BcastFlood: new(false)}), 1, bc, counts{rx: 1, rxBytes: 100, host: 1, hostBytes: 86}},
		{"to the host alone", bridge.Config{}, nil, 1, etherN(portMAC(1), h, 100), counts{rx: 1, rxBytes: 100, host: 1, hostBytes: 86}},
		{"unknown unicast, promisc", bridge.Config{Promisc: true}, nil, 1, etherN(mac(50), h, 100), counts{rx: 1, rxBytes: 100, tx: 1, txBytes: 100, host: 1, hostBytes: 86}},
		{"from the host: bytes with the header", bridge.Config{}, nil, 0, bc, counts{tx: 1, txBytes: 100, sent: 1, sentBytes: 100}},
		{"from the host to nowhere", bridge.Config{Address: mac(77)}, nil, 0, etherN(mac(77), h, 100), counts{sent: 1, sentBytes: 100}},
		{"VLAN 10, not the host's: delivered all the same, and dropped", filtering, nil, 1, tag10(mc),
			counts{rx: 1, rxBytes: 104, tx: 1, txBytes: 100, host: 1, hostBytes: 86, multicast: 1, vrx: 1, vrxBytes: 86, vtx: 1, vtxB: 86}},
		{"VLAN 10, the host's too: counts as sent in the VLAN", filtering, func(l *lab) { require.NoError(l.t, l.b.VLANs().Add(bridge.VLAN{VID: 10})) }, 1, tag10(bc),
			counts{rx: 1, rxBytes: 104, tx: 1, txBytes: 100, host: 1, hostBytes: 86, vrx: 1, vrxBytes: 86, vtx: 2, vtxB: 172}},
		{"VLAN 10, not the host's, promisc: no tx in the VLAN", bridge.Config{VLANFiltering: true, VLANStats: true, Promisc: true}, nil, 1, tag10(bc),
			counts{rx: 1, rxBytes: 104, tx: 1, txBytes: 100, host: 1, hostBytes: 86, vrx: 1, vrxBytes: 86, vtx: 1, vtxB: 86}},
		{"VLAN 10 blocked for the host, promisc: it leaves as it would", bridge.Config{VLANFiltering: true, VLANStats: true, Promisc: true, VLANs: bridge.Access(10)},
			func(l *lab) { require.NoError(l.t, l.b.VLANs().SetState(10, 0, bridge.StateBlocking)) }, 1, tag10(bc),
			counts{rx: 1, rxBytes: 104, tx: 1, txBytes: 100, host: 1, hostBytes: 86, vrx: 1, vrxBytes: 86, vtx: 2, vtxB: 172}},
		{"VLAN 10, too long for p2: the VLAN has counted it", filtering, func(l *lab) { require.NoError(l.t, l.p(2).SetMTU(68)) }, 1, tag10(bc),
			counts{rx: 1, rxBytes: 104, host: 1, hostBytes: 86, vrx: 1, vrxBytes: 86, vtx: 1, vtxB: 86}},
		{"a VLAN that p1 is not in: dropped before it is counted", filtering, nil, 1, dot1q(bc, 20), counts{rx: 1, rxBytes: 104}},
		{"VLAN 10 blocked on p1: dropped before it is counted", filtering, func(l *lab) { require.NoError(l.t, l.p(1).VLANs().SetState(10, 0, bridge.StateBlocking)) }, 1, tag10(bc), counts{rx: 1, rxBytes: 104}},
		{"VLAN 10 learning on p1: counted and dropped", filtering, func(l *lab) { require.NoError(l.t, l.p(1).VLANs().SetState(10, 0, bridge.StateLearning)) }, 1, tag10(bc),
			counts{rx: 1, rxBytes: 104, vrx: 1, vrxBytes: 86}},
		{"a foreign tag is payload and counts", filtering, func(l *lab) { require.NoError(l.t, l.p(1).VLANs().Add(bridge.VLAN{VID: 10, PVID: true})) }, 1, tagged(bc, frame.TypeDot1AD, 5),
			counts{rx: 1, rxBytes: 104, tx: 1, txBytes: 104, host: 1, hostBytes: 90, vrx: 1, vrxBytes: 90, vtx: 1, vtxB: 90}},
		{"from the host in a VLAN that it is not in: sent, and dropped", filtering, nil, 0, tag10(bc), counts{sent: 1, sentBytes: 104}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, c.cfg)
			l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(1, 10)})
			l.add(2, bridge.PortConfig{VLANs: bridge.Access(10)})
			if c.setup != nil {
				c.setup(l)
			}
			before := l.counts()
			if c.in == 0 {
				require.NoError(t, l.b.Xmit(c.f))
			} else {
				_ = l.p(c.in).Receive(c.f) // the device's answer is TestDoor's
			}
			assert.Equal(t, c.want, l.counts().less(before))
			balanced(t, l.b)
		})
	}
}

// A full queue is the driver's to count, an interface that vanished too.
func TestTxDropped(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	full := &fuzzCable{recorder: newRecorder("p2", l.log), t: t}
	full.jammed.Store(true)
	p, err := l.b.AddPort("p2", full, bridge.PortConfig{})
	require.NoError(t, err)
	l.in(1, ether(frame.Broadcast, mac(1)), ether(frame.Broadcast, mac(1)))
	s := p.Stats()
	assert.EqualValues(t, 2, s.TxDropped)
	assert.Zero(t, s.TxPackets+s.TxBytes)
	assert.EqualValues(t, 2, s.Egress.Refused[bridge.DropQueueFull])
}

// With MST the port's state is not looked at, but its device is: is_skb_forwardable asks
// whether it is up, and the queue of one without a carrier takes nothing.
func TestEgressDeviceDown(t *testing.T) {
	l := newLab(t, bridge.Config{MSTEnabled: true})
	for i := 1; i <= 3; i++ {
		l.add(i, bridge.PortConfig{})
	}
	require.NoError(t, l.p(2).SetLink(false, true))
	assert.Equal(t, []string{"p3", "br0"}, l.out(1, ether(frame.Broadcast, mac(9))))
	assert.EqualValues(t, 1, l.p(2).Stats().Egress.Refused[bridge.DropPortDown])
	require.NoError(t, l.p(2).SetLink(true, false))
	assert.Equal(t, []string{"p3", "br0"}, l.out(1, ether(frame.Broadcast, mac(9))), "a device without a carrier sends nothing")
	assert.EqualValues(t, 2, l.p(2).Stats().Egress.Refused[bridge.DropPortDown])
	balanced(t, l.b)
}

// datapath.md section 11: what a port is when it joins, and a bridge when it is made.
func TestDefaults(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	i := l.p(1).Info()
	want := bridge.PortInfo{
		Name: "p1", Attached: true, Address: portMAC(1), MTU: 1500, Up: true, Carrier: true,
		No: 1, State: bridge.StateForwarding, Priority: 32, Cost: 100, PortID: 0x8001,
		Learning: true, AutoEdge: true, Flood: true, McastFlood: true, BcastFlood: true,
		McastRouter: 1, McastEHTHostsLimit: 512,
		DesignatedRoot: l.b.Info().BridgeID, DesignatedBridge: l.b.Info().BridgeID, DesignatedPort: 0x8001,
		ForwardDelayTimer: 15 * time.Second, // which means nothing
	}
	assert.Equal(t, want, i)
	assert.Equal(t, []string{"1 PVID untagged"}, members(l.p(1).VLANs()))
	assert.Equal(t, []string{"1 PVID untagged"}, members(l.b.VLANs()))
	b := l.b.Info()
	assert.Equal(t, []any{true, true, 1500, uint16(0x8000)}, []any{b.Up, b.AddressAuto, b.MTU, b.Priority})
}

// Section 11: the bridge's MTU is the smallest of its ports', 1500 without any,
// until somebody sets it; and no frame of the host may be longer.
func TestBridgeMTUFollows(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	send := func(n int) error { return l.b.Xmit(etherN(frame.Broadcast, mac(9), n)) }
	require.NoError(t, l.p(1).SetMTU(1400))
	assert.NoError(t, send(1414))
	assert.ErrorIs(t, send(1415), bridge.EMSGSIZE)
	require.NoError(t, l.b.SetMTU(2000))
	l.log.take()
	assert.NoError(t, send(2014), "larger than its ports' is allowed")
	assert.Empty(t, l.log.take(), "but no port sends it")
	assert.Equal(t, []uint64{1, 1}, []uint64{l.p(1).Stats().Egress.Refused[bridge.DropTooLong], l.p(2).Stats().Egress.Refused[bridge.DropTooLong]})
	require.NoError(t, l.p(1).SetMTU(1300))
	assert.Equal(t, 2000, l.b.Info().MTU, "set once, it does not follow any more")
	empty := newLab(t, bridge.Config{})
	p := empty.add(1, bridge.PortConfig{MTU: 9000})
	require.NoError(t, empty.b.RemovePort(p))
	assert.Equal(t, 1500, empty.b.Info().MTU)
}
