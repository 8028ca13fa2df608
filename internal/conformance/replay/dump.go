package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge"
)

// diffLines compares two tables line by line and in order.
func diffLines(want, got []string) error {
	for i := range min(len(want), len(got)) {
		if want[i] == got[i] {
			continue
		}
		switch {
		case !slices.Contains(got, want[i]):
			return mismatchf("line %d: expected %q, which is not there; came %q", i, want[i], got[i])
		case !slices.Contains(want, got[i]):
			return mismatchf("line %d: expected %q, came %q, which is not expected", i, want[i], got[i])
		}
		return mismatchf("line %d: expected %q, came %q: the order differs", i, want[i], got[i])
	}
	switch n, m := len(want), len(got); {
	case n > m:
		return mismatchf("expected %d lines, came %d; missing is %q", n, m, want[m])
	case n < m:
		return mismatchf("expected %d lines, came %d; not expected is %q", n, m, got[n])
	}
	return nil
}

// diffAttrs compares all settings that are recorded of a device. A setting that
// got has no value for is one that the library does not have.
func diffAttrs(dev string, want, got Attrs) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w := want[name]
		g, known := got[name]
		if !known {
			return fmt.Errorf("%w: %s of %s, expected %s", errUnsupported, name, dev, w)
		}
		if g != w {
			return mismatchf("%s of %s: expected %s, came %s", name, dev, w, g)
		}
	}
	return nil
}

func (r *run) dumpFDB(t *Step) error {
	var want, got []string
	for _, e := range t.FDB {
		state := e.State
		if state == "stale" { // expired and not collected: it has to be there
			state = "dynamic"
		}
		want = append(want, fdbLine(e.MAC, e.VLAN, e.Port, state, e.Flags))
	}
	for _, e := range r.fdbTable() {
		got = append(got, fdbLine(e.MAC, e.VLAN, e.Port, e.State, e.Flags))
	}
	return diffLines(want, got)
}

func fdbLine(mac string, vid uint16, port, state string, flags []string) string {
	flags = slices.Sorted(slices.Values(flags))
	return fmt.Sprintf("%s vlan %d dev %s %s %s", mac, vid, port, state, strings.Join(flags, " "))
}

// fdbState is the word that bridge(8) prints for the state, and dynamic for none.
func fdbState(e bridge.FDBEntry) string {
	switch {
	case e.State&bridge.NUDPermanent != 0:
		return "permanent"
	case e.State&bridge.NUDNoARP != 0:
		return "static"
	}
	return "dynamic"
}

func entryFlags(e bridge.FDBEntry) []string {
	var flags []string
	for _, f := range []struct {
		on   bool
		name string
	}{{e.Sticky, "sticky"}, {e.ExternLearn, "extern_learn"}, {e.Locked, "locked"}} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	return flags
}

func (r *run) dumpVLAN(t *Step) error {
	for _, name := range slices.Sorted(maps.Keys(t.VLANTable)) {
		var want, got []string
		for _, v := range t.VLANTable[name] {
			want = append(want, vlanLine(v))
		}
		for _, v := range r.vlanTable(name) {
			got = append(got, vlanLine(v))
		}
		if err := diffLines(want, got); err != nil {
			return mismatchf("%s: %v", name, err)
		}
	}
	if want := 1 + len(r.devs); len(t.VLANTable) != want {
		return mismatchf("the record has the VLANs of %d devices, there are %d", len(t.VLANTable), want)
	}
	return nil
}

func vlanLine(v VLANEntry) string {
	s, router := v.Stats, 1
	if v.McastRouter != nil {
		router = *v.McastRouter
	}
	return fmt.Sprintf("vid %d pvid %v untagged %v state %s mcast_router %d rx %d/%d tx %d/%d",
		v.VID, v.PVID, v.Untagged, v.State, router, s["rx_packets"], s["rx_bytes"], s["tx_packets"], s["tx_bytes"])
}

// dumpStats compares the counters of packets and bytes; those of errors and
// drops tell of the kernel's stack behind the bridge as well. If recorded it compares
// those of IGMP and MLD too.
func (r *run) dumpStats(t *Step) error {
	got := r.statsTable()
	for _, name := range slices.Sorted(maps.Keys(t.Stats)) {
		for _, counter := range []string{"rx_packets", "rx_bytes", "tx_packets", "tx_bytes"} {
			if want, came := t.Stats[name][counter], got[name][counter]; want != came {
				return mismatchf("%s of %s: expected %d, came %d", counter, name, want, came)
			}
		}
	}
	if len(t.Stats) != len(got) {
		return mismatchf("the record has the counters of %d devices, there are %d", len(t.Stats), len(got))
	}
	return r.diffMcast(t.McastStats)
}

func counters(rxPackets, rxBytes, txPackets, txBytes uint64) map[string]int64 {
	return map[string]int64{
		"rx_packets": int64(rxPackets), "rx_bytes": int64(rxBytes),
		"tx_packets": int64(txPackets), "tx_bytes": int64(txBytes),
	}
}

// sum adds the counters of two memberships of one device.
func sum(a, b bridge.PortStats) bridge.PortStats {
	a.RxPackets += b.RxPackets
	a.RxBytes += b.RxBytes
	a.TxPackets += b.TxPackets
	a.TxBytes += b.TxBytes
	return a
}
