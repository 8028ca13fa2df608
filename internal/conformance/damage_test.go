package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// beside replays a good file, the file or folder path, and a good file again, and
// expects what path holds to fail once, in the given family, and nothing else. It
// gives the difference and what came on standard error.
func beside(t *testing.T, good, path, family string) (difference, stderr string) {
	t.Helper()
	dir := t.TempDir()
	other := strings.Replace(good, `"family":"basic"`, `"family":"other"`, 1)
	before, after := write(t, dir, "before.jsonl", other), write(t, dir, "after.jsonl", other)
	status, out, stderr := command("-v", before, path, after)
	assert.Equal(t, 1, status)
	difference, rest, _ := strings.Cut(out, "\n")
	assert.Contains(t, strings.Split(rest, "\n"), "other 2/2")
	assert.Regexp(t, `\n\d passed, 1 failed\n$`, out)
	assert.Contains(t, difference, path)
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, family+" ") {
			return difference, stderr
		}
	}
	t.Errorf("no figures of family %s: %q", family, out)
	return difference, stderr
}

// TestDamagedLine: a line that is no scenario fails alone; the lines around it
// and other files are replayed.
func TestDamagedLine(t *testing.T) {
	good, _ := sample(t)
	inject := `"op":"inject","port":"p1"`
	for name, c := range map[string]struct{ line, family, says string }{
		"no JSON":      {"hello\n", "file", "FILE:2: reading the record: FILE:2: the line is no scenario: invalid character"},
		"no object":    {"[]\n", "file", "FILE:2: reading the record: FILE:2: the line is no scenario: json: cannot unmarshal"},
		"early damage": {`{"name":"n",]` + "\n", "file", "n: reading the record: FILE:2: the line is no scenario: "},
		"name is none": {`{"name":7,"family":"basic"}` + "\n", "basic", "FILE:2: reading the record: FILE:2: the line is no "},
		"no steps":     {`{"name":"n","family":"f","bridge":{}}` + "\n", "f", "n: reading the record: FILE:2: name, family, "},
		"unknown op": {strings.Replace(good, `"op":"inject"`, `"op":"levitate"`, 1), "basic",
			`basic-learn-forward: reading the record: FILE:2: steps[0]: unknown op "levitate"`},
		"unknown key": {strings.Replace(good, `"op":"inject"`, `"colour":1,"op":"inject"`, 1), "basic",
			`basic-learn-forward: reading the record: FILE:2: the line is no scenario: json: unknown field "colour"`},
		"unknown port": {strings.Replace(good, inject, `"op":"inject","port":"p9"`, 1), "basic", `unknown port "p9"`},
		"no result": {strings.Replace(good, `"op":"inject"`, `"op":"dump-fdb"`, 1), "basic",
			"steps[0]: dump-fdb without its result"},
		"wrong type": {strings.Replace(good, `"steps":[`, `"steps":7,"x":[`, 1), "basic", "cannot unmarshal"},
		"two in a line": {strings.TrimSpace(good) + " {}\n", "basic",
			"basic-learn-forward: reading the record: FILE:2: more than one value in the line"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, good, c.line)
			path := write(t, t.TempDir(), "file.jsonl", good+c.line+"\n"+good)
			difference, errs := beside(t, good, path, c.family)
			assert.Contains(t, difference, strings.ReplaceAll(c.says, "FILE", path))
			assert.Empty(t, errs, "the file could be read")
			_, out, _ := command(path)
			assert.Regexp(t, `\n2 passed, 1 failed\n$`, out)
		})
	}
}

// TestCutLine: the last line may be cut anywhere.
func TestCutLine(t *testing.T) {
	good, _ := sample(t)
	for _, c := range []struct {
		keep         int
		family, says string
	}{
		{1, "cut", "PATH:2: reading the record: PATH:2: the line is cut short"},
		{len(`{"name":"basic-learn-forward",`), "cut", "basic-learn-forward: reading the record: PATH:2: the line is cut short"},
		{len(good) / 2, "basic", "basic-learn-forward: reading the record: PATH:2: the line is cut short"},
		{len(good) - 2, "basic", "basic-learn-forward: reading the record: PATH:2: the line is cut short"},
	} {
		path := write(t, t.TempDir(), "cut.jsonl", good+good[:c.keep])
		difference, errs := beside(t, good, path, c.family)
		assert.Contains(t, difference, strings.ReplaceAll(c.says, "PATH", path))
		assert.Empty(t, errs)
	}
	path := write(t, t.TempDir(), "whole.jsonl", good+strings.TrimSpace(good))
	status, out, _ := command(path)
	assert.Equal(t, 0, status, "only the line's end is missing")
	assert.Equal(t, "basic 2/2\n2 passed, 0 failed\n", out)
}

// TestUnreadable: a file that cannot be read is one failure in the family of its
// name, whatever family is asked for, and is told on standard error.
func TestUnreadable(t *testing.T) {
	good, _ := sample(t)
	zipped := compressed(t, good)
	for name, c := range map[string]struct{ file, text, says string }{
		"no file":        {"a.jsonl", "", "a.jsonl: cannot be read: no such file"},
		"no recording":   {"a.txt", "x", "a.txt: is no recording"},
		"not compressed": {"a.jsonl.gz", good, "a.jsonl.gz: is not compressed as its name says: gzip: invalid header"},
		"cut header":     {"a.jsonl.gz", zipped[:5], "a.jsonl.gz: is not compressed as its name says: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			if c.text != "" {
				write(t, filepath.Dir(path), c.file, c.text)
			}
			family := strings.TrimSuffix(strings.TrimSuffix(c.file, ".gz"), ".jsonl")
			difference, errs := beside(t, good, path, family)
			assert.Contains(t, difference, c.says)
			assert.Contains(t, errs, c.says)
			assert.Equal(t, 1, strings.Count(errs, "\n"), "one line: %q", errs)

			status, out, errs := command("-family", "other", path)
			assert.Equal(t, 1, status)
			assert.Equal(t, family+" 0/1\n0 passed, 1 failed\n", out)
			assert.Contains(t, errs, "families found: none\n")
		})
	}
}

// TestDamagedCompression: what comes before the damage is replayed.
func TestDamagedCompression(t *testing.T) {
	good, _ := sample(t)
	zipped := compressed(t, strings.Repeat(good, 200))
	flipped := []byte(compressed(t, good))
	flipped[len(flipped)-5] ^= 1 // in the checksum
	for name, c := range map[string]struct{ data, family, says string }{
		"cut":      {zipped[:len(zipped)*3/4], "basic", "the compressed data is cut short: unexpected EOF"},
		"checksum": {string(flipped), "file", "file.jsonl.gz:2: cannot be read on: gzip: invalid checksum"},
		"tail":     {compressed(t, good) + "tail, no header", "file", "file.jsonl.gz:2: cannot be read on: gzip: invalid header"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, t.TempDir(), "file.jsonl.gz", c.data)
			status, out, errs := command("-v", path)
			assert.Equal(t, 1, status)
			assert.Contains(t, out, c.says)
			assert.Regexp(t, `\n[1-9]\d* passed, 1 failed\n$`, out)
			assert.Regexp(t, `(?m)^`+c.family+` `, out)
			assert.Contains(t, errs, c.says)
			assert.Equal(t, 1, strings.Count(errs, "\n"), "one line: %q", errs)
		})
	}
}

// TestLinks: paths may be symbolic links, and folders may hold some, even to
// themselves.
func TestLinks(t *testing.T) {
	good, _ := sample(t)
	dir := t.TempDir()
	write(t, dir, "real/basic.jsonl", good)
	write(t, dir, "far/deep/more.jsonl", good)
	link := func(to, name string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.Symlink(filepath.Join(dir, to), path))
		return path
	}
	const one, two = "basic 1/1\n1 passed, 0 failed\n", "basic 2/2\n2 passed, 0 failed\n"
	expect := func(want, path string) {
		t.Helper()
		status, out, errs := command(path)
		assert.Equal(t, 0, status)
		assert.Equal(t, want, out)
		assert.Empty(t, errs)
	}
	expect(one, link("real", "folder"))
	expect(one, link("real/basic.jsonl", "file.jsonl"))
	link("far", "real/linked")
	expect(two, filepath.Join(dir, "folder"))
	link("real", "far/deep/loop")
	link("far/deep", "far/deep/self")
	link("far/deep/more.jsonl", "real/again.jsonl")
	expect(two, filepath.Join(dir, "folder"))

	broken := link("nowhere", "real/broken")
	status, out, errs := command(filepath.Join(dir, "real"))
	assert.Equal(t, 1, status)
	assert.Equal(t, "basic 2/2\nbroken 0/1\n2 passed, 1 failed\n", out)
	assert.Equal(t, "conformance: "+broken+": cannot be read: no such file or directory\n", errs)

	require.NoError(t, os.Remove(broken))
	require.NoError(t, os.Symlink("broken", broken))
	_, out, errs = command(filepath.Join(dir, "real"))
	assert.Equal(t, "basic 2/2\nbroken 0/1\n2 passed, 1 failed\n", out)
	assert.Contains(t, errs, "too many levels of symbolic links")
}

// TestNoRegularFile: the reading does not wait for a writer to a pipe, or fail on
// a folder that is named as a recording.
func TestNoRegularFile(t *testing.T) {
	good, _ := sample(t)
	dir := t.TempDir()
	write(t, dir, "folder.jsonl/basic.jsonl", good)
	status, out, _ := command(filepath.Join(dir, "folder.jsonl"))
	assert.Equal(t, 0, status)
	assert.Equal(t, "basic 1/1\n1 passed, 0 failed\n", out)

	require.NoError(t, os.Symlink(os.DevNull, filepath.Join(dir, "null.jsonl")))
	status, out, errs := command(dir)
	assert.Equal(t, 1, status)
	assert.Equal(t, "basic 1/1\nnull 0/1\n1 passed, 1 failed\n", out)
	assert.Contains(t, errs, "null.jsonl: is no regular file")
}
