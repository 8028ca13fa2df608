package qemu_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
)

// cutConn is a connection whose peer has sent a stream that arrives in pieces, and
// has left.
type cutConn struct {
	net.Conn // of a pipe: for Close
	stream   []byte
	cuts     []byte // the length of one piece after the other, round and round; 0 is all
	n        int
}

func (c *cutConn) Read(b []byte) (int, error) {
	if len(c.stream) == 0 {
		return 0, io.EOF
	}
	size := len(c.stream)
	if len(c.cuts) > 0 {
		if cut := int(c.cuts[c.n%len(c.cuts)]); cut > 0 {
			size = min(size, cut)
		}
		c.n++
	}
	n := copy(b, c.stream[:size])
	c.stream = c.stream[n:]
	return n, nil
}

// reference is a parser as simple as can be: a frame, its length in front.
func reference(stream []byte) (frames [][]byte, badLength, cut bool) {
	r := bytes.NewReader(stream)
	for {
		var size uint32
		if err := binary.Read(r, binary.BigEndian, &size); err != nil {
			return frames, false, err != io.EOF
		}
		if size > 69632 {
			return frames, true, false
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return frames, false, true
		}
		frames = append(frames, b)
	}
}

// FuzzStream: whatever bytes a peer sends, in whatever pieces they come and however
// many frames a call asks for, the frames are those of the reference, the end is told
// for what it is, and the memory is what it always is.
func FuzzStream(f *testing.F) {
	var some []byte
	for _, size := range []int{60, 14, 0, 1514, 69632, 13, 60} {
		some = append(some, wire(data(size))...)
	}
	f.Add(some, []byte{0}, uint8(64))
	f.Add(some, []byte{1, 2, 3, 255}, uint8(1))
	f.Add(some[:len(some)-1], []byte{255, 254}, uint8(3))
	f.Add(append(wire(data(60)), 0, 1, 0x10, 1), []byte{5}, uint8(2))
	f.Add(make([]byte, 1000), []byte{}, uint8(255))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, []byte{1}, uint8(1))
	f.Fuzz(func(t *testing.T, stream, cuts []byte, batch uint8) {
		want, badLength, cut := reference(stream)
		x, y := net.Pipe()
		defer y.Close()
		s, err := qemu.NewStream(&cutConn{Conn: x, stream: stream, cuts: cuts}, qemu.StreamConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		fs := make([]frame.Frame, max(1, int(batch)))
		at := 0
		for {
			n, err := s.ReadFrames(fs)
			if err != nil {
				if !errors.Is(err, io.EOF) || n != 0 {
					t.Fatalf("the end is %d, %v", n, err)
				}
				break
			}
			for i := range fs[:n] {
				if at == len(want) {
					t.Fatalf("more than the %d frames that there are", at)
				}
				if !bytes.Equal(fs[i].Data, want[at]) || cap(fs[i].Data) != len(fs[i].Data) {
					t.Fatalf("frame %d is % x; want % x", at, fs[i].Data, want[at])
				}
				at++
			}
		}
		if at != len(want) {
			t.Fatalf("%d frames; want %d", at, len(want))
		}
		st := s.Stats()
		if (st.BadLengths == 1) != badLength || (st.CutShort == 1) != cut {
			t.Fatalf("ended with %+v; a bad length: %v, a frame cut: %v", st, badLength, cut)
		}
		if qemu.SlabOf(s) != qemu.SlabLen {
			t.Fatalf("%d bytes for reading; want %d", qemu.SlabOf(s), qemu.SlabLen)
		}
	})
}
