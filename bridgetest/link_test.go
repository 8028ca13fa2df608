package bridgetest_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// linked is A - s1 --- s2 - B, with the cable in hand.
func linked(t *testing.T) (*bridgetest.Lab, *bridgetest.Link) {
	lab := bridgetest.NewLab(t, bridgetest.Config{
		Switches: []bridge.Config{{Name: "s1"}, {Name: "s2"}},
		Hosts:    []bridgetest.HostConfig{{Name: "A", Switch: "s1"}, {Name: "B", Switch: "s2"}},
	})
	k, err := lab.Connect(bridgetest.Cable{B: bridgetest.End{Switch: "s2"}})
	require.NoError(t, err)
	return lab, k
}

func TestLinkIsCutAndMended(t *testing.T) {
	lab, k := linked(t)
	a, b := lab.Host("A"), lab.Host("B")
	p, q := k.Ports()
	_, err := a.Ping(b.IP())
	require.NoError(t, err)

	for range 2 { // the second time without effect
		require.NoError(t, k.Cut())
		assert.False(t, p.Info().Carrier)
		assert.False(t, q.Info().Carrier)
		assert.Equal(t, bridge.StateDisabled, q.Info().State)
		_, err = a.Ping(b.IP())
		assert.ErrorIs(t, err, bridgetest.ErrNoAnswer)
	}
	require.NoError(t, k.Mend())
	assert.Equal(t, bridge.StateForwarding, p.Info().State)
	_, err = a.Ping(b.IP())
	require.NoError(t, err)

	lab.Close()
	assert.ErrorIs(t, k.Cut(), net.ErrClosed)
}

// What is in a cable when it is cut does not come out when it is whole again.
func TestCutLosesWhatIsUnderWay(t *testing.T) {
	lab, k := linked(t)
	a, b := lab.Host("A"), lab.Host("B")
	require.NoError(t, a.Send(bridgetest.NewFrame(b.MAC(), a.MAC(), 0x88b5, nil)))
	lab.Run(15 * time.Microsecond) // 10 to the switch, 5 into the cable
	assert.Equal(t, 1, lab.UnderWay())
	require.NoError(t, k.Cut())
	require.NoError(t, k.Mend())
	lab.Run(time.Second)
	assert.Zero(t, lab.UnderWay())
	assert.Empty(t, b.Received())
}

// Faults of one direction lose and delay there, and the other does not know.
func TestLinkIsImpaired(t *testing.T) {
	lab, k := linked(t)
	a, b := lab.Host("A"), lab.Host("B")
	send := func(n byte) {
		require.NoError(t, a.Send(bridgetest.NewFrame(b.MAC(), a.MAC(), 0x88b5, []byte{n})))
	}
	received := func() (ns []byte) {
		for _, f := range b.Received() {
			ns = append(ns, f.Data[frame.HeaderLen])
		}
		return ns
	}
	seen := 0
	k.Impair(func(f frame.Frame) (time.Duration, bool) {
		seen++
		n := f.Data[frame.HeaderLen]
		return time.Duration(10-n) * time.Second, n != 3
	}, nil)
	for n := range byte(5) {
		send(n)
	}
	lab.Run(20 * time.Second)
	assert.Equal(t, 5, seen)
	assert.Equal(t, []byte{4, 2, 1, 0}, received(), "the last one first, and one lost")
	require.NoError(t, b.Send(bridgetest.NewFrame(a.MAC(), b.MAC(), 0x88b5, nil)))
	lab.Run(time.Millisecond)
	assert.Len(t, a.Received(), 1)
	assert.NoError(t, lab.Check(), "what the cable loses was sent")

	k.Impair(nil, nil)
	send(3)
	lab.Run(time.Millisecond)
	assert.Equal(t, []byte{3}, received())
}
