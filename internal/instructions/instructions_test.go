package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestRun carries every case, which holds how many copies reach the cables, and asks
// mark to stand around what counts.
func TestRun(t *testing.T) {
	n := 0
	require.NoError(t, run(func() { n++ }))
	assert.Equal(t, 2*len(cases), n)
}

func TestWritten(t *testing.T) {
	tab, err := parseTable(written)
	require.NoError(t, err)
	assert.Equal(t, written, tab.String())
	require.Len(t, tab.counts, len(cases))
	for i, c := range cases {
		assert.Equal(t, c.name, tab.counts[i].name)
	}
}

func TestParseTableRefuses(t *testing.T) {
	for _, s := range []string{"", heading, "go1.26\nunicast 1", heading + "\ngo1.26\nunicast", heading + "\ngo1.26\nunicast x", heading + "\ngo1.26\nunicast 0"} {
		_, err := parseTable(s)
		assert.Error(t, err, "%q", s)
	}
}

func TestCompare(t *testing.T) {
	old := table{"go", []count{{"a", 100}, {"b", 100}}}
	for _, c := range []struct {
		now     []count
		report  string
		refused string
	}{
		{[]count{{"a", 104.9}, {"b", 95.1}}, "1.049", ""},
		{[]count{{"a", 100}, {"b", 94}}, "b takes 6.0 % fewer", ""},
		{[]count{{"a", 105.1}, {"b", 100}}, "1.051", "a takes 5.1 % more. If that is meant: go run"},
		{[]count{{"a", 100}}, "", "b is written down and no case"},
		{[]count{{"a", 100}, {"b", 100}, {"c", 1}}, "", "c is not written down"},
		{[]count{{"a", 100}, {"b", 100}, {alike[0][0], 100}, {alike[0][1], 106}}, "", "takes 6.0 % more than unicast"},
	} {
		report, err := compare(old, table{"go", c.now})
		assert.Contains(t, report, c.report)
		if c.refused == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, c.refused)
		}
	}
}

func TestSummary(t *testing.T) {
	n, err := summary("version: 1\nevents: Ir\nsummary: 5216866\n\ntotals: 1\n")
	require.NoError(t, err)
	assert.EqualValues(t, 5216866, n)
	for _, s := range []string{"", "totals: 1\n", "summary: x\n"} {
		_, err := summary(s)
		assert.Error(t, err)
	}
}

func TestToolchain(t *testing.T) {
	assert.Regexp(t, `^(go\d+\.\d+|devel\S*) \w+/\w+$`, toolchain())
	assert.False(t, strings.Contains(toolchain(), "\n"))
}
