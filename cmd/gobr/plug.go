package main

import (
	"github.com/ddfb540f/bridge"
)

// A portSource is where the cable of a port comes from, as the command line has it.
// Each kind of port is one.
type portSource interface {
	String() string   // as it was named, with its flag
	portName() string // how --port and --vlan call the port; open may find out more
	kind() portKind
	is(host ifSpec) bool // it is the interface that --host names

	// open opens the cable. What is open already, or was, is none of its business.
	open(o *portOptions) (plug, error)

	// there says whether it makes sense to open it again after its end.
	there() bool
}

// A plug is the cable of a port, opened.
type plug interface {
	bridge.FrameIO

	// config is how a port joins by it, but for what may be said of any port.
	config() bridge.PortConfig

	// remarks is what there is to say when the port has joined, a line each.
	remarks() []string

	// follow has the port be what is at the other end, and says what has changed
	// there since the last time. The follower calls it, of a cable that has not ended.
	follow(p *bridge.Port, say sayer)
}
