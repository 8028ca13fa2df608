// Package stp is the spanning tree protocols as machines of their own: BPDUs, changes
// of links and time go in; port states, flushes and BPDUs come out. It has no
// goroutine, no clock and no socket, and imports nothing of the bridge around it.
//
// # RSTP
//
// [Rapid] is the Rapid Spanning Tree Protocol of IEEE 802.1D-2004, clause 17. The bridge
// with the best identifier is the root. Each other bridge has one root port, its best
// way there; each LAN has one designated port, which serves it; what is left are
// alternate and backup ports, which discard. Two ideas make it rapid:
//
//   - A bridge keeps what it hears on alternate ports. If the root port fails, the best
//     of them is the root port and forwards at once, as the old one does no more.
//   - A designated port that discards proposes to forward. The bridge behind it makes
//     sure that nothing behind itself could close a loop, by having its designated ports
//     discard in turn, and agrees; then the port forwards at once. So a cut runs through
//     the network with the proposals, to where the tree ends.
//
// Where nobody agrees, as on a hub or from a bridge that knows STP alone, timers decide
// as they do in STP; a port that nobody answers on is an edge after 3 s.
//
// The machines of the standard are a function each, which makes at most one transition
// and reports whether it did, under the names of the standard's states and variables:
//
//	rapidreceive.go   Port Receive, Port Protocol Migration, Bridge Detection (17.23 to 17.25)
//	rapidinfo.go      Port Information (17.27)
//	rapidselect.go    Port Role Selection (17.28)
//	rapidroles.go     Port Role Transitions, Port State Transition (17.29, 17.30)
//	rapidtopology.go  Topology Change (17.31)
//	rapidtransmit.go  Port Transmit (17.26)
//	rapidport.go      variables, timers and conditions (17.17 to 17.20, 17.22)
//	rapid.go          what is told to them, and the loop that runs them (17.16)
//
// It differs from the clause where that is known to be wrong or was made more precise in
// 802.1Q: a disputed port (rapidinfo.go, recordDispute), what counts as repeated
// (rcvInfo), and a TCN, which the clause counts as other information and forgets. It
// adds, off unless asked for, BPDU guard and filter, restricted role (root guard) and
// TCN, and loop guard ([RapidPort]).
//
// # Not here: MSTP
//
// MSTP (802.1Q, clause 13) is no second set of the same machines for each instance. Its
// BPDU tells of all instances at once, and whether they count depends on a digest of the
// mapping of VLANs that must be the same in a region; vectors have two costs and a
// regional root; age is counted in hops inside a region and in seconds outside; at a
// region's boundary all instances follow the common tree, by the Master role and
// conditions that tie the trees of a port together; timers and transmission are a
// port's, the rest a tree's. Half of what is here would be split in two, for the sake of
// machines whose every transition asks which tree it is in. Whoever runs MSTP outside
// sets the states of a port in each instance in the bridge, as mstpd does with Linux.
package stp
