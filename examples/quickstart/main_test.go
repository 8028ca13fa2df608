package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

var rewrite = flag.Bool("rewrite", false, "renew what README.md shows")

func TestMain(m *testing.M) { leaktest.Main(m) }

// session is a fenced block of README.md: a command, and what it prints.
var session = regexp.MustCompile("(?s)```console\n\\$ go run ./examples/quickstart([^\n]*)\n(.*?)```\n")

// README.md shows what the program prints, to the letter.
func TestReadmeIsTrue(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	if *rewrite {
		text = session.ReplaceAllFunc(text, func(block []byte) []byte {
			flags := string(session.FindSubmatch(block)[1])
			return []byte("```console\n$ go run ./examples/quickstart" + flags + "\n" + output(t, strings.Fields(flags)...) + "```\n")
		})
		require.NoError(t, os.WriteFile("README.md", text, 0o644))
	}
	var shown []string
	for _, m := range session.FindAllSubmatch(text, -1) {
		flags := strings.TrimSpace(string(m[1]))
		shown = append(shown, flags)
		compare(t, flags, string(m[2]))
	}
	for _, want := range []string{"", "-vlans", "-hub"} {
		assert.True(t, slices.Contains(shown, want), "README.md does not show the flags %q", want)
	}
}

// compare shows the first line that differs.
func compare(t *testing.T, flags, shown string) {
	t.Helper()
	want, got := strings.Split(output(t, strings.Fields(flags)...), "\n"), strings.Split(shown, "\n")
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Errorf("with the flags %q, line %d of the output is not what README.md shows:\n%q\n%q\n"+
				"go test ./examples/quickstart -rewrite renews it", flags, i+1, want[min(i, len(want)-1)], got[min(i, len(got)-1)])
			return
		}
	}
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	var s strings.Builder
	require.NoError(t, run(args, &s))
	return s.String()
}

// The output follows the network: more hosts, more ports.
func TestHosts(t *testing.T) {
	for n, args := range map[int][]string{2: {"-hosts", "2"}, 3: nil, 5: {"-hosts=5"}} {
		out := output(t, args...)
		assert.Equal(t, n-1, strings.Count(out, "has answered after"), "%d hosts", n)
		assert.Equal(t, n-1, strings.Count(out, "receives ARP who has 10.0.0.2?"), "%d hosts", n)
	}
	out := output(t, "-vlans", "-hosts", "4")
	assert.Contains(t, out, "h4 is 10.0.0.4, 02:00:00:00:00:04, on port p4 in VLAN 20\n")
	assert.Equal(t, 1, strings.Count(out, "has answered after"))
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-hosts", "1"}, {"-hosts", "101"}, {"more"}, {"-nonsense"}} {
		assert.Error(t, run(args, io.Discard), "%q", args)
	}
	var help strings.Builder
	require.NoError(t, run([]string{"-h"}, &help))
	assert.Contains(t, help.String(), "-vlans")
}

// brokenPipe refuses what is written to it.
type brokenPipe struct{}

var errBroken = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteError(t *testing.T) { assert.ErrorIs(t, run(nil, brokenPipe{}), errBroken) }
