package bridge

import "github.com/ddfb540f/bridge/frame"

// The addresses of the bridge and its ports are in the FDB too, as local entries:
// frames to them end at the host. Each stands at VLAN 0 and in every VLAN of its
// device. An address that several devices have is owned by one of them, and goes
// to the next when that one leaves.

func num(p *Port) int {
	if p == nil {
		return fdbSelf
	}
	return p.num
}

// addLocal has a local entry made before the new config is published.
func (x *tx) addLocal(p *Port, a frame.MAC, vid frame.VID) {
	if vid == 0 || !x.cfg.info.FDBLocalVLAN0 {
		x.before = append(x.before, func() { x.b.fdb.insertOwn(num(p), a, vid, x.b.stamp()) })
	}
}

// delLocal has a local entry given up before the new config is published.
func (x *tx) delLocal(p *Port, a frame.MAC, vid frame.VID) {
	x.before = append(x.before, func() { x.b.fdb.deleteOwn(x.cfg, num(p), a, vid) })
}

// addLocals and delLocals follow a device's address, at VLAN 0 and in its VLANs.
func (x *tx) addLocals(p *Port, a frame.MAC, g *vlanGroup) {
	x.addLocal(p, a, 0)
	g.each(func(v frame.VID) { x.addLocal(p, a, v) })
}

func (x *tx) delLocals(p *Port, a frame.MAC, g *vlanGroup) {
	x.delLocal(p, a, 0)
	g.each(func(v frame.VID) { x.delLocal(p, a, v) })
}

// setLocalVLAN0 takes the local entries of VLANs away, or brings them back.
func (x *tx) setLocalVLAN0(on bool) {
	if on == x.cfg.info.FDBLocalVLAN0 {
		return
	}
	x.cfg.info.FDBLocalVLAN0 = on
	each := func(p *Port, a frame.MAC, g *vlanGroup) {
		g.each(func(v frame.VID) {
			if on {
				x.delLocal(p, a, v)
			} else {
				x.addLocal(p, a, v)
			}
		})
	}
	for _, pc := range x.cfg.ports {
		each(pc.p, pc.info.Address, pc.vlans)
	}
	each(nil, x.cfg.info.Address, x.cfg.self)
}

func (x *tx) flushPort(p *Port) {
	x.after = append(x.after, func() {
		x.b.fdb.flushIf(func(_ uint64, v fdbVal) bool { return v.port() == p.num && !v.has(fdbStatic|fdbExtern) })
	})
}

func (x *tx) flushVLAN(p *Port, vid frame.VID) {
	x.after = append(x.after, func() {
		x.b.fdb.flushIf(func(k uint64, v fdbVal) bool {
			return v.port() == p.num && keyVID(k) == vid && !v.has(fdbStatic|fdbExtern)
		})
	})
}

// insertOwn makes (a, vid) a local entry of a device. One that is local already
// stays its first owner's; a learned one is taken over.
func (f *FDB) insertOwn(port int, a frame.MAC, vid frame.VID, now stamp) {
	if !a.IsValid() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	k, v := fdbKey(a, vid), makeVal(port, fdbLocal|fdbStatic, now)
	at, _, old, ok := f.find(k)
	if ok && old.has(fdbLocal) {
		return
	}
	if ok {
		f.deleteLocked(at)
		f.post(EventFDBDelete, k, old)
	}
	f.insertLocked(k, v)
	f.post(EventFDBAdd, k, v)
}

// deleteOwn gives up a device's local entry, unless a request made it its own.
func (f *FDB) deleteOwn(cfg *config, port int, a frame.MAC, vid frame.VID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := fdbKey(a, vid)
	at, _, v, ok := f.find(k)
	if ok && v.has(fdbLocal) && !v.has(fdbUser) && v.port() == port {
		f.passOnLocked(cfg, at, k, v)
	}
}

// passOnLocked gives a local entry to another device with that address, or
// deletes it (fdb_delete_local).
func (f *FDB) passOnLocked(cfg *config, at fdbAt, k uint64, v fdbVal) {
	if heir, ok := cfg.heir(k, v.port()); ok {
		f.replaceLocked(at, v.to(heir)&^fdbUser)
		return
	}
	f.deleteLocked(at)
	f.post(EventFDBDelete, k, v)
}

// heir is the device that takes over the local entry k from the one with the
// number owner: the newest port, else the bridge itself.
func (c *config) heir(k uint64, owner int) (port int, ok bool) {
	mac, vid := keyMAC(k), keyVID(k)
	if vid != 0 && c.info.FDBLocalVLAN0 {
		return 0, false
	}
	for _, pc := range c.ports {
		if pc.num != owner && pc.info.Address == mac && (vid == 0 || pc.vlans.has(vid)) {
			return pc.num, true
		}
	}
	return fdbSelf, owner != fdbSelf && c.info.Address == mac && (vid == 0 || c.self.has(vid))
}
