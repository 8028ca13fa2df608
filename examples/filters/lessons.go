package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

var lessons = []lesson{
	{"Addresses: vm1 may be 52:54:00:00:00:01 and 10.0.0.1 only", addresses, speakAddresses},
	{"Storm: each port 100 broadcasts and 50 unknown unicasts a second", storm, speakStorm},
	{"Mirror: what vm1 sends and what it gets, to span", mirror, speakMirror},
	{"Isolation: vm1 and vm2 speak to the uplink, not to each other", isolation, speakIsolation},
	{"Flap: an address that jumps three times is held where it was", flap, speakFlap},
	{"A filter of one's own: router advertisements from the uplink only", guard, speakGuard},
}

func addresses(*world) ([]bridge.Filter, error) {
	a, err := filter.NewAddresses(map[string]filter.Allowed{
		"vm1": {MACs: []frame.MAC{mac1}, IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}},
	})
	if err != nil {
		return nil, err
	}
	return []bridge.Filter{a.Filter()}, nil
}

func speakAddresses(w *world) {
	prio := frame.Tag{TPID: frame.TypeDot1Q}
	w.say("vm1", "10.0.0.1 is at 52:54:00:00:00:01", isAt("10.0.0.1", mac1))
	w.say("vm1", "10.0.0.254 is at 52:54:00:00:00:01", isAt("10.0.0.254", mac1))
	w.say("vm1", "the same behind two tags of VLAN 0", isAt("10.0.0.254", mac1, prio, prio))
	w.say("vm1", "as the router", data(frame.Broadcast, router))
}

func storm(*world) ([]bridge.Filter, error) {
	s, err := filter.NewStorm(nil, filter.Rates{filter.Broadcast: {Frames: 100}, filter.UnknownUnicast: {Frames: 50}})
	if err != nil {
		return nil, err
	}
	return []bridge.Filter{s.Filter()}, nil
}

func speakStorm(w *world) {
	burst := func(port, what string, f frame.Frame) {
		fmt.Fprintf(w.out, "%s: 1000 frames, %s\n", port, what)
		n := 0
		for range 1000 {
			if w.send(port, f) {
				n++
			}
		}
		fmt.Fprintf(w.out, "  %d leave\n", n)
	}
	burst("vm1", "broadcast", data(frame.Broadcast, mac1))
	w.now = w.now.Add(50 * time.Millisecond)
	burst("vm1", "broadcast, 50 ms later", data(frame.Broadcast, mac1))
	burst("vm2", "to an address that is known", data(mac1, mac2))
	burst("vm2", "to one that is not", data(nowhere, mac2))
}

func mirror(w *world) ([]bridge.Filter, error) {
	m, err := filter.NewMirror(filter.Mirrored{Ingress: []string{"vm1"}, Egress: []string{"vm1"}, To: w.b.Port("span")})
	if err != nil {
		return nil, err
	}
	return []bridge.Filter{m.Filter()}, nil
}

func speakMirror(w *world) {
	w.say("vm1", "to all", data(frame.Broadcast, mac1))
	w.say("vm2", "to vm1", data(mac1, mac2))
	w.say("vm2", "to the uplink", data(router, mac2))
	w.say("uplink", "to vm2", data(mac2, router))
	w.say("span", "to all", data(frame.Broadcast, nowhere))
}

func isolation(*world) ([]bridge.Filter, error) {
	i, err := filter.NewIsolation(map[string]filter.Group{"vm1": filter.Isolated, "vm2": filter.Isolated})
	if err != nil {
		return nil, err
	}
	return []bridge.Filter{i.Filter()}, nil
}

func speakIsolation(w *world) {
	w.say("uplink", "to all", data(frame.Broadcast, router))
	w.say("vm1", "to all", data(frame.Broadcast, mac1))
	w.say("vm2", "to the uplink", data(router, mac2))
	w.say("vm2", "to vm1", data(mac1, mac2))
}

func flap(*world) ([]bridge.Filter, error) {
	f, err := filter.NewFlap(filter.Flapping{Moves: 3, Hold: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	return []bridge.Filter{f.Filter()}, nil
}

func speakFlap(w *world) {
	f := data(frame.Broadcast, mac1)
	w.say("vm1", "as 52:54:00:00:00:01", f)
	w.say("vm2", "as the same", f)
	w.say("vm1", "again", f)
	w.say("vm2", "again", f)
	w.say("vm1", "again", f)
	w.now = w.now.Add(11 * time.Second)
	w.say("vm2", "11 seconds later", f)
}

// guard is RA guard (RFC 6105): no port but the uplink speaks as a router.
func guard(*world) ([]bridge.Filter, error) {
	return []bridge.Filter{{
		Name:  "ra guard",
		Hooks: bridge.Hooks(bridge.HookPreRouting),
		Judge: func(s *bridge.Passage) bridge.Ruling {
			p := filter.Parse(s.Frame)
			router := p.Kind == filter.ND && p.Op == filter.RouterAdvertisement
			if s.In.Name() != "uplink" && (router || p.Broken) {
				return bridge.FilterDrop.Because("it is no router")
			}
			return bridge.Ruling{}
		},
	}}, nil
}

func speakGuard(w *world) {
	w.say("uplink", "I am a router", advertisement(router))
	w.say("vm1", "I am a router", advertisement(mac1))
	fmt.Fprintln(w.out, "why not?")
	for _, s := range w.b.Port("vm1").Explain(advertisement(mac1)).Steps {
		fmt.Fprintln(w.out, " ", s)
	}
}
