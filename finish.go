package bridge

import (
	"math"
	"slices"

	"github.com/ddfb540f/bridge/frame"
)

// What a cable takes of a frame that owes something is said by its Caps. Before a
// vector is written the rest is done here: checksums are filled in, segments made,
// tags put into the data, once for all cables that want the same; and segments that
// came in small are joined for a cable that takes them whole.
//
// All this is transport, behind the decision: both ledgers count the frames that
// were decided, whatever became of them on the way to the cable.

// A need is what has to be done to a frame for a cable to take it.
type need uint8

const (
	needInline need        = 1 << iota // the tag goes into the data
	needSum                            // the checksum is filled in
	needCut                            // segments are made
	needs      = 1 << iota             // how many needs there are together
)

// A finished frame is one or more of finishing.done: what departs, with what it needed
// done.
type finished struct{ first, end int }

// A parcel is a run of frames, as they are written, that stands for frames as they
// were decided: the segments of one, or one that many were joined to.
type parcel struct {
	end    int // behind its last frame
	frames int
	bytes  int // of the wire form
}

// finishing is the part of an Input that a batch uses for all this.
type finishing struct {
	known   []int32    // by departure and need: 1 plus the place in results, or 0
	results []finished // in the order in which they were needed first
	done    []frame.Frame
	bytes   []byte // of done
	joiner  frame.Coalescer
	joined  bool // the joiner was used

	// The vector being written.
	odd     []departure   // what the cable does not take as it is
	ready   []frame.Frame // what it takes, where that differs from the views
	size    int           // of the wire forms of all in leaving
	parcels []parcel      // of ready; empty: each frame stands for itself
	most    int           // how long ready was at most
	asIs    loaded        // the one before, if its cable took it so
}

// A loaded vector is what left, by a cable of which kind, and how that takes it. What is
// flooded leaves by one port as by the next.
type loaded struct {
	out  []departure
	caps Caps
	fs   []frame.Frame
}

// What an Input keeps of scratch memory between batches, beyond what it needed in one
// of the last idleBatches.
const (
	maxIdleBytes  = 512 << 10
	maxIdleFrames = 1024
	maxIdleKnown  = 2 * maxIdleFrames * needs
	idleBatches   = 256
)

// reset forgets a batch.
func (fin *finishing) reset() {
	if fin.joined {
		fin.joiner.Release()
		fin.joined = false
	}
	fin.asIs = loaded{}
	clear(fin.ready[:fin.most])
	fin.ready, fin.parcels, fin.odd, fin.most = fin.ready[:0], fin.parcels[:0], fin.odd[:0], 0
	if len(fin.results) > 0 {
		clear(fin.known)
		clear(fin.done)
		fin.known, fin.results, fin.done, fin.bytes = fin.known[:0], fin.results[:0], fin.done[:0], fin.bytes[:0]
	}
}

// shrink lets go of large scratch memory that was not needed for a while: at once
// would be to allocate it again for every batch of large or of many frames. It is for
// the end of a batch, while the scratch still says how much of it was used.
func (in *Input) shrink() {
	fin := &in.fin
	if cap(fin.bytes) <= maxIdleBytes && cap(in.pushed) <= maxIdleBytes && cap(fin.known) <= maxIdleKnown && cap(fin.done) <= maxIdleFrames &&
		cap(fin.ready) <= maxIdleFrames && cap(in.views) <= maxIdleFrames && cap(in.leaving) <= maxIdleFrames {
		return
	}
	for _, m := range [...]struct{ used, kept, limit int }{
		{len(fin.bytes), cap(fin.bytes), maxIdleBytes}, {len(in.pushed), cap(in.pushed), maxIdleBytes}, {len(fin.known), cap(fin.known), maxIdleKnown},
		{len(fin.done), cap(fin.done), maxIdleFrames}, {fin.most, cap(fin.ready), maxIdleFrames},
		{len(in.views), cap(in.views), maxIdleFrames}, {in.loaded, cap(in.leaving), maxIdleFrames},
	} {
		if m.kept > m.limit && 2*m.used > m.kept {
			in.idle = 0
			return
		}
	}
	if in.idle++; in.idle == idleBatches {
		fin.bytes, fin.done, fin.ready, fin.most = nil, nil, nil, 0
		fin.known, fin.results, fin.odd, fin.parcels = nil, nil, nil, nil
		in.views, in.leaving, in.loaded, in.pushed, in.idle = nil, nil, 0, nil, 0
	}
}

// load gives the frames of a vector as the cable takes them. Most often that is as
// they are.
func (in *Input) load(q *queue, out []departure, caps *Caps, tx *txCounters) []frame.Frame {
	fin := &in.fin
	fin.odd, fin.parcels = fin.odd[:0], fin.parcels[:0]
	// A cable changes nothing of what it is shown, so it is there still.
	if fin.asIs.out != nil && slices.Equal(out, fin.asIs.out) && *caps == fin.asIs.caps {
		return fin.asIs.fs
	}
	fin.asIs.out = nil
	fs, weights := slices.Grow(in.leaving[:0], len(out))[:len(out)], []uint16(nil)
	in.leaving, in.loaded = fs, max(in.loaded, len(fs))
	longest := caps.MaxFrame
	if longest == 0 {
		longest = math.MaxInt
	}
	views, size := in.views, 0
	for i, d := range out {
		f := &fs[i]
		*f = views[d>>1]
		if d&bare != 0 {
			f.Tag = frame.Tag{}
		}
		n := f.WireLen()
		if size += n; (n > longest || !caps.TagAside || f.Owes()) && !caps.takes(f) {
			fin.odd = append(fin.odd, d)
		}
	}
	fin.size = size
	if len(out) > 1 && caps.joins() {
		fin.joined = true
		fin.joiner.MaxFrame = caps.MaxFrame
		fs, weights = fin.joiner.Coalesce(fs)
	}
	if len(fin.odd) == 0 && len(fs) == len(out) {
		if in.written < len(in.touched) { // another is to come
			fin.asIs = loaded{out, *caps, fs}
		}
		return fs
	}
	return in.finish(q, fs, weights, caps, tx)
}

// finish does what the frames need, and leaves out those that the cable cannot take
// even so. weights is of how many each was joined, nil if there was no joining; what
// the cable does not take as it is was not joined.
func (in *Input) finish(q *queue, fs []frame.Frame, weights []uint16, caps *Caps, tx *txCounters) []frame.Frame {
	fin := &in.fin
	ready, odd := fin.ready[:0], fin.odd
	for i := range fs {
		f := &fs[i]
		parts, p := fs[i:i+1], parcel{frames: 1, bytes: f.WireLen()}
		switch {
		case weights != nil && weights[i] > 1: // as long as its segments, less all headers but one
			p.frames = int(weights[i])
			p.bytes += (p.frames - 1) * int(f.OwedOnWire().HdrLen)
		case !caps.takes(f):
			if n := caps.needs(f); n != 0 {
				parts = in.finished(odd[0], n)
			}
			odd = odd[1:]
		}
		if why := caps.lacks(parts); why != NotDropped {
			tx.refused[why].Add(1)
			if in.watched {
				in.freeOf(q.p, f, why)
			}
			continue
		}
		ready = append(ready, parts...)
		p.end = len(ready)
		fin.parcels = append(fin.parcels, p)
	}
	fin.ready, fin.most = ready, max(fin.most, len(ready))
	return ready
}

// joins says whether small segments are to be joined for the cable.
func (c *Caps) joins() bool { return c.Coalesce && c.TSO && c.Checksum && c.TagAside }

// takes says whether the cable takes f as it is.
func (c *Caps) takes(f *frame.Frame) bool {
	return c.needs(f) == 0 && (c.MaxFrame == 0 || f.WireLen() <= c.MaxFrame)
}

// needs says what has to be done to f. A frame that is too long whole may fit in
// segments; one of a tunnel is cut always, since no cable can be told of it.
func (c *Caps) needs(f *frame.Frame) (n need) {
	if !c.TagAside && !f.Plain() {
		n = needInline
	}
	if f.Owed.None() {
		return n
	}
	if !c.Checksum {
		n |= needSum
	}
	if f.Owed.GSO() && (!c.Checksum || !c.segments(f.Owed.GSOType) || c.MaxFrame != 0 && f.WireLen() > c.MaxFrame || f.Tunnelled()) {
		n |= needCut
	}
	return n
}

// segments says whether the cable takes frames that owe this segmentation.
func (c *Caps) segments(gso uint8) bool {
	if gso == frame.GSOUDP {
		return c.USO
	}
	return c.TSO
}

// lacks says why the cable cannot take what became of a frame, or NotDropped.
func (c *Caps) lacks(parts []frame.Frame) DropReason {
	if len(parts) == 0 {
		return DropNoOffload
	}
	for i := range parts {
		if c.MaxFrame != 0 && parts[i].WireLen() > c.MaxFrame {
			return DropTooLong
		}
	}
	return NotDropped
}

// finished gives a frame with what it needs done. The work is done once a batch,
// however many cables ask.
func (in *Input) finished(d departure, n need) []frame.Frame {
	fin := &in.fin
	at := int(d)*needs + int(n)
	if more := at + 1 - len(fin.known); more > 0 {
		fin.known = append(fin.known, make([]int32, more)...)
	}
	if fin.known[at] == 0 {
		first, f := len(fin.done), in.departing(d)
		in.makeFinished(&f, n)
		fin.results = append(fin.results, finished{first, len(fin.done)})
		fin.known[at] = int32(len(fin.results))
	}
	r := fin.results[fin.known[at]-1]
	return fin.done[r.first:r.end]
}

func (in *Input) makeFinished(f *frame.Frame, n need) {
	fin := &in.fin
	if n != needInline {
		form := frame.Form{TagInline: n&needInline != 0, Checksum: n&needSum == 0}
		fin.done, fin.bytes = f.AppendFinished(fin.done, fin.bytes, form)
		return
	}
	g, start := *f, len(fin.bytes)
	fin.bytes = f.AppendWire(fin.bytes)
	g.Data = fin.bytes[start:len(fin.bytes):len(fin.bytes)]
	g.Tag, g.Lifted, g.Owed = frame.Tag{}, false, f.OwedOnWire()
	fin.done = append(fin.done, g)
}

// worth is what fs[from:to], as loaded, stand for. A parcel counts with its last
// frame.
func (in *Input) worth(fs []frame.Frame, from, to int) (frames, bytes uint64) {
	if len(in.fin.parcels) == 0 {
		if to-from == len(in.leaving) {
			return uint64(to - from), uint64(in.fin.size)
		}
		for i := range fs[from:to] {
			bytes += uint64(fs[from+i].WireLen())
		}
		return uint64(to - from), bytes
	}
	for _, p := range in.fin.parcels {
		if p.end > from && p.end <= to {
			frames += uint64(p.frames)
			bytes += uint64(p.bytes)
		}
	}
	return frames, bytes
}

// behind is where to go on behind a frame that was refused: the rest of its parcel
// is of no use.
func (in *Input) behind(i int) int {
	for _, p := range in.fin.parcels {
		if p.end > i {
			return p.end
		}
	}
	return i + 1
}
