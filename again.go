package bridge

import (
	"math"

	"github.com/ddfb540f/bridge/frame"
)

// What one frame of a batch has shown about the next. Traffic comes in runs: of frames
// from one station to another, or of frames that are flooded. What decides such a frame
// is remembered with where it went, within the batch and while nobody watches, and the
// next one of which all that is the same goes there at once. It is a memory of what
// the one path did, never another way to decide.

// A trail is where a frame to a known station went.
type trail struct {
	cfg      *config
	header   header
	tag      frame.Tag // as it came in
	inside   frame.Tag // as it is in the bridge
	vid      frame.VID
	longest  int // frame that the port takes
	src, dst seen
	num      int
	p        *Port
	bare     departure
}

// A seen is what the FDB said of an address, and is asked again.
type seen struct {
	flow
	val fdbVal
}

func (s *seen) still() bool {
	e := s.at.slot()
	return e.key.Load() == s.key && e.load() == s.val
}

// follow has a frame go where one like it went, and says whether it did.
func (in *Input) follow(f *frame.Frame) bool {
	t := &in.trail
	if t.header != in.header || t.cfg != in.cfg || t.tag != f.Tag || f.Tunnel != 0 || f.Len() > t.longest || !t.src.still() || !t.dst.still() {
		return false
	}
	in.vid, f.Tag = t.vid, t.inside
	in.put(t.num, t.p, departure(in.firstView)<<1|t.bare)
	return true
}

// leaveTrail remembers where a frame went: from one port to another, if nothing was
// special about it.
func (in *Input) leaveTrail(from, to *portConf, f *frame.Frame) {
	i := &in.cfg.info
	const special = flagLocked | flagTunnel
	switch {
	case in.watched || in.dry != nil || in.hooks != nil || in.cfg.answers || i.VLANStats || i.Promisc,
		from.flags&(special|flagLearning) != flagLearning,
		in.nexthop != 0 || to.backup != 0 || in.came.Present() && in.filtered && in.came.TPID != i.VLANProtocol:
		return
	}
	if in.src.key&^fdbGenMask != in.header.src.key(in.vid) || in.dst.key&^fdbGenMask != in.header.dst.key(in.vid) {
		return
	}
	t := trail{
		cfg: in.cfg, header: in.header, tag: in.came, inside: f.Tag, vid: in.vid, longest: to.longest(),
		src: seen{in.src, in.src.at.slot().load()}, dst: seen{in.dst, in.dst.at.slot().load()}, num: to.num, p: to.p,
	}
	src, dst := t.src.val, t.dst.val
	if src.port() != from.num || src.updated() < in.now || !src.has(fdbSeen) || src.has(fdbLocal|fdbInactive|fdbDead) {
		return // the next one changes something
	}
	if dst.port() != to.num || dst.has(fdbLocal|fdbDead) {
		return // somebody has changed it since it was looked up
	}
	if tag, ok := in.departed(to.num); ok {
		t.bare = tag
		in.trail = t
	}
}

// departed tells how the frame under way has left by a port: bare, if that took its tag
// off. ok is false if it has not left, or not as it came in.
func (in *Input) departed(num int) (tag departure, ok bool) {
	if num >= len(in.out) || len(in.out[num].out) == 0 {
		return 0, false
	}
	out := in.out[num].out
	d := out[len(out)-1]
	return d & bare, int(d>>1) == in.firstView
}

// A floodRound is where the last flooded frame of a batch went: one that comes in alike
// goes there too, and no port is asked again.
type floodRound struct {
	as      floodKey
	known   bool
	odd     bool        // the frame did not leave by a port, or not as it came in
	longest int         // frame that every port takes
	ports   []departure // twice their numbers, and one more if the tag is taken off
}

// A floodKey is all that decides where a frame is flooded, of one that no filter,
// snooping or answer of the bridge's has to do with.
type floodKey struct {
	cfg                *config
	from               *portConf
	wanted             portFlags
	vid                frame.VID
	filtered, isolated bool
}

// round gives the round that the frame under way may follow, or may be the first of;
// nil if it must go its own way.
func (in *Input) round(from *portConf, kind Decision, wanted portFlags) *floodRound {
	if in.watched || in.dry != nil || in.hooks != nil || in.replied || in.cfg.info.VLANStats || kind == Multicast && in.snooped {
		return nil
	}
	r := &in.flooded
	if as := (floodKey{in.cfg, from, wanted, in.vid, in.filtered, in.isolated}); r.as != as {
		*r = floodRound{as: as, longest: math.MaxInt, ports: r.ports[:0]}
	} else if !r.known {
		return nil // it could not be followed
	}
	return r
}

// add notes that the frame has left by a port.
func (r *floodRound) add(in *Input, pc *portConf) {
	if r == nil {
		return
	}
	tag, ok := in.departed(pc.num)
	r.ports = append(r.ports, departure(pc.num)<<1|tag)
	r.longest = min(r.longest, pc.longest())
	r.odd = r.odd || !ok
}

// end makes the round known, if it can be followed.
func (r *floodRound) end() {
	if r != nil {
		r.known = !r.odd && len(r.ports) > 0
	}
}

// roundAgain sends a frame where the one before went.
func (in *Input) roundAgain(r *floodRound) outcome {
	view := departure(in.firstView) << 1
	for _, d := range r.ports {
		num := int(d >> 1)
		in.put(num, in.cfg.byNum[num].p, view|d&bare)
	}
	return used()
}
