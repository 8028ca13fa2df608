package random

import (
	"maps"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// A setting is the values that chance picks for one: those that are taken and those
// that are, or may be, refused.
type setting struct {
	good, bad []replay.Value
	free      func(g *generator) replay.Value // instead of them
}

func numbers(values ...int64) (s setting) {
	for _, n := range values {
		s.good = append(s.good, num(n))
	}
	return s
}

func texts(values ...string) (s setting) {
	for _, t := range values {
		s.good = append(s.good, word(t))
	}
	return s
}

func (s setting) or(bad setting) setting {
	s.bad = bad.good
	return s
}

// value picks one, never a bad one while the bridge is described.
func (g *generator) value(s setting) replay.Value {
	switch {
	case s.free != nil:
		return s.free(g)
	case len(s.bad) > 0 && g.begun && g.chance(15):
		return s.bad[g.IntN(len(s.bad))]
	}
	return s.good[g.IntN(len(s.good))]
}

var onOff = numbers(0, 1)

// bridgeValues are the settings of a bridge that change in a scenario. Times are
// long, and multiples of a clock tick.
var bridgeValues = map[string]setting{
	"ageing_time":         numbers(20000, 30000, 100000),
	"forward_delay":       numbers(1500, 400, 3000).or(numbers(100, 3100)),
	"hello_time":          numbers(1000, 900).or(numbers(99, 1001)),
	"max_age":             numbers(2000, 600, 4000).or(numbers(599, 4001)),
	"stp_state":           numbers(0, 1, 1, 2),
	"priority":            numbers(0, 4096, 32768, 65535, 1),
	"group_fwd_mask":      numbers(0, 8, 16, 0x4000, 0xfff8).or(numbers(1, 2, 4)),
	"group_address":       texts("01:80:c2:00:00:00", "01:80:c2:00:00:0d").or(texts("01:80:c2:00:00:03", "01:80:c2:00:00:01", "02:00:00:00:00:01")),
	"no_linklocal_learn":  onOff,
	"fdb_max_learned":     numbers(0, 1, 2, 4),
	"fdb_local_vlan_0":    onOff,
	"vlan_filtering":      onOff,
	"vlan_protocol":       texts("802.1Q", "802.1ad").or(texts("0x88b5")),
	"vlan_default_pvid":   numbers(0, 1, 2, 5, 10, 4094).or(numbers(4095)),
	"vlan_stats_enabled":  onOff.or(numbers(2)),
	"vlan_stats_per_port": onOff,
	"address":             texts("02:00:00:00:0b:00", "02:00:00:00:0b:0f", "02:00:00:00:0a:01").or(texts("01:00:00:00:0b:00", "00:00:00:00:00:00")),
	"mst_enabled":         onOff,
	"mtu":                 {free: (*generator).mtu},
	"promisc":             onOff,

	"mcast_router":           numbers(0, 1, 2).or(numbers(3)),
	"mcast_hash_max":         numbers(4096, 512, 8, 4, 2, 1, 0),
	"mcast_query_use_ifaddr": onOff,
	"mcast_stats_enabled":    onOff,
	"mcast_vlan_snooping":    onOff,
}

// portValues are the settings of a port that change in a scenario.
var portValues = map[string]setting{
	"state":          texts("disabled", "listening", "learning", "forwarding", "forwarding", "forwarding", "blocking").or(texts("7")),
	"priority":       numbers(0, 1, 32, 63).or(numbers(64)),
	"cost":           numbers(1, 100, 65535).or(numbers(65536, 0)),
	"hairpin":        onOff,
	"guard":          onOff,
	"root_block":     onOff,
	"fast_leave":     onOff,
	"learning":       onOff,
	"flood":          onOff,
	"mcast_flood":    onOff,
	"bcast_flood":    onOff,
	"isolated":       onOff,
	"locked":         onOff,
	"mab":            onOff,
	"group_fwd_mask": numbers(0, 8, 0x4000, 0xfff8).or(numbers(1, 2, 4)),
	"mcast_router":   numbers(0, 1, 2, 3).or(numbers(4)),
	"backup_port":    {free: func(g *generator) replay.Value { return word(pick(g, "", "", "p1", "p2", g.anyPort())) }},
	"address": {free: func(g *generator) replay.Value {
		return word(pick(g, g.mac(), "02:00:00:00:0b:21", "02:00:00:00:0b:22"))
	}},
	"mtu":                 {free: (*generator).mtu},
	"neigh_suppress":      onOff,
	"neigh_vlan_suppress": onOff,
	"proxy_arp":           onOff,
	"proxy_arp_wifi":      onOff,

	"mcast_to_unicast":      onOff,
	"mcast_max_groups":      numbers(0, 0, 1, 2, 3),
	"mcast_eht_hosts_limit": numbers(512, 1, 2).or(numbers(0)),
}

// Those of snooping that a bridge and a VLAN have in common.
func init() {
	maps.Copy(bridgeValues, mcastValues)
	maps.Copy(globalValues, mcastValues)
	bridgeNames = slices.Sorted(maps.Keys(bridgeValues))
	portNames = slices.Sorted(maps.Keys(portValues))
	globalNames = slices.Sorted(maps.Keys(globalValues))
}

// mtu is a device's. Below 1280 it would lose IPv6.
func (g *generator) mtu() replay.Value {
	if g.ipv6() {
		return num(pick[int64](g, 1500, 1400, 1504, 2000, 9000, 1280, 67))
	}
	return num(pick[int64](g, 1500, 1400, 1504, 2000, 9000, 68, 67))
}

// The names in a fixed order, for chance to pick from.
var bridgeNames, portNames, globalNames []string

// ofDevice reports a setting that any network device has.
func ofDevice(name string) bool { return name == "address" || name == "mtu" || name == "promisc" }

func (g *generator) setBridge() replay.Step {
	t := replay.Step{Op: "set-bridge", Attrs: g.attrs(bridgeNames, bridgeValues, g.opt.Features.Bridge)}
	if v, ok := t.Attrs["vlan_default_pvid"]; ok {
		g.slowVLANs(uint16(v.Num))
	}
	return t
}

func (g *generator) setPort() replay.Step {
	t := replay.Step{Op: "set-port", Port: g.anyPort(), Attrs: g.attrs(portNames, portValues, g.opt.Features.Port)}
	if _, state := t.Attrs["state"]; state && t.Port == anchor {
		t.Port = g.loosePort()
	}
	return t
}

// attrs is one setting: of several the kernel keeps those before a refused one, in
// an order of its own.
func (g *generator) attrs(names []string, values map[string]setting, known map[string]bool) replay.Attrs {
	for {
		if name := names[g.IntN(len(names))]; g.may(name, known) {
			return replay.Attrs{name: g.value(values[name])}
		}
	}
}

// may reports that a setting may be used.
func (g *generator) may(name string, known map[string]bool) bool {
	switch {
	case !ofDevice(name) && !known[name] || g.opt.without(name):
		return false
	case name == "mst_enabled":
		return g.opt.mst()
	case name == "stp_state":
		return g.tree
	case strings.HasPrefix(name, "vlan_"), name == "mcast_vlan_snooping":
		return g.opt.vlans() && (g.mcast || !strings.HasPrefix(name, "mcast_"))
	}
	return g.mcast || !strings.HasPrefix(name, "mcast_")
}
