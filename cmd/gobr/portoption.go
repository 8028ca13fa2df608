package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
)

// portOptions is what --port and --vlan say of one port, or of the host. Zero is
// not said.
type portOptions struct {
	attrs     bridge.PortAttrs // but for the backup port, which has to have joined
	backup    string
	vlans     []bridge.VLAN
	up        *bool
	mtu       int
	queues    int
	txQueue   int
	rcvBuf    int
	fdbLimit  int
	allowed   filter.Allowed
	rates     filter.Rates
	noOffload bool
	loopKeep  bool
}

// portKind says what a port option is for.
type portKind uint8

const (
	forTAP portKind = 1 << iota
	forRaw
	forQEMU
	forXDP
	forHost

	forPort = forTAP | forRaw | forQEMU | forXDP
	hasMTU  = forTAP | forQEMU // that gobr sets: it is nobody else's
)

var kindNames = map[portKind]string{
	forTAP: "a TAP", forRaw: "an interface named with --raw", forQEMU: "a cable named with --qemu",
	forXDP: "an interface named with --xdp", forHost: "the host",
}

// portOption is an option of --port.
type portOption struct {
	name string
	kind portKind
	take func(o *portOptions, value string) error // "": there is no value
}

var portTable = []portOption{
	onOff("learning", func(o *portOptions) **bool { return &o.attrs.Learning }),
	onOff("flood", func(o *portOptions) **bool { return &o.attrs.Flood }),
	onOff("mcast_flood", func(o *portOptions) **bool { return &o.attrs.McastFlood }),
	onOff("bcast_flood", func(o *portOptions) **bool { return &o.attrs.BcastFlood }),
	onOff("hairpin", func(o *portOptions) **bool { return &o.attrs.Hairpin }),
	onOff("isolated", func(o *portOptions) **bool { return &o.attrs.Isolated }),
	onOff("locked", func(o *portOptions) **bool { return &o.attrs.Locked }),
	onOff("mab", func(o *portOptions) **bool { return &o.attrs.MAB }),
	onOff("proxy_arp", func(o *portOptions) **bool { return &o.attrs.ProxyARP }),
	onOff("proxy_arp_wifi", func(o *portOptions) **bool { return &o.attrs.ProxyARPWifi }),
	onOff("guard", func(o *portOptions) **bool { return &o.attrs.Guard }),
	onOff("root_block", func(o *portOptions) **bool { return &o.attrs.RootBlock }),
	onOff("fastleave", func(o *portOptions) **bool { return &o.attrs.FastLeave }),
	onOff("mcast_fast_leave", func(o *portOptions) **bool { return &o.attrs.FastLeave }),
	onOff("mcast_to_unicast", func(o *portOptions) **bool { return &o.attrs.McastToUnicast }),
	onOff("neigh_suppress", func(o *portOptions) **bool { return &o.attrs.NeighSuppress }),
	onOff("neigh_vlan_suppress", func(o *portOptions) **bool { return &o.attrs.NeighVLANSuppress }),
	onOff("vlan_tunnel", func(o *portOptions) **bool { return &o.attrs.VLANTunnel }),
	{"state", forPort, takeState},
	number("priority", forPort, 0, 63, func(o *portOptions, n int) { o.attrs.Priority = &n }),
	number("cost", forPort, 1, 65535, func(o *portOptions, n int) { o.attrs.Cost = &n }),
	number("mcast_router", forPort, 0, 3, func(o *portOptions, n int) { o.attrs.McastRouter = &n }),
	number("mcast_max_groups", forPort, 0, 1<<31-1, func(o *portOptions, n int) { o.attrs.McastMaxGroups = new(uint32(n)) }),
	number("mcast_eht_hosts_limit", forPort, 1, 1<<31-1, func(o *portOptions, n int) { o.attrs.McastEHTHostsLimit = new(uint32(n)) }),
	number("backup_nhid", forPort, 0, 1<<31-1, func(o *portOptions, n int) { o.attrs.BackupNexthopID = new(uint32(n)) }),
	onOff("edge", func(o *portOptions) **bool { return &o.attrs.AdminEdge }),
	onOff("auto_edge", func(o *portOptions) **bool { return &o.attrs.AutoEdge }),
	onOff("restricted_tcn", func(o *portOptions) **bool { return &o.attrs.RestrictedTCN }),
	onOff("bpdu_filter", func(o *portOptions) **bool { return &o.attrs.BPDUFilter }),
	onOff("loop_guard", func(o *portOptions) **bool { return &o.attrs.LoopGuard }),
	number("path_cost", forPort, 1, 200_000_000, func(o *portOptions, n int) { o.attrs.PathCost = new(uint32(n)) }),
	{"point_to_point", forPort, takePointToPoint},
	{"group_fwd_mask", forPort, takeGroupMask},
	{"backup_port", forPort, takeBackup},

	{"up", forPort, func(o *portOptions, value string) error { return takeOnOff(&o.up, value) }},
	number("mtu", hasMTU, 68, 65521, func(o *portOptions, n int) { o.mtu = n }),
	number("queues", forTAP|forRaw, 1, 256, func(o *portOptions, n int) { o.queues = n }),
	number("txqueue", forTAP|forHost, 1, 1<<20, func(o *portOptions, n int) { o.txQueue = n }),
	number("rcvbuf", forRaw, 4096, 1<<30-1, func(o *portOptions, n int) { o.rcvBuf = n }),
	number("fdb_limit", forPort, 1, 1<<24, func(o *portOptions, n int) { o.fdbLimit = n }),
	{"offload", forTAP | forHost, takeOffload},

	{"allow_mac", forPort, takeAllowedMAC},
	{"allow_ip", forPort, takeAllowedIP},
	{"loop_keep", forPort, takeLoopKeep},
	rate("bcast_rate", filter.Broadcast),
	rate("mcast_rate", filter.Multicast),
	rate("unknown_rate", filter.UnknownUnicast),
}

// onOff is an option of a port that is on or off.
func onOff(name string, field func(o *portOptions) **bool) portOption {
	return portOption{name, forPort, func(o *portOptions, value string) error { return takeOnOff(field(o), value) }}
}

func takeOnOff(field **bool, value string) error {
	switch value {
	case "", "on":
		*field = new(true)
	case "off":
		*field = new(false)
	default:
		return errors.New("neither on nor off")
	}
	return nil
}

// number is an option with a value from lo to hi.
func number(name string, kind portKind, lo, hi int, set func(o *portOptions, n int)) portOption {
	return portOption{name, kind, func(o *portOptions, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("not a number from %d to %d", lo, hi)
		}
		set(o, n)
		return nil
	}}
}

func takeState(o *portOptions, value string) error {
	for s := bridge.StateDisabled; s <= bridge.StateBlocking; s++ {
		if value == s.String() || value == strconv.Itoa(int(s)) {
			o.attrs.State = &s
			return nil
		}
	}
	return errors.New("not disabled, listening, learning, forwarding, blocking or 0 to 4")
}

func takeGroupMask(o *portOptions, value string) error {
	n, err := strconv.ParseUint(value, 0, 16)
	switch {
	case err != nil:
		return errors.New("not a mask of 16 bits, such as 0x4000")
	case n&2 != 0:
		return errors.New("bit 1 (pause) cannot be forwarded")
	}
	o.attrs.GroupFwdMask = new(uint16(n))
	return nil
}

func takeBackup(o *portOptions, value string) error {
	if value == "" {
		return errors.New("the name of a port is missing")
	}
	o.backup = value
	return nil
}

func takeOffload(o *portOptions, value string) error {
	var on *bool
	err := takeOnOff(&on, value)
	o.noOffload = err == nil && !*on
	return err
}

func takeLoopKeep(o *portOptions, value string) error {
	var on *bool
	err := takeOnOff(&on, value)
	o.loopKeep = err == nil && *on
	return err
}

// take reads one --port or --vlan.
func (o *portOptions) take(a argument, kind portKind) (err error) {
	if a.flag == "vlan" {
		if o.vlans != nil {
			return fmt.Errorf("--vlan %s=%s: %s has its VLANs already: name all of them in one --vlan", a.port, a.text, a.port)
		}
		if o.vlans, err = parseVLANs(a.text); err != nil {
			return fmt.Errorf("--vlan %s=%s: %w", a.port, a.text, err)
		}
		return nil
	}
	for setting := range strings.SplitSeq(a.text, ",") {
		name, value, _ := strings.Cut(setting, "=")
		i := slices.IndexFunc(portTable, func(x portOption) bool { return x.name == name })
		switch {
		case i < 0:
			err = errors.New("there is no such option")
		case portTable[i].kind&kind == 0:
			err = errors.New("that is no option of " + kindNames[kind])
		default:
			err = portTable[i].take(o, value)
		}
		if err != nil {
			return fmt.Errorf("--port %s=%s: %w", a.port, setting, err)
		}
	}
	return nil
}
