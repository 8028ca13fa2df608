package bridge_test

import (
	"fmt"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A filter of one's own: what comes in by tap1 may be broadcast to nobody but the
// uplink. Explain shows what it said.
func ExampleFilter() {
	quiet := bridge.Filter{
		Name:  "quiet",
		Hooks: bridge.Hooks(bridge.HookForward),
		Judge: func(s *bridge.Passage) bridge.Ruling {
			if s.In.Name() == "tap1" && s.Out.Name() != "uplink" && s.Frame.Dst().IsBroadcast() {
				return bridge.FilterDrop.Because("tap1 is to be quiet")
			}
			return bridge.Ruling{}
		},
	}
	b, err := bridge.New(bridge.Config{Filters: []bridge.Filter{quiet}, Seed: 1})
	if err != nil {
		panic(err)
	}
	defer b.Close()
	for _, name := range []string{"uplink", "tap2", "tap1"} {
		_, cable := bridge.NewPipe(bridge.PipeConfig{})
		if _, err := b.AddPort(name, cable, bridge.PortConfig{}); err != nil {
			panic(err)
		}
	}
	e := b.Port("tap1").Explain(benchFrame(frame.Broadcast, frame.MustParseMAC("02:00:00:00:00:01")))
	for _, s := range e.Steps {
		if s.Probe == bridge.ProbeHook {
			fmt.Println(s)
		}
	}
	for _, o := range e.Out {
		fmt.Println("leaves by", o.Dev)
	}
	// Output:
	// nf_hook dev: tap2 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff NF_BR_FORWARD quiet dropped: a filter dropped it (NETFILTER_DROP): tap1 is to be quiet
	// nf_hook dev: uplink 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff NF_BR_FORWARD quiet accepted
	// leaves by uplink
	// leaves by br0
}
