package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

var rewrite = flag.Bool("rewrite", false, "renew what README.md shows")

func TestMain(m *testing.M) { leaktest.Main(m) }

func output(t *testing.T, args ...string) string {
	t.Helper()
	var s strings.Builder
	require.NoError(t, run(args, &s))
	return s.String()
}

// README.md shows what the program prints, to the letter.
func TestReadmeIsTrue(t *testing.T) {
	const command = "```console\n$ go run ./examples/twoswitches\n"
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), command)
	require.True(t, ok, "README.md does not show the program")
	shown, after, ok := strings.Cut(rest, "```\n")
	require.True(t, ok)
	out := output(t)
	if *rewrite {
		require.NoError(t, os.WriteFile("README.md", []byte(before+command+out+"```\n"+after), 0o644))
		return
	}
	assert.Equal(t, out, shown, "go test ./examples/twoswitches -rewrite renews it")
}

// What the hosts see follows from what the switches have learned.
func TestWhoSeesWhat(t *testing.T) {
	var seen []string
	for line := range strings.Lines(output(t)) {
		if who, ok := strings.CutPrefix(strings.TrimSpace(line), "seen by "); ok {
			seen = append(seen, who)
		}
	}
	assert.Equal(t, []string{"B, C, D", "A", "D", "B, C, D", "A", "B, D", "C", "A, B, C"}, seen)
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"-nonsense"}} {
		assert.Error(t, run(args, io.Discard), "%q", args)
	}
	assert.Contains(t, output(t, "-h"), "-real")
}

// brokenPipe refuses what is written to it.
type brokenPipe struct{}

var errBroken = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteError(t *testing.T) { assert.ErrorIs(t, run(nil, brokenPipe{}), errBroken) }
