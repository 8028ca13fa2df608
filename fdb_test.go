package bridge_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// entry is FDB.Lookup of what must be there.
func (l *lab) entry(m frame.MAC, vid frame.VID) bridge.FDBEntry {
	l.t.Helper()
	e, ok := l.b.FDB().Lookup(m, vid)
	require.True(l.t, ok, "no entry of %s", m)
	return e
}

// tickTo runs the timers as Serve would until d from now, and leaves the clock
// there.
func (l *lab) tickTo(d time.Duration) {
	l.t.Helper()
	end := l.clock.now().Add(d)
	for range 10_000 {
		at, ok := l.b.NextTimer()
		if !ok || at.After(end) {
			l.clock.add(end.Sub(l.clock.now()))
			return
		}
		if at.After(l.clock.now()) {
			l.clock.add(at.Sub(l.clock.now()))
		}
		l.b.Tick(l.clock.now())
		next, ok := l.b.NextTimer()
		require.True(l.t, !ok || next.After(at), "the timer does not move on")
	}
	l.t.Fatal("the timers never rest")
}

// fdb.md 2: last seen wins, and time stands for when that was.
func TestFDBLearn(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	l.learn(1, mac(9))
	assert.Equal(t, bridge.FDBEntry{MAC: mac(9), Port: "p1", State: bridge.NUDReachable}, l.entry(mac(9), 0))
	l.clock.add(3 * time.Second)
	assert.Equal(t, 3*time.Second, l.entry(mac(9), 0).Updated)
	assert.Equal(t, 3*time.Second, l.entry(mac(9), 0).Used)
	l.in(2, ether(mac(9), mac(2)))
	assert.Zero(t, l.entry(mac(9), 0).Used, "a destination")
	assert.Equal(t, 3*time.Second, l.entry(mac(9), 0).Updated)
	l.in(0, ether(mac(9), mac(3)))
	l.clock.add(time.Second)
	l.in(0, ether(mac(9), mac(3)))
	assert.Equal(t, time.Second, l.entry(mac(9), 0).Used, "the host's frames do not count as a use")
	l.learn(1, mac(9))
	assert.Zero(t, l.entry(mac(9), 0).Updated)
	l.clock.add(time.Second)
	l.learn(3, mac(9))
	assert.Equal(t, "p3", l.entry(mac(9), 0).Port)
	assert.Zero(t, l.entry(mac(9), 0).Updated)
	assert.Equal(t, []string{"p3"}, l.out(1, ether(mac(9), mac(1))))
	assert.Equal(t, 3, l.b.FDB().Learned())
	assert.Equal(t, 3, l.b.Info().FDBLearned)
}

// A clock that goes back, as time.Now's wall clock may, does no harm: stamps only
// move forward.
func TestFDBClockGoesBack(t *testing.T) {
	l := newLabN(t, bridge.Config{AgeingTime: new(10 * time.Second)}, 2)
	l.clock.add(time.Minute)
	l.learn(1, mac(1))
	l.clock.add(-2 * time.Minute)
	l.learn(1, mac(1), mac(2))
	l.learn(2, mac(3))
	assert.Equal(t, []string{"p1"}, l.out(2, ether(mac(1), mac(3))))
	assert.Zero(t, l.entry(mac(1), 0).Updated)
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(4), State: bridge.NUDReachable}))
	e := l.entry(mac(4), 0)
	assert.Equal(t, "p1", e.Port)
	assert.GreaterOrEqual(t, e.Updated, time.Duration(0))
	assert.GreaterOrEqual(t, e.Used, time.Duration(0))
	l.b.Tick(l.clock.now())
	assert.Equal(t, "p1", l.where(mac(4), 0))
}

// fdb.md 4, with the collector's times.
func TestFDBAgeing(t *testing.T) {
	l := newLab(t, bridge.Config{AgeingTime: new(time.Second)})
	at, ok := l.b.NextTimer()
	require.True(t, ok)
	assert.Equal(t, 100*time.Millisecond, at.Sub(l.clock.now()), "the collector starts 100 ms after the bridge is up")
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(2), State: bridge.NUDNoARP}))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(3), State: bridge.NUDReachable, Flags: bridge.NTFExtLearned}))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(4), State: bridge.NUDReachable}))
	l.learn(1, mac(1))

	l.clock.add(time.Second)
	assert.Equal(t, bridge.NUDStale, l.entry(mac(1), 0).State, "expired, not yet collected")
	assert.Equal(t, []string{"p1"}, l.out(2, ether(mac(1), mac(9))), "an expired entry forwards")
	l.learn(1, mac(1))
	assert.Equal(t, bridge.NUDReachable, l.entry(mac(1), 0).State, "and is refreshed")
	l.b.Tick(l.clock.now())
	assert.Equal(t, "-", l.where(mac(4), 0), "a dynamic entry of a request ages too")
	assert.Equal(t, "p1", l.where(mac(1), 0))
	l.tickTo(999 * time.Millisecond)
	assert.Equal(t, "p1", l.where(mac(1), 0))
	l.tickTo(time.Millisecond)
	assert.Equal(t, "-", l.where(mac(1), 0), "collected when it is due")
	assert.Equal(t, "p1", l.where(mac(2), 0), "static")
	assert.Equal(t, "p1", l.where(mac(3), 0), "extern_learn")
	assert.Equal(t, "host", l.where(portMAC(1), 0))
}

// The collector comes when the next entry is due, but no sooner than in 10 ms and
// no later than in one ageing time.
func TestFDBCollectorTimes(t *testing.T) {
	l := newLabN(t, bridge.Config{ForwardDelay: new(time.Duration(0))}, 2) // so that no other timer runs
	next := func() time.Duration {
		at, ok := l.b.NextTimer()
		require.True(t, ok)
		return at.Sub(l.clock.now())
	}
	l.tickTo(100 * time.Millisecond)
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(time.Second)}))
	assert.Equal(t, time.Second, next(), "without entries: in one ageing time")
	l.clock.add(600 * time.Millisecond)
	l.learn(1, mac(1))
	l.clock.add(3 * time.Millisecond)
	l.learn(1, mac(2))
	l.clock.add(397 * time.Millisecond)
	l.b.Tick(l.clock.now())
	assert.Equal(t, 600*time.Millisecond, next(), "when mac(1) is due")
	l.clock.add(600 * time.Millisecond)
	l.b.Tick(l.clock.now())
	assert.Equal(t, "-", l.where(mac(1), 0))
	assert.Equal(t, "p1", l.where(mac(2), 0))
	assert.Equal(t, 10*time.Millisecond, next(), "mac(2) is due in 3 ms: in 10 ms at the soonest")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(time.Hour)}))
	assert.Equal(t, time.Hour-997*time.Millisecond, next(), "another ageing time counts at once")
	l.b.Tick(l.clock.now())
	assert.Equal(t, time.Hour-997*time.Millisecond, next(), "a Tick that is not due does nothing")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(500 * time.Millisecond)}))
	assert.Equal(t, "-", l.where(mac(2), 0), "collected at once")
}

// While the bridge is down nothing ages; it starts 100 ms after it is up again.
func TestFDBAgeingDown(t *testing.T) {
	l := newLabN(t, bridge.Config{AgeingTime: new(time.Second)}, 2)
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(1), State: bridge.NUDReachable, Flags: bridge.NTFExtLearned}))
	require.NoError(t, l.b.SetUp(false))
	_, ok := l.b.NextTimer()
	assert.False(t, ok)
	l.clock.add(time.Hour)
	l.b.Tick(l.clock.now())
	require.NoError(t, l.b.SetUp(true))
	at, ok := l.b.NextTimer()
	require.True(t, ok)
	assert.Equal(t, 100*time.Millisecond, at.Sub(l.clock.now()))
	assert.Equal(t, "p1", l.where(mac(1), 0))

	down := newLab(t, bridge.Config{Down: true})
	_, ok = down.b.NextTimer()
	assert.False(t, ok)
	down.clock.add(time.Minute)
	require.NoError(t, down.b.SetUp(true))
	at, _ = down.b.NextTimer()
	assert.Equal(t, 100*time.Millisecond, at.Sub(down.clock.now()))
}

// Ageing time 0: what is there goes, nothing is learned, everything floods.
func TestFDBAgeingZero(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	l.learn(1, mac(1))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(2), State: bridge.NUDNoARP}))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(time.Duration(0))}))
	assert.Equal(t, "-", l.where(mac(1), 0))
	l.learn(1, mac(1))
	l.in(1, ether(linkLocal(3), mac(1)))
	assert.Equal(t, "-", l.where(mac(1), 0))
	assert.Equal(t, []string{"p3", "p1"}, l.out(2, ether(mac(1), mac(9))))
	l.learn(3, mac(2))
	assert.Equal(t, "p1", l.where(mac(2), 0), "nothing moves either")
	assert.Equal(t, 10*time.Millisecond, func() time.Duration { at, _ := l.b.NextTimer(); return at.Sub(l.clock.now()) }())
	z := newLabN(t, bridge.Config{AgeingTime: new(time.Duration(0))}, 2)
	z.learn(1, mac(1))
	assert.Zero(t, z.b.FDB().Learned())
}

// fdb.md 3: fdb_max_learned refuses, counts what was learned only, evicts nothing.
func TestFDBMaxLearned(t *testing.T) {
	l := newLabN(t, bridge.Config{FDBMaxLearned: 2}, 3)
	l.learn(1, mac(1), mac(2), mac(3))
	assert.Equal(t, "-", l.where(mac(3), 0))
	assert.Equal(t, 2, l.b.FDB().Learned())
	assert.EqualValues(t, 1, l.b.Stats().FDBRefused)
	assert.Equal(t, []string{"p1"}, l.out(3, ether(mac(1), mac(4))), "the frame goes its way all the same")
	l.learn(2, mac(1))
	assert.Equal(t, "p2", l.where(mac(1), 0), "a move is no new entry")
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(5), State: bridge.NUDReachable}))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(6), State: bridge.NUDReachable, Flags: bridge.NTFUse}))
	assert.Equal(t, 2, l.b.FDB().Learned(), "requests are not limited, and do not count")
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(1), State: bridge.NUDNoARP, Mode: bridge.FDBReplace}))
	assert.Equal(t, 1, l.b.FDB().Learned(), "what a request takes over stops counting")
	l.learn(1, mac(3))
	assert.Equal(t, "p1", l.where(mac(3), 0))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{FDBMaxLearned: new(uint32(1))}))
	assert.Equal(t, 2, l.b.FDB().Learned(), "a lower limit evicts nothing")
	require.NoError(t, l.b.FDB().Delete(l.p(1), mac(3), nil))
	l.learn(1, mac(7))
	assert.Equal(t, "-", l.where(mac(7), 0))
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{FDBMaxLearned: new(uint32(0))}))
	l.learn(1, mac(7))
	assert.Equal(t, "p1", l.where(mac(7), 0), "0 is no limit")
	l.learn(1, mac(6), mac(1))
	assert.Equal(t, 2, l.b.FDB().Learned(), "traffic does not make a request's entry a learned one")
}

// fdb.md 8.
func TestFDBFlushes(t *testing.T) {
	state := func(s bridge.PortState) *bridge.PortState { return &s }
	for _, c := range []struct {
		name string
		do   func(l *lab) error
		gone []string
	}{
		{"bridge flush", func(l *lab) error { return l.b.Set(bridge.BridgeAttrs{FDBFlush: true}) }, []string{"dyn1", "dyn2", "ext1", "lock1", "user1"}},
		{"port flush", func(l *lab) error { return l.p(1).Set(bridge.PortAttrs{FDBFlush: true}) }, []string{"dyn1", "lock1", "user1"}},
		{"no carrier", func(l *lab) error { return l.p(1).SetLink(true, false) }, []string{"dyn1", "lock1", "user1"}},
		{"admin down", func(l *lab) error { return l.p(1).SetLink(false, true) }, []string{"dyn1", "lock1", "user1"}},
		{"no carrier, backup", func(l *lab) error {
			l.set(1, bridge.PortAttrs{BackupPort: new("p2")})
			return l.p(1).SetLink(true, false)
		}, nil},
		{"bridge down", func(l *lab) error { return l.b.SetUp(false) }, []string{"dyn1", "dyn2", "lock1", "user1"}},
		{"port leaves", func(l *lab) error { return l.b.RemovePort(l.p(1)) }, []string{"dyn1", "ext1", "local1", "lock1", "stat1", "user1"}},
		{"MAB off", func(l *lab) error { return l.p(1).Set(bridge.PortAttrs{MAB: new(false)}) }, []string{"lock1"}},
		{"locked off with MAB", func(l *lab) error { return l.p(1).Set(bridge.PortAttrs{MAB: new(false), Locked: new(false)}) }, []string{"lock1"}},
		{"state listening", func(l *lab) error { return l.p(1).Set(bridge.PortAttrs{State: state(bridge.StateListening)}) }, nil},
		{"state blocking", func(l *lab) error { return l.p(1).Set(bridge.PortAttrs{State: state(bridge.StateBlocking)}) }, nil},
		{"state disabled by hand", func(l *lab) error { return l.p(1).Set(bridge.PortAttrs{State: state(bridge.StateDisabled)}) }, nil},
		{"learning off", func(l *lab) error { return l.p(1).Set(bridge.PortAttrs{Learning: new(false), MAB: new(true)}) }, nil},
		{"filtering on", func(l *lab) error { return l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(true)}) }, nil},
		{"default PVID", func(l *lab) error { return l.b.Set(bridge.BridgeAttrs{VLANDefaultPVID: new(frame.VID(7))}) }, nil},
		{"MTU and other flags", func(l *lab) error {
			l.set(1, bridge.PortAttrs{Hairpin: new(true), Isolated: new(true), Flood: new(false)})
			return l.p(1).SetMTU(1400)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0))})
			l.add(1, bridge.PortConfig{Locked: true, MAB: true})
			l.add(2, bridge.PortConfig{})
			reqs := []bridge.FDBRequest{
				{MAC: mac(2), State: bridge.NUDNoARP}, {MAC: mac(3), State: bridge.NUDReachable, Flags: bridge.NTFExtLearned}, {MAC: mac(4), State: bridge.NUDReachable},
			}
			for _, r := range reqs {
				r.Port = l.p(1)
				require.NoError(t, l.b.FDB().Update(r))
			}
			l.in(1, ether(frame.Broadcast, mac(5)))
			require.True(t, l.entry(mac(5), 0).Locked)
			l.in(1, withType(ether(frame.Broadcast, mac(1)), frame.TypePAE))
			l.learn(2, mac(6))
			names := map[string]frame.MAC{"dyn1": mac(1), "stat1": mac(2), "ext1": mac(3), "user1": mac(4), "lock1": mac(5), "dyn2": mac(6), "local1": portMAC(1), "local2": portMAC(2)}
			err := c.do(l)
			if c.name == "learning off" {
				require.ErrorIs(t, err, bridge.EINVAL)
			} else {
				require.NoError(t, err)
			}
			var gone []string
			for name, m := range names {
				if l.where(m, 0) == "-" {
					gone = append(gone, name)
				}
			}
			slices.Sort(gone)
			assert.Equal(t, c.gone, gone)
			learned := 0
			for e := range l.b.FDB().All() {
				if !e.User && e.State == bridge.NUDReachable {
					learned++
				}
			}
			assert.Equal(t, learned, l.b.FDB().Learned(), "the count follows")
		})
	}
}

// Dumps are by address, then VLAN.
func TestFDBOrder(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true})
	for _, i := range []int{7, 3, 300, 5, 1} {
		l.in(1, ether(frame.Broadcast, mac(i)), dot1q(ether(frame.Broadcast, mac(i)), 20), dot1q(ether(frame.Broadcast, mac(i)), 10))
	}
	all := slices.Collect(l.b.FDB().All())
	assert.Len(t, all, l.b.FDB().Len())
	assert.True(t, slices.IsSortedFunc(all, func(a, b bridge.FDBEntry) int {
		return cmp.Or(a.MAC.Compare(b.MAC), cmp.Compare(a.VID, b.VID))
	}))
	n := 0
	for range l.b.FDB().All() {
		if n++; n == 3 {
			break
		}
	}
	assert.Equal(t, 3, n, "a dump can be left early")
}

// Explain knows which entry makes room at a limit: a frame to that address is flooded.
func TestFDBPortLimitExplained(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{FDBLimit: 1, Attrs: bridge.PortAttrs{Hairpin: new(true)}})
	l.add(3, bridge.PortConfig{})
	for _, src := range []frame.MAC{mac(1), mac(3)} { // one moves there, one is new
		l.learn(1, mac(1))
		l.learn(2, mac(2))
		f := ether(mac(2), src)
		e := l.p(2).Explain(f)
		var said []string
		for _, o := range e.Out {
			said = append(said, o.Dev)
		}
		assert.Equal(t, []string{"p3", "p2", "p1"}, said, "%s", e)
		assert.Equal(t, "p2", l.where(mac(2), 0), "Explain changes nothing")
		assert.Equal(t, said, l.out(2, f))
		assert.Equal(t, []string{"-", "p2"}, []string{l.where(mac(2), 0), l.where(src, 0)})
	}
}
