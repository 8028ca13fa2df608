package frame_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

const ipv4InIP, ipv6InIP, gre = 4, 41, 47

// A tunnelShape is a kind of tunnel: an outer IP header, and what stands between that
// and the packet inside.
type tunnelShape struct {
	name  string
	outer packet // v6, proto, options, ext, df and id are those of the outer header
	udp   []byte // the outer UDP header; length and checksum are filled in, this if it is not 0
	head  []byte
	ether bool // inside are Ethernet frames
}

// vxlanUDP is an outer UDP header, with a checksum or without.
func vxlanUDP(sum int) []byte { return hex(50000, 4789, 0, sum) }

var (
	vxlanHead  = hex(0x0800, 0, 0, 0x0100)
	geneveHead = hex(0x0200, 0x6558, 0, 0x0100, 0x0102, 0x8001, 0xdead, 0xbeef) // with an option of four bytes

	tunnels = []tunnelShape{
		{"VXLAN", packet{proto: udp}, vxlanUDP(0), vxlanHead, true},
		{"VXLAN with checksum", packet{proto: udp, df: true}, vxlanUDP(1), vxlanHead, true},
		{"VXLAN behind options", packet{proto: udp, options: []byte{0x94, 4, 0, 0}}, vxlanUDP(1), vxlanHead, true},
		{"VXLAN over IPv6", packet{v6: true, proto: udp}, vxlanUDP(1), vxlanHead, true},
		{"VXLAN over IPv6 without checksum", packet{v6: true, proto: udp, ext: extensions[:1]}, vxlanUDP(0), vxlanHead, true},
		{"Geneve with an option", packet{proto: udp}, hex(50000, 6081, 0, 1), geneveHead, true},
		{"FOU", packet{proto: udp}, hex(50000, 5555, 0, 1), nil, false},
		{"FOU over IPv6", packet{v6: true, proto: udp, ext: extensions}, hex(50000, 5555, 0, 1), nil, false},
		{"GRE of Ethernet", packet{proto: gre, df: true}, nil, hex(0, 0x6558), true},
		{"GRE of Ethernet, with a key", packet{v6: true, proto: gre, ext: [][]byte{{60, 0, 4, 1, 4, 1, 1, 0}}}, nil, hex(0x2000, 0x6558, 0, 7), true},
		{"GRE", packet{proto: gre}, nil, hex(0, 0x0800), false},
		{"IPv4 in IPv4", packet{proto: ipv4InIP}, nil, nil, false},
		{"IPv4 in IPv6", packet{v6: true, proto: ipv4InIP}, nil, nil, false},
		{"IPv6 in IPv4", packet{proto: ipv6InIP, options: []byte{1, 1, 1, 0}}, nil, nil, false},
		{"IPv6 in IPv6", packet{v6: true, proto: ipv6InIP}, nil, nil, false},
	}
)

// inside is what the tunnel can carry: packets without options and extension headers.
func (tn *tunnelShape) inside() (all []shape) {
	for _, sh := range shapes {
		if sh.options == nil && sh.ext == nil && (tn.outer.proto != ipv4InIP || !sh.v6) && (tn.outer.proto != ipv6InIP || sh.v6) {
			all = append(all, sh)
		}
	}
	return all
}

// around is a frame, in wire form and without tags, that carries the given one (its
// packet alone, if no Ethernet is inside), as the i-th segment.
func (tn *tunnelShape) around(inner []byte, i int) []byte {
	l4 := slices.Concat(tn.udp, tn.head, inner)
	w := slices.Concat(addrs, []byte{0x08, 0x00}, tn.outer.ipv4(len(l4)), l4)
	if tn.outer.v6 {
		w = slices.Concat(addrs, []byte{0x86, 0xdd}, tn.outer.ipv6(len(l4)), l4)
	}
	fixOuter(w, i)
	return w
}

// fixOuter makes lengths, identification and checksums of the outer headers those of
// the i-th segment. An outer UDP checksum of 0 stays.
func fixOuter(w []byte, i int) {
	at := 12
	for frame.EtherType(binary.BigEndian.Uint16(w[at:])).IsTag() {
		at += 4
	}
	ip := w[at+2:]
	if ip[0]>>4 == 6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(i))
		clear(ip[10:12])
		binary.BigEndian.PutUint16(ip[10:], ^slowSum(ip[:int(ip[0]&15)*4], 0))
	}
	c, err := checkIP(w)
	if err != nil {
		panic(err)
	}
	if c.proto != udp {
		return
	}
	u := w[c.l4:]
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	if u[6]|u[7] != 0 {
		fix(w)
	}
}

// build makes a frame of a packet in the tunnel, which owes its inner transport
// checksum, and its segmentation if size is not 0: then it has the sum over the outer
// pseudo header in place of an outer checksum.
func (tn *tunnelShape) build(p packet, size int, tags tagging) frame.Frame {
	f := p.build(size)
	skip := 0
	if !tn.ether {
		skip = 14
	}
	whole := slices.Clone(f.Data)
	fix(whole)
	w := tn.around(whole[skip:], 0)
	shift := len(w) - len(f.Data)
	copy(w[len(w)-len(f.Data)+skip:], f.Data[skip:])
	if c, err := checkIP(w); err != nil {
		panic(err)
	} else if size != 0 && c.proto == udp && w[c.l4+6]|w[c.l4+7] != 0 {
		_ = c.checkTransport(w)
		binary.BigEndian.PutUint16(c.csum, c.pseudo)
	}
	d := slices.Clone(w[:12])
	for _, t := range tags.inData {
		d = append(d, hex(int(t.TPID), int(t.TCI))...)
	}
	shift += len(d) - 12
	f.Data, f.Tag, f.Lifted = append(d, w[12:]...), tags.aside, tags.lifted
	f.Owed.CsumStart += uint16(shift)
	if size != 0 {
		f.Owed.HdrLen += uint16(shift)
	}
	return f
}

// segments cuts the packet, and puts every segment in a tunnel of its own behind the
// tags of f.
func (tn *tunnelShape) segments(p packet, size int, f *frame.Frame) (all [][]byte) {
	inner := p.build(size)
	skip := 0
	if !tn.ether {
		skip = 14
	}
	if size == 0 {
		size = 65535
	}
	wire := f.AppendWire(nil)
	for i, part := range slowSegments(inner.Data, size) {
		w := tn.around(part[skip:], i)
		end := 12
		for frame.EtherType(binary.BigEndian.Uint16(wire[end:])).IsTag() {
			end += 4
		}
		all = append(all, slices.Concat(wire[:end], w[12:]))
	}
	return all
}

// innerOf finds the inner IP header of a frame in wire form, of which CheckOwed has
// said that it is a segmentation in a tunnel, the plain way.
func innerOf(t *testing.T, wire []byte, o frame.Offload) int {
	c, _ := checkLoosely(wire)
	from := c.l4
	switch c.proto {
	case udp:
		from += 8
	case gre:
		from += 4 + int(wire[c.l4]>>5&1)*4
	}
	l4 := int(o.CsumStart)
	require.NotEqual(t, c.l4, l4)
	if four := l4 - 20; o.GSOType != frame.GSOTCPv6 && o.GSOType != frame.GSOTCPv6|frame.GSOECN && c.proto != ipv6InIP && four >= from {
		if in, err := checkLoosely(slices.Concat(addrs, []byte{0x08, 0x00}, wire[four:])); err == nil && in.l4 == 34 && (in.proto == udp) == (o.GSOType == frame.GSOUDP) {
			return four
		}
	}
	require.GreaterOrEqual(t, l4-40, from)
	return l4 - 40
}

// innerFrame is the packet at ip of a frame in wire form, as a frame of its own.
func innerFrame(wire []byte, ip int) []byte {
	if wire[ip]>>4 == 6 {
		return slices.Concat(addrs, []byte{0x86, 0xdd}, wire[ip:])
	}
	return slices.Concat(addrs, []byte{0x08, 0x00}, wire[ip:])
}

// slowTunnelSegments cuts the packet whose IP header is at inner, and puts the bytes in
// front of it before every segment.
func slowTunnelSegments(wire []byte, inner, size int) (all [][]byte) {
	for i, part := range slowSegments(innerFrame(wire, inner), size) {
		w := slices.Concat(wire[:inner], part[14:])
		fixOuter(w, i)
		all = append(all, w)
	}
	return all
}

// fixTunnelDebt makes the sums right that the sender has to, in head, which is g's
// bytes up to the end of the packet.
func fixTunnelDebt(t *testing.T, head []byte, g *frame.Frame) {
	tags := len(head) - len((&frame.Frame{Data: head, Lifted: g.Lifted}).AppendWire(nil))
	wire := head[tags:] // which begins with the wrong addresses only
	o := g.Owed
	o.CsumStart -= uint16(tags)
	inner := innerOf(t, wire, o)
	if ip := wire[inner:]; ip[0]>>4 == 4 {
		clear(ip[10:12])
		binary.BigEndian.PutUint16(ip[10:], ^slowSum(ip[:20], 0))
	}
	c, err := checkLoosely(innerFrame(wire, inner))
	require.NoError(t, err)
	binary.BigEndian.PutUint16(wire[int(o.CsumStart)+int(o.CsumOffset):], c.pseudo)

	c, _ = checkLoosely(wire)
	if ip := wire[c.ip:]; !c.v6 {
		clear(ip[10:12])
		binary.BigEndian.PutUint16(ip[10:], ^slowSum(ip[:int(ip[0]&15)*4], 0))
	}
	if u := wire[c.l4:]; c.proto == udp && u[6]|u[7] != 0 {
		binary.BigEndian.PutUint16(u[6:], c.pseudo)
	}
}
