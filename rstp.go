package bridge

import (
	"time"

	"github.com/ddfb540f/bridge/stp"
)

// RSTP is a machine of its own too, stp.Rapid. Linux has it outside of the kernel, in a
// daemon that the kernel leaves the states of ports to (stp_state 2). Here the library is
// the daemon:
//
//	settings  once a change has been made, the machine is told of what is different now
//	          (rapidFollow); so the changes know nothing of it
//	states    by stp.Bridge.SetState, as the daemon sets them by netlink
//	BPDUs     in by stpRcv, out by what the other machine sends with
//	time      the other machine's
//
// What the machine says of ports becomes part of the config in which the BPDU, or what
// else caused it, is followed: when a BPDU that agrees leaves, the ports discard.

// STPMode is who runs the spanning tree while STPState is on (stp_mode).
type STPMode uint8

// The modes. STPModeRapid is the library's own.
const (
	STPModeAuto   STPMode = iota // STPModeKernel: there is no /sbin/bridge-stp to ask
	STPModeUser                  // somebody outside: sets the states of ports, gets BPDUs by PortConfig.OnPass
	STPModeKernel                // 802.1D as the kernel has it
	STPModeRapid                 // RSTP, as a daemon has it beside the kernel. STPState reads 2
)

var stpModeNames = [...]string{"auto", "user", "kernel", "rapid"}

// String gives the mode in one word.
func (m STPMode) String() string {
	if int(m) < len(stpModeNames) {
		return stpModeNames[m]
	}
	return "unknown"
}

// mode is who decides, for the kernel.
func (m STPMode) mode() stp.Mode {
	if m == STPModeUser || m == STPModeRapid {
		return stp.User
	}
	return stp.Kernel
}

// hasTree reports whether a spanning tree of the bridge's own runs, and takes BPDUs.
func (i *BridgeInfo) hasTree() bool {
	return i.STPState == 1 || i.STPState == 2 && i.STPMode == STPModeRapid
}

// rapidStart makes the machine, without ports: rapidFollow tells it of them.
func (s *spanning) rapidStart() {
	s.rapid = stp.NewRapid(stp.RapidConfig{
		Send: s.send, State: s.rapidState, Flush: s.rapidFlush, Notify: s.rapidEvent,
	}, s.m.Status(s.now).ID)
}

// rapidStop ends the machine. The ports whose links are up forward, as without a
// spanning tree.
func (x *tx) rapidStop() {
	if x.b.spanning.rapid == nil {
		return
	}
	x.b.spanning.rapid = nil
	if !x.cfg.info.Up {
		return
	}
	for _, pc := range x.cfg.ports {
		if x.running(pc.p) && pc.info.State != StateForwarding {
			x.treeEnable(pc.p)
		}
	}
}

// rapidFollow tells the machine what a request has changed, and the ports of states that
// they lost by it.
func (x *tx) rapidFollow() {
	m := x.b.spanning.rapid
	if m == nil || x.reacts {
		return
	}
	if x.leaving != nil {
		m.RemovePort(x.now, uint16(x.leaving.num))
	}
	if o := x.rapidOptions(); o != m.Options() {
		m.SetOptions(x.now, o)
	}
	for _, pc := range x.cfg.ports {
		num, o := uint16(pc.num), pc.info.rapidPort()
		switch have, ok := m.PortOptions(num); {
		case !ok:
			m.AddPort(x.now, num, o)
		case have != o:
			m.SetPort(x.now, num, o)
		}
		link := stp.Link{Up: x.cfg.info.Up && x.running(pc.p), PointToPoint: true, Cost: stp.RapidCost(0)}
		if link != m.Link(num) {
			m.SetLink(x.now, num, link)
		}
	}
	for _, pc := range x.cfg.ports {
		if s, _ := m.Port(uint16(pc.num)); s.State != pc.info.State {
			x.b.spanning.rapidState(uint16(pc.num), s.State)
		}
	}
}

func (x *tx) rapidOptions() stp.RapidOptions {
	t := x.b.spanning.m.Status(x.now)
	return stp.RapidOptions{
		ID: t.ID, MaxAge: t.Times.MaxAge, HelloTime: t.Times.HelloTime, ForwardDelay: t.Times.ForwardDelay,
		HoldCount: x.cfg.info.TxHoldCount,
	}
}

func (i *PortInfo) rapidPort() stp.RapidPort {
	return stp.RapidPort{
		ID: stp.PortID(i.PortID), Cost: i.PathCost,
		AdminEdge: i.AdminEdge, NoAutoEdge: !i.AutoEdge, PointToPoint: i.PointToPoint,
		RestrictedRole: i.RootBlock, RestrictedTCN: i.RestrictedTCN,
		BPDUGuard: i.Guard, BPDUFilter: i.BPDUFilter, LoopGuard: i.LoopGuard,
	}
}

// rapidReceive gives the machine a BPDU.
func (s *spanning) rapidReceive(now time.Duration, num uint16, pdu []byte) {
	if p, err := stp.Parse(pdu); err == nil {
		s.rapid.Handle(now, num, &p)
	}
}

// What the machine says of ports, if they have not left.

func (s *spanning) rapidState(num uint16, st stp.State) {
	if pc := s.x.cfg.byNum[num]; pc != nil {
		s.m.SetState(s.x.now, num, st)
	}
}

// rapidFlush has a port forget what is behind it; one whose link is down, unless another
// port is to take over.
func (s *spanning) rapidFlush(num uint16) {
	if pc := s.x.cfg.byNum[num]; pc != nil && (pc.backup == 0 || s.x.running(pc.p)) {
		s.x.flushPort(pc.p)
	}
}

var rapidEvents = [...]EventKind{
	stp.RapidRole:           EventPortRole,
	stp.RapidTopologyChange: EventTopologyChange,
	stp.RapidBPDUGuard:      EventBPDUGuard,
	stp.RapidRootGuard:      EventRootBlocked,
	stp.RapidRootGuardEnd:   EventRootUnblocked,
	stp.RapidLoopGuard:      EventLoopGuard,
	stp.RapidLoopGuardEnd:   EventLoopGuardEnd,
}

func (s *spanning) rapidEvent(e stp.RapidEvent) {
	if pc := s.x.cfg.byNum[e.Port]; pc != nil {
		s.x.events = append(s.x.events, Event{Kind: rapidEvents[e.Kind], Port: pc.p.name, Role: e.Role})
	}
}

// What there is to be seen.

// fillRapid puts what RSTP knows of the root in a dump of the bridge.
func (i *BridgeInfo) fillRapid(m *stp.Rapid) {
	s := m.Status()
	i.RootID, i.RootPort, i.RootPathCost = s.Root, int(s.RootPort), s.RootCost
}

// rapidPort puts who serves a port's segment in a dump of it.
func (s *spanning) rapidPort(num uint16, t *stp.PortStatus) {
	if r, ok := s.rapid.Port(num); ok {
		t.DesignatedRoot, t.DesignatedCost = r.DesignatedRoot, r.DesignatedCost
		t.DesignatedBridge, t.DesignatedPort = r.DesignatedBridge, r.DesignatedPort
	}
}

// RSTP gives the state of RSTP (`mstpctl showbridge`); ok is false while it does not run.
func (b *Bridge) RSTP() (s stp.RapidStatus, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spanning.rapid == nil {
		return stp.RapidStatus{}, false
	}
	return b.spanning.rapid.Status(), true
}

// RSTP gives the state of the port in RSTP, its role among it (`mstpctl
// showportdetail`); ok is false while it does not run, and for a port that has left.
func (p *Port) RSTP() (s stp.RapidPortStatus, ok bool) {
	b := p.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spanning.rapid == nil || b.cfg.Load().conf(p) == nil {
		return stp.RapidPortStatus{}, false
	}
	return b.spanning.rapid.Port(uint16(p.num))
}

// Mcheck has the port speak RSTP again where it has fallen back to STP, and see whether a
// bridge that knows STP alone is still there (`mstpctl portmcheck`). Errors: EOPNOTSUPP
// for a port that has left, EINVAL while RSTP does not run.
func (p *Port) Mcheck() error {
	return p.b.change("mcheck", p.name, func(x *tx) error {
		m := x.b.spanning.rapid
		switch {
		case x.cfg.conf(p) == nil:
			return x.refuse(EOPNOTSUPP, "not a port of the bridge")
		case m == nil:
			return x.refuse(EINVAL, "RSTP does not run")
		}
		m.Mcheck(x.now, uint16(p.num))
		return nil
	})
}
