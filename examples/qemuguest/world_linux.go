package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/guest"
	"github.com/ddfb540f/bridge/internal/netns"
)

// place is a network namespace and its address in the lesson's network.
type place struct {
	*netns.NS
	name, dev, ip string
}

// vm is a guest, on a TAP of the host's.
type vm struct {
	*guest.Guest
	tap string
}

// world is the outside PC, the host with our bridge, and the guests:
//
//	pc: eth0 10.0.0.2 ---- host: eth0 --+
//	                                    +-- bridge -- br0 10.0.0.1
//	guest1: eth0 10.0.0.11 - tap0 ------+
//	guest2: eth0 10.0.0.12 - tap1 ------+
type world struct {
	pc, host place
	ports    []string // of the bridge: interfaces of the host
	guests   []*vm
	bridge   *bridge.Bridge
	eyes     []*eye
	undo     []func() // in the order of what they undo
}

var (
	pcMAC   = frame.MAC{0x00, 0x25, 0x9c, 0x19, 0xb8, 0xe9}
	eth0MAC = frame.MAC{0x02, 0, 0, 0, 0, 0xe0}
	br0MAC  = frame.MAC{0x02, 0, 0, 0, 0, 0xb0}
)

// guestMAC is in the range that QEMU uses.
func guestMAC(i int) frame.MAC { return frame.MAC{0x52, 0x54, 0, 0x12, 0x34, byte(0x57 + i)} }

// newWorld makes the namespaces, starts the guests and has the bridge join what
// there is. If it fails, nothing is left.
func newWorld(ctx context.Context, model, accel string, guests int, s *guest.Software) (*world, error) {
	w := &world{}
	err := w.wire(guests)
	if err == nil {
		err = w.start(ctx, model, accel, guests, s)
	}
	if err == nil {
		err = w.join(ctx)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// close ends everything, the last first.
func (w *world) close() {
	for len(w.undo) > 0 {
		last := w.undo[len(w.undo)-1]
		w.undo = w.undo[:len(w.undo)-1]
		last()
	}
}

func (w *world) later(undo func()) { w.undo = append(w.undo, undo) }

// namespace makes a place.
func (w *world) namespace(name, dev, ip string) (place, error) {
	ns, err := netns.New(false)
	if err != nil {
		return place{}, err
	}
	w.later(func() { ns.Close() })
	return place{ns, name, dev, ip}, nil
}

// address gives the place its address, on an interface that sends no ARP of its own
// accord as long as the lesson lasts.
func (p place) address() error {
	err := p.Do(func() error {
		dir := "/proc/sys/net/ipv4/neigh/" + p.dev + "/"
		return errors.Join(os.WriteFile(dir+"delay_first_probe_time", []byte("600"), 0),
			os.WriteFile(dir+"base_reachable_time_ms", []byte("3600000"), 0),
			os.WriteFile(dir+"retrans_time_ms", []byte("20000"), 0))
	})
	if err != nil {
		return err
	}
	return p.ipCommands("addr add "+p.ip+"/24 dev "+p.dev, "link set "+p.dev+" up")
}

// wire makes the namespaces, the cable between them, and the guests' TAPs.
func (w *world) wire(taps int) (err error) {
	if w.pc, err = w.namespace("pc", "eth0", "10.0.0.2"); err != nil {
		return err
	}
	if w.host, err = w.namespace("host", "br0", "10.0.0.1"); err != nil {
		return err
	}
	commands := []string{
		fmt.Sprintf("link add eth0 address %s type veth peer name outside address %s", eth0MAC, pcMAC),
		"link set outside netns " + w.pc.Path(),
		"link set eth0 up",
	}
	w.ports = []string{"eth0"}
	for i := range taps {
		w.ports = append(w.ports, fmt.Sprintf("tap%d", i))
		commands = append(commands, fmt.Sprintf("tuntap add dev tap%d mode tap", i), fmt.Sprintf("link set tap%d up", i))
	}
	if err := w.host.ipCommands(commands...); err != nil {
		return err
	}
	if err := w.hush(); err != nil {
		return err
	}
	if err := w.pc.ipCommands("link set outside name eth0"); err != nil {
		return err
	}
	if err := w.pc.address(); err != nil {
		return err
	}
	// The kernel stamps frames with their time a while after the first eye opens.
	return w.openEyes(w.ports)
}

// hush has the host's kernel answer no ARP by the bridge's ports. Other than that of
// the kernel's bridge, the port of ours is still an interface of the host's stack, and
// that says on any interface what address belongs to an IP address of any other.
func (w *world) hush() error {
	return w.host.Do(func() error {
		for _, name := range w.ports {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/arp_ignore", []byte("1"), 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// ipCommands runs ip(8), once a line.
func (p place) ipCommands(lines ...string) error {
	for _, line := range lines {
		if _, err := p.Run("ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

// start starts the guests, all at once, and waits until they are ready.
func (w *world) start(ctx context.Context, model, accel string, guests int, s *guest.Software) error {
	for i := range guests {
		tap := fmt.Sprintf("tap%d", i)
		g, err := guest.Start(guest.Config{
			Name: fmt.Sprintf("guest%d", i+1), Model: model, MAC: guestMAC(i), IP: fmt.Sprintf("10.0.0.%d", 11+i),
			Netdev: "tap,ifname=" + tap + ",script=no,downscript=no", Accel: accel, Do: w.host.Do,
		}, s)
		if err != nil {
			return err
		}
		w.later(g.Close)
		w.guests = append(w.guests, &vm{g, tap})
	}
	for _, g := range w.guests {
		if err := g.Await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// join makes the bridge: eth0 and the guests' TAPs join by packet sockets, since
// their other ends are somebody else's; br0 is a TAP whose other end is the bridge.
func (w *world) join(ctx context.Context) (err error) {
	if w.bridge, err = bridge.New(bridge.Config{Name: "br0", Address: br0MAC}); err != nil {
		return err
	}
	w.later(func() { w.bridge.Close() })
	for _, name := range w.ports {
		raw, err := bridge.OpenRaw(bridge.RawConfig{Name: name, Netns: w.host.Path()})
		if err != nil {
			return err
		}
		if _, err := w.bridge.AddPort(name, raw, bridge.PortConfig{Caps: raw.Caps(), Lost: raw.Lost}); err != nil {
			return errors.Join(err, raw.Close())
		}
	}
	tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: "br0", Netns: w.host.Path(), Address: br0MAC})
	if err != nil {
		return err
	}
	if err := w.bridge.AttachHost(tap, bridge.HostConfig{Caps: tap.Caps(), Lost: tap.Lost}); err != nil {
		return errors.Join(err, tap.Close())
	}
	served := make(chan error, 1)
	go func() { served <- w.bridge.Serve(context.Background()) }() // ends when the bridge is closed
	w.later(func() {
		w.bridge.Close()
		<-served
	})
	if err := w.host.address(); err != nil {
		return err
	}
	if err := w.awaitUp(ctx, append(w.ports, "br0")); err != nil {
		return err
	}
	return w.openEyes([]string{"br0"})
}

// awaitUp waits until interfaces send: a while after their carriers came.
func (w *world) awaitUp(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, name := range names {
		for {
			state, err := w.host.Run("ip", "link", "show", name)
			if err != nil {
				return err
			}
			if strings.Contains(state, ",LOWER_UP") && !strings.Contains(state, "qdisc noop ") && !strings.Contains(state, "state DOWN") {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s does not come up: %w: %s", name, ctx.Err(), state)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}
