package live

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

func native16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }

// Record performs s on a bridge of its own and gives it back with what came: the
// state before the first step and the results of each. Steps that are left out of a
// scenario (Features.LeftOut) are not in it. Of s only the bridge, the ports and what
// the steps ask for is read; settings that it does not name are the kernel's
// defaults. An error is a fault of the comparison, not of either bridge.
func (k *Kernel) Record(s *replay.Scenario) (*replay.Scenario, error) {
	c := k.Features.stripped(s)
	c.Kernel = k.Features.Release
	names := make([]string, len(c.Ports))
	for i, p := range c.Ports {
		names[i] = p.Name
	}
	l, err := newLab(c.Bridge["ipv6"].Num != 0, names)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := pinned(func() error { return l.record(c) }); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return c, nil
}

func (l *lab) record(c *replay.Scenario) error {
	l.snoops = snoops(c)
	if err := l.build(c); err != nil {
		return err
	}
	if err := l.begin(c); err != nil {
		return err
	}
	var paused time.Duration
	for i := range c.Steps {
		t := &c.Steps[i]
		if err := l.step(t); err != nil {
			return fmt.Errorf("steps[%d] %s: %w", i, t.Op, err)
		}
		if paused += t.Pause(); t.Op == "wait" {
			t.MS += int64(paused / time.Millisecond) // it was not shortened by what passed before
			paused = 0
		}
	}
	return nil
}

// begin writes down the state before the first step. Settings that the kernel has
// not got are left as s has them; a kernel without VLAN filtering is a bridge whose
// ports have no VLANs.
func (l *lab) begin(c *replay.Scenario) error {
	d, err := l.deviceAt(l.br)
	if err != nil {
		return err
	}
	table, err := l.bridgeTable()
	if err != nil {
		return err
	}
	settings := replay.Attrs{
		"address": table["address"], "mtu": table["mtu"],
		"up": num(uint64(d.flags & unix.IFF_UP)), "promisc": num(uint64(d.flags & unix.IFF_PROMISC >> 8)),
		"vlan_filtering": num(0), "vlan_protocol": word("802.1Q"), "vlan_default_pvid": num(0),
		"address_auto": c.Bridge["address_auto"], "ipv6": c.Bridge["ipv6"],
	}
	if c.Bridge["address"].Word == "" {
		settings["address_auto"] = num(1)
	}
	for name, v := range table {
		if find(bridgeTells, name) == nil {
			settings[name] = v
		}
	}
	c.Bridge = settings
	vlans, err := l.vlanTable()
	if err != nil {
		return err
	}
	c.SelfVLANs = listed(vlans[hostName])
	for i := range c.Ports {
		p := &c.Ports[i]
		if err := l.beginPort(p); err != nil {
			return err
		}
		p.VLANs = listed(vlans[p.Name])
	}
	return nil
}

func (l *lab) beginPort(p *replay.Port) error {
	d, err := l.deviceAt(l.index(p.Name))
	if err != nil {
		return err
	}
	p.Address, p.MTU, p.Up = d.address, d.mtu, d.flags&unix.IFF_UP != 0
	table, err := l.portTable(l.tap(p.Name))
	if err != nil {
		return err
	}
	p.Flags = replay.Attrs{}
	for _, a := range portAttrs {
		if v, ok := table[a.name]; ok {
			p.Flags[a.name] = v
		}
	}
	return nil
}

func listed(entries []replay.VLANEntry) []replay.VLAN {
	list := []replay.VLAN{}
	for _, e := range entries {
		list = append(list, replay.VLAN{VID: e.VID, PVID: e.PVID, Untagged: e.Untagged})
	}
	return list
}
