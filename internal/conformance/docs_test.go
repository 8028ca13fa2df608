package main

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// pageFile is the page that is printed for people.
const pageFile = "../../docs/conformance.md"

// TestDocs holds docs/conformance.md against the replay.
func TestDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("every recording is played, in which nothing runs side by side")
	}
	var b bytes.Buffer
	page(&b, readAll(t), checked())
	if *update {
		require.NoError(t, os.WriteFile(pageFile, b.Bytes(), 0o644))
		return
	}
	text, err := os.ReadFile(pageFile)
	require.NoError(t, err, "make the file with go test ./internal/conformance -update")
	assert.Equal(t, b.String(), string(text), "renew the page with go test ./internal/conformance -update")
}

// TestFamiliesAreTold: each recorded family has a word on what it is about.
func TestFamiliesAreTold(t *testing.T) {
	assert.Equal(t, slices.Sorted(maps.Keys(recorded)), slices.Sorted(maps.Keys(about)))
}

func TestDocsCommand(t *testing.T) {
	good, bad := sample(t)
	dir := t.TempDir()
	fine, both := write(t, dir, "fine.jsonl", good), write(t, dir, "both.jsonl", good+bad)

	status, out, errs := command("-docs", fine)
	assert.Equal(t, 0, status)
	assert.Empty(t, errs)
	assert.Contains(t, out, "| basic | forwarding, learning, links, addresses of the bridge's own device | 1 | 0 | 1 of 1 |  |\n")
	assert.Contains(t, out, "| together | | 1 | 0 | 1 of 1 | |\n")
	assert.Contains(t, out, "| 6.1.192-exacttimers | 1 | basic |\n")
	assert.Regexp(t, `(?s)## Differences\n\nNone\.\n$`, out)

	status, out, _ = command("-docs", both)
	assert.Equal(t, 0, status)
	assert.Contains(t, out, "| 1 of 2 | none of these 1 |\n")
	assert.Contains(t, out, "\n- basic-damaged, steps[0] inject p1: p2: expected 0 frames, came 1; ")

	status, out, _ = command("-docs", write(t, dir, "many.jsonl", strings.Repeat(bad, fewDifferences+1)))
	assert.Equal(t, 0, status)
	assert.Contains(t, out, "\n41 scenarios differ; ")
	assert.NotContains(t, out, "expected 0 frames")
}

// What a scenario that differs uses is named by its settings and steps.
func TestUses(t *testing.T) {
	on := replay.Value{Num: 1}
	for _, c := range []struct {
		s    replay.Scenario
		want []string
	}{
		{replay.Scenario{}, []string{"none of these"}},
		{replay.Scenario{Bridge: replay.Attrs{"mcast_snooping": on, "mst_enabled": on}}, []string{"mcast_snooping", "mst_enabled"}},
		{replay.Scenario{Steps: []replay.Step{{Op: "mst-set"}}}, []string{"mst_enabled"}},
		{replay.Scenario{Steps: []replay.Step{{Op: "vlan-global-set", Attrs: replay.Attrs{"msti": on}}}}, []string{"mst_enabled"}},
		{replay.Scenario{Steps: []replay.Step{{Op: "set-bridge", Attrs: replay.Attrs{"stp_state": {}}}}}, []string{"stp_state"}},
	} {
		assert.Equal(t, c.want, uses(&c.s))
	}
	assert.Equal(t, "b 3, a 1, c 1", counted(map[string]int{"a": 1, "b": 3, "c": 1}))
}
