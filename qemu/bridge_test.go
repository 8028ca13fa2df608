package qemu_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
)

// serve runs a bridge until the test is over.
func serve(t *testing.T) *bridge.Bridge {
	t.Helper()
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	require.NoError(t, b.SetUp(true))
	done := make(chan error, 1)
	go func() { done <- b.Serve(context.Background()) }() // ends with Close
	t.Cleanup(func() {
		b.Close()
		require.NoError(t, <-done)
	})
	return b
}

// pipePort joins a cable in memory and gives the other end of it.
func pipePort(t *testing.T, b *bridge.Bridge, name string) (*bridge.Port, *bridge.Pipe) {
	t.Helper()
	port, far := bridge.NewPipe(bridge.PipeConfig{})
	p, err := b.AddPort(name, port, bridge.PortConfig{Caps: port.Caps()})
	require.NoError(t, err)
	t.Cleanup(func() { far.Close() })
	return p, far
}

func carrier(t *testing.T, p *bridge.Port, want bool) {
	t.Helper()
	until(t, "the carrier", func() bool { return p.Info().Carrier == want })
}

// from makes a frame between two stations, dst 0 being all.
func from(src, dst byte, size int) []byte {
	b := data(size)
	copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	if dst != 0 {
		copy(b, []byte{2, 0, 0, 0, 0, dst})
	}
	copy(b[6:], []byte{2, 0, 0, 0, 0, src})
	return b
}

// A guest that does not read delays nobody: what others send each other arrives, all
// of it, and what is not for it is not even counted against it.
func TestSlowGuestDelaysNobody(t *testing.T) {
	b := serve(t)
	cable := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t), QueueBytes: 100_000})
	slow, err := b.AddPort("guest0", cable, bridge.PortConfig{Caps: cable.Caps(), Lost: cable.Lost})
	require.NoError(t, err)
	carrier(t, slow, false)
	_, x := pipePort(t, b, "x")
	_, y := pipePort(t, b, "y")
	peer := guest(t, cable)
	carrier(t, slow, true)

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := read(t, y)
	sent := 0
	refused := func() uint64 { return slow.Stats().Egress.Refused[bridge.DropQueueFull] }
	for refused() < 100 { // to all: by the slow guest's port too
		f := from(1, 0, 1000)
		binary.BigEndian.PutUint32(f[20:], uint32(sent))
		require.NoError(t, x.WriteContext(ctx, frame.Frame{Data: f}))
		assert.Equal(t, f, r.next(t))
		sent++
	}
	until(t, "the last frame's account", func() bool {
		l := slow.Stats().Egress
		return l.Offered == uint64(sent) && l.Balance() == 0
	})
	st := slow.Stats()
	assert.Equal(t, st.Egress.Offered, st.TxPackets+refused())
	assert.Zero(t, st.Egress.Refused[bridge.DropDriver])

	got := make([]byte, 4+1000) // it wakes up, and gets what was counted as sent
	last := int64(-1)
	for range st.TxPackets {
		_, err := io.ReadFull(peer, got)
		require.NoError(t, err)
		require.EqualValues(t, 1000, binary.BigEndian.Uint32(got))
		n := int64(binary.BigEndian.Uint32(got[4+20:]))
		require.Greater(t, n, last, "in order")
		last = n
	}
}

// A guest that starts anew finds its port as it was.
func TestReconnectKeepsThePort(t *testing.T) {
	b := serve(t)
	cable := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t)})
	limits := bridge.PortConfig{Caps: cable.Caps(), Lost: cable.Lost, Isolated: true, Cost: 7, FDBLimit: 5}
	p, err := b.AddPort("guest0", cable, limits)
	require.NoError(t, err)
	static := frame.MustParseMAC("02:00:00:00:00:99")
	require.NoError(t, b.FDB().Update(bridge.FDBRequest{Port: p, MAC: static, State: bridge.NUDNoARP}))
	_, x := pipePort(t, b, "x")
	r := read(t, x)
	carrier(t, p, false) // before the first guest comes
	before := p.Info()

	for round := range uint64(3) {
		peer := guest(t, cable)
		carrier(t, p, true)
		_, err := peer.Write(wire(from(2, 0, 60)))
		require.NoError(t, err)
		assert.Equal(t, from(2, 0, 60), r.next(t))
		_, err = x.WriteFrames([]frame.Frame{{Data: from(1, 2, 70)}})
		require.NoError(t, err)
		got := make([]byte, 4+70)
		_, err = io.ReadFull(peer, got)
		require.NoError(t, err)
		assert.Equal(t, wire(from(1, 2, 70)), got)
		require.NoError(t, peer.(*net.UnixConn).Close())
		carrier(t, p, false)

		now := p.Info()
		assert.Equal(t, [3]any{before.PortID, before.Cost, before.Isolated}, [3]any{now.PortID, now.Cost, now.Isolated})
		assert.NoError(t, now.Failed)
		assert.Equal(t, p, b.Port("guest0"))
		st := p.Stats()
		assert.Equal(t, round+1, st.RxPackets)
		assert.Equal(t, round+1, st.TxPackets)
		entry, ok := b.FDB().Lookup(static, 0)
		assert.True(t, ok && entry.Port == "guest0", "an entry that was configured stays")
		until(t, "what was learned goes with the carrier, as in Linux", func() bool {
			_, ok := b.FDB().Lookup(frame.MustParseMAC("02:00:00:00:00:02"), 0)
			return !ok
		})
	}
	assert.EqualValues(t, 3, cable.Stats().Connections)
}

// Two guests on datagram sockets reach each other through a bridge.
func TestDgramGuests(t *testing.T) {
	b := serve(t)
	var guests []*qemu.Dgram
	for _, name := range []string{"guest0", "guest1"} {
		cable, far := unixDgrams(t)
		_, err := b.AddPort(name, cable, bridge.PortConfig{Caps: cable.Caps(), Lost: cable.Lost})
		require.NoError(t, err)
		guests = append(guests, far)
	}
	r := read(t, guests[1])
	until(t, "a frame", func() bool {
		_, err := guests[0].WriteFrames([]frame.Frame{{Data: from(1, 0, 60)}})
		require.NoError(t, err)
		select {
		case got := <-r.frames:
			return assert.Equal(t, from(1, 0, 60), got)
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
}
