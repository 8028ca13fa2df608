package bridgetest

import (
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A Fault is what is wrong with one direction of a cable. It is asked about every
// frame that is put in there, and says whether it comes out, and how much later than
// the latency of the cable: one that is held back may be overtaken. What it keeps from
// coming out counts as sent, as on a real cable. It must not keep or change f, may use
// [Lab.Rand] and [Lab.Now], and must call nothing else of the lab or of its switches
// but [Lab.After].
type Fault func(f frame.Frame) (late time.Duration, arrives bool)

// A Link is a cable between two switches that can be cut, mended and made faulty. Its
// methods may be called from what [Lab.After] runs.
type Link struct {
	a, b *plug
	p, q *bridge.Port
	cut  bool
}

// Connect is AddCable for a cable that something is to happen to.
func (l *Lab) Connect(c Cable) (*Link, error) {
	k := new(Link)
	k.a = l.newPlug(func(f frame.Frame) { k.b.receive(f) })
	k.b = l.newPlug(func(f frame.Frame) { k.a.receive(f) })
	var err error
	if k.p, err = l.plugIn(k.a, c.A); err != nil {
		return nil, err
	}
	if k.q, err = l.plugIn(k.b, c.B); err != nil {
		_ = k.p.Bridge().RemovePort(k.p) // it was just made
		return nil, err
	}
	return k, nil
}

// Ports are the ports at the two ends, in the order of Cable.
func (k *Link) Ports() (a, b *bridge.Port) { return k.p, k.q }

// Cut has both ends lose their carrier, and what is under way is lost. It has no
// effect on a cable that is cut. The error is that of a bridge that is closed.
func (k *Link) Cut() error { return k.setCut(true) }

// Mend gives both ends their carrier back, unless the cable is whole.
func (k *Link) Mend() error { return k.setCut(false) }

func (k *Link) setCut(cut bool) error {
	if k.cut == cut {
		return nil
	}
	k.cut = cut
	if cut {
		k.a.out.broken++
		k.b.out.broken++
	}
	for _, p := range [...]*bridge.Port{k.p, k.q} {
		if err := p.SetLink(p.Info().Up, !cut); err != nil {
			return err
		}
	}
	return nil
}

// Impair sets the faults from A to B and from B to A; nil is none. Carriers stay as
// they are: neither end can know.
func (k *Link) Impair(ab, ba Fault) { k.a.out.fault, k.b.out.fault = ab, ba }

// UnderWay is how many frames are in the cables at this instant, those of hosts too.
func (l *Lab) UnderWay() int { return l.under }
