// Package qemu makes cables that speak the socket network back ends of QEMU, and
// of what speaks like it: passt, gvproxy, libkrun, vfkit. A guest so becomes a port
// of a bridge with no TAP and no privilege: two programs of one user share a socket.
//
// # Streams
//
// On a stream, TCP or a unix socket, each frame has its length in front of it, four
// bytes, the most significant first, and nothing else is said. Either end may be the
// one that listens:
//
//	cable, err := qemu.Listen(qemu.StreamConfig{Address: "unix:/run/user/1000/guest0.sock"})
//
//	qemu-system-x86_64 -netdev stream,id=n0,addr.type=unix,addr.path=/run/user/1000/guest0.sock -device virtio-net-pci,netdev=n0
//	qemu-system-x86_64 -netdev stream,id=n0,addr.type=inet,addr.host=127.0.0.1,addr.port=5555 -device e1000,netdev=n0
//	qemu-system-x86_64 -netdev socket,id=n0,connect=127.0.0.1:5555 -device e1000,netdev=n0
//
// A -netdev stream connects again by itself if it is told so: reconnect-ms=1000 since
// QEMU 9.2, reconnect=1 since 8.0. Before that, and by -netdev socket, a guest whose
// connection has ended has no network any more. Or QEMU listens, and the cable
// connects, as often as it takes:
//
//	cable, err := qemu.Connect(qemu.StreamConfig{Address: "unix:/run/user/1000/guest0.sock", Reconnect: time.Second})
//
//	qemu-system-x86_64 -netdev stream,id=n0,server=on,addr.type=unix,addr.path=/run/user/1000/guest0.sock -device virtio-net-pci,netdev=n0
//	qemu-system-x86_64 -netdev socket,id=n0,listen=127.0.0.1:5555 -device e1000,netdev=n0
//	passt --socket /run/user/1000/guest0.sock
//	gvproxy -listen-qemu unix:///run/user/1000/guest0.sock
//
// A Stream outlives its connections. While it has no peer, both calls answer an
// error matching bridge.ENETDOWN, so that the port of a bridge has no carrier; it
// stays a port, with its configuration and its statistics.
//
// # Datagrams
//
// On a datagram socket, UDP or unix, each datagram is one frame:
//
//	cable, err := qemu.OpenDgram(qemu.DgramConfig{Local: "unix:/run/user/1000/br.sock", Remote: "unix:/run/user/1000/guest0.sock"})
//
//	qemu-system-x86_64 -netdev dgram,id=n0,local.type=unix,local.path=/run/user/1000/guest0.sock,remote.type=unix,remote.path=/run/user/1000/br.sock -device virtio-net-pci,netdev=n0
//	qemu-system-x86_64 -netdev socket,id=n0,udp=127.0.0.1:5000,localaddr=127.0.0.1:5001 -device e1000,netdev=n0
//	vfkit --device virtio-net,unixSocketPath=/run/user/1000/br.sock
//
// vfkit and its kin need no Remote: who sends first is the peer. A Remote that is a
// multicast group makes a segment that all its members share:
//
//	cable, err := qemu.OpenDgram(qemu.DgramConfig{Remote: "udp:230.0.0.1:1234"})
//
//	qemu-system-x86_64 -netdev socket,id=n0,mcast=230.0.0.1:1234 -device e1000,netdev=n0
//
// # What crosses
//
// Frames cross whole and with no debts: these back ends have no virtio_net_hdr. QEMU
// takes frames of up to MaxFrame bytes. Nothing is encrypted and nobody asks who the
// peer is: give a unix socket a directory of its own, and let TCP and UDP leave the
// machine only where that is meant.
//
// # Goroutines
//
// A Stream of Listen has one goroutine that accepts, one of Connect with Reconnect
// one that connects. Each connection has one more from the moment that its peer is
// slow (on systems other than Linux: from the first frame written), which sends what
// is queued; it ends with the connection. Close ends them all, and waits for that. A
// Dgram has none.
package qemu
