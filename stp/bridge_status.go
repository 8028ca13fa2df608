package stp

import "time"

// PortStats are a port's counters. They only grow (bridge_stp_xstats).
type PortStats struct {
	RxConfig, TxConfig uint64 // Config BPDUs (rx_bpdu, tx_bpdu)
	RxTCN, TxTCN       uint64 // topology change notifications

	ToBlocking, ToForwarding uint64 // transitions to these states, while the mode is Kernel
}

// BridgeStatus is the state of a Bridge, a value.
type BridgeStatus struct {
	Mode     Mode
	ID       BridgeID
	Root     BridgeID
	RootCost uint32
	RootPort uint16 // 0: none, the bridge is the root
	Times    Times  // in use: the root's

	TopologyChange         bool
	TopologyChangeDetected bool

	// What is left of timers, 0 for one that does not run.
	HelloTimer, TCNTimer, TopologyChangeTimer time.Duration
}

// Status gives the state of the bridge at now.
func (b *Bridge) Status(now time.Duration) BridgeStatus {
	now = tickOf(now)
	return BridgeStatus{
		Mode: b.mode, ID: b.id, Root: b.root, RootCost: b.rootCost, RootPort: b.rootPort, Times: b.times,
		TopologyChange: b.changing, TopologyChangeDetected: b.detected,
		HelloTimer: b.hello.Left(now), TCNTimer: b.tcn.Left(now), TopologyChangeTimer: b.changeTimer.Left(now),
	}
}

// PortStatus is the state of a port of a Bridge, a value.
type PortStatus struct {
	State State
	ID    PortID
	Cost  uint32

	// Who serves the port's segment, as far as the port knows.
	DesignatedRoot   BridgeID
	DesignatedCost   uint32
	DesignatedBridge BridgeID
	DesignatedPort   PortID

	TopologyChangeAck bool // the next Config BPDU says so
	ConfigPending     bool // one waits for the hold timer

	// What is left of timers, 0 for one that does not run.
	MessageAgeTimer, ForwardDelayTimer, HoldTimer time.Duration

	Stats PortStats
}

// Port gives the state of a port at now; ok is false if there is none of that number.
func (b *Bridge) Port(now time.Duration, num uint16) (s PortStatus, ok bool) {
	p := b.byNum[num]
	if p == nil {
		return PortStatus{}, false
	}
	now = tickOf(now)
	return PortStatus{
		State: p.state, ID: p.id, Cost: p.cost,
		DesignatedRoot: p.root, DesignatedCost: p.rcost, DesignatedBridge: p.bridge, DesignatedPort: p.port,
		TopologyChangeAck: p.ack, ConfigPending: p.pending,
		MessageAgeTimer: p.messageAge.Left(now), ForwardDelayTimer: p.forward.Left(now), HoldTimer: p.hold.Left(now),
		Stats: p.stats,
	}, true
}
