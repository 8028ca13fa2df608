package live

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// What a kernel has not got, and what depends on time, is named.
func TestLeftOut(t *testing.T) {
	plain := &Features{
		Bridge: map[string]bool{"group_fwd_mask": true, "ageing_time": true, "mst_enabled": true, "mcast_snooping": true},
		Port:   map[string]bool{"hairpin": true},
	}
	vlans := &Features{Bridge: map[string]bool{"vlan_protocol": true, "vlan_filtering": true}, Port: map[string]bool{}}
	one := replay.Value{Num: 1}
	ten := uint16(10)
	for name, c := range map[string]struct {
		f    *Features
		s    replay.Scenario
		want string
	}{
		"nothing": {plain, replay.Scenario{}, ""},
		"has it": {plain, replay.Scenario{
			Bridge: replay.Attrs{"group_fwd_mask": one, "address": {Word: "x", Text: true}},
			Ports:  []replay.Port{{Flags: replay.Attrs{"hairpin": one}}},
			Steps:  []replay.Step{{Op: "set-port", Attrs: replay.Attrs{"hairpin": one, "mtu": one}}, {Op: "dump-vlan"}, {Op: "dump-mdb"}},
		}, ""},
		"dormant":       {plain, replay.Scenario{Bridge: replay.Attrs{"vlan_stats_enabled": one, "mcast_querier": one}}, ""},
		"filtering":     {plain, replay.Scenario{Bridge: replay.Attrs{"vlan_filtering": one}}, "vlan_filtering"},
		"filtering has": {vlans, replay.Scenario{Bridge: replay.Attrs{"vlan_filtering": one}}, ""},
		"bridge lacks":  {plain, replay.Scenario{Bridge: replay.Attrs{"fdb_max_learned": one}}, "fdb_max_learned"},
		"port lacks":    {plain, replay.Scenario{Ports: []replay.Port{{Flags: replay.Attrs{"mab": one}}}}, "mab"},
		"stp":           {plain, replay.Scenario{Bridge: replay.Attrs{"stp_state": one}}, "stp_state"},
		"stp later":     {plain, replay.Scenario{Steps: []replay.Step{{Op: "set-bridge", Attrs: replay.Attrs{"stp_state": one}}}}, "stp_state"},
		"wait":          {plain, replay.Scenario{Steps: []replay.Step{{Op: "wait", MS: 150}, {Op: "wait", MS: 60}}}, "wait"},
		"short wait":    {plain, replay.Scenario{Steps: []replay.Step{{Op: "wait", MS: 50}}}, ""},
		"ageing":        {plain, replay.Scenario{Bridge: replay.Attrs{"ageing_time": {}}}, "ageing_time"},
		"ageing later":  {plain, replay.Scenario{Steps: []replay.Step{{Op: "set-bridge", Attrs: replay.Attrs{"ageing_time": one}}}}, "ageing_time"},
		"vlan step":     {plain, replay.Scenario{Steps: []replay.Step{{Op: "vlan-add"}}}, "vlan_filtering"},
		"vlan entry":    {plain, replay.Scenario{Steps: []replay.Step{{Op: "fdb-add", VLAN: &ten}}}, "vlan_filtering"},
		"vlan has":      {vlans, replay.Scenario{Steps: []replay.Step{{Op: "fdb-add", VLAN: &ten}, {Op: "vlan-add"}}}, ""},
		"mst":           {vlans, replay.Scenario{Steps: []replay.Step{{Op: "mst-set"}, {Op: "dump-mst"}}}, "mst_enabled"},
		"ipv6":          {plain, replay.Scenario{Bridge: replay.Attrs{"ipv6": one}}, "ipv6"},
		"vlan suppress": {vlans, replay.Scenario{Steps: []replay.Step{{Op: "vlan-set", Attrs: replay.Attrs{"neigh_suppress": one}}}}, "neigh_vlan_suppress"},
		"mdb":           {vlans, replay.Scenario{Steps: []replay.Step{{Op: "mdb-add"}}}, "mdb-add"},
		"mdb has":       {plain, replay.Scenario{Steps: []replay.Step{{Op: "mdb-add"}}}, ""},
		"mdb flush":     {plain, replay.Scenario{Steps: []replay.Step{{Op: "mdb-flush"}}}, "mdb-flush"},
		"snooping":      {plain, replay.Scenario{Bridge: replay.Attrs{"mcast_snooping": one}}, ""},
		"querier":       {plain, replay.Scenario{Bridge: replay.Attrs{"mcast_snooping": one, "mcast_querier": one}}, "mcast_querier"},
		"snooping IPv6": {&Features{IPv6: true}, replay.Scenario{Bridge: replay.Attrs{"ipv6": one}, Steps: []replay.Step{{Op: "set-bridge", Attrs: replay.Attrs{"mcast_snooping": one}}}}, "ipv6"},
		"port step":     {plain, replay.Scenario{Steps: []replay.Step{{Op: "set-port", Attrs: replay.Attrs{"mab": one}}}}, "mab"},
	} {
		assert.Equal(t, c.want, c.f.LeftOut(&c.s), name)
	}
}
