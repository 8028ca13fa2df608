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
