package snoop

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/timers"
)

// Rules are what releases of Linux differ in. The zero Rules are those of 6.1.
type Rules struct {
	Sources   bool // requests may replace entries, and give filter mode, sources and protocol [6.3]
	MaxGroups bool // ports and their VLANs have a limit of groups [6.3]

	// What 6.1 does not and 6.18 does; which release between them began is not known.
	ReplaceHost bool // a request may replace the host's membership too
	DumpAlways  bool // the database is shown also while snooping is off
}

// Config is what a Machine is made with.
type Config struct {
	Rules Rules
	Seed  uint64 // of the secret that spreads groups in the table

	// Send is given each query that the bridge makes, in order, within the call of
	// the Machine that causes it. Nil: queries go nowhere.
	Send func(Query)

	// Notify is given each change of groups and router ports, in order, likewise.
	// Nil: nobody wants to know. Neither may call the Machine.
	Notify func(Event)
}

// Source is whom queries come from.
type Source struct {
	MAC frame.MAC // the bridge device's

	// IPv4 is the device's address, used if Options.QueryUseIfAddr; zero: none, and
	// queries come from 0.0.0.0.
	IPv4 Addr

	// IPv6 is the device's link-local address. Zero: it has none, so that no MLD
	// query is sent, and the own querier does not count for IPv6.
	IPv6 Addr
}

// Machine is the snooping of one bridge: packets, requests and time go in; queries,
// events and what View shows come out. It is used by one goroutine at a time, except
// for View and Counters. now is a moment of the caller's own clock, counted from
// anywhere; it must not go back from one call to the next.
//
// Ports are told apart by numbers from 1 to 65535, 0 is the bridge's own host. What is
// told about ports and VLANs that are not there is passed over.
type Machine struct {
	cfg      Config
	secret   [2]uint64
	view     View
	timers   timers.Queue[expirer]
	inTick   bool
	running  bool // the bridge device is up
	perVLAN  bool // mcast_vlan_snooping
	stats    atomic.Bool
	hashMax  uint32
	source   Source
	bridge   *context
	host     Counters
	ports    map[uint16]*port
	byRank   []*port // newest first
	lastRank uint32
	vlans    []*context // by VID
	entries  map[Key]*entry
	newest   *entry // the list of all entries, newest first
	dirty    []*entry
	dirtyCtx []*context
	views    *[4096]atomic.Pointer[contextView]
	buf      []byte // of the query under way
}

// New makes the Machine of a bridge that is down, has no ports, and has Linux's
// default options: snooping is on.
func New(cfg Config) *Machine {
	r := rand.New(rand.NewPCG(cfg.Seed, 0x6d63617374))
	m := &Machine{
		cfg:     cfg,
		secret:  [2]uint64{r.Uint64() | 1, r.Uint64() | 1},
		hashMax: 4096,
		ports:   map[uint16]*port{},
		entries: map[Key]*entry{},
	}
	m.bridge = newContext(0)
	m.refresh()
	m.bridge.publish(m)
	return m
}

// View is what the datapath uses. It stays the same for the Machine's life.
func (m *Machine) View() *View { return &m.view }

// NextTimer is when Tick has something to do; ok is false if nothing runs.
func (m *Machine) NextTimer() (at time.Duration, ok bool) {
	t := m.timers.Next()
	if t == nil {
		return 0, false
	}
	return t.At, true
}

// Tick runs the timers that are due. A timer that is set in the course of it waits
// for a later Tick, and for at least 4 ms.
func (m *Machine) Tick(now time.Duration) {
	for m.TickSome(now, math.MaxInt) {
	}
}

// TickSome is Tick for n timers at most, for who must not keep others waiting; more
// says that others are due.
func (m *Machine) TickSome(now time.Duration, n int) (more bool) {
	m.inTick = true
	t := m.timers.Next()
	for ; n > 0 && t != nil && t.At <= now; t = m.timers.Next() {
		m.timers.Stop(t)
		t.Of.expired(m, t, now)
		n--
	}
	m.inTick = false
	m.flush()
	return t != nil && t.At <= now
}

// set starts or moves a timer.
func (m *Machine) set(t *timer, now, after time.Duration) {
	if m.inTick {
		after = max(after, jiffy)
	}
	m.timers.Set(t, now+min(after, longest))
}

func (m *Machine) stop(t *timer) { m.timers.Stop(t) }

// lower moves a timer to an earlier moment, or starts it if it does not run.
func (m *Machine) lower(t *timer, now, after time.Duration) {
	if !t.Pending() || t.At > now+after {
		m.set(t, now, after)
	}
}

// flush publishes what has changed.
func (m *Machine) flush() {
	for _, e := range m.dirty {
		e.publish(m)
	}
	for _, c := range m.dirtyCtx {
		c.publish(m)
	}
	clear(m.dirty)
	m.dirty, m.dirtyCtx = m.dirty[:0], m.dirtyCtx[:0]
}

// refresh publishes what all lookups begin with.
func (m *Machine) refresh() {
	s := &viewState{on: m.bridge.opts.Snooping, perVLAN: m.perVLAN, vlans: m.views}
	if s.bridge = m.bridge.view; s.bridge == nil {
		s.bridge = &contextView{}
	}
	m.view.state.Store(s)
}

// SetUp says that the bridge device is up (br_multicast_open) or down
// (br_multicast_stop). Ports are enabled and disabled by themselves. As in Linux what is
// known of queriers is forgotten only in the contexts that count, and of VLANs in those
// that the device is in.
func (m *Machine) SetUp(now time.Duration, up bool) {
	defer m.flush()
	if up {
		m.running = true
		m.openAll(now)
		return
	}
	m.running = false
	if !m.perVLAN {
		m.bridge.stop(m)
		return
	}
	for _, c := range m.vlans {
		if c.self && c.enabled {
			c.stop(m)
		}
	}
}

// openAll starts the queries of the contexts that count.
func (m *Machine) openAll(now time.Duration) {
	if !m.perVLAN {
		m.bridge.open(m, now)
		return
	}
	for _, c := range m.vlans {
		if c.self && c.enabled {
			c.open(m, now)
		}
	}
}

// SetHashMax sets the number of groups, (*,G) and (S,G) together, from which on no
// more are made (mcast_hash_max). Those that are there stay. The default is 4096.
func (m *Machine) SetHashMax(n uint32) { m.hashMax = n }

// HashMax gives what SetHashMax set.
func (m *Machine) HashMax() uint32 { return m.hashMax }

// SetSource says whom queries come from, from the next one on.
func (m *Machine) SetSource(s Source) {
	m.source = s
	m.bridge.touch(m)
	for _, c := range m.vlans {
		c.touch(m)
	}
	m.flush()
}

// setSnooping is br_multicast_toggle. Off, ports forget what was learned on them; not
// so where each VLAN has a context of its own: there timers run on, and groups are
// only not used and not shown. On, queries start again, on ports bridge-wide ones only.
func (m *Machine) setSnooping(now time.Duration, on bool) {
	if m.bridge.opts.Snooping == on {
		return
	}
	m.bridge.opts.Snooping = on
	m.refresh()
	if !on {
		if !m.perVLAN {
			m.eachPort(func(p *port) { p.disable(m, now) })
		}
		return
	}
	if !m.running {
		return
	}
	m.openAll(now)
	if !m.perVLAN {
		m.eachPort(func(p *port) { p.ctx.enable(m, now) })
	}
}

// SetPerVLAN switches between one context for the bridge and one for each VLAN
// (mcast_vlan_snooping, br_multicast_toggle_vlan_snooping). What was learned is
// forgotten. Linux refuses to switch it on without VLAN filtering, and switches it
// off with it: that is the caller's.
func (m *Machine) SetPerVLAN(now time.Duration, on bool) {
	if m.perVLAN == on {
		return
	}
	defer m.flush()
	m.perVLAN = on
	if on && m.views == nil {
		m.views = new([4096]atomic.Pointer[contextView])
		for _, c := range m.vlans {
			c.touch(m)
		}
	}
	m.refresh()
	if on {
		m.bridge.stop(m)
	} else {
		m.bridge.open(m, now)
	}
	m.eachPort(func(p *port) {
		if on {
			p.ctx.disable(m, now)
		} else {
			p.ctx.enable(m, now)
		}
	})
	for _, c := range m.vlans {
		m.toggleVLAN(now, c, on)
	}
}

// PerVLAN gives what SetPerVLAN set.
func (m *Machine) PerVLAN() bool { return m.perVLAN }

// eachPort visits the ports, newest first.
func (m *Machine) eachPort(do func(*port)) {
	for _, p := range m.byRank {
		do(p)
	}
}

// usable reports that packets of a context count: the bridge is up, and the port is
// not DISABLED there (br_multicast_port_ctx_state_disabled). pc is nil for the host.
func (m *Machine) usable(pc *portContext) bool {
	return m.running && (pc == nil || !pc.disabled())
}

// contexts finds where a packet of a port in a VLAN counts; pc is nil for the host.
// ok is false where snooping does not look.
func (m *Machine) contexts(num uint16, vid frame.VID) (c *context, pc *portContext, ok bool) {
	p := m.ports[num]
	if num != 0 && p == nil || !m.bridge.opts.Snooping {
		return nil, nil, false
	}
	if !m.perVLAN || vid == 0 {
		if p != nil {
			pc = &p.ctx
		}
		return m.bridge, pc, true
	}
	c = m.vlan(vid)
	if c == nil || !c.opts.Snooping {
		return nil, nil, false
	}
	if p != nil {
		if pc = p.vlan(vid); pc == nil {
			return nil, nil, false
		}
	}
	return c, pc, true
}

// of finds the contexts that a group's members belong to.
func (m *Machine) of(key *Key, p *port) (*context, *portContext) {
	if m.perVLAN && key.VID != 0 {
		if c := m.vlan(key.VID); c != nil {
			if p == nil {
				return c, nil
			}
			if pc := p.vlan(key.VID); pc != nil {
				return c, pc
			}
		}
	}
	if p == nil {
		return m.bridge, nil
	}
	return m.bridge, &p.ctx
}

func (m *Machine) vlan(vid frame.VID) *context {
	i, ok := slices.BinarySearchFunc(m.vlans, vid, func(c *context, vid frame.VID) int { return cmp.Compare(c.vid, vid) })
	if !ok {
		return nil
	}
	return m.vlans[i]
}

// Handle takes in a packet that [Packet.Control] holds for one: it is
// br_multicast_rcv behind the parsing. It must be called for every such packet that
// was let in, in any state of the port but DISABLED, before the frame is forwarded.
// port is 0 for what the host sends; vid is 0 without VLAN filtering. On error the
// frame is to be dropped: ErrHashFull (and snooping is now off), ErrTooManyGroups, or
// BadRecord. What the packet said before that counts.
func (m *Machine) Handle(now time.Duration, port uint16, vid frame.VID, p *Packet) error {
	c, pc, ok := m.contexts(port, vid)
	if !ok {
		return nil
	}
	defer m.flush()
	in := input{m: m, now: now, c: c, pc: pc, vid: vid, p: p, mac: p.EthSrc}
	var err error
	switch p.Kind {
	case KindRouter:
		m.routerSeen(now, c, pc, p.Family)
		return nil
	case KindReport:
		err = in.join(p.Group, true)
	case KindReportV3:
		err = in.report()
	case KindLeave:
		in.leave(p.Group)
	case KindQuery:
		in.query()
	default:
		return nil
	}
	m.Counters(port).received(m, p)
	return err
}
