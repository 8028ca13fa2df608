// Package bridge is the Linux bridge in user space: the same path for a frame, the
// same tables, the same answers, held against recordings of the real kernel.
//
// # The life of a frame
//
//	cable A                                                                        cable B
//	FrameIO.ReadFrames -> handleFrame -> handleFrameFinish -> forward | flood -> egress vector -> FrameIO.WriteFrames
//	  (a batch)         source address   VLAN ingress          may it leave here?      (a batch a port)
//	                    link-local       locked, learn         egress VLAN, MTU
//	                    port state       look up               passFrameUp -> the bridge's own device
//
// One frame, step by step, with the kernel functions whose names traces bear:
//
//  1. A reader takes up to 64 frames from a cable ([FrameIO]) and gives them to its
//     [Input]. At the door (input.go) a frame shorter than a header is refused, a
//     port whose device is down takes none, what a frame claims to owe is checked,
//     and its outer VLAN tag is lifted by view.
//  2. br_handle_frame: the source must be the address of a station. The group
//     addresses 01:80:c2:00:00:0X are forwarded, handed to the port's own stack
//     ([PortConfig.OnPass]), or dropped; BPDUs go to the spanning tree (spanning.go,
//     rstp.go). A port that is neither FORWARDING nor
//     LEARNING lets nothing else in. The first filters are asked here, before the
//     source is learned (hooks.go); a [Filter] may stand at five points.
//  3. br_handle_frame_finish: with VLAN filtering the frame's VLAN is decided, by
//     its tag or by the port's PVID, and the port must be in it (vlan.go). A locked
//     port lets only known sources in. The source is learned (fdb_learn.go): before
//     any decision where the frame goes.
//     A request for the address of a neighbour may be answered here, out of the port
//     that it came in by (neigh.go); it goes on all the same. With snooping on, what a
//     multicast frame says of groups and routers is taken in (snoopframe.go), and a
//     malformed one is dropped.
//  4. The destination is looked up (fdb.go). Known: br_forward, to one port. An
//     address of the bridge: only up to the host. Unknown, broadcast, multicast:
//     br_flood, to every port that wants it, the newest first (flood.go). A group that
//     snooping restricts: br_multicast_flood, to its members and to routers.
//  5. should_deliver asks whether the frame may leave by a port: not back where it
//     came from, port FORWARDING, in the VLAN, not isolated (forward.go).
//  6. __br_forward gives the copy its tag, br_dev_queue_push_xmit holds it against
//     the port's MTU, and it lands in the port's egress vector. The host's copy
//     (br_pass_frame_up, local.go) is the last.
//  7. At the end of the batch each vector is written to its cable, once. What a
//     cable cannot take as it is, checksums and segmentations owed or a tag held
//     aside, is finished first, once for all cables that are alike (finish.go).
//
// Steps 2 to 6 do no I/O and start nothing: decide, then do. [Port.Explain], a
// [Trace], tests, simulations and [Bridge.Serve] all run this one path. Of a frame from
// a known station, where nobody watches and nothing is special about the bridge and the
// port, the steps that would do nothing are left out (straight.go).
//
// # Whose memory it is
//
// A [frame.Frame] is a view. Its Data belongs to the driver that read it, until that
// driver's next ReadFrames; the bridge never changes a byte of it, and hands the
// same bytes to every port of a flood, with a different Tag each where needed. A
// driver must not keep what WriteFrames showed it. The frames given to
// [Input.Receive] and [Bridge.Xmit] stay the caller's.
//
// # Concurrency
//
// Frames take no lock to be decided, but for messages of IGMP and MLD, which take that of
// the snooping machine ([github.com/ddfb540f/bridge/snoop]), and BPDUs, which take that of
// the configuration. The configuration is a value behind one
// pointer, loaded for each frame; a change builds the next value, publishes it,
// waits until no batch runs under the old one, and purges. When a configuration
// call returns it is over: after [Bridge.RemovePort] the port's cable is written to
// no more, after [VLANFilter.Delete] nothing is left in the FDB. Such a call must
// not be made from inside a batch, that is from a Filter, a Trace, an OnPass or a FrameIO
// ([ErrInBatch]); the handler of [Bridge.Watch] is outside and may call anything.
//
// Goroutines exist only inside Serve, one a cable's queue and one for timers, and
// end with it; closing a cable borrows one for as long as the driver's Close takes.
//
// # No frame vanishes
//
// Every frame that comes in is used, passed, consumed or dropped for a
// [DropReason]; every copy that is to leave is sent or refused for one
// ([IngressLedger], [EgressLedger]). Memory is bounded: addresses by
// [Config.FDBLimit], queues by their cables, events by a fixed queue.
//
// # What is modelled, and what is not
//
// Modelled: the receive path with VLAN filtering (802.1Q and 802.1ad), the kernel's spanning
// tree and, as a daemon has it beside the kernel, RSTP ([github.com/ddfb540f/bridge/stp]), spanning tree instances whose states somebody
// sets (MST), all port flags of the datapath, proxy ARP
// and neighbour suppression, multicast snooping with querier and MDB, the FDB with its requests, flushes, ageing and local
// entries, link states, MTUs, address selection, the bridge's own device, backup ports,
// VLAN tunnels, the five netfilter points, and the errors Linux answers.
// [Config.Kernel] chooses a release where they differ.
//
// Never: what the kernel does before and behind the bridge, such as tc, XDP, and
// VLAN devices on a port. docs/differences.md has the list, docs/conformance.md the
// figures.
package bridge
