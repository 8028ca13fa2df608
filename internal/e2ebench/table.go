//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// A series is what was measured of one workload: for each contestant and metric the
// values, and for each rival what ours and it came to side by side.
type series struct {
	work   workload
	names  []string
	values [][][]float64    // [contestant][metric]
	pairs  [][][2][]float64 // [contestant][metric]: ours, its
}

func newSeries(rigs []*rig, w workload) *series {
	s := &series{work: w}
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

// A row is one contestant.
type row struct {
	Peer    string   `json:"peer"`
	Figures []figure `json:"figures"` // one for each metric of the workload
}

// A figure is one metric of one contestant. Runs is 0 where it has none, as the
// processes of a switch that is in the kernel.
type figure struct {
	Unit   string  `json:"unit"`
	Runs   int     `json:"runs"`
	Value  spread  `json:"value"`
	Ours   *spread `json:"ours_to_it,omitempty"` // of pairs; nil for ours
	Pairs  int     `json:"pairs,omitempty"`
	Kernel float64 `json:"to_kernel,omitempty"` // by way of ours; 0: unknown
}

func (s *series) table(c cable) *table {
	t := &table{Workload: s.work.name, Cable: c.name}
	for i, name := range s.names {
		r := row{Peer: name}
		for k, m := range s.work.metrics {
			f := figure{Unit: m.unit}
			// Nothing but zeros is a frame rate like others; as processor time it says that
			// the switch has no processes.
			if values := s.values[i][k]; k == 0 || !allZero(values) {
				f.Runs, f.Value = len(values), spreadOf(values)
			}
			if rs := ratios(s.pairs[i][k][0], s.pairs[i][k][1]); f.Runs > 0 && len(rs) > 0 {
				f.Pairs, f.Ours = len(rs), new(spreadOf(rs))
			}
			r.Figures = append(r.Figures, f)
		}
		t.Rows = append(t.Rows, r)
	}
	t.compareWithKernel()
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

// compareWithKernel fills in how everybody compares with the Linux bridge: ours to it,
// divided by ours to them, so that every measured ratio is one of neighbours.
func (t *table) compareWithKernel() {
	i := slices.IndexFunc(t.Rows, func(r row) bool { return r.Peer == kernelName })
	if i < 0 {
		return
	}
	for k, kernel := range t.Rows[i].Figures {
		if kernel.Ours == nil {
			continue
		}
		for j := range t.Rows {
			switch f := &t.Rows[j].Figures[k]; {
			case j == i:
				f.Kernel = 1
			case t.Rows[j].Peer == oursName:
				f.Kernel = kernel.Ours.Median
			case f.Ours != nil && f.Ours.Median != 0:
				f.Kernel = kernel.Ours.Median / f.Ours.Median
			}
		}
	}
}

// write prints the table for people: the metric that counts, and of the others the
// median and what ours comes to beside it.
func (t *table) write(w io.Writer) {
	for n, r := range t.Rows {
		first := r.Figures[0]
		if n == 0 {
			fmt.Fprintf(w, "%-32s %8s %8s %8s  %-22s %9s", fmt.Sprintf("%s over %s, %s", t.Workload, t.Cable, first.Unit), "median", "min", "max", "ours to it (min-max)", "to kernel")
			for _, f := range r.Figures[1:] {
				fmt.Fprintf(w, "  %16s", f.Unit)
			}
			fmt.Fprintln(w)
		}
		if first.Runs == 0 {
			fmt.Fprintf(w, "  %-30s %8s\n", r.Peer, "failed")
			continue
		}
		fmt.Fprintf(w, "  %-30s %8s %8s %8s  %-22s %9s", r.Peer, number(first.Value.Median), number(first.Value.Min), number(first.Value.Max), first.paired(), ratioText(first.Kernel))
		for _, f := range r.Figures[1:] {
			fmt.Fprintf(w, "  %16s", f.brief())
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

func (f *figure) paired() string {
	if f.Ours == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f) n=%d", f.Ours.Median, f.Ours.Min, f.Ours.Max, f.Pairs)
}

func (f *figure) brief() string {
	switch {
	case f.Runs == 0:
		return "-"
	case f.Ours == nil:
		return number(f.Value.Median)
	}
	return fmt.Sprintf("%s (%.2f)", number(f.Value.Median), f.Ours.Median)
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
		if first := r.Figures[0]; r.Peer == oursName && first.Kernel != 0 {
			return fmt.Sprintf("ratio %s %s %.2f", t.Workload, t.Cable, first.Kernel)
		}
	}
	return ""
}
