package main

import (
	"fmt"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// cable is what a TAP and a raw socket have in common.
type cable interface {
	bridge.FrameIO
	Queues() []bridge.FrameIO // behind the first
	Caps() bridge.Caps
	Lost() uint64

	Name() string
	Address() (frame.MAC, error)
	MTU() (int, error)
	Link() (up, carrier bool, err error)
}

var (
	_ cable = (*bridge.TAP)(nil)
	_ cable = (*bridge.RawSocket)(nil)
)

// device is what can change about an interface while it is in use.
type device struct {
	mtu         int
	address     frame.MAC
	up, carrier bool
}

// look asks for the interface as it is now.
func look(c cable) (d device, err error) {
	if d.mtu, err = c.MTU(); err != nil {
		return d, err
	}
	if d.address, err = c.Address(); err != nil {
		return d, err
	}
	d.up, d.carrier, err = c.Link()
	return d, err
}

// link says in words whether the interface is up.
func (d device) link() string {
	switch {
	case !d.up:
		return "down"
	case !d.carrier:
		return "up, without a carrier"
	}
	return "up"
}

// open opens the interface of a port, and looks at it.
func (s *portSpec) open(mtu int) (c cable, d device, err error) {
	if s.raw {
		c, err = s.openRaw()
	} else {
		c, err = s.openTAP(mtu)
	}
	if err != nil {
		return nil, d, err
	}
	if d, err = look(c); err != nil {
		c.Close()
		return nil, d, err
	}
	return c, d, nil
}

func (s *portSpec) openRaw() (cable, error) {
	raw, err := bridge.OpenRaw(bridge.RawConfig{
		Name: s.name, Netns: s.netns, RcvBuf: s.rcvBuf, Queues: s.queues, Up: s.up != nil && *s.up,
	})
	if err != nil {
		return nil, err
	}
	return raw, nil
}

func (s *portSpec) openTAP(mtu int) (cable, error) {
	if s.mtu != 0 {
		mtu = s.mtu
	}
	tap, err := bridge.OpenTAP(bridge.TAPConfig{
		Name: s.name, Netns: s.netns, MTU: mtu, Up: s.up == nil || *s.up,
		Queues: s.queues, QueueLen: s.txQueue, NoOffload: s.noOffload,
	})
	if err != nil {
		return nil, err
	}
	return tap, nil
}

// warnings is what is likely to be a mistake about an interface that gobr did not
// make.
func (s *portSpec) warnings(c cable, d device) (all []string) {
	raw, ok := c.(*bridge.RawSocket)
	if !ok {
		return nil
	}
	all = raw.Warnings()
	switch {
	case !d.up:
		all = append(all, fmt.Sprintf("%s is down: ip link set %s up, or --port %s=up", s.name, s.name, s.name))
	case !d.carrier:
		all = append(all, s.name+" has no carrier: nothing passes until the other end of its cable is up")
	}
	return all
}

// config is how the port joins that c carries. A TAP's address belongs to whoever
// uses the interface, so its port gets one that is made up; any other interface is
// what the port of a bridge is in Linux, and so is its address.
func (s *portSpec) config(c cable, d device) bridge.PortConfig {
	cfg := bridge.PortConfig{
		MTU: d.mtu, Down: !d.up, NoCarrier: !d.carrier, VLANs: s.vlans, Attrs: s.attrs,
		Caps: c.Caps(), Queues: c.Queues(), FDBLimit: s.fdbLimit, Lost: c.Lost,
	}
	if s.raw {
		cfg.Address = d.address
	}
	return cfg
}

// openHost opens the host's TAP. address is the bridge's, zero if it is to be that
// of the TAP. The TAP stays down until the bridge is ready for what the host sends.
func (o *options) openHost(address frame.MAC) (*bridge.TAP, error) {
	return bridge.OpenTAP(bridge.TAPConfig{
		Name: o.host.name, Netns: o.host.netns, Address: address,
		QueueLen: o.hostSays.txQueue, NoOffload: o.hostSays.noOffload,
	})
}
