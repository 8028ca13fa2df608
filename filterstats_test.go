package bridge_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Each filter's counters tell what it did, and go on under its name when the list is
// changed; nothing that is only explained is counted.
func TestFilterStats(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	of := func(name string, src int, h bridge.Hook, a bridge.FilterAction) bridge.Filter {
		return bridge.Filter{Name: name, Hooks: bridge.Hooks(h), Judge: func(s *bridge.Passage) bridge.Ruling {
			if s.Frame.Src() != mac(src) {
				return bridge.Ruling{}
			}
			if name == "copy" {
				s.CopyTo(l.p(3))
			}
			return a.Because("")
		}}
	}
	drop := of("drop", 10, bridge.HookPreRouting, bridge.FilterDrop)
	steal := of("steal", 11, bridge.HookForward, bridge.FilterSteal)
	pass := of("pass", 12, bridge.HookPreRouting, bridge.FilterPass)
	idle := of("pass", 13, bridge.HookForward, bridge.FilterPass) // where it accepts
	copier := of("copy", 14, bridge.HookPreRouting, bridge.FilterAccept)
	strange := of("", 15, bridge.HookPreRouting, 77)
	assert.Empty(t, l.b.FilterStats())
	require.NoError(t, l.b.SetFilters(drop, steal, pass, idle, copier, strange))
	carry := func() {
		for src := 10; src < 17; src++ {
			f := ether(frame.Broadcast, mac(src))
			before := l.b.FilterStats()
			l.p(1).Explain(f)
			require.Equal(t, before, l.b.FilterStats(), "Explain counts nothing")
			l.in(1, f)
		}
	}
	carry()
	once := []bridge.FilterStats{
		{Name: "drop", Dropped: 1}, {Name: "steal", Stolen: 2}, {Name: "pass", Passed: 1}, {Name: "pass"}, {Name: "copy", Copied: 1}, {Dropped: 1},
	}
	assert.Equal(t, once, l.b.FilterStats())

	assertRefused(t, l.b.SetFilters(drop, bridge.Filter{}), bridge.EINVAL, "br0")
	assert.Equal(t, once, l.b.FilterStats())
	require.NoError(t, l.b.SetFilters(copier, pass, bridge.Filter{Name: "new", Hooks: everyHook, Judge: copier.Judge}, drop))
	assert.Equal(t, []bridge.FilterStats{once[4], once[2], {Name: "new"}, once[0]}, l.b.FilterStats())
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(0)}), "another change")
	carry()
	assert.Equal(t, uint64(2), l.b.FilterStats()[0].Copied)
	require.NoError(t, l.b.SetFilters(steal))
	assert.Equal(t, []bridge.FilterStats{{Name: "steal"}}, l.b.FilterStats(), "it was away")
	balanced(t, l.b)
}

// A filter that panics has dropped the frame.
func TestFilterStatsOfPanic(t *testing.T) {
	l := newLabN(t, bridge.Config{Filters: []bridge.Filter{{Name: "boom", Hooks: everyHook, Judge: func(*bridge.Passage) bridge.Ruling { panic("boom") }}}}, 1)
	l.p(1).Explain(ether(frame.Broadcast, mac(1)))
	assert.Equal(t, []bridge.FilterStats{{Name: "boom"}}, l.b.FilterStats())
	l.in(1, ether(frame.Broadcast, mac(1)))
	assert.Equal(t, []bridge.FilterStats{{Name: "boom", Dropped: 1}}, l.b.FilterStats())
}

// Counts of several readers are one, and none is lost while the list is changed.
func TestFilterStatsUnderTraffic(t *testing.T) {
	const rounds = 500
	l := newLabN(t, bridge.Config{}, 3)
	l.forget()
	drop := at(bridge.HookPreRouting, bridge.FilterDrop)
	require.NoError(t, l.b.SetFilters(drop))
	var wg sync.WaitGroup
	for i := range 3 {
		in := l.p(i + 1).Input()
		wg.Go(func() {
			for range rounds {
				_ = in.Receive([]frame.Frame{ether(frame.Broadcast, mac(i)), ether(mac(9), mac(i))})
			}
		})
	}
	for range 100 {
		require.NoError(t, l.b.SetFilters(bridge.Filter{Name: "none", Hooks: everyHook, Judge: func(*bridge.Passage) bridge.Ruling { return bridge.Ruling{} }}, drop))
		require.NoError(t, l.b.SetFilters(drop))
	}
	wg.Wait()
	assert.Equal(t, []bridge.FilterStats{{Name: "test", Dropped: 3 * rounds * 2}}, l.b.FilterStats())
	balanced(t, l.b)
}
