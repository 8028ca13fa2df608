package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// FuzzFinish takes any bytes with any debt. What CheckOwed refuses becomes nothing;
// of what it lets pass, the segments are whole packets that hold the payload, in
// memory that is bounded, and joining them gives packets that are cut the same way.
func FuzzFinish(f *testing.F) {
	rnd := rand.New(rand.NewPCG(50, 1))
	add := func(g frame.Frame) {
		f.Add(g.Data, g.Owed.Flags, g.Owed.GSOType, g.Owed.HdrLen, g.Owed.GSOSize, g.Owed.CsumStart, g.Owed.CsumOffset, g.Lifted, uint32(g.Tag.TPID)<<16|uint32(g.Tag.TCI))
	}
	for _, sh := range shapes {
		for _, tg := range taggings {
			p := sh.packet
			p.tags, p.payload, p.flags = tg, random(rnd, 300), []byte{psh, cwr, fin}[rnd.IntN(3)]
			for _, size := range []int{0, 7, 100, 1000} {
				add(p.build(size))
			}
		}
	}
	for _, tn := range tunnels {
		for _, sh := range tn.inside() {
			p := sh.packet
			p.payload, p.flags = random(rnd, 300), psh
			for _, size := range []int{0, 100, 1000} {
				add(tn.build(p, size, taggings[rnd.IntN(len(taggings))]))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, flags, gso uint8, hdrLen, size, start, offset uint16, lifted bool, tag uint32) {
		g := frame.Frame{Data: bytes.Clone(data), Lifted: lifted, Tag: frame.Tag{TPID: frame.EtherType(tag >> 16), TCI: uint16(tag)}}
		g.Owed = frame.Offload{Flags: flags, GSOType: gso, HdrLen: hdrLen, GSOSize: size, CsumStart: start, CsumOffset: offset}
		if !g.WellFormed() {
			return
		}
		err := g.CheckOwed()
		if err != nil {
			fs, buf := g.AppendFinished(nil, nil, frame.Form{})
			if !errors.Is(err, frame.ErrBadOffload) || len(fs)+len(buf) != 0 {
				t.Fatalf("%v, and all the same %d frames", err, len(fs))
			}
			return
		}
		if g.Owed.GSO() {
			fixDebt(t, &g)
			require.NoError(t, g.CheckOwed())
		}
		for _, form := range forms {
			before := g.Clone()
			fs, buf := g.AppendFinished(nil, nil, form)
			require.Equal(t, before, g, "the frame was changed")
			require.LessOrEqual(t, len(buf)+len(fs)*int(unsafe.Sizeof(g)), len(data)+256<<10+len(fs)*frame.TagLen+64)
			finishedLaw(t, &g, fs, form)
		}
	})
}

// fixDebt makes the sums right that the sender has to, so that the segments' can be.
func fixDebt(t *testing.T, g *frame.Frame) {
	end := packetEnd(g)
	head := g.Data[:end]
	if g.Tunnelled() {
		fixTunnelDebt(t, head, g)
		return
	}
	wire := (&frame.Frame{Data: head, Lifted: g.Lifted}).AppendWire(nil)
	c, err := checkLoosely(wire)
	require.NoError(t, err, "CheckOwed lets it pass")
	shift := len(head) - len(wire)
	if !c.v6 {
		h := head[c.ip+shift : c.ip+shift+int(wire[c.ip]&15)*4]
		clear(h[10:12])
		binary.BigEndian.PutUint16(h[10:], ^slowSum(h, 0))
	}
	binary.BigEndian.PutUint16(head[int(g.Owed.CsumStart)+int(g.Owed.CsumOffset):], c.pseudo)
}

// packetEnd is where the packet in g ends, by its IP length.
func packetEnd(g *frame.Frame) int {
	at := 12
	if g.Lifted {
		at = 16
	}
	for frame.EtherType(binary.BigEndian.Uint16(g.Data[at:])).IsTag() {
		at += 4
	}
	if ip := g.Data[at+2:]; ip[0]>>4 == 6 {
		return at + 2 + 40 + int(binary.BigEndian.Uint16(ip[4:]))
	} else {
		return at + 2 + int(binary.BigEndian.Uint16(ip[2:]))
	}
}

// finishedLaw holds what became of g against it.
func finishedLaw(t *testing.T, g *frame.Frame, fs []frame.Frame, form frame.Form) {
	if !g.Owed.GSO() {
		require.Equal(t, 1, len(fs))
		want := g.AppendWire(nil)
		if o := g.OwedOnWire(); !o.None() && !form.Checksum {
			at := int(o.CsumStart)
			sum := ^slowSum(want[at:], 0)
			if sum == 0 {
				sum = 0xffff
			}
			binary.BigEndian.PutUint16(want[at+int(o.CsumOffset):], sum)
		}
		require.Equal(t, want, fs[0].AppendWire(nil))
		return
	}
	whole := *g
	whole.Data = g.Data[:packetEnd(g)]
	wire := whole.AppendWire(nil)
	if frame.EtherType(binary.BigEndian.Uint16(wire[12:])).IsTag() || !g.Tag.Present() { // else check cannot tell
		cut, hold := slowSegments, checkFinished
		if g.Tunnelled() {
			inner := innerOf(t, wire, g.OwedOnWire())
			cut = func(wire []byte, size int) [][]byte { return slowTunnelSegments(wire, inner, size) }
			hold = checkTunnelled
		}
		want := cut(wire, int(g.Owed.GSOSize))
		require.Equal(t, len(want), len(fs))
		for i := range fs {
			hold(t, &fs[i], g, form, want[i])
		}
	}
	var c frame.Coalescer
	checkLaw(t, &c, fs)
}

// FuzzCoalesce joins streams of which every byte of script does something: sends a
// segment of some stream, skips or repeats bytes of it, changes a field, damages a
// byte. Cut again, what comes out is what went in.
func FuzzCoalesce(f *testing.F) {
	f.Add([]byte{0x00, 0x00, 0x00, 0x00})
	f.Add([]byte{0x00, 0x01, 0x02, 0x03, 0x00, 0x01, 0x02, 0x03, 0x00, 0x01, 0x02, 0x03, 0x04, 0x08, 0x0c})
	f.Add([]byte{0x00, 0x00, 0x10, 0x00, 0x00, 0x20, 0x00, 0x30, 0x00, 0x40, 0x00, 0x00, 0x50, 0x05, 0x60, 0x00, 0x00, 0x70, 0x07, 0x00})
	f.Add(bytes.Repeat([]byte{0x00, 0x03, 0x80, 0x10, 0x00, 0x90, 0x21, 0x03, 0xa0, 0x33, 0x00, 0x00, 0xb0, 0x01, 0xc0, 0x00, 0xd0, 0xe0, 0xf0, 0x01}, 5))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 300 {
			script = script[:300]
		}
		var c frame.Coalescer
		if len(script) > 0 && script[0]&0x80 != 0 {
			c.MaxFrame = 1000
		}
		fs := play(script)
		checkLaw(t, &c, fs)
		checkLaw(t, &c, fs) // also with what is left of the first time
		c.Release()
	})
}

// play makes frames as a script says: the lower half of a byte names a stream (of
// four kinds of headers, with tags of three kinds), the upper what is special.
func play(script []byte) (fs []frame.Frame) {
	kinds := []packet{{proto: tcp}, {v6: true, proto: tcp, tcpOpt: timestamps}, {proto: tcp, df: true}, {v6: true, proto: udp}}
	var streams [16]packet
	for i := range streams {
		p := kinds[i&3]
		p.ports, p.tags = [2]uint16{uint16(7 * i), 80}, taggings[[]int{0, 2, 6, 5}[i>>2]]
		streams[i] = p
	}
	rnd := rand.New(rand.NewPCG(51, uint64(len(script))))
	for i := 0; i < len(script); i++ {
		p := &streams[script[i]&15]
		what, arg := script[i]>>4, byte(0)
		if what >= 8 && i+1 < len(script) {
			i++
			arg = script[i]
		}
		n, form := 100, frame.Form{Checksum: what == 1}
		q := *p
		switch what {
		case 2:
			n = 60
		case 3:
			q.flags = psh
		case 4:
			q.flags = fin
		case 5:
			q.id-- // the same identification again
		case 8:
			n = 1 + int(arg)
		case 9:
			q.seq += uint32(arg)
		case 10:
			q.flags = arg
		case 11:
			q.id += uint16(arg)
		}
		q.payload = random(rnd, n)
		g := stream(q, 9000, form)[0]
		switch what {
		case 6:
			g.Data = append(g.Data, 0, 0)
		case 7:
			g.Tunnel++
		case 12, 13: // a byte of the headers, sums right again or not
			g.Data[int(arg)%len(g.Data)] ^= 1 << (arg & 7)
			if w, err := checkLoosely(g.Data); what == 12 && err == nil && g.Owed.None() && w.l4 > 0 {
				fix(g.Data)
			}
		case 14:
			g.Data = g.Data[:14+int(arg)%(len(g.Data)-14)]
			g.Owed = frame.Offload{}
		case 15:
			q.payload = random(rnd, 400)
			g = q.build(100)
		}
		if g.CheckOwed() != nil || !g.WellFormed() {
			continue
		}
		fs = append(fs, g)
		p.id, p.seq = q.id+1, q.seq+uint32(len(q.payload))
	}
	return fs
}

// The script reaches what it is for.
func TestPlayJoinsAndRefuses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(52, 1))
	var c frame.Coalescer
	joined, alone := 0, 0
	for range 300 {
		script := random(rnd, 1+rnd.IntN(100))
		for i := range script {
			if rnd.IntN(3) > 0 {
				script[i] &= 0x07
			}
		}
		fs := play(script)
		checkLaw(t, &c, fs)
		_, weights := c.Coalesce(fs)
		for _, w := range weights {
			if w > 1 {
				joined++
			} else {
				alone++
			}
		}
	}
	require.Greater(t, joined, 300)
	require.Greater(t, alone, 300)
}
