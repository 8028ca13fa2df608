package bridge

import (
	"errors"
	"fmt"
	"net"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// Bounds of what a batch gathers before it is written, in its middle: a frame that is
// flooded to tunnels has a view for each tunnel id, one for a group may have one, with
// bytes of its own, for each station, and of those there may be any number. Between two
// looks at the bounds as many views are added as there are ports; all are numbered in 15
// bits.
const (
	manyViews = 4096
	manyBytes = 1 << 20
)

// A departure is a frame on its way out: twice the number of one of Input.views, and
// one more if that leaves without its tag. So a flood costs two bytes a port, and an
// Input stays small however many ports there are.
type departure uint16

const bare departure = 1

func departureOf(view int, f *frame.Frame, tag frame.Tag) departure {
	if tag == f.Tag {
		return departure(view) << 1
	}
	return departure(view)<<1 | bare
}

// A vector is what leaves by one device in one batch.
type vector struct {
	p   *Port // nil: the host
	out []departure
}

// departing gives a frame as it leaves.
func (in *Input) departing(d departure) frame.Frame {
	f := in.views[d>>1]
	if d&bare != 0 {
		f.Tag = frame.Tag{}
	}
	return f
}

// shouldDeliver says why a frame may not leave by pc, or NotDropped
// (should_deliver). from is where it came in, nil if from the host.
func (in *Input) shouldDeliver(from, pc *portConf) DropReason {
	switch {
	case from == pc && !pc.flags.has(flagHairpin):
		return DropSamePort
	case pc.state != StateForwarding && !in.cfg.info.MSTEnabled:
		return DropEgressState
	case in.filtered && !pc.vlans.forwards(in.vid):
		return DropVLANEgress
	case in.isolated && pc.flags.has(flagIsolated):
		return DropIsolated
	}
	return NotDropped
}

// forward sends a frame out of the one port that its destination is behind
// (br_forward). The flood flags do not matter. A backup port takes over from one that
// is administratively down in every release: Linux 6.18 brought that, and 6.1.192,
// which has the fixes of later releases, was recorded doing it.
func (in *Input) forward(from *portConf, f *frame.Frame, num int) outcome {
	if num == fdbSelf {
		return dropped(DropNoPort)
	}
	to := in.cfg.byPort(num)
	if to == nil {
		return dropped(DropPortGone) // it left, and its entries are being purged
	}
	in.note(ProbeForward, to.p, f, KnownUnicast)
	if to.backup != 0 && !(to.flags.has(flagUp) && to.flags.has(flagCarrier)) {
		in.note(ProbeForward, to.p, f, ToBackup)
		in.nexthop = to.info.BackupNexthopID
		to = in.cfg.byNum[to.backup]
	}
	if why := in.shouldDeliver(from, to); why != NotDropped {
		return dropped(why)
	}
	in.egress(to, f)
	return used()
}

// egress is __br_forward: it finds the tag, or tunnel, with which the frame leaves by
// a port.
func (in *Input) egress(pc *portConf, f *frame.Frame) {
	tag := in.egressTag(pc.vlans, f)
	in.noteTag(ProbeEgress, pc.p, tag)
	if pc.flags.has(flagTunnel) {
		g, tag := in.toTunnel(pc, f, tag)
		in.pushXmit(pc, &g, in.tunnelView(&g), tag)
		return
	}
	in.pushXmit(pc, f, in.firstView, tag)
}

// pushXmit is br_dev_queue_push_xmit: the frame as it leaves, which is view but for the
// tag, is shown to the filters, held against the port's MTU, and put in the port's
// vector.
func (in *Input) pushXmit(pc *portConf, f *frame.Frame, view int, tag frame.Tag) {
	if in.hooks != nil && !in.leaves(pc.p, f, tag) {
		return
	}
	if why := pc.forwardable(f); why != NotDropped {
		in.notForwardable(pc, f, why)
		return
	}
	in.put(pc.num, pc.p, departureOf(view, f, tag))
}

// tunnelView finds the view of the frame under way that goes into the tunnel of f, or
// makes it. Copies that look alike but for the tag are one view.
func (in *Input) tunnelView(f *frame.Frame) int {
	i := in.firstView
	for i < len(in.views) && in.views[i].Tunnel != f.Tunnel {
		i++
	}
	if i == len(in.views) {
		in.views = append(in.views, *f)
	}
	return i
}

// forwardable says why the port's device does not take a frame of this length, or
// NotDropped (is_skb_forwardable).
func (pc *portConf) forwardable(f *frame.Frame) DropReason {
	switch {
	case pc.flags&flagLink != flagLink:
		return DropPortDown
	case f.Len() > pc.longest() && !f.Owed.GSO():
		return DropTooLong
	}
	return NotDropped
}

// longest is how long a frame may be, without the tag beside it, that is cut nowhere.
func (pc *portConf) longest() int { return pc.mtu + frame.HeaderLen + frame.TagLen }

func (in *Input) notForwardable(pc *portConf, f *frame.Frame, why DropReason) {
	in.noteReason(ProbePushXmit, pc.p, f, Dropped, why)
	if in.dry == nil {
		pc.p.tx.refuse(1, why)
	}
}

// putEntered puts the frame that was entered last in a device's vector, as it is.
func (in *Input) putEntered(num int, p *Port) {
	in.put(num, p, departure(in.firstView)<<1)
}

// put puts a frame in a device's vector.
func (in *Input) put(num int, p *Port, d departure) {
	if num >= len(in.out) {
		in.out = append(in.out, make([]vector, num+1-len(in.out))...)
	}
	v := &in.out[num]
	if len(v.out) == 0 {
		v.p = p
		in.touched = append(in.touched, num)
	}
	v.out = append(v.out, d)
}

// take gives what a vector holds, and empties it. The memory is the vector's.
func (v *vector) take() []departure {
	out := v.out
	v.out, v.p = v.out[:0], nil
	return out
}

// flush writes every vector to its cable: the only place where the bridge does so.
func (in *Input) flush() {
	for in.written < len(in.touched) {
		v := &in.out[in.touched[in.written]]
		in.written++
		p := v.p
		if out := v.take(); p == nil {
			in.writeHost(out)
		} else {
			in.write(p.queues[in.index%len(p.queues)], &p.tx, &p.caps, out)
		}
	}
}

// abandon accounts for what a batch leaves behind that was ended from within: a
// driver or a callback has ended the goroutine. Else it finds nothing.
func (in *Input) abandon() {
	for ; in.written < len(in.touched); in.written++ {
		v := &in.out[in.touched[in.written]]
		tx := &in.b.host.tx
		if v.p != nil {
			tx = &v.p.tx
		}
		tx.refuse(len(v.take()), DropDriver)
	}
	if in.undecided > 0 {
		in.ctr.dropped[DropNotServed].Add(uint64(in.undecided))
	}
}

// forgetBatch keeps the memory of the scratch, and no hold on the memory of others.
func (in *Input) forgetBatch() {
	in.forgetViews()
	in.pushed = in.pushed[:0]
	in.flooded.as = floodKey{}
	in.cfg, in.hooks, in.pc, in.dir, in.refusal = nil, nil, nil, fdbDir{}, nil
	if in.packet.Control() { // it points into its frame
		in.packet = snoop.Packet{}
	}
}

// crowded says whether what the batch has gathered is to be written.
func (in *Input) crowded() bool { return len(in.views) >= manyViews || len(in.pushed) > manyBytes }

// spill writes what the batch has gathered so far. If a frame is under way meanwhile, that
// keeps its view and its bytes, until it is entered again: their memory is let go of, not
// used again.
func (in *Input) spill(meanwhile bool) {
	if in.dry != nil {
		in.dry.out = in.gather(in.dry.out)
	} else {
		in.flush()
	}
	if meanwhile {
		in.views, in.pushed = nil, nil
	}
	in.forgetViews()
	in.pushed = in.pushed[:0]
}

// forgetViews forgets frames that have left.
func (in *Input) forgetViews() {
	in.shrink()
	clear(in.views)
	clear(in.leaving[:in.loaded])
	in.fin.reset()
	in.views, in.loaded = in.views[:0], 0
	in.touched, in.written = in.touched[:0], 0
}

// write sends the frames of a vector to a cable and accounts for each.
func (in *Input) write(q *queue, tx *txCounters, caps *Caps, out []departure) {
	tx.offered.Add(uint64(len(out)))
	fs := in.load(q, out, caps, tx)
	if in.watched {
		in.noteXmit(q.p, caps, fs)
	}
	done := 0
	var sent, bytes uint64
	defer func() { // also if the driver ends the goroutine
		tx.sent.Add(sent)
		tx.bytes.Add(bytes)
		if done < len(fs) {
			lost, _ := in.worth(fs, done, len(fs))
			tx.refused[DropDriver].Add(lost)
		}
	}()
	for done < len(fs) {
		n, err := in.writeOnce(q, fs[done:])
		frames, size := in.worth(fs, done, done+n)
		sent, bytes = sent+frames, bytes+size
		done += n
		if err == nil && done < len(fs) {
			err = ErrQueueFull // it took some and gave no reason
		}
		if err == nil {
			break
		}
		if batch, ok := errors.AsType[*BatchError](err); ok && batch.tells(len(fs)-done) {
			frames, size, done = in.settle(q, tx, fs, done, batch.Frames)
			sent, bytes = sent+frames, bytes+size
			continue
		}
		one, why := in.writeFailed(q, done < len(fs), err)
		end := len(fs)
		if one {
			end = in.behind(done)
		}
		in.refused(q, tx, fs[:end], done, why)
		done = end
	}
}

// settle accounts for the frames from fs[at] on of which a cable has told one by one:
// what of them was sent, and where to go on.
func (in *Input) settle(q *queue, tx *txCounters, fs []frame.Frame, at int, told []*FrameError) (sent, bytes uint64, done int) {
	first := at
	for at-first < len(told) {
		refusal, end := told[at-first], at+1
		if refusal == nil {
			frames, size := in.worth(fs, at, end)
			sent, bytes = sent+frames, bytes+size
		} else {
			end = in.behind(at)
			in.refused(q, tx, fs[:end], at, refusal.reason())
		}
		at = end
	}
	return sent, bytes, at
}

// refused accounts for the frames from fs[at] on, which a cable did not take.
func (in *Input) refused(q *queue, tx *txCounters, fs []frame.Frame, at int, why DropReason) {
	lost, _ := in.worth(fs, at, len(fs))
	tx.refused[why].Add(lost)
	for i := at; i < len(fs) && in.watched; i++ {
		in.freeOf(q.p, &fs[i], why)
	}
}

// writeFailed judges a cable's error: whether it refuses one frame, or all that are
// left, and why. left says whether any is.
func (in *Input) writeFailed(q *queue, left bool, err error) (one bool, why DropReason) {
	if err == ErrQueueFull || errors.Is(err, ErrQueueFull) {
		return false, DropQueueFull
	}
	refusal, ofOne := errors.AsType[*FrameError](err)
	switch {
	case ofOne && left:
		return true, refusal.reason()
	case isErrno(err, ENETDOWN):
		return false, DropPortDown // it is the reader that is told, and tells
	}
	in.b.end(q, err)
	return false, DropPortGone
}

// writeOnce calls the driver, under the queue's lock, and keeps its panic and its
// arithmetic from the rest.
func (in *Input) writeOnce(q *queue, fs []frame.Frame) (n int, err error) {
	if !in.b.acquire(q) {
		return 0, net.ErrClosed
	}
	in.writing.Store(q)
	defer func() {
		in.writing.Store(nil)
		q.release()
		if r := recover(); r != nil {
			n, err = 0, fmt.Errorf("bridge: WriteFrames panicked: %v", r)
		}
	}()
	n, err = q.io.WriteFrames(fs)
	if n < 0 || n > len(fs) {
		return 0, fmt.Errorf("bridge: WriteFrames answered %d for %d frames", n, len(fs))
	}
	return n, err
}
