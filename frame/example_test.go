package frame_test

import (
	"fmt"

	"github.com/ddfb540f/bridge/frame"
)

func ExampleParseMAC() {
	m, err := frame.ParseMAC("01-80-C2-00-00-0E")
	fmt.Println(m, err)
	fmt.Println("group:", m.IsMulticast(), "link-local:", m.IsLinkLocal(), "a station's:", m.IsValid())

	_, err = frame.ParseMAC("01:80:c2")
	fmt.Println(err)
	// Output:
	// 01:80:c2:00:00:0e <nil>
	// group: true link-local: true a station's: false
	// frame: bad MAC address: "01:80:c2"
}

func ExampleTag() {
	t := frame.Tag{TPID: frame.TypeDot1Q, TCI: 0x600a}
	fmt.Println(t)
	fmt.Println(t.WithVID(20))
	fmt.Println(frame.Tag{TPID: frame.TypeDot1AD}) // VID 0 is a tag too
	fmt.Println(frame.Tag{})
	// Output:
	// 802.1Q vid 10 pcp 3
	// 802.1Q vid 20 pcp 3
	// 802.1ad vid 0
	// untagged
}

// One buffer leaves three ports: as it came, untagged, and in another VLAN.
func ExampleFrame() {
	f := frame.Frame{Data: []byte{
		0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, // destination, source
		0x81, 0x00, 0x00, 0x0a, // the tag, VLAN 10
		0x88, 0xb5, 0xca, 0xfe, // EtherType, payload
	}}
	f.Lift()
	fmt.Println(f.Src(), "to", f.Dst(), "type", f.Type(), f.Tag)

	untagged, other := f, f // no bytes are copied
	untagged.Tag = frame.Tag{}
	other.Tag = f.Tag.WithVID(20)
	for _, out := range []frame.Frame{f, untagged, other} {
		fmt.Printf("% x\n", out.AppendWire(nil)[12:])
	}
	// Output:
	// 02:00:00:00:00:01 to 02:00:00:00:00:02 type 0x88b5 802.1Q vid 10
	// 81 00 00 0a 88 b5 ca fe
	// 88 b5 ca fe
	// 81 00 00 14 88 b5 ca fe
}
