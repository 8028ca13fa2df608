package bridge

import "github.com/ddfb540f/bridge/frame"

// straight carries a frame as nearly all are carried, from a station that is known and
// still where it was to one that is known behind another port, if there is nothing
// special about the bridge or either port. It is the path from handleFrame to put with
// the steps left out that do nothing then, in the same order and from the same tables.
// Wherever one of them might do something it gives up, and has changed nothing that
// they would not change as well: the frame then goes through all of them.
func (in *Input) straight(pc *portConf, f *frame.Frame) bool {
	h, e := &in.header, &in.entrance
	if f.Tag != e.came {
		e.came = f.Tag
		e.open = in.simple && in.enters(pc)
	}
	if !e.open || h.dst.isMulticast() || f.Tunnel != 0 {
		return false
	}
	k := h.src.key(e.vid)
	src := in.src.val(k)
	if src == 0 {
		src = in.search(k, &in.src)
	}
	if src.port() != pc.num || src.has(fdbLocal|fdbInactive) {
		return false
	}
	k = h.dst.key(e.vid)
	dst := in.dst.val(k)
	if dst == 0 {
		dst = in.search(k, &in.dst)
	}
	if dst == 0 || dst.port() >= len(in.cfg.byNum) {
		return false
	}
	if dst.has(fdbLocal) {
		in.vid, in.filtered, f.Tag = e.vid, in.cfg.info.VLANFiltering, e.inside
		in.refresh(src)
		in.passFrameUp(f)
		return true
	}
	to := in.cfg.byNum[dst.port()]
	if to == nil || to == pc || !to.simplyOut() || pc.flags&to.flags&flagIsolated != 0 || f.Len() > to.longest() {
		return false
	}
	d := departure(in.firstView) << 1
	if e.vid != 0 {
		page, bit := to.vlans.page(e.vid)
		switch {
		case page == nil || page.member&page.forwarding&bit == 0:
			return false
		case page.untagged&bit != 0:
			d |= bare
		}
		f.Tag = e.inside
	}
	in.refresh(src)
	in.hit()
	in.put(to.num, to.p, d)
	return true
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
	if e.inside.TPID, e.vid = proto, e.came.VID(); e.vid == 0 {
		e.vid = pc.vlans.pvid
		e.inside = e.inside.WithVID(e.vid)
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
	return pc.flags&(flagLink|flagTunnel) == flagLink && pc.state == StateForwarding
}

// simple is that for the bridge.
func (c *config) simple() bool {
	i := &c.info
	return c.hold > 0 && c.hooks == nil && !c.answers && !i.VLANStats && !i.Promisc
}
