package replay_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/conformance/random"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// What ours does in a scenario made by chance it does again: with tags in the data and
// beside it, and however frames that follow one another at a port are cut into batches
// and spread over Inputs.
func TestRandomScenariosAgain(t *testing.T) {
	opt := &random.Options{Features: random.Everything()}
	frames, seeds := 0, 150
	if testing.Short() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		how := replay.Options{TagAside: seed%2 == 1}
		s, d := replay.Record(random.Scenario(seed, opt), how)
		require.Nil(t, d)
		require.Nil(t, replay.Check(s))
		for name, carry := range replay.Carriers(rand.New(rand.NewPCG(seed, 7))) {
			n, d := replay.ReplayIn(s, how, carry)
			require.Nil(t, d, "%s: %v", name, d)
			frames += n
		}
	}
	assert.Greater(t, frames, 7*seeds, "frames in batches")
}

// A recording of ours is one like any other: read back it says the same, and a result
// that is none of ours is a difference.
func TestRecordOurs(t *testing.T) {
	opt := &random.Options{Features: random.Everything()}
	noticed := map[string]bool{}
	for seed := uint64(0); seed < 40 && len(noticed) < 9; seed++ {
		s, d := replay.Record(random.Scenario(seed, opt), replay.Options{})
		require.Nil(t, d)
		require.Nil(t, replay.Check(s))
		line, err := json.Marshal(s)
		require.NoError(t, err)
		for i := range s.Steps {
			var c replay.Scenario
			require.NoError(t, json.Unmarshal(line, &c))
			if !falsify(&c.Steps[i]) || noticed[c.Steps[i].Op] {
				continue
			}
			d := replay.Check(&c)
			require.NotNil(t, d, "%s", c.Steps[i].Op)
			assert.Equal(t, i, d.Step)
			noticed[c.Steps[i].Op] = true
		}
	}
	assert.Len(t, noticed, 9, "an inject and the dumps: %v", noticed)
}

// falsify changes a result, if the step has one of those.
func falsify(t *replay.Step) bool {
	switch {
	case t.Out["p1"] != nil:
		t.Out["p1"] = t.Out["p1"][1:]
	case len(t.FDB) > 1:
		t.FDB[0].State = "stolen"
	case len(t.VLANTable["p1"]) > 0:
		t.VLANTable["p1"][0].PVID = !t.VLANTable["p1"][0].PVID
	case len(t.VLANGlobal) > 0:
		t.VLANGlobal[0].Options["msti"] = replay.Value{Num: 4000}
	case len(t.MDB) > 0:
		t.MDB[0].Timer += 60
	case len(t.MSTTable["p1"]) > 0:
		t.MSTTable["p1"][0].MSTI = 4000
	case t.PortTable != nil:
		t.PortTable["p1"]["cost"] = replay.Value{Num: 7}
	case t.BridgeTable != nil:
		t.BridgeTable["mtu"] = replay.Value{Num: 7}
	case t.Stats != nil:
		t.Stats["br0"]["tx_bytes"]++
	default:
		return false
	}
	return true
}
