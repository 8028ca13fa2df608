package bridge

import (
	"errors"
	"fmt"
	"net"

	"github.com/ddfb540f/bridge/frame"
)

// A vector is the frames of one batch that leave by one device.
type vector struct {
	p       *Port // nil: the host
	fs      []frame.Frame
	touched bool // it is in Input.touched
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
// (br_forward). The flood flags do not matter.
func (in *Input) forward(from *portConf, f *frame.Frame, num int) outcome {
	if num == fdbSelf {
		return dropped(DropNoPort)
	}
	var to *portConf
	if num < len(in.cfg.byNum) {
		to = in.cfg.byNum[num]
	}
	if to == nil {
		return dropped(DropPortGone) // it left, and its entries are being purged
	}
	in.note(ProbeForward, to.p, f, KnownUnicast)
	if to.backup != 0 && !(to.flags.has(flagUp) && to.flags.has(flagCarrier)) {
		in.note(ProbeForward, to.p, f, ToBackup)
		to = in.cfg.byNum[to.backup]
	}
	if why := in.shouldDeliver(from, to); why != NotDropped {
		return dropped(why)
	}
	in.egress(to, f)
	return used()
}

// egress is __br_forward and br_dev_queue_push_xmit: a view of the frame is put in
// the port's vector, gets the tag with which it leaves, and is held against the
// port's MTU.
func (in *Input) egress(pc *portConf, f *frame.Frame) {
	v := in.vector(pc.num, pc.p)
	v.fs = append(v.fs, *f)
	g := &v.fs[len(v.fs)-1]
	in.egressTag(pc.vlans, g)
	in.note(ProbeEgress, pc.p, g, NoDecision)
	why := NotDropped
	switch {
	case !pc.flags.has(flagUp):
		why = DropPortDown
	case g.Len() > pc.mtu+frame.HeaderLen+frame.TagLen && !g.Owed.GSO():
		why = DropTooLong
	}
	if why != NotDropped {
		in.noteReason(ProbePushXmit, pc.p, g, Dropped, why)
		v.fs = v.fs[:len(v.fs)-1]
		if in.dry == nil {
			pc.p.tx.refuse(1, why)
		}
	}
}

// vector gives a device's vector to append to. The vectors keep their memory from
// batch to batch.
func (in *Input) vector(num int, p *Port) *vector {
	for num >= len(in.out) {
		in.out = append(in.out, vector{})
	}
	v := &in.out[num]
	if !v.touched {
		v.touched, v.p = true, p
		in.touched = append(in.touched, num)
	}
	return v
}

// flush writes every vector to its cable: the only place where the bridge does so.
func (in *Input) flush() {
	for _, num := range in.touched {
		v := &in.out[num]
		switch {
		case len(v.fs) == 0: // what was to leave was too long
		case v.p == nil:
			in.writeHost(v.fs)
		default:
			in.write(v.p.queues[in.index%len(v.p.queues)], &v.p.tx, &v.p.caps, v.fs)
		}
		clear(v.fs) // keep no hold on the memory of others
		clear(in.plain)
		v.fs, v.p, v.touched = v.fs[:0], nil, false
	}
	in.touched = in.touched[:0]
	in.pushed = in.pushed[:0]
}

// write sends frames to one cable and accounts for each.
func (in *Input) write(q *queue, tx *txCounters, caps *Caps, fs []frame.Frame) {
	tx.offered.Add(uint64(len(fs)))
	fs = in.suit(q, fs, caps, tx)
	if in.watched {
		in.noteXmit(q.p, caps, fs)
	}
	var sent, bytes uint64
	for len(fs) > 0 {
		n, err := in.writeOnce(q, fs)
		for i := range fs[:n] {
			bytes += uint64(fs[i].WireLen())
		}
		sent += uint64(n)
		fs = fs[n:]
		if err == nil && len(fs) > 0 {
			err = ErrQueueFull // it took some and gave no reason
		}
		if err == nil {
			break
		}
		k, why := in.writeFailed(q, fs, err)
		in.refused(q, tx, k, why)
		fs = fs[k:]
	}
	if sent > 0 {
		tx.sent.Add(sent)
		tx.bytes.Add(bytes)
	}
}

// refused accounts for n copies that a cable did not take.
func (in *Input) refused(q *queue, tx *txCounters, n int, why DropReason) {
	tx.refused[why].Add(uint64(n))
	if in.watched && n > 0 {
		in.free(q.p, why)
	}
}

// writeFailed judges a cable's error: how many of fs are refused by it, and why.
func (in *Input) writeFailed(q *queue, fs []frame.Frame, err error) (n int, why DropReason) {
	var one *FrameError
	switch {
	case errors.Is(err, ErrQueueFull):
		return len(fs), DropQueueFull
	case errors.As(err, &one) && len(fs) > 0:
		if one.Reason == NotDropped || one.Reason >= numDropReasons {
			return 1, DropDriver
		}
		return 1, one.Reason
	case isErrno(err, ENETDOWN):
		if p := q.p; p != nil && p.linkDown.CompareAndSwap(false, true) {
			in.b.events.post(Event{Kind: EventCableDown, Port: p.name, Err: err})
		}
		return len(fs), DropPortDown
	}
	if q.p == nil || !q.p.left.Load() { // else it was closed because it left
		in.b.end(q, err)
	}
	return len(fs), DropPortGone
}

// writeOnce calls the driver, under the queue's lock, and keeps its panic and its
// arithmetic from the rest.
func (in *Input) writeOnce(q *queue, fs []frame.Frame) (n int, err error) {
	if p := q.p; p != nil && (p.failing.Load() || p.left.Load()) {
		return 0, net.ErrClosed
	}
	in.writing.Store(q)
	q.mu.Lock()
	defer func() {
		q.mu.Unlock()
		in.writing.Store(nil)
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

// suit leaves out what the cable cannot take, and puts the wire form together for
// one that does not know tags. Most often there is nothing to do.
func (in *Input) suit(q *queue, fs []frame.Frame, caps *Caps, tx *txCounters) []frame.Frame {
	ok := true
	for i := range fs {
		if caps.lacks(&fs[i]) != NotDropped || !caps.TagAside && !fs[i].Plain() {
			ok = false
			break
		}
	}
	if ok {
		return fs
	}
	in.plain, in.flat = in.plain[:0], in.flat[:0]
	for i := range fs {
		f := fs[i]
		if why := caps.lacks(&f); why != NotDropped {
			in.refused(q, tx, 1, why)
			continue
		}
		if !caps.TagAside && !f.Plain() {
			owed, start := f.OwedOnWire(), len(in.flat)
			in.flat = f.AppendWire(in.flat)
			f.Data = in.flat[start:len(in.flat):len(in.flat)]
			f.Tag, f.Lifted, f.Owed = frame.Tag{}, false, owed
		}
		in.plain = append(in.plain, f)
	}
	return in.plain
}

// lacks says why a cable cannot take f, or NotDropped.
func (c *Caps) lacks(f *frame.Frame) DropReason {
	switch {
	case c.MaxFrame != 0 && f.WireLen() > c.MaxFrame:
		return DropTooLong
	case f.Owed.None():
		return NotDropped
	case f.Owed.GSO() && !c.GSO, !c.Checksum:
		return DropNoOffload
	}
	return NotDropped
}
