package bridge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// fdb.md 6 and 7, userview.md 2.2. Port p2 holds mac(2) as a static entry, p1
// learned mac(1), p3 is not learning.
func TestRefusalFDB(t *testing.T) {
	update := func(n int, r bridge.FDBRequest) func(*lab, *bridge.Port) error {
		return func(l *lab, _ *bridge.Port) error {
			if n != 0 {
				r.Port = l.p(n)
			}
			return l.b.FDB().Update(r)
		}
	}
	del := func(n int, m frame.MAC, vid *frame.VID) func(*lab, *bridge.Port) error {
		return func(l *lab, _ *bridge.Port) error { return l.b.FDB().Delete(l.ports[portName(n)], m, vid) }
	}
	flush := func(w bridge.FDBFlush) func(*lab, *bridge.Port) error {
		return func(l *lab, _ *bridge.Port) error {
			n, err := l.b.FDB().Flush(w)
			assert.Zero(t, n)
			return err
		}
	}
	const perm, noarp, reach = bridge.NUDPermanent, bridge.NUDNoARP, bridge.NUDReachable
	one, bad0, bad4095, other := new(frame.VID(1)), new(frame.VID(0)), new(frame.VID(4095)), new(frame.VID(99))
	runRefusals(t, []refusal{
		{"vid 0", update(1, bridge.FDBRequest{MAC: mac(9), State: noarp, VID: bad0}), bridge.EINVAL, "p1"},
		{"vid 4095", update(1, bridge.FDBRequest{MAC: mac(9), State: noarp, VID: bad4095}), bridge.EINVAL, "p1"},
		{"vid before state", update(1, bridge.FDBRequest{MAC: mac(9), VID: bad4095}), bridge.EINVAL, "p1"},
		{"no state", update(1, bridge.FDBRequest{MAC: mac(9)}), bridge.EINVAL, "p1"},
		{"state stale", update(1, bridge.FDBRequest{MAC: mac(9), State: bridge.NUDStale}), bridge.EINVAL, "p1"},
		{"zero address", update(1, bridge.FDBRequest{State: noarp}), bridge.EINVAL, "p1"},
		{"VLAN of no member", update(1, bridge.FDBRequest{MAC: mac(9), State: noarp, VID: other}), bridge.EINVAL, "p1"},
		{"VLAN of no member, bridge", update(0, bridge.FDBRequest{MAC: mac(9), State: perm, VID: other}), bridge.EINVAL, "br0"},
		{"dynamic on a port that may not learn", update(3, bridge.FDBRequest{MAC: mac(9), State: reach, VID: one}), bridge.EPERM, "p3"},
		{"dynamic on a port that may not learn, every VLAN", update(3, bridge.FDBRequest{MAC: mac(9), State: reach}), bridge.EPERM, "p3"},
		{"bridge, static", update(0, bridge.FDBRequest{MAC: mac(9), State: noarp}), bridge.EINVAL, "br0"},
		{"bridge, dynamic", update(0, bridge.FDBRequest{MAC: mac(9), State: reach}), bridge.EINVAL, "br0"},
		{"bridge, use", update(0, bridge.FDBRequest{MAC: mac(9), State: perm, Flags: bridge.NTFUse}), bridge.EINVAL, "br0"},
		{"bridge, extern_learn dynamic", update(0, bridge.FDBRequest{MAC: mac(9), State: reach, Flags: bridge.NTFExtLearned}), bridge.EINVAL, "br0"},
		{"sticky and permanent", update(1, bridge.FDBRequest{MAC: mac(9), State: perm, Flags: bridge.NTFSticky}), bridge.EINVAL, "p1"},
		{"sticky and permanent, bridge", update(0, bridge.FDBRequest{MAC: mac(9), State: perm, Flags: bridge.NTFSticky}), bridge.EINVAL, "br0"},
		{"change what is not there", update(1, bridge.FDBRequest{MAC: mac(9), State: noarp, VID: one, Mode: bridge.FDBChange}), bridge.ENOENT, "p1"},
		{"add what is there", update(2, bridge.FDBRequest{MAC: mac(2), State: noarp, VID: one}), bridge.EEXIST, "p2"},
		{"add what is on another port", update(1, bridge.FDBRequest{MAC: mac(2), State: noarp, VID: one}), bridge.EEXIST, "p1"},
		{"add what was learned", update(2, bridge.FDBRequest{MAC: mac(1), State: noarp}), bridge.EEXIST, "p2"},
		{"add a port's own address", update(1, bridge.FDBRequest{MAC: portMAC(1), State: perm}), bridge.EEXIST, "p1"},
		{"port has left", func(l *lab, g *bridge.Port) error {
			return l.b.FDB().Update(bridge.FDBRequest{Port: g, MAC: mac(9), State: noarp})
		}, bridge.EOPNOTSUPP, "p4"},
		{"delete from a port that has left", func(l *lab, g *bridge.Port) error { return l.b.FDB().Delete(g, mac(1), nil) }, bridge.EOPNOTSUPP, "p4"},
		{"delete vid 0", del(1, mac(1), bad0), bridge.EINVAL, "p1"},
		{"delete vid 4095", del(1, mac(1), bad4095), bridge.EINVAL, "p1"},
		{"delete what is not there", del(1, mac(9), nil), bridge.ENOENT, "p1"},
		{"delete what is not there in that VLAN", del(1, mac(1), one), bridge.ENOENT, "p1"},
		{"delete from another port", del(2, mac(1), nil), bridge.ENOENT, "p2"},
		{"delete a port's entry from the bridge", del(0, mac(1), nil), bridge.ENOENT, "br0"},
		{"flush vid 0", flush(bridge.FDBFlush{VID: bad0}), bridge.EINVAL, "br0"},
		{"flush vid 4095", flush(bridge.FDBFlush{VID: bad4095}), bridge.EINVAL, "br0"},
		{"flush state reachable", flush(bridge.FDBFlush{StateMask: reach}), bridge.EINVAL, "br0"},
		{"flush flag router", flush(bridge.FDBFlush{FlagsMask: bridge.NTFRouter}), bridge.EINVAL, "br0"},
		{"flush a port that has left", func(l *lab, g *bridge.Port) error { _, err := l.b.FDB().Flush(bridge.FDBFlush{Port: g}); return err }, bridge.EINVAL, "p4"},
		{"MDB, snooping off", func(l *lab, _ *bridge.Port) error { return l.b.AddMDB(bridge.MDBRequest{Port: l.p(1)}) }, bridge.EINVAL, "p1"},
		{"MDB del, snooping off", func(l *lab, _ *bridge.Port) error { return l.b.DeleteMDB(bridge.MDBRequest{}) }, bridge.EINVAL, "br0"},
	})
}

// A request without a VLAN goes through VLAN 0 and those of the port, stops at the
// first refusal and keeps what it did: the one refusal that leaves a trace.
func TestRefusalFDBMidway(t *testing.T) {
	l, _ := refusalLab(t)
	req := func(vid *frame.VID) bridge.FDBRequest {
		return bridge.FDBRequest{Port: l.p(3), MAC: mac(9), VID: vid, State: bridge.NUDNoARP}
	}
	require.NoError(t, l.b.FDB().Update(req(new(frame.VID(11)))))
	assertRefused(t, l.b.FDB().Update(req(nil)), bridge.EEXIST, "p3")
	for vid, want := range map[frame.VID]string{0: "p3", 1: "p3", 10: "p3", 11: "p3", 12: "-"} {
		assert.Equal(t, want, l.where(mac(9), vid), "VLAN %d", vid)
	}
}

// What each form of an entry is, and how requests change one another's (fdb.md 6).
func TestFDBRequest(t *testing.T) {
	const perm, noarp, reach = bridge.NUDPermanent, bridge.NUDNoARP, bridge.NUDReachable
	type want struct {
		port           string
		state          bridge.NUDState
		sticky, extern bool
	}
	rep := bridge.FDBReplace
	for _, c := range []struct {
		name string
		reqs []bridge.FDBRequest // Port nil is p1, a State of 0 has it come from p2
		want want
	}{
		{"permanent", []bridge.FDBRequest{{State: perm}}, want{"p1", perm, false, false}},
		{"permanent as bridge(8) sends it", []bridge.FDBRequest{{State: perm | noarp}}, want{"p1", perm, false, false}},
		{"static", []bridge.FDBRequest{{State: noarp}}, want{"p1", noarp, false, false}},
		{"static as bridge(8) sends it", []bridge.FDBRequest{{State: noarp | reach}}, want{"p1", noarp, false, false}},
		{"dynamic", []bridge.FDBRequest{{State: reach}}, want{"p1", reach, false, false}},
		{"sticky static", []bridge.FDBRequest{{State: noarp, Flags: bridge.NTFSticky}}, want{"p1", noarp, true, false}},
		{"sticky dynamic", []bridge.FDBRequest{{State: reach, Flags: bridge.NTFSticky}}, want{"p1", reach, true, false}},
		{"sticky, replaced without", []bridge.FDBRequest{{State: noarp, Flags: bridge.NTFSticky}, {State: noarp, Mode: rep}}, want{"p1", noarp, false, false}},
		{"static, replaced by dynamic", []bridge.FDBRequest{{State: noarp}, {State: reach, Mode: rep}}, want{"p1", reach, false, false}},
		{"appended on another port moves", []bridge.FDBRequest{{State: noarp}, {State: noarp, Mode: bridge.FDBAppend, VID: new(frame.VID(2))}}, want{"p2", noarp, false, false}},
		{"changed", []bridge.FDBRequest{{State: noarp}, {State: perm, Mode: bridge.FDBChange}}, want{"p1", perm, false, false}},
		{"use: dynamic whatever the state", []bridge.FDBRequest{{State: noarp, Flags: bridge.NTFUse}}, want{"p1", reach, false, false}},
		{"use of a static one elsewhere moves it", []bridge.FDBRequest{{State: noarp}, {State: reach, Flags: bridge.NTFUse, VID: new(frame.VID(2))}}, want{"p2", noarp, false, false}},
		{"use of a sticky one elsewhere does not", []bridge.FDBRequest{{State: noarp, Flags: bridge.NTFSticky}, {State: reach, Flags: bridge.NTFUse, VID: new(frame.VID(2))}}, want{"p1", noarp, true, false}},
		{"extern_learn static is dynamic", []bridge.FDBRequest{{State: noarp, Flags: bridge.NTFExtLearned}}, want{"p1", reach, false, true}},
		{"extern_learn takes over a static one", []bridge.FDBRequest{{State: noarp}, {State: reach, Flags: bridge.NTFExtLearned, VID: new(frame.VID(2))}}, want{"p2", noarp, false, true}},
		{"traffic takes over from extern_learn", []bridge.FDBRequest{{State: reach, Flags: bridge.NTFExtLearned}, {}}, want{"p2", reach, false, false}},
		{"traffic moves a static one, which stays static", []bridge.FDBRequest{{State: noarp}, {}}, want{"p2", noarp, false, false}},
		{"traffic does not move a sticky one", []bridge.FDBRequest{{State: noarp, Flags: bridge.NTFSticky}, {}}, want{"p1", noarp, true, false}},
		{"traffic does not move a local one", []bridge.FDBRequest{{State: perm}, {}}, want{"p1", perm, false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 2)
			for _, r := range c.reqs {
				if r.State == 0 {
					l.in(2, ether(frame.Broadcast, mac(9)))
					continue
				}
				r.MAC, r.Port = mac(9), l.p(1)
				if r.VID != nil { // marks p2; the request is for every VLAN
					r.Port, r.VID = l.p(2), nil
				}
				require.NoError(t, l.b.FDB().Update(r))
			}
			e, ok := l.b.FDB().Lookup(mac(9), 0)
			require.True(t, ok)
			assert.Equal(t, c.want, want{e.Port, e.State, e.Sticky, e.ExternLearn})
			assert.True(t, e.User)
			assert.Zero(t, l.b.FDB().Learned(), "what a request touched counts as nothing learned")
		})
	}
}

// use on a port that may not learn succeeds without effect; addresses of groups are
// taken; an entry of the bridge itself is nobody's port.
func TestFDBRequestCorners(t *testing.T) {
	l, _ := refusalLab(t)
	f := l.b.FDB()
	require.NoError(t, f.Update(bridge.FDBRequest{Port: l.p(3), MAC: mac(9), State: bridge.NUDReachable, Flags: bridge.NTFUse}))
	assert.Equal(t, "-", l.where(mac(9), 0))
	require.NoError(t, f.Update(bridge.FDBRequest{Port: l.p(3), MAC: mac(9), State: bridge.NUDReachable, Flags: bridge.NTFExtLearned}))
	assert.Equal(t, "p3", l.where(mac(9), 0))
	for _, m := range []frame.MAC{groupMAC, frame.Broadcast} {
		require.NoError(t, f.Update(bridge.FDBRequest{Port: l.p(1), MAC: m, State: bridge.NUDNoARP}))
	}
	require.NoError(t, f.Update(bridge.FDBRequest{MAC: mac(50), State: bridge.NUDPermanent}))
	e, ok := f.Lookup(mac(50), 1)
	require.True(t, ok)
	assert.Equal(t, "", e.Port)
	assert.Equal(t, []string{"br0"}, l.out(1, ether(mac(50), mac(1))))
	require.NoError(t, f.Delete(nil, mac(50), nil))
	_, ok = f.Lookup(mac(50), 1)
	assert.False(t, ok)

	require.NoError(t, f.Update(bridge.FDBRequest{Port: l.p(1), MAC: portMAC(1), State: bridge.NUDNoARP, Mode: bridge.FDBReplace}),
		"replace may overwrite a port's own address")
	assert.Equal(t, "p1", l.where(portMAC(1), 0))

	l.clock.add(time.Minute)
	require.NoError(t, f.Update(bridge.FDBRequest{Port: l.p(2), MAC: mac(2), State: bridge.NUDNoARP, Mode: bridge.FDBReplace}))
	e, _ = f.Lookup(mac(2), 0)
	assert.Equal(t, time.Minute, e.Updated, "a request that changes nothing does not refresh")
	assert.Zero(t, e.Used, "but counts as a use")
}

// Bulk flush, by each filter (fdb.md 7).
func TestFDBFlush(t *testing.T) {
	const perm, noarp = bridge.NUDPermanent, bridge.NUDNoARP
	for _, c := range []struct {
		name string
		w    func(l *lab) bridge.FDBFlush
		gone []string
	}{
		{"everything", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{} }, []string{"dyn", "ext", "local", "stat", "stick"}},
		{"port", func(l *lab) bridge.FDBFlush { return bridge.FDBFlush{Port: l.p(2)} }, []string{"ext", "stick"}},
		{"bridge itself", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{BridgeSelf: true} }, nil},
		{"static", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{State: noarp, StateMask: noarp | perm} }, []string{"stat", "stick"}},
		{"permanent", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{State: perm, StateMask: perm} }, []string{"local"}},
		{"not permanent", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{StateMask: perm} }, []string{"dyn", "ext", "stat", "stick"}},
		{"dynamic", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{StateMask: noarp | perm} }, []string{"dyn", "ext"}},
		{"extern_learn", func(*lab) bridge.FDBFlush {
			return bridge.FDBFlush{Flags: bridge.NTFExtLearned, FlagsMask: bridge.NTFExtLearned}
		}, []string{"ext"}},
		{"sticky", func(*lab) bridge.FDBFlush {
			return bridge.FDBFlush{Flags: bridge.NTFSticky, FlagsMask: bridge.NTFSticky}
		}, []string{"stick"}},
		{"not added by user", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{FlagsMask: bridge.NTFUse, StateMask: perm} }, []string{"dyn"}},
		{"offloaded: none is", func(*lab) bridge.FDBFlush {
			return bridge.FDBFlush{Flags: bridge.NTFOffloaded, FlagsMask: bridge.NTFOffloaded}
		}, nil},
		{"VLAN", func(*lab) bridge.FDBFlush { return bridge.FDBFlush{VID: new(frame.VID(2))} }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0))}, 2)
			names := map[string]frame.MAC{"dyn": mac(1), "stat": mac(2), "stick": mac(3), "ext": mac(4), "local": portMAC(1)}
			l.learn(1, mac(1))
			for _, r := range []bridge.FDBRequest{
				{Port: l.p(1), MAC: mac(2), State: noarp},
				{Port: l.p(2), MAC: mac(3), State: noarp, Flags: bridge.NTFSticky},
				{Port: l.p(2), MAC: mac(4), State: bridge.NUDReachable, Flags: bridge.NTFExtLearned},
			} {
				require.NoError(t, l.b.FDB().Update(r))
			}
			require.NoError(t, l.b.FDB().Delete(l.p(2), portMAC(2), nil))
			before := l.b.FDB().Len()
			n, err := l.b.FDB().Flush(c.w(l))
			require.NoError(t, err)
			var gone []string
			for _, name := range []string{"dyn", "ext", "local", "stat", "stick"} {
				if _, ok := l.b.FDB().Lookup(names[name], 0); !ok {
					gone = append(gone, name)
				}
			}
			assert.Equal(t, c.gone, gone)
			assert.Equal(t, len(gone), n)
			assert.Equal(t, before-n, l.b.FDB().Len())
		})
	}
}
