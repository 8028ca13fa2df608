package bridge_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

var everyHook = bridge.Hooks(bridge.HookPreRouting, bridge.HookLocalIn, bridge.HookForward, bridge.HookLocalOut, bridge.HookPostRouting)

// A visit is what a filter saw at a point.
type visit struct {
	hook    bridge.Hook
	in, out string
	vid     frame.VID
	tag     frame.Tag
	own     bool
}

func (v visit) String() string {
	s := fmt.Sprintf("%s %s>%s", strings.TrimPrefix(v.hook.String(), "NF_BR_"), v.in, v.out)
	if v.vid != 0 {
		s += fmt.Sprintf(" vlan %d", v.vid)
	}
	if v.tag.Present() {
		s += " [" + v.tag.String() + "]"
	}
	if v.own {
		s += " own stack"
	}
	return s
}

func nameOf(p *bridge.Port) string {
	if p == nil {
		return ""
	}
	return p.Name()
}

// witness is a filter that accepts everything and writes down what it saw.
func witness(visits *[]string) bridge.Filter {
	return bridge.Filter{Name: "witness", Hooks: everyHook, Judge: func(s *bridge.Passage) bridge.Ruling {
		*visits = append(*visits, visit{s.Hook, nameOf(s.In), nameOf(s.Out), s.VID, s.Frame.Tag, s.OwnStack}.String())
		return bridge.Ruling{}
	}}
}

// at is a filter that says the same of every frame at one point.
func at(h bridge.Hook, a bridge.FilterAction) bridge.Filter {
	return bridge.Filter{Name: "test", Hooks: bridge.Hooks(h), Judge: func(s *bridge.Passage) bridge.Ruling { return a.Because("said the test") }}
}

// arbitrary is a filter that says and does anything, always the same of the same
// frame at the same point.
func (l *lab) arbitrary(seed uint32) bridge.Filter {
	return bridge.Filter{Name: "arbitrary", Hooks: everyHook, Judge: func(s *bridge.Passage) bridge.Ruling {
		h := crc32.Update(seed, crc32.IEEETable, s.Frame.AppendWire([]byte(nameOf(s.In)+s.Hook.String()+nameOf(s.Out))))
		if p := l.p(1 + int(h>>8)%4); p != nil && h%5 == 0 {
			s.CopyTo(p)
		}
		if p, _, ok := s.Lookup(mac(int(h>>16) % 6)); ok && p != nil && p == s.Out && h%3 == 0 {
			return bridge.FilterDrop.Because("the source of something")
		}
		switch h >> 4 % 12 {
		case 0:
			return bridge.FilterDrop.Because("")
		case 1:
			return bridge.FilterSteal.Because("")
		case 2:
			return bridge.FilterPass.Because("")
		}
		return bridge.Ruling{}
	}}
}

// Filters that let everything through change nothing.
func TestAcceptChangesNothing(t *testing.T) {
	properties(t, repetitions(100), func(t *testing.T, r *rand.Rand) {
		w := randomWorld(r)
		w.filter = 0
		free, watched := w.lab(t, true), w.lab(t, true)
		var visits []string
		require.NoError(t, watched.b.SetFilters(witness(&visits), witness(&visits)))
		for range 80 {
			s := w.randomFrame(r)
			require.Equal(t, brief(free.in(s.port, s.f)), brief(watched.in(s.port, s.f)))
		}
		same(t, free, watched, "filters that accept")
	})
}

// Which points a frame passes, in which order, and what is known of it there.
func TestHookOrder(t *testing.T) {
	host := frame.MAC{2, 0, 0, 0, 0xaa, 1}
	bpdu, pause, lacp, lldp := linkLocal(0), linkLocal(1), linkLocal(2), linkLocal(14)
	for _, c := range []struct {
		name string
		set  func(l *lab)
		port int
		f    frame.Frame
		want []string
	}{
		{"known", nil, 1, ether(mac(2), mac(1)), []string{"PRE_ROUTING p1>", "FORWARD p1>p2", "POST_ROUTING p1>p2"}},
		{"flooded, the host last", nil, 1, ether(frame.Broadcast, mac(1)), []string{
			"PRE_ROUTING p1>", "FORWARD p1>p3", "POST_ROUTING p1>p3", "FORWARD p1>p2", "POST_ROUTING p1>p2", "LOCAL_IN p1>"}},
		{"to the host", nil, 1, ether(host, mac(1)), []string{"PRE_ROUTING p1>", "LOCAL_IN p1>"}},
		{"from the host, known", nil, 0, ether(mac(2), host), []string{"LOCAL_OUT >p2", "POST_ROUTING >p2"}},
		{"from the host, flooded", nil, 0, ether(groupMAC, host), []string{
			"LOCAL_OUT >p3", "POST_ROUTING >p3", "LOCAL_OUT >p2", "POST_ROUTING >p2", "LOCAL_OUT >p1", "POST_ROUTING >p1"}},
		{"link-local for the port's own stack", nil, 1, ether(lacp, mac(1)), []string{"LOCAL_IN p1> own stack"}},
		{"link-local 0f", nil, 1, ether(linkLocal(15), mac(1)), []string{"LOCAL_IN p1> own stack"}},
		{"LLDP", nil, 1, ether(lldp, mac(1)), nil},
		{"BPDU with STP on", func(l *lab) { require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{STPState: new(1)})) }, 1, ether(bpdu, mac(1)), nil},
		{"pause", nil, 1, ether(pause, mac(1)), nil},
		{"no station's source", nil, 1, ether(mac(2), groupMAC), nil},
		{"port blocking", func(l *lab) { l.set(1, bridge.PortAttrs{State: new(bridge.StateListening)}) }, 1, ether(mac(2), mac(1)), nil},
		{"port learning", func(l *lab) { l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)}) }, 1, ether(mac(2), mac(1)), []string{"PRE_ROUTING p1>"}},
		{"not deliverable", nil, 1, ether(mac(1), mac(1)), []string{"PRE_ROUTING p1>"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{Address: host}, 3)
			l.learn(1, mac(1))
			l.learn(2, mac(2))
			if c.set != nil {
				c.set(l)
			}
			var visits []string
			require.NoError(t, l.b.SetFilters(witness(&visits)))
			l.in(c.port, c.f)
			assert.Equal(t, c.want, visits)
			balanced(t, l.b)
		})
	}
}

// The VLAN and the tag at each point: before ingress as the frame came, behind
// egress as it leaves.
func TestHooksSeeVLANs(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true})
	l.add(1, bridge.PortConfig{VLANs: bridge.Access(10)})
	l.add(2, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)})
	l.add(3, bridge.PortConfig{VLANs: bridge.Access(20)})
	var visits []string
	require.NoError(t, l.b.SetFilters(witness(&visits)))
	l.in(1, ether(frame.Broadcast, mac(1)))
	assert.Equal(t, []string{"PRE_ROUTING p1> vlan 10", "FORWARD p1>p2 vlan 10 [802.1Q vid 10]", "POST_ROUTING p1>p2 vlan 10 [802.1Q vid 10]"}, visits)
	visits = nil
	l.in(2, dot1q(ether(frame.Broadcast, mac(2)), 20))
	assert.Equal(t, []string{"PRE_ROUTING p2> vlan 20 [802.1Q vid 20]", "FORWARD p2>p3 vlan 20", "POST_ROUTING p2>p3 vlan 20"}, visits)
	visits = nil
	l.in(2, dot1q(ether(frame.Broadcast, mac(3)), 30))
	assert.Equal(t, []string{"PRE_ROUTING p2> vlan 30 [802.1Q vid 30]"}, visits, "before the VLAN ingress check")
}

// What each action does to a frame at each point: where it still goes, and how both
// ledgers count it.
func TestActions(t *testing.T) {
	type count struct{ used, passed, consumed, dropped uint64 }
	type copies struct{ sent, consumed, refused uint64 } // of p2, or of the host
	lacp := linkLocal(2)
	for _, c := range []struct {
		hook    bridge.Hook
		action  bridge.FilterAction
		dst     frame.MAC
		in      count
		out     copies
		learned bool
	}{
		{bridge.HookPreRouting, bridge.FilterAccept, mac(2), count{used: 1}, copies{sent: 1}, true},
		{bridge.HookPreRouting, bridge.FilterDrop, mac(2), count{dropped: 1}, copies{}, false},
		{bridge.HookPreRouting, bridge.FilterSteal, mac(2), count{consumed: 1}, copies{}, false},
		{bridge.HookPreRouting, bridge.FilterPass, mac(2), count{passed: 1}, copies{}, false},
		{bridge.HookPreRouting, bridge.FilterPass + 1, mac(2), count{dropped: 1}, copies{}, false},
		{bridge.HookForward, bridge.FilterDrop, mac(2), count{used: 1}, copies{refused: 1}, true},
		{bridge.HookForward, bridge.FilterSteal, mac(2), count{used: 1}, copies{consumed: 1}, true},
		{bridge.HookForward, bridge.FilterPass, mac(2), count{used: 1}, copies{sent: 1}, true},
		{bridge.HookPostRouting, bridge.FilterDrop, mac(2), count{used: 1}, copies{refused: 1}, true},
		{bridge.HookPostRouting, bridge.FilterSteal, mac(2), count{used: 1}, copies{consumed: 1}, true},
		{bridge.HookLocalIn, bridge.FilterDrop, portMAC(1), count{used: 1}, copies{refused: 1}, true},
		{bridge.HookLocalIn, bridge.FilterSteal, portMAC(1), count{used: 1}, copies{consumed: 1}, true},
		{bridge.HookLocalIn, bridge.FilterAccept, lacp, count{passed: 1}, copies{}, true},
		{bridge.HookLocalIn, bridge.FilterDrop, lacp, count{dropped: 1}, copies{}, false},
		{bridge.HookLocalIn, bridge.FilterSteal, lacp, count{consumed: 1}, copies{}, false},
		{bridge.HookLocalIn, bridge.FilterPass, lacp, count{passed: 1}, copies{}, true},
		{bridge.HookLocalOut, bridge.FilterDrop, mac(2), count{used: 1}, copies{sent: 1}, true},
	} {
		t.Run(fmt.Sprintf("%s %d %s", c.hook, c.action, c.dst), func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 2)
			l.learn(2, mac(2))
			require.NoError(t, l.b.SetFilters(at(c.hook, c.action)))
			egress := func() bridge.EgressLedger { return l.p(2).Stats().Egress }
			if c.dst == portMAC(1) {
				egress = func() bridge.EgressLedger { return l.b.Stats().Egress }
			}
			before, out := l.p(1).Stats().Ingress, egress()
			f := ether(c.dst, mac(7))

			dry := l.p(1).Explain(f)
			assert.Equal(t, before, l.p(1).Stats().Ingress, "Explain counts nothing")
			assert.Equal(t, out, egress())

			got := l.out(1, f)
			in := l.p(1).Stats().Ingress
			assert.Equal(t, c.in, count{in.Used - before.Used, in.Passed - before.Passed, in.Consumed - before.Consumed, in.Dropped[bridge.DropFilter]})
			now := egress()
			assert.Equal(t, c.out, copies{now.Sent - out.Sent, now.Consumed, now.Refused[bridge.DropFilter]})
			assert.Equal(t, c.learned, hasEntry(l.b, mac(7)))

			want := map[count]bridge.Verdict{{used: 1}: bridge.Used, {passed: 1}: bridge.Passed, {consumed: 1}: bridge.Consumed, {dropped: 1}: bridge.Drop}[c.in]
			assert.Equal(t, want, dry.Verdict, "Explain: %s", dry)
			assert.Len(t, dry.Out, len(got))
			if c.action != bridge.FilterAccept && c.hook != bridge.HookLocalOut {
				assert.Contains(t, dry.String(), c.hook.String()+" test ")
				assert.Contains(t, dry.String(), "said the test")
			}
			balanced(t, l.b)
		})
	}
}

func hasEntry(b *bridge.Bridge, m frame.MAC) bool {
	for e := range b.FDB().All() {
		if e.MAC == m {
			return true
		}
	}
	return false
}

// What the host sends meets HookLocalOut; one copy dropped leaves the others alone.
func TestOneCopy(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	not2 := func(hooks ...bridge.Hook) bridge.Filter {
		return bridge.Filter{Name: "not p2", Hooks: bridge.Hooks(hooks...), Judge: func(s *bridge.Passage) bridge.Ruling {
			if s.Out == l.p(2) {
				return bridge.FilterDrop.Because("")
			}
			return bridge.Ruling{}
		}}
	}
	require.NoError(t, l.b.SetFilters(not2(bridge.HookLocalOut)))
	assert.Equal(t, []string{"p3", "p1"}, l.out(0, ether(frame.Broadcast, mac(9))))
	assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	require.NoError(t, l.b.SetFilters(not2(bridge.HookForward)))
	assert.Equal(t, []string{"p3", "p2", "p1"}, l.out(0, ether(frame.Broadcast, mac(9))))
	assert.Equal(t, []string{"p3", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	require.NoError(t, l.b.SetFilters(not2(bridge.HookPostRouting)))
	assert.Equal(t, []string{"p3", "p1"}, l.out(0, ether(frame.Broadcast, mac(9))))
	assert.Equal(t, []string{"p3", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Equal(t, uint64(4), l.p(2).Stats().Egress.Refused[bridge.DropFilter])
	balanced(t, l.b)
}

// The list is asked in its order, and the first that does not accept decides.
func TestFilterList(t *testing.T) {
	var asked []string
	say := func(name string, a bridge.FilterAction) bridge.Filter {
		return bridge.Filter{Name: name, Hooks: bridge.Hooks(bridge.HookPreRouting), Judge: func(*bridge.Passage) bridge.Ruling {
			asked = append(asked, name)
			return a.Because("")
		}}
	}
	l := newLab(t, bridge.Config{Filters: []bridge.Filter{say("a", bridge.FilterAccept), say("b", bridge.FilterDrop), say("c", bridge.FilterAccept)}})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	assert.Empty(t, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Equal(t, []string{"a", "b"}, asked)

	var names []string
	for _, f := range l.b.Filters() {
		names = append(names, f.Name)
	}
	assert.Equal(t, []string{"a", "b", "c"}, names)
	require.NoError(t, l.b.SetFilters())
	assert.Empty(t, l.b.Filters())
	assert.Equal(t, []string{"p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Len(t, asked, 2)
}

func TestFiltersRefused(t *testing.T) {
	judge := func(*bridge.Passage) bridge.Ruling { return bridge.Ruling{} }
	l := newLabN(t, bridge.Config{Filters: []bridge.Filter{{Name: "stays", Hooks: everyHook, Judge: judge}}}, 1)
	for _, f := range []bridge.Filter{
		{Hooks: everyHook}, {Judge: judge}, {Hooks: bridge.Hooks(bridge.NoHook), Judge: judge}, {Hooks: everyHook | 1<<6, Judge: judge},
	} {
		assertRefused(t, l.b.SetFilters(f), bridge.EINVAL, "br0")
		require.Len(t, l.b.Filters(), 1)
		_, err := bridge.New(bridge.Config{Filters: []bridge.Filter{f}})
		assertRefused(t, err, bridge.EINVAL, "br0")
	}
}

// A frame that is passed goes where link-local frames go; only a port in state
// FORWARDING passes (ebt_broute).
func TestFilterPass(t *testing.T) {
	l := newLab(t, bridge.Config{})
	var got []frame.MAC
	p := l.add(1, bridge.PortConfig{OnPass: func(_ *bridge.Port, f frame.Frame) { got = append(got, f.Dst()) }})
	l.add(2, bridge.PortConfig{})
	require.NoError(t, l.b.SetFilters(at(bridge.HookPreRouting, bridge.FilterPass)))
	assert.Empty(t, l.out(1, ether(mac(2), mac(1))))
	assert.Equal(t, []frame.MAC{mac(2)}, got)
	assert.False(t, hasEntry(l.b, mac(1)))
	l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)})
	l.in(1, ether(mac(2), mac(1)))
	assert.Len(t, got, 1)
	assert.True(t, hasEntry(l.b, mac(1)), "accepted, so learned")
	assert.Equal(t, uint64(1), p.Stats().Ingress.Dropped[bridge.DropLearning])
	balanced(t, l.b)
}

// A filter that panics ends the port that the frame came in by, and nothing else;
// one that panics in a dry run ends nothing.
func TestFilterPanics(t *testing.T) {
	for h := bridge.HookPreRouting; h <= bridge.HookPostRouting; h++ {
		t.Run(h.String(), func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 2)
			cable := &badIO{}
			bad := l.addBad("bad", cable, bridge.PortConfig{})
			failed := l.failures()
			hostEnded := h == bridge.HookLocalOut
			require.NoError(t, l.b.SetFilters(bridge.Filter{Name: "boom", Hooks: bridge.Hooks(h), Judge: func(s *bridge.Passage) bridge.Ruling {
				if s.In == bad || s.In == nil {
					panic("boom")
				}
				return bridge.Ruling{}
			}}))
			f := ether(frame.Broadcast, mac(9))
			if hostEnded {
				e := l.b.ExplainXmit(f)
				assert.Contains(t, e.String(), "it panicked")
				assert.Empty(t, failed())
				l.in(0, f)
				assert.Equal(t, []string{""}, failed(), "the host's cable ended")
				balanced(t, l.b)
				return
			}
			e := bad.Explain(f)
			assert.Contains(t, e.String(), "it panicked")
			assert.Empty(t, failed())
			require.NoError(t, bad.Receive(f))
			assert.Equal(t, []string{"bad"}, failed())
			require.ErrorContains(t, bad.Info().Failed, `the filter "boom" panicked: boom`)
			l.log.take()
			l.ended(bad, cable.recorder)
		})
	}
}

// Calls that would wait for the batch they are made in answer ErrInBatch, whatever
// goroutine carries the frame; calls that only look are answered.
func TestFilterMayNotWait(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	for h := bridge.HookPreRouting; h <= bridge.HookPostRouting; h++ {
		var errs []error
		require.NoError(t, l.b.SetFilters(bridge.Filter{Hooks: bridge.Hooks(h), Judge: func(s *bridge.Passage) bridge.Ruling {
			_, err := l.b.FDB().Flush(bridge.FDBFlush{})
			errs = append(errs, l.b.SetFilters(), l.p(1).Set(bridge.PortAttrs{Flood: new(false)}), l.b.Close(), err)
			_ = l.p(1).Info()
			_ = l.b.FDB().Learned()
			return bridge.Ruling{}
		}}))
		f := ether(frame.Broadcast, mac(1))
		if h == bridge.HookLocalOut {
			l.in(0, f)
		} else {
			l.in(1, f)
		}
		require.NotEmpty(t, errs, h)
		for _, err := range errs {
			require.ErrorIs(t, err, bridge.ErrInBatch, h)
		}
	}
	require.NoError(t, l.b.SetFilters(), "outside it is answered")
	assert.True(t, l.p(1).Info().Flood)
}

// Filters are replaced under traffic: once SetFilters has returned the old ones are
// not called any more, and no frame sees half of a list.
func TestFiltersChangeUnderTraffic(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	l.forget()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		in := l.p(i + 1).Input()
		wg.Go(func() {
			fs := []frame.Frame{ether(frame.Broadcast, mac(i)), ether(mac((i+1)%3), mac(i))}
			for {
				select {
				case <-stop:
					return
				default:
					_ = in.Receive(fs)
				}
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.p(1).Explain(ether(frame.Broadcast, mac(1)))
			}
		}
	})
	var calls [40]atomic.Int64
	for round := range calls {
		first := atomic.Int64{}
		require.NoError(t, l.b.SetFilters(
			bridge.Filter{Hooks: everyHook, Judge: func(s *bridge.Passage) bridge.Ruling {
				if !s.Dry {
					first.Add(1)
					calls[round].Add(1)
				}
				return bridge.Ruling{}
			}},
			bridge.Filter{Hooks: everyHook, Judge: func(s *bridge.Passage) bridge.Ruling {
				if !s.Dry {
					first.Add(-1)
				}
				return bridge.Ruling{}
			}}))
		for calls[round].Load() == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		require.NoError(t, l.b.SetFilters())
		assert.Zero(t, first.Load(), "the second filter was asked as often as the first")
		before := calls[round].Load()
		defer func() { assert.Equal(t, before, calls[round].Load(), "a filter was called after it was taken away") }()
	}
	close(stop)
	wg.Wait()
	balanced(t, l.b)
}

// CopyTo: the copy has the tag of the point where it was made, whatever becomes of
// the frame, and passes nothing but the port's MTU and link.
func TestCopyTo(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true})
	l.add(1, bridge.PortConfig{VLANs: bridge.Access(10)})
	l.add(2, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
	l.add(3, bridge.PortConfig{VLANs: []bridge.VLAN{}, NoFlood: true})
	to, hooks := l.p(3), bridge.Hooks(bridge.HookPreRouting)
	action := bridge.FilterAccept
	copier := func(s *bridge.Passage) bridge.Ruling { s.CopyTo(to); return bridge.Ruling{Action: action} }
	require.NoError(t, l.b.SetFilters(bridge.Filter{Hooks: hooks, Judge: copier}, bridge.Filter{Hooks: hooks, Judge: copier}))

	f := ether(mac(2), mac(1))
	assert.Equal(t, []delivery{{"p3", f.Data}, {"p3", f.Data}, {"p2", dot1q(f, 10).Data}}, l.in(1, f))
	foreign := tagged(f, frame.TypeDot1AD, 7) // its tag goes back into the payload at ingress
	assert.Equal(t, []delivery{{"p3", foreign.Data}, {"p3", foreign.Data}, {"p2", dot1q(foreign, 10).Data}}, l.in(1, foreign))
	tag := dot1q(ether(mac(1), mac(2)), 10)
	assert.Equal(t, []delivery{{"p3", tag.Data}, {"p3", tag.Data}, {"p1", ether(mac(1), mac(2)).Data}}, l.in(2, tag))
	assert.Len(t, l.p(2).Explain(tag).Out, 3)
	action = bridge.FilterDrop
	assert.Equal(t, []string{"p3"}, l.out(1, f), "dropped all the same")

	require.NoError(t, l.b.SetFilters(bridge.Filter{Hooks: bridge.Hooks(bridge.HookPostRouting), Judge: copier}))
	action = bridge.FilterAccept
	assert.Equal(t, []delivery{{"p3", dot1q(f, 10).Data}, {"p2", dot1q(f, 10).Data}}, l.in(1, f))
	require.NoError(t, l.p(3).SetMTU(68))
	assert.Equal(t, []string{"p2"}, l.out(1, etherN(mac(2), mac(1), 200)))
	assert.Equal(t, uint64(1), l.p(3).Stats().Egress.Refused[bridge.DropTooLong])
	require.NoError(t, l.p(3).SetLink(false, true))
	assert.Equal(t, []string{"p2"}, l.out(1, f))
	balanced(t, l.b)
	require.NoError(t, l.b.RemovePort(l.p(3)))
	assert.Equal(t, []string{"p2"}, l.out(1, f), "a port that has left refuses the copy")
	portBalanced(t, to)
}

// Lookup answers as forwarding would.
func TestPassageLookup(t *testing.T) {
	l := newLabN(t, bridge.Config{VLANFiltering: true, Attrs: bridge.BridgeAttrs{FDBLocalVLAN0: new(true)}}, 2)
	l.learn(2, mac(2))
	type answer struct {
		port      string
		local, ok bool
	}
	var got []answer
	require.NoError(t, l.b.SetFilters(bridge.Filter{Hooks: bridge.Hooks(bridge.HookPreRouting), Judge: func(s *bridge.Passage) bridge.Ruling {
		for _, m := range []frame.MAC{s.Frame.Src(), s.Frame.Dst(), mac(2), portMAC(2), mac(77)} {
			p, local, ok := s.Lookup(m)
			got = append(got, answer{nameOf(p), local, ok})
		}
		return bridge.Ruling{}
	}}))
	before := snap(l.b)
	l.p(1).Explain(ether(mac(2), mac(1)))
	assert.Equal(t, before, snap(l.b))
	assert.Equal(t, []answer{{"", false, false}, {"p2", false, true}, {"p2", false, true}, {"p2", true, true}, {"", false, false}}, got)
}

// Reports do not flood the queue: eight at once, then one a second, and none is
// forgotten.
func TestReports(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	broken, made := errors.New("not allowed"), 0
	require.NoError(t, l.b.SetFilters(bridge.Filter{Name: "strict", Hooks: bridge.Hooks(bridge.HookPreRouting), Judge: func(s *bridge.Passage) bridge.Ruling {
		s.Report(func() error { made++; return broken })
		return bridge.Ruling{}
	}}))
	f := ether(frame.Broadcast, mac(1))
	l.in(1, f)
	assert.Zero(t, made, "nobody watches")
	var got []bridge.Event
	l.b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventFilter {
			got = append(got, e)
		}
	})
	l.p(1).Explain(f)
	assert.Zero(t, made, "only explained")
	for range 100 {
		l.in(1, f)
	}
	require.Len(t, got, 8)
	assert.Equal(t, bridge.Event{Kind: bridge.EventFilter, Port: "p1", MAC: mac(1), Filter: "strict", Count: 1, Err: broken}, got[0])
	assert.Equal(t, "filter p1 "+mac(1).String()+": strict: not allowed", got[0].String())
	l.in(2, ether(frame.Broadcast, mac(2)))
	assert.Len(t, got, 9, "another port is another matter")
	l.clock.add(time.Second)
	l.in(1, f, f)
	require.Len(t, got, 10)
	assert.Equal(t, 93, got[9].Count)
	assert.Contains(t, got[9].String(), "(93 times)")
	l.clock.add(time.Hour)
	for range 100 {
		l.in(1, f)
	}
	assert.Len(t, got, 18)
	assert.Equal(t, 2, got[10].Count)
	assert.Equal(t, 18, made)
}

// Wire mode forwards what Linux keeps; off it does what Linux does.
func TestWireMode(t *testing.T) {
	for x := range byte(4) {
		group := linkLocal(x)
		l := newLabN(t, bridge.Config{WireMode: true}, 2)
		assert.True(t, l.b.Info().WireMode)
		forwarded := []string{"p2", "br0"}
		want := forwarded
		if x == 3 {
			want = []string{}
		}
		assert.Equal(t, want, l.out(1, ether(group, mac(1))), group)
		require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(1)}))
		if x == 0 {
			want = []string{}
		}
		assert.Equal(t, want, l.out(1, ether(group, mac(1))), "%s with STP on", group)
		require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(0)}))
		require.NoError(t, l.b.SetWireMode(false))
		want = []string{}
		if x == 0 {
			want = forwarded
		}
		assert.Equal(t, want, l.out(1, ether(group, mac(1))), "%s, wire mode off", group)
		balanced(t, l.b)
	}
}
