//go:build race

package xdp

// spoilLent overwrites memory whose loan has ended with 0xdb, so that a reader
// who kept it sees bytes that no frame has, and the race detector sees the two
// meet.
func spoilLent(b []byte) {
	if len(b) == 0 {
		return
	}
	b[0] = 0xdb
	for n := 1; n < len(b); n *= 2 { // copy: the detector looks at each call, not at each byte
		copy(b[n:], b[:n])
	}
}
