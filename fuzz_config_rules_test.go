package bridge_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// What must hold whatever the script: computed from what can be read of a bridge,
// and not the way the bridge computes it.

type fdbKey struct {
	mac frame.MAC
	vid frame.VID
}

// config is all that can be read of a bridge, by name and key. "" is the bridge
// itself. With a nil fdb nothing is known of it, and what depends on it is allowed.
type config struct {
	info  bridge.BridgeInfo
	ports map[string]bridge.PortInfo
	vlans map[string]map[frame.VID]bridge.VLANInfo
	fdb   map[fdbKey]bridge.FDBEntry
	rule  rule // of the filter; 0: there is none

	tunnels map[string]map[frame.VID]uint32
	mst     map[string][]bridge.MSTInfo
	globals []bridge.VLANGlobalInfo
	mcast   []string // the multicast database and router ports
}

// view is all that can be read of the session's bridge now.
func (s *session) view() config { return view(snap(s.b), s.rule) }

func view(s snapshot, r rule) config {
	v := config{
		s.Info, map[string]bridge.PortInfo{}, map[string]map[frame.VID]bridge.VLANInfo{}, map[fdbKey]bridge.FDBEntry{}, r,
		map[string]map[frame.VID]uint32{}, s.MST, s.Globals, nil,
	}
	for name, ts := range s.Tunnels {
		v.tunnels[name] = map[frame.VID]uint32{}
		for _, t := range ts {
			v.tunnels[name][t.VID] = t.ID
		}
	}
	for _, e := range s.MDB {
		v.mcast = append(v.mcast, fmt.Sprint(e))
	}
	v.mcast = append(v.mcast, fmt.Sprint(s.Routers))
	for _, p := range s.Ports {
		v.ports[p.Name] = p
	}
	for name, vs := range s.VLANs {
		v.vlans[name] = map[frame.VID]bridge.VLANInfo{}
		for _, i := range vs {
			v.vlans[name][i.VID] = i
		}
	}
	for _, e := range s.Entries {
		v.fdb[fdbKey{e.MAC, e.VID}] = e
	}
	return v
}

func (v config) equal(o config) bool {
	return v.sameSettings(o) && v.sameCounts(o) && maps.Equal(v.fdb, o.fdb) && slices.Equal(v.mcast, o.mcast)
}

func (v config) sameCounts(o config) bool {
	return v.info == o.info && maps.EqualFunc(v.vlans, o.vlans, maps.Equal[map[frame.VID]bridge.VLANInfo])
}

// sameSettings compares what frames cannot change.
func (v config) sameSettings(o config) bool {
	a, b := v.info, o.info
	a.FDBLearned, b.FDBLearned = 0, 0
	if a.McastSnooping {
		a.McastSnooping = b.McastSnooping // a full table of groups ends it
	}
	grouped := func(x, y bridge.PortInfo) bool {
		x.McastGroups = y.McastGroups
		return x == y
	}
	uncounted := func(x, y bridge.VLANInfo) bool {
		x.RxPackets, x.RxBytes, x.TxPackets, x.TxBytes = y.RxPackets, y.RxBytes, y.TxPackets, y.TxBytes
		x.McastGroups = y.McastGroups
		return x == y
	}
	return a == b && maps.EqualFunc(v.ports, o.ports, grouped) && slices.Equal(v.globals, o.globals) &&
		maps.EqualFunc(v.tunnels, o.tunnels, maps.Equal[map[frame.VID]uint32]) && maps.EqualFunc(v.mst, o.mst, slices.Equal[[]bridge.MSTInfo]) &&
		maps.EqualFunc(v.vlans, o.vlans, func(x, y map[frame.VID]bridge.VLANInfo) bool {
			return maps.EqualFunc(x, y, uncounted)
		})
}

// in is the state of a device in a VLAN; member is false where it is not in it.
func (v config) in(dev string, vid frame.VID) (state bridge.PortState, untagged, member bool) {
	i, ok := v.vlans[dev][vid]
	return i.State, i.Untagged, ok
}

func (v config) pvid(dev string) frame.VID {
	for vid, i := range v.vlans[dev] {
		if i.PVID {
			return vid
		}
	}
	return 0
}

// An arrival is a frame that came in, judged.
type arrival struct {
	config
	from     string // "": the host
	dst, src frame.MAC
	owes     bool
	filtered bool
	vid      frame.VID
	tag      []byte // with which it leaves where it leaves tagged
	body     []byte // behind the addresses and the tag that was taken off
	barred   string // why nothing of it may leave
	evicted  bool   // the entry of its destination made room for that of its source
	heeded   bool   // it may be a BPDU that the spanning tree follows
}

// judge says what is known of a frame from the configuration.
func (v config) judge(from string, f frame.Frame) *arrival {
	a := &arrival{config: v, from: from, owes: f.Owes(), filtered: v.info.VLANFiltering}
	if len(f.Data) < frame.HeaderLen {
		a.barred = "a runt"
		return a
	}
	a.dst, a.src = f.Dst(), f.Src()
	a.takeTag(f)
	if a.barred == "" {
		a.barred = a.barredByVLAN()
	}
	if from != "" && a.barred == "" {
		a.barred = a.barredByPort(frame.EtherType(uint16(a.body[0])<<8 | uint16(a.body[1])))
	}
	if from == "" && !v.info.Up {
		a.barred = "the bridge is down"
	}
	return a
}

// takeTag takes the outer tag off, if there is one that the bridge takes off. A frame
// without one may get that of the tunnel by which it came.
func (a *arrival) takeTag(f frame.Frame) {
	wire, held := wireOf(f), f.Tag.Present()
	a.body = wire[12:]
	tpid := frame.EtherType(uint16(wire[12])<<8 | uint16(wire[13]))
	switch {
	case !tpid.IsTag():
		a.fromTunnel(f)
	case a.from == "" && !held && !(a.filtered && tpid == a.info.VLANProtocol):
	case len(wire) < frame.HeaderLen+frame.TagLen:
		a.barred = "it ends behind its tag"
	case !a.filtered, tpid == a.info.VLANProtocol:
		a.tag, a.body = wire[12:16], wire[16:]
	}
}

func (a *arrival) barredByVLAN() string {
	if !a.filtered {
		return ""
	}
	tci := uint16(0)
	if a.tag != nil {
		tci = uint16(a.tag[2])<<8 | uint16(a.tag[3])
	}
	if a.vid = frame.VID(tci & 0xfff); a.vid == 0 {
		a.vid = a.pvid(a.from)
		tci |= uint16(a.vid)
	}
	a.tag = []byte{byte(a.info.VLANProtocol >> 8), byte(a.info.VLANProtocol), byte(tci >> 8), byte(tci)}
	state, _, member := a.in(a.from, a.vid)
	switch {
	case a.vid == 0:
		return "there is no PVID"
	case !member:
		return "it is of a VLAN that the device is not in"
	case a.from != "" && !a.info.MSTEnabled && a.ports[a.from].State != bridge.StateForwarding:
	case state != bridge.StateForwarding && !(a.from == "" && state == bridge.StateLearning): // the host is not asked twice
		return "its VLAN does not forward here"
	}
	return ""
}

func (a *arrival) barredByPort(typ frame.EtherType) string {
	p, here := a.ports[a.from]
	switch {
	case !here || !p.Up:
		return "the port is down, or has left"
	case a.src.IsMulticast() || a.src.IsZero():
		return "no station's address"
	case p.State != bridge.StateForwarding && !a.info.MSTEnabled:
		return "the port does not forward"
	case a.dst.IsLinkLocal() && !a.linkLocalForwarded(p.GroupFwdMask):
		return "a link-local address"
	}
	if e, known := a.fdb[fdbKey{a.src, a.vid}]; p.Locked && a.fdb != nil && typ != frame.TypePAE &&
		(!known || e.Port != a.from || e.State == bridge.NUDPermanent || e.Locked) {
		return "the port is locked"
	}
	return ""
}

func (a *arrival) linkLocalForwarded(mask uint16) bool {
	x := a.dst[5] & 15
	if a.filtered && a.info.VLANProtocol == frame.TypeDot1AD {
		mask |= 0xb801 &^ (1 << (a.info.GroupAddress[5] & 15))
	}
	if a.info.WireMode {
		mask |= 6
	}
	switch x {
	case 0:
		return a.info.STPState == 0 || mask&1 != 0
	case 1:
		return mask&2 != 0
	}
	return (mask|a.info.GroupFwdMask)&(1<<x) != 0
}

// forbids says why a copy may not leave by a device, by a tunnel if that is not 0, ""
// if it may.
func (a *arrival) forbids(dev string, wire []byte, tunnel uint64) string {
	if isAnswer(wire) {
		return a.forbidsAnswer(dev, wire)
	}
	state, untagged, member := a.in(dev, a.vid)
	leavesTagged := a.tag != nil
	if a.filtered {
		if member {
			leavesTagged = !untagged
		}
		if !member && !(dev == "" && a.info.Promisc) {
			return "the device is not in the frame's VLAN"
		}
		if state != bridge.StateForwarding && !(dev == "" && a.info.Promisc) {
			return "the frame's VLAN does not forward there"
		}
	}
	wantTunnel := uint64(0)
	if leavesTagged {
		wantTunnel = a.tunnel(dev)
	}
	leavesTagged = leavesTagged && wantTunnel == 0
	want := wire[:12:12]
	if leavesTagged {
		want = append(want, a.tag...)
	}
	switch want = append(want, a.body...); {
	case a.owes && !bytes.Equal(want[:min(len(want), 14)], wire[:min(len(wire), 14)]):
		return "it has another tag or type than it should"
	case !a.owes && !bytes.Equal(want, wire):
		return "its bytes are not what they should be"
	case tunnel != wantTunnel:
		return fmt.Sprintf("its tunnel is %d and not %d", tunnel, wantTunnel)
	case a.rule.bars(a, dev):
		return "a filter does not let it"
	}
	if dev == "" {
		return a.forbidsHost()
	}
	return a.forbidsPort(dev, len(a.body)+12+len(wire)-len(want))
}

func (a *arrival) forbidsHost() string {
	e, local := a.fdb[fdbKey{a.dst, a.vid}]
	if !local && a.info.FDBLocalVLAN0 {
		e, local = a.fdb[fdbKey{a.dst, 0}]
		local = local && !e.User
	}
	switch {
	case a.from == "":
		return "the host sent it"
	case a.dst.IsMulticast(), a.info.Promisc, local && e.State == bridge.NUDPermanent, a.fdb == nil:
		return ""
	}
	return "it is not for the host"
}

// forbidsPort: length is that of the frame without the tag held beside it.
func (a *arrival) forbidsPort(dev string, length int) string {
	p, from := a.ports[dev], a.ports[a.from]
	switch {
	case p.Name == "":
		return "the port has left"
	case dev == a.from && !p.Hairpin:
		return "it came in there"
	case a.from != "" && p.Isolated && from.Isolated:
		return "both ports are isolated"
	case p.State != bridge.StateForwarding && !a.info.MSTEnabled:
		return "the port does not forward"
	case !p.Up:
		return "the port is down"
	case length > p.MTU+18 && !a.owes:
		return "it is too long"
	case a.dst.IsBroadcast() && a.from != "" && !p.BcastFlood:
		return "no broadcast there"
	case a.dst.IsMulticast() && !a.dst.IsBroadcast() && a.from != "" && !p.McastFlood && !a.info.McastSnooping:
		return "no multicast there"
	case a.dst.IsMulticast():
		if p.ProxyARP && !a.info.McastSnooping {
			return "nothing flooded there"
		}
		return ""
	}
	return a.forbidsUnicast(dev, p)
}

func (a *arrival) forbidsUnicast(dev string, p bridge.PortInfo) string {
	e, known := a.fdb[fdbKey{a.dst, a.vid}]
	known = known && !a.evicted
	if !known && a.from != "" && a.vid != 0 && a.info.FDBLocalVLAN0 {
		e, known = a.fdb[fdbKey{a.dst, 0}]
		known = known && e.State == bridge.NUDPermanent && !e.User
	}
	at := a.ports[e.Port]
	switch {
	case a.dst == a.src, a.fdb == nil: // where it is was just learned, or is not known
		return ""
	case !known && (!p.Flood || p.ProxyARP):
		return "nothing unknown there"
	case !known:
		return ""
	case e.State == bridge.NUDPermanent && a.from != "":
		return "it is for the host"
	case e.Port == dev && (p.BackupPort == "" || p.Carrier):
		return ""
	case at.BackupPort == dev && !(at.Up && at.Carrier):
		return ""
	}
	return "its destination is elsewhere"
}

// carry gives the bridge one frame and holds what becomes of it.
func (s *session) carry() {
	n := s.n(fuzzPorts + 1)
	f := s.frame(n)
	from, send, explain := "", s.b.Xmit, s.b.ExplainXmit
	if n > 0 {
		p := s.slots[n-1].port
		if p == nil {
			return
		}
		from, send, explain = p.Name(), func(f frame.Frame) error { return p.Receive(f) }, p.Explain
	}
	s.note("frame from %q: % x, tag %v, %d bytes", from, f.Data[:min(22, len(f.Data))], f.Tag, len(f.Data))
	before := s.view()
	foretold := explain(f)
	s.equal(before, s.view(), "Explain changed something")
	a := before.judge(from, f)
	if n > 0 && !s.slots[n-1].there {
		a.barred = "the port has left"
	}
	err := send(f)
	after := s.view()
	a.heeded = n > 0 && hasTree(before.info) && a.dst == before.info.GroupAddress
	s.hold(a.heeded || before.sameSettings(after), "a frame changed a setting")
	_, a.evicted = before.fdb[fdbKey{a.dst, a.vid}]
	_, there := after.fdb[fdbKey{a.dst, a.vid}]
	a.evicted = a.evicted && !there
	s.foretold(foretold, err, s.emissions(a))
	s.learned(a, before, after)
	s.tables(after)
	s.ledgers()
}

// emissions holds each copy that left against the rules and gives their devices.
func (s *session) emissions(a *arrival) []string {
	out, tunnels := s.log.take(), s.tunnels
	s.tunnels = nil
	own := a.info.Address
	if a.src != own { // else it may be the frame
		s.ownOnly(slices.DeleteFunc(ownOf(out, own), func(d delivery) bool {
			return isBPDU(d.wire) && frame.MAC(d.wire[6:12]) == a.src // forwarded
		}), a.config, a.config)
	}
	for i, d := range out {
		if isOwn(d.wire, own) {
			continue
		}
		dev := d.dev
		if dev == "br0" {
			dev = ""
		}
		s.hold(a.barred == "", "left by %s, though %s", d.dev, a.barred)
		why := a.forbids(dev, d.wire, tunnels[i])
		s.hold(why == "", "left by %s in VLAN %d, though %s: % x", d.dev, a.vid, why, d.wire[:min(26, len(d.wire))])
	}
	names := devs(otherThanOwn(out, own))
	slices.Sort(names)
	return slices.Compact(names)
}

// foretold holds what Explain said against what came, where no cable was full.
func (s *session) foretold(e bridge.Explanation, err error, got []string) {
	s.hold((e.Err == nil) == (err == nil), "Explain said %v, the answer was %v", e.Err, err)
	want := []string{}
	for _, o := range e.Out {
		if isOwn(wireOf(o.Frame), s.b.Info().Address) {
			continue // left out there too
		}
		jammed := o.Dev == "br0" && s.host == nil
		for i := range s.slots {
			jammed = jammed || s.slots[i].there && s.slots[i].port.Name() == o.Dev && s.slots[i].cable.jammed.Load()
		}
		if !jammed {
			want = append(want, o.Dev)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	s.hold(slices.Equal(want, got), "Explain foretold %v, it left by %v:\n%s", want, got, e)
}

// learned holds what a frame changed in the FDB: the entry of its source, in its
// VLAN, on the port that it came in by, and no local one. At a limit it takes the
// place of one other that was learned.
func (s *session) learned(a *arrival, before, after config) {
	mayEvict := 0
	if before.info.FDBLearned >= s.limit || s.isFull(a.from, before) {
		mayEvict = 1
	}
	for k, e := range before.fdb {
		now, there := after.fdb[k]
		if a.heeded && there && now.State == bridge.NUDStale {
			now.State = e.State // entries live shorter, as the topology changes
		}
		switch {
		case there && sameEntry(e, now):
		case e.State == bridge.NUDPermanent:
			s.hold(false, "a frame changed the local entry %+v to %+v", e, now)
		case k.mac == a.src, a.heeded && !there && !e.User:
		case there || e.User || mayEvict == 0:
			s.hold(false, "a frame from %s changed %+v to %+v (%v)", a.src, e, now, there)
		default:
			mayEvict--
		}
	}
	port := a.ports[a.from]
	for k, e := range after.fdb {
		if old, was := before.fdb[k]; was && old.Port == e.Port {
			continue
		}
		state, _, member := a.in(a.from, k.vid)
		lets := state == bridge.StateForwarding || state == bridge.StateLearning || port.State == bridge.StateLearning
		s.hold(a.from != "" && k.mac == a.src && e.Port == a.from, "a frame from %s by %q made the entry %+v", a.src, a.from, e)
		s.hold(port.Learning, "learned on a port that does not learn: %+v", e)
		s.hold(!a.filtered && k.vid == 0 || a.filtered && member && lets, "learned in a VLAN that is not the frame's: %+v", e)
		s.hold(e.Locked == false || port.MAB, "a locked entry without MAB: %+v", e)
	}
	if lim := before.info.FDBMaxLearned; lim != 0 && after.info.FDBLearned > before.info.FDBLearned {
		s.hold(after.info.FDBLearned <= int(lim), "%d learned, fdb_max_learned is %d", after.info.FDBLearned, lim)
	}
}

// isFull says whether a port has reached its limit.
func (s *session) isFull(name string, v config) bool {
	n := 0
	for _, e := range v.fdb {
		if e.Port == name && !e.User && e.State != bridge.NUDPermanent {
			n++
		}
	}
	return slices.ContainsFunc(s.slots[:], func(x slot) bool {
		return x.there && x.port.Name() == name && x.limit > 0 && n >= x.limit
	})
}

// tables holds what is so of every FDB.
func (s *session) tables(v config) {
	learned, on := 0, map[string]int{}
	for k, e := range v.fdb {
		p, here := v.ports[e.Port]
		s.hold(here || e.Port == "", "an entry of a port that has left: %+v", e)
		_, _, member := v.in(e.Port, k.vid)
		if e.User {
			continue
		}
		if e.State != bridge.NUDPermanent {
			learned++
			on[e.Port]++
			s.hold(k.vid == 0 || member, "learned in a VLAN that the port is not in: %+v", e)
			continue
		}
		of := p.Address
		if e.Port == "" {
			of = v.info.Address
		}
		s.hold(e.MAC == of, "a local entry of an address that no device has: %+v", e)
		s.hold(k.vid == 0 || member && !v.info.FDBLocalVLAN0, "a local entry in a VLAN that the device is not in: %+v", e)
	}
	s.hold(v.info.FDBLearned == learned, "FDBLearned is %d, there are %d", v.info.FDBLearned, learned)
	s.hold(learned <= s.limit, "%d learned, the limit is %d", learned, s.limit)
	for i := range s.slots {
		if sl := &s.slots[i]; sl.there && sl.limit > 0 {
			s.hold(on[sl.port.Name()] <= sl.limit, "%d learned on %s, its limit is %d", on[sl.port.Name()], sl.port.Name(), sl.limit)
		}
	}
	for name, p := range v.ports {
		s.locals(v, name, p.Address)
		_, there := v.ports[p.BackupPort]
		s.hold(there || p.BackupPort == "", "the backup of %s has left: %s", name, p.BackupPort)
	}
	s.locals(v, "", v.info.Address)
}

// locals: a device's address ends at the host, at VLAN 0 and in each of its VLANs,
// unless a request changed that.
func (s *session) locals(v config, dev string, a frame.MAC) {
	if s.all || s.own[a] || a.IsZero() {
		return
	}
	vids := []frame.VID{0}
	if !v.info.FDBLocalVLAN0 {
		vids = slices.AppendSeq(vids, maps.Keys(v.vlans[dev]))
	}
	for _, vid := range vids {
		e, ok := v.fdb[fdbKey{a, vid}]
		s.hold(ok && e.State == bridge.NUDPermanent, "the address %s of %q is not local in VLAN %d: %+v", a, dev, vid, e)
	}
}
