package bridge_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A camera streams to a group. Once the bridge asks who wants it, and has waited for
// answers, the stream goes to the recorder that joined, and no longer to everybody.
func ExampleBridge_MDB() {
	now := time.Now()
	b, _ := bridge.New(bridge.Config{McastSnooping: true, McastQuerier: true, Clock: func() time.Time { return now }})
	defer b.Close()
	for _, name := range []string{"camera", "recorder", "printer"} {
		end, _ := bridge.NewPipe(bridge.PipeConfig{})
		_, _ = b.AddPort(name, end, bridge.PortConfig{})
	}
	group := netip.MustParseAddr("239.1.1.1")
	stream := groupData(frame.MAC{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("192.0.2.1"), group)
	reaches := func() (names []string) {
		for _, out := range b.Port("camera").Explain(stream).Out {
			names = append(names, out.Dev)
		}
		return names
	}

	_ = b.Port("recorder").Receive(igmpReport(frame.MAC{2, 0, 0, 0, 0, 2}, group))
	fmt.Println(reaches())
	now = now.Add(11 * time.Second)
	b.Tick(now)
	fmt.Println(reaches())
	for _, e := range b.MDB() {
		fmt.Println(e.Group, e.Port)
	}
	// Output:
	// [printer recorder br0]
	// [recorder]
	// 239.1.1.1 recorder
}
