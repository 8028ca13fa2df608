package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
)

// An answer of the bridge's own passes no filter; one to the host, without VLANs, is
// carried as what the host sends. What a filter drops is not answered.
func TestAnswersPassNoFilter(t *testing.T) {
	l := neighLab(t, bridge.Config{}, new(bridge.HostTable))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	var visits []string
	require.NoError(t, l.b.SetFilters(witness(&visits)))

	assert.Equal(t, "br0 p1! p3", l.went(1, whoHas(1, 2)))
	assert.Equal(t, []string{"PRE_ROUTING p1>", "FORWARD p1>p3", "POST_ROUTING p1>p3", "LOCAL_IN p1>"}, visits)
	visits = nil
	assert.Equal(t, "br0 p1! p3", l.went(1, solicit(1, 2).frame()))
	assert.Equal(t, []string{"PRE_ROUTING p1>", "FORWARD p1>p3", "POST_ROUTING p1>p3", "LOCAL_IN p1>"}, visits)

	visits = nil
	assert.Equal(t, "p1 p1! p3", l.went(0, whoHas(1, 2)))
	assert.Equal(t, []string{
		"LOCAL_OUT >p1", "POST_ROUTING >p1", // the answer
		"LOCAL_OUT >p3", "POST_ROUTING >p3", "LOCAL_OUT >p1", "POST_ROUTING >p1",
	}, visits)

	require.NoError(t, l.b.SetFilters(at(bridge.HookPreRouting, bridge.FilterDrop)))
	assert.Empty(t, l.went(1, whoHas(1, 2)))
	assert.Empty(t, l.went(1, solicit(1, 2).frame()))

	// A copy is of the frame that the filter was asked about, not of the other one.
	require.NoError(t, l.b.SetFilters(bridge.Filter{Name: "copy", Hooks: bridge.Hooks(bridge.HookPostRouting), Judge: func(s *bridge.Passage) bridge.Ruling {
		if s.Out == l.p(1) {
			s.CopyTo(l.p(2))
		}
		return bridge.Ruling{}
	}}))
	ask := whoHas(1, 2)
	var got []string
	for _, d := range l.in(0, ask) {
		if string(d.wire) != string(wireOf(ask)) {
			d.dev += "!"
		}
		got = append(got, d.dev)
	}
	assert.ElementsMatch(t, []string{"p1", "p1!", "p2", "p2!", "p3"}, got)
	balanced(t, l.b)
}
