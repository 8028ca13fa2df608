// Command qemuguest carries a virtual machine's traffic across the bridge, and
// shows a frame's way to the guest and back: which part of it is the kernel's, which
// is the bridge's, and where the queue is that can overflow.
//
//	go run ./examples/qemuguest                    both models of network card
//	go run ./examples/qemuguest -model virtio-net  one of them
//	go run ./examples/qemuguest -overflow          a guest that stops reading
//
// It needs Linux on amd64, root, QEMU and a Debian kernel, and says what is missing
// and how to get it. It installs nothing, uses network namespaces that have no name
// and vanish with it, and leaves no file behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/ddfb540f/bridge/internal/guest"
)

// kernelVariable is the environment's word for the flag -kernel.
const kernelVariable = guest.KernelVariable

// models are the network cards that a guest may have, as QEMU names them.
var models = []string{"e1000", "virtio-net"}

// options is what the command line asks for.
type options struct {
	models   []string
	accel    string // kvm, tcg; "" is the better one that works
	kernel   string // directory that has boot/vmlinuz-* and lib/modules
	overflow bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "qemuguest:", err)
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
	return lesson(ctx, o, w)
}

func parse(args []string, w io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("qemuguest", flag.ContinueOnError)
	flags.SetOutput(w)
	model := flags.String("model", strings.Join(models, ","), "network cards of the guests, one run each")
	flags.StringVar(&o.accel, "accel", "", "kvm or tcg; the default is kvm if it works at full speed")
	flags.StringVar(&o.kernel, "kernel", "", "directory with boot/vmlinuz-* and lib/modules (default $"+kernelVariable+", or /)")
	flags.BoolVar(&o.overflow, "overflow", false, "stop the guest and let the queue in front of it overflow")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.models = strings.Split(*model, ",")
	for _, m := range o.models {
		if !slices.Contains(models, m) {
			return o, fmt.Errorf("-model takes %s, not %q", strings.Join(models, " and "), m)
		}
	}
	switch {
	case o.accel != "" && o.accel != guest.KVM && o.accel != guest.TCG:
		return o, fmt.Errorf("-accel takes kvm or tcg, not %q", o.accel)
	case flags.NArg() > 0:
		return o, fmt.Errorf("there are no arguments besides flags: %q", flags.Arg(0))
	}
	if o.kernel == "" {
		if o.kernel = os.Getenv(kernelVariable); o.kernel == "" {
			o.kernel = "/"
		}
	}
	return o, nil
}
