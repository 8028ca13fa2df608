package bridge

import "strconv"

// A DropReason says why a frame ended. Ingress reasons end a frame that came in;
// egress reasons end one copy on its way out of one device, and leave the other
// copies alone. Every drop is counted under its reason.
type DropReason uint8

// The reasons, in the order in which a frame meets them.
const (
	NotDropped DropReason = iota

	// At the door, before Linux's bridge would see the frame.
	DropRunt        // shorter than an Ethernet header (EINVAL from the device)
	DropLinkDown    // the port's device is down (EIO from the device)
	DropBadOffload  // what the frame says it owes is not possible
	DropTaggedRunt  // ends right behind its VLAN tag (skb_vlan_untag)
	DropNotServed   // the port has left, or the bridge is closed
	DropHostDown    // the bridge's own device is down (ENETDOWN), or has no carrier
	DropHostTooLong // longer than the bridge device's MTU allows (EMSGSIZE)

	// br_handle_frame and br_handle_frame_finish.
	DropInvalidSource // source address zero or a group address
	DropMACControl    // 01:80:c2:00:00:01, never forwarded
	DropPortState     // the port's state does not let frames in
	DropFilter        // a filter said so; the reason for a copy too, of which the others go on
	DropVLANIngress   // tag or PVID not allowed here (br_allowed_ingress)
	DropLocked        // locked port, source not authorised
	DropMulticast     // malformed group message or multicast packet, or a limit of groups reached (br_multicast_rcv)
	DropLearning      // learned from, but the state is LEARNING
	DropSamePort      // known on the port it came from, no hairpin
	DropEgressState   // known on a port that is not FORWARDING
	DropVLANEgress    // known on a port that is not in the VLAN (br_allowed_egress)
	DropIsolated      // from one isolated port to another
	DropNoPort        // the address belongs to the bridge itself: no port to leave by
	DropNoTXTarget    // to all, or to those in a group, and no port took it

	// Egress, per device.
	DropTooLong   // longer than the port's MTU allows (is_skb_forwardable)
	DropPortDown  // the port's device is down (is_skb_forwardable), or has no carrier
	DropNoOffload // owes what the port's cable cannot take
	DropQueueFull // the cable's queue is full (tun_net_xmit)
	DropDriver    // the cable refused the frame
	DropPortGone  // the cable has ended
	DropNoHost    // local delivery, and nothing is attached as the host

	numDropReasons
)

// NumDropReasons is the length of an array indexed by DropReason.
const NumDropReasons = int(numDropReasons)

var dropText = [numDropReasons]struct{ kernel, words string }{
	NotDropped:        {"NOT_DROPPED", "not dropped"},
	DropRunt:          {"NOT_SPECIFIED", "shorter than an Ethernet header"},
	DropLinkDown:      {"DEV_READY", "the port's device is down"},
	DropBadOffload:    {"NOT_SPECIFIED", "owes an impossible checksum or segmentation"},
	DropTaggedRunt:    {"NOT_SPECIFIED", "ends right behind its VLAN tag"},
	DropNotServed:     {"NOT_SPECIFIED", "the port has left, or the bridge is closed"},
	DropHostDown:      {"NOT_SPECIFIED", "the bridge device is down or has no carrier"},
	DropHostTooLong:   {"NOT_SPECIFIED", "longer than the bridge device's MTU allows"},
	DropInvalidSource: {"MAC_INVALID_SOURCE", "source address is zero or a group address"},
	DropMACControl:    {"MAC_IEEE_MAC_CONTROL", "MAC control frames are never forwarded"},
	DropPortState:     {"BRIDGE_INGRESS_STP_STATE", "the port's state lets no frame in"},
	DropFilter:        {"NETFILTER_DROP", "a filter dropped it"},
	DropVLANIngress:   {"NOT_SPECIFIED", "the ingress port is not in the frame's VLAN"},
	DropLocked:        {"NOT_SPECIFIED", "the port is locked and the source not authorised"},
	DropMulticast:     {"NOT_SPECIFIED", "snooping refused it: malformed, or a limit of groups is reached"},
	DropLearning:      {"BRIDGE_INGRESS_STP_STATE", "the state is learning: learned from, not forwarded"},
	DropSamePort:      {"NOT_SPECIFIED", "it came in by this port"},
	DropEgressState:   {"NOT_SPECIFIED", "the port is not forwarding"},
	DropVLANEgress:    {"NOT_SPECIFIED", "the device is not in the frame's VLAN"},
	DropIsolated:      {"NOT_SPECIFIED", "both ports are isolated"},
	DropNoPort:        {"NOT_SPECIFIED", "the address is the bridge's own: there is no port to leave by"},
	DropNoTXTarget:    {"NO_TX_TARGET", "no port took it"},
	DropTooLong:       {"NOT_SPECIFIED", "longer than the port's MTU allows"},
	DropPortDown:      {"NOT_SPECIFIED", "the egress device is down or has no carrier"},
	DropNoOffload:     {"NOT_SPECIFIED", "owes what the cable cannot take, and what cannot be done for it"},
	DropQueueFull:     {"FULL_RING", "the cable's queue is full"},
	DropDriver:        {"NOT_SPECIFIED", "the cable refused the frame"},
	DropPortGone:      {"DEV_READY", "the cable has ended"},
	DropNoHost:        {"NOT_SPECIFIED", "nothing is attached as the host"},
}

// Kernel is the name that Linux gives the reason (SKB_DROP_REASON_ left out);
// NOT_SPECIFIED where Linux only frees the frame.
func (r DropReason) Kernel() string {
	if r < numDropReasons {
		return dropText[r].kernel
	}
	return "NOT_SPECIFIED"
}

// String gives the reason in words.
func (r DropReason) String() string {
	if r < numDropReasons {
		return dropText[r].words
	}
	return "drop reason " + strconv.Itoa(int(r))
}
