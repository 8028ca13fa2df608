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
	ForwardDelay *time.Duration // 2 s to 30 s while STP is on, else any; used once STP is built
	HelloTime    *time.Duration // 1 s to 10 s; used once STP is built
	MaxAge       *time.Duration // 6 s to 40 s; used once STP is built
	Priority     *uint16        // upper half of the bridge id

	// STPState: 0 off, any other value on. The spanning tree itself is not built
	// yet. What it means for the datapath is: frames to 01:80:c2:00:00:00 are kept
	// from being forwarded, and port states cannot be written.
	STPState *int

	VLANFiltering    *bool
	VLANProtocol     *frame.EtherType // frame.TypeDot1Q or frame.TypeDot1AD
	VLANDefaultPVID  *frame.VID       // 0 to 4094; 0: none
	VLANStats        *bool            // vlan_stats_enabled
	VLANStatsPerPort *bool            // only while no port has a VLAN

	GroupFwdMask     *uint16    // bit X: forward 01:80:c2:00:00:0X; bits 0 to 2 are refused
	GroupAddress     *frame.MAC // 01:80:c2:00:00:0X, X not 1, 2 or 3; used once STP is built
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
	ForwardDelay time.Duration
	HelloTime    time.Duration
	MaxAge       time.Duration
	Priority     uint16
	STPState     int

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
	RootID   BridgeID // the bridge's own while there is no spanning tree
}

// BridgeID is a priority and an address (IEEE 802.1D-2004 9.2.5), without the
// system id extension, as in Linux.
type BridgeID = stp.BridgeID

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
	State    *PortState // EBUSY while STP is on, ENETDOWN while the link is down
	Priority *int       // 0 to 63
	Cost     *int       // 1 to 65535

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

	// Kept, checked and dumped; their effect is not built yet.
	Guard     *bool // BPDU guard
	RootBlock *bool

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
	FastLeave          bool
	McastRouter        int
	McastToUnicast     bool
	McastGroups        int // how many it is in (mcast_n_groups)
	McastMaxGroups     uint32
	McastEHTHostsLimit uint32
	VLANTunnel         bool
	BackupNexthopID    uint32

	// The spanning tree's view, which without STP is that of a root bridge.
	DesignatedRoot   BridgeID
	DesignatedBridge BridgeID
	DesignatedPort   uint16
	DesignatedCost   int
}

// put stores *v, where there is one, in dst.
func put[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}
