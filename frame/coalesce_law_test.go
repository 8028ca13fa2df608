package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// checkLaw joins fs and holds what comes out against fs: finished, it is the same
// frames, in the same order within each stream; untouched frames are those of fs.
func checkLaw(t testing.TB, c *frame.Coalescer, fs []frame.Frame) (joined int) {
	t.Helper()
	before := make([]frame.Frame, len(fs))
	for i := range fs {
		before[i] = fs[i].Clone()
	}
	out, weights := c.Coalesce(fs)
	require.Equal(t, len(weights), len(out))
	var got []frame.Frame
	total, at := 0, 0
	for i := range out {
		total += int(weights[i])
		if weights[i] == 1 {
			for at < len(fs) && (&fs[at].Data[0] != &out[i].Data[0] || fs[at].Owed != out[i].Owed) {
				at++ // untouched frames keep their order among themselves
			}
			require.Less(t, at, len(fs), "frame %d is none of those that came, in their order", i)
			require.Equal(t, fs[at], out[i])
			got = append(got, out[i])
			continue
		}
		joined++
		require.NoError(t, out[i].CheckOwed())
		require.LessOrEqual(t, out[i].WireLen(), 65535+14+4*4)
		all, _ := out[i].AppendFinished(nil, nil, frame.Form{})
		require.Equal(t, int(weights[i]), len(all))
		got = append(got, all...)
	}
	require.Equal(t, len(fs), total, "the weights")
	for i := range fs {
		require.Equal(t, before[i], fs[i], "frame %d was changed", i)
	}
	sameStreams(t, byStream(t, fs), byStream(t, got))
	return joined
}

// byStream sorts finished frames by their streams.
func byStream(t testing.TB, fs []frame.Frame) map[string][][]byte {
	m := map[string][][]byte{}
	for i := range fs {
		name, f := "others", &fs[i]
		all := []frame.Frame{*f}
		if f.Owed.None() || f.CheckOwed() == nil && !f.Owed.GSO() {
			all, _ = f.AppendFinished(nil, nil, frame.Form{})
			require.Equal(t, 1, len(all))
		}
		wire := all[0].AppendWire(nil)
		if len(wire) > 54 {
			if c, err := checkLoosely(wire); err == nil && c.proto == tcp {
				name = c.stream
			}
		}
		m[name] = append(m[name], fmt.Appendf(wire, "%d", f.Tunnel))
	}
	return m
}

// checkLoosely is check that does not mind wrong checksums.
func checkLoosely(wire []byte) (checked, error) {
	w := slices.Clone(wire)
	ip := 12
	for ip+24 < len(w) && frame.EtherType(binary.BigEndian.Uint16(w[ip:])).IsTag() {
		ip += 4
	}
	ip += 2
	if ip+20 > len(w) || w[ip]>>4 == 4 && len(w) < ip+int(w[ip]&15)*4 {
		return checked{}, fmt.Errorf("too short")
	}
	if w[ip]>>4 == 4 {
		h := w[ip : ip+int(w[ip]&15)*4]
		if len(h) < 20 {
			return checked{}, fmt.Errorf("no IPv4 header")
		}
		clear(h[10:12])
		binary.BigEndian.PutUint16(h[10:], ^slowSum(h, 0))
	}
	c, err := check(w)
	if err == errTransportSum {
		err = nil
	}
	return c, err
}

// sameStreams compares streams byte for byte. With DF, a run of equal
// identifications may have become one that counts up, and a TCP checksum of 0xffff
// (as of a frame finished alone) one of 0, which says the same.
func sameStreams(t testing.TB, want, got map[string][][]byte) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for name := range want {
		require.Equal(t, len(want[name]), len(got[name]), name)
		for i, w := range want[name] {
			g := got[name][i]
			if bytes.Equal(w, g) {
				continue
			}
			c, _ := checkLoosely(w[:len(w)-1])
			d, err := checkLoosely(g[:len(g)-1])
			if err == nil && d.proto == tcp && bytes.Equal(c.csum, []byte{0xff, 0xff}) && bytes.Equal(d.csum, []byte{0, 0}) {
				copy(g[d.l4+16:], c.csum)
			}
			if err == nil && c.df && d.df && c.id != d.id && i > 0 {
				p, _ := checkLoosely(want[name][i-1][:len(want[name][i-1])-1])
				require.Equal(t, p.id, c.id, "the identification of frame %d of %s:\n% x\n% x", i, name, w, g)
				copy(g[d.ip+4:d.ip+6], w[c.ip+4:])
				copy(g[d.ip+10:d.ip+12], w[c.ip+10:])
			}
			require.Equal(t, w, g, "frame %d of %s", i, name)
		}
	}
}
