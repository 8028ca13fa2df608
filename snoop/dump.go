package snoop

import (
	"math"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// FilterMode says which sources a member of (*,G) wants.
type FilterMode uint8

// The modes, with Linux's numbers. In an Entry the zero mode is one that is not
// shown, in a Request one that is not given.
const (
	ModeNone    FilterMode = iota
	ModeInclude            // those in its list
	ModeExclude            // all but those in its list that are blocked
)

// Entry is a row of the multicast database, as `bridge -d -s mdb show` has it.
type Entry struct {
	Key            Key
	Port           uint16 // 0: the host
	Permanent      bool
	FastLeave      bool // it goes, or went, because the last host had left
	AddedByStarExc bool // added_by_star_ex
	Blocked        bool

	// Mode and Sources are shown while the bridge's own context, not the VLAN's, is
	// in IGMPv3 or MLDv2 mode: of members that are ports.
	Mode    FilterMode
	Sources []EntrySource

	Proto uint8     // ProtoKernel, ProtoStatic, or what the request gave; 0 for the host
	MAC   frame.MAC // who joined; broadcast for what a request made
	Timer time.Duration
}

// EntrySource is a source of an Entry, with the time it has left.
type EntrySource struct {
	Addr  Addr
	Timer time.Duration
}

// RouterPort is a port where routers are. Of a family that it is not listed for the
// timer is negative; zero is one that does not run, as with RouterAlways.
type RouterPort struct {
	Port   uint16
	Type   Router // the setting of the port, also in a VLAN, as Linux shows it
	VID    frame.VID
	Timer4 time.Duration
	Timer6 time.Duration
}

// Querier is what is known of the querier of one family.
type Querier struct {
	Known bool // one asks, the bridge itself or another
	Addr  Addr
	Other bool // it is another
	Port  uint16
	Timer time.Duration // until the other is forgotten
}

func (m *Machine) memberEntry(now time.Duration, x *member) Entry {
	e := Entry{
		Key: x.entry.key, Port: x.port.num, Permanent: x.permanent, FastLeave: x.fastLeave,
		AddedByStarExc: x.starExcl, Blocked: x.blocked, Proto: x.proto, MAC: x.mac, Timer: x.timer.Left(now),
	}
	if m.bridge.modern(e.Key.Family) {
		e.Mode = ModeInclude
		if x.exclude {
			e.Mode = ModeExclude
		}
		for _, s := range x.sources {
			e.Sources = append(e.Sources, EntrySource{Addr: s.addr, Timer: s.timer.Left(now)})
		}
	}
	return e
}

func (m *Machine) hostEntry(now time.Duration, e *entry) Entry {
	return Entry{Key: e.key, Permanent: e.key.Family == L2, Timer: e.timer.Left(now)}
}

// Entries gives the database: the newest group first, in a group the host first, then
// the ports, those added last first. While snooping is off there is none to be seen,
// but with Rules.DumpAlways. It stops when yield returns false.
func (m *Machine) Entries(now time.Duration, yield func(Entry) bool) {
	for c := (Cursor{}); m.EntriesFrom(now, &c, math.MaxInt, yield); {
	}
}

// A Cursor is how far a dump has come. The zero Cursor is its beginning.
type Cursor struct {
	begun bool
	at    *entry
}

// EntriesFrom gives the part of Entries that comes next at a cursor, about n rows of it,
// and moves the cursor on; more says that there is more. Between two parts the database
// may change: a group that is there from the first part to the last is given, once.
func (m *Machine) EntriesFrom(now time.Duration, c *Cursor, n int, yield func(Entry) bool) (more bool) {
	if !c.begun {
		c.begun, c.at = true, m.newest
	}
	if !m.bridge.opts.Snooping && !m.cfg.Rules.DumpAlways {
		c.at = nil
	}
	// Groups are added in front only, and one that is gone still leads to those behind it.
	for ; c.at != nil && n > 0; c.at = c.at.next {
		e := c.at
		if e.gone {
			continue
		}
		if e.host && !yield(m.hostEntry(now, e)) {
			return false
		}
		for _, x := range e.members {
			if !yield(m.memberEntry(now, x)) {
				return false
			}
		}
		n -= 1 + len(e.members)
	}
	return c.at != nil
}

// Len is the number of groups, (*,G) and (S,G) together.
func (m *Machine) Len() int { return len(m.entries) }

// RouterPorts gives the ports where routers are, in the order they were added:
// bridge-wide (vid 0) or in a VLAN. While the bridge, or its VLAN, is set to be no
// router Linux shows none, though they are used.
func (m *Machine) RouterPorts(now time.Duration, vid frame.VID) (all []RouterPort) {
	c := m.optionsContext(vid)
	if c == nil || c.opts.Router == RouterNever {
		return nil
	}
	for _, p := range slices.Backward(m.byRank) {
		pc := m.portContext(p.num, vid)
		if pc == nil || !pc.listed[0] && !pc.listed[1] {
			continue
		}
		r := RouterPort{Port: p.num, Type: p.ctx.router, VID: vid, Timer4: -1, Timer6: -1}
		if pc.listed[0] {
			r.Timer4 = pc.routerTimer[0].Left(now)
		}
		if pc.listed[1] {
			r.Timer6 = pc.routerTimer[1].Left(now)
		}
		all = append(all, r)
	}
	return all
}

// Querier gives what is known of the querier of a family, bridge-wide (vid 0), or in a
// VLAN while those count; the bridge's own is shown also while they do
// (br_multicast_dump_querier_state).
func (m *Machine) Querier(now time.Duration, vid frame.VID, f Family) (q Querier) {
	c := m.optionsContext(vid)
	if c == nil || f == L2 || !c.opts.Snooping || !m.bridge.opts.Snooping || vid != 0 && !m.perVLAN {
		return q
	}
	i := f.ip()
	q.Other = c.other[i].Pending()
	q.Known = q.Other || c.opts.Querier
	if q.Known {
		q.Addr = c.querier[i]
	}
	if q.Other {
		q.Port, q.Timer = c.querierPort[i], c.other[i].Left(now)
	}
	return q
}
