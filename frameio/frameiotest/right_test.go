package frameiotest

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// TestRightDrivers runs the suite on drivers that differ from a Pipe in ways that
// the contract allows, and that their Options tell.
func TestRightDrivers(t *testing.T) {
	for _, d := range []fault{
		{name: "finishes debts", opts: Options{Caps: pipeCaps}, spoil: func(d *driver) {
			d.eachBecomes(finished)
		}},
		{name: "lifts tags on reading", opts: Options{Caps: pipeCaps, OwedCarried: true}, spoil: func(d *driver) {
			d.read = func(fs []frame.Frame) (int, error) {
				n, err := d.Pipe.ReadFrames(fs)
				for i := range fs[:n] {
					if f := &fs[i]; f.WellFormed() {
						f.Lift()
					}
				}
				return n, err
			}
		}},
		{name: "drops in the medium", opts: Options{Caps: pipeCaps, Full: FullDrops, Fill: 300}, spoil: func(d *driver) {
			d.write = func(fs []frame.Frame) (int, error) {
				n, err := d.Pipe.WriteFrames(fs)
				if errors.Is(err, bridge.ErrQueueFull) {
					return len(fs), nil
				}
				return n, err
			}
		}},
		{name: "loses a third", opts: Options{Caps: bridge.Caps{TagAside: true}, Unreliable: true, Wait: time.Second}, spoil: func(d *driver) {
			n := 0
			d.each(func(f frame.Frame) frame.Frame {
				if n++; n%3 == 0 {
					f.Data = nil
				}
				return f
			})
		}},
		{name: "pads", opts: Options{Caps: bridge.Caps{TagAside: true}, MinFrame: 60}, spoil: func(d *driver) {
			d.each(func(f frame.Frame) frame.Frame {
				w := f.AppendWire(nil)
				return frame.Frame{Data: append(w, make([]byte, max(0, 60-len(w)))...)}
			})
		}},
		{name: "has other traffic", opts: Options{Caps: pipeCaps, OwedCarried: true}, spoil: func(d *driver) {
			other := []frame.Frame{{Data: make([]byte, 90)}, {Data: slices.Repeat([]byte{0xff}, 14)}}
			d.each(func(f frame.Frame) frame.Frame {
				d.Pipe.WriteFrames(other)
				return f
			})
		}},
		{name: "goes on behind what it refuses", opts: Options{Caps: pipeCaps, OwedCarried: true}, spoil: (*driver).writeOn},
		{name: "takes plain frames up to 1514 bytes", opts: Options{Caps: bridge.Caps{MaxFrame: 1514}}, spoil: func(d *driver) {
			d.write = func(fs []frame.Frame) (int, error) {
				for i := range fs {
					if !fs[i].Plain() || !fs[i].Owed.None() {
						panic("the suite offers more than Caps promises")
					}
					if len(fs[i].Data) > 1514 {
						return i, &bridge.FrameError{Reason: bridge.DropTooLong}
					}
					if _, err := d.Pipe.WriteFrames(fs[i : i+1]); err != nil {
						return i, err
					}
				}
				return d.emptyWrite(fs)
			}
		}},
	} {
		t.Run(d.name, func(t *testing.T) {
			d.opts.Settle = 3 * time.Millisecond
			Run(t, func(t *testing.T) (a, b bridge.FrameIO) { return d.cable(t)() }, d.opts)
		})
	}
}

// writeOn makes a write that goes on behind a frame that is refused, and tells of each.
func (d *driver) writeOn() {
	d.write = func(fs []frame.Frame) (int, error) {
		n, told := 0, []*bridge.FrameError(nil) // taken before the first refused; it and those behind it
		for i := range fs {
			_, err := d.Pipe.WriteFrames(fs[i : i+1])
			refusal, refused := errors.AsType[*bridge.FrameError](err)
			switch {
			case err != nil && !refused && len(told) == 0:
				return n, err
			case err != nil && !refused:
				return n, &bridge.BatchError{Frames: told} // of the rest nothing is known yet
			case refused || len(told) > 0:
				told = append(told, refusal)
			default:
				n++
			}
		}
		if len(told) > 0 {
			return n, &bridge.BatchError{Frames: told}
		}
		return d.emptyWrite(fs)
	}
}

// eachBecomes makes a write that puts on the cable, for each frame, what f makes of
// it.
func (d *driver) eachBecomes(f func(frame.Frame) []frame.Frame) {
	d.write = func(fs []frame.Frame) (int, error) {
		for i := range fs {
			if _, err := d.Pipe.WriteFrames(f(fs[i])); err != nil {
				return i, err
			}
		}
		return d.emptyWrite(fs)
	}
}

// emptyWrite ends a write that has put all of fs on the cable one by one.
func (d *driver) emptyWrite(fs []frame.Frame) (int, error) {
	if _, err := d.Pipe.WriteFrames(nil); err != nil {
		return 0, err
	}
	return len(fs), nil
}

// finished is what a driver without offloads in its medium makes of f: one frame
// with its checksum, or segments with theirs.
func finished(f frame.Frame) []frame.Frame {
	switch {
	case f.Owed.None():
		return []frame.Frame{f}
	case !f.Owed.GSO():
		return []frame.Frame{finish(f)}
	}
	o, wire := f.OwedOnWire(), f.AppendWire(nil)
	l4 := int(o.CsumStart)
	ip, head, proto := l4-ipLen, l4+tcpLen, uint32(protoTCP)
	if o.GSOType == frame.GSOUDP {
		head, proto = l4+udpLen, protoUDP
	}
	var fs []frame.Frame
	sent := uint32(0)
	for part := range slices.Chunk(wire[head:], int(o.GSOSize)) {
		seg := append(slices.Clone(wire[:head]), part...)
		binary.BigEndian.PutUint16(seg[ip+2:], uint16(len(seg)-ip))
		binary.BigEndian.PutUint16(seg[ip+10:], 0)
		binary.BigEndian.PutUint16(seg[ip+10:], ^fold(sum(seg[ip:l4])))
		if proto == protoUDP {
			binary.BigEndian.PutUint16(seg[l4+4:], uint16(len(seg)-l4))
		} else {
			binary.BigEndian.PutUint32(seg[l4+4:], binary.BigEndian.Uint32(seg[l4+4:])+sent)
		}
		at := l4 + int(o.CsumOffset)
		binary.BigEndian.PutUint16(seg[at:], 0)
		binary.BigEndian.PutUint16(seg[at:], ^fold(sum(seg[ip+12:ip+20])+proto+uint32(len(seg)-l4)+sum(seg[l4:])))
		fs = append(fs, frame.Frame{Data: seg})
		sent += uint32(len(part))
	}
	return fs
}
