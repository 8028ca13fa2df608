package bridge_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A host without an IPv4 address takes 0.0.0.0 for its own, so a suppressing port does
// not see who asks for that: observed of Linux 6.1.0 and 6.18.44.
func TestNeighSuppressUnspecified(t *testing.T) {
	ask := arp{src: neighMAC(1), sender: ip4(1), target: netip.IPv4Unspecified()}.frame
	for name, c := range map[string]struct {
		prepare func(*bridge.HostTable)
		want    string
	}{
		"no address":      {func(*bridge.HostTable) {}, "br0 p3"},
		"an IPv6 address": {func(h *bridge.HostTable) { h.AddAddress(0, ip6(9)) }, "br0 p3"},
		"an IPv4 address": {func(h *bridge.HostTable) { h.AddAddress(0, ip4(9)) }, "br0 p2 p3"},
		"one on top without": {func(h *bridge.HostTable) {
			h.AddAddress(0, ip4(9))
			h.AddVLANDevice(frame.TypeDot1Q, 5)
		}, "br0 p3"},
		"one on top with its own": {func(h *bridge.HostTable) {
			h.AddAddress(0, ip4(9))
			h.AddVLANDevice(frame.TypeDot1Q, 5)
			h.AddAddress(5, ip4(8))
		}, "br0 p2 p3"},
	} {
		table := new(bridge.HostTable)
		l := neighLab(t, bridge.Config{}, table)
		c.prepare(table)
		require.NoError(t, l.p(2).Set(bridge.PortAttrs{NeighSuppress: on()}))
		assert.Equal(t, c.want, l.went(1, ask()), name)
	}
	l := newLabN(t, bridge.Config{}, 3)
	require.NoError(t, l.p(2).Set(bridge.PortAttrs{NeighSuppress: on()}))
	assert.Equal(t, "br0 p3", l.went(1, ask()), "no host")
}
