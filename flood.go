package bridge

import "github.com/ddfb540f/bridge/frame"

// flood sends a frame out of every port that wants it, the newest first
// (br_flood). from is where it came in, nil if from the host: then the flags for
// multicast and broadcast do not apply.
func (in *Input) flood(from *portConf, f *frame.Frame, kind Decision) outcome {
	in.note(ProbeFlood, in.port, f, kind)
	o := dropped(DropNoTXTarget)
	for _, pc := range in.cfg.ports {
		if skip := in.floodSkips(from, pc, kind); skip != NoDecision {
			in.note(ProbeDeliver, pc.p, f, skip)
			continue
		}
		if why := in.shouldDeliver(from, pc); why != NotDropped {
			in.noteReason(ProbeDeliver, pc.p, f, SkipUndeliverable, why)
			continue
		}
		if kind == Multicast {
			in.countMessage(pc.p)
		}
		in.egress(pc, f)
		o = used()
	}
	return o
}

// floodSkips is what keeps flooded frames of a kind from a port, or NoDecision.
func (in *Input) floodSkips(from, pc *portConf, kind Decision) Decision {
	switch {
	case kind == UnknownUnicast && !pc.flags.has(flagFlood):
		return SkipNoFlood
	case kind == Multicast && from != nil && !pc.flags.has(flagMcastFlood):
		return SkipNoMcastFlood
	case kind == Broadcast && from != nil && !pc.flags.has(flagBcastFlood):
		return SkipNoBcastFlood
	case pc.flags.has(flagProxyARP):
		return SkipProxyARP
	case in.replied && (pc.flags.has(flagProxyARPWifi) || pc.suppresses(in.vid)):
		return SkipNeighSuppress
	}
	return NoDecision
}
