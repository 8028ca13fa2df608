package replay

import (
	"fmt"
	"slices"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// foretell explains f, and sees to it that explaining changed nothing.
func (r *run) foretell(explain func(frame.Frame) bridge.Explanation, f frame.Frame) (bridge.Explanation, error) {
	before := r.snapshot()
	e := explain(f)
	if after := r.snapshot(); !before.equal(after) {
		return e, mismatchf("Explain is not free of effects: before %+v, after %+v", before, after)
	}
	for _, d := range r.cables() {
		if len(d.cable.out) > 0 {
			return e, mismatchf("Explain sent a frame out of %s", d.name)
		}
	}
	return e, nil
}

// snapshot is all that a frame can change in a bridge, and its tables.
type snapshot struct {
	fdb   []bridge.FDBEntry
	ports []bridge.PortStats
	host  bridge.HostStats
	vlans [][]bridge.VLANInfo
	mdb   []string

	bridge   bridge.BridgeInfo
	portInfo []bridge.PortInfo
}

func (r *run) snapshot() snapshot {
	s := snapshot{fdb: slices.Collect(r.b.FDB().All()), host: r.b.Stats(), bridge: r.b.Info()}
	s.vlans = append(s.vlans, r.b.VLANs().All())
	for _, e := range r.b.MDB() {
		s.mdb = append(s.mdb, fmt.Sprint(e))
	}
	for _, d := range r.devs {
		s.ports = append(s.ports, d.port.Stats())
		s.portInfo = append(s.portInfo, d.port.Info())
		s.vlans = append(s.vlans, d.port.VLANs().All())
	}
	return s
}

func (s snapshot) equal(o snapshot) bool {
	return s.host == o.host && s.bridge == o.bridge && slices.Equal(s.portInfo, o.portInfo) && slices.Equal(s.mdb, o.mdb) && slices.Equal(s.fdb, o.fdb) && slices.Equal(s.ports, o.ports) &&
		slices.EqualFunc(s.vlans, o.vlans, slices.Equal[[]bridge.VLANInfo])
}

type namedCable struct {
	name  string
	addr  frame.MAC // of a port's device
	cable *cable
}

// cables are those of all devices, and the host's.
func (r *run) cables() []namedCable {
	cs := []namedCable{{name: hostName, cable: r.host}}
	for _, d := range r.devs {
		cs = append(cs, namedCable{d.name, d.addr, d.cable})
	}
	return cs
}

// fulfilled holds what Explain said against what became of the frame: the frames
// that left, in order for each device, the device's answer, and the column of the
// ingress ledger.
func (r *run) fulfilled(e bridge.Explanation, refusal error, before, after bridge.IngressLedger) error {
	if err := r.left(e); err != nil {
		return err
	}
	if (e.Err == nil) != (refusal == nil) || sameRefusal(errnoName(refusal), e.Err) != nil {
		return mismatchf("Explain foretold another answer: %v, came %v", e.Err, refusal)
	}
	want := before
	want.Received++
	switch e.Verdict {
	case bridge.Used:
		want.Used++
	case bridge.Passed:
		want.Passed++
	case bridge.Consumed:
		want.Consumed++
	case bridge.Drop:
		want.Dropped[e.Reason]++
	}
	if after != want {
		return mismatchf("Explain foretold another end: %v (%v), the ledger went from %+v to %+v",
			e.Verdict, e.Reason, before, after)
	}
	return nil
}

// left compares frames. Queries and BPDUs of the bridge's own, which a frame can cause
// and which Explain does not foretell, are left out on both sides; the record has them.
func (r *run) left(e bridge.Explanation) error {
	own := r.b.Info().Address
	said := map[string][][]byte{}
	for _, out := range e.Out {
		said[out.Dev] = append(said[out.Dev], out.Frame.AppendWire(nil))
	}
	for _, d := range r.cables() {
		out := map[string][][]byte{d.name: d.cable.out}
		others := func(b []byte) bool {
			src := frame.MAC(b[6:12])
			return !(isQuery(b) && src == own || isBPDU(b) && src == d.addr)
		}
		if text := diffFrames(only(said, others)[d.name], only(out, others)[d.name]); text != "" {
			return mismatchf("Explain foretold other frames: %s: %s", d.name, text)
		}
		delete(said, d.name)
	}
	for name := range said {
		return mismatchf("Explain foretold frames out of %q, which is no device", name)
	}
	return nil
}

// checkLedgers holds the two ledgers of every port and of the host: what came in
// was used, passed on, consumed or dropped, and what was to go out was sent or
// refused. What was sent is also what the cable has got.
func (r *run) checkLedgers() error {
	h := r.b.Stats()
	if err := balanced(hostName, h.Ingress, h.Egress, r.host); err != nil {
		return err
	}
	for _, d := range r.devs {
		s := d.port.Stats()
		if err := balanced(d.name, s.Ingress, s.Egress, d.cable); err != nil {
			return err
		}
	}
	return nil
}

func balanced(name string, in bridge.IngressLedger, out bridge.EgressLedger, c *cable) error {
	if c.fault != "" {
		return mismatchf("%s: %s", name, c.fault)
	}
	ended := in.Used + in.Passed + in.Consumed
	for _, n := range in.Dropped {
		ended += n
	}
	if in.Received != ended {
		return mismatchf("%s: the ingress ledger does not balance: %+v", name, in)
	}
	done := out.Sent + out.Consumed
	for _, n := range out.Refused {
		done += n
	}
	if out.Offered != done {
		return mismatchf("%s: the egress ledger does not balance: %+v", name, out)
	}
	if out.Sent != c.total {
		return mismatchf("%s: %d frames counted as sent, %d reached the cable", name, out.Sent, c.total)
	}
	return nil
}
