package bridge

import "github.com/ddfb540f/bridge/frame"

// A flow remembers where one address of the last frame was found, so that the
// next frame of the same conversation skips the search. It is only a hint: the
// slot's key is compared again before it is believed. A slot of a segment that is
// part of the table no more is dead; an idle Input keeps at most two such segments
// in memory.
type flow struct {
	key uint64 // with generation
	at  fdbAt
}

// lookup finds the entry of k by way of the hint. In a dry run the frame's own effects
// come first.
func (in *Input) lookup(k uint64, hint *flow) (v fdbVal, ok bool) {
	if in.dry != nil && in.dry.has(k) {
		return in.dry.val, in.dry.key == k
	}
	if v = hint.val(k); v == 0 {
		v = in.search(k, hint)
	}
	return v, v != 0
}

// val is the val of k if the hint leads to it, else 0.
func (h *flow) val(k uint64) fdbVal {
	if h.key&^fdbGenMask != k || h.key == 0 {
		return 0
	}
	s := h.at.slot()
	if s.key.Load() != h.key { // as in find: key, val, key
		return 0
	}
	if v := s.load(); s.key.Load() == h.key && v&fdbDead == 0 {
		return v
	}
	return 0
}

// search is lookup without the hint, which it renews. It answers 0 if there is none.
func (in *Input) search(k uint64, hint *flow) fdbVal {
	f := &in.b.fdb
	h := f.hash(k)
	for {
		seg := in.dir.segment(h)
		if i, key, v := seg.find(k, h); v != 0 {
			hint.key, hint.at.i = key, i
			if hint.at.seg != seg { // a pointer costs more to store than to compare
				hint.at.seg = seg
			}
			return v
		}
		if !seg.retired.Load() {
			return 0
		}
		in.dir = *f.dir.Load()
	}
}

// fetch reads, for all frames of a batch together, the places in the table where the
// searches for their addresses will begin. Where the table is larger than the
// processor's caches a search waits for memory: here many wait at once, the more the
// shorter the loop that reads is, and none for what another found, so that each frame
// then finds its slots near. It is no more than that: a wrong guess of a frame's VLAN
// costs time.
func (in *Input) fetch(fs []frame.Frame) {
	in.adopt(in.b.cfg.Load())
	if in.pc == nil {
		return
	}
	filtering, pvid := in.cfg.info.VLANFiltering, frame.VID(0)
	if filtering {
		pvid = in.pc.vlans.pvid
	}
	f, n := &in.b.fdb, 0
	var src, dst [batchSize]uint64 // hashes
	var last header
	for i := range fs {
		if len(fs[i].Data) < frame.HeaderLen {
			continue
		}
		vid := pvid
		if tag := fs[i].OuterTag(); filtering && tag.VID() != 0 {
			vid = tag.VID()
		}
		now := headerOf(&fs[i])
		if now != last {
			src[n%batchSize], dst[n%batchSize] = f.hash(now.src.key(vid)), f.hash(now.dst.key(vid))
			last = now
			n++
		}
	}
	sum := uint64(0)
	for i := range n {
		h := dst[i%batchSize]
		seg := in.dir.segment(h)
		at := seg.home(h)
		sum += seg.slots[at].key.Load() + uint64(seg.used[at].Load())
		h = src[i%batchSize]
		seg = in.dir.segment(h)
		sum += seg.slots[seg.home(h)].key.Load()
	}
	in.fetched = sum // so that the compiler does not leave it out
}

// learn notes that the station of k is behind port pc (br_fdb_update), with what it
// decided.
func (in *Input) learn(pc *portConf, k uint64, extra fdbVal) Decision {
	if in.cfg.hold <= 0 {
		return NotLearnedAgeingZero
	}
	v, ok := in.lookup(k, &in.src)
	switch {
	case !ok:
		return in.learnNew(pc, k, extra)
	case v.has(fdbLocal):
		return NotLearnedLocal
	case v.port() != pc.num && !v.has(fdbSticky):
		return in.move(pc, k, extra)
	}
	in.refresh(v)
	if v.has(fdbInactive) || extra.has(fdbUser) && !v.has(fdbUser) {
		in.mark(k, extra)
	}
	if v.port() != pc.num {
		return NotMovedSticky
	}
	return Refreshed
}

// refresh stamps the entry that in.src points at, unless it changed since it was
// looked up.
func (in *Input) refresh(v fdbVal) {
	if in.dry != nil || v.updated() >= in.now && v.has(fdbSeen) {
		return
	}
	in.src.at.slot().val.CompareAndSwap(uint64(v), uint64(v.at(max(in.now, v.updated()))|fdbSeen))
}

// mark is the rest of a refresh, where there is more to it than the time: an entry
// that was idle is so no more, and one that a request refreshes is the user's.
func (in *Input) mark(k uint64, extra fdbVal) {
	if in.dry != nil {
		return
	}
	f := &in.b.fdb
	f.mu.Lock()
	defer f.mu.Unlock()
	at, _, v, ok := f.find(k)
	if !ok {
		return
	}
	next := v &^ fdbInactive
	if extra.has(fdbUser) {
		next = next&^fdbLearned | fdbUser
	}
	f.replaceLocked(at, next)
	if v.has(fdbInactive) {
		f.post(EventFDBActive, k, v)
	}
}

// learnNew makes an entry, if fdb_max_learned allows one more and the port may still
// learn: its state or its VLANs may have changed since this frame was let in.
func (in *Input) learnNew(pc *portConf, k uint64, extra fdbVal) Decision {
	f := &in.b.fdb
	f.mu.Lock()
	d := in.learnNewLocked(pc, k, extra)
	f.mu.Unlock()
	in.noteEvicted()
	return d
}

func (in *Input) learnNewLocked(pc *portConf, k uint64, extra fdbVal) Decision {
	f, cfg, h := &in.b.fdb, in.b.cfg.Load(), in.b.fdb.hash(k)
	s := f.dir.Load().segment(h)
	i, there := s.seek(k, h)
	if there {
		at := fdbAt{s, i}
		return in.moveLocked(cfg, pc, at, k, at.slot().load(), extra) // another reader was here first
	}
	v := makeVal(pc.num, extra, in.now)
	if !extra.has(fdbUser) {
		v |= fdbLearned
	}
	switch {
	case !cfg.mayLearn(pc, keyVID(k)):
		return NotLearnedState
	case v.has(fdbLearned) && cfg.info.FDBMaxLearned != 0 && f.learned >= int(cfg.info.FDBMaxLearned):
		if in.dry == nil {
			f.refused.Add(1)
		}
		return NotLearnedLimit
	}
	if v.has(fdbLearned) {
		in.makeRoomLocked(pc, true)
	}
	if in.dry != nil {
		in.dry.key, in.dry.val = k, v
		return Learned
	}
	f.insertAtLocked(s, i, k, h, v) // an eviction leaves a slot that is free as it is
	f.post(EventFDBAdd, k, v)
	return Learned
}

// makeRoomLocked evicts an entry if that of a frame from pc needs its place.
func (in *Input) makeRoomLocked(pc *portConf, isNew bool) {
	f := &in.b.fdb
	if crowded := f.crowdedLocked(pc.p, isNew); crowded != nil {
		k := f.evictLocked(crowded, in.dry != nil)
		if in.dry != nil {
			in.dry.evicted = k
		}
		if in.watched {
			in.evicted = &eviction{crowded.p, k}
		}
	}
}

// An eviction is what a watched frame did to another's entry.
type eviction struct {
	p *Port
	k uint64
}

// noteEvicted shows an eviction, once the lock is free.
func (in *Input) noteEvicted() {
	if e := in.evicted; e != nil {
		in.evicted = nil
		in.guard(func() {
			in.trace(Step{Probe: ProbeFDBDelete, Dev: e.p.name, Src: keyMAC(e.k), VID: keyVID(e.k), Decision: Evicted})
		})
	}
}

// move takes an entry to another port: last seen wins, for static entries too. It
// is no longer externally learned, nor locked.
func (in *Input) move(pc *portConf, k uint64, extra fdbVal) Decision {
	defer in.noteEvicted()
	f := &in.b.fdb
	f.mu.Lock()
	defer f.mu.Unlock()
	at, _, v, ok := f.find(k)
	if !ok {
		return NotLearnedState // it was deleted since it was looked up
	}
	return in.moveLocked(in.b.cfg.Load(), pc, at, k, v, extra)
}

// moveLocked is move for an entry that was found under the lock. A move is no new
// address, but the port's own limit holds: at it another of the port's entries
// makes room, so that the station is found where it speaks.
func (in *Input) moveLocked(cfg *config, pc *portConf, at fdbAt, k uint64, v, extra fdbVal) Decision {
	f := &in.b.fdb
	switch {
	case v.has(fdbLocal):
		return NotLearnedLocal
	case v.port() == pc.num:
		return Refreshed
	case v.has(fdbSticky):
		return NotMovedSticky
	case extra.has(fdbLocked):
		return LockedElsewhere // it became known there since it was looked up, and MAB is for who is not
	case !cfg.mayLearn(pc, keyVID(k)):
		return NotLearnedState
	}
	v = v.to(pc.num).at(max(in.now, v.updated())) &^ (fdbExtern | fdbLocked | fdbInactive | fdbSeen)
	if extra.has(fdbUser) {
		v = v&^fdbLearned | fdbUser
	}
	if v.has(fdbLearned) {
		in.makeRoomLocked(pc, false)
	}
	if in.dry != nil {
		in.dry.key, in.dry.val = k, v
		return Moved
	}
	f.replaceLocked(at, v)
	f.post(EventFDBMove, k, v)
	return Moved
}

// hit notes that the entry that in.dst points at was a destination (the kernel's
// used).
func (in *Input) hit() {
	if in.dry != nil {
		return
	}
	if u, now := in.dst.at.used(), in.now.used(); u.Load() != now {
		u.Store(now)
	}
}
