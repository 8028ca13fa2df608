package bridge

import (
	"math/bits"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// VLANGlobalInfo is the options of a VLAN that hold for the bridge as a whole
// (`bridge vlan global show`). A VLAN has them from when its first member joins,
// the bridge's own device or any port, with the values named here, until its last
// one leaves. They are the VLAN's own: the bridge's settings of the same names are
// not inherited.
type VLANGlobalInfo struct {
	VID  frame.VID
	MSTI int // the spanning tree instance it is mapped to; 0

	// Multicast snooping: these count while BridgeAttrs.McastVLANSnooping is on.
	McastSnooping              bool          // true
	McastQuerier               bool          // false
	McastIGMPVersion           int           // 2
	McastMLDVersion            int           // 1
	McastLastMemberCount       uint32        // 2
	McastStartupQueryCount     uint32        // 2
	McastLastMemberInterval    time.Duration // 1 s
	McastMembershipInterval    time.Duration // 260 s
	McastQuerierInterval       time.Duration // 255 s
	McastQueryInterval         time.Duration // 125 s
	McastQueryResponseInterval time.Duration // 10 s
	McastStartupQueryInterval  time.Duration // 31.25 s
}

// VLANGlobalAttrs is one request to change global options of VLANs, as `bridge vlan
// global set dev br0 vid V ...` makes it; the names are those of bridge(8). A nil
// field is left as it is, any other value is taken verbatim.
type VLANGlobalAttrs struct {
	// MSTI maps the VLAN to a spanning tree instance, 0 to 4095, whether MST is
	// enabled or not. On each port in the VLAN it takes the state of the port's
	// lowest other VLAN that is in the instance, and is DISABLED if there is none,
	// in instance 0 too.
	MSTI *int

	// Multicast snooping, see BridgeAttrs: these count while McastVLANSnooping is on.
	McastSnooping              *bool
	McastQuerier               *bool
	McastIGMPVersion           *int // 2, 3
	McastMLDVersion            *int // 1, 2
	McastLastMemberCount       *uint32
	McastStartupQueryCount     *uint32
	McastLastMemberInterval    *time.Duration
	McastMembershipInterval    *time.Duration
	McastQuerierInterval       *time.Duration
	McastQueryInterval         *time.Duration // held to 1 s to 24 h
	McastQueryResponseInterval *time.Duration
	McastStartupQueryInterval  *time.Duration // held to 1 s to 24 h
}

// SetVLANGlobal changes global options of vid, or with end of each VLAN from vid to
// end (br_vlan_rtm_process_global_options). A range is worked through in order and
// stops at the first VLAN that nobody is in, with ENOENT; those before it are
// changed, as in Linux. Other errors, which change nothing: ERANGE for an MSTI above
// 4095, EINVAL for a bad VID or range, or a protocol version.
func (b *Bridge) SetVLANGlobal(vid, end frame.VID, a VLANGlobalAttrs) error {
	var stopped error
	err := b.change("vlan global set", b.name, func(x *tx) error {
		vl := VLAN{VID: vid, End: end}
		if a.MSTI != nil && (*a.MSTI < 0 || *a.MSTI > maxMSTI) {
			return x.refuse(ERANGE, "MSTI must be 0 to 4095")
		}
		if why := vl.check(); why != "" {
			return x.refuse(EINVAL, why)
		}
		missing := x.refuse(ENOENT, "no device is in the VLAN")
		if !x.cfg.masters.has(vid) {
			return missing
		}
		if why := a.check(); why != "" {
			return x.refuse(EINVAL, why)
		}
		for i := vid; i <= vl.last() && stopped == nil; i++ {
			if !x.cfg.masters.has(i) {
				stopped = missing
				break
			}
			x.setGlobal(i, &a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return stopped
}

// VLANGlobals lists the options of every VLAN that a device is in, ascending.
func (b *Bridge) VLANGlobals() []VLANGlobalInfo {
	var all []VLANGlobalInfo
	b.cfg.Load().masters.each(func(v frame.VID, p *masterPage) {
		all = append(all, VLANGlobalInfo{VID: v, MSTI: int(p.msti[v&63])})
	})
	b.snooping.look(func(m *snoop.Machine, _ time.Duration) {
		for k := range all {
			o, ok := m.Options(all[k].VID)
			if !ok {
				o = snoop.DefaultOptions
			}
			all[k].fill(&o)
		}
	})
	return all
}

func (a *VLANGlobalAttrs) check() string {
	switch {
	case a.McastIGMPVersion != nil && *a.McastIGMPVersion != 2 && *a.McastIGMPVersion != 3:
		return "IGMP version must be 2 or 3"
	case a.McastMLDVersion != nil && *a.McastMLDVersion != 1 && *a.McastMLDVersion != 2:
		return "MLD version must be 1 or 2"
	}
	return ""
}

func (i *VLANGlobalInfo) fill(o *snoop.Options) {
	i.McastSnooping, i.McastQuerier = o.Snooping, o.Querier
	i.McastIGMPVersion, i.McastMLDVersion = int(o.IGMPVersion), int(o.MLDVersion)
	i.McastLastMemberCount, i.McastStartupQueryCount = o.LastMemberCount, o.StartupQueryCount
	i.McastLastMemberInterval, i.McastMembershipInterval = o.LastMemberInterval, o.MembershipInterval
	i.McastQuerierInterval, i.McastQueryInterval = o.QuerierInterval, o.QueryInterval
	i.McastQueryResponseInterval, i.McastStartupQueryInterval = o.QueryResponseInterval, o.StartupQueryInterval
}

func (x *tx) setGlobal(v frame.VID, a *VLANGlobalAttrs) {
	o := mcastAttrs{
		snooping: a.McastSnooping, querier: a.McastQuerier, igmp: a.McastIGMPVersion, mld: a.McastMLDVersion,
		lastMemberCount: a.McastLastMemberCount, startupQueryCount: a.McastStartupQueryCount,
		lastMember: a.McastLastMemberInterval, membership: a.McastMembershipInterval, querierPresent: a.McastQuerierInterval,
		query: a.McastQueryInterval, response: a.McastQueryResponseInterval, startup: a.McastStartupQueryInterval,
	}
	if o != (mcastAttrs{}) {
		x.snoopVLANs()
		x.setOptions(v, &o)
	}
	if a.MSTI != nil {
		x.mapVLAN(v, uint16(*a.MSTI))
	}
}

// vlanMasters is what the members of a VLAN have in common (the master entries of
// Linux): there for each VLAN that a device is in. Like a vlanGroup it is never
// changed once published; an edit copies it, and of its pages those that it touches.
type vlanMasters struct {
	pages [64]*masterPage
	owned uint64 // pages that this copy may write; meaningless once published
}

// masterPage holds 64 consecutive VIDs.
type masterPage struct {
	there uint64
	msti  [64]uint16
	stats [64]*vlanStats // that the members share
}

func (m *vlanMasters) has(v frame.VID) bool {
	p := m.pages[v>>6&63]
	return p != nil && p.there&(1<<(v&63)) != 0
}

// msti is the instance of a VLAN that is there.
func (m *vlanMasters) msti(v frame.VID) uint16 { return m.pages[v>>6&63].msti[v&63] }

// stats are the counters that the members of a VLAN that is there share.
func (m *vlanMasters) stats(v frame.VID) *vlanStats { return m.pages[v>>6&63].stats[v&63] }

// each calls fn for every VLAN that is there, ascending, with its page.
func (m *vlanMasters) each(fn func(v frame.VID, p *masterPage)) {
	for i, p := range m.pages {
		if p == nil {
			continue
		}
		for b := p.there; b != 0; b &= b - 1 {
			fn(frame.VID(i<<6+bits.TrailingZeros64(b)), p)
		}
	}
}

// writable gives the page of v to a copy that may write it.
func (m *vlanMasters) writable(v frame.VID) (*masterPage, uint64) {
	i := v >> 6 & 63
	if m.owned&(1<<i) == 0 {
		p := masterPage{}
		if m.pages[i] != nil {
			p = *m.pages[i]
		}
		m.pages[i] = &p
		m.owned |= 1 << i
	}
	return m.pages[i], 1 << (v & 63)
}

// editMasters gives the masters to write to: a copy, made once a transaction.
func (x *tx) editMasters() *vlanMasters {
	if x.cfg.masters == x.old.masters {
		m := *x.cfg.masters
		m.owned = 0
		x.cfg.masters = &m
	}
	return x.cfg.masters
}

// joinVLAN has v be there, for a device that comes into it.
func (x *tx) joinVLAN(v frame.VID) {
	if x.cfg.masters.has(v) {
		return
	}
	p, bit := x.editMasters().writable(v)
	p.there |= bit
	p.stats[v&63] = new(vlanStats)
}

// leaveVLAN follows a device that has left v; the last one takes all options with it.
// That is looked for, not counted: so to join a VLAN that is there costs no memory.
func (x *tx) leaveVLAN(v frame.VID) {
	if x.cfg.self.has(v) || slices.ContainsFunc(x.cfg.ports, func(pc *portConf) bool { return pc.vlans.has(v) }) {
		return
	}
	p, bit := x.editMasters().writable(v)
	p.there &^= bit
	p.msti[v&63], p.stats[v&63] = 0, nil
	x.snoopVLANGone(v)
}
