package xdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring is one of the four that a socket shares with the kernel: one side produces,
// the other consumes, and each moves its own counter only. Counters run on and wrap
// around; their lower bits are the place in the ring.
type ring[T uint64 | unix.XDPDesc] struct {
	produced, consumed, flags *atomic.Uint32
	at                        []T
	head                      uint32 // the counter of the side that is ours
}

// mapRing maps a ring of a socket, of so many entries, a power of two.
func mapRing[T uint64 | unix.XDPDesc](m *mapping, fd int, off unix.XDPRingOffset, page int64, entries int) (r ring[T], err error) {
	var entry T
	b, err := m.add(fd, page, int(off.Desc)+entries*int(unsafe.Sizeof(entry)), unix.MAP_SHARED)
	if err != nil {
		return r, fmt.Errorf("map a ring: %w", err)
	}
	counter := func(at uint64) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&b[at])) }
	r.produced, r.consumed, r.flags = counter(off.Producer), counter(off.Consumer), counter(off.Flags)
	r.at = unsafe.Slice((*T)(unsafe.Pointer(&b[off.Desc])), entries)
	return r, nil
}

// entry is the i-th behind our counter.
func (r *ring[T]) entry(i int) *T { return &r.at[(r.head+uint32(i))&uint32(len(r.at)-1)] }

// filled is how many entries we may consume.
func (r *ring[T]) filled() int { return int(r.produced.Load() - r.head) }

// consume gives n entries back to the kernel.
func (r *ring[T]) consume(n int) {
	r.head += uint32(n)
	r.consumed.Store(r.head)
}

// produce hands n entries to the kernel.
func (r *ring[T]) produce(n int) {
	r.head += uint32(n)
	r.produced.Store(r.head)
}

// wants reports whether the kernel is to be woken to see what was produced.
func (r *ring[T]) wants() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }
