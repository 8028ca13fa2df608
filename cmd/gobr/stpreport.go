package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/ddfb540f/bridge"
)

// reportTree prints the spanning tree as it was in the end, if there is one.
func (s *session) reportTree(w io.Writer) error {
	i := s.b.Info()
	if i.STPState == 0 {
		return nil
	}
	var text strings.Builder
	root := "which is this bridge"
	if i.RootPort != 0 {
		root = fmt.Sprintf("by port %d at cost %d", i.RootPort, i.RootPathCost)
	}
	fmt.Fprintf(&text, "\nSpanning tree\nbridge %s, root %s, %s\n", i.BridgeID, i.RootID, root)
	t := newTable(&text, 0)
	fmt.Fprint(t, "port\tno\tid\trole\tstate\tcost\tdesignated bridge\tport\tcost\n")
	for _, p := range s.b.Ports() {
		printTreePort(t, p)
	}
	t.Flush()
	_, err := io.WriteString(w, text.String())
	return err
}

func printTreePort(w io.Writer, p *bridge.Port) {
	i := p.Info()
	role, cost := "-", uint32(i.Cost)
	if r, ok := p.RSTP(); ok {
		role, cost = r.Role.String(), i.PathCost
	}
	fmt.Fprintf(w, "%s\t%d\t%04x\t%s\t%s\t%d\t%s\t%04x\t%d\n", i.Name, i.No, i.PortID, role, i.State, cost,
		i.DesignatedBridge, i.DesignatedPort, i.DesignatedCost)
}
