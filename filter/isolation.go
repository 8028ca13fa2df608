package filter

import (
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/ddfb540f/bridge"
)

// A Group is a port's part in a private VLAN (RFC 5517): above zero the number of a
// community, whose ports speak to each other.
type Group int

// The groups that are none.
const (
	Promiscuous Group = 0  // speaks to all; so does each port that no group is named for, and the host
	Isolated    Group = -1 // speaks to promiscuous ports only
)

// speaks says whether frames may go from one to the other, and back.
func (g Group) speaks(h Group) bool {
	return g == Promiscuous || h == Promiscuous || g == h && g > 0
}

// Isolation keeps ports from speaking to each other that are not in the same group.
// It holds in all VLANs, and for an isolated port in hairpin mode also within the
// port. Frames from and to the host are not looked at.
type Isolation struct {
	groups  map[string]Group
	dropped atomic.Uint64
}

// NewIsolation makes a filter from the groups of ports, by name. Errors: a port
// without a name, a group below Isolated.
func NewIsolation(groups map[string]Group) (*Isolation, error) {
	for name, g := range groups {
		if name == "" {
			return nil, errPortName
		}
		if g < Isolated {
			return nil, fmt.Errorf("filter: port %s: no such group %d", name, g)
		}
	}
	return &Isolation{groups: maps.Clone(groups)}, nil
}

// Filter is the filter, named "isolation".
func (i *Isolation) Filter() bridge.Filter {
	return bridge.Filter{Name: "isolation", Hooks: bridge.Hooks(bridge.HookForward), Judge: i.judge}
}

// Dropped is how many copies were dropped.
func (i *Isolation) Dropped() uint64 { return i.dropped.Load() }

var errIsolated = errors.New("the ports may not speak to each other")

// judge reports a frame that is meant for one station; that others are not flooded
// everywhere is nothing that their sender did.
func (i *Isolation) judge(s *bridge.Passage) bridge.Ruling {
	if s.In == nil || i.groups[s.In.Name()].speaks(i.groups[s.Out.Name()]) {
		return bridge.Ruling{}
	}
	if !s.Dry {
		i.dropped.Add(1)
	}
	if !s.Frame.Dst().IsMulticast() {
		s.Report(func() error { return fmt.Errorf("%w: %s", errIsolated, s.Out.Name()) })
	}
	return bridge.FilterDrop.Because("the ports may not speak to each other")
}
