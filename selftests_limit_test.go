package bridge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const (
	nudPermanent = bridge.NUDNoARP | bridge.NUDPermanent // as bridge(8) sends them
	nudStatic    = bridge.NUDNoARP | bridge.NUDReachable
	nudDynamic   = bridge.NUDReachable
)

// fdbAdd is `bridge fdb replace m dev pN master STATE FLAGS vlan V`.
func (l *lab) fdbAdd(n int, m frame.MAC, s bridge.NUDState, fl bridge.NTFFlags, vid ...frame.VID) {
	l.t.Helper()
	r := bridge.FDBRequest{Port: l.ports[portName(n)], MAC: m, State: s, Flags: fl, Mode: bridge.FDBReplace}
	if len(vid) > 0 {
		r.VID = &vid[0]
	}
	require.NoError(l.t, l.b.FDB().Update(r))
}

// bridge_fdb_learning_limit. Each kind of entry, whether it counts, and how it is
// made of one that does.
func TestSelftestLearningLimit(t *testing.T) {
	const n = 16
	kinds := []struct {
		name   string
		counts bool
		add    func(l *lab, m frame.MAC)
	}{
		{"learned", true, func(l *lab, m frame.MAC) { l.learn(1, m) }},
		{"static", false, func(l *lab, m frame.MAC) { l.fdbAdd(1, m, nudStatic, 0) }},
		{"user dynamic", false, func(l *lab, m frame.MAC) { l.fdbAdd(1, m, nudDynamic, 0) }},
		{"used", false, func(l *lab, m frame.MAC) { l.fdbAdd(1, m, nudDynamic, bridge.NTFUse) }},
		{"extern_learn", false, func(l *lab, m frame.MAC) { l.fdbAdd(1, m, nudDynamic, bridge.NTFExtLearned) }},
		{"local", false, func(l *lab, m frame.MAC) { l.fdbAdd(1, m, nudPermanent, 0) }},
		{"local of the bridge", false, func(l *lab, m frame.MAC) { l.fdbAdd(0, m, nudPermanent, 0) }},
		{"address of a device", false, func(l *lab, m frame.MAC) { require.NoError(l.t, l.p(2).SetAddress(m)) }},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0))}, 2)
			assert.Zero(t, l.b.Info().FDBLearned, "0 at first")
			k.add(l, mac(1))
			want := 0
			if k.counts {
				want = 1
			}
			assert.Equal(t, want, l.b.Info().FDBLearned, "counted")
			l.learn(1, mac(2))
			k.add(l, mac(2))
			assert.Equal(t, 2*want, l.b.Info().FDBLearned, "an entry that is overridden")
			_, err := l.b.FDB().Flush(bridge.FDBFlush{})
			require.NoError(t, err)
			assert.Zero(t, l.b.Info().FDBLearned, "0 after a flush")

			require.NoError(t, l.b.Set(bridge.BridgeAttrs{FDBMaxLearned: new(uint32(n / 2))}))
			for i := range n {
				l.learn(1, mac(100+i))
			}
			assert.Equal(t, n/2, l.b.Info().FDBLearned, "half of them learned")
			assert.Equal(t, []string{"p1", "br0"}, l.out(2, ether(frame.Broadcast, mac(99))), "traffic goes on")
			k.add(l, mac(200))
			_, there := l.b.FDB().Lookup(mac(200), 0)
			assert.Equal(t, !k.counts, there, "at the limit")
		})
	}
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{Locked: true, MAB: true})
	l.in(1, ether(mac(2), mac(9)))
	assert.Equal(t, 1, l.b.Info().FDBLearned, "an entry of MAB counts")
	l.b.Tick(l.clock.now())
	l.tickTo(301 * time.Second)
	assert.Zero(t, l.b.Info().FDBLearned, "what has aged does not")
}
