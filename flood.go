package bridge

import "github.com/ddfb540f/bridge/frame"

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
