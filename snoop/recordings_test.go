package snoop_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/snoop"
)

// The recordings of a kernel's bridge are replayed on the machine alone. What is
// around it, ports, links and VLANs, is the rig's: as simple as the scenarios allow,
// and no measure of the bridge itself. Compared are queries, groups, router ports,
// queriers, and for each multicast frame where it goes.

const recordings = "../internal/conformance/testdata"

// rigDevice is a port, or with num 0 the bridge device.
type rigDevice struct {
	name                string
	num                 uint16
	up, carrier, inside bool
	state               snoop.PortState
	mcastFlood, hairpin bool
	isolated, toUnicast bool
	fastLeave           bool
	ehtLimit, maxGroups uint32
	pvid                frame.VID
	vlans               map[frame.VID]bool // value: untagged
	vlanState           map[frame.VID]snoop.PortState
	locked, proxyARP    bool
}

type rig struct {
	t         *testing.T
	s         *replay.Scenario
	m         *snoop.Machine
	now       time.Duration
	host      *rigDevice
	devs      []*rigDevice // in the order of the recording
	ports     []*rigDevice // inside the bridge
	filtering bool
	proto     frame.EtherType
	promisc   bool
	mac       frame.MAC
	sent      map[string][]string
	diffs     []string
}

func (r *rig) diff(step int, format string, args ...any) {
	r.diffs = append(r.diffs, fmt.Sprintf("step %d %s: ", step, r.s.Steps[step].Op)+fmt.Sprintf(format, args...))
}

func centis(v int64) time.Duration {
	return time.Duration(v) * 10 * time.Millisecond / (4 * time.Millisecond) * (4 * time.Millisecond)
}

func newRig(t *testing.T, s *replay.Scenario) *rig {
	r := &rig{t: t, s: s, sent: map[string][]string{}, filtering: s.Bridge["vlan_filtering"].Num != 0, promisc: s.Bridge["promisc"].Num != 0}
	rules := snoop.Rules{Sources: !strings.HasPrefix(s.Kernel, "6.1."), MaxGroups: !strings.HasPrefix(s.Kernel, "6.1.")}
	r.m = snoop.New(snoop.Config{Rules: rules, Send: r.send})
	r.mac, _ = frame.ParseMAC(s.Bridge["address"].Word)
	r.m.SetSource(snoop.Source{MAC: r.mac})
	r.host = &rigDevice{name: "br0", up: s.Bridge["up"].Num != 0, carrier: true, inside: true, vlans: map[frame.VID]bool{}, vlanState: map[frame.VID]snoop.PortState{}}
	for _, v := range s.SelfVLANs {
		r.vlanAdd(r.host, frame.VID(v.VID), v.PVID, v.Untagged)
	}
	bridge := replay.Attrs{}
	maps.Copy(bridge, s.Bridge)
	delete(bridge, "mcast_vlan_snooping")
	require.NoError(t, r.setBridge(bridge))
	for i, p := range s.Ports {
		d := &rigDevice{name: p.Name, num: uint16(i + 1), up: p.Up, carrier: true}
		r.devs = append(r.devs, d)
		r.join(d)
		for _, v := range p.VLANs {
			r.vlanAdd(d, frame.VID(v.VID), v.PVID, v.Untagged)
		}
		require.NoError(t, r.setPort(d, p.Flags, false))
	}
	if r.host.up {
		r.bridgeUp(true)
	}
	require.NoError(t, r.setBridge(replay.Attrs{"mcast_vlan_snooping": s.Bridge["mcast_vlan_snooping"]}))
	for i, p := range s.Ports {
		if st := p.Flags["state"].Word; st == "blocking" || st == "learning" || st == "listening" {
			r.devs[i].state = portStates[st]
			r.m.SetPortState(r.devs[i].num, r.devs[i].state)
		}
	}
	r.advance(2 * time.Second)
	clear(r.sent)
	return r
}

// join makes d a port with default settings.
func (r *rig) join(d *rigDevice) {
	d.inside, d.state = true, snoop.Disabled
	d.mcastFlood, d.hairpin, d.isolated, d.toUnicast, d.fastLeave, d.locked, d.proxyARP = true, false, false, false, false, false, false
	d.ehtLimit, d.maxGroups = 512, 0
	d.vlans, d.vlanState, d.pvid = map[frame.VID]bool{}, map[frame.VID]snoop.PortState{}, 0
	r.m.AddPort(d.num)
	r.ports = append(r.ports, d)
}

// link follows a port's link: br_stp_enable_port, br_stp_disable_port.
func (r *rig) link(d *rigDevice) {
	running := d.up && d.carrier && r.host.up && d.inside
	switch {
	case running && d.state == snoop.Disabled:
		r.setState(d, snoop.Blocking)
		r.selectStates()
	case !running && d.state != snoop.Disabled:
		r.setState(d, snoop.Disabled)
		r.m.DisablePort(r.now, d.num)
		r.selectStates()
	}
}

func (r *rig) setState(d *rigDevice, s snoop.PortState) {
	d.state = s
	r.m.SetPortState(d.num, s)
}

// selectStates is br_port_state_selection without a spanning tree.
func (r *rig) selectStates() {
	for _, d := range r.ports {
		if d.state == snoop.Disabled {
			continue
		}
		if d.state == snoop.Blocking {
			r.setState(d, snoop.Forwarding)
		}
		r.m.EnablePort(r.now, d.num)
	}
}

func (r *rig) bridgeUp(up bool) {
	r.host.up = up
	if up {
		r.m.SetUp(r.now, true)
	}
	for _, d := range r.ports {
		r.link(d)
	}
	if !up {
		r.m.SetUp(r.now, false)
	}
}

// advance runs the timers on the way.
func (r *rig) advance(d time.Duration) {
	end := r.now + d
	for {
		at, ok := r.m.NextTimer()
		if !ok || at > end {
			break
		}
		r.now = max(r.now, at)
		r.m.Tick(r.now)
	}
	r.now = end
}

func (r *rig) dev(name string) *rigDevice {
	if name == "br0" {
		return r.host
	}
	for _, d := range r.devs {
		if d.name == name {
			return d
		}
	}
	return nil
}

func (r *rig) byNum(num uint16) *rigDevice {
	if num == 0 {
		return r.host
	}
	return r.devs[num-1]
}

func (r *rig) send(q snoop.Query) {
	d := r.byNum(q.Port)
	if !d.up {
		return
	}
	data := slices.Clone(q.Data)
	if q.VID != 0 && !d.vlans[q.VID] {
		tag := frame.Tag{TPID: r.proto, TCI: uint16(q.VID)}
		f := frame.Frame{Data: data, Tag: tag}
		data = f.AppendWire(nil)
	}
	r.sent[d.name] = append(r.sent[d.name], hex.EncodeToString(data))
}

var portStates = map[string]snoop.PortState{
	"disabled": snoop.Disabled, "listening": snoop.Listening, "learning": snoop.Learning,
	"forwarding": snoop.Forwarding, "blocking": snoop.Blocking,
}

// options sets what is named in a, for the bridge (vid 0) or a VLAN.
func (r *rig) options(vid frame.VID, a replay.Attrs) error {
	o, ok := r.m.Options(vid)
	if !ok {
		return &snoop.Refusal{Errno: snoop.ENOENT}
	}
	for name, v := range a {
		n := v.Num
		switch name {
		case "mcast_snooping":
			o.Snooping = n != 0
		case "mcast_querier":
			o.Querier = n != 0
		case "mcast_query_use_ifaddr":
			o.QueryUseIfAddr = n != 0
		case "mcast_router":
			o.Router = snoop.Router(min(max(n, 0), 100))
		case "mcast_igmp_version":
			o.IGMPVersion = uint8(n)
		case "mcast_mld_version":
			o.MLDVersion = uint8(n)
		case "mcast_last_member_count":
			o.LastMemberCount = uint32(n)
		case "mcast_startup_query_count":
			o.StartupQueryCount = uint32(n)
		case "mcast_last_member_interval":
			o.LastMemberInterval = centis(n)
		case "mcast_membership_interval":
			o.MembershipInterval = centis(n)
		case "mcast_querier_interval":
			o.QuerierInterval = centis(n)
		case "mcast_query_interval":
			o.QueryInterval = centis(n)
		case "mcast_query_response_interval":
			o.QueryResponseInterval = centis(n)
		case "mcast_startup_query_interval":
			o.StartupQueryInterval = centis(n)
		}
	}
	return r.m.SetOptions(r.now, vid, o)
}

func (r *rig) setBridge(a replay.Attrs) error {
	if v, ok := a["mcast_hash_max"]; ok {
		r.m.SetHashMax(uint32(v.Num))
	}
	if v, ok := a["promisc"]; ok {
		r.promisc = v.Num != 0
	}
	if v, ok := a["address"]; ok && v.Word != "" {
		r.mac, _ = frame.ParseMAC(v.Word)
		r.m.SetSource(snoop.Source{MAC: r.mac})
	}
	switch a["vlan_protocol"].Word {
	case "802.1Q":
		r.proto = frame.TypeDot1Q
	case "802.1ad":
		r.proto = frame.TypeDot1AD
	}
	if v, ok := a["vlan_filtering"]; ok {
		r.filtering = v.Num != 0
		if !r.filtering {
			r.m.SetPerVLAN(r.now, false)
		}
	}
	if v, ok := a["mcast_vlan_snooping"]; ok {
		if v.Num != 0 && !r.filtering {
			return &snoop.Refusal{Errno: snoop.EINVAL}
		}
		r.m.SetPerVLAN(r.now, v.Num != 0)
	}
	return r.options(0, a)
}

func (r *rig) setPort(d *rigDevice, a replay.Attrs, step bool) error {
	on := func(name string, to *bool) {
		if v, ok := a[name]; ok {
			*to = v.Num != 0
		}
	}
	on("mcast_flood", &d.mcastFlood)
	on("hairpin", &d.hairpin)
	on("isolated", &d.isolated)
	on("mcast_to_unicast", &d.toUnicast)
	on("fast_leave", &d.fastLeave)
	on("locked", &d.locked)
	on("proxy_arp", &d.proxyARP)
	if v, ok := a["mcast_eht_hosts_limit"]; ok {
		d.ehtLimit = uint32(v.Num)
	}
	if v, ok := a["mcast_max_groups"]; ok {
		d.maxGroups = uint32(v.Num)
	}
	if err := r.m.SetPortOptions(d.num, snoop.PortOptions{
		FastLeave: d.fastLeave, ToUnicast: d.toUnicast, MaxGroups: d.maxGroups, EHTHostsLimit: d.ehtLimit,
	}); err != nil {
		return err
	}
	if v, ok := a["mcast_router"]; ok {
		if err := r.m.SetPortRouter(r.now, d.num, 0, snoop.Router(min(max(v.Num, 0), 100))); err != nil {
			return err
		}
	}
	if v, ok := a["state"]; ok && step {
		if s, ok := portStates[v.Word]; ok && d.state != snoop.Disabled {
			r.setState(d, s)
			r.selectStates()
		}
	}
	return nil
}

func (r *rig) vlanAdd(d *rigDevice, vid frame.VID, pvid, untagged bool) {
	r.m.AddVLAN(vid)
	_, had := d.vlans[vid]
	d.vlans[vid] = untagged
	switch {
	case pvid:
		d.pvid = vid
	case d.pvid == vid:
		d.pvid = 0
	}
	if had {
		return
	}
	d.vlanState[vid] = snoop.Forwarding
	if d.num == 0 {
		r.m.SetSelf(r.now, vid, true)
		return
	}
	r.m.AddPortVLAN(r.now, d.num, vid, snoop.Forwarding)
}

func (r *rig) vlanDel(d *rigDevice, vid frame.VID) {
	if _, ok := d.vlans[vid]; !ok {
		return
	}
	delete(d.vlans, vid)
	if d.pvid == vid {
		d.pvid = 0
	}
	if d.num == 0 {
		r.m.SetSelf(r.now, vid, false)
	} else {
		r.m.RemovePortVLAN(r.now, d.num, vid)
	}
	for _, x := range append([]*rigDevice{r.host}, r.ports...) {
		if _, ok := x.vlans[vid]; ok {
			return
		}
	}
	r.m.RemoveVLAN(r.now, vid)
}

// ingress finds a frame's VLAN; ok is false where it is not let in.
func (r *rig) ingress(d *rigDevice, f *frame.Frame) (vid frame.VID, ok bool) {
	if !r.filtering {
		return 0, true
	}
	vid = f.Tag.VID()
	if f.Tag.Present() && f.Tag.TPID != r.proto {
		*f = frame.Frame{Data: f.Data} // a foreign tag is payload
		vid = 0
	}
	if vid == 0 {
		vid = d.pvid
	}
	_, in := d.vlans[vid]
	return vid, vid != 0 && in
}

// deliverable is should_deliver.
func (r *rig) deliverable(from, to *rigDevice, vid frame.VID) bool {
	if to == from && !to.hairpin || to.state != snoop.Forwarding || from.num != 0 && from.isolated && to.isolated {
		return false
	}
	if !r.filtering {
		return true
	}
	_, in := to.vlans[vid]
	return in && to.vlanState[vid] == snoop.Forwarding
}

// multicast is the part of a multicast frame's way that is snooping's: who gets it,
// by name, as often as copies go there. ok is false where the rig does not know.
func (r *rig) multicast(from *rigDevice, data []byte) (to []string, ok bool) {
	f := frame.Frame{Data: data}
	if !from.inside || !from.up || from.locked || !r.host.up {
		return nil, false
	}
	dst := f.Dst()
	if !dst.IsMulticast() || dst.IsBroadcast() || !f.Src().IsValid() && from.num != 0 {
		return nil, false
	}
	if from.num != 0 && [5]byte(dst[:5]) == [5]byte{1, 0x80, 0xc2} && dst[5] < 16 {
		return nil, false
	}
	f.Lift()
	if from.num != 0 && from.state != snoop.Learning && from.state != snoop.Forwarding {
		return nil, true
	}
	vid, in := r.ingress(from, &f)
	if !in {
		return nil, true
	}
	state := from.state
	if from.num != 0 && r.filtering {
		if s := from.vlanState[vid]; s != snoop.Learning && s != snoop.Forwarding {
			return nil, true
		} else if s == snoop.Learning {
			state = s
		}
	}
	var p snoop.Packet
	v := r.m.View()
	var d snoop.Decision
	if v.On() {
		if err := v.Parse(&f, vid, &p); err != nil {
			return nil, true
		}
		if p.Control() {
			wrong := r.m.Check(from.num, vid, &p)
			err := r.m.Handle(r.now, from.num, vid, &p)
			if wrong != err {
				r.diffs = append(r.diffs, fmt.Sprintf("the dry run says %v, and it is %v", wrong, err))
			}
			if err != nil {
				return nil, true
			}
		}
		d = v.Decide(&p, vid)
	}
	if from.num != 0 && state == snoop.Learning {
		return nil, true
	}
	return r.spread(from, vid, &f, d), true
}

func (r *rig) spread(from *rigDevice, vid frame.VID, f *frame.Frame, d snoop.Decision) (to []string) {
	if d.Hit {
		for t, ok := d.Next(); ok; t, ok = d.Next() {
			if x := r.byNum(t.Port); r.deliverable(from, x, vid) && (t.MAC.IsZero() || x != from || t.MAC != f.Src()) {
				to = append(to, x.name)
			}
		}
	} else {
		for _, x := range r.ports {
			if (x.mcastFlood || from.num == 0) && !x.proxyARP && r.deliverable(from, x, vid) {
				to = append(to, x.name)
			}
		}
	}
	_, self := r.host.vlans[vid]
	self = self && r.host.vlanState[vid] == snoop.Forwarding
	if from.num != 0 && (!d.Hit || d.Host || r.promisc) && (self || !r.filtering || r.promisc) {
		to = append(to, "br0")
	}
	return to
}

func (r *rig) inject(i int, st *replay.Step) {
	data, err := hex.DecodeString(st.Frame)
	require.NoError(r.t, err)
	if st.Err != "" || len(data) < 14 {
		return
	}
	to, known := r.multicast(r.dev(st.Port), data)
	if !known {
		return
	}
	var want []string
	for name, frames := range st.Out {
		for _, x := range frames {
			if !r.isQuery(x) || x == st.Frame {
				want = append(want, name)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(to)
	if !slices.Equal(want, to) {
		r.diff(i, "%s %s goes to %v, want %v", st.Port, st.Frame, to, want)
	}
}

// isQuery recognises the bridge's own queries.
func (r *rig) isQuery(hexed string) bool {
	data, _ := hex.DecodeString(hexed)
	f := frame.Frame{Data: data}
	if f.Src() != r.mac {
		return false
	}
	f.Lift()
	var p snoop.Packet
	return f.Dst().IsMulticast() && p.Parse(&f) == nil && p.Kind == snoop.KindQuery
}

// queries compares what the bridge itself sent in a step.
func (r *rig) queries(i int, st *replay.Step) {
	want := map[string][]string{}
	for name, frames := range st.Out {
		for _, x := range frames {
			if r.isQuery(x) && x != st.Frame {
				want[name] = append(want[name], x)
			}
		}
	}
	for _, all := range []map[string][]string{want, r.sent} {
		for _, x := range all {
			slices.Sort(x)
		}
	}
	if !maps.EqualFunc(want, r.sent, slices.Equal[[]string]) {
		r.diff(i, "queries\n   got %v\n  want %v", r.sent, want)
	}
	clear(r.sent)
}

func key(r *rig, group, src string, vid uint16) (k snoop.Key, err error) {
	k.VID = frame.VID(vid)
	if mac, err := frame.ParseMAC(group); err == nil {
		k.Group = snoop.MACAddr(mac)
	} else {
		ip, err := netip.ParseAddr(group)
		if err != nil {
			return k, err
		}
		k.Group, k.Family = snoop.AddrOf(ip)
	}
	if src == "" {
		return k, nil
	}
	ip, err := netip.ParseAddr(src)
	var f snoop.Family
	if k.Source, f = snoop.AddrOf(ip); f != k.Family {
		return k, &snoop.Refusal{Errno: snoop.EINVAL, Reason: "source of the other family"}
	}
	return k, err
}

func (r *rig) mdb(st *replay.Step) error {
	var vid uint16
	if st.VLAN != nil {
		vid = *st.VLAN
	}
	d := r.dev(st.Port)
	k, err := key(r, st.Group, st.Source, vid)
	if err != nil {
		return err
	}
	req := snoop.Request{Port: d.num, Key: k, Permanent: st.State != nil && *st.State == "permanent", Replace: st.Mode == "replace"}
	switch st.FilterMode {
	case "include":
		req.Mode = snoop.ModeInclude
	case "exclude":
		req.Mode = snoop.ModeExclude
	}
	for _, s := range st.SourceList {
		a, _ := snoop.AddrOf(netip.MustParseAddr(s))
		req.Sources = append(req.Sources, a)
	}
	if !d.inside {
		return &snoop.Refusal{Errno: snoop.EINVAL}
	}
	vids := []frame.VID{k.VID}
	if r.filtering && k.VID == 0 {
		vids = r.vlansOf(d)
	}
	if err := r.m.Addable(req); err != nil && st.Op == "mdb-add" {
		return err
	}
	for _, v := range vids {
		req.Key.VID = v
		if st.Op == "mdb-add" {
			err = r.m.Add(r.now, req)
		} else {
			err = r.m.Delete(r.now, req)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// vlansOf are the VLANs that a request without one means: of the host all that the
// bridge has.
func (r *rig) vlansOf(d *rigDevice) []frame.VID {
	all := map[frame.VID]bool{}
	maps.Copy(all, d.vlans)
	if d == r.host {
		for _, p := range r.ports {
			maps.Copy(all, p.vlans)
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func seconds(d time.Duration) int { return int((d + 250*time.Millisecond) / time.Second) }

func near(a, b int) bool { return a-b <= 1 && b-a <= 1 }

func (r *rig) rows() (all []replay.MDBEntry) {
	r.m.Entries(r.now, func(e snoop.Entry) bool {
		x := replay.MDBEntry{Port: r.byNum(e.Port).name, VID: uint16(e.Key.VID), State: "temp", Timer: seconds(e.Timer)}
		if e.Key.Family == snoop.L2 {
			x.Group = e.Key.Group.MAC().String()
		} else {
			x.Group = e.Key.Group.IP(e.Key.Family).String()
			if e.Key.Source != (snoop.Addr{}) {
				x.Source = e.Key.Source.IP(e.Key.Family).String()
			}
		}
		if e.Permanent {
			x.State = "permanent"
		}
		for _, f := range []struct {
			on   bool
			name string
		}{{e.FastLeave, "fast_leave"}, {e.AddedByStarExc, "added_by_star_ex"}, {e.Blocked, "blocked"}} {
			if f.on {
				x.Flags = append(x.Flags, f.name)
			}
		}
		x.FilterMode = [...]string{"", "include", "exclude"}[e.Mode]
		x.Proto = map[uint8]string{0: "", 2: "kernel", 4: "static"}[e.Proto]
		for _, s := range e.Sources {
			x.SourceList = append(x.SourceList, replay.MDBSource{Addr: s.Addr.IP(e.Key.Family).String(), Timer: seconds(s.Timer)})
		}
		all = append(all, x)
		return true
	})
	return all
}

func canonical(all []replay.MDBEntry) []replay.MDBEntry {
	all = slices.Clone(all)
	for i := range all {
		all[i].SourceList = slices.SortedFunc(slices.Values(all[i].SourceList), func(a, b replay.MDBSource) int { return strings.Compare(a.Addr, b.Addr) })
	}
	id := func(e replay.MDBEntry) string { return fmt.Sprint(e.Group, "|", e.Source, "|", e.VID, "|", e.Port) }
	slices.SortStableFunc(all, func(a, b replay.MDBEntry) int { return strings.Compare(id(a), id(b)) })
	return all
}

func sameRow(a, b replay.MDBEntry) bool {
	return a.Port == b.Port && a.Group == b.Group && a.Source == b.Source && a.VID == b.VID && a.State == b.State &&
		slices.Equal(a.Flags, b.Flags) && a.FilterMode == b.FilterMode && a.Proto == b.Proto && near(a.Timer, b.Timer) &&
		slices.EqualFunc(a.SourceList, b.SourceList, func(x, y replay.MDBSource) bool { return x.Addr == y.Addr && near(x.Timer, y.Timer) })
}

var routerTypes = []string{"disabled", "temp_query", "permanent", "temp"}

func (r *rig) routers(vid frame.VID) (all []replay.RouterPort) {
	for _, p := range r.m.RouterPorts(r.now, vid) {
		x := replay.RouterPort{Port: r.byNum(p.Port).name, Type: routerTypes[p.Type], VID: uint16(p.VID)}
		if p.Timer4 >= 0 && vid != 0 {
			x.Timer4 = new(seconds(p.Timer4))
		}
		if p.Timer6 >= 0 && vid != 0 {
			x.Timer6 = new(seconds(p.Timer6))
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b replay.RouterPort) int { return strings.Compare(a.Port, b.Port) })
	return all
}

func nearPointer(a, b *int) bool { return a == nil && b == nil || a != nil && b != nil && near(*a, *b) }

func sameRouter(a, b replay.RouterPort) bool {
	return a.Port == b.Port && a.Type == b.Type && a.VID == b.VID && nearPointer(a.Timer4, b.Timer4) && nearPointer(a.Timer6, b.Timer6)
}

func (r *rig) dumpMDB(i int, st *replay.Step) {
	got, want := canonical(r.rows()), canonical(st.MDB)
	if !slices.EqualFunc(got, want, sameRow) {
		var b strings.Builder
		for _, e := range got {
			fmt.Fprintf(&b, "\n   got %+v", e)
		}
		for _, e := range want {
			fmt.Fprintf(&b, "\n  want %+v", e)
		}
		r.diff(i, "%s", b.String())
	}
	if got := r.routers(0); !slices.EqualFunc(got, st.RouterPorts, sameRouter) {
		r.diff(i, "routers %+v, want %+v", got, st.RouterPorts)
	}
}

func (r *rig) dumpVLANs(i int, st *replay.Step) {
	for _, g := range st.VLANGlobal {
		vid := frame.VID(g.VID)
		got := replay.Attrs{}
		for f, name := range map[snoop.Family]string{snoop.IPv4: "ip", snoop.IPv6: "ipv6"} {
			q := r.m.Querier(r.now, vid, f)
			if !q.Known {
				continue
			}
			got[name+"_address"] = replay.Value{Word: q.Addr.IP(f).String(), Text: true}
			if q.Other {
				got[name+"_other_timer"] = replay.Value{Num: int64(seconds(q.Timer))}
				if q.Port != 0 {
					got[name+"_port"] = replay.Value{Word: r.byNum(q.Port).name, Text: true}
				}
			}
		}
		if !maps.EqualFunc(got, g.Querier, func(a, b replay.Value) bool {
			return a.Text == b.Text && a.Word == b.Word && near(int(a.Num), int(b.Num))
		}) {
			r.diff(i, "VLAN %d querier %v, want %v", vid, got, g.Querier)
		}
		if got := r.routers(vid); !slices.EqualFunc(got, g.RouterPorts, sameRouter) {
			r.diff(i, "VLAN %d routers %+v, want %+v", vid, got, g.RouterPorts)
		}
	}
}

func (r *rig) eachVID(st *replay.Step, do func(frame.VID) error) error {
	for vid := st.VID; vid <= max(st.VID, st.VIDEnd); vid++ {
		if err := do(frame.VID(vid)); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) vlanSet(st *replay.Step) error {
	d := r.dev(st.Port)
	return r.eachVID(st, func(vid frame.VID) error {
		if _, in := d.vlans[vid]; !in {
			return &snoop.Refusal{Errno: snoop.ENOENT}
		}
		if v, ok := st.Attrs["mcast_router"]; ok {
			if d.num == 0 {
				return r.options(vid, st.Attrs)
			}
			return r.m.SetPortRouter(r.now, d.num, vid, snoop.Router(v.Num))
		}
		if st.State != nil {
			if s, ok := portStates[*st.State]; ok && s != d.vlanState[vid] {
				d.vlanState[vid] = s
				r.m.SetVLANState(r.now, d.num, vid, s)
			}
		}
		return nil
	})
}

func (r *rig) portAway(d *rigDevice) {
	if !d.inside {
		return
	}
	// del_nbp: the port is disabled, then its VLANs and groups go.
	if d.state != snoop.Disabled {
		r.setState(d, snoop.Disabled)
		r.m.DisablePort(r.now, d.num)
		r.selectStates()
	}
	d.inside = false
	r.m.RemovePort(r.now, d.num)
	r.ports = slices.DeleteFunc(r.ports, func(x *rigDevice) bool { return x == d })
}

func (r *rig) step(i int, st *replay.Step) {
	d := r.dev(st.Port)
	var err error
	judged := true
	switch st.Op {
	case "inject":
		r.inject(i, st)
		judged = false
	case "wait":
		r.advance(time.Duration(st.MS) * time.Millisecond)
	case "set-bridge":
		if st.Err != "" && st.Attrs["mcast_vlan_snooping"].Num == 0 {
			judged = false
			for name := range st.Attrs {
				judged = judged || strings.HasPrefix(name, "mcast")
			}
			if !judged {
				return
			}
		}
		err = r.setBridge(st.Attrs)
	case "set-port":
		if st.Err != "" && st.Attrs["mcast_router"].Num <= 3 {
			return
		}
		err = r.setPort(d, st.Attrs, true)
	case "vlan-add", "vlan-del":
		if judged = false; st.Err != "" {
			return
		}
		_ = r.eachVID(st, func(vid frame.VID) error {
			if st.Op == "vlan-add" {
				r.vlanAdd(d, vid, st.PVID, st.Untagged)
			} else {
				r.vlanDel(d, vid)
			}
			return nil
		})
	case "vlan-set":
		err = r.vlanSet(st)
		judged = st.State == nil
	case "vlan-global-set":
		err = r.eachVID(st, func(vid frame.VID) error {
			if vid == 0 || vid > 4094 {
				return &snoop.Refusal{Errno: snoop.EINVAL}
			}
			return r.options(vid, st.Attrs)
		})
	case "mdb-add", "mdb-del":
		err = r.mdb(st)
	case "link-up", "link-down":
		if d == r.host {
			if up := st.Op == "link-up"; up != d.up {
				r.bridgeUp(up)
			}
			break
		}
		d.up = st.Op == "link-up"
		r.link(d)
	case "carrier":
		d.carrier = st.On
		r.link(d)
	case "port-del":
		r.portAway(d)
	case "port-add":
		if st.Err == "" {
			r.join(d)
			if pvid := frame.VID(r.s.Bridge["vlan_default_pvid"].Num); pvid != 0 {
				r.vlanAdd(d, pvid, true, true)
			}
			r.link(d)
		}
		judged = false
	case "dump-mdb":
		r.dumpMDB(i, st)
	case "dump-vlan-global":
		r.dumpVLANs(i, st)
	default:
		judged = false
	}
	r.advance(0)
	r.judge(i, st, err, judged)
	r.queries(i, st)
}

func (r *rig) judge(i int, st *replay.Step, err error, judged bool) {
	if !judged {
		return
	}
	got := ""
	if refused, ok := err.(*snoop.Refusal); ok {
		got = refused.Errno.Name()
	}
	if got != st.Err {
		r.diff(i, "%+v: %v, want %q (%s)", st, err, st.Err, st.Extack)
	}
}

// foreign reports what the rig does not have and what would show in what it
// compares.
func foreign(s *replay.Scenario) bool {
	names := []string{"vlan_default_pvid", "neigh_suppress", "backup_port", "mtu", "locked"}
	return slices.ContainsFunc(s.Steps, func(t replay.Step) bool {
		return slices.ContainsFunc(names, func(name string) bool { _, ok := t.Attrs[name]; return ok })
	})
}

func TestRecordings(t *testing.T) {
	for _, family := range []string{"mcast", "vlansnoop", "newer", "mixed"} {
		all := replay.Read(filepath.Join(recordings, family+".jsonl.gz"))
		require.NotEmpty(t, all)
		passed, ran := 0, 0
		for _, s := range all {
			if foreign(s) || family == "newer" && !strings.Contains(s.Name, "mcast") && !strings.Contains(s.Name, "mdb") {
				continue
			}
			ran++
			r := newRig(t, s)
			for i := range s.Steps {
				r.step(i, &s.Steps[i])
			}
			if len(r.diffs) == 0 {
				passed++
				continue
			}
			t.Errorf("%s: %d differences, the first:\n%s", s.Name, len(r.diffs), r.diffs[0])
		}
		t.Logf("%s: %d of %d replayed on the machine alone are as recorded, of %d", family, passed, ran, len(all))
	}
}
