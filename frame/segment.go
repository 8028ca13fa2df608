package frame

import (
	"encoding/binary"
	"slices"
)

// Form is what a cable takes of what a frame owes. The zero Form is complete frames
// with the tag held aside.
type Form struct {
	TagInline bool // the tag is put into the data
	Checksum  bool // frames may still owe their checksum (NeedsCsum)
}

// AppendFinished appends to fs the frame or frames that f becomes once its debts
// are paid, and their bytes to buf: f with its checksum filled in, never as zero, or
// its segments in order. They are those of Linux, byte for byte (skb_checksum_help,
// tcp_gso_segment, __udp_gso_segment, inet_gso_segment, ipv6_gso_segment,
// skb_udp_tunnel_segment, gre_gso_segment).
//
// Every segment has the headers of f, with lengths and checksums of its own. IPv4's
// identification goes up by one a segment, also with DF. TCP's sequence number goes
// on; FIN and PSH stand in the last segment alone, CWR in the first alone. In the
// checksum's place f has the sum over its pseudo header, the sender's affair, and
// every segment's is reckoned from it. What would be one segment is f itself. With
// Form.Checksum the frames owe their checksums still.
//
// In a tunnel every segment has the tunnel's headers too, with lengths of their own,
// and the outer identification goes up like the inner. An outer UDP checksum of zero
// stays zero; else the sum over the outer pseudo header stands there, and every
// segment has a checksum, never zero, that is complete: also where the inner is owed
// still, since what it will add is known before (Linux's local checksum offload). For
// the same reason a frame in a tunnel that owes its inner checksum alone has its outer
// one already.
//
// Results have no tag lifted: the tag is held aside as in f, or is put into the data.
// Time, Tunnel and Nexthop are f's. f.Data stays as it is. buf grows once at most, and frames
// appended earlier keep their bytes; the new ones hold on to buf's memory. A frame
// that CheckOwed refuses becomes no frame at all; one that owes nothing, a copy.
func (f *Frame) AppendFinished(fs []Frame, buf []byte, form Form) ([]Frame, []byte) {
	end := len(f.Data)
	if !f.Owed.None() {
		if f.checkRange() != 0 {
			return fs, buf
		}
		if f.Owed.GSOType != 0 {
			l, e := f.layout()
			if e != 0 {
				return fs, buf
			}
			if l.segments > 1 || l.tunnel.l4 != 0 {
				return f.appendSegments(fs, buf, form, l)
			}
			end = l.end
		}
	}
	g, p := f.finished(form)
	start := len(buf)
	buf = slices.Grow(buf, p.length(end))
	buf = p.append(buf, f.Data[:end])
	g.Data = buf[start:len(buf):len(buf)]
	if !f.Owed.None() {
		at := int(f.Owed.CsumStart) + p.shift
		if form.Checksum {
			g.Owed = Offload{Flags: NeedsCsum, CsumStart: uint16(at), CsumOffset: f.Owed.CsumOffset}
		} else {
			c := Checksum(g.Data[at:], 0)
			if c == 0 {
				c = 0xffff // zero says that there is none (RFC 768); Linux does so with every protocol
			}
			binary.BigEndian.PutUint16(g.Data[at+int(f.Owed.CsumOffset):], c)
		}
	}
	return append(fs, g), buf
}

// OweChecksum has a frame that is to be cut, but whose checksum is filled in and known
// to be right, owe that checksum too, as all that is to be cut does here: what a network
// card joined by itself (LRO) comes like that. It writes the sum over the pseudo header
// to the checksum's place, so Data must be the caller's to write to. Where there is no
// such checksum it changes nothing, and CheckOwed refuses the frame.
func (f *Frame) OweChecksum() {
	o := &f.Owed
	if o.Flags != 0 || !o.GSO() {
		return
	}
	t, ip := f.network()
	if t != TypeIPv4 && t != TypeIPv6 {
		return
	}
	d := f.Data
	var l layout
	proto, e := l.readIP(d, t, ip)
	at := tcpCsum
	if proto == protoUDP {
		at = udpCsum
	}
	if e != 0 || proto != protoTCP && proto != protoUDP || l.l4 > maxHeaders || l.end > len(d) || l.l4+at+2 > l.end {
		return
	}
	addresses := d[ip+12 : ip+ipv4Len]
	if l.v6 {
		addresses = d[ip+8 : ip+ipv6Len]
	}
	binary.BigEndian.PutUint16(d[l.l4+at:], uint16(PseudoSum(addresses, nil, proto, l.end-l.l4)))
	o.Flags, o.CsumStart, o.CsumOffset = NeedsCsum, uint16(l.l4), uint16(at)
}

// A prefix says how the bytes of a frame begin in another form: with the addresses,
// perhaps a tag, then Data from a place behind them.
type prefix struct {
	tag   Tag // put into the data, if present
	from  int // 12, or 16 to leave out a tag
	shift int // what is to be added to an offset in Data
}

// finished is the frame, without its bytes, that f becomes, and how those begin.
func (f *Frame) finished(form Form) (g Frame, p prefix) {
	g = Frame{Tag: f.Tag, Tunnel: f.Tunnel, Time: f.Time, Nexthop: f.Nexthop}
	p.from = f.from()
	p.shift = 12 - p.from
	if form.TagInline && f.Tag.Present() {
		p.tag, g.Tag = f.Tag, Tag{}
		p.shift += TagLen
	}
	return g, p
}

// length is the number of bytes that n bytes of Data become.
func (p *prefix) length(n int) int { return n + p.shift }

// append appends data in the other form.
func (p *prefix) append(buf, data []byte) []byte {
	buf = append(buf, data[:12]...)
	if p.tag.Present() {
		var t [TagLen]byte
		p.tag.Put(t[:])
		buf = append(buf, t[:]...)
	}
	return append(buf, data[p.from:]...)
}

// appendSegments cuts f into segments. The headers of the first serve as the pattern
// of the others.
func (f *Frame) appendSegments(fs []Frame, buf []byte, form Form, l layout) ([]Frame, []byte) {
	g, p := f.finished(form)
	size, payload := int(f.Owed.GSOSize), f.Data[l.payload:l.end]
	header := p.length(l.payload)
	buf = slices.Grow(buf, l.segments*header+len(payload))
	fs = slices.Grow(fs, l.segments)

	first := len(buf)
	buf = p.append(buf, f.Data[:l.payload])
	pattern := buf[first:]
	c := newCutter(pattern, &l, p.shift)
	if form.Checksum {
		g.Owed = Offload{Flags: NeedsCsum, CsumStart: uint16(c.l4), CsumOffset: f.Owed.CsumOffset}
	}
	for i := range l.segments {
		start := first
		if i > 0 {
			start = len(buf)
			buf = append(buf, pattern...)
		}
		part := payload[i*size : min((i+1)*size, len(payload))]
		c.put(buf[start:], i == 0, i == l.segments-1, part, !form.Checksum)
		buf = append(buf, part...)
		g.Data = buf[start:len(buf):len(buf)]
		fs = append(fs, g)
	}
	return fs, buf
}

// Flags in byte 13 of a TCP header (RFC 9293 section 3.1, RFC 3168).
const (
	tcpFIN uint8 = 1 << iota
	tcpSYN
	tcpRST
	tcpPSH
	_ // ACK
	tcpURG
	_ // ECE
	tcpCWR
)

// A cutter writes the headers of one segment after the other. It has summed up once
// what they have in common.
type cutter struct {
	udp         bool
	l4, payload int // where they stand in a segment

	ip     ipWriter
	tunnel tunnelWriter
	seq    uint32
	flags  uint8
	pseudo uint64 // the pseudo header without a length
	l4Sum  uint64 // the transport header without what differs, and pseudo
}

// newCutter reads the headers h, of a whole frame with the given layout, and clears
// in them what is not the same in all segments.
func newCutter(h []byte, l *layout, shift int) cutter {
	c := cutter{udp: l.udp, l4: l.l4 + shift, payload: l.payload + shift}
	csum := c.l4 + tcpCsum
	if c.udp {
		csum = c.l4 + udpCsum
	}
	// The sum that stands there counts the length of the whole: take it out.
	c.pseudo = uint64(binary.BigEndian.Uint16(h[csum:])) + uint64(^uint16(l.end-l.l4))
	clear(h[csum : csum+2])
	if c.udp {
		clear(h[c.l4+4 : c.l4+6])
	} else {
		c.seq, c.flags = binary.BigEndian.Uint32(h[c.l4+4:]), h[c.l4+13]
		clear(h[c.l4+4 : c.l4+8])
		h[c.l4+13] = 0
	}
	c.l4Sum = c.pseudo + sum(h[c.l4:])
	c.ip = newIPWriter(h, l.ip+shift, c.l4, l.v6)
	if l.tunnel.l4 != 0 {
		c.tunnel = newTunnelWriter(h, l, shift)
	}
	return c
}

// put writes to h, a copy of the pattern, what is a segment's own.
func (c *cutter) put(h []byte, first, last bool, payload []byte, check bool) {
	length := c.payload - c.l4 + len(payload)
	c.ip.put(h, c.l4-c.ip.at+length)
	if c.tunnel.l4 != 0 {
		c.putTunnel(h, length)
	}
	l4 := h[c.l4:]
	s := c.l4Sum + uint64(length)
	at := tcpCsum
	if c.udp {
		at = udpCsum
		binary.BigEndian.PutUint16(l4[4:], uint16(length))
		s += uint64(length)
	} else {
		flags := c.flags
		if !first {
			flags &^= tcpCWR
		}
		if !last {
			flags &^= tcpFIN | tcpPSH
		}
		l4[13] = flags
		binary.BigEndian.PutUint32(l4[4:], c.seq)
		s += uint64(flags) + uint64(c.seq)
		c.seq += uint32(len(payload))
	}
	if !check {
		binary.BigEndian.PutUint16(l4[at:], fold(c.pseudo+uint64(length)))
		return
	}
	v := ^fold(s + sum(payload))
	if v == 0 && (c.udp || first && last) {
		v = 0xffff // RFC 768: zero says that there is none; a frame that stays whole never has it
	}
	binary.BigEndian.PutUint16(l4[at:], v)
}

// An ipWriter writes to an IP header what is a segment's own.
type ipWriter struct {
	at  int // where it stands in a segment
	v6  bool
	id  uint16 // IPv4: of the next segment
	sum uint64 // IPv4: the header without length, identification and checksum
}

// newIPWriter reads the header at h[at:end], and clears in it what is not the same in
// all segments.
func newIPWriter(h []byte, at, end int, v6 bool) ipWriter {
	w := ipWriter{at: at, v6: v6}
	ip := h[at:end]
	if v6 {
		clear(ip[4:6])
		return w
	}
	w.id = binary.BigEndian.Uint16(ip[4:])
	clear(ip[2:6])
	clear(ip[10:12])
	w.sum = sum(ip)
	return w
}

// put writes the length of a packet to its header in h, and IPv4's identification and
// checksum.
func (w *ipWriter) put(h []byte, length int) {
	ip := h[w.at:]
	if w.v6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(length-ipv6Len))
		return
	}
	binary.BigEndian.PutUint16(ip[2:], uint16(length))
	binary.BigEndian.PutUint16(ip[4:], w.id)
	binary.BigEndian.PutUint16(ip[10:], ^fold(w.sum+uint64(length)+uint64(w.id)))
	w.id++
}
