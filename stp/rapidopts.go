package stp

import (
	"fmt"
	"time"
)

// RapidOptions are the settings of a bridge (IEEE 802.1D-2004, 17.14).
type RapidOptions struct {
	ID BridgeID

	// MaxAge, 6 to 40 s, HelloTime, 1 to 10 s, and ForwardDelay, 2 to 30 s, are what
	// the whole network uses while this bridge is root; HelloTime is the bridge's own in
	// any case. The standard's ranges are 1 to 2 s for HelloTime and from 4 s for
	// ForwardDelay; these are those of Linux's settings. They count in whole seconds,
	// rounded up.
	MaxAge, HelloTime, ForwardDelay time.Duration

	// HoldCount is how many BPDUs a port may send at once; each second it may send one
	// more (TxHoldCount). 1 to 10.
	HoldCount int

	// ForceSTP has all ports speak STP alone: no proposals, and forward delays where
	// RSTP has none (Force Protocol Version 0).
	ForceSTP bool
}

// DefaultRapidOptions are the recommended values of 802.1D-2004, Table 17-1.
var DefaultRapidOptions = RapidOptions{
	MaxAge:       20 * time.Second,
	HelloTime:    2 * time.Second,
	ForwardDelay: 15 * time.Second,
	HoldCount:    6,
}

func (o RapidOptions) inRange() RapidOptions {
	o.MaxAge = min(max(o.MaxAge, 6*time.Second), 40*time.Second)
	o.HelloTime = min(max(o.HelloTime, time.Second), 10*time.Second)
	o.ForwardDelay = min(max(o.ForwardDelay, 2*time.Second), 30*time.Second)
	o.HoldCount = min(max(o.HoldCount, 1), 10)
	return o
}

// RapidPort are the settings of a port. The zero value but for the ID is the standard's
// default.
type RapidPort struct {
	ID   PortID
	Cost uint32 // to the root by this port, at most 200,000,000; 0: Link.Cost

	// AdminEdge says that there is no bridge behind the port: it forwards as soon as
	// its link is up, until it hears a BPDU all the same. NoAutoEdge is that the port
	// does not find that out by itself; it does if nobody answers for 3 s.
	AdminEdge, NoAutoEdge bool

	// PointToPoint says whether there is at most one other bridge behind the port.
	// Only there is a proposal answered, and a designated port forwards without delay.
	PointToPoint PointToPoint

	// RestrictedRole keeps the port from becoming the root port (root guard): one that
	// hears of a better root is an alternate port and discards. RestrictedTCN keeps
	// topology changes that come in by the port from going on to others. (802.1Q,
	// 13.27.64 and 13.27.65; not in 802.1D-2004.)
	RestrictedRole, RestrictedTCN bool

	// BPDUGuard disables the port when a BPDU comes in, until its link has gone down.
	BPDUGuard bool

	// BPDUFilter has the port send no BPDU and listen to none, as if there were no other
	// bridge. Where there is one, this makes loops.
	BPDUFilter bool

	// LoopGuard is for links that may fail in one direction. A root, alternate or backup
	// port that hears no more BPDUs does not become designated, which would close a
	// loop: it stays discarding, as an alternate port, until it hears one.
	LoopGuard bool
}

// PointToPoint says how it is known that a link joins two bridges and no more
// (adminPointToPointMAC, 802.1D-2004, 6.4.3).
type PointToPoint uint8

// The values of RapidPort.PointToPoint.
const (
	PointToPointAuto PointToPoint = iota // Link.PointToPoint says it
	PointToPointYes
	PointToPointNo
)

// String gives "auto", "yes" or "no".
func (p PointToPoint) String() string {
	switch p {
	case PointToPointAuto:
		return "auto"
	case PointToPointYes:
		return "yes"
	case PointToPointNo:
		return "no"
	}
	return fmt.Sprintf("point to point %d", uint8(p))
}

// A Link is what is known of the link of a port.
type Link struct {
	Up           bool
	PointToPoint bool   // it runs full duplex
	Cost         uint32 // used by a port whose settings have none; see RapidCost
}

const maxPathCost = 200_000_000

// RapidCost is the cost that 802.1D-2004, Table 17-3, recommends for a link of a speed
// in Mb/s: 20,000 for a gigabit. 0 is a speed that is not known, and counts as
// 100 Mb/s.
func RapidCost(mbps uint64) uint32 {
	if mbps == 0 {
		mbps = 100
	}
	return uint32(max(20_000_000/mbps, 1))
}

// A Role is a port's place in the tree (17.7).
type Role uint8

// The roles of ports.
const (
	RoleOfDisabled   Role = iota // not part of the tree
	RoleOfRoot                   // the way to the root
	RoleOfDesignated             // the way to the root for what is behind it
	RoleOfAlternate              // another way to the root, kept for when the first fails
	RoleOfBackup                 // another way to a LAN that the bridge is designated for
)

var roleNames = [...]string{"disabled", "root", "designated", "alternate", "backup"}

// String gives the role in one word, as "designated".
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// A RapidEvent is something that an operator may want to know.
type RapidEvent struct {
	Kind RapidEventKind
	Port uint16
	Role Role // of the port: the new one, for RapidRole
}

// RapidEventKind is the kind of a RapidEvent.
type RapidEventKind uint8

// The kinds of RapidEvent.
const (
	RapidRole           RapidEventKind = iota // a port has another role
	RapidTopologyChange                       // a port that is no edge began to forward
	RapidBPDUGuard                            // a BPDU came in by a port with BPDUGuard, which is shut
	RapidRootGuard                            // a port with RestrictedRole hears of a better root, and discards
	RapidRootGuardEnd                         // it no longer does
	RapidLoopGuard                            // a port with LoopGuard stopped hearing BPDUs, and discards
	RapidLoopGuardEnd                         // it hears them again, its link went down, or the guard was switched off
)
