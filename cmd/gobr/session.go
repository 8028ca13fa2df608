package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
)

// session is one run of the bridge.
type session struct {
	o     options
	b     *bridge.Bridge
	ports []*port
	host  *hostTAP // nil: there is none

	loop      *filter.Loop // nil: none
	nextProbe time.Time    // the follower's

	say  sayer
	asks querySource // where the bridge's queries come from; the follower's while it is served
}

// port is a port of the command line, whatever becomes of its cable. While the
// bridge is served it belongs to the follower.
type port struct {
	portSpec
	name   string // as it was named, or as the kernel chose
	joined *bridge.Port
	plug   plug
	past   ledgers
	said   string // the last reason not to attach it again
}

// assemble makes the bridge and plugs everything in that the command line names.
// If it fails, nothing is left open.
func assemble(o options, trace, stderr io.Writer) (*session, error) {
	s := &session{o: o, say: newSayer(stderr)}
	cfg := o.cfg
	cfg.Name = o.name
	if o.trace {
		cfg.Trace = bridge.TextTrace(trace)
	}
	var tap *bridge.TAP
	if o.host != nil {
		var err error
		if tap, err = o.openHost(cfg.Address); err != nil {
			return nil, err
		}
		if cfg.Address, err = tap.Address(); err != nil {
			return nil, errors.Join(err, tap.Close())
		}
	}
	err := s.plugIn(cfg, tap)
	if err == nil {
		return s, nil
	}
	if s.b != nil {
		err = errors.Join(err, s.b.Close())
	}
	if tap != nil {
		err = errors.Join(err, tap.Close())
	}
	return nil, err
}

// plugIn makes the bridge and its ports, and attaches the host's TAP, if any.
func (s *session) plugIn(cfg bridge.Config, tap *bridge.TAP) (err error) {
	if s.b, err = bridge.New(cfg); err != nil {
		return err
	}
	s.watch()
	if err := s.b.Set(s.o.mcast); err != nil {
		return err
	}
	for _, spec := range s.o.ports {
		p := &port{portSpec: spec}
		if err := s.attach(p); err != nil {
			return err
		}
		s.ports = append(s.ports, p)
	}
	if err := errors.Join(s.setBackups(), s.newLoop(), s.setFilters()); err != nil {
		return err
	}
	if tap != nil {
		s.host = new(hostTAP)
		if err := s.attachHost(tap); err != nil {
			return err
		}
	}
	return s.startQuerier()
}

// watch tells what goes wrong. What happens to the link of a cable is told by the
// follower.
func (s *session) watch() {
	s.b.Watch(func(e bridge.Event) {
		switch e.Kind {
		case bridge.EventPortFailed:
			if e.Port == "" {
				s.say("host failed: %v", e.Err)
				s.host.failed.Store(true)
			} else {
				s.say("%s", e)
			}
		case bridge.EventFilter:
			s.say("%s", e)
		case bridge.EventPortState, bridge.EventPortRole, bridge.EventBPDUGuard, bridge.EventRootBlocked,
			bridge.EventRootUnblocked, bridge.EventLoopGuard, bridge.EventLoopGuardEnd, bridge.EventTopologyChange:
			if s.o.cfg.STPState != 0 {
				s.say("%s", e)
			}
		case bridge.EventSnoopingEnded:
			s.say("%s: there are more multicast groups than hash_max allows: snooping has ended, all groups go everywhere", s.b.Name())
		case bridge.EventWarning:
			s.say("warning: %s: %v", e.Port, e.Err)
		}
	})
}

// attach opens a port's cable and has it join, in the place of the port that had it
// before.
func (s *session) attach(p *port) error {
	c, err := p.source.open(&p.portOptions)
	if err != nil {
		return err
	}
	p.name = p.source.portName()
	if p.joined != nil {
		if err := s.b.RemovePort(p.joined); err != nil {
			return errors.Join(err, c.Close())
		}
		then := p.joined.Stats()
		p.past.add(then.Ingress, then.Egress)
		p.joined = nil
	}
	cfg := c.config()
	cfg.VLANs, cfg.Attrs, cfg.FDBLimit = p.vlans, p.attrs, p.fdbLimit
	joined, err := s.b.AddPort(p.name, c, cfg)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	p.joined, p.plug = joined, c
	for _, line := range c.remarks() {
		s.say("%s", line)
	}
	return nil
}

// setBackups names the ports that take over, as far as they have joined.
func (s *session) setBackups() error {
	for _, p := range s.ports {
		if p.backup == "" || p.joined == nil || s.b.Port(p.backup) == nil {
			continue
		}
		if err := p.joined.Set(bridge.PortAttrs{BackupPort: &p.backup}); err != nil {
			return err
		}
	}
	return nil
}

// describe says in one line what was made.
func (s *session) describe() string {
	var names []string
	for _, p := range s.b.Ports() {
		names = append(names, p.Name())
	}
	text := fmt.Sprintf("%s bridges %s", s.b.Name(), strings.Join(names, ", "))
	if s.host != nil {
		text += fmt.Sprintf("; the host is at %s, address %s", s.host.tap.Name(), s.b.Info().Address)
	}
	return text + "; interrupt ends it\n"
}
