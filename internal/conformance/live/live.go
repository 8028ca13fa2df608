// Package live performs scenarios on the bridge of the running kernel and records
// what it does, in the form of the recordings: the result is replayed on package
// bridge as they are. So both sides of a comparison go the way that the recordings
// go, and there is no second model of either.
//
// Each scenario has a network namespace of its own, with br0 and a TAP for each
// port, and needs root. The kernel handles a frame while it is written to a TAP,
// and all that follows of it waits in the other TAPs and in the host's socket when
// the write returns; a request is carried out when it is answered. So nothing waits
// for frames, and only wait steps take time; but where there is snooping some ticks of
// the kernel's clock are let pass after a step that may leave timers which are due.
package live

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// hostName is the recorded name of the bridge device, and of the host behind it.
const hostName = "br0"

// MaxWait is the longest wait step, and the longest sum of them, in milliseconds,
// that runs live: timers of longer times are the recordings' business, whose kernel
// had a virtual clock.
const MaxWait = 200

// Features is what a kernel's bridge has.
type Features struct {
	Release string          // as uname -r gives it
	Bridge  map[string]bool // settings of a bridge, by their recorded names
	Port    map[string]bool // settings of a port
	IPv6    bool            // the host has it

	// Many entries of the multicast database can be deleted at once. A kernel that knows
	// that can also be asked for one group.
	MDBFlush bool
}

// VLANs reports whether the kernel has VLAN filtering. One without tells that
// vlan_filtering is 0 as well.
func (f *Features) VLANs() bool { return f.Bridge["vlan_protocol"] }

// MST reports whether VLANs can be in spanning tree instances.
func (f *Features) MST() bool { return f.VLANs() && f.Bridge["mst_enabled"] }

// quickTree reports a scenario with a spanning tree whose hello timer may expire before
// it is over.
func quickTree(s *replay.Scenario) bool {
	return slices.Contains(s.Needs(), "stp_state") && s.Bridge["hello_time"].Num < 900
}

// snoops reports a scenario with multicast snooping, at its start or later.
func snoops(s *replay.Scenario) bool {
	return s.Bridge["mcast_snooping"].Num != 0 || slices.ContainsFunc(s.Steps, func(t replay.Step) bool {
		return t.Op == "set-bridge" && t.Attrs["mcast_snooping"].Num != 0
	})
}

// LeftOut names the reason why s cannot be compared on such a kernel: the first
// thing that it needs and the kernel lacks, or what depends on time; "" if s can.
func (f *Features) LeftOut(s *replay.Scenario) string {
	if why := tooSlow(s); why != "" {
		return why
	}
	if quickTree(s) {
		return "stp_state"
	}
	if !f.VLANs() && s.Bridge["vlan_filtering"].Num != 0 {
		return "vlan_filtering"
	}
	// A host with IPv6 reports the group of all snoopers, which its bridge joins.
	if s.Bridge["ipv6"].Num != 0 && (!f.IPv6 || snoops(s)) {
		return "ipv6"
	}
	for _, name := range slices.Sorted(maps.Keys(s.Bridge)) {
		if name != "ipv6" && isSet(s.Bridge[name]) && f.lacksBridge(name) && !dormant(name, s) {
			return name
		}
	}
	for _, p := range s.Ports {
		for _, name := range slices.Sorted(maps.Keys(p.Flags)) {
			if isSet(p.Flags[name]) && !f.Port[name] && !dormant(name, s) {
				return name
			}
		}
	}
	for i := range s.Steps {
		if why := f.lacksStep(&s.Steps[i]); why != "" {
			return why
		}
	}
	return ""
}

// tooSlow tells of waits that are too long, and of an ageing time so short that
// entries expire in between.
func tooSlow(s *replay.Scenario) string {
	sum := int64(0)
	for _, t := range s.Steps {
		sum += t.MS
		if v, ok := t.Attrs["ageing_time"]; ok && t.Op == "set-bridge" && v.Num < 1000 {
			return "ageing_time"
		}
	}
	if v, ok := s.Bridge["ageing_time"]; ok && v.Num < 1000 {
		return "ageing_time"
	}
	if sum > MaxWait {
		return "wait"
	}
	return ""
}

func isSet(v replay.Value) bool { return v.Num != 0 || v.Word != "" }

// deviceHas are the names of a bridge's settings that any network device has.
var deviceHas = []string{"address", "address_auto", "mtu", "up", "promisc", "ipv6"}

func (f *Features) lacksBridge(name string) bool {
	return !f.Bridge[name] && !slices.Contains(deviceHas, name)
}

// dormant: VLAN settings do nothing while vlan_filtering is off, multicast settings
// while mcast_snooping is, so a kernel without them does the same.
func dormant(name string, s *replay.Scenario) bool {
	return strings.HasPrefix(name, "vlan_") || strings.HasPrefix(name, "mcast_") && !snoops(s)
}

func (f *Features) lacksStep(t *replay.Step) string {
	switch {
	case strings.HasPrefix(t.Op, "mdb-") && !f.Bridge["mcast_snooping"], (t.Op == "mdb-flush" || t.Op == "mdb-get") && !f.MDBFlush:
		return t.Op
	case f.skips(t):
		return ""
	case strings.Contains(t.Op, "vlan") && !f.VLANs(), t.VLAN != nil && !f.VLANs():
		return "vlan_filtering"
	case t.Op == "mst-set" && !f.MST():
		return "mst_enabled"
	}
	for _, name := range slices.Sorted(maps.Keys(t.Attrs)) {
		switch {
		case t.Op == "set-bridge" && (f.lacksBridge(name) || name == "vlan_filtering" && !f.VLANs()):
			return name
		case t.Op == "set-port" && !f.Port[name] && !slices.Contains(deviceHas, name):
			return name
		case t.Op == "vlan-set" && name == "neigh_suppress" && !f.Port["neigh_vlan_suppress"]:
			return "neigh_vlan_suppress"
		case t.Op == "vlan-set" && name == "mcast_max_groups" && !f.Port[name]:
			return name
		}
	}
	return ""
}

// skips: a dump of what the kernel has not got is left out of a scenario that runs
// otherwise.
func (f *Features) skips(t *replay.Step) bool {
	switch t.Op {
	case "dump-mdb":
		return !f.Bridge["mcast_snooping"]
	case "dump-mst":
		return !f.MST()
	case "dump-vlan", "dump-vlan-global":
		return !f.VLANs()
	}
	return false
}

// stripped is a copy of s without results and without the dumps that are skipped.
func (f *Features) stripped(s *replay.Scenario) *replay.Scenario {
	c := Clone(s)
	c.Steps = slices.DeleteFunc(c.Steps, func(t replay.Step) bool { return f.skips(&t) })
	if !f.VLANs() {
		maps.DeleteFunc(c.Bridge, func(name string, _ replay.Value) bool { return strings.HasPrefix(name, "vlan_") })
		c.SelfVLANs = nil
		for i := range c.Ports {
			c.Ports[i].VLANs = nil
		}
	}
	for i := range c.Steps {
		c.Steps[i].Strip()
	}
	return c
}

// Clone gives a copy that shares nothing with s.
func Clone(s *replay.Scenario) *replay.Scenario {
	c := new(replay.Scenario)
	line, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(line, c)
	}
	if err != nil {
		panic(err) // a Scenario is made of what JSON has
	}
	return c
}
