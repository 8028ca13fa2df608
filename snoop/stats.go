package snoop

import "sync/atomic"

// Direction is that of a message, as the bridge sees it.
type Direction uint8

// The directions.
const (
	Received Direction = iota
	Sent
)

// Stats are the counters of a port, or of the bridge (`ip link xstats type bridge`).
// They count while SetStats has them on. Versions are counted from 1, at index 0;
// pairs are by Direction.
type Stats struct {
	IGMPQueries     [3][2]uint64
	IGMPReports     [3][2]uint64
	IGMPLeaves      [2]uint64
	IGMPParseErrors uint64
	MLDQueries      [2][2]uint64
	MLDReports      [2][2]uint64
	MLDLeaves       [2]uint64
	MLDParseErrors  uint64
}

// Counters are the Stats of a port or of the bridge as they are counted, by any
// number of goroutines. They take no memory before there is something to count.
type Counters struct{ at atomic.Pointer[tallies] }

type tallies struct {
	igmp, mld [3][3][2]atomic.Uint64 // query, report, leave; version; direction
	errors    [2]atomic.Uint64
}

func (c *Counters) tallies() *tallies {
	if t := c.at.Load(); t != nil {
		return t
	}
	c.at.CompareAndSwap(nil, new(tallies))
	return c.at.Load()
}

// SetStats has messages counted, or not (mcast_stats_enabled; off at first).
func (m *Machine) SetStats(on bool) { m.stats.Store(on) }

// StatsOn gives what SetStats set. Any goroutine may ask.
func (m *Machine) StatsOn() bool { return m.stats.Load() }

// Counters are those of a port, the bridge's for 0; one of no use if there is no
// such port. They stay the same as long as the port is there.
func (m *Machine) Counters(port uint16) *Counters {
	if port == 0 {
		return &m.host
	}
	if p := m.ports[port]; p != nil {
		return &p.counters
	}
	return new(Counters)
}

// Count counts a message that is forwarded (br_multicast_count); Handle counts those
// that come in. What is no message is not counted.
func (c *Counters) Count(p *Packet, d Direction) {
	switch p.Kind {
	case KindQuery:
		c.add(p.Family, 0, p.Version, d)
	case KindReport, KindReportV3:
		c.add(p.Family, 1, p.Version, d)
	case KindLeave:
		c.add(p.Family, 2, 1, d)
	}
}

// CountError counts a frame that Parse refused (br_multicast_err_count).
func (c *Counters) CountError(p *Packet) {
	if p.Family != L2 {
		c.tallies().errors[p.Family.ip()].Add(1)
	}
}

func (c *Counters) add(f Family, what int, version uint8, d Direction) {
	t := c.tallies()
	of := &t.igmp
	if f == IPv6 {
		of = &t.mld
	}
	of[what][(version-1)%3][d&1].Add(1)
}

func (c *Counters) received(m *Machine, p *Packet) {
	if m.stats.Load() {
		c.Count(p, Received)
	}
}

// ownQuery counts a query of the bridge's own: sent on a port, or received by the
// host.
func (c *Counters) ownQuery(m *Machine, f Family, version uint8, host bool) {
	if !m.stats.Load() {
		return
	}
	d := Sent
	if host {
		d = Received
	}
	c.add(f, 0, version, d)
}

// Stats gives the counters' present values.
func (c *Counters) Stats() (s Stats) {
	t := c.at.Load()
	if t == nil {
		return s
	}
	for d := range 2 {
		for v := range 3 {
			s.IGMPQueries[v][d] = t.igmp[0][v][d].Load()
			s.IGMPReports[v][d] = t.igmp[1][v][d].Load()
			if v < 2 {
				s.MLDQueries[v][d] = t.mld[0][v][d].Load()
				s.MLDReports[v][d] = t.mld[1][v][d].Load()
			}
		}
		s.IGMPLeaves[d] = t.igmp[2][0][d].Load()
		s.MLDLeaves[d] = t.mld[2][0][d].Load()
	}
	s.IGMPParseErrors, s.MLDParseErrors = t.errors[0].Load(), t.errors[1].Load()
	return s
}
