package bridge

import (
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// BridgeAttrs is one request to change settings of the bridge, as `ip link set
// br0 type bridge ...` makes it; the names are those of ip-link(8). A nil field
// is left as it is, any other value is taken verbatim: zero means zero. A request
// is carried out whole or refused whole.
type BridgeAttrs struct {
	AgeingTime   *time.Duration // life of an idle entry; 0 or less: nothing is learned
	ForwardDelay *time.Duration // 2 s to 30 s while STP is on, else any
	HelloTime    *time.Duration // between the BPDUs of the root; 1 s to 10 s
	MaxAge       *time.Duration // until what a bridge said is forgotten; 6 s to 40 s
	Priority     *uint16        // upper half of the bridge id: the lowest id of a network is its root

	// STPState: 0 off, any other value on. While it is on frames to 01:80:c2:00:00:00 are
	// not forwarded. The bridge itself runs the tree (802.1D, see package stp), and port
	// states cannot be written; or with STPModeUser somebody else does. Ports that forward
	// when it is turned on go on forwarding, as in Linux; those whose link comes up later
	// are LISTENING and LEARNING for a ForwardDelay each.
	STPState *int

	// STPMode: who runs the tree while STPState is on (stp_mode). EBUSY while it is, but
	// for the value that it has; EINVAL for another value than those named.
	STPMode *STPMode

	// TxHoldCount is how many BPDUs a port may send at once with STPModeRapid, 1 to 10;
	// each second it may send one more.
	TxHoldCount *int

	VLANFiltering    *bool
	VLANProtocol     *frame.EtherType // frame.TypeDot1Q or frame.TypeDot1AD
	VLANDefaultPVID  *frame.VID       // 0 to 4094; 0: none
	VLANStats        *bool            // vlan_stats_enabled
	VLANStatsPerPort *bool            // only while no port has a VLAN

	GroupFwdMask     *uint16    // bit X: forward 01:80:c2:00:00:0X; bits 0 to 2 are refused
	GroupAddress     *frame.MAC // 01:80:c2:00:00:0X, X not 1, 2 or 3: where BPDUs are sent to and accepted at
	NoLinkLocalLearn *bool
	FDBMaxLearned    *uint32 // 0: no limit
	FDBFlush         bool    // remove the entries that are not static
	FDBLocalVLAN0    *bool   // fdb_local_vlan_0: local entries stand at VLAN 0 only [Linux 6.18]

	// MSTEnabled: port states are not looked at, only those of VLANs, which follow
	// spanning tree instances (Port.SetMST, VLANGlobalAttrs.MSTI). Only while no port
	// has a VLAN, also for the value that it has.
	MSTEnabled *bool

	// McastSnooping: groups go where stations and routers want them, as their IGMP and
	// MLD messages tell, once there is a querier. Without one everything is flooded, as in
	// Linux. Off, what was learned is forgotten. See package snoop.
	McastSnooping *bool

	// McastVLANSnooping: each VLAN has queriers, router ports and settings of its own
	// (VLANGlobalAttrs), and those of the bridge do not count. EINVAL while VLAN filtering
	// is off, with which it is turned off.
	McastVLANSnooping *bool

	McastRouter         *int  // the host is a multicast router: 0 never, 1 while it sends queries, 2 always
	McastQuerier        *bool // the bridge asks for groups, as long as nobody else does; it restricts them McastQueryResponseInterval later
	McastQueryUseIfaddr *bool // IGMP queries come from the address of SetQuerySource, not from 0.0.0.0
	McastStats          *bool // mcast_stats_enabled, see Bridge.McastStats
	McastIGMPVersion    *int  // 2, or 3: sources count
	McastMLDVersion     *int  // 1, or 2: sources count

	// McastHashMax is how many groups there may be. One more ends snooping, as in Linux,
	// with an EventSnoopingEnded.
	McastHashMax               *uint32
	McastLastMemberCount       *uint32        // queries for a group that somebody left
	McastStartupQueryCount     *uint32        // queries at the start
	McastLastMemberInterval    *time.Duration // between queries for a group that somebody left
	McastMembershipInterval    *time.Duration // life of a membership
	McastQuerierInterval       *time.Duration // until another querier, or a router, is forgotten
	McastQueryInterval         *time.Duration // between queries; held to 1 s to 24 h
	McastQueryResponseInterval *time.Duration // that stations have to answer
	McastStartupQueryInterval  *time.Duration // between queries at the start; held to 1 s to 24 h
	McastHashElasticity        *uint32        // taken and ignored, as in Linux: reads 16

	// Bridge netfilter is not modelled: kept and dumped.
	NFCallIPTables  *bool
	NFCallIP6Tables *bool
	NFCallARPTables *bool
}

// BridgeInfo is all settings and the state of a bridge, a value that stays as it
// was when it was taken.
type BridgeInfo struct {
	Name        string
	Address     frame.MAC
	AddressAuto bool // nobody set an address: it is the lowest of the ports
	MTU         int
	MTUAuto     bool // nobody set an MTU: it is the smallest of the ports
	Up          bool
	Carrier     bool // a port is forwarding, or there never was a port
	Promisc     bool
	AllMulti    bool
	NoARP       bool

	AgeingTime   time.Duration // while STP is on and TopologyChange too: twice ForwardDelay
	ForwardDelay time.Duration // in use, as the next two: the root's, which may be another bridge
	HelloTime    time.Duration
	MaxAge       time.Duration
	Priority     uint16
	STPState     int // 0 off, 1 the kernel's tree runs, 2 somebody else's, or RSTP
	STPMode      STPMode
	TxHoldCount  int

	TopologyChange bool // entries live for ForwardDelay only, see SetTopologyChange

	VLANFiltering    bool
	VLANProtocol     frame.EtherType
	VLANDefaultPVID  frame.VID
	VLANStats        bool
	VLANStatsPerPort bool

	GroupFwdMask     uint16
	GroupAddress     frame.MAC
	NoLinkLocalLearn bool
	WireMode         bool // the library's own, see Bridge.SetWireMode
	FDBMaxLearned    uint32
	FDBLearned       int // fdb_n_learned
	FDBLocalVLAN0    bool
	MSTEnabled       bool

	McastSnooping              bool // what was set, unless McastHashMax was reached since
	McastVLANSnooping          bool
	McastRouter                int
	McastQuerier               bool
	McastQueryUseIfaddr        bool
	McastStats                 bool
	McastIGMPVersion           int
	McastMLDVersion            int
	McastHashMax               uint32
	McastLastMemberCount       uint32
	McastStartupQueryCount     uint32
	McastLastMemberInterval    time.Duration
	McastMembershipInterval    time.Duration
	McastQuerierInterval       time.Duration
	McastQueryInterval         time.Duration
	McastQueryResponseInterval time.Duration
	McastStartupQueryInterval  time.Duration
	McastHashElasticity        uint32 // always 16

	NFCallIPTables  bool
	NFCallIP6Tables bool
	NFCallARPTables bool

	BridgeID BridgeID
	RootID   BridgeID // of the network's root, as far as the bridge knows

	RootPort               int    // number of the port that leads to the root; 0: the bridge is the root
	RootPathCost           uint32 // of the way there
	TopologyChangeDetected bool   // here, and the root has not yet said that it knows

	// What is left of timers, 0 for one that does not run.
	HelloTimer          time.Duration
	TCNTimer            time.Duration
	TopologyChangeTimer time.Duration
	GCTimer             time.Duration // until the FDB's collector comes
}

// BridgeID is a priority and an address (IEEE 802.1D-2004 9.2.5), without the
// system id extension, as in Linux.
type BridgeID = stp.BridgeID

// An STPMode says who runs the spanning tree.
type STPMode uint8

// The modes, with the numbers of stp_mode, which Linux has from 7.1 on: before, a program
// that the kernel starts (/sbin/bridge-stp) decides. There is none here.
const (
	STPModeAuto   STPMode = iota // as STPModeKernel
	STPModeUser                  // somebody outside, by PortAttrs.State: a port whose link comes up is BLOCKING
	STPModeKernel                // the bridge itself
	STPModeRapid                 // ours: RSTP, as a daemon beside the kernel has it; STPState reads 2. See docs/rstp.md
)

// A PortState is a port's spanning-tree state (BR_STATE_*).
type PortState = stp.State

// The states, with the kernel's numbers. Without STP a port whose link is up is
// FORWARDING and one whose link is down is DISABLED.
const (
	StateDisabled   = stp.Disabled   // lets nothing through
	StateListening  = stp.Listening  // lets nothing through
	StateLearning   = stp.Learning   // learns, forwards nothing
	StateForwarding = stp.Forwarding // learns and forwards
	StateBlocking   = stp.Blocking   // lets nothing through
)

// PortAttrs is one request to change settings of a port, as `bridge link set dev
// p1 ...` makes it; the names are those of bridge(8). A nil field is left as it
// is, any other value is taken verbatim. A request is carried out whole or
// refused whole.
type PortAttrs struct {
	State    *PortState // EBUSY while the bridge itself runs a tree, ENETDOWN while the link is down
	Priority *int       // upper part of the port id, 0 to 63; lower is better
	Cost     *int       // of the way to the root by this port, 1 to 65535; from then on it does not follow Port.SetSpeed

	Learning     *bool
	Flood        *bool // unknown unicast leaves this port
	McastFlood   *bool // unregistered multicast leaves this port
	BcastFlood   *bool // broadcast leaves this port
	Hairpin      *bool // frames may leave by the port they came in by
	Isolated     *bool // no frame from one isolated port to another
	Locked       *bool // only frames from addresses in the FDB for this port come in
	MAB          *bool // a locked port notes unknown sources as locked entries [Linux 6.2]
	ProxyARP     *bool // nothing flooded leaves this port, and ARP requests from it are answered (Config.Host)
	GroupFwdMask *uint16
	ProxyARPWifi *bool // ARP requests for stations behind this port are answered, and then kept from it

	// Requests for stations behind this port, ARP and IPv6, are answered from the
	// neighbours of Config.Host, and those that were or need no answer are kept from it.
	// With NeighVLANSuppress it is the VLAN that says so (VLANFilter.SetNeighSuppress),
	// where there is one.
	NeighSuppress     *bool
	NeighVLANSuppress *bool // [Linux 6.4]

	BackupPort *string // name of a port that takes over when this one has no carrier; "" none

	// VLANTunnel has the port's VLANs mapped to tunnel ids (VLANFilter.AddTunnel).
	// Turned off it drops the mappings. What leaves to the backup port, if that is such
	// a tunnel, leaves with BackupNexthopID, unless it is 0 [Linux 6.6].
	VLANTunnel      *bool
	BackupNexthopID *uint32

	FDBFlush bool // remove the port's entries that are neither static nor extern_learn

	// While STPState is 1, and with STPModeRapid. Guard: a BPDU disables the port, with an
	// EventBPDUGuard, until its link goes down and up. RootBlock: the port does not become
	// the root port; it is LISTENING while it would, or with RSTP discards
	// (EventRootBlocked).
	Guard     *bool
	RootBlock *bool

	// RSTP (STPModeRapid); kept and dumped without it.
	//
	// AdminEdge: no bridge is behind this port, which forwards as soon as its link is up,
	// until a BPDU says otherwise. AutoEdge, on by default: the port finds that out for
	// itself, by hearing nothing for 3 s.
	//
	// PointToPoint: at most one other bridge is behind this port, without which it is slow
	// to forward. A cable is taken for that, unless it says PointToPointNo.
	//
	// PathCost is the way to the root by this port, 1 to 200,000,000; 0: by
	// the link's speed, and 200,000 if that is not known. It is on the scale of
	// 802.1D-2004, where a gigabit is 20,000 (stp.RapidCost), and not on that of Cost,
	// which RSTP does not look at: the bridges around use this one.
	AdminEdge     *bool
	AutoEdge      *bool
	PointToPoint  *stp.PointToPoint
	PathCost      *uint32
	RestrictedTCN *bool // topology changes that come in by this port go no further
	BPDUFilter    *bool // no BPDU leaves by this port, none is listened to: a bridge behind it makes a loop
	LoopGuard     *bool // a port that hears no more BPDUs discards, instead of serving what is behind it

	// Multicast snooping; see BridgeAttrs.McastSnooping.
	//
	// FastLeave: who leaves a group is no member any more at once, without a query for
	// others behind the same port. With IGMPv3 and MLDv2 the stations are told apart.
	//
	// McastRouter: multicast routers are behind this port 0 never; 1 while queries, PIM
	// hellos or router advertisements come in by it; 2 always; 3 from now on for
	// McastQuerierInterval, then 1.
	//
	// McastToUnicast: each station behind the port is a member of its own, and a frame to
	// its group is sent once to each, with its address as the destination: copied, and so
	// at a cost. There are 16,384 stations of the port in a group at most, and 65,536
	// memberships of the port before a group has one station only; a report of one more is
	// dropped, as at McastMaxGroups.
	FastLeave          *bool
	McastRouter        *int
	McastToUnicast     *bool
	McastMaxGroups     *uint32 // groups that the port may be in; 0: no limit [Linux 6.3]
	McastEHTHostsLimit *uint32 // stations that FastLeave tells apart, over all groups; not 0
}

// PortInfo is all settings and the state of a port, a value that stays as it was
// when it was taken. A port outside the bridge (Attached false) has a device
// only: Name, Address, MTU, Up, Carrier.
type PortInfo struct {
	Name     string
	Attached bool
	Address  frame.MAC
	MTU      int
	Up       bool // administratively
	Carrier  bool
	Failed   error // what ended the port's cable; nil while it lives

	No       int // port number, 1 to 1023
	State    PortState
	Priority int
	Cost     int
	Speed    int    // of the link, in Mb/s; 0: not known
	PortID   uint16 // priority and number

	Learning     bool
	Flood        bool
	McastFlood   bool
	BcastFlood   bool
	Hairpin      bool
	Isolated     bool
	Locked       bool
	MAB          bool
	ProxyARP     bool
	GroupFwdMask uint16
	BackupPort   string

	ProxyARPWifi      bool
	NeighSuppress     bool
	NeighVLANSuppress bool

	Guard              bool
	RootBlock          bool
	AdminEdge          bool
	AutoEdge           bool
	PointToPoint       stp.PointToPoint
	PathCost           uint32
	RestrictedTCN      bool
	BPDUFilter         bool
	LoopGuard          bool
	FastLeave          bool
	McastRouter        int
	McastToUnicast     bool
	McastGroups        int // how many it is in (mcast_n_groups)
	McastMaxGroups     uint32
	McastEHTHostsLimit uint32
	VLANTunnel         bool
	BackupNexthopID    uint32

	// Who serves the port's segment, as far as the spanning tree knows.
	DesignatedRoot   BridgeID
	DesignatedBridge BridgeID
	DesignatedPort   uint16
	DesignatedCost   uint32

	TopologyChangeAck bool // the next BPDU acknowledges a topology change
	ConfigPending     bool // a BPDU waits for the hold timer

	// What is left of timers, 0 for one that does not run. The forward delay timer runs
	// without STP too.
	MessageAgeTimer   time.Duration
	ForwardDelayTimer time.Duration
	HoldTimer         time.Duration
}

// put stores *v, where there is one, in dst.
func put[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}
