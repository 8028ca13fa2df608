package main

import (
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

var rewrite = flag.Bool("rewrite", false, "renew what README.md shows")

func TestMain(m *testing.M) { leaktest.Main(m) }

// session is the block of README.md that shows the command, and what it prints.
var session = regexp.MustCompile("(?s)```console\n\\$ go run ./examples/filters\n(.*?)```\n")

// README.md shows what the program prints, to the letter.
func TestReadmeIsTrue(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(&out))
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	if *rewrite {
		text = session.ReplaceAllLiteral(text, []byte("```console\n$ go run ./examples/filters\n"+out.String()+"```\n"))
		require.NoError(t, os.WriteFile("README.md", text, 0o644))
	}
	shown := session.FindSubmatch(text)
	require.NotNil(t, shown, "README.md does not show the command")
	assert.Equal(t, out.String(), string(shown[1]), "go test ./examples/filters -rewrite renews it")
}

// Every lesson has its filter drop or copy something, and let something through.
func TestLessons(t *testing.T) {
	for _, l := range lessons {
		var out strings.Builder
		require.NoError(t, l.run(&out))
		assert.NotContains(t, out.String(), ": 0 dropped, 0 copied", l.title)
		assert.Regexp(t, "leaves by (uplink|vm|span)|1000 leave", out.String(), l.title)
	}
}

// brokenPipe refuses what is written to it.
type brokenPipe struct{}

var errBroken = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteError(t *testing.T) { assert.ErrorIs(t, run(brokenPipe{}), errBroken) }
