//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// A series is what was measured of one workload: for each contestant and metric the
// values, and for each rival what ours and it came to side by side.
type series struct {
	work   workload
	names  []string
	values [][][]float64    // [contestant][metric]
	pairs  [][][2][]float64 // [contestant][metric]: ours, its
	failed []bool
}

func newSeries(rigs []*rig, w workload) *series {
	s := &series{work: w, failed: make([]bool, len(rigs))}
	for _, r := range rigs {
		s.names = append(s.names, r.peer.name)
		s.values = append(s.values, make([][]float64, len(w.metrics)))
		s.pairs = append(s.pairs, make([][2][]float64, len(w.metrics)))
	}
	return s
}

// add takes what one turn gave.
func (s *series) add(got map[int][]float64) {
	for i, values := range got {
		for k, v := range values {
			if math.IsNaN(v) {
				continue
			}
			s.values[i][k] = append(s.values[i][k], v)
			if own, ok := got[0]; ok && i != 0 && !math.IsNaN(own[k]) {
				p := &s.pairs[i][k]
				p[0], p[1] = append(p[0], own[k]), append(p[1], v)
			}
		}
	}
}

// A table is one workload over one cable.
type table struct {
	Workload string `json:"workload"`
	Cable    string `json:"cable"`
	Rows     []row  `json:"rows"`
}

// A row is one metric of one contestant.
type row struct {
	Peer    string  `json:"peer"`
	Unit    string  `json:"unit"`
	Value   spread  `json:"value"`
	Runs    int     `json:"runs"`
	Ours    *spread `json:"ours_to_it,omitempty"` // of pairs; nil for ours
	Pairs   int     `json:"pairs,omitempty"`
	Kernel  float64 `json:"to_kernel,omitempty"` // by way of ours; 0: unknown
	primary bool
}

func (s *series) table(c cable) *table {
	t := &table{Workload: s.work.name, Cable: c.name}
	for k, m := range s.work.metrics {
		kernel := 0.0 // ours to it
		first := len(t.Rows)
		for i, name := range s.names {
			values := s.values[i][k]
			if len(values) == 0 || allZero(values) { // such as the processes of a switch that has none
				continue
			}
			r := row{Peer: name, Unit: m.unit, Value: spreadOf(values), Runs: len(values), primary: k == 0}
			if rs := ratios(s.pairs[i][k][0], s.pairs[i][k][1]); i != 0 && len(rs) > 0 {
				r.Ours, r.Pairs = new(spreadOf(rs)), len(rs)
				if name == kernelName {
					kernel = r.Ours.Median
				}
			}
			t.Rows = append(t.Rows, r)
		}
		toKernel(t.Rows[first:], kernel)
	}
	return t
}

func allZero(xs []float64) bool {
	for _, x := range xs {
		if x != 0 {
			return false
		}
	}
	return true
}

// toKernel fills in how everybody compares with the Linux bridge: ours to it, divided
// by ours to them, so that every measured ratio is one of neighbours.
func toKernel(rows []row, ours float64) {
	for i := range rows {
		switch r := &rows[i]; {
		case r.Peer == kernelName:
			r.Kernel = 1
		case r.Ours == nil:
			r.Kernel = ours
		case r.Ours.Median != 0:
			r.Kernel = ours / r.Ours.Median
		}
	}
}

// write prints the table for people.
func (t *table) write(w io.Writer) {
	unit := ""
	for _, r := range t.Rows {
		if r.Unit != unit {
			unit = r.Unit
			title := fmt.Sprintf("%s over %s, %s", t.Workload, t.Cable, unit)
			if !r.primary {
				title = "  " + unit
			}
			fmt.Fprintf(w, "%-50s %9s %9s %9s  %-24s %s\n", title, "median", "min", "max", "ours to it (min-max)", "to the kernel")
		}
		fmt.Fprintf(w, "    %-46s %9s %9s %9s  %-24s %s\n", r.Peer, number(r.Value.Median), number(r.Value.Min), number(r.Value.Max), r.paired(), ratioText(r.Kernel))
	}
	fmt.Fprintln(w)
}

func (r *row) paired() string {
	if r.Ours == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f) n=%d", r.Ours.Median, r.Ours.Min, r.Ours.Max, r.Pairs)
}

func ratioText(r float64) string {
	if r == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", r)
}

// number prints three digits or so.
func number(x float64) string {
	switch a := math.Abs(x); {
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// ratioLine is the one line for programs: ours to the Linux bridge in the metric that
// counts; "" if that was not measured.
func (t *table) ratioLine() string {
	for _, r := range t.Rows {
		if r.primary && r.Peer == oursName && r.Kernel != 0 {
			return strings.Join([]string{"ratio", t.Workload, t.Cable, fmt.Sprintf("%.2f", r.Kernel)}, " ")
		}
	}
	return ""
}
