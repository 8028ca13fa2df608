package bridge

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// The receive path, in the order of the checks:
//
//	Receive -> batch -> receive   at the door: length, link, what is owed
//	handleFrame                   source address, link-local addresses, port state
//	handleFrameFinish             VLAN ingress, locked port, learning, classification
//	deliver                       forward, flood or up to the host
//
// What leaves is put in egress vectors (forward.go) and written at the end of the
// batch.

// An Input is one reader's context: scratch memory, the memory of the last flow,
// and counters. It is used by one goroutine at a time; several Inputs, of one port
// or of several, run side by side without a lock between them.
type Input struct {
	b     *Bridge
	port  *Port // nil: the host
	index int   // which of the egress port's queues it writes to, modulo their number

	givenUp atomic.Uint64         // the epoch of a batch that is not waited for any more
	epoch   atomic.Uint64         // odd while in a batch; changes wait for it
	running atomic.Uint64         // the goroutine of the batch, where it is known
	writing atomic.Pointer[queue] // the cable that is being written to, by the one who has the turn
	owner   uint64                // the goroutine that always uses this Input, if there is one

	// One frame.
	cfg      *config
	pc       *portConf // the port's part of cfg; nil: the host, or a port that has left
	dir      fdbDir    // of the FDB; an old one leads to segments that say so
	hooks    *hooks    // of cfg
	simple   bool      // of cfg, pc and the batch, see straight
	entrance entrance  // of the last frame
	vid      frame.VID
	filtered bool   // VLAN filtering was on when the frame came in
	isolated bool   // the frame came in by an isolated port
	replied  bool   // ports that suppress need not see the frame (proxyarp_replied)
	nexthop  uint32 // of the port in whose place its backup is to send the frame; 0 none
	src, dst flow
	header   header
	snooped  bool         // snooping has looked at the frame: packet holds
	packet   snoop.Packet // what it says of groups

	// One batch.
	now       stamp
	watched   bool
	trace     Trace
	dry       *overlay
	evicted   *eviction     // what the frame took the place of, to be shown
	views     []frame.Frame // the frames that came in, and how they leave where that differs
	firstView int           // the frame under way; its other views follow it
	out       []vector      // by port number; 0 is the host
	touched   []int         // which of out are not empty, in order
	written   int           // how many of touched are written
	undecided int           // frames of the batch that nothing became of yet
	refusal   error         // of the first frame that the device refused
	leaving   []frame.Frame // one vector, to be written
	loaded    int           // how much of leaving was used at most
	idle      int           // batches since much of the scratch memory was needed
	flooded   floodRound    // where the last flooded frame went
	pushed    []byte        // frames whose tag went back into the payload
	fin       finishing
	tally     tally
	ctr       *counters
	fetched   uint64 // see fetch
	patrolled uint64 // epoch at the last patrol, whose it is

	passage Passage     // what filters see of the frame
	judging bool        // judges is set
	judges  atomic.Bool // a filter was asked in this batch
}

// A header is a frame's addresses.
type header struct{ src, dst address }

// An overlay holds what a frame in a dry run would have changed in the FDB, for
// the later steps of the same frame to see: the entry of its source, and the one
// that is evicted for it. No entry has the key 0.
type overlay struct {
	key     uint64
	val     fdbVal
	evicted uint64
	out     []Emission // what the frame has made so much of that it was gathered on the way
}

// has says whether the frame has made, or would have evicted, the entry of k.
func (o *overlay) has(k uint64) bool { return k != 0 && (o.key == k || o.evicted == k) }

// An outcome is what became of a frame.
type outcome struct {
	verdict Verdict
	reason  DropReason
}

func used() outcome                  { return outcome{verdict: Used} }
func dropped(why DropReason) outcome { return outcome{Drop, why} }

// Input makes a reader's context for frames that come in by p. Make one for each
// goroutine that receives, and keep it: its counters are part of the port's, and
// it stays until the port is removed. Input i of a port writes to queue i, modulo
// the number of queues, of every port.
func (p *Port) Input() *Input {
	p.mu.Lock()
	in := &Input{b: p.b, port: p, index: len(p.inputs), ctr: new(counters)}
	p.inputs = append(p.inputs, in)
	p.mu.Unlock()
	p.b.register(in)
	return in
}

// Receive is Input.Receive for those who need not be fast: it may be called by any
// goroutine, and the calls take turns.
func (p *Port) Receive(fs ...frame.Frame) error {
	defer p.b.afterwards() // once the lock is free
	p.easy.Lock()
	defer p.easy.Unlock()
	if p.easy.in == nil {
		p.easy.in = p.Input()
	}
	return p.easy.in.carry(fs)
}

// Receive takes frames as they come from a cable: it decides each, writes what is
// to leave to the cables, and returns. It keeps and changes nothing of fs. The
// error is the first refusal of the port's device, with the numbers that a write
// to a TAP answers, the other frames are carried all the same: EINVAL for a frame
// shorter than 14 bytes, EIO while the device is down. That the bridge drops a
// frame is no error.
func (in *Input) Receive(fs []frame.Frame) error {
	defer in.b.afterwards()
	return in.carry(fs)
}

// carry takes frames batch by batch.
func (in *Input) carry(fs []frame.Frame) error {
	var first error
	for len(fs) > 0 {
		n := min(len(fs), batchSize)
		if in.b.trace.Load() != nil {
			n = 1 // so that what is printed stands in the order of the frames
		}
		if err := in.batch(fs[:n]); err != nil && first == nil {
			first = err
		}
		fs = fs[n:]
	}
	return first
}

// batch carries up to batchSize frames.
func (in *Input) batch(fs []frame.Frame) error {
	in.begin(len(fs))
	defer in.end()
	if len(fs) > 1 && in.b.fdb.large.Load() {
		in.fetch(fs)
	}
	for i := range fs {
		if in.crowded() {
			in.spill(false)
		}
		in.account(in.receive(in.enter(&fs[i])))
	}
	in.flush()
	return in.refusal
}

// begin marks the batch, so that a change of the configuration can wait for its
// end, and reads the clock, once.
func (in *Input) begin(n int) {
	in.ctr.received.Add(uint64(n))
	in.undecided = n
	if t := in.b.trace.Load(); t != nil {
		in.trace, in.watched = *t, true
		in.running.Store(goroutineID())
	} else if in.watched = false; in.owner != 0 {
		in.running.Store(in.owner)
	}
	in.epoch.Add(1)
	in.now = max(in.now, in.b.stamp())
}

// end takes the mark away. It runs also when a driver or a callback has ended the
// goroutine in the middle of the batch.
func (in *Input) end() {
	in.abandon()
	in.forgetBatch()
	in.epoch.Add(1)
	if in.running.Load() != 0 {
		in.running.Store(0)
	}
	if in.judging {
		in.judging = false
		in.judges.Store(false)
		in.passage.view, in.passage.Out = frame.Frame{}, nil
	}
	in.ctr.add(&in.tally)
	in.b.host.count(&in.tally)
	in.tally = tally{}
}

// afterwards does what must not be done inside a batch, or with a lock held.
func (b *Bridge) afterwards() {
	if !b.unsettled.any.Load() && !b.events.pending.Load() || b.inBatch() {
		return // nothing to do, or the batch around this call will do it
	}
	b.settleLinks()
	b.events.deliver()
}

func (in *Input) account(o outcome) {
	in.undecided--
	if o.verdict == Used {
		in.tally.used++
	} else {
		in.accountUnused(o)
	}
}

func (in *Input) accountUnused(o outcome) {
	switch o.verdict {
	case Passed:
		in.ctr.passed.Add(1)
	case Consumed:
		in.ctr.consumed.Add(1)
	case Drop:
		in.ctr.dropped[o.reason].Add(1)
		if in.watched {
			in.free(in.port, o.reason)
		}
	}
}

// enter makes a frame the one under way: its first view, which may be changed.
func (in *Input) enter(f *frame.Frame) *frame.Frame {
	n := len(in.views)
	in.firstView, in.views = n, slices.Grow(in.views, 1)[:n+1]
	view := &in.views[n]
	*view = *f
	return view
}

// receive is the door: what the device and __netif_receive_skb_core do before the
// bridge sees a frame. The configuration is loaded for each frame, so that what
// one frame changes counts for the next.
func (in *Input) receive(f *frame.Frame) outcome {
	if cfg := in.b.cfg.Load(); cfg != in.cfg {
		in.adopt(cfg)
	}
	in.vid, in.nexthop, in.replied, in.snooped = 0, 0, false, false
	whole := f.WellFormed()
	if whole {
		in.header = headerOf(f)
	} else {
		in.header = header{}
	}
	pc := in.pc
	switch {
	case pc == nil && in.port == nil:
		return in.devXmit(f)
	case pc == nil:
		return dropped(DropNotServed)
	case !whole:
		return in.turnAway(DropRunt, in.port.errRunt)
	case !pc.flags.has(flagUp):
		return in.turnAway(DropLinkDown, in.port.errDown)
	}
	in.tally.bytes += uint64(f.WireLen())
	if !f.Lift() {
		return dropped(DropTaggedRunt)
	}
	if f.Owes() && f.CheckOwed() != nil {
		return dropped(DropBadOffload)
	}
	if o, ok := in.straight(pc, f); ok {
		return o
	}
	return in.handleFrame(pc, f)
}

// turnAway is what becomes of a frame that the device does not take, and answers an error
// for.
func (in *Input) turnAway(why DropReason, err error) outcome {
	if in.refusal == nil {
		in.refusal = err
	}
	return dropped(why)
}

// headerOf reads the addresses of a well-formed frame.
func headerOf(f *frame.Frame) header {
	head := f.Data[:frame.HeaderLen]
	return header{
		dst: address(binary.BigEndian.Uint64(head) >> 16),
		src: address(binary.BigEndian.Uint64(head[6:]) >> 16),
	}
}

// adopt goes over to a configuration.
func (in *Input) adopt(cfg *config) {
	in.cfg, in.hooks, in.pc, in.dir = cfg, cfg.hooks, nil, *in.b.fdb.dir.Load()
	if in.port != nil && !cfg.closed {
		in.pc = cfg.conf(in.port)
	}
	in.simple = in.pc != nil && in.pc.simplyIn() && cfg.simple() && !in.watched && in.dry == nil
	in.entrance = entrance{}
	in.entrance.open = in.simple && in.enters(in.pc)
}

// handleFrame is br_handle_frame.
func (in *Input) handleFrame(pc *portConf, f *frame.Frame) outcome {
	in.note(ProbeHandleFrame, pc.p, f, Arrived)
	src, dst := in.header.src, in.header.dst
	if !src.isValid() {
		return dropped(DropInvalidSource)
	}
	if f.Tunnel != 0 {
		in.fromTunnel(pc, f)
	}
	if dst.isLinkLocal() {
		if o, done := in.linkLocal(pc, f); done {
			return o
		}
	}
	if !pc.state.Learns() && !in.cfg.info.MSTEnabled {
		return dropped(DropPortState)
	}
	if in.hooks != nil {
		return in.preRouting(pc, f)
	}
	return in.handleFrameFinish(pc, f)
}

// linkLocal judges a frame to 01:80:c2:00:00:0X: forwarded like any multicast if a
// mask says so, else handed to the port's own stack, in any port state.
func (in *Input) linkLocal(pc *portConf, f *frame.Frame) (o outcome, done bool) {
	const stp, macControl, lldp = 0x0, 0x1, 0xe
	i := &in.cfg.info
	x := uint8(in.header.dst & 0xf)
	mask := in.cfg.required | pc.mask
	switch {
	case x == macControl && mask&(1<<macControl) == 0: // only wire mode sets this bit
		return dropped(DropMACControl), true
	case x != stp:
		mask |= i.GroupFwdMask
	case i.STPState == 0:
		mask |= 1 << stp
	}
	if mask&(1<<x) != 0 {
		in.note(ProbeHandleFrame, pc.p, f, LinkLocalForward)
		return outcome{}, false
	}
	if in.hooks != nil && x != stp && x != lldp {
		if o, done = in.ownStack(f); done {
			return o, true
		}
	}
	d := LinkLocalPass
	if pc.flags.has(flagLearning) && pc.state.Learns() && !i.NoLinkLocalLearn {
		if vid, ok := in.expectVLAN(pc.vlans, f); ok {
			switch in.learn(pc, in.header.src.key(vid), 0) {
			case Learned, Refreshed, Moved:
				d = LinkLocalLearned
			}
		}
	}
	in.note(ProbeHandleFrame, pc.p, f, d)
	in.pass(pc, f)
	return outcome{verdict: Passed}, true
}

// pass hands a frame to the port's own stack, if there is one.
func (in *Input) pass(pc *portConf, f *frame.Frame) {
	in.note(ProbeNetifReceive, pc.p, f, SentOwn)
	taken := in.stpRcv(pc, f)
	switch {
	case in.dry != nil:
	case pc.p.onPass == nil && !taken && !isLLC(f.Rest()):
		in.ctr.unwanted.Add(1)
	case pc.p.onPass == nil:
	default:
		in.running.Store(goroutineID())
		in.guard(func() { pc.p.onPass(pc.p, *f) })
	}
}

// guard runs a user's function; its panic ends the cable that the frame came from,
// and nothing else, and not even that if the frame is only explained.
func (in *Input) guard(fn func()) {
	defer func() {
		r := recover()
		if r == nil || in.dry != nil {
			return
		}
		in.failSource(fmt.Errorf("bridge: a callback panicked: %v", r))
	}()
	fn()
}

// failSource ends the cable that the frame came from.
func (in *Input) failSource(err error) {
	if in.port == nil {
		in.b.host.fail(err)
	} else {
		in.b.fail(in.port, err)
	}
}

// handleFrameFinish is br_handle_frame_finish.
func (in *Input) handleFrameFinish(pc *portConf, f *frame.Frame) outcome {
	state := pc.state
	if in.cfg.info.MSTEnabled {
		state = StateForwarding // each VLAN has its own
	}
	vid, how := in.ingress(pc.vlans, f, &state)
	in.vid, in.filtered = vid, in.cfg.info.VLANFiltering
	in.note(ProbeIngress, pc.p, f, how)
	if how == VLANNotMember {
		return dropped(DropVLANIngress)
	}
	if pc.flags.has(flagLocked) && !in.authorised(pc, f) {
		return dropped(DropLocked)
	}
	d := NotLearnedOff
	if pc.flags.has(flagLearning) {
		d = in.learn(pc, in.header.src.key(vid), 0)
	}
	in.note(ProbeFDBUpdate, pc.p, f, d)
	if dst := in.header.dst; dst.isMulticast() && dst != broadcast && !in.multicastRcv(pc, f) {
		return dropped(DropMulticast)
	}
	if state == StateLearning {
		return dropped(DropLearning)
	}
	in.isolated = pc.flags.has(flagIsolated)
	if in.cfg.answers {
		in.suppress(pc, f)
	}
	return in.deliver(pc, f)
}

// authorised says whether a locked port lets the frame in: its source must have an
// entry for this port. EAPOL passes, so that a station can become authorised.
func (in *Input) authorised(pc *portConf, f *frame.Frame) bool {
	if f.Type() == frame.TypePAE && in.cfg.rules.lockedEAPOL {
		in.note(ProbeLocked, pc.p, f, LockedEAPOL)
		return true
	}
	v, ok := in.lookup(in.header.src.key(in.vid), &in.src)
	d := LockedAuthorised
	switch {
	case !ok && pc.flags.has(flagMAB):
		in.learn(pc, in.header.src.key(in.vid), fdbLocked)
		d = LockedNoted
	case !ok:
		d = LockedUnknown
	case v.port() != pc.num || v.has(fdbLocal):
		d = LockedElsewhere
	case v.has(fdbLocked):
		in.learn(pc, in.header.src.key(in.vid), fdbLocked)
		d = LockedNoted
	}
	in.note(ProbeLocked, pc.p, f, d)
	return d == LockedAuthorised
}

// deliver looks the destination up and hands the frame on; the host's copy comes
// last.
func (in *Input) deliver(pc *portConf, f *frame.Frame) outcome {
	dst := in.header.dst
	up := in.cfg.info.Promisc
	var o outcome
	switch {
	case dst == broadcast:
		up = true
		o = in.flood(pc, f, Broadcast)
	case dst.isMulticast():
		if d := in.restriction(); d.Hit {
			up = up || d.Host || in.cfg.info.AllMulti
			if d.Host || in.cfg.info.AllMulti {
				in.tally.upMulticast++
			}
			o = in.multicastFlood(pc, f, &d)
			break
		}
		up = true
		in.tally.upMulticast++
		o = in.flood(pc, f, Multicast)
	default:
		v, ok := in.lookup(dst.key(in.vid), &in.dst)
		if !ok && in.vid != 0 && in.cfg.info.FDBLocalVLAN0 {
			v, ok = in.lookupLocal(dst)
		}
		switch {
		case ok && v.has(fdbLocal):
			in.note(ProbePassUp, nil, f, KnownLocal)
			in.passFrameUp(f)
			return used()
		case ok:
			in.hit()
			o = in.forward(pc, f, v.port())
		default:
			o = in.flood(pc, f, UnknownUnicast)
		}
	}
	if up {
		in.passFrameUp(f)
		return used()
	}
	return o
}
