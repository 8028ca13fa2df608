package replay

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// collect takes what has left every device since the last call.
func (r *run) collect() map[string][][]byte {
	got := map[string][][]byte{}
	for _, d := range r.cables() {
		if out := d.cable.take(); len(out) > 0 {
			got[d.name] = out
		}
	}
	return got
}

// compareFrames holds what left during step t against its record.
func (r *run) compareFrames(t *Step) error {
	got := r.collect()
	if r.write {
		t.writeFrames(got)
	}
	want := map[string][][]byte{}
	for name, frames := range t.Out {
		for _, text := range frames {
			data, err := hex.DecodeString(text)
			if err != nil || len(data) < frame.HeaderLen {
				return mismatchf("bad frame in the record: %s", text)
			}
			want[name] = append(want[name], data)
		}
	}
	if r.windowed() {
		r.window.add(want, got)
		if t.Op == "wait" && r.waited%time.Second == time.Second/2 {
			return r.closeWindow()
		}
		return nil
	}
	if r.s.Family == "random" {
		forgetAges(want)
		forgetAges(got)
	}
	var loose func([]byte) bool
	if r.s.uses("mcast_vlan_snooping") {
		loose = isQuery
	}
	return diffDevices(want, got, loose)
}

// windowed: in random stp scenarios a topology change notification, repeated
// every hello time, may fall next to an injection. There the frames of all steps
// between two observation points (waits that end at half a second) are compared
// together.
func (r *run) windowed() bool { return r.s.Family == "stp" && r.s.Origin == "random" }

// window is what should have left, and has left, since the last observation
// point.
type window struct{ want, got map[string][][]byte }

func (w *window) add(want, got map[string][][]byte) {
	if w.want == nil {
		w.want, w.got = map[string][][]byte{}, map[string][][]byte{}
	}
	for name, frames := range want {
		w.want[name] = append(w.want[name], frames...)
	}
	for name, frames := range got {
		w.got[name] = append(w.got[name], frames...)
	}
}

// closeWindow compares a window. BPDUs keep their order among themselves, and so
// does everything else.
func (r *run) closeWindow() error {
	w := r.window
	r.window = window{}
	for _, kind := range []func([]byte) bool{isBPDU, func(b []byte) bool { return !isBPDU(b) }} {
		if err := diffDevices(only(w.want, kind), only(w.got, kind), nil); err != nil {
			return mismatchf("between two observation points: %v", err)
		}
	}
	return nil
}

func only(frames map[string][][]byte, kind func([]byte) bool) map[string][][]byte {
	part := map[string][][]byte{}
	for name, list := range frames {
		for _, f := range list {
			if kind(f) {
				part[name] = append(part[name], f)
			}
		}
	}
	return part
}

// diffDevices compares the frames of each device, those that loose picks (nil:
// none) as a set.
func diffDevices(want, got map[string][][]byte, loose func([]byte) bool) error {
	names := map[string]bool{}
	for name := range want {
		names[name] = true
	}
	for name := range got {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if text := diffFrames(settle(want[name], loose), settle(got[name], loose)); text != "" {
			return mismatchf("%s: %s", name, text)
		}
	}
	return nil
}

// settle puts the frames that loose picks behind the others, sorted.
func settle(frames [][]byte, loose func([]byte) bool) [][]byte {
	if loose == nil {
		return frames
	}
	var fixed, free [][]byte
	for _, f := range frames {
		if loose(f) {
			free = append(free, f)
		} else {
			fixed = append(fixed, f)
		}
	}
	slices.SortFunc(free, bytes.Compare)
	return append(fixed, free...)
}

// diffFrames gives the first difference of two lists of frames in words, "" if
// there is none.
func diffFrames(want, got [][]byte) string {
	for i := range min(len(want), len(got)) {
		if !sameFrame(want[i], got[i]) {
			return fmt.Sprintf("frame %d of %d: expected %s, came %s", i+1, len(want), show(want[i]), show(got[i]))
		}
	}
	switch n, m := len(want), len(got); {
	case n > m:
		return fmt.Sprintf("expected %d frames, came %d; missing is %s", n, m, show(want[m]))
	case n < m:
		return fmt.Sprintf("expected %d frames, came %d; not expected is %s", n, m, show(got[n]))
	}
	return ""
}

// show gives a frame in words and in hex.
func show(data []byte) string {
	f := frame.Frame{Data: data}
	if !f.WellFormed() {
		return fmt.Sprintf("%x (%d bytes)", data, len(data))
	}
	f.Lift()
	return fmt.Sprintf("%x (%v > %v, %v, type %v, %d bytes)", data, f.Src(), f.Dst(), f.Tag, f.Type(), len(data))
}

// Offsets in a configuration BPDU: Ethernet and LLC headers are 17 bytes.
const (
	bpduType     = 17 + 3
	bpduRoot     = 17 + 5
	bpduBridge   = 17 + 17
	bpduAge      = 17 + 27
	bpduLen      = 17 + 35
	ageTolerance = 26 // 0.1 s in 1/256 s
)

// forgetAges blanks the measured ages of BPDUs, where steps take as long as they take:
// in scenarios that were made by chance.
func forgetAges(frames map[string][][]byte) {
	for _, list := range frames {
		for _, f := range list {
			if relayed(f) {
				clear(f[bpduAge : bpduAge+2])
			}
		}
	}
}

// relayed reports a configuration BPDU that tells of another root than its sender: its
// age is measured.
func relayed(data []byte) bool {
	return len(data) >= bpduLen && isBPDU(data) && data[bpduType] == 0 &&
		!bytes.Equal(data[bpduRoot:bpduRoot+8], data[bpduBridge:bpduBridge+8])
}

// sameFrame compares two frames byte for byte, but for the message age of a
// configuration BPDU relayed from another root, which is a measured time.
func sameFrame(want, got []byte) bool {
	if bytes.Equal(want, got) {
		return true
	}
	if len(want) != len(got) || !relayed(want) {
		return false
	}
	if !bytes.Equal(want[:bpduAge], got[:bpduAge]) || !bytes.Equal(want[bpduAge+2:], got[bpduAge+2:]) {
		return false
	}
	a, b := int(binary.BigEndian.Uint16(want[bpduAge:])), int(binary.BigEndian.Uint16(got[bpduAge:]))
	return a-b <= ageTolerance && b-a <= ageTolerance
}

// isBPDU: to a bridge group address, which may be any that is link-local, LLC of the
// spanning tree (IEEE 802.1D-2004 9.2, 7.12.3).
func isBPDU(data []byte) bool {
	return len(data) > bpduType && frame.MAC(data[:6]).IsLinkLocal() &&
		data[14] == 0x42 && data[15] == 0x42 && data[16] == 0x03
}

// isQuery: an IGMP or MLD query, tagged or not (RFC 3376 4.1, RFC 3810 5.1).
func isQuery(data []byte) bool {
	f := frame.Frame{Data: data}
	if !f.WellFormed() || !f.Lift() {
		return false
	}
	ip := f.Rest()[2:]
	switch f.Type() {
	case frame.TypeIPv4:
		const protoIGMP, query = 2, 0x11
		head := 0
		if len(ip) > 0 {
			head = int(ip[0]&15) * 4
		}
		return len(ip) > head && head >= 20 && ip[9] == protoIGMP && ip[head] == query
	case frame.TypeIPv6:
		const hopByHop, query = 0, 130
		return len(ip) > 48 && ip[6] == hopByHop && ip[48] == query
	}
	return false
}
