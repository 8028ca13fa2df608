package filter

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/ddfb540f/bridge"
)

// Mirrored says what a Mirror copies, and where to.
type Mirrored struct {
	Ingress []string     // what comes in by these ports
	Egress  []string     // what leaves by these ports
	To      *bridge.Port // another port of the same bridge; one that joins in its place later is not meant
}

// Mirror copies the frames of some ports to another. Copies have the tags that the
// frames have on the mirrored cable. They are views: nothing is copied but where the
// mirror's cable needs it, and a checksum or segmentation that is owed is finished
// for it like for any other (Caps). They are written with the batch; a cable that
// does not keep up loses copies, which its egress ledger tells, and delays nothing.
// Too long for the MTU of the port they are lost too. A frame that goes from one
// mirrored port to another is copied twice, if both directions are named. Frames that
// pass no filter are not copied: those to 01:80:c2:00:00:00 and 0e for the port's own
// stack, pause frames, what is dropped for its source or the port's state, and the
// bridge's answers to ARP and ND. A frame that leaves by a VLAN tunnel is copied without
// the tunnel's id.
//
// To mirror to a FrameIO, add it as a port with MirrorPort.
//
// A loop is not possible: copies pass no filter, what comes in by the mirror's port
// is dropped and reported, and nothing but copies leaves by it.
type Mirror struct {
	c      Mirrored
	copies atomic.Uint64
}

// NewMirror makes a Mirror. Errors: no port to mirror to, none to be mirrored, or the
// one is among the others.
func NewMirror(c Mirrored) (*Mirror, error) {
	c.Ingress, c.Egress = slices.Clone(c.Ingress), slices.Clone(c.Egress)
	switch {
	case c.To == nil:
		return nil, errors.New("filter: a mirror needs a port to copy to")
	case len(c.Ingress)+len(c.Egress) == 0:
		return nil, errors.New("filter: a mirror needs ports to copy from")
	case slices.Contains(c.Ingress, c.To.Name()) || slices.Contains(c.Egress, c.To.Name()):
		return nil, errors.New("filter: a mirror does not copy its own port")
	}
	return &Mirror{c: c}, nil
}

// MirrorPort is how a port joins that is for a Mirror's copies only: it learns
// nothing, is in no VLAN, and nothing is flooded to it.
func MirrorPort(caps bridge.Caps) bridge.PortConfig {
	return bridge.PortConfig{
		Caps: caps, VLANs: []bridge.VLAN{},
		NoLearning: true, NoFlood: true, NoMcastFlood: true, NoBcastFlood: true,
	}
}

// Filter is the filter, named "mirror". At the head of the list it copies what others
// drop as well.
func (m *Mirror) Filter() bridge.Filter {
	return bridge.Filter{Name: "mirror", Judge: m.judge, Hooks: bridge.Hooks(bridge.HookPreRouting,
		bridge.HookLocalIn, bridge.HookForward, bridge.HookLocalOut, bridge.HookPostRouting)}
}

// Copies is how many were made.
func (m *Mirror) Copies() uint64 { return m.copies.Load() }

var errMirrorSends = errors.New("the port of a mirror is not for sending")

func (m *Mirror) judge(s *bridge.Passage) bridge.Ruling {
	switch {
	case s.In == m.c.To:
		s.Report(func() error { return errMirrorSends })
		return bridge.FilterDrop.Because("came in by the mirror's port")
	case s.Out == m.c.To:
		return bridge.FilterDrop.Because("the mirror's port is for copies")
	case s.Hook == bridge.HookPreRouting || s.OwnStack:
		m.copyIf(m.c.Ingress, s.In, s)
	case s.Hook == bridge.HookPostRouting:
		m.copyIf(m.c.Egress, s.Out, s)
	}
	return bridge.Ruling{}
}

func (m *Mirror) copyIf(ports []string, p *bridge.Port, s *bridge.Passage) {
	if !slices.Contains(ports, p.Name()) {
		return
	}
	s.CopyTo(m.c.To)
	if !s.Dry {
		m.copies.Add(1)
	}
}
