package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

var forms = []frame.Form{{}, {TagInline: true}, {Checksum: true}, {TagInline: true, Checksum: true}}

// wires are the wire forms of frames, and what they owe there must be nothing.
func wires(t testing.TB, fs []frame.Frame) (all [][]byte) {
	t.Helper()
	for i := range fs {
		require.True(t, fs[i].Owed.None(), "frame %d owes %+v", i, fs[i].Owed)
		all = append(all, fs[i].AppendWire(nil))
	}
	return all
}

// eachPacket calls fn with packets of all shapes, taggings and flags, and a segment
// size that makes one, two or many segments of them.
func eachPacket(t *testing.T, seed uint64, fn func(t *testing.T, p packet, size int)) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, sh := range shapes {
		for _, tg := range taggings {
			t.Run(sh.name+"/"+tg.name, func(t *testing.T) {
				for _, c := range []struct{ n, size int }{
					{1, 1}, {100, 100}, {101, 100}, {4321, 100}, {1448, 1448}, {4321, 1448}, {4321, 65534}, {40000 + rnd.IntN(20000), 1448},
				} {
					p := sh.packet
					p.tags, p.payload = tg, random(rnd, c.n)
					p.id, p.seq = uint16(rnd.Uint32()), rnd.Uint32()
					p.flags = []byte{0, psh, fin | psh, cwr, cwr | ece | psh, urg}[rnd.IntN(6)]
					if rnd.IntN(4) == 0 {
						p.id, p.seq = 0xffff, 0xffffff80 // which go round
					}
					fn(t, p, c.size)
				}
			})
		}
	}
}

// Segments are those of the plain way, whatever the headers, the tags and the form.
func TestAppendFinishedSegments(t *testing.T) {
	eachPacket(t, 2, func(t *testing.T, p packet, size int) {
		f := p.build(size)
		require.NoError(t, f.CheckOwed())
		before := f.Clone()
		want := slowSegments(f.AppendWire(nil), size)
		for _, form := range forms {
			old := []frame.Frame{{Tunnel: 1}}
			fs, buf := f.AppendFinished(old, []byte("in front"), form)
			require.Equal(t, "in front", string(buf[:8]))
			require.Equal(t, old[0], fs[0])
			fs = fs[1:]
			require.Equal(t, len(want), len(fs))
			for i := range fs {
				checkFinished(t, &fs[i], &f, form, want[i])
			}
		}
		require.Equal(t, before, f, "the frame was changed")
	})
}

// checkFinished holds one result of AppendFinished for f against its wire form.
func checkFinished(t *testing.T, got, f *frame.Frame, form frame.Form, want []byte) {
	t.Helper()
	checkView(t, got, f, form)
	wire := got.AppendWire(nil)
	if !form.Checksum {
		require.True(t, got.Owed.None())
		if !bytes.Equal(wire, want) {
			t.Fatalf("% x\nwant\n% x", wire[:min(len(wire), 120)], want[:min(len(want), 120)])
		}
		_, err := check(wire)
		require.NoError(t, err)
		return
	}
	require.NoError(t, got.CheckOwed())
	c, err := check(wire)
	if err != nil { // else the sum over the pseudo header happens to be right
		require.ErrorIs(t, err, errTransportSum)
	}
	o := got.OwedOnWire()
	require.Equal(t, frame.Offload{Flags: frame.NeedsCsum, CsumStart: uint16(c.l4), CsumOffset: f.Owed.CsumOffset}, o)
	require.Equal(t, c.pseudo, binary.BigEndian.Uint16(c.csum))
	all, _ := got.AppendFinished(nil, nil, frame.Form{})
	require.Len(t, all, 1)
	wire = all[0].AppendWire(nil)
	require.True(t, bytes.Equal(wire, want) || c.proto == tcp && zeroSum(want), "finished later it is another frame")
}

// checkView holds all but bytes and debts of a result against f.
func checkView(t *testing.T, got, f *frame.Frame, form frame.Form) {
	t.Helper()
	require.False(t, got.Lifted)
	require.Equal(t, []any{f.Tunnel, f.Nexthop, f.Time}, []any{got.Tunnel, got.Nexthop, got.Time})
	if form.TagInline {
		require.False(t, got.Tag.Present())
	} else {
		require.Equal(t, f.Tag, got.Tag)
	}
	require.Equal(t, len(got.Data), cap(got.Data), "an append to one frame would write over the next")
}

// zeroSum reports a TCP checksum of 0, of which a frame finished alone makes 0xffff.
func zeroSum(wire []byte) bool {
	c, _ := check(wire)
	return bytes.Equal(c.csum, []byte{0, 0})
}

// A frame that owes a checksum alone may be of any protocol.
func TestAppendFinishedChecksum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 1))
	for _, tg := range taggings {
		for n := range 300 {
			d := slices.Clone(addrs)
			for _, tag := range tg.inData {
				d = append(d, hex(int(tag.TPID), int(tag.TCI))...)
			}
			d = append(d, 0x88, 0xb5)
			start := len(d) + rnd.IntN(n+1)
			d = append(d, random(rnd, n+2)...)
			offset := rnd.IntN(len(d) - start - 1)
			f := frame.Frame{Data: d, Tag: tg.aside, Lifted: tg.lifted, Time: 5, Tunnel: 6, Nexthop: 7}
			f.Owed = frame.Offload{Flags: frame.NeedsCsum, CsumStart: uint16(start), CsumOffset: uint16(offset), HdrLen: uint16(start)}
			require.NoError(t, f.CheckOwed())
			before := f.Clone()
			want := f.AppendWire(nil)
			at := int(f.OwedOnWire().CsumStart)
			sum := ^slowSum(want[at:], 0)
			if sum == 0 {
				sum = 0xffff
			}
			binary.BigEndian.PutUint16(want[at+offset:], sum)
			for _, form := range forms {
				fs, _ := f.AppendFinished(nil, nil, form)
				require.Len(t, fs, 1)
				g := fs[0]
				require.False(t, g.Lifted)
				require.Equal(t, form.TagInline || !f.Tag.Present(), g.Plain())
				if form.Checksum {
					require.Equal(t, frame.Offload{Flags: 1, CsumStart: uint16(at), CsumOffset: uint16(offset)}, g.OwedOnWire())
					require.Equal(t, f.AppendWire(nil), g.AppendWire(nil))
					continue
				}
				require.True(t, g.Owed.None())
				require.Equal(t, want, g.AppendWire(nil))
			}
			require.Equal(t, before, f)
		}
	}
}

// Zero in a checksum's place says that there is none: Linux writes 0xffff.
func TestAppendFinishedNeverZero(t *testing.T) {
	for _, sh := range shapes {
		p := sh.packet
		p.payload = make([]byte, 40)
		f := p.build(0)
		d, err := check(f.AppendWire(nil))
		require.ErrorIs(t, err, errTransportSum)
		sum := ^slowSum(f.Data[f.Owed.CsumStart:], 0) // what would stand there
		binary.BigEndian.PutUint16(f.Data[len(f.Data)-2:], sum)
		fs, _ := f.AppendFinished(nil, nil, frame.Form{})
		wire := fs[0].AppendWire(nil)
		require.Equal(t, []byte{0xff, 0xff}, wire[int(f.Owed.CsumStart)+int(f.Owed.CsumOffset):][:2], sh.name)
		if d.proto == udp { // and so do the datagrams of one
			p.payload = slices.Repeat(p.payload, 2)
			f := p.build(40)
			ck, _ := check(slowSegments(f.AppendWire(nil), 40)[0])
			sum := binary.BigEndian.Uint16(ck.csum)
			binary.BigEndian.PutUint16(f.Data[len(f.Data)-42:], sum)
			fs, _ := f.AppendFinished(nil, nil, frame.Form{})
			require.Len(t, fs, 2)
			ck, err = check(fs[0].AppendWire(nil))
			require.NoError(t, err)
			require.Equal(t, []byte{0xff, 0xff}, ck.csum)
		}
	}
}

// Bytes behind the packet are padding, which belongs to no segment.
func TestAppendFinishedCutsPadding(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 1))
	for _, sh := range shapes {
		for _, size := range []int{100, 2000} {
			p := sh.packet
			p.payload = random(rnd, 1000)
			f := p.build(size)
			want := slowSegments(f.AppendWire(nil), size)
			f.Data = append(f.Data, "padding"...)
			require.NoError(t, f.CheckOwed())
			fs, _ := f.AppendFinished(nil, nil, frame.Form{})
			require.Equal(t, want, wires(t, fs), "%s, %d", sh.name, size)
		}
	}
}

func TestAppendFinishedOfOthers(t *testing.T) {
	plain := frame.Frame{Data: hex(addrs, 0x8100, 5, 0x88b5, payload), Tag: customer, Lifted: true, Time: 1}
	fs, buf := plain.AppendFinished(nil, nil, frame.Form{TagInline: true})
	require.Equal(t, []frame.Frame{{Data: plain.AppendWire(nil), Time: 1}}, fs)
	require.Equal(t, plain.AppendWire(nil), buf)

	for _, owed := range []frame.Offload{
		{Flags: 1, CsumStart: 60}, {GSOType: 1}, {Flags: 1, GSOType: 1, CsumStart: 18}, {Flags: 1, GSOType: 3, CsumStart: 18}, {Flags: 1, GSOType: 5, CsumStart: 18, GSOSize: 1},
	} {
		bad := plain
		bad.Owed = owed
		require.ErrorIs(t, bad.CheckOwed(), frame.ErrBadOffload)
		fs, buf := bad.AppendFinished(nil, nil, frame.Form{})
		require.Empty(t, fs)
		require.Empty(t, buf)
	}
}

// Frames that were appended earlier keep their bytes when the buffer grows, and
// with room for all nothing is allocated.
func TestAppendFinishedMemory(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 1))
	var fs []frame.Frame
	var buf []byte
	var want [][]byte
	for range 20 {
		p := shapes[rnd.IntN(len(shapes))].packet
		p.tags, p.payload = taggings[rnd.IntN(len(taggings))], random(rnd, 1+rnd.IntN(9000))
		f := p.build(1000)
		want = append(want, slowSegments(f.AppendWire(nil), 1000)...)
		fs, buf = f.AppendFinished(fs, buf, frame.Form{})
	}
	require.Equal(t, want, wires(t, fs))

	p := packet{proto: tcp, payload: random(rnd, 60000), tags: taggings[2]}
	f := p.build(1448)
	whole := p.build(0)
	room, scratch := make([]frame.Frame, 0, 64), make([]byte, 0, 70000)
	for name, fn := range map[string]func(){
		"segments": func() { f.AppendFinished(room, scratch, frame.Form{TagInline: true}) },
		"checksum": func() { whole.AppendFinished(room, scratch, frame.Form{}) },
		"check":    func() { _ = f.CheckOwed() },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s: %v allocations; want 0", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { f.AppendFinished(room, nil, frame.Form{}) }); n > 1 && !raceEnabled {
		t.Errorf("the buffer grows %v times; want once", n)
	}
}

func BenchmarkFinish(b *testing.B) {
	rnd := rand.New(rand.NewPCG(6, 1))
	p := packet{proto: tcp, tcpOpt: timestamps, payload: random(rnd, 45*1448)}
	tso := p.build(1448)
	p.payload = p.payload[:1448]
	one := p.build(0)
	room, scratch, to := make([]frame.Frame, 0, 64), make([]byte, 0, 70000), make([]byte, 70000)
	for _, bm := range []struct {
		name string
		f    frame.Frame
		form frame.Form
	}{
		{"Checksum", one, frame.Form{}},
		{"Segments", tso, frame.Form{}},
		{"SegmentsTagInline", tso, frame.Form{TagInline: true}},
		{"SegmentsOweChecksum", tso, frame.Form{Checksum: true}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			bm.f.Tag = customer
			b.SetBytes(int64(len(bm.f.Data)))
			for b.Loop() {
				bm.f.AppendFinished(room, scratch, bm.form)
			}
		})
		b.Run(bm.name+"/copy", func(b *testing.B) {
			b.SetBytes(int64(len(bm.f.Data)))
			for b.Loop() {
				copy(to, bm.f.Data)
			}
		})
	}
	b.Run("CheckOwed", func(b *testing.B) {
		for b.Loop() {
			if err := tso.CheckOwed(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A super-frame becomes segments for a cable that takes none.
func ExampleFrame_AppendFinished() {
	p := packet{proto: tcp, flags: psh, payload: bytes.Repeat([]byte("x"), 3000)}
	f := p.build(1448) // as read from a guest
	if err := f.CheckOwed(); err != nil {
		fmt.Println(err)
		return
	}
	segments, _ := f.AppendFinished(nil, nil, frame.Form{})
	for i := range segments {
		fmt.Println(len(segments[i].Data), "bytes, owes nothing:", segments[i].Owed.None())
	}
	// Output:
	// 1502 bytes, owes nothing: true
	// 1502 bytes, owes nothing: true
	// 158 bytes, owes nothing: true
}

// What a network card joined comes with its checksums filled in; made to owe them, it
// is what its sender would have handed over.
func TestOweChecksum(t *testing.T) {
	eachPacket(t, 31, func(t *testing.T, p packet, size int) {
		want := p.build(size)
		f := want.Clone()
		at := int(f.Owed.CsumStart + f.Owed.CsumOffset)
		f.Data[at], f.Data[at+1] = 0x12, 0x34
		f.Owed.Flags, f.Owed.CsumStart, f.Owed.CsumOffset = 0, 0, 0
		require.Error(t, f.CheckOwed())
		f.OweChecksum()
		require.Equal(t, want, f)
	})
	for _, f := range []frame.Frame{
		{Data: hex(addrs, 0x88b5, payload), Owed: frame.Offload{GSOType: 1, GSOSize: 5}},
		{Data: hex(addrs, 0x0800, payload), Owed: frame.Offload{GSOType: 1, GSOSize: 5}},
		{Data: hex(addrs, 0x86dd, payload), Owed: frame.Offload{GSOType: 4, GSOSize: 5}},
		{Data: hex(addrs, 0x0800, payload)},
	} {
		g := f.Clone()
		g.OweChecksum()
		require.Equal(t, f, g)
	}
}
