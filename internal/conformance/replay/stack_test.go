package replay

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
)

// The neighbour table of the host that was recorded.
func TestNeighbourTable(t *testing.T) {
	r := &run{s: &Scenario{Bridge: Attrs{}}}
	step := func(ip string) *Step { return &Step{IP: ip, MAC: "02:00:00:00:0a:01"} }
	knows := func() bool {
		_, ok := r.stack.table.Neighbour(0, netip.MustParseAddr("10.0.0.1"))
		return ok
	}
	assert.ErrorIs(t, r.neighDel(step("10.0.0.1")), bridge.ENOENT)
	require.NoError(t, r.neighAdd(step("10.0.0.1")))
	require.NoError(t, r.neighAdd(step("10.0.0.1")), "replace")
	assert.True(t, knows())
	require.NoError(t, r.neighDel(step("10.0.0.1")))
	assert.False(t, knows())

	assert.ErrorIs(t, r.neighAdd(step("fe80::1")), bridge.EINVAL, "IPv6 is off")
	r.s.Bridge["ipv6"] = Value{Num: 1}
	require.NoError(t, r.neighAdd(step("fe80::1")))
	require.NoError(t, r.neighAdd(step("10.0.0.1")))
	r.stack.forget()
	assert.False(t, knows())
	assert.ErrorIs(t, r.neighDel(step("fe80::1")), bridge.ENOENT)

	var found *mismatch
	assert.ErrorAs(t, r.neighAdd(step("nonsense")), &found)
	assert.ErrorAs(t, r.neighDel(step("nonsense")), &found)
	assert.ErrorAs(t, r.neighAdd(&Step{IP: "10.0.0.1", MAC: "nonsense"}), &found)
}

// What empties it: the device going down, and an address that is set, whether or not
// it is another one.
func TestNeighbourTableForgets(t *testing.T) {
	for name, step := range map[string]*Step{
		"down":             {Op: "link-down", Port: hostName},
		"the same address": {Op: "set-bridge", Attrs: Attrs{"address": word("02:00:00:00:0b:00")}},
		"another address":  {Op: "set-bridge", Attrs: Attrs{"address": word("02:00:00:00:0b:77")}},
	} {
		r := &run{s: &Scenario{Bridge: Attrs{}}}
		var err error
		r.b, err = bridge.New(bridge.Config{})
		require.NoError(t, err)
		require.NoError(t, r.neighAdd(&Step{IP: "10.0.0.1", MAC: "02:00:00:00:0a:01"}))
		require.NoError(t, operations[step.Op](r, step))
		_, ok := r.stack.table.Neighbour(0, netip.MustParseAddr("10.0.0.1"))
		assert.False(t, ok, name)
		require.NoError(t, r.b.Close())
	}
}
