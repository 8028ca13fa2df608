package bridge

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

// The bridge's own device, br0: what the host receives and sends.

// HostConfig says what the host's cable can do.
type HostConfig struct {
	Caps Caps
	Lost func() uint64 // see PortConfig.Lost
}

// host is the bridge's own device.
type host struct {
	b        *Bridge
	tx       txCounters // towards the host
	rxFrames atomic.Uint64
	rxBytes  atomic.Uint64
	mcast    atomic.Uint64
	own      struct{ frames, bytes atomic.Uint64 } // sent by the bridge through its own device
	cable    atomic.Pointer[hostCable]
	xmit     sync.Mutex // lets one Xmit in at a time
	in       *Input     // of Xmit; guarded by xmit

	mu      sync.Mutex // guards the change of cable, and the rest
	inputs  []*Input
	retired counters // of Inputs whose cable has ended
}

// hostCable is what AttachHost plugged in.
type hostCable struct {
	*queue
	caps Caps
	lost func() uint64
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

// retire keeps the counts of an Input, and nothing else of it.
func (h *host) retire(in *Input) {
	h.b.unregister(func(x *Input) bool { return x == in })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inputs = slices.DeleteFunc(slices.Clone(h.inputs), func(x *Input) bool { return x == in })
	h.retired.merge(in.ctr)
}

// AttachHost plugs the host's own stack in, by way of a cable: most often a TAP
// named br0, to which the caller gives the bridge's address and MTU. What the host
// sends is read while Serve runs; what is for the host is written to it. The
// FrameIO is the bridge's from then on; if AttachHost refuses it stays the
// caller's. When the cable ends, an EventPortFailed says so and another can be
// attached. Errors: EINVAL for nil, EBUSY while there is one, or for a FrameIO that
// is a port already.
func (b *Bridge) AttachHost(io FrameIO, c HostConfig) error {
	return b.change("attach host", b.name, func(x *tx) error {
		h := &b.host
		switch old := h.cable.Load(); {
		case io == nil:
			return x.refuse(EINVAL, "the FrameIO is nil")
		case old != nil && !old.ended.Load():
			return x.refuse(EBUSY, "there is a host already, DetachHost takes it away")
		case x.inUse(io):
			return x.refuse(EBUSY, "the FrameIO is plugged in already")
		}
		h.cable.Store(&hostCable{newQueue(nil, io), c.Caps, c.Lost})
		x.after = append(x.after, func() { b.serve.whileRunning(h.startReader) })
		return nil
	})
}

// DetachHost closes the host's cable, if there is one: what is for the host is then
// refused with DropNoHost.
func (b *Bridge) DetachHost() error {
	return b.change("detach host", b.name, func(x *tx) error {
		x.after = append(x.after, b.host.close)
		return nil
	})
}

// startReader starts the reader of the host's cable, once. serve.mu must be held.
func (h *host) startReader() {
	c := h.cable.Load()
	if c == nil || c.reader.Swap(true) {
		return
	}
	in := h.input()
	h.b.serve.wg.Go(func() { // ends when the cable is closed or fails
		h.b.read(in, c.queue)
		h.retire(in)
	})
}

func (h *host) close() {
	if c := h.cable.Load(); c != nil {
		c.close()
	}
}

// fail ends the host's cable; the bridge goes on without it.
func (h *host) fail(err error) {
	if c := h.cable.Load(); c != nil {
		h.b.end(c.queue, err)
	}
}

// count adds what a batch delivered up, and sent on behalf of the host.
func (h *host) count(t *tally) {
	if t.up != 0 {
		h.rxFrames.Add(t.up)
		h.rxBytes.Add(t.upBytes)
		h.mcast.Add(t.upMulticast)
	}
	if t.own != 0 {
		h.own.frames.Add(t.own)
		h.own.bytes.Add(t.ownBytes)
	}
}

// Stats gives the counters of the bridge's own device.
func (b *Bridge) Stats() (s HostStats) {
	h := &b.host
	s.Egress = h.tx.ledger()
	s.RxPackets, s.RxBytes, s.Multicast = h.rxFrames.Load(), h.rxBytes.Load(), h.mcast.Load()
	s.FDBRefused, s.FDBEvicted = b.fdb.refused.Load(), b.fdb.evicted.Load()
	if c := h.cable.Load(); c != nil {
		s.Ingress.Lost = lostBefore(c.lost)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retired.addTo(&s.Ingress)
	s.TxBytes = h.retired.bytes.Load()
	for _, in := range h.inputs {
		in.ctr.addTo(&s.Ingress)
		s.TxBytes += in.ctr.bytes.Load()
	}
	atDoor := s.Ingress.Dropped[DropRunt] + s.Ingress.Dropped[DropHostDown] +
		s.Ingress.Dropped[DropHostTooLong] + s.Ingress.Dropped[DropNotServed]
	s.TxPackets = s.Ingress.Received - atDoor + h.own.frames.Load()
	s.TxBytes += h.own.bytes.Load()
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
func (in *Input) devXmit(f *frame.Frame) outcome {
	name, i := in.b.name, &in.cfg.info
	switch {
	case in.cfg.closed:
		return in.turnAway(DropNotServed, errClosed)
	case !i.Up:
		return in.turnAway(DropHostDown, refuse("xmit", name, ENETDOWN, "the bridge device is down"))
	case !f.WellFormed():
		return in.turnAway(DropRunt, refuse("xmit", name, EINVAL, "a frame has 14 bytes at least"))
	case tooLongForHost(f, i.MTU):
		return in.turnAway(DropHostTooLong, refuse("xmit", name, EMSGSIZE, "longer than the bridge device's MTU allows"))
	case !i.Carrier:
		return dropped(DropHostDown) // by its queue, before br_dev_xmit; only with MST could a port send it
	}
	in.tally.bytes += uint64(f.WireLen())
	if f.Owes() && f.CheckOwed() != nil {
		return dropped(DropBadOffload)
	}
	in.note(ProbeDevXmit, nil, f, Arrived)
	state := StateForwarding
	vid, how := in.ingress(in.cfg.self, f, &state)
	in.vid, in.filtered, in.isolated = vid, i.VLANFiltering, false
	in.note(ProbeIngress, nil, f, how)
	if how == VLANNotMember {
		return dropped(DropVLANIngress)
	}
	if in.cfg.neighSuppress {
		in.suppress(nil, f)
	}
	return in.fromHost(f)
}

// fromHost sends a frame of the host's to where its destination is.
func (in *Input) fromHost(f *frame.Frame) outcome {
	switch dst := in.header.dst; {
	case dst == broadcast:
		return in.flood(nil, f, Broadcast)
	case dst.isMulticast():
		if !in.multicastRcv(nil, f) {
			return dropped(DropMulticast)
		}
		if d := in.restriction(); d.Hit {
			return in.multicastFlood(nil, f, &d)
		}
		return in.flood(nil, f, Multicast)
	default:
		if v, ok := in.lookup(dst.key(in.vid), &in.dst); ok {
			return in.forward(nil, f, v.port())
		}
		return in.flood(nil, f, UnknownUnicast)
	}
}

// tooLongForHost is what a packet socket refuses: an 802.1Q tag may come on top, one
// of 802.1ad may not (packet_extra_vlan_len_allowed).
func tooLongForHost(f *frame.Frame, mtu int) bool {
	limit, outer := mtu+frame.HeaderLen, f.Type()
	if f.Tag.Present() {
		outer = f.Tag.TPID
	}
	if outer == frame.TypeDot1Q {
		limit += frame.TagLen
	}
	return f.WireLen() > limit && !f.Owed.GSO()
}

// passFrameUp is br_pass_frame_up: a copy goes to the host, if the bridge's own
// device is in the VLAN, or promiscuous.
func (in *Input) passFrameUp(f *frame.Frame) {
	in.tally.up++
	in.tally.upBytes += uint64(f.Len() - frame.HeaderLen)
	tag := f.Tag
	switch {
	case !in.filtered:
	case in.cfg.self.has(in.vid) && (in.cfg.self.forwards(in.vid) || in.cfg.info.Promisc):
		tag = in.egressTag(in.cfg.self, f)
	case !in.cfg.info.Promisc:
		in.noteReason(ProbePassUp, nil, f, Dropped, DropVLANEgress)
		if in.dry == nil {
			in.b.host.tx.refuse(1, DropVLANEgress)
		}
		return
	}
	if !in.cfg.info.Up { // a port may have been set to forward all the same
		in.noteReason(ProbePassUp, nil, f, Dropped, DropHostDown)
		if in.dry == nil {
			in.b.host.tx.refuse(1, DropHostDown)
		}
		return
	}
	in.noteTag(ProbePassUp, nil, tag)
	in.countMessage(nil)
	if in.hooks != nil && !in.passes(HookLocalIn, nil, f, tag) {
		return
	}
	in.put(fdbSelf, nil, departureOf(in.firstView, f, tag))
}

// writeHost writes to the host's cable, if there is one.
func (in *Input) writeHost(out []departure) {
	h := &in.b.host
	c := h.cable.Load()
	if c == nil || c.ended.Load() {
		h.tx.offered.Add(uint64(len(out)))
		h.tx.refused[DropNoHost].Add(uint64(len(out)))
		for i := 0; i < len(out) && in.watched; i++ {
			f := in.departing(out[i])
			in.freeOf(nil, &f, DropNoHost)
		}
		return
	}
	in.write(c.queue, &h.tx, &c.caps, out)
}
