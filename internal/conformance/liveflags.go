package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge/internal/conformance/random"
	"github.com/ddfb540f/bridge/internal/conformance/vm"
)

// liveFlags say how a kernel's bridge is compared with ours.
type liveFlags struct {
	live    bool
	vm      bool
	guest   bool
	random  int
	seed    uint64
	without string
}

func (l *liveFlags) define(fl *flag.FlagSet) {
	fl.BoolVar(&l.live, "live", false, "perform the scenarios on the bridge of the running kernel, and compare with that (root)")
	fl.BoolVar(&l.vm, "vm", false, "the same, with a Debian kernel in a virtual machine of QEMU; "+
		"QEMUGUEST_KERNEL names a directory that has one other than this machine's")
	fl.BoolVar(&l.guest, strings.TrimPrefix(vm.GuestFlag, "-"), false, "for the program within the virtual machine")
	fl.IntVar(&l.random, "random", 0, "make this many scenarios by chance instead of reading them")
	fl.Uint64Var(&l.seed, "seed", 0, "of the first random scenario; the next have the next ones (0: any)")
	fl.StringVar(&l.without, "without", "", "leave these out of random scenarios: settings, or "+strings.Join(random.Kinds(), ", "))
}

// run has use compare with the kernel, and gives the exit status.
func (l *liveFlags) run(stdout, stderr io.Writer, use func(*comparison) int) int {
	open := onThisKernel
	if l.vm {
		open = inMachines
	}
	c, err := open(stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "conformance:", err)
		return 1
	}
	defer c.close()
	fmt.Fprintf(stdout, "kernel %s\n", c.features.Release)
	return use(c)
}

func (l *liveFlags) randomly(c *comparison, verbose bool) int {
	if l.seed == 0 {
		l.seed = 1 + rand.Uint64N(1e9)
	}
	opt := &random.Options{Without: slices.Clip(words(l.without))}
	again := "go run ./internal/conformance -live"
	if l.vm { // a machine without hardware support takes longer than the spanning tree's timers
		again = "go run ./internal/conformance -vm"
		opt.Without = append(opt.Without, "bpdu")
	}
	if l.without != "" {
		again += " -without " + l.without
	}
	fmt.Fprintf(c.stdout, "%d random scenarios, -seed %d\n", l.random, l.seed)
	return c.randomly(l.random, l.seed, opt, again, verbose)
}
