package stp

import (
	"fmt"
	"testing"
)

// What a BPDU costs that says nothing new, and one that changes the root, by the number
// of ports.
func BenchmarkRapidHandle(b *testing.B) {
	for _, ports := range []uint16{2, 64, 1000} {
		for _, changes := range []bool{false, true} {
			name := map[bool]string{false: "repeated", true: "changed"}[changes]
			b.Run(fmt.Sprint(name, "/", ports), func(b *testing.B) {
				m := NewRapid(RapidConfig{}, BridgeID{Priority: 0x8000})
				for num := range ports {
					m.AddPort(0, num+1, RapidPort{ID: testPortID(num + 1), AdminEdge: true})
					m.SetLink(0, num+1, Link{Up: true, PointToPoint: true})
				}
				p := BPDU{Version: 2, Type: RST, Flags: RoleDesignated, MaxAge: 20 * 256, HelloTime: 512, ForwardDelay: 15 * 256}
				i := 0
				for b.Loop() {
					if changes {
						p.Root.Priority = uint16(i & 1)
						p.Bridge.Priority = p.Root.Priority
					}
					m.Handle(0, 1, &p)
					i++
				}
			})
		}
	}
}
