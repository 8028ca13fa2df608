package bridgetest_test

import (
	"fmt"
	"os"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// Three hosts on a switch. The first ping takes two more ways than the second: h1
// has to ask for the address of h2.
func ExampleNew() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2", "h3"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lab.Close()
	h1, h2 := lab.Host("h1"), lab.Host("h2")
	for range 2 {
		fmt.Println(h1.Ping(h2.IP()))
	}
	h, _ := lab.Bridge().FDB().Lookup(h2.MAC(), 0)
	fmt.Println(h.MAC, "is behind", h.Port)
	// Output:
	// 80µs <nil>
	// 40µs <nil>
	// 02:00:00:00:00:02 is behind p2
}

// Two switches with two VLANs, joined by one cable.
func ExampleConfig() {
	in := func(vid frame.VID) bridge.PortConfig { return bridge.PortConfig{VLANs: bridge.Access(vid)} }
	trunk := bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)}
	lab, err := bridgetest.New(bridgetest.Config{
		Switches: []bridge.Config{{Name: "s1", VLANFiltering: true}, {Name: "s2", VLANFiltering: true}},
		Hosts: []bridgetest.HostConfig{
			{Name: "A", Switch: "s1", Port: in(10)}, {Name: "B", Switch: "s1", Port: in(20)},
			{Name: "C", Switch: "s2", Port: in(10)}, {Name: "D", Switch: "s2", Port: in(20)},
		},
		Cables: []bridgetest.Cable{{
			A: bridgetest.End{Switch: "s1", Port: trunk},
			B: bridgetest.End{Switch: "s2", Port: trunk},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lab.Close()
	for _, to := range []string{"B", "C", "D"} {
		_, err := lab.Host("A").Ping(lab.Host(to).IP())
		fmt.Println("A to", to, err)
	}
	// Output:
	// A to B bridgetest: A pings 10.0.0.2: no answer to the ARP request
	// A to C <nil>
	// A to D bridgetest: A pings 10.0.0.4: no answer to the ARP request
}

// A frame of one's own, and what each host saw of it.
func ExampleHost_Send() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2", "h3"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lab.Close()
	h1 := lab.Host("h1")
	f := bridgetest.NewFrame(frame.Broadcast, h1.MAC(), 0x88b5, []byte("hello"))
	if err := h1.Send(f); err != nil {
		fmt.Println(err)
	}
	lab.Run(time.Millisecond)
	for _, h := range lab.Hosts() {
		for _, f := range h.Received() {
			fmt.Printf("%s after %s: %s\n", h.Name(), time.Duration(f.Time), f.Data[frame.HeaderLen:])
		}
	}
	// Output:
	// h2 after 20µs: hello
	// h3 after 20µs: hello
}

// The way of a frame through the switch.
func ExampleLab_Trace() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lab.Close()
	h1, h2 := lab.Host("h1"), lab.Host("h2")
	if _, err := h1.Ping(h2.IP()); err != nil {
		fmt.Println(err)
	}
	lab.Trace(os.Stdout)
	if err := h1.Send(bridgetest.NewFrame(h2.MAC(), h1.MAC(), 0x88b5, nil)); err != nil {
		fmt.Println(err)
	}
	lab.Run(time.Millisecond)
	// Output:
	// 80µs h1 sends type 0x88b5, 14 bytes, 02:00:00:00:00:01 > 02:00:00:00:00:02
	//   br_handle_frame dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02
	//   br_allowed_ingress dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02 VLAN filtering is off
	//   br_fdb_update dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02 source refreshed
	//   br_forward to dev: p2 02:00:00:00:00:01 -> 02:00:00:00:00:02 known unicast
	//   __br_forward to dev: p2 02:00:00:00:00:01 -> 02:00:00:00:00:02
	//   dev_queue_xmit dev: p2 02:00:00:00:00:01 -> 02:00:00:00:00:02
	// 100µs h2 receives type 0x88b5, 14 bytes, 02:00:00:00:00:01 > 02:00:00:00:00:02
}
