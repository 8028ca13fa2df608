package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns"
)

// patience is how long anything may take.
const patience = time.Minute

// real is the network with the kernel's interfaces. Each host is a network namespace
// with an interface eth0, a TAP whose other end is a port of a switch; the cable
// between the switches is a veth pair in a namespace of its own.
type real struct {
	bridges  map[string]*bridge.Bridge
	stations map[string]*bridge.RawSocket // what each host sends with and sees
	sent     map[string]uint64            // by each host
	spaces   []*netns.NS
	stop     context.CancelFunc
	served   sync.WaitGroup

	mu    sync.Mutex // guards the rest
	seen  map[string]uint64
	fails []error
}

func newReal() (network, error) {
	if why := netns.Missing("ip"); why != "" {
		return nil, errors.New("-real " + why)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &real{bridges: map[string]*bridge.Bridge{}, stations: map[string]*bridge.RawSocket{},
		sent: map[string]uint64{}, seen: map[string]uint64{}, stop: stop}
	if err := r.build(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *real) build(ctx context.Context) error {
	for _, s := range switches {
		b, err := bridge.New(bridge.Config{Name: s.name})
		if err != nil {
			return err
		}
		r.bridges[s.name] = b
		r.served.Go(func() { r.failed(b.Serve(ctx)) }) // ends with ctx
	}
	for _, h := range hosts {
		if err := r.plugIn(h.name, h.sw, h.port); err != nil {
			return err
		}
	}
	return r.connect()
}

// space makes a namespace, in which nothing sends of its own accord.
func (r *real) space() (*netns.NS, error) {
	ns, err := netns.New(false)
	if err == nil {
		r.spaces = append(r.spaces, ns)
	}
	return ns, err
}

// plugIn makes a host.
func (r *real) plugIn(name, sw, port string) error {
	ns, err := r.space()
	if err != nil {
		return err
	}
	tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: "eth0", Netns: ns.Path(), Up: true})
	if err != nil {
		return err
	}
	if _, err := r.bridges[sw].AddPort(port, tap, bridge.PortConfig{Caps: tap.Caps()}); err != nil {
		return errors.Join(err, tap.Close())
	}
	station, err := bridge.OpenRaw(bridge.RawConfig{Name: "eth0", Netns: ns.Path()})
	if err != nil {
		return err
	}
	r.stations[name] = station
	r.served.Go(func() { r.look(name, station) }) // ends when the station is closed
	return awaitUp(ns, "eth0")
}

// awaitUp waits until an interface really sends: until a while after it was brought
// up the kernel drops what it is given, without a word.
func awaitUp(ns *netns.NS, name string) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		text, err := ns.Run("ip", "link", "show", name)
		if err != nil || !strings.Contains(text, "qdisc noop ") && strings.Contains(text, ",LOWER_UP>") {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not come up: %s", name, text)
		}
	}
}

// connect lays the cable between the switches.
func (r *real) connect() error {
	ns, err := r.space()
	if err != nil {
		return err
	}
	if _, err := ns.Run("ip", "link", "add", "up1", "up", "type", "veth", "peer", "name", "up2"); err != nil {
		return err
	}
	if _, err := ns.Run("ip", "link", "set", "up2", "up"); err != nil {
		return err
	}
	for i, end := range []string{"up1", "up2"} {
		if err := awaitUp(ns, end); err != nil {
			return err
		}
		raw, err := bridge.OpenRaw(bridge.RawConfig{Name: end, Netns: ns.Path()})
		if err != nil {
			return err
		}
		s := switches[i]
		if _, err := r.bridges[s.name].AddPort(s.up, raw, bridge.PortConfig{Caps: raw.Caps()}); err != nil {
			return errors.Join(err, raw.Close())
		}
	}
	return nil
}

// look notes what a host sees, until its socket is closed.
func (r *real) look(name string, station *bridge.RawSocket) {
	fs := make([]frame.Frame, 16)
	for {
		n, err := station.ReadFrames(fs)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.seen[name] += uint64(n)
		r.mu.Unlock()
	}
}

func (r *real) Send(host string, f frame.Frame) (seen []string, err error) {
	before, _ := r.state()
	if _, err := r.stations[host].WriteFrames([]frame.Frame{f}); err != nil {
		return nil, err
	}
	r.sent[host]++
	after, err := r.settle()
	for _, h := range hosts {
		if after.seen[h.name] != before.seen[h.name] {
			seen = append(seen, h.name)
		}
	}
	return seen, err
}

// counts is how many frames were seen at every point of the network.
type counts struct {
	seen           map[string]uint64 // by a host
	received, sent map[string]uint64 // by a port
}

// state gives the counts, and whether what was sent at one end of each cable has
// been received at the other.
func (r *real) state() (c counts, settled bool) {
	r.mu.Lock()
	c = counts{maps.Clone(r.seen), map[string]uint64{}, map[string]uint64{}}
	r.mu.Unlock()
	settled = true
	for _, b := range r.bridges {
		for _, p := range b.Ports() {
			s, name := p.Stats(), b.Name()+" "+p.Name()
			c.received[name], c.sent[name] = s.Ingress.Received, s.Egress.Sent
			settled = settled && s.Ingress.Balance() == 0 && s.Egress.Balance() == 0
		}
	}
	for _, h := range hosts {
		port := h.sw + " " + h.port
		settled = settled && c.received[port] == r.sent[h.name] && c.seen[h.name] == c.sent[port]
	}
	one, two := switches[0].name+" "+switches[0].up, switches[1].name+" "+switches[1].up
	return c, settled && c.received[one] == c.sent[two] && c.received[two] == c.sent[one]
}

// settle waits until nothing is on its way: the counts agree, and stay as they are.
func (r *real) settle() (counts, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c, settled := r.state()
		again, _ := r.state()
		if settled && maps.Equal(c.seen, again.seen) && maps.Equal(c.received, again.received) && maps.Equal(c.sent, again.sent) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return c, errors.Join(r.fails...)
		}
	}
	return counts{}, errors.New("a frame was lost on its way")
}

func (r *real) failed(err error) {
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fails = append(r.fails, err)
	}
}

func (r *real) Switch(name string) *bridge.Bridge { return r.bridges[name] }

// Close ends everything; the interfaces vanish with their namespaces.
func (r *real) Close() (err error) {
	r.stop()
	for _, s := range r.stations {
		err = errors.Join(err, s.Close())
	}
	r.served.Wait()
	for _, ns := range r.spaces {
		err = errors.Join(err, ns.Close())
	}
	return err
}
