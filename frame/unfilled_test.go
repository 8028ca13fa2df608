package frame_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// A frame whose checksum its sender has left to a device is seen to owe it, whatever
// its headers and tags; one whose checksum is filled in owes nothing.
func TestOweUnfilled(t *testing.T) {
	eachPacket(t, 41, func(t *testing.T, p packet, _ int) {
		want := p.build(0)
		f := want.Clone()
		f.Owed = frame.Offload{}
		require.True(t, f.OweUnfilled())
		require.Equal(t, want, f)
		require.NoError(t, f.CheckOwed())
		require.False(t, f.OweUnfilled(), "it owes something already")

		fs, _ := f.AppendFinished(nil, nil, frame.Form{TagInline: true})
		g := fs[0]
		ck, err := check(g.Data)
		require.NoError(t, err)
		if binary.BigEndian.Uint16(ck.csum) == ck.pseudo {
			return // by chance
		}
		require.False(t, g.OweUnfilled())
		require.True(t, g.Owed.None())

		padded := want.Clone()
		padded.Owed = frame.Offload{}
		padded.Data = append(padded.Data, 1, 2, 3)
		require.False(t, padded.OweUnfilled(), "padding would be summed")
	})
}

// Where the checksum that is right happens to be the sum over the pseudo header, it is
// reckoned to be just that again.
func TestOweUnfilledByChance(t *testing.T) {
	for _, sh := range shapes {
		p := sh.packet
		p.payload = make([]byte, 64)
		f := p.build(0)
		start := int(f.Owed.CsumStart)
		sum := binary.BigEndian.Uint16(f.Data[start+int(f.Owed.CsumOffset):])
		binary.BigEndian.PutUint16(f.Data[len(f.Data)-2:], ^slowSum(f.Data[start:], uint32(sum)))
		_, err := check(f.Data)
		require.NoError(t, err, "%s: the checksum is right as it stands", sh.name)
		g := f.Clone()
		g.Owed = frame.Offload{}
		require.True(t, g.OweUnfilled())
		fs, _ := g.AppendFinished(nil, nil, frame.Form{})
		require.Equal(t, f.Data, fs[0].Data, sh.name)
	}
}

// FuzzOweUnfilled holds that no byte is changed, that what is owed can be paid, and
// that a frame whose checksum was right is the same when it is.
func FuzzOweUnfilled(f *testing.F) {
	for _, sh := range shapes {
		p := sh.packet
		p.payload = []byte("payload.")
		fr := p.build(0)
		f.Add(fr.Data)
	}
	f.Add(hex(addrs, 0x8100, 10, 0x86dd))
	f.Fuzz(func(t *testing.T, wire []byte) {
		fr := frame.Frame{Data: bytes.Clone(wire)}
		if !fr.WellFormed() {
			return
		}
		owes := fr.OweUnfilled()
		if !bytes.Equal(fr.Data, wire) || owes == fr.Owed.None() {
			t.Fatalf("% x: changed, or %v and owes %+v", wire, owes, fr.Owed)
		}
		if !owes {
			return
		}
		if err := fr.CheckOwed(); err != nil {
			t.Fatalf("% x: owes what cannot be: %v", wire, err)
		}
		fs, _ := fr.AppendFinished(nil, nil, frame.Form{})
		if _, err := check(wire); err == nil && !bytes.Equal(fs[0].Data, wire) {
			t.Fatalf("% x: was right, and becomes % x", wire, fs[0].Data)
		}
	})
}

func TestOweUnfilledAllocatesNothing(t *testing.T) {
	want := packet{proto: tcp, payload: []byte("payload.")}.build(0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		f := want
		f.Owed = frame.Offload{}
		if !f.OweUnfilled() {
			t.Fatal("owes nothing")
		}
	}))
}
