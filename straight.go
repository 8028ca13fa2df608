package bridge

import "github.com/ddfb540f/bridge/frame"

// straight carries a frame as nearly all are carried, from a station that is known and
// still where it was, and most often to one that is known behind another port, where
// there is nothing special about the bridge or either port. It is the path from
// handleFrame to put with the steps left out that do nothing then, in the same order and
// from the same tables. It says whether it could: a frame whose source asks for more
// goes through all the steps, and one that does only where it leaves goes on with
// deliver.
func (in *Input) straight(pc *portConf, f *frame.Frame) (o outcome, ok bool) {
	h, e := &in.header, &in.entrance
	if f.Tag != e.came {
		e.came = f.Tag
		e.open = in.simple && in.enters(pc)
	}
	if !e.open || !h.src.isValid() || h.dst.isMulticast() && h.dst != broadcast || f.Tunnel != 0 {
		return outcome{}, false
	}
	k := h.src.key(e.vid)
	src := in.src.val(k)
	if src == 0 {
		src = in.search(k, &in.src)
	}
	if src.port() != pc.num || src.has(fdbLocal|fdbInactive) {
		return outcome{}, false
	}
	in.refresh(src)
	in.vid, in.filtered, in.isolated, f.Tag = e.vid, in.cfg.info.VLANFiltering, pc.flags.has(flagIsolated), e.inside
	if h.dst == broadcast {
		return in.deliver(pc, f), true
	}
	k = h.dst.key(e.vid)
	dst := in.dst.val(k)
	if dst == 0 {
		dst = in.search(k, &in.dst)
	}
	if dst.has(fdbLocal) {
		in.passFrameUp(f)
		return used(), true
	}
	if to := in.cfg.byPort(dst.port()); to != nil && in.shouldDeliver(pc, to) == NotDropped && to.simplyOut() && f.Len() <= to.longest() {
		in.hit()
		d := departure(in.firstView) << 1
		if in.filtered && to.vlans.untagged(e.vid) {
			d |= bare
		}
		in.put(to.num, to.p, d)
		return used(), true
	}
	return in.deliver(pc, f), true
}

// An entrance is what the bridge makes of frames with one tag that come in by one port.
type entrance struct {
	came   frame.Tag
	inside frame.Tag
	vid    frame.VID
	open   bool // it lets them in, and learns
}

// enters finds out what is made of frames with the tag came.
func (in *Input) enters(pc *portConf) bool {
	e := &in.entrance
	e.inside, e.vid = e.came, 0
	if !in.cfg.info.VLANFiltering {
		return true
	}
	proto := in.cfg.info.VLANProtocol
	if e.came.Present() && e.came.TPID != proto {
		return false
	}
	if e.vid = e.came.VID(); e.vid == 0 {
		e.vid = pc.vlans.pvid
		e.inside = frame.Tag{TPID: proto, TCI: e.came.TCI}.WithVID(e.vid)
	}
	return pc.vlans.forwards(e.vid)
}

// simplyIn says whether nothing about the port, where a frame comes in, asks more of
// the path than straight has.
func (pc *portConf) simplyIn() bool {
	const asked = flagUp | flagLearning | flagLocked | flagTunnel
	return pc.flags&asked == flagUp|flagLearning && pc.state == StateForwarding
}

// simplyOut is that for a port where a frame leaves.
func (pc *portConf) simplyOut() bool {
	return pc.flags&(flagLink|flagTunnel) == flagLink
}

// simple is that for the bridge.
func (c *config) simple() bool {
	i := &c.info
	return c.hold > 0 && c.hooks == nil && !c.answers && !i.VLANStats && !i.Promisc
}
