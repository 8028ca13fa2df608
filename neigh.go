package bridge

import (
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
)

// Proxy ARP and neighbour suppression (br_do_proxy_suppress_arp, br_do_suppress_nd):
// the bridge answers for stations that the host knows, out of the port that the
// request came in by, and keeps the request from ports where an answer would be
// asked for in vain. The request itself goes on as any frame does; what was decided
// here only has a flood pass over some ports (floodSkips).
//
// Three flags have the bridge answer a request:
//
//	proxy_arp        on the port that it came in by
//	proxy_arp_wifi   on the port that the target is behind
//	neigh_suppress   on the port that the target is behind; the only one for IPv6
//
// and nothing is answered where the target is not in both the host's neighbour table
// and the FDB. Requests that come in by a suppressing port are let alone.

// suppresses reports whether neighbour suppression is on for the port in vid
// (br_is_neigh_suppress_enabled).
func (pc *portConf) suppresses(vid frame.VID) bool {
	if vid != 0 && pc.flags.has(flagNeighVLANSuppress) {
		return pc.vlans.suppresses(vid)
	}
	return pc.flags.has(flagNeighSuppress)
}

// suppressing reports whether a port suppresses anywhere.
func (pc *portConf) suppressing() bool {
	return pc.flags.has(flagNeighSuppress | flagNeighVLANSuppress)
}

// recountSuppression renews what the bridge remembers of it. Linux does so when a
// port's flag changes, and not when a port leaves, so a bridge whose last suppressing
// port has left goes on as if there were one.
func (x *tx) recountSuppression() {
	x.cfg.neighSuppress = false
	for _, pc := range x.cfg.ports {
		x.cfg.neighSuppress = x.cfg.neighSuppress || pc.suppressing()
	}
}

// deriveAnswers finds out whether anything here can have an effect.
func (c *config) deriveAnswers() {
	c.answers = c.neighSuppress
	for _, pc := range c.ports {
		c.answers = c.answers || pc.flags.has(flagProxyARP|flagProxyARPWifi)
	}
}

// suppress answers a request for the address of a neighbour, if the bridge is to,
// and decides which ports a flood of it passes over. pc is where the frame came in,
// nil if from the host.
func (in *Input) suppress(pc *portConf, f *frame.Frame) {
	switch t := f.Type(); {
	case t == frame.TypeARP || t == typeRARP:
		if pc != nil || in.cfg.neighSuppress {
			in.suppressARP(pc, f)
		}
	case t == frame.TypeIPv6 && in.cfg.neighSuppress:
		in.suppressND(pc, f)
	}
}

// settled notes what was decided about a request. A neighbour that is known and not
// answered for is behind a port of its own kind: suppressing ports need not see the
// request.
func (in *Input) settled(at Probe, pc *portConf, f *frame.Frame, d Decision) {
	in.note(at, pc.port(), f, d)
	switch d {
	case NeighAnnounced, NeighLocal, NeighAnswered, NeighMalformed:
		in.replied = true
	case NeighKnown:
		in.replied = in.cfg.neighSuppress
	}
}

// port is the port of pc, nil for the bridge's own device.
func (pc *portConf) port() *Port {
	if pc == nil {
		return nil
	}
	return pc.p
}

// suppressARP is br_do_proxy_suppress_arp.
func (in *Input) suppressARP(pc *portConf, f *frame.Frame) {
	a, ok := parseARP(f.Rest()[2:])
	if !ok || in.cfg.info.NoARP {
		return
	}
	d, n := in.judgeARP(pc, &a)
	in.settled(ProbeSuppressARP, pc, f, d)
	if d != NeighAnswered {
		return
	}
	start := len(in.pushed)
	in.pushed = appendARPReply(in.pushed, &a, n.MAC)
	reply := in.made(start, in.replyTag(pc, f))
	if pc == nil && in.vid == 0 {
		in.xmitOwn(&reply)
		return
	}
	in.emitOwn(ProbeARPSend, pc, &reply)
}

func (in *Input) judgeARP(pc *portConf, a *arpPacket) (Decision, Neighbour) {
	target := netip.AddrFrom4(a.target)
	if target.IsLoopback() || target.IsMulticast() {
		return NeighNotAsked, Neighbour{}
	}
	if in.cfg.neighSuppress {
		probe := in.cfg.rules.neighProbes && a.sender == [4]byte{}
		switch {
		case pc != nil && pc.suppresses(in.vid):
			return NeighFromSuppressing, Neighbour{}
		case in.cfg.rules.neighUnicast && a.op == arpRequest && !in.header.dst.isMulticast():
			return NeighUnicast, Neighbour{}
		case !a.isRARP() && (probe || a.sender == a.target):
			return NeighAnnounced, Neighbour{}
		}
	}
	if a.op != arpRequest {
		return NeighNotAsked, Neighbour{}
	}
	n, behind, d := in.resolve(target)
	if d == NeighKnown && (pc != nil && pc.flags.has(flagProxyARP) ||
		behind != nil && (behind.flags.has(flagProxyARPWifi) || behind.suppresses(in.vid))) {
		d = NeighAnswered
	}
	return d, n
}

// suppressND is br_do_suppress_nd.
func (in *Input) suppressND(pc *portConf, f *frame.Frame) {
	m, ok := parseND(f.Rest()[2:])
	if !ok {
		return
	}
	d, n := in.judgeND(pc, &m)
	start := len(in.pushed)
	if d == NeighAnswered {
		if in.pushed, ok = appendAdvertisement(in.pushed, &m, in.header.src.mac(), n); !ok {
			d = NeighMalformed
		}
	}
	in.settled(ProbeSuppressND, pc, f, d)
	if d == NeighAnswered {
		reply := in.made(start, in.replyTag(pc, f))
		in.emitOwn(ProbeNDSend, pc, &reply)
	}
}

func (in *Input) judgeND(pc *portConf, m *ndMessage) (Decision, Neighbour) {
	solicitation := m.kind == ndSolicitation
	switch {
	case pc != nil && pc.suppresses(in.vid):
		return NeighFromSuppressing, Neighbour{}
	case in.cfg.rules.neighUnicast && solicitation && !in.header.dst.isMulticast():
		return NeighUnicast, Neighbour{}
	case !solicitation && m.flags&ndSolicited == 0:
		return NeighAnnounced, Neighbour{}
	case !solicitation:
		return NeighNotAsked, Neighbour{}
	case m.isDAD() && in.cfg.rules.neighProbes, m.src == m.dst:
		return NeighAnnounced, Neighbour{}
	}
	n, behind, d := in.resolve(netip.AddrFrom16(m.target))
	if d == NeighKnown && behind != nil && behind.suppresses(in.vid) {
		d = NeighAnswered
	}
	return d, n
}

// resolve looks for the target of a request in the host's neighbour table and then
// in the FDB. behind is the port that it is behind, nil for an address of the bridge
// itself.
func (in *Input) resolve(target netip.Addr) (n Neighbour, behind *portConf, d Decision) {
	n, d = in.ask(target)
	if d != NeighKnown {
		return n, nil, d
	}
	var hint flow
	v, ok := in.lookup(fdbKey(n.MAC, in.vid), &hint)
	if !ok {
		return n, nil, NeighNotInFDB
	}
	if num := v.port(); num != fdbSelf && num < len(in.cfg.byNum) {
		behind = in.cfg.byNum[num]
	}
	return n, behind, NeighKnown
}

// ask puts the kernel's questions to the host, about the bridge's own device or the
// VLAN device of the frame's VLAN.
func (in *Input) ask(target netip.Addr) (n Neighbour, d Decision) {
	host := in.b.stack
	d = NeighUnknown
	if host == nil {
		switch {
		case in.vid != 0:
			d = NeighNoVLANDevice
		case in.cfg.neighSuppress && target == netip.IPv4Unspecified(): // as of a host without addresses
			d = NeighLocal
		}
		return n, d
	}
	if _, ours := host.(*HostTable); !ours && in.dry == nil {
		in.running.Store(goroutineID()) // so that a call of the Bridge can be refused
	}
	in.guard(func() {
		if in.vid != 0 && !host.VLANDevice(in.cfg.info.VLANProtocol, in.vid) {
			d = NeighNoVLANDevice
		} else if in.cfg.neighSuppress && host.Local(in.vid, target) {
			d = NeighLocal
		} else if found, ok := host.Neighbour(in.vid, target); ok {
			n, d = found, NeighKnown
		}
	})
	return n, d
}

// replyTag is the tag of an answer: that of the request, priority and all, unless
// its VLAN is the PVID of the device by which it leaves.
func (in *Input) replyTag(pc *portConf, f *frame.Frame) frame.Tag {
	g := in.cfg.self
	if pc != nil {
		g = pc.vlans
	}
	if in.vid == 0 || in.vid == g.pvid {
		return frame.Tag{}
	}
	return f.Tag
}

// made is the frame that was put in scratch memory from start on.
func (in *Input) made(start int, tag frame.Tag) frame.Frame {
	end := len(in.pushed)
	return frame.Frame{Data: in.pushed[start:end:end], Tag: tag}
}

// emitOwn sends a frame of the bridge's own out of a port (br_arp_send, br_nd_send):
// as it is, whatever the port's state and MTU, but not where there is no carrier, which
// with MST a port may be without. With pc nil it goes up to the host.
func (in *Input) emitOwn(at Probe, pc *portConf, f *frame.Frame) {
	if in.watched {
		in.show(pc.port(), Step{Probe: at, Src: f.Src(), Dst: f.Dst(), Tag: f.Tag})
	}
	num := fdbSelf
	if pc != nil {
		num = pc.num
		if pc.flags&flagLink != flagLink {
			in.notForwardable(pc, f, DropPortDown)
			return
		}
	}
	asked := in.views[in.firstView]
	in.enter(f)
	in.putEntered(num, pc.port())
	in.enter(&asked)
}

// xmitOwn sends the answer to the host's own request. Without VLANs the kernel hands
// it to the device that the request came from, which is the bridge's own: so it goes
// through br_dev_xmit, out of the port that the host's address is behind, and to
// nowhere if the address is the bridge's, as it mostly is.
func (in *Input) xmitOwn(f *frame.Frame) {
	if in.watched {
		in.show(nil, Step{Probe: ProbeARPSend, Src: f.Src(), Dst: f.Dst()})
	}
	asked, header, replied := in.views[in.firstView], in.header, in.replied
	in.header = headerOf(f)
	in.replied = false
	in.tally.own++
	in.tally.ownBytes += uint64(f.WireLen())
	f = in.enter(f)
	in.note(ProbeDevXmit, nil, f, Arrived)
	if o := in.fromHost(f); o.verdict == Drop && in.watched {
		in.free(nil, o.reason)
	}
	in.header, in.replied = header, replied
	in.enter(&asked)
}
