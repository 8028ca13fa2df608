package replay

import (
	"encoding/hex"
	"slices"

	"github.com/ddfb540f/bridge"
)

// Record performs s on package bridge and gives it back with what came in the place
// of its results, in the form of the recordings. Of s only what it asks for is read.
// A difference that there can be without results, an unbalanced ledger for one, ends
// it.
func Record(s *Scenario, opt Options) (*Scenario, *Difference) {
	c := *s
	c.Steps = slices.Clone(s.Steps)
	for i := range c.Steps {
		c.Steps[i].Strip()
	}
	return &c, (&run{s: &c, opt: opt, now: epoch, at: -1, write: true}).all()
}

// writeTable writes what a dump step shows into it; for others there is nothing to do.
func (r *run) writeTable(t *Step) {
	switch t.Op {
	case "dump-fdb":
		t.FDB = r.fdbTable()
	case "dump-vlan":
		t.VLANTable = map[string][]VLANEntry{hostName: r.vlanTable(hostName)}
		for _, d := range r.devs {
			t.VLANTable[d.name] = r.vlanTable(d.name)
		}
	case "dump-vlan-global":
		t.VLANGlobal = r.globalTables()
	case "dump-mst":
		t.MSTTable = map[string][]MSTEntry{}
		for _, d := range r.devs {
			t.MSTTable[d.name] = r.mstTable(d.name)
		}
	case "dump-mdb":
		t.MDB, t.RouterPorts, t.Querier = r.mdbTable(), r.routerTable(0), r.querierTable(0)
	case "mdb-get":
		t.MDB, _ = r.mdbGroup(t) // a refusal is written as one
	case "dump-port":
		t.PortTable = map[string]Attrs{}
		for _, d := range r.devs {
			if t.Port == "" || t.Port == d.name {
				t.PortTable[d.name] = portTable(d.port.Info())
			}
		}
	case "dump-bridge":
		t.BridgeTable = bridgeTable(r.b.Info())
	case "dump-stats":
		t.Stats, t.McastStats = r.statsTable(), r.mcastTable()
	}
}

// writeFrames writes down what left during t.
func (t *Step) writeFrames(got map[string][][]byte) {
	if t.Op == "inject" || len(got) > 0 {
		t.Out = map[string][]string{}
	}
	for name, frames := range got {
		for _, f := range frames {
			t.Out[name] = append(t.Out[name], hex.EncodeToString(f))
		}
	}
}

func (r *run) fdbTable() []FDBEntry {
	table := []FDBEntry{}
	for e := range r.b.FDB().All() {
		port := e.Port
		if port == "" {
			port = hostName
		}
		table = append(table, FDBEntry{
			MAC: e.MAC.String(), VLAN: uint16(e.VID), Port: port, State: fdbState(e), Flags: entryFlags(e),
		})
	}
	return table
}

// vlanTable is the VLANs of a device; outside the bridge it has none.
func (r *run) vlanTable(name string) []VLANEntry {
	table := []VLANEntry{}
	if name != hostName && !r.dev(name).inside {
		return table
	}
	for _, v := range r.filter(name).All() {
		e := VLANEntry{VID: uint16(v.VID), PVID: v.PVID, Untagged: v.Untagged, State: v.State.String(), Stats: vlanCounters(v)}
		if v.McastRouter != 1 {
			e.McastRouter = &v.McastRouter
		}
		table = append(table, e)
	}
	return table
}

// vlanCounters has those that are not 0, as recorded.
func vlanCounters(v bridge.VLANInfo) map[string]uint64 {
	if v.RxPackets|v.RxBytes|v.TxPackets|v.TxBytes == 0 {
		return nil
	}
	return map[string]uint64{
		"rx_packets": v.RxPackets, "rx_bytes": v.RxBytes, "tx_packets": v.TxPackets, "tx_bytes": v.TxBytes,
	}
}

func (r *run) globalTables() []GlobalVLAN {
	table := []GlobalVLAN{}
	for _, v := range r.b.VLANGlobals() {
		g := GlobalVLAN{VID: uint16(v.VID), Options: globalTable(v), RouterPorts: r.routerTable(v.VID)}
		if q := r.querierTable(v.VID); len(q) > 0 {
			g.Querier = q
		}
		table = append(table, g)
	}
	return table
}

func (r *run) mstTable(name string) []MSTEntry {
	table := []MSTEntry{}
	for _, e := range r.dev(name).port.MST() {
		table = append(table, MSTEntry{MSTI: e.MSTI, State: e.State.String()})
	}
	return table
}

func (r *run) statsTable() map[string]map[string]int64 {
	h := r.b.Stats()
	table := map[string]map[string]int64{hostName: counters(h.RxPackets, h.RxBytes, h.TxPackets, h.TxBytes)}
	for _, d := range r.devs {
		s := sum(d.earlier, d.port.Stats())
		table[d.name] = counters(s.RxPackets, s.RxBytes, s.TxPackets, s.TxBytes)
	}
	return table
}
