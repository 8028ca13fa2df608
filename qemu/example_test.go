package qemu_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
)

// Two guests on a bridge, with no privilege. What connects here and speaks for a
// guest would be
//
//	qemu-system-x86_64 -netdev stream,id=n0,addr.type=unix,addr.path=DIR/guest0.sock -device virtio-net-pci,netdev=n0 ...
func Example() {
	dir, err := os.MkdirTemp("", "bridge")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	b, err := bridge.New(bridge.Config{})
	if err != nil {
		panic(err)
	}
	if err := b.SetUp(true); err != nil {
		panic(err)
	}
	var guests []net.Conn
	for _, name := range []string{"guest0", "guest1"} {
		path := filepath.Join(dir, name+".sock")
		cable, err := qemu.Listen(qemu.StreamConfig{Address: "unix:" + path})
		if err != nil {
			panic(err)
		}
		if _, err := b.AddPort(name, cable, bridge.PortConfig{Caps: cable.Caps(), Lost: cable.Lost}); err != nil {
			panic(err)
		}
		guest, err := net.Dial("unix", path)
		if err != nil {
			panic(err)
		}
		defer guest.Close()
		for !cable.Stats().Connected { // or the first frame finds nobody
			time.Sleep(time.Millisecond)
		}
		guests = append(guests, guest)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- b.Serve(ctx) }()

	broadcast := append([]byte{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // to all
		0x02, 0, 0, 0, 0, 0x0a, // from guest0
		0x88, 0xb5,
	}, "hello"...)
	hello := func(from net.Conn) {
		length := binary.BigEndian.AppendUint32(nil, uint32(len(broadcast)))
		if _, err := from.Write(append(length, broadcast...)); err != nil {
			panic(err)
		}
	}
	hello(guests[0])
	var length [4]byte
	if _, err := io.ReadFull(guests[1], length[:]); err != nil {
		panic(err)
	}
	got := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(guests[1], got); err != nil {
		panic(err)
	}
	fmt.Printf("guest1 is told %q\n", got[frame.HeaderLen:])
	entry, _ := b.FDB().Lookup(frame.MustParseMAC("02:00:00:00:00:0a"), 0)
	fmt.Println("guest0 is behind port", entry.Port)
	stop()
	<-served
	// Output:
	// guest1 is told "hello"
	// guest0 is behind port guest0
}
