//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// options are what the command line asks for.
type options struct {
	cables    []cable
	workloads []workload
	peers     []peer // beside ours
	pairs     int
	length    time.Duration // of a run; 0: each workload's own
	json      bool
	profile   string
}

const (
	defaultPairs = 10
	quickPairs   = 3
	quickLength  = 200 * time.Millisecond
)

// parseFlags reads the command line. What is wrong with it is the error.
func parseFlags(args []string, out io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("e2ebench", flag.ContinueOnError)
	fs.SetOutput(out)
	quick := fs.Bool("quick", false, fmt.Sprintf("%d pairs of %v", quickPairs, quickLength))
	cableNames := fs.String("cable", "tap,raw", "cables: "+names(cables, cableName))
	workNames := fs.String("workload", "", "workloads: "+names(workloads, workloadName)+" (default all)")
	peerNames := fs.String("peer", "", "whom to measure against: "+names(peers, peerName)+" (default all)")
	fs.IntVar(&o.pairs, "n", 0, fmt.Sprintf("pairs of runs a ratio (default %d)", defaultPairs))
	fs.DurationVar(&o.length, "length", 0, "of a run (default as the workload needs)")
	fs.BoolVar(&o.json, "json", false, "print JSON, a line a table")
	fs.StringVar(&o.profile, "cpuprofile", "", "write our bridge's CPU profile to this `file` (one cable only)")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("what is %q", fs.Arg(0))
	}
	if *quick && o.pairs == 0 {
		o.pairs = quickPairs
	}
	if *quick && o.length == 0 {
		o.length = quickLength
	}
	if o.pairs == 0 {
		o.pairs = defaultPairs
	}
	if o.pairs < 1 || o.length < 0 {
		return o, errors.New("-n and -length have to be positive")
	}
	if o.cables, err = choose("cable", *cableNames, cables, cableName); err != nil {
		return o, err
	}
	if o.workloads, err = choose("workload", *workNames, workloads, workloadName); err != nil {
		return o, err
	}
	if o.peers, err = choose("peer", *peerNames, peers, peerName); err != nil {
		return o, err
	}
	if o.profile != "" && len(o.cables) > 1 {
		return o, errors.New("-cpuprofile is for one cable: each has a bridge of its own")
	}
	return o, nil
}

// lengthOf is how long a run of w is measured.
func (o *options) lengthOf(w workload) time.Duration {
	if o.length != 0 {
		return o.length
	}
	return w.length
}

func cableName(c cable) string       { return c.name }
func workloadName(w workload) string { return w.name }
func peerName(p peer) string         { return p.name }

func names[T any](all []T, name func(T) string) string {
	var ns []string
	for _, x := range all {
		ns = append(ns, name(x))
	}
	return strings.Join(ns, ", ")
}

// choose picks what a list with commas names, in its order; all of it for "".
func choose[T any](what, list string, all []T, name func(T) string) (picked []T, err error) {
	if list == "" {
		return all, nil
	}
next:
	for n := range strings.SplitSeq(list, ",") {
		for _, x := range all {
			if name(x) == strings.TrimSpace(n) {
				picked = append(picked, x)
				continue next
			}
		}
		return nil, fmt.Errorf("no %s is called %q: there are %s", what, n, names(all, name))
	}
	return picked, nil
}
