package stp

import "cmp"

// rapidVector is a priority vector (17.5): better is lower. Its last component, the
// port that receives, is added where vectors of different ports are compared.
type rapidVector struct {
	root   BridgeID
	cost   uint32
	bridge BridgeID
	port   PortID
}

// worstVector is what any other is better than.
var worstVector = rapidVector{
	root: BridgeID{1<<16 - 1, [6]byte{255, 255, 255, 255, 255, 255}}, cost: 1<<32 - 1,
	bridge: BridgeID{1<<16 - 1, [6]byte{255, 255, 255, 255, 255, 255}}, port: 1<<16 - 1,
}

func (v *rapidVector) compare(w *rapidVector) int {
	return cmp.Or(v.root.Compare(w.root), cmp.Compare(v.cost, w.cost),
		v.bridge.Compare(w.bridge), cmp.Compare(v.port, w.port))
}

// sameSender reports whether both were sent by the same port of the same bridge,
// whatever their priorities became.
func (v *rapidVector) sameSender(w *rapidVector) bool {
	const number = 1<<12 - 1
	return v.bridge.Address == w.bridge.Address && v.port&number == w.port&number
}

// rapidTimes are timer values as they come with a priority vector (17.18.7).
type rapidTimes struct{ messageAge, maxAge, helloTime, forwardDelay Ticks }

// seconds is t in the whole seconds that timers count.
func seconds(t Ticks) int { return (int(t) + 255) / 256 }

// olderMessage is the age that a message has one bridge further on: one second more,
// in whole seconds (17.21.23, 17.21.25).
func olderMessage(age Ticks) int { return (int(age) + 256 + 128) / 256 }

// migrateTime is Migrate Time (17.13.9), in seconds.
const migrateTime = 3

// infoIs is where a port's priority vector is from (17.19.10).
type infoIs uint8

const (
	infoDisabled infoIs = iota
	infoAged
	infoMine
	infoReceived
)

// rapidPort is a port, with the variables of 17.17 and 17.19 under their names.
//
// Not here are fdbFlush, as Flush is done when it returns; rcvdInfo, tick and the
// variables that only say what a transition does next.
type rapidPort struct {
	m    *Rapid
	num  uint16
	opts RapidPort
	link Link

	// Timers (17.17), in seconds to go, and the count of BPDUs sent (17.19.44).
	edgeDelayWhile, fdWhile, helloWhen, mdelayWhile    int
	rbWhile, rcvdInfoWhile, rrWhile, tcWhile, txCount  int
	portPriority, designatedPriority, msgPriority      rapidVector
	portTimes, designatedTimes, msgTimes               rapidTimes
	infoIs                                             infoIs
	role, selectedRole                                 Role
	portEnabled, mcheck, newInfo, operEdge, sendRSTP   bool
	rcvdBPDU, rcvdMsg, rcvdRSTP, rcvdSTP               bool
	rcvdTc, rcvdTcAck, rcvdTcn, tcAck, tcProp          bool
	agree, agreed, proposed, proposing, disputed       bool
	reRoot, sync, synced, reselect, selected, updtInfo bool
	learn, learning, forward, forwarding               bool

	migration   migrationState
	information informationState
	transition  transitionState
	topology    topologyState

	rcvd  BPDU  // the BPDU that rcvdBPDU is of
	state State // that was told
	stats RapidPortStats

	guarded          bool // shut by BPDUGuard
	loopInconsistent bool // held by LoopGuard
	rootInconsistent bool // held by RestrictedRole
}

// begin is what BEGIN does to each machine (17.16, 17.18.1).
func (p *rapidPort) begin() {
	p.receiveDiscard()
	p.checkingRSTP()
	p.operEdge = p.opts.AdminEdge
	p.informationDisabled()
	p.selectedRole = RoleOfDisabled // updtRoleDisabledTree, 17.21.24
	p.initPort()
	p.stateDiscarding()
	p.topologyInactive()
	p.transmitInit()
}

// reselectRole has roles selected anew, because of what is set (17.13).
func (p *rapidPort) reselectRole() { p.reselect, p.selected = true, false }

// ticks reports whether the port's timers have something to count. Those of a port
// that is not enabled are held where they are, but for txCount.
func (p *rapidPort) ticks() bool { return p.portEnabled || p.txCount > 0 }

// tick is the Port Timers machine (17.22) after n seconds.
func (p *rapidPort) tick(n int) {
	p.txCount = max(p.txCount-n, 0)
	if !p.portEnabled {
		return
	}
	for _, t := range [...]*int{
		&p.edgeDelayWhile, &p.fdWhile, &p.helloWhen, &p.mdelayWhile,
		&p.rbWhile, &p.rcvdInfoWhile, &p.rrWhile, &p.tcWhile,
	} {
		*t = max(*t-n, 0)
	}
}

// Conditions and parameters of 17.20.

func (p *rapidPort) operPointToPoint() bool {
	if p.opts.PointToPoint == PointToPointAuto {
		return p.link.PointToPoint
	}
	return p.opts.PointToPoint == PointToPointYes
}

func (p *rapidPort) pathCost() uint32 {
	return min(cmp.Or(p.opts.Cost, p.link.Cost), maxPathCost)
}

func (p *rapidPort) edgeDelay() int {
	if p.operPointToPoint() {
		return migrateTime
	}
	return p.maxAge()
}

// forwardDelay is what a port that nobody vouches for waits between states. A port that
// speaks RSTP waits HelloTime: whoever could object would have heard of it by then.
func (p *rapidPort) forwardDelay() int {
	if p.sendRSTP {
		return p.helloTime()
	}
	return p.fwdDelay()
}

func (p *rapidPort) fwdDelay() int  { return seconds(p.designatedTimes.forwardDelay) }
func (p *rapidPort) helloTime() int { return seconds(p.designatedTimes.helloTime) }
func (p *rapidPort) maxAge() int    { return seconds(p.designatedTimes.maxAge) }

// allSynced is 17.20.3: no port but the root port could be part of a loop by what is
// behind this one. That none is about to take another priority vector is of 802.1Q
// (2018, 13.28.2): what a port is synced by may not be good for that. Without this it
// depends on which machine runs first whether the bridge agrees to a worse way to the root
// that those behind it have not agreed to.
func (m *Rapid) allSynced() bool {
	for _, p := range m.ports {
		if !p.selected || p.updtInfo || p.role != p.selectedRole || !p.synced && p.role != RoleOfRoot {
			return false
		}
	}
	return true
}

// reRooted is 17.20.10: no other port was a root port lately.
func (p *rapidPort) reRooted() bool {
	for _, q := range p.m.ports {
		if q != p && q.rrWhile != 0 {
			return false
		}
	}
	return true
}
