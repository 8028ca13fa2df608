package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Frames that come in runs, within one batch, find out when what decided the ones
// before has changed, and are counted like any.
func TestRuns(t *testing.T) {
	const here, there = 1, 2
	talk := etherN(mac(there), mac(here), 100)
	query := igmpQuery(mac(here))
	for _, tc := range []struct {
		name string
		cfg  bridge.Config
		port bridge.PortConfig
		run  []frame.Frame
	}{
		{"the receiver comes to the sender's port", bridge.Config{}, bridge.PortConfig{},
			[]frame.Frame{talk, talk, talk, etherN(mac(here), mac(there), 60), talk, talk}},
		{"VLANs are counted", bridge.Config{VLANFiltering: true, VLANStats: true}, bridge.PortConfig{},
			[]frame.Frame{talk, talk, talk, talk}},
		{"floods are counted by VLAN", bridge.Config{VLANFiltering: true, VLANStats: true}, bridge.PortConfig{},
			[]frame.Frame{etherN(mac(99), mac(here), 60), etherN(mac(99), mac(here), 60), etherN(mac(99), mac(here), 60)}},
		{"the host hears all", bridge.Config{Promisc: true}, bridge.PortConfig{}, []frame.Frame{talk, talk, talk}},
		{"a port that does not learn", bridge.Config{}, bridge.PortConfig{NoLearning: true}, []frame.Frame{talk, talk, talk}},
		{"a port that is locked", bridge.Config{}, bridge.PortConfig{Locked: true}, []frame.Frame{talk, talk, talk}},
		{"a frame that is too long", bridge.Config{}, bridge.PortConfig{}, []frame.Frame{talk, talk, talk, etherN(mac(there), mac(here), 1600), talk}},
		{"a flood too long for one port", bridge.Config{}, bridge.PortConfig{},
			[]frame.Frame{etherN(mac(99), mac(here), 60), etherN(mac(99), mac(here), 1300), etherN(mac(99), mac(here), 60), etherN(mac(99), mac(here), 1300)}},
		{"queries are counted by port", bridge.Config{McastSnooping: true, Attrs: bridge.BridgeAttrs{McastStats: new(true)}}, bridge.PortConfig{},
			[]frame.Frame{query, query, query}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var labs [2]*lab
			for i := range labs {
				l := newLab(t, tc.cfg)
				l.add(1, tc.port)
				l.add(2, bridge.PortConfig{})
				l.add(3, bridge.PortConfig{MTU: 1200})
				l.in(2, etherN(frame.Broadcast, mac(there), 60))
				labs[i] = l
			}
			one, whole := labs[0], labs[1]
			var want []delivery
			for _, f := range tc.run {
				want = append(want, one.in(1, f)...)
			}
			require.True(t, sameDeliveries(want, whole.in(1, tc.run...)))
			same(t, one, whole, "in one batch")
			for n := 1; n <= 3; n++ {
				assert.Equal(t, one.p(n).VLANs().All(), whole.p(n).VLANs().All())
				assert.Equal(t, one.p(n).McastStats(), whole.p(n).McastStats())
			}
			balanced(t, whole.b)
		})
	}
}

// An address that no station can have is no source, though a request has made an entry of
// it, and a broadcast is flooded, though one has made an entry of that.
func TestEntriesOfNoStation(t *testing.T) {
	l := newLab(t, bridge.Config{})
	for n := range 3 {
		l.add(n+1, bridge.PortConfig{})
	}
	l.learn(2, mac(2))
	for m, n := range map[frame.MAC]int{groupMAC: 1, frame.Broadcast: 2} {
		require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(n), MAC: m, State: bridge.NUDNoARP, Mode: bridge.FDBReplace}))
	}
	f := ether(mac(2), groupMAC)
	assert.Equal(t, bridge.DropInvalidSource, l.p(1).Explain(f).Reason)
	assert.Empty(t, l.out(1, f))
	assert.EqualValues(t, 1, l.ingress(1).Dropped[bridge.DropInvalidSource])

	// A filter has asked for the destination before: the Input remembers where it was.
	lookup := func(p *bridge.Passage) bridge.Ruling {
		p.Lookup(p.Frame.Dst())
		return bridge.Ruling{}
	}
	l.learn(1, mac(1))
	shout := ether(frame.Broadcast, mac(1))
	require.NoError(t, l.b.SetFilters(bridge.Filter{Name: "asks", Hooks: bridge.Hooks(bridge.HookPreRouting), Judge: lookup}))
	flooded := l.out(1, shout)
	require.NoError(t, l.b.SetFilters())
	assert.Equal(t, []string{"p3", "p2", "br0"}, flooded)
	assert.Equal(t, flooded, l.out(1, shout))
}
