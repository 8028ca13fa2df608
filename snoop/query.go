package snoop

import (
	"encoding/binary"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// Query is a query that the bridge sends: a whole Ethernet frame without tag.
type Query struct {
	Port uint16 // where it leaves; 0 is the copy for the bridge's own host

	// VID is the VLAN whose querier sends it, 0 if VLANs have none of their own. The
	// frame bears the VLAN's tag unless the port is an untagged member of it.
	VID frame.VID

	// Member: it asks about one member of a group. Linux makes none that is longer than
	// the MTU of the member's port; others only have to fit in the bridge's.
	Member bool

	Family Family
	Data   []byte // valid until Send returns
}

// queryFor says what is asked.
type queryFor struct {
	family   Family
	group    Addr    // zero: a general query
	toGroup  bool    // addressed to the group, else to all nodes
	member   bool    // one member of the group is meant
	of       *member // whose sources are asked for; nil: the group alone is
	overLMQT bool    // those whose timers are not lowered yet; else those that are
	suppress bool    // the S flag
}

// wants reports that a query asks for source s: it is to be sent again, and its
// timer is, or is not, within the last member query time.
func (q *queryFor) wants(s *source, limit time.Duration) bool {
	return s.retransmit > 0 && (s.timer.At > limit) == q.overLMQT
}

// sendQuery is __br_multicast_send_query, for one frame. pc is nil for the host's
// copy. It reports whether there was something to ask.
func (m *Machine) sendQuery(c *context, pc *portContext, q queryFor) bool {
	if !m.usable(pc) || m.perVLAN != (c.vid != 0) {
		return false
	}
	sources, ok := m.querySources(c, &q)
	if !ok || q.family == IPv6 && m.source.IPv6.isZero() {
		return false
	}
	if q.family == IPv4 {
		m.buf = m.appendIGMP(m.buf[:0], c, &q, sources)
	} else {
		m.buf = m.appendMLD(m.buf[:0], c, &q, sources)
	}
	out := Query{VID: c.vid, Member: q.member, Family: q.family, Data: m.buf}
	if pc != nil {
		out.Port = pc.port.num
	} else {
		i := q.family.ip()
		c.querier[i], c.querierPort[i] = Addr{}, 0
		if q.family == IPv6 {
			c.querier[i] = m.source.IPv6
		} else if m.bridge.opts.QueryUseIfAddr {
			c.querier[i] = m.source.IPv4
		}
	}
	m.Counters(out.Port).ownQuery(m, q.family, c.queryVersion(&q), pc == nil)
	if m.cfg.Send != nil {
		m.cfg.Send(out)
	}
	return true
}

// querySources are the sources that a query names; ok is false if it was to name
// some and there are none, or the group's protocol version has no room for them.
func (m *Machine) querySources(c *context, q *queryFor) (list []*source, ok bool) {
	if q.of == nil || !c.modern(q.family) {
		return nil, true
	}
	limit := q.of.now + c.lmqt()
	for _, s := range q.of.sources {
		if q.wants(s, limit) {
			list = append(list, s)
		}
	}
	return list, len(list) > 0
}

// lmqt is the last member query time.
func (c *context) lmqt() time.Duration {
	return times(c.opts.LastMemberCount, c.opts.LastMemberInterval)
}

// interval is what a query's response code is made of.
func (c *context) interval(q *queryFor) time.Duration {
	if q.group.isZero() {
		return c.opts.QueryResponseInterval
	}
	return c.opts.LastMemberInterval
}

// code is the Max Resp Code of an IGMP query: the low byte of the time in tenths of a
// second.
func (c *context) code(q *queryFor) uint8 { return uint8(c.interval(q) / (100 * time.Millisecond)) }

// queryVersion is what a query counts as: one of IGMPv2 that leaves no time to answer
// is one of IGMPv1.
func (c *context) queryVersion(q *queryFor) uint8 {
	switch {
	case q.family == IPv6:
		return c.opts.MLDVersion
	case c.opts.IGMPVersion == 2 && c.code(q) == 0:
		return 1
	}
	return c.opts.IGMPVersion
}

// appendIGMP builds a query of IGMPv2 or IGMPv3 (br_ip4_multicast_alloc_query): TTL
// 1, TOS 0xc0, don't fragment, Router Alert. The codes are the low bytes of the times:
// they are not written as floating point numbers.
func (m *Machine) appendIGMP(b []byte, c *context, q *queryFor, sources []*source) []byte {
	be := binary.BigEndian
	dst := allNodes4
	if q.toGroup {
		dst = q.group
	}
	b = append(b, 0x01, 0x00, 0x5e, dst[1]&0x7f, dst[2], dst[3])
	b = append(b, m.source.MAC[:]...)
	b = be.AppendUint16(b, uint16(frame.TypeIPv4))
	size := 8
	if c.opts.IGMPVersion == 3 {
		size = 12 + 4*len(sources)
	}
	b = append(b, 0x46, 0xc0)
	b = be.AppendUint16(b, uint16(24+size))
	b = append(b, 0, 0, 0x40, 0, 1, 2, 0, 0)
	from := Addr{}
	if m.bridge.opts.QueryUseIfAddr {
		from = m.source.IPv4
	}
	b = append(b, from[:4]...)
	b = append(b, dst[:4]...)
	b = append(b, 0x94, 4, 0, 0)
	be.PutUint16(b[24:], frame.Checksum(b[14:38], 0))
	b = append(b, TypeIGMPQuery, c.code(q), 0, 0)
	b = append(b, q.group[:4]...)
	if c.opts.IGMPVersion == 3 {
		b = append(b, q.robustness(), uint8(c.opts.QueryInterval/time.Second))
		b = be.AppendUint16(b, uint16(len(sources)))
		for _, s := range sources {
			b = append(b, s.addr[:4]...)
		}
	}
	be.PutUint16(b[40:], frame.Checksum(b[38:], 0))
	return b
}

// robustness is the byte of the S flag and of the querier's robustness variable, 2.
func (q *queryFor) robustness() uint8 {
	if q.suppress {
		return 8 | 2
	}
	return 2
}

// appendMLD builds a query of MLDv1 or MLDv2 (br_ip6_multicast_alloc_query): hop
// limit 1, hop-by-hop header with Router Alert.
func (m *Machine) appendMLD(b []byte, c *context, q *queryFor, sources []*source) []byte {
	be := binary.BigEndian
	dst := allNodes6
	if q.toGroup {
		dst = q.group
	}
	b = append(b, 0x33, 0x33)
	b = append(b, dst[12:]...)
	b = append(b, m.source.MAC[:]...)
	b = be.AppendUint16(b, uint16(frame.TypeIPv6))
	size := 24
	if c.opts.MLDVersion == 2 {
		size = 28 + 16*len(sources)
	}
	b = append(b, 0x60, 0, 0, 0)
	b = be.AppendUint16(b, uint16(8+size))
	b = append(b, hopByHop, 1)
	b = append(b, m.source.IPv6[:]...)
	b = append(b, dst[:]...)
	b = append(b, icmpv6, 0, 5, 2, 0, 0, 1, 0) // Router Alert for MLD, then PadN
	b = append(b, TypeMLDQuery, 0, 0, 0)
	b = be.AppendUint16(b, uint16(c.interval(q)/time.Millisecond))
	b = append(b, 0, 0)
	b = append(b, q.group[:]...)
	if c.opts.MLDVersion == 2 {
		b = append(b, q.robustness(), uint8(c.opts.QueryInterval/time.Second))
		b = be.AppendUint16(b, uint16(len(sources)))
		for _, s := range sources {
			b = append(b, s.addr[:]...)
		}
	}
	msg := b[62:]
	be.PutUint16(b[64:], frame.Checksum(msg, frame.PseudoSum(m.source.IPv6[:], dst[:], icmpv6, len(msg))))
	return b
}
