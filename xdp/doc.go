// Package xdp makes cables of Ethernet interfaces by AF_XDP sockets: frames pass between
// the driver of an interface and memory of this process, by rings that both see, and
// the rest of the kernel never meets them. Its place is a network card whose driver can
// use that memory itself (zero-copy); it works on any Ethernet interface of Linux 5.19
// or newer.
//
//	g, err := xdp.Open(xdp.Config{Ports: []xdp.PortConfig{{Name: "eth0"}, {Name: "eth1"}}})
//	for _, p := range g.Ports() {
//		_, err = b.AddPort(p.Name(), p, bridge.PortConfig{Caps: p.Caps(), Queues: p.Queues(), Lost: p.Lost})
//	}
//
// The program that hands frames over is assembled here, of five instructions, and
// attached by a link that ends with the process, however it ends. The kernel runs it in
// the driver (native mode) where the driver can, else behind it (generic mode);
// Port.Mode, Port.ZeroCopy and Port.Why tell what came of it.
//
// # Memory
//
// The ports of a Group share one piece of memory, in chunks of 2 or 4 KB (Config). A
// frame that came in by one of them and goes out by another as it came is not copied
// in this process: both refer to the same chunk, and so do all ports to which it is
// flooded. A frame that is given or loses a tag, and one from elsewhere, is copied to a
// chunk of its own. The memory is bounded, and divided so that a port that does not
// send, or a reader that does not read, keeps no other port from going on.
//
// Either all ports of a group have zero-copy, or none: a card that has it and a veth
// are better opened as two groups.
//
// # What crosses
//
// A chunk holds one frame, so an interface whose MTU is more than 3818 bytes gets no
// longer ones than that by this cable: they are lost, and counted by Port.Lost. VLAN
// tags are in the data.
//
// An AF_XDP socket knows no debts. A network card that has received a frame has
// finished it. The kernel that sends on a veth or another interface that is no device of
// the machine's has not: it leaves checksums and segments to the receiver, and a tag
// beside the frame. What becomes of these:
//
//   - TCP and UDP checksums that are not filled in: ReadFrames recognises them by what
//     stands in their place, and says that they are owed (frame.Frame.OweUnfilled), so
//     that a bridge fills them in. Checksums within tunnels and those of SCTP are not
//     recognised: their sender has to fill them in (ethtool -K eth0 tx off).
//   - Segments: in native mode the kernel has the other end of a veth cut them. In generic
//     mode it does not, and what is not cut is lost unless it fits a chunk, and counted by
//     Port.Lost: its sender has to cut it (ethtool -K eth0 tso off gso off).
//   - A tag that the sender's VLAN device leaves beside the frame is lost, and nothing
//     tells: the frame arrives untagged. Such a sender must not (ethtool -K eth0 txvlan
//     off). A network card is told to leave tags in the frames, by Open, and Close puts
//     that back; Port.Warnings tells of one that does not obey.
//
// bridge.OpenRaw asks for none of this. On a veth it carries bulk TCP several times as
// fast, since it takes frames of 64 KB with their checksums unfilled, and short frames at
// a greater cost: go test -run '^$' -bench BesideRaw measures that.
//
// # The end of a port
//
// The kernel keeps a socket until its rings are unmapped, which is when the port has been
// closed and nobody is inside of its ReadFrames or WriteFrames; the memory of a group is
// given back with the last ReadFrames of its last port (see bridge.FrameIO). What chunks
// the kernel had of a port that is closed are not used again before that, as a network
// card may yet write to them.
//
// # Goroutines
//
// Each port has one, which waits for news of its interface, and ends with Close. A timer
// asks the kernel again to send what it has left in a TX ring; it runs only while there
// is such.
package xdp
