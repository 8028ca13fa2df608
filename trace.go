package bridge

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/ddfb540f/bridge/frame"
)

// A Probe is a point on a frame's path, named as the kernel function where a
// tracer would stand to see the same.
type Probe uint8

// The probes, in the order in which a frame meets them.
const (
	ProbeNone           Probe = iota
	ProbeHandleFrame          // a frame came in by a port
	ProbeDevXmit              // a frame came from the host
	ProbeHook                 // a filter was asked: Hook, Filter, Why
	ProbeIngress              // its VLAN was decided
	ProbeLocked               // the port is locked: is the source authorised?
	ProbeFDBDelete            // an entry was evicted, for that of the source: Src, Dev and VID are the entry's, Dst is zero
	ProbeFDBUpdate            // its source was learned, or not
	ProbeMulticastRcv         // it is a message of a group, or a router's, or malformed: snooping was told
	ProbeSTPRcv               // it is a BPDU: the spanning tree was told
	ProbeSendBPDU             // the spanning tree sends one because of it, or on its own: Src and Dst are the BPDU's
	ProbeSendQuery            // snooping sends a query because of it, or on its own: Src and Dst are the query's
	ProbeSuppressARP          // it is an ARP packet, and the bridge may answer it
	ProbeSuppressND           // it is a neighbour solicitation or advertisement, likewise
	ProbeARPSend              // the bridge answers it: Src and Dst are the answer's
	ProbeNDSend               // likewise
	ProbeForward              // its destination is known: one port
	ProbeFlood                // it goes to all that want it
	ProbeMulticastFlood       // it goes to the ports that want its group
	ProbeDeliver              // a port was passed over
	ProbeEgress               // a copy leaves by a port, with this tag
	ProbePushXmit             // its length was held against the port's MTU
	ProbeXmit                 // the cable took it
	ProbePassUp               // a copy goes to the host
	ProbeNetifReceive         // the host's cable took it, or the port's own stack did
	ProbeFree                 // the frame, or a copy of it, ended here
	numProbes
)

var probeNames = [numProbes]string{
	ProbeNone:           "none",
	ProbeHandleFrame:    "br_handle_frame",
	ProbeDevXmit:        "br_dev_xmit",
	ProbeHook:           "nf_hook",
	ProbeIngress:        "br_allowed_ingress",
	ProbeLocked:         "br_handle_frame_finish",
	ProbeFDBDelete:      "fdb_delete",
	ProbeFDBUpdate:      "br_fdb_update",
	ProbeMulticastRcv:   "br_multicast_rcv",
	ProbeSTPRcv:         "br_stp_rcv",
	ProbeSendBPDU:       "br_send_bpdu",
	ProbeSendQuery:      "br_multicast_send_query",
	ProbeSuppressARP:    "br_do_proxy_suppress_arp",
	ProbeSuppressND:     "br_do_suppress_nd",
	ProbeARPSend:        "br_arp_send",
	ProbeNDSend:         "br_nd_send",
	ProbeForward:        "br_forward",
	ProbeFlood:          "br_flood",
	ProbeMulticastFlood: "br_multicast_flood",
	ProbeDeliver:        "maybe_deliver",
	ProbeEgress:         "__br_forward",
	ProbePushXmit:       "br_dev_queue_push_xmit",
	ProbeXmit:           "dev_queue_xmit",
	ProbePassUp:         "br_pass_frame_up",
	ProbeNetifReceive:   "netif_receive_skb",
	ProbeFree:           "kfree_skb",
}

// String is the kernel function's name.
func (p Probe) String() string {
	if p < numProbes {
		return probeNames[p]
	}
	return "none"
}

// A Decision says what was decided at a probe, and why.
type Decision uint8

// The decisions.
const (
	NoDecision Decision = iota
	Arrived

	LinkLocalForward // reserved group address, forwarded like any multicast
	LinkLocalPass    // reserved group address, handed to the port's own stack
	LinkLocalLearned // as LinkLocalPass, and the source was learned

	FromTunnel // it came by the tunnel of a VLAN, and is tagged with that

	VLANOff       // no VLAN filtering: a tag is payload
	VLANTagged    // the VLAN is the tag's
	VLANPVID      // untagged or priority-tagged: the VLAN is the PVID
	VLANForeign   // a tag of the other protocol is payload: the VLAN is the PVID
	VLANNotMember // not allowed here

	LockedAuthorised // the source has an entry on this port
	LockedEAPOL      // EtherType 0x888e passes a locked port
	LockedUnknown    // the source has no entry
	LockedElsewhere  // the source belongs to another port, or to the bridge
	LockedNoted      // MAB noted the source as a locked entry

	Learned
	Refreshed
	Moved
	NotLearnedOff        // learning is off on the port
	NotLearnedLocal      // received packet with own address as source address
	NotLearnedAgeingZero // ageing time 0: nothing is learned
	NotLearnedLimit      // fdb_max_learned is reached
	NotLearnedState      // the port may no longer learn
	NotMovedSticky       // the entry is on another port and sticky
	Evicted              // an entry made room at a FDBLimit

	McastReport     // a station joins groups, or says of which sources it wants them
	McastLeave      // a station leaves a group
	McastQuery      // a querier asks who is in a group, or in any
	McastRouterSeen // a multicast router tells of itself
	McastMalformed  // the bytes are not what they claim
	McastLimit      // the port may be in no more groups (mcast_max_groups)
	McastTableFull  // there may be no more groups (mcast_hash_max): snooping has ended

	NeighNotAsked        // no request that the bridge answers
	NeighFromSuppressing // the ingress port suppresses: nothing is done
	NeighUnicast         // a unicast request, left to the station that it is for
	NeighAnnounced       // no request, but an announcement or a probe
	NeighNoVLANDevice    // the host has no device in this VLAN
	NeighLocal           // the target is the host, which answers itself
	NeighUnknown         // the host does not know the target
	NeighNotInFDB        // the host knows the target, the FDB does not
	NeighKnown           // the target is known, no flag has the bridge answer
	NeighMalformed       // the target is known, the request's options are malformed
	NeighAnswered        // the bridge answers

	KnownUnicast   // the destination is in the FDB
	KnownLocal     // the destination is an address of the bridge
	UnknownUnicast // the destination is not in the FDB
	Broadcast
	Multicast    // flooded: no group restricts it
	McastGroup   // to the members of its group, and to routers
	McastRouters // nobody is in its group: to routers alone

	SkipNoFlood       // unknown unicast, flood off
	SkipNoMcastFlood  // multicast, mcast_flood off
	SkipNoBcastFlood  // broadcast, bcast_flood off
	SkipProxyARP      // proxy_arp: nothing flooded leaves here
	SkipNeighSuppress // the request was answered, or needs no answer from there
	SkipSender        // the copy for a station that sent it
	SkipUndeliverable
	ToBackup // the port has no carrier, its backup takes over
	ToTunnel // the tunnel id of the VLAN stands in for the tag

	FilterAccepted
	FilterDropped
	FilterStole  // the filter took it
	FilterPassed // for the port's own stack (broute)
	FilterCopied // a copy leaves by this device also

	Sent    // handed to the cable
	SentOwn // handed to the port's own stack
	Dropped
	numDecisions
)

var decisionWords = [numDecisions]string{
	NoDecision:           "",
	Arrived:              "",
	LinkLocalForward:     "reserved group address, to be forwarded",
	LinkLocalPass:        "reserved group address, for the port's own stack",
	FromTunnel:           "VLAN of the tunnel",
	LinkLocalLearned:     "reserved group address, for the port's own stack; source learned",
	VLANOff:              "VLAN filtering is off",
	VLANTagged:           "VLAN of the tag",
	VLANPVID:             "VLAN is the PVID",
	VLANForeign:          "foreign tag is payload, VLAN is the PVID",
	VLANNotMember:        "not allowed in this VLAN",
	LockedAuthorised:     "locked port, source authorised",
	LockedEAPOL:          "locked port, EAPOL passes",
	LockedUnknown:        "locked port, source unknown",
	LockedElsewhere:      "locked port, source belongs elsewhere",
	LockedNoted:          "locked port, source noted as locked",
	Learned:              "source learned",
	Refreshed:            "source refreshed",
	Moved:                "source moved here",
	NotLearnedOff:        "learning is off",
	NotLearnedLocal:      "received packet with own address as source address",
	NotLearnedAgeingZero: "ageing time is 0, nothing is learned",
	NotLearnedLimit:      "not learned, fdb_max_learned is reached",
	NotLearnedState:      "not learned, the port may no longer learn",
	NotMovedSticky:       "source is sticky on another port",
	Evicted:              "evicted, FDBLimit is reached",
	McastReport:          "report of a group",
	McastLeave:           "leaves a group",
	McastQuery:           "query for groups",
	McastRouterSeen:      "multicast router",
	McastMalformed:       "malformed",
	McastLimit:           "mcast_max_groups is reached",
	McastTableFull:       "mcast_hash_max is reached, snooping has ended",
	NeighNotAsked:        "no request to answer",
	NeighFromSuppressing: "from a suppressing port, let alone",
	NeighUnicast:         "unicast request, left to its station",
	NeighAnnounced:       "announcement or probe, not for suppressing ports",
	NeighNoVLANDevice:    "the host has no device in the VLAN",
	NeighLocal:           "asks for the host, which answers itself",
	NeighUnknown:         "the host knows no such neighbour",
	NeighNotInFDB:        "the neighbour's address is not in the FDB",
	NeighKnown:           "neighbour known, not answered for",
	NeighMalformed:       "neighbour known, the request is malformed",
	NeighAnswered:        "neighbour known, answered",
	KnownUnicast:         "known unicast",
	KnownLocal:           "address of the bridge",
	UnknownUnicast:       "unknown unicast",
	Broadcast:            "broadcast",
	Multicast:            "multicast",
	McastGroup:           "to members and routers",
	McastRouters:         "to routers only",
	SkipNoFlood:          "passed over: flood off",
	SkipNoMcastFlood:     "passed over: mcast_flood off",
	SkipNoBcastFlood:     "passed over: bcast_flood off",
	SkipProxyARP:         "passed over: proxy_arp",
	SkipNeighSuppress:    "passed over: neigh_suppress or proxy_arp_wifi",
	SkipSender:           "passed over: it is from that station",
	SkipUndeliverable:    "passed over",
	ToBackup:             "no carrier, the backup port takes over",
	ToTunnel:             "tunnel of the VLAN",
	FilterAccepted:       "accepted",
	FilterDropped:        "dropped",
	FilterStole:          "taken",
	FilterPassed:         "for the port's own stack",
	FilterCopied:         "copied to this device",
	Sent:                 "",
	SentOwn:              "handed to the port's own stack",
	Dropped:              "dropped",
}

// String gives the decision in words.
func (d Decision) String() string {
	if d < numDecisions {
		return decisionWords[d]
	}
	return ""
}

// A Step is what one probe saw: a value, valid for as long as it is kept.
type Step struct {
	Probe    Probe
	Dev      string // the device: where the frame came in, or the one it is to leave by
	Src, Dst frame.MAC
	VID      frame.VID // the VLAN decided; 0 before that and without filtering
	Tag      frame.Tag // the tag as it stands
	Tunnel   uint64    // as in frame.Frame, where it is looked at or given
	Nexthop  uint32    // likewise
	Decision Decision
	Reason   DropReason // why a copy or the frame ended, or a port was passed over
	Driver   string     // at ProbeXmit the cable's own name for it, "tun_net_xmit"
	Hook     Hook       // at ProbeHook
	Filter   string     // at ProbeHook the filter's name
	Why      string     // at ProbeHook the filter's own words
}

// String gives the step as one line, as a kernel tracer would print it:
//
//	br_handle_frame dev: eth0 00:25:9c:19:b8:e9 -> 52:54:00:12:34:57
//	br_forward to dev: tap1 00:25:9c:19:b8:e9 -> 52:54:00:12:34:57 known unicast
func (s Step) String() string {
	var b strings.Builder
	name := s.Probe.String()
	if s.Driver != "" {
		name = s.Driver
	}
	b.WriteString(name)
	switch s.Probe {
	case ProbeForward, ProbeDeliver, ProbeEgress:
		b.WriteString(" to")
	}
	fmt.Fprintf(&b, " dev: %s %s", s.Dev, s.Src)
	if s.Probe != ProbeFDBDelete {
		fmt.Fprintf(&b, " -> %s", s.Dst)
	}
	if s.VID != 0 {
		fmt.Fprintf(&b, " vlan %d", s.VID)
	}
	if s.Tag.Present() {
		fmt.Fprintf(&b, " [%s]", s.Tag)
	}
	if s.Tunnel != 0 {
		fmt.Fprintf(&b, " tunnel %d", s.Tunnel-1)
	}
	if s.Nexthop != 0 {
		fmt.Fprintf(&b, " nexthop %d", s.Nexthop)
	}
	if s.Probe == ProbeHook {
		fmt.Fprintf(&b, " %s %s", s.Hook, s.Filter)
	}
	if w := s.Decision.String(); w != "" {
		b.WriteString(" " + w)
	}
	if s.Reason != NotDropped {
		fmt.Fprintf(&b, ": %s", s.Reason)
		if k := s.Reason.Kernel(); k != "NOT_SPECIFIED" {
			fmt.Fprintf(&b, " (%s)", k)
		}
	}
	if s.Why != "" {
		b.WriteString(": " + s.Why)
	}
	return b.String()
}

// A Trace is called at every probe, on the goroutine that carries the frame: it
// must be quick, and must not call the Bridge (a configuration call answers
// ErrInBatch). With several Inputs it is called by several goroutines. If it
// panics, the port whose frame it was ends.
type Trace func(Step)

// TextTrace gives a Trace that prints one line a step to w. Lines of several
// goroutines do not mix. A write error ends the printing, silently.
func TextTrace(w io.Writer) Trace {
	var mu sync.Mutex // guards w and failed
	var failed bool
	return func(s Step) {
		mu.Lock()
		defer mu.Unlock()
		if failed {
			return
		}
		_, err := io.WriteString(w, s.String()+"\n")
		failed = err != nil
	}
}
