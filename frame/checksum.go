package frame

import (
	"encoding/binary"
	"math/bits"
)

// Checksum is the Internet checksum (RFC 1071) of b, with a zero behind its last
// byte if it has an odd number of them. initial is added to the sum: that of a
// pseudo header (PseudoSum), or of an even number of bytes in front of b. Bytes that
// hold their own checksum give 0.
func Checksum(b []byte, initial uint32) uint16 { return ^fold(uint64(initial) + sum(b)) }

// PseudoSum is what the pseudo header of TCP, UDP or ICMPv6 adds to a checksum:
// source and destination address (4 bytes each for IPv4, RFC 9293 section 3.1; 16
// for IPv6, RFC 8200 section 8.1), protocol, and the length of what is summed.
func PseudoSum(src, dst []byte, protocol uint8, length int) uint32 {
	return uint32(fold(sum(src) + sum(dst) + uint64(protocol) + uint64(length)))
}

// sum is the one's complement sum of b's big-endian 16-bit words, at most 0xffff,
// and 0 only if all of b is 0. It is reckoned in words of 64 bits of the machine's
// own byte order and turned at the end (RFC 1071, section 2 (B) and (C)).
func sum(b []byte) uint64 {
	var s, c uint64
	for len(b) >= 64 {
		p := (*[64]byte)(b)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[0:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[8:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[24:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[32:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[40:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[48:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[56:]), c)
		b = b[64:]
	}
	for len(b) >= 16 {
		p := (*[16]byte)(b)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[0:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(p[8:]), c)
		b = b[16:]
	}
	if len(b) >= 8 {
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(b), c)
		b = b[8:]
	}
	if len(b) >= 4 {
		s, c = bits.Add64(s, uint64(binary.NativeEndian.Uint32(b)), c)
		b = b[4:]
	}
	if len(b) >= 2 {
		s, c = bits.Add64(s, uint64(binary.NativeEndian.Uint16(b)), c)
		b = b[2:]
	}
	if len(b) > 0 {
		s, c = bits.Add64(s, uint64(binary.NativeEndian.Uint16([]byte{b[0], 0})), c)
	}
	s, c = bits.Add64(s, 0, c)
	var turned [2]byte
	binary.NativeEndian.PutUint16(turned[:], fold(s+c))
	return uint64(binary.BigEndian.Uint16(turned[:]))
}

// fold brings a sum down to 16 bits, by end-around carry. It gives 0 for 0 alone.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}
