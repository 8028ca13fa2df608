package qemu

import (
	"encoding/binary"

	"github.com/ddfb540f/bridge/frame"
)

// minRing is what a ring begins with when it is used at all.
const minRing = 64 << 10

// A ring holds frames with their lengths, as they go on the wire: count bytes from
// head on, round the end. It grows with what is put in, up to limit.
type ring struct {
	buf    []byte
	head   int
	count  int
	limit  int
	frames int // how many, with the first, of which a part may be gone
	first  int // bytes of it that are still here
}

// fits reports whether there is room for n bytes more.
func (r *ring) fits(n int) bool { return n <= r.limit-r.count }

// push appends a frame for which there is room, less its first gone bytes.
func (r *ring) push(f *frame.Frame, gone int) {
	size := prefixLen + f.WireLen() - gone
	r.grow(size)
	if r.frames == 0 {
		r.first = size
	}
	r.frames++
	var prefix [prefixLen + frame.TagLen]byte
	binary.BigEndian.PutUint32(prefix[:], uint32(f.WireLen()))
	gone = r.put(prefix[:prefixLen], gone)
	if f.Plain() {
		r.put(f.Data, gone)
		return
	}
	gone = r.put(f.Data[:12], gone)
	if f.Tag.Present() {
		f.Tag.Put(prefix[:])
		gone = r.put(prefix[:frame.TagLen], gone)
	}
	r.put(f.Rest(), gone)
}

// put appends b less its first gone bytes, and gives how many of those are behind b.
func (r *ring) put(b []byte, gone int) int {
	if gone >= len(b) {
		return gone - len(b)
	}
	b = b[gone:]
	at := r.wrapped(r.head + r.count)
	n := copy(r.buf[at:], b)
	copy(r.buf, b[n:])
	r.count += len(b)
	return 0
}

// grow makes room for n bytes more. What piece gave stays as it is.
func (r *ring) grow(n int) {
	if r.count+n <= len(r.buf) {
		return
	}
	buf := make([]byte, min(max(2*len(r.buf), r.count+n, minRing), r.limit))
	k := copy(buf, r.buf[r.head:min(r.head+r.count, len(r.buf))])
	copy(buf[k:], r.buf[:r.count-k])
	r.buf, r.head = buf, 0
}

// piece gives the bytes at the head that lie in one piece, most of them at most. They
// stay as they are until they are dropped.
func (r *ring) piece(most int) []byte {
	end := min(r.head+min(r.count, most), len(r.buf))
	return r.buf[r.head:end:end]
}

// drop takes n bytes out.
func (r *ring) drop(n int) {
	for n > 0 {
		k := min(n, r.first)
		r.head = r.wrapped(r.head + k)
		r.count -= k
		r.first -= k
		n -= k
		if r.first == 0 {
			r.frames--
			if r.frames == 0 {
				r.head = 0
				return
			}
			r.first = prefixLen + r.size()
		}
	}
}

// wrapped is a place in the buffer, of one that may be behind its end. A remainder would
// be as good, and take longer than all the rest.
func (r *ring) wrapped(at int) int {
	if at >= len(r.buf) {
		at -= len(r.buf)
	}
	return at
}

// size is the length of the frame whose prefix is at the head.
func (r *ring) size() int {
	if r.head+prefixLen <= len(r.buf) {
		return int(binary.BigEndian.Uint32(r.buf[r.head:]))
	}
	n := 0
	for i := range prefixLen {
		n = n<<8 | int(r.buf[r.wrapped(r.head+i)])
	}
	return n
}
