package bridge

import (
	"errors"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// What multicast snooping does with a frame on its way.

// multicastRcv has a multicast frame looked at, and what it says of groups and
// routers taken in, before it goes on (br_multicast_rcv). It is false if the frame is
// to be dropped. pc is nil for what the host sends. Only snooping makes in.packet hold.
func (in *Input) multicastRcv(pc *portConf, f *frame.Frame) bool {
	s := &in.b.snooping
	if !s.view.On() {
		return true
	}
	p := &in.packet
	in.snooped = true
	if s.view.Parse(f, in.vid, p) != nil {
		if in.dry == nil && s.m.StatsOn() {
			in.b.mcastCounters(pc.port()).CountError(p)
		}
		in.note(ProbeMulticastRcv, pc.port(), f, McastMalformed)
		return false
	}
	if !p.Control() {
		return true
	}
	var num uint16
	if pc != nil {
		num = uint16(pc.num)
	}
	var err error
	if in.dry != nil {
		err = s.check(num, in.vid, p)
	} else {
		err = s.handle(in.now, num, in.vid, p)
		in.emitAllMade()
	}
	in.note(ProbeMulticastRcv, pc.port(), f, heard(p.Kind, err))
	return err == nil
}

// heard is the decision that stands for a message and what became of it.
func heard(k snoop.Kind, err error) Decision {
	switch {
	case errors.Is(err, snoop.ErrHashFull):
		return McastTableFull
	case errors.Is(err, snoop.ErrTooManyGroups):
		return McastLimit
	case err != nil:
		return McastMalformed
	case k == snoop.KindQuery:
		return McastQuery
	case k == snoop.KindLeave:
		return McastLeave
	case k == snoop.KindRouter:
		return McastRouterSeen
	}
	return McastReport
}

// restriction says whether groups keep a multicast frame from ports, and to which it
// goes then.
func (in *Input) restriction() (d snoop.Decision) {
	if in.snooped {
		d = in.b.snooping.view.Decide(&in.packet, in.vid)
	}
	return d
}

// multicastFlood sends a frame to the ports where its group is wanted, and where
// routers are (br_multicast_flood). The flood flags do not matter.
func (in *Input) multicastFlood(from *portConf, f *frame.Frame, d *snoop.Decision) outcome {
	how := McastGroup
	if d.Group == nil {
		how = McastRouters
	}
	in.note(ProbeMulticastFlood, in.port, f, how)
	o := dropped(DropNoTXTarget)
	for t, ok := d.Next(); ok; t, ok = d.Next() {
		if int(t.Port) >= len(in.cfg.byNum) || in.cfg.byNum[t.Port] == nil {
			continue // it came after this configuration, or goes
		}
		to := in.cfg.byNum[t.Port]
		if why := in.shouldDeliver(from, to); why != NotDropped {
			in.noteReason(ProbeDeliver, to.p, f, SkipUndeliverable, why)
			continue
		}
		if t.MAC.IsZero() {
			in.countMessage(to.p)
			in.egress(to, f)
		} else if to == from && addressOf(t.MAC) == in.header.src {
			in.note(ProbeDeliver, to.p, f, SkipSender)
			continue
		} else {
			in.toStation(to, f, t.MAC)
		}
		o = used()
	}
	return o
}

// toStation sends a copy of a frame to one station in place of the group
// (mcast_to_unicast): the copy is the only one whose bytes differ.
func (in *Input) toStation(to *portConf, f *frame.Frame, mac frame.MAC) {
	asked, group := *f, in.header.dst
	start := len(in.pushed)
	in.pushed = append(in.pushed, f.Data...)
	g := asked
	g.Data = in.pushed[start:len(in.pushed):len(in.pushed)]
	copy(g.Data, mac[:])
	in.header.dst = addressOf(mac)
	in.egress(to, in.enter(&g))
	in.header.dst = group
	in.enterAgain(&asked)
}

// enterAgain puts a frame under way again, behind what was put before it.
func (in *Input) enterAgain(f *frame.Frame) {
	if in.crowded() {
		in.spill(true)
	}
	in.enter(f)
}

// countMessage counts a group message that leaves by a port, nil being the host
// (br_multicast_count).
func (in *Input) countMessage(p *Port) {
	if in.snooped && in.dry == nil && in.packet.Message() && in.b.snooping.m.StatsOn() {
		in.b.mcastCounters(p).Count(&in.packet, snoop.Sent)
	}
}

// mcastCounters are a port's, or those of the bridge for nil.
func (b *Bridge) mcastCounters(p *Port) *snoop.Counters {
	if p == nil {
		return b.snooping.m.Counters(0)
	}
	if c := p.mcast.Load(); c != nil {
		return c
	}
	return new(snoop.Counters) // it is being added
}
