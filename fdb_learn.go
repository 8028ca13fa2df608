package bridge

import "github.com/ddfb540f/bridge/frame"

// A flow remembers where one address of the last frame was found, so that the
// next frame of the same conversation skips the search. It is only a hint: the
// slot's key is compared again before it is believed. It names its table by number,
// so that an idle Input does not keep an old one in memory.
type flow struct {
	table uint64
	key   uint64 // with generation
	slot  uint64
}

// lookup finds the entry of (m, vid) by way of the hint. In a dry run the
// frame's own effects come first.
func (in *Input) lookup(m frame.MAC, vid frame.VID, hint *flow) (v fdbVal, ok bool) {
	k := fdbKey(m, vid)
	if in.dry != nil && in.dry.set && in.dry.key == k {
		return in.dry.val, !in.dry.val.has(fdbDead)
	}
	t := in.b.fdb.tab.Load()
	if hint.table == t.number && hint.key&^fdbGenMask == k {
		s := &t.slots[hint.slot]
		if s.key.Load() == hint.key { // as in find: key, val, key
			if v := s.load(); s.key.Load() == hint.key && v&fdbDead == 0 {
				return v, true
			}
		}
	}
	slot, key, v, ok := t.find(k, in.b.fdb.hash(k))
	if ok {
		*hint = flow{t.number, key, slot}
	}
	return v, ok
}

// learn notes that src is behind port pc in vid (br_fdb_update), with what it
// decided.
func (in *Input) learn(pc *portConf, src frame.MAC, vid frame.VID, extra fdbVal) Decision {
	if in.cfg.hold <= 0 {
		return NotLearnedAgeingZero
	}
	v, ok := in.lookup(src, vid, &in.src)
	switch {
	case !ok:
		return in.learnNew(pc, src, vid, extra)
	case v.has(fdbLocal):
		return NotLearnedLocal
	case v.port() != pc.num && !v.has(fdbSticky):
		return in.move(pc, src, vid, extra)
	}
	in.refresh(v)
	if extra.has(fdbUser) && !v.has(fdbUser) {
		in.b.fdb.markUser(fdbKey(src, vid))
	}
	if v.port() != pc.num {
		return NotMovedSticky
	}
	return Refreshed
}

// refresh stamps the entry that in.src points at, unless it changed since it was
// looked up.
func (in *Input) refresh(v fdbVal) {
	if v.updated() >= in.now || in.dry != nil {
		return
	}
	if t := in.b.fdb.tab.Load(); t.number == in.src.table {
		t.slots[in.src.slot].val.CompareAndSwap(uint64(v), uint64(v.at(in.now)))
	}
}

// learnNew makes an entry, if the limits allow one more and the port may still
// learn: its state or its VLANs may have changed since this frame was let in.
func (in *Input) learnNew(pc *portConf, src frame.MAC, vid frame.VID, extra fdbVal) Decision {
	f := &in.b.fdb
	k, v := fdbKey(src, vid), makeVal(pc.num, extra, in.now)
	if !extra.has(fdbUser) {
		v |= fdbLearned
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	cfg := in.b.cfg.Load()
	if t, slot, old, there := f.find(k); there {
		return in.moveLocked(cfg, pc, t, slot, k, old, extra) // another reader was here first
	}
	switch {
	case !cfg.mayLearn(pc, vid):
		return NotLearnedState
	case v.has(fdbLearned) && !f.roomLocked(cfg, pc):
		in.refuseLearning()
		return NotLearnedLimit
	case in.dry != nil:
		*in.dry = overlay{k, v, true}
		return Learned
	}
	f.insertLocked(k, v)
	f.post(EventFDBAdd, k, v)
	return Learned
}

func (in *Input) refuseLearning() {
	if in.dry == nil {
		in.b.fdb.refused.Add(1)
	}
}

// roomLocked says whether one more address may be learned on pc. FDBMaxLearned is
// Linux's limit, FDBLimit the library's.
func (f *FDB) roomLocked(cfg *config, pc *portConf) bool {
	if lim := cfg.info.FDBMaxLearned; lim != 0 && f.learned >= int(lim) {
		return false
	}
	if f.learned >= f.b.fdbLimit {
		return false
	}
	return pc.p.fdbLimit == 0 || f.perPort[pc.num] < pc.p.fdbLimit
}

// move takes an entry to another port: last seen wins, for static entries too. It
// is no longer externally learned, nor locked.
func (in *Input) move(pc *portConf, src frame.MAC, vid frame.VID, extra fdbVal) Decision {
	f := &in.b.fdb
	f.mu.Lock()
	defer f.mu.Unlock()
	k := fdbKey(src, vid)
	t, slot, v, ok := f.find(k)
	if !ok {
		return NotLearnedState // it was deleted since it was looked up
	}
	return in.moveLocked(in.b.cfg.Load(), pc, t, slot, k, v, extra)
}

// moveLocked is move for an entry that was found under the lock. A move is no new
// address, but the port's own limit holds: at it the entry goes, since the station
// is not where it says, and frames to it are flooded.
func (in *Input) moveLocked(cfg *config, pc *portConf, t *fdbTable, slot, k uint64, v, extra fdbVal) Decision {
	f := &in.b.fdb
	switch {
	case v.has(fdbLocal):
		return NotLearnedLocal
	case v.port() == pc.num:
		return Refreshed
	case v.has(fdbSticky):
		return NotMovedSticky
	case !cfg.mayLearn(pc, keyVID(k)):
		return NotLearnedState
	}
	old := v
	v = v.to(pc.num).at(max(in.now, v.updated())) &^ (fdbExtern | fdbLocked)
	if extra.has(fdbUser) {
		v = v&^fdbLearned | fdbUser
	}
	if lim := pc.p.fdbLimit; v.has(fdbLearned) && lim != 0 && f.perPort[pc.num] >= lim {
		in.refuseLearning()
		if in.dry != nil {
			*in.dry = overlay{k, fdbDead, true}
			return NotLearnedLimit
		}
		f.deleteLocked(t, slot)
		f.post(EventFDBDelete, k, old)
		return NotLearnedLimit
	}
	if in.dry != nil {
		*in.dry = overlay{k, v, true}
		return Moved
	}
	f.replaceLocked(t, slot, v)
	f.post(EventFDBMove, k, v)
	return Moved
}

// markUser makes a learned entry one that a request touched.
func (f *FDB) markUser(k uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, slot, v, ok := f.find(k); ok {
		f.replaceLocked(t, slot, v&^fdbLearned|fdbUser)
	}
}

// hit notes that the entry that in.dst points at was a destination (the kernel's
// used).
func (in *Input) hit() {
	t := in.b.fdb.tab.Load()
	if in.dry != nil || t.number != in.dst.table {
		return
	}
	if u, now := &t.used[in.dst.slot], in.now.used(); u.Load() != now {
		u.Store(now)
	}
}
