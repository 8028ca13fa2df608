package qemu

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/ddfb540f/bridge/frame"
)

// FuzzRing: whatever is put in, and in whatever pieces it is taken out, the bytes are
// those of the frames, in order; frames counts those that are not gone whole; and the
// memory stays within the limit.
func FuzzRing(f *testing.F) {
	f.Add([]byte{1, 200, 30, 0, 255, 129, 255, 140, 2, 250}, uint16(100))
	f.Add([]byte{100, 100, 100, 100, 255, 100, 100, 255, 255}, uint16(3))
	f.Add(bytes.Repeat([]byte{127, 90, 200}, 300), uint16(60000))
	f.Fuzz(func(t *testing.T, steps []byte, gone uint16) {
		r := ring{limit: minQueueBytes}
		var want []byte // what has to come out
		var sizes []int // of the frames in it
		out := func(n int) {
			for n > 0 {
				piece := r.piece(n)
				if len(piece) == 0 || !bytes.Equal(piece, want[:len(piece)]) {
					t.Fatalf("% x comes out; want % x", piece, want[:min(len(want), n)])
				}
				r.drop(len(piece))
				want, n = want[len(piece):], n-len(piece)
				for k := len(piece); k > 0; {
					d := min(k, sizes[0])
					k -= d
					if sizes[0] -= d; sizes[0] == 0 {
						sizes = sizes[1:]
					}
				}
			}
		}
		for i, step := range steps {
			if step >= 128 {
				out(min(len(want), 1+37*int(step-128)))
			} else {
				fr := frame.Frame{Data: bytes.Repeat([]byte{byte(i)}, 18+100*int(step)), Lifted: step%5 == 2}
				if step%3 == 1 {
					fr.Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: uint16(i)}
				}
				size := prefixLen + fr.WireLen()
				if r.fits(size) != (len(want)+size <= r.limit) {
					t.Fatalf("%d bytes fit: %v, with %d of %d there", size, r.fits(size), len(want), r.limit)
				}
				if !r.fits(size) {
					continue
				}
				cut := 0 // only of the first is a part gone
				if len(want) == 0 {
					cut = int(gone) % size
				}
				r.push(&fr, cut)
				wire := fr.AppendWire(binary.BigEndian.AppendUint32(nil, uint32(fr.WireLen())))[cut:]
				want, sizes = append(want, wire...), append(sizes, len(wire))
			}
			if r.count != len(want) || r.frames != len(sizes) || len(r.buf) > r.limit {
				t.Fatalf("%d bytes, %d frames in %d; want %d, %d in %d at most", r.count, r.frames, len(r.buf), len(want), len(sizes), r.limit)
			}
		}
		out(len(want))
	})
}
