package live

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/rtnl"
)

// form is how a setting travels in its attribute.
type form uint8

const (
	u8 form = iota
	u16
	u32
	u64
	mac      // six bytes
	protocol // an EtherType in network order
	bridgeID // a priority and an address, read only
	device   // the index of a port, 0 for none
	state    // of a port, by its word
)

// An attr is a setting in rtnetlink.
type attr struct {
	name string
	kind uint16
	form form
}

// bridgeAttrs are a bridge's settings (IFLA_BR_*), as linux/if_link.h lists them,
// and what it tells only.
var bridgeAttrs = []attr{
	{"forward_delay", unix.IFLA_BR_FORWARD_DELAY, u32}, {"hello_time", unix.IFLA_BR_HELLO_TIME, u32},
	{"max_age", unix.IFLA_BR_MAX_AGE, u32}, {"ageing_time", unix.IFLA_BR_AGEING_TIME, u32},
	{"stp_state", unix.IFLA_BR_STP_STATE, u32}, {"priority", unix.IFLA_BR_PRIORITY, u16},
	{"vlan_filtering", unix.IFLA_BR_VLAN_FILTERING, u8}, {"vlan_protocol", unix.IFLA_BR_VLAN_PROTOCOL, protocol},
	{"group_fwd_mask", unix.IFLA_BR_GROUP_FWD_MASK, u16}, {"group_address", unix.IFLA_BR_GROUP_ADDR, mac},
	{"mcast_router", unix.IFLA_BR_MCAST_ROUTER, u8}, {"mcast_snooping", unix.IFLA_BR_MCAST_SNOOPING, u8},
	{"mcast_query_use_ifaddr", unix.IFLA_BR_MCAST_QUERY_USE_IFADDR, u8},
	{"mcast_querier", unix.IFLA_BR_MCAST_QUERIER, u8}, {"mcast_hash_max", unix.IFLA_BR_MCAST_HASH_MAX, u32},
	{"mcast_last_member_count", unix.IFLA_BR_MCAST_LAST_MEMBER_CNT, u32},
	{"mcast_startup_query_count", unix.IFLA_BR_MCAST_STARTUP_QUERY_CNT, u32},
	{"mcast_last_member_interval", unix.IFLA_BR_MCAST_LAST_MEMBER_INTVL, u64},
	{"mcast_membership_interval", unix.IFLA_BR_MCAST_MEMBERSHIP_INTVL, u64},
	{"mcast_querier_interval", unix.IFLA_BR_MCAST_QUERIER_INTVL, u64},
	{"mcast_query_interval", unix.IFLA_BR_MCAST_QUERY_INTVL, u64},
	{"mcast_query_response_interval", unix.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, u64},
	{"mcast_startup_query_interval", unix.IFLA_BR_MCAST_STARTUP_QUERY_INTVL, u64},
	{"vlan_default_pvid", unix.IFLA_BR_VLAN_DEFAULT_PVID, u16},
	{"vlan_stats_enabled", unix.IFLA_BR_VLAN_STATS_ENABLED, u8},
	{"mcast_stats_enabled", unix.IFLA_BR_MCAST_STATS_ENABLED, u8},
	{"mcast_igmp_version", unix.IFLA_BR_MCAST_IGMP_VERSION, u8},
	{"mcast_mld_version", unix.IFLA_BR_MCAST_MLD_VERSION, u8},
	{"vlan_stats_per_port", unix.IFLA_BR_VLAN_STATS_PER_PORT, u8},
	{"fdb_max_learned", unix.IFLA_BR_FDB_MAX_LEARNED, u32},
}

var bridgeTells = []attr{
	{"fdb_n_learned", unix.IFLA_BR_FDB_N_LEARNED, u32},
	{"root_id", unix.IFLA_BR_ROOT_ID, bridgeID}, {"bridge_id", unix.IFLA_BR_BRIDGE_ID, bridgeID},
	{"root_port", unix.IFLA_BR_ROOT_PORT, u16}, {"root_path_cost", unix.IFLA_BR_ROOT_PATH_COST, u32},
	{"topology_change", unix.IFLA_BR_TOPOLOGY_CHANGE, u8},
	{"topology_change_detected", unix.IFLA_BR_TOPOLOGY_CHANGE_DETECTED, u8},
}

// boolOptions are the bits of IFLA_BR_MULTI_BOOLOPT (enum br_boolopt_id).
var boolOptions = map[string]uint{
	"no_linklocal_learn": 0, "mcast_vlan_snooping": 1, "mst_enabled": 2, "fdb_local_vlan_0": 4,
}

// portAttrs are a port's settings (IFLA_BRPORT_*), portTells what it tells only.
var portAttrs = []attr{
	{"state", unix.IFLA_BRPORT_STATE, state}, {"priority", unix.IFLA_BRPORT_PRIORITY, u16},
	{"cost", unix.IFLA_BRPORT_COST, u32}, {"hairpin", unix.IFLA_BRPORT_MODE, u8},
	{"guard", unix.IFLA_BRPORT_GUARD, u8}, {"root_block", unix.IFLA_BRPORT_PROTECT, u8},
	{"fast_leave", unix.IFLA_BRPORT_FAST_LEAVE, u8}, {"learning", unix.IFLA_BRPORT_LEARNING, u8},
	{"flood", unix.IFLA_BRPORT_UNICAST_FLOOD, u8}, {"proxy_arp", unix.IFLA_BRPORT_PROXYARP, u8},
	{"proxy_arp_wifi", unix.IFLA_BRPORT_PROXYARP_WIFI, u8},
	{"mcast_router", unix.IFLA_BRPORT_MULTICAST_ROUTER, u8}, {"mcast_flood", unix.IFLA_BRPORT_MCAST_FLOOD, u8},
	{"mcast_to_unicast", unix.IFLA_BRPORT_MCAST_TO_UCAST, u8}, {"vlan_tunnel", unix.IFLA_BRPORT_VLAN_TUNNEL, u8},
	{"bcast_flood", unix.IFLA_BRPORT_BCAST_FLOOD, u8}, {"group_fwd_mask", unix.IFLA_BRPORT_GROUP_FWD_MASK, u16},
	{"neigh_suppress", unix.IFLA_BRPORT_NEIGH_SUPPRESS, u8}, {"isolated", unix.IFLA_BRPORT_ISOLATED, u8},
	{"backup_port", unix.IFLA_BRPORT_BACKUP_PORT, device},
	{"mcast_eht_hosts_limit", unix.IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT, u32},
	{"locked", unix.IFLA_BRPORT_LOCKED, u8}, {"mab", unix.IFLA_BRPORT_MAB, u8},
	{"mcast_max_groups", unix.IFLA_BRPORT_MCAST_MAX_GROUPS, u32},
	{"neigh_vlan_suppress", unix.IFLA_BRPORT_NEIGH_VLAN_SUPPRESS, u8},
}

var portTells = []attr{
	{"mcast_n_groups", unix.IFLA_BRPORT_MCAST_N_GROUPS, u32},
	{"designated_root", unix.IFLA_BRPORT_ROOT_ID, bridgeID},
	{"designated_bridge", unix.IFLA_BRPORT_BRIDGE_ID, bridgeID},
	{"designated_port", unix.IFLA_BRPORT_DESIGNATED_PORT, u16},
	{"designated_cost", unix.IFLA_BRPORT_DESIGNATED_COST, u16},
	{"port_id", unix.IFLA_BRPORT_ID, u16}, {"port_no", unix.IFLA_BRPORT_NO, u16},
	{"topology_change_ack", unix.IFLA_BRPORT_TOPOLOGY_CHANGE_ACK, u8},
	{"config_pending", unix.IFLA_BRPORT_CONFIG_PENDING, u8},
}

// states are the words for BR_STATE_*.
var states = []string{"disabled", "listening", "learning", "forwarding", "blocking"}

func num(n uint64) replay.Value  { return replay.Value{Num: int64(n)} }
func word(s string) replay.Value { return replay.Value{Word: s, Text: true} }

// add adds the setting with value v to a request; index finds ports. A number that
// is too large for the attribute is cut, as tools do.
func (a *attr) add(m *rtnl.Msg, v replay.Value, index func(name string) int32) error {
	switch a.form {
	case u8:
		m.U8(a.kind, uint8(v.Num))
	case u16:
		m.U16(a.kind, uint16(v.Num))
	case u32:
		m.U32(a.kind, uint32(v.Num))
	case u64:
		m.U64(a.kind, uint64(v.Num))
	case mac:
		addr, err := frame.ParseMAC(v.Word)
		if err != nil {
			return err
		}
		m.Bytes(a.kind, addr[:])
	case protocol:
		t, err := etherType(v)
		if err != nil {
			return err
		}
		m.Bytes(a.kind, binary.BigEndian.AppendUint16(nil, t))
	case device:
		m.U32(a.kind, uint32(index(v.Word)))
	case state:
		n, err := stateNumber(v.String())
		if err != nil {
			return err
		}
		m.U8(a.kind, n)
	default:
		return fmt.Errorf("%s cannot be set", a.name)
	}
	return nil
}

// value reads the attribute; name finds the names of ports.
func (a *attr) value(b []byte, name func(index int32) string) replay.Value {
	switch a.form {
	case mac:
		return word(addressText(b))
	case protocol:
		if len(b) == 2 && binary.BigEndian.Uint16(b) == uint16(frame.TypeDot1AD) {
			return word("802.1ad")
		}
		return word("802.1Q")
	case bridgeID:
		if len(b) != 8 {
			return word("")
		}
		return word(fmt.Sprintf("%04x.%s", binary.BigEndian.Uint16(b), addressText(b[2:])))
	case device:
		return word(name(int32(rtnl.Num(b))))
	case state:
		return word(stateWord(uint8(rtnl.Num(b))))
	}
	return num(rtnl.Num(b))
}

func addressText(b []byte) string {
	if len(b) != 6 {
		return ""
	}
	return frame.MAC(b).String()
}

func etherType(v replay.Value) (uint16, error) {
	switch v.Word {
	case "802.1Q":
		return uint16(frame.TypeDot1Q), nil
	case "802.1ad":
		return uint16(frame.TypeDot1AD), nil
	}
	n, err := strconv.ParseUint(v.String(), 0, 16)
	return uint16(n), err
}

// stateNumber reads the word of a state or its number, in or out of range.
func stateNumber(text string) (uint8, error) {
	for i, s := range states {
		if s == text {
			return uint8(i), nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 8)
	return uint8(n), err
}

func stateWord(n uint8) string {
	if int(n) < len(states) {
		return states[n]
	}
	return strconv.Itoa(int(n))
}

func find(attrs []attr, name string) *attr {
	for i := range attrs {
		if attrs[i].name == name {
			return &attrs[i]
		}
	}
	return nil
}

// decode puts what attrs know of the nested attributes b in a table.
func decode(b []byte, table replay.Attrs, name func(index int32) string, attrs ...[]attr) {
	for kind, v := range rtnl.Attrs(b) {
		for _, list := range attrs {
			for i := range list {
				if list[i].kind == kind {
					table[list[i].name] = list[i].value(v, name)
				}
			}
		}
	}
}

// decodeBridge is decode for a bridge, with its options of one bit. The kernel knows
// an option if it lets it be set (optmask).
func decodeBridge(b []byte, table replay.Attrs) {
	decode(b, table, func(int32) string { return "" }, bridgeAttrs, bridgeTells)
	for kind, v := range rtnl.Attrs(b) {
		if kind != unix.IFLA_BR_MULTI_BOOLOPT || len(v) < 8 {
			continue
		}
		values, mask := rtnl.Num(v[:4]), rtnl.Num(v[4:8])
		for name, bit := range boolOptions {
			if mask>>bit&1 != 0 {
				table[name] = num(values >> bit & 1)
			}
		}
	}
}

// address is the bytes of an IP address, and its family.
func address(text string) (b []byte, family uint8, err error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, 0, err
	}
	if a.Is4() {
		return a.AsSlice(), unix.AF_INET, nil
	}
	return a.AsSlice(), unix.AF_INET6, nil
}
