package replay

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A setter puts a recorded value into a request A.
type setter[A any] func(a *A, v Value) error

// badValue says that the type of a setting has no such value.
func badValue(v Value) error {
	return fmt.Errorf("the library's type has no value for %s: %w", v, bridge.EINVAL)
}

func number[A any, T ~int | ~uint16 | ~uint32](field func(*A) **T) setter[A] {
	return func(a *A, v Value) error {
		n := T(v.Num)
		if v.Text || int64(n) != v.Num {
			return badValue(v)
		}
		*field(a) = &n
		return nil
	}
}

// truth takes any number, as the kernel does for most switches: not 0 is on.
func truth[A any](field func(*A) **bool) setter[A] {
	return func(a *A, v Value) error {
		if v.Text {
			return badValue(v)
		}
		*field(a) = new(v.Num != 0)
		return nil
	}
}

// strict takes 0 and 1 only: the kernel refuses other numbers for these switches
// with EINVAL, and a bool cannot carry them.
func strict[A any](field func(*A) **bool) setter[A] {
	return func(a *A, v Value) error {
		if v.Text || v.Num < 0 || v.Num > 1 {
			return badValue(v)
		}
		*field(a) = new(v.Num == 1)
		return nil
	}
}

func interval[A any](field func(*A) **time.Duration) setter[A] {
	return func(a *A, v Value) error {
		if v.Text {
			return badValue(v)
		}
		*field(a) = new(duration(v.Num))
		return nil
	}
}

type bA = bridge.BridgeAttrs

// bridgeSetters are the settings that travel in a BridgeAttrs.
var bridgeSetters = map[string]setter[bA]{
	"ageing_time":         interval(func(a *bA) **time.Duration { return &a.AgeingTime }),
	"forward_delay":       interval(func(a *bA) **time.Duration { return &a.ForwardDelay }),
	"hello_time":          interval(func(a *bA) **time.Duration { return &a.HelloTime }),
	"max_age":             interval(func(a *bA) **time.Duration { return &a.MaxAge }),
	"priority":            number(func(a *bA) **uint16 { return &a.Priority }),
	"stp_state":           number(func(a *bA) **int { return &a.STPState }),
	"vlan_filtering":      truth(func(a *bA) **bool { return &a.VLANFiltering }),
	"vlan_default_pvid":   number(func(a *bA) **frame.VID { return &a.VLANDefaultPVID }),
	"vlan_stats_enabled":  strict(func(a *bA) **bool { return &a.VLANStats }),
	"vlan_stats_per_port": strict(func(a *bA) **bool { return &a.VLANStatsPerPort }),
	"group_fwd_mask":      number(func(a *bA) **uint16 { return &a.GroupFwdMask }),
	"no_linklocal_learn":  truth(func(a *bA) **bool { return &a.NoLinkLocalLearn }),
	"fdb_max_learned":     number(func(a *bA) **uint32 { return &a.FDBMaxLearned }),
	"fdb_local_vlan_0":    truth(func(a *bA) **bool { return &a.FDBLocalVLAN0 }),
	"mst_enabled":         truth(func(a *bA) **bool { return &a.MSTEnabled }),

	"mcast_snooping":                truth(func(a *bA) **bool { return &a.McastSnooping }),
	"mcast_vlan_snooping":           truth(func(a *bA) **bool { return &a.McastVLANSnooping }),
	"mcast_router":                  number(func(a *bA) **int { return &a.McastRouter }),
	"mcast_querier":                 truth(func(a *bA) **bool { return &a.McastQuerier }),
	"mcast_query_use_ifaddr":        truth(func(a *bA) **bool { return &a.McastQueryUseIfaddr }),
	"mcast_stats_enabled":           truth(func(a *bA) **bool { return &a.McastStats }),
	"mcast_igmp_version":            number(func(a *bA) **int { return &a.McastIGMPVersion }),
	"mcast_mld_version":             number(func(a *bA) **int { return &a.McastMLDVersion }),
	"mcast_hash_max":                number(func(a *bA) **uint32 { return &a.McastHashMax }),
	"mcast_last_member_count":       number(func(a *bA) **uint32 { return &a.McastLastMemberCount }),
	"mcast_startup_query_count":     number(func(a *bA) **uint32 { return &a.McastStartupQueryCount }),
	"mcast_last_member_interval":    interval(func(a *bA) **time.Duration { return &a.McastLastMemberInterval }),
	"mcast_membership_interval":     interval(func(a *bA) **time.Duration { return &a.McastMembershipInterval }),
	"mcast_querier_interval":        interval(func(a *bA) **time.Duration { return &a.McastQuerierInterval }),
	"mcast_query_interval":          interval(func(a *bA) **time.Duration { return &a.McastQueryInterval }),
	"mcast_query_response_interval": interval(func(a *bA) **time.Duration { return &a.McastQueryResponseInterval }),
	"mcast_startup_query_interval":  interval(func(a *bA) **time.Duration { return &a.McastStartupQueryInterval }),

	"vlan_protocol": func(a *bA, v Value) error {
		t, err := protocol(v.Word)
		a.VLANProtocol = &t
		return err
	},
	"group_address": func(a *bA, v Value) error {
		m, err := frame.ParseMAC(v.Word)
		a.GroupAddress = &m
		return err
	},
}

type pA = bridge.PortAttrs

// portSetters are the settings that travel in a PortAttrs.
var portSetters = map[string]setter[pA]{
	"priority":              number(func(a *pA) **int { return &a.Priority }),
	"cost":                  number(func(a *pA) **int { return &a.Cost }),
	"learning":              truth(func(a *pA) **bool { return &a.Learning }),
	"flood":                 truth(func(a *pA) **bool { return &a.Flood }),
	"mcast_flood":           truth(func(a *pA) **bool { return &a.McastFlood }),
	"bcast_flood":           truth(func(a *pA) **bool { return &a.BcastFlood }),
	"hairpin":               truth(func(a *pA) **bool { return &a.Hairpin }),
	"isolated":              truth(func(a *pA) **bool { return &a.Isolated }),
	"locked":                truth(func(a *pA) **bool { return &a.Locked }),
	"mab":                   truth(func(a *pA) **bool { return &a.MAB }),
	"proxy_arp":             truth(func(a *pA) **bool { return &a.ProxyARP }),
	"proxy_arp_wifi":        truth(func(a *pA) **bool { return &a.ProxyARPWifi }),
	"group_fwd_mask":        number(func(a *pA) **uint16 { return &a.GroupFwdMask }),
	"guard":                 truth(func(a *pA) **bool { return &a.Guard }),
	"root_block":            truth(func(a *pA) **bool { return &a.RootBlock }),
	"fast_leave":            truth(func(a *pA) **bool { return &a.FastLeave }),
	"mcast_router":          number(func(a *pA) **int { return &a.McastRouter }),
	"mcast_to_unicast":      truth(func(a *pA) **bool { return &a.McastToUnicast }),
	"mcast_max_groups":      number(func(a *pA) **uint32 { return &a.McastMaxGroups }),
	"mcast_eht_hosts_limit": number(func(a *pA) **uint32 { return &a.McastEHTHostsLimit }),
	"neigh_suppress":        truth(func(a *pA) **bool { return &a.NeighSuppress }),
	"neigh_vlan_suppress":   truth(func(a *pA) **bool { return &a.NeighVLANSuppress }),
	"vlan_tunnel":           truth(func(a *pA) **bool { return &a.VLANTunnel }),

	"backup_port": func(a *pA, v Value) error {
		a.BackupPort = new(v.Word)
		return nil
	},
	"state": func(a *pA, v Value) error {
		s, err := portState(v.String())
		a.State = &s
		return err
	},
}

// fill makes one request of attrs. Those that no setter knows come back: they
// are the device's own, or unknown.
func fill[A any](setters map[string]setter[A], attrs Attrs) (a A, set int, rest Attrs, err error) {
	rest = Attrs{}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		put, v := setters[name], attrs[name]
		if put == nil {
			rest[name] = v
			continue
		}
		if err := put(&a, v); err != nil {
			return a, 0, nil, fmt.Errorf("%s: %w", name, err)
		}
		set++
	}
	return a, set, rest, nil
}

// setBridge carries out a set-bridge step. What belongs to the device (address,
// mtu, promisc) goes first, as in do_setlink, the rest in one request.
func (r *run) setBridge(t *Step) error {
	a, set, rest, err := fill(bridgeSetters, t.Attrs)
	if err != nil {
		return err
	}
	for _, name := range []string{"mtu", "address", "promisc"} {
		v, ok := rest[name]
		if !ok {
			continue
		}
		delete(rest, name)
		switch name {
		case "mtu":
			err = r.b.SetMTU(int(v.Num))
		case "address":
			var m frame.MAC
			if m, err = frame.ParseMAC(v.Word); err == nil {
				err = r.b.SetAddress(m)
			}
			if err == nil {
				r.stack.forget() // also if it is the address that the device has
			}
		case "promisc":
			err = r.b.SetPromisc(v.Num != 0)
		}
		if err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return unsupported(t.Op, rest)
	}
	if set == 0 {
		return nil
	}
	return r.b.Set(a)
}

// setPort carries out a set-port step, in setBridge's order.
func (r *run) setPort(t *Step) error {
	if t.Port == hostName {
		return r.notAPort(t.Port)
	}
	d := r.dev(t.Port)
	a, set, rest, err := fill(portSetters, t.Attrs)
	if err != nil {
		return err
	}
	if v, ok := rest["mtu"]; ok {
		delete(rest, "mtu")
		if err := d.port.SetMTU(int(v.Num)); err != nil {
			return err
		}
		d.mtu = int(v.Num)
	}
	if v, ok := rest["address"]; ok {
		delete(rest, "address")
		m, err := frame.ParseMAC(v.Word)
		if err != nil {
			return err
		}
		if err := d.port.SetAddress(m); err != nil {
			return err
		}
		d.addr = m
	}
	if len(rest) > 0 {
		return unsupported(t.Op, rest)
	}
	if set == 0 {
		return nil
	}
	return d.port.Set(a)
}
