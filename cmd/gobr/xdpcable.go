package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ddfb540f/bridge/xdp"
)

// xdpSource is an interface that is there already, named by --xdp.
type xdpSource struct {
	rawSource
	text    string
	generic bool
	ring    int
}

func (s *xdpSource) String() string { return "--xdp " + s.text }
func (s *xdpSource) kind() portKind { return forXDP }

// open opens a group of one: ports come and go each by itself.
func (s *xdpSource) open(o *portOptions) (plug, error) {
	g, err := xdp.Open(xdp.Config{Ring: s.ring, Ports: []xdp.PortConfig{
		{Name: s.name, Netns: s.netns, Generic: s.generic, Up: o.up != nil && *o.up},
	}})
	if err != nil {
		return nil, err
	}
	return newInterfacePlug(g.Ports()[0], true)
}

// xdpRemark says how the kernel serves a port.
func xdpRemark(p *xdp.Port) string {
	line := fmt.Sprintf("%s: XDP in %s mode", p.Name(), p.Mode())
	if p.ZeroCopy() {
		line += " with zero-copy"
	}
	if why := p.Why(); why != "" {
		line += " (" + why + ")"
	}
	return line
}

// parseXDP reads the NAME[@NETNS][,generic][,ring=N] of --xdp.
func parseXDP(text string) (portSource, error) {
	at, options, _ := strings.Cut(text, ",")
	source, err := parseRaw(at)
	s := &xdpSource{rawSource: *source.(*rawSource), text: text}
	if err != nil || !strings.Contains(text, ",") {
		return s, err
	}
	for option := range strings.SplitSeq(options, ",") {
		switch name, value, _ := strings.Cut(option, "="); {
		case option == "generic":
			s.generic = true
		case name == "ring":
			if s.ring, err = strconv.Atoi(value); err != nil || s.ring < 64 || s.ring > 32768 || s.ring&(s.ring-1) != 0 {
				return s, fmt.Errorf("%s: not a power of two from 64 to 32768", option)
			}
		default:
			return s, fmt.Errorf("%q is neither generic nor ring=N", option)
		}
	}
	return s, nil
}
