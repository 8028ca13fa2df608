package bridge

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID is the number that the runtime gives the calling goroutine in its
// stack dumps; 0 if that cannot be read. It serves one purpose, to answer
// ErrInBatch to a call that would wait for itself, and is asked for only where a
// call waits, where a reader starts, and before user code is called that is off
// the fast path.
func goroutineID() uint64 {
	var buf [64]byte
	b, ok := bytes.CutPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(b, []byte(" "))
	id, _ := strconv.ParseUint(string(digits), 10, 64)
	return id
}

// inBatch reports whether the caller is known to be inside a batch: called by a
// Trace, a Filter or an OnPass, or by a FrameIO under Serve.
func (b *Bridge) inBatch() bool {
	var me uint64
	for _, in := range b.registered() {
		if in.epoch.Load()&1 == 0 {
			continue
		}
		if in.judges.Load() && inFilter() {
			return true
		}
		if me == 0 {
			me = goroutineID()
		}
		if in.running.Load() == me && me != 0 {
			return true
		}
	}
	return false
}
