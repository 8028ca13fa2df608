// Package stp is the spanning tree protocols as machines of their own: BPDUs, changes
// of links and time go in; port states, flushes and BPDUs come out. It has no
// goroutine, no clock and no socket, and imports nothing of the bridge around it.
//
// # The kernel's spanning tree
//
// [Bridge] is 802.1D as the Linux bridge has it. In the order in which a BPDU meets it:
//
//  1. bridge_bpdu.go: [Bridge.ReceivePDU] passes over what is not for it, and BPDU guard
//     disables a port that hears anything. A Config BPDU that says better than what the
//     port has heard, or is said again by the same bridge, is recorded; an inferior one is
//     answered. A TCN is acknowledged, and passed on towards the root.
//  2. bridge_tree.go: from what all ports have heard follows which one leads to the root,
//     which ones serve their segments, and that the others are Blocking. A port that is
//     to forward is Listening first, then Learning, for a forward delay each.
//  3. bridge_bpdu.go: what the root says is passed on by the ports that serve, at most once
//     a second each; the root itself speaks every hello time.
//  4. timer.go: what was heard is forgotten after the max age; then all this begins anew.
//
// With the mode [Off] the same machine has what Linux does with port states where there is
// no tree: a port whose link comes up is Forwarding. With [User] somebody else decides.
//
// # Where Linux differs from the standard
//
//   - A BPDU of version 2 or more is ignored, so a neighbour that speaks RSTP has to fall
//     back by itself.
//   - A BPDU that is passed on is older by 1/256 s, not by 1 s.
//   - Ports that forward when the tree is turned on go on to.
//   - A bridge that comes up says nothing before its first hello time has passed.
//   - Hello and hold timers expire at full seconds. Any timer expires a tick, 4 ms, later
//     than it was set for.
//   - A port identifier has 6 bits of priority and 10 of number, and a bridge identifier
//     16 bits of priority without an extension.
//   - The relation of the three times that 802.1D asks for is not looked at.
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
// (rcvInfo), when all ports are synced (rapidport.go, allSynced), and a TCN, which the
// clause counts as other information and forgets. It
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
