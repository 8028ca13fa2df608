package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// ifSpec is an interface as named on the command line.
type ifSpec struct {
	name  string
	netns string // path; "" is gobr's own
}

// String gives the spec as it can be written on the command line.
func (s ifSpec) String() string {
	if s.netns == "" {
		return s.name
	}
	return s.name + "@" + s.netns
}

// parseIf reads NAME or NAME@NETNS.
func parseIf(text string) (s ifSpec, err error) {
	name, netns, in := strings.Cut(text, "@")
	switch {
	case name == "":
		return s, errors.New("the name is missing")
	case in && netns == "":
		return s, errors.New("the network namespace behind @ is missing")
	case in && !strings.Contains(netns, "/"):
		netns = "/run/netns/" + netns
	}
	return ifSpec{name: name, netns: netns}, nil
}

// portSpec is a port as named on the command line.
type portSpec struct {
	source portSource
	portOptions
}

// options is the command line of gobr run.
type options struct {
	name     string
	host     *ifSpec // nil: no host
	hostSays portOptions
	ports    []portSpec
	reattach bool
	trace    bool
	querier  bool               // once all ports have joined
	mcast    bridge.BridgeAttrs // what --mcast says

	vlanMcast []vlanMcast

	loopProbe *filter.Probing // nil: none

	cfg bridge.Config // but for Name and Trace
}

// argument collects what --port and --vlan say until every port is known.
type argument struct {
	flag, port, text string
}

// parser reads the flags of gobr run.
type parser struct {
	fs        *flag.FlagSet
	o         options
	mtu       int // of ports whose devices are gobr's; 0: as it is
	ageing    int64
	groupMask string
	pvid      int
	tree      treeOptions
	arguments []argument
}

// parseRun reads the flags of gobr run. Its errors name the flag and say what is
// wrong, or match flag.ErrHelp.
func parseRun(args []string) (options, error) {
	p := parser{fs: flag.NewFlagSet("run", flag.ContinueOnError)}
	p.fs.SetOutput(io.Discard) // the error is printed by the caller, in one line
	p.define()
	if err := p.fs.Parse(args); err != nil {
		return options{}, err
	}
	if p.fs.NArg() > 0 {
		return options{}, fmt.Errorf("%q is no flag; ports are named with --tap, --raw and --qemu", p.fs.Arg(0))
	}
	for _, step := range []func() error{p.checkBridge, p.checkPorts, p.apply, p.checkVLANs, p.checkSnooping, p.checkTree, p.checkBackups} {
		if err := step(); err != nil {
			return options{}, err
		}
	}
	return p.o, nil
}

func (p *parser) define() {
	fs, o := p.fs, &p.o
	fs.StringVar(&o.name, "name", "br0", "")
	fs.IntVar(&p.mtu, "mtu", 0, "")
	fs.Int64Var(&p.ageing, "ageing", 300, "")
	fs.IntVar(&o.cfg.FDBLimit, "fdb-limit", 65536, "")
	fs.StringVar(&p.groupMask, "group-fwd-mask", "0", "")
	fs.BoolVar(&o.cfg.VLANFiltering, "vlan-filtering", false, "")
	fs.IntVar(&p.pvid, "vlan-default-pvid", 1, "")
	fs.BoolVar(&o.cfg.McastSnooping, "mcast-snooping", false, "")
	fs.BoolVar(&o.querier, "mcast-querier", false, "")
	fs.Func("mcast", "", p.takeMcast)
	fs.Func("vlan-mcast", "", p.takeVLANMcast)
	fs.BoolVar(&o.reattach, "reattach", false, "")
	fs.BoolVar(&o.trace, "trace", false, "")
	p.defineTree()
	fs.Func("loop-probe", "", func(text string) (err error) {
		o.loopProbe, err = parseLoopProbe(text)
		return err
	})
	fs.Func("address", "", func(text string) (err error) {
		o.cfg.Address, err = parseStation(text)
		return err
	})
	fs.Func("vlan-protocol", "", func(text string) (err error) {
		o.cfg.VLANProtocol, err = parseProtocol(text)
		return err
	})
	for name, parse := range map[string]func(string) (portSource, error){"tap": parseTAP, "raw": parseRaw, "qemu": parseQEMU, "xdp": parseXDP} {
		fs.Func(name, "", func(text string) error {
			source, err := parse(text)
			o.ports = append(o.ports, portSpec{source: source})
			return err
		})
	}
	fs.Func("host", "", func(text string) error {
		if o.host != nil {
			return errors.New("there is one host only")
		}
		s, err := parseIf(text)
		o.host = &s
		return err
	})
	for _, name := range []string{"port", "vlan"} {
		fs.Func(name, "", func(text string) error {
			port, rest, ok := strings.Cut(text, "=")
			if !ok || port == "" || rest == "" {
				return errors.New("it is not PORT=, and what PORT is to have")
			}
			p.arguments = append(p.arguments, argument{name, port, rest})
			return nil
		})
	}
}

// parseStation reads the address of a station.
func parseStation(text string) (frame.MAC, error) {
	a, err := frame.ParseMAC(text)
	if err == nil && !a.IsValid() {
		err = errors.New("it is not the address of a station")
	}
	return a, err
}

func parseProtocol(text string) (frame.EtherType, error) {
	switch strings.ToLower(text) {
	case "802.1q":
		return frame.TypeDot1Q, nil
	case "802.1ad":
		return frame.TypeDot1AD, nil
	}
	return 0, errors.New("it is neither 802.1Q nor 802.1ad")
}

// checkBridge checks and takes what concerns the bridge alone.
func (p *parser) checkBridge() error {
	o := &p.o
	mask, err := strconv.ParseUint(p.groupMask, 0, 16)
	switch {
	case o.name == "":
		return errors.New("--name: the name is missing")
	case p.mtu != 0 && (p.mtu < 68 || p.mtu > 65521):
		return fmt.Errorf("--mtu %d: not between 68 and 65521", p.mtu)
	case p.ageing < 0 || p.ageing > 1e9:
		return fmt.Errorf("--ageing %d: not between 0 and 1000000000 seconds", p.ageing)
	case o.cfg.FDBLimit < 1 || o.cfg.FDBLimit > 1<<24:
		return fmt.Errorf("--fdb-limit %d: not between 1 and 16777216", o.cfg.FDBLimit)
	case err != nil:
		return fmt.Errorf("--group-fwd-mask %s: not a mask of 16 bits, such as 0x4000", p.groupMask)
	case mask&7 != 0:
		return fmt.Errorf("--group-fwd-mask %s: bits 0 to 2 (STP, pause, LACP) cannot be forwarded", p.groupMask)
	case p.pvid < 0 || p.pvid > int(frame.MaxVID):
		return fmt.Errorf("--vlan-default-pvid %d: not between 0 and 4094", p.pvid)
	}
	o.cfg.GroupFwdMask = uint16(mask)
	o.cfg.AgeingTime = new(time.Duration(p.ageing) * time.Second)
	o.cfg.VLANDefaultPVID = new(frame.VID(p.pvid))
	return nil
}

// checkPorts checks the names. A port bears the name of its interface, and the
// bridge's own device that of the bridge.
func (p *parser) checkPorts() error {
	o := &p.o
	if len(o.ports) == 0 {
		return errors.New("a bridge needs a port: --tap NAME, --raw NAME or --qemu NAME=ADDRESS")
	}
	seen := map[string]bool{}
	for _, s := range o.ports {
		name := s.source.portName()
		switch {
		case name == o.name:
			return fmt.Errorf("%s: that is the bridge's name; --host %s attaches the host", s.source, name)
		case seen[name] && !strings.Contains(name, "%d"):
			return fmt.Errorf("%s: there is a port of this name already", s.source)
		case o.host != nil && s.source.is(*o.host):
			return fmt.Errorf("%s: that is the host's TAP", s.source)
		}
		seen[name] = true
	}
	return nil
}

// apply gives each port what --port, --vlan and --mtu say of it. A name with %d is
// that of every TAP that was named so.
func (p *parser) apply() error {
	for _, a := range p.arguments {
		found := false
		for i := range p.o.ports {
			s := &p.o.ports[i]
			if s.source.portName() != a.port {
				continue
			}
			if err := s.take(a, s.source.kind()); err != nil {
				return err
			}
			found = true
		}
		switch {
		case found:
		case a.port != p.o.name:
			return fmt.Errorf("--%s %s=%s: there is no port %q: name it with --tap, --raw or --qemu", a.flag, a.port, a.text, a.port)
		case p.o.host == nil:
			return fmt.Errorf("--%s %s=%s: that is the bridge, and it has no host: --host NAME", a.flag, a.port, a.text)
		default:
			if err := p.o.hostSays.take(a, forHost); err != nil {
				return err
			}
		}
	}
	p.o.cfg.VLANs = p.o.hostSays.vlans
	for i := range p.o.ports {
		if s := &p.o.ports[i]; s.mtu == 0 && s.source.kind()&hasMTU != 0 {
			s.mtu = p.mtu
		}
	}
	return nil
}

// given is the flags that were given.
func (p *parser) given() map[string]bool {
	set := map[string]bool{}
	p.fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	return set
}

// refuseFlags refuses flags that were given.
func (p *parser) refuseFlags(names []string, why string) error {
	for _, name := range names {
		if p.given()[name] {
			return fmt.Errorf("--%s: %s", name, why)
		}
	}
	return nil
}

// checkVLANs turns the filter on where VLANs are asked for: without it they have no
// effect.
func (p *parser) checkVLANs() error {
	set := p.given()
	for _, name := range []string{"vlan", "vlan-protocol", "vlan-default-pvid"} {
		switch {
		case !set[name]:
		case set["vlan-filtering"] && !p.o.cfg.VLANFiltering:
			return fmt.Errorf("--%s: it has no effect with --vlan-filtering=false", name)
		default:
			set["vlan-filtering"], p.o.cfg.VLANFiltering = true, true
		}
	}
	return nil
}

// checkBackups checks that the ports exist that are to take over.
func (p *parser) checkBackups() error {
	for _, s := range p.o.ports {
		name := s.source.portName()
		ok := s.backup == ""
		for _, t := range p.o.ports {
			other := t.source.portName()
			ok = ok || other == s.backup && other != name
		}
		if !ok {
			return fmt.Errorf("--port %s=backup_port=%s: there is no other port %q", name, s.backup, s.backup)
		}
	}
	return nil
}
