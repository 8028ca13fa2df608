package live

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/rtnl"
)

// Attributes of global VLAN options (linux/if_bridge.h): BRIDGE_VLANDB_GLOBAL_OPTIONS,
// in it BRIDGE_VLANDB_GOPTS_*.
const (
	vlandbDumpGlobal = 1 << 1
	vlandbGlobal     = 2

	globalID      = 1
	globalRange   = 2
	globalRouters = 16
	globalQuerier = 17
)

// globalAttrs are the options of a VLAN.
var globalAttrs = []attr{
	{"mcast_snooping", 3, u8}, {"mcast_igmp_version", 4, u8}, {"mcast_mld_version", 5, u8},
	{"mcast_last_member_count", 6, u32}, {"mcast_startup_query_count", 7, u32},
	{"mcast_last_member_interval", 8, u64}, {"mcast_membership_interval", 10, u64},
	{"mcast_querier_interval", 11, u64}, {"mcast_query_interval", 12, u64},
	{"mcast_query_response_interval", 13, u64}, {"mcast_startup_query_interval", 14, u64},
	{"mcast_querier", 15, u8}, {"msti", 18, u16},
}

// globalSet changes global options of VLANs (RTM_NEWVLAN).
func (l *lab) globalSet(t *replay.Step) error {
	m := rtnl.New(unix.RTM_NEWVLAN, 0, vlanMsg(l.br))
	var failed error
	m.Nest(vlandbGlobal|rtnl.Nested, func() {
		m.U16(globalID, t.VID)
		if t.VIDEnd != 0 {
			m.U16(globalRange, t.VIDEnd)
		}
		for i := range globalAttrs {
			if v, ok := t.Attrs[globalAttrs[i].name]; ok && failed == nil {
				failed = globalAttrs[i].add(m, v, l.index)
			}
		}
	})
	if failed != nil {
		return failed
	}
	return l.nl.Do(m)
}

// vlanGlobals is the options of all VLANs, ascending.
func (l *lab) vlanGlobals() ([]replay.GlobalVLAN, error) {
	all := []replay.GlobalVLAN{}
	m := rtnl.New(unix.RTM_GETVLAN, 0, vlanMsg(l.br)).U32(vlandbDumpFlags, vlandbDumpGlobal)
	err := l.nl.Dump(m, func(b []byte) {
		if len(b) < 8 || int32(rtnl.Num(b[4:8])) != l.br {
			return
		}
		for kind, v := range rtnl.Attrs(b[8:]) {
			if kind == vlandbGlobal {
				all = append(all, l.globalEntries(v)...)
			}
		}
	})
	slices.SortFunc(all, func(a, b replay.GlobalVLAN) int { return cmp.Compare(a.VID, b.VID) })
	return all, err
}

// globalEntries reads one entry, which may stand for a range.
func (l *lab) globalEntries(b []byte) (list []replay.GlobalVLAN) {
	e := replay.GlobalVLAN{Options: replay.Attrs{}}
	last := uint16(0)
	for kind, v := range rtnl.Attrs(b) {
		switch kind {
		case globalID:
			e.VID = uint16(rtnl.Num(v))
		case globalRange:
			last = uint16(rtnl.Num(v))
		case globalRouters:
			for kind, v := range rtnl.Attrs(v) {
				if kind == mdbaRouters {
					e.RouterPorts = l.routerPorts(v)
				}
			}
		case globalQuerier:
			e.Querier = l.querier(v)
		}
	}
	decode(b, e.Options, l.name, globalAttrs)
	for vid, end := int(e.VID), int(max(last, e.VID)); vid <= end; vid++ {
		e.VID = uint16(vid)
		list = append(list, e)
	}
	return list
}

// IFLA_BRIDGE_MST of an IFLA_AF_SPEC, what it holds, and the bit by which a dump is
// asked for it (linux/if_bridge.h, linux/rtnetlink.h).
const (
	bridgeMST = 6

	mstEntry      = 1
	mstEntryMSTI  = 1
	mstEntryState = 2

	filterMST = 1 << 7
)

// mstSet sets the state of a port in an instance, as bridge(8) asks for it. What the
// step has not is not in the request.
func (l *lab) mstSet(t *replay.Step) error {
	m := rtnl.New(unix.RTM_SETLINK, 0, rtnl.Link(unix.AF_BRIDGE, l.index(t.Port), 0, 0))
	var failed error
	m.Nest(unix.IFLA_AF_SPEC, func() {
		m.Nest(bridgeMST|rtnl.Nested, func() {
			m.Nest(mstEntry|rtnl.Nested, func() {
				if t.MSTI != nil {
					m.U16(mstEntryMSTI, uint16(*t.MSTI))
				}
				if t.State != nil {
					var n uint8
					n, failed = stateNumber(*t.State)
					m.U8(mstEntryState, n)
				}
			})
		})
	})
	if failed != nil {
		return failed
	}
	return l.nl.Do(m)
}

// mstTable is the instances of all ports, ascending.
func (l *lab) mstTable() (map[string][]replay.MSTEntry, error) {
	table := map[string][]replay.MSTEntry{}
	for _, t := range l.taps {
		table[t.name] = []replay.MSTEntry{}
	}
	m := rtnl.New(unix.RTM_GETLINK, 0, rtnl.Link(unix.AF_BRIDGE, 0, 0, 0)).U32(unix.IFLA_EXT_MASK, filterMST)
	err := l.nl.Dump(m, func(b []byte) {
		if len(b) < unix.SizeofIfInfomsg {
			return
		}
		name := l.name(int32(rtnl.Num(b[4:8])))
		for kind, v := range rtnl.Attrs(b[unix.SizeofIfInfomsg:]) {
			if kind == unix.IFLA_AF_SPEC && table[name] != nil {
				table[name] = append(table[name], mstEntries(v)...)
			}
		}
	})
	for _, list := range table {
		slices.SortFunc(list, func(a, b replay.MSTEntry) int { return cmp.Compare(a.MSTI, b.MSTI) })
	}
	return table, err
}

// mstEntries reads the instances in an IFLA_AF_SPEC.
func mstEntries(spec []byte) (list []replay.MSTEntry) {
	for kind, v := range rtnl.Attrs(spec) {
		if kind != bridgeMST {
			continue
		}
		for _, v := range rtnl.Attrs(v) {
			var e replay.MSTEntry
			for kind, v := range rtnl.Attrs(v) {
				switch kind {
				case mstEntryMSTI:
					e.MSTI = int(rtnl.Num(v))
				case mstEntryState:
					e.State = stateWord(uint8(rtnl.Num(v)))
				}
			}
			list = append(list, e)
		}
	}
	return list
}
