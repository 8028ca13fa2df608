package bridge_test

import (
	"fmt"
	"log"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// VLAN 10 goes by one uplink and VLAN 20 by the other: each is in a spanning tree
// instance of its own, and somebody, here we, says which port forwards in which.
func ExamplePort_SetMST() {
	b, err := bridge.New(bridge.Config{VLANFiltering: true, MSTEnabled: true, VLANDefaultPVID: new(frame.VID(0)), Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	add := func(name string) *bridge.Port {
		end, _ := bridge.NewPipe(bridge.PipeConfig{})
		p, err := b.AddPort(name, end, bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)})
		if err != nil {
			log.Fatal(err)
		}
		return p
	}
	guest, up1, up2 := add("guest"), add("up1"), add("up2")

	for vid, msti := range map[frame.VID]int{10: 1, 20: 2} {
		if err := b.SetVLANGlobal(vid, 0, bridge.VLANGlobalAttrs{MSTI: &msti}); err != nil {
			log.Fatal(err)
		}
	}
	for _, s := range []struct {
		p     *bridge.Port
		msti  int
		state bridge.PortState
	}{
		{guest, 1, bridge.StateForwarding}, {guest, 2, bridge.StateForwarding},
		{up1, 1, bridge.StateForwarding}, {up1, 2, bridge.StateBlocking},
		{up2, 1, bridge.StateBlocking}, {up2, 2, bridge.StateForwarding},
	} {
		if err := s.p.SetMST(s.msti, s.state); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(up1.MST())

	f := frame.Frame{Data: make([]byte, 60)}
	copy(f.Data, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01")
	for _, vid := range []uint16{10, 20} {
		f.Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: vid}
		for _, out := range guest.Explain(f).Out {
			fmt.Println(f.Tag, "leaves by", out.Dev)
		}
	}
	// Output:
	// [{1 forwarding} {2 blocking}]
	// 802.1Q vid 10 leaves by up1
	// 802.1Q vid 20 leaves by up2
}

// VLAN 10 of the bridge is tunnel 10010 on the other side of port vx0: what leaves
// there bears no tag, but the tunnel's id beside the bytes, and what comes with that id
// is in VLAN 10.
func ExampleVLANFilter_AddTunnel() {
	b, err := bridge.New(bridge.Config{VLANFiltering: true, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	add := func(name string, c bridge.PortConfig) *bridge.Port {
		end, _ := bridge.NewPipe(bridge.PipeConfig{}) // a cable that looks at Tunnel is meant
		p, err := b.AddPort(name, end, c)
		if err != nil {
			log.Fatal(err)
		}
		return p
	}
	guest := add("guest", bridge.PortConfig{VLANs: bridge.Access(10)})
	vx0 := add("vx0", bridge.PortConfig{VLANs: bridge.Trunk(0, 10), Attrs: bridge.PortAttrs{VLANTunnel: new(true)}})
	if err := vx0.VLANs().AddTunnel(bridge.VLANTunnel{VID: 10, ID: 10010}); err != nil {
		log.Fatal(err)
	}

	f := frame.Frame{Data: make([]byte, 60)}
	copy(f.Data, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01")
	for _, out := range guest.Explain(f).Out {
		fmt.Printf("to %s: %s, tunnel %d\n", out.Dev, out.Frame.Tag, out.Frame.Tunnel-1)
	}
	f.Tunnel = 10010 + 1
	for _, out := range vx0.Explain(f).Out {
		fmt.Printf("to %s: %s, tunnel %d\n", out.Dev, out.Frame.Tag, out.Frame.Tunnel)
	}
	// Output:
	// to vx0: untagged, tunnel 10010
	// to guest: untagged, tunnel 0
}
