package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ddfb540f/bridge/frame"
)

// The TCP flags that these tests use.
const (
	fin, syn, rst, psh, ack, urg, ece, cwr = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
)

const tcp, udp = 6, 17

// A packet is what build makes a frame of: one TCP or UDP packet, whole.
type packet struct {
	v6      bool
	proto   byte
	options []byte   // IPv4's
	ext     [][]byte // IPv6's extension headers, each with its own number in byte 0; build chains them
	tcpOpt  []byte
	flags   byte
	df      bool
	id      uint16
	seq     uint32
	ports   [2]uint16
	tags    tagging
	payload []byte
}

// A tagging is one of the forms in which tags stand in front of a packet.
type tagging struct {
	name   string
	aside  frame.Tag
	inData []frame.Tag
	lifted bool
}

var (
	customer = frame.Tag{TPID: frame.TypeDot1Q, TCI: 0x600a}
	service  = frame.Tag{TPID: frame.TypeDot1AD, TCI: 20}
)

var taggings = []tagging{
	{name: "untagged"},
	{name: "aside", aside: customer},
	{name: "lifted", aside: customer, inData: []frame.Tag{customer}, lifted: true},
	{name: "lifted, other tag", aside: service, inData: []frame.Tag{customer}, lifted: true},
	{name: "lifted, leaves untagged", inData: []frame.Tag{customer}, lifted: true},
	{name: "in data", inData: []frame.Tag{customer}},
	{name: "two in data", inData: []frame.Tag{service, customer}},
	{name: "lifted over one in data", aside: service, inData: []frame.Tag{service, customer}, lifted: true},
	{name: "lifted over two in data", aside: service, inData: []frame.Tag{service, customer, customer}, lifted: true},
	{name: "aside over one in data", aside: service, inData: []frame.Tag{customer}},
}

var timestamps = []byte{1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7}

// A shape is a kind of headers.
type shape struct {
	name string
	packet
}

var shapes = []shape{
	{"IPv4 TCP", packet{proto: tcp}},
	{"IPv4 TCP, DF", packet{proto: tcp, df: true, tcpOpt: timestamps}},
	{"IPv4 options TCP", packet{proto: tcp, options: []byte{0x94, 4, 0, 0, 1, 1, 1, 0}, tcpOpt: timestamps}},
	{"IPv6 TCP", packet{v6: true, proto: tcp, tcpOpt: timestamps}},
	{"IPv6 extensions TCP", packet{v6: true, proto: tcp, ext: extensions}},
	{"IPv4 UDP", packet{proto: udp}},
	{"IPv4 options UDP", packet{proto: udp, options: []byte{1, 1, 1, 0}}},
	{"IPv6 UDP", packet{v6: true, proto: udp}},
	{"IPv6 extensions UDP", packet{v6: true, proto: udp, ext: extensions}},
}

var extensions = [][]byte{
	{0, 0, 5, 2, 0, 0, 1, 0},                           // hop-by-hop: router alert, PadN
	{60, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, // destination options: PadN
	{43, 0, 253, 0, 0, 0, 0, 0},                        // routing, experimental type, no segments left
	{60, 0, 1, 4, 0, 0, 0, 0},                          // destination options once more
}

// random fills a payload of n bytes.
func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// build makes a frame that owes its transport checksum: the sum over the pseudo
// header stands in its place. size, if not 0, makes it owe its segmentation.
func (p packet) build(size int) frame.Frame {
	d := slices.Clone(addrs)
	for _, t := range p.tags.inData {
		d = append(d, hex(int(t.TPID), int(t.TCI))...)
	}
	l4 := p.transport()
	gso := frame.GSOUDP
	if !p.v6 {
		d = append(d, 0x08, 0x00)
		d = append(d, p.ipv4(len(l4))...)
		if p.proto == tcp {
			gso = frame.GSOTCPv4
		}
	} else {
		d = append(d, 0x86, 0xdd)
		d = append(d, p.ipv6(len(l4))...)
		if p.proto == tcp {
			gso = frame.GSOTCPv6
		}
	}
	f := frame.Frame{Tag: p.tags.aside, Lifted: p.tags.lifted, Tunnel: 7, Time: 77}
	f.Owed = frame.Offload{Flags: frame.NeedsCsum, CsumStart: uint16(len(d)), CsumOffset: 16}
	if p.proto == udp {
		f.Owed.CsumOffset = 6
	}
	f.Data = append(d, l4...)
	if size != 0 {
		f.Owed.GSOType, f.Owed.GSOSize, f.Owed.HdrLen = gso, uint16(size), uint16(len(f.Data)-len(p.payload))
		if p.flags&cwr != 0 && p.proto == tcp {
			f.Owed.GSOType |= frame.GSOECN
		}
	}
	ck, err := check(f.Data)
	if err != nil && !errors.Is(err, errTransportSum) {
		panic(fmt.Sprintf("the test builds a broken packet: %v", err))
	}
	binary.BigEndian.PutUint16(ck.csum, ck.pseudo)
	return f
}

func (p packet) transport() []byte {
	ports := p.ports
	if ports == [2]uint16{} {
		ports = [2]uint16{40000, 5201}
	}
	h := hex(int(ports[0]), int(ports[1]))
	if p.proto == udp {
		h = append(h, hex(8+len(p.payload), 0)...)
	} else {
		h = binary.BigEndian.AppendUint32(h, p.seq)
		h = append(h, 0, 0, 0, 200, byte(20+len(p.tcpOpt))<<2, p.flags|ack, 0x20, 0, 0, 0, 0, 0)
		h = append(h, p.tcpOpt...)
	}
	return append(h, p.payload...)
}

func (p packet) ipv4(n int) []byte {
	h := hex(0x4500+len(p.options)<<6, 20+len(p.options)+n, int(p.id), 0, 0x4000|int(p.proto), 0)
	if p.df {
		h[6] = 0x40
	}
	h = append(h, 192, 0, 2, 1, 192, 0, 2, 2)
	h = append(h, p.options...)
	binary.BigEndian.PutUint16(h[10:], ^slowSum(h, 0))
	return h
}

func (p packet) ipv6(n int) []byte {
	var ext []byte
	next := p.proto
	for _, e := range slices.Backward(p.ext) {
		number := e[0]
		e = slices.Clone(e)
		e[0], next = next, number
		ext = append(e, ext...)
	}
	h := hex(0x6020, 0x0007, len(ext)+n, int(next)<<8|64)
	h = append(h, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	h = append(h, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)
	return append(h, ext...)
}

var errTransportSum = errors.New("the TCP or UDP checksum is wrong")

// A checked is what check has read.
type checked struct {
	ip, l4  int
	v6      bool
	proto   byte
	src     []byte
	dst     []byte
	stream  string // addresses, ports and protocol
	id      uint16
	df      bool
	payload []byte
	csum    []byte // the transport checksum's place
	pseudo  uint16 // the sum over the pseudo header
	header  []byte // all in front of the payload
}

// check reads a frame in wire form that is one whole TCP or UDP packet, and holds
// its lengths and checksums against the RFCs, step by step and slowly: it shares
// nothing with the package. An error that matches errTransportSum comes with all
// fields.
func check(wire []byte) (checked, error) {
	c, err := checkIP(wire)
	if err != nil {
		return c, err
	}
	return c, c.checkTransport(wire)
}

// checkIP is the part of check that reads the IP header.
func checkIP(wire []byte) (c checked, err error) {
	at := 12
	for binary.BigEndian.Uint16(wire[at:]) == 0x8100 || binary.BigEndian.Uint16(wire[at:]) == 0x88a8 {
		if at += 4; at+2 > len(wire) {
			return c, errors.New("ends in its tags")
		}
	}
	c.ip = at + 2
	switch h := wire[c.ip:]; binary.BigEndian.Uint16(wire[at:]) {
	case 0x0800:
		if len(h) < 20 || len(h) < int(h[0]&15)*4 || h[0]>>4 != 4 || h[0]&15 < 5 {
			return c, errors.New("no IPv4 header")
		}
		header := h[:int(h[0]&15)*4]
		if slowSum(header, 0) != 0xffff {
			return c, errors.New("the IPv4 header checksum is wrong")
		}
		if int(h[2])<<8|int(h[3]) != len(h) {
			return c, fmt.Errorf("IPv4 says %d bytes, there are %d", int(h[2])<<8|int(h[3]), len(h))
		}
		if h[6]&0x3f|h[7] != 0 {
			return c, errors.New("a fragment")
		}
		c.id, c.df, c.proto = binary.BigEndian.Uint16(h[4:]), h[6]&0x40 != 0, h[9]
		c.src, c.dst, c.l4 = h[12:16], h[16:20], c.ip+len(header)
	case 0x86dd:
		if len(h) < 40 || h[0]>>4 != 6 {
			return c, errors.New("no IPv6 header")
		}
		if 40+(int(h[4])<<8|int(h[5])) != len(h) {
			return c, fmt.Errorf("IPv6 says %d bytes of payload, there are %d", int(h[4])<<8|int(h[5]), len(h)-40)
		}
		c.v6, c.proto, c.l4 = true, h[6], c.ip+40
		c.src, c.dst = h[8:24], h[24:40]
		for c.proto == 0 || c.proto == 43 || c.proto == 60 {
			if c.l4+8 > len(wire) {
				return c, errors.New("ends in an extension header")
			}
			c.proto, c.l4 = wire[c.l4], c.l4+8*(1+int(wire[c.l4+1]))
		}
	default:
		return c, errors.New("no IP packet")
	}
	return c, nil
}

func (c *checked) checkTransport(wire []byte) error {
	if c.l4 > len(wire) {
		return errors.New("ends in front of its transport header")
	}
	l4 := wire[c.l4:]
	var n int
	switch {
	case c.proto == udp && len(l4) >= 8:
		if n = 8; int(binary.BigEndian.Uint16(l4[4:])) != len(l4) {
			return fmt.Errorf("UDP says %d bytes, there are %d", binary.BigEndian.Uint16(l4[4:]), len(l4))
		}
		c.csum = l4[6:8]
	case c.proto == tcp && len(l4) >= 20:
		if n = int(l4[12]>>4) * 4; n < 20 || n > len(l4) {
			return fmt.Errorf("a TCP header of %d bytes", n)
		}
		c.csum = l4[16:18]
	default:
		return fmt.Errorf("no TCP or UDP header (protocol %d, %d bytes)", c.proto, len(l4))
	}
	c.stream = fmt.Sprintf("%x %x %x %d", c.src, c.dst, l4[:4], c.proto)
	c.header, c.payload = wire[:c.l4+n], l4[n:]
	pseudo := slices.Concat(c.src, c.dst, []byte{0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(l4))), []byte{0, 0, 0, c.proto})
	c.pseudo = slowSum(pseudo, 0)
	if slowSum(l4, uint32(c.pseudo)) != 0xffff || c.proto == udp && bytes.Equal(c.csum, []byte{0, 0}) {
		return errTransportSum
	}
	return nil
}

// slowSegments cuts a frame in wire form, of which check knows where what stands,
// the plain way.
func slowSegments(wire []byte, size int) (all [][]byte) {
	c, err := check(wire)
	if err != nil && !errors.Is(err, errTransportSum) {
		panic(err)
	}
	if len(c.payload) <= size {
		w := slices.Clone(wire)
		fix(w)
		if c, _ := check(w); bytes.Equal(c.csum, []byte{0, 0}) {
			c.csum[0], c.csum[1] = 0xff, 0xff
		}
		return [][]byte{w}
	}
	parts := slices.Collect(slices.Chunk(c.payload, size))
	done := 0
	for i, part := range parts {
		w := slices.Concat(c.header, part)
		ip, l4 := w[c.ip:], w[c.l4:]
		if c.v6 {
			binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
		} else {
			binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
			binary.BigEndian.PutUint16(ip[4:], c.id+uint16(i))
		}
		if c.proto == udp {
			binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		} else {
			binary.BigEndian.PutUint32(l4[4:], binary.BigEndian.Uint32(l4[4:])+uint32(done))
			if i > 0 {
				l4[13] &^= cwr
			}
			if i < len(parts)-1 {
				l4[13] &^= fin | psh
			}
		}
		fix(w)
		all = append(all, w)
		done += len(part)
	}
	return all
}

// fix fills in the checksums of a packet in wire form.
func fix(wire []byte) {
	ip := 12
	for binary.BigEndian.Uint16(wire[ip:]) == 0x8100 || binary.BigEndian.Uint16(wire[ip:]) == 0x88a8 {
		ip += 4
	}
	ip += 2
	if wire[ip]>>4 == 4 {
		h := wire[ip : ip+int(wire[ip]&15)*4]
		clear(h[10:12])
		binary.BigEndian.PutUint16(h[10:], ^slowSum(h, 0))
	}
	c, err := check(wire)
	if err != nil && !errors.Is(err, errTransportSum) {
		panic(err)
	}
	clear(c.csum)
	v := ^slowSum(wire[c.l4:], uint32(c.pseudo))
	if v == 0 && c.proto == udp {
		v = 0xffff
	}
	binary.BigEndian.PutUint16(c.csum, v)
}
