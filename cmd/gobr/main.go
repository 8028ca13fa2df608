// Command gobr is a Linux bridge in user space, between TAPs:
//
//	gobr run --name br0 --host br0 --tap tap0 --tap tap1 --trace
//
// makes (or, if persistent, attaches) the TAPs, bridges them until it gets an
// interrupt or a SIGTERM, and then prints what became of every frame. TAPs that it
// made vanish with it, persistent ones are left as they were found. It needs CAP_NET_ADMIN, or persistent TAPs made for its
// user. `gobr help` explains the flags.
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
