package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Every option of --mcast is the setting of its own name: set alone, it is what a bridge
// shows then.
func TestEveryMcastOptionDoesWhatItSays(t *testing.T) {
	still := func() time.Time { return time.Unix(1_000_000, 0) } // a bridge shows when it looks for what is too old
	for _, x := range mcastTable {
		value := map[string]string{"igmp_version": "3", "router": "2", "query_use_ifaddr": "", "vlan_snooping": "on"}[x.name]
		switch {
		case strings.HasSuffix(x.name, "_interval"):
			value = "7.25"
		case strings.HasSuffix(x.name, "_count"), x.name == "hash_max":
			value = "7"
		case x.name == "mld_version":
			value = "2"
		}
		o, err := parseRun([]string{"--tap", "a", "--mcast", strings.TrimSuffix(x.name+"="+value, "=")})
		require.NoError(t, err, x.name)
		assert.True(t, o.cfg.McastSnooping, x.name)
		b, err := bridge.New(bridge.Config{Seed: 1, McastSnooping: true, VLANFiltering: o.cfg.VLANFiltering, Clock: still})
		require.NoError(t, err)
		defer b.Close()
		want := b.Info()
		require.NoError(t, b.Set(o.mcast), x.name)
		assert.Equal(t, wantedOfMcast(t, x.name, want), b.Info(), x.name)
	}
}

// wantedOfMcast is what a bridge shows once the option is set, told in the words of
// bridge and not by the option table.
func wantedOfMcast(t *testing.T, name string, i bridge.BridgeInfo) bridge.BridgeInfo {
	t.Helper()
	numbers := map[string]*uint32{
		"hash_max": &i.McastHashMax, "last_member_count": &i.McastLastMemberCount, "startup_query_count": &i.McastStartupQueryCount,
	}
	times := map[string]*time.Duration{
		"last_member_interval": &i.McastLastMemberInterval, "membership_interval": &i.McastMembershipInterval,
		"querier_interval": &i.McastQuerierInterval, "query_interval": &i.McastQueryInterval,
		"query_response_interval": &i.McastQueryResponseInterval, "startup_query_interval": &i.McastStartupQueryInterval,
	}
	switch {
	case numbers[name] != nil:
		*numbers[name] = 7
	case name == "router":
		i.McastRouter = 2
	case name == "igmp_version":
		i.McastIGMPVersion = 3
	case name == "mld_version":
		i.McastMLDVersion = 2
	case name == "vlan_snooping":
		assert.True(t, i.VLANFiltering)
		i.McastVLANSnooping = true
	case name == "query_use_ifaddr":
		i.McastQueryUseIfaddr = true
	default:
		require.Contains(t, times, name)
		*times[name] = 7250 * time.Millisecond
	}
	return i
}

// --vlan-mcast is for the VLANs that it names, and --mcast-querier then for each VLAN that it
// does not say otherwise of.
func TestSnoopingOfVLANs(t *testing.T) {
	o, err := parseRun(strings.Fields("--tap a --mcast-querier --vlan-mcast 10-12:querier=off,igmp_version=3,query_interval=7 --vlan-mcast 12:snooping=off,query_interval=8"))
	require.NoError(t, err)
	assert.True(t, o.cfg.VLANFiltering && o.cfg.McastSnooping && *o.mcast.McastVLANSnooping)
	b, err := bridge.New(bridge.Config{Seed: 1, McastSnooping: true, VLANFiltering: true, VLANs: bridge.Trunk(0, 9, 10, 11, 12)})
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, b.Set(o.mcast))
	s := &session{o: o, b: b}
	require.NoError(t, s.startQuerier())
	type told struct {
		snooping, querier bool
		version           int
		interval          time.Duration
	}
	got := map[frame.VID]told{}
	for _, g := range b.VLANGlobals() {
		got[g.VID] = told{g.McastSnooping, g.McastQuerier, g.McastIGMPVersion, g.McastQueryInterval}
	}
	assert.Equal(t, map[frame.VID]told{
		9: {true, true, 2, 125 * time.Second}, 10: {true, false, 3, 7 * time.Second}, 11: {true, false, 3, 7 * time.Second}, 12: {false, false, 3, 8 * time.Second},
	}, got)
	assert.False(t, b.Info().McastQuerier)
	var text strings.Builder
	printSnooping(&text, b)
	assert.Contains(t, text.String(), "IPv4      9     the bridge  0.0.0.0  -\n")
	assert.Contains(t, text.String(), "IPv4      10    -           -        -\n")

	for args, want := range map[string]string{
		"--mcast vlan_snooping=off --vlan-mcast 10:querier": "it has no effect with --mcast vlan_snooping=off",
		"--vlan-filtering=false --vlan-mcast 10:querier":    "it has no effect with --vlan-filtering=false",
		"--vlan-mcast 10":                                "not VID[-VID]:OPTION=VALUE",
		"--vlan-mcast 4095:querier":                      "is no VLAN id",
		"--vlan-mcast 10:hash_max=5":                     "there is no such option",
		"--mcast-snooping=false --vlan-mcast 10:querier": "--vlan-mcast: it has no effect with --mcast-snooping=false",
	} {
		_, err := parseRun(strings.Fields("--tap a " + args))
		assert.ErrorContains(t, err, want, args)
	}
}

func TestQuerySourceOfABridgeWithoutHost(t *testing.T) {
	assert.Equal(t, netip.MustParseAddr("fe80::5054:ff:fe12:3456"), linkLocal(frame.MustParseMAC("52:54:00:12:34:56")))
	assert.Equal(t, netip.MustParseAddr("fe80::ff:fe00:1"), linkLocal(frame.MustParseMAC("02:00:00:00:00:01")))
}

func TestTablesOfSnooping(t *testing.T) {
	b := pipeBridge(t)
	var text strings.Builder
	printSnooping(&text, b)
	assert.Empty(t, text.String(), "without snooping there is nothing to tell")

	require.NoError(t, b.Set(bridge.BridgeAttrs{McastSnooping: new(true), McastIGMPVersion: new(3), McastQuerier: new(true)}))
	require.NoError(t, b.Port("tap1").Set(bridge.PortAttrs{McastRouter: new(2)}))
	group, source := netip.MustParseAddr("239.1.1.1"), netip.MustParseAddr("192.0.2.1")
	for _, r := range []bridge.MDBRequest{
		{Port: b.Port("tap0"), Group: netip.MustParseAddr("ff05::1"), Permanent: true},
		{Port: b.Port("tap0"), Group: group, Mode: bridge.MDBInclude, Sources: []netip.Addr{source}},
		{Group: group},
		{Port: b.Port("tap1"), GroupMAC: frame.MustParseMAC("01:00:00:00:00:01"), Permanent: true},
	} {
		require.NoError(t, b.AddMDB(r))
	}
	printSnooping(&text, b)
	assert.Equal(t, `
Multicast groups
group              source     vlan  device      state      ends in  mode
01:00:00:00:00:01  *          -     tap1        permanent  -        -
239.1.1.1          192.0.2.1  -     the bridge  temp       -        -
239.1.1.1          192.0.2.1  -     tap0        temp       -        include
239.1.1.1          *          -     the bridge  temp       4m20s    -
239.1.1.1          *          -     tap0        temp       -        include 192.0.2.1 (4m20s)
ff05::1            *          -     tap0        permanent  -        -

Multicast routers
device  vlan  IPv4 ends in  IPv6 ends in
tap1    -     never         never

Multicast queriers
protocol  vlan  device      address  ends in
IPv4      -     the bridge  0.0.0.0  -
IPv6      -     the bridge  ::       -
`, text.String())
}
