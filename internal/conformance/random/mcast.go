package random

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// Nothing that snooping has a timer for ends while a scenario runs. What it times is
// either over at once, with the timer's interval 0, or lasts for a minute or more. A
// query that begins the shortest time that its format has is followed by a wait.

// mcastWait outlasts such a query's time, which is some ticks of the kernel.
const mcastWait = 40

// mcastValues are the settings of snooping that a bridge and a VLAN have.
var mcastValues = map[string]setting{
	"mcast_snooping":                numbers(1, 1, 0),
	"mcast_querier":                 onOff,
	"mcast_igmp_version":            numbers(2, 3).or(numbers(1, 4)),
	"mcast_mld_version":             numbers(1, 2).or(numbers(0, 3)),
	"mcast_last_member_count":       numbers(1, 2, 5),
	"mcast_startup_query_count":     numbers(0, 1, 2, 5),
	"mcast_last_member_interval":    numbers(6000, 10000),
	"mcast_membership_interval":     numbers(26000, 30000),
	"mcast_querier_interval":        numbers(25500, 30000),
	"mcast_query_interval":          numbers(12500, 6000),
	"mcast_query_response_interval": numbers(0, 6000, 12000),
	"mcast_startup_query_interval":  numbers(12500, 6000),
}

// mcast reports that there may be snooping.
func (o *Options) mcast() bool { return o.has(o.Features.Bridge, "mcast_snooping") }

// mcastKinds are the steps that are about snooping.
var mcastKinds = []string{"report", "stream", "query", "router", "mdb-add", "mdb-del", "mdb-flush", "mdb-get"}

// mcastWeight: a bridge that does not snoop is asked seldom, and refuses.
func (g *generator) mcastWeight(k kind) int {
	switch {
	case (k.name == "mdb-flush" || k.name == "mdb-get") && !g.opt.Features.MDBFlush:
		return 0
	case g.mcast:
		return k.weight
	case k.name == "mdb-add" && g.opt.mcast():
		return 1
	}
	return 0
}

// snooping gives a new bridge settings of snooping.
func (g *generator) snooping(b replay.Attrs) {
	for _, name := range bridgeNames {
		if strings.HasPrefix(name, "mcast_") && g.may(name, g.opt.Features.Bridge) && g.chance(35) {
			b[name] = g.value(bridgeValues[name])
		}
	}
	b["mcast_snooping"] = num(1)
	if g.chance(60) && !g.opt.without("mcast_querier") {
		b["mcast_querier"] = num(1)
	}
	if g.chance(50) {
		b["mcast_query_response_interval"] = num(0)
	}
	if g.chance(90) {
		b["mcast_hash_max"] = num(4096)
	}
	if b["vlan_filtering"].Num == 0 {
		b["mcast_vlan_snooping"] = num(0)
	}
}

// slowVLANs gives VLANs that are new a long time in which members may answer: their own
// default is ten seconds, and one for the last of a group.
func (g *generator) slowVLANs(vids ...uint16) {
	if !g.mcast || !g.opt.vlans() || !g.opt.Features.Bridge["mcast_vlan_snooping"] {
		return
	}
	for _, vid := range vids {
		g.then = append(g.then, replay.Step{
			Op: "vlan-global-set", VID: vid, Attrs: replay.Attrs{
				"mcast_last_member_interval": num(6000), "mcast_query_response_interval": num(6000),
			},
		})
	}
}

// mcastVLANAttrs is what vlan-set sets of snooping.
func (g *generator) mcastVLANAttrs() replay.Attrs {
	if name := "mcast_max_groups"; g.chance(30) && g.opt.has(g.opt.Features.Port, name) {
		return replay.Attrs{name: num(int64(g.IntN(4)))}
	}
	return replay.Attrs{"mcast_router": num(pick[int64](g, 0, 1, 2, 3, 3, 4))}
}

// Groups and sources: few, so that they meet.
var (
	groups4 = []string{"239.1.1.1", "239.1.1.1", "239.1.1.1", "239.1.1.2", "239.1.1.3", "225.0.0.9"}
	groups6 = []string{"ff05::1:3", "ff05::1:3", "ff0e::7", "ff02::fb", "ff02::1:ff00:2"}
	oddIPs4 = []string{"224.0.0.1", "224.0.0.251", "224.0.0.22", "10.0.0.9", "255.255.255.255", "0.0.0.0"}
	oddIPs6 = []string{"ff02::1", "ff02::16", "ff01::1", "fe80::9", "::"}
	groupsL = []string{"01:00:5e:01:01:01", "33:33:00:01:00:03", "03:00:00:00:00:01", "02:00:00:00:0a:01", "01:80:c2:00:00:0e"}
)

// v6 is whether a packet or entry is of IPv6.
func (g *generator) v6() bool { return g.opt.Features.IPv6 && g.chance(40) }

// group is where streams go, seldom an address that is no group's or not snooped.
func (g *generator) group(v6 bool) netip.Addr {
	all, odd := groups4, oddIPs4
	if v6 {
		all, odd = groups6, oddIPs6
	}
	if g.chance(8) {
		all = odd
	}
	return netip.MustParseAddr(all[g.IntN(len(all))])
}

// source is who sends a stream, seldom nobody or a group.
func (g *generator) source(v6 bool) netip.Addr {
	switch {
	case g.chance(4):
		return g.group(v6)
	case v6:
		return stationIPv6(1 + g.IntN(3))
	}
	return stationIPv4(1 + g.IntN(3))
}

func (g *generator) sources(v6 bool) (list []netip.Addr) {
	for range g.IntN(4) {
		list = append(list, g.source(v6))
	}
	return list
}

// mdbStep is what a request to add or to delete an entry says of it.
func (g *generator) mdbStep(op string) (t replay.Step, v6 bool) {
	t = replay.Step{Op: op, Port: g.device(), State: new(pick(g, "permanent", "temp")), VLAN: g.vlan()}
	v6 = g.v6()
	t.Group = g.group(v6).String()
	switch {
	case g.chance(15):
		t.Group, t.State = groupsL[g.IntN(len(groupsL))], new(pick(g, "permanent", "permanent", "permanent", "temp"))
	case g.chance(30):
		t.Source = g.source(v6).String()
	}
	if t.Port == hostName && g.chance(80) {
		t.State = new("temp")
	}
	return t, v6
}

func (g *generator) mdbAdd() replay.Step {
	t, v6 := g.mdbStep("mdb-add")
	t.Mode = pick(g, "add", "add", "replace")
	newer := 4 // refused by kernels that do not know it
	if g.opt.Features.Port["mcast_max_groups"] {
		newer = 35
	}
	if !g.chance(newer) {
		return t
	}
	if g.chance(70) {
		t.FilterMode = pick(g, "include", "exclude")
		for _, s := range g.sources(v6) {
			t.SourceList = append(t.SourceList, s.String())
		}
		if !g.chance(8) {
			t.Source = ""
		}
	}
	if g.chance(40) {
		t.Proto = pick(g, "static", "42", "42")
		if ip, err := netip.ParseAddr(t.Group); err == nil && ip.IsMulticast() && g.chance(15) {
			t.Proto = "kernel" // which others may not say
		}
	}
	return t
}

func (g *generator) mdbDel() replay.Step {
	t, _ := g.mdbStep("mdb-del")
	return t
}

func (g *generator) mdbGet() replay.Step {
	t, _ := g.mdbStep("mdb-get")
	t.Port, t.State = "", nil
	return t
}

func (g *generator) mdbFlush() replay.Step {
	t := replay.Step{Op: "mdb-flush", Port: pick(g, "", g.device()), VLAN: g.vlan(), Proto: pick(g, "", "", "", "static", "42")}
	if g.chance(40) {
		t.Flags = []string{pick(g, "permanent", "nopermanent")}
	}
	return t
}

// listener is where a report or a stream comes from: a port, or the host.
func (g *generator) listener() string {
	port := g.device()
	if g.outside[port] {
		return hostName
	}
	return port
}

// packet gives a step that injects a packet to a group, behind the tags of frames here.
func (g *generator) packet(dst netip.Addr, p []byte) replay.Step {
	m := groupMAC(dst)
	if g.chance(4) {
		m = frame.MustParseMAC(g.destination())
	}
	src := stationMAC(g.station())
	b := append(append([]byte(nil), m[:]...), src[:]...)
	tagged := 8
	if g.opt.vlans() {
		tagged = 55
	}
	for g.chance(tagged) && len(b) < 24 {
		b, tagged = g.tag(b), 8
	}
	etherType := frame.TypeIPv4
	if dst.Is6() {
		etherType = frame.TypeIPv6
	}
	b = append(append(b, byte(etherType>>8), byte(etherType)), p...)
	if g.chance(20) {
		b = append(b, make([]byte, g.IntN(20))...)
	}
	return replay.Step{Op: "inject", Port: g.listener(), Frame: hex.EncodeToString(b)}
}

// stream is data to a group.
func (g *generator) stream() replay.Step {
	v6 := g.v6()
	dst := g.group(v6)
	g.frames++
	p := packet{src: g.source(v6), dst: dst, protocol: protoUDP, hops: 8, body: udp(g.frames)}
	return g.packet(dst, g.spoilt(&p))
}

// router is a router's word of itself: a PIM hello or an advertisement (RFC 4286).
func (g *generator) router() replay.Step {
	p := packet{src: g.source(false), dst: netip.MustParseAddr("224.0.0.13"), protocol: protoPIM, hops: 1, body: []byte{0x20, 0, 0, 0}}
	switch n := g.IntN(100); {
	case n < 40:
		p.dst, p.protocol, p.body = netip.MustParseAddr("224.0.0.106"), protoIGMP, []byte{0x30, 20, 0, 0, 0, 20, 0, 2}
	case n < 65 && g.opt.Features.IPv6:
		p.src, p.dst, p.protocol, p.body = g.source(true), netip.MustParseAddr("ff02::6a"), protoICMPv6, []byte{151, 20, 0, 0, 0, 20, 0, 2}
	case n < 70:
		p.body = pick(g, []byte{0x23, 0, 0, 0}, []byte{0x10, 0, 0, 0}, []byte{0x20, 0})
	case n < 75:
		p.dst = g.group(false)
	}
	return g.packet(p.dst, g.spoilt(&p))
}

// query is another querier's question.
func (g *generator) query() replay.Step {
	v6 := g.v6()
	dst, group := netip.MustParseAddr("224.0.0.1"), netip.IPv4Unspecified()
	if v6 {
		dst, group = netip.MustParseAddr("ff02::1"), netip.IPv6Unspecified()
	}
	if g.chance(25) {
		group = g.group(v6)
		dst = pick(g, group, dst)
	}
	var sources []netip.Addr
	if g.chance(15) {
		sources = g.sources(v6)
	}
	modern, soon := g.chance(50), g.chance(60) && g.waited+mcastWait <= live.MaxWait
	if soon && !v6 {
		modern = true // the first version's least is a tenth of a second
	}
	p := packet{src: g.source(v6), dst: dst, hops: 1}
	if g.chance(20) {
		p.src = netip.IPv4Unspecified()
		if v6 {
			p.src = netip.IPv6Unspecified()
		}
	}
	if v6 {
		p.protocol, p.body = protoICMPv6, mldQuery(group, sources, modern, soon)
	} else {
		p.protocol, p.body = protoIGMP, igmpQuery(group, sources, modern, soon)
	}
	if modern && g.chance(10) {
		p.body[len(p.body)-4-len(sources)*len(group.AsSlice())] |= 8 // suppress
	}
	t := g.packet(dst, g.spoilt(&p))
	if soon {
		g.waited += mcastWait
		g.then = append(g.then, replay.Step{Op: "wait", MS: mcastWait})
	}
	return t
}

// report is a station's report or leave, of any version.
func (g *generator) report() replay.Step {
	v6 := g.v6()
	group := g.group(v6)
	p := packet{src: g.source(v6), dst: group, hops: 1, protocol: protoIGMP}
	if v6 {
		p.protocol = protoICMPv6
	}
	switch n := g.IntN(100); {
	case n < 40:
		p.body = message(pick[byte](g, 0x16, 0x16, 0x16, 0x12), 0, group)
		if v6 {
			p.body = message(131, 0, group)
		}
	case n < 58:
		p.dst, p.body = netip.MustParseAddr("224.0.0.2"), message(0x17, 0, group)
		if v6 {
			p.dst, p.body = netip.MustParseAddr("ff02::2"), message(132, 0, group)
		}
	default:
		p.dst = netip.MustParseAddr("224.0.0.22")
		if v6 {
			p.dst = netip.MustParseAddr("ff02::16")
		}
		p.body = g.records(v6)
	}
	return g.packet(p.dst, g.spoilt(&p))
}
