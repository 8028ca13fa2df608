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
)

// mcastOption is an option of --mcast.
type mcastOption struct {
	name string
	take func(a *bridge.BridgeAttrs, value string) error // "": there is no value
}

// mcastTable has the names of ip-link(8), less their mcast_.
var mcastTable = []mcastOption{
	mcastNumber("router", 0, 2, func(a *bridge.BridgeAttrs, n int) { a.McastRouter = &n }),
	{"query_use_ifaddr", func(a *bridge.BridgeAttrs, value string) error { return takeOnOff(&a.McastQueryUseIfaddr, value) }},
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
func (p *parser) takeMcast(text string) error {
	for setting := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(setting, "=")
		i := slices.IndexFunc(mcastTable, func(x mcastOption) bool { return x.name == name })
		err := errors.New("there is no such option")
		if i >= 0 {
			err = mcastTable[i].take(&p.o.mcast, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", setting, err)
		}
	}
	return nil
}

// checkSnooping turns snooping on where more is said of it: without it that has no effect.
func (p *parser) checkSnooping() error {
	set := p.given()
	set["mcast-querier"] = p.o.querier
	for _, name := range []string{"mcast-querier", "mcast"} {
		switch {
		case !set[name]:
		case set["mcast-snooping"] && !p.o.cfg.McastSnooping:
			return fmt.Errorf("--%s: it has no effect with --mcast-snooping=false", name)
		default:
			set["mcast-snooping"], p.o.cfg.McastSnooping = true, true
		}
	}
	return nil
}
