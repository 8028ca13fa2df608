package stp

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestParseConfig(t *testing.T) {
	// What a Linux bridge that is root sends.
	b := unhex(t, "0000000000"+"8000020000000010"+"00000000"+"8000020000000010"+"8001"+"0000"+"1400"+"0200"+"0f00")
	p, err := Parse(b)
	require.NoError(t, err)
	id := BridgeID{0x8000, frame.MustParseMAC("02:00:00:00:00:10")}
	assert.Equal(t, BPDU{
		Type: Config, Root: id, Bridge: id, Port: 0x8001,
		MaxAge: 20 * 256, HelloTime: 2 * 256, ForwardDelay: 15 * 256,
	}, p)
	assert.Equal(t, b, p.Append(nil))
	assert.Equal(t, "8000.02:00:00:00:00:10", p.Root.String())
	assert.Equal(t, 15*time.Second, p.ForwardDelay.Duration())
}

func TestParseRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":                "",
		"three bytes":            "000000",
		"another protocol":       "00010080",
		"no type of ours":        "00000001",
		"a rapid one of STP":     strings.Repeat("0", 6) + "02" + strings.Repeat("0", 64),
		"a rapid one too short":  "00000202" + strings.Repeat("0", 62),
		"a config one too short": strings.Repeat("0", 68),
	} {
		_, err := Parse(unhex(t, s))
		assert.ErrorIs(t, err, ErrMalformed, name)
	}
}

func TestTicks(t *testing.T) {
	for d, want := range map[time.Duration]Ticks{
		-1: 0, 0: 0, 1: 1, time.Second / 256: 1, time.Second/256 + 1: 2,
		time.Second: 256, 255 * time.Second: 255 * 256, 256 * time.Second: 65535, 1 << 62: 65535,
	} {
		assert.Equal(t, want, TicksOf(d), d)
	}
}

// What is parsed and appended again is what was there, up to the BPDU's own end.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, "00000080"))
	f.Add(unhex(f, "0000000000800002000000001000000000800002000000001080010000140002000f00"))
	f.Add(unhex(f, "00000202fc800002000000001000000000800002000000001080010000140002000f0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Zero(t, p)
			return
		}
		again := p.Append(nil)
		require.LessOrEqual(t, len(again), len(b))
		if p.Type == RST {
			again[rapidLen-1] = b[rapidLen-1] // Version 1 Length says nothing
		}
		require.Equal(t, b[:len(again)], again)
	})
}
