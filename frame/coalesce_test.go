package frame_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// stream cuts one packet into segments for a Coalescer to join.
func stream(p packet, size int, form frame.Form) []frame.Frame {
	f := p.build(size)
	fs, _ := f.AppendFinished(nil, nil, form)
	return fs
}

// joinable reports that the segments of p can become one frame again.
func joinable(p packet) bool {
	return p.proto == tcp && p.options == nil && p.ext == nil && p.flags&(cwr|urg) == 0
}

// Segments that are joined give the frame back that they were cut from.
func TestCoalesceUndoesSegmentation(t *testing.T) {
	var c frame.Coalescer
	eachPacket(t, 20, func(t *testing.T, p packet, size int) {
		for _, form := range forms {
			fs := stream(p, size, form)
			out, weights := c.Coalesce(fs)
			if !joinable(p) || len(fs) == 1 || frame.EtherType(binary.BigEndian.Uint16(fs[0].Rest()[8:])).IsTag() {
				checkLaw(t, &c, fs) // a third tag is one too many
				continue
			}
			require.Equal(t, 1, len(out))
			require.Equal(t, []uint16{uint16(len(fs))}, weights)
			f := p.build(size)
			require.Equal(t, f.AppendWire(nil), out[0].AppendWire(nil))
			require.Equal(t, f.OwedOnWire(), out[0].OwedOnWire())
			require.Equal(t, []any{f.Tunnel, f.Time, false}, []any{out[0].Tunnel, out[0].Time, out[0].Lifted})
			require.Equal(t, form.TagInline, form.TagInline && !out[0].Tag.Present())
			require.NoError(t, out[0].CheckOwed())
		}
	})
}

// Cut in several batches, a stream comes out whole, in fewer frames.
func TestCoalesceBatches(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 1))
	var c frame.Coalescer
	for _, batch := range []int{1, 2, 3, 7, 64, 1000} {
		for _, sh := range shapes {
			p := sh.packet
			p.payload, p.flags = random(rnd, 60000), []byte{0, psh, cwr | psh}[rnd.IntN(3)]
			n := 0
			for fs := range slices.Chunk(stream(p, 700, frame.Form{}), batch) {
				n += checkLaw(t, &c, fs)
			}
			require.Equal(t, batch > 1 && joinable(packet{proto: p.proto, options: p.options, ext: p.ext}), n > 0, sh.name)
		}
	}
}

// pair gives two segments in order, of 100 bytes each.
func pair(p packet) []frame.Frame {
	if p.payload == nil {
		p.payload = random(rand.New(rand.NewPCG(22, 1)), 200)
	}
	return stream(p, 100, frame.Form{})
}

// A rule is a change of the second of two segments, and whether they are joined all
// the same.
type rule struct {
	name string
	p    packet
	do   func(f *frame.Frame)
	want bool
}

func at(where int, mask byte) func(*frame.Frame) {
	return func(f *frame.Frame) { f.Data[where] ^= mask }
}

// Where the TCP header stands in the packets of rules.
const l4v4, l4v6 = 34, 54

var (
	ipv4   = packet{proto: tcp}
	ipv4df = packet{proto: tcp, df: true}
	ipv6   = packet{v6: true, proto: tcp}
)

var rules = []rule{
	{"as it was", ipv4, func(*frame.Frame) {}, true},
	{"as it was, IPv6", ipv6, func(*frame.Frame) {}, true},
	{"another time", ipv4, func(f *frame.Frame) { f.Time++ }, true},
	{"another tunnel", ipv4, func(f *frame.Frame) { f.Tunnel++ }, false},
	{"another next hop", ipv4, func(f *frame.Frame) { f.Nexthop++ }, false},
	{"another tag", ipv4, func(f *frame.Frame) { f.Tag = customer }, false},
	{"another destination address", ipv4, at(5, 1), false},
	{"another source address", ipv4, at(11, 1), false},
	{"TOS", ipv4, at(15, 4), false},
	{"CE", ipv4, at(15, 3), false},
	{"identification further on", ipv4, at(19, 4), false},
	{"same identification", ipv4, at(19, 1), false},
	{"same identification, DF", ipv4df, at(19, 1), true},
	{"identification further on, DF", ipv4df, at(19, 4), false},
	{"DF", ipv4, at(20, 0x40), false},
	{"evil bit", ipv4, at(20, 0x80), false},
	{"more fragments", ipv4, at(20, 0x20), false},
	{"TTL", ipv4, at(22, 1), false},
	{"source", ipv4, at(29, 1), false},
	{"destination", ipv4, at(33, 1), false},
	{"traffic class", ipv6, at(15, 0x10), false},
	{"flow label", ipv6, at(17, 1), false},
	{"hop limit", ipv6, at(21, 1), false},
	{"IPv6 source", ipv6, at(37, 1), false},
	{"IPv6 destination", ipv6, at(53, 1), false},
	{"source port", ipv4, at(l4v4+1, 1), false},
	{"destination port", ipv6, at(l4v6+3, 1), false},
	{"sequence", ipv4, at(l4v4+7, 1), false},
	{"sequence, far", ipv4, at(l4v4+4, 1), false},
	{"acknowledgement", ipv4, at(l4v4+11, 1), false},
	{"window", ipv4, at(l4v4+15, 1), false},
	{"urgent pointer", ipv4, at(l4v4+19, 1), false},
	{"FIN", ipv4, at(l4v4+13, fin), true},
	{"PSH", ipv6, at(l4v6+13, psh), true},
	{"SYN", ipv4, at(l4v4+13, syn), false},
	{"RST", ipv4, at(l4v4+13, rst), false},
	{"URG", ipv4, at(l4v4+13, urg), false},
	{"CWR", ipv4, at(l4v4+13, cwr), false},
	{"ECE", ipv4, at(l4v4+13, ece), false},
	{"AE", ipv4, at(l4v4+12, 1), false},
	{"another timestamp", packet{proto: tcp, tcpOpt: timestamps}, at(l4v4+31, 1), false},
	{"padding", ipv4, func(f *frame.Frame) { f.Data = append(f.Data, 0) }, false},
	{"segmentation owed", ipv4, func(f *frame.Frame) {
		f.Owed = frame.Offload{Flags: 1, GSOType: 1, GSOSize: 50, CsumStart: l4v4, CsumOffset: 16}
	}, false},
	{"another debt", ipv4, func(f *frame.Frame) {
		f.Owed = frame.Offload{Flags: 1, CsumStart: l4v4, CsumOffset: 6}
	}, false},
}

// frames gives the two segments, with sums that are right after the change.
func (r *rule) frames() []frame.Frame {
	fs := pair(r.p)
	r.do(&fs[1])
	if len(fs[1].Data) == len(fs[0].Data) && fs[1].Data[20]&0x20 == 0 {
		fix(fs[1].Data)
	}
	return fs
}

func TestCoalesceRules(t *testing.T) {
	for _, r := range rules {
		var c frame.Coalescer
		require.Equal(t, r.want, checkLaw(t, &c, r.frames()) == 1, r.name)
	}
}

// What a first segment must not be, for a second to be joined to it.
func TestCoalesceBeginnings(t *testing.T) {
	for _, flags := range []byte{fin, syn, rst, psh, urg, cwr} {
		fs := pair(packet{proto: tcp})
		for i := range fs {
			fs[i].Data[34+13] |= flags
			fix(fs[i].Data)
		}
		var c frame.Coalescer
		require.Zero(t, checkLaw(t, &c, fs), "flags %#x", flags)
	}
	fs := pair(packet{proto: tcp, payload: make([]byte, 300)})
	grown := packet{proto: tcp, payload: make([]byte, 201), id: 1, seq: 100}
	var c frame.Coalescer
	require.Zero(t, checkLaw(t, &c, []frame.Frame{fs[0], stream(grown, 300, frame.Form{})[0]}), "the second is longer")
	short := packet{proto: tcp, payload: make([]byte, 99), id: 1, seq: 100}
	last := packet{proto: tcp, payload: make([]byte, 99), id: 2, seq: 199}
	out, weights := c.Coalesce([]frame.Frame{fs[0], stream(short, 300, frame.Form{})[0], stream(last, 300, frame.Form{})[0]})
	require.Equal(t, []uint16{2, 1}, weights, "a shorter one is the last")
	require.Len(t, out, 2)
}

// Sums that are not right are not made right.
func TestCoalesceVerifies(t *testing.T) {
	for _, form := range []frame.Form{{}, {Checksum: true}} {
		for _, p := range []packet{{proto: tcp}, {v6: true, proto: tcp}} {
			p.payload = random(rand.New(rand.NewPCG(23, 1)), 500)
			for i := range 5 {
				at := []int{34 + 16, 34 + 17, 60, 24}
				if p.v6 {
					at = []int{54 + 16, 54 + 17, 80}
				}
				for _, at := range at {
					fs := stream(p, 100, form)
					fs[i].Data[at] ^= 0x10
					data := (at > 54 && !p.v6 || at > 74) && form.Checksum // the sum is still to come
					var c frame.Coalescer
					joined := checkLaw(t, &c, fs)
					_, weights := c.Coalesce(fs)
					var want []uint16
					switch {
					case data:
						want = []uint16{5}
					case i == 0 || i == 4:
						want = [][]uint16{0: {1, 4}, 4: {4, 1}}[i]
					case i == 1:
						want = []uint16{1, 1, 3}
					case i == 2:
						want = []uint16{2, 1, 2}
					case i == 3:
						want = []uint16{3, 1, 1}
					}
					require.Equal(t, want, weights, "IPv6 %v, owed %v, byte %d of segment %d", p.v6, form.Checksum, at, i)
					require.NotZero(t, joined)
				}
			}
		}
	}
}

// What comes between the segments of a stream ends the joined frame if it is of the
// same stream, and lets it be if not.
func TestCoalesceBetween(t *testing.T) {
	rnd := rand.New(rand.NewPCG(24, 1))
	base := packet{proto: tcp, payload: random(rnd, 400)}
	one := func(p packet) frame.Frame { return stream(p, 9000, frame.Form{})[0] }
	bare := one(packet{proto: tcp, seq: 200, id: 9, payload: []byte{1}})
	bare.Data = bare.Data[:54]
	binary.BigEndian.PutUint16(bare.Data[16:], 40)
	fix(bare.Data)
	padded := bare.Clone()
	padded.Data = append(padded.Data, make([]byte, 6)...)
	elsewhere := bare.Clone()
	elsewhere.Data[35]++
	fragment := one(packet{proto: tcp, payload: []byte("xyz")})
	fragment.Data[20] |= 0x20
	super := packet{proto: tcp, payload: random(rnd, 5000)}.build(1000)
	short := frame.Frame{Data: one(packet{proto: tcp, payload: []byte("x")}).Data[:40]}
	for _, tc := range []struct {
		name string
		f    frame.Frame
		ends bool
	}{
		{"an acknowledgement", bare, true},
		{"a padded acknowledgement", padded, true},
		{"another stream's acknowledgement", elsewhere, false},
		{"a segment out of order", one(packet{proto: tcp, seq: 5000, payload: []byte("x")}), true},
		{"a frame that owes its segmentation", super, true},
		{"a fragment", fragment, true},
		{"IPv4 options", one(packet{proto: tcp, options: []byte{1, 1, 1, 0}, payload: []byte("x")}), true},
		{"IPv6 extensions", one(packet{v6: true, ext: extensions, proto: tcp, payload: []byte("x")}), true},
		{"cut short", short, true},
		{"UDP", one(packet{proto: udp, payload: []byte("x")}), false},
		{"IPv6 UDP", one(packet{v6: true, proto: udp, payload: []byte("x")}), false},
		{"no IP", frame.Frame{Data: hex(addrs, 0x88b5)}, false},
		{"ARP", frame.Frame{Data: hex(addrs, 0x0806, make([]byte, 46))}, false},
		{"nothing in an IP frame", frame.Frame{Data: hex(addrs, 0x0800)}, false},
		{"nothing in a tagged frame", frame.Frame{Data: hex(addrs, 0x8100, 5, 0x86dd)}, false},
		{"a lifted tag and no more", frame.Frame{Data: hex(addrs, 0x8100, 5, 0x86dd), Lifted: true}, false},
	} {
		fs := stream(base, 100, frame.Form{})
		fs = slices.Insert(fs, 2, tc.f)
		var c frame.Coalescer
		checkLaw(t, &c, fs)
		out, weights := c.Coalesce(fs)
		want := []uint16{4, 1}
		if tc.ends {
			want = []uint16{2, 1, 2}
		}
		require.Equal(t, want, weights, tc.name)
		require.Equal(t, tc.f, out[1], tc.name)
	}
}

// Streams side by side are each joined, in the place of their first segments; more
// than eight at once not all.
func TestCoalesceFlows(t *testing.T) {
	rnd := rand.New(rand.NewPCG(25, 1))
	for n := 1; n <= 12; n++ {
		var fs []frame.Frame
		for i := range n {
			p := shapes[i%2*3].packet
			p.ports, p.payload, p.tags = [2]uint16{uint16(1000 + i), 80}, random(rnd, 500), taggings[i%len(taggings)]
			fs = append(fs, stream(p, 100, frame.Form{})...)
		}
		turns := make([]frame.Frame, 0, len(fs))
		for k := range 5 {
			for i := range n {
				turns = append(turns, fs[5*i+k])
			}
		}
		var c frame.Coalescer
		joined := checkLaw(t, &c, turns)
		if n > 8 {
			require.Zero(t, joined, "nine streams that take turns drive each other out")
			require.Equal(t, n, checkLaw(t, &c, fs), "one after the other they do not")
			continue
		}
		require.Equal(t, n, joined)
		out, weights := c.Coalesce(turns)
		require.Equal(t, slices.Repeat([]uint16{5}, n), weights)
		for i := range out {
			require.Equal(t, uint16(1000+i), binary.BigEndian.Uint16(out[i].Data[out[i].Owed.CsumStart:]))
		}
	}
}

// A joined frame is bounded by IP's length, by MaxFrame and by the scratch memory.
func TestCoalesceBounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(26, 1))
	for _, v6 := range []bool{false, true} {
		var fs []frame.Frame
		p := packet{v6: v6, proto: tcp, tags: taggings[1]}
		for range 10 {
			p.payload = random(rnd, 60000)
			fs = append(fs, stream(p, 1000, frame.Form{})...)
			p.seq, p.id = p.seq+60000, p.id+60
		}
		for _, limit := range []int{0, 1500, 3000, 9018, 40000} {
			c := frame.Coalescer{MaxFrame: limit}
			checkLaw(t, &c, fs)
			out, weights := c.Coalesce(fs)
			require.Equal(t, weights[0] == 1, limit == 1500)
			total := 0
			for i := range out {
				if weights[i] > 1 {
					total += len(out[i].Data)
				}
				require.LessOrEqual(t, out[i].WireLen(), max(limit, 65535+18*min(1, max(0, 1-limit))))
				require.LessOrEqual(t, len(out[i].Data)-14, 65535)
			}
			require.LessOrEqual(t, total, 256<<10)
			if limit == 0 {
				require.Greater(t, total, 3*65000)
			}
		}
	}
	tiny := stream(packet{proto: tcp, payload: random(rnd, 6000)}, 30, frame.Form{})
	more := stream(packet{proto: tcp, seq: 6000, id: 200, payload: random(rnd, 6000)}, 30, frame.Form{})
	var c frame.Coalescer
	require.Positive(t, checkLaw(t, &c, slices.Concat(tiny, more)))
}

func TestCoalesceMemory(t *testing.T) {
	rnd := rand.New(rand.NewPCG(27, 1))
	fs := stream(packet{proto: tcp, payload: random(rnd, 45*1448), tcpOpt: timestamps}, 1448, frame.Form{})
	others := slices.Repeat([]frame.Frame{{Data: hex(addrs, 0x88b5, payload)}}, 64)
	var c frame.Coalescer
	n := testing.AllocsPerRun(50, func() {
		if out, _ := c.Coalesce(fs); len(out) != 1 {
			t.Error("not joined")
		}
		if out, weights := c.Coalesce(others); &out[0] != &others[0] || weights[63] != 1 {
			t.Error("frames that are not TCP do not pass as they are")
		}
	})
	require.Zero(t, n)
	out, _ := c.Coalesce(fs)
	c.Release()
	require.Nil(t, out[0].Data, "Release keeps a frame")
	out, weights := c.Coalesce(nil)
	require.Empty(t, out)
	require.Empty(t, weights)
}

func BenchmarkCoalesce(b *testing.B) {
	rnd := rand.New(rand.NewPCG(28, 1))
	p := packet{proto: tcp, payload: random(rnd, 45*1448), tcpOpt: timestamps}
	complete, owing := stream(p, 1448, frame.Form{}), stream(p, 1448, frame.Form{Checksum: true})
	others := make([]frame.Frame, 64)
	acks := make([]frame.Frame, 64)
	for i := range others {
		others[i] = stream(packet{proto: udp, payload: make([]byte, 100)}, 9000, frame.Form{})[0]
		acks[i] = stream(packet{proto: tcp, payload: []byte{1}}, 9000, frame.Form{})[0]
		acks[i].Data = acks[i].Data[:54]
		binary.BigEndian.PutUint16(acks[i].Data[16:], 40)
	}
	to := make([]byte, 1<<16)
	for _, bm := range []struct {
		name string
		fs   []frame.Frame
		want int
	}{{"Complete45", complete, 1}, {"Owing45", owing, 1}, {"UDP64", others, 64}, {"Acks64", acks, 64}} {
		bytes := 0
		for i := range bm.fs {
			bytes += len(bm.fs[i].Data)
		}
		b.Run(bm.name, func(b *testing.B) {
			var c frame.Coalescer
			b.SetBytes(int64(bytes))
			for b.Loop() {
				if out, _ := c.Coalesce(bm.fs); len(out) != bm.want {
					b.Fatal(len(out), "frames")
				}
			}
		})
		b.Run(bm.name+"/copy", func(b *testing.B) {
			b.SetBytes(int64(bytes))
			for b.Loop() {
				at := 0
				for i := range bm.fs {
					at += copy(to[min(at, 60000):], bm.fs[i].Data)
				}
			}
		})
	}
}

// Segments that came in one by one leave as one frame.
func ExampleCoalescer() {
	segments := stream(packet{proto: tcp, flags: psh, payload: make([]byte, 3000)}, 1448, frame.Form{})
	segments = append(segments, frame.Frame{Data: hex(addrs, 0x88b5, payload)})

	var c frame.Coalescer // one for each reader
	out, weights := c.Coalesce(segments)
	for i := range out {
		fmt.Println(len(out[i].Data), "bytes for", weights[i], "frames, segment size", out[i].Owed.GSOSize)
	}
	c.Release()
	// Output:
	// 3054 bytes for 3 frames, segment size 1448
	// 21 bytes for 1 frames, segment size 0
}
