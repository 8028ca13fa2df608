package bridge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// activityLab has one port and an ageing time of 10 s.
func activityLab(t *testing.T) (l *lab, update func(bridge.FDBRequest)) {
	l = newLab(t, bridge.Config{AgeingTime: new(10 * time.Second), VLANDefaultPVID: new(frame.VID(0))})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	return l, func(r bridge.FDBRequest) {
		t.Helper()
		r.MAC, r.Mode = mac(9), bridge.FDBReplace
		if r.Port == nil {
			r.Port = l.p(1)
		}
		if r.State == 0 {
			r.State = nudStatic
		}
		require.NoError(t, l.b.FDB().Update(r))
	}
}

const (
	watched = bridge.ActivityNotify
	idle    = bridge.ActivityNotify | bridge.ActivityInactive
)

// bridge_activity_notify: an entry that is added as inactive becomes active by
// traffic, one that is watched becomes inactive after the ageing time.
func TestSelftestActivityNotify(t *testing.T) {
	l, update := activityLab(t)
	m := mac(9).String()
	take := l.watch()
	update(bridge.FDBRequest{Activity: idle})
	assert.Equal(t, idle, l.entry(mac(9), 0).Activity)
	assert.Equal(t, []string{"fdb add p1 " + m}, take())
	l.learn(1, mac(9))
	assert.Equal(t, watched, l.entry(mac(9), 0).Activity, "active on traffic")
	assert.Equal(t, []string{"fdb active p1 " + m}, take())
	l.clock.add(time.Second)
	l.learn(1, mac(9))
	assert.Empty(t, take(), "active already")
	l.tickTo(9900 * time.Millisecond)
	assert.Equal(t, watched, l.entry(mac(9), 0).Activity)
	l.tickTo(200 * time.Millisecond)
	assert.Equal(t, idle, l.entry(mac(9), 0).Activity, "inactive after the ageing time")
	assert.Equal(t, []string{"fdb idle p1 " + m}, take())
	l.tickTo(time.Minute)
	assert.Empty(t, take(), "told once")
	assert.Equal(t, "p1", l.where(mac(9), 0), "and it does not age")
	assert.Equal(t, time.Minute+10*time.Second+100*time.Millisecond, l.entry(mac(9), 0).Updated)
}

// bridge_activity_notify, norefresh_test: a replace that changes something makes
// the entry as new, unless it says norefresh.
func TestSelftestActivityNoRefresh(t *testing.T) {
	l, update := activityLab(t)
	update(bridge.FDBRequest{})
	l.clock.add(time.Second)
	update(bridge.FDBRequest{Activity: watched})
	assert.Zero(t, l.entry(mac(9), 0).Updated)
	l.clock.add(time.Second)
	update(bridge.FDBRequest{NoRefresh: true})
	assert.Equal(t, time.Second, l.entry(mac(9), 0).Updated)
	assert.Zero(t, l.entry(mac(9), 0).Activity, "a request that does not ask ends the watching")
}

// The corners of activity notification (fdb.md sections 2, 4 and 6).
func TestFDBActivity(t *testing.T) {
	t.Run("an extern_learn entry", func(t *testing.T) {
		l, update := activityLab(t)
		update(bridge.FDBRequest{Flags: bridge.NTFExtLearned, State: nudDynamic, Activity: watched})
		assert.Zero(t, l.entry(mac(9), 0).Activity, "extern_learn does not ask")
		update(bridge.FDBRequest{State: nudDynamic, Activity: watched})
		take := l.watch()
		l.tickTo(11 * time.Second)
		assert.Equal(t, []string{"fdb idle p1 " + mac(9).String()}, take())
		assert.True(t, l.entry(mac(9), 0).ExternLearn)
	})
	t.Run("a dynamic entry ages", func(t *testing.T) {
		l, update := activityLab(t)
		update(bridge.FDBRequest{State: nudDynamic, Activity: watched})
		take := l.watch()
		l.tickTo(11 * time.Second)
		assert.Equal(t, []string{"fdb delete p1 " + mac(9).String()}, take())
	})
	t.Run("a move tells once", func(t *testing.T) {
		l, update := activityLab(t)
		update(bridge.FDBRequest{Activity: idle})
		take := l.watch()
		l.learn(2, mac(9))
		assert.Equal(t, []string{"fdb move p2 " + mac(9).String()}, take())
		assert.Equal(t, watched, l.entry(mac(9), 0).Activity)
	})
	t.Run("a sticky entry seen elsewhere is active", func(t *testing.T) {
		l, update := activityLab(t)
		update(bridge.FDBRequest{Flags: bridge.NTFSticky, Activity: idle})
		take := l.watch()
		l.learn(2, mac(9))
		assert.Equal(t, []string{"fdb active p1 " + mac(9).String()}, take())
	})
	t.Run("use makes it active", func(t *testing.T) {
		l, update := activityLab(t)
		update(bridge.FDBRequest{Activity: idle})
		take := l.watch()
		update(bridge.FDBRequest{Flags: bridge.NTFUse, State: nudDynamic})
		assert.Equal(t, []string{"fdb active p1 " + mac(9).String()}, take())
	})
	t.Run("the collector comes when it falls idle", func(t *testing.T) {
		l, update := activityLab(t)
		require.NoError(t, l.b.Set(bridge.BridgeAttrs{ForwardDelay: new(time.Duration(0))}))
		l.tickTo(time.Minute)
		update(bridge.FDBRequest{Activity: watched})
		l.tickTo(9 * time.Second)
		l.learn(1, mac(9))
		l.tickTo(2 * time.Second)
		at, _ := l.b.NextTimer()
		assert.LessOrEqual(t, at.Sub(l.clock.now()), 8*time.Second)
	})
	t.Run("Explain wakes nothing", func(t *testing.T) {
		l, update := activityLab(t)
		update(bridge.FDBRequest{Activity: idle})
		l.p(1).Explain(ether(frame.Broadcast, mac(9)))
		assert.Equal(t, idle, l.entry(mac(9), 0).Activity)
	})
	t.Run("bits that cannot be asked for", func(t *testing.T) {
		l, _ := activityLab(t)
		for _, a := range []bridge.FDBActivity{bridge.ActivityInactive, 4, watched | 8} {
			err := l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(9), State: nudStatic, Activity: a})
			assertRefused(t, err, bridge.EINVAL, "p1")
		}
		assert.Equal(t, "-", l.where(mac(9), 0))
	})
}

// What a request changes and what it does not, by what it notifies and refreshes
// (fdb.md section 6, row 9).
func TestFDBRequestModifies(t *testing.T) {
	const exact = bridge.NUDNoARP // the state as it is shown; what bridge(8) sends for static has one bit more
	for _, c := range []struct {
		name   string
		before func(l *lab, update func(bridge.FDBRequest))
		r      bridge.FDBRequest
		want   bool
	}{
		{"the same", func(_ *lab, u func(bridge.FDBRequest)) { u(bridge.FDBRequest{State: exact}) }, bridge.FDBRequest{State: exact}, false},
		{"the same as bridge(8) sends it", func(_ *lab, u func(bridge.FDBRequest)) { u(bridge.FDBRequest{}) }, bridge.FDBRequest{}, true},
		{"learned becomes the user's", func(l *lab, _ func(bridge.FDBRequest)) { l.learn(1, mac(9)) }, bridge.FDBRequest{State: nudDynamic}, false},
		{"expired is as new", func(l *lab, _ func(bridge.FDBRequest)) { l.learn(1, mac(9)); l.clock.add(10 * time.Second) }, bridge.FDBRequest{State: nudDynamic}, true},
		{"sticky", func(_ *lab, u func(bridge.FDBRequest)) { u(bridge.FDBRequest{State: exact}) }, bridge.FDBRequest{State: exact, Flags: bridge.NTFSticky}, true},
		{"extern_learn again", func(_ *lab, u func(bridge.FDBRequest)) {
			u(bridge.FDBRequest{State: nudDynamic, Flags: bridge.NTFExtLearned})
		}, bridge.FDBRequest{State: nudDynamic, Flags: bridge.NTFExtLearned}, false},
		{"extern_learn of another", func(_ *lab, u func(bridge.FDBRequest)) { u(bridge.FDBRequest{State: exact}) }, bridge.FDBRequest{State: nudDynamic, Flags: bridge.NTFExtLearned}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, update := activityLab(t)
			c.before(l, update)
			l.clock.add(time.Second)
			take := l.watch()
			update(c.r)
			var want []string
			if c.want {
				want = []string{"fdb change p1 " + mac(9).String()}
			}
			assert.Equal(t, want, take())
			e := l.entry(mac(9), 0)
			if c.r.Flags&bridge.NTFExtLearned == 0 {
				assert.Equal(t, c.want, e.Updated == 0, "refreshed")
				assert.Zero(t, e.Used, "counts as a use in any case")
			}
			assert.True(t, e.User)
			assert.Zero(t, l.b.Info().FDBLearned)
		})
	}
}

// While a topology change is under way entries live for the forward delay
// (fdb.md section 4).
func TestFDBTopologyChange(t *testing.T) {
	l := newLabN(t, bridge.Config{AgeingTime: new(100 * time.Second), ForwardDelay: new(15 * time.Second)}, 2)
	change := func(on bool) { require.NoError(t, l.b.SetTopologyChange(on)) }
	l.learn(1, mac(1))
	l.clock.add(20 * time.Second)
	l.learn(1, mac(2))
	at, _ := l.b.NextTimer()
	change(true)
	again, _ := l.b.NextTimer()
	assert.Equal(t, at, again, "the collector is not woken")
	assert.Equal(t, []bridge.NUDState{bridge.NUDStale, bridge.NUDReachable}, []bridge.NUDState{l.entry(mac(1), 0).State, l.entry(mac(2), 0).State})
	assert.Equal(t, []string{"p1"}, l.out(2, ether(mac(1), mac(9))), "nothing is flushed")
	assert.Equal(t, 100*time.Second, l.b.Info().AgeingTime, "without STP it is what it was")
	assert.True(t, l.b.Info().TopologyChange)
	l.tickTo(14 * time.Second)
	assert.Equal(t, []string{"-", "p1"}, []string{l.where(mac(1), 0), l.where(mac(2), 0)})
	l.tickTo(15 * time.Second)
	assert.Equal(t, "-", l.where(mac(2), 0))
	change(false)
	l.learn(1, mac(3))
	l.tickTo(99 * time.Second)
	assert.Equal(t, "p1", l.where(mac(3), 0), "the ageing time holds again")

	change(true)
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{ForwardDelay: new(time.Duration(0))}))
	l.learn(1, mac(4))
	assert.Equal(t, "-", l.where(mac(4), 0), "forward delay 0: nothing is learned")
	require.NoError(t, l.b.SetUp(false))
	assert.False(t, l.b.Info().TopologyChange, "ends with the bridge down")
}

// With STP on the ageing time reads twice the forward delay meanwhile, and then what
// was set.
func TestFDBTopologyChangeSTP(t *testing.T) {
	l := newLabN(t, bridge.Config{STPState: 1, AgeingTime: new(100 * time.Second), ForwardDelay: new(4 * time.Second)}, 1)
	ageing := func() time.Duration { return l.b.Info().AgeingTime }
	for _, on := range []bool{true, true} {
		require.NoError(t, l.b.SetTopologyChange(on))
		assert.Equal(t, 8*time.Second, ageing())
	}
	require.NoError(t, l.b.SetTopologyChange(false))
	assert.Equal(t, 100*time.Second, ageing())
	require.NoError(t, l.b.SetTopologyChange(true))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(50 * time.Second)}))
	assert.Equal(t, 50*time.Second, ageing())
	require.NoError(t, l.b.SetTopologyChange(false))
	assert.Equal(t, 50*time.Second, ageing(), "what was set meanwhile stays")
}
