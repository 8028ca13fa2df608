package bridge

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

// Frames that the bridge makes itself: the queries of snooping and BPDUs. The machines
// that make them run under a lock, so what they make is queued, and sent once no lock is
// held: in the vectors of the frame that caused it, in front of what becomes of that
// frame, or else in a batch of its own.

// made is a frame that the bridge has made and is to send.
type made struct {
	probe Probe  // where a tracer sees it
	port  uint16 // 0: to the host
	vid   frame.VID
	fits  bool // it is not made where the port's MTU is shorter
	data  []byte
}

// outbox is what was made and is not yet sent.
type outbox struct {
	in  *Input      // of send
	any atomic.Bool // queued is not empty

	mu      sync.Mutex // guards the rest. Nothing is called under it
	queued  []made
	sending bool // somebody sends what was queued
}

func (o *outbox) add(m made) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued = append(o.queued, m)
	o.any.Store(true)
}

// take gives what is queued; if mine is asked for, to nobody while another call sends.
func (o *outbox) take(mine bool) []made {
	o.mu.Lock()
	defer o.mu.Unlock()
	if mine && (o.sending || len(o.queued) == 0) {
		return nil
	}
	ms := o.queued
	o.queued, o.sending = nil, o.sending || mine
	o.any.Store(false)
	return ms
}

// sendMade sends what is queued, unless another call is at it, which then sends these
// frames too.
func (b *Bridge) sendMade() {
	o := &b.outbox
	for o.any.Load() {
		ms := o.take(true)
		if ms == nil {
			return
		}
		o.send(b, ms)
	}
}

// send sends frames in batches of their own. One call at a time runs it.
func (o *outbox) send(b *Bridge, ms []made) {
	if o.in == nil {
		o.in = b.host.input()
	}
	defer func() { // also if a driver ends the goroutine
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sending = false
	}()
	for part := range slices.Chunk(ms, batchSize) {
		o.in.sendMade(part)
	}
}

// sendMade is a batch of the bridge's own, of frames that no other has caused.
func (in *Input) sendMade(ms []made) {
	in.begin(0)
	defer in.end()
	in.adopt(in.b.cfg.Load())
	if !in.cfg.closed {
		for i := range ms {
			in.emitMade(&ms[i], false)
		}
	}
	in.flush()
}

// emitAllMade puts what is queued in the vectors, while a frame is under way, which
// comes behind it.
func (in *Input) emitAllMade() {
	o := &in.b.outbox
	if !o.any.Load() {
		return
	}
	ms := o.take(false)
	for i := range ms {
		in.emitMade(&ms[i], true)
	}
}

// emitMade puts a frame in the vector of a port, or of the host, in any state of the
// port: with the tag of its VLAN unless the device is an untagged member. One that is
// longer than the bridge's MTU, Ethernet header and all, is not made (of queries:
// br_multicast_alloc_query). meanwhile: a frame is under way, and comes behind it.
func (in *Input) emitMade(m *made, meanwhile bool) {
	cfg := in.cfg
	var pc *portConf
	g, mtu := cfg.self, cfg.info.MTU
	if m.port != 0 {
		if int(m.port) >= len(cfg.byNum) || cfg.byNum[m.port] == nil {
			return
		}
		pc = cfg.byNum[m.port]
		if g = pc.vlans; m.fits {
			mtu = min(mtu, pc.mtu)
		}
	}
	if len(m.data) > mtu {
		return
	}
	f := frame.Frame{Data: m.data}
	if m.vid != 0 && !g.untagged(m.vid) {
		f.Tag = frame.Tag{TPID: cfg.info.VLANProtocol}.WithVID(m.vid)
	}
	var asked frame.Frame
	if meanwhile {
		asked = in.views[in.firstView]
	}
	header, vid := in.header, in.vid
	in.header = headerOf(&f)
	in.vid = m.vid
	in.note(m.probe, pc.port(), &f, NoDecision)
	in.putMade(pc, in.enter(&f))
	if in.header, in.vid = header, vid; meanwhile {
		in.enterAgain(&asked)
	}
}

// putMade has the frame pass the one point that it passes.
func (in *Input) putMade(pc *portConf, f *frame.Frame) {
	if pc == nil {
		in.putEntered(fdbSelf, nil)
		return
	}
	if in.hooks != nil && !in.passes(HookLocalOut, pc.p, f, f.Tag) {
		return
	}
	if why := pc.forwardable(f); why != NotDropped {
		in.notForwardable(pc, f, why)
		return
	}
	in.putEntered(pc.num, pc.p)
}
