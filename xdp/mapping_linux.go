package xdp

import (
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A mapping is memory that is mapped for as long as somebody uses it, or at least can
// be reached who might.
type mapping struct {
	users   atomic.Int64
	maps    [][]byte
	unmap   runtime.Cleanup
	cleanup bool
}

// add maps memory, of a descriptor or, for -1, of its own.
func (m *mapping) add(fd int, offset int64, length, flags int) ([]byte, error) {
	b, err := unix.Mmap(fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_POPULATE)
	if err == nil {
		m.maps = append(m.maps, b)
	}
	return b, err
}

// seal is called when all is mapped.
func (m *mapping) seal() {
	m.unmap, m.cleanup = runtime.AddCleanup(m, unmapAll, m.maps), true
}

func unmapAll(maps [][]byte) {
	for _, b := range maps {
		_ = unix.Munmap(b) // what was mapped can be unmapped
	}
}

// enter keeps mapped what is mapped until leave; false: it is not any more.
func (m *mapping) enter() bool {
	for {
		n := m.users.Load()
		if n <= 0 {
			return false
		}
		if m.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave ends a use. The last one unmaps.
func (m *mapping) leave() {
	if m.users.Add(-1) == 0 {
		m.release()
	}
}

// release unmaps at once.
func (m *mapping) release() {
	m.users.Store(0)
	if m.cleanup {
		m.unmap.Stop()
	}
	unmapAll(m.maps)
	m.maps = nil
}
