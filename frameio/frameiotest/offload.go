package frameiotest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ddfb540f/bridge/frame"
)

const (
	protoTCP, protoUDP    = 6, 17
	ipLen, tcpLen, udpLen = 20, 20, 8
)

// ipv4 makes a frame with a packet that still owes its transport checksum: in
// the checksum's place stands, as the kernel leaves it, the sum over the pseudo
// header. inData puts an 802.1Q tag into the data.
func (s *suite) ipv4(proto byte, csumOffset, size int, inData bool) frame.Frame {
	middle := []byte{0x08, 0x00}
	if inData {
		middle = []byte{0x81, 0x00, 0x00, 0x05, 0x08, 0x00}
	}
	ip := 12 + len(middle)
	data := s.data(ip+size, middle...)
	h := data[ip:]
	copy(h, []byte{0x45, 0, byte(size >> 8), byte(size), 0, 1, 0x40, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(h[10:], ^fold(sum(h[:ipLen])))
	l4 := h[ipLen:]
	pseudo := sum(h[12:20]) + uint32(proto) + uint32(len(l4))
	binary.BigEndian.PutUint16(l4[csumOffset:], fold(pseudo))
	return frame.Frame{Data: data, Owed: frame.Offload{Flags: frame.NeedsCsum, CsumStart: uint16(ip + ipLen), CsumOffset: uint16(csumOffset)}}
}

// udp makes a frame that owes a UDP checksum; lifted, its data hold a tag that
// does not count.
func (s *suite) udp(tag frame.Tag, lifted bool) frame.Frame { return s.udpOf(101, tag, lifted) }

func (s *suite) udpOf(payload int, tag frame.Tag, lifted bool) frame.Frame {
	f := s.ipv4(protoUDP, 6, ipLen+udpLen+payload, lifted)
	l4 := f.Data[f.Owed.CsumStart:]
	copy(l4, []byte{0x30, 0x39, 0x30, 0x3a, byte(len(l4) >> 8), byte(len(l4))})
	f.Tag, f.Lifted = tag, lifted
	return f
}

// tcp makes a frame of payload bytes that owes its segmentation to size bytes.
func (s *suite) tcp(payload, size int, tag frame.Tag, lifted bool) frame.Frame {
	f := s.ipv4(protoTCP, 16, ipLen+tcpLen+payload, lifted)
	l4 := f.Data[f.Owed.CsumStart:]
	copy(l4, []byte{0x30, 0x39, 0x30, 0x3a, 0, 0, 0, 100, 0, 0, 0, 200, tcpLen << 2, 0x10, 0x20, 0x00})
	l4[18], l4[19] = 0, 0
	f.Tag, f.Lifted = tag, lifted
	f.Owed.GSOType, f.Owed.GSOSize, f.Owed.HdrLen = frame.GSOTCPv4, uint16(size), f.Owed.CsumStart+tcpLen
	return f
}

// datagrams makes a frame of payload bytes that owes its cutting into datagrams of
// size bytes.
func (s *suite) datagrams(payload, size int, tag frame.Tag, lifted bool) frame.Frame {
	f := s.udpOf(payload, tag, lifted)
	f.Owed.GSOType, f.Owed.GSOSize, f.Owed.HdrLen = frame.GSOUDP, uint16(size), f.Owed.CsumStart+udpLen
	return f
}

// sum and fold are the Internet checksum (RFC 1071) in two steps.
func sum(b []byte) (n uint32) {
	for i, x := range b {
		n += uint32(x) << (8 * uint(1-i&1))
	}
	return n
}

func fold(n uint32) uint16 {
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}

// views are the combinations of Tag and Lifted that offsets have to follow.
var views = []struct {
	tag    frame.Tag
	lifted bool
}{
	{frame.Tag{}, false},
	{frame.Tag{}, true},
	{frame.Tag{TPID: frame.TypeDot1Q, TCI: 10}, false},
	{frame.Tag{TPID: frame.TypeDot1Q, TCI: 10}, true},
	{frame.Tag{TPID: frame.TypeDot1AD, TCI: 20}, false},
}

// checkChecksum: where Caps.Checksum is promised, a frame that owes its checksum
// arrives with the debt, at the right place, or with the checksum.
func checkChecksum(s *suite) {
	if !s.opt.Caps.Checksum {
		return
	}
	a, b := s.cable()
	b.listen(8)
	for _, v := range views {
		sent := s.fit(s.udp(v.tag, v.lifted))
		got, err := s.carryOwed(a, b, sent)
		s.must(err)
		if err := s.sameDebt(got, sent); err == nil {
			continue
		} else if s.opt.OwedCarried || !got.Owed.None() {
			s.t.Fatalf("tag %v, lifted %v: %v", v.tag, v.lifted, err)
		}
		done := finish(sent)
		if d := diff(got, done); d != "" {
			s.t.Fatalf("tag %v, lifted %v: a frame that owed its checksum arrives without the debt, but %s", v.tag, v.lifted, d)
		}
	}
}

// finish is f with its UDP checksum filled in, in wire form.
func finish(f frame.Frame) frame.Frame {
	o := f.OwedOnWire()
	g := frame.Frame{Data: f.AppendWire(nil)}
	l4 := g.Data[o.CsumStart:]
	c := ^fold(sum(l4))
	if c == 0 {
		c = 0xffff // RFC 768: zero means that there is none
	}
	binary.BigEndian.PutUint16(l4[o.CsumOffset:], c)
	return g
}

// sameDebt holds what arrives against what was sent, debt included. How much of
// it is headers is a hint, which a kernel in between may reckon anew.
func (s *suite) sameDebt(got, sent frame.Frame) error {
	want := frame.Frame{Data: sent.AppendWire(nil), Owed: sent.OwedOnWire()}
	if !s.opt.OwedCarried {
		have := got.OwedOnWire()
		want.Owed.HdrLen = have.HdrLen
	}
	if d := diff(got, want); d != "" {
		return fmt.Errorf("a frame with a debt arrives with %s", d)
	}
	return nil
}

// carryOwed is carry for a frame that may arrive in another form.
func (s *suite) carryOwed(from, to *end, f frame.Frame) (frame.Frame, error) {
	tries, wait := 1, s.opt.Wait
	if s.opt.Unreliable {
		tries, wait = 20, 5*s.opt.Settle
	}
	for range tries {
		if err := from.sendAll([]frame.Frame{f}); err != nil {
			return frame.Frame{}, err
		}
		if got, ok := to.next(wait); ok {
			return got, nil
		}
	}
	return frame.Frame{}, to.missing("a frame that owes %+v, from %s,", f.Owed, from.name)
}

// What a frame that is to be cut holds, and of what size its parts are to be.
const cutPayload, cutSize = 4321, 1000

// checkSegmentation: where Caps.TSO is promised, a frame that owes its
// segmentation arrives whole, with the debt, or as segments that hold the same
// stream of bytes and none of which is longer than was asked for.
func checkSegmentation(s *suite) {
	if s.opt.Caps.TSO {
		s.checkCut("Caps.TSO", s.tcp, segment)
	}
}

// checkDatagrams: where Caps.USO is promised, a frame that owes its cutting into
// datagrams arrives whole, with the debt, or as the datagrams, in order and each of
// the size that was asked for: their bounds mean something to the receiver.
func checkDatagrams(s *suite) {
	if s.opt.Caps.USO {
		s.checkCut("Caps.USO", s.datagrams, datagram)
	}
}

// checkCut sends frames that are to be cut, and sees that they arrive whole or in
// parts. part gives the payload of one, of which left bytes are to come.
func (s *suite) checkCut(promise string, mk func(payload, size int, tag frame.Tag, lifted bool) frame.Frame,
	part func(got, whole frame.Frame, left int) ([]byte, error)) {
	a, b := s.cable()
	b.listen(8)
	for _, v := range views {
		sent := s.fit(mk(cutPayload, cutSize, v.tag, v.lifted))
		if sent.WireLen() > s.opt.MaxFrame {
			s.t.Fatalf("%s is promised for frames of up to %d bytes, less than five segments of %d", promise, s.opt.MaxFrame, cutSize)
		}
		got, err := s.carryOwed(a, b, sent)
		s.must(err)
		if got.Owed.GSO() || s.opt.OwedCarried {
			if err := s.sameDebt(got, sent); err != nil {
				s.t.Fatalf("tag %v, lifted %v: %v", v.tag, v.lifted, err)
			}
			continue
		}
		var stream []byte
		for {
			p, err := part(got, sent, cutPayload-len(stream))
			if err != nil {
				s.t.Fatalf("tag %v, lifted %v: after %d bytes of the stream: %v", v.tag, v.lifted, len(stream), err)
			}
			if stream = append(stream, p...); len(stream) >= cutPayload {
				break
			}
			var ok bool
			if got, ok = b.next(s.opt.Wait); !ok {
				s.t.Fatalf("tag %v, lifted %v: %v", v.tag, v.lifted, b.missing("segment from byte %d on", len(stream)))
			}
		}
		if want := sent.Data[len(sent.Data)-cutPayload:]; !bytes.Equal(stream, want) {
			s.t.Fatalf("tag %v, lifted %v: the segments hold %d bytes, and not those of the frame", v.tag, v.lifted, len(stream))
		}
	}
}

// segment gives the payload of one of the TCP segments that whole was cut into.
func segment(f, whole frame.Frame, _ int) ([]byte, error) {
	return cutting(f, whole, "segment", protoTCP, tcpLen, 1, cutSize)
}

// datagram gives the payload of one of the UDP datagrams that whole was cut into.
func datagram(f, whole frame.Frame, left int) ([]byte, error) {
	size := min(cutSize, left)
	payload, err := cutting(f, whole, "datagram", protoUDP, udpLen, size, size)
	if err != nil {
		return nil, err
	}
	l4 := f.AppendWire(nil)[whole.OwedOnWire().CsumStart:]
	switch n := int(binary.BigEndian.Uint16(l4[4:])); {
	case n != len(l4):
		return nil, fmt.Errorf("a datagram's UDP length is %d, it holds %d bytes", n, len(l4))
	case l4[6]|l4[7] == 0:
		return nil, fmt.Errorf("a datagram has no UDP checksum")
	}
	return payload, nil
}

// cutting gives the payload, of least to most bytes, of one of the parts that whole
// was cut into.
func cutting(f, whole frame.Frame, name string, proto uint32, header, least, most int) ([]byte, error) {
	wire, o := f.AppendWire(nil), whole.OwedOnWire()
	ip, l4 := int(o.CsumStart)-ipLen, int(o.CsumStart)
	want := whole.AppendWire(nil)
	n := len(wire) - l4 - header
	switch {
	case n < 0 || !bytes.Equal(wire[:ip], want[:ip]):
		return nil, fmt.Errorf("a %s has another Ethernet header: % x", name, wire[:min(len(wire), 64)])
	case int(binary.BigEndian.Uint16(wire[ip+2:])) != len(wire)-ip:
		return nil, fmt.Errorf("a %s's IP length is %d, it holds %d bytes", name, binary.BigEndian.Uint16(wire[ip+2:]), len(wire)-ip)
	case n < least || n > most:
		return nil, fmt.Errorf("a %s holds %d bytes; %d were asked for", name, n, most)
	case fold(sum(wire[ip:l4])) != 0xffff:
		return nil, fmt.Errorf("a %s's IP header checksum is wrong", name)
	}
	pseudo := sum(wire[ip+12:ip+20]) + proto + uint32(len(wire)-l4)
	if f.Owed.None() && fold(pseudo+sum(wire[l4:])) != 0xffff {
		return nil, fmt.Errorf("a %s's checksum is wrong", name)
	}
	return wire[l4+header:], nil
}
