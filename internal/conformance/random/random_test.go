package random

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func everything() *Options { return &Options{Features: Everything()} }

func text(t *testing.T, s *replay.Scenario) string {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return string(b)
}

// A seed makes one scenario, and always the same; every kind of step and every
// setting comes, and no scenario that is made has to be left out.
func TestScenario(t *testing.T) {
	opt := everything()
	ops, settings := map[string]int{}, map[string]int{}
	for seed := range uint64(500) {
		s := Scenario(seed, opt)
		assert.Equal(t, text(t, s), text(t, Scenario(seed, opt)))
		assert.NotEqual(t, text(t, s), text(t, Scenario(seed+1000, opt)))
		assert.Empty(t, opt.Features.LeftOut(s))
		assert.GreaterOrEqual(t, len(s.Steps), 20)
		assert.LessOrEqual(t, len(s.Steps), 90)
		for _, step := range s.Steps {
			ops[step.Op]++
			for name := range step.Attrs {
				settings[step.Op+" "+name]++
			}
		}
	}
	for _, op := range []string{
		"inject", "set-port", "set-bridge", "fdb-add", "fdb-del", "fdb-flush", "fdb-flush-bulk", "vlan-add", "vlan-del",
		"mdb-add", "mdb-del", "mdb-flush", "mdb-get", "dump-mdb", "vlan-set", "vlan-global-set", "mst-set", "neigh-add", "neigh-del", "link-up", "link-down", "carrier", "port-del", "port-add", "wait",
		"dump-fdb", "dump-port", "dump-bridge", "dump-stats", "dump-vlan", "dump-vlan-global", "dump-mst",
	} {
		assert.Positive(t, ops[op], op)
	}
	for name := range bridgeValues {
		assert.Positive(t, settings["set-bridge "+name], name)
	}
	for name := range portValues {
		assert.Positive(t, settings["set-port "+name], name)
	}
	for name := range globalValues {
		assert.Positive(t, settings["vlan-global-set "+name], name)
	}
	for _, name := range []string{"neigh_suppress", "mcast_router", "mcast_max_groups"} {
		assert.Positive(t, settings["vlan-set "+name], name)
	}
}

// What a kernel lacks, or nobody wants, does not come.
func TestScenarioWithout(t *testing.T) {
	opt := everything()
	delete(opt.Features.Bridge, "vlan_protocol")
	opt.Without = []string{"carrier", "hairpin"}
	for seed := range uint64(200) {
		s := Scenario(seed, opt)
		assert.Zero(t, s.Bridge["vlan_filtering"])
		assert.Empty(t, s.SelfVLANs)
		for _, p := range s.Ports {
			assert.Empty(t, p.VLANs)
			assert.Zero(t, p.Flags["hairpin"].Num)
		}
		for _, step := range s.Steps {
			assert.NotContains(t, step.Op, "vlan")
			assert.NotContains(t, step.Op, "mst")
			assert.NotContains(t, step.Attrs, "mst_enabled")
			assert.NotEqual(t, "carrier", step.Op)
			assert.Nil(t, step.VLAN)
			assert.NotContains(t, step.Attrs, "hairpin")
			assert.NotContains(t, step.Attrs, "vlan_filtering")
		}
	}
}

// Of a scenario that differs since two of its steps come in this order, a port has a
// flag, and there is a VLAN, nothing else is left.
func TestShrink(t *testing.T) {
	at := func(s *replay.Scenario, op string) int {
		return slices.IndexFunc(s.Steps, func(t replay.Step) bool { return t.Op == op })
	}
	var s *replay.Scenario
	differs := func(s *replay.Scenario) bool {
		flush, dump := at(s, "fdb-flush"), at(s, "dump-stats")
		isolated := slices.ContainsFunc(s.Ports, func(p replay.Port) bool { return p.Flags["isolated"].Num == 1 })
		return flush >= 0 && dump > flush && isolated && len(s.SelfVLANs) > 0
	}
	opt := everything()
	for seed := uint64(0); s == nil || !differs(s); seed++ {
		s = Scenario(seed, opt)
	}
	before := text(t, s)
	small := Shrink(s, 2000, differs)
	assert.Equal(t, before, text(t, s), "the scenario itself stays")
	require.True(t, differs(small))
	require.Len(t, small.Steps, 2)
	assert.Equal(t, "fdb-flush", small.Steps[0].Op)
	assert.LessOrEqual(t, len(small.Ports), 2)
	assert.Len(t, small.SelfVLANs, 1)
	assert.Zero(t, unlike(small.Bridge, bridgeDefaults))

	asked := 0
	Shrink(s, 7, func(s *replay.Scenario) bool { asked++; return differs(s) })
	assert.Equal(t, 7, asked)
}
