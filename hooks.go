package bridge

import (
	"fmt"
	"reflect"
	"runtime"

	"github.com/ddfb540f/bridge/frame"
)

// Where filters are asked. Frames that the bridge makes itself have rows of their
// own in Linux: a BPDU passes HookLocalOut and is then handed to the cable (emit), an
// IGMP or MLD query passes HookLocalOut, then is held against the MTU (forwardable); an
// answer to an ARP request or a neighbour solicitation passes none. None of them
// passes HookPostRouting, but for an answer to the host where there are no VLANs,
// which is sent as if the host had sent it (xmitOwn).

// hooks is the filters of each point; a config without filters has none.
type hooks [numHooks][]hooked

// hooked is a filter at a point, by its number in config.filters.
type hooked struct {
	judge func(*Passage) Ruling
	num   int
}

const allHooks HookSet = 1<<numHooks - 1<<HookPreRouting

func (x *tx) setFilters(fs []Filter) error {
	x.cfg.filters, x.cfg.filterCounters, x.cfg.hooks = nil, nil, nil
	for i, f := range fs {
		switch {
		case f.Judge == nil:
			return x.refuse(EINVAL, "a filter has no Judge")
		case f.Hooks == 0 || f.Hooks&^allHooks != 0:
			return x.refuse(EINVAL, "a filter is for one of the five hooks at least, and for no others")
		}
		if x.cfg.hooks == nil {
			x.cfg.hooks = new(hooks)
		}
		for h := HookPreRouting; h < numHooks; h++ {
			if f.Hooks.Has(h) {
				x.cfg.hooks[h] = append(x.cfg.hooks[h], hooked{f.Judge, i})
			}
		}
		x.cfg.filterCounters = append(x.cfg.filterCounters, x.cfg.countersFor(f.Name, x.old))
	}
	x.cfg.filters = append(x.cfg.filters, fs...)
	return nil
}

// preRouting is NF_BR_PRE_ROUTING and what is behind it (nf_hook_bridge_pre).
func (in *Input) preRouting(pc *portConf, f *frame.Frame) outcome {
	at := in.hooks[HookPreRouting]
	if len(at) == 0 {
		return in.handleFrameFinish(pc, f)
	}
	s := &in.passage
	s.VID, _ = in.expectVLAN(pc.vlans, f)
	s.OwnStack, s.copied = false, false
	switch in.judge(at, HookPreRouting, nil, f, f.Tag).Action {
	case FilterDrop:
		return dropped(DropFilter)
	case FilterSteal:
		return outcome{verdict: Consumed}
	case FilterPass:
		in.pass(pc, f)
		return outcome{verdict: Passed}
	}
	if s.copied { // the copies keep the view as it is, the frame goes on in another
		in.views = append(in.views, in.views[in.firstView])
		in.firstView = len(in.views) - 1
		f = &in.views[in.firstView]
	}
	return in.handleFrameFinish(pc, f)
}

// ownStack is NF_BR_LOCAL_IN for a frame that is for the port's own stack. done: it
// ends here.
func (in *Input) ownStack(f *frame.Frame) (o outcome, done bool) {
	at := in.hooks[HookLocalIn]
	if len(at) == 0 {
		return outcome{}, false
	}
	s := &in.passage
	s.VID, _ = in.expectVLAN(in.pc.vlans, f)
	s.OwnStack = true
	switch in.judge(at, HookLocalIn, nil, f, f.Tag).Action {
	case FilterDrop:
		return dropped(DropFilter), true
	case FilterSteal:
		return outcome{verdict: Consumed}, true
	}
	return outcome{}, false
}

// leaves asks the filters of both points that a copy passes on its way out of a port.
func (in *Input) leaves(p *Port, f *frame.Frame, tag frame.Tag) bool {
	first := HookForward
	if in.port == nil {
		first = HookLocalOut
	}
	return in.passes(first, p, f, tag) && in.passes(HookPostRouting, p, f, tag)
}

// passes asks the filters of a point whether a copy may go on to a port, nil being
// the host, and accounts for one that may not.
func (in *Input) passes(h Hook, p *Port, f *frame.Frame, tag frame.Tag) bool {
	at := in.hooks[h]
	if len(at) == 0 {
		return true
	}
	in.passage.VID, in.passage.OwnStack = in.vid, false
	tx := &in.b.host.tx
	if p != nil {
		tx = &p.tx
	}
	switch in.judge(at, h, p, f, tag).Action {
	case FilterDrop:
		if in.dry == nil {
			tx.refuse(1, DropFilter)
		}
		return false
	case FilterSteal:
		if in.dry == nil {
			tx.offered.Add(1)
			tx.consumed.Add(1)
		}
		return false
	}
	return true
}

// judge asks the filters of a point, and gives the first ruling that does not
// accept. FilterPass it gives where it counts only.
func (in *Input) judge(at []hooked, h Hook, out *Port, f *frame.Frame, tag frame.Tag) (r Ruling) {
	s := &in.passage
	s.in, s.Hook, s.In, s.Out, s.Dry = in, h, in.port, out, in.dry != nil
	if h == HookLocalOut {
		s.In = nil // also of a query that a port's frame has made the bridge send
	}
	s.view = *f
	s.view.Tag = tag
	s.Frame = &s.view
	if !in.judging {
		in.judging = true
		in.judges.Store(true)
	}
	defer func() {
		if p := recover(); p != nil {
			r = in.filterPanicked(s, p)
		}
	}()
	for _, x := range at {
		s.filter = x.num
		if r = x.judge(s); r.Action > FilterPass {
			r.Action = FilterDrop
		}
		if in.watched {
			in.noteFilter(s, out, decisionOf[r.Action], r.Why)
		}
		switch {
		case r.Action == FilterPass && (h != HookPreRouting || in.pc.state != StateForwarding):
		case r.Action != FilterAccept:
			in.countFilter(s, r.Action)
			return r
		}
	}
	return Ruling{}
}

var decisionOf = [...]Decision{
	FilterAccept: FilterAccepted, FilterDrop: FilterDropped, FilterSteal: FilterStole, FilterPass: FilterPassed,
}

// filterPanicked drops the frame; its port ends, unless it was only explained.
func (in *Input) filterPanicked(s *Passage, p any) Ruling {
	if !s.Dry {
		in.failSource(fmt.Errorf("bridge: the filter %q panicked: %v", in.cfg.filters[s.filter].Name, p))
	}
	in.countFilter(s, FilterDrop)
	in.noteFilter(s, s.Out, FilterDropped, "it panicked")
	return Ruling{Action: FilterDrop}
}

func (in *Input) countFilter(s *Passage, a FilterAction) {
	if !s.Dry {
		in.cfg.filterCounters[s.filter].count(a)
	}
}

// noteFilter shows what a filter said of a frame on its way to dev, nil being none.
func (in *Input) noteFilter(s *Passage, dev *Port, d Decision, why string) {
	if !in.watched {
		return
	}
	if dev == nil && (s.Hook == HookPreRouting || s.OwnStack) {
		dev = s.In
	}
	st := Step{Probe: ProbeHook, Tag: s.view.Tag, Decision: d, Hook: s.Hook, Filter: in.cfg.filters[s.filter].Name, Why: why}
	if d == FilterDropped {
		st.Reason = DropFilter
	}
	in.show(dev, st)
}

// lookupLocal finds an address of the bridge that stands at VLAN 0 for all
// (fdb_local_vlan_0).
func (in *Input) lookupLocal(a address) (fdbVal, bool) {
	v, ok := in.lookup(a.key(0), &in.dst)
	return v, ok && v.has(fdbLocal) && !v.has(fdbUser)
}

// judgeName is how a stack trace calls judge.
var judgeName = runtime.FuncForPC(reflect.ValueOf((*Input).judge).Pointer()).Name()

// inFilter reports whether the caller was called by a filter, of whatever bridge.
func inFilter() bool {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var at runtime.Frame
			if at, more = frames.Next(); at.Function == judgeName {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
