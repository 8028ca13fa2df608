package bridge

import (
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// What a change of the configuration tells the snooping machine: once the new config
// is published, in the order in which Linux would have come to it.

// snoop notes what the machine is to be told.
func (x *tx) snoop(do func(m *snoop.Machine, now time.Duration)) { x.told = append(x.told, do) }

// tell tells it. It runs while b.mu is held.
func (x *tx) tell() {
	if len(x.told) == 0 {
		return
	}
	x.b.snooping.with(x.b.since(), func(m *snoop.Machine, now time.Duration) {
		for _, do := range x.told {
			do(m, now)
		}
	})
}

// snoopVLAN is snoop for what concerns VLANs. As long as none has settings of its own
// that count the machine need not know of any: each costs memory on each port.
func (x *tx) snoopVLAN(do func(m *snoop.Machine, now time.Duration)) {
	if x.b.snooping.vlans {
		x.snoop(do)
	}
}

// snoopVLANs has the machine know of VLANs from now on.
func (x *tx) snoopVLANs() {
	x.snoop(func(m *snoop.Machine, now time.Duration) { x.b.snooping.tellVLANs(x.cfg, m, now) })
}

// tellVLANs tells the machine of all VLANs that there are. s.mu must be held.
func (s *snooping) tellVLANs(cfg *config, m *snoop.Machine, now time.Duration) {
	if s.vlans {
		return
	}
	s.vlans = true
	cfg.masters.each(func(v frame.VID, _ *masterPage) { m.AddVLAN(v) })
	cfg.self.each(func(v frame.VID) { m.SetSelf(now, v, true) })
	for _, pc := range cfg.ports {
		pc.vlans.each(func(v frame.VID) {
			m.AddPortVLAN(now, uint16(pc.num), v, snoop.PortState(pc.vlans.state(v)))
		})
	}
}

func (x *tx) snoopPort(p *Port) {
	s := &x.b.snooping
	x.snoop(func(m *snoop.Machine, _ time.Duration) {
		for p.num >= len(s.ports) {
			s.ports = append(s.ports, nil)
		}
		s.ports[p.num] = p
		m.AddPort(uint16(p.num))
		p.mcast.Store(m.Counters(uint16(p.num)))
	})
}

// snoopPortGone comes behind the flush of what was learned on the port (del_nbp).
func (x *tx) snoopPortGone(p *Port) {
	s := &x.b.snooping
	x.snoop(func(m *snoop.Machine, now time.Duration) {
		m.RemovePort(now, uint16(p.num))
		s.ports[p.num] = nil
	})
}

func (x *tx) snoopState(p *Port, st PortState) {
	x.snoop(func(m *snoop.Machine, _ time.Duration) { m.SetPortState(uint16(p.num), snoop.PortState(st)) })
}

// snoopEnable is called for one port after the other whenever states are selected, for
// many a BPDU too: those in a row are told of together, and by a BPDU not at all while
// nothing snoops. Mostly it is for all ports, the newest first, whose numbers fall by one
// each: that is one run.
func (x *tx) snoopEnable(p *Port) {
	s := &x.b.snooping
	if x.reacts && !s.view.On() && !s.vlans {
		return
	}
	if x.enabled == nil || len(x.told) != x.enabledAt {
		runs := new([]portRun)
		x.snoop(func(m *snoop.Machine, now time.Duration) {
			for _, run := range *runs {
				for num := run.first; num >= run.last; num-- {
					m.EnablePort(now, num)
				}
			}
		})
		x.enabled, x.enabledAt = runs, len(x.told)
	}
	num, runs := uint16(p.num), *x.enabled
	if end := len(runs) - 1; end >= 0 && runs[end].last == num+1 {
		runs[end].last = num
		return
	}
	*x.enabled = append(runs, portRun{num, num})
}

// A portRun is the port numbers from first down to last, which is 1 at least.
type portRun struct{ first, last uint16 }

func (x *tx) snoopDisable(p *Port) {
	x.snoop(func(m *snoop.Machine, now time.Duration) { m.DisablePort(now, uint16(p.num)) })
}

func (x *tx) snoopUp(up bool) {
	x.snoop(func(m *snoop.Machine, now time.Duration) { m.SetUp(now, up) })
}

func (x *tx) snoopAddress(a frame.MAC) {
	s := &x.b.snooping
	x.snoop(func(m *snoop.Machine, _ time.Duration) {
		s.source.MAC = a
		m.SetSource(s.source)
	})
}

// snoopJoin and snoopLeave follow a device that comes into a VLAN or leaves it; p is
// nil for the bridge's own. The VLAN is there from its first member to its last.
func (x *tx) snoopJoin(p *Port, v frame.VID, st PortState) {
	x.snoopVLAN(func(m *snoop.Machine, now time.Duration) {
		m.AddVLAN(v)
		if p == nil {
			m.SetSelf(now, v, true)
			return
		}
		m.AddPortVLAN(now, uint16(p.num), v, snoop.PortState(st))
	})
}

func (x *tx) snoopLeave(p *Port, v frame.VID) {
	x.snoopVLAN(func(m *snoop.Machine, now time.Duration) {
		if p == nil {
			m.SetSelf(now, v, false)
			return
		}
		m.RemovePortVLAN(now, uint16(p.num), v)
	})
}

func (x *tx) snoopVLANGone(v frame.VID) {
	x.snoopVLAN(func(m *snoop.Machine, now time.Duration) { m.RemoveVLAN(now, v) })
}

func (x *tx) snoopVLANState(p *Port, v frame.VID, st PortState) {
	if p != nil {
		x.snoopVLAN(func(m *snoop.Machine, now time.Duration) {
			m.SetVLANState(now, uint16(p.num), v, snoop.PortState(st))
		})
	}
}

// setMcast is the part of a request that is snooping's. As in Linux, router, snooping
// and querier come before the numbers: a querier that is turned on waits as long as
// answers took before.
func (x *tx) setMcast(a *BridgeAttrs) {
	i := &x.cfg.info
	put(&i.NFCallIPTables, a.NFCallIPTables)
	put(&i.NFCallIP6Tables, a.NFCallIP6Tables)
	put(&i.NFCallARPTables, a.NFCallARPTables)
	first := mcastAttrs{
		snooping: a.McastSnooping, querier: a.McastQuerier, useIfaddr: a.McastQueryUseIfaddr, router: a.McastRouter,
	}
	rest := mcastAttrs{
		igmp: a.McastIGMPVersion, mld: a.McastMLDVersion,
		lastMemberCount: a.McastLastMemberCount, startupQueryCount: a.McastStartupQueryCount,
		lastMember: a.McastLastMemberInterval, membership: a.McastMembershipInterval, querierPresent: a.McastQuerierInterval,
		query: a.McastQueryInterval, response: a.McastQueryResponseInterval, startup: a.McastStartupQueryInterval,
	}
	x.setOptions(0, &first)
	if hashMax, stats := a.McastHashMax, a.McastStats; hashMax != nil || stats != nil {
		x.snoop(func(m *snoop.Machine, _ time.Duration) {
			if hashMax != nil {
				m.SetHashMax(*hashMax)
			}
			if stats != nil {
				m.SetStats(*stats)
			}
		})
	}
	x.setOptions(0, &rest)
	switch on := a.McastVLANSnooping; {
	case !i.VLANFiltering && x.old.info.VLANFiltering, on != nil && !*on:
		x.setPerVLAN(false)
	case on != nil:
		x.snoopVLANs()
		x.setPerVLAN(true)
	}
}

func (x *tx) setPerVLAN(on bool) {
	x.snoop(func(m *snoop.Machine, now time.Duration) { m.SetPerVLAN(now, on) })
}

// setOptions changes the settings of the bridge (vid 0) or of a VLAN. What the machine
// would refuse is refused before.
func (x *tx) setOptions(vid frame.VID, a *mcastAttrs) {
	if *a == (mcastAttrs{}) {
		return
	}
	x.snoop(func(m *snoop.Machine, now time.Duration) {
		if o, ok := m.Options(vid); ok {
			a.apply(&o)
			_ = m.SetOptions(now, vid, o)
		}
	})
}

// mcastAttrs is what the settings of the bridge and of a VLAN have in common. A nil
// field is left as it is.
type mcastAttrs struct {
	snooping, querier, useIfaddr                                     *bool
	router, igmp, mld                                                *int
	lastMemberCount, startupQueryCount                               *uint32
	lastMember, membership, querierPresent, query, response, startup *time.Duration
}

func (a *mcastAttrs) apply(o *snoop.Options) {
	put(&o.Snooping, a.snooping)
	put(&o.Querier, a.querier)
	put(&o.QueryUseIfAddr, a.useIfaddr)
	putNumber(&o.Router, a.router)
	putNumber(&o.IGMPVersion, a.igmp)
	putNumber(&o.MLDVersion, a.mld)
	put(&o.LastMemberCount, a.lastMemberCount)
	put(&o.StartupQueryCount, a.startupQueryCount)
	put(&o.LastMemberInterval, a.lastMember)
	put(&o.MembershipInterval, a.membership)
	put(&o.QuerierInterval, a.querierPresent)
	put(&o.QueryInterval, a.query)
	put(&o.QueryResponseInterval, a.response)
	put(&o.StartupQueryInterval, a.startup)
}

// putNumber is put for a number that is known to fit.
func putNumber[T ~uint8](dst *T, v *int) {
	if v != nil {
		*dst = T(*v)
	}
}

// snoopPortAttrs is the part of a request to a port that is snooping's.
func (x *tx) snoopPortAttrs(p *Port, a *PortAttrs) {
	num, i := uint16(p.num), x.cfg.conf(p).info
	if a.FastLeave != nil || a.McastToUnicast != nil || a.McastMaxGroups != nil || a.McastEHTHostsLimit != nil {
		o := snoop.PortOptions{
			FastLeave: i.FastLeave, ToUnicast: i.McastToUnicast, MaxGroups: i.McastMaxGroups, EHTHostsLimit: i.McastEHTHostsLimit,
		}
		x.snoop(func(m *snoop.Machine, _ time.Duration) { _ = m.SetPortOptions(num, o) })
	}
	if a.McastRouter != nil {
		r := snoop.Router(*a.McastRouter)
		x.snoop(func(m *snoop.Machine, now time.Duration) { _ = m.SetPortRouter(now, num, 0, r) })
	}
}

// fill puts the settings of snooping in a dump of the bridge.
func (s *snooping) fill(i *BridgeInfo) {
	s.look(func(m *snoop.Machine, _ time.Duration) {
		o, _ := m.Options(0)
		i.McastSnooping, i.McastVLANSnooping = o.Snooping, m.PerVLAN()
		i.McastRouter, i.McastQuerier, i.McastQueryUseIfaddr = int(o.Router), o.Querier, o.QueryUseIfAddr
		i.McastStats, i.McastHashMax, i.McastHashElasticity = m.StatsOn(), m.HashMax(), 16
		i.McastIGMPVersion, i.McastMLDVersion = int(o.IGMPVersion), int(o.MLDVersion)
		i.McastLastMemberCount, i.McastStartupQueryCount = o.LastMemberCount, o.StartupQueryCount
		i.McastLastMemberInterval, i.McastMembershipInterval = o.LastMemberInterval, o.MembershipInterval
		i.McastQuerierInterval, i.McastQueryInterval = o.QuerierInterval, o.QueryInterval
		i.McastQueryResponseInterval, i.McastStartupQueryInterval = o.QueryResponseInterval, o.StartupQueryInterval
	})
}

// fillPort puts what snooping knows of a port in a dump of it.
func (s *snooping) fillPort(num int, i *PortInfo) {
	s.look(func(m *snoop.Machine, _ time.Duration) {
		if r, ok := m.PortRouter(uint16(num), 0); ok {
			n, _ := m.Groups(uint16(num), 0)
			i.McastRouter, i.McastGroups = int(r), int(n)
		}
	})
}

// fillVLANs puts it in a dump of a device's VLANs; num is 0 for the bridge's own.
func (s *snooping) fillVLANs(num int, all []VLANInfo) {
	s.look(func(m *snoop.Machine, _ time.Duration) {
		for k := range all {
			i := &all[k]
			if i.McastRouter = 1; !s.vlans {
				continue
			}
			if num == 0 {
				if o, ok := m.Options(i.VID); ok {
					i.McastRouter = int(o.Router)
				}
				continue
			}
			if r, ok := m.PortRouter(uint16(num), i.VID); ok {
				i.McastRouter = int(r)
			}
			if m.PerVLAN() {
				n, limit := m.Groups(uint16(num), i.VID)
				i.McastGroups, i.McastMaxGroups = int(n), limit
			}
		}
	})
}
