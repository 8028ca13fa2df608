package snoop

import (
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// Options are the settings of the bridge, or of one VLAN where each has its own. All
// times are kept as given; Linux keeps them in ticks of 4 ms at HZ=250.
type Options struct {
	Snooping              bool
	Querier               bool // send queries when nobody else does
	QueryUseIfAddr        bool // IGMP queries come from the bridge's address, not from 0.0.0.0; the bridge's holds for VLANs too
	Router                Router
	IGMPVersion           uint8 // 2 or 3
	MLDVersion            uint8 // 1 or 2
	LastMemberCount       uint32
	StartupQueryCount     uint32
	LastMemberInterval    time.Duration
	MembershipInterval    time.Duration
	QuerierInterval       time.Duration
	QueryInterval         time.Duration // held to 1 s .. 24 h
	QueryResponseInterval time.Duration
	StartupQueryInterval  time.Duration // held to 1 s .. 24 h
}

// DefaultOptions are Linux's.
var DefaultOptions = Options{
	Snooping: true, Router: RouterLearned, IGMPVersion: 2, MLDVersion: 1,
	LastMemberCount: 2, StartupQueryCount: 2,
	LastMemberInterval: time.Second, MembershipInterval: 260 * time.Second,
	QuerierInterval: 255 * time.Second, QueryInterval: 125 * time.Second,
	QueryResponseInterval: 10 * time.Second, StartupQueryInterval: 31250 * time.Millisecond,
}

// context is what is known and set for the whole bridge, or for one VLAN (struct
// net_bridge_mcast).
type context struct {
	vid         frame.VID // 0: the bridge
	opts        Options
	own         [2]ownQuery
	other       [2]timer // another querier is there
	delay       [2]timer // it has not been long enough for all hosts to answer
	querier     [2]Addr  // who it is; zero: nobody known
	querierPort [2]uint16
	routerTimer [2]timer          // the host is a router
	routers     [2][]*portContext // those of ports added last first
	enabled     bool              // VLAN: queries run
	self        bool              // VLAN: the bridge device is in it
	changed     bool              // is to be published
	view        *contextView
}

func newContext(vid frame.VID) *context {
	c := &context{vid: vid, opts: DefaultOptions}
	for i := range families {
		c.own[i].timer.Of, c.other[i].Of, c.delay[i].Of, c.routerTimer[i].Of = c, c, c, c
	}
	return c
}

// modern reports that sources count: IGMPv3, MLDv2 (br_multicast_should_handle_mode).
func (c *context) modern(f Family) bool {
	switch f {
	case IPv4:
		return c.opts.IGMPVersion == 3
	case IPv6:
		return c.opts.MLDVersion == 2
	}
	return false
}

// touch has the context published at the end of the call.
func (c *context) touch(m *Machine) {
	if !c.changed {
		c.changed = true
		m.dirtyCtx = append(m.dirtyCtx, c)
	}
}

func (c *context) publish(m *Machine) {
	c.changed = false
	v := &contextView{snooping: c.vid == 0 || c.opts.Snooping, hostAlways: c.opts.Router == RouterAlways}
	for i, f := range families {
		v.modern[i] = c.modern(f)
		v.querier[i] = c.querierExists(m, i)
		v.host[i] = c.hostRouter(i)
		for _, pc := range c.routers[i] {
			v.routers[i] = append(v.routers[i], pc.port.ref())
		}
	}
	c.view = v
	if c.vid == 0 {
		m.refresh()
	} else if m.views != nil && m.vlan(c.vid) == c {
		m.views[c.vid].Store(v)
	}
}

// querierExists is __br_multicast_querier_exists: a querier is there, and hosts have
// had the time to answer it.
func (c *context) querierExists(m *Machine, i int) bool {
	own := c.opts.Querier && (i == IPv4.ip() || !m.source.IPv6.isZero())
	return !c.delay[i].Pending() && (own || c.other[i].Pending())
}

func (c *context) hostRouter(i int) bool {
	return c.opts.Router == RouterAlways || c.opts.Router == RouterLearned && c.routerTimer[i].Pending()
}

// Options gives the settings of the bridge (vid 0) or of a VLAN.
func (m *Machine) Options(vid frame.VID) (o Options, ok bool) {
	c := m.optionsContext(vid)
	if c == nil {
		return o, false
	}
	return c.opts, true
}

func (m *Machine) optionsContext(vid frame.VID) *context {
	if vid == 0 {
		return m.bridge
	}
	return m.vlan(vid)
}

const (
	leastQueryInterval = time.Second
	mostQueryInterval  = 24 * time.Hour
)

// SetOptions changes the settings of the bridge (vid 0) or of a VLAN; what is equal
// to the present setting is left alone. Versions and Router out of range are EINVAL, a
// VLAN that is not there ENOENT, and nothing is changed then. For a VLAN
// QueryUseIfAddr means nothing. Router, Snooping and Querier change last, when the
// others hold.
func (m *Machine) SetOptions(now time.Duration, vid frame.VID, o Options) error {
	c := m.optionsContext(vid)
	switch {
	case c == nil:
		return refusal(ENOENT, "no such VLAN")
	case o.IGMPVersion != 2 && o.IGMPVersion != 3:
		return refusal(EINVAL, "the IGMP version is 2 or 3")
	case o.MLDVersion != 1 && o.MLDVersion != 2:
		return refusal(EINVAL, "the MLD version is 1 or 2")
	case o.Router > RouterAlways:
		return refusal(EINVAL, "a bridge is a multicast router never, as learned, or always")
	}
	defer m.flush()
	old := c.opts
	c.opts = o
	c.opts.QueryInterval = min(max(o.QueryInterval, leastQueryInterval), mostQueryInterval)
	c.opts.StartupQueryInterval = min(max(o.StartupQueryInterval, leastQueryInterval), mostQueryInterval)
	c.opts.Snooping, c.opts.Router, c.opts.Querier = old.Snooping, old.Router, old.Querier
	c.touch(m)
	if o.Router != old.Router {
		c.setRouter(m, o.Router)
	}
	if o.Snooping != old.Snooping {
		if c.vid == 0 {
			m.setSnooping(now, o.Snooping)
		} else {
			c.opts.Snooping = o.Snooping
			if m.perVLAN {
				m.toggleVLAN(now, c, o.Snooping)
			}
		}
	}
	if o.Querier != old.Querier {
		c.setQuerier(m, now, o.Querier)
	}
	return nil
}

// setRouter is br_multicast_set_router.
func (c *context) setRouter(m *Machine, r Router) {
	if r != RouterLearned {
		for i := range families {
			m.stop(&c.routerTimer[i])
		}
	}
	c.opts.Router = r
}

// expired runs the context's timers.
func (c *context) expired(m *Machine, t *timer, now time.Duration) {
	for i := range families {
		switch t {
		case &c.own[i].timer:
			c.ownQueryDue(m, now, i)
		case &c.other[i]:
			c.touch(m)
			if m.running && m.bridge.opts.Snooping {
				c.startQuerier(m, now, i)
			}
		case &c.delay[i], &c.routerTimer[i]:
			c.touch(m)
		}
	}
}

// open is __br_multicast_open: the first queries are due at once.
func (c *context) open(m *Machine, now time.Duration) {
	for i := range families {
		c.own[i].sent = 0
		if m.bridge.opts.Snooping {
			m.set(&c.own[i].timer, now, 0)
		}
	}
}

// stop is __br_multicast_stop.
func (c *context) stop(m *Machine) {
	for i := range families {
		m.stop(&c.own[i].timer)
		m.stop(&c.other[i])
		m.stop(&c.delay[i])
		m.stop(&c.routerTimer[i])
	}
	c.touch(m)
}
