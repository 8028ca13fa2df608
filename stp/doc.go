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
package stp
