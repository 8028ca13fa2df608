package bridge

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

// The bridge's own device, br0: what the host receives and sends.

// HostConfig says what the host's cable takes.
type HostConfig struct {
	Caps Caps
}

// host is the bridge's own device.
type host struct {
	b        *Bridge
	tx       txCounters // towards the host
	rxFrames atomic.Uint64
	rxBytes  atomic.Uint64
	mcast    atomic.Uint64

	mu     sync.Mutex // guards the making of cable, in and inputs
	cable  atomic.Pointer[hostCable]
	in     *Input // of Xmit; guarded by xmit while used
	inputs []*Input
	xmit   sync.Mutex // lets one Xmit in at a time
}

// hostCable is what AttachHost plugged in.
type hostCable struct {
	q    queue
	caps Caps
	dead atomic.Bool
}

// end closes the cable, once, and says whether this was it.
func (c *hostCable) end() bool {
	if !c.dead.CompareAndSwap(false, true) {
		return false
	}
	c.q.close()
	return true
}

func (h *host) init(b *Bridge) {
	h.b = b
	h.in = h.input()
}

func (h *host) input() *Input {
	in := &Input{b: h.b, ctr: new(counters)}
	h.mu.Lock()
	h.inputs = append(h.inputs, in)
	h.mu.Unlock()
	h.b.register(in)
	return in
}

// AttachHost plugs the host's own stack in, by way of a cable: most often a TAP
// named br0, to which the caller gives the bridge's address and MTU. What the host
// sends is read while Serve runs; what is for the host is written to it. The
// FrameIO is the bridge's from then on. Errors: EINVAL for nil, EBUSY for a second
// one while the first lives.
func (b *Bridge) AttachHost(io FrameIO, c HostConfig) error {
	h := &b.host
	if io == nil {
		return refuse("attach host", b.name, EINVAL, "the FrameIO is nil")
	}
	if b.cfg.Load().closed {
		return errClosed
	}
	h.mu.Lock()
	old := h.cable.Load()
	if old != nil && !old.dead.Load() {
		h.mu.Unlock()
		return refuse("attach host", b.name, EBUSY, "there is a host already")
	}
	cable := &hostCable{caps: c.Caps}
	cable.q.host, cable.q.io = cable, io
	h.cable.Store(cable)
	h.mu.Unlock()
	b.serve.whileRunning(h.startReader)
	if b.cfg.Load().closed {
		h.close() // Close came in between
		return errClosed
	}
	return nil
}

// startReader starts the reader of the host's cable. serve.mu must be held.
func (h *host) startReader() {
	if c := h.cable.Load(); c != nil {
		in := h.input()
		h.b.serve.wg.Go(func() { // ends when the cable is closed or fails
			if err := in.pump(c.q.io); !errors.Is(err, net.ErrClosed) {
				h.fail(c, err)
				h.b.events.deliver()
			}
		})
	}
}

func (h *host) close() {
	if c := h.cable.Load(); c != nil {
		c.end()
	}
}

// fail ends the host's cable; the bridge goes on without it.
func (h *host) fail(c *hostCable, err error) {
	if c != nil && c.end() {
		h.b.events.post(Event{Kind: EventPortFailed, Port: h.b.name, Err: err})
	}
}

// count adds what a batch delivered up.
func (h *host) count(t *tally) {
	if t.up != 0 {
		h.rxFrames.Add(t.up)
		h.rxBytes.Add(t.upBytes)
		h.mcast.Add(t.upMulticast)
	}
}

// Stats gives the counters of the bridge's own device.
func (b *Bridge) Stats() (s HostStats) {
	h := &b.host
	s.Egress = h.tx.ledger()
	s.RxPackets, s.RxBytes, s.Multicast = h.rxFrames.Load(), h.rxBytes.Load(), h.mcast.Load()
	s.FDBRefused = b.fdb.refused.Load()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, in := range h.inputs {
		in.ctr.addTo(&s.Ingress)
		s.TxBytes += in.ctr.bytes.Load()
	}
	atDoor := s.Ingress.Dropped[DropRunt] + s.Ingress.Dropped[DropHostDown] +
		s.Ingress.Dropped[DropHostTooLong] + s.Ingress.Dropped[DropNotServed]
	s.TxPackets = s.Ingress.Received - atDoor
	return s
}

// Xmit sends a frame as the host does through the bridge's own device
// (br_dev_xmit): to every port that is to have it, never back to the host. Nothing
// is learned from it. It keeps and changes nothing of f. Errors are those of a
// packet socket: EINVAL (shorter than 14 bytes), ENETDOWN, EMSGSIZE. That the
// bridge drops a frame is no error.
func (b *Bridge) Xmit(f frame.Frame) error {
	defer b.afterwards() // once the lock is free
	b.host.xmit.Lock()
	defer b.host.xmit.Unlock()
	return b.host.in.carry([]frame.Frame{f})
}

// devXmit is the host's door, and br_dev_xmit.
func (in *Input) devXmit(f *frame.Frame) (outcome, error) {
	name, i := in.b.name, &in.cfg.info
	switch {
	case in.cfg.closed:
		return dropped(DropNotServed), errClosed
	case !f.WellFormed():
		return dropped(DropRunt), refuse("xmit", name, EINVAL, "a frame has 14 bytes at least")
	case !i.Up:
		return dropped(DropHostDown), refuse("xmit", name, ENETDOWN, "the bridge device is down")
	case tooLongForHost(f, i.MTU):
		return dropped(DropHostTooLong), refuse("xmit", name, EMSGSIZE, "longer than the bridge device's MTU allows")
	}
	in.tally.bytes += uint64(f.WireLen())
	if !owesSanely(f) {
		return dropped(DropBadOffload), nil
	}
	in.note(ProbeDevXmit, nil, f, Arrived)
	state := StateForwarding
	vid, how := in.ingress(in.cfg.self, f, &state)
	in.vid, in.filtered, in.isolated = vid, i.VLANFiltering, false
	in.note(ProbeIngress, nil, f, how)
	if how == VLANNotMember {
		return dropped(DropVLANIngress), nil
	}
	switch dst := in.header.dst; {
	case dst.IsBroadcast():
		return in.flood(nil, f, Broadcast), nil
	case dst.IsMulticast():
		return in.flood(nil, f, Multicast), nil
	default:
		if v, ok := in.lookup(dst, vid, &in.dst); ok {
			return in.forward(nil, f, v.port()), nil
		}
		return in.flood(nil, f, UnknownUnicast), nil
	}
}

// tooLongForHost is what a packet socket refuses: a VLAN tag may come on top.
func tooLongForHost(f *frame.Frame, mtu int) bool {
	limit := mtu + frame.HeaderLen
	if f.Tag.Present() || f.Type().IsTag() {
		limit += frame.TagLen
	}
	return f.WireLen() > limit && !f.Owed.GSO()
}

// passFrameUp is br_pass_frame_up: a copy goes to the host, if the bridge's own
// device is in the VLAN, or promiscuous.
func (in *Input) passFrameUp(f *frame.Frame) {
	g := *f
	in.tally.up++
	in.tally.upBytes += uint64(f.Len() - frame.HeaderLen)
	if !in.cfg.info.Promisc && in.filtered && !in.cfg.self.forwards(in.vid) {
		in.noteReason(ProbePassUp, nil, f, Dropped, DropVLANEgress)
		if in.dry == nil {
			in.b.host.tx.refuse(1, DropVLANEgress)
		}
		return
	}
	if in.filtered && in.cfg.self.has(in.vid) {
		in.egressTag(in.cfg.self, &g)
	}
	in.note(ProbePassUp, nil, &g, NoDecision)
	v := in.vector(fdbSelf, nil)
	v.fs = append(v.fs, g)
}

// writeHost writes to the host's cable, if there is one.
func (in *Input) writeHost(fs []frame.Frame) {
	h := &in.b.host
	c := h.cable.Load()
	if c == nil || c.dead.Load() {
		h.tx.offered.Add(uint64(len(fs)))
		in.refused(&queue{}, &h.tx, len(fs), DropNoHost)
		return
	}
	in.write(&c.q, &h.tx, &c.caps, fs)
}
