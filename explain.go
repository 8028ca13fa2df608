package bridge

import (
	"fmt"
	"strings"

	"github.com/ddfb540f/bridge/frame"
)

// A Verdict is what becomes of a frame as a whole.
type Verdict uint8

// The verdicts: the columns of the ingress ledger.
const (
	NoVerdict Verdict = iota
	Used              // it leaves by at least one device
	Passed            // handed to the port's own stack
	Consumed          // taken by a filter
	Drop              // it ends here
)

var verdictWords = [...]string{NoVerdict: "none", Used: "used", Passed: "passed", Consumed: "consumed", Drop: "dropped"}

// String gives the verdict in a word.
func (v Verdict) String() string {
	if int(v) < len(verdictWords) {
		return verdictWords[v]
	}
	return "none"
}

// An Emission is one copy of a frame that would leave.
type Emission struct {
	Dev   string // a port's name, or the bridge's own for the host
	Frame frame.Frame
}

// An Explanation is what the bridge would do with a frame, and why. It is a value
// that stays valid.
type Explanation struct {
	Steps   []Step     // every decision, in order
	Verdict Verdict    // what becomes of the frame
	Reason  DropReason // why, if it is dropped
	Out     []Emission // what would be handed to cables; the order within a device is that of leaving

	Err error // what the device would answer (see Input.Receive, Bridge.Xmit)
}

// String gives one line a step, then the verdict.
func (e Explanation) String() string {
	var b strings.Builder
	for _, s := range e.Steps {
		b.WriteString(s.String() + "\n")
	}
	b.WriteString(e.Verdict.String())
	if e.Verdict == Drop {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	for i, o := range e.Out {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + o.Dev)
	}
	return b.String()
}

// Explain says what would become of f if it came in by p now: the same code that
// forwards decides, but learns nothing, counts nothing and sends nothing. That a
// cable would refuse a frame, its queue being full, cannot be said beforehand, and the
// queries of its own that snooping sends when a station leaves a group are not in Out. It
// keeps and changes nothing of f; the frames in Out share a copy of its bytes.
func (p *Port) Explain(f frame.Frame) Explanation { return p.b.explain(p, f) }

// ExplainXmit says what would become of f if the host sent it now.
func (b *Bridge) ExplainXmit(f frame.Frame) Explanation { return b.explain(nil, f) }

func (b *Bridge) explain(p *Port, f frame.Frame) (e Explanation) {
	in := &Input{b: b, port: p, ctr: new(counters), dry: new(overlay), watched: true, now: b.stamp()}
	in.trace = func(s Step) { e.Steps = append(e.Steps, s) }
	f = f.Clone() // what is explained stays valid when the caller's buffer does not
	o := in.receive(in.enter(&f))
	e.Err = in.refusal
	in.account(o)
	e.Verdict, e.Reason = o.verdict, o.reason
	e.Out = in.gather(in.dry.out)
	return e
}

// gather takes what would be handed to cables.
func (in *Input) gather(out []Emission) []Emission {
	for ; in.written < len(in.touched); in.written++ {
		v := &in.out[in.touched[in.written]]
		dev := in.b.devName(v.p)
		for _, d := range v.take() {
			out = append(out, Emission{dev, in.departing(d)})
		}
	}
	return out
}

// note shows a step to whoever watches; it costs a branch when nobody does. dev is
// the device it is about, nil being the bridge's own.
func (in *Input) note(at Probe, dev *Port, f *frame.Frame, d Decision) {
	if in.watched {
		in.show(dev, Step{Probe: at, Tag: f.Tag, Decision: d})
	}
}

func (in *Input) noteReason(at Probe, dev *Port, f *frame.Frame, d Decision, why DropReason) {
	if in.watched {
		in.show(dev, Step{Probe: at, Tag: f.Tag, Decision: d, Reason: why})
	}
}

func (in *Input) noteTag(at Probe, dev *Port, tag frame.Tag) {
	if in.watched {
		in.show(dev, Step{Probe: at, Tag: tag})
	}
}

// free shows where a frame ended.
func (in *Input) free(dev *Port, why DropReason) {
	in.show(dev, Step{Probe: ProbeFree, Decision: Dropped, Reason: why})
}

// freeOf shows where a frame ended that is not the one under way.
func (in *Input) freeOf(dev *Port, f *frame.Frame, why DropReason) {
	in.show(dev, Step{Probe: ProbeFree, Tag: f.Tag, Src: f.Src(), Dst: f.Dst(), Decision: Dropped, Reason: why})
}

// noteXmit shows frames handed to a cable, before it is known what the cable says.
func (in *Input) noteXmit(p *Port, caps *Caps, fs []frame.Frame) {
	s := Step{Probe: ProbeNetifReceive, Decision: Sent}
	if p != nil {
		s.Probe, s.Driver = ProbeXmit, caps.XmitProbe
	}
	for i := range fs {
		s.Tag, s.Src, s.Dst = fs[i].Tag, fs[i].Src(), fs[i].Dst()
		in.show(p, s)
	}
}

// show gives a step to whoever watches. It is about the frame under way unless it
// says about which.
func (in *Input) show(dev *Port, s Step) {
	s.Dev, s.VID = in.b.devName(dev), in.vid
	if s.Src.IsZero() && s.Dst.IsZero() {
		s.Src, s.Dst = in.header.src.mac(), in.header.dst.mac()
	}
	in.guard(func() { in.trace(s) })
}

// devName names the device of a port, nil being the bridge's own.
func (b *Bridge) devName(p *Port) string {
	if p != nil {
		return p.name
	}
	return b.name
}
