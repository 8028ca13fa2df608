package bridge

import "time"

// LongestProbe is how many slots the longest search in the FDB of b looks at.
func LongestProbe(b *Bridge) (longest int) {
	f := &b.fdb
	f.sweep(func(at fdbAt, k uint64, _ fdbVal) {
		n := len(at.seg.slots)
		longest = max(longest, (int(at.i)-int(at.seg.home(f.hash(k)))+n)%n+1)
	}, nil)
	return longest
}

// Scratch is how much memory for frames an Input keeps: bytes, and frames.
func Scratch(in *Input) (bytes, frames int) {
	fin := &in.fin
	return cap(fin.bytes) + cap(in.pushed) + 4*cap(fin.known), cap(fin.done) + cap(fin.ready) + cap(in.leaving) + cap(in.views)
}

// RestTimer is when Tick is to come for what the table has grown, if it has.
func RestTimer(b *Bridge) (at time.Time, ok bool) {
	rest := b.fdb.restAt.Load()
	return b.start.Add(time.Duration(rest) * time.Millisecond), rest != never
}
