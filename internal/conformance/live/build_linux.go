package live

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// build makes the bridge that s begins with. What s says nothing of is as the kernel
// makes it; a list of VLANs that is nil says nothing.
func (l *lab) build(s *replay.Scenario) error {
	if v := s.Bridge["address"]; v.Word != "" && s.Bridge["address_auto"].Num == 0 {
		if err := l.setAddress(l.br, v.Word); err != nil {
			return fmt.Errorf("address of %s: %w", hostName, err)
		}
	}
	// VLAN filtering and protocol come first: the group address follows them.
	first := replay.Attrs{}
	rest := maps.Clone(s.Bridge)
	for _, name := range []string{"vlan_filtering", "vlan_protocol", "vlan_default_pvid"} {
		if v, ok := rest[name]; ok {
			first[name] = v
			delete(rest, name)
		}
	}
	delete(rest, "mcast_querier") // begins to ask, which finish has it do
	for _, attrs := range []replay.Attrs{first, rest} {
		if err := l.changeBridge(attrs); err != nil {
			return fmt.Errorf("settings of %s: %w", hostName, err)
		}
	}
	if err := l.setVLANs(hostName, s.SelfVLANs); err != nil {
		return err
	}
	for i := range s.Ports {
		if err := l.addPort(&s.Ports[i]); err != nil {
			return fmt.Errorf("port %s: %w", s.Ports[i].Name, err)
		}
	}
	return l.finish(s)
}

// changeBridge sets those of attrs that br0 has and has otherwise.
func (l *lab) changeBridge(attrs replay.Attrs) error {
	has, err := l.bridgeTable()
	if err != nil {
		return err
	}
	if attrs = different(attrs, has); len(attrs) == 0 {
		return nil
	}
	return l.setBridge(attrs)
}

func different(want, has replay.Attrs) replay.Attrs {
	d := replay.Attrs{}
	for name, v := range want {
		_, option := boolOptions[name]
		settable := option || find(bridgeAttrs, name) != nil || find(portAttrs, name) != nil
		if h, known := has[name]; known && h != v && settable {
			d[name] = v
		}
	}
	return d
}

// last are settings that need the device up, or other ports: a port that is down is no
// router for a time.
var last = []string{"backup_port", "mcast_router", "state"}

// addPort adds a port with its flags, but for the last.
func (l *lab) addPort(p *replay.Port) error {
	t := l.tap(p.Name)
	if err := l.setAddress(t.index, p.Address); err != nil {
		return err
	}
	if err := l.setMTU(t.index, p.MTU); err != nil {
		return err
	}
	if err := l.enslave(t); err != nil {
		return err
	}
	has, err := l.portTable(t)
	if err != nil {
		return err
	}
	flags := different(p.Flags, has)
	for _, name := range last {
		delete(flags, name)
	}
	if len(flags) > 0 {
		if err := l.setPort(t.index, flags); err != nil {
			return err
		}
	}
	return l.setVLANs(p.Name, p.VLANs)
}

// setVLANs gives a device exactly these VLANs; nil leaves it those it has.
func (l *lab) setVLANs(name string, want []replay.VLAN) error {
	if want == nil {
		return nil
	}
	table, err := l.vlanTable()
	if err != nil {
		return err
	}
	listed := func(vid uint16) bool {
		return slices.ContainsFunc(want, func(v replay.VLAN) bool { return v.VID == vid })
	}
	for _, v := range table[name] {
		if listed(v.VID) {
			continue
		}
		if err := l.vlan(unix.RTM_DELLINK, name, v.VID, 0, 0); err != nil {
			return fmt.Errorf("delete VLAN %d of %s: %w", v.VID, name, err)
		}
	}
	for _, v := range want {
		if err := l.vlan(unix.RTM_SETLINK, name, v.VID, 0, vlanFlags(v.PVID, v.Untagged)); err != nil {
			return fmt.Errorf("add VLAN %d to %s: %w", v.VID, name, err)
		}
	}
	return nil
}

// finish brings the devices up and sets what needs them to be.
func (l *lab) finish(s *replay.Scenario) error {
	if v, ok := s.Bridge["mtu"]; ok {
		d, err := l.deviceAt(l.br)
		if err != nil {
			return err
		}
		if int64(d.mtu) != v.Num {
			if err := l.setMTU(l.br, int(v.Num)); err != nil {
				return fmt.Errorf("MTU of %s: %w", hostName, err)
			}
		}
	}
	up, told := s.Bridge["up"]
	if err := l.setFlag(l.br, unix.IFF_UP, !told || up.Num != 0); err != nil {
		return err
	}
	if err := l.setFlag(l.br, unix.IFF_PROMISC, s.Bridge["promisc"].Num != 0); err != nil {
		return err
	}
	for _, p := range s.Ports {
		t := l.tap(p.Name)
		if err := l.link(t, p.Up); err != nil {
			return fmt.Errorf("link of %s: %w", p.Name, err)
		}
	}
	// A querier that begins while all ports are up asks once at each.
	if v, ok := s.Bridge["mcast_querier"]; ok {
		if err := l.changeBridge(replay.Attrs{"mcast_querier": v}); err != nil {
			return fmt.Errorf("mcast_querier: %w", err)
		}
		if err := l.wait(); err != nil {
			return err
		}
	}
	if err := l.setLast(s); err != nil {
		return err
	}
	if err := l.settleBridge(); err != nil {
		return err
	}
	if err := l.wait(); err != nil {
		return err
	}
	_, err := l.collect()
	return err
}

// setLast sets what is last of the ports.
func (l *lab) setLast(s *replay.Scenario) error {
	for _, p := range s.Ports {
		t := l.tap(p.Name)
		has, err := l.portTable(t)
		if err != nil {
			return err
		}
		for _, name := range last {
			v, ok := p.Flags[name]
			if !ok || has[name] == v {
				continue
			}
			if err := l.setPort(t.index, replay.Attrs{name: v}); err != nil {
				return fmt.Errorf("%s of %s: %w", name, p.Name, err)
			}
		}
	}
	return nil
}

// settleBridge waits until the kernel has seen to the carrier of br0, which it has
// while a port forwards, and with it a way for what the host sends.
func (l *lab) settleBridge() error {
	for _, t := range l.taps {
		table, err := l.portTable(t)
		if err != nil {
			return err
		}
		if table["state"].Word == "forwarding" {
			return l.settled(hostName, l.br, operUp)
		}
	}
	return l.settled(hostName, l.br, operDown)
}

// link sets a device up or down and waits until the kernel has seen to its carrier.
func (l *lab) link(t *tap, up bool) error {
	if err := l.setFlag(t.index, unix.IFF_UP, up); err != nil {
		return err
	}
	return l.settle(t)
}

// settle waits until the bridge knows what the carrier of t is: the kernel tells of
// carriers by a queue of its own (linkwatch), up to a second late unless it is asked
// for the link, which newer kernels do when rtnetlink asks.
func (l *lab) settle(t *tap) error {
	if l.off[t.name] {
		return l.settled(t.name, t.index, operDown)
	}
	return l.settled(t.name, t.index, operUp, operUnknown)
}

// settled waits until a device that is up is in one of these operational states.
func (l *lab) settled(name string, index int32, states ...uint8) error {
	const patience = 5 * time.Second
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		d, err := l.deviceAt(index)
		if err != nil {
			return err
		}
		if d.flags&unix.IFF_UP == 0 || slices.Contains(states, d.operstate) {
			return nil
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("%s: the carrier does not settle", name)
		}
	}
}

// IF_OPER_UNKNOWN, IF_OPER_DOWN and IF_OPER_UP of linux/if.h. A device is in the first
// until the kernel sees to its carrier for the first time; ports then count as up.
const (
	operUnknown = 0
	operDown    = 2
	operUp      = 6
)
