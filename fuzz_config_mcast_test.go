package bridge_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The part of FuzzConfig that is about multicast snooping.

func (s *session) group() netip.Addr { return among(s.script, group4, group4b, group6) }

func (s *session) groupSource(group netip.Addr) netip.Addr {
	if group.Is4() {
		return among(s.script, source4, source4b)
	}
	return source6
}

// groupFrame makes a message of IGMP or MLD, or data for a group, sometimes damaged.
func (s *session) groupFrame() frame.Frame {
	from, group := mac(s.n(6)), s.group()
	var f frame.Frame
	switch k := s.n(9); {
	case k < 3:
		f = groupData(from, s.groupSource(group), group)
	case !group.Is4():
		f = [](func() frame.Frame){
			func() frame.Frame { return mldReport(from, group) },
			func() frame.Frame { return mldDone(from, group) },
			func() frame.Frame { return mldQuery(from) },
		}[s.n(3)]()
	case k < 5:
		f = igmpReport(from, group)
	case k < 6:
		f = igmpLeave(from, group)
	case k < 7:
		f = igmpQuery(from)
	default:
		sources := []netip.Addr{source4, source4b}[:s.n(3)]
		f = igmpReportV3(from, byte(1+s.n(7)), group, sources...)
	}
	return s.damaged(f)
}

// damaged is a frame that now and then has a bit changed, its end cut off, or padding.
func (s *session) damaged(f frame.Frame) frame.Frame {
	switch s.n(12) {
	case 11:
		f.Data[14+s.n(len(f.Data)-14)] ^= 1 << s.n(8)
	case 10:
		f.Data = f.Data[:14+s.n(len(f.Data)-14)]
	case 9:
		f.Data = append(f.Data, make([]byte, 8)...)
	}
	return f
}

// mcast makes a request to the snooping machine. Where a range or several VLANs are
// meant, an error may leave a part done.
func (s *session) mcast() (what string, partly bool, err error) {
	on, f, v := s.yes(), s.filter(), s.vlan()
	switch s.n(8) {
	case 0:
		n := s.n(5) - 1
		return fmt.Sprint("vlan mcast_router ", v.VID, v.End, n), v.End != 0, f.SetMcastRouter(v.VID, v.End, n)
	case 1:
		n := uint32(s.n(3))
		return fmt.Sprint("vlan mcast_max_groups ", v.VID, v.End, n), v.End != 0, f.SetMcastMaxGroups(v.VID, v.End, n)
	case 2:
		a := bridge.VLANGlobalAttrs{McastSnooping: &on, McastQuerier: new(s.yes())}
		if s.yes() {
			a.McastIGMPVersion = new(1 + s.n(4))
		}
		return fmt.Sprint("vlan global ", v.VID, v.End, given(a)), v.End != 0, s.b.SetVLANGlobal(v.VID, v.End, a)
	case 3:
		ip6 := among(s.script, source6, netip.Addr{}, group6)
		return fmt.Sprint("query source ", ip6), false, s.b.SetQuerySource(source4, ip6)
	case 4:
		fl := bridge.MDBFlush{Port: s.target(), Host: s.n(4) == 3}
		if s.yes() {
			fl.VID = new(v.VID)
		}
		return fmt.Sprintf("mdb flush %+v", fl), false, s.b.FlushMDB(fl)
	}
	group := s.group()
	r := bridge.MDBRequest{Port: s.target(), Group: group, Permanent: on}
	switch s.n(5) {
	case 0:
		r.Source = s.groupSource(s.group())
	case 1:
		r.Group, r.GroupMAC = netip.Addr{}, groupMAC
	case 2:
		r.Mode, r.Replace = bridge.MDBMode(s.n(4)), s.yes()
		r.Sources = []netip.Addr{source4, source4b, source6}[:s.n(4)]
	}
	if s.yes() {
		r.VID = among[frame.VID](s.script, 1, 5, 10, 4095)
	}
	if s.n(3) == 0 {
		return fmt.Sprintf("mdb del %+v", r), r.VID == 0, s.b.DeleteMDB(r)
	}
	return fmt.Sprintf("mdb add %+v", r), true, s.b.AddMDB(r) // a full table ends snooping, and is E2BIG
}

func (s *session) mcastAttrs(a *bridge.BridgeAttrs) {
	on := func() *bool { return new(s.yes()) }
	switch s.n(8) {
	case 0, 1, 2:
		a.McastSnooping = new(s.n(4) > 0)
	case 3, 4:
		a.McastQuerier = on()
	case 5:
		a.McastStats = on()
	case 6:
		a.McastQueryUseIfaddr = on()
	default:
		a.McastQueryResponseInterval, a.McastMembershipInterval, a.McastLastMemberInterval = s.duration(), s.duration(), s.duration()
	}
}

func (s *session) mcastPortAttrs(a *bridge.PortAttrs) {
	switch s.n(4) {
	case 0:
		a.FastLeave = new(s.yes())
	case 1, 2:
		a.McastToUnicast = new(s.yes())
	default:
		a.McastMaxGroups = new(uint32(s.n(4)))
	}
}

// ownOnly holds that the bridge by itself says nothing but queries, only where it may be a
// querier, and BPDUs, only with a spanning tree.
func (s *session) ownOnly(out []delivery, before, after config) {
	for _, d := range out {
		if src := frame.MAC(d.wire[6:12]); isBPDU(d.wire) {
			s.hold(hasTree(before.info) || hasTree(after.info), "a BPDU without a spanning tree")
			s.hold(src == before.ports[d.dev].Address || src == after.ports[d.dev].Address, "a BPDU from %v out of %s", src, d.dev)
			continue
		}
		s.hold(isQueryOf(d.wire, before.info.Address) || isQueryOf(d.wire, after.info.Address), "the bridge said % x", d.wire)
		s.hold(before.info.McastSnooping || after.info.McastSnooping, "a query, though snooping is off")
	}
}

// later lets time pass, and the timers run that are due on the way.
func (s *session) later(d time.Duration) {
	end := s.clock.now().Add(d)
	for range 50 {
		at, ok := s.b.NextTimer()
		if !ok || at.After(end) {
			break
		}
		if step := at.Sub(s.clock.now()); step > 0 {
			s.clock.add(step)
		}
		s.b.Tick(s.clock.now())
	}
	if rest := end.Sub(s.clock.now()); rest > 0 {
		s.clock.add(rest)
	}
	s.b.Tick(s.clock.now())
}
