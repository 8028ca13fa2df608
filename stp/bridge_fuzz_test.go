package stp

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// FuzzBridge reads bytes as BPDUs, links, requests and time for a Bridge with four
// ports, and holds after each step what must always be so.
func FuzzBridge(f *testing.F) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, script []byte) { runBridge(t, script) })
}

func TestBridgeScripts(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 2))
		b := make([]byte, 1000)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		runBridge(t, b)
	}
}

const scriptPorts = 4

// bridgeScript is a Bridge under a script.
type bridgeScript struct {
	t    testing.TB
	left []byte
	b    *Bridge
	now  time.Duration
	up   bool
	pure bool // the mode has been Kernel all along

	// BPDUs of the bridge's own came back, and it bore another id before or does now: then
	// it may take what it once said for another's, until that is too old.
	looped, renamed bool

	link  [scriptPorts + 1]bool
	state [scriptPorts + 1]State
	sent  [scriptPorts + 1]time.Duration // when the last Config BPDU was, plus one; 0: none since the link came up
}

func (s *bridgeScript) n(n int) int {
	if len(s.left) == 0 {
		return 0
	}
	x := int(s.left[0]) % n
	s.left = s.left[1:]
	return x
}

func runBridge(t testing.TB, script []byte) {
	s := &bridgeScript{t: t, left: script}
	s.b = NewBridge(BridgeConfig{Send: s.send, State: s.moved, Flush: func(port uint16) {
		require.Equal(t, Disabled, s.state[port])
		s.sent[port] = 0
	}})
	for num := range uint16(scriptPorts) {
		s.b.AddPort(num+1, PortID(0x8001+num), 100)
	}
	s.b.SetAddress(0, frame.MAC{2, 0, 0, 0, 0, 0x10})
	if s.pure = s.n(4) > 0; s.pure {
		s.b.SetMode(0, Kernel)
	}
	s.setUp(true)
	for len(s.left) > 0 && !t.Failed() {
		s.step()
		s.hold()
	}
}

func (s *bridgeScript) setUp(up bool) {
	if up == s.up {
		return // as the callers of EnablePort, who tell of changes
	}
	s.up = up
	s.b.SetUp(s.now, up)
	for num := uint16(1); num <= scriptPorts; num++ {
		if up && s.link[num] {
			s.b.EnablePort(s.now, num)
		}
	}
}

// send holds that the hold timer is kept to.
func (s *bridgeScript) send(port uint16, p *BPDU) {
	require.Equal(s.t, Kernel, s.b.Status(s.now).Mode)
	require.NotEqual(s.t, Disabled, s.state[port])
	if p.Type == TCN {
		require.Equal(s.t, s.b.Status(s.now).RootPort, port, "a TCN goes towards the root")
		return
	}
	if last := s.sent[port]; last != 0 {
		require.GreaterOrEqual(s.t, s.now+1-last, 750*time.Millisecond, "Config BPDUs in a hurry")
	}
	s.sent[port] = s.now + 1
	require.Equal(s.t, s.b.Status(s.now).ID, p.Bridge)
	require.Less(s.t, uint64(p.MessageAge.Duration()), uint64(256*time.Second))
}

// moved holds that a port comes to forward by way of the states before that, while a tree
// runs.
func (s *bridgeScript) moved(port uint16, to State) {
	from := s.state[port]
	s.state[port] = to
	if !s.pure {
		return
	}
	delay := s.b.Status(s.now).Times.ForwardDelay
	switch to {
	case Learning:
		require.Equal(s.t, Listening, from)
	case Forwarding:
		require.True(s.t, from == Learning || from == Blocking && delay < tick, "from %v", from)
	}
}

func (s *bridgeScript) step() {
	num := uint16(1 + s.n(scriptPorts))
	switch s.n(12) {
	case 0:
		s.link[num] = !s.link[num]
		if s.up && s.link[num] {
			s.b.EnablePort(s.now, num)
		} else if s.up {
			s.b.DisablePort(s.now, num)
		}
	case 1:
		s.setUp(s.n(4) > 0)
	case 2:
		s.request(num)
	case 3, 4, 5:
		s.later(time.Duration(s.n(256)) * time.Duration(s.n(256)) * time.Millisecond)
	case 6:
		n := s.n(50)
		pdu := s.left[:min(len(s.left), n)]
		s.left = s.left[len(pdu):]
		s.b.ReceivePDU(s.now, num, pdu)
	case 7:
		s.b.Receive(s.now, num, &BPDU{Type: TCN})
	default:
		s.b.Receive(s.now, num, s.bpdu())
	}
}

func (s *bridgeScript) request(num uint16) {
	switch s.n(9) {
	case 0:
		s.renamed = true
		s.b.SetPriority(s.now, uint16(s.n(5))<<13)
	case 1:
		s.b.SetCost(s.now, num, uint32(s.n(200)))
	case 2:
		s.b.SetPortID(s.now, num, PortID(s.n(64))<<10|PortID(num))
	case 3:
		s.b.SetGuard(num, s.n(4) == 0, s.n(3) == 0)
	case 4:
		s.renamed = true
		s.b.SetAddress(s.now, frame.MAC{2, 0, 0, 0, 0, byte(s.n(64))})
	case 5:
		s.b.SetForwardDelay(time.Duration(2+s.n(28)) * time.Second)
	case 6:
		s.b.SetHelloTime(time.Duration(1000+s.n(90)*100) * time.Millisecond)
		s.b.SetMaxAge(time.Duration(6+s.n(34)) * time.Second)
	case 7:
		if !s.pure {
			s.b.SetMode(s.now, Mode(s.n(3)))
		}
	default:
		if s.b.Status(s.now).Mode != Kernel {
			s.b.SetState(s.now, num, State(s.n(5)))
		}
	}
}

func (s *bridgeScript) bpdu() *BPDU {
	id := func() BridgeID {
		if s.n(6) == 0 {
			return s.b.Status(s.now).ID
		}
		return BridgeID{uint16(s.n(4)) << 13, frame.MAC{2, 0, 0, 0, 0, byte(0x40 + s.n(8))}}
	}
	p := &BPDU{
		Type: Config, Flags: Flags(s.n(256)) & (TopologyChange | TopologyChangeAck), Root: id(), Cost: uint32(s.n(8)) * 50, Bridge: id(),
		Port: PortID(0x8001 + s.n(8)), MessageAge: Ticks(s.n(256) * 8), MaxAge: Ticks(s.n(256) * 40),
		HelloTime: Ticks(s.n(8) * 256), ForwardDelay: Ticks(s.n(20) * 256),
	}
	if own := s.b.Status(s.now).ID; p.Bridge == own {
		s.looped = true
		p.Root, p.Cost = own, 0 // what it sent itself: of another's BPDUs in its name Linux makes what it can
	}
	return p
}

// later lets time pass, each timer at its moment or, now and then, all too late.
func (s *bridgeScript) later(d time.Duration) {
	end := s.now + d
	if s.n(4) > 0 {
		for at, ok := s.b.NextTimer(); ok && at <= end; at, ok = s.b.NextTimer() {
			require.Greater(s.t, at, s.now, "a timer that was run is due again")
			s.now = at
			s.b.Tick(at)
		}
	}
	s.now = end
	s.b.Tick(end)
}

// hold holds what must always be so.
func (s *bridgeScript) hold() {
	at, ok := s.b.NextTimer()
	assert.True(s.t, !ok || at <= s.now+260*time.Second, "a timer that is due in %v", at-s.now)
	st := s.b.Status(s.now)
	if !s.up {
		assert.False(s.t, st.TopologyChange || st.TopologyChangeDetected)
	}
	if !s.pure || s.looped && s.renamed {
		return
	}
	assert.Equal(s.t, st.RootPort == 0, st.Root == st.ID, "the bridge is the root, or there is a way there")
	assert.LessOrEqual(s.t, st.Root.Compare(st.ID), 0)
	for num := uint16(1); num <= scriptPorts; num++ {
		p, _ := s.b.Port(s.now, num)
		require.Equal(s.t, s.state[num], p.State)
		serves := p.DesignatedBridge == st.ID && p.DesignatedPort == p.ID
		switch {
		case !s.up || !s.link[num]:
			assert.Equal(s.t, Disabled, p.State)
		case p.State == Disabled: // by BPDU guard
			assert.Zero(s.t, p.ForwardDelayTimer+p.HoldTimer+p.MessageAgeTimer)
		case num == st.RootPort:
			assert.False(s.t, serves)
			assert.NotEqual(s.t, Blocking, p.State)
			assert.Equal(s.t, st.Root, p.DesignatedRoot)
			assert.Equal(s.t, st.RootCost, p.DesignatedCost+p.Cost)
		case serves:
			assert.NotEqual(s.t, Blocking, p.State)
			assert.Zero(s.t, p.MessageAgeTimer)
		default:
			assert.Equal(s.t, Blocking, p.State, "port %d", num)
			assert.False(s.t, p.ConfigPending || p.TopologyChangeAck)
		}
	}
}
