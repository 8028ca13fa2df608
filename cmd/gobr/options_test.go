package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

func parse(t *testing.T, args string) options {
	t.Helper()
	o, err := parseRun(strings.Fields(args))
	require.NoError(t, err)
	return o
}

func TestOptions(t *testing.T) {
	o := parse(t, "--tap tap0")
	assert.Equal(t, options{
		name: "br0", ports: []portSpec{{source: &tapSource{ifSpec{name: "tap0"}}}},
		cfg: bridge.Config{AgeingTime: new(300 * time.Second), FDBLimit: 65536, VLANDefaultPVID: new(frame.VID(1))},
	}, o)

	o = parse(t, "-name lan -host=lan@blue -tap=a@/proc/7/ns/net --raw eth0@red --tap vm%d --tap vm%d --reattach "+
		"--mtu=9000 --ageing=0 --fdb-limit 7 --group-fwd-mask 0x4000 --address 02:00:00:00:00:01 "+
		"--vlan-filtering --vlan-protocol 802.1ad --vlan-default-pvid 0 --trace")
	assert.Equal(t, options{
		name: "lan", host: &ifSpec{"lan", "/run/netns/blue"},
		ports: []portSpec{
			{&tapSource{ifSpec{"a", "/proc/7/ns/net"}}, portOptions{mtu: 9000}},
			{&rawSource{ifSpec{"eth0", "/run/netns/red"}}, portOptions{}},
			{&tapSource{ifSpec{name: "vm%d"}}, portOptions{mtu: 9000}}, {&tapSource{ifSpec{name: "vm%d"}}, portOptions{mtu: 9000}},
		},
		reattach: true, trace: true,
		cfg: bridge.Config{
			Address: frame.MustParseMAC("02:00:00:00:00:01"), AgeingTime: new(time.Duration(0)), FDBLimit: 7,
			GroupFwdMask: 0x4000, VLANFiltering: true, VLANProtocol: frame.TypeDot1AD, VLANDefaultPVID: new(frame.VID(0)),
		},
	}, o)
	assert.Equal(t, "--tap a@/proc/7/ns/net", o.ports[0].source.String())
	assert.Equal(t, "--raw eth0@/run/netns/red", o.ports[1].source.String())
	assert.Equal(t, "--tap vm%d", o.ports[2].source.String())
}

// What --port and --vlan say reaches the ports they name, before or after these are
// named.
func TestPortOptions(t *testing.T) {
	o := parse(t, "--port a=isolated,learning=off,cost=7 --port r=rcvbuf=65536,queues=2,up --tap a --raw r --tap b --tap vm%d --tap vm%d "+
		"--port a=state=blocking,group_fwd_mask=0xc,backup_port=b,mtu=1400,queues=4,offload=off,up=off,txqueue=50,fdb_limit=9 "+
		"--port vm%d=hairpin --host h --port br0=offload=off,txqueue=9 --vlan br0=30 --vlan a=access:10")
	a := portOptions{
		attrs: bridge.PortAttrs{
			Isolated: new(true), Learning: new(false), Cost: new(7), State: new(bridge.StateBlocking), GroupFwdMask: new(uint16(0xc)),
		},
		backup: "b", mtu: 1400, queues: 4, noOffload: true, up: new(false), txQueue: 50, fdbLimit: 9,
		vlans: []bridge.VLAN{{VID: 10, PVID: true, Untagged: true}},
	}
	assert.Equal(t, a, o.ports[0].portOptions)
	assert.Equal(t, portOptions{rcvBuf: 65536, queues: 2, up: new(true)}, o.ports[1].portOptions)
	assert.Equal(t, portOptions{}, o.ports[2].portOptions)
	for _, vm := range o.ports[3:] {
		assert.Equal(t, portOptions{attrs: bridge.PortAttrs{Hairpin: new(true)}}, vm.portOptions)
	}
	assert.Equal(t, portOptions{noOffload: true, txQueue: 9, vlans: []bridge.VLAN{{VID: 30}}}, o.hostSays)
	assert.Equal(t, []bridge.VLAN{{VID: 30}}, o.cfg.VLANs)
	assert.True(t, o.cfg.VLANFiltering)
}

// Every attribute of a port that is a flag is the field of its own name: set alone,
// it is what a bridge shows then.
func TestEveryPortOptionDoesWhatItSays(t *testing.T) {
	values := map[string]string{
		"state": "learning", "priority": "5", "cost": "5", "mcast_router": "2", "mcast_max_groups": "5", "mcast_eht_hosts_limit": "5", "backup_nhid": "5", "path_cost": "5", "auto_edge": "off", "point_to_point": "no",
		"group_fwd_mask": "0x8", "backup_port": "q", "mab": "on,locked", "learning": "off", "flood": "off", "mcast_flood": "off", "bcast_flood": "off",
	}
	for _, x := range portTable {
		if x.kind != forPort || x.name == "up" || x.name == "queues" || x.name == "fdb_limit" || x.name == "loop_keep" || strings.HasPrefix(x.name, "allow_") || strings.HasSuffix(x.name, "_rate") {
			continue // gobr's own
		}
		o := portOptions{}
		setting := x.name + "=" + values[x.name]
		require.NoError(t, o.take(argument{"port", "p", strings.TrimSuffix(setting, "=")}, forQEMU), x.name)
		b, err := bridge.New(bridge.Config{Seed: 1, Clock: func() time.Time { return time.Unix(0, 0) }}) // timers stand still
		require.NoError(t, err)
		defer b.Close()
		add := func(name string, a bridge.PortAttrs) bridge.PortInfo {
			end, _ := bridge.NewPipe(bridge.PipeConfig{})
			p, err := b.AddPort(name, end, bridge.PortConfig{Address: frame.MAC{2, 0, 0, 0, 0, 1}, Attrs: a})
			require.NoError(t, err, x.name)
			return p.Info()
		}
		plain := add("q", bridge.PortAttrs{})
		if o.backup != "" {
			o.attrs.BackupPort = &o.backup
		}
		now := add("p", o.attrs)
		plain.Name, plain.No = now.Name, now.No
		now.PortID, now.DesignatedPort = plain.PortID, plain.DesignatedPort // of number and priority
		assert.Equal(t, wanted(t, x.name, plain), now, x.name)
	}
}

// wanted is what a port shows once the option is set, told in the words of bridge
// and not by the option table.
func wanted(t *testing.T, name string, i bridge.PortInfo) bridge.PortInfo {
	t.Helper()
	flags := map[string]*bool{
		"hairpin": &i.Hairpin, "isolated": &i.Isolated, "locked": &i.Locked, "proxy_arp": &i.ProxyARP, "proxy_arp_wifi": &i.ProxyARPWifi,
		"guard": &i.Guard, "root_block": &i.RootBlock, "fastleave": &i.FastLeave, "mcast_fast_leave": &i.FastLeave,
		"mcast_to_unicast": &i.McastToUnicast, "neigh_suppress": &i.NeighSuppress, "neigh_vlan_suppress": &i.NeighVLANSuppress,
		"edge": &i.AdminEdge, "auto_edge": &i.AutoEdge, "restricted_tcn": &i.RestrictedTCN, "bpdu_filter": &i.BPDUFilter, "loop_guard": &i.LoopGuard,
		"vlan_tunnel": &i.VLANTunnel, "learning": &i.Learning, "flood": &i.Flood, "mcast_flood": &i.McastFlood, "bcast_flood": &i.BcastFlood,
	}
	switch name {
	case "mab":
		i.MAB, i.Locked = true, true
	case "state":
		i.State = bridge.StateLearning
	case "priority":
		i.Priority = 5
	case "cost":
		i.Cost = 5
	case "path_cost":
		i.PathCost = 5
	case "point_to_point":
		i.PointToPoint = stp.PointToPointNo
	case "mcast_router":
		i.McastRouter = 2
	case "mcast_max_groups":
		i.McastMaxGroups = 5
	case "mcast_eht_hosts_limit":
		i.McastEHTHostsLimit = 5
	case "backup_nhid":
		i.BackupNexthopID = 5
	case "group_fwd_mask":
		i.GroupFwdMask = 8
	case "backup_port":
		i.BackupPort = "q"
	default:
		require.Contains(t, flags, name)
		*flags[name] = !*flags[name]
	}
	return i
}

func TestVLANs(t *testing.T) {
	for text, want := range map[string][]bridge.VLAN{
		"none":                              {},
		"access:10":                         bridge.Access(10),
		"trunk:10,20":                       bridge.Trunk(0, 10, 20),
		"trunk:10-20,30,native:1":           {{VID: 10, End: 20}, {VID: 30}, {VID: 1, PVID: true, Untagged: true}},
		"trunk:native:15,10-20":             {{VID: 10, End: 20}, {VID: 15, PVID: true, Untagged: true}},
		"10:pvid:untagged,20-30":            {{VID: 10, PVID: true, Untagged: true}, {VID: 20, End: 30}},
		"4094:pvid,1:untagged,2-3:untagged": {{VID: 4094, PVID: true}, {VID: 1, Untagged: true}, {VID: 2, End: 3, Untagged: true}},
	} {
		vs, err := parseVLANs(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, vs, text)
		assert.NotNil(t, vs, text)
	}
	for text, says := range map[string]string{
		"0":                       "from 1 to 4094",
		"4095":                    "from 1 to 4094",
		"access:":                 `"" is no VLAN id`,
		"access:10,20":            `"10,20" is no VLAN id`,
		"trunk:10:pvid":           "behind trunk: every VLAN is tagged",
		"trunk:native:1,native:2": "one native VLAN",
		"trunk:native:x":          `"x" is no VLAN id`,
		"native:1":                "belongs behind trunk:",
		"10-10":                   "ends above its begin",
		"20-10":                   "ends above its begin",
		"10-":                     `"" is no VLAN id`,
		"10-20:pvid":              "the PVID is one VLAN",
		"10:tagged":               `"tagged" is neither pvid nor untagged`,
		"10,5-15":                 "VLAN 10 is named twice",
		"10:pvid,11:pvid":         "one PVID",
		"10,":                     `"" is no VLAN id`,
	} {
		_, err := parseVLANs(text)
		assert.ErrorContains(t, err, says, text)
	}
}
