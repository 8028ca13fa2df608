//go:build linux

package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is a series of ours, the Linux bridge and one more, with two metrics of which
// the Linux bridge has only the first.
func sample(names ...string) *series {
	w := workload{name: "pps", metrics: []metric{{unit: "kframes/s"}, {unit: "switch ns/frame"}}}
	var rigs []*rig
	for _, n := range names {
		rigs = append(rigs, &rig{peer: peer{name: n}})
	}
	return newSeries(rigs, w)
}

func TestTable(t *testing.T) {
	s := sample(oursName, kernelName, "ovs")
	s.add(map[int][]float64{0: {300, 2000}, 1: {600, 0}, 2: {150, 4000}})
	s.add(map[int][]float64{0: {400, 2200}, 1: {500, 0}})
	s.add(map[int][]float64{0: {350, 2100}, 2: {100, math.NaN()}})
	tab := s.table(cable{name: "tap"})

	want := []row{
		{Peer: "ours", Figures: []figure{
			{Unit: "kframes/s", Runs: 3, Value: spread{350, 300, 400}, Kernel: 0.65},
			{Unit: "switch ns/frame", Runs: 3, Value: spread{2100, 2000, 2200}},
		}},
		{Peer: "kernel", Figures: []figure{
			{Unit: "kframes/s", Runs: 2, Value: spread{550, 500, 600}, Ours: &spread{0.65, 0.5, 0.8}, Pairs: 2, Kernel: 1},
			{Unit: "switch ns/frame"},
		}},
		{Peer: "ovs", Figures: []figure{
			{Unit: "kframes/s", Runs: 2, Value: spread{125, 100, 150}, Ours: &spread{2.75, 2, 3.5}, Pairs: 2, Kernel: 0.65 / 2.75},
			{Unit: "switch ns/frame", Runs: 1, Value: spread{4000, 4000, 4000}, Ours: &spread{0.5, 0.5, 0.5}, Pairs: 1},
		}},
	}
	assert.Equal(t, want, tab.Rows)
	assert.Equal(t, "ratio pps tap 0.65", tab.ratioLine())

	var out strings.Builder
	tab.write(&out)
	assert.Equal(t, strings.Join([]string{
		"pps over tap, kframes/s            median      min      max  ours to it (min-max)   to kernel   switch ns/frame",
		"  ours                                350      300      400  -                           0.65              2100",
		"  kernel                              550      500      600  0.65 (0.50-0.80) n=2        1.00                 -",
		"  ovs                                 125      100      150  2.75 (2.00-3.50) n=2        0.24       4000 (0.50)",
		"", "",
	}, "\n"), out.String())

	b, err := json.Marshal(tab)
	require.NoError(t, err)
	var back table
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, *tab, back)
}

// Without the Linux bridge there is nothing to compare with, and no line for programs.
func TestTableWithoutKernel(t *testing.T) {
	s := sample(oursName, "ovs")
	s.add(map[int][]float64{0: {300, 2000}, 1: {150, 4000}})
	tab := s.table(cable{name: "tap"})
	assert.Empty(t, tab.ratioLine())
	assert.Zero(t, tab.Rows[1].Figures[0].Kernel)
	assert.Equal(t, 2.0, tab.Rows[1].Figures[0].Ours.Median)
}

// A contestant without a frame is one that was measured; one without a run failed.
func TestTableOfNothing(t *testing.T) {
	s := sample(oursName, kernelName, "ovs")
	s.add(map[int][]float64{0: {300, 2000}, 1: {0, 0}})
	tab := s.table(cable{name: "raw"})
	var out strings.Builder
	tab.write(&out)
	assert.Regexp(t, `(?m)^  kernel +0.00 +0.00 +0.00 +- +-`, out.String())
	assert.Regexp(t, `(?m)^  ovs +failed$`, out.String())
	assert.Empty(t, tab.ratioLine())
}
