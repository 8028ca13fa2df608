package bridge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// globals is the dump by VLAN.
func globals(b *bridge.Bridge) map[frame.VID]bridge.VLANGlobalInfo {
	m := map[frame.VID]bridge.VLANGlobalInfo{}
	for _, g := range b.VLANGlobals() {
		m[g.VID] = g
	}
	return m
}

// vids are the VLANs of the dump, in its order.
func globalVIDs(b *bridge.Bridge) []frame.VID {
	vids := []frame.VID{}
	for _, g := range b.VLANGlobals() {
		vids = append(vids, g.VID)
	}
	return vids
}

// Kernel selftest bridge_vlan_mcast: global options exist for VLAN 10 with defaults.
// They are not those of the bridge.
func TestVLANGlobalDefaults(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, Attrs: bridge.BridgeAttrs{
		McastIGMPVersion: new(3), McastQuerier: new(true), McastQueryInterval: new(time.Minute),
	}})
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 4094)})
	assert.Equal(t, []frame.VID{1, 10, 4094}, globalVIDs(l.b))
	assert.Equal(t, bridge.VLANGlobalInfo{
		VID: 10, McastSnooping: true, McastIGMPVersion: 2, McastMLDVersion: 1, McastLastMemberCount: 2, McastStartupQueryCount: 2,
		McastLastMemberInterval: time.Second, McastMembershipInterval: 260 * time.Second, McastQuerierInterval: 255 * time.Second,
		McastQueryInterval: 125 * time.Second, McastQueryResponseInterval: 10 * time.Second, McastStartupQueryInterval: 31250 * time.Millisecond,
	}, globals(l.b)[10])
}

// A VLAN is there while any device is in it, the bridge's own or a port; its
// options go with the last one.
func TestVLANGlobalLife(t *testing.T) {
	l := newLab(t, bridge.Config{})
	assert.Equal(t, []frame.VID{1}, globalVIDs(l.b), "the bridge's own device")
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
	l.add(2, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)})
	set := func(vid frame.VID) {
		t.Helper()
		require.NoError(t, l.b.SetVLANGlobal(vid, 0, bridge.VLANGlobalAttrs{McastSnooping: new(false)}))
		require.False(t, globals(l.b)[vid].McastSnooping)
	}
	set(10)
	assert.True(t, globals(l.b)[20].McastSnooping, "each VLAN has its own")
	require.NoError(t, l.p(1).VLANs().Delete(10, 0))
	require.NoError(t, l.p(1).VLANs().Delete(10, 0), "deleted twice, left once")
	assert.False(t, globals(l.b)[10].McastSnooping, "p2 is in it")
	require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: 10}))
	require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: 10, Untagged: true}), "joined once")
	require.NoError(t, l.b.RemovePort(l.p(2)))
	assert.Equal(t, []frame.VID{1, 10}, globalVIDs(l.b))
	assert.False(t, globals(l.b)[10].McastSnooping, "the bridge's own device is in it")
	require.NoError(t, l.b.VLANs().Delete(10, 0))
	assert.Equal(t, []frame.VID{1}, globalVIDs(l.b))
	require.NoError(t, l.p(1).VLANs().Add(bridge.VLAN{VID: 10}))
	assert.True(t, globals(l.b)[10].McastSnooping, "begun anew")
	set(1)
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANDefaultPVID: new(frame.VID(5))}))
	assert.Equal(t, []frame.VID{5, 10}, globalVIDs(l.b))
	_, err := l.b.AddPort("p3", newRecorder("p3", l.log), bridge.PortConfig{VLANs: bridge.Trunk(0, 99), Attrs: bridge.PortAttrs{McastRouter: new(9)}})
	require.Error(t, err)
	assert.Equal(t, []frame.VID{5, 10}, globalVIDs(l.b), "a port that was refused is in no VLAN")
}

// Every option is kept and dumped, values as they come; two intervals are held to
// their limits.
func TestVLANGlobalSet(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 11)})
	all := bridge.VLANGlobalAttrs{
		MSTI: new(7), McastSnooping: new(false), McastQuerier: new(true), McastIGMPVersion: new(3), McastMLDVersion: new(2),
		McastLastMemberCount: new(uint32(0)), McastStartupQueryCount: new(uint32(9)), McastLastMemberInterval: new(time.Duration(0)),
		McastMembershipInterval: new(3 * time.Second), McastQuerierInterval: new(4 * time.Second), McastQueryInterval: new(5 * time.Second),
		McastQueryResponseInterval: new(6 * time.Second), McastStartupQueryInterval: new(7 * time.Second),
	}
	want := bridge.VLANGlobalInfo{
		VID: 10, MSTI: 7, McastQuerier: true, McastIGMPVersion: 3, McastMLDVersion: 2, McastStartupQueryCount: 9,
		McastMembershipInterval: 3 * time.Second, McastQuerierInterval: 4 * time.Second, McastQueryInterval: 5 * time.Second,
		McastQueryResponseInterval: 6 * time.Second, McastStartupQueryInterval: 7 * time.Second,
	}
	before := l.b.VLANGlobals()
	require.NoError(t, l.b.SetVLANGlobal(10, 0, all))
	assert.Equal(t, want, globals(l.b)[10])
	assert.Equal(t, before[2], globals(l.b)[11])
	assert.Equal(t, 0, before[1].MSTI, "a dump is a value")
	require.NoError(t, l.b.SetVLANGlobal(10, 0, bridge.VLANGlobalAttrs{}))
	assert.Equal(t, want, globals(l.b)[10], "nothing named, nothing changed")
	for _, c := range []struct{ set, is time.Duration }{{0, time.Second}, {time.Second, time.Second}, {24 * time.Hour, 24 * time.Hour}, {25 * time.Hour, 24 * time.Hour}} {
		require.NoError(t, l.b.SetVLANGlobal(10, 0, bridge.VLANGlobalAttrs{McastQueryInterval: &c.set, McastStartupQueryInterval: &c.set}))
		assert.Equal(t, c.is, globals(l.b)[10].McastQueryInterval)
		assert.Equal(t, c.is, globals(l.b)[10].McastStartupQueryInterval)
	}
	require.NoError(t, l.b.SetVLANGlobal(1, 0, bridge.VLANGlobalAttrs{MSTI: new(4095)}))
	assert.Equal(t, []string{"1 PVID untagged"}, members(l.b.VLANs()), "a VLAN of the bridge's own device has no other state for it")
}

// A range is worked through in order and stops at the first VLAN that nobody is in.
func TestVLANGlobalRange(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{VLANs: []bridge.VLAN{{VID: 62, End: 65}, {VID: 67}}})
	off := bridge.VLANGlobalAttrs{McastSnooping: new(false), MSTI: new(3)}
	require.NoError(t, l.b.SetVLANGlobal(62, 63, off))
	assertRefused(t, l.b.SetVLANGlobal(64, 67, off), bridge.ENOENT, "br0")
	got := globals(l.b)
	for v := frame.VID(62); v <= 65; v++ {
		assert.False(t, got[v].McastSnooping, "%d", v)
		assert.Equal(t, 3, got[v].MSTI, "%d", v)
	}
	assert.True(t, got[67].McastSnooping)
	assert.Equal(t, []frame.VID{1, 62, 63, 64, 65, 67}, globalVIDs(l.b))
	assert.Equal(t, []string{"62 disabled", "63 disabled", "64 disabled", "65 disabled", "67"}, members(l.p(1).VLANs()))
}

func TestRefusalVLANGlobal(t *testing.T) {
	set := func(vid, end frame.VID, a bridge.VLANGlobalAttrs) func(*lab, *bridge.Port) error {
		return func(l *lab, _ *bridge.Port) error { return l.b.SetVLANGlobal(vid, end, a) }
	}
	msti := func(n int) bridge.VLANGlobalAttrs { return bridge.VLANGlobalAttrs{MSTI: &n} }
	runRefusals(t, []refusal{
		{"MSTI 4096", set(10, 0, msti(4096)), bridge.ERANGE, "br0"},
		{"MSTI 65536", set(10, 0, msti(65536)), bridge.ERANGE, "br0"},
		{"MSTI -1", set(10, 0, msti(-1)), bridge.ERANGE, "br0"},
		{"MSTI before VID", set(0, 0, msti(4096)), bridge.ERANGE, "br0"},
		{"VID 0", set(0, 0, msti(1)), bridge.EINVAL, "br0"},
		{"VID 4095", set(4095, 0, msti(1)), bridge.EINVAL, "br0"},
		{"end 4095", set(10, 4095, msti(1)), bridge.EINVAL, "br0"},
		{"end below", set(12, 10, msti(1)), bridge.EINVAL, "br0"},
		{"end equal", set(10, 10, msti(1)), bridge.EINVAL, "br0"},
		{"nobody is in it", set(99, 0, msti(1)), bridge.ENOENT, "br0"},
		{"nobody is in the first", set(9, 12, msti(1)), bridge.ENOENT, "br0"},
		{"nobody is in it, before the version", set(99, 0, bridge.VLANGlobalAttrs{McastMLDVersion: new(3)}), bridge.ENOENT, "br0"},
		{"IGMP version 1", set(10, 0, bridge.VLANGlobalAttrs{McastSnooping: new(false), McastIGMPVersion: new(1)}), bridge.EINVAL, "br0"},
		{"IGMP version 4", set(10, 0, bridge.VLANGlobalAttrs{McastIGMPVersion: new(4)}), bridge.EINVAL, "br0"},
		{"MLD version 0", set(10, 12, bridge.VLANGlobalAttrs{McastMLDVersion: new(0)}), bridge.EINVAL, "br0"},
		{"MLD version 3", set(10, 0, bridge.VLANGlobalAttrs{McastMLDVersion: new(3), MSTI: new(1)}), bridge.EINVAL, "br0"},
	})
	l := newLabN(t, bridge.Config{}, 1)
	require.NoError(t, l.b.Close())
	assert.Error(t, l.b.SetVLANGlobal(1, 0, msti(1)))
}
