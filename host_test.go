package bridge_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

func TestHostTable(t *testing.T) {
	var h bridge.HostTable
	ip := netip.MustParseAddr
	known := func(vid frame.VID, s string) frame.MAC {
		n, ok := h.Neighbour(vid, ip(s))
		assert.Equal(t, ok, !n.MAC.IsZero())
		return n.MAC
	}
	assert.Zero(t, known(0, "10.0.0.1"))
	h.DeleteNeighbour(0, ip("10.0.0.1"))
	for i, s := range []string{"10.0.0.2", "10.0.0.1", "fe80::2", "::ffff:10.0.0.3", "fe80::1%eth0"} {
		h.SetNeighbour(0, ip(s), bridge.Neighbour{MAC: mac(i + 1)})
	}
	h.SetNeighbour(5, ip("10.0.0.1"), bridge.Neighbour{MAC: mac(50)})
	assert.Equal(t, mac(1), known(0, "10.0.0.2"))
	assert.Equal(t, mac(2), known(0, "10.0.0.1"))
	assert.Equal(t, mac(3), known(0, "fe80::2"))
	assert.Equal(t, mac(4), known(0, "10.0.0.3"))
	assert.Equal(t, mac(5), known(0, "fe80::1"))
	assert.Equal(t, mac(50), known(5, "10.0.0.1"))
	assert.Zero(t, known(6, "10.0.0.1"))
	h.SetNeighbour(0, ip("10.0.0.2"), bridge.Neighbour{MAC: mac(9), Router: true})
	n, _ := h.Neighbour(0, ip("10.0.0.2"))
	assert.Equal(t, bridge.Neighbour{MAC: mac(9), Router: true}, n)
	h.DeleteNeighbour(0, ip("10.0.0.1"))
	assert.Zero(t, known(0, "10.0.0.1"))
	assert.Equal(t, mac(50), known(5, "10.0.0.1"), "another device's")
	assert.Equal(t, mac(9), known(0, "10.0.0.2"))
}

func TestHostTableAddresses(t *testing.T) {
	var h bridge.HostTable
	ip := netip.MustParseAddr("192.0.2.1")
	assert.False(t, h.Local(0, ip))
	h.AddAddress(0, ip)
	h.AddAddress(0, ip)
	assert.True(t, h.Local(0, ip))
	assert.False(t, h.Local(5, ip), "the bridge is below its VLAN devices, not above")
	h.DeleteAddress(0, ip)
	assert.False(t, h.Local(0, ip))

	h.AddAddress(5, ip)
	assert.True(t, h.Local(5, ip))
	assert.False(t, h.Local(0, ip), "there is no such device")
	assert.False(t, h.VLANDevice(frame.TypeDot1Q, 5))
	h.AddVLANDevice(frame.TypeDot1Q, 5)
	assert.True(t, h.VLANDevice(frame.TypeDot1Q, 5))
	assert.False(t, h.VLANDevice(frame.TypeDot1AD, 5))
	assert.True(t, h.Local(0, ip), "a device on top of the bridge")
	h.DeleteVLANDevice(frame.TypeDot1Q, 5)
	assert.False(t, h.VLANDevice(frame.TypeDot1Q, 5) || h.Local(0, ip))
	assert.True(t, h.Local(5, ip))
}

// The table is changed while frames ask it; each frame finds the old entry or the
// new one.
func TestHostTableConcurrently(t *testing.T) {
	table := new(bridge.HostTable)
	l := neighLab(t, bridge.Config{}, table)
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	l.learn(2, neighMAC(0x22))
	l.forget()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends when the frames have passed
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			table.SetNeighbour(0, ip4(2), bridge.Neighbour{MAC: neighMAC([]int{2, 0x22}[i%2])})
			table.SetNeighbour(0, ip4(100+i%50), bridge.Neighbour{MAC: neighMAC(1)})
			table.DeleteNeighbour(0, ip4(100+(i+7)%50))
		}
	})
	p := l.p(1)
	before := p.Stats().TxPackets
	for range 2000 {
		require.NoError(t, p.Receive(whoHas(1, 2)))
	}
	close(done)
	wg.Wait()
	assert.EqualValues(t, 2000, p.Stats().TxPackets-before, "every request was answered")
	balanced(t, l.b)
}

// A bridge with no Host is one whose host has neither addresses nor neighbours.
func TestNoHost(t *testing.T) {
	for _, filtering := range []bool{false, true} {
		l := newLabN(t, bridge.Config{VLANFiltering: filtering}, 3)
		l.learn(2, neighMAC(2))
		l.set(1, bridge.PortAttrs{ProxyARPWifi: on()})
		l.set(2, bridge.PortAttrs{NeighSuppress: on()})
		assert.Equal(t, "br0 p2 p3", l.went(1, whoHas(1, 2)))
		assert.Equal(t, "br0 p3", l.went(1, whoHas(1, 1)), "a gratuitous request is kept from the port all the same")
		assert.Equal(t, "br0 p2 p3", l.went(1, solicit(1, 2).frame()))
	}
}

// oddHost is a Host that does as the test says.
type oddHost struct {
	bridge.HostTable
	neighbour func()
}

func (h *oddHost) Neighbour(vid frame.VID, ip netip.Addr) (bridge.Neighbour, bool) {
	h.neighbour()
	return h.HostTable.Neighbour(vid, ip)
}

// A Host that panics ends the port whose frame it was, and nothing else.
func TestHostPanics(t *testing.T) {
	h := &oddHost{neighbour: func() { panic("no") }}
	l := newLabN(t, bridge.Config{Host: h}, 3)
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	var failed []string
	l.b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventPortFailed {
			failed = append(failed, e.Port)
		}
	})
	assert.Len(t, l.p(1).Explain(whoHas(1, 2)).Out, 3)
	assert.Empty(t, failed, "what is only explained ends nothing")
	require.NoError(t, l.p(1).Info().Failed)
	assert.Equal(t, []string{"p3", "p2", "br0"}, l.out(1, whoHas(1, 2)), "as if it knew nobody")
	assert.Equal(t, []string{"p1"}, failed)
	assert.ErrorContains(t, l.p(1).Info().Failed, "no")
	require.NoError(t, l.p(2).Info().Failed)
	balanced(t, l.b)
}

// A Host that changes the configuration from inside a frame is told that it must not.
func TestHostMustNotCallTheBridge(t *testing.T) {
	var err error
	h := new(oddHost)
	l := newLabN(t, bridge.Config{Host: h}, 3)
	h.neighbour = func() { err = l.b.SetPromisc(true) }
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	l.in(1, whoHas(1, 2))
	assert.ErrorIs(t, err, bridge.ErrInBatch)
	require.NoError(t, l.b.SetPromisc(true), "outside of frames it may")
}
