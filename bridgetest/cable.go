package bridgetest

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A wire is one direction of a cable: what goes in comes out Config.Latency later,
// in order, unless there is a fault.
type wire struct {
	lab    *Lab
	sink   func(frame.Frame) // takes what comes out
	under  int               // frames under way, at most Config.QueueLen
	taken  uint64            // frames that went in
	cut    bool
	broken int   // how often it was: what was under way then is lost, see Link.Cut
	fault  Fault // nil: none
}

// send puts a copy of f, as it goes on the wire, on its way.
func (w *wire) send(f frame.Frame) error {
	switch {
	case w.cut:
		return net.ErrClosed
	case w.under >= w.lab.queueLen:
		return bridge.ErrQueueFull
	}
	late := time.Duration(0)
	if w.fault != nil {
		arrives := false
		if late, arrives = w.fault(f); !arrives {
			w.taken++
			return nil
		}
	}
	g := frame.Frame{Data: append([]byte(nil), f.Data...)} // as it is, if it is cut off: the switch is to refuse it
	if f.WellFormed() {
		g = frame.Frame{Data: f.AppendWire(nil), Owed: f.OwedOnWire()}
	}
	w.under++
	w.lab.under++
	w.taken++
	broken := w.broken
	w.lab.After(w.lab.latency+late, func() {
		w.under--
		w.lab.under--
		if w.cut || w.broken != broken {
			return
		}
		g.Time = w.lab.clock().UnixNano()
		w.sink(g)
	})
	return nil
}

// A plug is the end of a cable that a bridge holds. What comes out there goes to
// the bridge by Receive or Xmit, never by ReadFrames.
type plug struct {
	name    string
	out     *wire             // from the bridge; cut by Close
	receive func(frame.Frame) // to the bridge
	stats   func() (bridge.IngressLedger, bridge.EgressLedger)
	closed  chan struct{} // by Close
	once    sync.Once
}

var _ bridge.FrameIO = (*plug)(nil)

// newPlug makes the end of a cable; what the bridge writes to it comes out at sink.
func (l *Lab) newPlug(sink func(frame.Frame)) *plug {
	return &plug{out: &wire{lab: l, sink: sink}, closed: make(chan struct{})}
}

// ReadFrames waits for Close.
func (p *plug) ReadFrames([]frame.Frame) (int, error) {
	<-p.closed
	return 0, net.ErrClosed
}

// WriteFrames puts fs on their way.
func (p *plug) WriteFrames(fs []frame.Frame) (int, error) {
	for i := range fs {
		if err := p.out.send(fs[i]); err != nil {
			return i, err
		}
	}
	return len(fs), nil
}

// Close cuts the cable: what is on its way from the bridge is lost.
func (p *plug) Close() error {
	p.once.Do(func() {
		p.out.cut = true
		close(p.closed)
	})
	return nil
}

// An End says where one end of a cable between two switches is plugged in. The
// zero End is a port of the first switch as Linux adds it.
type End struct {
	Switch   string            // "": the first
	PortName string            // "": p1, p2, ... as they are made in the lab
	Port     bridge.PortConfig // Address zero: 02:bb:00:00:00:01 for p1, and so on
}

// A Cable connects two switches, or a switch to itself.
type Cable struct{ A, B End }

// AddCable connects two switches; A's port is made first. The errors are those of
// bridge.Bridge.AddPort.
func (l *Lab) AddCable(c Cable) error {
	_, err := l.Connect(c)
	return err
}

// plugIn makes a port of the plug.
func (l *Lab) plugIn(io *plug, e End) (*bridge.Port, error) {
	b, err := l.findSwitch(e.Switch)
	if err != nil {
		return nil, err
	}
	if io.name = e.PortName; io.name == "" {
		io.name = fmt.Sprintf("p%d", l.ports+1)
	}
	if e.Port.Address.IsZero() {
		e.Port.Address = numberedMAC(0xbb, l.ports+1)
	}
	p, err := b.AddPort(io.name, io, e.Port)
	if err != nil {
		return nil, err
	}
	io.receive = func(f frame.Frame) { _ = p.Receive(f) } // what is refused is counted by the port
	io.stats = func() (bridge.IngressLedger, bridge.EgressLedger) {
		s := p.Stats()
		return s.Ingress, s.Egress
	}
	l.ports++
	l.plugs = append(l.plugs, io)
	return p, nil
}
