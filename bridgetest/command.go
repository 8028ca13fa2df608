package bridgetest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// commands are those of PlayScenario, with the least number of their arguments.
var commands = map[string]struct {
	args int
	do   func(*scenario, []string) error
}{
	"switch": {1, (*scenario).addSwitch},
	"host":   {1, quietly((*scenario).addHost)},
	"cable":  {2, quietly((*scenario).addCable)},
	"cut":    {1, func(s *scenario, a []string) error { return s.cable(a, (*Link).Cut) }},
	"mend":   {1, func(s *scenario, a []string) error { return s.cable(a, (*Link).Mend) }},
	"set":    {2, (*scenario).set},
	"link":   {2, (*scenario).link},
	"vlan":   {3, (*scenario).vlan},
	"ping":   {2, (*scenario).ping},
	"send":   {2, (*scenario).send},
	"join":   {2, func(s *scenario, a []string) error { return s.group(a, (*Host).Join) }},
	"leave":  {2, func(s *scenario, a []string) error { return s.group(a, (*Host).Leave) }},
	"forget": {2, func(s *scenario, a []string) error {
		return s.group(a, func(h *Host, g netip.Addr) error { h.Forget(g); return nil })
	}},
	"query": {2, (*scenario).query},
	"run":   {1, (*scenario).run},
	"log":   {1, (*scenario).setLog},
	"trace": {1, (*scenario).trace},
	"show":  {1, (*scenario).show},
}

// quietly makes a command of one whose events would bury the lesson.
func quietly(do func(*scenario, []string) error) func(*scenario, []string) error {
	return func(s *scenario, args []string) error {
		off := s.off
		s.off = true
		defer func() { s.off = off }()
		return do(s, args)
	}
}

func (s *scenario) do(words []string) error {
	c, ok := commands[words[0]]
	if !ok || len(words)-1 < c.args {
		return errUsage
	}
	return c.do(s, words[1:])
}

func (s *scenario) addSwitch(a []string) error {
	b, err := s.lab.AddSwitch(bridge.Config{Name: a[0]})
	if err != nil {
		return err
	}
	b.SetTrace(nil) // until "trace on"
	b.Watch(func(e bridge.Event) {
		if !s.off {
			fmt.Fprintf(&s.log, "%s %s: %s\n", s.lab.now, b.Name(), e)
		}
	})
	return setBridge(b, a[1:])
}

func setBridge(b *bridge.Bridge, words []string) error {
	attrs, err := setAttrs[bridge.BridgeAttrs](words)
	if err != nil {
		return err
	}
	return b.Set(attrs)
}

func setPort(p *bridge.Port, words []string) error {
	attrs, err := setAttrs[bridge.PortAttrs](words)
	if err != nil {
		return err
	}
	return p.Set(attrs)
}

func (s *scenario) addHost(a []string) error {
	c := HostConfig{Name: a[0]}
	for _, word := range a[1:] {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "switch":
			c.Switch = value
		case "port":
			c.PortName = value
		case "mac":
			c.MAC, err = frame.ParseMAC(value)
		case "ip":
			c.IP, err = netip.ParseAddr(value)
		case "vlan":
			c.VLAN, err = parseVID(value)
		case "access":
			var vid frame.VID
			vid, err = parseVID(value)
			c.Port.VLANs = bridge.Access(vid)
		case "trunk":
			c.Port.VLANs, err = parseTrunk(value)
		case "self":
			c.Self = true
		default:
			return errUsage
		}
		if err != nil {
			return usage(err)
		}
	}
	_, err := s.lab.AddHost(c)
	return err
}

func (s *scenario) addCable(a []string) error {
	var ends [2]End
	for i := range ends {
		sw, port, ok := strings.Cut(a[i], ":")
		if !ok {
			return errUsage
		}
		ends[i] = End{Switch: sw, PortName: port}
	}
	k, err := s.lab.Connect(Cable{ends[0], ends[1]})
	if err != nil {
		return err
	}
	s.cables = append(s.cables, k)
	return nil
}

// cable does something to the cable that has this end.
func (s *scenario) cable(a []string, do func(*Link) error) error {
	p, err := s.port(a[0])
	if err != nil {
		return err
	}
	for _, k := range s.cables {
		if x, y := k.Ports(); x == p || y == p {
			return do(k)
		}
	}
	return fmt.Errorf("there is no cable between switches at %s", a[0])
}

// device finds a switch or a port; the port is nil if it is a switch.
func (s *scenario) device(name string) (*bridge.Bridge, *bridge.Port, error) {
	sw, port, both := strings.Cut(name, ":")
	for _, b := range s.lab.switches {
		switch {
		case !both && b.Name() == name:
			return b, nil, nil
		case !both && b.Port(name) != nil:
			return b, b.Port(name), nil
		case both && b.Name() == sw && b.Port(port) != nil:
			return b, b.Port(port), nil
		}
	}
	return nil, nil, fmt.Errorf("there is no device %s", name)
}

func (s *scenario) port(name string) (*bridge.Port, error) {
	_, p, err := s.device(name)
	if err == nil && p == nil {
		err = fmt.Errorf("%s is no port", name)
	}
	return p, err
}

func (s *scenario) host(name string) (*Host, error) {
	for _, h := range s.lab.hosts {
		if h.name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("there is no host %s", name)
}

func (s *scenario) set(a []string) error {
	b, p, err := s.device(a[0])
	switch {
	case err != nil:
		return err
	case p != nil:
		return setPort(p, a[1:])
	}
	return setBridge(b, a[1:])
}

func (s *scenario) link(a []string) error {
	p, err := s.port(a[0])
	if err != nil {
		return err
	}
	return p.SetLink(true, a[1] == "up")
}

func (s *scenario) vlan(a []string) error {
	b, p, err := s.device(a[1])
	if err != nil {
		return err
	}
	vlans := b.VLANs()
	if p != nil {
		vlans = p.VLANs()
	}
	vid, err := parseVID(a[2])
	if err != nil {
		return usage(err)
	}
	if a[0] == "del" {
		return vlans.Delete(vid, vid)
	}
	vl := bridge.VLAN{VID: vid}
	for _, word := range a[3:] {
		switch word {
		case "pvid":
			vl.PVID = true
		case "untagged":
			vl.Untagged = true
		default:
			return errUsage
		}
	}
	return vlans.Add(vl)
}

func (s *scenario) ping(a []string) error {
	from, err := s.host(a[0])
	if err != nil {
		return err
	}
	to, err := s.host(a[1])
	if err != nil {
		return err
	}
	took, err := from.Ping(to.IP())
	if err == nil {
		fmt.Fprintf(&s.log, "%s %s has its answer after %s\n", s.lab.now, from.name, took)
	}
	return err
}

func (s *scenario) send(a []string) error {
	from, err := s.host(a[0])
	if err != nil {
		return err
	}
	text := []byte(strings.Join(a[2:], " "))
	if group, err := netip.ParseAddr(a[1]); err == nil {
		return from.SendGroup(group, text)
	}
	dst := frame.Broadcast
	if to, err := s.host(a[1]); err == nil {
		dst = to.MAC()
	} else if a[1] != "broadcast" {
		if dst, err = frame.ParseMAC(a[1]); err != nil {
			return usage(err)
		}
	}
	return from.send(dst, 0x88b5, text)
}

func (s *scenario) group(a []string, do func(*Host, netip.Addr) error) error {
	h, err := s.host(a[0])
	if err != nil {
		return err
	}
	group, err := netip.ParseAddr(a[1])
	if err != nil {
		return usage(err)
	}
	return do(h, group)
}

func (s *scenario) query(a []string) error {
	h, err := s.host(a[0])
	if err != nil {
		return err
	}
	if a[1] == "off" {
		h.Query(0, 0)
		return nil
	}
	if len(a) < 3 {
		return errUsage
	}
	interval, err := time.ParseDuration(a[1])
	if err != nil {
		return usage(err)
	}
	maxResp, err := time.ParseDuration(a[2])
	if err != nil {
		return usage(err)
	}
	h.Query(interval, maxResp)
	return nil
}

func (s *scenario) run(a []string) error {
	d, err := time.ParseDuration(a[0])
	if err != nil {
		return usage(err)
	}
	s.lab.Run(d)
	return nil
}

func (s *scenario) setLog(a []string) error {
	switch a[0] {
	case "on", "events", "off":
		s.off, s.noFrames = a[0] == "off", a[0] == "events"
		return nil
	}
	return errUsage
}

func (s *scenario) trace(a []string) error {
	for _, b := range s.lab.switches {
		if a[0] == "on" {
			b.SetTrace(s.lab.step)
		} else {
			b.SetTrace(nil)
		}
	}
	return nil
}

func (s *scenario) show(a []string) error {
	switch a[0] {
	case "fdb":
		return s.lab.writeFDB(&s.log, func(e bridge.FDBEntry) bool { return e.State != bridge.NUDPermanent })
	case "mdb":
		return s.lab.WriteMDB(&s.log)
	case "ports":
		return s.lab.WritePorts(&s.log)
	case "counters":
		return s.lab.WriteCounters(&s.log)
	}
	return errUsage
}

// usage is the error of a command that is none.
func usage(err error) error { return fmt.Errorf("%w: %w", errUsage, err) }

func parseVID(s string) (frame.VID, error) {
	n, err := strconv.ParseUint(s, 10, 12)
	return frame.VID(n), err
}

func parseTrunk(s string) (vlans []bridge.VLAN, err error) {
	var vids []frame.VID
	for word := range strings.SplitSeq(s, ",") {
		vid, err := parseVID(word)
		if err != nil {
			return nil, err
		}
		vids = append(vids, vid)
	}
	return bridge.Trunk(0, vids...), nil
}
