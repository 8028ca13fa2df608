package bridge_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The assertions of the kernel's own tests of its bridge (tools/testing/selftests,
// net and net/forwarding), and of FreeBSD's and Open vSwitch's. The tests bear the
// files' names, their parts what is asserted. Station mac(n) is behind port n.

// reaches says whether a frame that comes in by one port leaves by the other.
func (l *lab) reaches(from, to int, f frame.Frame) bool {
	l.t.Helper()
	return slices.Contains(l.out(from, f), portName(to))
}

// ping says whether two stations can speak: a asks for b's address by a broadcast
// (IPv4) or a multicast (IPv6), b answers, and an echo goes there and back.
func (l *lab) ping(a, b int, typ frame.EtherType, vid frame.VID) bool {
	l.t.Helper()
	const arp = 0x0806
	ask, askType := frame.Broadcast, frame.EtherType(arp)
	if typ == frame.TypeIPv6 {
		ask, askType = frame.MAC{0x33, 0x33, 0xff, 0, 0, byte(b)}, typ
	}
	send := func(from, to int, dst frame.MAC, typ frame.EtherType) bool {
		f := withType(ether(dst, mac(from)), typ)
		if vid != 0 {
			f = dot1q(f, vid)
		}
		return l.reaches(from, to, f)
	}
	return send(a, b, ask, askType) && send(b, a, mac(a), askType) && send(a, b, mac(b), typ) && send(b, a, mac(a), typ)
}

// pings is ping by IPv4 and by IPv6, which agree.
func (l *lab) pings(a, b int, vid frame.VID) bool {
	l.t.Helper()
	v4, v6 := l.ping(a, b, frame.TypeIPv4, vid), l.ping(a, b, frame.TypeIPv6, vid)
	assert.Equal(l.t, v4, v6, "IPv4 and IPv6")
	return v4
}

// A selftest is one assertion, on a bridge of its own.
type selftest struct {
	name   string
	assert func(t *testing.T, l *lab)
}

func selftests(t *testing.T, c bridge.Config, ports int, tests []selftest) {
	t.Helper()
	for _, s := range tests {
		t.Run(s.name, func(t *testing.T) { s.assert(t, newLabN(t, c, ports)) })
	}
}

var stranger = ether(mac(50), mac(2)) // to an address that nobody has shown yet

// bridge_vlan_unaware.sh and bridge_vlan_aware.sh have these in common.
func forwardingSelftests(vid frame.VID) []selftest {
	return []selftest{
		{"ping_ipv4, ping_ipv6: h1 and h2 reach each other", func(t *testing.T, l *lab) { assert.True(t, l.pings(1, 2, 0)) }},
		{"learning: with flood off on p1 a frame to an unknown address does not reach h1", func(t *testing.T, l *lab) {
			l.set(1, bridge.PortAttrs{Flood: new(false)})
			assert.False(t, l.reaches(2, 1, stranger))
		}},
		{"learning: after h1 sends from it the frame reaches h1, and the FDB lists it on p1", func(t *testing.T, l *lab) {
			l.set(1, bridge.PortAttrs{Flood: new(false)})
			l.learn(1, mac(50))
			assert.True(t, l.reaches(2, 1, stranger))
			assert.Equal(t, "p1", l.where(mac(50), vid))
		}},
		{"learning: after the ageing time the entry is gone", func(t *testing.T, l *lab) {
			l.learn(1, mac(50))
			l.tickTo(9 * time.Second)
			assert.Equal(t, "p1", l.where(mac(50), vid))
			l.tickTo(2 * time.Second)
			assert.Equal(t, "-", l.where(mac(50), vid))
		}},
		{"learning: learning off on p1 makes no entry", func(t *testing.T, l *lab) {
			l.set(1, bridge.PortAttrs{Learning: new(false)})
			l.learn(1, mac(50))
			assert.Equal(t, "-", l.where(mac(50), vid))
		}},
		{"flood: unknown unicast reaches h2 with flood on p2, and not with flood off", func(t *testing.T, l *lab) {
			for _, on := range []bool{false, true} {
				l.set(2, bridge.PortAttrs{Flood: &on})
				assert.Equal(t, on, l.reaches(1, 2, ether(mac(50), mac(1))))
			}
		}},
		{"flood: unregistered multicast reaches h2 with mcast_flood on p2, and not with it off", func(t *testing.T, l *lab) {
			for _, on := range []bool{false, true} {
				l.set(2, bridge.PortAttrs{McastFlood: &on})
				assert.Equal(t, on, l.reaches(1, 2, withType(ether(frame.MAC{1, 0, 0x5e, 0, 0, 1}, mac(1)), frame.TypeIPv4)))
			}
		}},
	}
}

func TestSelftestBridgeVLANUnaware(t *testing.T) {
	selftests(t, bridge.Config{AgeingTime: new(10 * time.Second)}, 2, forwardingSelftests(0))
}

func TestSelftestBridgeVLANAware(t *testing.T) {
	prio, foreign := func(f frame.Frame) frame.Frame { return dot1q(f, 0) }, func(f frame.Frame) frame.Frame { return tagged(f, frame.TypeDot1AD, 10) }
	selftests(t, bridge.Config{AgeingTime: new(10 * time.Second), VLANFiltering: true}, 2, append(forwardingSelftests(1), []selftest{
		{"vlan_deletion: deleting another VLAN leaves the PVID's traffic", func(t *testing.T, l *lab) {
			require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 10}))
			require.NoError(t, l.p(1).VLANs().Delete(10, 0))
			assert.True(t, l.pings(1, 2, 0))
		}},
		{"extern_learn: does not age, traffic moves it, then it is as learned", func(t *testing.T, l *lab) {
			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(50), VID: new(frame.VID(1)), State: bridge.NUDReachable, Flags: bridge.NTFExtLearned}))
			l.tickTo(time.Minute)
			assert.True(t, l.entry(mac(50), 1).ExternLearn)
			l.learn(2, mac(50))
			assert.Equal(t, "p2", l.where(mac(50), 1))
			assert.False(t, l.entry(mac(50), 1).ExternLearn)
			l.tickTo(time.Minute)
			assert.Equal(t, "-", l.where(mac(50), 1))
		}},
		{"other_tpid: an 802.1ad tag is payload, forwarded and learned in the PVID", func(t *testing.T, l *lab) {
			f := foreign(ether(frame.Broadcast, mac(50)))
			assert.Equal(t, [][]byte{f.Data}, wires(l.in(1, f), "p2"))
			assert.Equal(t, []string{"p1", "-"}, []string{l.where(mac(50), 1), l.where(mac(50), 10)})
		}},
		{"8021p: frames tagged with VLAN 0 are forwarded in the PVID", func(t *testing.T, l *lab) {
			assert.True(t, l.reaches(1, 2, prio(ether(frame.Broadcast, mac(50)))))
			assert.Equal(t, "p1", l.where(mac(50), 1))
		}},
		{"drop_untagged: without a PVID untagged, VLAN 0 and foreign frames are dropped", func(t *testing.T, l *lab) {
			require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 1, Untagged: true}))
			f := ether(frame.Broadcast, mac(50))
			for _, f := range []frame.Frame{f, prio(f), foreign(f)} {
				assert.Empty(t, l.out(1, f))
			}
			assert.True(t, l.reaches(1, 2, dot1q(f, 1)))
		}},
	}...))
}

// no_forwarding.sh: nothing may arrive at h2, whatever the frame and its VLAN.
func TestSelftestNoForwarding(t *testing.T) {
	labs := map[string]func(t *testing.T) (in *bridge.Port, h2 *tape){
		"standalone ports": func(t *testing.T) (*bridge.Port, *tape) {
			l := newLabN(t, bridge.Config{}, 2)
			p := l.p(1)
			require.NoError(t, l.b.RemovePort(p))
			require.NoError(t, l.b.DetachHost())
			return p, l.log
		},
		"ports of two bridges": func(t *testing.T) (*bridge.Port, *tape) {
			return newLabN(t, bridge.Config{}, 1).p(1), newLabN(t, bridge.Config{}, 1).log
		},
		"one VLAN-aware bridge, PVIDs 1 and 2": func(t *testing.T) (*bridge.Port, *tape) {
			l := newLab(t, bridge.Config{VLANFiltering: true})
			require.NoError(t, l.b.DetachHost())
			l.add(1, bridge.PortConfig{VLANs: bridge.Access(1)})
			l.add(2, bridge.PortConfig{VLANs: bridge.Access(2)})
			return l.p(1), l.log
		},
	}
	kinds := map[string]frame.Frame{
		"non-IP unicast":   ether(mac(2), mac(1)),
		"non-IP multicast": ether(frame.MAC{1, 2, 3, 4, 5, 6}, mac(1)),
		"broadcast":        ether(frame.Broadcast, mac(1)),
		"IPv4 unicast":     withType(ether(mac(2), mac(1)), frame.TypeIPv4),
		"IPv4 224.0.0.1":   withType(ether(frame.MAC{1, 0, 0x5e, 0, 0, 1}, mac(1)), frame.TypeIPv4),
		"IPv6 unicast":     withType(ether(mac(2), mac(1)), frame.TypeIPv6),
		"IPv6 ff02::1":     withType(ether(frame.MAC{0x33, 0x33, 0, 0, 0, 1}, mac(1)), frame.TypeIPv6),
	}
	for name, lab := range labs {
		t.Run(name, func(t *testing.T) {
			in, h2 := lab(t)
			for kind, f := range kinds {
				_ = in.Receive(f)
				for _, vid := range []frame.VID{0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 4000, 4094} {
					_ = in.Receive(dot1q(f, vid))
				}
				assert.Empty(t, h2.take(), kind)
			}
			assert.EqualValues(t, 15*len(kinds), in.Stats().Ingress.Received)
		})
	}
}

func TestSelftestBridgePortIsolation(t *testing.T) {
	unknown := func(from int) frame.Frame { return ether(mac(50), mac(from)) }
	for name, check := range map[string]func(t *testing.T, l *lab){
		"isolated to isolated: ping fails":                           func(t *testing.T, l *lab) { assert.False(t, l.pings(1, 2, 0)) },
		"not isolated to isolated: ping works":                       func(t *testing.T, l *lab) { assert.True(t, l.pings(3, 2, 0)) },
		"unknown unicast from isolated is not flooded to isolated":   func(t *testing.T, l *lab) { assert.False(t, l.reaches(1, 2, unknown(1))) },
		"unknown unicast from not isolated is flooded to isolated":   func(t *testing.T, l *lab) { assert.True(t, l.reaches(3, 2, unknown(3))) },
		"unknown unicast from isolated is flooded to those that are": func(t *testing.T, l *lab) { assert.True(t, l.reaches(1, 3, unknown(1))) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 3)
			l.set(1, bridge.PortAttrs{Isolated: new(true)})
			l.set(2, bridge.PortAttrs{Isolated: new(true)})
			check(t, l)
		})
	}
}

func TestSelftestBridgeStickyFDB(t *testing.T) {
	selftests(t, bridge.Config{}, 2, []selftest{{"a sticky entry on p1 stays when its source shows on p2", func(t *testing.T, l *lab) {
		require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(50), State: bridge.NUDNoARP, Flags: bridge.NTFSticky}))
		l.learn(2, mac(50))
		assert.Equal(t, "p1", l.where(mac(50), 0))
		assert.True(t, l.entry(mac(50), 0).Sticky)
	}}})
}

func TestSelftestBridgeBackupPort(t *testing.T) {
	known := ether(mac(1), mac(3))
	with := func(check func(t *testing.T, l *lab)) func(t *testing.T, l *lab) {
		return func(t *testing.T, l *lab) {
			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(1), State: bridge.NUDNoARP}))
			l.set(1, bridge.PortAttrs{BackupPort: new("p2")})
			require.Equal(t, []string{"p1"}, l.out(3, known))
			check(t, l)
		}
	}
	link := func(l *lab, up, carrier bool) { require.NoError(l.t, l.p(1).SetLink(up, carrier)) }
	selftests(t, bridge.Config{}, 3, []selftest{
		{"p1 without carrier: to the backup, and back when it returns", with(func(t *testing.T, l *lab) {
			link(l, true, false)
			assert.Equal(t, []string{"p2"}, l.out(3, known))
			link(l, true, true)
			assert.Equal(t, []string{"p1"}, l.out(3, known))
		})},
		{"p1 administratively down: to the backup, and back", with(func(t *testing.T, l *lab) {
			link(l, false, true)
			assert.Equal(t, []string{"p2"}, l.out(3, known))
			link(l, true, true)
			assert.Equal(t, []string{"p1"}, l.out(3, known))
		})},
		{"removing the backup stops it", with(func(t *testing.T, l *lab) {
			l.set(1, bridge.PortAttrs{BackupPort: new("")})
			link(l, true, false)
			assert.Empty(t, l.out(3, known))
		})},
		{"the backup leaving the bridge stops it", with(func(t *testing.T, l *lab) {
			require.NoError(t, l.b.RemovePort(l.p(2)))
			assert.Empty(t, l.p(1).Info().BackupPort)
			link(l, true, false)
			assert.Empty(t, l.out(3, known))
		})},
	})
}

// local_termination.sh: what the host receives on br0.
func TestSelftestLocalTermination(t *testing.T) {
	const vid = 10
	selftests(t, bridge.Config{Address: mac(77)}, 2, []selftest{
		{"unicast to the primary MAC address", func(t *testing.T, l *lab) { assert.Equal(t, []string{"br0"}, l.out(1, ether(mac(77), mac(1)))) }},
		{"unicast to an unknown MAC address is not received, with promisc (as a macvlan makes it) it is", func(t *testing.T, l *lab) {
			assert.NotContains(t, l.out(1, ether(mac(78), mac(1))), "br0")
			require.NoError(t, l.b.SetPromisc(true))
			assert.Contains(t, l.out(1, ether(mac(78), mac(1))), "br0")
		}},
		{"multicast, IPv4 and IPv6, joined or unknown, with and without allmulti", func(t *testing.T, l *lab) {
			for _, on := range []bool{false, true} {
				require.NoError(t, l.b.SetAllMulti(on))
				for _, m := range []frame.MAC{{1, 0, 0x5e, 1, 2, 3}, {0x33, 0x33, 1, 2, 3, 4}} {
					assert.Contains(t, l.out(1, ether(m, mac(1))), "br0", "%s, allmulti %v", m, on)
				}
			}
		}},
		{"a VLAN device over the bridge needs the port and the bridge in the VLAN", func(t *testing.T, l *lab) {
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(true)}))
			f := dot1q(ether(frame.Broadcast, mac(1)), vid)
			for _, step := range []struct {
				do   func() error
				want bool
			}{
				{func() error { return nil }, false},
				{func() error { return l.p(1).VLANs().Add(bridge.VLAN{VID: vid}) }, false},
				{func() error { return l.b.VLANs().Add(bridge.VLAN{VID: vid}) }, true},
				{func() error { return l.p(1).VLANs().Delete(vid, 0) }, false},
			} {
				require.NoError(t, step.do())
				want := [][]byte(nil)
				if step.want {
					want = [][]byte{f.Data}
				}
				assert.Equal(t, want, wires(l.in(1, f), "br0"))
			}
		}},
	})
}
