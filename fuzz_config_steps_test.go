package bridge_test

import (
	"fmt"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The steps of a script that concern instances of spanning trees, tunnels, neighbours
// and filters, and what must hold of these.

// furnish has p2 suppress, and p3 and p4 be tunnels, for which it takes several calls
// that a script seldom makes in this order.
func (s *session) furnish() {
	for i := range s.slots {
		p, a := s.slots[i].port, bridge.PortAttrs{NeighSuppress: new(i == 1), VLANTunnel: new(i >= 2)}
		s.hold(p.SetLink(true, true) == nil && p.Set(a) == nil, "furnish")
		if i >= 2 {
			f := p.VLANs()
			s.hold(f.Set(bridge.Trunk(1, 5, 10)) == nil && f.AddTunnel(bridge.VLANTunnel{VID: 5, ID: uint32(98 + i)}) == nil, "tunnel")
		}
	}
}

// options makes one such step.
func (s *session) options() (what string, partly bool, err error) {
	switch s.n(9) {
	case 0:
		p, msti, st := s.port(), among(s.script, 1, 2, 0, 4095, 4096), s.state()
		return fmt.Sprintf("mst %s %d %v", p.Name(), msti, st), false, p.SetMST(msti, st)
	case 1:
		v, a := s.vlan(), s.vlanGlobal()
		return fmt.Sprintf("vlan global %d %d %s", v.VID, v.End, given(a)), v.End != 0, s.b.SetVLANGlobal(v.VID, v.End, a)
	case 2:
		f, v, on := s.filter(), s.vlan(), s.yes()
		return fmt.Sprintf("vlan neigh_suppress %d %d %v", v.VID, v.End, on), false, f.SetNeighSuppress(v.VID, v.End, on)
	case 3, 4:
		f, v, id := s.filter(), s.vlan(), among[uint32](s.script, 100, 101, 5, 0, 1<<32-2)
		t := bridge.VLANTunnel{VID: v.VID, End: v.End, ID: id}
		p := s.port()
		if partly = s.yes(); partly {
			s.hold(p.Set(bridge.PortAttrs{VLANTunnel: new(true)}) == nil || !p.Info().Attached, "no tunnel")
			f = p.VLANs()
		}
		return fmt.Sprintf("tunnel add %+v", t), partly, f.AddTunnel(t)
	case 5:
		f, v := s.filter(), s.vlan()
		return fmt.Sprintf("tunnel del %d %d", v.VID, v.End), false, f.DeleteTunnel(v.VID, v.End)
	case 6:
		on := s.yes()
		return fmt.Sprint("topology change ", on), false, s.b.SetTopologyChange(on)
	case 7:
		s.neighbours()
		return "neighbours", false, nil
	default:
		return s.filters()
	}
}

func (s *session) vlanGlobal() (a bridge.VLANGlobalAttrs) {
	switch s.n(6) {
	case 0:
		a.McastIGMPVersion = new(s.n(5))
	case 1:
		a.McastQueryInterval = new(among[time.Duration](s.script, 0, time.Minute))
	default:
		a.MSTI = new(among(s.script, 1, 2, 0, 4095, 4096, -1))
	}
	return a
}

// neighbours changes what the host knows: station n is mac(n), with the addresses
// ip4(n) and ip6(n).
func (s *session) neighbours() {
	n, vid := s.n(6), among[frame.VID](s.script, 0, 0, 1, 5, 10)
	switch s.n(4) {
	case 0:
		s.table.DeleteNeighbour(vid, ip4(n))
		s.table.DeleteNeighbour(vid, ip6(n))
	case 1:
		s.table.AddAddress(vid, ip4(n))
	case 2:
		s.table.DeleteAddress(vid, ip4(n))
	default:
		s.table.SetNeighbour(vid, ip4(n), bridge.Neighbour{MAC: mac(n)})
		s.table.SetNeighbour(vid, ip6(n), bridge.Neighbour{MAC: mac(n), Router: n == 1})
	}
}

// newNeighbours is what the host knows in the beginning: all stations, and two VLAN
// devices.
func newNeighbours() *bridge.HostTable {
	t := new(bridge.HostTable)
	for _, vid := range []frame.VID{0, 1, 5} {
		for n := range 6 {
			t.SetNeighbour(vid, ip4(n), bridge.Neighbour{MAC: mac(n)})
			t.SetNeighbour(vid, ip6(n), bridge.Neighbour{MAC: mac(n)})
		}
		for _, tpid := range []frame.EtherType{frame.TypeDot1Q, frame.TypeDot1AD} {
			t.AddVLANDevice(tpid, vid)
		}
	}
	return t
}

// request is a station's question where another one is.
func (s *session) request(dst, src frame.MAC) frame.Frame {
	n, m := s.n(6), s.n(6)
	var f frame.Frame
	if s.yes() {
		f = arp{dst: dst, src: src, sender: ip4(n), target: ip4(m)}.frame()
		f.Data = append(f.Data, make([]byte, 60-len(f.Data))...)
		return f
	}
	f = nd{dst: dst, src: src, from: ip6(n), to: solicitedNode, target: ip6(m), options: sourceLink(src)}.frame()
	f.Data = append(f.Data, 0, 0, 0, 0)
	return f
}

// behindTag gives what a wire form holds from the EtherType on, behind one tag.
func behindTag(wire []byte) []byte {
	if len(wire) >= 18 && frame.EtherType(uint16(wire[12])<<8|uint16(wire[13])).IsTag() {
		return wire[16:]
	}
	return wire[12:]
}

// isAnswer reports what no station of a script sends, and so the bridge made.
func isAnswer(wire []byte) bool {
	switch b := behindTag(wire); {
	case len(b) >= 30 && b[0] == 8 && b[1] == 6:
		return b[9] == 2
	case len(b) >= 66 && b[0] == 0x86 && b[1] == 0xdd:
		return b[8] == 58 && b[42] == 136
	}
	return false
}

func isRequest(b []byte) bool {
	return len(b) >= 30 && b[0] == 8 && b[1] == 6 && b[9] == 1 || len(b) >= 66 && b[0] == 0x86 && b[1] == 0xdd && b[8] == 58 && b[42] == 135
}

// forbidsAnswer says why an answer to a frame may not leave by a device.
func (a *arrival) forbidsAnswer(dev string, wire []byte) string {
	src := frame.MAC(wire[6:12])
	e, known := a.fdb[fdbKey{src, a.vid}]
	asked := false // somebody has the bridge answer
	for _, p := range a.ports {
		asked = asked || p.NeighSuppress || p.NeighVLANSuppress || p.ProxyARP || p.ProxyARPWifi
	}
	from := a.ports[a.from]
	switch {
	case !isRequest(a.body):
		return "there was no request"
	case !asked:
		return "no port has it answered"
	case a.from != "" && dev != a.from:
		return "the request came in elsewhere"
	case a.from != "" && from.NeighSuppress && !from.NeighVLANSuppress:
		return "the request came in by a port that suppresses"
	case a.from != "" && !(from.Up && from.Carrier):
		return "the port is down"
	case a.info.NoARP && behindTag(wire)[0] == 8:
		return "ARP is off"
	case a.fdb != nil && !known && src != a.src:
		return "who is answered for is not known: " + src.String()
	case known && e.Port == "" && a.from != "" && !from.ProxyARP:
		return "the bridge's own address is the host's to answer for"
	}
	return ""
}

// A rule is a filter's, by a number: what it says depends on the point, the ports and
// the source.
type rule uint32

func (r rule) says(h bridge.Hook, in, out string, src frame.MAC) bridge.FilterAction {
	x := uint32(r) ^ uint32(h)<<16 ^ uint32(src[5])<<8
	for _, name := range []string{in, "/", out} {
		for _, c := range []byte(name) {
			x = (x ^ uint32(c)) * 0x01000193
		}
	}
	switch x >> 8 % 12 {
	case 0:
		return bridge.FilterDrop
	case 1:
		return bridge.FilterSteal
	case 2:
		return bridge.FilterPass
	}
	return bridge.FilterAccept
}

func (r rule) filter() bridge.Filter {
	return bridge.Filter{Name: fmt.Sprint("rule ", r), Hooks: everyHook, Judge: func(s *bridge.Passage) bridge.Ruling {
		return bridge.Ruling{Action: r.says(s.Hook, nameOf(s.In), nameOf(s.Out), s.Frame.Src())}
	}}
}

// bars says whether the rule keeps a frame from leaving by a device.
func (r rule) bars(a *arrival, dev string) bool {
	if r == 0 {
		return false
	}
	stops := func(h bridge.Hook, out string) bool {
		x := r.says(h, a.from, out, a.src)
		return x == bridge.FilterDrop || x == bridge.FilterSteal
	}
	switch {
	case a.from != "" && stops(bridge.HookPreRouting, ""):
		return true
	case dev == "":
		return stops(bridge.HookLocalIn, "")
	case a.from == "":
		return stops(bridge.HookLocalOut, dev) || stops(bridge.HookPostRouting, dev)
	}
	return stops(bridge.HookForward, dev) || stops(bridge.HookPostRouting, dev)
}

// filters sets filters, or none, or some that are refused.
func (s *session) filters() (what string, partly bool, err error) {
	switch s.n(4) {
	case 0:
		s.rule = 0
		return "no filters", false, s.b.SetFilters()
	case 1:
		return "bad filters", false, s.b.SetFilters(s.rule.filter(), bridge.Filter{Name: "without Judge", Hooks: everyHook})
	}
	s.rule = rule(1 + s.n(200))
	return fmt.Sprint("filters, rule ", s.rule), false, s.b.SetFilters(s.rule.filter())
}

// fromTunnel puts a frame that came by a tunnel in the VLAN of that.
func (a *arrival) fromTunnel(f frame.Frame) {
	if f.Tunnel == 0 || a.from == "" || !a.ports[a.from].VLANTunnel {
		return
	}
	for vid, id := range a.tunnels[a.from] {
		if uint64(id)+1 == f.Tunnel {
			a.tag = []byte{byte(a.info.VLANProtocol >> 8), byte(a.info.VLANProtocol), byte(vid >> 8), byte(vid)}
		}
	}
}

// tunnel is the Frame.Tunnel with which a frame that would leave tagged leaves.
func (a *arrival) tunnel(dev string) uint64 {
	if id := a.tunnels[dev][a.vid]; id != 0 && a.vid != 0 && a.ports[dev].VLANTunnel {
		return uint64(id) + 1
	}
	return 0
}
