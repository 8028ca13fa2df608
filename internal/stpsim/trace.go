package main

import (
	"fmt"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// tell prints a line of the trace. Its callers ask first whether there is one, to make
// nothing that nobody reads.
func (n *network) tell(format string, args ...any) {
	fmt.Fprintf(n.trace, "%12.6f  %s\n", n.lab.Now().Seconds(), fmt.Sprintf(format, args...))
}

// llcLen is the length of what stands before a BPDU: addresses, length, LLC header.
const llcLen = frame.HeaderLen + 3

// describe says in words what a bridge puts on a cable.
func describe(f frame.Frame) string {
	if len(f.Data) > llcLen {
		if p, err := stp.Parse(f.Data[llcLen:]); err == nil && f.Dst()[0] == 1 {
			return describeBPDU(&p)
		}
	}
	return fmt.Sprintf("sends %s > %s ", f.Src(), f.Dst())
}

// roles are the names of what the flags of a rapid BPDU say of the sender's port.
var roles = map[stp.Flags]string{
	stp.RoleUnknown: "unknown", stp.RoleAlternate: "alternate", stp.RoleRoot: "root", stp.RoleDesignated: "designated",
}

func describeBPDU(p *stp.BPDU) string {
	s := "sends " + p.Type.String()
	if p.Type == stp.TCN {
		return s + " "
	}
	s += fmt.Sprintf(" root %v cost %d bridge %v port %04x age %v ", p.Root, p.Cost, p.Bridge, uint16(p.Port), p.MessageAge.Duration())
	if p.Type == stp.RST {
		s += roles[p.Flags&stp.RoleMask] + " "
	}
	for _, f := range [...]struct {
		flag stp.Flags
		name string
	}{
		{stp.TopologyChange, "tc"}, {stp.TopologyChangeAck, "tca"}, {stp.Proposal, "proposal"},
		{stp.Agreement, "agreement"}, {stp.LearningFlag, "learning"}, {stp.ForwardingFlag, "forwarding"},
	} {
		if p.Flags&f.flag != 0 {
			s += f.name + " "
		}
	}
	return s
}
