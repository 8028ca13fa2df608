package main

import (
	"errors"
	"sync/atomic"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// hostTAP is the host's TAP. While the bridge is served it belongs to the follower,
// but for failed.
type hostTAP struct {
	tap    *bridge.TAP
	dev    device // as it was seen last
	unseen outOfSight
	failed atomic.Bool // its cable has ended
	lost   uint64      // by the TAPs that were here before
	said   string      // the last reason why something is not as it should be
}

// attachHost gives the host's TAP the bridge's MTU and plugs it in.
func (s *session) attachHost(tap *bridge.TAP) error {
	return s.host.plugIn(func() error {
		if err := tap.SetMTU(s.b.Info().MTU); err != nil {
			return err
		}
		if err := s.b.AttachHost(tap, bridge.HostConfig{Caps: tap.Caps(), Lost: tap.Lost}); err != nil {
			return err
		}
		if err := tap.SetUp(true); err != nil {
			return err
		}
		d, err := look(tap)
		if err != nil {
			return err
		}
		s.host.tap, s.host.dev, s.host.unseen = tap, d, 0
		return nil
	})
}

// plugIn has attach plug in a cable, which may end before that returns: the event
// that says so is not to be overwritten.
func (h *hostTAP) plugIn(attach func() error) error {
	h.failed.Store(false)
	err := attach()
	if err != nil {
		h.failed.Store(true)
	}
	return err
}

// goOnWithoutHost brings up a bridge that the host's TAP, which has ended, took down:
// nobody else could, and every interface goes down before it is deleted.
func (s *session) goOnWithoutHost() {
	if h := s.host; !h.dev.up {
		h.dev.up = true
		s.say.tell(s.b.Name(), s.b.SetUp(true), "up without a host")
	}
}

// followHost keeps the host's TAP and the bridge's own device one: what changes at
// one changes at the other. As in Linux a bridge whose device is taken down carries
// nothing; one whose device has left its network namespace is taken for up.
func (s *session) followHost() {
	h := s.host
	name := h.tap.Name()
	d, err := look(h.tap)
	if h.unseen.left(err) {
		d, err = h.dev.leftBehind(name, s.say), nil
	}
	if err != nil {
		return
	}
	switch mtu := s.b.Info().MTU; {
	case d.mtu != h.dev.mtu:
		s.say.tell(name, s.b.SetMTU(d.mtu), "MTU %d, it was %d", d.mtu, h.dev.mtu)
	case d.mtu != mtu:
		if err := h.tap.SetMTU(mtu); err != nil {
			s.say.once(&h.said, name, err)
		} else {
			s.say("%s: MTU %d, it was %d", name, mtu, d.mtu)
			d.mtu = mtu
		}
	}
	if d.address != h.dev.address {
		s.say.tell(name, s.b.SetAddress(d.address), "address %s, it was %s", d.address, h.dev.address)
	}
	if d.up != h.dev.up {
		s.say.tell(name, s.b.SetUp(d.up), "%s, it was %s", d.link(), h.dev.link())
	}
	h.dev = d
}

// reattachHost attaches the host again once there is a TAP of its name.
func (s *session) reattachHost() {
	if !hasInterface(*s.o.host) {
		return
	}
	before := s.host.tap
	tap, err := s.o.openHost(s.b.Info().Address)
	if err == nil {
		if err = s.attachHost(tap); err != nil {
			err = errors.Join(err, s.b.DetachHost(), tap.Close())
		}
	}
	if err != nil {
		s.say.once(&s.host.said, s.o.host.name+" is not attached again yet", err)
		return
	}
	s.host.said = ""
	s.host.lost += before.Lost()
	s.say("%s is attached again", tap.Name())
}

// openHost opens the host's TAP. address is the bridge's, zero if it is to be that
// of the TAP. The TAP stays down until the bridge is ready for what the host sends.
func (o *options) openHost(address frame.MAC) (*bridge.TAP, error) {
	return bridge.OpenTAP(bridge.TAPConfig{
		Name: o.host.name, Netns: o.host.netns, Address: address,
		QueueLen: o.hostSays.txQueue, NoOffload: o.hostSays.noOffload,
	})
}
