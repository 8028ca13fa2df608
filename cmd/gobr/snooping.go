package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// What gobr does about multicast snooping: where queries come from, and what there is to
// be seen.

// querySource is the addresses from which queries come.
type querySource struct{ ip4, ip6 netip.Addr }

// followQuerySource has the bridge's queries come from the addresses of the host's TAP, as
// in Linux from those of the bridge's own device. MLD queries need a link-local one: while
// there is no host, or it has none, they come from the one that belongs to the bridge's
// address.
func (s *session) followQuerySource() {
	if !s.o.asks() {
		return
	}
	var now querySource
	if s.host != nil && !s.host.failed.Load() {
		now.ip4, now.ip6 = addressesOf(ifSpec{s.host.tap.Name(), s.o.host.netns})
	}
	if !now.ip6.IsValid() {
		now.ip6 = linkLocal(s.b.Info().Address)
	}
	if now == s.asks {
		return
	}
	before := s.asks
	s.asks = now
	err := s.b.SetQuerySource(now.ip4, now.ip6)
	if err != nil || before.ip6.IsValid() && before.ip6 != now.ip6 {
		s.say.tell(s.b.Name(), err, "MLD queries come from %s, it was %s", now.ip6, before.ip6)
	}
}

// asks says that the bridge is a querier, in some VLAN at least.
func (o *options) asks() bool {
	return o.querier || slices.ContainsFunc(o.vlanMcast, func(v vlanMcast) bool { return v.attrs.McastQuerier != nil && *v.attrs.McastQuerier })
}

// linkLocal is the address that belongs to a MAC address (RFC 4291, appendix A).
func linkLocal(m frame.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// startQuerier has the bridge ask, with vlan_snooping in each VLAN that is not said to have
// its querier on or off: not before all who are to be asked are there, and its questions
// have a sender.
func (s *session) startQuerier() error {
	s.followQuerySource()
	for _, v := range s.o.vlanMcast {
		if err := s.b.SetVLANGlobal(v.vlan.VID, v.vlan.End, v.attrs); err != nil {
			return err
		}
	}
	switch {
	case !s.o.querier:
		return nil
	case !s.b.Info().McastVLANSnooping:
		return s.b.Set(bridge.BridgeAttrs{McastQuerier: new(true)})
	}
	for _, g := range s.b.VLANGlobals() {
		if slices.ContainsFunc(s.o.vlanMcast, func(v vlanMcast) bool { return v.attrs.McastQuerier != nil && v.covers(g.VID) }) {
			continue
		}
		if err := s.b.SetVLANGlobal(g.VID, 0, bridge.VLANGlobalAttrs{McastQuerier: new(true)}); err != nil {
			return err
		}
	}
	return nil
}

// snoopingContexts are the VLANs that have routers and queriers of their own, or 0 for those
// of the bridge.
func snoopingContexts(b *bridge.Bridge) []frame.VID {
	if !b.Info().McastVLANSnooping {
		return []frame.VID{0}
	}
	var vids []frame.VID
	for _, g := range b.VLANGlobals() {
		vids = append(vids, g.VID)
	}
	return vids
}

// printSnooping prints the groups with their members, the routers and the queriers, if the
// bridge snoops.
func printSnooping(w io.Writer, b *bridge.Bridge) {
	if !b.Info().McastSnooping {
		return
	}
	fmt.Fprint(w, "\nMulticast groups\n")
	t := newTable(w, 0)
	fmt.Fprint(t, "group\tsource\tvlan\tdevice\tstate\tends in\tmode\n")
	for _, e := range b.MDB() {
		fmt.Fprintln(t, groupRow(&e))
	}
	t.Flush()
	fmt.Fprint(w, "\nMulticast routers\n")
	t = newTable(w, 0)
	fmt.Fprint(t, "device\tvlan\tIPv4 ends in\tIPv6 ends in\n")
	contexts := snoopingContexts(b)
	for _, vid := range contexts {
		for _, r := range b.RouterPorts(vid) {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Port, vlanName(r.VID), routerEnds(r.Timer4), routerEnds(r.Timer6))
		}
	}
	t.Flush()
	fmt.Fprint(w, "\nMulticast queriers\n")
	t = newTable(w, 0)
	fmt.Fprint(t, "protocol\tvlan\tdevice\taddress\tends in\n")
	for _, vid := range contexts {
		ip4, ip6 := b.Queriers(vid)
		fmt.Fprintf(t, "IPv4\t%s\t%s\nIPv6\t%s\t%s\n", vlanName(vid), querierRow(ip4), vlanName(vid), querierRow(ip6))
	}
	t.Flush()
}

// groupRow is a member of a group as `bridge mdb show` tells it, in columns.
func groupRow(e *bridge.MDBEntry) string {
	group, source, state, mode := e.GroupMAC.String(), "*", "temp", e.Mode.String()
	if e.Group.IsValid() {
		group = e.Group.String()
	}
	if e.Source.IsValid() {
		source = e.Source.String()
	}
	if e.Permanent {
		state = "permanent"
	}
	if e.Blocked {
		state += " blocked"
	}
	if mode == "" {
		mode = "-"
	}
	for _, src := range e.Sources {
		mode += fmt.Sprintf(" %s (%s)", src.Addr, timeLeft(src.Timer))
	}
	return strings.Join([]string{group, source, vlanName(e.VID), deviceName(e.Port), state, timeLeft(e.Timer), mode}, "\t")
}

func querierRow(q bridge.Querier) string {
	switch {
	case !q.Known:
		return "-\t-\t-"
	case q.Other:
		return deviceName(q.Port) + "\t" + q.Addr.String() + "\t" + timeLeft(q.Timer)
	}
	return "the bridge\t" + q.Addr.String() + "\t-"
}

// timeLeft is what is left of a timer, "-" if none runs.
func timeLeft(left time.Duration) string {
	if left == 0 {
		return "-"
	}
	return left.Round(time.Second).String()
}

// routerEnds tells of a router of one protocol.
func routerEnds(left time.Duration) string {
	switch {
	case left < 0:
		return "no router"
	case left == 0:
		return "never"
	}
	return timeLeft(left)
}
