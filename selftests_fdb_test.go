package bridge_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// static makes a static entry on port n, in VLAN vid unless it is 0.
func (l *lab) static(n int, m frame.MAC, vid frame.VID) {
	l.t.Helper()
	r := bridge.FDBRequest{Port: l.p(n), MAC: m, State: bridge.NUDNoARP, Mode: bridge.FDBReplace}
	if vid != 0 {
		r.VID = &vid
	}
	require.NoError(l.t, l.b.FDB().Update(r))
}

// bridge_locked_port.sh, its ports without learning unless said.
func TestSelftestBridgeLockedPort(t *testing.T) {
	for name, vid := range map[string]frame.VID{"locked_port_ipv4 and ipv6": 0, "locked_port_vlan": 100} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, bridge.Config{VLANFiltering: vid != 0})
			for i := 1; i <= 2; i++ {
				l.add(i, bridge.PortConfig{NoLearning: true, VLANs: bridge.Trunk(1, 100)})
			}
			assert.True(t, l.pings(1, 2, vid), "unlocked")
			l.set(1, bridge.PortAttrs{Locked: new(true)})
			assert.False(t, l.pings(1, 2, vid), "locked, without an entry")
			if vid != 0 {
				l.static(1, mac(1), 1)
				assert.False(t, l.pings(1, 2, vid), "with an entry of another VLAN")
			}
			l.static(1, mac(1), vid)
			assert.True(t, l.pings(1, 2, vid), "with an entry")
			l.set(1, bridge.PortAttrs{Locked: new(false)})
			require.NoError(t, l.b.FDB().Delete(l.p(1), mac(1), nil))
			assert.True(t, l.pings(1, 2, vid), "unlocked, without the entry")
		})
	}
}

func TestSelftestBridgeLockedPortMAB(t *testing.T) {
	mab := func(l *lab, n int) {
		l.set(n, bridge.PortAttrs{Locked: new(true), MAB: new(true), Learning: new(true)})
	}
	selftests(t, bridge.Config{}, 3, []selftest{
		{"locked and learning without MAB: traffic makes no entry", func(t *testing.T, l *lab) {
			l.set(1, bridge.PortAttrs{Locked: new(true), Learning: new(true)})
			assert.False(t, l.pings(1, 2, 0))
			assert.Equal(t, "-", l.where(mac(1), 0))
		}},
		{"locked_port_mab: ping fails and makes a locked entry; replaced by a static one it works", func(t *testing.T, l *lab) {
			mab(l, 1)
			assert.False(t, l.pings(1, 2, 0))
			assert.Equal(t, "p1", l.where(mac(1), 0))
			assert.True(t, l.entry(mac(1), 0).Locked)
			l.static(1, mac(1), 0)
			assert.True(t, l.pings(1, 2, 0))
			assert.False(t, l.entry(mac(1), 0).Locked)
		}},
		{"locked_port_mab_roam: to an unlocked port it moves and is not locked; back it does not move", func(t *testing.T, l *lab) {
			mab(l, 1)
			l.learn(1, mac(50))
			require.True(t, l.entry(mac(50), 0).Locked)
			l.learn(2, mac(50))
			assert.Equal(t, "p2", l.where(mac(50), 0))
			assert.False(t, l.entry(mac(50), 0).Locked)
			l.learn(1, mac(50))
			assert.Equal(t, "p2", l.where(mac(50), 0))
		}},
		{"locked_port_mab_config: needs the port locked and learning", func(t *testing.T, l *lab) {
			on := bridge.PortAttrs{MAB: new(true)}
			l.set(1, bridge.PortAttrs{Learning: new(true), Locked: new(false)})
			assert.ErrorIs(t, l.p(1).Set(on), bridge.EINVAL)
			l.set(1, bridge.PortAttrs{Learning: new(false), Locked: new(true)})
			assert.ErrorIs(t, l.p(1).Set(on), bridge.EINVAL)
			l.set(1, bridge.PortAttrs{Learning: new(true), Locked: new(true)})
			assert.NoError(t, l.p(1).Set(on))
			assert.ErrorIs(t, l.p(1).Set(bridge.PortAttrs{Locked: new(false)}), bridge.EINVAL, "nor can they be taken away")
			assert.ErrorIs(t, l.p(1).Set(bridge.PortAttrs{Learning: new(false)}), bridge.EINVAL)
		}},
		{"locked_port_mab_flush: MAB off takes the port's locked entries alone", func(t *testing.T, l *lab) {
			mab(l, 1)
			mab(l, 2)
			l.learn(1, mac(51))
			l.learn(2, mac(52))
			l.static(1, mac(53), 0)
			l.set(1, bridge.PortAttrs{MAB: new(false)})
			assert.Equal(t, []string{"-", "p2", "p1"}, []string{l.where(mac(51), 0), l.where(mac(52), 0), l.where(mac(53), 0)})
			assert.True(t, l.entry(mac(52), 0).Locked)
		}},
	})
}

// bridge_fdb_local_vlan_0.sh.
func TestSelftestBridgeFDBLocalVLAN0(t *testing.T) {
	set := func(l *lab, on bool) { require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{FDBLocalVLAN0: &on})) }
	host := func(l *lab, m frame.MAC) bool { return slices.Contains(l.out(1, ether(m, mac(1))), "br0") }
	selftests(t, bridge.Config{VLANFiltering: true, Address: mac(77)}, 2, []selftest{
		{"local addresses stand at no VLAN and each VLAN, or at no VLAN alone, also after they change", func(t *testing.T, l *lab) {
			require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 10}))
			check := func(on bool, port, br frame.MAC) {
				t.Helper()
				want, wantBridge := []frame.VID{0, 1, 10}, []frame.VID{0, 1}
				if on {
					want, wantBridge = []frame.VID{0}, []frame.VID{0}
				}
				assert.Equal(t, want, l.localVIDs(port), "on %v", on)
				assert.Equal(t, wantBridge, l.localVIDs(br), "on %v", on)
			}
			for i, on := range []bool{false, true, false, true} {
				set(l, on)
				check(on, l.p(1).Info().Address, l.b.Info().Address)
				old, oldBridge := l.p(1).Info().Address, l.b.Info().Address
				require.NoError(t, l.p(1).SetAddress(mac(60+i)))
				require.NoError(t, l.b.SetAddress(mac(70+i)))
				check(on, mac(60+i), mac(70+i))
				assert.Empty(t, append(l.localVIDs(old), l.localVIDs(oldBridge)...), "what was left")
			}
		}},
		{"in both modes frames to the port's and the bridge's address in VLAN 1 reach the host", func(t *testing.T, l *lab) {
			for _, on := range []bool{false, true} {
				set(l, on)
				assert.True(t, host(l, portMAC(1)) && host(l, portMAC(2)) && host(l, mac(77)), "on %v", on)
			}
		}},
		{"on: an address without an entry floods", func(t *testing.T, l *lab) {
			set(l, true)
			require.NoError(t, l.b.FDB().Delete(l.p(2), portMAC(2), nil))
			assert.Equal(t, []string{"p2"}, l.out(1, ether(portMAC(2), mac(1))))
		}},
		{"on: a user's entry at no VLAN is not used for a VLAN, but without filtering it is", func(t *testing.T, l *lab) {
			set(l, true)
			require.NoError(t, l.p(2).VLANs().Set(nil)) // so that the entry stands at no VLAN alone
			l.static(2, mac(50), 0)
			require.NoError(t, l.p(2).VLANs().Set(bridge.Access(1)))
			l.add(3, bridge.PortConfig{})
			assert.Equal(t, []string{"p3", "p2"}, l.out(1, ether(mac(50), mac(1))))
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(false)}))
			assert.Equal(t, []string{"p2"}, l.out(1, ether(mac(50), mac(1))))
		}},
		{"a bridge whose address is none of the ports' is reachable", func(t *testing.T, l *lab) {
			set(l, true)
			require.NoError(t, l.b.SetAddress(mac(78)))
			assert.True(t, host(l, mac(78)))
		}},
	})
}

// fdb_flush.sh: entries of every kind on two ports and in two VLANs.
func TestSelftestFDBFlush(t *testing.T) {
	kinds := map[string]bridge.FDBRequest{
		"permanent":    {State: bridge.NUDPermanent},
		"static":       {State: bridge.NUDNoARP},
		"dynamic":      {State: bridge.NUDReachable},
		"extern_learn": {State: bridge.NUDReachable, Flags: bridge.NTFExtLearned},
	}
	names := []string{"permanent", "static", "dynamic", "extern_learn"}
	id := func(kind, port, vid int) frame.MAC { return mac(1000 + 100*kind + 10*port + vid) }
	const perm, noarp, ext = bridge.NUDPermanent, bridge.NUDNoARP, bridge.NTFExtLearned
	for _, c := range []struct {
		name string
		what func(l *lab) bridge.FDBFlush
		gone func(kind string, port, vid int) bool
	}{
		{"by dev: everything", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{} }, func(string, int, int) bool { return true }},
		{"by port", func(l *lab) bridge.FDBFlush { return bridge.FDBFlush{Port: l.p(1)} }, func(_ string, p, _ int) bool { return p == 1 }},
		{"by vlan leaves other VLANs", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{VID: new(frame.VID(2))} }, func(_ string, _, v int) bool { return v == 2 }},
		{"permanent", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{State: perm, StateMask: perm} }, func(k string, _, _ int) bool { return k == "permanent" }},
		{"nopermanent", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{StateMask: perm} }, func(k string, _, _ int) bool { return k != "permanent" }},
		{"static", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{State: noarp, StateMask: noarp | perm} }, func(k string, _, _ int) bool { return k == "static" }},
		{"nostatic", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{StateMask: noarp} }, func(k string, _, _ int) bool { return k == "dynamic" || k == "extern_learn" }},
		{"dynamic", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{StateMask: noarp | perm} }, func(k string, _, _ int) bool { return k == "dynamic" || k == "extern_learn" }},
		{"nodynamic", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{State: noarp, StateMask: noarp} }, func(k string, _, _ int) bool { return k == "static" || k == "permanent" }},
		{"extern_learn", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{Flags: ext, FlagsMask: ext} }, func(k string, _, _ int) bool { return k == "extern_learn" }},
		{"noextern_learn", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{FlagsMask: ext} }, func(k string, _, _ int) bool { return k != "extern_learn" }},
		{"several criteria are AND-ed", func(l *lab) bridge.FDBFlush {
			return bridge.FDBFlush{Port: l.p(2), VID: new(frame.VID(1)), State: noarp, StateMask: noarp | perm}
		}, func(k string, p, v int) bool { return k == "static" && p == 2 && v == 1 }},
		{"with nothing to delete it succeeds", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{VID: new(frame.VID(99))} }, func(string, int, int) bool { return false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, bridge.Config{})
			each := func(fn func(k, p, v int)) {
				for k := range names {
					for p := 1; p <= 2; p++ {
						for v := 1; v <= 2; v++ {
							fn(k, p, v)
						}
					}
				}
			}
			l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(1, 2)})
			l.add(2, bridge.PortConfig{VLANs: bridge.Trunk(1, 2)})
			each(func(k, p, v int) {
				r := kinds[names[k]]
				r.Port, r.MAC, r.VID = l.p(p), id(k, p, v), new(frame.VID(v))
				require.NoError(t, l.b.FDB().Update(r))
			})
			_, err := l.b.FDB().Flush(c.what(l))
			require.NoError(t, err)
			each(func(k, p, v int) {
				_, there := l.b.FDB().Lookup(id(k, p, v), frame.VID(v))
				assert.Equal(t, c.gone(names[k], p, v), !there, "%s on p%d in VLAN %d", names[k], p, v)
			})
		})
	}
}

// fdb_notify.sh: a request tells of itself exactly once.
func TestSelftestFDBNotify(t *testing.T) {
	selftests(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0))}, 1, []selftest{{"add and del tell once each, on a port and on the bridge", func(t *testing.T, l *lab) {
		var told []string
		defer l.b.Watch(func(e bridge.Event) { told = append(told, e.Kind.String()+" "+e.Port) })()
		for _, p := range []*bridge.Port{l.p(1), nil} {
			told = nil
			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: p, MAC: mac(50), State: bridge.NUDPermanent}))
			require.NoError(t, l.b.FDB().Delete(p, mac(50), nil))
			name := ""
			if p != nil {
				name = p.Name()
			}
			assert.Equal(t, []string{"fdb add " + name, "fdb delete " + name}, told)
		}
	}}})
}

// FreeBSD's if_bridge_test.sh, what of it holds for a Linux bridge.
func TestSelftestFreeBSD(t *testing.T) {
	selftests(t, bridge.Config{}, 2, []selftest{
		{"bridge_transmit_ipv4_unicast: two hosts ping through a bridge", func(t *testing.T, l *lab) { assert.True(t, l.pings(1, 2, 0)) }},
		{"static: another interface and a bad address are refused, and the deletion of an unknown one", func(t *testing.T, l *lab) {
			l.static(1, mac(50), 0)
			assert.ErrorIs(t, l.b.FDB().Delete(l.p(2), mac(50), nil), bridge.ENOENT)
			assert.ErrorIs(t, l.b.FDB().Delete(l.p(1), mac(51), nil), bridge.ENOENT)
			assert.ErrorIs(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: zeroMAC, State: bridge.NUDNoARP}), bridge.EINVAL)
			assert.Equal(t, "p1", l.where(mac(50), 0))
		}},
		{"delete_with_members: a bridge with ports ends", func(t *testing.T, l *lab) { assert.NoError(t, l.b.Close()) }},
		{"mac_conflict: bridges get addresses of their own", func(t *testing.T, l *lab) {
			seen := map[frame.MAC]bool{}
			for range 20 {
				b, err := bridge.New(bridge.Config{})
				require.NoError(t, err)
				assert.False(t, seen[b.Info().Address])
				seen[b.Info().Address] = true
				require.NoError(t, b.Close())
			}
		}},
		{"many_bridge_members: 256 of them", func(t *testing.T, l *lab) {
			for i := 2; i < 256; i++ {
				_, err := l.b.AddPort(fmt.Sprint("member", i), newRecorder("member", l.log), bridge.PortConfig{})
				require.NoError(t, err)
			}
			assert.Len(t, l.out(1, ether(frame.Broadcast, mac(1))), 256, "the others and the host")
		}},
	})
}

// Open vSwitch's tests of its normal switching (tests/ofproto-dpif.at), what of it
// holds for a Linux bridge.
func TestSelftestOpenVSwitch(t *testing.T) {
	selftests(t, bridge.Config{AgeingTime: new(10 * time.Second)}, 3, []selftest{
		{"MAC learning: an address moves to the port where it shows", func(t *testing.T, l *lab) {
			for _, n := range []int{1, 2, 1} {
				l.learn(n, mac(50))
				assert.Equal(t, []string{portName(n)}, l.out(3, ether(mac(50), mac(3))))
			}
		}},
		{"MAC learning: VLANs have tables of their own", func(t *testing.T, l *lab) {
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(true)}))
			for i := 1; i <= 3; i++ {
				require.NoError(t, l.p(i).VLANs().Set(bridge.Trunk(0, 5, 6)))
			}
			l.in(1, dot1q(ether(frame.Broadcast, mac(50)), 5))
			l.in(2, dot1q(ether(frame.Broadcast, mac(50)), 6))
			assert.Equal(t, []string{"p1"}, l.out(3, dot1q(ether(mac(50), mac(3)), 5)))
			assert.Equal(t, []string{"p2"}, l.out(3, dot1q(ether(mac(50), mac(3)), 6)))
		}},
		{"MAC table: ageing", func(t *testing.T, l *lab) {
			l.learn(1, mac(50))
			l.tickTo(11 * time.Second)
			assert.Equal(t, []string{"p2", "p1"}, l.out(3, ether(mac(50), mac(3))))
		}},
		{"access, trunk, native-tagged and native-untagged ports", func(t *testing.T, l *lab) {
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(true)}))
			require.NoError(t, l.p(1).VLANs().Set(bridge.Access(10)))
			require.NoError(t, l.p(2).VLANs().Set(bridge.Trunk(0, 10)))
			require.NoError(t, l.p(3).VLANs().Set([]bridge.VLAN{{VID: 10, PVID: true}}))
			l.add(4, bridge.PortConfig{VLANs: bridge.Trunk(10, 20)})
			f := ether(frame.Broadcast, mac(50))
			in10 := dot1q(f, 10).Data
			for from, g := range map[int]frame.Frame{1: f, 2: dot1q(f, 10), 3: f, 4: f} {
				want := map[string][]byte{"p1": f.Data, "p2": in10, "p3": in10, "p4": f.Data}
				delete(want, portName(from))
				got := map[string][]byte{}
				for _, d := range l.in(from, g) {
					got[d.dev] = d.wire
				}
				assert.Equal(t, want, got, "from p%d", from)
			}
		}},
		{"VLAN 0: an access port takes priority-tagged frames", func(t *testing.T, l *lab) {
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(true)}))
			assert.True(t, l.reaches(1, 2, tagged(ether(frame.Broadcast, mac(50)), frame.TypeDot1Q, 0xe000)))
		}},
		{"01:80:c2:00:00:0x is not forwarded, unless a mask says so", func(t *testing.T, l *lab) {
			for x := byte(1); x < 16; x++ {
				assert.Empty(t, l.out(1, ether(linkLocal(x), mac(1))), "%x", x)
			}
			require.NoError(t, l.b.Set(bridge.BridgeAttrs{GroupFwdMask: new(uint16(0xfff8))}))
			assert.True(t, l.reaches(1, 2, ether(linkLocal(0xe), mac(1))))
		}},
		{"no-flood: a flood goes neither back nor to ports without it", func(t *testing.T, l *lab) {
			l.set(3, bridge.PortAttrs{Flood: new(false)})
			assert.Equal(t, []string{"p2"}, l.out(1, ether(mac(50), mac(1))))
		}},
		{"a frame for the port that it came in by is dropped", func(t *testing.T, l *lab) {
			l.learn(1, mac(50))
			assert.Empty(t, l.out(1, ether(mac(50), mac(1))))
			assert.EqualValues(t, 1, l.ingress(1).Dropped[bridge.DropSamePort])
		}},
	})
}
