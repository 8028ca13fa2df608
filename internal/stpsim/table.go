package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/ddfb540f/bridge"
)

// A row of the table is a topology.
type row struct {
	name  string
	kind  string
	size  int
	alone bool // it has no second way: nothing heals a cut
}

var rows = []row{
	{"line of 8", "line", 8, true}, {"line of 32", "line", 32, true}, {"tree of 200", "tree", 200, true},
	{"ring of 3", "ring", 3, false}, {"ring of 8", "ring", 8, false}, {"ring of 32", "ring", 32, false},
	{"mesh of 4", "mesh", 4, false}, {"mesh of 8", "mesh", 8, false}, {"grid of 16", "grid", 16, false}, {"grid of 196", "grid", 196, false},
	{"random of 20", "random", 20, false}, {"random of 200", "random", 200, false}, {"hubs of 20", "hubs", 20, false},
}

// columns are what happens to each; a network is as its making left it before the first.
var columns = []string{"power on", "cable cut", "traffic", "mended", "cable silent", "traffic", "mended", "root dies", "root back"}

// A cell is how long that took: of each seed, until the active topology was a spanning
// tree for good; negative where it could not be measured.
type cell []time.Duration

// String gives the median and the longest.
func (c cell) String() string {
	c = slices.DeleteFunc(slices.Clone(c), func(d time.Duration) bool { return d < 0 })
	if len(c) == 0 {
		return "-"
	}
	slices.Sort(c)
	return fmt.Sprintf("%s / %s", seconds(c[len(c)/2]), seconds(c[len(c)-1]))
}

// seconds are as short as a table wants them.
func seconds(d time.Duration) string {
	digits := 1
	switch {
	case d <= 0 || d >= time.Second:
	case d >= time.Millisecond:
		digits = 3
	default:
		digits = 5
	}
	return fmt.Sprintf("%.*f", digits, d.Seconds())
}

// printTable measures how long networks take to converge and to heal.
func printTable(p *protocol, o *options, stdout, stderr io.Writer) (failed int) {
	fmt.Fprintf(stdout, "%s: seconds until the active topology is a spanning tree for good, median / longest of %d seeds;\n"+
		"traffic: until frames between both ends of the cable, 20 a second each way, arrive again\n", p.name, o.n)
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "topology")
	for _, c := range columns {
		fmt.Fprintf(w, "\t%s", c)
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		cells, errs := r.measure(p, o)
		fmt.Fprint(w, r.name)
		for _, c := range cells {
			fmt.Fprintf(w, "\t%v", c)
		}
		fmt.Fprintln(w)
		for _, err := range errs {
			fmt.Fprintf(stderr, "%s: %s: %v\n", p.name, r.name, err)
			failed++
		}
	}
	_ = w.Flush() // as good as it gets
	return failed
}

// measure fills the cells of a topology.
func (r *row) measure(p *protocol, o *options) (cells []cell, errs []error) {
	cells = make([]cell, len(columns))
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards cells and errs
		room = make(chan struct{}, o.jobs)
	)
	for i := range o.n {
		room <- struct{}{}
		wg.Go(func() { // ends with its network
			defer func() { <-room }()
			times, err := r.one(p, o.seed+uint64(i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("seed %d: %w", o.seed+uint64(i), err))
			}
			for j, t := range times {
				cells[j] = append(cells[j], t)
			}
		})
	}
	wg.Wait()
	return cells, errs
}

// one is the life of one network, in the order of columns.
func (r *row) one(p *protocol, seed uint64) (times []time.Duration, err error) {
	n, err := build(shapes[r.kind](rand.New(rand.NewPCG(seed, 1)), r.size), p, seed, nil)
	if err != nil {
		return nil, err
	}
	defer n.lab.Close()
	var res result
	step := func(name string, tame bool, happens func()) time.Duration {
		if err == nil {
			err = n.phase(&res, name, tame, happens)
			return res.phases[len(res.phases)-1].ok
		}
		return -1
	}
	times = append(times, step("power on", true, func() { n.powerOn(3 * time.Second) }))
	for _, m := range []func(ls []*link) mishap{n.cutting, n.silencing} {
		l := n.redundant()
		if r.alone || l == nil {
			times = append(times, -1, -1, -1)
			continue
		}
		cut := m([]*link{l})
		times = append(times, step(cut.name, cut.tame, func() { n.startStream(l.a, l.b); cut.begin() }), n.stopStream())
		times = append(times, step(cut.name+": over", cut.tameEnd, cut.end))
	}
	dies := n.killing(n.root())
	times = append(times, step(dies.name, dies.tame, dies.begin), step(dies.name+": over", dies.tameEnd, dies.end))
	return times, err
}

// redundant draws a cable between bridges that carries frames, and that is not the only
// way to somewhere; nil if there is none.
func (n *network) redundant() *link {
	before := n.reach().count
	for _, i := range n.rand.Perm(len(n.links)) {
		l := n.links[i]
		if l.a >= n.topo.bridges || l.b >= n.topo.bridges || l.a == l.b ||
			l.ends[0].state != bridge.StateForwarding || l.ends[1].state != bridge.StateForwarding {
			continue
		}
		l.cut = true
		same := n.reach().count == before
		l.cut = false
		if same {
			return l
		}
	}
	return nil
}

// root is the bridge with the lowest identifier.
func (n *network) root() int {
	best := 0
	for i := range n.topo.bridges {
		if n.bridges[i].Info().BridgeID.Compare(n.bridges[best].Info().BridgeID) < 0 {
			best = i
		}
	}
	return best
}
