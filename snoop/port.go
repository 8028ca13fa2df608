package snoop

import (
	"cmp"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// PortState is the state of a port, or of a port in a VLAN, with Linux's numbers.
type PortState uint8

// The states of 802.1D.
const (
	Disabled PortState = iota
	Listening
	Learning
	Forwarding
	Blocking
)

// Router says whether multicast routers are taken to be at a port, with the numbers
// of mcast_router.
type Router uint8

// The settings. The bridge's own knows the first three, for its host.
const (
	RouterNever   Router = iota
	RouterLearned        // while queries, PIM hellos or advertisements come in
	RouterAlways
	RouterTemporary // from now on, for the querier interval; then RouterLearned
)

// PortOptions are the settings of a port. Linux's defaults are DefaultPortOptions.
type PortOptions struct {
	FastLeave     bool   // who leaves is deleted at once; hosts are tracked
	ToUnicast     bool   // mcast_to_unicast: each host is a member of its own
	MaxGroups     uint32 // mcast_max_groups; 0 is no limit
	EHTHostsLimit uint32 // mcast_eht_hosts_limit: hosts that are tracked at the port, over all groups; not 0
}

// DefaultPortOptions are those of a new port.
var DefaultPortOptions = PortOptions{EHTHostsLimit: 512}

// port is a port of the bridge.
type port struct {
	num, _   uint16
	rank     uint32
	opts     PortOptions
	state    PortState
	ctx      portContext           // bridge-wide
	vlans    []*portContext        // by VID
	members  map[frame.VID]*member // its memberships, by VLAN: lists, the newest first
	serial   uint64                // of the newest membership
	hosts    uint32                // tracked
	counters Counters
}

func (p *port) ref() PortRef { return PortRef{p.num, p.rank} }

func (p *port) vlan(vid frame.VID) *portContext {
	i, ok := slices.BinarySearchFunc(p.vlans, vid, func(c *portContext, vid frame.VID) int { return cmp.Compare(c.vid, vid) })
	if !ok {
		return nil
	}
	return p.vlans[i]
}

// A portContext is a port as a context sees it (struct net_bridge_mcast_port): bridge
// wide, or in one VLAN.
type portContext struct {
	port        *port
	ctx         *context
	vid         frame.VID // 0: bridge-wide
	router      Router
	own         [2]ownQuery
	routerTimer [2]timer
	listed      [2]bool   // among the context's router ports
	enabled     bool      // VLAN: snooping works
	state       PortState // VLAN: the port's state in it
	groups      uint32
	maxGroups   uint32
}

func (pc *portContext) init(p *port, c *context, vid frame.VID) {
	pc.port, pc.ctx, pc.vid, pc.router, pc.state = p, c, vid, RouterLearned, Forwarding
	for i := range families {
		pc.own[i].timer.Of, pc.routerTimer[i].Of = pc, pc
	}
}

func (pc *portContext) isVLAN() bool { return pc.vid != 0 }

// disabled: groups are neither joined nor left here.
func (pc *portContext) disabled() bool {
	return pc.port.state == Disabled || pc.isVLAN() && (!pc.enabled || pc.state == Disabled)
}

// stopped: no queries are sent here.
func (pc *portContext) stopped() bool {
	return pc.disabled() || pc.port.state == Blocking || pc.isVLAN() && pc.state == Blocking
}

// AddPort adds a port in state DISABLED, without VLANs, with DefaultPortOptions and
// as RouterLearned. num must be free.
func (m *Machine) AddPort(num uint16) {
	m.lastRank++
	p := &port{num: num, rank: m.lastRank, opts: DefaultPortOptions}
	p.ctx.init(p, m.bridge, 0)
	m.ports[num] = p
	m.byRank = slices.Insert(m.byRank, 0, p)
}

// RemovePort removes a port with all its memberships, permanent ones too.
func (m *Machine) RemovePort(now time.Duration, num uint16) {
	p := m.ports[num]
	if p == nil {
		return
	}
	defer m.flush()
	for _, pc := range p.vlans {
		pc.forget(m)
	}
	p.ctx.disable(m, now)
	for _, x := range p.memberships() {
		m.deleteMember(now, x)
	}
	delete(m.ports, num)
	m.byRank = slices.DeleteFunc(m.byRank, func(x *port) bool { return x == p })
}

// SetPortState tells a port's state. EnablePort and DisablePort are told by
// themselves, as in Linux.
func (m *Machine) SetPortState(num uint16, s PortState) {
	if p := m.ports[num]; p != nil {
		p.state = s
	}
}

// EnablePort starts the queries of a port anew (br_multicast_enable_port). Linux
// does so whenever it selects port states, for each port that is not BLOCKING then,
// whether or not its state has changed: so a link that changes anywhere makes all
// ports send queries. In VLANs of the port that are not LEARNING or FORWARDING, where
// each has a context of its own, it ends what DisablePort ends.
func (m *Machine) EnablePort(now time.Duration, num uint16) {
	if p := m.ports[num]; p != nil {
		p.enable(m, now)
		m.flush()
	}
}

// DisablePort ends the queries of a port, and what was learned on it is forgotten:
// groups and routers (br_multicast_disable_port). Permanent entries stay.
func (m *Machine) DisablePort(now time.Duration, num uint16) {
	if p := m.ports[num]; p != nil {
		p.disable(m, now)
		m.flush()
	}
}

// enable and disable go to the contexts that count (br_multicast_toggle_port).
func (p *port) enable(m *Machine, now time.Duration) {
	if !m.perVLAN {
		p.ctx.enable(m, now)
		return
	}
	for _, pc := range p.vlans {
		if pc.state != Learning && pc.state != Forwarding {
			pc.disable(m, now)
			continue
		}
		m.togglePortVLAN(now, pc, true)
		if pc.enabled {
			pc.enable(m, now)
		}
	}
}

func (p *port) disable(m *Machine, now time.Duration) {
	if !m.perVLAN {
		p.ctx.disable(m, now)
		return
	}
	for _, pc := range p.vlans {
		pc.disable(m, now)
	}
}

// enable is __br_multicast_enable_port_ctx.
func (pc *portContext) enable(m *Machine, now time.Duration) {
	if !m.running || !m.bridge.opts.Snooping {
		return
	}
	for i := range families {
		pc.own[i].enable(m, now)
		if pc.router == RouterAlways {
			pc.list(m, i)
		}
	}
}

// disable is __br_multicast_disable_port_ctx.
func (pc *portContext) disable(m *Machine, now time.Duration) {
	for _, x := range pc.memberships() {
		if !x.permanent && !x.gone {
			m.deleteMember(now, x)
		}
	}
	pc.forget(m)
}

// forget ends a port's queries, and that it is a router port.
func (pc *portContext) forget(m *Machine) {
	gone := false
	for i := range families {
		gone = pc.unlist(m, i) || gone
		m.stop(&pc.routerTimer[i])
		m.stop(&pc.own[i].timer)
	}
	pc.unlisted(m, gone)
}

// link and unlink keep the list of a port's memberships.
func (p *port) link(x *member) {
	vid := x.entry.key.VID
	if x.next = p.members[vid]; x.next != nil {
		x.next.prev = x
	}
	if p.members == nil {
		p.members = map[frame.VID]*member{}
	}
	p.members[vid] = x
	p.serial++
	x.serial = p.serial
}

func (p *port) unlink(x *member) {
	if x.next != nil {
		x.next.prev = x.prev
	}
	switch vid := x.entry.key.VID; {
	case x.prev != nil:
		x.prev.next = x.next
	case x.next != nil:
		p.members[vid] = x.next
	default:
		delete(p.members, vid)
	}
}

// memberships are the port's, the newest first: a copy of the lists, to delete from
// them.
func (p *port) memberships() (all []*member) {
	for _, x := range p.members {
		for ; x != nil; x = x.next {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b *member) int { return cmp.Compare(b.serial, a.serial) })
	return all
}

// memberships are those that a context ends with.
func (pc *portContext) memberships() (all []*member) {
	if !pc.isVLAN() {
		return pc.port.memberships()
	}
	for x := pc.port.members[pc.vid]; x != nil; x = x.next {
		all = append(all, x)
	}
	return all
}

// SetPortOptions changes a port's settings; EHTHostsLimit 0 is EINVAL. Entries that
// are there stay, also where a limit is lower than their number.
func (m *Machine) SetPortOptions(num uint16, o PortOptions) error {
	p := m.ports[num]
	switch {
	case p == nil:
		return nil
	case o.EHTHostsLimit == 0:
		return refusal(EINVAL, "the limit of tracked hosts cannot be zero")
	}
	toUnicast := p.opts.ToUnicast
	p.opts, p.ctx.maxGroups = o, o.MaxGroups
	if toUnicast != o.ToUnicast {
		for _, x := range p.memberships() {
			x.touch(m)
		}
	}
	m.flush()
	return nil
}

// PortOptions gives a port's settings.
func (m *Machine) PortOptions(num uint16) (o PortOptions, ok bool) {
	if p := m.ports[num]; p != nil {
		return p.opts, true
	}
	return o, false
}

// SetPortMaxGroups sets the limit of groups of a port in a VLAN, 0 for none. It is
// EINVAL where the VLAN has no snooping of its own.
func (m *Machine) SetPortMaxGroups(num uint16, vid frame.VID, n uint32) error {
	pc := m.portContext(num, vid)
	if pc == nil || !pc.isVLAN() || !m.perVLAN || !pc.enabled {
		return refusal(EINVAL, "multicast snooping disabled on this VLAN")
	}
	pc.maxGroups = n
	return nil
}

// Groups is the number of memberships of a port, in all VLANs if vid is 0
// (mcast_n_groups), and the limit.
func (m *Machine) Groups(num uint16, vid frame.VID) (n, limit uint32) {
	if pc := m.portContext(num, vid); pc != nil {
		return pc.groups, pc.maxGroups
	}
	return 0, 0
}

func (m *Machine) portContext(num uint16, vid frame.VID) *portContext {
	p := m.ports[num]
	if p == nil || vid == 0 {
		if p == nil {
			return nil
		}
		return &p.ctx
	}
	return p.vlan(vid)
}
