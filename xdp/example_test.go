package xdp_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/xdp"
)

// Two network cards become ports of a bridge. What comes in by one and goes out by the
// other is not copied in between.
func ExampleOpen() {
	g, err := xdp.Open(xdp.Config{Ports: []xdp.PortConfig{{Name: "eth0", Up: true}, {Name: "eth1", Up: true}}})
	if err != nil {
		log.Fatal(err)
	}
	b, err := bridge.New(bridge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range g.Ports() {
		fmt.Println(p.Name(), p.Mode(), p.ZeroCopy(), p.Why())
		for _, w := range p.Warnings() {
			fmt.Println("warning:", w)
		}
		if _, err := b.AddPort(p.Name(), p, bridge.PortConfig{Caps: p.Caps(), Queues: p.Queues(), Lost: p.Lost}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(b.Serve(context.Background()))
}
