package filter

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Flapping says when an address flaps, and what follows.
type Flapping struct {
	Moves  int           // an address that moves so often between ports...; 0: 5
	Within time.Duration // ...in this time flaps; 0: 10 s
	Hold   time.Duration // for so long it stays at the port where it was before; 0: 60 s; below: it is reported only

	// Addresses is how many addresses that moved are remembered, about 150 bytes
	// each; 0: 1024. Of more the first is forgotten, one that is held last.
	Addresses int
}

// Flap finds addresses that jump between ports, as those of stations behind a loop
// do, or of one whose address another one uses. Such an address is held down: for a
// while frames from it are let in by the port only where it was before it began to
// jump. Moves are those that the forwarding database makes: while it keeps the address
// where it is, because a port does not learn or the entry is static, frames from
// elsewhere count as one move.
type Flap struct {
	c       Flapping
	dropped atomic.Uint64
	clock   clock
	until   atomic.Int64 // when the last hold ends, on the scale of clock

	mu     sync.Mutex // guards the rest
	movers map[station]*mover
	order  []station // of movers, as they began to move; a ring once it is full
	next   int       // the first in the ring
}

// A station is an address in a VLAN.
type station struct {
	mac frame.MAC
	vid frame.VID
}

// A mover is what is remembered of an address that moved.
type mover struct {
	home, last string // ports: where it was first, where it was seen last
	moves      int
	since      int64 // when it began to move, on the scale of Flap.clock
	held       int64 // until when it is held; 0: it is not
}

// NewFlap makes a Flap. Error: a negative number other than Hold.
func NewFlap(c Flapping) (*Flap, error) {
	if c.Moves < 0 || c.Within < 0 || c.Addresses < 0 {
		return nil, errNoLimit
	}
	if c.Moves == 0 {
		c.Moves = 5
	}
	if c.Within == 0 {
		c.Within = 10 * time.Second
	}
	if c.Hold == 0 {
		c.Hold = time.Minute
	}
	if c.Addresses == 0 {
		c.Addresses = 1024
	}
	return &Flap{c: c, movers: map[station]*mover{}}, nil
}

// Filter is the filter, named "flap".
func (f *Flap) Filter() bridge.Filter {
	return bridge.Filter{Name: "flap", Hooks: bridge.Hooks(bridge.HookPreRouting), Judge: f.judge}
}

// Dropped is how many frames were dropped because their source is held elsewhere.
func (f *Flap) Dropped() uint64 { return f.dropped.Load() }

var errFlaps = errors.New("the address jumps between ports")

func (f *Flap) judge(s *bridge.Passage) bridge.Ruling {
	now := f.clock.now(s)
	where, local, known := s.Lookup(s.Frame.Src())
	moves := known && !local && where != nil && where != s.In
	if !moves && f.until.Load() <= now {
		return bridge.Ruling{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	k := station{s.Frame.Src(), s.VID}
	var m mover
	if old := f.movers[k]; old != nil {
		m = *old
	}
	if moves && m.held <= now {
		m.move(&f.c, where.Name(), s.In.Name(), now)
		if !s.Dry {
			f.keep(k, m, now)
		}
		if m.moves == f.c.Moves {
			s.Report(func() error { return fmt.Errorf("%w: %d times, last from %s", errFlaps, m.moves, where.Name()) })
		}
	}
	if m.held <= now || m.home == s.In.Name() {
		return bridge.Ruling{}
	}
	if !s.Dry {
		f.dropped.Add(1)
	}
	s.Report(func() error { return fmt.Errorf("%w: it is held at %s", errFlaps, m.home) })
	return bridge.FilterDrop.Because("its source is held at another port")
}

// move counts a move from one port to another. The one before is not counted any more
// if the address has not stayed where that led to.
func (m *mover) move(c *Flapping, from, to string, now int64) {
	if m.moves > 0 && m.moves < c.Moves && m.last != from {
		m.moves--
	}
	if m.moves == 0 || m.moves >= c.Moves || now-m.since > int64(c.Within) {
		*m = mover{home: from, since: now}
	}
	m.last = to
	if m.moves++; m.moves == c.Moves && c.Hold > 0 {
		m.held = now + int64(c.Hold)
	}
}

// keep remembers a mover. f.mu must be held.
func (f *Flap) keep(k station, m mover, now int64) {
	f.until.Store(max(f.until.Load(), m.held))
	if old := f.movers[k]; old != nil {
		*old = m
		return
	}
	f.movers[k] = &m
	if len(f.order) < f.c.Addresses {
		f.order = append(f.order, k)
		return
	}
	for range 8 { // those that are held come later, if there are others
		if f.movers[f.order[f.next]].held <= now {
			break
		}
		f.next = (f.next + 1) % len(f.order)
	}
	delete(f.movers, f.order[f.next])
	f.order[f.next] = k
	f.next = (f.next + 1) % len(f.order)
}
