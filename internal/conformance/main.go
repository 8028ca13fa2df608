// Command conformance replays recorded scenarios of the Linux bridge on this
// bridge and counts, family by family, those without a difference.
//
//	go run ./internal/conformance [-v] [-family NAME] PATH...
//
// A PATH is a file of scenarios (.jsonl.gz, .jsonl) or a folder of such files.
// The exit status is 0 if all scenarios passed, 1 if any failed, none was found
// or a file could not be read, 2 if the command line is wrong.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("conformance", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() {
		fmt.Fprintln(stderr, "usage: conformance [-v] [-family NAME] PATH...")
		fl.PrintDefaults()
	}
	verbose := fl.Bool("v", false, "print the first difference of each failing scenario")
	family := fl.String("family", "", "replay scenarios of this `family` only")
	switch err := fl.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case fl.NArg() == 0:
		fl.Usage()
		return 2
	}
	scenarios, err := replay.Read(fl.Args()...)
	if err != nil {
		fmt.Fprintln(stderr, "conformance:", err)
		return 1
	}
	return report(scenarios, *family, *verbose, stdout)
}

// report replays and prints; it gives the exit status.
func report(scenarios []*replay.Scenario, family string, verbose bool, w io.Writer) int {
	type count struct{ passed, total int }
	families := map[string]*count{}
	var all count
	for _, s := range scenarios {
		if family != "" && s.Family != family {
			continue
		}
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
