package bridge_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// members are the VLANs of a table in the words of bridge(8): "10 PVID untagged".
func members(v *bridge.VLANFilter) []string {
	out := []string{}
	for _, i := range v.All() {
		s := fmt.Sprint(i.VID)
		if i.PVID {
			s += " PVID"
		}
		if i.Untagged {
			s += " untagged"
		}
		if i.State != bridge.StateForwarding {
			s += " " + i.State.String()
		}
		out = append(out, s)
	}
	return out
}

// localVIDs are the VLANs in which an address is a local entry.
func (l *lab) localVIDs(m frame.MAC) []frame.VID {
	vids := []frame.VID{}
	for e := range l.b.FDB().All() {
		if e.MAC == m && e.State == bridge.NUDPermanent {
			vids = append(vids, e.VID)
		}
	}
	return vids
}

// What a port is given is all that it has: no VLAN 1 stays.
func TestVLANJoin(t *testing.T) {
	for _, c := range []struct {
		name  string
		pvid  *frame.VID
		vlans []bridge.VLAN
		want  []string
		local []frame.VID
	}{
		{"nil: the default PVID", nil, nil, []string{"1 PVID untagged"}, []frame.VID{0, 1}},
		{"nil: another default PVID", new(frame.VID(7)), nil, []string{"7 PVID untagged"}, []frame.VID{0, 7}},
		{"nil: no default PVID", new(frame.VID(0)), nil, []string{}, []frame.VID{0}},
		{"empty: none", nil, []bridge.VLAN{}, []string{}, []frame.VID{0}},
		{"access", nil, bridge.Access(10), []string{"10 PVID untagged"}, []frame.VID{0, 10}},
		{"trunk", nil, bridge.Trunk(0, 10, 20), []string{"10", "20"}, []frame.VID{0, 10, 20}},
		{"trunk of nothing", nil, bridge.Trunk(0), []string{}, []frame.VID{0}},
		{"trunk with a native VLAN", nil, bridge.Trunk(5, 10), []string{"5 PVID untagged", "10"}, []frame.VID{0, 5, 10}},
		{"trunk, native named twice", nil, bridge.Trunk(5, 10, 5), []string{"5 PVID untagged", "10"}, []frame.VID{0, 5, 10}},
		{"range", nil, []bridge.VLAN{{VID: 62, End: 66, Untagged: true}}, []string{"62 untagged", "63 untagged", "64 untagged", "65 untagged", "66 untagged"}, []frame.VID{0, 62, 63, 64, 65, 66}},
		{"the ends", nil, bridge.Trunk(1, 4094), []string{"1 PVID untagged", "4094"}, []frame.VID{0, 1, 4094}},
		{"two PVIDs: the last", nil, append(bridge.Access(5), bridge.Access(6)...), []string{"5 untagged", "6 PVID untagged"}, []frame.VID{0, 5, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, bridge.Config{VLANDefaultPVID: c.pvid, Address: mac(77)})
			l.add(1, bridge.PortConfig{VLANs: c.vlans})
			assert.Equal(t, c.want, members(l.p(1).VLANs()))
			assert.Equal(t, c.local, l.localVIDs(portMAC(1)))

			if c.pvid == nil {
				b := newLab(t, bridge.Config{VLANs: c.vlans, Address: mac(77)})
				assert.Equal(t, c.want, members(b.b.VLANs()), "the bridge device likewise")
				assert.Equal(t, c.local, b.localVIDs(mac(77)))
			}
		})
	}
}

// vlan.md 7: each step is done on one port that begins with VLAN 1.
func TestVLANMembership(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, Address: mac(77)})
	l.add(1, bridge.PortConfig{})
	for _, filter := range []*bridge.VLANFilter{l.p(1).VLANs(), l.b.VLANs()} {
		for _, c := range []struct {
			name string
			do   func() error
			want []string
		}{
			{"begin", func() error { return nil }, []string{"1 PVID untagged"}},
			{"add", func() error { return filter.Add(bridge.VLAN{VID: 10}) }, []string{"1 PVID untagged", "10"}},
			{"again with flags: the PVID moves, the old VLAN stays", func() error { return filter.Add(bridge.VLAN{VID: 10, PVID: true, Untagged: true}) }, []string{"1 untagged", "10 PVID untagged"}},
			{"again without: both are stripped", func() error { return filter.Add(bridge.VLAN{VID: 10}) }, []string{"1 untagged", "10"}},
			{"another loses nothing", func() error { return filter.Add(bridge.VLAN{VID: 1, PVID: true}) }, []string{"1 PVID", "10"}},
			{"range over what is there", func() error { return filter.Add(bridge.VLAN{VID: 9, End: 11, Untagged: true}) }, []string{"1 PVID", "9 untagged", "10 untagged", "11 untagged"}},
			{"range over the PVID strips it", func() error { return filter.Add(bridge.VLAN{VID: 1, End: 2}) }, []string{"1", "2", "9 untagged", "10 untagged", "11 untagged"}},
			{"delete what is not there", func() error { return filter.Delete(99, 0) }, []string{"1", "2", "9 untagged", "10 untagged", "11 untagged"}},
			{"delete a range, half there", func() error { return filter.Delete(10, 20) }, []string{"1", "2", "9 untagged"}},
			{"state", func() error { return filter.SetState(1, 2, bridge.StateLearning) }, []string{"1 learning", "2 learning", "9 untagged"}},
			{"adding again keeps the state", func() error { return filter.Add(bridge.VLAN{VID: 2, PVID: true}) }, []string{"1 learning", "2 PVID learning", "9 untagged"}},
			{"delete the PVID", func() error { return filter.Delete(2, 0) }, []string{"1 learning", "9 untagged"}},
			{"a new member is forwarding", func() error { return filter.Add(bridge.VLAN{VID: 2}) }, []string{"1 learning", "2", "9 untagged"}},
			{"set: exactly", func() error { return filter.Set(bridge.Trunk(3, 9)) }, []string{"3 PVID untagged", "9"}},
			{"set nothing", func() error { return filter.Set(nil) }, []string{}},
			{"set the default again", func() error { return filter.Set(bridge.Access(1)) }, []string{"1 PVID untagged"}},
		} {
			require.NoError(t, c.do(), c.name)
			assert.Equal(t, c.want, members(filter), c.name)
			vids := []frame.VID{0}
			for _, i := range filter.All() {
				vids = append(vids, i.VID)
				assert.Equal(t, 1, i.McastRouter)
			}
			if filter == l.p(1).VLANs() {
				assert.Equal(t, vids, l.localVIDs(portMAC(1)), "local entries, %s", c.name)
			}
		}
	}
	assert.Equal(t, []frame.VID{0, 1}, l.localVIDs(mac(77)))
	assert.Equal(t, []frame.VID{0, 1}, l.localVIDs(portMAC(1)))
}

// A VLAN that goes takes what was learned in it on this port; static entries, other
// VLANs and other ports keep theirs.
func TestVLANDeleteFlushes(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true})
	bc := frame.Broadcast
	l.in(1, dot1q(ether(bc, mac(1)), 10), dot1q(ether(bc, mac(1)), 20))
	l.in(2, ether(bc, mac(2)))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(3), VID: new(frame.VID(10)), State: bridge.NUDNoARP}))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(4), VID: new(frame.VID(10)), State: bridge.NUDReachable, Flags: bridge.NTFExtLearned}))
	require.NoError(t, l.p(1).VLANs().Delete(10, 0))
	assert.Equal(t, "-", l.where(mac(1), 10))
	assert.Equal(t, "p1", l.where(mac(1), 20))
	assert.Equal(t, "p2", l.where(mac(2), 10))
	assert.Equal(t, "p1", l.where(mac(3), 10), "static")
	assert.Equal(t, "p1", l.where(mac(4), 10), "externally learned")
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 10}))
	assert.Equal(t, "host", l.where(portMAC(1), 10))
}

// vlan.md 3: where the default was left as it was given it is replaced.
func TestVLANDefaultPVID(t *testing.T) {
	for _, c := range []struct {
		name     string
		setup    func(v *bridge.VLANFilter) error
		old, new frame.VID
		want     []string
	}{
		{"untouched", nil, 1, 7, []string{"7 PVID untagged"}},
		{"untouched, off", nil, 1, 0, []string{}},
		{"none before", nil, 0, 7, []string{"7 PVID untagged"}},
		{"the same", nil, 1, 1, []string{"1 PVID untagged"}},
		{"no longer untagged", func(v *bridge.VLANFilter) error { return v.Add(bridge.VLAN{VID: 1, PVID: true}) }, 1, 7, []string{"1 PVID"}},
		{"no longer PVID", func(v *bridge.VLANFilter) error { return v.Add(bridge.VLAN{VID: 1, Untagged: true}) }, 1, 7, []string{"1 untagged"}},
		{"no longer PVID, off", func(v *bridge.VLANFilter) error { return v.Add(bridge.VLAN{VID: 1, Untagged: true}) }, 1, 0, []string{"1 untagged"}},
		{"another PVID", func(v *bridge.VLANFilter) error { return v.Add(bridge.VLAN{VID: 5, PVID: true, Untagged: true}) }, 1, 7, []string{"1 untagged", "5 PVID untagged"}},
		{"the new one is there", func(v *bridge.VLANFilter) error { return v.Add(bridge.VLAN{VID: 7}) }, 1, 7, []string{"1 PVID untagged", "7"}},
		{"removed", func(v *bridge.VLANFilter) error { return v.Delete(1, 0) }, 1, 7, []string{}},
		{"none before, the new one is there", func(v *bridge.VLANFilter) error { return v.Add(bridge.VLAN{VID: 7}) }, 0, 7, []string{"7"}},
		{"none before, another PVID", func(v *bridge.VLANFilter) error { return v.Add(bridge.VLAN{VID: 5, PVID: true}) }, 0, 7, []string{"5", "7 PVID untagged"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, filtering := range []bool{false, true} {
				l := newLab(t, bridge.Config{VLANDefaultPVID: &c.old, VLANFiltering: filtering})
				l.add(1, bridge.PortConfig{})
				l.add(2, bridge.PortConfig{})
				for _, v := range []*bridge.VLANFilter{l.p(1).VLANs(), l.b.VLANs()} {
					if c.setup != nil {
						require.NoError(t, c.setup(v))
					}
				}
				require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANDefaultPVID: &c.new}))
				assert.Equal(t, c.want, members(l.p(1).VLANs()))
				assert.Equal(t, c.want, members(l.b.VLANs()), "the bridge device")
				untouched := []string{}
				if c.new != 0 {
					untouched = []string{fmt.Sprint(c.new) + " PVID untagged"}
				}
				assert.Equal(t, untouched, members(l.p(2).VLANs()), "each device by itself")
				assert.Equal(t, c.new, l.b.Info().VLANDefaultPVID)
				vids := []frame.VID{0}
				for _, i := range l.p(1).VLANs().All() {
					vids = append(vids, i.VID)
				}
				assert.Equal(t, vids, l.localVIDs(portMAC(1)))
			}
		})
	}
}

// Filtering toggled at run time keeps all configuration and the FDB; what was
// learned at VLAN 0 is no longer found (vlan.md 2 and 13).
func TestVLANToggle(t *testing.T) {
	l := vlanLab(t, bridge.Config{})
	l.learn(2, mac(2))
	before := members(l.p(1).VLANs())
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(true)}))
	assert.Equal(t, before, members(l.p(1).VLANs()))
	assert.Equal(t, "p2", l.where(mac(2), 0))
	assert.Equal(t, []string{"p3", "p2"}, l.out(1, dot1q(ether(mac(2), mac(1)), 10)), "floods until it is learned in its VLAN")
	l.learn(2, mac(2))
	assert.Equal(t, []string{"p2"}, l.out(1, dot1q(ether(mac(2), mac(1)), 10)))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(false)}))
	assert.Equal(t, "p2", l.where(mac(2), 10))
	got := l.in(1, dot1q(ether(mac(2), mac(1)), 10))
	assert.Equal(t, []delivery{{"p2", dot1q(ether(mac(2), mac(1)), 10).Data}}, got, "found at VLAN 0 again, the tag stays")
}

// What follows filtering and protocol: the group address, the masks that are
// required, snooping per VLAN.
func TestVLANOptions(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	set := func(a bridge.BridgeAttrs) bridge.BridgeInfo {
		t.Helper()
		require.NoError(t, l.b.Set(a))
		return l.b.Info()
	}
	assert.Equal(t, linkLocal(0), l.b.Info().GroupAddress)
	assert.Equal(t, linkLocal(0), set(bridge.BridgeAttrs{VLANProtocol: new(frame.TypeDot1AD)}).GroupAddress, "filtering is off")
	assert.Equal(t, linkLocal(8), set(bridge.BridgeAttrs{VLANFiltering: new(true)}).GroupAddress)
	assert.Equal(t, []string{"p2", "br0"}, l.out(1, ether(linkLocal(0xb), mac(1))), "required of a provider bridge")
	assert.True(t, set(bridge.BridgeAttrs{McastVLANSnooping: new(true)}).McastVLANSnooping)
	i := set(bridge.BridgeAttrs{VLANFiltering: new(false)})
	assert.Equal(t, linkLocal(0), i.GroupAddress)
	assert.False(t, i.McastVLANSnooping, "filtering off clears it")
	assert.Empty(t, l.out(1, ether(linkLocal(0xb), mac(1))))
	i = set(bridge.BridgeAttrs{GroupAddress: new(linkLocal(0)), VLANFiltering: new(true)})
	assert.Equal(t, linkLocal(0), i.GroupAddress, "one that was set stays")
	assert.False(t, i.McastVLANSnooping)
	set(bridge.BridgeAttrs{VLANFiltering: new(true), McastVLANSnooping: new(true)})
}

// vlan.md 8: per VLAN together, or with VLANStatsPerPort each port for itself.
func TestVLANStats(t *testing.T) {
	type row struct{ rx, rxBytes, tx, txBytes uint64 }
	of := func(v *bridge.VLANFilter, vid frame.VID) row {
		all := v.All()
		i := all[slices.IndexFunc(all, func(i bridge.VLANInfo) bool { return i.VID == vid })]
		return row{i.RxPackets, i.RxBytes, i.TxPackets, i.TxBytes}
	}
	for _, c := range []struct {
		name           string
		on, perPort    bool
		p1, p2, p3, br row
	}{
		{name: "off"},
		{name: "off, per port", perPort: true},
		{name: "on", on: true, p1: row{2, 92, 4, 184}, p2: row{2, 92, 4, 184}, p3: row{2, 92, 4, 184}, br: row{2, 92, 4, 184}},
		{name: "on, per port", on: true, perPort: true, p1: row{1, 46, 1, 46}, p2: row{0, 0, 1, 46}, p3: row{0, 0, 1, 46}, br: row{1, 46, 1, 46}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, bridge.Config{VLANFiltering: true, VLANStats: c.on, VLANStatsPerPort: c.perPort, VLANs: bridge.Trunk(0, 10)})
			l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
			l.add(2, bridge.PortConfig{VLANs: bridge.Access(10)})
			l.add(3, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)})
			require.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, dot1q(ether(frame.Broadcast, mac(1)), 10)))
			require.Equal(t, []string{"p1"}, l.out(0, dot1q(ether(mac(1), mac(9)), 10)))
			require.Empty(t, l.out(1, dot1q(ether(mac(1), mac(9)), 20)))
			assert.Equal(t, []row{c.p1, c.p2, c.p3, c.br}, []row{of(l.p(1).VLANs(), 10), of(l.p(2).VLANs(), 10), of(l.p(3).VLANs(), 10), of(l.b.VLANs(), 10)})
			assert.Zero(t, of(l.p(3).VLANs(), 20))
			l.p(1).Explain(dot1q(ether(frame.Broadcast, mac(1)), 10))
			assert.Equal(t, c.p1, of(l.p(1).VLANs(), 10), "Explain counts nothing")
		})
	}
}

// A VLAN's counters live as long as any device is in it, and begin anew after.
func TestVLANStatsLife(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, VLANStats: true})
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
	l.in(1, dot1q(ether(mac(5), mac(1)), 10))
	l.add(2, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
	rx := func(n int) uint64 { return l.p(n).VLANs().All()[0].RxPackets }
	assert.EqualValues(t, 1, rx(2), "shared with who joins later")
	require.NoError(t, l.p(1).VLANs().Delete(10, 0))
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 10}))
	assert.EqualValues(t, 1, rx(1))
	require.NoError(t, l.b.RemovePort(l.p(2)))
	require.NoError(t, l.p(1).VLANs().Delete(10, 0))
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 10}))
	assert.Zero(t, rx(1), "the last member took them along")
}

// fdb_local_vlan_0: local entries at VLAN 0 only, found from every VLAN.
func TestVLANLocal0(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true, Address: mac(77)})
	full := slices.Collect(l.b.FDB().All())
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{FDBLocalVLAN0: new(true)}))
	for e := range l.b.FDB().All() {
		assert.Zero(t, e.VID, "%s", e.MAC)
	}
	assert.Equal(t, []string{"br0"}, l.out(2, ether(portMAC(2), mac(2))))
	assert.Equal(t, []string{"br0"}, l.out(2, ether(mac(77), mac(2))))
	assert.Empty(t, l.out(4, ether(mac(77), mac(4))), "found at VLAN 0, but the host is not in VLAN 20")
	require.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 30}))
	assert.Equal(t, []frame.VID{0}, l.localVIDs(portMAC(2)))
	assert.Equal(t, []string{"p3", "p2", "p1"}, devs(l.in(0, dot1q(ether(portMAC(2), mac(77)), 10))), "the host's frames do not use it")
	require.NoError(t, l.p(2).VLANs().Delete(30, 0))
	_, err := l.b.FDB().Flush(bridge.FDBFlush{StateMask: bridge.NUDPermanent})
	require.NoError(t, err)
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{FDBLocalVLAN0: new(false)}))
	assert.Equal(t, full, slices.Collect(l.b.FDB().All()), "all are there again")
}

// With MST on the port state is not looked at (vlan.md 10).
func TestVLANMST(t *testing.T) {
	l := newLab(t, bridge.Config{MSTEnabled: true})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	for _, s := range []bridge.PortState{bridge.StateDisabled, bridge.StateListening, bridge.StateLearning} {
		l.set(1, bridge.PortAttrs{State: &s})
		assert.Equal(t, []string{"p2"}, l.out(1, ether(mac(99), mac(9))), "%s", s)
		assert.Equal(t, []string{"p1"}, l.out(2, ether(mac(9), mac(2))), "%s", s)
	}
}
