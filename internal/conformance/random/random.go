// Package random makes scenarios by chance, from a seed, in the form of the
// recordings and without results, and shrinks those in which two bridges differ.
// What it makes depends on the seed and the kernel's features alone, and on no
// timer.
package random

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

const hostName = "br0"

// A kind is one sort of step: how often it comes, relative to the others, and how
// it is made.
type kind struct {
	name   string
	weight int
	make   func(g *generator) replay.Step
}

// kinds are all, in the order in which chance picks them.
var kinds = []kind{
	{"inject", 60, (*generator).inject},
	{"set-port", 9, (*generator).setPort},
	{"set-bridge", 5, (*generator).setBridge},
	{"report", 25, (*generator).report},
	{"stream", 20, (*generator).stream},
	{"bpdu", 25, (*generator).bpdu},
	{"query", 5, (*generator).query},
	{"router", 3, (*generator).router},
	{"mdb-add", 10, (*generator).mdbAdd},
	{"mdb-del", 4, (*generator).mdbDel},
	{"mdb-flush", 1, (*generator).mdbFlush},
	{"mdb-get", 3, (*generator).mdbGet},
	{"fdb-add", 8, (*generator).fdbAdd},
	{"fdb-del", 3, (*generator).fdbDel},
	{"fdb-flush", 1, (*generator).fdbFlush},
	{"fdb-flush-bulk", 1, (*generator).fdbFlushBulk},
	{"vlan-add", 5, (*generator).vlanAdd},
	{"vlan-del", 3, (*generator).vlanDel},
	{"vlan-set", 2, (*generator).vlanSet},
	{"vlan-global-set", 2, (*generator).vlanGlobalSet},
	{"mst-set", 2, (*generator).mstSet},
	{"neigh-add", 4, (*generator).neighAdd},
	{"neigh-del", 1, (*generator).neighDel},
	{"link", 2, (*generator).link},
	{"carrier", 1, (*generator).carrier},
	{"port", 2, (*generator).membership},
	{"wait", 1, (*generator).wait},
	{"dump", 9, (*generator).dump},
}

// Kinds are the names of the sorts of steps.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Options says what may be in a scenario.
type Options struct {
	Features live.Features // of the kernel that it is for
	Without  []string      // names of Kinds, and of settings, that are left out
}

// Everything is a kernel that has all that there is. Without one at hand, scenarios for
// it hold ours against itself.
func Everything() live.Features {
	f := live.Features{Release: "6.18.0", Bridge: map[string]bool{}, Port: map[string]bool{}, IPv6: true}
	for name := range bridgeValues {
		f.Bridge[name] = true
	}
	for name := range portValues {
		f.Port[name] = true
	}
	f.MDBFlush = true
	return f
}

func (o *Options) without(name string) bool { return slices.Contains(o.Without, name) }

// has reports whether a setting may be used.
func (o *Options) has(table map[string]bool, name string) bool {
	return table[name] && !o.without(name)
}

// vlans reports whether VLANs may be used.
func (o *Options) vlans() bool { return o.Features.VLANs() && !o.without("vlan_filtering") }

// mst reports whether spanning tree instances may be used.
func (o *Options) mst() bool { return o.vlans() && o.Features.MST() && !o.without("mst_enabled") }

// generator makes one scenario.
type generator struct {
	*rand.Rand
	opt     *Options
	s       *replay.Scenario
	outside map[string]bool // ports that have left
	noWire  map[string]bool // ports without carrier
	mcast   bool            // the bridge snoops at the start
	tree    bool            // the bridge runs a spanning tree, most of the time
	begun   bool            // the bridge is described, the steps follow
	then    []replay.Step   // what has to follow the step that is being made
	frames  int
	waited  int64
}

// Scenario makes the scenario of a seed: 2 to 5 ports and 20 to some 80 steps, of which
// the last dump every table.
func Scenario(seed uint64, opt *Options) *replay.Scenario {
	g := &generator{
		Rand: rand.New(rand.NewPCG(seed, 0x62726964)), opt: opt,
		outside: map[string]bool{}, noWire: map[string]bool{},
	}
	g.mcast = opt.mcast() && g.chance(45)
	g.tree = opt.tree() && !g.mcast && g.chance(50)
	g.s = &replay.Scenario{
		Name: fmt.Sprintf("random-%d", seed), Family: "random", Origin: "random", Seed: int64(seed),
		Kernel: opt.Features.Release, Bridge: g.bridge(), SelfVLANs: []replay.VLAN{},
	}
	for i := range 2 + g.IntN(4) {
		g.s.Ports = append(g.s.Ports, g.port(i+1))
	}
	if g.opt.vlans() {
		g.s.SelfVLANs = g.vlans()
	}
	if p := g.anyPort(); g.chance(10) && g.opt.has(g.opt.Features.Port, "backup_port") {
		if q := g.anyPort(); q != p {
			g.portNamed(p).Flags["backup_port"] = word(q)
		}
	}
	g.begun = true
	if g.tree {
		g.s.Steps = append(g.s.Steps, replay.Step{Op: "set-bridge", Attrs: replay.Attrs{"stp_state": num(1)}})
	}
	total := 0
	for _, k := range kinds {
		total += g.weight(k)
	}
	last := g.dumps()
	count := 20 + g.IntN(61) - len(last)
	if g.tree {
		count = min(count, 50) // see tree.go
	}
	for g.slowVLANs(vids...); len(g.s.Steps) < count; {
		g.s.Steps = append(g.s.Steps, g.then...)
		g.then = nil
		n := g.IntN(total)
		for _, k := range kinds {
			if n -= g.weight(k); n < 0 {
				g.s.Steps = append(g.s.Steps, k.make(g))
				break
			}
		}
	}
	g.s.Steps = append(append(g.s.Steps, g.then...), last...)
	return g.s
}

func (g *generator) weight(k kind) int {
	switch {
	case g.opt.without(k.name), strings.HasPrefix(k.name, "vlan") && !g.opt.vlans(), k.name == "mst-set" && !g.opt.mst():
		return 0
	case k.name == "bpdu" && !g.tree:
		return 0
	case g.tree && (k.name == "link" || k.name == "carrier" || k.name == "port"):
		return 3 * k.weight
	case k.name == "mst-set" && g.s.Bridge["mst_enabled"].Num != 0:
		return 4 * k.weight
	case slices.Contains(mcastKinds, k.name):
		return g.mcastWeight(k)
	case k.name == "inject" && g.mcast:
		return k.weight / 3
	}
	return k.weight
}

func num(n int64) replay.Value   { return replay.Value{Num: n} }
func word(s string) replay.Value { return replay.Value{Word: s, Text: true} }

// chance is true in that many of 100 cases.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

func (g *generator) anyPort() string { return g.s.Ports[g.IntN(len(g.s.Ports))].Name }

// anchor is a port that stays in the bridge and forwards all the time. Without a port
// that does, br0 loses its carrier, which the kernel follows when it finds the time:
// until then it counts what the host sends, and from then on it drops it.
const anchor = "p1"

// loosePort is a port that may be disabled or taken out.
func (g *generator) loosePort() string { return g.s.Ports[1+g.IntN(len(g.s.Ports)-1)].Name }

func (g *generator) portNamed(name string) *replay.Port {
	for i := range g.s.Ports {
		if g.s.Ports[i].Name == name {
			return &g.s.Ports[i]
		}
	}
	panic("no port " + name)
}

// vids are the VLANs in use; few, so that they meet.
var vids = []uint16{1, 2, 5, 10, 11, 12, 4094}

func (g *generator) vid() uint16 { return vids[g.IntN(len(vids))] }

// vlans is what a device begins with: often the default VLAN alone.
func (g *generator) vlans() []replay.VLAN {
	list := []replay.VLAN{}
	if def := uint16(g.s.Bridge["vlan_default_pvid"].Num); def != 0 && g.chance(80) {
		list = append(list, replay.VLAN{VID: def, PVID: true, Untagged: true})
	}
	for _, vid := range vids {
		known := slices.ContainsFunc(list, func(v replay.VLAN) bool { return v.VID == vid })
		if !known && g.chance(35) {
			list = append(list, replay.VLAN{VID: vid, Untagged: g.chance(30)})
		}
	}
	if len(list) > 0 && !list[0].PVID && g.chance(50) {
		list[g.IntN(len(list))].PVID = true
	}
	slices.SortFunc(list, func(a, b replay.VLAN) int { return int(a.VID) - int(b.VID) })
	return list
}

// bridgeDefaults are the settings of a new bridge, but for multicast snooping, which
// is off, and whose times are long.
var bridgeDefaults = replay.Attrs{
	"address": word("02:00:00:00:0b:00"), "mtu": num(1500), "up": num(1), "promisc": num(0), "ipv6": num(0),
	"ageing_time": num(30000), "forward_delay": num(1500), "hello_time": num(200), "max_age": num(2000),
	"priority": num(32768), "stp_state": num(0), "vlan_filtering": num(0), "vlan_protocol": word("802.1Q"),
	"vlan_default_pvid": num(1), "vlan_stats_enabled": num(0), "vlan_stats_per_port": num(0),
	"group_fwd_mask": num(0), "group_address": word("01:80:c2:00:00:00"), "no_linklocal_learn": num(0),
	"fdb_max_learned": num(0), "mst_enabled": num(0), "mcast_snooping": num(0), "mcast_router": num(1),
	"mcast_igmp_version": num(2), "mcast_mld_version": num(1), "mcast_hash_max": num(4096),
	"mcast_last_member_count": num(2), "mcast_startup_query_count": num(2),
	"mcast_last_member_interval": num(6000), "mcast_membership_interval": num(26000),
	"mcast_querier_interval": num(25500), "mcast_query_interval": num(12500),
	"mcast_query_response_interval": num(6000), "mcast_startup_query_interval": num(12500),
	"mcast_querier": num(0), "mcast_query_use_ifaddr": num(0), "mcast_stats_enabled": num(0),
	"mcast_vlan_snooping": num(0),
}

func (g *generator) bridge() replay.Attrs {
	b := maps.Clone(bridgeDefaults)
	for name := range b {
		if !g.opt.vlans() && strings.HasPrefix(name, "vlan_") || name == "fdb_max_learned" && !g.opt.Features.Bridge[name] {
			delete(b, name)
		}
	}
	if g.opt.vlans() {
		if g.chance(70) {
			b["vlan_filtering"] = num(1)
		}
		if g.chance(20) {
			b["vlan_protocol"] = word("802.1ad")
		}
		if g.chance(25) {
			b["vlan_default_pvid"] = num(pick[int64](g, 0, 5, 10))
		}
		if g.opt.mst() && g.chance(30) {
			b["mst_enabled"] = num(1)
		}
		b["vlan_stats_enabled"] = num(int64(g.IntN(2)))
		b["vlan_stats_per_port"] = num(int64(g.IntN(2)))
	} else {
		b["vlan_default_pvid"] = num(0)
	}
	if b["vlan_filtering"].Num == 1 && b["vlan_protocol"].Word == "802.1ad" {
		b["group_address"] = word("01:80:c2:00:00:08")
	}
	if g.chance(10) {
		b["promisc"] = num(1)
	}
	if g.mcast {
		g.snooping(b)
	}
	if g.tree {
		g.spanning(b)
	}
	// A host with IPv6 reports groups that a snooping bridge joins.
	if g.opt.Features.IPv6 && g.chance(40) && !g.opt.without("ipv6") && !g.mcast {
		b["ipv6"] = num(1)
	}
	for _, name := range []string{"group_fwd_mask", "no_linklocal_learn", "fdb_max_learned", "fdb_local_vlan_0"} {
		if g.chance(15) && g.opt.has(g.opt.Features.Bridge, name) {
			b[name] = g.value(bridgeValues[name])
		}
	}
	return b
}

// portDefaults are the settings of a new port.
var portDefaults = replay.Attrs{
	"state": word("forwarding"), "priority": num(32), "cost": num(100), "hairpin": num(0), "guard": num(0),
	"root_block": num(0), "fast_leave": num(0), "learning": num(1), "flood": num(1), "mcast_flood": num(1),
	"bcast_flood": num(1), "mcast_to_unicast": num(0), "mcast_router": num(1), "proxy_arp": num(0),
	"proxy_arp_wifi": num(0), "neigh_suppress": num(0), "isolated": num(0), "locked": num(0),
	"group_fwd_mask": num(0), "vlan_tunnel": num(0), "backup_port": word(""), "mcast_eht_hosts_limit": num(512),
}

// later are the settings of a port that are none of a new one's flags, or depend on
// others.
var later = []string{"address", "mtu", "state", "backup_port", "mab"}

func (g *generator) port(n int) replay.Port {
	p := replay.Port{
		Name: fmt.Sprint("p", n), Address: fmt.Sprintf("02:00:00:00:0b:%02x", n),
		MTU: 1500, Up: n == 1 || g.chance(96), Flags: maps.Clone(portDefaults), VLANs: []replay.VLAN{},
	}
	if !p.Up {
		p.Flags["state"] = word("disabled")
	}
	often := 8
	if g.mcast {
		often = 14
	}
	for _, name := range portNames {
		if g.chance(often) && g.opt.has(g.opt.Features.Port, name) && !slices.Contains(later, name) {
			p.Flags[name] = g.value(portValues[name])
		}
	}
	// MAB needs both.
	if p.Flags["locked"].Num != 0 && p.Flags["learning"].Num != 0 && g.chance(50) && g.opt.has(g.opt.Features.Port, "mab") {
		p.Flags["mab"] = num(1)
	}
	if g.opt.vlans() {
		p.VLANs = g.vlans()
	}
	return p
}
