package bridge_test

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tapFlow is the frame of that number of a UDP flow over IPv4: the ports tell flows
// apart, and back is the other direction.
func tapFlow(flow, number uint16, back bool) frame.Frame {
	be := binary.BigEndian
	b := append([]byte{2, 0, 0, 0, 0x0f, 0xfd}, tapIPSource[:]...)
	b = append(b, 8, 0, 0x45, 0, 0, 30, 0, 1, 0x40, 0, 64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	from, to := 1000+flow, 2000+flow
	if back {
		copy(b, tapIPSource[:])
		copy(b[6:], []byte{2, 0, 0, 0, 0x0f, 0xfd})
		b[29], b[33] = 2, 1
		from, to = to, from
	}
	be.PutUint16(b[24:], ^tapFold(tapSum(b[14:34])))
	b = be.AppendUint16(b, from)
	b = be.AppendUint16(b, to)
	b = append(b, 0, 10, 0, 0) // RFC 768: no checksum
	return frame.Frame{Data: be.AppendUint16(b, number)}
}

// tapFlowOf is tapFlow's other way; ok is false for other frames.
func tapFlowOf(f *frame.Frame) (flow, number uint16, ok bool) {
	be, b := binary.BigEndian, f.Data
	if len(b) != 44 || f.Type() != frame.TypeIPv4 || b[23] != unix.IPPROTO_UDP {
		return 0, 0, false
	}
	return min(be.Uint16(b[34:]), be.Uint16(b[36:])) - 1000, be.Uint16(b[42:]), true
}

// Each queue is a FrameIO of its own, and a flow comes out of the one where it was
// last written.
func TestTAPQueues(t *testing.T) {
	ns := tapNetns(t)
	for _, n := range []int{0, 1} {
		assert.Nil(t, tapOpen(t, bridge.TAPConfig{Netns: ns, Queues: n}).Queues())
	}
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Queues: 4, Up: true})
	require.Len(t, tap.Queues(), 3)
	rig := newTAPRig(t, ns, tap.Name())
	all := append([]bridge.FrameIO{tap}, tap.Queues()...)
	read := func(q bridge.FrameIO) (flow, number uint16) {
		t.Helper()
		watchdog := time.AfterFunc(tapWait, func() { tap.Close() })
		defer watchdog.Stop()
		fs := make([]frame.Frame, 1)
		_, err := q.ReadFrames(fs)
		require.NoError(t, err)
		flow, number, ok := tapFlowOf(&fs[0])
		require.True(t, ok)
		return flow, number
	}
	for round := range uint16(3) {
		for i, q := range all {
			flow := uint16(i)
			_, err := q.WriteFrames([]frame.Frame{tapFlow(flow, round, false)})
			require.NoError(t, err)
			sent := tapFlow(flow, round, false)
			assert.Equal(t, sent.Data, tapNextFlow(t, rig).Data)
			rig.send(t, tapFlow(flow, round, true))
			gotFlow, gotRound := read(q)
			assert.Equal(t, [2]uint16{flow, round}, [2]uint16{gotFlow, gotRound}, "queue %d", i)
		}
		all = append(all[1:], all[0]) // the flows move
	}
}

// tapNextFlow gives the next frame of tapFlow that the interface received.
func tapNextFlow(t testing.TB, rig *tapRig) frame.Frame {
	t.Helper()
	require.NoError(t, rig.file.SetReadDeadline(time.Now().Add(tapWait)))
	for {
		fs := make([]frame.Frame, 1)
		_, err := rig.ReadFrames(fs)
		require.NoError(t, err)
		if _, _, ok := tapFlowOf(&fs[0]); ok {
			return fs[0].Clone()
		}
	}
}

// A queue may be closed by itself; the kernel then chooses among the others. Closing
// the TAP closes all.
func TestTAPQueuesClose(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Queues: 3, Up: true})
	rig := newTAPRig(t, ns, tap.Name())
	second, third := tap.Queues()[0], tap.Queues()[1]
	waits := tapReader(second)
	for range 2 {
		assert.NoError(t, second.Close())
	}
	assert.ErrorIs(t, tapEnded(t, waits), net.ErrClosed)
	_, err := second.WriteFrames([]frame.Frame{tapFlow(1, 1, false)})
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.NoError(t, third.Close())
	for flow := range uint16(16) {
		rig.send(t, tapFlow(flow, 1, true))
	}
	got := map[uint16]bool{}
	fs := make([]frame.Frame, 16)
	for len(got) < 16 {
		n, err := tapRead(t, tap, fs)
		require.NoError(t, err)
		for i := range fs[:n] {
			flow, _, ok := tapFlowOf(&fs[i])
			require.True(t, ok)
			got[flow] = true
		}
	}
	assert.Zero(t, tap.Lost())

	tap = tapOpen(t, bridge.TAPConfig{Netns: ns, Queues: 3, Up: true})
	var ended []<-chan error
	for _, q := range append(tap.Queues(), tap) {
		ended = append(ended, tapReader(q))
	}
	require.NoError(t, tap.Close())
	for _, e := range ended {
		assert.ErrorIs(t, tapEnded(t, e), net.ErrClosed)
	}
	for _, q := range tap.Queues() {
		_, err := q.WriteFrames([]frame.Frame{tapFlow(1, 1, false)})
		assert.ErrorIs(t, err, net.ErrClosed)
		assert.NoError(t, q.Close())
	}
	assert.Nil(t, tapInterface(t, ns, tap.Name()))
}

// A persistent TAP is attached as it was made, or the error says how.
func TestTAPQueuesPersistent(t *testing.T) {
	ns := tapNetns(t)
	tapIP(t, ns, "tuntap", "add", "dev", "many", "mode", "tap", "multi_queue")
	tapIP(t, ns, "tuntap", "add", "dev", "one", "mode", "tap")
	_, err := bridge.OpenTAP(bridge.TAPConfig{Netns: ns, Name: "many"})
	assert.ErrorIs(t, err, bridge.EINVAL)
	assert.ErrorContains(t, err, "made with multi_queue: choose another name, or set Queues to 2 or more")
	_, err = bridge.OpenTAP(bridge.TAPConfig{Netns: ns, Name: "one", Queues: 2})
	assert.ErrorIs(t, err, bridge.EINVAL)
	assert.ErrorContains(t, err, "made without multi_queue: choose another name, or set Queues to 1")

	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "many", Queues: 2, Up: true})
	rig := newTAPRig(t, ns, "many")
	for _, q := range append(tap.Queues(), tap) {
		_, err := q.WriteFrames([]frame.Frame{tapFlow(7, 1, false)})
		require.NoError(t, err)
		sent := tapFlow(7, 1, false)
		assert.Equal(t, sent.Data, tapNextFlow(t, rig).Data)
	}
	require.NoError(t, tap.Close())
	require.NotNil(t, tapInterface(t, ns, "many"))

	for range 255 { // of the 256 that a TAP can have
		tapRaw(t, ns, "many", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR|unix.IFF_MULTI_QUEUE)
	}
	_, err = bridge.OpenTAP(bridge.TAPConfig{Netns: ns, Name: "many", Queues: 2})
	assert.ErrorIs(t, err, unix.E2BIG)
	assert.ErrorContains(t, err, "ask for fewer")
}

// Each queue's descriptor, handed over by another program, is a TAP of its own, and
// they serve one port.
func TestTAPQueuesFromFiles(t *testing.T) {
	ns := tapNetns(t)
	var taps []*bridge.TAP
	for range 2 {
		file := tapRaw(t, ns, "given", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR|unix.IFF_MULTI_QUEUE)
		taps = append(taps, tapOpen(t, bridge.TAPConfig{File: file, Up: true}))
	}
	rig := newTAPRig(t, ns, "given")
	for i, tap := range taps {
		f := tapFlow(uint16(i), 5, false)
		_, err := tap.WriteFrames([]frame.Frame{f})
		require.NoError(t, err)
		assert.Equal(t, f.Data, tapNextFlow(t, rig).Data)
		rig.send(t, tapFlow(uint16(i), 6, true))
		fs := make([]frame.Frame, 1)
		_, err = tapRead(t, tap, fs)
		require.NoError(t, err)
		back := tapFlow(uint16(i), 6, true)
		assert.Equal(t, back.Data, fs[0].Data)
	}
}

// A queue that went to another interface, because the name changed hands meanwhile,
// is noticed.
func TestTAPQueuesOfOneInterface(t *testing.T) {
	ns := tapNetns(t)
	const flags = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE
	one, two := tapRaw(t, ns, "one", flags), tapRaw(t, ns, "one", flags)
	assert.NoError(t, bridge.SameInterface(one, two))
	tapIP(t, ns, "link", "set", "one", "name", "two")
	assert.NoError(t, bridge.SameInterface(one, two))
	other := tapRaw(t, ns, "one", flags)
	assert.ErrorIs(t, bridge.SameInterface(one, two, other), bridge.EBUSY)
	tapIP(t, ns, "link", "del", "two")
	assert.ErrorIs(t, bridge.SameInterface(one, other), unix.EBADFD)
}
