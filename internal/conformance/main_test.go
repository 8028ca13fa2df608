package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// sample gives a recorded scenario that passes, and the same with one frame less
// in its record under another name.
func sample(t *testing.T) (good, bad string) {
	t.Helper()
	for _, s := range readAll(t) {
		if s.Name != "basic-learn-forward" {
			continue
		}
		require.Nil(t, replay.Check(s))
		line, err := json.Marshal(s)
		require.NoError(t, err)
		var c replay.Scenario
		require.NoError(t, json.Unmarshal(line, &c))
		c.Name = "basic-damaged"
		c.Steps[0].Out["p2"] = nil
		damaged, err := json.Marshal(&c)
		require.NoError(t, err)
		return string(line) + "\n", string(damaged) + "\n"
	}
	t.Fatal("no scenario basic-learn-forward")
	return "", ""
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func command(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(args, &out, &err)
	return status, out.String(), err.String()
}

func TestCommand(t *testing.T) {
	good, bad := sample(t)
	other := strings.Replace(good, `"family":"basic"`, `"family":"another"`, 1)
	dir := t.TempDir()
	write(t, dir, "a/basic.jsonl", good+bad)
	write(t, dir, "a/deeper/another.jsonl.gz", compressed(t, other))
	write(t, dir, "a/README", "no recording")
	write(t, dir, "empty/README", "no recording")
	fine := write(t, dir, "fine.jsonl", good)

	status, out, _ := command(filepath.Join(dir, "a"))
	assert.Equal(t, 1, status)
	assert.Equal(t, "another 1/1\nbasic 1/2\n2 passed, 1 failed\n", out)

	status, out, _ = command(fine, filepath.Join(dir, "a"))
	assert.Equal(t, 1, status)
	assert.Equal(t, "another 1/1\nbasic 2/3\n3 passed, 1 failed\n", out)

	status, out, _ = command("-family", "another", filepath.Join(dir, "a"))
	assert.Equal(t, 0, status)
	assert.Equal(t, "another 1/1\n1 passed, 0 failed\n", out)

	status, out, _ = command("-v", filepath.Join(dir, "a", "basic.jsonl"))
	assert.Equal(t, 1, status)
	lines := strings.Split(out, "\n")
	assert.Equal(t, "basic-damaged: steps[0] inject p1: p2: expected 0 frames, came 1; not expected is "+
		"ffffffffffff020000000a0188b5000000010405 "+
		"(02:00:00:00:0a:01 > ff:ff:ff:ff:ff:ff, untagged, type 0x88b5, 20 bytes)", lines[0])
	assert.Equal(t, []string{"basic 1/2", "1 passed, 1 failed", ""}, lines[1:])

	status, out, _ = command(filepath.Join(dir, "a"), "-family", "basic", fine, "-v")
	assert.Equal(t, 1, status)
	assert.Regexp(t, `^basic-damaged: .*\nbasic 2/3\n2 passed, 1 failed\n$`, out, "flags may follow paths")
}

// TestCommandNothing: where nothing is found it is told what was looked for, and
// the count comes all the same.
func TestCommandNothing(t *testing.T) {
	good, _ := sample(t)
	dir := t.TempDir()
	write(t, dir, "empty/README", "no recording")
	fine := write(t, dir, "fine.jsonl", good)
	other := write(t, dir, "other.jsonl", strings.Replace(good, `"family":"basic"`, `"family":"another"`, 1))
	empty := filepath.Join(dir, "empty")

	status, out, errs := command(empty)
	assert.Equal(t, 1, status, "nothing found is a failure")
	assert.Equal(t, "0 passed, 0 failed\n", out)
	assert.Equal(t, "conformance: "+empty+
		": no scenario found; the names of recordings end in .jsonl.gz or .jsonl\n", errs)

	status, out, errs = command(empty, fine)
	assert.Equal(t, 0, status)
	assert.Equal(t, "basic 1/1\n1 passed, 0 failed\n", out)
	assert.Contains(t, errs, empty+": no scenario found", "told beside others that hold some")

	status, out, errs = command("-family", "none", fine, other)
	assert.Equal(t, 1, status)
	assert.Equal(t, "0 passed, 0 failed\n", out)
	assert.Equal(t, "conformance: no scenario of family \"none\" found; families found: another, basic\n", errs)

	status, out, errs = command("-family", "basic", empty)
	assert.Equal(t, 1, status)
	assert.Equal(t, "0 passed, 0 failed\n", out)
	assert.Contains(t, errs, "families found: none\n")
}

func TestCommandUsage(t *testing.T) {
	status, out, errs := command()
	assert.Equal(t, 2, status)
	assert.Empty(t, out)
	assert.Contains(t, errs, "usage: conformance")

	status, _, errs = command("-nosuchflag", "testdata")
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "nosuchflag")

	status, out, errs = command("testdata", "-nosuchflag")
	assert.Equal(t, 2, status, "behind a path too")
	assert.Empty(t, out)
	assert.Contains(t, errs, "nosuchflag")

	status, out, errs = command("--", "-v")
	assert.Equal(t, 1, status)
	assert.Equal(t, "-v 0/1\n0 passed, 1 failed\n", out)
	assert.Contains(t, errs, "-v: cannot be read: no such file", "behind -- everything is a path")

	status, _, errs = command("-h")
	assert.Equal(t, 0, status)
	assert.Contains(t, errs, "usage: conformance")
}
