package bridge_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// What a port sends of its own leaves by that port, whatever the bridge would say of it,
// and is accounted for.
func TestPortSend(t *testing.T) {
	drop := bridge.Filter{Name: "all", Hooks: bridge.Hooks(bridge.HookLocalOut, bridge.HookForward, bridge.HookPostRouting),
		Judge: func(*bridge.Passage) bridge.Ruling { return bridge.FilterDrop.Because("nothing may leave") }}
	b, err := bridge.New(bridge.Config{Seed: 1, VLANFiltering: true, Filters: []bridge.Filter{drop}})
	require.NoError(t, err)
	defer b.Close()
	var ends []*bridge.Pipe
	var ports []*bridge.Port
	for _, name := range []string{"p1", "p2"} {
		ours, its := bridge.NewPipe(bridge.PipeConfig{})
		p, err := b.AddPort(name, its, bridge.PortConfig{VLANs: []bridge.VLAN{}, Caps: bridge.Caps{TagAside: true}})
		require.NoError(t, err)
		ends, ports = append(ends, ours), append(ports, p)
	}
	require.NoError(t, ports[0].Set(bridge.PortAttrs{State: new(bridge.StateBlocking)}))
	require.NoError(t, ports[1].Set(bridge.PortAttrs{State: new(bridge.StateLearning)}))
	own := frame.Frame{Data: append(append(frame.Broadcast[:len(frame.Broadcast):len(frame.Broadcast)], 2, 0, 0, 0, 0, 9, 0x90, 0), make([]byte, 46)...)}
	tagged := own
	tagged.Tag = frame.Tag{TPID: frame.TypeDot1Q}.WithVID(7)

	got := make([]frame.Frame, 4)
	require.NoError(t, ports[1].Send(own, tagged))
	require.Equal(t, 2, ends[1].TryRead(got))
	assert.Equal(t, own.AppendWire(nil), got[0].AppendWire(nil))
	assert.Equal(t, tagged.AppendWire(nil), got[1].AppendWire(nil))
	assert.Zero(t, ends[0].TryRead(got))
	assert.Zero(t, b.FDB().Learned())

	assert.ErrorIs(t, ports[1].Send(frame.Frame{Data: own.Data[:13]}, own), bridge.EINVAL)
	assert.Equal(t, 1, ends[1].TryRead(got), "the frame behind a bad one is sent")
	owing := own
	owing.Owed = frame.Offload{Flags: frame.NeedsCsum, CsumStart: 200}
	assert.ErrorIs(t, ports[1].Send(owing), bridge.EINVAL)
	require.NoError(t, ports[1].Send(frame.Frame{Data: make([]byte, 1519)}))
	require.NoError(t, ports[1].SetLink(true, false))
	require.NoError(t, ports[1].Send(own))
	s := ports[1].Stats()
	assert.Equal(t, uint64(3), s.Egress.Sent)
	assert.Equal(t, uint64(1), s.Egress.Refused[bridge.DropTooLong])
	assert.Equal(t, uint64(1), s.Egress.Refused[bridge.DropPortDown])
	assert.Zero(t, s.Egress.Balance())
	assert.Zero(t, b.Stats().Ingress.Balance())

	require.NoError(t, b.RemovePort(ports[1]))
	assert.ErrorIs(t, ports[1].Send(own), bridge.ENODEV)
	require.NoError(t, b.Close())
	assert.ErrorIs(t, ports[0].Send(own), net.ErrClosed)
}
