package stp

import (
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// A Mode says who decides the states of ports, with the numbers of stp_state.
type Mode uint8

// The modes (BR_NO_STP, BR_KERNEL_STP, BR_USER_STP).
const (
	Off    Mode = iota // nobody: a port whose link is up is Forwarding, and BPDUs are not looked at
	Kernel             // the Bridge
	User               // somebody outside, by Bridge.SetState: a port that is enabled is Blocking until told otherwise
)

// BridgeConfig is what a Bridge does to what is around it. Each func is called within
// the call of the Bridge that causes it, in order, and must not call the Bridge. A nil
// one is nobody's business.
type BridgeConfig struct {
	Send  func(port uint16, p *BPDU) // a BPDU leaves by a port; p is lent
	State func(port uint16, s State) // a port has a state now, perhaps the one that it had (br_set_state)
	Flush func(port uint16)          // a port was disabled: what is known of what is behind it counts no more

	// Live is told, whenever states were chosen, of each port that is neither Disabled
	// nor Blocking then (br_multicast_enable_port).
	Live func(port uint16)

	// Changing says that the network changes its shape, or no more, or still: entries
	// of the FDB are to age fast meanwhile (__br_set_topology_change).
	Changing func(on bool)

	Event func(e BridgeEvent)
}

// A BridgeEvent is something that an operator may want to know.
type BridgeEvent struct {
	Kind BridgeEventKind
	Port uint16 // 0: it is about the bridge
}

// A BridgeEventKind says what happened.
type BridgeEventKind uint8

// The kinds of events.
const (
	GuardTripped   BridgeEventKind = iota + 1 // a BPDU came in by a port with BPDU guard: it is Disabled now
	RootBlocked                               // a port with root block would have become the root port: it is Listening now
	ChangeDetected                            // the topology changed here, or somebody further from the root said so
)

// Times are the timers' lengths that the root of a network decides for all of it
// (IEEE 802.1D-1998, 8.5.3).
type Times struct {
	MaxAge       time.Duration // until what a bridge said is forgotten
	HelloTime    time.Duration // between the BPDUs of the root
	ForwardDelay time.Duration // in Listening, and again in Learning
}

// DefaultTimes are those of 802.1D-1998, table 8-3.
var DefaultTimes = Times{MaxAge: 20 * time.Second, HelloTime: 2 * time.Second, ForwardDelay: 15 * time.Second}

// While a spanning tree runs the forward delay is held to these.
const (
	minForwardDelay = 2 * time.Second
	maxForwardDelay = 30 * time.Second
)

// A Bridge is the spanning tree of one bridge as Linux has it: 802.1D-1998, clause 8, with
// what Linux does otherwise, and what it does with port states where no tree runs (Off) or
// somebody else's does (User). It is used by one goroutine at a time. now is a moment of
// the caller's own clock, counted from anywhere; it must not go back from one call to the
// next. Moments and lengths count in ticks of 4 ms, and hello and hold timers expire at
// full seconds of that clock.
//
// Ports are told apart by numbers from 1 to 65535. What is told about a port that is
// not there is passed over.
type Bridge struct {
	cfg  BridgeConfig
	mode Mode
	up   bool // the bridge device is up
	id   BridgeID
	own  Times // what it would decide as the root

	root     BridgeID // designated_root
	rootCost uint32
	rootPort uint16 // 0: none
	times    Times  // in use: the root's

	changing bool // topology_change
	detected bool // topology_change_detected

	timers      clock
	hello       timer // runs in the root
	tcn         timer // runs until the root has heard of a change
	changeTimer timer // topology_change_timer, runs in the root

	ports []*bridgePort // newest first
	byNum map[uint16]*bridgePort
}

// bridgePort is a port of a Bridge.
type bridgePort struct {
	num   uint16
	id    PortID
	state State
	cost  uint32 // of the way through the port
	guard bool   // a BPDU disables it
	block bool   // it must not become the root port

	// What the best bridge of its segment said last, or would say: the bridge itself,
	// if the port is designated.
	root   BridgeID
	rcost  uint32
	bridge BridgeID
	port   PortID
	said   time.Duration // when it left the root, by the message age that it had

	ack     bool // the next Config BPDU acknowledges a topology change
	pending bool // one is to be sent once the hold timer allows

	messageAge timer // of what was said
	forward    timer
	hold       timer // no Config BPDU before it expires

	stats PortStats
}

// NewBridge makes the spanning tree of a bridge that is down, has no ports, the
// priority 0x8000 and no address yet. Its mode is Off.
func NewBridge(cfg BridgeConfig) *Bridge {
	b := &Bridge{cfg: cfg, own: DefaultTimes, times: DefaultTimes, byNum: map[uint16]*bridgePort{}}
	b.id.Priority = 0x8000
	b.root = b.id
	b.hello.Of = b.helloExpired
	b.tcn.Of = b.tcnExpired
	b.changeTimer.Of = b.changeExpired
	return b
}

// AddPort adds a port, which is Disabled. id holds its priority, cost is that of the way
// through it. A number that is taken, or 0, changes nothing.
func (b *Bridge) AddPort(num uint16, id PortID, cost uint32) {
	if b.byNum[num] != nil || num == 0 {
		return
	}
	p := &bridgePort{num: num, id: id, cost: cost}
	p.messageAge.Of = func(now time.Duration) { b.messageAgeExpired(p, now) }
	p.forward.Of = func(now time.Duration) { b.forwardDelayExpired(p, now) }
	p.hold.Of = func(now time.Duration) {
		if p.pending {
			b.transmitConfig(p, now)
		}
	}
	b.ports = slices.Insert(b.ports, 0, p)
	b.byNum[num] = p
	b.designate(p)
}

// RemovePort disables a port and forgets it.
func (b *Bridge) RemovePort(now time.Duration, num uint16) {
	p := b.byNum[num]
	if p == nil {
		return
	}
	b.disable(p, tickOf(now))
	delete(b.byNum, num)
	b.ports = slices.DeleteFunc(b.ports, func(q *bridgePort) bool { return q == p })
}

// EnablePort says that a port's link came up while the bridge is (br_stp_enable_port).
func (b *Bridge) EnablePort(now time.Duration, num uint16) {
	if p := b.byNum[num]; p != nil {
		b.designate(p)
		p.ack, p.pending = false, false
		b.setState(p, Blocking)
		b.selectStates(tickOf(now))
	}
}

// DisablePort says that a port's link went down (br_stp_disable_port).
func (b *Bridge) DisablePort(now time.Duration, num uint16) {
	if p := b.byNum[num]; p != nil {
		b.disable(p, tickOf(now))
	}
}

func (b *Bridge) disable(p *bridgePort, now time.Duration) {
	b.mayBecomeRoot(now, func() {
		b.designate(p)
		b.setState(p, Disabled)
		p.ack, p.pending = false, false
		b.timers.Stop(&p.messageAge)
		b.timers.Stop(&p.forward)
		b.timers.Stop(&p.hold)
		if b.cfg.Flush != nil {
			b.cfg.Flush(p.num)
		}
		b.update(now)
		b.selectStates(now)
	})
}

// SetUp says that the bridge device is up, or down: then its ports are disabled. Those
// whose link is up are to be enabled afterwards.
func (b *Bridge) SetUp(now time.Duration, up bool) {
	now = tickOf(now)
	if up {
		b.up = true
		if b.mode == Kernel {
			b.timers.set(&b.hello, now, b.times.HelloTime)
		}
		b.generate(now)
		return
	}
	for _, p := range b.ports {
		if p.state != Disabled {
			b.disable(p, now)
		}
	}
	b.setChanging(false)
	b.detected = false
	b.timers.Stop(&b.hello)
	b.timers.Stop(&b.tcn)
	b.timers.Stop(&b.changeTimer)
	b.up = false
}

// SetMode turns the spanning tree on or off. To go over from Kernel to User, or back, it
// has to be turned off: what is asked for while it is on has no effect otherwise. Ports
// stay as they are, Forwarding ones too. The forward delay is held to 2 s to 30 s from
// now on.
func (b *Bridge) SetMode(now time.Duration, m Mode) {
	switch {
	case m == Off:
		if b.mode == User {
			b.selectStates(tickOf(now))
		}
		b.mode = Off
		return
	case b.mode != Off:
		return
	}
	b.mode = m
	if d := min(max(b.own.ForwardDelay, minForwardDelay), maxForwardDelay); d != b.own.ForwardDelay {
		b.SetForwardDelay(d)
	}
	if m == Kernel {
		now = tickOf(now)
		if b.up {
			b.timers.set(&b.hello, now, b.times.HelloTime)
		}
		b.selectStates(now)
	}
}

// SetPriority sets the bridge's priority.
func (b *Bridge) SetPriority(now time.Duration, priority uint16) {
	now = tickOf(now)
	b.mayBecomeRoot(now, func() {
		for _, p := range b.ports {
			if p.state != Disabled && b.designated(p) {
				p.bridge.Priority = priority
			}
		}
		b.id.Priority = priority
		b.update(now)
		b.selectStates(now)
	})
}

// SetAddress sets the address of the bridge's identifier.
func (b *Bridge) SetAddress(now time.Duration, a frame.MAC) {
	now = tickOf(now)
	b.mayBecomeRoot(now, func() {
		old := b.id.Address
		b.id.Address = a
		for _, p := range b.ports {
			for _, id := range []*BridgeID{&p.bridge, &p.root} {
				if id.Address == old {
					id.Address = a
				}
			}
		}
		b.update(now)
		b.selectStates(now)
	})
}

// SetMaxAge sets the MaxAge that the bridge decides as the root, in use at once if it is.
// The value is taken as it is.
func (b *Bridge) SetMaxAge(d time.Duration) {
	b.own.MaxAge = d
	if b.isRoot() {
		b.times.MaxAge = d
	}
}

// SetHelloTime is SetMaxAge for the HelloTime.
func (b *Bridge) SetHelloTime(d time.Duration) {
	b.own.HelloTime = d
	if b.isRoot() {
		b.times.HelloTime = d
	}
}

// SetForwardDelay is SetMaxAge for the ForwardDelay.
func (b *Bridge) SetForwardDelay(d time.Duration) {
	b.own.ForwardDelay = d
	if b.isRoot() {
		b.times.ForwardDelay = d
	}
}

// SetPortID sets a port's identifier, which holds its priority.
func (b *Bridge) SetPortID(now time.Duration, num uint16, id PortID) {
	p := b.byNum[num]
	if p == nil {
		return
	}
	if b.designated(p) {
		p.port = id
	}
	p.id = id
	if p.bridge == b.id && p.id < p.port {
		b.designate(p)
		b.selectStates(tickOf(now))
	}
}

// SetCost sets the cost of the way through a port.
func (b *Bridge) SetCost(now time.Duration, num uint16, cost uint32) {
	if p := b.byNum[num]; p != nil {
		p.cost = cost
		b.update(tickOf(now))
		b.selectStates(tickOf(now))
	}
}

// SetLinkCost is SetCost for a cost that follows the link: it counts from the next choice
// on.
func (b *Bridge) SetLinkCost(num uint16, cost uint32) {
	if p := b.byNum[num]; p != nil {
		p.cost = cost
	}
}

// SetGuard says whether a BPDU disables a port (BPDU guard), and whether it must not
// become the root port (root block). Neither does anything until the next BPDU.
func (b *Bridge) SetGuard(num uint16, guard, block bool) {
	if p := b.byNum[num]; p != nil {
		p.guard, p.block = guard, block
	}
}

// SetState is a user's wish for a port's state: it holds until the link changes, except
// for Blocking with the mode Off, where the port is Forwarding at once. With the mode
// Kernel it is to be refused by the caller.
func (b *Bridge) SetState(now time.Duration, num uint16, s State) {
	if p := b.byNum[num]; p != nil {
		b.setState(p, s)
		b.selectStates(tickOf(now))
	}
}

// SetChanging is a user's word that the network changes its shape, or no more.
func (b *Bridge) SetChanging(on bool) { b.setChanging(on) }

// NextTimer is when Tick has something to do; ok is false if nothing runs.
func (b *Bridge) NextTimer() (at time.Duration, ok bool) { return b.timers.next() }

// Tick runs the timers that are due. A timer that is set in the course of it waits for a
// later Tick.
func (b *Bridge) Tick(now time.Duration) { b.timers.run(tickOf(now)) }
