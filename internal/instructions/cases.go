package main

import (
	"fmt"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/workload"
)

// A testCase is one kind of frame whose instructions are counted. make gives what
// carries n frames, a multiple of workload.Batch; want is how many copies of a frame
// reach cables.
type testCase struct {
	name string
	want uint64
	make func() (*workload.Network, func(n int), error)
}

// counted is how many frames the instructions are counted of. It is what the loads
// hold, so that every frame of a load counts once.
const counted = 4096

var filtering = bridge.Config{VLANFiltering: true}

// cases are the main paths of a frame through the bridge: VLAN filtering, learning,
// counters and drop reasons are on in each.
var cases = []testCase{
	{"unicast", 1, forwarding(workload.Config{Ports: 8, Stations: 1000}, unicast)},
	{"bursty", 1, forwarding(workload.Config{Ports: 8, Stations: 1000}, func(n *workload.Network) ([]frame.Frame, error) {
		return n.Unicast(64, 8), nil
	})},
	{"batch=1", 1, func() (*workload.Network, func(int), error) {
		n, err := workload.New(workload.Config{Ports: 8, Stations: 1000, Bridge: filtering})
		if err != nil {
			return nil, nil, err
		}
		l := n.Load(n.Unicast(64, 1))
		l.Size = 1
		return n, l.Run, nil
	}},
	{"flood/ports=8", 7, forwarding(workload.Config{Ports: 8, Stations: 1000}, broadcast)},
	{"flood/ports=64", 63, forwarding(workload.Config{Ports: 64, Stations: 1000}, broadcast)},
	{"multicast/members=4", 4, forwarding(workload.Config{Ports: 18, Stations: 1000, Groups: 1000, Members: 4}, multicast)},
	{"host", 1, forwarding(workload.Config{Ports: 8, Stations: 1000}, host)},
	{"retag", 1, forwarding(workload.Config{Ports: 8, Stations: 1000}, retag)},
	{"learn", 0, learning(1 << 20)},
	{"evict", 0, learning(counted)},
	{"unicast/idle=504", 1, forwarding(workload.Config{Ports: 512, Receiving: 7, Stations: 1000}, unicast)},
	{"tick/ports=8", 0, ticking(8)},
	{"tick/ports=512", 0, ticking(512)},
}

// alike are pairs of cases of which the second takes no more than the first, but for
// margin: ports on which nothing happens cost neither a frame anything nor a Tick.
var alike = [][2]string{{"unicast", "unicast/idle=504"}, {"tick/ports=8", "tick/ports=512"}}

// forwarding makes a case of a network and what comes in by its first port.
func forwarding(c workload.Config, in func(*workload.Network) ([]frame.Frame, error)) func() (*workload.Network, func(int), error) {
	return func() (*workload.Network, func(int), error) {
		c.Bridge.VLANFiltering = true
		n, err := workload.New(c)
		if err != nil {
			return nil, nil, err
		}
		fs, err := in(n)
		if err != nil {
			return nil, nil, err
		}
		return n, n.Load(fs).Run, nil
	}
}

func unicast(n *workload.Network) ([]frame.Frame, error) { return n.Unicast(64, 1), nil }

func broadcast(n *workload.Network) ([]frame.Frame, error) { return n.To(frame.Broadcast, 64), nil }

func multicast(n *workload.Network) ([]frame.Frame, error) { return n.Multicast(), nil }

// host has a host attached, to whom all frames go.
func host(n *workload.Network) ([]frame.Frame, error) {
	cable := &workload.Sink{}
	n.Sinks = append(n.Sinks, cable)
	err := n.Bridge.AttachHost(cable, bridge.HostConfig{Caps: bridge.Caps{TagAside: true}})
	return n.To(n.Bridge.Info().Address, 64), err
}

// retag has the frames leave by trunks: with a tag, which they came without.
func retag(n *workload.Network) ([]frame.Frame, error) {
	for _, p := range n.Ports[1:] {
		if err := p.VLANs().Set(bridge.Trunk(0, 1)); err != nil {
			return nil, err
		}
	}
	return n.Unicast(64, 1), nil
}

// learning is of frames whose sources are new, of which so many have room: the table grows
// meanwhile, or each of them takes the place of another.
func learning(limit int) func() (*workload.Network, func(int), error) {
	return func() (*workload.Network, func(int), error) {
		n, err := workload.New(workload.Config{Ports: 8, Stations: 1000,
			Bridge: bridge.Config{VLANFiltering: true, FDBLimit: limit}})
		if err != nil {
			return nil, nil, err
		}
		return n, n.Load(n.Strangers(0, 4*counted)).Run, nil
	}
}

// ticking is of Ticks for which nothing is due, with all timers that a bridge can have.
func ticking(ports int) func() (*workload.Network, func(int), error) {
	return func() (*workload.Network, func(int), error) {
		n, err := workload.New(workload.Config{Ports: ports, Stations: 1000,
			Bridge: bridge.Config{VLANFiltering: true, STPState: 1, McastSnooping: true, McastQuerier: true}})
		if err != nil {
			return nil, nil, err
		}
		n.Pass(time.Minute)
		return n, func(count int) {
			for range count {
				n.Pass(0)
			}
		}, nil
	}
}

// run carries the frames of all cases, in order. Each is carried
// once before it counts, so that all memory has its size; mark is called before and
// after those that count.
func run(mark func()) error {
	for _, c := range cases {
		n, carry, err := c.make()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		carry(counted)
		before := n.Sent()
		mark()
		carry(counted)
		mark()
		if got := n.Sent() - before; got != c.want*counted {
			return fmt.Errorf("%s: %d frames were sent, want %d", c.name, got, c.want*counted)
		}
		if err := n.Bridge.Close(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}
