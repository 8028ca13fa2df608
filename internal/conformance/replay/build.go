package replay

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// uptime is how long the bridge and its ports have been up before the first
// step; the recordings say 1.5 to 2.6 s.
const uptime = 2 * time.Second

// epoch is where the replay's clock starts: a full second, as the kernel's did.
var epoch = time.Date(2001, time.January, 1, 0, 0, 0, 0, time.UTC)

// device is a port's device: it stays while its port leaves the bridge and comes
// back, with its address, MTU and link.
type device struct {
	name    string
	addr    frame.MAC
	mtu     int
	up      bool
	carrier bool

	port    *bridge.Port // the present membership, or the last one
	inside  bool
	cable   *cable
	earlier bridge.PortStats // counted by former memberships, and between them
}

// build makes the recorded bridge and lets it run for uptime.
func (r *run) build() error {
	cfg, err := r.config()
	if err != nil {
		return err
	}
	if r.b, err = bridge.New(cfg); err != nil {
		return fmt.Errorf("new bridge: %w", err)
	}
	r.b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventAddress && e.Port == "" {
			r.stack.forget()
		}
	})
	r.host = newCable(!r.opt.TagAside)
	if err := r.b.AttachHost(r.host, bridge.HostConfig{Caps: r.caps()}); err != nil {
		return fmt.Errorf("attach host: %w", err)
	}
	for i := range r.s.Ports {
		if err := r.addRecorded(&r.s.Ports[i]); err != nil {
			return err
		}
	}
	if err := r.setRemaining(); err != nil {
		return err
	}
	if err := r.advance(uptime); err != nil {
		return err
	}
	if err := r.setStates(); err != nil {
		return err
	}
	return r.advance(0)
}

func (r *run) caps() bridge.Caps { return bridge.Caps{TagAside: r.opt.TagAside} }

// config is the part of the recorded settings that a Config has. mst_enabled is
// among them, so it is on before there is a port with VLANs.
func (r *run) config() (bridge.Config, error) {
	v := func(name string) int64 { return r.s.Bridge[name].Num }
	on := func(name string) bool { return v(name) != 0 }
	t := func(name string) *time.Duration { return new(duration(v(name))) }
	release, _, _ := strings.Cut(r.s.Kernel, " ")
	kernel, err := bridge.ParseKernel(release)
	if err != nil {
		return bridge.Config{}, err
	}
	proto, err := protocol(r.s.Bridge["vlan_protocol"].Word)
	if err != nil {
		return bridge.Config{}, err
	}
	group, err := r.groupAddress(proto)
	if err != nil {
		return bridge.Config{}, err
	}
	cfg := bridge.Config{
		Name: hostName, Kernel: kernel, Seed: 1, Clock: func() time.Time { return r.now },
		Down: !on("up"), Promisc: on("promisc"),
		AgeingTime: t("ageing_time"), ForwardDelay: t("forward_delay"),
		HelloTime: t("hello_time"), MaxAge: t("max_age"),
		Priority: new(uint16(v("priority"))), STPState: int(v("stp_state")),
		VLANFiltering: on("vlan_filtering"), VLANProtocol: proto,
		VLANDefaultPVID: new(frame.VID(v("vlan_default_pvid"))),
		VLANStats:       on("vlan_stats_enabled"), VLANStatsPerPort: on("vlan_stats_per_port"),
		VLANs:        vlans(r.s.SelfVLANs),
		GroupFwdMask: uint16(v("group_fwd_mask")), GroupAddress: group,
		NoLinkLocalLearn: on("no_linklocal_learn"), FDBMaxLearned: uint32(v("fdb_max_learned")),
		FDBLimit:   math.MaxInt32, // the library's own, which Linux has not
		MSTEnabled: on("mst_enabled"),
		Host:       &r.stack.table,
	}
	if !on("address_auto") {
		cfg.Address, err = frame.ParseMAC(r.s.Bridge["address"].Word)
	}
	if low := r.smallestMTU(); int(v("mtu")) != low {
		cfg.MTU = int(v("mtu"))
	}
	return cfg, err
}

// groupAddress is the recorded one where somebody has set it: left alone it follows
// VLAN filtering and protocol.
func (r *run) groupAddress(proto frame.EtherType) (frame.MAC, error) {
	group, err := frame.ParseMAC(r.s.Bridge["group_address"].Word)
	byItself := frame.MAC{0x01, 0x80, 0xc2}
	if r.s.Bridge["vlan_filtering"].Num != 0 && proto == frame.TypeDot1AD {
		byItself[5] = 8
	}
	if group == byItself {
		return frame.MAC{}, err
	}
	return group, err
}

// smallestMTU is the MTU of a bridge that nobody set one for.
func (r *run) smallestMTU() int {
	low := 0
	for _, p := range r.s.Ports {
		if low == 0 || p.MTU < low {
			low = p.MTU
		}
	}
	return low
}

// vlans is never nil: the recorded list is complete, also when it is empty.
func vlans(list []VLAN) []bridge.VLAN {
	vs := make([]bridge.VLAN, len(list))
	for i, v := range list {
		vs[i] = bridge.VLAN{VID: frame.VID(v.VID), PVID: v.PVID, Untagged: v.Untagged}
	}
	return vs
}

func (r *run) addRecorded(p *Port) error {
	addr, err := frame.ParseMAC(p.Address)
	if err != nil {
		return err
	}
	d := &device{name: p.Name, addr: addr, mtu: p.MTU, up: p.Up, carrier: true}
	r.devs = append(r.devs, d)
	v := func(name string) int64 { return p.Flags[name].Num }
	on := func(name string) bool { return v(name) != 0 }
	return r.join(d, bridge.PortConfig{
		NoLearning: !on("learning"), NoFlood: !on("flood"),
		NoMcastFlood: !on("mcast_flood"), NoBcastFlood: !on("bcast_flood"),
		Hairpin: on("hairpin"), Isolated: on("isolated"), Locked: on("locked"), MAB: on("mab"),
		ProxyARP: on("proxy_arp"), GroupFwdMask: uint16(v("group_fwd_mask")),
		Priority: new(int(v("priority"))), Cost: int(v("cost")),
		VLANs: vlans(p.VLANs),
	})
}

// join adds d to the bridge, with what its device has and cfg.
func (r *run) join(d *device, cfg bridge.PortConfig) error {
	cfg.Address, cfg.MTU, cfg.Down, cfg.NoCarrier = d.addr, d.mtu, !d.up, !d.carrier
	cfg.Caps = r.caps()
	c := newCable(!r.opt.TagAside)
	p, err := r.b.AddPort(d.name, c, cfg)
	if err != nil {
		return fmt.Errorf("add port %s: %w", d.name, err)
	}
	d.port, d.cable, d.inside = p, c, true
	return nil
}

// portConfigHas names the recorded flags that addRecorded puts in a PortConfig.
var portConfigHas = map[string]bool{
	"learning": true, "flood": true, "mcast_flood": true, "bcast_flood": true, "hairpin": true,
	"isolated": true, "locked": true, "mab": true, "proxy_arp": true, "group_fwd_mask": true,
	"priority": true, "cost": true,
}

// setRemaining sets what New and AddPort have no field for. The names of backup
// ports need all ports, mcast_vlan_snooping needs VLAN filtering; both are there
// by now.
func (r *run) setRemaining() error {
	rest := Attrs{}
	for name, v := range r.s.Bridge {
		if strings.HasPrefix(name, "mcast_") || name == "fdb_local_vlan_0" {
			rest[name] = v
		}
	}
	// A querier begins to ask with the times that it has then.
	asks := Attrs{}
	if v, ok := rest["mcast_querier"]; ok {
		asks["mcast_querier"] = v
		delete(rest, "mcast_querier")
	}
	for _, attrs := range []Attrs{rest, asks} {
		if err := r.setBridge(&Step{Op: "set-bridge", Attrs: attrs}); err != nil {
			return fmt.Errorf("settings of %s: %w", hostName, err)
		}
	}
	for _, p := range r.s.Ports {
		rest := Attrs{}
		for name, v := range p.Flags {
			if name != "state" && !portConfigHas[name] {
				rest[name] = v
			}
		}
		if err := r.setPort(&Step{Op: "set-port", Port: p.Name, Attrs: rest}); err != nil {
			return fmt.Errorf("settings of %s: %w", p.Name, err)
		}
	}
	return nil
}

// setStates sets the recorded states that have not come by themselves.
func (r *run) setStates() error {
	for _, p := range r.s.Ports {
		want, err := portState(p.Flags["state"].Word)
		if err != nil {
			return err
		}
		d := r.dev(p.Name)
		if got := d.port.Info().State; got != want {
			if err := d.port.Set(bridge.PortAttrs{State: &want}); err != nil {
				return fmt.Errorf("state of %s is %v and cannot be set to %v: %w", p.Name, got, want, err)
			}
		}
	}
	return nil
}
