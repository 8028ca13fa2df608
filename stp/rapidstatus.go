package stp

import "time"

// RapidStatus is the state of a Rapid, a value.
type RapidStatus struct {
	ID       BridgeID
	Root     BridgeID
	RootCost uint32
	RootPort uint16 // 0: none, the bridge is the root

	// What the root decides for the whole network, but for HelloTime, which is the own.
	MessageAge, MaxAge, HelloTime, ForwardDelay time.Duration

	TopologyChange bool // one is being told of
}

// Status gives the state of the bridge.
func (m *Rapid) Status() RapidStatus {
	s := RapidStatus{
		ID: m.opts.ID, Root: m.rootPriority.root, RootCost: m.rootPriority.cost, RootPort: m.rootPort,
		MessageAge: m.rootTimes.messageAge.Duration(), MaxAge: m.rootTimes.maxAge.Duration(),
		HelloTime: m.bridgeTimes.helloTime.Duration(), ForwardDelay: m.rootTimes.forwardDelay.Duration(),
	}
	for _, p := range m.ports {
		s.TopologyChange = s.TopologyChange || p.tcWhile != 0
	}
	return s
}

// RapidPortStats are a port's counters. They only grow.
type RapidPortStats struct {
	RxConfig, RxRST, RxTCN uint64 // BPDUs that the protocol took
	TxConfig, TxRST, TxTCN uint64
	RxTopologyChange       uint64 // those taken that told of a change, TCN or with the flag
	ToForwarding           uint64 // transitions to Forwarding
	ToBlocking             uint64 // transitions to Blocking, but for that when a link comes up
}

// RapidPortStatus is the state of a port of a Rapid, a value. Its words are those of
// 17.19.
type RapidPortStatus struct {
	Role  Role
	State State
	ID    PortID
	Cost  uint32 // in use

	// Who serves the port's LAN, as far as the port knows.
	DesignatedRoot   BridgeID
	DesignatedCost   uint32
	DesignatedBridge BridgeID
	DesignatedPort   PortID

	OperEdge         bool
	OperPointToPoint bool
	SendRSTP         bool // false: somebody behind the port knows STP alone, or ForceSTP

	Proposing, Proposed bool
	Agree, Agreed       bool
	Synced              bool
	Disputed            bool
	TopologyChangeAck   bool

	BPDUGuardError   bool // shut by BPDUGuard
	LoopInconsistent bool // held by LoopGuard
	RootInconsistent bool // held by RestrictedRole

	// What is left of timers, in whole seconds.
	RcvdInfoWhile, FdWhile, TcWhile, EdgeDelayWhile, MdelayWhile time.Duration

	Stats RapidPortStats
}

// Port gives the state of a port; ok is false if there is none of that number.
func (m *Rapid) Port(num uint16) (s RapidPortStatus, ok bool) {
	p := m.port(num)
	if p == nil {
		return RapidPortStatus{}, false
	}
	return RapidPortStatus{
		Role: p.role, State: p.state, ID: p.opts.ID, Cost: p.pathCost(),
		DesignatedRoot: p.portPriority.root, DesignatedCost: p.portPriority.cost,
		DesignatedBridge: p.portPriority.bridge, DesignatedPort: p.portPriority.port,
		OperEdge: p.operEdge, OperPointToPoint: p.operPointToPoint(), SendRSTP: p.sendRSTP,
		Proposing: p.proposing, Proposed: p.proposed, Agree: p.agree, Agreed: p.agreed,
		Synced: p.synced, Disputed: p.disputed, TopologyChangeAck: p.tcAck,
		BPDUGuardError: p.guarded, LoopInconsistent: p.loopInconsistent, RootInconsistent: p.rootInconsistent,
		RcvdInfoWhile: time.Duration(p.rcvdInfoWhile) * time.Second, FdWhile: time.Duration(p.fdWhile) * time.Second,
		TcWhile: time.Duration(p.tcWhile) * time.Second, EdgeDelayWhile: time.Duration(p.edgeDelayWhile) * time.Second,
		MdelayWhile: time.Duration(p.mdelayWhile) * time.Second,
		Stats:       p.stats,
	}, true
}

// PortOptions gives what AddPort or SetPort set; ok is false if there is no such port.
func (m *Rapid) PortOptions(num uint16) (o RapidPort, ok bool) {
	if p := m.port(num); p != nil {
		return p.opts, true
	}
	return RapidPort{}, false
}

// Link gives what SetLink said.
func (m *Rapid) Link(num uint16) Link {
	if p := m.port(num); p != nil {
		return p.link
	}
	return Link{}
}

// received counts a BPDU that is taken.
func (s *RapidPortStats) received(b *BPDU) {
	switch b.Type {
	case Config:
		s.RxConfig++
	case RST:
		s.RxRST++
	case TCN:
		s.RxTCN++
	}
	if b.Type == TCN || b.Flags&TopologyChange != 0 {
		s.RxTopologyChange++
	}
}

// sent counts a BPDU that is sent.
func (s *RapidPortStats) sent(b *BPDU) {
	switch b.Type {
	case Config:
		s.TxConfig++
	case RST:
		s.TxRST++
	case TCN:
		s.TxTCN++
	}
}

// moved counts a transition of states.
func (s *RapidPortStats) moved(from, to State) {
	switch {
	case to == Forwarding:
		s.ToForwarding++
	case to == Blocking && from != Disabled:
		s.ToBlocking++
	}
}
