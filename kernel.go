package bridge

import (
	"fmt"
	"strconv"
	"strings"
)

// Kernel names a Linux release whose bridge is modelled. Where releases differ the
// rule of this one holds.
type Kernel uint8

// The releases that can be named; the zero Kernel is the newest described.
const (
	KernelNewest Kernel = iota
	Linux6_1
	Linux6_2
	Linux6_3
	Linux6_4
	Linux6_5
	Linux6_6
	Linux6_7
	Linux6_8
	Linux6_9
	Linux6_10
	Linux6_11
	Linux6_12
	Linux6_13
	Linux6_14
	Linux6_15
	Linux6_16
	Linux6_17
	Linux6_18
)

// String gives "6.1" and so on, "newest" for the zero Kernel.
func (k Kernel) String() string {
	if k == KernelNewest || k > Linux6_18 {
		return "newest"
	}
	return "6." + strconv.Itoa(int(k-Linux6_1)+1)
}

// ParseKernel reads a release as uname -r prints it, "6.12.107+deb12-amd64". One
// before 6.1 is refused, one after 6.18 is the newest.
func ParseKernel(release string) (Kernel, error) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) >= 2 {
		digits := parts[1][:len(parts[1])-len(strings.TrimLeft(parts[1], "0123456789"))]
		major, err1 := strconv.Atoi(parts[0])
		minor, err2 := strconv.Atoi(digits)
		switch {
		case err1 != nil || err2 != nil:
		case major > 6, major == 6 && minor > 18:
			return KernelNewest, nil
		case major == 6 && minor >= 1:
			return Linux6_1 + Kernel(minor-1), nil
		}
	}
	return 0, fmt.Errorf("bridge: kernel release %q is not 6.1 or later", release)
}

// rules is one predicate for each behaviour that changed between releases. An
// attribute that a release does not know it takes and ignores, as the recordings
// show for MAB; only an unknown option bit, or option of a VLAN, is refused.
type rules struct {
	mab           bool // MAB is known [6.2]
	lockedEAPOL   bool // EAPOL passes a locked port; 6.1.192 was recorded dropping it, later releases let it in
	maxGroups     bool // mcast_max_groups is known [6.3]
	neighVLAN     bool // neigh_vlan_suppress is known [6.4]
	backupNexthop bool // backup_nhid is known [6.6]
	maxLearned    bool // fdb_max_learned is known [6.7]
	localVLAN0    bool // fdb_local_vlan_0 is known [6.18]
	mcastSources  bool // MDB requests may replace, and name a filter mode, sources and protocol [6.3]

	// What 6.1.192 does not and 6.18.44 does; which release between them began is not
	// known.
	mcastHostReplace bool // MDB requests may replace the host's membership too
	mcastDumpOff     bool // the MDB is shown also while snooping is off

	// Neighbour suppression. ARP probes and the solicitations of duplicate address
	// detection are announcements, which are not answered, to 6.1.176, 6.12.107 and
	// 6.18.44, and requests like others to 6.1.192: an update of 6.1 changed it, and 6.1
	// is modelled as it then was.
	neighProbes  bool // they are announcements [6.2]
	neighUnicast bool // unicast requests are not answered [6.15]
}

func rulesOf(k Kernel) rules {
	since := func(r Kernel) bool { return k == KernelNewest || k >= r }
	return rules{
		mab:           since(Linux6_2),
		lockedEAPOL:   since(Linux6_2),
		maxGroups:     since(Linux6_3),
		neighVLAN:     since(Linux6_4),
		backupNexthop: since(Linux6_6),
		maxLearned:    since(Linux6_7),
		localVLAN0:    since(Linux6_18),
		mcastSources:  since(Linux6_3),

		mcastHostReplace: since(Linux6_18),
		mcastDumpOff:     since(Linux6_18),

		neighProbes:  since(Linux6_2),
		neighUnicast: since(Linux6_15),
	}
}
