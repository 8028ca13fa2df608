package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A section is one measurement as the document shows it.
type section struct {
	title  string
	text   string     // what was measured, under the title
	head   []string   // of the table
	rows   [][]string // of it
	charts []chart
	block  string // text as another program wrote it, instead of a table
}

const (
	begin = "<!-- scalebench begin: go run ./internal/scalebench -write -->"
	end   = "<!-- scalebench end -->"
)

// markdown is the generated part of the document.
func markdown(all []section) string {
	var s strings.Builder
	s.WriteString(begin + "\n")
	for _, x := range all {
		fmt.Fprintf(&s, "\n### %s\n\n%s\n\n", x.title, x.text)
		if x.block != "" {
			fmt.Fprintf(&s, "```text\n%s```\n", x.block)
			continue
		}
		fmt.Fprintf(&s, "| %s |\n|%s\n", strings.Join(x.head, " | "), strings.Repeat("---|", len(x.head)))
		for _, r := range x.rows {
			fmt.Fprintf(&s, "| %s |\n", strings.Join(r, " | "))
		}
		for _, c := range x.charts {
			fmt.Fprintf(&s, "\n![%s](performance/%s)\n", c.title, c.file)
		}
	}
	s.WriteString("\n" + end)
	return s.String()
}

var errNoMarkers = errors.New("the document has no place that begins and ends with the markers of scalebench")

// generated cuts a document in what is in front of the generated part, that part, and what
// is behind it.
func generated(doc string) (before, part, after string, err error) {
	i, j := strings.Index(doc, begin), strings.Index(doc, end)
	if i < 0 || j < i {
		return "", "", "", errNoMarkers
	}
	return doc[:i], doc[i : j+len(end)], doc[j+len(end):], nil
}

// write renews the generated part of the document in dir, and the charts.
func write(dir string, all []section) error {
	name := filepath.Join(dir, "performance.md")
	doc, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, _, after, err := generated(string(doc))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "performance"), 0o755); err != nil {
		return err
	}
	for _, s := range all {
		for _, c := range s.charts {
			if err := os.WriteFile(filepath.Join(dir, "performance", c.file), []byte(c.svg()), 0o644); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(name, []byte(before+markdown(all)+after), 0o644)
}

// The cells of a figure. What is measured has a decimal point, and nothing else has: so
// the shape of the document can be told from its figures.

func ratio(f figure) string { return fmt.Sprintf("%.2f", f.ratio) }
func reach(f figure) string { return fmt.Sprintf("%.2f to %.2f", f.lo, f.hi) }
func ns(v float64) string   { return fmt.Sprintf("%.1f", v) }
