package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/xdp"
)

// cable is what a TAP, a raw socket and an XDP port have in common.
type cable interface {
	bridge.FrameIO
	Queues() []bridge.FrameIO // behind the first
	Caps() bridge.Caps
	Lost() uint64

	Name() string
	Address() (frame.MAC, error)
	MTU() (int, error)
	Link() (up, carrier bool, err error)
	Speed() (mbps int, full bool, err error)
}

var (
	_ cable = (*bridge.TAP)(nil)
	_ cable = (*bridge.RawSocket)(nil)
	_ cable = (*xdp.Port)(nil)
)

// device is what can change about an interface while it is in use.
type device struct {
	mtu         int
	address     frame.MAC
	up, carrier bool
	mbps        int // 0: not known
}

// look asks for the interface as it is now.
func look(c cable) (d device, err error) {
	if d.mtu, err = c.MTU(); err != nil {
		return d, err
	}
	if d.address, err = c.Address(); err != nil {
		return d, err
	}
	if d.up, d.carrier, err = c.Link(); err != nil {
		return d, err
	}
	d.mbps, _, err = c.Speed()
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

// tapSource is a TAP, named by --tap.
type tapSource struct{ ifSpec }

func (s *tapSource) String() string      { return "--tap " + s.ifSpec.String() }
func (s *tapSource) portName() string    { return s.name }
func (s *tapSource) kind() portKind      { return forTAP }
func (s *tapSource) is(host ifSpec) bool { return s.ifSpec == host }

// there is false without the interface: opening it would make one.
func (s *tapSource) there() bool { return hasInterface(s.ifSpec) }

func (s *tapSource) open(o *portOptions) (plug, error) {
	tap, err := bridge.OpenTAP(bridge.TAPConfig{
		Name: s.name, Netns: s.netns, MTU: o.mtu, Up: o.up == nil || *o.up,
		Queues: o.queues, QueueLen: o.txQueue, NoOffload: o.noOffload,
	})
	if err != nil {
		return nil, err
	}
	s.name = tap.Name() // by which it is found again, though the kernel chose it
	return newInterfacePlug(tap, false)
}

// rawSource is an interface that is there already, named by --raw.
type rawSource struct{ ifSpec }

func (s *rawSource) String() string      { return "--raw " + s.ifSpec.String() }
func (s *rawSource) portName() string    { return s.name }
func (s *rawSource) kind() portKind      { return forRaw }
func (s *rawSource) is(host ifSpec) bool { return s.ifSpec == host }
func (s *rawSource) there() bool         { return true } // else opening it says ENODEV

func (s *rawSource) open(o *portOptions) (plug, error) {
	raw, err := bridge.OpenRaw(bridge.RawConfig{
		Name: s.name, Netns: s.netns, RcvBuf: o.rcvBuf, Queues: o.queues, Up: o.up != nil && *o.up,
	})
	if err != nil {
		return nil, err
	}
	return newInterfacePlug(raw, true)
}

// interfacePlug is the cable of a TAP, of a raw socket or of an XDP port. While the bridge is served
// dev and unseen belong to the follower.
type interfacePlug struct {
	cable
	foreign bool   // an interface that somebody else made and uses
	dev     device // as the bridge was told
	unseen  outOfSight
}

// newInterfacePlug looks at the interface, and closes the cable if that fails.
func newInterfacePlug(c cable, foreign bool) (plug, error) {
	d, err := look(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	return &interfacePlug{cable: c, foreign: foreign, dev: d}, nil
}

// config: a TAP's address belongs to whoever uses the interface, so its port gets
// one that is made up; any other interface is what the port of a bridge is in Linux,
// and so is its address.
func (p *interfacePlug) config() bridge.PortConfig {
	cfg := bridge.PortConfig{
		MTU: p.dev.mtu, Down: !p.dev.up, NoCarrier: !p.dev.carrier,
		Caps: p.Caps(), Queues: p.Queues(), Lost: p.Lost, Speed: p.dev.mbps,
	}
	if p.foreign {
		cfg.Address = p.dev.address
	}
	return cfg
}

// remarks warns of what is likely to be a mistake about an interface that gobr did
// not make.
func (p *interfacePlug) remarks() (all []string) {
	there, ok := p.cable.(interface{ Warnings() []string })
	if !ok {
		return nil
	}
	name := p.Name()
	if x, ok := p.cable.(*xdp.Port); ok {
		all = append(all, xdpRemark(x))
	}
	for _, w := range there.Warnings() {
		all = append(all, "warning: "+w)
	}
	switch {
	case !p.dev.up:
		all = append(all, fmt.Sprintf("warning: %s is down: ip link set %s up, or --port %s=up", name, name, name))
	case !p.dev.carrier:
		all = append(all, "warning: "+name+" has no carrier: nothing passes until the other end of its cable is up")
	}
	return all
}

// follow: a TAP that has left its network namespace is taken for up, whatever it was
// when it left: whether it is up there its cable tells.
func (p *interfacePlug) follow(port *bridge.Port, say sayer) {
	name := port.Name()
	d, err := look(p.cable)
	if p.unseen.left(err) && !p.foreign {
		d, err = p.dev.leftBehind(name, say), nil
	}
	if err != nil || d == p.dev {
		return
	}
	if d.mtu != p.dev.mtu {
		say.tell(name, port.SetMTU(d.mtu), "MTU %d, it was %d", d.mtu, p.dev.mtu)
	}
	if d.mbps != p.dev.mbps { // before the link, whose cost it is
		if err := port.SetSpeed(d.mbps); err != nil {
			say.tell(name, err, "")
		}
	}
	if d.link() != p.dev.link() {
		say.tell(name, port.SetLink(d.up, d.carrier), "%s, it was %s", d.link(), p.dev.link())
	}
	if p.foreign && d.address != p.dev.address {
		say.tell(name, port.SetAddress(d.address), "address %s, it was %s", d.address, p.dev.address)
	}
	p.dev = d
}

// leftBehind says that a TAP has left, and gives what it is taken for.
func (d device) leftBehind(name string, say sayer) device {
	say("%s: not in its network namespace any more, taken for up", name)
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

// parseTAP and parseRaw read the NAME[@NETNS] of --tap and --raw.
func parseTAP(text string) (portSource, error) {
	at, err := parseIf(text)
	return &tapSource{at}, err
}

func parseRaw(text string) (portSource, error) {
	at, err := parseIf(text)
	if err == nil && strings.Contains(at.name, "%") {
		err = errors.New("it has to be there, so it has a name without %")
	}
	return &rawSource{at}, err
}
