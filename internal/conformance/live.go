package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/random"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/vm"
)

// A recorder performs scenarios on a kernel's bridge and writes down what it does.
type recorder interface {
	Record(s *replay.Scenario) (*replay.Scenario, error)
}

// comparison holds a kernel's bridge against ours.
type comparison struct {
	kernel   recorder
	features live.Features
	workers  int    // that ask the kernel at the same time
	close    func() // once all is done

	stdout, stderr io.Writer
}

// aRun is what became of one scenario.
type aRun struct {
	leftOut  string             // why it was not run; the rest is not set then
	recorded *replay.Scenario   // with what the kernel did
	diff     *replay.Difference // nil: none
	err      error              // the kernel could not be asked
	asked    *replay.Scenario   // what was performed
}

// one compares one scenario.
func (c *comparison) one(s *replay.Scenario) (r aRun) {
	r.asked = s
	if s.Damage != nil {
		r.diff = replay.Check(s)
		return r
	}
	if r.leftOut = c.features.LeftOut(s); r.leftOut != "" {
		return r
	}
	if r.recorded, r.err = c.kernel.Record(s); r.err == nil {
		r.diff = replay.Check(r.recorded)
	}
	return r
}

// each compares n scenarios, several at a time, and hands over what became of them
// in their order. It ends early when use is false.
func (c *comparison) each(n int, scenario func(int) *replay.Scenario, use func(aRun) bool) {
	runs := make([]chan aRun, n)
	for i := range runs {
		runs[i] = make(chan aRun, 1)
	}
	next, quit := make(chan int), make(chan struct{})
	var wg sync.WaitGroup
	for range c.workers {
		wg.Go(func() { // ends when next does
			for i := range next {
				runs[i] <- c.one(scenario(i))
			}
		})
	}
	wg.Go(func() { // ends with the scenarios, or with use
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-quit:
				return
			}
		}
	})
	for i := range n {
		if !use(<-runs[i]) {
			break
		}
	}
	close(quit)
	wg.Wait()
}

// tally counts what became of scenarios.
type tally struct {
	passed, failed int
	leftOut        map[string]int
}

func (t *tally) add(r aRun) {
	switch {
	case r.leftOut != "":
		if t.leftOut == nil {
			t.leftOut = map[string]int{}
		}
		t.leftOut[r.leftOut]++
	case r.diff != nil || r.err != nil:
		t.failed++
	default:
		t.passed++
	}
}

// print gives the exit status.
func (t *tally) print(w io.Writer) int {
	for _, name := range slices.Sorted(maps.Keys(t.leftOut)) {
		fmt.Fprintf(w, "%s: %d scenarios left out\n", name, t.leftOut[name])
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", t.passed, t.failed)
	if t.failed > 0 || t.passed == 0 {
		return 1
	}
	return 0
}

// recordings performs scenarios of files on the kernel.
func (c *comparison) recordings(all []*replay.Scenario, verbose bool) int {
	families := map[string]*tally{}
	var sum tally
	c.each(len(all), func(i int) *replay.Scenario { return all[i] }, func(r aRun) bool {
		sum.add(r)
		if families[r.asked.Family] == nil {
			families[r.asked.Family] = new(tally)
		}
		families[r.asked.Family].add(r)
		switch {
		case r.err != nil:
			fmt.Fprintln(c.stderr, "conformance:", r.err)
		case r.diff != nil && verbose:
			fmt.Fprintln(c.stdout, r.diff)
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if f := families[name]; f.passed+f.failed > 0 {
			fmt.Fprintf(c.stdout, "%s %d/%d\n", name, f.passed, f.passed+f.failed)
		}
	}
	return sum.print(c.stdout)
}

// randomly performs n scenarios made from seeds that begin with seed. Those that
// differ are told with what repeats them and shrunk: the first alone, or all with
// verbose.
func (c *comparison) randomly(n int, seed uint64, opt *random.Options, again string, verbose bool) int {
	opt.Features = c.features
	var sum tally
	c.each(n, func(i int) *replay.Scenario { return random.Scenario(seed+uint64(i), opt) }, func(r aRun) bool {
		r = c.certain(r)
		sum.add(r)
		switch {
		case r.err != nil:
			fmt.Fprintln(c.stderr, "conformance:", r.err)
		case r.diff != nil:
			fmt.Fprintf(c.stdout, "%v\nagain: %s -random 1 -seed %d\n", r.diff, again, r.asked.Seed)
			c.shrink(r)
			return verbose
		}
		return true
	})
	return sum.print(c.stdout)
}

// certain performs a scenario that differs again, twice at most: a kernel that is kept
// from running for a second has timers run out in between. This bridge does the same every
// time, so that a difference of its own comes back.
func (c *comparison) certain(r aRun) aRun {
	for range 2 {
		if r.diff == nil || r.err != nil {
			return r
		}
		fmt.Fprintf(c.stdout, "%v\nonce more\n", r.diff)
		r = c.one(r.asked)
	}
	return r
}

// tries is how often a scenario is performed while it is made smaller.
const tries = 600

// shrink prints the smallest scenario that still differs, in the format of the
// recordings, so that it can be kept and replayed.
func (c *comparison) shrink(r aRun) {
	smallest := r
	random.Shrink(r.asked, tries, func(s *replay.Scenario) bool {
		now := c.one(s)
		if now.diff == nil || operation(now.diff) != operation(r.diff) {
			return false
		}
		smallest = now
		return true
	})
	line, err := json.Marshal(smallest.recorded)
	if err != nil {
		fmt.Fprintln(c.stderr, "conformance:", err)
		return
	}
	fmt.Fprintf(c.stdout, "shrunk to %d steps: %v\n%s\n", len(smallest.asked.Steps), smallest.diff, line)
}

// operation is what the step is that differs: one that a shorter scenario makes
// senseless, as adding a port that is there, would lead away from it.
func operation(d *replay.Difference) string {
	op, _, _ := strings.Cut(d.Op, " ")
	return op
}

// words splits a list at commas.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// onThisKernel compares with the bridge of the running kernel.
func onThisKernel(stdout, stderr io.Writer) (*comparison, error) {
	k, err := live.Open()
	if err != nil {
		return nil, err
	}
	// The kernel often waits while it makes and takes down namespaces.
	return &comparison{
		kernel: k, features: k.Features, workers: 4 * runtime.GOMAXPROCS(0), close: func() {},
		stdout: stdout, stderr: stderr,
	}, nil
}

// inMachines compares with the bridge of a virtual machine's kernel.
func inMachines(stdout, stderr io.Writer) (*comparison, error) {
	m, err := vm.Open(context.Background())
	if err != nil {
		return nil, err
	}
	return &comparison{
		kernel: m, features: m.Features, workers: vm.Parallel + 2, close: func() { m.Close() },
		stdout: stdout, stderr: stderr,
	}, nil
}
