package xdp

import (
	"errors"
	"fmt"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A Group is ports on Ethernet interfaces of the Linux kernel (AF_XDP) that share one
// piece of memory for their frames: what comes in by one and goes out by another as
// it is, is not copied in between.
type Group struct {
	ports []*Port
}

// A Port is a port on an Ethernet interface: what comes in at the interface is read
// here, and seen by nobody else; what is written here leaves by it.
//
// All methods may be called from several goroutines at once, but ReadFrames and
// WriteFrames each from one at a time (see bridge.FrameIO). The interface is that
// which had its name when it was opened, whatever it is called later.
type Port struct {
	dev    device
	first  *queue
	others []bridge.FrameIO
}

var _ bridge.FrameIO = (*Port)(nil)

// device is what a system has to bring for a port. Its errors are given their
// context here.
type device interface {
	ends() []end
	close() error
	control() *bridge.RawSocket // watches the interface, and answers questions about it
	chunk() int
	lost() uint64
	mode() (m Mode, zeroCopy bool, why string)
	warnings() []string
}

// end is one queue of an interface.
type end interface {
	read(fs []frame.Frame) (int, error)
	write(fs []frame.Frame) (int, error)
	close() error
}

// Open opens interfaces that are to exchange frames, each as a Port. It needs
// CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF in the initial user namespace, and Linux
// 5.19 or newer. An interface that is down can be opened.
//
// The error says what is missing. It matches EINVAL for a Config that makes no sense
// and for an interface that is no Ethernet, ENODEV if there is none of a name, EPERM
// without a right, EBUSY if another XDP program is attached to an interface or another
// socket serves a queue of it, ENOMEM if the memory cannot be had or locked, and
// errors.ErrUnsupported where the kernel has no AF_XDP sockets, and on other systems.
// Where only native mode or zero-copy cannot be had, there is no error: Port.Why says
// what stood in the way.
func Open(cfg Config) (*Group, error) {
	if reason := cfg.check(); reason != "" {
		return nil, refuse(reason)
	}
	devs, err := openGroup(cfg)
	if err != nil {
		return nil, err
	}
	g := &Group{}
	for _, dev := range devs {
		p := &Port{dev: dev}
		for i, e := range dev.ends() {
			if q := newQueue(dev, e); i == 0 {
				p.first = q
			} else {
				p.others = append(p.others, q)
			}
		}
		g.ports = append(g.ports, p)
	}
	return g, nil
}

// Ports are the group's ports, in the order of Config.Ports.
func (g *Group) Ports() []*Port { return append([]*Port(nil), g.ports...) }

// Close closes all ports.
func (g *Group) Close() (err error) {
	for _, p := range g.ports {
		err = errors.Join(err, p.Close())
	}
	return err
}

// portError gives err, unless nil, its context.
func portError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("xdp: %s %s: %w", op, name, err)
}

// controlError gives the error of a raw socket, unless nil, the context of a port
// instead.
func controlError(op string, r *bridge.RawSocket, err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return portError(op, r.Name(), err)
}

// ReadFrames waits until a frame comes in at the interface, and takes what there is,
// up to a quarter of Config.Ring at a time. A VLAN tag is in Data. The bytes lie in
// memory that the group shares: they must not be changed, above all not once they
// were written to a port of the group. Frames that cannot be given are counted by
// Lost. The error matches ENETDOWN while the interface is down, at once on each call;
// net.ErrClosed after Close; and ENODEV once the interface is deleted, or in another
// network namespace.
func (p *Port) ReadFrames(fs []frame.Frame) (n int, err error) { return p.first.ReadFrames(fs) }

// WriteFrames sends fs by the interface, past its queueing discipline. A frame whose
// Data a port of the group has lent, and that leaves as it came, is not copied. Where
// Config.Ring frames are under way it answers ErrQueueFull. A *FrameError is for one
// frame: one that is shorter than its header and tag, one that is longer than a chunk
// (DropTooLong), and one that owes a checksum or a segmentation (DropNoOffload), see
// Caps. What the driver does not take is not told. The error matches ENETDOWN while
// the interface is down, net.ErrClosed after Close, and ENODEV as for ReadFrames.
func (p *Port) WriteFrames(fs []frame.Frame) (n int, err error) { return p.first.WriteFrames(fs) }

// Close ends the port and all its queues: the kernel gets the interface's frames
// again, it is no longer promiscuous on the port's behalf, and down if PortConfig.Up
// brought it up and it is up still. A ReadFrames that waits answers at once. The other
// ports of the group go on. A second Close does nothing.
func (p *Port) Close() error { return portError("close", p.Name(), p.dev.close()) }

// Queues are the queues behind the first, for PortConfig.Queues. The network card
// chooses one for each frame that comes in.
func (p *Port) Queues() []bridge.FrameIO { return append([]bridge.FrameIO(nil), p.others...) }

// Caps is what a Port takes, for PortConfig.Caps: tags held aside, and no debts.
func (p *Port) Caps() bridge.Caps {
	return bridge.Caps{TagAside: true, MaxFrame: p.dev.chunk(), XmitProbe: "__dev_direct_xmit"}
}

// Mode is where the kernel runs the program that hands over the frames.
func (p *Port) Mode() Mode {
	m, _, _ := p.dev.mode()
	return m
}

// ZeroCopy reports whether the driver itself reads and writes the group's memory.
// Without it the kernel copies each frame once in each direction.
func (p *Port) ZeroCopy() bool {
	_, zc, _ := p.dev.mode()
	return zc
}

// Why says why the port is not in native mode, and why it has no zero-copy, for
// people; "" if it has both.
func (p *Port) Why() string {
	_, _, why := p.dev.mode()
	return why
}

// Warnings says what stood in the way of a bridge port when the interface was opened,
// and what to do about it.
func (p *Port) Warnings() []string { return append([]string(nil), p.dev.warnings()...) }

// Lost is how many frames came in at the interface and could not be given by
// ReadFrames, for PortConfig.Lost: nobody read them in time, or they were longer than
// a chunk has room for. What a network card with zero-copy loses it counts itself.
func (p *Port) Lost() uint64 { return p.dev.lost() }

// Name is the interface's name now; the one it had when opened after Close, and
// once it is gone.
func (p *Port) Name() string { return p.dev.control().Name() }

// Address is the address of the interface.
func (p *Port) Address() (frame.MAC, error) {
	r := p.dev.control()
	a, err := r.Address()
	return a, controlError("read the address of", r, err)
}

// MTU is the longest payload, in bytes, that the interface sends.
func (p *Port) MTU() (int, error) {
	r := p.dev.control()
	n, err := r.MTU()
	return n, controlError("read the MTU of", r, err)
}

// Link says whether the interface is up (IFF_UP), and whether it also has a carrier.
func (p *Port) Link() (up, carrier bool, err error) {
	r := p.dev.control()
	up, carrier, err = r.Link()
	return up, carrier, controlError("read the state of", r, err)
}

// Speed is that of the link, in Mb/s, as the driver of the interface says (ethtool);
// 0 if it does not. full: it runs full duplex. It is for PortConfig.Speed.
func (p *Port) Speed() (mbps int, full bool, err error) {
	r := p.dev.control()
	mbps, full, err = r.Speed()
	return mbps, full, controlError("read the speed of", r, err)
}
