package snoop

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// hostile makes messages up, of hosts that nobody can count.
type hostile struct {
	r *rand.Rand
	f Family
}

func (h *hostile) addr(groups bool, n int) (a Addr) {
	k := h.r.IntN(n)
	switch {
	case h.f == IPv4 && groups:
		return Addr{239, 1, byte(k >> 8), byte(k)}
	case h.f == IPv4:
		return Addr{10, 0, byte(k >> 8), byte(k)}
	case groups:
		return Addr{0xff, 0x0e, 14: byte(k >> 8), 15: byte(k)}
	}
	return Addr{0xfd, 14: byte(k >> 8), 15: byte(k)}
}

// packet is any message, with up to 20 records of up to 50 sources.
func (h *hostile) packet() *Packet {
	h.f = families[h.r.IntN(2)]
	k := h.r.IntN(2000)
	p := &Packet{Family: h.f, Src: h.addr(false, 300), Group: h.addr(true, 60), EthSrc: frame.MAC{2, 4: byte(k >> 8), 5: byte(k)}}
	p.Kind = []Kind{KindRouter, KindReport, KindReport, KindLeave, KindReportV3, KindReportV3, KindReportV3, KindQuery}[h.r.IntN(8)]
	p.Version = 2
	switch p.Kind {
	case KindQuery:
		p.Version, p.Delay = 2, time.Duration(h.r.IntN(10))*time.Second
		if h.r.IntN(2) == 0 {
			p.Group = Addr{}
		}
	case KindReportV3:
		p.Group = Addr{}
		for range h.r.IntN(20) {
			p.Records++
			sources := h.r.IntN(50)
			p.records = append(p.records, byte(1+h.r.IntN(6)), 0)
			p.records = binary.BigEndian.AppendUint16(p.records, uint16(sources))
			g := h.addr(true, 60)
			p.records = append(p.records, g[:addrSize(h.f)]...)
			for range sources {
				s := h.addr(false, 100)
				p.records = append(p.records, s[:addrSize(h.f)]...)
			}
		}
	}
	return p
}

// inventory counts what a machine holds, and checks that it is not more than it may be.
type inventory struct {
	t                                    *testing.T
	m                                    *Machine
	timers, memberships, sources, mostOf int
	hosts                                map[*port]int
}

func takeInventory(t *testing.T, m *Machine) *inventory {
	i := &inventory{t: t, m: m, hosts: map[*port]int{}}
	for _, c := range append([]*context{m.bridge}, m.vlans...) {
		for k := range families {
			i.running(&c.own[k].timer, &c.other[k], &c.delay[k], &c.routerTimer[k])
		}
	}
	for _, e := range m.entries {
		i.entry(e)
	}
	listed := 0
	for _, p := range m.byRank {
		for k := range families {
			i.running(&p.ctx.own[k].timer, &p.ctx.routerTimer[k])
		}
		all := p.memberships()
		listed += len(all)
		require.EqualValues(t, len(all), p.ctx.groups)
		require.EqualValues(t, i.hosts[p], p.hosts)
		require.LessOrEqual(t, p.hosts, p.opts.EHTHostsLimit)
	}
	require.Equal(t, i.memberships, listed)
	require.Equal(t, i.timers, m.timers.Len(), "no timer of what is gone")
	require.LessOrEqual(t, len(m.entries), int(m.hashMax))
	published := 0
	if b := m.view.groups.buckets.Load(); b != nil {
		published = b.n
	}
	require.Len(t, m.entries, published)
	return i
}

func (i *inventory) running(all ...*timer) {
	for _, t := range all {
		if t.Pending() {
			i.timers++
		}
	}
}

func (i *inventory) entry(e *entry) {
	i.running(&e.timer)
	shown := i.m.view.groups.get(&e.key)
	require.NotNil(i.t, shown)
	require.Equal(i.t, e.host, shown.Host)
	require.Len(i.t, shown.Members, len(e.members))
	listed := 0
	for at, x := range e.members {
		listed += len(x.sources)
		require.Equal(i.t, x.row(), shown.Members[at], "what is published")
		i.memberships++
		i.mostOf = max(i.mostOf, len(e.of(x.port)))
		i.running(&x.timer, &x.rexmit)
		i.sources += len(x.sources)
		require.LessOrEqual(i.t, len(x.sources), sourceLimit)
		for _, s := range x.sources {
			i.running(&s.timer)
		}
		if x.eht == nil {
			continue
		}
		i.hosts[x.port] += len(x.eht.hosts)
		named := 0
		for _, h := range x.eht.hosts {
			require.LessOrEqual(i.t, len(h.entries), 4*sourceLimit)
			named += len(h.entries)
		}
		for _, s := range x.eht.sets {
			require.NotEmpty(i.t, s.entries)
			named -= len(s.entries)
			i.running(&s.timer)
			for _, e := range s.entries {
				i.running(&e.timer)
			}
		}
		require.Zero(i.t, named, "each entry is its host's and its source's")
	}
	require.Equal(i.t, e.sources, listed)
	require.LessOrEqual(i.t, i.mostOf, hostLimit)
}

// Whatever hosts send, what is kept stays within its bounds, and nothing is kept of what
// has ended; in the end no member and no timer.
func TestBoundsOfHostility(t *testing.T) {
	h := &hostile{r: rand.New(rand.NewPCG(7, 7))}
	m := New(Config{Rules: Rules{Sources: true, MaxGroups: true}, Seed: 1})
	m.SetSource(Source{IPv6: Addr{0xfe, 0x80, 15: 1}})
	m.SetUp(0, true)
	m.SetHashMax(700)
	for num, o := range []PortOptions{
		{EHTHostsLimit: 1}, {FastLeave: true, EHTHostsLimit: 20}, {ToUnicast: true, EHTHostsLimit: 1},
		{FastLeave: true, ToUnicast: true, EHTHostsLimit: 40}, {FastLeave: true, EHTHostsLimit: 20, MaxGroups: 30},
	} {
		m.AddPort(uint16(num + 1))
		m.SetPortState(uint16(num+1), Forwarding)
		require.NoError(t, m.SetPortOptions(uint16(num+1), o))
		m.EnablePort(0, uint16(num+1))
	}
	var now time.Duration
	errs := map[error]int{}
	mostTracked, ended := 0, 0
	for n := range 5000 {
		port := uint16(h.r.IntN(6)) // 0: the host
		errs[m.Handle(now, port, 0, h.packet())]++
		if o, _ := m.Options(0); n%500 == 0 || !o.Snooping {
			if !o.Snooping {
				ended++
			}
			o.Snooping, o.Querier = true, n%3 == 0
			o.IGMPVersion, o.MLDVersion = uint8(2+min(h.r.IntN(4), 1)), uint8(1+min(h.r.IntN(4), 1))
			require.NoError(t, m.SetOptions(now, 0, o))
		}
		if h.r.IntN(50) == 0 {
			now += time.Duration(h.r.IntN(20_000)) * time.Millisecond
			m.Tick(now)
		}
		if n%250 == 0 {
			i := takeInventory(t, m)
			mostTracked = max(mostTracked, i.hosts[m.ports[4]])
		}
		if n%1500 == 0 {
			m.DisablePort(now, port)
			m.EnablePort(now, port)
		}
	}
	assert.Positive(t, errs[nil])
	assert.Positive(t, errs[ErrTooManyGroups])
	assert.Positive(t, errs[ErrHashFull])
	assert.Equal(t, 40, mostTracked, "the limit was reached")
	assert.Positive(t, ended)

	for range 1000 { // two membership intervals
		now += 520 * time.Millisecond
		m.Tick(now)
	}
	takeInventory(t, m)
	for _, e := range m.entries {
		for _, x := range e.members {
			idle := !x.exclude && len(x.sources) == 0 && x.eht.empty()
			assert.True(t, idle, "a report of no source, of which Linux too is rid with the port only")
		}
	}
	for num := range m.ports {
		m.DisablePort(now, num)
	}
	i := takeInventory(t, m)
	for _, e := range m.entries { // one whose first member was refused stays, as in Linux
		assert.True(t, len(e.members) == 0 && !e.host && !e.timer.Pending())
	}
	assert.LessOrEqual(t, len(m.entries), 700)
	assert.Zero(t, i.memberships)
	for _, p := range m.byRank {
		assert.Zero(t, p.hosts)
		assert.Empty(t, p.members)
	}
}

func (t *tracking) empty() bool { return t == nil || len(t.hosts) == 0 && len(t.sets) == 0 }

// Hosts behind a port that converts to unicast may make addresses up: there is a bound
// for each group, and for the port. The first of a group always has its place.
func TestBoundsOfUnicastHosts(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing runs side by side, and the race detector takes half a minute to watch over all members of a port")
	}
	m := New(Config{Seed: 1})
	m.SetUp(0, true)
	m.SetHashMax(1 << 20)
	m.AddPort(1)
	m.SetPortState(1, Forwarding)
	require.NoError(t, m.SetPortOptions(1, PortOptions{ToUnicast: true, EHTHostsLimit: 1}))
	join := func(host, group int) error {
		p := &Packet{
			Kind: KindReport, Family: IPv4, Version: 2, Type: TypeIGMPv2Report,
			Group: Addr{239, 1, byte(group >> 8), byte(group)}, EthSrc: frame.MAC{2, 3: byte(host >> 16), 4: byte(host >> 8), 5: byte(host)},
		}
		dry := m.Check(1, 0, p)
		err := m.Handle(0, 1, 0, p)
		require.Equal(t, err, dry)
		return err
	}
	fill := func(group, n int) { // as joins would, but published once
		e, err := m.group(Key{Group: Addr{239, 1, byte(group >> 8), byte(group)}, Family: IPv4})
		require.NoError(t, err)
		for host := range n {
			_, err := m.addMember(e, member{port: m.ports[1], mac: frame.MAC{2, 3: byte(host >> 16), 4: byte(host >> 8), 5: byte(host)}})
			require.NoError(t, err)
		}
		m.flush()
	}
	fill(0, hostLimit-1)
	require.NoError(t, join(hostLimit-1, 0))
	require.NoError(t, join(0, 0), "who is a member stays one")
	require.ErrorIs(t, join(hostLimit, 0), ErrTooManyGroups)
	for group := 1; group < membershipLimit/hostLimit; group++ {
		fill(group, hostLimit)
	}
	n, _ := m.Groups(1, 0)
	require.EqualValues(t, membershipLimit, n)
	require.NoError(t, join(0, 1000))
	require.ErrorIs(t, join(1, 1000), ErrTooManyGroups)
	require.NoError(t, join(0, 1000))
}
