package qemu_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
)

func TestDgramConfigs(t *testing.T) {
	path := "unix:" + unixPath(t)
	long := make([]byte, 120)
	for i := range long {
		long[i] = 'x'
	}
	for name, cfg := range map[string]qemu.DgramConfig{
		"nothing":           {},
		"no remote":         {Local: "udp:127.0.0.1:0"},
		"no local":          {Remote: "udp:127.0.0.1:1"},
		"one of each":       {Local: path, Remote: "udp:127.0.0.1:1"},
		"and the other way": {Local: "udp:127.0.0.1:0", Remote: path},
		"a stream":          {Local: "tcp:127.0.0.1:0", Remote: "udp:127.0.0.1:1"},
		"a long path":       {Local: path, Remote: "unix:/" + string(long)},
		"an IPv6 group":     {Remote: "udp:[ff02::1]:1234"},
		"a remote port 0":   {Local: "udp:127.0.0.1:0", Remote: "udp:127.0.0.1:0"},
		"another port 0":    {Local: "udp:127.0.0.1:1234", Remote: "udp:127.0.0.1:0"},
		"its own path":      {Local: path, Remote: path},
		"a group's port":    {Local: "udp:127.0.0.1:1234", Remote: "udp:239.255.77.1:1234"},
	} {
		_, err := qemu.OpenDgram(cfg)
		assert.ErrorIs(t, err, bridge.EINVAL, name)
	}
}

// both runs a test with either of the ways in which datagrams are read and written.
func both(t *testing.T, test func(t *testing.T, open func(qemu.DgramConfig) *qemu.Dgram)) {
	for name, portable := range map[string]bool{"the system's way": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			test(t, func(cfg qemu.DgramConfig) *qemu.Dgram {
				d := openDgram(t, cfg)
				if portable {
					require.NoError(t, qemu.PortableDgram(d))
				}
				return d
			})
		})
	}
}

// unixgram is the socket of a guest that is at a path, "" for none.
func unixgram(t *testing.T, path, to string) *net.UnixConn {
	t.Helper()
	var local *net.UnixAddr
	if path != "" {
		local = &net.UnixAddr{Name: path, Net: "unixgram"}
	}
	c, err := net.DialUnix("unixgram", local, &net.UnixAddr{Name: to, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	_, err := c.Write(b)
	require.NoError(t, err)
}

// heard reads one datagram.
func heard(t *testing.T, c net.Conn) []byte {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 2000)
	n, err := c.Read(b)
	require.NoError(t, err)
	return b[:n]
}

// Who sends first is the peer, until it has gone; vfkit's first words are no frame.
func TestDgramLearnsItsPeer(t *testing.T) {
	both(t, func(t *testing.T, open func(qemu.DgramConfig) *qemu.Dgram) {
		at := unixPath(t)
		d := open(qemu.DgramConfig{Local: "unix:" + at})
		one := []frame.Frame{{Data: data(60)}}
		_, err := d.WriteFrames(one)
		require.ErrorIs(t, err, bridge.ENETDOWN, "nobody is known")
		assert.EqualValues(t, 1, d.Stats().Unreachable)

		r := read(t, d)
		put(t, unixgram(t, "", at), data(90)) // who has no address is no peer
		first, second := unixPath(t), unixPath(t)
		guest := unixgram(t, first, at)
		put(t, guest, []byte("VFKT"))
		put(t, guest, data(13)) // for the bridge to count
		put(t, guest, data(60))
		assert.Equal(t, data(13), r.next(t))
		assert.Equal(t, data(60), r.next(t))
		_, err = d.WriteFrames(one)
		require.NoError(t, err)
		assert.Equal(t, data(60), heard(t, guest))

		other := unixgram(t, second, at)
		put(t, other, data(70))
		put(t, guest, data(61))
		assert.Equal(t, data(61), r.next(t), "another's is passed over")
		assert.EqualValues(t, 2, d.Stats().Foreign)

		require.NoError(t, guest.Close())
		until(t, "the other is listened to", func() bool {
			put(t, other, data(71))
			select {
			case b := <-r.frames:
				return assert.Equal(t, data(71), b)
			case <-time.After(5 * time.Millisecond):
				return false
			}
		})
		_, err = d.WriteFrames(one)
		require.NoError(t, err)
		assert.Equal(t, data(60), heard(t, other))

		require.NoError(t, other.Close())
		require.NoError(t, os.Remove(second))
		until(t, "the news", func() bool { _, err = d.WriteFrames(one); return err != nil })
		require.ErrorIs(t, err, bridge.ENETDOWN)
		third := unixgram(t, unixPath(t), at)
		put(t, third, data(72))
		for b := r.next(t); len(b) != 72; b = r.next(t) {
			assert.Equal(t, data(71), b, "sent before")
		}
	})
}

// Frames for a peer that is not there are lost and counted; when it comes it is heard.
func TestDgramPeerComesAndGoes(t *testing.T) {
	both(t, func(t *testing.T, open func(qemu.DgramConfig) *qemu.Dgram) {
		for name, at := range map[string][2]string{
			"unix": {"unix:" + unixPath(t), "unix:" + unixPath(t)},
			"udp":  {freeUDP(t), freeUDP(t)},
		} {
			d := open(qemu.DgramConfig{Local: at[0], Remote: at[1]})
			r := read(t, d)
			two := []frame.Frame{{Data: data(60)}, {Data: data(61)}}
			for range 2 {
				until(t, "the count", func() bool {
					n, err := d.WriteFrames(two)
					if name == "unix" {
						require.ErrorIs(t, err, bridge.ENETDOWN)
						require.Zero(t, n)
					} else {
						require.NoError(t, err, "UDP says nothing of this frame")
					}
					return d.Stats().Unreachable >= 4
				})
				peer := openDgram(t, qemu.DgramConfig{Local: at[1], Remote: at[0]})
				pr := read(t, peer)
				_, err := peer.WriteFrames([]frame.Frame{{Data: data(70)}})
				require.NoError(t, err)
				assert.Equal(t, data(70), r.next(t))
				n, err := d.WriteFrames(two)
				require.NoError(t, err)
				require.Equal(t, 2, n)
				assert.Equal(t, data(60), pr.next(t))
				assert.Equal(t, data(61), pr.next(t))
				require.NoError(t, peer.Close())
			}
			require.NoError(t, d.Close())
			assert.ErrorIs(t, r.fails(t, false), net.ErrClosed, "nothing but Close ends the cable")
		}
	})
}

// What is longer than any frame is not cut to one.
func TestDgramTooLong(t *testing.T) {
	both(t, func(t *testing.T, open func(qemu.DgramConfig) *qemu.Dgram) {
		at := unixPath(t)
		d := open(qemu.DgramConfig{Local: "unix:" + at, Remote: "unix:" + unixPath(t)})
		r := read(t, d)
		c := unixgram(t, "", at)
		put(t, c, data(qemu.MaxFrame+1))
		put(t, c, data(qemu.MaxFrame))
		assert.Len(t, r.next(t), qemu.MaxFrame)
		assert.EqualValues(t, 1, d.Stats().TooLong)
		assert.EqualValues(t, 1, d.Lost())
	})
}

// Three members of a group hear each other and not themselves, whatever else is sent
// to the port.
func TestDgramGroup(t *testing.T) {
	both(t, func(t *testing.T, open func(qemu.DgramConfig) *qemu.Dgram) {
		_, port, err := net.SplitHostPort(freeUDP(t)[len("udp:"):])
		require.NoError(t, err)
		cfg := qemu.DgramConfig{Local: "udp:127.0.0.1:0", Remote: "udp:239.255.77.2:" + port}
		members := []*qemu.Dgram{open(cfg), open(cfg), open(cfg)}
		var rs []*reading
		for _, m := range members {
			rs = append(rs, read(t, m))
		}
		for i, m := range members {
			_, err := m.WriteFrames([]frame.Frame{{Data: data(60 + i)}})
			require.NoError(t, err)
		}
		for i, r := range rs {
			for j := range members {
				if j != i {
					assert.Len(t, r.next(t), 60+j)
				}
			}
			assert.Empty(t, r.frames)
		}
	})
}

// Close removes the path of its own socket, and does not mind that somebody has done so.
func TestDgramClosesItsPath(t *testing.T) {
	path := unixPath(t)
	d := openDgram(t, qemu.DgramConfig{Local: "unix:" + path})
	require.NoError(t, d.Close())
	assert.NoFileExists(t, path)

	d = openDgram(t, qemu.DgramConfig{Local: "unix:" + path})
	require.NoError(t, os.Remove(path))
	require.NoError(t, d.Close())
}
