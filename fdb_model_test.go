package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The FDB as a plain map: what fdb.md says, written down a second time.
type (
	modelEntry struct {
		port                         int
		local, static, sticky        bool
		user, extern, locked, counts bool
		notify, inactive             bool
		updated                      time.Time

		seen  bool // a source again since turn
		turn  int  // when it came to the end of its port's list
		isNew bool
	}
	model struct {
		entries map[frame.MAC]*modelEntry
		hold    time.Duration
		max     int
		limit   int         // FDBLimit
		limits  map[int]int // PortConfig.FDBLimit, where there is one
		turns   int
		evicted int
		gcAt    time.Time
	}
)

func (m *model) counted() (n int) {
	for _, e := range m.entries {
		if e.counts {
			n++
		}
	}
	return n
}

// of is the learned entries of a port, the first to go first.
func (m *model) of(port int) (as []frame.MAC) {
	for a, e := range m.entries {
		if e.counts && e.port == port {
			as = append(as, a)
		}
	}
	slices.SortFunc(as, func(a, b frame.MAC) int { return m.entries[a].turn - m.entries[b].turn })
	return as
}

func (m *model) toEnd(e *modelEntry) {
	m.turns++
	e.turn, e.seen = m.turns, false
}

// makeRoom is the two limits: one entry of this port, or of the one that holds most.
func (m *model) makeRoom(port int, isNew bool) {
	const ports = 3
	switch {
	case m.limits[port] != 0 && len(m.of(port)) >= m.limits[port]:
	case !isNew || m.counted() < m.limit:
		return
	default:
		most := port
		for p := 1; p <= ports; p++ {
			if len(m.of(p)) > len(m.of(most)) {
				most = p
			}
		}
		port = most
	}
	queue := m.of(port)
	for spared := 0; m.entries[queue[0]].seen && spared < 64; spared++ {
		m.toEnd(m.entries[queue[0]])
		queue = append(queue[1:], queue[0])
	}
	delete(m.entries, queue[0])
	m.evicted++
}

func (m *model) learn(port int, a frame.MAC, now time.Time) {
	e := m.entries[a]
	switch {
	case m.hold == 0:
	case e == nil:
		if m.max == 0 || m.counted() < m.max {
			m.makeRoom(port, true)
			e = &modelEntry{port: port, counts: true, updated: now}
			m.entries[a] = e
			m.toEnd(e)
		}
	case e.local:
	default:
		e.updated, e.seen, e.inactive = now, true, false
		if e.port != port && !e.sticky {
			if e.counts {
				m.makeRoom(port, false)
			}
			e.port, e.extern, e.locked = port, false, false
			m.toEnd(e)
		}
	}
}

// state is fdb_to_nud.
func (m *model) state(e *modelEntry, now time.Time) bridge.NUDState {
	switch {
	case e.local:
		return bridge.NUDPermanent
	case e.static:
		return bridge.NUDNoARP
	case !e.extern && now.Sub(e.updated) >= m.hold:
		return bridge.NUDStale
	}
	return bridge.NUDReachable
}

func (m *model) request(port int, r bridge.FDBRequest, now time.Time) {
	e := m.entries[r.MAC]
	if r.Flags&bridge.NTFExtLearned != 0 {
		if e == nil {
			e = &modelEntry{}
			m.entries[r.MAC] = e
		}
		e.port, e.updated, e.extern, e.user, e.counts, e.locked = port, now, true, true, false, false
		return
	}
	switch {
	case r.Flags&bridge.NTFSticky != 0 && r.State&bridge.NUDPermanent != 0, e == nil && r.Mode == bridge.FDBChange, e != nil && r.Mode == bridge.FDBAdd:
		return
	case r.Activity == bridge.ActivityInactive:
		return
	case e == nil:
		e = &modelEntry{isNew: true}
		m.entries[r.MAC] = e
	}
	was := *e
	e.port, e.user, e.counts, e.locked, e.isNew = port, true, false, false, false
	e.local = r.State&bridge.NUDPermanent != 0
	e.static = e.local || r.State&bridge.NUDNoARP != 0
	e.sticky = r.Flags&bridge.NTFSticky != 0
	e.notify = r.Activity&bridge.ActivityNotify != 0
	e.inactive = e.notify && (e.inactive || r.Activity&bridge.ActivityInactive != 0)
	changed := was.port != port || m.state(&was, now) != r.State || was.sticky != e.sticky ||
		was.locked || was.notify != e.notify || was.inactive != e.inactive
	if was.isNew || changed && !r.NoRefresh {
		e.updated = now
	}
}

func (m *model) remove(gone func(e *modelEntry) bool) {
	for a, e := range m.entries {
		if gone(e) {
			delete(m.entries, a)
		}
	}
}

// collect is br_fdb_cleanup.
func (m *model) collect(now time.Time) {
	delay := m.hold
	m.remove(func(e *modelEntry) bool {
		left := e.updated.Add(m.hold).Sub(now)
		switch {
		case (e.static || e.extern) && !e.notify:
			return false
		case left > 0:
			delay = min(delay, left)
			return false
		case e.static || e.extern:
			e.inactive = true
			return false
		}
		return true
	})
	m.gcAt = now.Add(max(delay, 10*time.Millisecond))
}

func (m *model) dump(now time.Time) []bridge.FDBEntry {
	es := []bridge.FDBEntry{}
	for a, e := range m.entries {
		x := bridge.FDBEntry{MAC: a, Port: portName(e.port), Sticky: e.sticky, ExternLearn: e.extern, User: e.user, Locked: e.locked, Updated: now.Sub(e.updated)}
		x.State = m.state(e, now)
		if e.notify {
			x.Activity |= bridge.ActivityNotify
		}
		if e.inactive {
			x.Activity |= bridge.ActivityInactive
		}
		es = append(es, x)
	}
	slices.SortFunc(es, func(a, b bridge.FDBEntry) int { return a.MAC.Compare(b.MAC) })
	return es
}

// Random operations on the FDB and on the model; after each the two are equal.
func TestFDBModel(t *testing.T) {
	properties(t, repetitions(24), func(t *testing.T, r *rand.Rand) {
		const ports = 3
		addresses := pick(r, 6, 40, 400) // few, so that they meet; many, so that the table grows and shrinks
		m := &model{entries: map[frame.MAC]*modelEntry{}, hold: 300 * time.Second, limit: pick(r, 65536, 5, 12, 130), limits: map[int]int{}}
		l := newLab(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0)), ForwardDelay: new(time.Duration(0)), FDBLimit: m.limit})
		m.gcAt = l.clock.now().Add(100 * time.Millisecond)
		for i := 1; i <= ports; i++ {
			m.limits[i] = pick(r, 0, 0, 1, 4)
			l.add(i, bridge.PortConfig{FDBLimit: m.limits[i]})
			m.entries[portMAC(i)] = &modelEntry{port: i, local: true, static: true, updated: l.clock.now()}
		}
		var history []string
		did := func(format string, args ...any) { history = append(history, fmt.Sprintf(format, args...)) }
		for range 600 {
			now := l.clock.now()
			port, a := 1+r.IntN(ports), mac(r.IntN(addresses))
			switch op := r.IntN(40); {
			case op < 14:
				n := 1 + r.IntN(addresses/8+3)
				for i := range n {
					a := mac((int(a[4])<<8 + int(a[5]) + i) % addresses)
					l.learn(port, a)
					m.learn(port, a, now)
				}
				did("learn %d from %s on p%d", n, a, port)
			case op < 26:
				q := bridge.FDBRequest{
					Port: l.p(port), MAC: a, State: pick(r, bridge.NUDNoARP, bridge.NUDPermanent, bridge.NUDReachable),
					Flags: pick[bridge.NTFFlags](r, 0, 0, bridge.NTFSticky, bridge.NTFExtLearned), Mode: bridge.FDBMode(r.IntN(4)),
					Activity: pick[bridge.FDBActivity](r, 0, 0, 1, 2, 3), NoRefresh: r.IntN(4) == 0,
				}
				_ = l.b.FDB().Update(q) // the model knows what is refused
				m.request(port, q, now)
				did("request %+v on p%d", q, port)
			case op < 31:
				err := l.b.FDB().Delete(l.p(port), a, nil)
				e := m.entries[a]
				require.Equal(t, e != nil && e.port == port, err == nil)
				if err == nil {
					delete(m.entries, a)
				}
				did("delete %s from p%d", a, port)
			case op < 32:
				l.set(port, bridge.PortAttrs{FDBFlush: true})
				m.remove(func(e *modelEntry) bool { return e.port == port && !e.static && !e.extern })
				did("flush p%d", port)
			case op < 33:
				require.NoError(t, l.b.Set(bridge.BridgeAttrs{FDBFlush: true}))
				m.remove(func(e *modelEntry) bool { return !e.static })
				did("flush")
			case op < 34:
				m.hold = pick(r, 0, 5*time.Second, 20*time.Second, 300*time.Second)
				require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: &m.hold}))
				m.collect(now)
				did("ageing %v", m.hold)
			case op < 35:
				m.max = pick(r, 0, 3, 100)
				require.NoError(t, l.b.Set(bridge.BridgeAttrs{FDBMaxLearned: new(uint32(m.max))}))
				did("max %d", m.max)
			default:
				d := time.Duration(r.IntN(4000)) * time.Millisecond
				l.clock.add(d)
				now = l.clock.now()
				l.b.Tick(now)
				if !m.gcAt.After(now) {
					m.collect(now)
				}
				did("%v later", d)
			}
			at, ok := l.b.NextTimer()
			require.True(t, ok)
			due := m.gcAt
			if rest, grown := bridge.RestTimer(l.b); grown && rest.Before(due) {
				due = rest
			}
			require.Equal(t, due.Sub(l.clock.now()), at.Sub(l.clock.now()), "the collector's time after %q", last(history, 5))
			got := slices.Collect(l.b.FDB().All())
			for i := range got {
				got[i].Used = 0
			}
			if want := m.dump(l.clock.now()); !slices.Equal(want, got) { // reflection is slow
				i := 0
				for i < min(len(want), len(got)) && want[i] == got[i] {
					i++
				}
				require.Equal(t, want[i:min(i+1, len(want))], got[i:min(i+1, len(got))], "the first that differs, after %q", last(history, 5))
			}
			require.Equal(t, m.counted(), l.b.FDB().Learned())
			require.Equal(t, len(m.entries), l.b.FDB().Len())
			require.EqualValues(t, m.evicted, l.b.Stats().FDBEvicted)
		}
	})
}

func last(s []string, n int) []string { return s[max(0, len(s)-n):] }
