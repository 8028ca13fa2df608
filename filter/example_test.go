package filter_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// exampleBridge is a bridge of the ports tap1 and tap2, and a clock that stands still.
func exampleBridge(fs ...bridge.Filter) (*bridge.Bridge, *bridge.Port, *bridge.Port) {
	start := time.Unix(1_000_000, 0)
	b, err := bridge.New(bridge.Config{Filters: fs, Clock: func() time.Time { return start }, Seed: 1})
	check(err)
	port := func(name string) *bridge.Port {
		_, end := bridge.NewPipe(bridge.PipeConfig{})
		p, err := b.AddPort(name, end, bridge.PortConfig{})
		check(err)
		return p
	}
	return b, port("tap1"), port("tap2")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A guest that answers for the gateway is not heard, not behind VLAN 0 tags either,
// and the bridge says who it was.
func ExampleAddresses() {
	guest := frame.MustParseMAC("52:54:00:00:00:01")
	rules, err := filter.NewAddresses(map[string]filter.Allowed{
		"tap1": {MACs: []frame.MAC{guest}, IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}},
	})
	check(err)
	b, tap1, _ := exampleBridge(rules.Filter())
	defer b.Close()
	b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventFilter {
			fmt.Println(e)
		}
	})
	honest := ether(frame.Broadcast, guest, frame.TypeARP, arp(1, guest, "10.0.0.5", "10.0.0.1"))
	forged := ether(frame.Broadcast, guest, frame.TypeARP, arp(2, guest, "10.0.0.1", "10.0.0.9"))
	fmt.Println(tap1.Explain(honest).Verdict)
	fmt.Println(tap1.Explain(forged).Verdict)
	check(tap1.Receive(wrap(forged, prio, prio)))
	// Output:
	// used
	// dropped
	// filter tap1 52:54:00:00:00:01: addresses: ARP sender's protocol address is not allowed: 10.0.0.1
}

// Ten broadcasts a second, and what was not used of half a second.
func ExampleStorm() {
	storm, err := filter.NewStorm(nil, filter.Rates{filter.Broadcast: {Frames: 10, Burst: time.Second / 2}})
	check(err)
	b, tap1, tap2 := exampleBridge(storm.Filter())
	defer b.Close()
	for range 100 {
		check(tap1.Receive(plain(frame.Broadcast, mac(1))))
	}
	fmt.Println(tap2.Stats().Egress.Offered, storm.Dropped(filter.Broadcast))
	// Output: 5 95
}

// What tap1 sends is seen on span too, also what is dropped later.
func ExampleMirror() {
	b, tap1, _ := exampleBridge()
	defer b.Close()
	_, cable := bridge.NewPipe(bridge.PipeConfig{})
	span, err := b.AddPort("span", cable, filter.MirrorPort(bridge.Caps{}))
	check(err)
	m, err := filter.NewMirror(filter.Mirrored{Ingress: []string{"tap1"}, To: span})
	check(err)
	check(b.SetFilters(m.Filter()))
	for _, copy := range tap1.Explain(plain(mac(2), mac(1))).Out {
		fmt.Println(copy.Dev)
	}
	// Output:
	// span
	// tap2
}

// Two guests that speak to the uplink and not to each other.
func ExampleIsolation() {
	i, err := filter.NewIsolation(map[string]filter.Group{"tap1": filter.Isolated, "tap2": filter.Isolated})
	check(err)
	b, tap1, _ := exampleBridge(i.Filter())
	defer b.Close()
	_, cable := bridge.NewPipe(bridge.PipeConfig{})
	_, err = b.AddPort("uplink", cable, bridge.PortConfig{})
	check(err)
	e := tap1.Explain(plain(frame.Broadcast, mac(1)))
	fmt.Println(e.Out[0].Dev, e.Out[1].Dev, len(e.Out))
	// Output: uplink br0 2
}

// An address that two ports fight for stays with the first for a minute.
func ExampleFlap() {
	fl, err := filter.NewFlap(filter.Flapping{Moves: 3})
	check(err)
	b, tap1, tap2 := exampleBridge(fl.Filter())
	defer b.Close()
	f := plain(frame.Broadcast, mac(1))
	for range 5 {
		check(tap1.Receive(f))
		check(tap2.Receive(f))
	}
	fmt.Println(tap1.Explain(f).Verdict, tap2.Explain(f).Verdict, fl.Dropped())
	// Output: used dropped 4
}
