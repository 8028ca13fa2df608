package xdp

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// A umem is the memory that the ports of a group share with the kernel, in chunks of
// one size, each of which holds a frame.
//
// A chunk is in one place at a time: free, in the hands of one reading side (in its
// fill ring, with the kernel, in its RX ring, or lent to its caller), or with writing
// sides (in a TX or a completion ring, or put by for the next frame). Only one that
// is lent can be in the hands of writing sides as well, of as many as send its frame;
// holders counts them, and whoever is the last puts it to use again. How many each
// side may hold is bounded, and there are as many chunks as all of them together may
// hold: nobody waits for a chunk that another has.
//
// It stays mapped until each reading side has answered net.ErrClosed, and nobody
// writes.
type umem struct {
	mapping
	bytes   []byte
	shift   uint           // a chunk has 1<<shift bytes
	holders []atomic.Int32 // of each chunk that is lent or on its way out

	mu   sync.Mutex
	free []uint32 // guarded by mu; never longer than its capacity
}

// newUMEM maps so many chunks, all free, for so many reading sides.
func newUMEM(chunks int, shift uint, readers int) (*umem, error) {
	m := &umem{shift: shift, holders: make([]atomic.Int32, chunks), free: make([]uint32, chunks)}
	var err error
	if m.bytes, err = m.add(-1, 0, chunks<<shift, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
		return nil, fmt.Errorf("map %d bytes for frames: %w", chunks<<shift, os.NewSyscallError("mmap", err))
	}
	for i := range m.free {
		m.free[i] = uint32(chunks - 1 - i) // the first is used first
	}
	m.users.Store(int64(readers))
	return m, nil
}

// chunk is the memory of a chunk.
func (m *umem) chunk(c uint32) []byte {
	at := int(c) << m.shift
	return m.bytes[at : at+1<<m.shift : at+1<<m.shift]
}

// get appends up to n free chunks to to.
func (m *umem) get(to []uint32, n int) []uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n = min(n, len(m.free))
	to = append(to, m.free[len(m.free)-n:]...)
	m.free = m.free[:len(m.free)-n]
	return to
}

// put makes chunks free.
func (m *umem) put(cs []uint32) {
	if len(cs) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, cs...)
}

// hold makes the caller the one holder of a chunk.
func (m *umem) hold(c uint32) { m.holders[c].Store(1) }

// drop ends a hold, and reports whether it was the last.
func (m *umem) drop(c uint32) bool { return m.holders[c].Add(-1) == 0 }

// share makes the caller one more holder of the chunk in which data lies, and gives
// its place. It answers false for other memory.
func (m *umem) share(data []byte) (at uint64, ok bool) {
	// What lies before the memory wraps around, and is too far as well.
	from := uintptr(unsafe.Pointer(unsafe.SliceData(data))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.bytes)))
	last := from + uintptr(len(data)) - 1
	if from >= uintptr(len(m.bytes)) || from>>m.shift != last>>m.shift {
		return 0, false
	}
	h := &m.holders[from>>m.shift]
	for {
		n := h.Load()
		if n <= 0 {
			return 0, false // nobody lends it
		}
		if h.CompareAndSwap(n, n+1) {
			return uint64(from), true
		}
	}
}

// copyIn writes the wire form of a frame that fits to a chunk that the caller holds.
func (m *umem) copyIn(c uint32, f *frame.Frame) (at uint64, length int) {
	return uint64(c) << m.shift, len(f.AppendWire(m.chunk(c)[:0]))
}
