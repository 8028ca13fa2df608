package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

// asGobr makes the test binary be gobr, so that a test can start it as a program.
const asGobr = "GOBR_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asGobr) != "" {
		os.Exit(asProgram())
	}
	leaktest.Main(m)
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"run", "-h"}, {"run", "--tap", "a", "--help"}} {
		var out, errs strings.Builder
		assert.Equal(t, exitOK, run(t.Context(), args, &out, &errs), args)
		assert.Equal(t, usage, out.String(), args)
		assert.Empty(t, errs.String(), args)
	}
	var out, errs strings.Builder
	assert.Equal(t, exitUsage, run(t.Context(), nil, &out, &errs))
	assert.Equal(t, usage, errs.String())
	assert.Empty(t, out.String())
}

// The help names every flag that there is, and no other.
func TestHelpIsComplete(t *testing.T) {
	for line := range strings.Lines(usage) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, " ")
		_, err := parseRun([]string{"--" + name})
		if err != nil {
			assert.NotContains(t, err.Error(), "not defined", name)
		}
	}
	for _, name := range []string{"name", "host", "tap", "mtu", "ageing", "vlan-filtering", "trace"} {
		assert.Contains(t, usage, "\n  --"+name+" ", name)
	}
}

// A wrong command line is answered with status 2, a thing that cannot be done with
// status 1, both with one line on the standard error.
func TestComplaints(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"walk", exitUsage, `no command "walk"`},
		{"run", exitUsage, "--tap NAME"},
		{"run --tap", exitUsage, "needs an argument: -tap"},
		{"run --tap @a", exitUsage, "the name is missing"},
		{"run --tap a@", exitUsage, "network namespace behind @ is missing"},
		{"run --tap a --tap a@b", exitUsage, "a TAP of this name already"},
		{"run --tap br0", exitUsage, "that is the bridge's name"},
		{"run --tap a --host a", exitUsage, "that is the host's TAP"},
		{"run --tap a --host h --host i", exitUsage, "one host only"},
		{"run --tap a --name=", exitUsage, "--name"},
		{"run --tap a --mtu 67", exitUsage, "not between 68 and 65521"},
		{"run --tap a --mtu 65522", exitUsage, "not between 68 and 65521"},
		{"run --tap a --ageing -1", exitUsage, "--ageing -1"},
		{"run --tap a --ageing soon", exitUsage, "-ageing"},
		{"run --tap a b", exitUsage, `"b" is no flag`},
		{"run --tap a --speed 9", exitUsage, "-speed"},
		{"run --tap a/b", exitFailure, "slash"},
		{"run --host a/b --tap c", exitFailure, "slash"},
	} {
		var out, errs strings.Builder
		assert.Equal(t, c.status, run(t.Context(), strings.Fields(c.args), &out, &errs), c.args)
		assert.Empty(t, out.String(), c.args)
		line, ok := strings.CutPrefix(errs.String(), "gobr: ")
		assert.True(t, ok, errs.String())
		assert.Contains(t, line, c.says)
		assert.Equal(t, 1, strings.Count(line, "\n"), line)
		assert.True(t, strings.HasSuffix(line, "\n"), line)
	}
}
