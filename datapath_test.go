package bridge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A pathCase is one frame on a bridge of four ports, behind which stand the
// stations mac(1) to mac(4), the first three of them known to the bridge.
type pathCase struct {
	name   string
	cfg    bridge.Config
	ports  map[int]bridge.PortConfig // those that are not as Linux adds them
	setup  func(l *lab)
	in     int // port of arrival, 0 the host
	f      frame.Frame
	want   []string          // who gets it, in order
	reason bridge.DropReason // where nobody does; NotDropped then means that it is passed
	known  string            // where the source is afterwards, "" not asked
}

func (c pathCase) run(t *testing.T) {
	l := newLab(t, c.cfg)
	for i := 1; i <= 4; i++ {
		l.add(i, c.ports[i])
	}
	for i := 1; i <= 3; i++ {
		l.learn(i, mac(i))
	}
	if c.setup != nil {
		c.setup(l)
		l.log.take()
	}
	before, host := l.ingress(c.in), l.b.Stats()
	got := l.in(c.in, c.f)
	assert.Equal(t, append([]string{}, c.want...), devs(got))
	for _, d := range got {
		assert.Equal(t, wireOf(c.f), d.wire, "to %s", d.dev)
	}
	after := l.ingress(c.in)
	assert.Equal(t, before.Received+1, after.Received)
	switch {
	case len(c.want) > 0:
		assert.Equal(t, before.Used+1, after.Used)
	case c.reason == bridge.NotDropped:
		assert.Equal(t, before.Passed+1, after.Passed)
	default:
		for r := range after.Dropped {
			n := before.Dropped[r]
			if bridge.DropReason(r) == c.reason {
				n++
			}
			assert.Equal(t, n, after.Dropped[r], "%s", bridge.DropReason(r))
		}
	}
	up := host.RxPackets + uint64(len(wires(got, "br0")))
	assert.Equal(t, up, l.b.Stats().RxPackets, "what the bridge device counts as received")
	if c.known != "" {
		assert.Equal(t, c.known, l.where(mac(9), 0), "where the source is")
	}
	balanced(t, l.b)
}

func only(n int, c bridge.PortConfig) map[int]bridge.PortConfig {
	return map[int]bridge.PortConfig{n: c}
}

func both(a, b int, c bridge.PortConfig) map[int]bridge.PortConfig {
	return map[int]bridge.PortConfig{a: c, b: c}
}

func attr(n int, a bridge.PortAttrs) func(*lab) { return func(l *lab) { l.set(n, a) } }

// Rows of datapath.md section 12, and what sections 2 to 7 say beyond them.
func TestPathUnicast(t *testing.T) {
	unknown, toB, toA := ether(mac(100), mac(9)), ether(mac(2), mac(9)), ether(mac(1), mac(9))
	state := func(s bridge.PortState) *bridge.PortState { return &s }
	runPaths(t, []pathCase{
		{name: "unknown", in: 1, f: unknown, want: []string{"p4", "p3", "p2"}, known: "p1"},
		{name: "unknown to the zero address", in: 1, f: ether(zeroMAC, mac(9)), want: []string{"p4", "p3", "p2"}},
		{name: "unknown, p3 without flood", in: 1, f: unknown, ports: only(3, bridge.PortConfig{NoFlood: true}), want: []string{"p4", "p2"}},
		{name: "unknown, the ingress port's flood flag is irrelevant", in: 1, f: unknown, ports: only(1, bridge.PortConfig{NoFlood: true}), want: []string{"p4", "p3", "p2"}},
		{name: "unknown, mcast_flood and bcast_flood are irrelevant", in: 1, f: unknown, ports: both(2, 3, bridge.PortConfig{NoMcastFlood: true, NoBcastFlood: true}), want: []string{"p4", "p3", "p2"}},
		{name: "unknown, promisc", in: 1, f: unknown, cfg: bridge.Config{Promisc: true}, want: []string{"p4", "p3", "p2", "br0"}},
		{name: "unknown, hairpin", in: 2, f: unknown, ports: only(2, bridge.PortConfig{Hairpin: true}), want: []string{"p4", "p3", "p2", "p1"}},
		{name: "unknown, proxy_arp", in: 1, f: unknown, ports: only(2, bridge.PortConfig{ProxyARP: true}), want: []string{"p4", "p3"}},
		{name: "unknown, isolated", in: 1, f: unknown, ports: both(1, 3, bridge.PortConfig{Isolated: true}), want: []string{"p4", "p2"}},
		{name: "unknown, only the egress port isolated", in: 1, f: unknown, ports: only(3, bridge.PortConfig{Isolated: true}), want: []string{"p4", "p3", "p2"}},
		{name: "unknown, no port wants it", in: 1, f: unknown, setup: func(l *lab) {
			for i := 2; i <= 4; i++ {
				l.set(i, bridge.PortAttrs{Flood: new(false)})
			}
		}, reason: bridge.DropNoTXTarget, known: "p1"},
		{name: "known on B", in: 1, f: toB, want: []string{"p2"}, known: "p1"},
		{name: "known on B, all flood flags off", in: 1, f: toB, ports: only(2, bridge.PortConfig{NoFlood: true, NoMcastFlood: true, NoBcastFlood: true}), want: []string{"p2"}},
		{name: "known on B, proxy_arp", in: 1, f: toB, ports: only(2, bridge.PortConfig{ProxyARP: true}), want: []string{"p2"}},
		{name: "known on B, locked is ingress only", in: 1, f: toB, setup: attr(2, bridge.PortAttrs{Locked: new(true)}), want: []string{"p2"}},
		{name: "known on B, promisc", in: 1, f: toB, cfg: bridge.Config{Promisc: true}, want: []string{"p2", "br0"}},
		{name: "known on B, both isolated", in: 1, f: toB, ports: both(1, 2, bridge.PortConfig{Isolated: true}), reason: bridge.DropIsolated},
		{name: "known on B, both isolated, promisc", in: 1, f: toB, cfg: bridge.Config{Promisc: true}, ports: both(1, 2, bridge.PortConfig{Isolated: true}), want: []string{"br0"}},
		{name: "known on B, A isolated", in: 1, f: toB, ports: only(1, bridge.PortConfig{Isolated: true}), want: []string{"p2"}},
		{name: "known on B, B learning", in: 1, f: toB, setup: attr(2, bridge.PortAttrs{State: state(bridge.StateLearning)}), reason: bridge.DropEgressState},
		{name: "known on B, B listening", in: 1, f: toB, setup: attr(2, bridge.PortAttrs{State: state(bridge.StateListening)}), reason: bridge.DropEgressState},
		{name: "known on B, B disabled", in: 1, f: toB, setup: attr(2, bridge.PortAttrs{State: state(bridge.StateDisabled)}), reason: bridge.DropEgressState},
		{name: "known on B, B without carrier, its backup C", in: 1, f: toB, setup: func(l *lab) {
			l.set(2, bridge.PortAttrs{BackupPort: new("p3")})
			require.NoError(t, l.p(2).SetLink(true, false))
		}, want: []string{"p3"}},
		{name: "known on B, B down, backup C", in: 1, f: toB, setup: func(l *lab) {
			l.set(2, bridge.PortAttrs{BackupPort: new("p3")})
			require.NoError(t, l.p(2).SetLink(false, true))
		}, want: []string{"p3"}},
		{name: "known on B, which is well, backup C", in: 1, f: toB, setup: attr(2, bridge.PortAttrs{BackupPort: new("p3")}), want: []string{"p2"}},
		{name: "known on B without carrier, backup is the ingress port", in: 1, f: toB, setup: func(l *lab) {
			l.set(2, bridge.PortAttrs{BackupPort: new("p1")})
			require.NoError(t, l.p(2).SetLink(true, false))
		}, reason: bridge.DropSamePort},
		{name: "known on A", in: 1, f: toA, reason: bridge.DropSamePort, known: "p1"},
		{name: "known on A, hairpin", in: 1, f: toA, ports: only(1, bridge.PortConfig{Hairpin: true}), want: []string{"p1"}},
		{name: "src is dst, new", in: 1, f: ether(mac(9), mac(9)), reason: bridge.DropSamePort, known: "p1"},
		{name: "local, A's own address", in: 1, f: ether(portMAC(1), mac(9)), want: []string{"br0"}, known: "p1"},
		{name: "local, another port's address", in: 1, f: ether(portMAC(2), mac(9)), want: []string{"br0"}, known: "p1"},
		{name: "local, permanent entry on B", in: 1, f: ether(mac(50), mac(9)), setup: func(l *lab) {
			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(2), MAC: mac(50), State: bridge.NUDPermanent}))
		}, want: []string{"br0"}},
		{name: "local, promisc, once", in: 1, f: ether(portMAC(2), mac(9)), cfg: bridge.Config{Promisc: true}, want: []string{"br0"}},
		{name: "local, A isolated", in: 1, f: ether(portMAC(2), mac(9)), ports: only(1, bridge.PortConfig{Isolated: true}), want: []string{"br0"}},
		{name: "local, locked and authorised", in: 1, f: ether(portMAC(2), mac(1)), setup: attr(1, bridge.PortAttrs{Locked: new(true)}), want: []string{"br0"}},
		{name: "local address deleted by the user is unknown", in: 1, f: ether(portMAC(2), mac(9)), setup: func(l *lab) {
			require.NoError(t, l.b.FDB().Delete(l.p(2), portMAC(2), nil))
		}, want: []string{"p4", "p3", "p2"}},
		{name: "the bridge's own given address", in: 1, f: ether(mac(77), mac(9)), cfg: bridge.Config{Address: mac(77)}, want: []string{"br0"}},
		{name: "source is a local address: forwarded", in: 1, f: ether(mac(2), portMAC(2)), want: []string{"p2"}},
	})
}

func TestPathGroup(t *testing.T) {
	bcast, mcast := ether(frame.Broadcast, mac(9)), ether(groupMAC, mac(9))
	all := []string{"p4", "p3", "p2", "br0"}
	runPaths(t, []pathCase{
		{name: "broadcast", in: 1, f: bcast, want: all, known: "p1"},
		{name: "broadcast from the middle", in: 3, f: bcast, want: []string{"p4", "p2", "p1", "br0"}},
		{name: "broadcast, bcast_flood off", in: 1, f: bcast, ports: only(3, bridge.PortConfig{NoBcastFlood: true}), want: []string{"p4", "p2", "br0"}},
		{name: "broadcast, flood and mcast_flood off", in: 1, f: bcast, ports: only(3, bridge.PortConfig{NoFlood: true, NoMcastFlood: true}), want: all},
		{name: "broadcast, hairpin", in: 1, f: bcast, ports: only(1, bridge.PortConfig{Hairpin: true}), want: []string{"p4", "p3", "p2", "p1", "br0"}},
		{name: "broadcast, promisc, the host once", in: 1, f: bcast, cfg: bridge.Config{Promisc: true}, want: all},
		{name: "broadcast, no port wants it: the host alone", in: 1, f: bcast, setup: func(l *lab) {
			for i := 2; i <= 4; i++ {
				l.set(i, bridge.PortAttrs{BcastFlood: new(false)})
			}
		}, want: []string{"br0"}},
		{name: "broadcast, proxy_arp", in: 1, f: bcast, ports: only(3, bridge.PortConfig{ProxyARP: true}), want: []string{"p4", "p2", "br0"}},
		{name: "broadcast, isolated", in: 1, f: bcast, ports: both(1, 4, bridge.PortConfig{Isolated: true}), want: []string{"p3", "p2", "br0"}},
		{name: "multicast", in: 1, f: mcast, want: all, known: "p1"},
		{name: "multicast, mcast_flood off", in: 1, f: mcast, ports: only(3, bridge.PortConfig{NoMcastFlood: true}), want: []string{"p4", "p2", "br0"}},
		{name: "multicast, flood and bcast_flood off", in: 1, f: mcast, ports: only(3, bridge.PortConfig{NoFlood: true, NoBcastFlood: true}), want: all},
		{name: "multicast, proxy_arp", in: 1, f: mcast, ports: only(4, bridge.PortConfig{ProxyARP: true}), want: []string{"p3", "p2", "br0"}},
		{name: "multicast with an FDB entry is flooded all the same", in: 1, f: mcast, setup: func(l *lab) {
			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(2), MAC: groupMAC, State: bridge.NUDNoARP}))
		}, want: all},
		{name: "multicast with a bad IPv4 checksum, snooping off", in: 1, f: withType(mcast, frame.TypeIPv4), want: all},
		{name: "01:80:c2:00:00:10 is ordinary multicast", in: 1, f: ether(linkLocal(0x10), mac(9)), want: all},
		{name: "source zero", in: 1, f: ether(frame.Broadcast, zeroMAC), reason: bridge.DropInvalidSource},
		{name: "source multicast", in: 1, f: ether(mac(2), groupMAC), reason: bridge.DropInvalidSource},
		{name: "source broadcast", in: 1, f: ether(mac(2), frame.Broadcast), reason: bridge.DropInvalidSource},
		{name: "source is looked at before link-local", in: 1, f: ether(linkLocal(1), groupMAC), reason: bridge.DropInvalidSource},
		{name: "source is looked at before the state", in: 1, f: ether(mac(2), zeroMAC), setup: attr(1, bridge.PortAttrs{State: new(bridge.StateListening)}), reason: bridge.DropInvalidSource},
	})
}

func TestPathState(t *testing.T) {
	f := ether(mac(2), mac(9))
	for _, s := range []bridge.PortState{bridge.StateDisabled, bridge.StateListening} {
		runPaths(t, []pathCase{
			{name: s.String(), in: 1, f: f, setup: attr(1, bridge.PortAttrs{State: &s}), reason: bridge.DropPortState, known: "-"},
			{name: s.String() + " promisc", in: 1, f: f, cfg: bridge.Config{Promisc: true}, setup: attr(1, bridge.PortAttrs{State: &s}), reason: bridge.DropPortState, known: "-"},
			{name: s.String() + " link-local passes", in: 1, f: ether(linkLocal(0xe), mac(9)), setup: attr(1, bridge.PortAttrs{State: &s}), known: "-"},
			{name: s.String() + " link-local to be forwarded does not", in: 1, f: ether(linkLocal(0xe), mac(9)), cfg: bridge.Config{GroupFwdMask: 0x4000},
				setup: attr(1, bridge.PortAttrs{State: &s}), reason: bridge.DropPortState, known: "-"},
			{name: s.String() + " is skipped by floods", in: 2, f: ether(frame.Broadcast, mac(9)), setup: attr(1, bridge.PortAttrs{State: &s}), want: []string{"p4", "p3", "br0"}},
		})
	}
	learning := attr(1, bridge.PortAttrs{State: new(bridge.StateLearning)})
	runPaths(t, []pathCase{
		{name: "learning", in: 1, f: f, setup: learning, reason: bridge.DropLearning, known: "p1"},
		{name: "learning, broadcast, not even to the host", in: 1, f: ether(frame.Broadcast, mac(9)), cfg: bridge.Config{Promisc: true}, setup: learning, reason: bridge.DropLearning, known: "p1"},
		{name: "learning, link-local learned", in: 1, f: ether(linkLocal(2), mac(9)), setup: learning, known: "p1"},
		{name: "learning is skipped by floods", in: 2, f: ether(frame.Broadcast, mac(9)), setup: learning, want: []string{"p4", "p3", "br0"}},
		{name: "learning and learning off", in: 1, f: f, ports: only(1, bridge.PortConfig{NoLearning: true}), setup: learning, reason: bridge.DropLearning, known: "-"},
		{name: "learning off", in: 1, f: f, ports: only(1, bridge.PortConfig{NoLearning: true}), want: []string{"p2"}, known: "-"},
		{name: "blocking by hand snaps back", in: 1, f: f, setup: attr(1, bridge.PortAttrs{State: new(bridge.StateBlocking)}), want: []string{"p2"}, known: "p1"},
		{name: "the bridge is down", in: 1, f: f, cfg: bridge.Config{Down: true}, reason: bridge.DropPortState, known: "-"},
	})
}

// Rules of section 4 step 4, and that EAPOL passes (surprises.md).
func TestPathLocked(t *testing.T) {
	locked := bridge.PortConfig{Locked: true}
	mab := bridge.PortConfig{Locked: true, MAB: true}
	static := func(n int, m frame.MAC) func(*lab) {
		return func(l *lab) {
			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(n), MAC: m, State: bridge.NUDNoARP}))
		}
	}
	runPaths(t, []pathCase{
		{name: "source unknown", in: 1, f: ether(mac(2), mac(9)), ports: only(1, locked), reason: bridge.DropLocked, known: "-"},
		{name: "source on another port does not roam", in: 1, f: ether(mac(2), mac(9)), ports: only(1, locked), setup: static(3, mac(9)), reason: bridge.DropLocked, known: "p3"},
		{name: "source local", in: 1, f: ether(mac(2), portMAC(1)), ports: only(1, locked), reason: bridge.DropLocked},
		{name: "source authorised", in: 1, f: ether(mac(2), mac(9)), ports: only(1, locked), setup: static(1, mac(9)), want: []string{"p2"}, known: "p1"},
		{name: "EAPOL passes", in: 1, f: withType(ether(mac(2), mac(9)), frame.TypePAE), ports: only(1, locked), want: []string{"p2"}, known: "p1"},
		{name: "EAPOL passes, broadcast", in: 1, f: withType(ether(frame.Broadcast, mac(9)), frame.TypePAE), ports: only(1, locked), want: []string{"p4", "p3", "p2", "br0"}, known: "p1"},
		{name: "link-local passes and is learned", in: 1, f: withType(ether(linkLocal(3), mac(9)), frame.TypePAE), ports: only(1, locked), known: "p1"},
		{name: "link-local, no_linklocal_learn", in: 1, f: ether(linkLocal(3), mac(9)), cfg: bridge.Config{NoLinkLocalLearn: true}, ports: only(1, locked), known: "-"},
		{name: "link-local to be forwarded is held up", in: 1, f: ether(linkLocal(3), mac(9)), cfg: bridge.Config{GroupFwdMask: 8}, ports: only(1, locked), reason: bridge.DropLocked, known: "-"},
		{name: "MAB", in: 1, f: ether(mac(2), mac(9)), ports: only(1, mab), reason: bridge.DropLocked, known: "p1"},
		{name: "MAB, source on another port", in: 1, f: ether(mac(2), mac(9)), ports: only(1, mab), setup: static(3, mac(9)), reason: bridge.DropLocked, known: "p3"},
		{name: "MAB before 6.2 is nothing", in: 1, f: ether(mac(2), mac(9)), cfg: bridge.Config{Kernel: bridge.Linux6_1}, ports: only(1, mab), reason: bridge.DropLocked, known: "-"},
		{name: "MAB learns nothing with ageing time 0", in: 1, f: ether(mac(2), mac(9)), ports: only(1, mab), setup: func(l *lab) {
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(time.Duration(0))}))
		}, reason: bridge.DropLocked, known: "-"},
	})
}

// What the host sends: section 7.
func TestPathHost(t *testing.T) {
	h := mac(9)
	runPaths(t, []pathCase{
		{name: "unknown", f: ether(mac(100), h), want: []string{"p4", "p3", "p2", "p1"}, known: "-"},
		{name: "unknown, flood off holds for the host too", f: ether(mac(100), h), ports: only(3, bridge.PortConfig{NoFlood: true}), want: []string{"p4", "p2", "p1"}},
		{name: "broadcast, bcast_flood off does not", f: ether(frame.Broadcast, h), ports: only(3, bridge.PortConfig{NoBcastFlood: true}), want: []string{"p4", "p3", "p2", "p1"}},
		{name: "multicast, mcast_flood off does not", f: ether(groupMAC, h), ports: only(3, bridge.PortConfig{NoMcastFlood: true}), want: []string{"p4", "p3", "p2", "p1"}},
		{name: "proxy_arp does", f: ether(frame.Broadcast, h), ports: only(3, bridge.PortConfig{ProxyARP: true}), want: []string{"p4", "p2", "p1"}},
		{name: "known", f: ether(mac(2), h), want: []string{"p2"}, known: "-"},
		{name: "known on an isolated port", f: ether(mac(2), h), ports: both(1, 2, bridge.PortConfig{Isolated: true}), want: []string{"p2"}},
		{name: "never back to the host, promisc", f: ether(frame.Broadcast, h), cfg: bridge.Config{Promisc: true}, want: []string{"p4", "p3", "p2", "p1"}},
		{name: "to a port's address: out of that port", f: ether(portMAC(2), h), want: []string{"p2"}},
		{name: "to the bridge's address, which is a port's: out of it", f: ether(portMAC(1), h), want: []string{"p1"}},
		{name: "to the bridge's own address: nowhere", f: ether(mac(77), h), cfg: bridge.Config{Address: mac(77)}, reason: bridge.DropNoPort},
		{name: "link-local 1 is flooded", f: ether(linkLocal(1), h), want: []string{"p4", "p3", "p2", "p1"}},
		{name: "link-local 0 with STP on is flooded", f: ether(linkLocal(0), h), setup: (*lab).stp, want: []string{"p4", "p3", "p2", "p1"}},
		{name: "source zero is no concern", f: ether(mac(2), zeroMAC), want: []string{"p2"}},
		{name: "a tag, no filtering", f: dot1q(ether(mac(2), h), 10), want: []string{"p2"}},
		{name: "no port at all wants it", f: ether(mac(100), h), setup: func(l *lab) {
			for i := 1; i <= 4; i++ {
				l.set(i, bridge.PortAttrs{Flood: new(false)})
			}
		}, reason: bridge.DropNoTXTarget},
		{name: "known, the port learning", f: ether(mac(2), h), setup: attr(2, bridge.PortAttrs{State: new(bridge.StateLearning)}), reason: bridge.DropEgressState},
	})
}

func runPaths(t *testing.T, cases []pathCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, c.run)
	}
}

// Section 3: every reserved address against every mask that can be set.
func TestLinkLocal(t *testing.T) {
	for x := range byte(16) {
		for _, c := range []struct {
			name         string
			bridge, port uint16
			stp          int
			ad, learn    bool
		}{
			{name: "default", learn: true},
			{name: "bridge mask", bridge: 1 << x &^ 7, learn: true},
			{name: "port mask", port: 1 << x &^ 2, learn: true},
			{name: "STP", stp: 1, learn: true},
			{name: "STP, bridge mask", stp: 1, bridge: 0xfff8, learn: true},
			{name: "STP, port mask", stp: 1, port: 0xfffd, learn: true},
			{name: "STP, 802.1ad", stp: 1, ad: true, learn: true},
			{name: "no_linklocal_learn", learn: false},
		} {
			t.Run(fmt.Sprintf("%X %s", x, c.name), func(t *testing.T) {
				cfg := bridge.Config{GroupFwdMask: c.bridge, NoLinkLocalLearn: !c.learn, VLANFiltering: c.ad}
				if c.ad {
					cfg.VLANProtocol = frame.TypeDot1AD
				}
				l := newLab(t, cfg)
				var passed []frame.Frame
				l.add(1, bridge.PortConfig{GroupFwdMask: c.port, OnPass: func(p *bridge.Port, f frame.Frame) {
					assert.Equal(t, "p1", p.Name())
					passed = append(passed, f.Clone())
				}})
				l.add(2, bridge.PortConfig{})
				if c.stp != 0 {
					l.stp()
				}
				required := uint16(0)
				if c.ad {
					required = 0xb801 &^ (1 << 8)
				}
				mask := required | c.port
				if x != 0 {
					mask |= c.bridge
				} else if c.stp == 0 {
					mask |= 1
				}
				forward := mask&(1<<x) != 0 && x != 1
				f := ether(linkLocal(x), mac(9))
				got := l.out(1, f)
				vid := frame.VID(0)
				if c.ad {
					vid = 1
				}
				in := l.ingress(1)
				switch {
				case x == 1:
					assert.Empty(t, got)
					assert.EqualValues(t, 1, in.Dropped[bridge.DropMACControl])
					assert.Equal(t, "-", l.where(mac(9), vid))
				case forward:
					assert.Equal(t, []string{"p2", "br0"}, got)
					assert.Equal(t, "p1", l.where(mac(9), vid))
				default:
					assert.Empty(t, got)
					require.Len(t, passed, 1)
					assert.Equal(t, f.Data, wireOf(passed[0]))
					assert.EqualValues(t, 1, in.Passed)
					assert.Equal(t, c.learn, l.where(mac(9), vid) == "p1", "learned")
				}
				assert.Equal(t, x != 1 && !forward, len(passed) == 1)
			})
		}
	}
}

// A link-local frame that nobody takes raises the port's RxDropped, and the bridge
// drops do not.
func TestRxDropped(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	l.in(1, ether(linkLocal(0xe), mac(9)), ether(linkLocal(1), mac(9)), ether(mac(1), zeroMAC))
	s := l.p(1).Stats()
	assert.EqualValues(t, 1, s.RxDropped)
	assert.EqualValues(t, 3, s.RxPackets)
	assert.EqualValues(t, 180, s.RxBytes)
	assert.EqualValues(t, 0, l.b.Stats().RxPackets)
}
