package bridge_test

import (
	"fmt"
	"log"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
)

// Three switches in a ring. RSTP has one port discard, and when a cable is cut, the port
// forwards in the milliseconds that a few messages take.
func ExampleSTPMode() {
	rapid := func(name string, priority uint16) bridge.Config {
		return bridge.Config{Name: name, STPState: 1, STPMode: bridge.STPModeRapid, Priority: &priority}
	}
	cable := func(a, b string) bridgetest.Cable {
		return bridgetest.Cable{A: bridgetest.End{Switch: a, PortName: "to-" + b}, B: bridgetest.End{Switch: b, PortName: "to-" + a}}
	}
	lab, err := bridgetest.New(bridgetest.Config{
		Switches: []bridge.Config{rapid("a", 0x1000), rapid("b", 0x2000), rapid("c", 0x3000)},
		Cables:   []bridgetest.Cable{cable("a", "b"), cable("b", "c"), cable("c", "a")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer lab.Close()
	lab.Run(10 * time.Second)
	show := func(sw string) {
		for _, p := range lab.Switch(sw).Ports() {
			s, _ := p.RSTP()
			fmt.Println(sw, p.Name(), s.Role, s.State)
		}
	}
	show("b")
	show("c")
	for _, p := range append(lab.Switch("a").Ports(), lab.Switch("c").Ports()...) {
		if p.Name() == "to-c" || p.Name() == "to-a" {
			_ = p.SetLink(true, false) // a port of the lab does not refuse
		}
	}
	lab.Run(time.Millisecond)
	fmt.Println("the cable from a to c is cut")
	show("c")
	// Output:
	// b to-a root forwarding
	// b to-c designated forwarding
	// c to-b alternate blocking
	// c to-a root forwarding
	// the cable from a to c is cut
	// c to-b root forwarding
	// c to-a disabled disabled
}
