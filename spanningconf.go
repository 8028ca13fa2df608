package bridge

import (
	"time"

	"github.com/ddfb540f/bridge/stp"
)

// What a change of the configuration asks the spanning tree, in the order in which Linux
// would come to it, and what there is to be seen of the tree.

// tree gives the machine, to be asked at x.now.
func (x *tx) tree() (m *stp.Bridge, now time.Duration) { return x.b.spanning.m, x.now }

// treePort has the machine know of a port, which is DISABLED.
func (x *tx) treePort(p *Port) {
	m, _ := x.tree()
	i := &x.cfg.conf(p).info
	m.AddPort(uint16(p.num), stp.PortID(i.PortID), uint32(i.Cost))
	m.SetGuard(uint16(p.num), i.Guard, i.RootBlock)
}

func (x *tx) treePortGone(p *Port) {
	m, now := x.tree()
	x.leaving = p // what it learned goes with it
	m.RemovePort(now, uint16(p.num))
}

func (x *tx) treeEnable(p *Port) {
	m, now := x.tree()
	m.EnablePort(now, uint16(p.num))
}

func (x *tx) treeDisable(p *Port) {
	m, now := x.tree()
	m.DisablePort(now, uint16(p.num))
}

// treeUp follows the bridge's own device. Ports whose link is up are enabled, whatever
// state they were set to meanwhile.
func (x *tx) treeUp(up bool) {
	m, now := x.tree()
	m.SetUp(now, up)
	if !up {
		return
	}
	for _, pc := range x.cfg.ports {
		if x.running(pc.p) {
			x.treeEnable(pc.p)
		}
	}
}

// treeAddress follows the address of the bridge's own device. One that was made up
// because there is no port yet is not part of the bridge's id.
func (x *tx) treeAddress() {
	i := &x.cfg.info
	if i.AddressAuto && len(x.cfg.ports) == 0 && !i.Address.IsZero() {
		return
	}
	m, now := x.tree()
	m.SetAddress(now, i.Address)
}

func (x *tx) treeChanging(on bool) {
	m, _ := x.tree()
	m.SetChanging(on)
}

// setTree is the part of a request that is the tree's.
func (x *tx) setTree(a *BridgeAttrs) {
	m, now := x.tree()
	if a.ForwardDelay != nil {
		m.SetForwardDelay(*a.ForwardDelay)
	}
	if a.HelloTime != nil {
		m.SetHelloTime(*a.HelloTime)
	}
	if a.MaxAge != nil {
		m.SetMaxAge(*a.MaxAge)
	}
	if a.STPState != nil {
		x.setSTPState(*a.STPState != 0)
	}
	if a.Priority != nil {
		x.cfg.info.Priority = *a.Priority
		m.SetPriority(now, *a.Priority)
	}
}

// setSTPState is br_stp_set_enabled.
func (x *tx) setSTPState(on bool) {
	m, now := x.tree()
	mode := stp.Off
	if on {
		mode = x.cfg.info.STPMode.mode()
	}
	if was := stp.Mode(x.cfg.info.STPState); was == stp.Off || !on {
		x.cfg.info.STPState = int(mode)
		m.SetMode(now, mode)
		switch {
		case !on:
			x.rapidStop()
		case x.cfg.info.STPMode == STPModeRapid:
			x.b.spanning.rapidStart()
		}
	}
}

// setTreePort is the part of a request to a port that is the tree's. A port that is
// being added is not yet known to it.
func (x *tx) setTreePort(p *Port, a *PortAttrs) {
	m, now := x.tree()
	num, i := uint16(p.num), x.cfg.conf(p).info
	m.SetGuard(num, i.Guard, i.RootBlock)
	if a.Cost != nil {
		m.SetCost(now, num, uint32(i.Cost))
	}
	if a.Priority != nil {
		m.SetPortID(now, num, stp.PortID(i.PortID))
	}
	if a.State != nil {
		m.SetState(now, num, *a.State)
	}
}

// treeSettle takes over the times that are in use.
func (x *tx) treeSettle() {
	m, now := x.tree()
	t := m.Status(now).Times
	i := &x.cfg.info
	i.MaxAge, i.HelloTime, i.ForwardDelay = t.MaxAge, t.HelloTime, t.ForwardDelay
}

// info gives the bridge's settings, with what the tree has to say.
func (s *spanning) info() BridgeInfo {
	now := s.b.since() // a clock is the user's
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	i := s.b.cfg.Load().info
	t := s.m.Status(max(now, s.now))
	i.BridgeID, i.RootID, i.RootPort, i.RootPathCost = t.ID, t.Root, int(t.RootPort), t.RootCost
	i.TopologyChangeDetected = t.TopologyChangeDetected
	if s.rapid != nil {
		i.fillRapid(s.rapid)
	}
	i.HelloTimer, i.TCNTimer, i.TopologyChangeTimer = t.HelloTimer, t.TCNTimer, t.TopologyChangeTimer
	if i.Up {
		i.GCTimer = max(time.Duration(s.b.gcAt.Load())*time.Millisecond-now, 0)
	}
	return i
}

// port gives a port's part of the config, nil if it has left, with what the tree has to
// say of it.
func (s *spanning) port(p *Port) (*portConf, stp.PortStatus) {
	now := s.b.since() // a clock is the user's
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	pc := s.b.cfg.Load().conf(p)
	if pc == nil {
		return nil, stp.PortStatus{}
	}
	t, _ := s.m.Port(max(now, s.now), uint16(p.num))
	if s.rapid != nil {
		s.rapidPort(uint16(p.num), &t)
	}
	return pc, t
}

// fill puts what the tree says of a port in a dump of it.
func (i *PortInfo) fill(t *stp.PortStatus) {
	i.DesignatedRoot, i.DesignatedCost = t.DesignatedRoot, int(t.DesignatedCost)
	i.DesignatedBridge, i.DesignatedPort = t.DesignatedBridge, uint16(t.DesignatedPort)
	i.TopologyChangeAck, i.ConfigPending = t.TopologyChangeAck, t.ConfigPending
	i.MessageAgeTimer, i.ForwardDelayTimer, i.HoldTimer = t.MessageAgeTimer, t.ForwardDelayTimer, t.HoldTimer
}
