package bridge

import (
	"cmp"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// NUDState is the raw state of a neighbour entry, as netlink carries it. bridge(8)
// "permanent" sends NUDNoARP|NUDPermanent, "static" NUDNoARP|NUDReachable,
// "dynamic" NUDReachable.
type NUDState uint16

// The states that the FDB knows (NUD_*).
const (
	NUDReachable NUDState = 0x02 // dynamic: ages
	NUDStale     NUDState = 0x04 // in dumps: expired, not collected yet
	NUDNoARP     NUDState = 0x40 // static: never ages
	NUDPermanent NUDState = 0x80 // local: frames to it end at the host
)

// String is the word of bridge(8) for the kind of entry that a state makes, the one
// that Linux looks at first: "permanent", "static", "stale" or "dynamic".
func (s NUDState) String() string {
	switch {
	case s&NUDPermanent != 0:
		return "permanent"
	case s&NUDNoARP != 0:
		return "static"
	case s&NUDStale != 0:
		return "stale"
	}
	return "dynamic"
}

// NTFFlags are the flags of a neighbour entry, as netlink carries them.
type NTFFlags uint16

// The flags that the FDB knows (NTF_*).
const (
	NTFUse        NTFFlags = 0x01 // refresh or learn, as if a frame had come
	NTFExtLearned NTFFlags = 0x10 // learned by something else: does not age
	NTFOffloaded  NTFFlags = 0x20
	NTFSticky     NTFFlags = 0x40  // does not move
	NTFRouter     NTFFlags = 0x80  // taken, without effect
	NTFExtLocked  NTFFlags = 0x100 // NTF_EXT_LOCKED of the extended flags: only MAB makes such entries, refused
)

// FDBMode says what a request does with an entry that is there, or is not.
type FDBMode uint8

// The modes, by the words of bridge(8).
const (
	FDBAdd     FDBMode = iota // create; EEXIST if it is there
	FDBReplace                // create or change
	FDBAppend                 // as FDBReplace: an address is on one port only
	FDBChange                 // change; ENOENT if it is not there
)

// FDBRequest is one `bridge fdb add` and the like (RTM_NEWNEIGH).
type FDBRequest struct {
	Port  *Port // nil: the bridge itself
	MAC   frame.MAC
	VID   *frame.VID // nil: VLAN 0 and every VLAN of the port
	State NUDState
	Flags NTFFlags
	Mode  FDBMode

	// Activity asks for notifications about a static or externally learned entry:
	// EventFDBIdle once it was no source for an ageing time, EventFDBActive when
	// it is one again. A request that does not ask ends them.
	Activity  FDBActivity
	NoRefresh bool // norefresh (NFEA_DONT_REFRESH): Updated stays, whatever changes
}

// FDBActivity is the activity tracking of an entry (NFEA_ACTIVITY_NOTIFY).
type FDBActivity uint8

// The bits of FDBActivity, by the words of bridge(8). ActivityInactive alone cannot
// be asked for.
const (
	ActivityNotify   FDBActivity = 1 << iota // activity_notify
	ActivityInactive                         // inactive: it is idle, or is to be taken for it
)

// FDBEntry is one entry, a value that stays as it was when it was taken.
type FDBEntry struct {
	MAC         frame.MAC
	VID         frame.VID // 0: no VLAN
	Port        string    // "": the bridge itself
	State       NUDState  // NUDPermanent, NUDNoARP, NUDReachable or NUDStale
	Sticky      bool
	ExternLearn bool
	User        bool          // touched by a request
	Locked      bool          // noted by MAB: its station is blocked
	Activity    FDBActivity   // whether activity is notified, and whether it is idle
	Updated     time.Duration // since it was last seen as a source, or changed
	Used        time.Duration // since it was last a destination; 10 ms steps
}

// Update makes or changes an entry, as Linux does on RTM_NEWNEIGH. Without a VID
// it goes through VLAN 0 and the VLANs of the port in order and stops at the first
// refusal, keeping what it did, as Linux does; with one VLAN it does all or
// nothing. Errors: EINVAL (bad VID, address, state or combination, a VLAN that the
// port is not in), EEXIST, ENOENT, EPERM (a dynamic entry on a port that may not
// learn), EOPNOTSUPP (a port that has left).
func (f *FDB) Update(r FDBRequest) error {
	return f.request("fdb add", r.Port, r.VID, func(x *fdbTx) error {
		switch {
		case r.State&(NUDPermanent|NUDNoARP|NUDReachable) == 0:
			return x.refuse(EINVAL, "state must be permanent, noarp or reachable")
		case r.MAC.IsZero():
			return x.refuse(EINVAL, "the zero address")
		case r.Flags&NTFExtLocked != 0:
			return x.refuse(EINVAL, "cannot add FDB entry with \"locked\" flag set")
		}
		return x.each(func(vid frame.VID) error { return x.update(r, vid) })
	})
}

// Delete removes the entry of mac on p (nil: the bridge itself), whatever it is, in
// one VLAN, or with a nil vid at VLAN 0 and in every VLAN of the port. Errors:
// ENOENT, EINVAL (a bad VID, or a VLAN that the port is not in; for the bridge itself:
// that no device is in), EOPNOTSUPP.
func (f *FDB) Delete(p *Port, mac frame.MAC, vid *frame.VID) error {
	return f.request("fdb del", p, vid, func(x *fdbTx) error {
		found := false
		if p == nil && vid != nil && !x.cfg.self.has(*vid) && x.cfg.masters.has(*vid) { // a record, but no member
			return x.refuse(ENOENT, "no such entry")
		}
		err := x.each(func(v frame.VID) error {
			found = f.remove(num(p), mac, v) || found
			return nil
		})
		if err == nil && !found {
			return x.refuse(ENOENT, "no such entry on this port")
		}
		return err
	})
}

// fdbTx is one request under way. The configuration does not change meanwhile.
type fdbTx struct {
	f    *FDB
	op   string
	p    *Port
	pc   *portConf // nil: the bridge itself
	cfg  *config
	vlan *frame.VID
}

func (x *fdbTx) refuse(no Errno, why string) error {
	return refuse(x.op, x.f.b.devName(x.p), no, why)
}

// request runs fn after the checks that rtnl_fdb_add makes, with the configuration
// held still, and then waits for the batches that may have seen what was before.
func (f *FDB) request(op string, p *Port, vid *frame.VID, fn func(*fdbTx) error) error {
	var refused error // perhaps after a part was done: that too is waited for
	err := f.b.ordered(func() error {
		x := &fdbTx{f: f, op: op, p: p, cfg: f.b.cfg.Load(), vlan: vid}
		if x.cfg.closed {
			return errClosed
		}
		if vid != nil && (*vid == 0 || *vid > frame.MaxVID) {
			return x.refuse(EINVAL, "invalid VLAN id, it must be 1 to 4094")
		}
		if p != nil {
			if x.pc = x.cfg.conf(p); x.pc == nil {
				return x.refuse(EOPNOTSUPP, "not a port of the bridge")
			}
		}
		f.b.mu.Lock()
		defer f.b.mu.Unlock()
		refused = fn(x)
		return nil
	}, f.b.synchronize)
	return cmp.Or(err, refused)
}

// each runs fn for the VLAN that was given, or for VLAN 0 and those of the device;
// the first error ends it.
func (x *fdbTx) each(fn func(frame.VID) error) error {
	g := x.cfg.self
	if x.pc != nil {
		g = x.pc.vlans
	}
	if x.vlan != nil {
		if !g.has(*x.vlan) {
			return x.refuse(EINVAL, "the port is not in this VLAN")
		}
		return fn(*x.vlan)
	}
	err := fn(0)
	g.each(func(v frame.VID) {
		if err == nil {
			err = fn(v)
		}
	})
	return err
}

// update is __br_fdb_add.
func (x *fdbTx) update(r FDBRequest, vid frame.VID) error {
	switch {
	case r.Flags&NTFUse != 0:
		if x.pc == nil {
			return x.refuse(EINVAL, "use needs a port")
		}
		if x.pc.state.Learns() {
			in := &Input{b: x.f.b, cfg: x.cfg, now: x.f.b.stamp(), dir: *x.f.dir.Load()}
			in.learn(x.pc, fdbKey(r.MAC, vid), fdbUser)
		}
		return nil
	case r.Flags&NTFExtLearned != 0:
		if x.pc == nil && r.State&NUDPermanent == 0 {
			return x.refuse(EINVAL, "an entry of the bridge itself must be permanent")
		}
		x.f.external(num(x.p), r, vid)
		return nil
	}
	return x.put(r, vid)
}

// external makes or takes over an externally learned entry
// (br_fdb_external_learn_add).
func (f *FDB) external(port int, r FDBRequest, vid frame.VID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flags := fdbExtern | fdbUser
	if port == fdbSelf {
		flags |= fdbLocal
	}
	k, now := fdbKey(r.MAC, vid), f.b.stamp()
	at, _, old, ok := f.find(k)
	if !ok {
		f.insertLocked(k, makeVal(port, flags, now))
		f.post(EventFDBAdd, k, makeVal(port, flags, now))
		return
	}
	if old.has(fdbExtern) {
		at.used().Store(now.used())
	}
	v := old.to(port).at(max(now, old.updated()))&^(fdbLearned|fdbLocked) | flags
	f.replaceLocked(at, v)
	if old.port() != port || !old.has(fdbExtern) || old.has(fdbLocked) {
		f.post(EventFDBChange, k, v)
	}
}

// put is fdb_add_entry. An entry that changes is as new, unless the request says
// NoRefresh; that it is the user's from now on is no change.
func (x *fdbTx) put(r FDBRequest, vid frame.VID) error {
	switch {
	case x.pc != nil && r.State&(NUDPermanent|NUDNoARP) == 0 && !x.pc.state.Learns():
		return x.refuse(EPERM, "the port may not learn, so it takes no dynamic entry")
	case x.pc == nil && r.State&NUDPermanent == 0:
		return x.refuse(EINVAL, "FDB entry towards bridge must be permanent")
	case r.Flags&NTFSticky != 0 && r.State&NUDPermanent != 0:
		return x.refuse(EINVAL, "sticky and permanent exclude each other")
	case r.Activity&^(ActivityNotify|ActivityInactive) != 0 || r.Activity == ActivityInactive:
		return x.refuse(EINVAL, "activity is notify, with or without inactive")
	}
	f := x.f
	f.mu.Lock()
	defer f.mu.Unlock()
	k, now, port := fdbKey(r.MAC, vid), f.b.stamp(), num(x.p)
	at, _, old, ok := f.find(k)
	switch {
	case !ok && r.Mode == FDBChange:
		return x.refuse(ENOENT, "there is no such entry to change")
	case ok && r.Mode == FDBAdd:
		return x.refuse(EEXIST, "an address is on one port only, use replace to move it")
	case !ok:
		v := makeVal(port, r.flags(0), now)
		f.insertLocked(k, v)
		f.post(EventFDBAdd, k, v)
		return nil
	}
	at.used().Store(now.used())
	v := (old &^ fdbFlags).to(port) | r.flags(old)
	const shown = fdbSticky | fdbLocked | fdbNotify | fdbInactive
	changed := old.port() != port || old.nud(now, x.cfg.hold) != r.State || (old ^ v).has(shown)
	if changed && !r.NoRefresh {
		v = v.at(now)
	}
	f.replaceLocked(at, v)
	if changed {
		f.post(EventFDBChange, k, v)
	}
	return nil
}

// flags is what an entry with the flags old gets.
func (r FDBRequest) flags(old fdbVal) fdbVal {
	v := old&fdbFlags&^(fdbLocal|fdbStatic|fdbSticky|fdbLocked|fdbLearned|fdbNotify) | fdbUser
	switch {
	case r.State&NUDPermanent != 0:
		v |= fdbLocal | fdbStatic
	case r.State&NUDNoARP != 0:
		v |= fdbStatic
	}
	if r.Flags&NTFSticky != 0 {
		v |= fdbSticky
	}
	if r.Activity&ActivityNotify == 0 {
		return v &^ fdbInactive
	}
	if r.Activity&ActivityInactive != 0 {
		v |= fdbInactive
	}
	return v | fdbNotify
}

func (f *FDB) remove(port int, mac frame.MAC, vid frame.VID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := fdbKey(mac, vid)
	at, _, v, ok := f.find(k)
	if !ok || v.port() != port {
		return false
	}
	f.deleteLocked(at)
	f.shrinkLocked(at.seg)
	f.post(EventFDBDelete, k, v)
	return true
}

// FDBFlush says which entries to flush: those that fit every field given
// (`bridge fdb flush`). The zero FDBFlush is every entry, local ones included.
type FDBFlush struct {
	Port       *Port      // of this port
	BridgeSelf bool       // of the bridge itself
	VID        *frame.VID // in this VLAN, 1 to 4094

	State, StateMask NUDState // NUDPermanent, NUDNoARP: State & StateMask must match
	Flags, FlagsMask NTFFlags // NTFUse (touched by a request), NTFExtLearned, NTFSticky, NTFOffloaded
}

// Flush removes what fits and says how many. Errors: EINVAL for a bad VID, for
// bits that cannot be asked for, and for a port of no bridge or another one.
func (f *FDB) Flush(w FDBFlush) (n int, err error) {
	const op = "fdb flush"
	err = f.b.ordered(func() error {
		cfg := f.b.cfg.Load()
		switch {
		case cfg.closed:
			return errClosed
		case w.VID != nil && (*w.VID == 0 || *w.VID > frame.MaxVID):
			return refuse(op, f.b.name, EINVAL, "invalid VLAN id, it must be 1 to 4094")
		case w.StateMask&^(NUDPermanent|NUDNoARP) != 0:
			return refuse(op, f.b.name, EINVAL, "only permanent and noarp can be asked for")
		case w.FlagsMask&^(NTFUse|NTFExtLearned|NTFSticky|NTFOffloaded) != 0:
			return refuse(op, f.b.name, EINVAL, "only use, extern_learn, sticky and offloaded can be asked for")
		case w.Port != nil && cfg.conf(w.Port) == nil:
			return refuse(op, w.Port.name, EINVAL, "not a port of this bridge")
		}
		n = f.flushIf(w.fits)
		return nil
	}, f.b.synchronize)
	return n, err
}

func (w FDBFlush) fits(k uint64, v fdbVal) bool {
	switch {
	case w.Port != nil && v.port() != w.Port.num, w.BridgeSelf && v.port() != fdbSelf:
		return false
	case w.VID != nil && keyVID(k) != *w.VID:
		return false
	}
	var st NUDState
	if v.has(fdbLocal) {
		st |= NUDPermanent
	}
	if v.has(fdbStatic) {
		st |= NUDNoARP
	}
	var fl NTFFlags
	if v.has(fdbUser) {
		fl |= NTFUse
	}
	if v.has(fdbExtern) {
		fl |= NTFExtLearned
	}
	if v.has(fdbSticky) {
		fl |= NTFSticky
	}
	return st&w.StateMask == w.State&w.StateMask && fl&w.FlagsMask == w.Flags&w.FlagsMask
}

// Lookup gives the entry of mac in vid (0: no VLAN), which a forwarding decision
// would find, or says that there is none.
func (f *FDB) Lookup(mac frame.MAC, vid frame.VID) (FDBEntry, bool) {
	k := fdbKey(mac, vid)
	f.mu.Lock()
	at, _, v, ok := f.find(k)
	if !ok {
		f.mu.Unlock()
		return FDBEntry{}, false
	}
	c := f.copyLocked(at, k, v)
	f.mu.Unlock()
	return c.entry(f.b.stamp(), f.b.cfg.Load().hold), true
}

// Len is the number of entries, local ones included.
func (f *FDB) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live
}

// Learned is the number of learned entries, those that limits count.
func (f *FDB) Learned() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.learned
}
