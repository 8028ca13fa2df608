package replay

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ddfb540f/bridge"
)

// McastCounters are the names of the counters of IGMP and MLD, in the order of a struct
// br_mcast_stats (linux/if_bridge.h).
var McastCounters = []string{
	"igmp_v1queries_rx", "igmp_v1queries_tx", "igmp_v2queries_rx", "igmp_v2queries_tx", "igmp_v3queries_rx", "igmp_v3queries_tx",
	"igmp_leaves_rx", "igmp_leaves_tx",
	"igmp_v1reports_rx", "igmp_v1reports_tx", "igmp_v2reports_rx", "igmp_v2reports_tx", "igmp_v3reports_rx", "igmp_v3reports_tx",
	"igmp_parse_errors",
	"mld_v1queries_rx", "mld_v1queries_tx", "mld_v2queries_rx", "mld_v2queries_tx", "mld_leaves_rx", "mld_leaves_tx",
	"mld_v1reports_rx", "mld_v1reports_tx", "mld_v2reports_rx", "mld_v2reports_tx", "mld_parse_errors",
}

// mcastCounters are those of a device that are not 0, as recorded.
func mcastCounters(s bridge.McastStats) map[string]uint64 {
	table := map[string]uint64{"igmp_parse_errors": s.IGMPParseErrors, "mld_parse_errors": s.MLDParseErrors}
	pair := func(name string, n [2]uint64) { table[name+"_rx"], table[name+"_tx"] = n[0], n[1] }
	for i := range s.IGMPQueries {
		pair(fmt.Sprintf("igmp_v%dqueries", i+1), s.IGMPQueries[i])
		pair(fmt.Sprintf("igmp_v%dreports", i+1), s.IGMPReports[i])
	}
	for i := range s.MLDQueries {
		pair(fmt.Sprintf("mld_v%dqueries", i+1), s.MLDQueries[i])
		pair(fmt.Sprintf("mld_v%dreports", i+1), s.MLDReports[i])
	}
	pair("igmp_leaves", s.IGMPLeaves)
	pair("mld_leaves", s.MLDLeaves)
	maps.DeleteFunc(table, func(_ string, n uint64) bool { return n == 0 })
	return table
}

// mcastTable is the counters of all devices that are in the bridge.
func (r *run) mcastTable() map[string]map[string]uint64 {
	table := map[string]map[string]uint64{hostName: mcastCounters(r.b.McastStats())}
	for _, d := range r.devs {
		if d.inside {
			table[d.name] = mcastCounters(d.port.McastStats())
		}
	}
	return table
}

// diffMcast compares the counters, if they are recorded.
func (r *run) diffMcast(recorded map[string]map[string]uint64) error {
	if recorded == nil {
		return nil
	}
	came := r.mcastTable()
	for _, name := range slices.Sorted(maps.Keys(came)) {
		if !maps.Equal(recorded[name], came[name]) {
			return mismatchf("counters of IGMP and MLD of %s: expected %v, came %v", name, recorded[name], came[name])
		}
	}
	return nil
}
