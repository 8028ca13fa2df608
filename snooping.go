package bridge

import (
	"math"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// Multicast snooping is a machine of its own, package snoop. Here is what plugs it
// into the bridge:
//
//	frames      snoopframe.go   View without a lock; group messages go to the Machine
//	settings    snoopconf.go    a change tells the Machine what it did, once it holds
//	requests    mdb.go          entries, and what there is to be seen
//	time        Tick, NextTimer
//	queries     outbox.go
//	events      notify
//
// The settings of snooping are the Machine's: nobody else keeps them.

// snooping is the machine of a bridge, and its lock.
type snooping struct {
	b    *Bridge
	view *snoop.View
	next atomic.Int64 // when the machine's first timer is due, ns since New; never: none runs

	mu     sync.Mutex // guards the rest. Nothing is called under it that could call the bridge
	m      *snoop.Machine
	now    time.Duration // the latest moment that the machine was told
	source snoop.Source
	ports  []*Port // by number
	vlans  bool    // the machine is told of VLANs: not before one has settings of its own. Changes, which come one at a time, read it without the lock
}

const never = math.MaxInt64

// atOnce is how many timers, or rows of a dump, are gone through before others have
// their turn at the machine: frames wait for it.
const atOnce = 64

func (s *snooping) init(b *Bridge, rules snoop.Rules, seed uint64) {
	s.b = b
	s.m = snoop.New(snoop.Config{Rules: rules, Seed: seed, Send: s.send, Notify: s.notify})
	s.view = s.m.View()
	o := snoop.DefaultOptions
	o.Snooping = false // our default, not Linux's
	_ = s.m.SetOptions(0, 0, o)
	s.next.Store(never)
}

// send queues a query; it is the machine's, and runs under the lock.
func (s *snooping) send(q snoop.Query) {
	s.b.outbox.add(made{ProbeSendQuery, q.Port, q.VID, q.Member, slices.Clone(q.Data)})
}

// notify posts an event; it is the machine's, and runs under the lock.
func (s *snooping) notify(e snoop.Event) {
	if !s.b.events.watched() {
		return
	}
	out := Event{Port: s.portName(e.Port), VID: e.VID}
	switch e.Kind {
	case snoop.MemberChanged, snoop.MemberRemoved:
		out.Kind, out.MDB = EventMDBAdd, new(s.entry(&e.Member))
		if e.Kind == snoop.MemberRemoved {
			out.Kind = EventMDBDelete
		}
	case snoop.RouterAdded:
		out.Kind = EventRouterAdd
	case snoop.RouterRemoved:
		out.Kind = EventRouterRemove
	case snoop.SnoopingEnded:
		out.Kind = EventSnoopingEnded
	}
	s.b.events.post(out)
}

// portName names a port by its number, "" for the bridge itself. s.mu must be held.
func (s *snooping) portName(num uint16) string {
	if int(num) < len(s.ports) && s.ports[num] != nil {
		return s.ports[num].name
	}
	return ""
}

// with runs fn on the machine. now is a moment since New; the machine's time does not
// go back.
func (s *snooping) with(now time.Duration, fn func(m *snoop.Machine, now time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = max(s.now, now)
	fn(s.m, s.now)
	s.rearm()
}

// rearm has Serve look again if the first timer is due earlier than it was. s.mu must
// be held.
func (s *snooping) rearm() {
	next := int64(never)
	if at, ok := s.m.NextTimer(); ok {
		next = int64(at)
	}
	if old := s.next.Swap(next); next < old {
		s.b.poke()
	}
}

// look runs fn, which changes nothing, on the machine.
func (s *snooping) look(fn func(m *snoop.Machine, now time.Duration)) {
	now := s.b.since() // a clock is the user's
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(s.m, max(s.now, now))
}

// since is the time since New.
func (b *Bridge) since() time.Duration { return max(b.clock().Sub(b.start), 0) }

// handle is what a frame's message does. The queries that it has the bridge make are to
// be sent before the frame goes on.
func (s *snooping) handle(at stamp, port uint16, vid frame.VID, p *snoop.Packet) (err error) {
	s.with(time.Duration(at)*time.Millisecond, func(m *snoop.Machine, now time.Duration) {
		err = m.Handle(now, port, vid, p)
	})
	return err
}

func (s *snooping) check(port uint16, vid frame.VID, p *snoop.Packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.Check(port, vid, p)
}

// tick runs the timers that are due.
func (s *snooping) tick(now time.Duration) {
	if s.next.Load() > int64(now) {
		return
	}
	for more := true; more; runtime.Gosched() {
		s.with(now, func(m *snoop.Machine, at time.Duration) { more = m.TickSome(at, atOnce) })
	}
	s.b.sendMade()
}

// SetQuerySource says from which addresses queries come: ip4, which McastQueryUseIfaddr
// has used, and ip6, a link-local one, without which there are no MLD queries and the
// bridge is no querier for IPv6. Linux takes those of the bridge's own device. The zero
// Addr is none, as it is at first. EINVAL: ip4 is not IPv4, or ip6 not link-local IPv6.
func (b *Bridge) SetQuerySource(ip4, ip6 netip.Addr) error {
	return b.change("set query source", b.name, func(x *tx) error {
		switch {
		case ip4.IsValid() && !ip4.Is4():
			return x.refuse(EINVAL, "not an IPv4 address")
		case ip6.IsValid() && !(ip6.Is6() && ip6.IsLinkLocalUnicast()):
			return x.refuse(EINVAL, "not a link-local IPv6 address")
		}
		x.snoop(func(m *snoop.Machine, _ time.Duration) {
			s := &x.b.snooping
			s.source.IPv4, _ = snoop.AddrOf(ip4)
			s.source.IPv6, _ = snoop.AddrOf(ip6)
			m.SetSource(s.source)
		})
		return nil
	})
}
