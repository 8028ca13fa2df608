package frame_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// eachTunnelled calls fn with packets of all shapes in tunnels of all shapes.
func eachTunnelled(t *testing.T, seed uint64, fn func(t *testing.T, tn *tunnelShape, p packet, size int, tags tagging)) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for i := range tunnels {
		tn := &tunnels[i]
		for _, sh := range tn.inside() {
			t.Run(tn.name+"/"+sh.name, func(t *testing.T) {
				for _, c := range []struct{ n, size int }{
					{1, 1}, {100, 100}, {101, 100}, {4321, 100}, {1400, 1400}, {4321, 1400}, {4321, 65534}, {40000 + rnd.IntN(20000), 1400}, {900, 0},
				} {
					p, out := sh.packet, *tn
					p.payload = random(rnd, c.n)
					p.id, p.seq, out.outer.id = uint16(rnd.Uint32()), rnd.Uint32(), uint16(rnd.Uint32())
					p.flags = []byte{0, psh, fin | psh, cwr, cwr | ece | psh, urg}[rnd.IntN(6)]
					if rnd.IntN(4) == 0 {
						p.id, p.seq, out.outer.id = 0xffff, 0xffffff80, 0xfffe // which go round
					}
					if tn.ether && rnd.IntN(3) == 0 {
						p.tags = taggings[6] // two in the data
					}
					fn(t, &out, p, c.size, taggings[rnd.IntN(len(taggings))])
				}
			})
		}
	}
}

// Cut in the tunnel, a packet becomes the tunnels of its segments.
func TestTunnelledSegments(t *testing.T) {
	eachTunnelled(t, 60, func(t *testing.T, tn *tunnelShape, p packet, size int, tags tagging) {
		f := tn.build(p, size, tags)
		require.NoError(t, f.CheckOwed())
		require.Equal(t, size != 0, f.Tunnelled())
		before := f.Clone()
		want := tn.segments(p, size, &f)
		for _, form := range forms {
			fs, _ := f.AppendFinished(nil, nil, form)
			require.Equal(t, len(want), len(fs))
			for i := range fs {
				checkTunnelled(t, &fs[i], &f, form, want[i])
			}
		}
		require.Equal(t, before, f, "the frame was changed")

		f.Data = append(f.Data, "padding"...)
		if size != 0 {
			require.NoError(t, f.CheckOwed())
			fs, _ := f.AppendFinished(nil, nil, frame.Form{})
			require.Equal(t, want, wires(t, fs))
		}
	})
}

// checkTunnelled holds one result of AppendFinished for f against its wire form. If
// it owes its inner checksum, all else is there already, the outer checksum too.
func checkTunnelled(t *testing.T, got, f *frame.Frame, form frame.Form, want []byte) {
	t.Helper()
	checkView(t, got, f, form)
	wire := got.AppendWire(nil)
	if c, _ := checkIP(want); c.proto == udp && want[c.l4+6]|want[c.l4+7] != 0 {
		_, err := check(want)
		require.NoError(t, err)
	}
	if form.Checksum {
		o := f.OwedOnWire()
		require.Equal(t, frame.Offload{Flags: frame.NeedsCsum, CsumStart: o.CsumStart, CsumOffset: o.CsumOffset}, got.OwedOnWire())
		require.NoError(t, got.CheckOwed())
		require.False(t, got.Tunnelled())
		later, _ := got.AppendFinished(nil, nil, frame.Form{})
		require.Len(t, later, 1)
		csum := wire[int(o.CsumStart)+int(o.CsumOffset):][:2]
		finished := later[0].AppendWire(nil)
		copy(csum, want[int(o.CsumStart)+int(o.CsumOffset):])
		if bytes.Equal(csum, []byte{0, 0}) && o.CsumOffset == 16 { // TCP's: finished alone it is 0xffff
			clear(finished[int(o.CsumStart)+16:][:2])
		}
		require.True(t, bytes.Equal(finished, want), "finished later it is another frame")
	} else {
		require.True(t, got.Owed.None())
	}
	if !bytes.Equal(wire, want) {
		t.Fatalf("% x\nwant\n% x", wire[:min(len(wire), 200)], want[:min(len(want), 200)])
	}
}

// An outer checksum that comes to zero is written as 0xffff, like an inner one.
func TestTunnelledNeverZero(t *testing.T) {
	for _, name := range []int{1, 3} {
		tn, p := tunnels[name], packet{proto: tcp, payload: make([]byte, 80)}
		f := tn.build(p, 40, tagging{})
		c, err := check(tn.segments(p, 40, &f)[0])
		require.NoError(t, err)
		sum := binary.BigEndian.Uint16(c.csum) // what is added to the first ports makes it 0
		tn.udp = hex(int(fold(50000, sum)), 4789, 0, 1)
		f = tn.build(p, 40, tagging{})
		fs, _ := f.AppendFinished(nil, nil, frame.Form{})
		require.Len(t, fs, 2)
		c, err = check(fs[0].AppendWire(nil))
		require.NoError(t, err)
		require.Equal(t, []byte{0xff, 0xff}, c.csum)
		require.Equal(t, tn.segments(p, 40, &f), wires(t, fs))
	}
}

// A packet that makes one segment has no checksum of zero either, like one that is in
// no tunnel.
func TestTunnelledAloneNeverZero(t *testing.T) {
	tn, p := tunnels[1], packet{proto: tcp, payload: make([]byte, 40)}
	f := tn.build(p, 0, tagging{})
	binary.BigEndian.PutUint16(p.payload[38:], ^slowSum(f.Data[f.Owed.CsumStart:], 0))
	f = tn.build(p, 1000, tagging{})
	fs, _ := f.AppendFinished(nil, nil, frame.Form{})
	require.Len(t, fs, 1)
	require.Equal(t, []byte{0xff, 0xff}, fs[0].Data[f.Owed.CsumStart+16:][:2])
	require.Equal(t, tn.segments(p, 1000, &f), wires(t, fs))
}

// fold is the one's complement sum of two words.
func fold(a, b uint16) uint16 { return slowSum(hex(int(a), int(b)), 0) }

// outerOf is where the outer transport header of an untagged frame begins.
func outerOf(f *frame.Frame) int {
	c, err := checkLoosely(f.Data)
	if err != nil && c.l4 == 0 {
		panic(err)
	}
	return c.l4
}

// put16At writes to the frame, at from a place in it.
func put16At(place func(f *frame.Frame) int, at, v int) func(f *frame.Frame) {
	return func(f *frame.Frame) { binary.BigEndian.PutUint16(f.Data[place(f)+at:], uint16(v)) }
}

func inner4(f *frame.Frame) int { return int(f.Owed.CsumStart) - 20 }
func inner6(f *frame.Frame) int { return int(f.Owed.CsumStart) - 40 }

// tunnelDamages are for any tunnel, with IPv4 around it and TCP or UDP over IPv4 inside.
var tunnelDamages = []damage{
	{"as it was", func(*frame.Frame) {}, nil},
	{"inner version", put16At(inner4, 0, 0x5500), frame.OffloadProtocol},
	{"inner options", put16At(inner4, 0, 0x4600), frame.OffloadProtocol},
	{"inner length", func(f *frame.Frame) { f.Data[inner4(f)+3]++ }, frame.OffloadProtocol},
	{"inner padding", func(f *frame.Frame) { f.Data[inner4(f)+3]-- }, frame.OffloadProtocol},
	{"inner fragment", put16At(inner4, 6, 0x2000), frame.OffloadProtocol},
	{"the last inner fragment", put16At(inner4, 6, 1), frame.OffloadProtocol},
	{"inner DF", put16At(inner4, 6, 0x4000), nil},
	{"inner protocol", put16At(inner4, 8, 0x4001), frame.OffloadProtocol},
	{"a tunnel in the tunnel", put16At(inner4, 8, 0x4000|gre), frame.OffloadProtocol},
	{"IPv6's debt", owes(func(o *frame.Offload) { o.GSOType = frame.GSOTCPv6 }), frame.OffloadProtocol},
	{"checksum elsewhere", owes(func(o *frame.Offload) { o.CsumOffset += 2 }), frame.OffloadProtocol},
	{"sum begins later", owes(func(o *frame.Offload) { o.CsumStart += 2 }), frame.OffloadProtocol},
	{"sum begins earlier", owes(func(o *frame.Offload) { o.CsumStart -= 2 }), frame.OffloadProtocol},
	{"sum begins at the inner IP header", owes(func(o *frame.Offload) { o.CsumStart -= 20 }), frame.ErrBadOffload},
	{"sum begins in the outer IP header", owes(func(o *frame.Offload) { o.CsumStart = 20 }), frame.OffloadProtocol},
	{"outer protocol", put8(9, 50), frame.OffloadProtocol},
	{"outer fragment", put16(6, 0x2000), frame.OffloadFragment},
	{"outer length", func(f *frame.Frame) { f.Data[17]-- }, frame.ErrBadOffload},
	{"one byte short", func(f *frame.Frame) { f.Data = f.Data[:len(f.Data)-1] }, frame.OffloadLength},
	{"padding", func(f *frame.Frame) { f.Data = append(f.Data, 0) }, nil},
	{"size 0", owes(func(o *frame.Offload) { o.GSOSize = 0 }), frame.OffloadSegments},
}

var udpTunnelDamages = []damage{
	{"outer UDP length", func(f *frame.Frame) { f.Data[outerOf(f)+5]++ }, frame.OffloadLength},
	{"no outer UDP length", put16At(outerOf, 4, 0), frame.OffloadLength},
	{"another port", put16At(outerOf, 2, 1), nil},
}

var greDamages = []damage{
	{"GRE checksum", put16At(outerOf, 0, 0x8000), frame.OffloadProtocol},
	{"GRE routing", put16At(outerOf, 0, 0x4000), frame.OffloadProtocol},
	{"GRE sequence number", put16At(outerOf, 0, 0x1000), frame.OffloadProtocol},
	{"GRE key and sequence number", put16At(outerOf, 0, 0x3000), frame.OffloadProtocol},
	{"GRE version 1", put16At(outerOf, 0, 0x2001), frame.OffloadProtocol},
}

func TestCheckOwedTunnel(t *testing.T) {
	for _, tn := range tunnels {
		if tn.outer.v6 || tn.outer.proto == ipv6InIP {
			continue
		}
		damages := tunnelDamages
		switch tn.outer.proto {
		case udp:
			damages = append(slices.Clone(damages), udpTunnelDamages...)
		case gre:
			damages = append(slices.Clone(damages), greDamages...)
		}
		for _, proto := range []byte{tcp, udp} {
			for _, d := range damages {
				if proto == udp && d.name == "IPv6's debt" {
					continue
				}
				f := tn.build(packet{proto: proto, payload: make([]byte, 3000)}, 500, tagging{})
				d.do(&f)
				require.ErrorIs(t, f.CheckOwed(), d.want, "%s, protocol %d: %s", tn.name, proto, d.name)
				if d.want != nil {
					fs, _ := f.AppendFinished(nil, nil, frame.Form{})
					require.Empty(t, fs)
				}
			}
		}
	}
}

func TestCheckOwedTunnelOfIPv6(t *testing.T) {
	for _, proto := range []byte{tcp, udp} {
		for _, d := range []damage{
			{"as it was", func(*frame.Frame) {}, nil},
			{"inner version", put16At(inner6, 0, 0x5000), frame.OffloadProtocol},
			{"inner length", func(f *frame.Frame) { f.Data[inner6(f)+5]++ }, frame.OffloadProtocol},
			{"inner padding", func(f *frame.Frame) { f.Data[inner6(f)+5]-- }, frame.OffloadProtocol},
			{"inner fragment", put16At(inner6, 6, 44<<8), frame.OffloadProtocol},
			{"inner extension", put16At(inner6, 6, 60<<8), frame.OffloadProtocol},
			{"address like an IPv4 header", put16At(inner4, 0, 0x4500), nil},
		} {
			for _, i := range []int{0, 3, 8, 13, 14} {
				f := tunnels[i].build(packet{v6: true, proto: proto, payload: make([]byte, 3000)}, 500, tagging{})
				d.do(&f)
				require.ErrorIs(t, f.CheckOwed(), d.want, "%s, protocol %d: %s", tunnels[i].name, proto, d.name)
			}
		}
	}
}

// The inner IP header stands behind all of the outer headers, and at an even distance;
// in IP it stands right behind.
func TestCheckOwedTunnelBounds(t *testing.T) {
	p := packet{proto: tcp, payload: make([]byte, 3000)}
	for n, want := range map[int]error{0: nil, 1: frame.OffloadProtocol, 2: nil, 400: nil, 430: nil, 432: frame.OffloadHeaders} {
		tn := tunnels[6] // FOU
		tn.head = make([]byte, n)
		f := tn.build(p, 1000, tagging{})
		require.ErrorIs(t, f.CheckOwed(), want, "%d bytes in between", n)
	}
	for _, v6 := range []bool{false, true} {
		for _, tc := range []struct {
			proto byte
			head  []byte
			want  error
		}{
			{ipv4InIP, hex(0), frame.OffloadProtocol},
			{ipv6InIP, hex(0), frame.OffloadProtocol},
			{gre, hex(0, 0x0800), nil},
			{gre, hex(0, 0x0800, 0), nil},
			{gre, hex(0), frame.OffloadProtocol}, // in the protocol's place
			{gre, hex(0x2000, 0x0800, 0, 0), nil},
			{gre, hex(0x2000, 0x0800), frame.OffloadProtocol}, // in the key's
			{gre, hex(0x2000, 0x0800, 0), frame.OffloadProtocol},
		} {
			tn, q := tunnelShape{outer: packet{proto: tc.proto}, head: tc.head}, p
			q.v6 = v6
			f := tn.build(q, 1000, tagging{})
			require.ErrorIs(t, f.CheckOwed(), tc.want, "protocol %d, % x, IPv6 %v", tc.proto, tc.head, v6)
		}
	}

	// An outer UDP header that could be the beginning of an IPv4 header as well.
	tn := tunnelShape{outer: packet{proto: udp}, udp: hex(0x4500, 3040+8, 0, 0), head: hex(0x4006, 0, 0, 0, 0, 0)}
	f := tn.build(p, 1000, tagging{})
	f.Owed.CsumStart = 14 + 20 + 20
	binary.BigEndian.PutUint16(f.Data[36:], uint16(len(f.Data)-34))
	f.Data[f.Owed.CsumStart+12] = 0x50
	require.ErrorIs(t, f.CheckOwed(), frame.OffloadProtocol)
	f.Data[23] = ipv4InIP // and this it is then
	require.NoError(t, f.CheckOwed())
	require.True(t, f.Tunnelled())
}

// Tunnelled is false of all that owe no segmentation, or one of the packet itself.
func TestTunnelled(t *testing.T) {
	for _, sh := range shapes {
		for _, tg := range taggings {
			for _, size := range []int{0, 500} {
				p := sh.packet
				p.tags, p.payload = tg, make([]byte, 3000)
				f := p.build(size)
				require.False(t, f.Tunnelled(), "%s, %s", sh.name, tg.name)
			}
		}
	}
	f := frame.Frame{Data: hex(addrs, 0x88b5)}
	require.False(t, f.Tunnelled())
	f.Owed = frame.Offload{Flags: 1, GSOType: 1} // which CheckOwed refuses
	require.False(t, f.Tunnelled())
}

// A Coalescer leaves tunnels alone, of whatever debts.
func TestCoalesceLeavesTunnels(t *testing.T) {
	var c frame.Coalescer
	for _, tn := range tunnels {
		for _, sh := range tn.inside() {
			p := sh.packet
			p.payload = make([]byte, 2000)
			f := tn.build(p, 1000, tagging{})
			for _, form := range forms {
				fs, _ := f.AppendFinished(nil, nil, form)
				fs = append(fs, f, f)
				require.Zero(t, checkLaw(t, &c, fs), "%s, %s", tn.name, sh.name)
			}
		}
	}
}

func TestTunnelledAllocatesNothing(t *testing.T) {
	room, scratch := make([]frame.Frame, 0, 64), make([]byte, 0, 70000)
	for i := range tunnels {
		tn := &tunnels[i]
		p := tn.inside()[0].packet
		p.payload = make([]byte, 60000)
		f := tn.build(p, 1400, taggings[2])
		if n := testing.AllocsPerRun(20, func() {
			if f.CheckOwed() != nil || !f.Tunnelled() {
				t.Error("refused")
			}
			f.AppendFinished(room, scratch, frame.Form{TagInline: true})
		}); n != 0 {
			t.Errorf("%s: %v allocations; want 0", tn.name, n)
		}
	}
}

func BenchmarkTunnelled(b *testing.B) {
	p := packet{proto: tcp, tcpOpt: timestamps, payload: random(rand.New(rand.NewPCG(62, 1)), 45*1398)}
	room, scratch := make([]frame.Frame, 0, 64), make([]byte, 0, 80000)
	for _, tn := range tunnels[:2] {
		f := tn.build(p, 1398, tagging{})
		b.Run(tn.name+"/Segments", func(b *testing.B) {
			b.SetBytes(int64(len(f.Data)))
			for b.Loop() {
				f.AppendFinished(room, scratch, frame.Form{})
			}
		})
		b.Run(tn.name+"/CheckOwed", func(b *testing.B) {
			for b.Loop() {
				if err := f.CheckOwed(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(tn.name+"/Tunnelled", func(b *testing.B) {
			for b.Loop() {
				if !f.Tunnelled() {
					b.Fatal("not tunnelled")
				}
			}
		})
	}
}
