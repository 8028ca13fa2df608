package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A guard is a cable that takes everything, except what is forbidden at the
// moment, be it at the beginning of a write or at its end.
type guard struct {
	*recorder
	t      testing.TB
	forbid atomic.Pointer[func(f *frame.Frame) bool]
	frames atomic.Int64
}

func newGuard(t testing.TB) *guard { return &guard{t: t, recorder: newRecorder("guard", new(tape))} }

func (g *guard) check(fs []frame.Frame) {
	if bad := g.forbid.Load(); bad != nil {
		for i := range fs {
			if (*bad)(&fs[i]) {
				g.t.Errorf("a frame was written after the change had returned: % x", wireOf(fs[i])[:18])
				return
			}
		}
	}
}

func (g *guard) WriteFrames(fs []frame.Frame) (int, error) {
	g.check(fs)
	g.frames.Add(int64(len(fs)))
	runtime.Gosched()
	g.check(fs)
	return len(fs), nil
}

func (g *guard) set(bad func(f *frame.Frame) bool) {
	if bad == nil {
		g.forbid.Store(nil)
		return
	}
	g.forbid.Store(&bad)
}

func always(*frame.Frame) bool { return true }

// traffic keeps batches coming in by ports 1 to 3 of a lab, from a goroutine each,
// until it is stopped: broadcasts, unicast to and from the addresses mac(0) to
// mac(20), untagged and in VLAN 10.
func (l *lab) traffic(n int) (stop func()) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := 1; i <= n; i++ {
		in := l.p(i).Input()
		wg.Go(func() { // ends with stop
			r := rand.New(rand.NewPCG(uint64(i), 1))
			fs := make([]frame.Frame, 16)
			for {
				select {
				case <-done:
					return
				default:
				}
				for k := range fs {
					fs[k] = ether(pick(r, frame.Broadcast, mac(r.IntN(20)), mac(100), groupMAC), mac(1000+10*i+r.IntN(4)))
					if coin(r, 2) {
						fs[k] = dot1q(fs[k], 10)
					}
				}
				_ = in.Receive(fs)
				runtime.Gosched() // few processors must do for all of it
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

// A victim is a port with a guarded cable, from which a goroutine keeps receiving
// frames of mac(1) to mac(15), also once it has left.
func (l *lab) victim(c bridge.PortConfig) (p *bridge.Port, g *guard, stop func()) {
	l.t.Helper()
	g = newGuard(l.t)
	p, err := l.b.AddPort("victim", g, c)
	require.NoError(l.t, err)
	done := make(chan struct{})
	var wg sync.WaitGroup
	in := p.Input()
	var fs []frame.Frame
	for i := range 15 {
		fs = append(fs, ether(frame.Broadcast, mac(1+i)), dot1q(ether(mac(100), mac(1+i)), 10))
	}
	wg.Go(func() { // ends with stop
		for {
			select {
			case <-done:
				return
			default:
				_ = in.Receive(fs)
				runtime.Gosched()
			}
		}
	})
	return p, g, func() { close(done); wg.Wait() }
}

// learnedOn are the entries in the FDB of the victim's stations, in VLAN vid.
func (l *lab) victims(vid frame.VID) (es []bridge.FDBEntry) {
	for i := range 15 {
		if e, ok := l.b.FDB().Lookup(mac(1+i), vid); ok {
			es = append(es, e)
		}
	}
	return es
}

// eventually waits for what goroutines are to bring about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("did not come to pass: %s", what)
		}
	}
}

// A change is over when it returns: no frame that was decided by what held before
// is written any more, nothing is learned by it, and what was learned is gone.
func TestGracePeriod(t *testing.T) {
	vlans := append(bridge.Access(1), bridge.VLAN{VID: 10})
	inVLAN10 := func(f *frame.Frame) bool { return f.Tag.VID() == 10 || f.Type() == frame.TypeDot1Q }
	for _, c := range []struct {
		name      string
		filtering bool
		do, undo  func(l *lab, p *bridge.Port) error // undo nil: the port is gone
		forbidden func(f *frame.Frame) bool
		empty     []frame.VID // VLANs in which nothing of the victim's is known afterwards
	}{
		{name: "RemovePort", do: func(l *lab, p *bridge.Port) error { return l.b.RemovePort(p) }, forbidden: always, empty: []frame.VID{0, 1, 10}},
		{name: "RemovePort, filtering", filtering: true, do: func(l *lab, p *bridge.Port) error { return l.b.RemovePort(p) }, forbidden: always, empty: []frame.VID{0, 1, 10}},
		{name: "link down", do: func(_ *lab, p *bridge.Port) error { return p.SetLink(false, true) },
			undo: func(_ *lab, p *bridge.Port) error { return p.SetLink(true, true) }, forbidden: always, empty: []frame.VID{0}},
		{name: "no carrier", filtering: true, do: func(_ *lab, p *bridge.Port) error { return p.SetLink(true, false) },
			undo: func(_ *lab, p *bridge.Port) error { return p.SetLink(true, true) }, forbidden: always, empty: []frame.VID{1, 10}},
		{name: "bridge down", do: func(l *lab, _ *bridge.Port) error { return l.b.SetUp(false) },
			undo: func(l *lab, _ *bridge.Port) error { return l.b.SetUp(true) }, forbidden: always, empty: []frame.VID{0}},
		{name: "VLAN deleted", filtering: true, do: func(_ *lab, p *bridge.Port) error { return p.VLANs().Delete(10, 0) },
			undo: func(_ *lab, p *bridge.Port) error { return p.VLANs().Add(bridge.VLAN{VID: 10}) }, forbidden: inVLAN10, empty: []frame.VID{10}},
		{name: "VLANs set", filtering: true, do: func(_ *lab, p *bridge.Port) error { return p.VLANs().Set(bridge.Access(1)) },
			undo: func(_ *lab, p *bridge.Port) error { return p.VLANs().Set(vlans) }, forbidden: inVLAN10, empty: []frame.VID{10}},
		{name: "learning off and flushed", do: func(_ *lab, p *bridge.Port) error {
			return p.Set(bridge.PortAttrs{Learning: new(false), FDBFlush: true})
		}, undo: func(_ *lab, p *bridge.Port) error { return p.Set(bridge.PortAttrs{Learning: new(true)}) }, empty: []frame.VID{0}},
		{name: "flood flags off", do: func(_ *lab, p *bridge.Port) error {
			return p.Set(bridge.PortAttrs{Flood: new(false), BcastFlood: new(false), McastFlood: new(false)})
		}, undo: func(_ *lab, p *bridge.Port) error {
			return p.Set(bridge.PortAttrs{Flood: new(true), BcastFlood: new(true), McastFlood: new(true)})
		}, forbidden: func(f *frame.Frame) bool { return f.Dst().IsMulticast() || f.Dst() == mac(100) }},
		{name: "state listening", filtering: true, do: func(_ *lab, p *bridge.Port) error { return p.Set(bridge.PortAttrs{State: new(bridge.StateListening)}) },
			undo: func(_ *lab, p *bridge.Port) error { return p.Set(bridge.PortAttrs{State: new(bridge.StateForwarding)}) }, forbidden: always},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, bridge.Config{VLANFiltering: c.filtering, FDBLimit: 1000})
			l.forget()
			for i := 1; i <= 2; i++ {
				l.add(i, bridge.PortConfig{VLANs: vlans})
			}
			defer l.traffic(2)()
			var p *bridge.Port
			var g *guard
			stop := func() {}
			for range 20 {
				if p == nil {
					p, g, stop = l.victim(bridge.PortConfig{VLANs: vlans})
				}
				before := g.frames.Load()
				eventually(t, "frames reach the victim", func() bool { return g.frames.Load() > before+20 })
				if len(c.empty) > 0 {
					eventually(t, "the victim's stations are learned", func() bool {
						return len(l.victims(c.empty[len(c.empty)-1])) > 0 || !c.filtering && len(l.victims(0)) > 0
					})
				}
				require.NoError(t, c.do(l, p))
				g.set(c.forbidden)
				for range 20 {
					for _, vid := range c.empty {
						require.Empty(t, l.victims(vid), "VLAN %d", vid)
					}
					runtime.Gosched()
				}
				if c.undo == nil {
					stop()
					portBalanced(t, p)
					assert.True(t, g.isClosed())
					p, stop = nil, func() {}
					continue
				}
				g.set(nil)
				require.NoError(t, c.undo(l, p))
			}
			stop()
		})
	}
}

// Ports come and go, VLANs and flags change, tables are flushed and addresses
// move, while frames come in by all; at the end every ledger balances.
func TestLedgersBalance(t *testing.T) {
	l := newLab(t, bridge.Config{VLANStats: true, FDBLimit: 200})
	vlans := append(bridge.Access(1), bridge.VLAN{VID: 10})
	l.forget()
	for i := 1; i <= 4; i++ {
		l.add(i, bridge.PortConfig{VLANs: vlans})
	}
	stop := l.traffic(3)
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 77))
			for i := range 1000 {
				p := l.p(1 + r.IntN(4))
				switch r.IntN(12) {
				case 0:
					name := fmt.Sprintf("x%d.%d", n, i)
					q, err := l.b.AddPort(name, newRecorder(name, new(tape)), bridge.PortConfig{VLANs: vlans})
					assert.NoError(t, err)
					_ = q.Receive(ether(frame.Broadcast, mac(r.IntN(20))))
					assert.NoError(t, l.b.RemovePort(q))
					portBalanced(t, q)
				case 1:
					assert.NoError(t, l.b.Set(bridge.BridgeAttrs{VLANFiltering: new(coin(r, 2)), AgeingTime: new(time.Duration(r.IntN(2)) * time.Minute)}))
				case 2:
					assert.NoError(t, p.Set(bridge.PortAttrs{Flood: new(coin(r, 2)), Hairpin: new(coin(r, 2)), Locked: new(coin(r, 4)), Learning: new(coin(r, 2))}))
				case 3:
					assert.NoError(t, p.SetLink(true, coin(r, 2)))
				case 4:
					assert.NoError(t, p.VLANs().Set(pick(r, vlans, bridge.Access(1), bridge.Trunk(0, 10), nil)))
				case 5:
					_, err := l.b.FDB().Flush(bridge.FDBFlush{Port: p, StateMask: bridge.NUDPermanent})
					assert.NoError(t, err)
				case 6:
					_ = l.b.FDB().Update(bridge.FDBRequest{Port: p, MAC: mac(r.IntN(20)), State: pick(r, bridge.NUDNoARP, bridge.NUDReachable), Mode: bridge.FDBReplace})
				case 7:
					_ = l.b.Xmit(ether(frame.Broadcast, mac(999)))
				case 8:
					l.clock.add(time.Second)
					l.b.Tick(l.clock.now())
				case 9:
					l.b.SetTrace(pick(r, nil, bridge.Trace(func(bridge.Step) {})))
				case 10:
					assert.NoError(t, p.SetMTU(pick(r, 68, 1500)))
				case 11:
					_ = p.Explain(ether(mac(r.IntN(20)), mac(r.IntN(20))))
					_, _ = snap(l.b), p.Stats()
				}
			}
		})
	}
	wg.Wait()
	stop()
	balanced(t, l.b)
	for e := range l.b.FDB().All() {
		assert.True(t, e.Port == "" || l.b.Port(e.Port) != nil, "%+v", e)
	}
	l.b.SetTrace(nil)
	for i := 1; i <= 4; i++ {
		require.NoError(t, l.p(i).SetLink(true, true))
		assert.Positive(t, l.ingress(i).Received+l.p(i).Stats().Egress.Offered)
	}
}

// Several readers, each with Inputs on all ports, and addresses that roam between
// them: in the end each is where one of the readers saw it last.
func TestRoaming(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 4)
	const addresses, readers = 24, 4
	var last [readers][addresses]string
	stop := make(chan struct{})
	var wg, others sync.WaitGroup
	others.Go(func() { // ends with stop
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			switch i % 3 {
			case 0:
				_ = l.p(1).Receive(ether(groupMAC, mac(5000+i%3000))) // makes the table grow
			case 1:
				_, _ = l.b.FDB().Flush(bridge.FDBFlush{StateMask: bridge.NUDPermanent})
			default:
				_ = l.b.Set(bridge.BridgeAttrs{AgeingTime: new(time.Minute)}) // runs the collector, which makes it shrink
			}
		}
	})
	var ready sync.WaitGroup
	ready.Add(readers)
	calm := make(chan struct{})
	for n := range readers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 5))
			var ins []*bridge.Input
			for i := 1; i <= 4; i++ {
				ins = append(ins, l.p(i).Input())
			}
			send := func(a int) {
				i := r.IntN(4)
				_ = ins[i].Receive([]frame.Frame{ether(groupMAC, mac(a))})
				last[n][a] = portName(i + 1)
			}
			for range 6000 {
				send(r.IntN(addresses))
			}
			ready.Done()
			<-calm // from here on nothing is flushed any more
			for k := range 10 * addresses {
				send(k % addresses)
			}
		})
	}
	ready.Wait()
	close(stop)
	others.Wait()
	close(calm)
	wg.Wait()
	for i := 1; i <= 4; i++ {
		require.NoError(t, l.p(i).Info().Failed, "a cable was given up: a goroutine of this test stood still for a second")
	}
	for a := range addresses {
		var legal []string
		for n := range readers {
			legal = append(legal, last[n][a])
		}
		assert.Contains(t, legal, l.where(mac(a), 0), "address %d", a)
	}
	balanced(t, l.b)
}

// The zero address is never in the table, where a slot without an entry has the key of it
// in VLAN 0: frames to it and from it find nothing there, whoever is learned meanwhile.
func TestZeroAddressBesideALearner(t *testing.T) {
	l := newLab(t, bridge.Config{FDBLimit: 1 << 16})
	for n := range 3 {
		l.add(n+1, bridge.PortConfig{})
	}
	l.learn(1, mac(1))
	asks, learns := l.p(1).Input(), l.p(2).Input()
	const batches = 400
	var wg sync.WaitGroup
	wg.Go(func() {
		fs := make([]frame.Frame, 32)
		for i := range batches {
			for k := range fs {
				fs[k] = ether(mac(1), frame.MACFromUint64(0x020000000000+uint64(i*len(fs)+k)<<8))
			}
			_ = learns.Receive(fs)
		}
	})
	fs := []frame.Frame{ether(frame.MAC{}, mac(1)), ether(mac(2), frame.MAC{})}
	for range batches {
		_ = asks.Receive(fs)
	}
	wg.Wait()
	in := l.ingress(1)
	assert.EqualValues(t, batches, in.Dropped[bridge.DropInvalidSource])
	got := map[string]int{}
	for _, d := range l.log.take() {
		if frame.MAC(d.wire[:6]) == (frame.MAC{}) {
			got[d.dev]++
		}
	}
	assert.Equal(t, map[string]int{"p2": batches, "p3": batches}, got)
}
