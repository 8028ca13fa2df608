// Command gobr is a Linux bridge in user space, between TAPs, other interfaces and
// the sockets of virtual machines:
//
//	gobr run --name br0 --host br0 --tap vm1 --tap vm2 --raw eth0 --reattach
//
// makes the TAPs vm1 and vm2 for two virtual machines (or, if persistent, attaches
// them), joins them with the network card eth0 and with this host, which takes part
// by the TAP br0, and bridges until it gets an interrupt or a SIGTERM. Then it
// prints what became of every frame. TAPs that it made vanish with it, persistent
// ones are left as they were found. Give br0 the addresses that eth0 had:
//
//	ip address flush dev eth0
//	ip address add 192.0.2.10/24 dev br0
//
// Two tenants that must not meet, on ports of a VLAN each, with eth0 as the trunk:
//
//	gobr run --tap vm1 --tap vm2 --raw eth0 \
//		--vlan vm1=access:10 --vlan vm2=access:20 --vlan eth0=trunk:10,20
//
// Two guests that may talk to eth0 and to the host, but not to each other:
//
//	gobr run --host br0 --tap vm1 --tap vm2 --raw eth0 --port vm1=isolated --port vm2=isolated
//
// Multicast for those guests alone that join its group, and for the routers behind eth0;
// kill -USR1 shows who has joined what:
//
//	gobr run --host br0 --tap vm1 --tap vm2 --raw eth0 --mcast-querier --port eth0=mcast_router=2
//
// Containers, by the ends of veth pairs that stand in a network namespace, and
// every step of every frame:
//
//	gobr run --raw veth1@lab --raw veth2@lab --trace
//
// Two guests of QEMU's by its sockets, which takes no privilege at all:
//
//	gobr run --qemu vm1=unix:$XDG_RUNTIME_DIR/vm1.sock --qemu vm2=unix:$XDG_RUNTIME_DIR/vm2.sock
//	qemu-system-x86_64 -netdev stream,id=n,addr.type=unix,addr.path=$XDG_RUNTIME_DIR/vm1.sock -device virtio-net-pci,netdev=n ...
//
// Two cards to the same network, one of which is in reserve, by a spanning tree with the
// switches there:
//
//	gobr run --host br0 --raw eth0 --raw eth1 --stp stp --port eth1=cost=100
//
// It needs CAP_NET_ADMIN to make TAPs, or persistent ones made for its user, and
// CAP_NET_RAW for other interfaces. `gobr help` explains the flags.
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
)

// The exit statuses.
const (
	exitOK      = 0
	exitFailure = 1 // something could not be done
	exitUsage   = 2 // the command line makes no sense
)

func main() { os.Exit(asProgram()) }

// asProgram is gobr as the shell starts it.
func asProgram() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	ignoreBrokenPipe()
	privateSockets()
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// run is gobr with its surroundings as arguments. It gives the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		io.WriteString(stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "run":
	case "help", "-h", "-help", "--help":
		return help(stdout, stderr)
	default:
		return complain(stderr, exitUsage, fmt.Errorf("there is no command %q; gobr help shows what there is", args[0]))
	}
	o, err := parseRun(args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help(stdout, stderr)
	case err != nil:
		return complain(stderr, exitUsage, fmt.Errorf("%w; gobr help shows the flags", err))
	}
	if err := serve(ctx, o, stdout, stderr); err != nil {
		return complain(stderr, exitFailure, err)
	}
	return exitOK
}

// help prints what gobr is asked for.
func help(stdout, stderr io.Writer) int {
	if _, err := io.WriteString(stdout, usage); err != nil {
		return complain(stderr, exitFailure, outputError(err))
	}
	return exitOK
}

// outputError says what a failed write to the standard output means.
func outputError(err error) error {
	return fmt.Errorf("the standard output takes no more, what follows is lost: %w", err)
}

// complain says in one line what is wrong.
func complain(w io.Writer, status int, err error) int {
	fmt.Fprintln(w, "gobr:", err)
	return status
}
