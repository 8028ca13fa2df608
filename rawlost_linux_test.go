package bridge_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

func TestRawRefusesOneFrameAndTakesTheNext(t *testing.T) {
	_, a, b := rawPair(t)
	good := frame.Frame{Data: tapWire(9, 64)}
	super := rawSuper(4000)
	beyond := good
	beyond.Owed = frame.Offload{Flags: frame.NeedsCsum, CsumStart: 60, CsumOffset: 16}
	unknown := super
	unknown.Owed.GSOType = 2
	for name, c := range map[string]struct {
		bad    frame.Frame
		reason bridge.DropReason
	}{
		"no bytes":               {frame.Frame{}, bridge.DropDriver},
		"runt":                   {frame.Frame{Data: make([]byte, 13)}, bridge.DropDriver},
		"runt with tag":          {frame.Frame{Data: make([]byte, 13), Tag: rawQ}, bridge.DropDriver},
		"lifted from short":      {frame.Frame{Data: make([]byte, 17), Lifted: true}, bridge.DropDriver},
		"too long":               {frame.Frame{Data: tapWire(0, 1515)}, bridge.DropTooLong},
		"longer than any":        {frame.Frame{Data: tapWire(0, bridge.MaxRawFrame+1)}, bridge.DropTooLong},
		"longer than any by tag": {frame.Frame{Data: tapWire(0, bridge.MaxRawFrame-3), Tag: rawQ}, bridge.DropTooLong},
		"owes beyond its end":    {beyond, bridge.DropNoOffload},
		"owes what nobody knows": {unknown, bridge.DropNoOffload},
	} {
		fs := []frame.Frame{good, c.bad, good}
		n, err := a.WriteFrames(fs)
		var fe *bridge.FrameError
		require.ErrorAs(t, err, &fe, name)
		assert.Equal(t, c.reason, fe.Reason, name)
		assert.Equal(t, 1, n, name)
		n, err = a.WriteFrames(fs[2:])
		require.NoError(t, err, name)
		assert.Equal(t, 1, n, name)
		assert.Equal(t, []frame.Frame{good, good}, rawCollect(t, b, 2), name)
	}
}

// A qdisc drops what it has no room for, a frame at a time, and frames pass again
// when it has some.
func TestRawQdiscFull(t *testing.T) {
	ns, a, b := rawPair(t)
	rawTC(t, ns, "qdisc", "add", "dev", "v0", "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "3000")
	var taken []byte
	for i := range 20 {
		n, err := a.WriteFrames([]frame.Frame{{Data: tapWire(byte(i), 1000)}})
		if err == nil {
			require.Equal(t, 1, n)
			taken = append(taken, byte(i))
			continue
		}
		var refused *bridge.FrameError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, bridge.DropQueueFull, refused.Reason)
	}
	require.NotEmpty(t, taken, "the burst and the limit have room for some")
	require.Less(t, len(taken), 20)
	rawTC(t, ns, "qdisc", "del", "dev", "v0", "root") // drops what it holds
	rawSend(t, a, frame.Frame{Data: tapWire(100, 1000)})
	for f := range slices.Values(taken) { // those that the qdisc let go
		got := rawCollect(t, b, 1)[0]
		if got.Data[11] == 100 {
			return
		}
		assert.Equal(t, tapWire(f, 1000), got.Data)
	}
	assert.Equal(t, tapWire(100, 1000), rawCollect(t, b, 1)[0].Data)
}

// One frame that the device drops, as a veth does whose other end has a smaller MTU,
// costs no other frame of the batch.
func TestRawDropsOneOfABatch(t *testing.T) {
	ns, a, b := rawPair(t)
	tapIP(t, ns, "link", "set", "v1", "mtu", "1400")
	br, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	defer br.Close()
	_, err = br.AddPort("v0", a, bridge.PortConfig{Caps: a.Caps()})
	require.NoError(t, err)
	in, err := br.AddPort("in", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	var batch []frame.Frame
	for i := range 20 {
		size := 100
		if i == 3 {
			size = 1460
		}
		batch = append(batch, frame.Frame{Data: tapWire(byte(i), size)})
	}
	require.NoError(t, in.Receive(batch...))
	e := br.Port("v0").Stats().Egress
	assert.EqualValues(t, 1, e.Refused[bridge.DropQueueFull])
	assert.EqualValues(t, 19, e.Sent)
	for i, f := range rawCollect(t, b, 19) {
		if i >= 3 {
			i++
		}
		assert.Equal(t, batch[i].Data, f.Data)
	}
}

// A full send buffer is ErrQueueFull too.
func TestRawSendBufferFull(t *testing.T) {
	ns := rawVeth(t)
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, SndBuf: 1})
	rawTC(t, ns, "qdisc", "add", "dev", "v0", "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "1000000")
	fs := make([]frame.Frame, 100)
	for i := range fs {
		fs[i].Data = tapWire(byte(i), 1000)
	}
	n, err := a.WriteFrames(fs)
	assert.ErrorIs(t, err, bridge.ErrQueueFull)
	assert.Positive(t, n)
	assert.Less(t, n, len(fs))
}

// What is not read in time is counted, once, however often one asks, and the
// frames that there was room for come in order.
func TestRawLost(t *testing.T) {
	ns := rawVeth(t)
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns})
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns, RcvBuf: 20000})
	assert.Zero(t, b.Lost())
	const sent = 500
	for i := range sent {
		rawSend(t, a, frame.Frame{Data: tapWire(byte(i), 1000)})
	}
	lost := b.Lost()
	require.Positive(t, lost)
	require.Less(t, lost, uint64(sent))
	assert.Equal(t, lost, b.Lost())
	for i, f := range rawCollect(t, b, sent-int(lost)) {
		assert.Equal(t, tapWire(byte(i), 1000), f.Data)
	}
	rawSend(t, a, frame.Frame{Data: tapWire(99, 60)})
	assert.Equal(t, tapWire(99, 60), rawCollect(t, b, 1)[0].Data)
	assert.Equal(t, lost, b.Lost())
	for range sent {
		rawSend(t, a, frame.Frame{Data: tapWire(1, 1000)})
	}
	require.NoError(t, b.Close())
	assert.Greater(t, b.Lost(), lost, "the last are counted when it is closed")
}

// Long frames for which the socket's queue has no room are counted, one by one, and
// the short ones around them come.
func TestRawLostLong(t *testing.T) {
	ns := rawVeth(t)
	tapIP(t, ns, "link", "set", "v0", "mtu", "9000")
	tapIP(t, ns, "link", "set", "v1", "mtu", "9000")
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns})
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns, RcvBuf: 20000})
	for round := range 3 {
		const sent = 30
		for i := range sent {
			rawSend(t, a, frame.Frame{Data: tapWire(byte(i), 60+8000*(i%2))})
		}
		var short, long, last int
		fs := make([]frame.Frame, 64)
		for short < sent/2 {
			n, err := rawRead(t, b, fs)
			require.NoError(t, err)
			for _, f := range fs[:n] {
				mark := int(f.Data[11])
				assert.Equal(t, tapWire(byte(mark), 60+8000*(mark%2)), f.Data)
				assert.True(t, mark == 0 || mark > last, "in order")
				last = mark
				short, long = short+1-mark%2, long+mark%2
			}
		}
		assert.Positive(t, long, "round %d", round)
		assert.Less(t, long, sent/2)
		rawSend(t, a, frame.Frame{Data: tapWire(99, 60)})
		assert.Equal(t, tapWire(99, 60), rawCollect(t, b, 1)[0].Data)
		assert.EqualValues(t, (round+1)*(sent/2-long), b.Lost(), "all rounds are alike")
	}
}

// A frame longer than any that can be given is counted; it is never cut short.
func TestRawLostTooLong(t *testing.T) {
	ns := rawVeth(t)
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
	tapIP(t, ns, "link", "set", "v0", "gso_max_size", "200000") // BIG TCP, of IPv6
	w := make([]byte, 100000)
	copy(w, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64})
	w[22], w[23], w[38], w[39], w[66], w[67] = 0xfd, 1, 0xfd, 2, 0x50, 0x10
	rawSendVirtio(t, ns, "v0", frame.Frame{Data: w, Owed: frame.Offload{
		Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv6, HdrLen: 74, GSOSize: 1428, CsumStart: 54, CsumOffset: 16,
	}})
	rawSend(t, rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns}), frame.Frame{Data: tapWire(1, 64)})
	assert.Equal(t, tapWire(1, 64), rawCollect(t, b, 1)[0].Data)
	assert.Equal(t, uint64(1), b.Lost())
}
