package replay

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

type gA = bridge.VLANGlobalAttrs

// globalSetters are the settings that travel in a VLANGlobalAttrs: all global VLAN
// options.
var globalSetters = map[string]setter[gA]{
	"msti":                          number(func(a *gA) **int { return &a.MSTI }),
	"mcast_snooping":                truth(func(a *gA) **bool { return &a.McastSnooping }),
	"mcast_querier":                 truth(func(a *gA) **bool { return &a.McastQuerier }),
	"mcast_igmp_version":            number(func(a *gA) **int { return &a.McastIGMPVersion }),
	"mcast_mld_version":             number(func(a *gA) **int { return &a.McastMLDVersion }),
	"mcast_last_member_count":       number(func(a *gA) **uint32 { return &a.McastLastMemberCount }),
	"mcast_startup_query_count":     number(func(a *gA) **uint32 { return &a.McastStartupQueryCount }),
	"mcast_last_member_interval":    interval(func(a *gA) **time.Duration { return &a.McastLastMemberInterval }),
	"mcast_membership_interval":     interval(func(a *gA) **time.Duration { return &a.McastMembershipInterval }),
	"mcast_querier_interval":        interval(func(a *gA) **time.Duration { return &a.McastQuerierInterval }),
	"mcast_query_interval":          interval(func(a *gA) **time.Duration { return &a.McastQueryInterval }),
	"mcast_query_response_interval": interval(func(a *gA) **time.Duration { return &a.McastQueryResponseInterval }),
	"mcast_startup_query_interval":  interval(func(a *gA) **time.Duration { return &a.McastStartupQueryInterval }),
}

func (r *run) vlanGlobalSet(t *Step) error {
	a, _, rest, err := fill(globalSetters, t.Attrs)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return unsupported(t.Op, rest)
	}
	return r.b.SetVLANGlobal(frame.VID(t.VID), frame.VID(t.VIDEnd), a)
}

// globalTable gives the options of a VLAN under the recorded names.
func globalTable(v bridge.VLANGlobalInfo) Attrs {
	return Attrs{
		"msti": num(v.MSTI), "mcast_snooping": bit(v.McastSnooping), "mcast_querier": bit(v.McastQuerier),
		"mcast_igmp_version": num(v.McastIGMPVersion), "mcast_mld_version": num(v.McastMLDVersion),
		"mcast_last_member_count":       num(v.McastLastMemberCount),
		"mcast_startup_query_count":     num(v.McastStartupQueryCount),
		"mcast_last_member_interval":    ticks(v.McastLastMemberInterval),
		"mcast_membership_interval":     ticks(v.McastMembershipInterval),
		"mcast_querier_interval":        ticks(v.McastQuerierInterval),
		"mcast_query_interval":          ticks(v.McastQueryInterval),
		"mcast_query_response_interval": ticks(v.McastQueryResponseInterval),
		"mcast_startup_query_interval":  ticks(v.McastStartupQueryInterval),
	}
}

// dumpVLANGlobal compares VLANs, options, queriers and router ports.
func (r *run) dumpVLANGlobal(t *Step) error {
	var want, came []string
	got := map[uint16]GlobalVLAN{}
	for _, v := range r.globalTables() {
		came = append(came, fmt.Sprint("vid ", v.VID))
		got[v.VID] = v
	}
	for _, v := range t.VLANGlobal {
		want = append(want, fmt.Sprint("vid ", v.VID))
	}
	if err := diffLines(want, came); err != nil {
		return err
	}
	for _, v := range t.VLANGlobal {
		g, where := got[v.VID], fmt.Sprintf("VLAN %d ", v.VID)
		if err := diffAttrs(where[:len(where)-1], v.Options, g.Options); err != nil {
			return err
		}
		if err := diffQuerier(where, v.Querier, g.Querier, t.slack()); err != nil {
			return err
		}
		if err := diffRouters(where, v.RouterPorts, g.RouterPorts, t.slack()); err != nil {
			return err
		}
	}
	return nil
}

// mstSet sets the state of a port in an instance. A request that leaves out one or
// the other is refused by the kernel with EINVAL, and cannot be made in Go.
func (r *run) mstSet(t *Step) error {
	if t.Port == hostName {
		return r.notAPort(t.Port)
	}
	if t.MSTI == nil || t.State == nil {
		return fmt.Errorf("the library's call has no form without instance or state: %w", bridge.EINVAL)
	}
	s, err := portState(*t.State)
	if err != nil {
		return err
	}
	return r.dev(t.Port).port.SetMST(*t.MSTI, s)
}

func (r *run) dumpMST(t *Step) error {
	for _, name := range slices.Sorted(maps.Keys(t.MSTTable)) {
		var want, got []string
		for _, e := range t.MSTTable[name] {
			want = append(want, fmt.Sprintf("msti %d %s", e.MSTI, e.State))
		}
		for _, e := range r.mstTable(name) {
			got = append(got, fmt.Sprintf("msti %d %s", e.MSTI, e.State))
		}
		if err := diffLines(want, got); err != nil {
			return mismatchf("%s: %v", name, err)
		}
	}
	if len(t.MSTTable) != len(r.devs) {
		return mismatchf("the record has the instances of %d ports, there are %d", len(t.MSTTable), len(r.devs))
	}
	return nil
}
