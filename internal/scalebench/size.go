package main

import (
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/workload"
)

const stations = 4096

// ports is the cost of a frame by the number of ports.
func ports(m *meter) (section, error) {
	s := sweep{
		title: "Ports",
		text: "A unicast frame between 4096 stations behind the same few ports, while all others are idle; behind all ports, " +
			"where a batch of 64 frames has to be written to more and more cables; and a flooded frame, for each port that it leaves by.",
		x: "ports", at: []int{2, 8, 32, 64, 128, 256, 512}, base: 8, note: "ns here",
		file: "ports.svg", chart: "Cost of a frame by the number of ports",
	}
	s.series = []series{
		{"unicast, few busy", func(x int) (work, error) {
			return unicast(workload.Config{Ports: x, Receiving: min(x-1, 7), Stations: stations}, 64)
		}},
		{"unicast, all busy", func(x int) (work, error) { return unicast(workload.Config{Ports: x, Stations: stations}, 64) }},
		{"flood, a port", func(x int) (work, error) {
			n, err := network(workload.Config{Ports: x, Stations: stations})
			if err != nil {
				return work{}, err
			}
			return work{run: n.Load(n.To(frame.Broadcast, 64)).Run, per: float64(x - 1)}, nil
		}},
	}
	return s.run(m)
}

// idle is the cost of a Tick by the number of ports on which nothing happens.
func idle(m *meter) (section, error) {
	s := sweep{
		title: "Idle ports and time",
		text: "A Tick for which nothing is due, with the spanning tree, snooping and a querier on. What idle ports cost a frame is " +
			"in the table above.",
		x: "ports", at: []int{2, 8, 64, 512}, base: 8, note: "ns here",
		file: "idle.svg", chart: "Cost of a Tick by the number of idle ports",
	}
	s.series = []series{{"Tick", func(x int) (work, error) {
		n, err := workload.New(workload.Config{Ports: x, Stations: stations, Bridge: bridge.Config{
			VLANFiltering: true, STPState: 1, McastSnooping: true, McastQuerier: true}})
		if err != nil {
			return work{}, err
		}
		n.Pass(time.Minute)
		return work{run: func(count int) {
			for range count {
				n.Pass(0)
			}
		}}, nil
	}}}
	return s.run(m)
}

// addresses is the cost of a frame by the number of addresses that are known.
func addresses(m *meter) (section, error) {
	s := sweep{
		title: "Addresses",
		text: "A unicast frame between 8 ports, from a random known address to another. What grows is the time that memory takes " +
			"to come: the caches of this machine's processor end where the lines rise.",
		x: "addresses", at: []int{2, 16, 128, 1000, 10_000, 100_000, 1_000_000, 1 << 22}, base: 1000, note: "ns here",
		file: "addresses.svg", chart: "Cost of a frame by the number of known addresses",
	}
	s.series = []series{{"unicast", func(x int) (work, error) { return unicast(workload.Config{Ports: 8, Stations: x}, 64) }}}
	return s.run(m)
}

// vlans is the cost of a frame by the number of VLANs.
func vlans(m *meter) (section, error) {
	s := sweep{
		title: "VLANs",
		text: "A tagged unicast frame between 8 ports, each of which is in all the VLANs; 16,384 stations are spread over them evenly. " +
			"Every port has a local entry in every VLAN, as in Linux, so that the table of addresses grows too; with FDBLocalVLAN0 it " +
			"has one.",
		x: "VLANs", at: []int{1, 16, 128, 1024, 4094}, base: 1, note: "ns here",
		file: "vlans.svg", chart: "Cost of a frame by the number of VLANs",
	}
	for _, vlan0 := range []bool{false, true} {
		name := "local entries everywhere"
		if vlan0 {
			name = "FDBLocalVLAN0"
		}
		s.series = append(s.series, series{name, func(x int) (work, error) {
			c := bridge.Config{Attrs: bridge.BridgeAttrs{FDBLocalVLAN0: &vlan0}}
			return unicast(workload.Config{Ports: 8, Stations: 4 * stations, VLANs: x, Bridge: c}, 64)
		}})
	}
	return s.run(m)
}

// groups is the cost of a multicast frame by the number of groups.
func groups(m *meter) (section, error) {
	s := sweep{
		title: "Multicast groups",
		text:  "A snooped frame to a random one of the groups, each of which has 4 of 8 ports as members.",
		x:     "groups", at: []int{1, 10, 100, 1000, 10_000}, base: 100, note: "ns here",
		file: "groups.svg", chart: "Cost of a multicast frame by the number of groups",
	}
	s.series = []series{{"multicast", func(x int) (work, error) {
		n, err := network(workload.Config{Ports: 8, Stations: stations, Groups: x, Members: 4})
		if err != nil {
			return work{}, err
		}
		return work{run: n.Load(n.Multicast()).Run}, nil
	}}}
	return s.run(m)
}

// sizes is the cost of a frame by its length.
func sizes(m *meter) (section, error) {
	s := sweep{
		title: "Frame sizes",
		text: "A unicast frame between 8 ports: passed on as it is; and one that leaves by a trunk whose cable takes a tag only in " +
			"the data, so that it has to be copied. There are 256 different frames.",
		x: "bytes", at: []int{64, 256, 1514, 9014, 65_535}, base: 64, note: "ns here",
		file: "sizes.svg", chart: "Cost of a frame by its length",
	}
	c := workload.Config{Ports: 8, Stations: stations, Port: bridge.PortConfig{MTU: 65521}}
	s.series = []series{
		{"as it is", func(x int) (work, error) {
			n, err := network(c)
			if err != nil {
				return work{}, err
			}
			return work{run: n.Load(n.Unicast(x, 1)[:256]).Run}, nil
		}},
		{"tag put in", func(x int) (work, error) {
			c := c
			c.Plain = true
			n, err := network(c)
			if err != nil {
				return work{}, err
			}
			for _, p := range n.Ports[1:] {
				if err := p.VLANs().Set(bridge.Trunk(0, 1)); err != nil {
					return work{}, err
				}
			}
			return work{run: n.Load(n.Unicast(x, 1)[:256]).Run}, nil
		}},
	}
	out, err := s.run(m)
	for i := range out.charts {
		out.charts[i].logY = true
	}
	return out, err
}
