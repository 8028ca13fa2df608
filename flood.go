package bridge

import (
	"math"

	"github.com/ddfb540f/bridge/frame"
)

// flood sends a frame out of every port that wants it, the newest first
// (br_flood). from is where it came in, nil if from the host: then the flags for
// multicast and broadcast do not apply.
func (in *Input) flood(from *portConf, f *frame.Frame, kind Decision) outcome {
	in.note(ProbeFlood, in.port, f, kind)
	o := dropped(DropNoTXTarget)
	wanted := floodFlags(from, kind)
	r := in.round(from, kind, wanted)
	if r != nil && r.known {
		if f.Len() <= r.longest {
			return in.roundAgain(r)
		}
		r = nil // some port does not take it, or only because it owes segments
	}
	for _, pc := range in.cfg.ports {
		if pc.flags&(wanted|flagProxyARP) != wanted || in.replied {
			if skip := in.floodSkips(pc, wanted); skip != NoDecision {
				in.note(ProbeDeliver, pc.p, f, skip)
				continue
			}
		}
		if why := in.shouldDeliver(from, pc); why != NotDropped {
			in.noteReason(ProbeDeliver, pc.p, f, SkipUndeliverable, why)
			continue
		}
		if kind == Multicast {
			in.countMessage(pc.p)
		}
		in.egress(pc, f)
		r.add(in, pc)
		o = used()
	}
	r.end()
	return o
}

// floodFlags are those that a port needs to get flooded frames of a kind.
func floodFlags(from *portConf, kind Decision) portFlags {
	switch {
	case kind == UnknownUnicast:
		return flagFlood
	case from == nil:
		return 0
	case kind == Multicast:
		return flagMcastFlood
	}
	return flagBcastFlood
}

// floodSkips is what keeps flooded frames from a port, or NoDecision.
func (in *Input) floodSkips(pc *portConf, wanted portFlags) Decision {
	switch {
	case pc.flags&wanted == wanted:
	case wanted == flagFlood:
		return SkipNoFlood
	case wanted == flagMcastFlood:
		return SkipNoMcastFlood
	default:
		return SkipNoBcastFlood
	}
	switch {
	case pc.flags.has(flagProxyARP):
		return SkipProxyARP
	case in.replied && (pc.flags.has(flagProxyARPWifi) || pc.suppresses(in.vid)):
		return SkipNeighSuppress
	}
	return NoDecision
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
