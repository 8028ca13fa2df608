package frame

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// What Offload.Flags and Offload.GSOType say, with the numbers of a virtio_net_hdr
// (virtio 1.2, section 5.1.6).
const (
	NeedsCsum uint8 = 1 // Flags: the checksum at CsumStart + CsumOffset is owed

	GSOTCPv4 uint8 = 1    // TCP over IPv4
	GSOTCPv6 uint8 = 4    // TCP over IPv6
	GSOUDP   uint8 = 5    // UDP, a datagram a segment (UDP_L4, USO)
	GSOECN   uint8 = 0x80 // a bit besides TCP's: the first segment bears CWR, the others do not
)

// Offload is what a frame still owes: a checksum, a segmentation, or nothing if
// zero. The fields are those of a virtio_net_hdr; offsets count in Frame.Data.
type Offload struct {
	Flags      uint8  // 0 or NeedsCsum
	GSOType    uint8  // 0: not to be cut; GSOTCPv4, GSOTCPv6, with or without GSOECN, or GSOUDP
	HdrLen     uint16 // bytes of headers, a hint; 0 is unknown
	GSOSize    uint16 // payload bytes a segment
	CsumStart  uint16 // where the sum begins: at the TCP or UDP header
	CsumOffset uint16 // where it goes, counted from CsumStart; the sum over the pseudo header stands there
}

// None reports that nothing is owed: the frame is complete. The lengths and
// offsets are hints then, and mean nothing.
func (o Offload) None() bool { return o.Flags|o.GSOType == 0 }

// GSO reports that the frame is to be cut into segments.
func (o Offload) GSO() bool { return o.GSOType&^GSOECN != 0 }

// ErrBadOffload is what every error of CheckOwed matches.
var ErrBadOffload = errors.New("frame: bad offload")

// An OffloadError is why CheckOwed refuses a frame. It matches ErrBadOffload, and
// making one allocates nothing.
type OffloadError uint8

// The ways in which what a frame owes can be untrue of its bytes.
const (
	OffloadFlags    OffloadError = iota + 1 // flags other than NeedsCsum, or a segmentation without it
	OffloadRange                            // the sum begins in the Ethernet header, or ends outside of the frame
	OffloadHdrLen                           // HdrLen is within the Ethernet header or outside of the frame
	OffloadType                             // no such segmentation
	OffloadHeaders                          // headers cut short, impossible, or longer than 512 bytes in all
	OffloadProtocol                         // other headers than GSOType says, or not where CsumStart says
	OffloadFragment                         // a fragment of a packet cannot be cut
	OffloadLength                           // the IP or UDP length is not that of the bytes
	OffloadSegments                         // a segment size of 0 or 65535, no payload, or too many segments
)

var offloadTexts = [...]string{
	OffloadFlags:    "flags that are not those of a checksum owed",
	OffloadRange:    "the checksum is not within the frame",
	OffloadHdrLen:   "the header length is not within the frame",
	OffloadType:     "unknown kind of segmentation",
	OffloadHeaders:  "broken headers",
	OffloadProtocol: "headers of another protocol than is to be cut",
	OffloadFragment: "a fragment is to be cut",
	OffloadLength:   "the packet's length is not that of its bytes",
	OffloadSegments: "a segment size that cannot be",
}

// Error says what is wrong.
func (e OffloadError) Error() string {
	text := "unknown reason"
	if int(e) < len(offloadTexts) && e != 0 {
		text = offloadTexts[e]
	}
	return ErrBadOffload.Error() + ": " + text
}

// Unwrap is ErrBadOffload.
func (e OffloadError) Unwrap() error { return ErrBadOffload }

// Bounds on what a frame that owes its segmentation can ask for.
const (
	maxHeaders = 512 // bytes in front of the payload

	// What the segments of one frame may take in memory beside the payload, headers
	// and a Frame each, is maxOverhead times the payload, if they are more than
	// fewSegments, as many as Linux makes of a datagram (UDP_MAX_SEGMENTS). TCP of
	// IPv6 with all its options stays below, in segments of 48 bytes even, the
	// smallest that Linux sends (TCP_MIN_SND_MSS).
	maxOverhead = 4
	fewSegments = 128
)

// CheckOwed holds what a frame owes against its bytes; a guest may have written
// both. It is to be called once, where a frame comes in, on a well-formed frame. A
// frame that owes nothing passes. The error is an OffloadError.
//
// A frame that owes a checksum alone needs a place for it behind the Ethernet
// header, nothing more (as in skb_partial_csum_set): what is summed is the sender's
// affair. It must also hold with two more tags in front: offsets stay below 65528.
//
// A frame that owes a segmentation has a whole chain of headers, of 512 bytes at
// most: up to two more tags (0x8100, 0x88a8) in the data, behind one that is lifted
// or held aside; IPv4 with or without options, or IPv6 with hop-by-hop, routing and
// destination options; no fragment; then, where the sum begins, the TCP or UDP
// header. The IP length covers headers and at least one byte of payload, and lies
// within the data; bytes behind it are padding, for a receiver as for AppendFinished
// (Linux, which does not look, would take them for payload). The UDP length is the
// packet's. Segments are of 1 to 65534 bytes (65535 is GSO_BY_FRAGS to Linux); if they
// are more than 128, their headers and Frames take at most four times the memory of
// the payload.
//
// If the sum begins further behind, the packet is in a tunnel (Tunnelled): behind the
// first IP header come UDP, to any port (VXLAN, Geneve, FOU and others), GRE without
// checksum and sequence number, or, without more ado, IPv4 (protocol 4) or IPv6 (41).
// The packet inside, no fragment either, has an IP header without options or extension
// headers, which ends where the sum begins; it ends where the outer packet does, by the
// lengths of both, and of the outer UDP. What stands in front of it is the tunnel's own,
// of an even length, and is not read: the headers of a second tunnel in there would stay
// as they are.
func (f *Frame) CheckOwed() error {
	if f.Owed.None() {
		return nil
	}
	e := f.checkRange()
	if e == 0 && f.Owed.GSOType != 0 {
		_, e = f.layout()
	}
	if e != 0 {
		return e
	}
	return nil
}

// checkRange holds the flags, offsets and lengths of what f owes against its
// length. It gives 0 if all is well.
func (f *Frame) checkRange() OffloadError {
	o := &f.Owed
	const most = 0xffff - 2*TagLen
	header := f.from() + 2
	end := int(o.CsumStart) + int(o.CsumOffset) + 2
	switch {
	case o.Flags != NeedsCsum:
		return OffloadFlags // to be cut is to owe a checksum too
	case int(o.CsumStart) < header || end > min(len(f.Data), most):
		return OffloadRange
	case o.HdrLen != 0 && (int(o.HdrLen) < header || int(o.HdrLen) > min(len(f.Data), most)):
		return OffloadHdrLen
	}
	return 0
}

// A layout says where in Data the headers stand of a frame that is to be cut.
type layout struct {
	ip, l4, payload int
	end             int // of the payload; padding follows
	segments        int
	v6, udp         bool
	tunnel          tunnel
}

// Numbers of IP protocols, which are IPv6's extension headers too.
const (
	protoHopByHop = 0
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAuth     = 51
	protoDstOpts  = 60
)

// Lengths of headers, and where in them the checksum stands.
const (
	ipv4Len, ipv6Len, tcpLen, udpLen = 20, 40, 20, 8

	tcpCsum, udpCsum = 16, 6
)

// layout reads the headers of a frame that owes its segmentation and that
// checkRange passed. Every byte that matters to it is read once, so that whoever
// goes by it stays in bounds even if somebody else writes to the frame.
func (f *Frame) layout() (l layout, e OffloadError) {
	o := &f.Owed
	w := packetKind{TypeIPv4, protoTCP}
	csum := tcpCsum
	switch o.GSOType {
	case GSOTCPv4, GSOTCPv4 | GSOECN:
	case GSOTCPv6, GSOTCPv6 | GSOECN:
		w.ip = TypeIPv6
	case GSOUDP:
		w, csum, l.udp = packetKind{0, protoUDP}, udpCsum, true
	default:
		return l, OffloadType
	}
	d := f.Data
	t, at := f.network()
	proto, e := l.readIP(d, t, at)
	switch {
	case e != 0:
		return l, e
	case int(o.CsumOffset) != csum:
		return l, OffloadProtocol
	case int(o.CsumStart) != l.l4:
		if e = l.enter(d, proto, int(o.CsumStart), w); e != 0 {
			return l, e
		}
	case proto != w.proto || w.ip != 0 && t != w.ip:
		return l, OffloadProtocol
	}
	return l, l.readTransport(d, int(o.GSOSize))
}

// A packetKind is what a packet that is to be cut has to be.
type packetKind struct {
	ip    EtherType // 0: either
	proto uint8
}

// network gives the EtherType behind all tags (at most two more than the one that
// Tag holds or Lifted leaves out) and where what follows it begins. It gives the
// last tag's TPID if there are more, or if the frame ends there.
func (f *Frame) network() (t EtherType, at int) {
	at = f.from()
	t = EtherType(binary.BigEndian.Uint16(f.Data[at:]))
	for range 2 {
		if !t.IsTag() || len(f.Data) < at+TagLen+2 {
			break
		}
		at += TagLen
		t = EtherType(binary.BigEndian.Uint16(f.Data[at:]))
	}
	return t, at + 2
}

// from is where in Data what follows the addresses begins, a lifted tag aside.
func (f *Frame) from() int {
	if f.Lifted {
		return 12 + TagLen
	}
	return 12
}

// readIP finds the end of the packet and what its IP header carries, for the EtherType
// in front of it.
func (l *layout) readIP(d []byte, t EtherType, at int) (proto uint8, e OffloadError) {
	l.ip = at
	switch t {
	case TypeIPv4:
		return l.readIPv4(d)
	case TypeIPv6:
		l.v6 = true
		return l.readIPv6(d)
	}
	return 0, OffloadProtocol
}

// readIPv4 finds the end of the packet and the transport header.
func (l *layout) readIPv4(d []byte) (proto uint8, e OffloadError) {
	if len(d) < l.ip+ipv4Len {
		return 0, OffloadHeaders
	}
	h := d[l.ip:]
	first := h[0]
	words := int(first & 15)
	if first>>4 != 4 || words < 5 {
		return 0, OffloadHeaders
	}
	if binary.BigEndian.Uint16(h[6:])&0x3fff != 0 { // more fragments, or an offset
		return 0, OffloadFragment
	}
	l.l4 = l.ip + 4*words
	l.end = l.ip + int(binary.BigEndian.Uint16(h[2:]))
	return h[9], 0
}

// readIPv6 does the same, through the extension headers that Linux goes through
// (ipv6_gso_pull_exthdrs).
func (l *layout) readIPv6(d []byte) (proto uint8, e OffloadError) {
	if len(d) < l.ip+ipv6Len || d[l.ip]>>4 != 6 {
		return 0, OffloadHeaders
	}
	proto = d[l.ip+6]
	l.l4 = l.ip + ipv6Len
	l.end = l.l4 + int(binary.BigEndian.Uint16(d[l.ip+4:]))
	for proto == protoHopByHop || proto == protoRouting || proto == protoDstOpts {
		if l.l4+8 > min(len(d), maxHeaders) {
			return 0, OffloadHeaders
		}
		h := d[l.l4:]
		proto = h[0]
		l.l4 += 8 + 8*int(h[1])
	}
	if proto == protoFragment {
		return 0, OffloadFragment
	}
	return proto, 0
}

// readTransport finds the payload, and how many segments of size it makes.
func (l *layout) readTransport(d []byte, size int) OffloadError {
	header := tcpLen
	if l.udp {
		header = udpLen
	}
	if l.l4+header > len(d) {
		return OffloadHeaders
	}
	if !l.udp {
		if header = int(d[l.l4+12]>>4) * 4; header < tcpLen {
			return OffloadHeaders
		}
	}
	l.payload = l.l4 + header
	switch {
	case l.payload > maxHeaders:
		return OffloadHeaders
	case l.end > len(d) || l.end < l.payload:
		return OffloadLength
	case l.udp && int(binary.BigEndian.Uint16(d[l.l4+4:])) != l.end-l.l4:
		return OffloadLength
	case l.end == l.payload || size == 0 || size == 0xffff:
		return OffloadSegments
	}
	l.segments = (l.end - l.payload + size - 1) / size
	if !affordable(l.segments, l.payload, l.end-l.payload) {
		return OffloadSegments
	}
	return 0
}

// affordable holds the memory that segments take, beside their payload, against
// what one frame may ask for.
func affordable(segments, header, payload int) bool {
	return segments <= fewSegments || segments*(header+int(unsafe.Sizeof(Frame{}))) <= maxOverhead*payload
}
