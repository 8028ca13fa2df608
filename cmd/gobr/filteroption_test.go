package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

func TestFilterOptions(t *testing.T) {
	o := parse(t, "--tap a --tap b --port a=allow_mac=02:00:00:00:00:01,allow_mac=02:00:00:00:00:02,allow_ip=10.0.0.5 "+
		"--port a=allow_ip=2001:db8::/64,bcast_rate=100,mcast_rate=7 --port b=unknown_rate=5")
	assert.Equal(t, []frame.MAC{{2, 5: 1}, {2, 5: 2}}, o.ports[0].allowed.MACs)
	require.Len(t, o.ports[0].allowed.IPs, 2)
	assert.Equal(t, "10.0.0.5/32", o.ports[0].allowed.IPs[0].String())
	assert.Equal(t, "2001:db8::/64", o.ports[0].allowed.IPs[1].String())
	assert.Equal(t, filter.Rates{{Frames: 100}, {Frames: 7}, {}}, o.ports[0].rates)
	assert.Equal(t, filter.Rates{2: {Frames: 5}}, o.ports[1].rates)

	for _, bad := range []string{
		"allow_mac", "allow_mac=ff:ff:ff:ff:ff:ff", "allow_ip=", "allow_ip=10.0.0.5/24", "allow_ip=fe80::1%a", "allow_ip=::ffff:10.0.0.1",
		"bcast_rate=0", "bcast_rate=-1", "mcast_rate=x",
	} {
		_, err := parseRun(strings.Fields("--tap a --port a=" + bad))
		assert.ErrorContains(t, err, "--port a="+bad+": ")
	}
	_, err := parseRun(strings.Fields("--tap a --host h --port br0=bcast_rate=5"))
	assert.ErrorContains(t, err, "no option of the host")
}

// The filters hold for the ports that have options, by the names that they have in the
// end, and for no others; what they tell is said.
func TestSetFilters(t *testing.T) {
	b, err := bridge.New(bridge.Config{Seed: 1})
	require.NoError(t, err)
	defer b.Close()
	var said strings.Builder
	s := &session{b: b, say: newSayer(&said)}
	s.watch()
	o := parse(t, "--tap vm%d --tap b --port vm%d=allow_mac=02:00:00:00:00:01,bcast_rate=10")
	for i, name := range []string{"vm0", "b"} {
		end, _ := bridge.NewPipe(bridge.PipeConfig{})
		joined, err := b.AddPort(name, end, bridge.PortConfig{})
		require.NoError(t, err)
		s.ports = append(s.ports, &port{portSpec: o.ports[i], name: name, joined: joined})
	}
	require.NoError(t, s.setFilters())
	f := func(src byte) frame.Frame {
		return frame.Frame{Data: append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, src, 0x88, 0xb5}, make([]byte, 46)...)}
	}
	vm, other := s.ports[0].joined, s.ports[1].joined
	require.NoError(t, vm.Receive(f(9)))
	require.NoError(t, vm.Receive(f(1)))
	require.NoError(t, vm.Receive(f(1), f(1), f(1)))
	for range 20 {
		require.NoError(t, other.Receive(f(9)))
	}
	assert.Equal(t, "addresses", b.FilterStats()[0].Name)
	assert.Equal(t, uint64(1), b.FilterStats()[0].Dropped)
	assert.NotZero(t, b.FilterStats()[1].Dropped, "three at once are more than ten a second")
	assert.Equal(t, uint64(20), other.Stats().Ingress.Used)
	assert.Contains(t, said.String(), "filter vm0 02:00:00:00:00:09: addresses: source address is not allowed: 02:00:00:00:00:09\n")

	s.ports = s.ports[1:]
	require.NoError(t, s.setFilters())
	assert.Empty(t, b.Filters(), "none is asked for")
}

func TestLoopProbeOptions(t *testing.T) {
	assert.Nil(t, parse(t, "--tap a").loopProbe)
	assert.Nil(t, parse(t, "--tap a --loop-probe off").loopProbe)
	assert.Equal(t, &filter.Probing{Hold: -1, Every: 3 * time.Second}, parse(t, "--tap a --loop-probe report,every=3").loopProbe)
	assert.Equal(t, &filter.Probing{}, parse(t, "--tap a --loop-probe hold").loopProbe)
	o := parse(t, "--tap a --tap b --loop-probe=hold,hold=30,every=1 --port b=loop_keep")
	assert.Equal(t, &filter.Probing{Hold: 30 * time.Second, Every: time.Second}, o.loopProbe)
	assert.False(t, o.ports[0].loopKeep)
	assert.True(t, o.ports[1].loopKeep)
}
