//go:build linux

// Command e2ebench measures the bridge side by side with the Linux bridge and others,
// from one end of the traffic to the other:
//
//	go run ./internal/e2ebench -quick
//	go run ./internal/e2ebench -cable tap -workload tcp1,rtt -peer kernel,cable -n 20
//
// It needs root and iproute2. All that it makes is in network namespaces without names
// and in processes that end with it, even when it is killed; a killed one leaves no more
// than a directory of sockets and logs for each rig with the temporary files.
//
// # Contestants
//
// Each has a rig of its own: two stations, processes with a namespace and one interface
// e0 each, and a switch that joins them.
//
//   - ours: this module's bridge with the zero Config, in a process of its own; nothing
//     is tuned for a cable or a workload.
//   - kernel: the Linux bridge over veth pairs, as namespaces are usually joined. It is
//     the same for every cable: a TAP as a port of the Linux bridge has a process at its
//     other end, and so no station.
//   - cable: a patch cable. Two goroutines copy between the two drivers that ours has
//     for its ports, in batches of 64: what a bridge of this module can reach at most,
//     unless it makes fewer frames of many, or finds out sooner what is of no use.
//   - direct: one veth pair, no switch.
//   - others by other people, see the flag -peer. Who is not installed is left out, and
//     it is said which Debian package has him.
//
// # Cables
//
// Over tap a station's interface is a TAP whose descriptor the switch holds. Over raw
// it is one end of a veth pair, and the switch has a packet socket on the other; mixed
// is one of each. Over xdp the switch has AF_XDP sockets on both, and the stations
// finish their frames themselves, since such a socket carries no others; those of the
// Linux bridge need not. A veth pair is not what AF_XDP is for, a network card is:
// these rows show that it works and what it costs there. Over stream it is a TAP that a
// process of its own holds, which is joined to the switch by a unix socket with the
// framing of QEMU's -netdev stream: two more processes that each frame passes, and no
// offloads. Over socket the stations of those who can serve sockets are no hosts: they
// write frames to such a socket, 64 with a system call, and count what comes; the Linux
// bridge has its veth pairs.
//
// # Workloads
//
// tcp1 and tcp4 are TCP in one and in four connections from the first station to the
// second, as received; in tcp-nooffload the sender cuts segments and sums itself. pps
// sends frames of 64 bytes the same way from a packet socket, around the queueing
// discipline, and counts what the interface of the other station received; pps2 does so
// both ways. On a TAP a full queue holds the sender up, on a veth the frames are lost:
// sent says how many there were. rtt sends a datagram of 64 bytes back and forth, from
// threads that block; rttload does so while 50,000 other frames a second go one way.
//
// Processor time is told in three circles, for each frame that arrived or each 1,000
// bytes of TCP: all is what the machine did meanwhile, whoever made it do so; rig what
// the stations' and the switch's processes did, and the kernel on their time; switch
// what the switch's did. What the Linux bridge does is on the time of its stations.
//
// # How far to trust it
//
// No absolute figure is worth much on a machine that others use as well. All rigs stand
// for the whole time and are measured in turns: a peer, ours, another peer; every other
// round goes backwards. A ratio is the median of those of pairs, runs that were next to
// each other in time, and its least and most say how much it is to be trusted. How a
// peer compares with the Linux bridge is computed from two such ratios, by way of ours.
// Both stations, the switch and everything else on the machine share its processors: on
// two of them a switch that takes less time leaves more to the stations. Round trips
// come in two kinds, with a processor that has to be woken and without, and the median
// may jump from one to the other. 99.9 % of a run of rttload leave ten or so round
// trips: expect it to vary.
//
// The last lines are for programs: "ratio WORKLOAD CABLE X.XX", ours to the Linux bridge
// in the metric that counts, of which more is better, and less for round trips. There
// is none for a table without the Linux bridge.
package main
