package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A count is how many instructions a frame of a case takes.
type count struct {
	name string
	n    float64
}

// A table is what is written down.
type table struct {
	toolchain string // what the counted program was made by
	counts    []count
}

const heading = "# Instructions a frame, written by go run ./internal/instructions -update"

func (t table) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n%s\n", heading, t.toolchain)
	for _, c := range t.counts {
		fmt.Fprintf(&s, "%-20s %8.1f\n", c.name, c.n)
	}
	return s.String()
}

// parseTable reads what String wrote.
func parseTable(s string) (t table, err error) {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) < 2 || lines[0] != heading {
		return t, errors.New("the table does not begin with its heading")
	}
	t.toolchain = lines[1]
	for _, l := range lines[2:] {
		f := strings.Fields(l)
		if len(f) != 2 {
			return t, fmt.Errorf("%q is not a case and its count", l)
		}
		n, err := strconv.ParseFloat(f[1], 64)
		if err != nil || n <= 0 {
			return t, fmt.Errorf("%q is not a case and its count", l)
		}
		t.counts = append(t.counts, count{f[0], n})
	}
	return t, nil
}

// compare holds the counts of now against those written down. The error names the cases
// that take more than margin above it, and those that the two do not share.
func compare(old, now table) (report string, err error) {
	was := map[string]float64{}
	for _, c := range old.counts {
		was[c.name] = c.n
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%-20s %12s %8s %8s\n", "case", "instructions", "written", "ratio")
	var wrong []string
	for _, c := range now.counts {
		n, ok := was[c.name]
		delete(was, c.name)
		if !ok {
			wrong = append(wrong, c.name+" is not written down")
			continue
		}
		ratio := c.n / n
		fmt.Fprintf(&s, "%-20s %12.1f %8.1f %8.3f\n", c.name, c.n, n, ratio)
		switch {
		case ratio > 1+margin:
			wrong = append(wrong, fmt.Sprintf("%s takes %.1f %% more", c.name, 100*(ratio-1)))
		case ratio < 1-margin:
			fmt.Fprintf(&s, "%s takes %.1f %% fewer: write that down, so that it stays\n", c.name, 100*(1-ratio))
		}
	}
	for _, c := range old.counts {
		if _, ok := was[c.name]; ok {
			wrong = append(wrong, c.name+" is written down and no case")
		}
	}
	is := map[string]float64{}
	for _, c := range now.counts {
		is[c.name] = c.n
	}
	for _, pair := range alike {
		if a, b := is[pair[0]], is[pair[1]]; b > a*(1+margin) {
			wrong = append(wrong, fmt.Sprintf("%s takes %.1f %% more than %s, which no table mends", pair[1], 100*(b/a-1), pair[0]))
		}
	}
	if len(wrong) > 0 {
		err = fmt.Errorf("%s. If that is meant: go run ./internal/instructions -update", strings.Join(wrong, "; "))
	}
	return s.String(), err
}

// summary finds the instructions in a file of callgrind's, the line "summary:".
func summary(file string) (uint64, error) {
	for line := range strings.Lines(file) {
		if n, ok := strings.CutPrefix(line, "summary:"); ok {
			return strconv.ParseUint(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, errors.New("callgrind's file has no summary")
}
