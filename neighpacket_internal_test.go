package bridge

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/ddfb540f/bridge/frame"
)

// FuzzNeighbourPackets reads any bytes as ARP and as a neighbour message, and answers
// them. The laws: what is malformed is not read, and nothing is made of it; an answer
// is read again, says what was asked for, has a right checksum, and is behind what was
// there before; the bytes stay as they were.
func FuzzNeighbourPackets(f *testing.F) {
	const request = "\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x01\x0a\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x02"
	solicitation := "\x60\x00\x00\x00\x00\x20\x3a\xff" + "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\x00\x00\x02" + "\x87\x00\x00\x00\x00\x00\x00\x00" +
		"\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
	for _, s := range []string{
		request, request + "padding", request[:27], solicitation, solicitation[:63], solicitation + "\x01\x01\x02\x00\x00\x00\x00\x01",
		solicitation + "\x01\x00\x02\x00\x00\x00\x00\x01", solicitation + "\x0e\x02", solicitation + "\x01",
		solicitation + "\x0e\x01nonce!\x01\x02\x02\x00\x00\x00\x00\x01rest of it",
	} {
		f.Add([]byte(s), uint64(0x0200_0000_0a02), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, addr uint64, router bool) {
		before := bytes.Clone(b)
		n := Neighbour{MAC: frame.MACFromUint64(addr), Router: router}
		fuzzARP(t, b, n.MAC)
		fuzzND(t, b, n)
		if !bytes.Equal(before, b) {
			t.Fatal("the bytes were changed")
		}
	})
}

const fuzzFront = "in front"

func fuzzARP(t *testing.T, b []byte, mac frame.MAC) {
	a, ok := parseARP(b)
	if good := len(b) >= 28 && bytes.Equal(b[2:6], []byte{8, 0, 6, 4}); ok != good {
		t.Fatalf("parseARP says %t of % x", ok, b)
	}
	if !ok {
		return
	}
	out := appendARPReply([]byte(fuzzFront), &a, mac)
	f := frame.Frame{Data: out[len(fuzzFront):]}
	r, ok := parseARP(f.Rest()[2:])
	if string(out[:len(fuzzFront)]) != fuzzFront || len(f.Data) != 42 || f.Type() != frame.TypeARP || !ok {
		t.Fatalf("no ARP packet behind what was there: % x", out)
	}
	if want := (arpPacket{op: 2, senderMAC: mac, sender: a.target, target: a.sender}); r != want {
		t.Fatalf("answered %+v, expected %+v", r, want)
	}
	if f.Src() != mac || f.Dst() != a.senderMAC || frame.MAC(f.Data[32:38]) != a.senderMAC {
		t.Fatalf("wrong addresses in % x", f.Data)
	}
}

func fuzzND(t *testing.T, b []byte, n Neighbour) {
	m, ok := parseND(b)
	if good := len(b) >= 64 && b[6] == 58 && (b[40] == 135 || b[40] == 136) && b[41] == 0; ok != good {
		t.Fatalf("parseND says %t of % x", ok, b)
	}
	if !ok {
		return
	}
	from := frame.MAC{2, 0, 0, 0, 0, 9}
	out, ok := appendAdvertisement([]byte(fuzzFront), &m, from, n)
	to, known := fuzzAsker(m.options, from)
	if ok != known || !ok && string(out) != fuzzFront {
		t.Fatalf("%t for options % x, made %q", ok, m.options, out)
	}
	if !ok {
		return
	}
	f := frame.Frame{Data: out[len(fuzzFront):]}
	r, good := parseND(f.Rest()[2:])
	if string(out[:len(fuzzFront)]) != fuzzFront || len(f.Data) != 86 || f.Type() != frame.TypeIPv6 || !good {
		t.Fatalf("no neighbour message behind what was there: % x", out)
	}
	flags, dst := byte(0x60), m.src
	if m.src == [16]byte{} {
		flags, dst, to = 0x20, allNodes, allNodesMAC
	}
	if n.Router {
		flags |= 0x80
	}
	if r.kind != 136 || r.flags != flags || r.src != m.target || r.dst != dst || r.target != m.target || f.Dst() != to || f.Src() != n.MAC {
		t.Fatalf("answered %+v to %s", r, f.Dst())
	}
	if !bytes.Equal(r.options, append([]byte{2, 1}, n.MAC[:]...)) {
		t.Fatalf("options % x", r.options)
	}
	ip := f.Data[14:]
	if ip[7] != 255 || binary.BigEndian.Uint16(ip[4:]) != 32 || ip[0] != 0x60|b[0]&0xf || ip[1] != 0 {
		t.Fatalf("IPv6 header % x", ip[:40])
	}
	if sum := frame.Checksum(ip[40:], frame.PseudoSum(ip[8:24], ip[24:40], 58, 32)); sum != 0 {
		t.Fatalf("the checksum is off by %#x", sum)
	}
}

// fuzzAsker reads the options once more, by offsets.
func fuzzAsker(opts []byte, from frame.MAC) (mac frame.MAC, ok bool) {
	for i := 0; i < len(opts)-1; {
		end := i + 8*int(opts[i+1])
		switch {
		case end == i || end > len(opts):
			return frame.MAC{}, false
		case opts[i] == 1:
			return frame.MAC(opts[i+2 : i+8]), true
		}
		i = end
	}
	return from, true
}
