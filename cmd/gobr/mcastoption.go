package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// mcastOption is an option of --mcast, or of --vlan-mcast.
type mcastOption struct {
	name string
	take func(a *bridge.BridgeAttrs, value string) error // "": there is no value
}

// mcastTable has the names of ip-link(8), less their mcast_.
var mcastTable = []mcastOption{
	mcastNumber("router", 0, 2, func(a *bridge.BridgeAttrs, n int) { a.McastRouter = &n }),
	mcastSwitch("query_use_ifaddr", func(a *bridge.BridgeAttrs) **bool { return &a.McastQueryUseIfaddr }),
	mcastSwitch("vlan_snooping", func(a *bridge.BridgeAttrs) **bool { return &a.McastVLANSnooping }),
	mcastNumber("igmp_version", 2, 3, func(a *bridge.BridgeAttrs, n int) { a.McastIGMPVersion = &n }),
	mcastNumber("mld_version", 1, 2, func(a *bridge.BridgeAttrs, n int) { a.McastMLDVersion = &n }),
	mcastNumber("hash_max", 0, math.MaxInt32, func(a *bridge.BridgeAttrs, n int) { a.McastHashMax = new(uint32(n)) }),
	mcastNumber("last_member_count", 0, math.MaxInt32, func(a *bridge.BridgeAttrs, n int) { a.McastLastMemberCount = new(uint32(n)) }),
	mcastNumber("startup_query_count", 0, math.MaxInt32, func(a *bridge.BridgeAttrs, n int) { a.McastStartupQueryCount = new(uint32(n)) }),
	mcastTime("last_member_interval", 0, func(a *bridge.BridgeAttrs, d time.Duration) { a.McastLastMemberInterval = &d }),
	mcastTime("membership_interval", 0, func(a *bridge.BridgeAttrs, d time.Duration) { a.McastMembershipInterval = &d }),
	mcastTime("querier_interval", 0, func(a *bridge.BridgeAttrs, d time.Duration) { a.McastQuerierInterval = &d }),
	mcastTime("query_interval", 1, func(a *bridge.BridgeAttrs, d time.Duration) { a.McastQueryInterval = &d }),
	mcastTime("query_response_interval", 0, func(a *bridge.BridgeAttrs, d time.Duration) { a.McastQueryResponseInterval = &d }),
	mcastTime("startup_query_interval", 1, func(a *bridge.BridgeAttrs, d time.Duration) { a.McastStartupQueryInterval = &d }),
}

// vlanMcastTable has those that VLANs have of their own, by the names of bridge(8), less their
// mcast_.
var vlanMcastTable = append(slices.DeleteFunc(slices.Clone(mcastTable), func(x mcastOption) bool {
	return slices.Contains([]string{"router", "query_use_ifaddr", "vlan_snooping", "hash_max"}, x.name)
}),
	mcastSwitch("snooping", func(a *bridge.BridgeAttrs) **bool { return &a.McastSnooping }),
	mcastSwitch("querier", func(a *bridge.BridgeAttrs) **bool { return &a.McastQuerier }))

// vlanMcast is what one --vlan-mcast says.
type vlanMcast struct {
	vlan  bridge.VLAN
	attrs bridge.VLANGlobalAttrs
}

// covers says that it is about a VLAN.
func (v *vlanMcast) covers(vid frame.VID) bool {
	return vid >= v.vlan.VID && vid <= max(v.vlan.VID, v.vlan.End)
}

// vlanGlobalAttrs are the settings of a bridge as those of a VLAN.
func vlanGlobalAttrs(a *bridge.BridgeAttrs) bridge.VLANGlobalAttrs {
	return bridge.VLANGlobalAttrs{
		McastSnooping: a.McastSnooping, McastQuerier: a.McastQuerier,
		McastIGMPVersion: a.McastIGMPVersion, McastMLDVersion: a.McastMLDVersion,
		McastLastMemberCount: a.McastLastMemberCount, McastStartupQueryCount: a.McastStartupQueryCount,
		McastLastMemberInterval: a.McastLastMemberInterval, McastMembershipInterval: a.McastMembershipInterval,
		McastQuerierInterval: a.McastQuerierInterval, McastQueryInterval: a.McastQueryInterval,
		McastQueryResponseInterval: a.McastQueryResponseInterval, McastStartupQueryInterval: a.McastStartupQueryInterval,
	}
}

// mcastSwitch is an option that is on or off.
func mcastSwitch(name string, field func(a *bridge.BridgeAttrs) **bool) mcastOption {
	return mcastOption{name, func(a *bridge.BridgeAttrs, value string) error { return takeOnOff(field(a), value) }}
}

// mcastNumber is an option with a value from lo to hi.
func mcastNumber(name string, lo, hi int, set func(a *bridge.BridgeAttrs, n int)) mcastOption {
	return mcastOption{name, func(a *bridge.BridgeAttrs, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("not a number from %d to %d", lo, hi)
		}
		set(a, n)
		return nil
	}}
}

// mostSeconds is the longest time that may be set: a day, to which Linux too holds the
// times between queries.
const mostSeconds = 24 * 60 * 60

// mcastTime is an option with a time in seconds, from lo to a day.
func mcastTime(name string, lo float64, set func(a *bridge.BridgeAttrs, d time.Duration)) mcastOption {
	return mcastOption{name, func(a *bridge.BridgeAttrs, value string) error {
		s, err := strconv.ParseFloat(value, 64)
		if err != nil || !(s >= lo && s <= mostSeconds) {
			return fmt.Errorf("not a number of seconds from %v to %d, such as 2.5", lo, mostSeconds)
		}
		set(a, time.Duration(math.Round(s*1000))*time.Millisecond)
		return nil
	}}
}

// takeMcast reads the OPTIONs of --mcast.
func (p *parser) takeMcast(text string) error { return takeMcastOptions(mcastTable, &p.o.mcast, text) }

// takeVLANMcast reads VID[-VID]:OPTION,... of --vlan-mcast.
func (p *parser) takeVLANMcast(text string) error {
	vids, settings, ok := strings.Cut(text, ":")
	if !ok {
		return errors.New("not VID[-VID]:OPTION=VALUE")
	}
	v, err := parseVLAN(vids)
	if err != nil {
		return err
	}
	var a bridge.BridgeAttrs
	if err := takeMcastOptions(vlanMcastTable, &a, settings); err != nil {
		return err
	}
	p.o.vlanMcast = append(p.o.vlanMcast, vlanMcast{v, vlanGlobalAttrs(&a)})
	return nil
}

func takeMcastOptions(table []mcastOption, a *bridge.BridgeAttrs, text string) error {
	for setting := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(setting, "=")
		i := slices.IndexFunc(table, func(x mcastOption) bool { return x.name == name })
		err := errors.New("there is no such option")
		if i >= 0 {
			err = table[i].take(a, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", setting, err)
		}
	}
	return nil
}

// checkSnooping turns snooping on where more is said of it, and that of VLANs, and the VLAN
// filter for it: without them that has no effect.
func (p *parser) checkSnooping() error {
	set := p.given()
	set["mcast-querier"] = p.o.querier
	for _, name := range []string{"mcast-querier", "mcast", "vlan-mcast"} {
		switch {
		case !set[name]:
		case set["mcast-snooping"] && !p.o.cfg.McastSnooping:
			return fmt.Errorf("--%s: it has no effect with --mcast-snooping=false", name)
		default:
			set["mcast-snooping"], p.o.cfg.McastSnooping = true, true
		}
	}
	perVLAN := p.o.mcast.McastVLANSnooping
	if len(p.o.vlanMcast) > 0 {
		if perVLAN != nil && !*perVLAN {
			return errors.New("--vlan-mcast: it has no effect with --mcast vlan_snooping=off")
		}
		perVLAN = new(true)
		p.o.mcast.McastVLANSnooping = perVLAN
	}
	if perVLAN != nil && *perVLAN {
		if set["vlan-filtering"] && !p.o.cfg.VLANFiltering {
			return errors.New("--mcast vlan_snooping: it has no effect with --vlan-filtering=false")
		}
		p.o.cfg.VLANFiltering = true
	}
	return nil
}
