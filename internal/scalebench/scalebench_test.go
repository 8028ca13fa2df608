package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
	"github.com/ddfb540f/bridge/internal/workload"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const docs = "../../docs"

// measured is what a figure looks like.
var measured = regexp.MustCompile(`\d+\.\d+`)

// block is what another program wrote.
var block = regexp.MustCompile("(?s)```text\n.*?```")

func shape(s string) string {
	return measured.ReplaceAllString(block.ReplaceAllString(s, "block"), "#")
}

// pretended is what the program writes, without figures.
func pretended(t *testing.T) []section {
	t.Helper()
	all, err := measure(&meter{pretend: true}, "", func(string, ...any) {})
	require.NoError(t, err)
	require.Len(t, all, len(experiments))
	return all
}

// TestDocument: the document says what the program would, but for the figures.
func TestDocument(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(docs, "performance.md"))
	require.NoError(t, err)
	_, part, _, err := generated(string(doc))
	require.NoError(t, err)
	all := pretended(t)
	assert.Equal(t, shape(markdown(all)), shape(part))
	assert.Contains(t, part, "| 512 |")
	assert.NotContains(t, part, "NaN")
	drawn, err := os.ReadDir(filepath.Join(docs, "performance"))
	require.NoError(t, err)
	want := 0
	for _, s := range all {
		for _, c := range s.charts {
			want++
			svg, err := os.ReadFile(filepath.Join(docs, "performance", c.file))
			require.NoError(t, err)
			for _, text := range append([]string{c.title, c.x, c.y}, c.labels...) {
				assert.Contains(t, string(svg), ">"+text+"<", c.file)
			}
			for _, l := range c.lines {
				assert.Contains(t, string(svg), ">"+l.name+"<", c.file)
			}
		}
	}
	assert.Len(t, drawn, want)
}

// TestWrite: only the part between the markers is written.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "performance.md")
	require.NoError(t, os.WriteFile(name, []byte("by hand\n"+begin+"\nold\n"+end+"\nby hand too\n"), 0o644))
	s := section{title: "T", text: "x", head: []string{"a"}, rows: [][]string{{"1"}}, charts: []chart{{
		file: "c.svg", title: "C", x: "x", y: "y", at: []float64{1, 10}, labels: []string{"1", "10"}, lines: []line{{"l", []float64{1, 2}}}}}}
	for range 2 {
		require.NoError(t, write(dir, []section{s}))
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, "by hand\n"+markdown([]section{s})+"\nby hand too\n", string(got))
	}
	assert.FileExists(t, filepath.Join(dir, "performance", "c.svg"))
	require.NoError(t, os.WriteFile(name, []byte("by hand\n"), 0o644))
	assert.ErrorIs(t, write(dir, nil), errNoMarkers)
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		y    []float64
		log  bool
		want []float64
	}{
		{[]float64{1, 1.6, math.NaN()}, false, []float64{0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6}},
		{[]float64{53, 98}, false, []float64{0, 20, 40, 60, 80, 100}},
		{[]float64{0.9, 4}, false, []float64{0, 1, 2, 3, 4}},
		{[]float64{0.9, 30}, true, []float64{0.5, 1, 2, 5, 10, 20, 50}},
		{[]float64{0, 0}, false, nil},
	} {
		got := (&chart{lines: []line{{"", c.y}}, logY: c.log}).ticks()
		if c.want != nil {
			assert.Equal(t, c.want, got)
		}
		assert.Greater(t, len(got), 1)
	}
}

func TestShares(t *testing.T) {
	assert.Equal(t, " 30.0%  50.0%  bridge.(*Input).learn\n   20%    20%  x\n", shares(
		"Type: cpu\n      flat  flat%   sum%        cum   cum%\n     1.5s 30.0% 30.0%      2.5s 50.0%  github.com/ddfb540f/bridge.(*Input).learn\n"+
			"       1s   20% 50.0%       1s   20%  x (inline)\n        0     0% 50.0%       5s  100%  main.main\n"))
}

func TestMedian(t *testing.T) {
	assert.Equal(t, 2.0, median([]float64{9, 1, 2}))
	assert.Equal(t, 2.5, median([]float64{9, 1, 2, 3}))
}

// TestCompare measures a work beside one that does half as much, in few short turns: the
// ratio is one of what was done, and is of this order whatever the machine does.
func TestCompare(t *testing.T) {
	m := &meter{pairs: 10, span: time.Millisecond}
	prepared := 0
	f, err := m.compare(func() (base, this work, err error) {
		if base, err = unicast(workload.Config{Ports: 4, Stations: 100}, 64); err != nil {
			return base, this, err
		}
		this = work{prepare: func() { prepared++ }, run: func(n int) { base.run(n); base.run(n) }}
		return base, this, nil
	})
	require.NoError(t, err)
	assert.Greater(t, f.base, 0.0)
	assert.LessOrEqual(t, f.lo, f.ratio)
	assert.LessOrEqual(t, f.ratio, f.hi)
	assert.Greater(t, prepared, m.pairs)
}

func TestShort(t *testing.T) {
	got := []string{short(8), short(1000), short(4094), short(1_000_000), short(1 << 22)}
	assert.Equal(t, "8 1k 4094 1M 4M", strings.Join(got, " "))
}
