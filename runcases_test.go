package bridge_test

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// Stations and frames of the tables: here is behind p1, there behind p2.
var (
	here, there = mac(1), mac(2)
	talk        = etherN(there, here, 100)
	shout       = etherN(frame.Broadcast, here, 100)
	ask         = etherN(mac(99), here, 100) // nobody knows where that is
)

// static is an entry that neither ages nor is flushed, in each VLAN of the port or in some.
func static(n int, m frame.MAC, vids ...frame.VID) func(l *lab) {
	return func(l *lab) {
		r := bridge.FDBRequest{Port: l.p(n), MAC: m, State: bridge.NUDNoARP, Mode: bridge.FDBReplace}
		if vids == nil {
			require.NoError(l.t, l.b.FDB().Update(r))
		}
		for _, v := range vids {
			r.VID = &v
			require.NoError(l.t, l.b.FDB().Update(r))
		}
	}
}

func setups(fns ...func(l *lab)) func(l *lab) {
	return func(l *lab) {
		for _, fn := range fns {
			fn(l)
		}
	}
}

func learned(l *lab)                  { l.learn(2, there) }
func wait(d time.Duration) func(*lab) { return func(l *lab) { l.later(d) } }

func setLink(n int, up, carrier bool) func(l *lab) {
	return func(l *lab) { require.NoError(l.t, l.p(n).SetLink(up, carrier)) }
}

func attrs(n int, a bridge.PortAttrs) func(l *lab) { return func(l *lab) { l.set(n, a) } }

// What the flags and the links of ports make of runs.
func burstsOfPorts() []burstCase {
	isolated, hairpin := bridge.PortConfig{Isolated: true}, bridge.PortConfig{Hairpin: true}
	home := etherN(mac(3), here, 100)
	return []burstCase{
		{"a backup port", bridge.Config{}, nil, setups(static(2, there), attrs(2, bridge.PortAttrs{BackupPort: new("p3")})), []burst{
			{nil, 1, times(5, talk), "p2 5"},
			{setLink(2, true, false), 1, times(5, talk), "p3 5"},
			{setLink(2, false, true), 1, slices.Concat(times(3, talk), times(2, shout), times(2, talk)), "p4 2, p3 7, br0 2"},
			{nil, 3, times(4, talk), ""},
			{setLink(2, true, true), 1, times(5, talk), "p2 5"},
			{setLink(2, true, false), 2, times(2, talk), ""},
			{attrs(2, bridge.PortAttrs{BackupPort: new("p1")}), 1, times(4, talk), ""},
		}},
		{"a backup port that is a tunnel", bridge.Config{}, nil, setups(static(2, there), func(l *lab) {
			l.set(3, bridge.PortAttrs{VLANTunnel: new(true)})
			l.set(2, bridge.PortAttrs{BackupPort: new("p3"), BackupNexthopID: new(uint32(7))})
		}), []burst{
			{setLink(2, true, false), 1, times(5, talk), "p3 5"},
			{attrs(2, bridge.PortAttrs{BackupNexthopID: new(uint32(8))}), 1, times(5, talk), "p3 5"},
		}},
		{"isolated ports", bridge.Config{}, []bridge.PortConfig{isolated, isolated, {}, {}}, learned, []burst{
			{nil, 1, times(4, talk), ""},
			{nil, 1, slices.Concat(times(3, ask), times(3, shout), times(3, ask)), "p4 9, p3 9, br0 3"},
			{nil, 3, times(3, etherN(there, mac(3), 100)), "p2 3"},
			{attrs(1, bridge.PortAttrs{Isolated: new(false)}), 1, slices.Concat(times(3, talk), times(3, ask)), "p4 3, p3 3, p2 6"},
			{attrs(1, bridge.PortAttrs{Isolated: new(true)}), 1, slices.Concat(times(3, talk), times(3, ask)), "p4 3, p3 3"},
		}},
		{"hairpin", bridge.Config{}, []bridge.PortConfig{hairpin, {}, {}, {}}, func(l *lab) { l.learn(1, mac(3)); l.learn(2, there, mac(4)) }, []burst{
			{nil, 1, slices.Concat(times(4, home), times(2, talk), times(4, home)), "p2 2, p1 8"},
			{nil, 1, times(4, ask), "p4 4, p3 4, p2 4, p1 4"},
			{nil, 2, times(4, etherN(there, mac(4), 100)), ""},
			{attrs(1, bridge.PortAttrs{Hairpin: new(false)}), 1, slices.Concat(times(4, home), times(2, ask)), "p4 2, p3 2, p2 2"},
		}},
		{"flood flags", bridge.Config{}, nil, nil, []burst{
			{nil, 1, times(3, ask), "p4 3, p3 3, p2 3"},
			{attrs(2, bridge.PortAttrs{Flood: new(false)}), 1, slices.Concat(times(3, ask), times(3, shout), times(3, ask)), "p4 9, p3 9, p2 3, br0 3"},
			{attrs(3, bridge.PortAttrs{BcastFlood: new(false)}), 1, slices.Concat(times(3, shout), times(3, ask), times(3, shout)), "p4 9, p3 3, p2 6, br0 6"},
			{setLink(4, true, false), 1, slices.Concat(times(3, shout), times(3, etherN(groupMAC, here, 100))), "p3 3, p2 6, br0 6"},
		}},
		{"lengths", bridge.Config{}, []bridge.PortConfig{{}, {MTU: 1200}, {}, {}}, learned, []burst{
			{nil, 1, []frame.Frame{talk, etherN(there, here, 1300), talk, etherN(there, here, 1218), etherN(there, here, 1219), talk}, "p2 4"},
			{nil, 1, []frame.Frame{tcpGSO(there, here, 4000, 1000), tcpGSO(there, here, 1200, 0), tcpGSO(there, here, 4000, 1000), tcpGSO(there, here, 100, 0), etherN(there, here, 1300)}, "p2 3"},
			{nil, 1, []frame.Frame{talk, tcpGSO(there, here, 9000, 1000), talk, tcpGSO(there, here, 9000, 1000), tcpGSO(there, here, 9000, 1400)}, "p2 5"},
			{nil, 1, []frame.Frame{ask, tcpGSO(mac(99), here, 4000, 1000), etherN(mac(99), here, 1300), tcpGSO(mac(99), here, 4000, 1000), ask}, "p4 5, p3 5, p2 4"},
			{func(l *lab) { require.NoError(l.t, l.p(2).SetMTU(1500)) }, 1, []frame.Frame{talk, etherN(there, here, 1300), talk, etherN(there, here, 1300)}, "p2 4"},
		}},
	}
}

// Runs that change their VLAN from frame to frame, and such that go into tunnels.
func burstsOfVLANs() []burstCase {
	trunk := bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)}
	filtering := bridge.Config{VLANFiltering: true, VLANs: bridge.Trunk(1, 10, 20)}
	in10, in20, in30 := aside(talk, frame.TypeDot1Q, 10), aside(talk, frame.TypeDot1Q, 20), aside(talk, frame.TypeDot1Q, 30)
	urgent, none := aside(talk, frame.TypeDot1Q, 0xe00a), aside(talk, frame.TypeDot1Q, 0xe000)
	service := aside(talk, frame.TypeDot1AD, 10)
	twoHomes := setups(static(2, there, 1, 10), static(3, there, 20))
	mapped := setups(static(2, there, 1, 10, 11, 20), func(l *lab) {
		l.set(2, bridge.PortAttrs{VLANTunnel: new(true)})
		require.NoError(l.t, l.p(2).VLANs().AddTunnel(bridge.VLANTunnel{VID: 10, End: 11, ID: 10010}))
	})
	tunnels := bridge.PortConfig{VLANs: append(bridge.Trunk(1, 20), bridge.VLAN{VID: 10, End: 11})}
	back := etherN(here, there, 100)
	var mixed []frame.Frame
	for range 3 {
		mixed = append(mixed, in10, in10, in20, in10, dot1q(talk, 10), dot1q(talk, 20), urgent, in10, talk, talk, none, in30, service, talk)
	}
	return []burstCase{
		{"trunks with VLANs in turn", filtering, slices.Repeat([]bridge.PortConfig{trunk}, 4), twoHomes, []burst{
			{nil, 1, mixed, "p3 6, p2 33"},
			{func(l *lab) { require.NoError(l.t, l.p(2).VLANs().Delete(10, 0)) }, 1, mixed, "p3 6, p2 15"},
			{func(l *lab) {
				require.NoError(l.t, l.p(1).VLANs().Add(bridge.VLAN{VID: 20, PVID: true, Untagged: true}))
			}, 1, mixed, "p3 21"},
		}},
		{"an access port", filtering, []bridge.PortConfig{trunk, {VLANs: bridge.Access(10)}, {VLANs: bridge.Access(20)}, {}}, setups(static(2, there, 10), static(3, there, 20)), []burst{
			{nil, 1, mixed, "p4 15, p3 6, p2 18"},
			{nil, 1, slices.Concat(times(3, aside(shout, frame.TypeDot1Q, 10)), times(3, aside(shout, frame.TypeDot1Q, 20)), times(3, shout)), "p4 3, p3 3, p2 3, br0 9"},
			{nil, 2, slices.Concat(times(3, back), times(3, aside(back, frame.TypeDot1Q, 10)), times(3, aside(back, frame.TypeDot1AD, 9)), times(3, back)), "p1 12"},
		}},
		{"802.1ad", bridge.Config{VLANFiltering: true, VLANProtocol: frame.TypeDot1AD}, slices.Repeat([]bridge.PortConfig{trunk}, 4), setups(static(2, there, 1), static(3, there, 10)), []burst{
			{nil, 1, mixed, "p3 3, p2 39"},
		}},
		{"VLANs in turn, and no filtering", bridge.Config{}, nil, static(2, there), []burst{
			{nil, 1, mixed, "p2 42"},
			{nil, 1, slices.Concat(times(3, talk), times(2, tunnel(talk, 10010)), times(2, talk)), "p2 7"},
		}},
		{"VLANs in turn, and counted", bridge.Config{VLANFiltering: true, VLANStats: true}, slices.Repeat([]bridge.PortConfig{trunk}, 4), twoHomes, []burst{
			{nil, 1, mixed, "p3 6, p2 33"},
		}},
		{"into tunnels", filtering, []bridge.PortConfig{tunnels, tunnels, tunnels}, mapped, []burst{
			{nil, 1, slices.Concat(times(3, in10), times(3, in20), times(2, aside(talk, frame.TypeDot1Q, 11)), times(3, in10), times(2, talk)), "p2 13"},
			{nil, 1, slices.Concat(times(3, aside(shout, frame.TypeDot1Q, 10)), times(3, aside(shout, frame.TypeDot1Q, 11))), "p3 6, p2 6, br0 3"},
			{func(l *lab) { require.NoError(l.t, l.p(2).VLANs().DeleteTunnel(10, 0)) }, 1, times(4, in10), "p2 4"},
		}},
		{"out of tunnels", filtering, []bridge.PortConfig{tunnels, tunnels, tunnels}, setups(mapped, static(1, here, 10), static(3, here, 11, 1)), []burst{
			{nil, 2, slices.Concat(times(3, tunnel(back, 10010)), times(3, tunnel(back, 10011)), times(2, tunnel(back, 9)), times(3, back), times(2, tunnel(back, 10010))), "p3 8, p1 5"},
			{nil, 1, slices.Concat(times(3, tunnel(in10, 10010)), times(3, in10)), "p2 6"},
		}},
	}
}

// Runs through spanning trees.
func burstsOfTrees() []burstCase {
	trunk := bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)}
	mst := bridge.Config{VLANFiltering: true, MSTEnabled: true, VLANs: bridge.Trunk(1, 10, 20)}
	in10, in20 := aside(talk, frame.TypeDot1Q, 10), aside(talk, frame.TypeDot1Q, 20)
	turns := slices.Repeat([]frame.Frame{in10, in10, in20, in20, in10, in20}, 3)
	instance := func(n int, s bridge.PortState) func(l *lab) { return func(l *lab) { l.mst(n, 1, s) } }
	two := setups(func(l *lab) {
		l.mapTo(1, 10)
		for n := range 3 {
			l.mst(n+1, 1, bridge.StateForwarding)
		}
	}, static(2, there, 10, 20))
	state := func(n int, s bridge.PortState) func(l *lab) { return attrs(n, bridge.PortAttrs{State: &s}) }
	root := rst(0x1000, stp.RoleDesignated)
	near := bpdu(1, root)
	root.Cost, root.Flags = 1000, stp.RoleDesignated|stp.Proposal
	far := bpdu(1, root)
	noEdge := bridge.PortAttrs{AutoEdge: new(false)}
	hello := bpduFrame(mac(7), rootBPDU())
	return []burstCase{
		{"instances with states of their own", mst, []bridge.PortConfig{trunk, trunk, trunk}, two, []burst{
			{nil, 1, turns, "p2 18"},
			{instance(2, bridge.StateBlocking), 1, turns, "p2 9"},
			{instance(1, bridge.StateBlocking), 1, turns, "p2 9"},
			{instance(1, bridge.StateLearning), 1, turns, "p2 9"},
			{setups(instance(1, bridge.StateForwarding), instance(2, bridge.StateForwarding)), 1, turns, "p2 18"},
			{state(2, bridge.StateListening), 1, turns, "p2 9"},
			{nil, 1, times(3, aside(shout, frame.TypeDot1Q, 10)), "p3 3, p2 3, br0 3"},
		}},
		{"states of ports", bridge.Config{}, nil, static(2, there), []burst{
			{nil, 1, times(3, talk), "p2 3"},
			{state(2, bridge.StateLearning), 1, slices.Concat(times(3, talk), times(3, ask)), "p4 3, p3 3"},
			{state(1, bridge.StateLearning), 1, slices.Concat(times(3, talk), times(3, ask)), ""},
			{state(1, bridge.StateListening), 1, times(3, talk), ""},
			{setups(state(1, bridge.StateForwarding), state(2, bridge.StateForwarding)), 1, times(3, talk), "p2 3"},
		}},
		{"a BPDU closes the port", bridge.Config{}, nil, setups((*lab).stp, static(1, here), static(2, there), attrs(1, bridge.PortAttrs{Guard: new(true)})), []burst{
			{nil, 1, slices.Concat(times(3, talk), []frame.Frame{hello}, times(3, talk)), "p2 3"},
		}},
		{"a BPDU closes other ports", bridge.Config{STPState: 1, STPMode: bridge.STPModeRapid}, nil, setups(attrs(2, noEdge), attrs(3, noEdge), wait(time.Minute)), []burst{
			{nil, 1, slices.Concat([]frame.Frame{near}, times(3, shout)), "p4 4, p3 4, p2 4, p1 1, br0 3"},
			{wait(2 * time.Second), 1, slices.Concat(times(3, shout), []frame.Frame{far}, times(3, shout), times(3, ask)), "p4 10, p3 4, p2 4, p1 1, br0 6"},
		}},
	}
}

// Stations that are locked out, that move, that age, and that many are of.
func burstsOfStations() []burstCase {
	locked, mab := bridge.PortConfig{Locked: true}, bridge.PortConfig{Locked: true, MAB: true}
	unlock := func(l *lab) {
		require.NoError(l.t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: here, State: bridge.NUDReachable, Mode: bridge.FDBReplace}))
	}
	stranger := etherN(there, mac(9), 100)
	watched := func(l *lab) {
		require.NoError(l.t, l.b.FDB().Update(bridge.FDBRequest{
			Port: l.p(1), MAC: here, State: bridge.NUDNoARP, Mode: bridge.FDBReplace, Activity: bridge.ActivityNotify | bridge.ActivityInactive,
		}))
	}
	back := etherN(here, there, 100)
	flush := func(l *lab) { require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{FDBFlush: true})) }
	many := []frame.Frame{}
	for i := range 12 {
		many = append(many, etherN(there, mac(100+i), 60), etherN(there, mac(100+i), 60), talk)
	}
	return []burstCase{
		{"a locked port", bridge.Config{}, []bridge.PortConfig{locked, {}, {}}, learned, []burst{
			{nil, 1, slices.Concat(times(3, talk), times(2, withType(talk, frame.TypePAE)), times(2, talk)), "p2 4"},
			{unlock, 1, slices.Concat(times(3, talk), times(2, stranger), times(3, talk)), "p2 6"},
			{func(l *lab) { l.learn(3, mac(9)) }, 1, slices.Concat(times(3, stranger), times(2, talk)), "p2 2"},
			{flush, 1, times(3, talk), ""},
		}},
		{"MAB", bridge.Config{}, []bridge.PortConfig{mab, {}, {}}, learned, []burst{
			{nil, 1, times(4, talk), ""},
			{nil, 2, times(3, back), "p1 3"},
			{wait(time.Second), 1, times(4, talk), ""},
			{unlock, 1, slices.Concat(times(3, talk), times(2, stranger), times(3, talk)), "p2 6"},
			{nil, 3, []frame.Frame{talk, talk}, "p2 2"},
			{nil, 1, times(3, talk), ""},
		}},
		{"time goes by", bridge.Config{}, nil, learned, []burst{
			{nil, 1, times(4, talk), "p2 4"},
			{wait(15 * time.Millisecond), 1, times(4, talk), "p2 4"},
			{wait(200 * time.Second), 1, slices.Concat(times(2, talk), times(2, shout), times(2, talk)), "p4 2, p3 2, p2 6, br0 2"},
			{wait(90 * time.Second), 2, times(3, back), "p1 3"},
			{wait(250 * time.Second), 1, times(3, talk), "p2 3"},
			{wait(301 * time.Second), 1, times(3, talk), "p4 3, p3 3, p2 3"},
			{wait(-time.Second), 2, times(3, back), "p1 3"},
		}},
		{"nothing is learned any more", bridge.Config{}, nil, learned, []burst{
			{nil, 1, times(3, talk), "p2 3"},
			{func(l *lab) {
				for i, m := range []frame.MAC{here, there} { // which do not age
					require.NoError(l.t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1 + i), MAC: m, State: bridge.NUDNoARP, Mode: bridge.FDBReplace}))
				}
				require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(time.Duration(0))}))
				l.clock.add(time.Second)
			}, 1, times(3, talk), "p2 3"},
		}},
		{"stations move from batch to batch", bridge.Config{}, nil, learned, []burst{
			{nil, 1, times(4, talk), "p2 4"},
			{nil, 3, times(2, etherN(frame.Broadcast, there, 60)), "p4 2, p2 2, p1 2, br0 2"},
			{nil, 1, times(4, talk), "p3 4"},
			{nil, 4, times(4, talk), "p3 4"},
			{nil, 2, times(2, back), "p4 2"},
			{nil, 1, times(2, talk), "p2 2"},
			{flush, 1, times(2, talk), "p4 2, p3 2, p2 2"},
			{learned, 1, slices.Concat(times(2, talk), times(2, back), times(2, talk)), "p2 2"},
		}},
		{"stations that requests change", bridge.Config{}, nil, setups(watched, learned), []burst{
			{nil, 1, times(4, talk), "p2 4"},
			{watched, 1, slices.Concat(times(2, shout), times(2, talk)), "p4 2, p3 2, p2 4, br0 2"},
			{setups(wait(time.Second), watched), 1, times(4, talk), "p2 4"},
			{static(3, there), 1, times(4, talk), "p3 4"},
			{static(1, there), 1, times(4, talk), ""},
			{func(l *lab) { require.NoError(l.t, l.b.FDB().Delete(l.p(1), there, nil)) }, 1, times(2, talk), "p4 2, p3 2, p2 2"},
		}},
		{"more stations than there may be", bridge.Config{FDBLimit: 4, FDBMaxLearned: 7}, nil, learned, []burst{
			{nil, 1, many, "p2 36"},
			{wait(time.Second), 1, many, "p2 36"},
			{func(l *lab) { require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{FDBMaxLearned: new(uint32(2))})) }, 1, many, "p2 36"},
		}},
	}
}

// Runs to groups that are snooped, and of messages about them.
func burstsOfGroups() []burstCase {
	data, other := groupData(here, source4, group4), groupData(here, source4, group4b)
	report, leave, query := igmpReport(here, group4b), igmpLeave(here, group4b), igmpQuery(here)
	counted := bridge.Config{McastSnooping: true, McastQuerier: true, Attrs: bridge.BridgeAttrs{McastStats: new(true)}}
	joined := func(l *lab) {
		l.later(11 * time.Second)
		l.in(2, igmpReport(there, group4))
	}
	inVLAN := func(f frame.Frame) frame.Frame { return aside(f, frame.TypeDot1Q, 10) }
	trunk := bridge.PortConfig{VLANs: bridge.Trunk(1, 10)}
	vlans := counted
	vlans.VLANFiltering, vlans.VLANs = true, bridge.Trunk(1, 10)
	return []burstCase{
		{"groups", counted, nil, joined, []burst{
			{nil, 1, slices.Concat(times(4, data), times(3, other), times(3, data), times(2, shout), times(2, data)), "p4 2, p3 2, p2 11, br0 2"},
			{nil, 3, slices.Concat(times(3, report), times(2, data)), "p2 2"},
			{nil, 1, slices.Concat(times(3, other), times(3, data)), "p3 3, p2 3"},
			{attrs(4, bridge.PortAttrs{McastRouter: new(2)}), 1, slices.Concat(times(3, other), times(3, data)), "p4 6, p3 3, p2 3"},
			{wait(time.Second), 3, slices.Concat(times(2, leave), times(2, other)), "p4 4, p3 2, p2 2, p1 2, br0 2"},
			{wait(5 * time.Second), 1, slices.Concat(times(3, other), times(3, data)), "p4 6, p2 3"},
			{attrs(2, bridge.PortAttrs{McastToUnicast: new(true)}), 1, slices.Concat(times(3, data), times(2, shout), times(3, data)), "p4 8, p3 2, p2 8, br0 2"},
		}},
		{"messages between the frames", counted, nil, joined, []burst{
			{nil, 1, []frame.Frame{other, other, report, other, other, leave, other, other}, "p4 1, p3 1, p2 1, p1 1, br0 1"},
			{nil, 3, []frame.Frame{other, other, query, query, other, report, report, other}, "p4 6, p2 6, p1 8, br0 6"},
			{nil, 1, []frame.Frame{other, report, report, report, other, query, query, other, data, data}, "p4 10, p3 10, p2 10, br0 10"},
			{wait(130 * time.Second), 1, []frame.Frame{data, data, query, data, report, other}, "p4 1, p3 6, p2 4, br0 1"},
		}},
		{"groups in VLANs", vlans, slices.Repeat([]bridge.PortConfig{trunk}, 3), setups(joined, func(l *lab) { l.in(3, inVLAN(igmpReport(mac(3), group4))) }), []burst{
			{nil, 1, slices.Concat(times(2, data), times(2, inVLAN(data)), times(2, data), times(2, inVLAN(data))), "p3 4, p2 4"},
			{nil, 1, slices.Concat(times(2, report), times(2, inVLAN(report)), times(2, inVLAN(other)), times(2, other)), ""},
		}},
		{"groups that nobody snoops", bridge.Config{}, nil, nil, []burst{
			{nil, 1, slices.Concat(times(3, data), times(2, report), times(3, shout), times(3, data), times(2, ask)), "p4 13, p3 13, p2 13, br0 11"},
			{attrs(3, bridge.PortAttrs{McastFlood: new(false)}), 1, slices.Concat(times(3, data), times(3, shout), times(3, data)), "p4 9, p3 3, p2 9, br0 9"},
		}},
	}
}

// Runs from the host and to it.
func burstsOfHosts() []burstCase {
	trunk := bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20)}
	own, to := mac(50), func(m frame.MAC) frame.Frame { return etherN(m, mac(50), 100) }
	up := etherN(portMAC(1), here, 100)
	neighbours := new(bridge.HostTable)
	for _, n := range []int{1, 2} {
		neighbours.SetNeighbour(0, ip4(n), bridge.Neighbour{MAC: neighMAC(n)})
	}
	who := func(n int) frame.Frame { return arp{src: here, sender: ip4(1), target: ip4(n)}.frame() }
	tag := func(f frame.Frame, vid uint16) frame.Frame { return aside(f, frame.TypeDot1Q, vid) }
	return []burstCase{
		{"from the host", bridge.Config{Address: own}, nil, learned, []burst{
			{nil, 0, slices.Concat(times(4, to(there)), times(3, to(frame.Broadcast)), times(3, to(there)), times(3, to(mac(99)))), "p4 6, p3 6, p2 13, p1 6"},
			{wait(time.Second), 0, slices.Concat(times(3, to(groupMAC)), times(3, to(own)), times(2, to(portMAC(2)))), "p4 3, p3 3, p2 5, p1 3"},
			{func(l *lab) { l.learn(3, there) }, 0, times(4, to(there)), "p3 4"},
			{setLink(3, true, false), 0, slices.Concat(times(2, to(there)), times(2, to(frame.Broadcast))), "p4 4, p2 4, p1 4"},
			{nil, 0, []frame.Frame{tcpGSO(mac(99), own, 4000, 1000), tcpGSO(mac(99), own, 4000, 1000), tcpGSO(mac(99), own, 100, 0)}, "p4 3, p2 3, p1 3"},
		}},
		{"from the host in VLANs", bridge.Config{VLANFiltering: true, VLANs: bridge.Trunk(1, 10, 20)}, []bridge.PortConfig{trunk, trunk, {VLANs: bridge.Access(10)}}, setups(static(2, there, 1, 10), static(1, there, 20)), []burst{
			{nil, 0, slices.Concat(times(2, tag(to(there), 10)), times(2, tag(to(there), 20)), times(2, to(there)), times(2, tag(to(there), 10)), times(2, tag(to(there), 30))), "p2 6, p1 2"},
			{nil, 0, slices.Concat(times(2, tag(to(frame.Broadcast), 10)), times(2, tag(to(frame.Broadcast), 20)), times(2, to(mac(99)))), "p3 2, p2 6, p1 6"},
			{func(l *lab) { require.NoError(l.t, l.b.VLANs().Delete(10, 0)) }, 0, slices.Concat(times(2, tag(to(there), 10)), times(2, to(there))), "p2 2"},
		}},
		{"to the host", bridge.Config{}, nil, learned, []burst{
			{nil, 1, slices.Concat(times(4, up), times(2, talk), times(3, up), times(2, shout), times(2, up)), "p4 2, p3 2, p2 4, br0 11"},
			{func(l *lab) { require.NoError(l.t, l.b.SetPromisc(!l.b.Info().Promisc)) }, 1, slices.Concat(times(3, talk), times(3, ask), times(3, up)), "p4 3, p3 3, p2 6, br0 9"},
			{func(l *lab) { require.NoError(l.t, l.b.SetUp(false)) }, 1, slices.Concat(times(3, talk), times(3, up)), ""},
		}},
		{"to the host in VLANs", bridge.Config{VLANFiltering: true, VLANs: bridge.Trunk(1, 10)}, []bridge.PortConfig{trunk, trunk, trunk}, nil, []burst{
			{nil, 1, slices.Concat(times(2, up), times(2, tag(up, 10)), times(2, tag(up, 20)), times(2, tag(shout, 10)), times(2, tag(shout, 20)), times(2, shout)), "p3 6, p2 6, br0 8"},
			{func(l *lab) { require.NoError(l.t, l.b.VLANs().SetState(10, 0, bridge.StateBlocking)) }, 1, slices.Concat(times(2, up), times(2, tag(up, 10)), times(2, tag(shout, 10))), "p3 2, p2 2, br0 2"},
		}},
		{"the bridge answers for stations", bridge.Config{Address: hostMAC, Host: neighbours}, nil, func(l *lab) { l.learn(2, neighMAC(2)) }, []burst{
			{nil, 1, slices.Concat(times(3, who(2)), times(2, shout), times(2, who(9))), "p4 7, p3 7, p2 7, br0 7"},
			{attrs(2, bridge.PortAttrs{NeighSuppress: on()}), 1, slices.Concat(times(3, who(9)), times(3, who(2)), times(2, who(9)), times(2, who(2))), "p4 10, p3 10, p2 5, p1 5, br0 10"},
			{attrs(3, bridge.PortAttrs{NeighSuppress: on()}), 1, slices.Concat(times(2, talk), times(2, who(2)), times(2, talk), times(2, who(2)), times(2, talk)), "p4 10, p3 6, p2 6, p1 4, br0 4"},
		}},
		{"frames from the bridge's own addresses", bridge.Config{Address: own}, nil, learned, []burst{
			{nil, 1, slices.Concat(times(3, etherN(there, own, 100)), times(3, etherN(there, portMAC(1), 100)), times(2, talk), times(3, etherN(frame.Broadcast, own, 100))), "p4 3, p3 3, p2 11, br0 3"},
		}},
	}
}
