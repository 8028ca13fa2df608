package stp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// reader takes numbers from the bytes of a fuzz input; zeros once they are used up.
type reader struct{ b []byte }

func (r *reader) next() uint64 {
	if len(r.b) == 0 {
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return uint64(v)
}

// id gives one of few identifiers, so that they meet: that of the bridge among them.
func (r *reader) id() BridgeID {
	v := r.next()
	return BridgeID{uint16(v>>4&3) << 12, frame.MACFromUint64(v & 7)}
}

func (r *reader) time() Ticks { return Ticks(r.next()) << 5 }

func (r *reader) bpdu() BPDU {
	b := BPDU{Version: uint8(r.next() & 3), Type: []Type{RST, RST, Config, TCN}[r.next()&3], Flags: Flags(r.next())}
	if b.Type == TCN {
		b.Flags = 0
		return b
	}
	b.Root, b.Cost, b.Bridge = r.id(), uint32(r.next())<<(r.next()&24), r.id()
	b.Port = PortID(0x8000 | r.next()&7)
	b.MessageAge, b.MaxAge, b.HelloTime, b.ForwardDelay = r.time(), r.time(), r.time(), r.time()
	return b
}

// rapidRig is a machine under fuzz, with what it told.
type rapidRig struct {
	t     testing.TB
	m     *Rapid
	now   time.Duration
	state map[uint16]State
	sent  map[uint16][]time.Duration
	hold  map[uint16]int // the greatest HoldCount
}

func newRapidRig(t testing.TB) *rapidRig {
	g := &rapidRig{t: t, state: map[uint16]State{}, sent: map[uint16][]time.Duration{}, hold: map[uint16]int{}}
	g.m = NewRapid(RapidConfig{Send: g.send, State: func(p uint16, s State) {
		require.NotEqual(t, Listening, s)
		require.NotEqual(t, g.state[p], s, "told twice")
		g.state[p] = s
	}}, BridgeID{0x1000, frame.MACFromUint64(3)})
	return g
}

// send checks what holds at any moment: a port that is Disabled is silent, and a port
// sends no more than the hold count allows.
func (g *rapidRig) send(port uint16, b *BPDU) {
	s, ok := g.m.Port(port)
	require.True(g.t, ok)
	require.NotEqual(g.t, Disabled, g.state[port])
	require.NotEqual(g.t, RoleOfDisabled, s.Role)
	p, err := Parse(b.Append(nil))
	require.NoError(g.t, err)
	require.Equal(g.t, *b, p)
	since := g.sent[port]
	for len(since) > 0 && since[0] <= g.now-time.Second {
		since = since[1:]
	}
	g.sent[port] = append(since, g.now)
	require.LessOrEqual(g.t, len(g.sent[port]), 10+1, "in a second: the count, and one that it went down by")
}

// check holds what is true between calls.
func (g *rapidRig) check() {
	roots := 0
	for _, p := range g.m.ports {
		s, _ := g.m.Port(p.num)
		switch s.Role {
		case RoleOfRoot:
			roots++
			require.Equal(g.t, p.num, g.m.Status().RootPort)
		case RoleOfDisabled:
			require.Contains(g.t, []State{Disabled}, s.State)
		case RoleOfAlternate, RoleOfBackup:
			require.Equal(g.t, Blocking, s.State)
		}
		require.Equal(g.t, s.State, g.state[p.num])
		require.Equal(g.t, !p.portEnabled, s.State == Disabled)
		require.LessOrEqual(g.t, p.txCount, g.m.opts.HoldCount)
		require.True(g.t, p.selected && !p.updtInfo && p.role == p.selectedRole, "nothing is left to do")
	}
	require.LessOrEqual(g.t, roots, 1)
	st := g.m.Status()
	require.Equal(g.t, roots == 0, st.RootPort == 0)
	require.LessOrEqual(g.t, st.Root.Compare(st.ID), 0, "the root is no worse than the bridge")
}

func (g *rapidRig) step(r *reader) {
	port := uint16(1 + r.next()&3)
	switch op := r.next() % 12; op {
	case 0:
		g.m.AddPort(g.now, port, r.port(port))
	case 1:
		g.m.RemovePort(g.now, port)
		delete(g.state, port)
	case 2:
		g.m.SetPort(g.now, port, r.port(port))
	case 3:
		v := r.next()
		g.m.SetLink(g.now, port, Link{Up: v&3 != 0, PointToPoint: v&4 != 0, Cost: uint32(v)})
	case 4:
		v := r.next()
		g.m.SetOptions(g.now, RapidOptions{
			ID:     BridgeID{uint16(v&3) << 12, frame.MACFromUint64(3)},
			MaxAge: time.Duration(r.next()) * time.Second / 4, HelloTime: time.Duration(r.next()) * time.Second / 16,
			ForwardDelay: time.Duration(r.next()) * time.Second / 8, HoldCount: int(v >> 4), ForceSTP: v&4 != 0,
		})
	case 5:
		g.m.Mcheck(g.now, port)
	case 6, 7:
		g.now += time.Duration(r.next()) * time.Second / 16
		if r.next()&1 == 0 { // in time
			for at, ok := g.m.NextTimer(); ok && at <= g.now; at, ok = g.m.NextTimer() {
				now := g.now
				g.now = at
				g.m.Tick(at)
				g.now = now
			}
		}
		g.m.Tick(g.now)
	default:
		b := r.bpdu()
		g.m.Handle(g.now, port, &b)
	}
	g.check()
}

func (r *reader) port(num uint16) RapidPort {
	v := r.next() | r.next()<<8
	return RapidPort{
		ID: PortID(0x8000|num) - PortID(v&1)<<12, Cost: uint32(v >> 1 & 3),
		AdminEdge: v&8 != 0, NoAutoEdge: v&16 != 0, PointToPoint: PointToPoint(v >> 5 & 3),
		RestrictedRole: v&0x180 == 0x80, RestrictedTCN: v&0x200 != 0,
		BPDUGuard: v&0x1c00 == 0x400, BPDUFilter: v&0xe000 == 0x2000, LoopGuard: v&0x4000 != 0,
	}
}

// Whatever comes in: no crash, no call without end, one root port at most, no port
// forwards that has no role for it, no BPDU by a port that is disabled, no more of them
// than the hold count allows.
func FuzzRapid(f *testing.F) {
	up := []byte{0, 0, 0, 0, 1, 0, 0, 0, 0, 3, 5, 1, 3, 5}
	f.Add(up)
	f.Add(append(up, 0, 6, 200, 0, 0, 8, 2, 0, 0x3e, 0x01, 0, 0, 0x01, 1, 1, 160, 16, 120))
	f.Add(append(up, 0, 8, 0, 2, 0x01, 0x01, 0, 0, 0x01, 1, 1, 160, 16, 120, 0, 7, 255, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := newRapidRig(t)
		for r := (&reader{b}); len(r.b) > 0; {
			g.step(r)
		}
	})
}
