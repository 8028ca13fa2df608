package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// owner is whose local entry an address is: a port's name, "br0", or "-".
func (l *lab) owner(m frame.MAC, vid frame.VID) string {
	e, ok := l.b.FDB().Lookup(m, vid)
	switch {
	case !ok || e.State != bridge.NUDPermanent:
		return "-"
	case e.Port == "":
		return "br0"
	}
	return e.Port
}

// The bridge is called by the lowest address of its ports until somebody gives it
// one (fdb.md 5).
func TestBridgeAddress(t *testing.T) {
	l := newLab(t, bridge.Config{})
	addr := func() frame.MAC { return l.b.Info().Address }
	first := addr()
	assert.True(t, first.IsValid(), "made up while there never was a port")
	assert.Equal(t, "br0", l.owner(first, 0))
	assert.Equal(t, "br0", l.owner(first, 1))
	l.add(3, bridge.PortConfig{})
	assert.Equal(t, portMAC(3), addr())
	assert.Equal(t, "-", l.owner(first, 0), "the old one is no longer local")
	l.add(2, bridge.PortConfig{})
	assert.Equal(t, portMAC(2), addr())
	l.add(4, bridge.PortConfig{})
	assert.Equal(t, portMAC(2), addr())
	require.NoError(t, l.p(4).SetAddress(portMAC(1)))
	assert.Equal(t, portMAC(1), addr(), "follows a port's change")
	assert.Equal(t, []string{"-", "p4"}, []string{l.owner(portMAC(4), 0), l.owner(portMAC(1), 0)})
	assert.Equal(t, bridge.BridgeID{Priority: 0x8000, Address: portMAC(1)}, l.b.Info().BridgeID)
	require.NoError(t, l.b.RemovePort(l.p(4)))
	assert.Equal(t, portMAC(2), addr())
	require.NoError(t, l.b.RemovePort(l.p(2)))
	require.NoError(t, l.b.RemovePort(l.p(3)))
	assert.True(t, addr().IsZero(), "without ports none at all")
	l.add(5, bridge.PortConfig{})
	require.NoError(t, l.b.SetAddress(mac(77)))
	l.add(1, bridge.PortConfig{})
	assert.Equal(t, mac(77), addr(), "a given one stays")
	assert.Equal(t, []string{"br0", "br0", "p5"}, []string{l.owner(mac(77), 0), l.owner(mac(77), 1), l.owner(portMAC(5), 1)})
	require.NoError(t, l.b.SetAddressAuto())
	assert.Equal(t, portMAC(1), addr())
	assert.Equal(t, "-", l.owner(mac(77), 0))
}

// An address that several devices have goes from one to the next.
func TestLocalTakeover(t *testing.T) {
	l := newLab(t, bridge.Config{Address: mac(77)})
	same := portMAC(9)
	l.add(1, bridge.PortConfig{Address: same})
	l.add(2, bridge.PortConfig{Address: same, VLANs: bridge.Access(5)})
	assert.Equal(t, []string{"p1", "p1", "p2"}, []string{l.owner(same, 0), l.owner(same, 1), l.owner(same, 5)}, "the first owner keeps it")
	require.NoError(t, l.b.RemovePort(l.p(1)))
	assert.Equal(t, []string{"p2", "-", "p2"}, []string{l.owner(same, 0), l.owner(same, 1), l.owner(same, 5)}, "only where the heir is a member")
	require.NoError(t, l.b.SetAddress(same))
	assert.Equal(t, []string{"p2", "br0", "p2"}, []string{l.owner(same, 0), l.owner(same, 1), l.owner(same, 5)})
	require.NoError(t, l.p(2).SetAddress(portMAC(2)))
	assert.Equal(t, []string{"br0", "br0", "-"}, []string{l.owner(same, 0), l.owner(same, 1), l.owner(same, 5)})
	require.NoError(t, l.b.RemovePort(l.p(2)))
	assert.Equal(t, "br0", l.owner(same, 0))
}

// A device that joins with an address that was learned takes it over.
func TestLocalDisplacesLearned(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	l.learn(1, mac(9))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(8), State: bridge.NUDNoARP}))
	l.add(3, bridge.PortConfig{Address: mac(9)})
	l.add(4, bridge.PortConfig{Address: mac(8)})
	assert.Equal(t, []string{"p3", "p4"}, []string{l.owner(mac(9), 0), l.owner(mac(8), 0)})
	assert.Zero(t, l.b.FDB().Learned())
	l.learn(1, mac(9))
	assert.Equal(t, "p3", l.owner(mac(9), 0), "and cannot be taken back by traffic")
	require.NoError(t, l.b.RemovePort(l.p(3)))
	l.learn(1, mac(9))
	assert.Equal(t, "p1", l.where(mac(9), 0))
}

// What a user did to a local entry stays when its device gives the address up.
func TestLocalOfUser(t *testing.T) {
	l := newLabN(t, bridge.Config{Address: mac(77)}, 2)
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: portMAC(1), State: bridge.NUDPermanent, Mode: bridge.FDBReplace}))
	require.NoError(t, l.p(1).SetAddress(mac(50)))
	assert.Equal(t, "p1", l.owner(portMAC(1), 0))
	assert.Equal(t, "p1", l.owner(mac(50), 0))
	require.NoError(t, l.b.RemovePort(l.p(1)))
	assert.Equal(t, "-", l.owner(portMAC(1), 0), "but leaves with its port")
}

// MTU and carrier of the bridge device follow the ports (datapath.md 11).
func TestBridgeDevice(t *testing.T) {
	l := newLab(t, bridge.Config{})
	mtu := func() int { return l.b.Info().MTU }
	assert.True(t, l.b.Info().Carrier, "on while there never was a port")
	assert.Equal(t, 1500, mtu())
	l.add(1, bridge.PortConfig{MTU: 9000, NoCarrier: true})
	assert.False(t, l.b.Info().Carrier)
	assert.Equal(t, 9000, mtu())
	l.add(2, bridge.PortConfig{MTU: 1400})
	assert.True(t, l.b.Info().Carrier)
	assert.Equal(t, 1400, mtu())
	require.NoError(t, l.p(2).SetMTU(2000))
	assert.Equal(t, 2000, mtu())
	require.NoError(t, l.p(2).Set(bridge.PortAttrs{State: new(bridge.StateLearning)}))
	assert.False(t, l.b.Info().Carrier, "on only if a port is forwarding")
	require.NoError(t, l.b.RemovePort(l.p(2)))
	assert.Equal(t, 9000, mtu())
	require.NoError(t, l.b.SetMTU(9000))
	l.add(2, bridge.PortConfig{MTU: 1400})
	assert.Equal(t, 1400, mtu(), "setting the value that it has does not pin it")
	require.NoError(t, l.b.SetMTU(1300))
	require.NoError(t, l.b.RemovePort(l.p(2)))
	assert.Equal(t, 1300, mtu(), "set once, it stays")
	require.NoError(t, l.b.RemovePort(l.p(1)))
	assert.False(t, l.b.Info().Carrier, "goes with the last port")
}

// Port state follows the link, whatever it was set to before.
func TestPortState(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	state := func() bridge.PortState { return l.p(1).Info().State }
	assert.Equal(t, bridge.StateForwarding, state())
	for _, s := range []bridge.PortState{bridge.StateLearning, bridge.StateListening, bridge.StateDisabled} {
		l.set(1, bridge.PortAttrs{State: &s})
		assert.Equal(t, s, state())
	}
	l.set(1, bridge.PortAttrs{State: new(bridge.StateBlocking)})
	assert.Equal(t, bridge.StateForwarding, state(), "blocking snaps back")
	require.NoError(t, l.p(1).SetLink(true, false))
	assert.Equal(t, bridge.StateDisabled, state())
	require.NoError(t, l.p(1).SetLink(true, true))
	assert.Equal(t, bridge.StateForwarding, state())
	require.NoError(t, l.b.SetUp(false))
	assert.Equal(t, bridge.StateDisabled, state())
	require.NoError(t, l.p(1).SetLink(true, false))
	require.NoError(t, l.b.SetUp(true))
	assert.Equal(t, []bridge.PortState{bridge.StateDisabled, bridge.StateForwarding}, []bridge.PortState{state(), l.p(2).Info().State})

	down := newLab(t, bridge.Config{Down: true})
	down.add(1, bridge.PortConfig{})
	assert.Equal(t, bridge.StateDisabled, down.p(1).Info().State)
}

// A removed Port is a device: what concerns the device works, and nothing of it
// comes back with the next port of its name.
func TestRemovedPort(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	old := l.p(1)
	require.NoError(t, l.b.RemovePort(old))
	require.NoError(t, old.SetMTU(1300))
	require.NoError(t, old.SetLink(false, true))
	require.NoError(t, old.SetAddress(mac(60)))
	assert.Equal(t, bridge.PortInfo{Name: "p1", Address: mac(60), MTU: 1300, Carrier: true}, old.Info())
	assert.Nil(t, old.VLANs().All())
	assert.Nil(t, l.b.Port("p1"))
	again := l.add(1, bridge.PortConfig{})
	assert.Equal(t, 1, again.Info().No, "the lowest free number")
	assert.Equal(t, 1500, again.Info().MTU)
	assert.Equal(t, []*bridge.Port{l.p(2), again}, l.b.Ports(), "oldest first")
	assert.Equal(t, []string{"p1", "br0"}, l.out(2, ether(frame.Broadcast, mac(2))))
	require.NoError(t, l.p(2).Receive(ether(mac(60), mac(2))))
	assert.Equal(t, []string{"p1"}, devs(l.log.take()), "the old device's address is not local")
	_ = old.Receive(ether(frame.Broadcast, mac(3)))
	assert.Empty(t, l.log.take())
	assert.Equal(t, "-", l.where(mac(3), 0))
}
