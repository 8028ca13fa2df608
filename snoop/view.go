package snoop

import (
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

// View is what the datapath sees of a [Machine]: tables and values that are replaced
// and never edited. Any number of goroutines may use it while the Machine changes;
// none of its methods locks, waits or allocates. What one call of a Machine changes
// becomes visible group by group, before the call returns.
type View struct {
	state  atomic.Pointer[viewState]
	groups table
}

// viewState is what all lookups begin with.
type viewState struct {
	on      bool         // the bridge is up and snoops
	perVLAN bool         // each VLAN has a context of its own
	bridge  *contextView // the bridge-wide context
	vlans   *[4096]atomic.Pointer[contextView]
}

// contextView is what the datapath asks of a context.
type contextView struct {
	hostAlways bool // all groups go to the host, of IP or not
	snooping   bool // of the VLAN; true for the bridge-wide context
	modern     [2]bool
	querier    [2]bool // groups are restricted
	host       [2]bool // the host is a multicast router
	routers    [2][]PortRef
}

// PortRef is a port as groups and router lists name it. Rank orders ports: it
// grows with every port that is added, so floods begin at the highest.
type PortRef struct {
	Port uint16
	Rank uint32
}

// Group is who receives a group: a value that is replaced, never edited.
type Group struct {
	Key     Key
	Host    bool // the bridge's own host joined
	Members []Member
}

// Member is one port of a Group, or with Unicast one host behind it.
type Member struct {
	PortRef
	Include bool // in INCLUDE mode: the packets of (*,G) are not for it, where sources count
	Blocked bool // does not want this source
	Unicast bool // copies go to MAC, as the port converts to unicast; unless it is broadcast
	MAC     frame.MAC
}

// On reports that multicast frames are to be parsed at all: the bridge snoops.
func (v *View) On() bool { return v.state.Load().on }

// context finds the context of a VLAN; nil where snooping does not look.
func (s *viewState) context(vid frame.VID) *contextView {
	if !s.perVLAN || vid == 0 {
		return s.bridge
	}
	if c := s.vlans[vid&0xfff].Load(); c != nil && c.snooping {
		return c
	}
	return nil
}

// Parse reads a multicast frame of VLAN vid into p, if snooping looks at it there: see
// [Packet.Parse]. vid is 0 without VLAN filtering. On error the frame is to be dropped.
func (v *View) Parse(f *frame.Frame, vid frame.VID, p *Packet) error {
	if v.state.Load().context(vid) == nil {
		*p = Packet{Kind: KindUnseen, EthSrc: f.Src()}
		return nil
	}
	return p.Parse(f)
}

// Decision is where a multicast frame goes. Without Hit it is flooded, and the host
// gets it. With Hit it goes to Targets, and to the host if Host says so or the
// bridge device takes all multicast.
type Decision struct {
	Hit   bool
	Host  bool
	Group *Group // the one that was found; nil: only routers receive it
	Targets
}

// Decide is what br_handle_frame_finish and br_dev_xmit ask before they forward
// (br_mdb_entry_skb_get, br_multicast_querier_exists): whether the frame's group
// restricts it, and to whom.
func (v *View) Decide(p *Packet, vid frame.VID) (d Decision) {
	s := v.state.Load()
	c := s.context(vid)
	if c == nil || p.Kind == KindUnseen {
		return Decision{}
	}
	group := v.lookup(p, vid, c)
	if group == nil && !p.RoutersOnly {
		return Decision{}
	}
	if p.Family == L2 {
		d.Hit = group != nil
		d.Host = c.hostAlways // a router of IP is none of what is not IP
		d.routers = c.routers[0]
	} else {
		i := p.Family.ip()
		d.Hit, d.Host, d.routers = c.querier[i], c.host[i], c.routers[i]
	}
	if !d.Hit {
		return Decision{}
	}
	if group != nil {
		d.Group, d.Host, d.members = group, d.Host || group.Host, group.Members
		d.skipInclude = p.Family != L2 && c.modern[p.Family.ip()] && group.Key.star()
	}
	return d
}

// lookup is br_mdb_entry_skb_get: (S,G) first where sources count.
func (v *View) lookup(p *Packet, vid frame.VID, c *contextView) *Group {
	if p.Message() || v.groups.empty() {
		return nil
	}
	key := Key{Group: p.Dst, VID: vid, Family: p.Family}
	if p.Family != L2 && c.modern[p.Family.ip()] && !p.Src.isZero() {
		key.Source = p.Src
		if g := v.groups.get(&key); g != nil {
			return g
		}
		key.Source = Addr{}
	}
	return v.groups.get(&key)
}

// Group finds a group by its key; nil if there is none.
func (v *View) Group(key Key) *Group { return v.groups.get(&key) }

// Target is one copy of a frame. A MAC that is not zero is the destination address
// that this copy gets; a port that would send it back to that very host, the sender,
// leaves it out (maybe_deliver_addr).
type Target struct {
	Port uint16
	MAC  frame.MAC
}

// Targets gives the ports of a Decision, those added last first, without regard to
// whether a frame may leave by them. The zero Targets has none.
type Targets struct {
	members     []Member
	routers     []PortRef
	held        PortRef // a router's port whose copy comes behind those for hosts; Port 0: none
	skipInclude bool
}

// Next gives the next copy; ok is false after the last. A port gets one copy,
// however many reasons there are, or one a host if it converts to unicast. A port
// with a router gets the frame as it is (br_multicast_flood); it takes the place of
// the first host's copy there, and comes behind those for the others.
func (t *Targets) Next() (to Target, ok bool) {
	for len(t.members) > 0 || len(t.routers) > 0 || t.held.Port != 0 {
		var m *Member
		if len(t.members) > 0 {
			m = &t.members[0]
		}
		if t.held.Port != 0 && (m == nil || m.Rank != t.held.Rank) {
			to.Port, t.held.Port = t.held.Port, 0
			return to, true
		}
		if len(t.routers) > 0 && (m == nil || m.Rank <= t.routers[0].Rank) {
			if m != nil && m.Rank == t.routers[0].Rank {
				t.members = t.members[1:]
			}
			t.held, t.routers = t.routers[0], t.routers[1:]
			continue
		}
		t.members = t.members[1:]
		switch {
		case m.Unicast:
			to.Port = m.Port
			if m.MAC != frame.Broadcast {
				to.MAC = m.MAC
			}
			return to, true
		case m.Blocked, m.Include && t.skipInclude:
		default:
			return Target{Port: m.Port}, true
		}
	}
	return Target{}, false
}

// table holds the published groups: a hash table with chains, written by one
// goroutine at a time and read by many. Chains are never in a state that hides a
// group from a reader: an insert publishes a finished node, a removal leaves the
// removed node's way on intact, and growing makes nodes anew.
type table struct {
	buckets atomic.Pointer[buckets]
}

type buckets struct {
	secret [2]uint64
	mask   uint64
	heads  []atomic.Pointer[node]
	n      int // the writer's
}

type node struct {
	key   Key
	group atomic.Pointer[Group]
	next  atomic.Pointer[node]
}

func newBuckets(secret [2]uint64, size int) *buckets {
	return &buckets{secret: secret, mask: uint64(size - 1), heads: make([]atomic.Pointer[node], size)}
}

func (b *buckets) head(key *Key) *atomic.Pointer[node] { return &b.heads[key.hash(&b.secret)&b.mask] }

func (t *table) empty() bool { return t.buckets.Load() == nil }

func (t *table) get(key *Key) *Group {
	b := t.buckets.Load()
	if b == nil {
		return nil
	}
	for n := b.head(key).Load(); n != nil; n = n.next.Load() {
		if n.key.is(key) {
			return n.group.Load()
		}
	}
	return nil
}

// put publishes a group in place of the one with its key, if any.
func (t *table) put(g *Group, secret [2]uint64) {
	b := t.buckets.Load()
	if b == nil {
		b = newBuckets(secret, 8)
		t.buckets.Store(b)
	}
	for n := b.head(&g.Key).Load(); n != nil; n = n.next.Load() {
		if n.key == g.Key {
			n.group.Store(g)
			return
		}
	}
	if b.n >= len(b.heads) {
		b = t.resize(b, 2*len(b.heads))
	}
	b.insert(g)
}

func (b *buckets) insert(g *Group) {
	head := b.head(&g.Key)
	n := &node{key: g.Key}
	n.group.Store(g)
	n.next.Store(head.Load())
	head.Store(n)
	b.n++
}

// delete takes a group away. A table that has become much too large shrinks; one
// that is empty is let go.
func (t *table) delete(key Key) {
	b := t.buckets.Load()
	if b == nil {
		return
	}
	at := b.head(&key)
	for n := at.Load(); n != nil; at, n = &n.next, n.next.Load() {
		if n.key != key {
			continue
		}
		at.Store(n.next.Load())
		b.n--
		switch {
		case b.n == 0:
			t.buckets.Store(nil)
		case len(b.heads) > 64 && b.n < len(b.heads)/8:
			t.resize(b, len(b.heads)/4)
		}
		return
	}
}

func (t *table) resize(old *buckets, size int) *buckets {
	b := newBuckets(old.secret, size)
	for i := range old.heads {
		for n := old.heads[i].Load(); n != nil; n = n.next.Load() {
			b.insert(n.group.Load())
		}
	}
	t.buckets.Store(b)
	return b
}
