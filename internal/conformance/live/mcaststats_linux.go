package live

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/rtnl"
)

// What RTM_GETSTATS is asked for and holds (linux/if_link.h, linux/if_bridge.h): the
// statistics of a bridge or of a port, LINK_XSTATS_TYPE_BRIDGE in them, and in that
// BRIDGE_XSTATS_MCAST.
const (
	statsLinkXstats      = 2
	statsLinkXstatsSlave = 3

	xstatsBridge      = 1
	bridgeXstatsMcast = 2
)

// mcastStats are the counters of IGMP and MLD, of br0 and of the ports that are in it.
func (l *lab) mcastStats() (map[string]map[string]uint64, error) {
	all := map[string]map[string]uint64{}
	for _, name := range l.names() {
		what := uint16(statsLinkXstats)
		if name != hostName {
			what = statsLinkXstatsSlave
		}
		msg := make([]byte, 12) // struct if_stats_msg
		binary.NativeEndian.PutUint32(msg[4:], uint32(l.index(name)))
		binary.NativeEndian.PutUint32(msg[8:], 1<<(what-1))
		b, err := l.nl.Get(rtnl.New(unix.RTM_GETSTATS, 0, msg))
		if err != nil {
			return nil, err
		}
		for kind, v := range rtnl.Attrs(b[min(len(msg), len(b)):]) {
			if kind == what {
				addMcast(all, name, v)
			}
		}
	}
	return all, nil
}

func addMcast(all map[string]map[string]uint64, name string, xstats []byte) {
	for kind, v := range rtnl.Attrs(xstats) {
		if kind != xstatsBridge {
			continue
		}
		for kind, v := range rtnl.Attrs(v) {
			if kind != bridgeXstatsMcast {
				continue
			}
			counters := map[string]uint64{}
			for i, n := range replay.McastCounters {
				if len(v) >= 8*i+8 && rtnl.Num(v[8*i:8*i+8]) != 0 {
					counters[n] = rtnl.Num(v[8*i : 8*i+8])
				}
			}
			all[name] = counters
		}
	}
}
