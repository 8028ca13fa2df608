package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frameio/frameiotest"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// A TAP keeps the contract of a FrameIO, seen from the kernel's end of its cable,
// and so does each queue of one that has several.
func TestTAPIsAFrameIO(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t)
	whole := func(_ *testing.T, tap *bridge.TAP) bridge.FrameIO { return tap }
	for name, c := range map[string]struct {
		cfg bridge.TAPConfig
		end func(*testing.T, *bridge.TAP) bridge.FrameIO
	}{
		"offloads":    {bridge.TAPConfig{}, whole},
		"no offloads": {bridge.TAPConfig{NoOffload: true}, whole},
		"one by one":  {bridge.TAPConfig{NoUring: true}, whole},
		"first queue": {bridge.TAPConfig{Queues: 2}, func(t *testing.T, tap *bridge.TAP) bridge.FrameIO {
			require.NoError(t, tap.Queues()[0].Close()) // or the kernel sends by that one
			return tap
		}},
		"second queue": {bridge.TAPConfig{Queues: 2}, func(t *testing.T, tap *bridge.TAP) bridge.FrameIO {
			require.NoError(t, bridge.DetachTAP(tap))
			return tap.Queues()[0]
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mk := func(t *testing.T) (a, b bridge.FrameIO) {
				cfg := c.cfg
				cfg.Netns, cfg.MTU, cfg.Up = tapNetns(t), 65521, true
				tap := tapOpen(t, cfg)
				return c.end(t, tap), newTAPRig(t, cfg.Netns, tap.Name())
			}
			frameiotest.Run(t, mk, frameiotest.Options{
				Caps: tapOpen(t, bridge.TAPConfig{Netns: tapNetns(t), NoOffload: c.cfg.NoOffload}).Caps(),

				OneSided: true, Full: frameiotest.FullDrops,
				MinFrame: 20,    // a kernel loses what ends right behind a VLAN tag (skb_vlan_untag)
				MaxFrame: 65535, // of the MTU; what is longer is TestTAPTagsBeyondTheMTU's
			})
		})
	}
}
