package bridge

import (
	"strconv"
	"strings"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// A Hook is one of the five points at which filters are asked (enum nf_inet_hooks,
// NF_BR_*). Which of them a frame passes, and in which order:
//
//	forwarded                PreRouting, then VLAN ingress, learning, lookup; a copy: VLAN egress, Forward, PostRouting
//	to the host              PreRouting, then the same; VLAN egress of the bridge's own device, LocalIn
//	from the host            VLAN ingress, lookup; a copy: VLAN egress, LocalOut, PostRouting
//	01:80:c2:00:00:02 to 0d  LocalIn alone, before learning, if handed to the port's own stack; 0f too
//	01:80:c2:00:00:00, 0e    none, if handed to the port's own stack
//	copies made by CopyTo    none
//	the bridge's answers     none (proxy ARP, neighbour suppression)
//
// The length of a frame is held against the port's MTU behind PostRouting.
type Hook uint8

// The points, in the order in which a frame meets them.
const (
	NoHook          Hook = iota
	HookPreRouting       // of a frame, before its VLAN is decided and its source learned
	HookLocalIn          // of the host's copy, or of a frame for the port's own stack
	HookForward          // of a copy, for each port that it is to leave by
	HookLocalOut         // the same, for what the host sent
	HookPostRouting      // of a copy, after HookForward or HookLocalOut
	numHooks
)

var hookNames = [numHooks]string{
	NoHook: "none", HookPreRouting: "NF_BR_PRE_ROUTING", HookLocalIn: "NF_BR_LOCAL_IN", HookForward: "NF_BR_FORWARD",
	HookLocalOut: "NF_BR_LOCAL_OUT", HookPostRouting: "NF_BR_POST_ROUTING",
}

// String gives the kernel's name, "NF_BR_FORWARD".
func (h Hook) String() string {
	if h < numHooks {
		return hookNames[h]
	}
	return "hook " + strconv.Itoa(int(h))
}

// A HookSet is a set of points.
type HookSet uint8

// Hooks makes a set.
func Hooks(hooks ...Hook) (s HookSet) {
	for _, h := range hooks {
		s |= 1 << h
	}
	return s
}

// Has reports whether h is in the set.
func (s HookSet) Has(h Hook) bool { return s>>h&1 != 0 }

// String gives "NF_BR_PRE_ROUTING,NF_BR_FORWARD", "none" for the empty set.
func (s HookSet) String() string {
	var names []string
	for h := range Hook(8) {
		if s.Has(h) {
			names = append(names, h.String())
		}
	}
	if names == nil {
		return hookNames[NoHook]
	}
	return strings.Join(names, ",")
}

// A FilterAction is what is to become of a frame, or of a copy of it, at a point.
type FilterAction uint8

// The actions.
const (
	// FilterAccept: it goes on, to the next filter (NF_ACCEPT).
	FilterAccept FilterAction = iota

	// FilterDrop: it ends here, counted as dropped or refused for DropFilter
	// (NF_DROP). At HookForward and behind it that is one copy, the others go on.
	FilterDrop

	// FilterSteal: the filter has taken it (NF_STOLEN), counted as consumed. What
	// it needs of the frame it has copied.
	FilterSteal

	// FilterPass: it is for the port's own stack, as a link-local frame is, and the
	// bridge does nothing else with it (the broute table). As in Linux it means
	// something at HookPreRouting of a port in state FORWARDING; elsewhere it
	// accepts.
	FilterPass
)

// Because is a ruling with this action, for a reason that traces show. A text that
// is made up for each frame costs an allocation.
func (a FilterAction) Because(why string) Ruling { return Ruling{Action: a, Why: why} }

// A Ruling is what a filter says. The zero Ruling accepts.
type Ruling struct {
	Action FilterAction
	Why    string // shown by Trace and Explain; may be empty
}

// A Filter judges frames at some of the five points. The filters of a bridge are
// asked in the order of their list, and the first that does not accept decides.
type Filter struct {
	Name  string  // for traces and events
	Hooks HookSet // where it is asked

	// Judge says what is to become of a frame. It runs on the goroutine that carries
	// the frame, with several Inputs on several at once, and must be quick. It must
	// keep nothing of s, and change nothing of the frame. Forbidden in it are calls
	// that carry frames (Receive, Xmit), and calls that wait for batches to end, of any
	// bridge, which answer ErrInBatch; those that only look (Port.Info, FDB.All) are
	// allowed. While s.Dry is set nothing may follow from the frame: neither counts nor
	// tokens. If Judge panics the frame is dropped, and the port that it came in by
	// ends, or the host's cable.
	Judge func(s *Passage) Ruling
}

// A Passage is a frame, or a copy of one, at one of the five points. It is valid
// until Judge returns. (Linux calls it struct nf_hook_state.)
type Passage struct {
	Hook Hook
	In   *Port // where the frame came in; nil: from the host
	Out  *Port // where the copy is to leave; nil at HookPreRouting and HookLocalIn

	// Frame is a view of the frame as it stands at this point: at HookPreRouting and
	// for the port's own stack with the tag that it came with, else with the one with
	// which it is to leave.
	Frame *frame.Frame

	// VID is the VLAN of the frame; at HookPreRouting the one in which its tag or the
	// PVID is going to put it. 0: without VLAN filtering, or there is none.
	VID frame.VID

	Dry bool // the frame is only being explained

	// OwnStack: at HookLocalIn, the frame is a link-local one for the port's own stack,
	// which did not pass HookPreRouting.
	OwnStack bool

	in     *Input
	filter int // whose turn it is, in config.filters
	view   frame.Frame
	copied bool
	gates  []reportGate // by number of the filter
}

// Now is the time on the scale of Config.Clock, in steps of a millisecond: that of
// the batch.
func (s *Passage) Now() time.Time {
	return s.in.b.start.Add(time.Duration(s.in.now) * time.Millisecond)
}

// Lookup asks the forwarding database where m is, in the VLAN of the frame. local:
// it is an address of the bridge, frames to it end at the host; p is then the port
// that bears it, nil for the bridge's own device. ok is false for an address that
// is not known: frames to it are flooded.
func (s *Passage) Lookup(m frame.MAC) (p *Port, local, ok bool) {
	in, hint := s.in, &s.in.dst
	if addressOf(m) == in.header.src {
		hint = &in.src
	}
	v, ok := in.lookup(fdbKey(m, s.VID), hint)
	if !ok && s.VID != 0 && in.cfg.info.FDBLocalVLAN0 {
		v, ok = in.lookupLocal(addressOf(m))
	}
	if num := v.port(); ok && num < len(in.cfg.byNum) && in.cfg.byNum[num] != nil {
		p = in.cfg.byNum[num].p
	}
	return p, v.has(fdbLocal), ok && (p != nil || v.port() == fdbSelf)
}

// CopyTo has a copy of the frame, as it stands at this point, leave by p also,
// whatever becomes of the frame (tc's mirred). It passes no filter, none of the
// flags, states and VLANs of p is asked; that p is up, and its MTU, counts as for
// any frame. The copy is written with the batch, in its place, and is offered in p's
// egress ledger. p must be a port of the same bridge, else it refuses the copy.
func (s *Passage) CopyTo(p *Port) {
	in := s.in
	pc := in.cfg.conf(p)
	if pc == nil {
		if !s.Dry {
			p.tx.refuse(1, DropPortGone)
		}
		return
	}
	in.noteFilter(s, p, FilterCopied, "")
	if !s.Dry {
		in.cfg.filterCounters[s.filter].copied.Add(1)
	}
	s.copied = true
	f := &in.views[in.firstView]
	if why := pc.forwardable(f); why != NotDropped {
		in.notForwardable(pc, f, why)
		return
	}
	in.put(pc.num, p, departureOf(in.firstView, f, s.view.Tag))
}

// Report has the bridge tell of what a frame has done, as an EventFilter with the
// frame's source, VLAN and port, and the error that why makes. It is for violations,
// which come as fast as a station wants to send them: of each filter and reader
// eight at once are told, then one a second, and Event.Count is how many reports
// one stands for; why is called for those that are told only. In a dry run, and
// while nobody watches, nothing is.
func (s *Passage) Report(why func() error) {
	in := s.in
	if s.Dry || !in.b.events.watched() {
		return
	}
	for s.filter >= len(s.gates) {
		s.gates = append(s.gates, reportGate{left: reportBurst, at: in.now})
	}
	n := s.gates[s.filter].count(in.now)
	if n == 0 {
		return
	}
	p := s.In
	if p == nil {
		p = s.Out
	}
	e := Event{Kind: EventFilter, MAC: in.header.src.mac(), VID: s.VID, Filter: in.cfg.filters[s.filter].Name, Count: n, Err: why()}
	if p != nil {
		e.Port = p.name
	}
	in.b.events.post(e)
}

// reportBurst is how many reports are told at once, reportPause the time in which
// one more may be.
const (
	reportBurst = 8
	reportPause = stamp(time.Second / time.Millisecond)
)

// A reportGate lets so many reports through as can be read.
type reportGate struct {
	left int
	at   stamp // when the last one was given back
	held int   // reports since the last that was told
}

// count counts a report; if it is to be told, it gives how many it stands for, else 0.
func (g *reportGate) count(now stamp) int {
	g.held++
	if n := (now - g.at) / reportPause; n > 0 {
		g.left = int(min(stamp(g.left)+n, reportBurst))
		g.at += n * reportPause
	}
	if g.left == 0 {
		return 0
	}
	n := g.held
	g.left, g.held = g.left-1, 0
	return n
}

// SetFilters replaces the filters of the bridge by fs, asked in this order; none
// ends the filtering. When it returns the old ones are not called any more, but by
// an Explain that is under way. EINVAL: a filter without Judge or with hooks that
// are none.
func (b *Bridge) SetFilters(fs ...Filter) error {
	return b.change("set filters", b.name, func(x *tx) error { return x.setFilters(fs) })
}

// Filters lists the filters, in their order.
func (b *Bridge) Filters() []Filter { return append([]Filter(nil), b.cfg.Load().filters...) }
