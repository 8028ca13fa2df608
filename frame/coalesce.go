package frame

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// maxFlows is how many TCP streams a Coalescer follows at once; a further one
	// takes the place of another.
	maxFlows = 8

	// maxJoined bounds the bytes of the joined frames of one call.
	maxJoined = 256 << 10

	maxIPLen = 65535
)

// A Coalescer joins TCP segments that follow one another into frames that owe their
// segmentation, as Linux's GRO does (tcp_gro_receive, inet_gro_receive): for a cable
// that takes such frames, one large write instead of many small ones. The zero
// Coalescer is ready. It is used by one goroutine at a time, and keeps scratch
// memory: at most 256 KB of bytes, and about 90 for each frame of the longest batch.
//
// Joined are segments of IPv4 without options and of IPv6 without extension headers,
// behind up to two tags in the data, of one stream (addresses, ports) and alike in all
// that is not a segment's own: Ethernet addresses, tags on the wire, Tunnel, Nexthop,
// TOS and TTL, DF (traffic class, flow label and hop limit), acknowledgement, window,
// flags, urgent pointer, options. Their sequence numbers follow one another. So do
// IPv4's identifications, or with DF they stay the same: RFC 6864 gives them no meaning then,
// and they go up by one when the frame is cut again. (Linux 6.18 joins the same
// identifications without DF too; it can say so to itself, a virtio_net_hdr cannot.)
// All payloads are of one length, the last may be shorter. FIN and PSH end a joined
// frame; SYN, RST, URG, CWR, no payload at all, fragments and padding are never
// joined. IPv4's header checksum must be right, and so must TCP's, or for a frame that
// still owes it the sum over the pseudo header. What is not joined passes as it is,
// with its own bytes; so do frames that owe a segmentation already, and UDP: Linux
// joins datagrams only for a receiver that asks for it.
//
// A joined frame stands where its first segment stood. Within a stream the order is
// kept: whatever cannot be joined ends the frame that its stream is being joined to.
type Coalescer struct {
	// MaxFrame is the longest wire form of a joined frame, in bytes; 0 is no limit
	// but IP's 65535 bytes.
	MaxFrame int

	flows   [maxFlows]flow
	used    int // flows[used:] were not needed yet
	next    int // the flow whose place is taken when all are
	segs    []segment
	out     []Frame
	weights []uint16
	buf     []byte
	want    int // bytes that the joined frames will take
}

// A segment is what is known about one frame of a batch. Offsets count in its Data.
type segment struct {
	key             uint64 // of its stream; two may share one
	ip, l4, payload uint16
	v6              bool
	fits            bool  // it may be joined, as far as its own headers say
	joined          bool  // it is part of an earlier frame
	follower        int32 // the segment joined behind it; 0 is none
}

// A flow is a frame that is being joined.
type flow struct {
	n        int // segments so far; 0: no flow
	key      uint64
	head     int // number of the first segment, and of the last
	tail     int
	size     int // payload of each but the last
	ipLen    int // of the joined frame, and its wire form's length
	wireLen  int
	seq      uint32 // that the next segment is to bear
	id       uint16 // of the last segment
	sameID   bool   // all segments have the same
	verified bool   // the first segment's checksums are right
}

// Coalesce gives the well-formed frames fs with joined segments, and for each of the
// result how many of fs it stands for. Both slices, and the bytes of joined frames,
// are valid until the next call of Coalesce or Release; where nothing is joined the
// result is fs itself. fs and its bytes stay as they are.
func (c *Coalescer) Coalesce(fs []Frame) (out []Frame, weights []uint16) {
	c.want, c.used, c.next = 0, 0, 0
	c.segs = slices.Grow(c.segs[:0], len(fs))[:len(fs)]
	c.weights = slices.Grow(c.weights[:0], len(fs))[:len(fs)]
	joined := 0
	for i := range fs {
		c.weights[i] = 1
		s := &c.segs[i]
		s.joined, s.follower = false, 0
		switch s.read(&fs[i]) {
		case notTCP:
		case oddTCP:
			c.used = 0 // it may belong to any of them
		case someTCP:
			if c.follow(fs, i) {
				joined++
			}
		}
	}
	if joined == 0 {
		return fs, c.weights
	}
	c.out = slices.Grow(c.out[:0], len(fs)-joined)
	c.buf = slices.Grow(c.buf[:0], c.want)
	for i := range fs {
		switch s := &c.segs[i]; {
		case s.joined:
		case s.follower == 0:
			c.weights[len(c.out)] = 1
			c.out = append(c.out, fs[i])
		default:
			f, n := c.join(fs, i)
			c.weights[len(c.out)] = uint16(n)
			c.out = append(c.out, f)
		}
	}
	return c.out, c.weights[:len(c.out)]
}

// Release lets go of the frames of the last result, and keeps the scratch memory.
func (c *Coalescer) Release() {
	clear(c.out[:cap(c.out)])
	c.out = c.out[:0]
}

// What a frame is to a Coalescer.
type kind uint8

const (
	notTCP  kind = iota
	oddTCP       // perhaps TCP, of a stream that cannot be told
	someTCP      // TCP of a known stream
)

// read finds the headers of a frame.
func (s *segment) read(f *Frame) kind {
	d := f.Data
	t, ip := f.network()
	end := ip
	switch t {
	case TypeIPv4:
		if len(d) < ip+ipv4Len || d[ip+9] != protoTCP {
			return notTCP
		}
		if len(d) < ip+ipv4Len+tcpLen || d[ip] != 0x45 || binary.BigEndian.Uint16(d[ip+6:])&0x3fff != 0 {
			return oddTCP
		}
		end += int(binary.BigEndian.Uint16(d[ip+2:]))
		s.v6, s.l4 = false, uint16(ip+ipv4Len)
		s.key = binary.NativeEndian.Uint64(d[ip+12:])
	case TypeIPv6:
		if len(d) < ip+ipv6Len {
			return notTCP
		}
		switch d[ip+6] {
		case protoTCP:
		case protoHopByHop, protoRouting, protoFragment, protoAuth, protoDstOpts:
			return oddTCP
		default:
			return notTCP
		}
		if len(d) < ip+ipv6Len+tcpLen || d[ip]>>4 != 6 {
			return oddTCP
		}
		end += ipv6Len + int(binary.BigEndian.Uint16(d[ip+4:]))
		s.v6, s.l4 = true, uint16(ip+ipv6Len)
		s.key = binary.NativeEndian.Uint64(d[ip+8:]) + 3*binary.NativeEndian.Uint64(d[ip+16:]) +
			5*binary.NativeEndian.Uint64(d[ip+24:]) + 7*binary.NativeEndian.Uint64(d[ip+32:])
	default:
		return notTCP
	}
	tcp := d[s.l4:]
	s.key ^= bits.RotateLeft64(uint64(binary.NativeEndian.Uint32(tcp)), 29)
	s.ip, s.payload = uint16(ip), s.l4+uint16(tcp[12]>>4)*4
	o := &f.Owed
	s.fits = end == len(d) && s.payload >= s.l4+tcpLen && int(s.payload) < end && tcp[13]&(tcpSYN|tcpRST|tcpURG|tcpCWR) == 0 &&
		(o.None() || o.Flags == NeedsCsum && o.GSOType == 0 && o.CsumStart == s.l4 && o.CsumOffset == tcpCsum)
	return someTCP
}

// follow joins fs[i] to the open frame of its stream, or ends that and opens one of
// its own. It reports whether fs[i] was joined.
func (c *Coalescer) follow(fs []Frame, i int) bool {
	s := &c.segs[i]
	at := -1
	for k := range c.flows[:c.used] {
		if w := &c.flows[k]; w.n != 0 && w.key == s.key {
			at = k
			break
		}
	}
	if at >= 0 {
		w := &c.flows[at]
		if s.fits && c.continues(w, fs, i) {
			if !s.right(&fs[i]) { // then it begins nothing either
				w.n = 0
				return false
			}
			c.add(w, fs, i)
			return true
		}
		w.n = 0
	}
	if s.fits && fs[i].Data[s.l4+13]&(tcpFIN|tcpPSH) == 0 {
		c.open(at, fs, i)
	}
	return false
}

// open begins a flow with fs[i], in place at, or if that is -1 in a free one.
func (c *Coalescer) open(at int, fs []Frame, i int) {
	for k := 0; k < c.used && at < 0; k++ {
		if c.flows[k].n == 0 {
			at = k
		}
	}
	switch {
	case at >= 0:
	case c.used < maxFlows:
		at = c.used
		c.used++
	default:
		at = c.next
		c.next = (c.next + 1) % maxFlows
	}
	f, s := &fs[i], &c.segs[i]
	size := len(f.Data) - int(s.payload)
	c.flows[at] = flow{
		n: 1, key: s.key, head: i, tail: i, size: size,
		ipLen: len(f.Data) - int(s.ip), wireLen: f.WireLen(),
		seq: binary.BigEndian.Uint32(f.Data[s.l4+4:]) + uint32(size),
		id:  binary.BigEndian.Uint16(f.Data[s.ip+4:]), // means nothing with IPv6
	}
}

// continues says whether fs[i] can be joined to w, its own checksums aside.
func (c *Coalescer) continues(w *flow, fs []Frame, i int) bool {
	s, head, f, first := &c.segs[i], &c.segs[w.head], &fs[i], &fs[w.head]
	n := len(f.Data) - int(s.payload)
	more := n
	if w.n == 1 {
		more += w.wireLen
	}
	switch {
	case n > w.size || binary.BigEndian.Uint32(f.Data[s.l4+4:]) != w.seq:
		return false
	case w.ipLen+n > maxIPLen || c.MaxFrame != 0 && w.wireLen+n > c.MaxFrame:
		return false
	case c.want+more > maxJoined || !affordable(w.n+1, int(head.payload)+TagLen, w.n*w.size+n):
		return false
	case !alike(f, s, first, head) || !s.v6 && !w.numbered(f.Data[s.ip:]):
		return false
	}
	w.verified = w.verified || head.right(first)
	return w.verified
}

// numbered says whether an IPv4 header's identification is that of w's next segment.
func (w *flow) numbered(ip []byte) bool {
	const dontFragment = 0x40
	step := binary.BigEndian.Uint16(ip[4:]) - w.id
	if w.n == 1 {
		return step == 1 || step == 0 && ip[6]&dontFragment != 0
	}
	return step == 1 && !w.sameID || step == 0 && w.sameID
}

// alike says whether two segments differ at most in what is a segment's own: the
// wire forms up to the IP header, then the headers themselves, are compared.
func alike(f *Frame, s *segment, g *Frame, t *segment) bool {
	a, b := f.Data, g.Data
	if s.v6 != t.v6 || f.Tag != g.Tag || f.Tunnel != g.Tunnel || f.Nexthop != g.Nexthop || [12]byte(a) != [12]byte(b) ||
		!bytes.Equal(a[f.from():s.ip], b[g.from():t.ip]) {
		return false
	}
	x, y := a[s.ip:], b[t.ip:]
	if s.v6 { // version, class, label; then hop limit and addresses
		if [4]byte(x) != [4]byte(y) || [33]byte(x[7:]) != [33]byte(y[7:]) {
			return false
		}
	} else if x[1] != y[1] || [3]byte(x[6:]) != [3]byte(y[6:]) || [8]byte(x[12:]) != [8]byte(y[12:]) {
		return false // TOS, DF, TTL, addresses
	}
	const mayDiffer = uint64(tcpFIN|tcpPSH) << 16 // where it stands in bytes 8 to 15
	x, y = a[s.l4:s.payload], b[t.l4:t.payload]
	return len(x) == len(y) && [4]byte(x) == [4]byte(y) && // ports
		(binary.BigEndian.Uint64(x[8:])^binary.BigEndian.Uint64(y[8:]))&^mayDiffer == 0 && // acknowledgement to window
		bytes.Equal(x[18:], y[18:]) // urgent pointer, options
}

// right says whether a segment's checksums are, as far as it has them.
func (s *segment) right(f *Frame) bool {
	d := f.Data
	if !s.v6 && sum(d[s.ip:s.l4]) != 0xffff {
		return false
	}
	if f.Owed.None() {
		return fold(s.pseudo(d, len(d))) == 0xffff
	}
	return binary.BigEndian.Uint16(d[s.l4+tcpCsum:]) == fold(s.pseudo(d, int(s.l4)))
}

// pseudo is the sum over the pseudo header of d, which ends with the packet, and over
// what stands in front of end: the TCP header follows right behind the addresses.
func (s *segment) pseudo(d []byte, end int) uint64 {
	from := s.ip + 12
	if s.v6 {
		from = s.ip + 8
	}
	return sum(d[from:end]) + protoTCP + uint64(len(d)-int(s.l4))
}

// add joins fs[i] to w.
func (c *Coalescer) add(w *flow, fs []Frame, i int) {
	s, d := &c.segs[i], fs[i].Data
	n := len(d) - int(s.payload)
	if !s.v6 {
		id := binary.BigEndian.Uint16(d[s.ip+4:])
		w.id, w.sameID = id, id == w.id
	}
	c.want += n
	if w.n == 1 {
		c.want += w.wireLen
	}
	c.segs[w.tail].follower, w.tail = int32(i), i
	s.joined = true
	w.n++
	w.ipLen, w.wireLen, w.seq = w.ipLen+n, w.wireLen+n, w.seq+uint32(n)
	if n < w.size || d[s.l4+13]&(tcpFIN|tcpPSH) != 0 {
		w.n = 0
	}
}

// join puts a joined frame together that begins with fs[i], and says of how many.
func (c *Coalescer) join(fs []Frame, i int) (f Frame, n int) {
	first, s := &fs[i], c.segs[i]
	f, p := first.finished(Form{})
	start := len(c.buf)
	c.buf = p.append(c.buf, first.Data)
	var flags uint8
	n = 1
	for k := s.follower; k != 0; k = c.segs[k].follower {
		t, d := &c.segs[k], fs[k].Data
		c.buf = append(c.buf, d[t.payload:]...)
		flags |= d[t.l4+13]
		n++
	}
	f.Data = c.buf[start:len(c.buf):len(c.buf)]
	f.Owed = Offload{
		Flags: NeedsCsum, GSOType: GSOTCPv4, GSOSize: uint16(len(first.Data) - int(s.payload)),
		CsumOffset: tcpCsum,
	}
	s.move(p.shift)
	f.Owed.HdrLen, f.Owed.CsumStart = s.payload, s.l4

	ip, tcp := f.Data[s.ip:], f.Data[s.l4:]
	if s.v6 {
		f.Owed.GSOType = GSOTCPv6
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-ipv6Len))
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		clear(ip[10:12])
		binary.BigEndian.PutUint16(ip[10:], Checksum(ip[:ipv4Len], 0))
	}
	tcp[13] |= flags & (tcpFIN | tcpPSH)
	binary.BigEndian.PutUint16(tcp[tcpCsum:], fold(s.pseudo(f.Data, int(s.l4))))
	return f, n
}

// move changes the offsets to those of a Data that begins in another form.
func (s *segment) move(by int) {
	s.ip, s.l4, s.payload = uint16(int(s.ip)+by), uint16(int(s.l4)+by), uint16(int(s.payload)+by)
}
