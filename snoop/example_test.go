package snoop_test

import (
	"fmt"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// A querier at port 1, a host at port 2 that wants 239.1.1.1 and later does not, and
// where a packet of that group goes meanwhile.
func ExampleMachine() {
	m := snoop.New(snoop.Config{})
	m.SetUp(0, true)
	for port := uint16(1); port <= 3; port++ {
		m.AddPort(port)
		m.SetPortState(port, snoop.Forwarding)
		m.EnablePort(0, port)
	}
	receive := func(now time.Duration, port uint16, data []byte) (p snoop.Packet) {
		f := frame.Frame{Data: data}
		if err := m.View().Parse(&f, 0, &p); err != nil {
			fmt.Println("dropped:", err)
			return p
		}
		if p.Control() {
			if err := m.Handle(now, port, 0, &p); err != nil {
				fmt.Println("dropped:", err)
			}
		}
		return p
	}
	show := func(when string) {
		p := receive(0, 3, data("10.9.0.1", "239.1.1.1"))
		d := m.View().Decide(&p, 0)
		if !d.Hit {
			fmt.Println(when, "everywhere")
			return
		}
		fmt.Print(when, " to ports")
		for to, ok := d.Next(); ok; to, ok = d.Next() {
			fmt.Print(" ", to.Port)
		}
		fmt.Println()
	}

	receive(0, 2, join4(1, "239.1.1.1"))
	show("nobody asks:")
	receive(0, 1, query4(9, "10.0.0.254", 10))
	m.Tick(time.Second)
	show("the querier's time to answer is over:")
	receive(2*time.Second, 2, join4(1, "239.1.1.1"))
	m.Tick(200 * time.Second)
	show("the host is there:")
	receive(200*time.Second, 1, query4(9, "10.0.0.254", 10))
	m.Tick(262 * time.Second)
	show("nothing was heard of it for 260 s:")
	// Output:
	// nobody asks: everywhere
	// the querier's time to answer is over: to ports 2 1
	// the host is there: to ports 2 1
	// nothing was heard of it for 260 s: to ports 1
}
