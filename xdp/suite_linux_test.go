package xdp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frameio/frameiotest"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// suiteMTU is the largest that a veth takes in native mode, roughly.
const suiteMTU = "3500"

// veth makes a pair of interfaces, v0 and v1, both up, in a namespace of their own.
func veth(t testing.TB, mtu string) (path string) {
	t.Helper()
	ns := netnstest.New(t, false)
	ip(t, ns, "link", "add", "v0", "mtu", mtu, "type", "veth", "peer", "name", "v1", "mtu", mtu)
	ip(t, ns, "link", "set", "v0", "up")
	ip(t, ns, "link", "set", "v1", "up")
	awaitUp(t, ns, "v0")
	awaitUp(t, ns, "v1")
	return ns.Path()
}

// Two ports at the ends of a cable keep the contract of a FrameIO, be their memory
// the same or not; and so does one opposite a packet socket.
func TestIsAFrameIO(t *testing.T) {
	netnstest.Needs(t)
	opts := frameiotest.Options{Caps: bridge.Caps{TagAside: true, MaxFrame: 4096}, Full: frameiotest.FullDrops, MaxFrame: 3514}
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // nearly all of it is waiting for the kernel
			t.Run("one group", func(t *testing.T) {
				t.Parallel()
				frameiotest.Run(t, func(t *testing.T) (a, b bridge.FrameIO) {
					ns := veth(t, suiteMTU)
					g := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "v0", Netns: ns, Generic: generic}, {Name: "v1", Netns: ns, Generic: generic}}})
					require.Equal(t, opts.Caps.MaxFrame, g.Ports()[0].Caps().MaxFrame)
					return g.Ports()[0], g.Ports()[1]
				}, opts)
			})
			opts := opts
			opts.OneSided = true
			t.Run("two groups", func(t *testing.T) {
				t.Parallel()
				frameiotest.Run(t, func(t *testing.T) (a, b bridge.FrameIO) {
					ns := veth(t, suiteMTU)
					ga := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "v0", Netns: ns, Generic: generic}}})
					gb := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "v1", Netns: ns, Generic: generic}}})
					return ga.Ports()[0], gb.Ports()[0]
				}, opts)
			})
			t.Run("packet socket", func(t *testing.T) {
				t.Parallel()
				opts := opts
				opts.MinFrame = 20 // a kernel loses what ends right behind a VLAN tag
				frameiotest.Run(t, func(t *testing.T) (a, b bridge.FrameIO) {
					ns := veth(t, suiteMTU)
					g := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "v0", Netns: ns, Generic: generic}}})
					r, err := bridge.OpenRaw(bridge.RawConfig{Name: "v1", Netns: ns})
					require.NoError(t, err)
					return g.Ports()[0], r
				}, opts)
			})
		})
	}
}
