package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// What random scenarios showed of a running kernel (6.18): who enables and disables a
// port, and what a port that is disabled meanwhile does not hear of.

func TestLinkThatDoesNotChange(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	disabled := func() { l.set(2, bridge.PortAttrs{State: new(bridge.StateDisabled)}) }
	state := func() bridge.PortState { return l.p(2).Info().State }
	disabled()
	require.NoError(t, l.b.SetUp(true))
	require.NoError(t, l.p(2).SetLink(true, true))
	assert.Equal(t, bridge.StateDisabled, state(), "up it was, and up it stays: nobody is told")
	require.NoError(t, l.p(2).SetLink(true, false))
	require.NoError(t, l.p(2).SetLink(true, true))
	assert.Equal(t, bridge.StateForwarding, state())
	disabled()
	require.NoError(t, l.b.SetUp(false))
	require.NoError(t, l.b.SetUp(true))
	assert.Equal(t, bridge.StateForwarding, state())
}

func TestDisabledPortThatGoesDown(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	l.learn(2, mac(2))
	l.set(2, bridge.PortAttrs{State: new(bridge.StateDisabled)})
	assert.Equal(t, "p2", l.where(mac(2), 0), "a state forgets nothing")
	require.NoError(t, l.p(2).SetLink(true, false))
	assert.Equal(t, "p2", l.where(mac(2), 0), "nor does a carrier, if the port is disabled")
	require.NoError(t, l.p(2).SetLink(false, false))
	assert.Equal(t, "-", l.where(mac(2), 0), "a device that goes down does")
}

func TestLinkWhileTheBridgeIsDown(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	require.NoError(t, l.b.SetUp(false))
	l.set(2, bridge.PortAttrs{State: new(bridge.StateLearning)})
	for _, up := range []bool{false, true} {
		require.NoError(t, l.p(2).SetLink(up, true))
		assert.Equal(t, bridge.StateLearning, l.p(2).Info().State, "a bridge that is down does not look")
	}
	l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)})
	require.NoError(t, l.p(1).SetLink(false, true))
	require.NoError(t, l.b.SetUp(true))
	assert.Equal(t, bridge.StateForwarding, l.p(2).Info().State)
	assert.Equal(t, bridge.StateLearning, l.p(1).Info().State, "of a device that is down no state changes")
}

func TestDesignatedBridgeOfDisabledPort(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	told := func(n int) uint16 { return l.p(n).Info().DesignatedBridge.Priority }
	l.set(2, bridge.PortAttrs{State: new(bridge.StateDisabled)})
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{Priority: new(uint16(4096))}))
	assert.Equal(t, uint16(4096), told(1))
	assert.Equal(t, uint16(32768), told(2), "it is passed over")
	id := l.p(2).Info().PortID
	l.set(2, bridge.PortAttrs{Priority: new(1)})
	assert.Equal(t, id, l.p(2).Info().DesignatedPort, "and what it says it is stays too")
	l.set(2, bridge.PortAttrs{State: new(bridge.StateForwarding)})
	assert.Equal(t, bridge.StateBlocking, l.p(2).Info().State, "it does not serve its segment: another would")
	l.set(1, bridge.PortAttrs{Cost: new(5)})
	assert.Equal(t, bridge.StateForwarding, l.p(2).Info().State, "until the ports are gone through again")
	assert.Equal(t, uint16(4096), told(2))
	assert.Equal(t, l.p(2).Info().PortID, l.p(2).Info().DesignatedPort)
}

func TestVLANStateOfPortThatLeft(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	p := l.p(2)
	assert.ErrorIs(t, p.VLANs().SetState(1, 0, bridge.StateBlocking+1), bridge.EINVAL)
	assert.ErrorIs(t, p.VLANs().SetState(1, 2, bridge.StateBlocking+1), bridge.ENOENT, "the VLANs come first")
	require.NoError(t, l.b.RemovePort(p))
	assert.ErrorIs(t, p.VLANs().Add(bridge.VLAN{VID: 2}), bridge.EOPNOTSUPP)
	assert.ErrorIs(t, p.VLANs().SetState(1, 0, bridge.StateForwarding), bridge.EINVAL)
}

func TestPassUpWhileTheBridgeIsDown(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	require.NoError(t, l.b.SetUp(false))
	l.set(2, bridge.PortAttrs{State: new(bridge.StateForwarding)})
	assert.Empty(t, l.out(2, ether(frame.Broadcast, mac(1))))
	s := l.b.Stats()
	assert.Equal(t, uint64(1), s.RxPackets, "the device counts it all the same")
	assert.Equal(t, uint64(1), s.Egress.Refused[bridge.DropHostDown])
}

func TestDeleteInVLANOfOthers(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	require.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 10}))
	assert.ErrorIs(t, l.b.FDB().Delete(nil, mac(1), new(frame.VID(10))), bridge.ENOENT)
	assert.ErrorIs(t, l.b.FDB().Delete(nil, mac(1), new(frame.VID(11))), bridge.EINVAL)
}

func TestHostRefusals(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	long := func(tpid uint16) frame.Frame {
		data := make([]byte, 1518)
		copy(data, ether(frame.Broadcast, mac(1)).Data[:12])
		data[12], data[13] = byte(tpid>>8), byte(tpid)
		return frame.Frame{Data: data}
	}
	assert.NoError(t, l.b.Xmit(long(0x8100)))
	assert.ErrorIs(t, l.b.Xmit(long(0x88a8)), bridge.EMSGSIZE, "room on top is for 802.1Q alone")
	assert.ErrorIs(t, l.b.Xmit(long(0x0800)), bridge.EMSGSIZE)
	require.NoError(t, l.b.SetUp(false))
	assert.ErrorIs(t, l.b.Xmit(frame.Frame{Data: []byte{1}}), bridge.ENETDOWN, "before anybody looks at the frame")
}
