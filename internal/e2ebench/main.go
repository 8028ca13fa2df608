//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ddfb540f/bridge/internal/netns"
)

// The roles of children.
const (
	stationRole   = "station"
	forwarderRole = "forwarder"
)

func main() {
	if playRole() {
		return
	}
	if err := program(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "e2ebench:", err)
		os.Exit(1)
	}
}

// playRole is the life of a child, and false for who is not one.
func playRole() bool {
	switch os.Getenv(roleVar) {
	case stationRole:
		stationMain()
	case forwarderRole:
		forwarderMain()
	default:
		return false
	}
	return true
}

func program(args []string) error {
	opts, err := parseFlags(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if why := netns.Missing("ip"); why != "" {
		return errors.New(why)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	b := bench{opts: opts, log: os.Stderr}
	var lines []string
	err = b.run(ctx, func(t *table) {
		if opts.json {
			_ = json.NewEncoder(os.Stdout).Encode(t)
		} else {
			t.write(os.Stdout)
		}
		if line := t.ratioLine(); line != "" {
			lines = append(lines, line)
		}
	})
	for _, line := range lines {
		fmt.Println(line)
	}
	return err
}
