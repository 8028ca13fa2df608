package frame

import "encoding/binary"

// Tunnelled reports whether what f owes is a segmentation inside of a tunnel (VXLAN,
// GRE and others): the sum does not begin where the outer IP header ends. That is how
// a packet socket gives what a container sends through one. The other way a
// virtio_net_hdr has no word for it, and Linux 6.18 refuses it: no cable takes such a
// frame, and it is always to be cut (AppendFinished). The answer means something for
// frames that passed CheckOwed; it costs a look at the outer IP header.
func (f *Frame) Tunnelled() bool {
	if !f.Owed.GSO() {
		return false
	}
	var l layout
	t, at := f.network()
	_, e := l.readIP(f.Data, t, at)
	return e == 0 && int(f.Owed.CsumStart) != l.l4
}

// A tunnel says where the outer headers stand of a frame with a packet in a packet.
type tunnel struct {
	ip, l4  int // l4 is 0 if there is no tunnel
	v6, udp bool
}

// Of a GRE header (RFC 2784, RFC 2890): its length without options, and the bit which
// says that a key of four bytes follows. The other bits are those of a checksum and a
// sequence number, of which each segment would need its own, of versions, and reserved.
const (
	greLen = 4
	greKey = 0x2000
)

// enter goes on from the IP header that was read, which carries proto, to the packet
// inside of the tunnel: of kind w, its transport header at l4, which is within d. The
// inner IP header is looked for backwards from there.
func (l *layout) enter(d []byte, proto uint8, l4 int, w packetKind) OffloadError {
	if l4 < l.l4+ipv4Len || (l4-l.l4)%2 != 0 {
		return OffloadProtocol
	}
	from := l.l4 // the inner IP header begins here or further behind
	v4, v6 := w.ip != TypeIPv6, w.ip != TypeIPv4
	switch proto {
	case protoUDP:
		if int(binary.BigEndian.Uint16(d[l.l4+4:])) != l.end-l.l4 {
			return OffloadLength
		}
		from += udpLen
	case protoGRE:
		switch binary.BigEndian.Uint16(d[l.l4:]) {
		case 0:
			from += greLen
		case greKey:
			from += greLen + 4
		default:
			return OffloadProtocol
		}
	case protoIPv4:
		v4, v6 = v4 && l4 == from+ipv4Len, false
	case protoIPv6:
		v4, v6 = false, v6 && l4 == from+ipv6Len
	default:
		return OffloadProtocol
	}
	l.tunnel = tunnel{ip: l.ip, l4: l.l4, v6: l.v6, udp: proto == protoUDP}
	l.l4 = l4
	switch {
	case v4 && l.innerIPv4(d, from, w.proto):
		l.ip, l.v6 = l4-ipv4Len, false
	case v6 && l.innerIPv6(d, from, w.proto):
		l.ip, l.v6 = l4-ipv6Len, true
	default:
		return OffloadProtocol
	}
	return 0
}

// innerIPv4 says whether an IPv4 header stands in front of the transport header, at
// from or further behind, of a packet that ends with the outer one.
func (l *layout) innerIPv4(d []byte, from int, proto uint8) bool {
	at := l.l4 - ipv4Len
	if at < from {
		return false
	}
	h := d[at:l.l4]
	return h[0] == 0x45 && h[9] == proto && binary.BigEndian.Uint16(h[6:])&0x3fff == 0 &&
		int(binary.BigEndian.Uint16(h[2:])) == l.end-at
}

// innerIPv6 says the same of an IPv6 header.
func (l *layout) innerIPv6(d []byte, from int, proto uint8) bool {
	at := l.l4 - ipv6Len
	if at < from {
		return false
	}
	h := d[at:l.l4]
	return h[0]>>4 == 6 && h[6] == proto && int(binary.BigEndian.Uint16(h[4:])) == l.end-l.l4
}

// A tunnelWriter writes to the outer headers what is a segment's own.
type tunnelWriter struct {
	ip    ipWriter
	l4    int // where it stands in a segment; 0 if there is no tunnel
	udp   bool
	check bool   // UDP has a checksum
	sum   uint64 // all between the two pseudo headers, the outer included, without what differs
}

// newTunnelWriter reads the headers h, and clears in them what is not the same in all
// segments. In the inner IP header that is done.
func newTunnelWriter(h []byte, l *layout, shift int) tunnelWriter {
	w := tunnelWriter{l4: l.tunnel.l4 + shift, udp: l.tunnel.udp}
	w.ip = newIPWriter(h, l.tunnel.ip+shift, w.l4, l.tunnel.v6)
	if !w.udp {
		return w
	}
	u := h[w.l4:]
	pseudo := binary.BigEndian.Uint16(u[udpCsum:])
	w.check = pseudo != 0
	clear(u[4:udpLen])
	// An inner IPv4 header holds its own checksum, and adds nothing.
	end := l.ip + shift
	if l.v6 {
		end = l.l4 + shift
	}
	w.sum = uint64(pseudo) + uint64(^uint16(l.end-l.tunnel.l4)) + sum(h[w.l4:end])
	return w
}

// putTunnel writes the outer headers around an inner transport header and payload of
// so many bytes. What those two add to the outer checksum is the inner pseudo header's
// complement, whatever they hold, once the inner checksum stands: no byte of the
// payload has to be summed up for it.
func (c *cutter) putTunnel(h []byte, length int) {
	w := &c.tunnel
	whole := c.l4 - w.l4 + length
	w.ip.put(h, w.l4-w.ip.at+whole)
	if !w.udp {
		return
	}
	u := h[w.l4:]
	binary.BigEndian.PutUint16(u[4:], uint16(whole))
	if !w.check {
		return
	}
	s := w.sum + 2*uint64(whole) + uint64(^fold(c.pseudo+uint64(length)))
	if c.ip.v6 {
		s += uint64(length) // which its header says
	}
	v := ^fold(s)
	if v == 0 {
		v = 0xffff
	}
	binary.BigEndian.PutUint16(u[udpCsum:], v)
}
