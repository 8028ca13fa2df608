// Command conformance replays recorded scenarios of the Linux bridge on this
// bridge and counts, family by family, those without a difference.
//
//	go run ./internal/conformance [-v] [-family NAME] PATH...
//	go run ./internal/conformance -docs PATH... > docs/conformance.md
//	go run ./internal/conformance -live | -vm [-v] [-family NAME] PATH...
//	go run ./internal/conformance -live | -vm -random N [-seed S] [-without NAME,...] [-v]
//
// A PATH is a file of scenarios (.jsonl.gz, .jsonl) or a folder of such files.
// Flags may follow PATHs; behind -- everything is a PATH.
//
// A line that is no scenario is a scenario that failed, and so is a file that
// cannot be read (to its end), whatever its family: it is told on standard error
// as well. The last line of the output is always "N passed, M failed". The exit
// status is 0 if all scenarios passed, 1 if any failed or none was found, 2 if
// the command line is wrong.
//
// # Live
//
// With -live, which needs root, the bridge of the running kernel performs the
// scenarios, in a network namespace each, and what it does is replayed on ours in
// place of what is recorded. -vm does the same on a Debian kernel in QEMU. What the
// kernel has not got, and what depends on time, is left out and counted by name.
// -random makes the scenarios: number i of seed S is the first of seed S+i. The first
// that differs ends the run, or with -v none; it is told with the command that repeats
// it, and again as small as it can be made, in the format of the recordings.
//
// Some things of a kernel cannot be told from its bridge, and random scenarios keep
// clear of them. Without a port that forwards, br0 loses its carrier and drops what the
// host sends, some time within a second; so port p1 always forwards. br_netfilter drops
// a frame whose inner 802.1Q tag is not whole, whatever its settings are; so none is
// made. A host with IPv6 loses it with an MTU below 1280, listens to routers, so there
// are none, and reports the group that a snooping bridge joins, so there is no snooping
// where the host has IPv6. What snooping times takes a minute at least, or ends at once.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/vm"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// flags are those of the command.
func flags(stderr io.Writer) (fl *flag.FlagSet, verbose, docs *bool, family *string) {
	fl = flag.NewFlagSet("conformance", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() {
		fmt.Fprintln(stderr, "usage: conformance [-v] [-docs] [-family NAME] PATH...\n"+
			"       conformance -live | -vm [-v] [-family NAME] PATH...\n"+
			"       conformance -live | -vm -random N [-seed S] [-without NAME,...] [-v]")
		fl.PrintDefaults()
	}
	verbose = fl.Bool("v", false, "print the first difference of each failing scenario")
	docs = fl.Bool("docs", false, "print docs/conformance.md instead of figures")
	family = fl.String("family", "", "replay scenarios of this `family` only")
	return fl, verbose, docs, family
}

func run(args []string, stdout, stderr io.Writer) int {
	fl, verbose, docs, family := flags(stderr)
	var l liveFlags
	l.define(fl)
	paths, err := parse(fl, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case l.guest:
		vm.Guest()
		return 0
	case (len(paths) == 0) == (l.random == 0) || l.random != 0 && !l.live && !l.vm:
		fl.Usage()
		return 2
	}
	if l.random != 0 {
		return l.run(stdout, stderr, func(c *comparison) int { return l.randomly(c, *verbose) })
	}
	scenarios := chosen(read(paths, stderr), *family, stderr)
	switch {
	case l.live || l.vm:
		return l.run(stdout, stderr, func(c *comparison) int { return c.recordings(scenarios, *verbose) })
	case *docs:
		found := make([]*replay.Difference, len(scenarios))
		for i, s := range scenarios {
			found[i] = replay.Check(s)
		}
		page(stdout, scenarios, found)
		return 0
	}
	return report(scenarios, *verbose, stdout)
}

// parse reads flags wherever they stand among the paths, up to a --.
func parse(fl *flag.FlagSet, args []string) (paths []string, err error) {
	for {
		if err := fl.Parse(args); err != nil {
			return nil, err
		}
		rest := fl.Args()
		read := len(args) - len(rest)
		if len(rest) == 0 || read > 0 && args[read-1] == "--" {
			return append(paths, rest...), nil
		}
		paths, args = append(paths, rest[0]), rest[1:]
	}
}

// read reads all paths and tells which files cannot be read and which paths hold
// nothing.
func read(paths []string, stderr io.Writer) []*replay.Scenario {
	var all []*replay.Scenario
	for _, path := range paths {
		found := replay.Read(path)
		if len(found) == 0 {
			fmt.Fprintf(stderr, "conformance: %s: no scenario found; "+
				"the names of recordings end in .jsonl.gz or .jsonl\n", path)
		}
		for _, s := range found {
			if s.Damage != nil && s.Damage.File {
				fmt.Fprintln(stderr, "conformance:", s.Damage)
			}
		}
		all = append(all, found...)
	}
	return all
}

// chosen gives the scenarios of a family, all if it is "". A file that cannot be
// read may hold any family, so its failure always counts.
func chosen(all []*replay.Scenario, family string, stderr io.Writer) []*replay.Scenario {
	if family == "" {
		return all
	}
	var some []*replay.Scenario
	families := map[string]bool{}
	for _, s := range all {
		unreadable := s.Damage != nil && s.Damage.File
		if !unreadable {
			families[s.Family] = true
		}
		if unreadable || s.Family == family {
			some = append(some, s)
		}
	}
	if !families[family] {
		there := strings.Join(slices.Sorted(maps.Keys(families)), ", ")
		if there == "" {
			there = "none"
		}
		fmt.Fprintf(stderr, "conformance: no scenario of family %q found; families found: %s\n", family, there)
	}
	return some
}

// report replays and prints; it gives the exit status.
func report(scenarios []*replay.Scenario, verbose bool, w io.Writer) int {
	type count struct{ passed, total int }
	families := map[string]*count{}
	var all count
	for _, s := range scenarios {
		c := families[s.Family]
		if c == nil {
			c = new(count)
			families[s.Family] = c
		}
		c.total++
		all.total++
		if d := replay.Check(s); d == nil {
			c.passed++
			all.passed++
		} else if verbose {
			fmt.Fprintln(w, d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		fmt.Fprintf(w, "%s %d/%d\n", name, families[name].passed, families[name].total)
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", all.passed, all.total-all.passed)
	if all.passed < all.total || all.total == 0 {
		return 1
	}
	return 0
}
