// Command twoswitches shows what two switches learn: hosts A and B on one, C and D
// on the other, and a cable between them, as in any textbook. For each of a few
// frames it prints what each switch did, and which hosts saw it.
//
//	go run ./examples/twoswitches         in virtual time, without any privilege
//	go run ./examples/twoswitches -real   with TAPs and network namespaces, on Linux, as root
//
// Both ways print the same: it is the same code that decides.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "twoswitches:", err)
		os.Exit(1)
	}
}

// run is the program with its surroundings as arguments.
func run(args []string, w io.Writer) error {
	flags := flag.NewFlagSet("twoswitches", flag.ContinueOnError)
	flags.SetOutput(w)
	real := flags.Bool("real", false, "with TAPs and network namespaces, on Linux, as root")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	build := newLab
	if *real {
		build = newReal
	}
	net, err := build()
	if err != nil {
		return err
	}
	var text strings.Builder
	err = lesson(net, &text)
	if err = errors.Join(err, net.Close()); err != nil {
		return err
	}
	_, err = io.WriteString(w, text.String())
	return err
}

// A network is the two switches and their hosts.
type network interface {
	// Send has a host send a frame, and gives the hosts that saw it, once nothing
	// is on its way any more.
	Send(host string, f frame.Frame) (seen []string, err error)

	Switch(name string) *bridge.Bridge
	Close() error
}

// hosts are the stations: where each is plugged in, and its address.
var hosts = []struct {
	name, sw, port string
	mac            frame.MAC
}{
	{"A", "S1", "p1", frame.MAC{2, 0, 0, 0, 0, 0xa}},
	{"B", "S1", "p2", frame.MAC{2, 0, 0, 0, 0, 0xb}},
	{"C", "S2", "p1", frame.MAC{2, 0, 0, 0, 0, 0xc}},
	{"D", "S2", "p2", frame.MAC{2, 0, 0, 0, 0, 0xd}},
}

// switches are the two, each with the port that the cable between them is in.
var switches = []struct{ name, up string }{{"S1", "up"}, {"S2", "up"}}

// everyone is where a broadcast goes.
const everyone = "everyone"

// frames are who sends to whom, and what there is to see.
var frames = []struct{ from, to, why string }{
	{"A", "D", "Nobody has sent yet, so nobody is known: each switch floods, and everyone sees it.\nBut now both switches know where A is."},
	{"D", "A", "A is known on both switches: the answer takes one way, and nobody else sees it."},
	{"A", "D", "Now D is known too."},
	{"A", "B", "B has never sent. S1 floods although B is its own neighbour, and C and D see it."},
	{"B", "A", "The answer does not leave S1, so S2 learns nothing of B."},
	{"C", "B", "S2 floods, since it does not know B. S1 does: A sees nothing of it."},
	{"B", "C", "This crosses both, and S2 learns B."},
	{"D", everyone, "A broadcast goes everywhere, whatever was learned."},
}

// lesson sends the frames, and tells what became of each.
func lesson(net network, w io.Writer) error {
	fmt.Fprint(w, "    A --p1+----+        +----+p1-- C\n          | S1 +up----up+ S2 |\n    B --p2+----+        +----+p2-- D\n")
	happened := map[string]*watcher{}
	for _, s := range switches {
		happened[s.name] = new(watcher)
		net.Switch(s.name).SetTrace(happened[s.name].step)
	}
	for i, f := range frames {
		seen, err := net.Send(f.from, frameOf(f.from, f.to))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%d. %s sends to %s\n", i+1, f.from, f.to)
		for _, name := range way(f.from) {
			fmt.Fprintf(w, "   %s %s\n", name, happened[name].take())
		}
		fmt.Fprintf(w, "   seen by %s\n\n%s\n", strings.Join(seen, ", "), f.why)
	}
	fmt.Fprintln(w)
	for _, s := range switches {
		var known []string
		for _, h := range hosts {
			if e, ok := net.Switch(s.name).FDB().Lookup(h.mac, 0); ok {
				known = append(known, h.name+" on "+e.Port)
			}
		}
		fmt.Fprintf(w, "In the end %s knows %s.\n", s.name, strings.Join(known, ", "))
	}
	return nil
}

// way is the switches in the order in which a host's frame meets them.
func way(host string) []string {
	names := []string{switches[0].name, switches[1].name}
	for _, h := range hosts {
		if h.name == host && h.sw != names[0] {
			slices.Reverse(names)
		}
	}
	return names
}

// frameOf is a frame of 60 bytes with the EtherType for experiments.
func frameOf(from, to string) frame.Frame {
	dst := frame.Broadcast
	if to != everyone {
		dst = macOf(to)
	}
	return bridgetest.NewFrame(dst, macOf(from), 0x88b5, make([]byte, 46))
}

func macOf(name string) (m frame.MAC) {
	for _, h := range hosts {
		if h.name == name {
			m = h.mac
		}
	}
	return m
}
