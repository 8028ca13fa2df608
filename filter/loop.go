package filter

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Probing says how loops are looked for, and what follows when there is one.
type Probing struct {
	Every time.Duration // between two probes of a port; 0: 5 s
	Hold  time.Duration // for so long behind the last sign of a loop a port is held; 0: 60 s; below: it is reported only

	// MaxHold bounds the hold of a port that is held again and again: each time twice as
	// long as before, unless it was free for MaxHold. 0: ten times Hold.
	MaxHold time.Duration

	VLANs []frame.VID // in which ports are probed too, with a tag of 802.1Q: loops of a VLAN that is nowhere untagged are not seen else
	Keep  []string    // ports that are not to be held: the other end of the loop is, unless it is one too

	Seed [32]byte // decides what probes bear, and is to be secret; zero: random
}

// Loop finds loops by probes, for networks without a spanning tree: each port that is
// FORWARDING sends a small broadcast frame now and then, and if that comes back, by
// whatever port, there is a way around. It reports the two ports ([LoopError]), and
// holds one down: nothing passes it any more in either direction, but for probes, so
// that a loop that lasts is still seen, without a storm in between, and the port is let
// go when it is over. Held is the port that the probe came back by; of two ports that
// are connected one is held, not both.
//
// Tick sends the probes and lets ports go: whoever makes a Loop has to call it. A probe
// bears a number that nobody can guess, so a station that makes up probes deceives
// nobody; one that sends back what it got is a loop, at its own port.
//
// A probe is a message of the Configuration Testing Protocol (Ethernet 2.0, section 8),
// EtherType 0x9000, which other equipment uses for the same purpose and stations do not
// mind: a Reply, which nobody answers.
type Loop struct {
	c       Probing
	keep    map[string]bool
	dropped atomic.Uint64
	clock   clock
	held    atomic.Pointer[map[string]bool] // ports; replaced, never edited; nil: none

	mu       sync.Mutex // guards the rest
	rand     *rand.ChaCha8
	next     int64           // when ports are probed next, on the scale of clock
	sent     map[token]probe // of the last two rounds
	round    int
	returned map[homecoming]int // the round of each probe that came back, by where
	ports    map[string]*hold   // that are held, or were not long ago
	holds    int                // how often a port was held
}

// A token is what tells a probe from others.
type token [16]byte

// A probe is one that was sent.
type probe struct {
	port  string
	round int
}

type homecoming struct {
	token
	port string
}

// A hold is of one port.
type hold struct {
	on     bool
	number int   // of Loop.holds
	until  int64 // on the scale of Loop.clock
	length time.Duration
}

// A LoopError says that a probe came back. From and To may be the same port. To is ""
// for the host: its own stack has sent the probe into the bridge.
type LoopError struct {
	From, To string
	Held     string // the port that is held down from now on; "": none
}

func (e *LoopError) Error() string {
	to := e.To
	switch to {
	case "":
		to = "the host"
	case e.From:
		to = "itself"
	}
	s := fmt.Sprintf("a loop from %s to %s", e.From, to)
	if e.Held != "" {
		s += ", " + e.Held + " is held down"
	}
	return s
}

var errVLAN = errors.New("filter: a VLAN is 1 to 4094")

// NewLoop makes a Loop. Errors: a negative number other than Hold, a VLAN that is none,
// a port without a name.
func NewLoop(c Probing) (*Loop, error) {
	switch {
	case c.Every < 0 || c.MaxHold < 0:
		return nil, errNoLimit
	case slices.Contains(c.Keep, ""):
		return nil, errPortName
	case slices.ContainsFunc(c.VLANs, func(v frame.VID) bool { return v < 1 || v > frame.MaxVID }):
		return nil, errVLAN
	}
	if c.Every == 0 {
		c.Every = 5 * time.Second
	}
	if c.Hold == 0 {
		c.Hold = time.Minute
	}
	if c.MaxHold == 0 {
		c.MaxHold = 10 * c.Hold
	}
	if c.Seed == [32]byte{} {
		_, _ = crand.Read(c.Seed[:]) // does not fail
	}
	l := &Loop{c: c, keep: map[string]bool{}, rand: rand.NewChaCha8(c.Seed),
		sent: map[token]probe{}, returned: map[homecoming]int{}, ports: map[string]*hold{}}
	l.c.VLANs = slices.Clone(c.VLANs)
	for _, name := range c.Keep {
		l.keep[name] = true
	}
	return l, nil
}

// Filter is the filter, named "loop". In front of others it sees what they drop.
func (l *Loop) Filter() bridge.Filter {
	return bridge.Filter{
		Name: "loop", Judge: l.judge,
		Hooks: bridge.Hooks(bridge.HookPreRouting, bridge.HookForward, bridge.HookLocalOut),
	}
}

// Dropped is how many frames, and copies, were dropped because a port is held down.
func (l *Loop) Dropped() uint64 { return l.dropped.Load() }

// Held lists the ports that are held down, by name.
func (l *Loop) Held() []string {
	if held := l.held.Load(); held != nil {
		return slices.Sorted(maps.Keys(*held))
	}
	return nil
}

const heldDown = "its port is held down: there was a loop"

func (l *Loop) judge(s *bridge.Passage) bridge.Ruling {
	if s.In == nil || s.Hook == bridge.HookPreRouting {
		if t, ok := parseProbe(s.Frame); ok {
			if r, done := l.cameBack(s, t); done {
				return r
			}
		}
	}
	held := l.held.Load()
	if held == nil {
		return bridge.Ruling{}
	}
	at := s.Out
	if s.Hook == bridge.HookPreRouting {
		at = s.In
	}
	if !(*held)[at.Name()] || s.In == nil && s.Frame.Dst().IsLinkLocal() {
		return bridge.Ruling{} // also BPDUs, which say that there is a bridge
	}
	if !s.Dry {
		l.dropped.Add(1)
	}
	return bridge.FilterDrop.Because(heldDown)
}

// cameBack takes in a probe of this bridge's own. done: it is one, and ends here.
func (l *Loop) cameBack(s *bridge.Passage, t token) (r bridge.Ruling, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ours := l.sent[t]
	if !ours {
		return bridge.Ruling{}, false // of another bridge, which wants to see it
	}
	steal := bridge.FilterSteal.Because("a probe for loops, of this bridge")
	to := ""
	if s.In != nil {
		to = s.In.Name()
	}
	back := homecoming{t, to}
	if _, seen := l.returned[back]; s.Dry || seen || s.In != nil && s.In.Info().State != bridge.StateForwarding {
		return steal, true
	}
	l.returned[back] = l.round
	e := &LoopError{From: p.port, To: to}
	if tell := l.hold(e, l.clock.now(s)); tell {
		s.Report(func() error { return e })
	}
	return steal, true
}

// hold holds a port down for a loop, or goes on holding it, and says whether there is
// anything to tell. l.mu must be held.
func (l *Loop) hold(e *LoopError, now int64) (tell bool) {
	if l.c.Hold < 0 {
		return true
	}
	// Of two that are held the later one is: the other may be let go first.
	last, from := l.ports[e.To], l.ports[e.From]
	if from.is() && (!last.is() || from.number > last.number) {
		last = from
	}
	if last.is() {
		last.until = now + int64(last.length)
		return false
	}
	e.Held = e.To
	if e.Held == "" || l.keep[e.Held] {
		e.Held = e.From
	}
	if l.keep[e.Held] {
		e.Held = ""
		return true
	}
	h := l.ports[e.Held]
	if h == nil {
		h = &hold{length: l.c.Hold}
		l.ports[e.Held] = h
	} else {
		h.length = min(2*h.length, max(l.c.MaxHold, l.c.Hold))
	}
	l.holds++
	h.on, h.number, h.until = true, l.holds, now+int64(h.length)
	l.publish()
	return true
}

func (h *hold) is() bool { return h != nil && h.on }

// publish renews what judge looks at. l.mu must be held.
func (l *Loop) publish() {
	held := map[string]bool{}
	for name, h := range l.ports {
		if h.on {
			held[name] = true
		}
	}
	if len(held) == 0 {
		l.held.Store(nil)
		return
	}
	l.held.Store(&held)
}

// Tick does what is due at now, on the scale of Config.Clock: it has the ports of b
// that are FORWARDING send probes, and lets go ports that were held long enough. It
// says when it is to be called next. It must not be called by a filter.
func (l *Loop) Tick(b *bridge.Bridge, now time.Time) (next time.Time) {
	l.mu.Lock()
	at := l.clock.at(now)
	l.release(at)
	var ports []*bridge.Port
	var frames [][]frame.Frame
	if at >= l.next {
		l.next = at + int64(l.c.Every)
		l.forget()
		for _, p := range b.Ports() {
			if i := p.Info(); i.State == bridge.StateForwarding {
				ports, frames = append(ports, p), append(frames, l.probes(p.Name(), i.Address))
			}
		}
	}
	due := l.next
	for _, h := range l.ports {
		if h.on {
			due = min(due, h.until)
		}
	}
	l.mu.Unlock()
	for i, p := range ports {
		_ = p.Send(frames[i]...) // refused only by a port that has left
	}
	return now.Add(time.Duration(due - at))
}

// release lets ports go. l.mu must be held.
func (l *Loop) release(now int64) {
	for name, h := range l.ports {
		switch {
		case h.on && h.until <= now:
			h.on = false
			l.publish()
		case !h.on && now-h.until > int64(l.c.MaxHold):
			delete(l.ports, name)
		}
	}
}

// forget begins a round, and forgets what is older than the one before. l.mu must be
// held.
func (l *Loop) forget() {
	l.round++
	maps.DeleteFunc(l.sent, func(_ token, p probe) bool { return p.round < l.round-1 })
	maps.DeleteFunc(l.returned, func(_ homecoming, round int) bool { return round < l.round-1 })
}

// probes makes those of a port, one for each way that it is probed. l.mu must be held.
func (l *Loop) probes(port string, address frame.MAC) []frame.Frame {
	fs := make([]frame.Frame, 1+len(l.c.VLANs))
	for i := range fs {
		var t token
		_, _ = l.rand.Read(t[:]) // does not fail
		l.sent[t] = probe{port, l.round}
		fs[i].Data = appendProbe(nil, address, t)
		if i > 0 {
			fs[i].Tag = frame.Tag{TPID: frame.TypeDot1Q}.WithVID(l.c.VLANs[i-1])
		}
	}
	return fs
}

const typeLoopback frame.EtherType = 0x9000 // Configuration Testing Protocol

// probeStart is what a probe begins with behind its EtherType: nothing to skip, the
// function Reply, a receipt number, all little-endian, and who it is.
const probeStart = "\x00\x00" + "\x01\x00" + "\x00\x00" + "bridge loop test"

const minFrame = 60 // that Ethernet carries, without FCS

func appendProbe(b []byte, src frame.MAC, t token) []byte {
	b = append(b, frame.Broadcast[:]...)
	b = append(b, src[:]...)
	b = append(b, byte(typeLoopback>>8), byte(typeLoopback&0xff))
	b = append(b, probeStart...)
	b = append(b, t[:]...)
	return append(b, make([]byte, max(minFrame-len(b), 0))...)
}

// parseProbe finds the token of a probe, behind whatever tags.
func parseProbe(f *frame.Frame) (t token, ok bool) {
	if !f.Dst().IsBroadcast() {
		return t, false
	}
	kind, at, ok := Payload(f)
	if !ok || kind != typeLoopback {
		return t, false
	}
	b := f.Data[at:]
	if len(b) < len(probeStart)+len(t) || string(b[:len(probeStart)]) != probeStart {
		return t, false
	}
	return token(b[len(probeStart):]), true
}
