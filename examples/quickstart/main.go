// Command quickstart shows a frame's way through a switch: a bridge, virtual
// hosts, and a ping across it, in virtual time and without any privilege.
//
//	go run ./examples/quickstart          three hosts
//	go run ./examples/quickstart -hosts 5 more of them
//	go run ./examples/quickstart -vlans   h1 and h2 in VLAN 10, the others in VLAN 20
//	go run ./examples/quickstart -hub     nothing is learned, everything floods
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
)

const maxHosts = 100

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run is the program with its surroundings as arguments. What it prints follows
// from args alone.
func run(args []string, w io.Writer) error {
	c, err := parse(args, w)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	lab, err := bridgetest.New(c)
	if err != nil {
		return err
	}
	defer lab.Close()
	var text strings.Builder
	if err := lesson(lab, &text); err != nil {
		return err
	}
	_, err = io.WriteString(w, text.String())
	return err
}

// parse makes the network that the flags ask for.
func parse(args []string, w io.Writer) (bridgetest.Config, error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(w)
	hosts := flags.Int("hosts", 3, "number of hosts, 2 to 100")
	vlans := flags.Bool("vlans", false, "h1 and h2 in VLAN 10, the others in VLAN 20")
	hub := flags.Bool("hub", false, "ageing time 0: nothing is learned")
	if err := flags.Parse(args); err != nil {
		return bridgetest.Config{}, err
	}
	if *hosts < 2 || *hosts > maxHosts || flags.NArg() > 0 {
		return bridgetest.Config{}, fmt.Errorf("-hosts takes 2 to %d, and there are no other arguments", maxHosts)
	}
	var c bridgetest.Config
	for i := range *hosts {
		h := bridgetest.HostConfig{Name: fmt.Sprintf("h%d", i+1)}
		switch {
		case *vlans && i < 2:
			h.Port.VLANs = bridge.Access(10)
		case *vlans:
			h.Port.VLANs = bridge.Access(20)
		}
		c.Hosts = append(c.Hosts, h)
	}
	s := bridge.Config{VLANFiltering: *vlans}
	if *hub {
		s.AgeingTime = new(time.Duration(0))
	}
	c.Switches = []bridge.Config{s}
	return c, nil
}

// lesson has h1 ping all others, the first time with every step shown, and prints
// the switch's tables before and after. w takes everything.
func lesson(lab *bridgetest.Lab, w io.Writer) error {
	fmt.Fprintf(w, "== %s\n", lab.Bridge().Name())
	for _, h := range lab.Hosts() {
		fmt.Fprintf(w, "%s is %s, %s, on port %s%s\n", h.Name(), h.IP(), h.MAC(), h.Port().Name(), vlanOf(h))
	}
	fmt.Fprint(w, "\n== Before\n")
	if err := lab.WriteFDB(w); err != nil {
		return err
	}
	h1 := lab.Host("h1")
	for i, h := range lab.Hosts()[1:] {
		fmt.Fprintf(w, "\n== h1 pings %s\n", h.Name())
		if i == 0 {
			lab.Trace(w)
		}
		rtt, err := h1.Ping(h.IP())
		lab.Trace(nil)
		if err != nil {
			fmt.Fprintln(w, err)
		} else {
			fmt.Fprintf(w, "%s has answered after %s\n", h.Name(), rtt)
		}
	}
	fmt.Fprint(w, "\n== After\n")
	return lab.WriteTables(w)
}

// vlanOf says which VLAN the host's port is in, if that counts.
func vlanOf(h *bridgetest.Host) (s string) {
	if !h.Port().Bridge().Info().VLANFiltering {
		return ""
	}
	for _, v := range h.Port().VLANs().All() {
		s += fmt.Sprintf(" in VLAN %d", v.VID)
	}
	return s
}
