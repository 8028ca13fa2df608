package live

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/rtnl"
)

// bridgeTable is br0's settings and state under the recorded names.
func (l *lab) bridgeTable() (replay.Attrs, error) {
	d, err := l.deviceAt(l.br)
	if err != nil {
		return nil, err
	}
	table := replay.Attrs{"address": word(d.address), "mtu": num(uint64(d.mtu))}
	decodeBridge(d.data, table)
	return table, nil
}

// portTable is a port's settings and state; of a device outside what any has.
func (l *lab) portTable(t *tap) (replay.Attrs, error) {
	d, err := l.deviceAt(t.index)
	if err != nil {
		return nil, err
	}
	table := replay.Attrs{
		"address": word(d.address), "mtu": num(uint64(d.mtu)), "up": num(uint64(d.flags & unix.IFF_UP)),
	}
	if d.master == 0 {
		table["master"] = word("")
		return table, nil
	}
	table["backup_port"] = word("")
	decode(d.slave, table, l.name, portAttrs, portTells)
	return table, nil
}

// dumpPort is portTable of one port, or of all.
func (l *lab) dumpPort(name string) (map[string]replay.Attrs, error) {
	tables := map[string]replay.Attrs{}
	for _, t := range l.taps {
		if name != "" && t.name != name {
			continue
		}
		table, err := l.portTable(t)
		if err != nil {
			return nil, err
		}
		tables[t.name] = table
	}
	return tables, nil
}

// NTF_EXT_LOCKED of NDA_FLAGS_EXT, and the attribute itself (linux/neighbour.h).
const (
	ndaFlagsExt  = 15
	ntfExtLocked = 1 << 1
	ntfSticky    = 1 << 6
)

// fdb is the forwarding database, sorted as recorded.
func (l *lab) fdb() ([]replay.FDBEntry, error) {
	entries := []replay.FDBEntry{}
	m := rtnl.New(unix.RTM_GETNEIGH, 0, rtnl.Link(unix.AF_BRIDGE, 0, 0, 0))
	err := l.nl.Dump(m, func(b []byte) {
		if e, ours := l.fdbEntry(b); ours {
			entries = append(entries, e)
		}
	})
	slices.SortFunc(entries, func(a, b replay.FDBEntry) int {
		return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.VLAN, b.VLAN))
	})
	return entries, err
}

// fdbEntry reads one; the filter lists of devices, which come as well, have no
// master.
func (l *lab) fdbEntry(b []byte) (e replay.FDBEntry, ours bool) {
	if len(b) < unix.SizeofNdMsg {
		return e, false
	}
	e.Port = l.name(int32(rtnl.Num(b[4:8])))
	state, flags, ext := rtnl.Num(b[8:10]), b[10], uint64(0)
	for kind, v := range rtnl.Attrs(b[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_LLADDR:
			e.MAC = addressText(v)
		case unix.NDA_VLAN:
			e.VLAN = uint16(rtnl.Num(v))
		case unix.NDA_MASTER:
			ours = int32(rtnl.Num(v)) == l.br
		case ndaFlagsExt:
			ext = rtnl.Num(v)
		}
	}
	switch {
	case state&unix.NUD_PERMANENT != 0:
		e.State = "permanent"
	case state&unix.NUD_NOARP != 0:
		e.State = "static"
	case state&unix.NUD_STALE != 0:
		e.State = "stale"
	default:
		e.State = "dynamic"
	}
	for _, f := range []struct {
		on   bool
		name string
	}{
		{flags&unix.NTF_ROUTER != 0, "router"}, {flags&unix.NTF_EXT_LEARNED != 0, "extern_learn"},
		{flags&unix.NTF_OFFLOADED != 0, "offload"}, {flags&ntfSticky != 0, "sticky"},
		{ext&ntfExtLocked != 0, "locked"},
	} {
		if f.on {
			e.Flags = append(e.Flags, f.name)
		}
	}
	return e, ours
}

// Attributes of RTM_NEWVLAN and its like (linux/if_bridge.h): BRIDGE_VLANDB_*, of an
// entry BRIDGE_VLANDB_ENTRY_*, of its statistics BRIDGE_VLANDB_STATS_*.
const (
	vlandbDumpFlags = 1
	vlandbDumpStats = 1
	vlandbEntry     = 1

	entryInfo           = 1
	entryRange          = 2
	entryState          = 3
	entryStats          = 5
	entryMcastRouter    = 6
	entryMcastMaxGroups = 8
	entryNeighSuppress  = 9

	vlanInfoPVID     = 1 << 1
	vlanInfoUntagged = 1 << 2
	vlanInfoBegin    = 1 << 3
	vlanInfoEnd      = 1 << 4

	vlanInfoOnlyOptions = 1 << 6
)

// vlanStats are the counters in an entry's statistics by their attributes.
var vlanStats = map[uint16]string{1: "rx_bytes", 2: "rx_packets", 3: "tx_bytes", 4: "tx_packets"}

// vlanMsg is a struct br_vlan_msg.
func vlanMsg(index int32) []byte {
	b := rtnl.Link(unix.AF_BRIDGE, index, 0, 0)
	return b[:8]
}

// vlanTable is the VLANs of all devices. A kernel without VLAN filtering has none.
func (l *lab) vlanTable() (map[string][]replay.VLANEntry, error) {
	table := map[string][]replay.VLANEntry{hostName: {}}
	for _, t := range l.taps {
		table[t.name] = []replay.VLANEntry{}
	}
	m := rtnl.New(unix.RTM_GETVLAN, 0, vlanMsg(0)).U32(vlandbDumpFlags, vlandbDumpStats)
	err := l.nl.Dump(m, func(b []byte) {
		if len(b) < 8 {
			return
		}
		name := l.name(int32(rtnl.Num(b[4:8])))
		for kind, v := range rtnl.Attrs(b[8:]) {
			if kind == vlandbEntry && name != "" {
				table[name] = append(table[name], vlanEntries(v)...)
			}
		}
	})
	if err == unix.EOPNOTSUPP {
		err = nil
	}
	return table, err
}

// vlanEntries reads one entry, which may stand for a range.
func vlanEntries(b []byte) (list []replay.VLANEntry) {
	var e replay.VLANEntry
	last := uint16(0)
	for kind, v := range rtnl.Attrs(b) {
		switch kind {
		case entryInfo: // struct bridge_vlan_info
			if len(v) >= 4 {
				flags := rtnl.Num(v[:2])
				e.VID, e.PVID, e.Untagged = uint16(rtnl.Num(v[2:4])), flags&vlanInfoPVID != 0, flags&vlanInfoUntagged != 0
			}
		case entryRange:
			last = uint16(rtnl.Num(v))
		case entryState:
			e.State = stateWord(uint8(rtnl.Num(v)))
		case entryMcastRouter:
			if n := int(rtnl.Num(v)); n != 1 {
				e.McastRouter = &n
			}
		case entryStats:
			for kind, v := range rtnl.Attrs(v) {
				if name := vlanStats[kind]; name != "" && rtnl.Num(v) != 0 {
					if e.Stats == nil {
						e.Stats = map[string]uint64{}
					}
					e.Stats[name] = rtnl.Num(v)
				}
			}
		}
	}
	for vid, end := int(e.VID), int(max(last, e.VID)); vid <= end; vid++ {
		e.VID = uint16(vid)
		list = append(list, e)
	}
	return list
}

// stats are the counters of packets and bytes of all devices.
func (l *lab) stats() (map[string]map[string]int64, error) {
	all := map[string]map[string]int64{}
	for _, name := range l.names() {
		d, err := l.deviceAt(l.index(name))
		if err != nil {
			return nil, err
		}
		if d.stats == nil {
			return nil, fmt.Errorf("%s has no counters", name)
		}
		all[name] = d.stats
	}
	return all, nil
}

func (l *lab) names() []string {
	names := []string{hostName}
	for _, t := range l.taps {
		names = append(names, t.name)
	}
	return names
}
