package main

import (
	"context"
	"errors"
	"time"

	"github.com/ddfb540f/bridge"
)

// followEvery is how often the interfaces are looked at. The kernel would tell by
// netlink too, but in each network namespace apart; looking costs a handful of
// system calls.
const followEvery = 250 * time.Millisecond

// follow has the bridge follow its interfaces until ctx ends.
func (s *session) follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range s.ports {
			switch {
			case p.joined != nil && p.joined.Info().Failed == nil:
				s.followPort(p)
			case s.o.reattach:
				s.reattachPort(p)
			}
		}
		switch {
		case s.host == nil:
		case !s.host.failed.Load():
			s.followHost()
		default:
			s.goOnWithoutHost()
			if s.o.reattach {
				s.reattachHost()
			}
		}
	}
}

// leftBehind says that a TAP has left, and gives what it is taken for.
func (s *session) leftBehind(name string, d device) device {
	s.say("%s: not in its network namespace any more, taken for up", name)
	d.up, d.carrier = true, true
	return d
}

// outOfSight counts the looks in a row that failed. One may, of an interface that is
// being deleted, which its cable tells, or renamed, or given another address.
type outOfSight int

// left says, once, that the interface of a cable that has not ended is out of sight:
// a TAP in another network namespace.
func (n *outOfSight) left(err error) bool {
	if err == nil {
		*n = 0
		return false
	}
	*n++
	return *n == 2
}

// followPort has the port be what its interface is. A TAP that has left its network
// namespace is taken for up, whatever it was when it left: whether it is up there
// its cable tells.
func (s *session) followPort(p *port) {
	d, err := look(p.cable)
	if p.unseen.left(err) && !p.raw {
		d, err = s.leftBehind(p.name, p.dev), nil
	}
	if err != nil || d == p.dev {
		return
	}
	if d.mtu != p.dev.mtu {
		s.tell(p.name, p.joined.SetMTU(d.mtu), "MTU %d, it was %d", d.mtu, p.dev.mtu)
	}
	if d.link() != p.dev.link() {
		s.tell(p.name, p.joined.SetLink(d.up, d.carrier), "%s, it was %s", d.link(), p.dev.link())
	}
	if p.raw && d.address != p.dev.address {
		s.tell(p.name, p.joined.SetAddress(d.address), "address %s, it was %s", d.address, p.dev.address)
	}
	p.dev = d
}

// tell says what the bridge was told of an interface, or why that failed.
func (s *session) tell(name string, err error, format string, args ...any) {
	switch {
	case err == nil:
		s.say(name+": "+format, args...)
	case !isClosed(err):
		s.say("%s: %v", name, err)
	}
}

// reattachPort has an interface join again once there is one of its name.
func (s *session) reattachPort(p *port) {
	if !p.raw && !hasInterface(p.ifSpec) {
		return // opening it would make one
	}
	err := s.attach(p)
	if err == nil {
		err = s.setBackups()
	}
	switch {
	case err == nil:
		s.say("%s is attached again", p.name)
		p.said = ""
	case !p.raw || !errors.Is(err, bridge.ENODEV):
		s.sayOnce(&p.said, p.name+" is not attached again yet", err)
	}
}
