package bridge

import (
	"strings"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// Set changes settings of the bridge, all that a names or none of them. Errors:
// ERANGE for a time out of range, EINVAL for a mask, group address, PVID or
// multicast value out of range, EPROTONOSUPPORT for a VLAN protocol, EBUSY for
// VLANStatsPerPort and MSTEnabled while a port has a VLAN.
func (b *Bridge) Set(a BridgeAttrs) error {
	err := b.change("set", b.name, func(x *tx) error { return x.setBridge(&a) })
	if err == nil && a.AgeingTime != nil {
		b.collect(b.stamp()) // an ageing time takes effect at once, as in Linux
	}
	return err
}

func (x *tx) setBridge(a *BridgeAttrs) error {
	if why, no := x.checkBridge(a); why != "" {
		return x.refuse(no, why)
	}
	i := &x.cfg.info
	put(&i.AgeingTime, a.AgeingTime)
	put(&x.cfg.ownAgeing, a.AgeingTime)
	put(&i.VLANStats, a.VLANStats)
	put(&i.GroupFwdMask, a.GroupFwdMask)
	put(&i.NoLinkLocalLearn, a.NoLinkLocalLearn)
	if x.cfg.rules.maxLearned {
		put(&i.FDBMaxLearned, a.FDBMaxLearned)
	}
	put(&i.STPMode, a.STPMode)
	put(&i.TxHoldCount, a.TxHoldCount)
	if err := x.setVLANOptions(a); err != nil {
		return err
	}
	x.setTree(a) // which cannot be taken back: nothing is refused behind it
	if a.FDBLocalVLAN0 != nil {
		x.setLocalVLAN0(*a.FDBLocalVLAN0)
	}
	x.setMcast(a)
	if a.FDBFlush {
		x.after = append(x.after, func() {
			x.b.fdb.flushIf(func(_ uint64, v fdbVal) bool { return !v.has(fdbStatic) })
		})
	}
	return nil
}

// SetTopologyChange says whether the network is changing its shape (the topology
// change flag of IEEE 802.1D-2004 17.11): while it is, an idle entry lives for
// ForwardDelay instead of AgeingTime, so that stations that are behind another port
// now are found there soon. Nothing is flushed, and the collector comes when it was
// to come anyway. While STPState is 1 the bridge says so itself, and this holds until it
// does the next time; AgeingTime reads twice ForwardDelay meanwhile, as in Linux. It is
// for those who run a spanning tree of their own. Bringing the bridge down ends it.
func (b *Bridge) SetTopologyChange(on bool) error {
	return b.change("set topology change", b.name, func(x *tx) error { x.treeChanging(on); return nil })
}

// setTopologyChange is __br_set_topology_change.
func (x *tx) setTopologyChange(on bool) {
	i := &x.cfg.info
	if i.STPState == 1 && on != i.TopologyChange {
		i.AgeingTime = x.cfg.ownAgeing
		if on {
			i.AgeingTime = 2 * i.ForwardDelay
		}
	}
	i.TopologyChange = on
}

// checkBridge finds the first thing that Linux refuses, in the order in which
// br_changelink comes to it.
func (x *tx) checkBridge(a *BridgeAttrs) (why string, no Errno) {
	i := &x.cfg.info
	out := func(d *time.Duration, lo, hi time.Duration) bool { return d != nil && (*d < lo || *d > hi) }
	switch {
	case i.STPState != 0 && out(a.ForwardDelay, 2*time.Second, 30*time.Second):
		return "forward delay must be 2 s to 30 s while STP is on", ERANGE
	case out(a.HelloTime, time.Second, 10*time.Second):
		return "hello time must be 1 s to 10 s", ERANGE
	case out(a.MaxAge, 6*time.Second, 40*time.Second):
		return "max age must be 6 s to 40 s", ERANGE
	case a.STPMode != nil && *a.STPMode > STPModeRapid:
		return "no such STP mode", EINVAL
	case a.STPMode != nil && i.STPState != 0 && *a.STPMode != i.STPMode:
		return "the STP mode can't change while STP is on", EBUSY
	case a.TxHoldCount != nil && (*a.TxHoldCount < 1 || *a.TxHoldCount > 10):
		return "transmit hold count must be 1 to 10", ERANGE
	case a.VLANProtocol != nil && !a.VLANProtocol.IsTag():
		return "VLAN protocol must be 802.1Q or 802.1ad", EPROTONOSUPPORT
	case a.VLANDefaultPVID != nil && *a.VLANDefaultPVID > frame.MaxVID:
		return "default PVID must be 0 to 4094", EINVAL
	case a.GroupFwdMask != nil && *a.GroupFwdMask&7 != 0:
		return "bits 0 to 2 (STP, pause, LACP) can't be forwarded", EINVAL
	case a.GroupAddress != nil && !goodGroupAddress(*a.GroupAddress):
		return "group address must be 01:80:c2:00:00:0X, X not 1, 2 or 3", EINVAL
	case a.FDBLocalVLAN0 != nil && !x.cfg.rules.localVLAN0:
		return "fdb_local_vlan_0 is known from Linux 6.18 on", EINVAL
	case a.McastVLANSnooping != nil && *a.McastVLANSnooping && !*or(a.VLANFiltering, &i.VLANFiltering):
		return "multicast snooping per VLAN needs VLAN filtering", EINVAL
	case a.McastRouter != nil && (*a.McastRouter < 0 || *a.McastRouter > 2):
		return "mcast_router must be 0, 1 or 2", EINVAL
	case a.McastIGMPVersion != nil && *a.McastIGMPVersion != 2 && *a.McastIGMPVersion != 3:
		return "IGMP version must be 2 or 3", EINVAL
	case a.McastMLDVersion != nil && *a.McastMLDVersion != 1 && *a.McastMLDVersion != 2:
		return "MLD version must be 1 or 2", EINVAL
	}
	return "", 0
}

func or[T any](p, q *T) *T {
	if p != nil {
		return p
	}
	return q
}

func goodGroupAddress(m frame.MAC) bool {
	return m.IsLinkLocal() && (m[5] == 0 || m[5] > 3)
}

func (x *tx) anyPortVLAN() bool {
	for _, pc := range x.cfg.ports {
		if pc.vlans.count > 0 {
			return true
		}
	}
	return false
}

// setVLANOptions changes what concerns VLANs. What wants ports without VLANs comes
// behind the default PVID, which may take the last ones away. A group address that
// nobody set follows the protocol while filtering is on.
func (x *tx) setVLANOptions(a *BridgeAttrs) error {
	i := &x.cfg.info
	put(&i.VLANFiltering, a.VLANFiltering)
	put(&i.VLANProtocol, a.VLANProtocol)
	if a.VLANDefaultPVID != nil && *a.VLANDefaultPVID != i.VLANDefaultPVID {
		old, new := i.VLANDefaultPVID, *a.VLANDefaultPVID
		i.VLANDefaultPVID = new
		vlanDev{x, nil}.moveDefault(old, new)
		for _, pc := range x.cfg.ports {
			vlanDev{x, pc.p}.moveDefault(old, new)
		}
	}
	switch {
	case a.VLANStatsPerPort != nil && x.anyPortVLAN():
		return x.refuse(EBUSY, "per-port VLAN statistics can't change while a port has a VLAN")
	case a.MSTEnabled != nil && x.anyPortVLAN():
		return x.refuse(EBUSY, "MST mode can't be changed while VLANs exist")
	}
	put(&i.VLANStatsPerPort, a.VLANStatsPerPort)
	put(&i.MSTEnabled, a.MSTEnabled)
	if a.GroupAddress != nil {
		i.GroupAddress = *a.GroupAddress
		x.cfg.groupAddressSet = true
	}
	if !x.cfg.groupAddressSet {
		i.GroupAddress = defaultGroupAddress
		if i.VLANFiltering && i.VLANProtocol == frame.TypeDot1AD {
			i.GroupAddress[5] = 8
		}
	}
	return nil
}

// Set changes settings of the port, all that a names or none of them. Errors:
// EOPNOTSUPP for a port that has left, ENETDOWN for a state while the link is
// down, EBUSY for a state while STP is on, ERANGE for priority and cost, EINVAL
// for the rest.
func (p *Port) Set(a PortAttrs) error {
	return p.b.change("set", p.name, func(x *tx) error { return x.setPort(p, &a) })
}

func (x *tx) setPort(p *Port, a *PortAttrs) error {
	if x.cfg.conf(p) == nil {
		return x.refuse(EOPNOTSUPP, "not a port of the bridge")
	}
	if why, no := x.checkPort(p, a); why != "" {
		return x.refuse(no, why)
	}
	pc := x.edit(p)
	was := pc.info
	applyPort(&pc.info, a, &x.cfg.rules)
	pc.adminCost = pc.adminCost || a.Cost != nil
	pc.info.PortID = portID(&pc.info)
	x.snoopPortAttrs(p, a)
	pc.derive()
	if pc.info.NeighSuppress != was.NeighSuppress || pc.info.NeighVLANSuppress != was.NeighVLANSuppress {
		x.recountSuppression()
	}
	if was.MAB && !pc.info.MAB {
		x.after = append(x.after, func() {
			x.b.fdb.flushIf(func(_ uint64, v fdbVal) bool { return v.port() == p.num && v.has(fdbLocked) })
		})
	}
	if was.VLANTunnel && !pc.info.VLANTunnel {
		vlanDev{x, p}.edit().tunnels = nil
	}
	if a.BackupPort != nil {
		pc.backup = 0
		if q := x.portNamed(*a.BackupPort); q != nil {
			pc.backup = q.num
		}
	}
	if a.FDBFlush {
		x.flushPort(p)
	}
	x.setTreePort(p, a)
	return nil
}

// checkPort finds the first thing that Linux refuses.
func (x *tx) checkPort(p *Port, a *PortAttrs) (why string, no Errno) {
	pc := x.cfg.conf(p)
	i := &pc.info
	mab := *or(a.MAB, &i.MAB) && x.cfg.rules.mab
	switch {
	case mab && !(*or(a.Locked, &i.Locked) && *or(a.Learning, &i.Learning)):
		return "a port must be locked and have learning enabled when MAB is enabled", EINVAL
	case a.Cost != nil && (*a.Cost < 1 || *a.Cost > 65535):
		return "cost must be 1 to 65535", ERANGE
	case a.Priority != nil && (*a.Priority < 0 || *a.Priority > 63):
		return "priority must be 0 to 63", ERANGE
	case a.State != nil && *a.State > StateBlocking:
		return "no such port state", EINVAL
	case a.State != nil && x.cfg.info.hasTree():
		return "the spanning tree decides port states", EBUSY
	case a.State != nil && !i.Up, a.State != nil && !pc.flags.has(flagCarrier) && *a.State != StateDisabled:
		return "the port's link is down", ENETDOWN
	case a.PathCost != nil && *a.PathCost > 200_000_000:
		return "path cost must be at most 200,000,000", ERANGE
	case a.PointToPoint != nil && *a.PointToPoint > stp.PointToPointNo:
		return "no such value of PointToPoint", EINVAL
	case a.McastRouter != nil && (*a.McastRouter < 0 || *a.McastRouter > 3):
		return "mcast_router must be 0 to 3", EINVAL
	case a.McastEHTHostsLimit != nil && *a.McastEHTHostsLimit == 0:
		return "mcast_eht_hosts_limit must not be 0", EINVAL
	case a.GroupFwdMask != nil && *a.GroupFwdMask&2 != 0:
		return "bit 1 (pause) can't be forwarded", EINVAL
	case a.BackupPort != nil && *a.BackupPort == p.name:
		return "a port can't be its own backup", EINVAL
	case a.BackupPort != nil && *a.BackupPort != "" && x.portNamed(*a.BackupPort) == nil:
		return "the backup is no port of this bridge", ENOENT
	}
	return "", 0
}

func applyPort(i *PortInfo, a *PortAttrs, r *rules) {
	if r.mab {
		put(&i.MAB, a.MAB)
	}
	if r.maxGroups {
		put(&i.McastMaxGroups, a.McastMaxGroups)
	}
	if r.neighVLAN {
		put(&i.NeighVLANSuppress, a.NeighVLANSuppress)
	}
	if r.backupNexthop {
		put(&i.BackupNexthopID, a.BackupNexthopID)
	}
	put(&i.Priority, a.Priority)
	put(&i.Cost, a.Cost)
	put(&i.Learning, a.Learning)
	put(&i.Flood, a.Flood)
	put(&i.McastFlood, a.McastFlood)
	put(&i.BcastFlood, a.BcastFlood)
	put(&i.Hairpin, a.Hairpin)
	put(&i.Isolated, a.Isolated)
	put(&i.Locked, a.Locked)
	put(&i.ProxyARP, a.ProxyARP)
	put(&i.GroupFwdMask, a.GroupFwdMask)
	if a.BackupPort != nil {
		i.BackupPort = strings.Clone(*a.BackupPort) // so that nothing of a request outlives it
	}
	put(&i.Guard, a.Guard)
	put(&i.RootBlock, a.RootBlock)
	put(&i.AdminEdge, a.AdminEdge)
	put(&i.AutoEdge, a.AutoEdge)
	put(&i.PointToPoint, a.PointToPoint)
	put(&i.PathCost, a.PathCost)
	put(&i.RestrictedTCN, a.RestrictedTCN)
	put(&i.BPDUFilter, a.BPDUFilter)
	put(&i.LoopGuard, a.LoopGuard)
	put(&i.FastLeave, a.FastLeave)
	put(&i.McastToUnicast, a.McastToUnicast)
	put(&i.McastEHTHostsLimit, a.McastEHTHostsLimit)
	put(&i.ProxyARPWifi, a.ProxyARPWifi)
	put(&i.NeighSuppress, a.NeighSuppress)
	put(&i.VLANTunnel, a.VLANTunnel)
}

// portID is 6 bits of priority and 10 of number.
func portID(i *PortInfo) uint16 { return uint16(i.Priority<<10 | i.No) }

func (x *tx) portNamed(name string) *Port {
	for _, pc := range x.cfg.ports {
		if pc.p.name == name {
			return pc.p
		}
	}
	return nil
}
