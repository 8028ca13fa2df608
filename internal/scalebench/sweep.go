package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ddfb540f/bridge/internal/workload"
)

// A series is one cost in dependence of a number.
type series struct {
	name string
	make func(x int) (work, error)
}

// A sweep is series over the same numbers, each figure beside that of the same series at
// base, in the same run.
type sweep struct {
	title, text string
	x           string // what the number is
	at          []int
	base        int
	series      []series
	file        string // of the chart
	chart       string // its title
	note        string // the unit of the nanoseconds
}

// run measures a sweep.
func (s *sweep) run(m *meter) (section, error) {
	out := section{title: s.title, text: s.text, head: []string{s.x}}
	c := chart{file: s.file, title: s.chart, x: s.x, y: fmt.Sprintf("cost, that at %d = 1", s.base)}
	for _, x := range s.at {
		c.at, c.labels = append(c.at, float64(x)), append(c.labels, short(x))
		out.rows = append(out.rows, []string{strconv.Itoa(x)})
	}
	for _, one := range s.series {
		out.head = append(out.head, one.name, "min to max", s.note)
		l := line{name: one.name}
		var base work
		if !m.pretend {
			var err error
			if base, err = one.make(s.base); err != nil {
				return out, err
			}
		}
		for i, x := range s.at {
			f, err := m.compare(func() (work, work, error) {
				this, err := one.make(x)
				return base, this, err
			})
			if err != nil {
				return out, err
			}
			l.y = append(l.y, f.ratio)
			out.rows[i] = append(out.rows[i], ratio(f), reach(f), ns(f.this))
		}
		c.lines = append(c.lines, l)
	}
	out.charts = []chart{c}
	return out, nil
}

// short writes a number for an axis.
func short(x int) string {
	switch {
	case x >= 1<<20 && x%(1<<20) == 0:
		return strconv.Itoa(x>>20) + "M"
	case x >= 1_000_000:
		return strconv.Itoa(x/1_000_000) + "M"
	case x >= 1000 && x%1000 == 0:
		return strconv.Itoa(x/1000) + "k"
	}
	return strconv.Itoa(x)
}

// network makes a network as all experiments want it.
func network(c workload.Config) (*workload.Network, error) {
	c.Bridge.VLANFiltering = true
	c.Bridge.Clock = time.Now
	return workload.New(c)
}

// unicast is the work of unicast frames of size bytes through a network.
func unicast(c workload.Config, size int) (work, error) {
	n, err := network(c)
	if err != nil {
		return work{}, err
	}
	return work{run: n.Load(n.Unicast(size, 1)).Run}, nil
}
