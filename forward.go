package bridge

import (
	"errors"
	"fmt"
	"net"

	"github.com/ddfb540f/bridge/frame"
)

// A vector is what leaves by one device in one batch: numbers of Input.views, so
// that a flood costs two bytes a port and an Input stays small however many ports
// there are.
type vector struct {
	p     *Port // nil: the host
	views []uint16
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

// egress is __br_forward and br_dev_queue_push_xmit: a view of the frame with the
// tag with which it leaves is held against the port's MTU and put in the port's
// vector.
func (in *Input) egress(pc *portConf, f *frame.Frame) {
	tag := in.egressTag(pc.vlans, f)
	in.noteTag(ProbeEgress, pc.p, tag)
	why := NotDropped
	switch {
	case !pc.flags.has(flagUp):
		why = DropPortDown
	case f.Len() > pc.mtu+frame.HeaderLen+frame.TagLen && !f.Owed.GSO():
		why = DropTooLong
	}
	if why == NotDropped {
		in.emit(pc.num, pc.p, f, tag)
		return
	}
	in.noteReason(ProbePushXmit, pc.p, f, Dropped, why)
	if in.dry == nil {
		pc.p.tx.refuse(1, why)
	}
}

// emit puts the frame under way, with a tag, in a device's vector. Copies that look
// alike are one view, most often that of the frame as it came in.
func (in *Input) emit(num int, p *Port, f *frame.Frame, tag frame.Tag) {
	for num >= len(in.out) {
		in.out = append(in.out, vector{})
	}
	v := &in.out[num]
	if len(v.views) == 0 {
		v.p = p
		in.touched = append(in.touched, num)
	}
	i := in.firstView
	for i < len(in.views) && in.views[i].Tag != tag {
		i++
	}
	if i == len(in.views) {
		in.views = append(in.views, *f)
		in.views[i].Tag = tag
	}
	v.views = append(v.views, uint16(i))
}

// take gives the frames of a vector, in scratch memory that the next take reuses,
// and empties it.
func (in *Input) take(v *vector) []frame.Frame {
	in.leaving = in.leaving[:0]
	for _, i := range v.views {
		in.leaving = append(in.leaving, in.views[i])
	}
	v.views, v.p = v.views[:0], nil
	return in.leaving
}

// flush writes every vector to its cable: the only place where the bridge does so.
func (in *Input) flush() {
	for in.written < len(in.touched) {
		v := &in.out[in.touched[in.written]]
		in.written++
		p := v.p
		if fs := in.take(v); p == nil {
			in.writeHost(fs)
		} else {
			in.write(p.queues[in.index%len(p.queues)], &p.tx, &p.caps, fs)
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
		tx.refuse(len(in.take(v)), DropDriver)
	}
	if in.undecided > 0 {
		in.ctr.dropped[DropNotServed].Add(uint64(in.undecided))
	}
}

// forgetBatch keeps the memory of the scratch, and no hold on the memory of others.
func (in *Input) forgetBatch() {
	clear(in.views)
	clear(in.leaving[:cap(in.leaving)])
	clear(in.plain[:cap(in.plain)])
	in.views, in.pushed = in.views[:0], in.pushed[:0]
	in.touched, in.written = in.touched[:0], 0
	in.cfg, in.pc = nil, nil
}

// write sends frames to one cable and accounts for each.
func (in *Input) write(q *queue, tx *txCounters, caps *Caps, fs []frame.Frame) {
	tx.offered.Add(uint64(len(fs)))
	fs = in.suit(q, fs, caps, tx)
	if in.watched {
		in.noteXmit(q.p, caps, fs)
	}
	var sent, bytes uint64
	defer func() { // also if the driver ends the goroutine
		tx.sent.Add(sent)
		tx.bytes.Add(bytes)
		if len(fs) > 0 {
			tx.refused[DropDriver].Add(uint64(len(fs)))
		}
	}()
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
		in.refused(q.p, tx, k, why)
		fs = fs[k:]
	}
}

// refused accounts for n copies that a cable did not take.
func (in *Input) refused(dev *Port, tx *txCounters, n int, why DropReason) {
	tx.refused[why].Add(uint64(n))
	if in.watched && n > 0 {
		in.free(dev, why)
	}
}

// writeFailed judges a cable's error: how many of fs are refused by it, and why.
func (in *Input) writeFailed(q *queue, fs []frame.Frame, err error) (n int, why DropReason) {
	var one *FrameError
	switch {
	case err == ErrQueueFull || errors.Is(err, ErrQueueFull):
		return len(fs), DropQueueFull
	case errors.As(err, &one) && len(fs) > 0:
		if one.Reason == NotDropped || one.Reason >= numDropReasons {
			return 1, DropDriver
		}
		return 1, one.Reason
	case isErrno(err, ENETDOWN):
		return len(fs), DropPortDown // it is the reader that is told, and tells
	}
	in.b.end(q, err)
	return len(fs), DropPortGone
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

// suit leaves out what the cable cannot take, and puts the wire form together for
// one that does not know tags. Most often there is nothing to do.
func (in *Input) suit(q *queue, fs []frame.Frame, caps *Caps, tx *txCounters) []frame.Frame {
	ok := true
	for i := range fs {
		if f := &fs[i]; !caps.TagAside && !f.Plain() || (caps.MaxFrame != 0 || !f.Owed.None()) && caps.lacks(f) != NotDropped {
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
			in.refused(q.p, tx, 1, why)
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
	case !c.Checksum || !c.segments(f.Owed.GSOType):
		return DropNoOffload
	}
	return NotDropped
}

// segments says whether the cable takes frames that owe a segmentation of this kind;
// 0 is none.
func (c *Caps) segments(gso uint8) bool {
	switch gso {
	case 0:
		return true
	case frame.GSOUDP:
		return c.USO
	}
	return c.TSO
}
