package filter

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// A probe that is read has the token where it was written, behind whatever tags.
func FuzzProbe(f *testing.F) {
	probe := appendProbe(nil, frame.MAC{2, 0, 0, 0, 0, 1}, token{1, 2, 3})
	f.Add(probe)
	f.Add(append(append(bytes.Clone(probe[:12]), 0x81, 0, 0, 7), probe[12:]...))
	f.Add(probe[:51])
	f.Fuzz(func(t *testing.T, wire []byte) {
		f := frame.Frame{Data: wire}
		if !f.WellFormed() {
			return
		}
		got, ok := parseProbe(&f)
		if !ok {
			return
		}
		require.True(t, f.Dst().IsBroadcast())
		again := appendProbe(nil, f.Src(), got)
		at := bytes.Index(wire, again[12:12+2+len(probeStart)+len(got)])
		require.GreaterOrEqual(t, at, 12)
		f.Data = again
		same, ok := parseProbe(&f)
		require.True(t, ok)
		require.Equal(t, got, same)
	})
}
