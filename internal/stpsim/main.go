// Command stpsim proves in virtual time that networks of whole bridges converge.
//
//	go run ./internal/stpsim [-protocol NAME,...] [-n N] [-seed S] [-j N]
//	go run ./internal/stpsim -protocol NAME -seed S -n 1 -v | -trace
//	go run ./internal/stpsim -table [-n N]
//
// Number i of seed S is the topology of seed S+i: a line, a ring, a mesh, a grid, a tree
// or a random graph, with parallel cables, cables from a bridge to itself and shared
// segments in some. Every bridge is a bridge.Bridge as a program would use it, with a
// host behind it. It is powered on, bridge after bridge, and one to three things happen
// to it: cables are cut, flap, carry nothing or in one direction alone, lose BPDUs, or
// have frames overtake each other; a bridge loses its power, or hangs.
//
// # What is checked
//
// Whenever no port has changed its state for longer than the protocol's timers run:
// the cables between FORWARDING ports are one tree in each connected part of the
// network, with the root, the costs and the designated bridges that follow from the
// graph; a broadcast of each host reaches every other host of that part once, and so do
// frames to hosts that are known; behind them nothing is under way any more, no port has
// changed its state, and every bridge accounts for every frame. Before that, frames to
// hosts that have been silent arrive once, where bridges forget what a change of the
// topology made wrong. Linux's 802.1D does so only some time within the ageing time (its
// collector is not called earlier), RSTP does not for what it takes for no change
// (forget.go), and nobody does if BPDUs were lost, or what was wrong was learned while
// there was a loop: what went astray then is counted.
//
// While it converges, hosts talk. After a power-on, a cut, a flap, a mended cable and a
// bridge that loses its power or gets it back there may be no loop in any instant, no
// frame may reach a host twice, and none may circulate. With RSTP that holds unless
// bridges lose their way to the root that have a loop of cables among themselves, in which
// what was said of that way goes round (echo.go, the count to infinity), and without
// shared segments, on which nobody can agree to anything. Where BPDUs are lost, late or
// one-way no protocol can promise it. There loops are measured: what circulates is bounded
// by the storm control of each cable, and at no time there may be more frames under way
// than it lets be.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

func main() {
	collectSeldom()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// collectSeldom has the garbage of networks, which keep little and make much, collected a
// quarter as often as by default, which takes a quarter off the time; GOGC says otherwise.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// options are what the command line says.
type options struct {
	protocols []*protocol
	seed      uint64
	n, jobs   int
	verbose   bool
	trace     bool
	table     bool
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	fl := flag.NewFlagSet("stpsim", flag.ContinueOnError)
	fl.SetOutput(stderr)
	names := fl.String("protocol", "stp,rstp", "run `NAME,...` of stp, rstp and off, which is no protocol")
	fl.Uint64Var(&o.seed, "seed", 1, "seed of the first topology")
	fl.IntVar(&o.n, "n", 0, "how many topologies, 300 if 0; with -table how many seeds, 5 if 0")
	fl.IntVar(&o.jobs, "j", runtime.GOMAXPROCS(0), "how many at a time")
	fl.BoolVar(&o.verbose, "v", false, "print what every topology did")
	fl.BoolVar(&o.trace, "trace", false, "print every BPDU and port state, of one topology at a time")
	fl.BoolVar(&o.table, "table", false, "print how long topologies take to converge and to heal")
	if err := fl.Parse(args); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(*names, ",") {
		p := protocols[name]
		if p == nil {
			return o, fmt.Errorf("there is no protocol %q", name)
		}
		o.protocols = append(o.protocols, p)
	}
	switch {
	case o.n != 0:
	case o.table:
		o.n = 5
	default:
		o.n = 300
	}
	if fl.NArg() > 0 || o.n < 1 || o.jobs < 1 {
		return o, errors.New("see -h")
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "stpsim:", err)
		return 2
	}
	failed := 0
	for _, p := range o.protocols {
		if o.table {
			failed += printTable(p, &o, stdout, stderr)
		} else {
			failed += playMany(p, &o, stdout, stderr)
		}
	}
	if failed > 0 {
		return 1
	}
	return 0
}
