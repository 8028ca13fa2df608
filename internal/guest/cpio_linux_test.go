package guest

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// entry is a file as the kernel would find it.
type entry struct {
	mode uint64
	data string
}

// readArchive reads an archive as the kernel does.
func readArchive(t *testing.T, text string) (all map[string]entry, order []string) {
	t.Helper()
	const header = 110
	all = make(map[string]entry)
	rest := text
	align := func() { rest = rest[min((4-(len(text)-len(rest))%4)%4, len(rest)):] }
	for {
		require.Greater(t, len(rest), header)
		require.Equal(t, "070701", rest[:6])
		field := func(i int) uint64 {
			b, err := hex.DecodeString(rest[6+8*i:][:8])
			require.NoError(t, err)
			return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
		}
		mode, size, nameSize := field(1), int(field(6)), int(field(11))
		name := rest[header:][:nameSize-1]
		require.Zero(t, rest[header+nameSize-1])
		rest = rest[header+nameSize:]
		align()
		data := rest[:size]
		rest = rest[size:]
		align()
		if name == "TRAILER!!!" {
			require.Empty(t, rest)
			return all, order
		}
		all[name] = entry{mode, data}
		order = append(order, name)
	}
}

// What is put into an archive comes out, each directory before what is in it.
func TestArchive(t *testing.T) {
	var a archive
	a.dir("proc")
	a.file("init", 0o755, []byte("#!/bin/sh\n"))
	a.file("lib/x/empty", 0o644, nil)
	a.file("lib/x/odd", 0o600, []byte("odd"))
	var text strings.Builder
	require.NoError(t, a.writeTo(&text))
	all, order := readArchive(t, text.String())
	assert.Equal(t, []string{"proc", "init", "lib", "lib/x", "lib/x/empty", "lib/x/odd"}, order)
	assert.Equal(t, map[string]entry{
		"proc": {0o040755, ""}, "lib": {0o040755, ""}, "lib/x": {0o040755, ""},
		"init": {0o100755, "#!/bin/sh\n"}, "lib/x/empty": {0o100644, ""}, "lib/x/odd": {0o100600, "odd"},
	}, all)
}
