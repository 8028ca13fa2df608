package filter_test

import (
	"encoding/binary"
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

// Two ports that somebody has connected to each other: of what each sends by itself
// now and then something comes back.
func ExampleLoop() {
	loop, err := filter.NewLoop(filter.Probing{})
	check(err)
	b, err := bridge.New(bridge.Config{Filters: []bridge.Filter{loop.Filter()}})
	check(err)
	defer b.Close()
	b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventFilter {
			fmt.Println(e.Err)
		}
	})
	one, other := bridge.NewPipe(bridge.PipeConfig{}) // both ends of the cable
	_, err = b.AddPort("tap1", one, bridge.PortConfig{})
	check(err)
	tap2, err := b.AddPort("tap2", other, bridge.PortConfig{})
	check(err)
	loop.Tick(b, time.Now())
	came := make([]frame.Frame, 1)
	other.TryRead(came)
	check(tap2.Receive(came...))
	fmt.Println(loop.Held())
	// Output:
	// a loop from tap1 to tap2, tap2 is held down
	// [tap2]
}

// A filter of one's own: no port but the uplink speaks as a router or a DHCP server.
func ExampleParse() {
	b, tap1, _ := exampleBridge(bridge.Filter{
		Name:  "guard",
		Hooks: bridge.Hooks(bridge.HookPreRouting),
		Judge: func(s *bridge.Passage) bridge.Ruling {
			p := filter.Parse(s.Frame)
			server := p.Proto == 17 && p.L4 != 0 && len(s.Frame.Data) >= p.L4+2 &&
				binary.BigEndian.Uint16(s.Frame.Data[p.L4:]) == 67 // UDP from the port of DHCP servers
			router := p.Kind == filter.ND && (p.Op == filter.RouterAdvertisement || p.Op == filter.Redirect)
			if s.In.Name() != "uplink" && (server || router || p.Broken) {
				return bridge.FilterDrop.Because("only the uplink serves")
			}
			return bridge.Ruling{}
		},
	})
	defer b.Close()
	client := ether(frame.Broadcast, mac(1), frame.TypeIPv4, ipv4("0.0.0.0", "255.255.255.255", 17, udp(68, 67)))
	server := ether(frame.Broadcast, mac(1), frame.TypeIPv4, ipv4("10.0.0.5", "255.255.255.255", 17, udp(67, 68)))
	router := ether(group, mac(1), frame.TypeIPv6, ipv6("fe80::5", "ff02::1", 58, []byte{134, 15: 0}))
	for _, f := range []frame.Frame{client, server, wrap(router, prio, snap)} {
		fmt.Println(tap1.Explain(f).Verdict)
		check(tap1.Receive(f))
	}
	fmt.Printf("%+v\n", b.FilterStats())
	// Output:
	// used
	// dropped
	// dropped
	// [{Name:guard Dropped:2 Stolen:0 Passed:0 Copied:0}]
}
