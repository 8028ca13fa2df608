// Command qemusockets has two virtual machines meet on a bridge with no privilege at
// all: `gobr run --qemu` and two QEMUs are three programs of one user, who share two
// sockets.
//
//	go run ./examples/qemusockets         by streams
//	go run ./examples/qemusockets -dgram  by datagrams
//
// It needs Linux on amd64, QEMU and a Debian kernel, and says what is missing and how
// to get it. It installs nothing; its sockets are in a directory of their own, which
// is removed in the end, and no program that it starts outlives it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ddfb540f/bridge/internal/guest"
)

// atMost bounds the whole run.
const atMost = 5 * time.Minute

// options is what the command line asks for.
type options struct {
	accel  string // kvm, tcg; "" is the better one that works
	kernel string // directory that has boot/vmlinuz-* and lib/modules
	gobr   string // program; "" is to be built
	dgram  bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "qemusockets:", err)
		os.Exit(1)
	}
}

// run is the program with its surroundings as arguments. When ctx ends it tidies up
// and returns.
func run(ctx context.Context, args []string, w io.Writer) error {
	o, err := parse(args, w)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	return lesson(ctx, o, w)
}

func parse(args []string, w io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("qemusockets", flag.ContinueOnError)
	flags.SetOutput(w)
	flags.StringVar(&o.accel, "accel", "", "kvm or tcg; the default is kvm if it works at full speed")
	flags.StringVar(&o.kernel, "kernel", "", "directory with boot/vmlinuz-* and lib/modules (default $"+guest.KernelVariable+", or /)")
	flags.StringVar(&o.gobr, "gobr", "", "the program gobr; the default is to build it")
	flags.BoolVar(&o.dgram, "dgram", false, "plug the guests in by datagrams, not by streams")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case o.accel != "" && o.accel != guest.KVM && o.accel != guest.TCG:
		return o, fmt.Errorf("-accel takes kvm or tcg, not %q", o.accel)
	case flags.NArg() > 0:
		return o, fmt.Errorf("there are no arguments besides flags: %q", flags.Arg(0))
	}
	if o.kernel == "" {
		if o.kernel = os.Getenv(guest.KernelVariable); o.kernel == "" {
			o.kernel = "/"
		}
	}
	return o, nil
}
