package qemu_test

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
)

func TestStreamConfigs(t *testing.T) {
	path := "unix:" + unixPath(t)
	for name, c := range map[string]struct {
		cfg    qemu.StreamConfig
		listen bool
	}{
		"no address":           {qemu.StreamConfig{}, true},
		"no path":              {qemu.StreamConfig{Address: "unix:"}, true},
		"no port":              {qemu.StreamConfig{Address: "tcp:127.0.0.1"}, true},
		"a datagram socket":    {qemu.StreamConfig{Address: "udp:127.0.0.1:1"}, true},
		"listen and reconnect": {qemu.StreamConfig{Address: path, Reconnect: time.Second}, true},
		"a short queue":        {qemu.StreamConfig{Address: path, QueueBytes: 69635}, true},
		"a negative queue":     {qemu.StreamConfig{Address: path, QueueBytes: -1}, true},
		"busy":                 {qemu.StreamConfig{Address: path, Reconnect: time.Microsecond}, false},
		"never":                {qemu.StreamConfig{Address: path, Reconnect: -time.Second}, false},
	} {
		open := qemu.Connect
		if c.listen {
			open = qemu.Listen
		}
		_, err := open(c.cfg)
		assert.ErrorIs(t, err, bridge.EINVAL, name)
	}
	conn, peer := net.Pipe()
	defer conn.Close()
	defer peer.Close()
	for _, cfg := range []qemu.StreamConfig{{Address: path}, {Reconnect: time.Second}, {QueueBytes: 1}} {
		_, err := qemu.NewStream(conn, cfg)
		assert.ErrorIs(t, err, bridge.EINVAL)
	}
	_, err := qemu.Connect(qemu.StreamConfig{Address: path})
	assert.ErrorContains(t, err, path, "the error says where nobody is")
}

// A frame is on the wire as QEMU has it, and one call gives all that came together.
func TestStreamFraming(t *testing.T) {
	s := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t)})
	peer := guest(t, s)
	want := [][]byte{data(60), data(14), data(1514), data(0), data(13), data(qemu.MaxFrame)}
	var stream []byte
	for _, b := range want {
		stream = append(stream, wire(b)...)
	}
	go peer.Write(stream) // ends when it is read
	r := read(t, s)
	for _, b := range want {
		assert.Equal(t, b, r.next(t))
	}

	tagged := frame.Frame{Data: data(400), Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 7}}
	short := frame.Frame{Data: data(60), Tag: frame.Tag{TPID: frame.TypeDot1AD, TCI: 8}, Lifted: true}
	plain := frame.Frame{Data: data(1514)}
	n, err := s.WriteFrames([]frame.Frame{tagged, short, plain})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	for _, f := range []frame.Frame{tagged, short, plain} {
		got := make([]byte, 4+f.WireLen())
		_, err := io.ReadFull(peer, got)
		require.NoError(t, err)
		assert.Equal(t, wire(f.AppendWire(nil)), got)
	}
}

func TestStreamImpossibleLengths(t *testing.T) {
	for name, length := range map[string][]byte{
		"one too many": {0, 1, 0x10, 1}, "all ones": {0xff, 0xff, 0xff, 0xff}, "negative": {0x80, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t)})
			bad, r := guest(t, s), read(t, s)
			_, err := bad.Write(slices.Concat(wire(data(60)), length, data(500)))
			require.NoError(t, err)
			assert.Equal(t, data(60), r.next(t), "what came before is given")
			until(t, "the end of the connection", func() bool { return s.Stats().BadLengths == 1 })
			_, err = bad.Read(make([]byte, 1))
			assert.Error(t, err, "the connection is closed")
			assert.ErrorContains(t, r.fails(t, true), "69632 are the most")
			assert.EqualValues(t, 1, s.Lost())

			good := guest(t, s)
			_, err = good.Write(wire(data(61)))
			require.NoError(t, err)
			assert.Equal(t, data(61), r.next(t), "the cable lives")
			assert.Equal(t, qemu.SlabLen, qemu.SlabOf(s))
		})
	}
	t.Run("no other peer", func(t *testing.T) {
		x, y := net.Pipe()
		defer y.Close()
		s, err := qemu.NewStream(x, qemu.StreamConfig{})
		require.NoError(t, err)
		r := read(t, s)
		_, err = y.Write([]byte{1, 0, 0, 0})
		require.NoError(t, err)
		err = r.fails(t, false)
		assert.ErrorIs(t, err, io.EOF)
		assert.ErrorContains(t, err, "16777216 bytes")
	})
}

// While there is no peer both calls say so at once, and a frame that the end of a
// connection cuts is none.
func TestStreamWithoutPeer(t *testing.T) {
	s := listen(t, qemu.StreamConfig{Address: "tcp:127.0.0.1:0"})
	fs := []frame.Frame{{Data: data(60)}}
	down := func(connections uint64) {
		t.Helper()
		for range 3 {
			n, err := s.ReadFrames(fs)
			assert.Zero(t, n)
			require.ErrorIs(t, err, bridge.ENETDOWN)
			assert.NotErrorIs(t, err, net.ErrClosed)
			assert.NotErrorIs(t, err, io.EOF)
			n, err = s.WriteFrames([]frame.Frame{{Data: data(60)}})
			assert.Zero(t, n)
			require.ErrorIs(t, err, bridge.ENETDOWN)
		}
		assert.Equal(t, connections, s.Stats().Connections)
		assert.False(t, s.Stats().Connected)
	}
	down(0)
	assert.NoError(t, s.Stats().Ended, "there was no connection")
	peer := guest(t, s)
	assert.NoError(t, s.Stats().Ended, "there is one")
	_, err := peer.Write(append(wire(data(60)), wire(data(100))[:50]...))
	require.NoError(t, err)
	require.NoError(t, peer.Close())
	n, err := s.ReadFrames(fs)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	down(1)
	assert.Equal(t, io.EOF, s.Stats().Ended)
	assert.EqualValues(t, 1, s.Stats().CutShort)
	assert.EqualValues(t, 1, s.Lost())
}

// A second connection waits, and is served with what it sent meanwhile.
func TestStreamServesOnePeerAtATime(t *testing.T) {
	s := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t)})
	first, r := guest(t, s), read(t, s)
	second, err := net.Dial("unix", s.Addr().String())
	require.NoError(t, err)
	defer second.Close()
	_, err = second.Write(wire(data(70)))
	require.NoError(t, err)
	_, err = first.Write(wire(data(60)))
	require.NoError(t, err)
	assert.Equal(t, data(60), r.next(t))
	assert.EqualValues(t, 1, s.Stats().Connections)
	require.NoError(t, first.Close())
	assert.Equal(t, data(70), r.next(t))
	assert.EqualValues(t, 2, s.Stats().Connections)
	assert.NotEmpty(t, r.errs, "the end of the first connection was told")
}

// The end of the only connection is the end of the cable, after all that was sent.
func TestConnectOnce(t *testing.T) {
	a, b := streamPair(t, "unix:"+unixPath(t))
	_, err := a.WriteFrames([]frame.Frame{{Data: data(60)}, {Data: data(61)}})
	require.NoError(t, err)
	require.NoError(t, a.Close())
	until(t, "an error", func() bool {
		_, err := b.WriteFrames([]frame.Frame{{Data: data(60)}})
		if err != nil {
			assert.ErrorIs(t, err, bridge.ENETDOWN, "until all is read")
		}
		return err != nil
	})
	r := read(t, b)
	assert.Equal(t, data(60), r.next(t))
	assert.Equal(t, data(61), r.next(t))
	assert.Equal(t, io.EOF, r.fails(t, false))
	_, err = b.WriteFrames([]frame.Frame{{Data: data(60)}})
	assert.ErrorIs(t, err, io.EOF)
	assert.NotErrorIs(t, err, bridge.ENETDOWN)
}

// A cable that connects tries until somebody listens, and again.
func TestConnectAgain(t *testing.T) {
	path := unixPath(t)
	s := connect(t, qemu.StreamConfig{Address: "unix:" + path, Reconnect: 2 * time.Millisecond})
	r := read(t, s)
	assert.ErrorContains(t, r.fails(t, true), path)
	for n := range uint64(3) {
		peer := listen(t, qemu.StreamConfig{Address: "unix:" + path})
		served(t, peer, 1)
		_, err := peer.WriteFrames([]frame.Frame{{Data: data(60 + int(n))}})
		require.NoError(t, err)
		assert.Equal(t, data(60+int(n)), r.next(t))
		assert.Equal(t, n+1, s.Stats().Connections)
		require.NoError(t, peer.Close())
		until(t, "the end of a connection", func() bool { return !s.Stats().Connected })
	}
}

// A peer that does not want to hear anything any more has left.
func TestStreamPeerShutsItsHalf(t *testing.T) {
	s := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t)})
	peer := guest(t, s)
	_, err := peer.Write(wire(data(60)))
	require.NoError(t, err)
	require.NoError(t, peer.(*net.UnixConn).CloseRead())
	n, err := s.WriteFrames([]frame.Frame{{Data: data(60)}})
	assert.Zero(t, n)
	require.ErrorIs(t, err, bridge.ENETDOWN)
	r := read(t, s)
	assert.Equal(t, data(60), r.next(t), "what it sent is read")
	r.fails(t, true)
	until(t, "the end of the connection", func() bool { return !s.Stats().Connected })
}

// fill writes frames until the peer, who does not read, has been given all that there
// is room for, and says how many were taken.
func fill(t *testing.T, s *qemu.Stream, size int) (taken int) {
	t.Helper()
	fs := make([]frame.Frame, 32)
	for i := range fs {
		fs[i].Data = data(size)
	}
	for {
		n, err := s.WriteFrames(fs)
		taken += n
		if err != nil {
			require.ErrorIs(t, err, bridge.ErrQueueFull)
			return taken
		}
		require.Equal(t, len(fs), n)
	}
}

// What a slow peer was promised it gets, though nothing else is written.
func TestStreamSlowPeerGetsTheRest(t *testing.T) {
	for _, size := range []int{60, 1514, 9014, qemu.MaxFrame} {
		s := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t), QueueBytes: 200_000})
		peer := guest(t, s)
		taken := fill(t, s, size)
		assert.Greater(t, s.Stats().Queued, 200_000-4-size-1)
		assert.LessOrEqual(t, s.Stats().Queued, 200_000)
		assert.LessOrEqual(t, qemu.QueueOf(s), 200_000)
		got := make([]byte, 4+size)
		for range taken {
			_, err := io.ReadFull(peer, got)
			require.NoError(t, err)
			require.Equal(t, wire(data(size)), got)
		}
		until(t, "an empty queue", func() bool { return s.Stats().Queued == 0 })
		require.NoError(t, peer.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
		_, err := peer.Read(got)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "and nothing more")
		assert.Zero(t, s.Stats().Dropped)
	}
}

// What was promised to a peer that leaves is counted, frame by frame.
func TestStreamCountsWhatIsDropped(t *testing.T) {
	s := listen(t, qemu.StreamConfig{Address: "unix:" + unixPath(t)})
	peer := guest(t, s)
	const size = 1000
	taken := fill(t, s, size)
	var got [(4 + size) * 20]byte
	_, err := io.ReadFull(peer, got[:])
	require.NoError(t, err)
	still, before := 0, -1
	until(t, "a socket that is full again", func() bool {
		time.Sleep(5 * time.Millisecond)
		if now := s.Stats().Queued; now != before {
			still, before = 0, now
		}
		still++
		return still > 200
	})
	queued := s.Stats().Queued
	require.NoError(t, peer.Close())
	r := read(t, s)
	r.fails(t, true)
	until(t, "the count", func() bool { return s.Stats().Dropped > 0 })
	whole := uint64((queued + 4 + size - 1) / (4 + size))
	assert.Equal(t, whole, s.Stats().Dropped, "of %d taken, %d bytes queued", taken, queued)
	assert.Zero(t, s.Stats().Queued)
}

// Close does not wait for a peer that does not read.
func TestStreamCloseWhileQueued(t *testing.T) {
	s := listen(t, qemu.StreamConfig{Address: "tcp:127.0.0.1:0"})
	guest(t, s)
	fill(t, s, 1514)
	require.NoError(t, s.Close())
	_, err := s.WriteFrames([]frame.Frame{{Data: data(60)}})
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.NotZero(t, s.Stats().Dropped)
}

func TestUnixSocketsLeftBehind(t *testing.T) {
	path := unixPath(t)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	for range 2 {
		_, err = qemu.Listen(qemu.StreamConfig{Address: "unix:" + path})
		require.Error(t, err, "somebody holds it")
		assert.ErrorContains(t, err, path)
		assert.ErrorContains(t, err, "a program that runs has this socket")
	}
	require.NoError(t, left.SetDeadline(time.Now().Add(100*time.Millisecond)))
	_, err = left.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "who holds it hears of nobody")
	require.NoError(t, left.Close())
	s := listen(t, qemu.StreamConfig{Address: "unix:" + path})
	guest(t, s)
	require.NoError(t, s.Close())
	_, err = os.Lstat(path)
	assert.ErrorIs(t, err, os.ErrNotExist, "Close removes it")

	require.NoError(t, os.WriteFile(path, []byte("of value"), 0o600))
	_, err = qemu.Listen(qemu.StreamConfig{Address: "unix:" + path})
	require.ErrorContains(t, err, "is no socket")
	_, err = qemu.OpenDgram(qemu.DgramConfig{Local: "unix:" + path})
	require.ErrorContains(t, err, "is no socket")
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "of value", string(kept), "no file is removed that is no socket")
}

func TestStreamRefusals(t *testing.T) {
	a, b := streamPair(t, "unix:"+unixPath(t))
	r := read(t, b)
	for _, c := range []struct {
		f   frame.Frame
		why bridge.DropReason
	}{
		{frame.Frame{Data: data(13)}, bridge.DropRunt},
		{frame.Frame{Data: data(17), Lifted: true}, bridge.DropTaggedRunt},
		{frame.Frame{Data: data(qemu.MaxFrame + 1)}, bridge.DropTooLong},
		{frame.Frame{Data: data(60), Owed: frame.Offload{Flags: frame.NeedsCsum, CsumStart: 14}}, bridge.DropNoOffload},
	} {
		n, err := a.WriteFrames([]frame.Frame{{Data: data(60)}, c.f, {Data: data(61)}})
		var refusal *bridge.FrameError
		require.True(t, errors.As(err, &refusal), "%v", err)
		assert.Equal(t, 1, n)
		assert.Equal(t, c.why, refusal.Reason)
		assert.Equal(t, data(60), r.next(t))
	}
}
