package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/random"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// Recordings and random scenarios run on the bridge of the running kernel; what it
// lacks is counted.
func TestCommandLive(t *testing.T) {
	netnstest.Needs(t)
	good, _ := sample(t)
	slow := strings.Replace(good, `"steps":[`, `"steps":[{"op":"wait","ms":60000},`, 1)
	path := write(t, t.TempDir(), "a.jsonl", good+slow)
	status, out, errs := command("-live", path)
	assert.Equal(t, 0, status, errs)
	assert.Regexp(t, `^kernel \d.*\nbasic 1/1\nwait: 1 scenarios left out\n1 passed, 0 failed\n$`, out)

	status, out, errs = command("-live", "-random", "10", "-seed", "1")
	assert.Equal(t, 0, status, "%s%s", out, errs)
	assert.Regexp(t, `(?s)^kernel \d.*\n10 random scenarios, -seed 1\n.*10 passed, 0 failed\n$`, out)
	_, out, _ = command("-live", "-random", "1")
	assert.Regexp(t, `1 random scenarios, -seed [1-9]\d*\n`, out, "a seed of its own, which it prints")
}

func TestCommandLiveUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-live"}, {"-random", "3"}, {"-live", "-random", "3", "testdata"}, {"-vm", "-random", "x"},
	} {
		status, _, errs := command(args...)
		assert.Equal(t, 2, status, "%v", args)
		assert.Contains(t, errs, "usage: conformance")
	}
}

// wrong is a kernel whose bridge forgets a flood flag as soon as a port has left.
type wrong struct{ *live.Kernel }

func (w wrong) Record(s *replay.Scenario) (*replay.Scenario, error) {
	r, err := w.Kernel.Record(s)
	left := false
	for i := range s.Steps {
		left = left || s.Steps[i].Op == "port-del"
		if err == nil && left && r.Steps[i].Op == "inject" {
			delete(r.Steps[i].Out, "br0")
		}
	}
	return r, err
}

// A difference is printed with the command that repeats it, and shrunk to a scenario
// in the format of the recordings that shows it when it is replayed.
func TestShrunkDifference(t *testing.T) {
	netnstest.Needs(t)
	k, err := live.Open()
	require.NoError(t, err)
	var out, errs strings.Builder
	c := &comparison{kernel: wrong{k}, features: k.Features, workers: 4, stdout: &out, stderr: &errs}
	status := c.randomly(50, 1, new(random.Options), "again", false)
	assert.Equal(t, 1, status)
	assert.Empty(t, errs.String())
	assert.Regexp(t, regexp.MustCompile(`(?m)^random-(\d+): steps.*\nagain: again -random 1 -seed \d+$`), out.String())
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		shrunk := replay.Read(write(t, t.TempDir(), "shrunk.jsonl", line))
		require.Len(t, shrunk, 1)
		require.Nil(t, shrunk[0].Damage)
		assert.LessOrEqual(t, len(shrunk[0].Steps), 3)
		assert.NotNil(t, replay.Check(shrunk[0]))
		return
	}
	t.Error("no scenario was printed")
}
