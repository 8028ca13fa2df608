package bridge

// LongestProbe is how many slots the longest search in the FDB of b looks at.
func LongestProbe(b *Bridge) (longest int) {
	f := &b.fdb
	f.mu.Lock()
	defer f.mu.Unlock()
	f.eachLocked(func(t *fdbTable, slot, k uint64, _ fdbVal) {
		longest = max(longest, int((slot-f.hash(k))&t.mask)+1)
	})
	return longest
}

// Scratch is how much memory for finished frames an Input keeps: bytes, and frames.
func Scratch(in *Input) (bytes, frames int) {
	return cap(in.fin.bytes), cap(in.fin.done) + cap(in.fin.ready) + cap(in.leaving)
}
