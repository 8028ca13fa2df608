package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A world is a random configuration, from which any number of equal labs is made.
type world struct {
	cfg    bridge.Config
	ports  []bridge.PortConfig
	states []bridge.PortState
	vstate map[int]bridge.PortState // of VLAN 10 on a port
	static []bridge.FDBRequest      // Port is filled in by port index: its MAC's last byte says which
	filter uint32                   // of arbitrary; 0: none
}

func coin(r *rand.Rand, oneIn int) bool { return r.IntN(oneIn) == 0 }

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomWorld(r *rand.Rand) world {
	w := world{vstate: map[int]bridge.PortState{}}
	w.cfg = bridge.Config{
		VLANFiltering: coin(r, 2), VLANProtocol: pick(r, frame.TypeDot1Q, frame.TypeDot1AD), Promisc: coin(r, 4),
		VLANStats: coin(r, 3), GroupFwdMask: uint16(r.Uint32()) &^ 7, NoLinkLocalLearn: coin(r, 4), STPState: r.IntN(5) / 4,
		WireMode: coin(r, 4),
	}
	w.filter = pick(r, 0, 0, r.Uint32())
	if coin(r, 3) {
		w.cfg.FDBMaxLearned = 1 + r.Uint32N(4)
	}
	if coin(r, 2) {
		w.cfg.VLANs = bridge.Trunk(1, 10)
	}
	for range 2 + r.IntN(4) {
		c := bridge.PortConfig{
			NoLearning: coin(r, 5), NoFlood: coin(r, 5), NoMcastFlood: coin(r, 5), NoBcastFlood: coin(r, 5),
			Hairpin: coin(r, 5), Isolated: coin(r, 3), ProxyARP: coin(r, 8), Locked: coin(r, 6),
			GroupFwdMask: uint16(r.Uint32()) &^ 2, MTU: pick(r, 0, 1400), Caps: bridge.Caps{Checksum: true, TSO: true, USO: true},
		}
		c.MAB = c.Locked && !c.NoLearning && coin(r, 2)
		c.VLANs = pick(r, nil, bridge.Access(10), bridge.Trunk(1, 10, 20), bridge.Trunk(0, 10), []bridge.VLAN{{VID: 20, PVID: true}, {VID: 10, Untagged: true}})
		w.ports = append(w.ports, c)
		w.states = append(w.states, pick(r, bridge.StateForwarding, bridge.StateForwarding, bridge.StateForwarding, bridge.StateLearning, bridge.StateListening))
		if coin(r, 4) {
			w.vstate[len(w.ports)] = pick(r, bridge.StateBlocking, bridge.StateLearning)
		}
		if coin(r, 3) {
			w.static = append(w.static, bridge.FDBRequest{
				MAC: mac(r.IntN(6)), State: pick(r, bridge.NUDNoARP, bridge.NUDPermanent, bridge.NUDReachable),
				Flags: pick[bridge.NTFFlags](r, 0, 0, bridge.NTFExtLearned), Mode: bridge.FDBMode(len(w.ports)),
			})
		}
	}
	return w
}

// simple takes away most of what is special about w.
func (w *world) simple(r *rand.Rand) {
	w.cfg.Promisc, w.cfg.VLANStats, w.filter = false, false, 0
	for i := range w.ports {
		if c := &w.ports[i]; !coin(r, 5) {
			c.NoLearning, c.Locked, c.MAB, c.Isolated, c.ProxyARP = false, false, false, false, false
			w.states[i] = bridge.StateForwarding
		}
	}
}

// lab makes a lab of w; caps has a say in what the cables take.
func (w world) lab(t testing.TB, tagAside bool) *lab {
	cfg := w.cfg
	cfg.STPState = 0 // port states can be set only while it is off
	l := newLab(t, cfg)
	for i, c := range w.ports {
		c.Caps.TagAside = tagAside
		l.add(i+1, c)
	}
	if w.filter != 0 {
		require.NoError(t, l.b.SetFilters(l.arbitrary(w.filter)))
	}
	for i, s := range w.states {
		l.set(i+1, bridge.PortAttrs{State: &s})
	}
	for n, s := range w.vstate {
		_ = l.p(n).VLANs().SetState(10, 0, s) // where the port is in VLAN 10
	}
	for _, r := range w.static {
		r.Port, r.Mode = l.p(int(r.Mode)), bridge.FDBReplace
		_ = l.b.FDB().Update(r) // where the port's state allows it
	}
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: &w.cfg.STPState}))
	return l
}

// A sent is one frame, its tag in the data, and the port that it comes in by.
type sent struct {
	port int
	f    frame.Frame
}

func (w world) randomFrame(r *rand.Rand) sent {
	n := len(w.ports)
	s := sent{port: r.IntN(n + 1)}
	dst := pick(r, frame.Broadcast, groupMAC, linkLocal(byte(r.IntN(16))), portMAC(1+r.IntN(n)), mac(r.IntN(6)), mac(r.IntN(6)), mac(r.IntN(6)), mac(100), zeroMAC)
	src := pick(r, mac(r.IntN(6)), mac(r.IntN(6)), mac(r.IntN(6)), mac(r.IntN(6)), mac(r.IntN(6)), portMAC(1+r.IntN(n)), groupMAC, zeroMAC)
	size := 60 + r.IntN(20)
	if s.port != 0 && coin(r, 4) {
		size = 1410 + r.IntN(20)
	}
	s.f = etherN(dst, src, size)
	if coin(r, 5) {
		s.f = withType(s.f, frame.TypePAE)
	}
	for range pick(r, 0, 1, 1, 2) {
		s.f = tagged(s.f, pick(r, frame.TypeDot1Q, frame.TypeDot1AD), uint16(r.IntN(16))<<12|pick[uint16](r, 0, 1, 10, 20, 4095))
	}
	return s
}

// asAside is a frame with its outer tag, if it has one, beside the data.
func asAside(f frame.Frame) frame.Frame {
	g := frame.Frame{Data: f.Data}
	g.Lift()
	tag := g.Tag
	g.Tag = frame.Tag{}
	return frame.Frame{Data: g.AppendWire(nil), Tag: tag}
}

func (l *lab) stats() map[string]any {
	all := map[string]any{"host": l.b.Stats()}
	for _, p := range l.b.Ports() {
		all[p.Name()] = p.Stats()
	}
	return all
}

// same asserts that two labs of one world ended alike.
func same(t *testing.T, a, b *lab, what string) {
	t.Helper()
	require.Equal(t, snap(a.b), snap(b.b), what)
	require.Equal(t, a.stats(), b.stats(), what)
}

// repetitions is how often a test in which nothing runs side by side is repeated with
// other seeds: under -short, with which the race detector is run, a quarter of n times.
func repetitions(n int) int {
	if testing.Short() {
		return (n + 3) / 4
	}
	return n
}

// properties runs a property test with n seeds; a failure names its own.
func properties(t *testing.T, n int, fn func(t *testing.T, r *rand.Rand)) {
	for seed := range uint64(n) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { fn(t, rand.New(rand.NewPCG(seed, 42))) })
	}
}

// A tag that comes beside the data is a tag all the same, to whatever cable it
// leaves; and the bytes of the caller are never changed.
func TestTagAsideIsTag(t *testing.T) {
	properties(t, repetitions(150), func(t *testing.T, r *rand.Rand) {
		w := randomWorld(r)
		labs := []*lab{w.lab(t, false), w.lab(t, false), w.lab(t, true), w.lab(t, true)}
		for i := range 80 {
			s := w.randomFrame(r)
			g := asAside(s.f)
			require.Equal(t, s.f.Data, wireOf(g))
			keptF, keptG := s.f.Clone(), g.Clone()
			want := brief(labs[0].in(s.port, s.f))
			for k, f := range []frame.Frame{1: g, 2: s.f, 3: g} {
				if k > 0 {
					require.Equal(t, want, brief(labs[k].in(s.port, f)), "frame %d (% x) into %d, lab %d", i, s.f.Data[:22], s.port, k)
				}
			}
			require.Equal(t, keptF, s.f)
			require.Equal(t, keptG, g)
		}
		for _, l := range labs[1:] {
			same(t, labs[0], l, "tag aside")
		}
		balanced(t, labs[0].b)
	})
}

// A batch is transport: N frames in one batch do what N batches of one do, and
// batches cut anywhere and brought by several Inputs in turn. And what is done at once
// for a frame with which there is nothing special is what the steps do that a Trace is
// shown: the batches of one are watched.
func TestBatchIsTransport(t *testing.T) {
	properties(t, repetitions(150), func(t *testing.T, r *rand.Rand) {
		w := randomWorld(r)
		if coin(r, 2) {
			w.simple(r)
		}
		whole, single, cut := w.lab(t, coin(r, 2)), w.lab(t, coin(r, 2)), w.lab(t, coin(r, 2))
		single.b.SetTrace(func(bridge.Step) {})
		ins := map[int][]*bridge.Input{}
		for range 6 {
			pause := time.Duration(r.IntN(3)) * 40 * time.Second
			for _, l := range []*lab{whole, single, cut} {
				l.clock.add(pause)
				l.b.Tick(l.clock.now())
			}
			port := 1 + r.IntN(len(w.ports))
			var fs []frame.Frame
			for range 1 + r.IntN(150) {
				f := w.randomFrame(r).f
				if n := len(fs); n > 0 && coin(r, 2) { // traffic comes in runs
					copy(f.Data[:12], fs[n-1].Data[:12])
					if coin(r, 2) {
						f = fs[n-1]
					}
				}
				if f.Plain() && coin(r, 2) {
					f = asAside(f)
				}
				fs = append(fs, f)
			}
			var one []delivery
			for _, f := range fs {
				one = append(one, single.in(port, f)...)
			}
			require.True(t, sameDeliveries(one, whole.in(port, fs...)), "%d frames into p%d", len(fs), port)
			if ins[port] == nil {
				ins[port] = []*bridge.Input{cut.p(port).Input(), cut.p(port).Input()}
			}
			for rest := fs; len(rest) > 0; {
				n := 1 + r.IntN(len(rest))
				require.NoError(t, ins[port][r.IntN(2)].Receive(rest[:n]))
				rest = rest[n:]
			}
			require.True(t, sameDeliveries(one, cut.log.take()), "%d frames into p%d, cut", len(fs), port)
		}
		same(t, single, whole, "batch")
		same(t, single, cut, "cut")
		balanced(t, whole.b)
		balanced(t, cut.b)
	})
}

// What Explain says is what then happens, and saying it changes nothing.
func TestExplainIsTrue(t *testing.T) {
	properties(t, repetitions(150), func(t *testing.T, r *rand.Rand) {
		w := randomWorld(r)
		l := w.lab(t, coin(r, 2))
		for i := range 80 {
			s := w.randomFrame(r)
			if coin(r, 20) {
				l.clock.add(time.Second)
			}
			before, stats := snap(l.b), l.stats()
			var e bridge.Explanation
			if s.port == 0 {
				e = l.b.ExplainXmit(s.f)
			} else {
				e = l.p(s.port).Explain(s.f)
			}
			require.Equal(t, before, snap(l.b), "Explain changed something")
			require.Equal(t, stats, l.stats(), "Explain counted something")
			ledger := l.ingress(s.port)
			var said []delivery
			for _, o := range e.Out {
				said = append(said, delivery{o.Dev, wireOf(o.Frame)})
			}
			require.Equal(t, brief(said), brief(l.in(s.port, s.f)), "frame %d (% x) into %d:\n%s", i, s.f.Data[:22], s.port, e)
			want := ledger
			want.Received++
			switch e.Verdict {
			case bridge.Used:
				want.Used++
			case bridge.Passed:
				want.Passed++
			case bridge.Consumed:
				want.Consumed++
			case bridge.Drop:
				want.Dropped[e.Reason]++
			}
			require.Equal(t, want, l.ingress(s.port), "frame %d into %d:\n%s", i, s.port, e)
		}
	})
}

// The steps that Explain gives are those that a Trace sees.
func TestExplainIsTrace(t *testing.T) {
	properties(t, 30, func(t *testing.T, r *rand.Rand) {
		w := randomWorld(r)
		l := w.lab(t, true)
		var seen []bridge.Step
		l.b.SetTrace(func(s bridge.Step) { seen = append(seen, s) })
		for i := range 40 {
			s := w.randomFrame(r)
			if s.port == 0 {
				continue
			}
			e := l.p(s.port).Explain(s.f)
			seen = nil
			l.in(s.port, s.f)
			var decided []bridge.Step
			for _, st := range seen {
				if st.Probe != bridge.ProbeXmit && !(st.Probe == bridge.ProbeNetifReceive && st.Decision == bridge.Sent) {
					decided = append(decided, st)
				}
			}
			require.Equal(t, e.Steps, decided, "frame %d", i)
		}
	})
}

// Several Inputs of one port, and Receive, carry frames alike.
func TestInputs(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 3)
	a, b := l.p(1).Input(), l.p(1).Input()
	require.NoError(t, a.Receive([]frame.Frame{ether(frame.Broadcast, mac(1))}))
	require.NoError(t, b.Receive([]frame.Frame{ether(mac(1), mac(2))}))
	require.NoError(t, l.p(1).Receive(ether(mac(3), mac(2))))
	assert.Equal(t, []string{"p3", "p2", "br0", "p3", "p2"}, devs(l.log.take()))
	assert.EqualValues(t, 3, l.ingress(1).Received, "the port's ledger sums its Inputs")
	assert.NoError(t, a.Receive(nil))
}

// Input i writes to queue i, modulo their number, of every port.
func TestQueues(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{Queues: []bridge.FrameIO{newRecorder("p2.1", l.log), newRecorder("p2.2", l.log)}})
	for i, want := range []string{"p2", "p2.1", "p2.2", "p2"} {
		in := l.p(1).Input()
		require.NoError(t, in.Receive([]frame.Frame{ether(mac(9), mac(1))}))
		assert.Equal(t, []string{want}, devs(l.log.take()), "input %d", i)
	}
	assert.EqualValues(t, 4, l.p(2).Stats().TxPackets)
}
