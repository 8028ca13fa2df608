package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOptions(t *testing.T) {
	o, err := parseRun([]string{"--tap", "tap0"})
	require.NoError(t, err)
	assert.Equal(t, options{name: "br0", taps: []tapSpec{{name: "tap0"}}, ageing: 300 * time.Second}, o)

	o, err = parseRun([]string{"-name", "lan", "-host=lan@blue", "-tap=a@/proc/7/ns/net", "--tap", "vm%d", "--tap", "vm%d",
		"--mtu=9000", "--ageing=0", "--vlan-filtering", "--trace"})
	require.NoError(t, err)
	assert.Equal(t, options{
		name: "lan", host: &tapSpec{"lan", "/run/netns/blue"},
		taps: []tapSpec{{"a", "/proc/7/ns/net"}, {name: "vm%d"}, {name: "vm%d"}},
		mtu:  9000, vlanFiltering: true, trace: true,
	}, o)
	assert.Equal(t, "a@/proc/7/ns/net", o.taps[0].String())
	assert.Equal(t, "vm%d", o.taps[1].String())
}
