package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns"
)

// quiet is how long nothing has to happen for a frame to have arrived everywhere.
const quiet = 100 * time.Millisecond

// real is the network with the kernel's interfaces. Each host is a network namespace
// with an interface eth0, a TAP whose other end is a port of a switch; the cable
// between the switches is a veth pair in a namespace of its own.
type real struct {
	bridges  map[string]*bridge.Bridge
	stations map[string]*bridge.RawSocket // what each host sends with and sees
	spaces   []*netns.NS
	stop     context.CancelFunc
	served   sync.WaitGroup

	mu    sync.Mutex // guards seen and last
	seen  map[string]bool
	last  time.Time // when something was seen
	fails []error
}

func newReal() (network, error) {
	if why := netns.Missing("ip"); why != "" {
		return nil, errors.New("-real " + why)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &real{bridges: map[string]*bridge.Bridge{}, stations: map[string]*bridge.RawSocket{}, seen: map[string]bool{}, stop: stop}
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
	return nil
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
	time.Sleep(quiet) // until a new interface really sends
	for i, end := range []string{"up1", "up2"} {
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
		for i := range fs[:n] {
			r.seen[name] = r.seen[name] || fs[i].Type() == 0x88b5
		}
		r.last = time.Now()
		r.mu.Unlock()
	}
}

func (r *real) Send(host string, f frame.Frame) (seen []string, err error) {
	r.mu.Lock()
	clear(r.seen)
	r.last = time.Now()
	r.mu.Unlock()
	if _, err := r.stations[host].WriteFrames([]frame.Frame{f}); err != nil {
		return nil, err
	}
	for {
		time.Sleep(quiet / 10)
		r.mu.Lock()
		if time.Since(r.last) < quiet {
			r.mu.Unlock()
			continue
		}
		for name := range r.seen {
			seen = append(seen, name)
		}
		err = errors.Join(r.fails...)
		r.mu.Unlock()
		slices.Sort(seen)
		return seen, err
	}
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
