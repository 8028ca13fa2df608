package snoop

import "github.com/ddfb540f/bridge/frame"

// EventKind says what an Event tells of.
type EventKind uint8

// The kinds (RTM_NEWMDB, RTM_DELMDB; with MDBA_ROUTER for router ports). Linux gives
// a router port's event once, when the first family begins and the last ends.
const (
	MemberChanged EventKind = iota // a member, or the host, is there, or is changed
	MemberRemoved
	RouterAdded
	RouterRemoved
	SnoopingEnded // the table of groups was full: Options.Snooping is off now
)

// Event is one change of groups or router ports.
type Event struct {
	Kind   EventKind
	Port   uint16    // 0: the host
	VID    frame.VID // of the group, or where the router port is; 0: none, bridge-wide
	Member Entry     // of the first two kinds
}

func (m *Machine) notify(e Event) {
	if m.cfg.Notify != nil {
		m.cfg.Notify(e)
	}
}
