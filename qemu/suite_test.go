package qemu_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/frameio/frameiotest"
	"github.com/ddfb540f/bridge/qemu"
)

// streamPair is a Stream that listens, and one that has connected to it.
func streamPair(t *testing.T, address string) (a, b *qemu.Stream) {
	a = listen(t, qemu.StreamConfig{Address: address})
	b = connect(t, qemu.StreamConfig{Address: addressOf(a)})
	served(t, a, 1)
	return a, b
}

// secondPeer is a Stream that listens, with its second peer.
func secondPeer(t *testing.T) (a, b *qemu.Stream) {
	a, first := streamPair(t, "unix:"+unixPath(t))
	_, err := first.WriteFrames([]frame.Frame{{Data: data(60)}})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	awaitDown(t, a)
	b = connect(t, qemu.StreamConfig{Address: addressOf(a)})
	served(t, a, 2)
	return a, b
}

// secondServer is a Stream that has connected a second time.
func secondServer(t *testing.T) (a, b *qemu.Stream) {
	address := "unix:" + unixPath(t)
	first := listen(t, qemu.StreamConfig{Address: address})
	a = connect(t, qemu.StreamConfig{Address: address, Reconnect: time.Millisecond})
	served(t, a, 1)
	served(t, first, 1)
	require.NoError(t, first.Close())
	awaitDown(t, a)
	b = listen(t, qemu.StreamConfig{Address: address})
	served(t, b, 1)
	until(t, "a connection", func() bool { return a.Stats().Connected })
	return a, b
}

// awaitDown reads until the cable says that it has no peer.
func awaitDown(t *testing.T, s *qemu.Stream) {
	fs := make([]frame.Frame, 4)
	for {
		if _, err := s.ReadFrames(fs); err != nil {
			require.ErrorIs(t, err, bridge.ENETDOWN)
			return
		}
	}
}

// overPipe is two Streams over connections that are no sockets, whose writes are all
// queued, as they are on systems other than Linux.
func overPipe(t *testing.T) (a, b *qemu.Stream) {
	x, y := net.Pipe()
	a, err := qemu.NewStream(x, qemu.StreamConfig{})
	require.NoError(t, err)
	b, err = qemu.NewStream(y, qemu.StreamConfig{})
	require.NoError(t, err)
	return a, b
}

func TestStreamIsAFrameIO(t *testing.T) {
	for name, mk := range map[string]func(t *testing.T) (a, b *qemu.Stream){
		"unix":             func(t *testing.T) (a, b *qemu.Stream) { return streamPair(t, "unix:"+unixPath(t)) },
		"tcp":              func(t *testing.T) (a, b *qemu.Stream) { return streamPair(t, "tcp:127.0.0.1:0") },
		"second peer":      secondPeer,
		"second server":    secondServer,
		"no system's call": overPipe,
	} {
		t.Run(name, func(t *testing.T) {
			frameiotest.Run(t, func(t *testing.T) (a, b bridge.FrameIO) { return mk(t) }, frameiotest.Options{
				Caps: (&qemu.Stream{}).Caps(), Settle: 5 * time.Millisecond,
				Fill: 1 << 16, // TCP on loopback keeps 10 MB and more
			})
		})
	}
}

func openDgram(t testing.TB, cfg qemu.DgramConfig) *qemu.Dgram {
	t.Helper()
	d, err := qemu.OpenDgram(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// freeUDP is an address on loopback that nobody uses now.
func freeUDP(t testing.TB) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer c.Close()
	return "udp:" + c.LocalAddr().String()
}

func dgramPair(t testing.TB, a, b string) (x, y *qemu.Dgram) {
	t.Helper()
	return openDgram(t, qemu.DgramConfig{Local: a, Remote: b}), openDgram(t, qemu.DgramConfig{Local: b, Remote: a})
}

func unixDgrams(t testing.TB) (a, b *qemu.Dgram) {
	return dgramPair(t, "unix:"+unixPath(t), "unix:"+unixPath(t))
}

func udpDgrams(t testing.TB) (a, b *qemu.Dgram) {
	near := freeUDP(t)
	far := freeUDP(t)
	for far == near { // one that was let go may be given again
		far = freeUDP(t)
	}
	return dgramPair(t, near, far)
}

// learnedDgrams is a Dgram that has learned where its peer is, and the peer.
func learnedDgrams(t testing.TB) (a, b *qemu.Dgram) {
	at, guest := unixPath(t), unixPath(t)
	a = openDgram(t, qemu.DgramConfig{Local: "unix:" + at})
	b = openDgram(t, qemu.DgramConfig{Local: "unix:" + guest, Remote: "unix:" + at})
	_, err := b.WriteFrames([]frame.Frame{{Data: data(60)}})
	require.NoError(t, err)
	_, err = a.ReadFrames(make([]frame.Frame, 1))
	require.NoError(t, err)
	return a, b
}

// groupDgrams is two members of a multicast group on loopback.
func groupDgrams(t testing.TB) (a, b *qemu.Dgram) {
	_, port, err := net.SplitHostPort(freeUDP(t)[len("udp:"):])
	require.NoError(t, err)
	cfg := qemu.DgramConfig{Local: "udp:127.0.0.1:0", Remote: "udp:239.255.77.1:" + port}
	return openDgram(t, cfg), openDgram(t, cfg)
}

func TestDgramIsAFrameIO(t *testing.T) {
	for name, c := range map[string]struct {
		mk   func(t testing.TB) (a, b *qemu.Dgram)
		full frameiotest.Full
	}{
		"unix":    {unixDgrams, frameiotest.FullAnswers},
		"learned": {learnedDgrams, frameiotest.FullAnswers},
		"udp":     {udpDgrams, frameiotest.FullDrops},
		"group":   {groupDgrams, frameiotest.FullDrops},
	} {
		for way, portable := range map[string]bool{"": false, ", portable": true} {
			t.Run(name+way, func(t *testing.T) {
				mk := func(t *testing.T) (x, y bridge.FrameIO) {
					a, b := c.mk(t)
					if portable {
						require.NoError(t, qemu.PortableDgram(a))
						require.NoError(t, qemu.PortableDgram(b))
					}
					return a, b
				}
				a, _ := c.mk(t)
				frameiotest.Run(t, mk, frameiotest.Options{
					Caps: a.Caps(), Full: c.full, Settle: 5 * time.Millisecond,
					Unreliable: name == "group", // what a member sends comes back to it, and takes the room of others' frames
					Fill:       1024,            // so that it is soon rid of that
				})
			})
		}
	}
}
