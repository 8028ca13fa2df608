package bridge

import (
	"errors"
	"net/netip"
	"runtime"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// An MDBMode is the filter mode of a member of a group: which sources it wants.
type MDBMode uint8

// The modes, with Linux's numbers.
const (
	MDBModeNone MDBMode = iota // not named in a request, not shown in a dump
	MDBInclude                 // the sources that are listed
	MDBExclude                 // all others
)

// String gives the word that bridge(8) prints.
func (m MDBMode) String() string { return [...]string{"", "include", "exclude", ""}[min(m, 3)] }

// Origins of an MDBEntry (RTPROT_*); a request may name others.
const (
	MDBProtoKernel uint8 = 2 // learned
	MDBProtoStatic uint8 = 4 // from a request that named none
)

// MDBRequest is one `bridge mdb add` or `del` (RTM_NEWMDB, RTM_DELMDB).
type MDBRequest struct {
	Port      *Port      // nil: the host
	Group     netip.Addr // IPv4 or IPv6 group; the zero Addr: GroupMAC
	GroupMAC  frame.MAC
	Source    netip.Addr // zero: any source
	VID       frame.VID  // 0: none; with VLAN filtering each VLAN of the port, for the host each there is
	Permanent bool       // else it ends after McastMembershipInterval; the host joins IP groups without

	// Since Linux 6.3; for AddMDB only.
	Replace  bool         // what is there is changed, instead of EEXIST
	Mode     MDBMode      // of a group for any source; none is MDBExclude
	Sources  []netip.Addr // with a Mode: those it is about, at most 31
	Protocol uint8        // 0: MDBProtoStatic
}

// request makes the machine's form; why says what it has no form for.
func (r *MDBRequest) request() (q snoop.Request, why string) {
	q = snoop.Request{Permanent: r.Permanent, Replace: r.Replace, Mode: snoop.FilterMode(r.Mode), Proto: r.Protocol}
	if r.Port != nil {
		q.Port = uint16(r.Port.num)
	}
	q.Key, why = mdbKey(r.Group, r.GroupMAC, r.Source, r.VID)
	for _, ip := range r.Sources {
		a, f := snoop.AddrOf(ip)
		if f != q.Key.Family {
			return q, "a source of another protocol than the group"
		}
		q.Sources = append(q.Sources, a)
	}
	return q, why
}

func mdbKey(group netip.Addr, mac frame.MAC, source netip.Addr, vid frame.VID) (k snoop.Key, why string) {
	k.VID = vid
	if k.Group, k.Family = snoop.AddrOf(group); k.Family == snoop.L2 {
		k.Group = snoop.MACAddr(mac)
	}
	if source.IsValid() {
		var f snoop.Family
		if k.Source, f = snoop.AddrOf(source); f != k.Family {
			return k, "a source of another protocol than the group"
		}
	}
	return k, ""
}

// AddMDB adds a member to a multicast group, or with Replace changes it (br_mdb_add).
// Where a request means several VLANs it is carried out VLAN by VLAN, and those before
// one that is refused stay. Errors: EINVAL while the bridge is down or does not snoop, for
// a port that has left, and for groups, sources and combinations that there cannot be;
// EEXIST for a member that is there, or a source that is named twice; E2BIG where
// McastHashMax is reached, which ends snooping; ENOMEM where McastMaxGroups is.
func (b *Bridge) AddMDB(r MDBRequest) error {
	return b.mdb("mdb add", &r, func(m *snoop.Machine, now time.Duration, q snoop.Request, vids []frame.VID) error {
		if err := m.Addable(q); err != nil {
			return err
		}
		for _, q.Key.VID = range vids {
			if err := m.Add(now, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteMDB removes a member from a multicast group, learned or not, and with a group for
// any source those for its sources (br_mdb_del). One that is not there is EINVAL, as
// in Linux; the other errors are those of AddMDB. Where a request means several VLANs
// all are gone through, and the answer is that of the last.
func (b *Bridge) DeleteMDB(r MDBRequest) error {
	return b.mdb("mdb del", &r, func(m *snoop.Machine, now time.Duration, q snoop.Request, vids []frame.VID) (err error) {
		for _, q.Key.VID = range vids {
			err = m.Delete(now, q)
		}
		return err
	})
}

func (b *Bridge) mdb(op string, r *MDBRequest, do func(*snoop.Machine, time.Duration, snoop.Request, []frame.VID) error) error {
	return b.onMachine(op, r.Port, func(cfg *config, m *snoop.Machine, now time.Duration) error {
		q, why := r.request()
		switch {
		case why != "":
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: why}
		case r.Port != nil && cfg.conf(r.Port) == nil:
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: "net device is not a bridge port"}
		}
		return do(m, now, q, cfg.mdbVLANs(r))
	})
}

// mdbVLANs are the VLANs that a request means.
func (c *config) mdbVLANs(r *MDBRequest) (vids []frame.VID) {
	switch {
	case r.VID != 0 || !c.info.VLANFiltering:
		return []frame.VID{r.VID}
	case r.Port == nil:
		c.masters.each(func(v frame.VID, _ *masterPage) { vids = append(vids, v) })
	default:
		c.conf(r.Port).vlans.each(func(v frame.VID) { vids = append(vids, v) })
	}
	return vids
}

// onMachine makes a change that is snooping's alone: it is over when it returns. p is
// nil for the bridge itself.
func (b *Bridge) onMachine(op string, p *Port, do func(cfg *config, m *snoop.Machine, now time.Duration) error) error {
	var refused error
	err := b.ordered(func() error {
		cfg := b.cfg.Load()
		if cfg.closed {
			return errClosed
		}
		b.snooping.with(b.since(), func(m *snoop.Machine, now time.Duration) { refused = do(cfg, m, now) })
		return nil
	}, func() {
		b.sendMade()
		b.synchronize()
	})
	if err != nil {
		return err
	}
	return asRefusal(op, b.devName(p), refused)
}

// asRefusal gives an answer of the machine's as the bridge's own.
func asRefusal(op, dev string, err error) error {
	var no *snoop.Refusal
	if errors.As(err, &no) {
		return refuse(op, dev, Errno(no.Errno), no.Reason)
	}
	return err
}

// An MDBEntry is a row of the multicast database: a port, or the host, that is in a
// group (`bridge -d -s mdb show`).
type MDBEntry struct {
	Port      string     // "" is the host
	Group     netip.Addr // the zero Addr: GroupMAC
	GroupMAC  frame.MAC
	Source    netip.Addr // the zero Addr: any
	VID       frame.VID
	Permanent bool

	FastLeave      bool // the last station behind the port has left
	AddedByStarExc bool // a member of (*,G) in exclude mode, which this (S,G) would else hide (added_by_star_ex)
	Blocked        bool // the port does not want this source

	// Of ports, while McastIGMPVersion is 3 or McastMLDVersion 2.
	Mode    MDBMode
	Sources []MDBSource // the one that was named last first

	Protocol uint8         // MDBProtoKernel and so on; 0 for the host
	MAC      frame.MAC     // of the station that joined, on a port with McastToUnicast; else of the last, or broadcast
	Timer    time.Duration // until it ends; 0: no timer runs
}

// An MDBSource is a source that a member of a group has named. Without a running Timer
// it is one that a member in exclude mode does not want.
type MDBSource struct {
	Addr  netip.Addr
	Timer time.Duration
}

// group gives the group and VLAN-less source of an entry in words.
func (e *MDBEntry) group() string {
	s := e.GroupMAC.String()
	if e.Group.IsValid() {
		s = e.Group.String()
	}
	if e.Source.IsValid() {
		s += " src " + e.Source.String()
	}
	return s
}

// entry makes the public form of a row. s.mu must be held.
func (s *snooping) entry(e *snoop.Entry) MDBEntry {
	f := e.Key.Family
	x := MDBEntry{
		Port: s.portName(e.Port), Group: e.Key.Group.IP(f), VID: e.Key.VID, Permanent: e.Permanent, FastLeave: e.FastLeave,
		AddedByStarExc: e.AddedByStarExc, Blocked: e.Blocked, Mode: MDBMode(e.Mode), Protocol: e.Proto, MAC: e.MAC, Timer: e.Timer,
	}
	if f == snoop.L2 {
		x.GroupMAC = e.Key.Group.MAC()
	}
	if e.Key.Source != (snoop.Addr{}) {
		x.Source = e.Key.Source.IP(f)
	}
	for _, src := range e.Sources {
		x.Sources = append(x.Sources, MDBSource{src.Addr.IP(f), src.Timer})
	}
	return x
}

// MDB lists the multicast database: the newest group first, in a group the host first,
// then the ports, those that joined the bridge last first. While snooping is off releases
// before 6.18 show none, though permanent entries are kept. A large one is not read at one
// moment: as in Linux, of groups that come or go meanwhile some may be in it and others not.
func (b *Bridge) MDB() (all []MDBEntry) {
	var c snoop.Cursor
	var part []MDBEntry
	for more := true; more; runtime.Gosched() {
		b.snooping.look(func(m *snoop.Machine, now time.Duration) {
			more = m.EntriesFrom(now, &c, atOnce, func(e snoop.Entry) bool {
				part = append(part, b.snooping.entry(&e))
				return true
			})
		})
		all, part = append(all, part...), part[:0]
	}
	return all
}

// LookupMDB gives the rows of one group (`bridge mdb get`): of the request Group,
// GroupMAC, Source and VID are looked at. Errors: ENOENT if there are none, EINVAL for a
// source that is of another protocol than the group or a group itself, and for a VLAN
// above 4094.
func (b *Bridge) LookupMDB(r MDBRequest) (rows []MDBEntry, err error) {
	k, why := mdbKey(r.Group, r.GroupMAC, r.Source, r.VID)
	if why != "" {
		return nil, refuse("mdb get", b.name, EINVAL, why)
	}
	b.snooping.look(func(m *snoop.Machine, now time.Duration) {
		var found []snoop.Entry
		found, err = m.Lookup(now, k)
		for i := range found {
			rows = append(rows, b.snooping.entry(&found[i]))
		}
	})
	return rows, asRefusal("mdb get", b.name, err)
}

// MDBFlush says which rows FlushMDB deletes: those that meet all it asks. The zero
// MDBFlush is all.
type MDBFlush struct {
	Port      *Port      // nil: of any, and the host's
	Host      bool       // the host's only
	VID       *frame.VID // nil: of any VLAN
	Protocol  uint8      // 0: any; the host's rows have none
	Permanent *bool      // an IP group of the host is not permanent, a MAC group is
}

// FlushMDB deletes many rows at once (`bridge mdb flush`). A port that has left has
// none. Errors: EINVAL for Port and Host together, and for a VLAN above 4094.
func (b *Bridge) FlushMDB(f MDBFlush) error {
	return b.onMachine("mdb flush", f.Port, func(cfg *config, m *snoop.Machine, now time.Duration) error {
		q := snoop.Flush{VID: f.VID, Proto: f.Protocol, Permanent: f.Permanent}
		switch {
		case f.Port != nil && f.Host:
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: "either a port or the host"}
		case f.VID != nil && *f.VID > frame.MaxVID:
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: "invalid VLAN id"}
		case f.Port != nil && cfg.conf(f.Port) == nil:
			return nil
		case f.Port != nil:
			q.Port = new(uint16(f.Port.num))
		case f.Host:
			q.Port = new(uint16(0))
		}
		m.FlushEntries(now, q)
		return nil
	})
}

// A RouterPort is a port behind which multicast routers are: it gets every group.
type RouterPort struct {
	Port string
	Type int // the port's McastRouter, also in a VLAN, as Linux shows it
	VID  frame.VID

	// Until it is forgotten, for IPv4 and IPv6: 0 where no timer runs, as with McastRouter
	// 2, and less than 0 where there is no router of that family.
	Timer4, Timer6 time.Duration
}

// RouterPorts lists the router ports, those that joined the bridge first first:
// bridge-wide (vid 0), or those of a VLAN, which count while McastVLANSnooping is on.
// While McastRouter of the bridge, or of its own device in the VLAN, is 0 none is shown,
// as in Linux, though they are used.
func (b *Bridge) RouterPorts(vid frame.VID) (all []RouterPort) {
	s := &b.snooping
	s.look(func(m *snoop.Machine, now time.Duration) {
		for _, p := range m.RouterPorts(now, vid) {
			all = append(all, RouterPort{s.portName(p.Port), int(p.Type), p.VID, p.Timer4, p.Timer6})
		}
	})
	return all
}

// A Querier is who asks for the groups of one protocol.
type Querier struct {
	Known bool // somebody does: the bridge itself or another
	Addr  netip.Addr
	Other bool          // it is another
	Port  string        // behind which the other is; "" is the host
	Timer time.Duration // until the other is forgotten
}

// Queriers gives the queriers for IPv4 and IPv6: bridge-wide (vid 0), or those of a
// VLAN while those count (br_multicast_dump_querier_state). As in Linux what the bridge
// has is shown then too.
func (b *Bridge) Queriers(vid frame.VID) (ip4, ip6 Querier) {
	s := &b.snooping
	s.look(func(m *snoop.Machine, now time.Duration) {
		of := func(f snoop.Family) Querier {
			q := m.Querier(now, vid, f)
			x := Querier{Known: q.Known, Other: q.Other, Port: s.portName(q.Port), Timer: q.Timer}
			if q.Known {
				x.Addr = q.Addr.IP(f)
			}
			return x
		}
		ip4, ip6 = of(snoop.IPv4), of(snoop.IPv6)
	})
	return ip4, ip6
}

// McastStats are counters of IGMP and MLD (`ip link xstats type bridge`). They count
// while BridgeAttrs.McastStats is on.
type McastStats = snoop.Stats

// McastStats gives the counters of the bridge's own device.
func (b *Bridge) McastStats() McastStats { return b.mcastCounters(nil).Stats() }

// McastStats gives the counters of the port.
func (p *Port) McastStats() McastStats { return p.b.mcastCounters(p).Stats() }

// SetMcastRouter says whether multicast routers are taken to be at the device in vid,
// or with end in each of vid to end (`bridge vlan set vid V mcast_router N`), with the
// numbers of PortAttrs.McastRouter, for the bridge's own device those of
// BridgeAttrs.McastRouter. It counts while McastVLANSnooping is on. Errors: EINVAL for a
// bad VID, range or number, ENOENT for a VLAN that the device is not in.
func (v *VLANFilter) SetMcastRouter(vid, end frame.VID, router int) error {
	return v.onMachine("vlan mcast_router", vid, end, func(m *snoop.Machine, now time.Duration, i frame.VID) error {
		switch {
		case router < 0 || router > 3:
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: "mcast_router must be 0 to 3"}
		case v.p != nil:
			return m.SetPortRouter(now, uint16(v.p.num), i, snoop.Router(router))
		}
		o, _ := m.Options(i)
		o.Router = snoop.Router(router)
		return m.SetOptions(now, i, o)
	})
}

// SetMcastMaxGroups sets how many groups the port may be in in vid, or with end in each
// of vid to end (`bridge vlan set vid V mcast_max_groups N`); 0 is no limit. Errors: EINVAL
// for a bad VID or range, for the bridge's own device, where the VLAN has no snooping of
// its own, and for a release before 6.3, ENOENT for a VLAN that the port is not in.
func (v *VLANFilter) SetMcastMaxGroups(vid, end frame.VID, n uint32) error {
	return v.onMachine("vlan mcast_max_groups", vid, end, func(m *snoop.Machine, _ time.Duration, i frame.VID) error {
		switch {
		case !v.b.cfg.Load().rules.maxGroups:
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: "mcast_max_groups is known from Linux 6.3 on"}
		case v.p == nil:
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: "a limit of groups is for ports"}
		}
		return m.SetPortMaxGroups(uint16(v.p.num), i, n)
	})
}

// onMachine is Bridge.onMachine for each VLAN of a range, all of which the device must
// be in.
func (v *VLANFilter) onMachine(op string, vid, end frame.VID, do func(m *snoop.Machine, now time.Duration, i frame.VID) error) error {
	return v.b.onMachine(op, v.p, func(cfg *config, m *snoop.Machine, now time.Duration) error {
		g, vl := v.group(v.b.cfg.Load()), VLAN{VID: vid, End: end}
		if why := vl.check(); why != "" || g == nil {
			return &snoop.Refusal{Errno: snoop.EINVAL, Reason: why}
		}
		for i := vid; i <= vl.last(); i++ {
			if !g.has(i) {
				return &snoop.Refusal{Errno: snoop.ENOENT, Reason: "no such VLAN on the device"}
			}
		}
		v.b.snooping.tellVLANs(cfg, m, now)
		for i := vid; i <= vl.last(); i++ {
			if err := do(m, now, i); err != nil {
				return err
			}
		}
		return nil
	})
}
