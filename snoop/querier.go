package snoop

import "time"

// ownQuery is the timer of the queries that are sent on one port, or to the host
// (struct bridge_mcast_own_query).
type ownQuery struct {
	timer timer
	sent  uint32 // startup queries, so far
}

// enable begins with the startup queries, at once.
func (q *ownQuery) enable(m *Machine, now time.Duration) {
	q.sent = 0
	m.set(&q.timer, now, 0)
}

// again is when the next general query follows one that was just sent.
func (c *context) again(q *ownQuery) time.Duration {
	if q.sent < c.opts.StartupQueryCount {
		return c.opts.StartupQueryInterval
	}
	return c.opts.QueryInterval
}

func (c *context) count(q *ownQuery) {
	if q.sent < c.opts.StartupQueryCount {
		q.sent++
	}
}

// ownQueryDue is br_multicast_query_expired: the host's copy of a general query.
func (c *context) ownQueryDue(m *Machine, now time.Duration, i int) {
	if c.vid != 0 && !c.enabled {
		return
	}
	c.count(&c.own[i])
	if c.sends(m, i, nil) {
		m.sendQuery(c, nil, queryFor{family: families[i]})
		m.set(&c.own[i].timer, now, c.again(&c.own[i]))
	}
}

// ownQueryDue is br_multicast_port_query_expired.
func (pc *portContext) ownQueryDue(m *Machine, now time.Duration, i int) {
	if pc.stopped() {
		return
	}
	c := pc.ctx
	c.count(&pc.own[i])
	if c.sends(m, i, pc) {
		m.sendQuery(c, pc, queryFor{family: families[i]})
		m.set(&pc.own[i].timer, now, c.again(&pc.own[i]))
	}
}

// sends reports that the bridge asks: it is to, and nobody else does.
func (c *context) sends(m *Machine, i int, pc *portContext) bool {
	return m.usable(pc) && m.bridge.opts.Snooping && c.opts.Querier && !c.other[i].Pending()
}

// setQuerier is br_multicast_set_querier. A bridge that begins to ask restricts
// groups once all have had the time to answer.
func (c *context) setQuerier(m *Machine, now time.Duration, on bool) {
	c.opts.Querier = on
	if !on {
		return
	}
	for i := range families {
		if !c.other[i].Pending() {
			m.set(&c.delay[i], now, c.opts.QueryResponseInterval)
		}
		c.startQuerier(m, now, i)
	}
}

// startQuerier is br_multicast_start_querier: startup queries to the host and on
// every port that may send.
func (c *context) startQuerier(m *Machine, now time.Duration, i int) {
	c.own[i].sent = 0
	if m.bridge.opts.Snooping {
		m.set(&c.own[i].timer, now, 0)
	}
	m.eachPort(func(p *port) {
		pc := &p.ctx
		if c.vid != 0 {
			pc = p.vlan(c.vid)
		}
		if pc != nil && !pc.stopped() {
			pc.own[i].enable(m, now)
		}
	})
}

// query takes in a query of somebody else (br_ip4_multicast_query,
// br_ip6_multicast_query).
func (in *input) query() {
	m, c, p := in.m, in.c, in.p
	i := p.Family.ip()
	general := p.Group.isZero()
	if !m.usable(in.pc) || p.ignored || p.Suppress && !general && c.modern(p.Family) {
		return
	}
	if general {
		if c.elect(in.pc, i, p.Src) {
			if !c.other[i].Pending() {
				m.set(&c.delay[i], in.now, p.Delay)
				c.touch(m)
			}
			m.set(&c.other[i], in.now, c.opts.QuerierInterval)
			m.routerSeen(in.now, c, in.pc, p.Family)
		}
		return
	}
	e := m.entries[in.key(p.Group)]
	if e == nil {
		return
	}
	delay := times(c.opts.LastMemberCount, p.Delay)
	if e.host {
		m.lower(&e.timer, in.now, delay)
	}
	for _, x := range e.members {
		if x.timer.Pending() || x.exclude || !c.modern(p.Family) {
			m.lower(&x.timer, in.now, delay)
		}
	}
}

// elect is br_multicast_select_querier: whether the sender of a general query is the
// querier from now on. The lowest address is; while nobody asks anyone is. For IPv4
// 0.0.0.0 means that nobody is known, and so whoever asks wins against it.
func (c *context) elect(pc *portContext, i int, src Addr) bool {
	if c.own[i].timer.Pending() || c.other[i].Pending() {
		known := c.querier[i]
		if (i != IPv4.ip() || !known.isZero()) && compare(src, known) > 0 {
			return false
		}
	}
	c.querier[i], c.querierPort[i] = src, 0
	if pc != nil {
		c.querierPort[i] = pc.port.num
	}
	return true
}

// expired runs a port's timers.
func (pc *portContext) expired(m *Machine, t *timer, now time.Duration) {
	for i := range families {
		switch t {
		case &pc.own[i].timer:
			pc.ownQueryDue(m, now, i)
		case &pc.routerTimer[i]:
			if pc.router != RouterNever && pc.router != RouterAlways {
				pc.unlisted(m, pc.unlist(m, i))
			}
		}
	}
}
