package stp

import (
	"cmp"
	"slices"
	"time"
)

// RapidConfig is what a Rapid tells its surroundings. It calls the functions within
// the call of the Rapid that causes it, in the order in which things happen; they must
// not call it back. A nil function is not called.
type RapidConfig struct {
	// Send is given each BPDU that is to leave by a port. It must not keep b.
	Send func(port uint16, b *BPDU)

	// State is given each change of a port's state. A port that is added is Disabled.
	// States that take from the network are told before BPDUs that promise them: a BPDU
	// with the Agreement flag is sent when the ports that it speaks of discard.
	State func(port uint16, s State)

	// Flush is told that what was learned on a port is to be forgotten, at once. (With
	// ForceSTP too, where the standard lets it age in ForwardDelay instead.)
	Flush func(port uint16)

	// Notify is given what an operator may want to know.
	Notify func(RapidEvent)
}

// Rapid is the Rapid Spanning Tree Protocol of one bridge (IEEE 802.1D-2004, clause
// 17). It is used by one goroutine at a time. now is a moment of the caller's own
// clock, counted from anywhere; it must not go back from one call to the next.
//
// Ports are told apart by numbers of the caller's. What is told about a port that is
// not there is passed over.
type Rapid struct {
	cfg  RapidConfig
	opts RapidOptions
	// bridgeTimes are what opts say (17.18.3), in the form that BPDUs have.
	bridgeTimes  rapidTimes
	rootPriority rapidVector  // 17.18.6
	rootTimes    rapidTimes   // 17.18.7
	rootPort     uint16       // 17.18.5; 0: the bridge is root
	ports        []*rapidPort // by number
	byNum        map[uint16]*rapidPort
	others       bool // something happened that concerns more than one port, see runPort
	ticking      bool
	nextTick     time.Duration
}

// NewRapid makes the machine of a bridge without ports, with DefaultRapidOptions and
// the bridge identifier given.
func NewRapid(cfg RapidConfig, id BridgeID) *Rapid {
	m := &Rapid{cfg: cfg, byNum: map[uint16]*rapidPort{}}
	m.opts = DefaultRapidOptions
	m.opts.ID = id
	m.setTimes()
	m.rootPriority, m.rootTimes = m.ownPriority(), m.bridgeTimes
	return m
}

// Options gives what SetOptions set.
func (m *Rapid) Options() RapidOptions { return m.opts }

// SetOptions changes the settings of the bridge. Values out of range count as the
// nearest that is allowed. Roles are selected anew; a change of ForceSTP starts the
// protocol anew on all ports (17.13).
func (m *Rapid) SetOptions(now time.Duration, o RapidOptions) {
	restart := o.ForceSTP != m.opts.ForceSTP
	m.opts = o.inRange()
	m.setTimes()
	for _, p := range m.ports {
		p.txCount = min(p.txCount, m.opts.HoldCount)
		p.reselectRole()
		if restart {
			p.begin()
		}
	}
	m.selectRoot() // of a bridge without ports too
	m.run(now)
}

func (m *Rapid) setTimes() {
	m.bridgeTimes = rapidTimes{
		maxAge:       TicksOf(m.opts.MaxAge),
		helloTime:    TicksOf(m.opts.HelloTime),
		forwardDelay: TicksOf(m.opts.ForwardDelay),
	}
}

// ownPriority is the bridge priority vector (17.6).
func (m *Rapid) ownPriority() rapidVector {
	return rapidVector{root: m.opts.ID, bridge: m.opts.ID}
}

// AddPort adds a port whose link is down. num must not be 0, nor that of a port that is
// there.
func (m *Rapid) AddPort(now time.Duration, num uint16, o RapidPort) {
	if num == 0 || m.port(num) != nil {
		return
	}
	p := &rapidPort{m: m, num: num, opts: o, link: Link{Cost: maxPathCost}}
	at, _ := slices.BinarySearchFunc(m.ports, num, func(p *rapidPort, num uint16) int { return cmp.Compare(p.num, num) })
	m.ports = slices.Insert(m.ports, at, p)
	m.byNum[num] = p
	p.begin()
	m.run(now)
}

// RemovePort removes a port, which first becomes Disabled.
func (m *Rapid) RemovePort(now time.Duration, num uint16) {
	m.SetLink(now, num, Link{Cost: maxPathCost})
	m.ports = slices.DeleteFunc(m.ports, func(p *rapidPort) bool { return p.num == num })
	delete(m.byNum, num)
	m.run(now)
}

// SetPort changes the settings of a port. A port that BPDUGuard has shut stays so until
// its link goes.
func (m *Rapid) SetPort(now time.Duration, num uint16, o RapidPort) {
	p := m.port(num)
	if p == nil {
		return
	}
	if p.loopInconsistent && !o.LoopGuard {
		p.endLoopGuard()
	}
	p.opts = o
	p.reselectRole()
	m.run(now)
}

// SetLink says what became of a port's link. A link that was up and is to be seen as a
// new one goes down in between.
func (m *Rapid) SetLink(now time.Duration, num uint16, l Link) {
	p := m.port(num)
	if p == nil {
		return
	}
	if p.link.Cost != l.Cost {
		p.reselectRole()
	}
	p.link = l
	if !l.Up {
		p.guarded = false
	}
	p.portEnabled = l.Up && !p.guarded
	m.run(now)
}

// Mcheck has a port speak RSTP again, and see whether bridges that know STP alone are
// still there (17.19.13). With ForceSTP it does nothing.
func (m *Rapid) Mcheck(now time.Duration, num uint16) {
	if p := m.port(num); p != nil && m.rstpVersion() {
		p.mcheck = true
		m.run(now)
	}
}

// Handle takes a BPDU that a port received; it keeps no hold on b. One that the port
// does not listen to, or that a bridge must not process (9.3.4), does nothing.
func (m *Rapid) Handle(now time.Duration, num uint16, b *BPDU) {
	p := m.port(num)
	if p == nil || !p.portEnabled || p.opts.BPDUFilter {
		return
	}
	switch {
	case p.opts.BPDUGuard:
		p.guarded, p.portEnabled = true, false
		m.notify(RapidEvent{Kind: RapidBPDUGuard, Port: num})
		m.run(now)
	case p.valid(b):
		p.rcvd, p.rcvdBPDU = *b, true
		p.stats.received(b)
		m.runPort(now, p)
	}
}

// NextTimer is when Tick has something to do; ok is false while no port is up.
func (m *Rapid) NextTimer() (at time.Duration, ok bool) { return m.nextTick, m.ticking }

// Tick runs the timers. They count in whole seconds, from when the first port came up.
// A Tick that comes late counts all the seconds that went by at once.
func (m *Rapid) Tick(now time.Duration) {
	if !m.ticking || now < m.nextTick {
		return
	}
	n := (now-m.nextTick)/time.Second + 1
	m.nextTick += n * time.Second
	for _, p := range m.ports {
		p.tick(int(min(n, 1<<16)))
	}
	m.run(now)
}

// run lets the machines run until none has a transition left (17.16). BPDUs come last:
// they say what the others came to, and what they promise has been told to State.
//
// It ends: what transitions consume (a BPDU, a timer that ran out, a link's change) is
// not made by other transitions without end, and transmission is bounded by the hold
// count.
func (m *Rapid) run(now time.Duration) {
	for m.settle() || m.transmit() {
	}
	m.arm(now)
}

// runPort is run for a BPDU that one port has received. Most say nothing new, and
// concern no other port.
func (m *Rapid) runPort(now time.Duration, p *rapidPort) {
	m.others = false
	for p.settle() {
	}
	if m.others || p.reselect {
		m.run(now)
		return
	}
	for p.portTransmit() {
	}
	m.arm(now)
}

// arm starts or stops the timers.
func (m *Rapid) arm(now time.Duration) {
	running := slices.ContainsFunc(m.ports, (*rapidPort).ticks)
	if running && !m.ticking {
		m.nextTick = now + time.Second
	}
	m.ticking = running
}

// settle runs each machine but Port Transmit once. It reports whether one had a
// transition.
func (m *Rapid) settle() bool {
	changed := m.roleSelection()
	for _, p := range m.ports {
		changed = p.settle() || changed
	}
	return changed
}

// settle runs each machine of the port but Port Transmit once.
func (p *rapidPort) settle() (changed bool) {
	changed = p.portReceive()
	changed = p.protocolMigration() || changed
	changed = p.bridgeDetection() || changed
	changed = p.portInformation() || changed
	if p.roleTransitions() {
		p.m.others, changed = true, true // they ask whether this port is synced
	}
	changed = p.stateTransition() || changed
	return p.topologyChange() || changed
}

func (m *Rapid) transmit() (changed bool) {
	for _, p := range m.ports {
		changed = p.portTransmit() || changed
	}
	return changed
}

func (m *Rapid) port(num uint16) *rapidPort { return m.byNum[num] }

func (m *Rapid) notify(e RapidEvent) {
	if m.cfg.Notify != nil {
		m.cfg.Notify(e)
	}
}

// rstpVersion is 17.20.11.
func (m *Rapid) rstpVersion() bool { return !m.opts.ForceSTP }
