package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

const usage = `gobr is a Linux bridge in user space, between TAPs.

  gobr run [flags]   bridge until interrupted, then print statistics and the FDB
  gobr help          print this

Flags of run:
  --tap NAME[@NETNS]   a port: a TAP of that name; once for each port. A persistent
                       TAP is attached, and left as it was found in the end; else
                       one is made, and vanishes. With one %d in NAME the kernel
                       chooses. NETNS is a path, or a name of ip netns
  --host NAME[@NETNS]  attach a host by a TAP of that name, which gets the bridge's
                       address and MTU: give it IP addresses to take part
  --name NAME          the bridge's name (br0)
  --mtu BYTES          MTU of all TAPs, 68 to 65521 (left as it is: 1500)
  --ageing SECONDS     life of an idle entry of the FDB; 0: nothing is learned (300)
  --vlan-filtering     filter VLANs; every port is in VLAN 1, untagged
  --trace              print every step of every frame

The TAPs' MTUs and the host's address are read once, at the start: after a change
of them start gobr again.

Exit status: 0 after an interrupt or SIGTERM, 1 after a failure, 2 for a wrong
command line. Making TAPs needs CAP_NET_ADMIN, entering a NETNS CAP_SYS_ADMIN.
`

// tapSpec is a TAP as named on the command line.
type tapSpec struct {
	name  string
	netns string // path; "" is gobr's own
}

// String gives the spec as it can be written on the command line.
func (s tapSpec) String() string {
	if s.netns == "" {
		return s.name
	}
	return s.name + "@" + s.netns
}

// parseTAP reads NAME or NAME@NETNS.
func parseTAP(text string) (s tapSpec, err error) {
	name, netns, in := strings.Cut(text, "@")
	switch {
	case name == "":
		return s, errors.New("the name is missing")
	case in && netns == "":
		return s, errors.New("the network namespace behind @ is missing")
	case in && !strings.Contains(netns, "/"):
		netns = "/run/netns/" + netns
	}
	return tapSpec{name: name, netns: netns}, nil
}

// options is the command line of gobr run.
type options struct {
	name          string
	host          *tapSpec // nil: no host
	taps          []tapSpec
	mtu           int // 0: as it is
	ageing        time.Duration
	vlanFiltering bool
	trace         bool
}

// parseRun reads the flags of gobr run. Its errors name the flag and say what is
// wrong, or match flag.ErrHelp.
func parseRun(args []string) (options, error) {
	var o options
	var ageing int64
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the error is printed by the caller, in one line
	fs.StringVar(&o.name, "name", "br0", "")
	fs.IntVar(&o.mtu, "mtu", 0, "")
	fs.Int64Var(&ageing, "ageing", 300, "")
	fs.BoolVar(&o.vlanFiltering, "vlan-filtering", false, "")
	fs.BoolVar(&o.trace, "trace", false, "")
	fs.Func("tap", "", func(text string) error {
		s, err := parseTAP(text)
		o.taps = append(o.taps, s)
		return err
	})
	fs.Func("host", "", func(text string) error {
		if o.host != nil {
			return errors.New("there is one host only")
		}
		s, err := parseTAP(text)
		o.host = &s
		return err
	})
	if err := fs.Parse(args); err != nil {
		return options{}, err
	}
	if fs.NArg() > 0 {
		return options{}, fmt.Errorf("%q is no flag; TAPs are named with --tap", fs.Arg(0))
	}
	if ageing < 0 || ageing > 1e9 {
		return options{}, fmt.Errorf("--ageing %d: not between 0 and 1000000000 seconds", ageing)
	}
	o.ageing = time.Duration(ageing) * time.Second
	return o, o.check()
}

func (o *options) check() error {
	switch {
	case len(o.taps) == 0:
		return errors.New("a bridge needs a port: --tap NAME")
	case o.name == "":
		return errors.New("--name: the name is missing")
	case o.mtu != 0 && (o.mtu < 68 || o.mtu > 65521):
		return fmt.Errorf("--mtu %d: not between 68 and 65521", o.mtu)
	}
	// A port bears the name of its TAP, and the bridge's own device that of the
	// bridge.
	seen := map[string]bool{}
	for _, s := range o.taps {
		switch {
		case s.name == o.name:
			return fmt.Errorf("--tap %s: that is the bridge's name; --host %s attaches the host", s, s)
		case seen[s.name] && !strings.Contains(s.name, "%d"):
			return fmt.Errorf("--tap %s: there is a TAP of this name already", s)
		case o.host != nil && *o.host == s:
			return fmt.Errorf("--tap %s: that is the host's TAP", s)
		}
		seen[s.name] = true
	}
	return nil
}
