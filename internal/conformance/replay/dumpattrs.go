package replay

import (
	"maps"
	"slices"

	"github.com/ddfb540f/bridge"
)

func (r *run) dumpPort(t *Step) error {
	for _, name := range slices.Sorted(maps.Keys(t.PortTable)) {
		if err := diffAttrs(name, t.PortTable[name], portTable(r.dev(name).port.Info())); err != nil {
			return err
		}
	}
	if t.Port != "" {
		if _, ok := t.PortTable[t.Port]; !ok || len(t.PortTable) != 1 {
			return mismatchf("the record has not %s alone", t.Port)
		}
		return nil
	}
	if len(t.PortTable) != len(r.devs) {
		return mismatchf("the record has %d devices, there are %d", len(t.PortTable), len(r.devs))
	}
	return nil
}

// portTable gives a port's state under the recorded names. A port outside the
// bridge has only what belongs to its device.
func portTable(p bridge.PortInfo) Attrs {
	device := Attrs{"address": word(p.Address.String()), "mtu": num(p.MTU), "up": bit(p.Up)}
	if !p.Attached {
		device["master"] = word("")
		return device
	}
	port := Attrs{
		"state": word(p.State.String()), "priority": num(p.Priority), "cost": num(p.Cost),
		"port_no": num(p.No), "port_id": num(p.PortID),
		"learning": bit(p.Learning), "flood": bit(p.Flood), "mcast_flood": bit(p.McastFlood),
		"bcast_flood": bit(p.BcastFlood), "hairpin": bit(p.Hairpin), "isolated": bit(p.Isolated),
		"locked": bit(p.Locked), "mab": bit(p.MAB), "proxy_arp": bit(p.ProxyARP),
		"group_fwd_mask": num(p.GroupFwdMask), "backup_port": word(p.BackupPort),
		"guard": bit(p.Guard), "root_block": bit(p.RootBlock), "fast_leave": bit(p.FastLeave),
		"mcast_router": num(p.McastRouter), "mcast_to_unicast": bit(p.McastToUnicast),
		"mcast_n_groups":   num(p.McastGroups),
		"mcast_max_groups": num(p.McastMaxGroups), "mcast_eht_hosts_limit": num(p.McastEHTHostsLimit),
		"proxy_arp_wifi": bit(p.ProxyARPWifi), "neigh_suppress": bit(p.NeighSuppress),
		"neigh_vlan_suppress": bit(p.NeighVLANSuppress), "vlan_tunnel": bit(p.VLANTunnel),
		"designated_root": word(p.DesignatedRoot.String()), "designated_bridge": word(p.DesignatedBridge.String()),
		"designated_port": num(p.DesignatedPort), "designated_cost": num(uint16(p.DesignatedCost)), // IFLA_BRPORT_DESIGNATED_COST has 16 bits
		"topology_change_ack": bit(p.TopologyChangeAck), "config_pending": bit(p.ConfigPending),
	}
	maps.Copy(port, device)
	return port
}

func (r *run) dumpBridge(t *Step) error {
	return diffAttrs(hostName, t.BridgeTable, bridgeTable(r.b.Info()))
}

// bridgeTable gives the bridge's settings and state under the recorded names.
func bridgeTable(b bridge.BridgeInfo) Attrs {
	return Attrs{
		"address": word(b.Address.String()), "mtu": num(b.MTU),
		"ageing_time": ticks(b.AgeingTime), "forward_delay": ticks(b.ForwardDelay),
		"hello_time": ticks(b.HelloTime), "max_age": ticks(b.MaxAge),
		"priority": num(b.Priority), "stp_state": num(b.STPState), "topology_change": bit(b.TopologyChange),
		"vlan_filtering": bit(b.VLANFiltering), "vlan_protocol": word(protocolName(b.VLANProtocol)),
		"vlan_default_pvid":  num(b.VLANDefaultPVID),
		"vlan_stats_enabled": bit(b.VLANStats), "vlan_stats_per_port": bit(b.VLANStatsPerPort),
		"group_fwd_mask": num(b.GroupFwdMask), "group_address": word(b.GroupAddress.String()),
		"no_linklocal_learn": bit(b.NoLinkLocalLearn), "mst_enabled": bit(b.MSTEnabled),
		"fdb_local_vlan_0": bit(b.FDBLocalVLAN0),
		"fdb_max_learned":  num(b.FDBMaxLearned), "fdb_n_learned": num(b.FDBLearned),
		"mcast_snooping": bit(b.McastSnooping), "mcast_vlan_snooping": bit(b.McastVLANSnooping),
		"mcast_router": num(b.McastRouter), "mcast_querier": bit(b.McastQuerier),
		"mcast_query_use_ifaddr": bit(b.McastQueryUseIfaddr), "mcast_stats_enabled": bit(b.McastStats),
		"mcast_igmp_version": num(b.McastIGMPVersion), "mcast_mld_version": num(b.McastMLDVersion),
		"mcast_hash_max":                num(b.McastHashMax),
		"mcast_last_member_count":       num(b.McastLastMemberCount),
		"mcast_startup_query_count":     num(b.McastStartupQueryCount),
		"mcast_last_member_interval":    ticks(b.McastLastMemberInterval),
		"mcast_membership_interval":     ticks(b.McastMembershipInterval),
		"mcast_querier_interval":        ticks(b.McastQuerierInterval),
		"mcast_query_interval":          ticks(b.McastQueryInterval),
		"mcast_query_response_interval": ticks(b.McastQueryResponseInterval),
		"mcast_startup_query_interval":  ticks(b.McastStartupQueryInterval),
		"root_port":                     num(b.RootPort), "root_path_cost": num(b.RootPathCost),
		"topology_change_detected": bit(b.TopologyChangeDetected),
		"root_id":                  word(b.RootID.String()), "bridge_id": word(b.BridgeID.String()),
	}
}
