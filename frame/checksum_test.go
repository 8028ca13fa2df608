package frame_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/ddfb540f/bridge/frame"
)

// slowSum is the sum of RFC 1071 as its text has it: 16-bit words, the carries
// brought round one by one.
func slowSum(b []byte, initial uint32) uint16 {
	s := uint64(initial)
	for i := 0; i < len(b); i++ {
		if i%2 == 0 {
			s += uint64(b[i]) << 8
		} else {
			s += uint64(b[i])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// loopSum is the plain loop that a driver would write, to measure against.
func loopSum(b []byte) uint16 {
	var s uint32
	for len(b) >= 2 {
		s += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func TestChecksum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1071, 1))
	random, ones, zeros := make([]byte, 2016), make([]byte, 2016), make([]byte, 2016)
	for i := range random {
		random[i], ones[i] = byte(rnd.Uint32()), 0xff
	}
	for n := range 2001 {
		for align := range 9 {
			initial := rnd.Uint32() >> rnd.IntN(33)
			for name, buf := range map[string][]byte{"random": random, "ones": ones, "zeros": zeros} {
				b := buf[align : align+n]
				if got, want := frame.Checksum(b, initial), ^slowSum(b, initial); got != want {
					t.Fatalf("%d bytes (%s) at alignment %d on %#x: %#04x; want %#04x", n, name, align, initial, got, want)
				}
			}
		}
	}
}

// The example of RFC 1071, section 3, and what a receiver does.
func TestChecksumKnown(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	c := frame.Checksum(b, 0)
	if c != ^uint16(0xddf2) {
		t.Errorf("RFC 1071's example gives %#04x; want %#04x", c, ^uint16(0xddf2))
	}
	if got := frame.Checksum(binary.BigEndian.AppendUint16(b, c), 0); got != 0 {
		t.Errorf("bytes with their own checksum give %#04x; want 0", got)
	}
	if got := frame.Checksum(nil, 0); got != 0xffff {
		t.Errorf("the checksum of nothing is %#04x", got)
	}
	for _, n := range []int{4, 16} {
		src, dst := []byte("0123456789abcdef")[:n], []byte("ghijklmnopqrstuv")[:n]
		whole := append(append([]byte(nil), src...), dst...)
		whole = append(whole, 0, 0, 0xff, 0xf7, 0, 0, 0, 17)
		if got, want := frame.PseudoSum(src, dst, 17, 0xfff7), uint32(slowSum(whole, 0)); got != want {
			t.Errorf("pseudo header with addresses of %d bytes: %#04x; want %#04x", n, got, want)
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	const payload = 1448
	buf, to := make([]byte, 1<<16), make([]byte, 1<<16)
	var sink uint16
	for _, bm := range []struct {
		name string
		f    func(at int)
	}{
		{"Wide", func(at int) { sink += frame.Checksum(buf[at:at+payload], 0) }},
		{"Loop", func(at int) { sink += loopSum(buf[at : at+payload]) }},
		{"Copy", func(at int) { copy(to[at:], buf[at:at+payload]) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(45 * payload)
			for b.Loop() {
				for i := range 45 {
					bm.f(i * payload)
				}
			}
		})
	}
	if sink == 1 {
		b.Log("the sums differ from run to run")
	}
}
