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

	status, out, _ = command(filepath.Join(dir, "empty"))
	assert.Equal(t, 1, status, "nothing found is a failure")
	assert.Equal(t, "0 passed, 0 failed\n", out)

	status, out, _ = command("-family", "none", fine)
	assert.Equal(t, 1, status)
	assert.Equal(t, "0 passed, 0 failed\n", out)
}

func TestCommandUsage(t *testing.T) {
	status, out, errs := command()
	assert.Equal(t, 2, status)
	assert.Empty(t, out)
	assert.Contains(t, errs, "usage: conformance")

	status, _, errs = command("-nosuchflag", "testdata")
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "nosuchflag")

	status, _, errs = command("-h")
	assert.Equal(t, 0, status)
	assert.Contains(t, errs, "usage: conformance")
}

// TestCommandDamage: what cannot be read is told in one line that names the
// file, with status 1 and without a count that could be taken for a result.
func TestCommandDamage(t *testing.T) {
	good, _ := sample(t)
	zipped := compressed(t, good)
	flipped := []byte(zipped)
	flipped[len(flipped)-5] ^= 1 // in the checksum
	for name, c := range map[string]struct{ file, text, says string }{
		"no file":        {"", "", "no such file"},
		"no recording":   {"notes.txt", "x", "no recording"},
		"not compressed": {"a.jsonl.gz", good, "invalid header"},
		"cut":            {"b.jsonl.gz", zipped[:len(zipped)/2], "unexpected EOF"},
		"checksum":       {"c.jsonl.gz", string(flipped), "checksum"},
		"cut line":       {"d.jsonl", good + good[:100], "d.jsonl:2: unexpected EOF"},
		"no JSON":        {"e.jsonl", "hello\n", "e.jsonl:1: invalid character"},
		"two in a line":  {"f.jsonl", strings.TrimSpace(good) + " {}\n", "more than one value"},
		"unknown op": {"g.jsonl", strings.Replace(good, `"op":"inject"`, `"op":"levitate"`, 1),
			`scenario basic-learn-forward: steps[0]: unknown op "levitate"`},
		"unknown key": {"h.jsonl", strings.Replace(good, `"op":"inject"`, `"opp":"inject"`, 1), `unknown field "opp"`},
		"unknown port": {"i.jsonl", strings.Replace(good, `"op":"inject","port":"p1"`, `"op":"inject","port":"p9"`, 1),
			`unknown port "p9"`},
		"no result":  {"j.jsonl", strings.Replace(good, `"op":"inject"`, `"op":"dump-fdb"`, 1), "dump-fdb without its result"},
		"no steps":   {"k.jsonl", `{"name":"n","family":"f","bridge":{}}`, "are needed"},
		"wrong type": {"l.jsonl", strings.Replace(good, `"steps":[`, `"steps":7,"x":[`, 1), "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "missing.jsonl")
			if c.file != "" {
				path = write(t, t.TempDir(), c.file, c.text)
			}
			status, out, errs := command(path)
			assert.Equal(t, 1, status)
			assert.Empty(t, out)
			assert.Contains(t, errs, c.says)
			assert.Contains(t, errs, path)
			assert.Equal(t, 1, strings.Count(errs, "\n"), "one line: %q", errs)
		})
	}
}
