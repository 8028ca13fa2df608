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
	for _, x := range mcastTable {
		value := map[string]string{"igmp_version": "3", "router": "2", "query_use_ifaddr": ""}[x.name]
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
		b, err := bridge.New(bridge.Config{Seed: 1, McastSnooping: true, Clock: func() time.Time { return time.Unix(0, 0) }})
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
	case name == "query_use_ifaddr":
		i.McastQueryUseIfaddr = true
	default:
		require.Contains(t, times, name)
		*times[name] = 7250 * time.Millisecond
	}
	return i
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
device  IPv4 ends in  IPv6 ends in
tap1    never         never

Multicast queriers
protocol  device      address  ends in
IPv4      the bridge  0.0.0.0  -
IPv6      the bridge  ::       -
`, text.String())
}
