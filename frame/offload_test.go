package frame_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

func TestOffload(t *testing.T) {
	for _, tc := range []struct {
		o         frame.Offload
		none, gso bool
	}{
		{frame.Offload{}, true, false},
		{frame.Offload{HdrLen: 54, CsumStart: 34}, true, false}, // hints that belong to no debt
		{frame.Offload{Flags: 1, CsumStart: 34}, false, false},
		{frame.Offload{Flags: 1, GSOType: 1, GSOSize: 1448}, false, true},
		{frame.Offload{Flags: 1, GSOType: 4 | 0x80, GSOSize: 1428}, false, true},
		{frame.Offload{GSOType: 0x80}, false, false},
	} {
		if tc.o.None() != tc.none || tc.o.GSO() != tc.gso {
			t.Errorf("%+v: None %v, GSO %v", tc.o, tc.o.None(), tc.o.GSO())
		}
	}
}

// A damage makes a right frame wrong, or leaves it right.
type damage struct {
	name string
	do   func(f *frame.Frame)
	want error
}

// put16 writes to the frame, at from the IP header.
func put16(at, v int) func(f *frame.Frame) {
	return func(f *frame.Frame) { binary.BigEndian.PutUint16(f.Data[ipOf(f)+at:], uint16(v)) }
}

func put8(at int, v byte) func(f *frame.Frame) {
	return func(f *frame.Frame) { f.Data[ipOf(f)+at] = v }
}

// ipOf is where the IP header of a packet without more than one tag in the data is.
func ipOf(f *frame.Frame) int {
	if frame.EtherType(binary.BigEndian.Uint16(f.Data[12:])).IsTag() {
		return 18
	}
	return 14
}

func owes(change func(o *frame.Offload)) func(f *frame.Frame) {
	return func(f *frame.Frame) { change(&f.Owed) }
}

// anyDamages are for frames with any debt.
var anyDamages = []damage{
	{"as it was", func(*frame.Frame) {}, nil},
	{"no flag", owes(func(o *frame.Offload) { o.Flags, o.GSOType = 0, o.GSOType|1 }), frame.OffloadFlags},
	{"another flag", owes(func(o *frame.Offload) { o.Flags |= 2 }), frame.OffloadFlags},
	{"UFO", owes(func(o *frame.Offload) { o.GSOType = 3 }), frame.OffloadType},
	{"ECN alone", owes(func(o *frame.Offload) { o.GSOType = 0x80 }), frame.OffloadType},
	{"UDP with ECN", owes(func(o *frame.Offload) { o.GSOType = 5 | 0x80 }), frame.OffloadType},
	{"tunnel bits", owes(func(o *frame.Offload) { o.GSOType |= 0x20 }), frame.OffloadType},
	{"sum in the Ethernet header", owes(func(o *frame.Offload) { o.CsumStart = 13 }), frame.OffloadRange},
	{"sum behind the end", func(f *frame.Frame) { f.Owed.CsumStart = uint16(len(f.Data)) }, frame.OffloadRange},
	{"checksum behind the end", func(f *frame.Frame) { f.Owed.CsumOffset = uint16(len(f.Data) - int(f.Owed.CsumStart) - 1) }, frame.OffloadRange},
	{"offsets that go round", owes(func(o *frame.Offload) { o.CsumStart, o.CsumOffset = 0xffff, 0xffff }), frame.OffloadRange},
	{"headers in the Ethernet header", owes(func(o *frame.Offload) { o.HdrLen = 13 }), frame.OffloadHdrLen},
	{"headers unknown", owes(func(o *frame.Offload) { o.HdrLen = 0 }), nil},
	{"headers of all", func(f *frame.Frame) { f.Owed.HdrLen = uint16(len(f.Data)) }, nil},
	{"headers of more", func(f *frame.Frame) { f.Owed.HdrLen = uint16(len(f.Data) + 1) }, frame.OffloadHdrLen},
}

// gsoDamages are for frames that owe their segmentation.
var gsoDamages = []damage{
	{"size 0", owes(func(o *frame.Offload) { o.GSOSize = 0 }), frame.OffloadSegments},
	{"size 65535", owes(func(o *frame.Offload) { o.GSOSize = 0xffff }), frame.OffloadSegments},
	{"size 65534", owes(func(o *frame.Offload) { o.GSOSize = 0xfffe }), nil},
	{"another IP version", func(f *frame.Frame) { f.Data[ipOf(f)-2] ^= 0x8e ^ 0x08; f.Data[ipOf(f)-1] ^= 0xdd }, frame.ErrBadOffload},
	{"no IP", func(f *frame.Frame) { f.Data[ipOf(f)-2] = 0x88 }, frame.OffloadProtocol},
	{"version 5", func(f *frame.Frame) { f.Data[ipOf(f)] = 0x55 }, frame.OffloadHeaders},
	{"sum begins elsewhere", owes(func(o *frame.Offload) { o.CsumStart++ }), frame.OffloadProtocol},
	{"checksum elsewhere", owes(func(o *frame.Offload) { o.CsumOffset += 2 }), frame.OffloadProtocol},
	{"cut behind the IP header", func(f *frame.Frame) { f.Data = f.Data[:f.Owed.CsumStart] }, frame.ErrBadOffload},
	{"one byte short", func(f *frame.Frame) { f.Data = f.Data[:len(f.Data)-1] }, frame.OffloadLength},
	{"padding", func(f *frame.Frame) { f.Data = append(f.Data, 0, 0, 0) }, nil},
	{"nothing in it", func(f *frame.Frame) { f.Data = f.Data[:f.Owed.HdrLen]; setIPLength(f) }, frame.OffloadSegments},
	{"one byte in it", func(f *frame.Frame) { f.Data = f.Data[:f.Owed.HdrLen+1]; setIPLength(f) }, nil},
}

// setIPLength writes the IP length (and the UDP length, where there is one) of what
// is there.
func setIPLength(f *frame.Frame) {
	ip := f.Data[ipOf(f):]
	if ip[0]>>4 == 6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	}
	if f.Owed.CsumOffset == 6 {
		binary.BigEndian.PutUint16(f.Data[f.Owed.CsumStart+4:], uint16(len(f.Data)-int(f.Owed.CsumStart)))
	}
}

var ipv4Damages = []damage{
	{"header of 16 bytes", put8(0, 0x44), frame.OffloadHeaders},
	{"more options than there are", put8(0, 0x4f), frame.ErrBadOffload},
	{"more fragments", put16(6, 0x2000), frame.OffloadFragment},
	{"the last fragment", put16(6, 0x0001), frame.OffloadFragment},
	{"may not be fragmented", put16(6, 0x4000), nil},
	{"another protocol", put8(9, 1), frame.OffloadProtocol},
	{"length 0", put16(2, 0), frame.OffloadLength},
	{"length 65535", put16(2, 65535), frame.OffloadLength},
	{"another protocol's debt", owes(func(o *frame.Offload) { o.GSOType = 4 }), frame.OffloadProtocol},
}

var ipv6Damages = []damage{
	{"another protocol", put8(6, 58), frame.OffloadProtocol},
	{"a fragment", put8(6, 44), frame.OffloadFragment},
	{"no next header", put8(6, 59), frame.OffloadProtocol},
	{"jumbogram", put16(4, 0), frame.OffloadLength},
	{"length 65535", put16(4, 65535), frame.OffloadLength},
	{"options where TCP is", put8(6, 60), frame.ErrBadOffload},
}

var extDamages = []damage{
	{"a fragment behind options", put8(40, 44), frame.OffloadFragment},
	{"options that never end", put8(41, 255), frame.ErrBadOffload},
	{"another protocol behind options", put8(40, 6), frame.OffloadProtocol},
	{"cut in the options", func(f *frame.Frame) { f.Data = f.Data[:ipOf(f)+44]; f.Owed.CsumStart, f.Owed.HdrLen = 20, 0 }, frame.OffloadHeaders},
}

var tcpDamages = []damage{
	{"TCP header of 16 bytes", func(f *frame.Frame) { f.Data[f.Owed.CsumStart+12] = 0x40 }, frame.OffloadHeaders},
	{"TCP header of 60 bytes", func(f *frame.Frame) { f.Data[f.Owed.CsumStart+12] = 0xf0 }, nil},
	{"UDP's debt", owes(func(o *frame.Offload) { o.GSOType, o.CsumOffset = 5, 6 }), frame.OffloadProtocol},
	{"ECN", owes(func(o *frame.Offload) { o.GSOType |= 0x80 }), nil},
	{"TCP cut", func(f *frame.Frame) {
		f.Data = f.Data[:f.Owed.CsumStart+19]
		f.Owed.HdrLen = 0
		setIPLength(f)
	}, frame.OffloadHeaders},
}

var udpDamages = []damage{
	{"UDP length", func(f *frame.Frame) { f.Data[f.Owed.CsumStart+5]++ }, frame.OffloadLength},
	{"UDP length 0", func(f *frame.Frame) { binary.BigEndian.PutUint16(f.Data[f.Owed.CsumStart+4:], 0) }, frame.OffloadLength},
	{"TCP's debt", owes(func(o *frame.Offload) { o.GSOType, o.CsumOffset = 1, 16 }), frame.OffloadProtocol},
}

func TestCheckOwed(t *testing.T) {
	for _, sh := range shapes {
		for _, tg := range []tagging{taggings[0], taggings[1], taggings[2], taggings[5]} {
			for _, size := range []int{0, 500} {
				p := sh.packet
				p.tags, p.payload = tg, make([]byte, 3000)
				damages := anyDamages
				if size != 0 {
					damages = append(append([]damage(nil), damages...), damagesOf(p)...)
				}
				for _, d := range damages {
					f := p.build(size)
					d.do(&f)
					err := f.CheckOwed()
					if !errors.Is(err, d.want) || err != nil && !errors.Is(err, frame.ErrBadOffload) {
						t.Errorf("%s, %s, size %d: %s: %v; want %v", sh.name, tg.name, size, d.name, err, d.want)
					}
				}
			}
		}
	}
}

func damagesOf(p packet) []damage {
	all := append([]damage(nil), gsoDamages...)
	switch {
	case p.ext != nil:
		all = append(all, extDamages...)
	case p.v6:
		all = append(all, ipv6Damages...)
	default:
		all = append(all, ipv4Damages...)
	}
	if p.proto == udp {
		return append(all, udpDamages...)
	}
	return append(all, tcpDamages...)
}

// A lifted tag is not counted to what the sum may begin in.
func TestCheckOwedBehindLiftedTag(t *testing.T) {
	f := frame.Frame{Data: hex(addrs, 0x8100, 10, 0x88b5, 0, 0), Tag: customer, Lifted: true}
	for start, want := range map[uint16]error{13: frame.OffloadRange, 14: frame.OffloadRange, 17: frame.OffloadRange, 18: nil, 20: nil, 21: frame.OffloadRange} {
		f.Owed = frame.Offload{Flags: 1, CsumStart: start}
		require.ErrorIs(t, f.CheckOwed(), want, "%d", start)
		if want == nil {
			f.Owed.HdrLen = 17
			require.ErrorIs(t, f.CheckOwed(), frame.OffloadHdrLen)
		}
	}
}

// Offsets have to hold with two more tags in front.
func TestCheckOwedOffsetsHaveRoom(t *testing.T) {
	f := frame.Frame{Data: make([]byte, 1<<17)}
	for end, want := range map[int]error{65527: nil, 65528: frame.OffloadRange} {
		f.Owed = frame.Offload{Flags: 1, CsumStart: uint16(end - 8), CsumOffset: 6}
		require.ErrorIs(t, f.CheckOwed(), want, "%d", end)
		f.Owed = frame.Offload{Flags: 1, CsumStart: 14, HdrLen: uint16(end)}
		if want != nil {
			want = frame.OffloadHdrLen
		}
		require.ErrorIs(t, f.CheckOwed(), want, "%d", end)
	}
}

// More than two tags in the data, and headers of more than 512 bytes, are too much.
func TestCheckOwedDepth(t *testing.T) {
	p := packet{proto: tcp, payload: make([]byte, 3000)}
	for n, want := range []error{nil, nil, nil, frame.OffloadProtocol} {
		p.tags.inData = nil
		for range n {
			p.tags.inData = append(p.tags.inData, customer)
		}
		f := p.build(1000)
		require.ErrorIs(t, f.CheckOwed(), want, "%d tags", n)
	}
	for n, want := range map[int]error{1: nil, 53: nil, 54: frame.OffloadHeaders, 60: frame.OffloadHeaders, 255: frame.OffloadHeaders} {
		q := packet{v6: true, proto: tcp, payload: make([]byte, 3000), ext: [][]byte{make([]byte, 8+8*n)}}
		q.ext[0][0], q.ext[0][1] = 60, byte(n)
		f := q.build(1000)
		require.ErrorIs(t, f.CheckOwed(), want, "options of %d bytes", 8+8*n)
	}
}

// A tiny segment size does not make megabytes of headers.
func TestCheckOwedBoundsMemory(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 1))
	refused, most := 0, 0.0
	for range 300 {
		p := shapes[rnd.IntN(len(shapes))].packet
		p.tags = taggings[rnd.IntN(len(taggings))]
		p.payload = make([]byte, 20_000+rnd.IntN(45_000))
		f := p.build(1 + rnd.IntN(60))
		if f.CheckOwed() != nil {
			require.ErrorIs(t, f.CheckOwed(), frame.OffloadSegments)
			refused++
			continue
		}
		fs, buf := f.AppendFinished(nil, nil, frame.Form{TagInline: true})
		beside := len(buf) + int(unsafe.Sizeof(f))*len(fs) - len(p.payload)
		most = max(most, float64(beside)/float64(len(p.payload)))
	}
	require.Greater(t, refused, 20)
	require.Less(t, most, 4.3) // a tag in the data is not counted
	require.Greater(t, most, 3.0)
}

func TestOffloadErrorText(t *testing.T) {
	seen := map[string]bool{}
	for e := frame.OffloadFlags; e <= frame.OffloadSegments; e++ {
		require.ErrorIs(t, e, frame.ErrBadOffload)
		require.False(t, seen[e.Error()], e.Error())
		seen[e.Error()] = true
	}
	require.Equal(t, "frame: bad offload: a fragment is to be cut", frame.OffloadFragment.Error())
	require.Equal(t, "frame: bad offload: unknown reason", frame.OffloadError(0).Error())
	require.Equal(t, "frame: bad offload: unknown reason", frame.OffloadError(99).Error())
}

// A guest may send nothing but bad frames, at line rate.
func TestCheckOwedAllocatesNothing(t *testing.T) {
	p := packet{proto: tcp, payload: make([]byte, 3000)}
	var bad []frame.Frame
	for _, d := range append(append([]damage(nil), anyDamages...), damagesOf(p)...) {
		f := p.build(500)
		d.do(&f)
		bad = append(bad, f)
	}
	wrong := 0
	n := testing.AllocsPerRun(100, func() {
		for i := range bad {
			if err := bad[i].CheckOwed(); errors.Is(err, frame.ErrBadOffload) {
				wrong++
			}
		}
	})
	require.Zero(t, n)
	require.NotZero(t, wrong)
}
