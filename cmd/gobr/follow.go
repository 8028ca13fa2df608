package main

import (
	"context"
	"errors"
	"time"

	"github.com/ddfb540f/bridge"
)

// followEvery is how often what is at the other ends of the cables is looked at. Of
// interfaces the kernel would tell by netlink too, but in each network namespace
// apart; looking costs a handful of system calls.
const followEvery = 250 * time.Millisecond

// follow has the bridge follow its cables until ctx ends.
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
				p.plug.follow(p.joined, s.say)
			case s.o.reattach:
				s.reattachPort(p)
			}
		}
		s.probeLoops(time.Now())
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
		s.followQuerySource()
	}
}

// reattachPort has a cable join again once there is something to open.
func (s *session) reattachPort(p *port) {
	if !p.source.there() {
		return
	}
	err := s.attach(p)
	if err == nil {
		err = s.setBackups()
	}
	switch {
	case err == nil:
		s.say("%s is attached again", p.name)
		p.said = ""
	case !errors.Is(err, bridge.ENODEV):
		s.say.once(&p.said, p.name+" is not attached again yet", err)
	}
}
