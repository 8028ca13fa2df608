package xdp_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// A star is ports p0, p1 and so on of one group, with a packet socket at the other end
// of each cable.
type star struct {
	hub   *netns.NS
	group *xdp.Group
	ports []*xdp.Port
	peers []*bridge.RawSocket
}

func newStar(t testing.TB, n, ring int, generic bool) *star {
	t.Helper()
	s := &star{hub: netnstest.New(t, false)}
	cfg := xdp.Config{Ring: ring}
	for i := range n {
		p, e := fmt.Sprint("p", i), fmt.Sprint("e", i)
		ip(t, s.hub, "link", "add", p, "type", "veth", "peer", "name", e)
		ip(t, s.hub, "link", "set", p, "up")
		ip(t, s.hub, "link", "set", e, "up")
		awaitUp(t, s.hub, p)
		awaitUp(t, s.hub, e)
		cfg.Ports = append(cfg.Ports, xdp.PortConfig{Name: p, Netns: s.hub.Path(), Generic: generic})
		r, err := bridge.OpenRaw(bridge.RawConfig{Name: e, Netns: s.hub.Path()})
		require.NoError(t, err)
		t.Cleanup(func() { r.Close() })
		s.peers = append(s.peers, r)
	}
	s.group = open(t, cfg)
	s.ports = s.group.Ports()
	return s
}

// wire is a frame of these tests, of so many bytes.
func wire(number, size int) []byte {
	b := append([]byte{2, 0xf1, 0, 0, 0, 0, 2, 0xf1, 0, 0, 0, 1}, 0x88, 0xb5)
	b = binary.BigEndian.AppendUint32(b, uint32(number))
	for len(b) < size {
		b = append(b, byte(number+len(b)))
	}
	return b
}

// numberOf is the number of a frame of these tests, -1 for any other.
func numberOf(b []byte) int {
	if len(b) < 18 || b[0] != 2 || b[1] != 0xf1 {
		return -1
	}
	return int(binary.BigEndian.Uint32(b[14:]))
}

// send writes a frame that has to be taken.
func send(t testing.TB, io bridge.FrameIO, f frame.Frame) {
	t.Helper()
	n, err := io.WriteFrames([]frame.Frame{f})
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// next reads until a frame of these tests comes, and gives it as it was lent.
func next(t testing.TB, io bridge.FrameIO) frame.Frame {
	t.Helper()
	watchdog := time.AfterFunc(time.Minute, func() { io.Close() })
	defer watchdog.Stop()
	fs := make([]frame.Frame, 1)
	for {
		_, err := io.ReadFrames(fs)
		require.NoError(t, err)
		if numberOf(fs[0].Data) >= 0 {
			return fs[0]
		}
	}
}

// settled waits until the kernel has done with what was written, and holds the books.
func settled(t testing.TB, g *xdp.Group) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err = xdp.Account(g); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// A frame that leaves as it came is not copied, to however many ports it goes; one
// whose tag changes is, and the original stays what it was.
func TestSameChunk(t *testing.T) {
	netnstest.Needs(t)
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			s := newStar(t, 3, 64, generic)
			tag := frame.Tag{TPID: frame.TypeDot1Q, TCI: 0x2005}
			for i := range 500 {
				want := wire(i, 60+i)
				send(t, s.peers[0], frame.Frame{Data: want})
				f := next(t, s.ports[0])
				require.Equal(t, want, f.Data)
				require.True(t, xdp.Lends(s.group, f.Data))
				tagged := f
				tagged.Tag = tag
				n, err := s.ports[1].WriteFrames([]frame.Frame{f, tagged, f})
				require.NoError(t, err)
				require.Equal(t, 3, n)
				send(t, s.ports[2], f)
				assert.Equal(t, want, f.Data)
				for k, p := range []bridge.FrameIO{s.peers[1], s.peers[1], s.peers[1], s.peers[2]} {
					got := next(t, p)
					assert.Equal(t, want, got.Data)
					assert.Equal(t, k == 1, got.Tag.Present())
				}
			}
			settled(t, s.group)
		})
	}
}

// stop has a reader of a storm end.
const stop = 1 << 30

// After a storm, by which frames of all sizes went from each port to one, some or all
// others, with tags and without, refused ones among them, each chunk is where it
// belongs.
func TestStormLosesNoChunk(t *testing.T) {
	netnstest.Needs(t)
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			s := newStar(t, 4, 64, generic)
			var locks [4]sync.Mutex
			var readers, writers, drains sync.WaitGroup
			for i := range s.ports {
				readers.Go(func() { s.forward(t, i, &locks) })
				drains.Go(func() { drain(s.peers[i]) })
			}
			for i := range s.peers {
				writers.Go(func() {
					rnd := rand.New(rand.NewPCG(1, uint64(i)))
					for range 300 {
						var fs []frame.Frame
						for range 1 + rnd.IntN(100) {
							fs = append(fs, frame.Frame{Data: wire(rnd.IntN(stop), 20+rnd.IntN(1490))})
						}
						_, _ = s.peers[i].WriteFrames(fs) // a storm loses frames
					}
				})
			}
			writers.Wait()
			ended := make(chan struct{})
			go func() { // ends when the readers do
				readers.Wait()
				close(ended)
			}()
			for waiting := true; waiting; { // one that is lost is sent again
				for _, r := range s.peers {
					_, _ = r.WriteFrames([]frame.Frame{{Data: wire(stop, 60)}})
				}
				select {
				case <-ended:
					waiting = false
				case <-time.After(20 * time.Millisecond):
				}
			}
			settled(t, s.group)
			for i, p := range s.ports { // and all still goes on
				locks[i].Lock()
				send(t, p, frame.Frame{Data: wire(7, 100)})
				locks[i].Unlock()
			}
			for _, r := range s.peers {
				r.Close()
			}
			drains.Wait()
		})
	}
}

// drain reads until the end.
func drain(io bridge.FrameIO) {
	fs := make([]frame.Frame, 64)
	for {
		if _, err := io.ReadFrames(fs); err != nil && !errors.Is(err, bridge.ENETDOWN) {
			return
		}
	}
}

// forward sends what comes in by a port to others, until a frame tells it to stop.
func (s *star) forward(t *testing.T, from int, locks *[4]sync.Mutex) {
	rnd := rand.New(rand.NewPCG(2, uint64(from)))
	fs := make([]frame.Frame, 64)
	for {
		n, err := s.ports[from].ReadFrames(fs)
		if err != nil {
			t.Errorf("read: %v", err)
			return
		}
		for i := range fs[:n] {
			f := &fs[i]
			switch number := numberOf(f.Data); {
			case number == stop:
				return
			case number >= 0 && string(f.Data) != string(wire(number, len(f.Data))):
				t.Errorf("frame %d was changed", number)
			}
			if rnd.IntN(5) == 0 {
				f.Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}
			}
			if rnd.IntN(50) == 0 {
				f.Data = f.Data[:rnd.IntN(14)]
			}
		}
		for to, p := range s.ports {
			if rnd.IntN(2) == 0 {
				continue
			}
			locks[to].Lock()
			for at := 0; at < n; {
				k, err := p.WriteFrames(fs[at:n])
				var refused *bridge.FrameError
				switch at += k; {
				case errors.As(err, &refused):
					at++
				case errors.Is(err, bridge.ErrQueueFull):
					at = n
				case err != nil:
					t.Errorf("write: %v", err)
					at = n
				}
			}
			locks[to].Unlock()
		}
	}
}

// A port that is closed takes nothing from the others: they have as much room as
// before, and the memory is given back with the last.
func TestCloseOneOfAGroup(t *testing.T) {
	netnstest.Needs(t)
	s := newStar(t, 3, 64, false)
	send(t, s.peers[0], frame.Frame{Data: wire(1, 100)})
	f := next(t, s.ports[0])
	send(t, s.ports[1], f)
	require.NoError(t, s.ports[0].Close())
	require.Equal(t, wire(1, 100), f.Data, "lent until it is read again")
	send(t, s.ports[2], f)
	_, err := s.ports[0].ReadFrames(make([]frame.Frame, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = s.ports[0].WriteFrames([]frame.Frame{{Data: wire(1, 100)}})
	require.ErrorIs(t, err, net.ErrClosed)
	for i := range 500 {
		send(t, s.peers[1], frame.Frame{Data: wire(i, 200)})
		f := next(t, s.ports[1])
		require.Equal(t, i, numberOf(f.Data))
		send(t, s.ports[2], f)
	}
	for _, r := range []int{1, 2} {
		require.NotEmpty(t, next(t, s.peers[r]).Data)
	}
	settled(t, s.group)
	require.NoError(t, s.group.Close())
	require.False(t, xdp.Unmapped(s.group))
	for _, p := range s.ports[1:] {
		_, err := p.ReadFrames(make([]frame.Frame, 1))
		require.ErrorIs(t, err, net.ErrClosed)
	}
	require.True(t, xdp.Unmapped(s.group))
}

// A port whose frames nobody fetches keeps no other from going on.
func TestOneThatDoesNotReadStopsNobody(t *testing.T) {
	netnstest.Needs(t)
	s := newStar(t, 3, 64, false)
	for i := range 1000 {
		_, _ = s.peers[0].WriteFrames([]frame.Frame{{Data: wire(i, 60)}}) // nobody reads p0
	}
	require.Eventually(t, func() bool { return s.ports[0].Lost() > 0 }, time.Minute, time.Millisecond)
	for i := range 500 {
		send(t, s.peers[1], frame.Frame{Data: wire(i, 60)})
		send(t, s.ports[2], next(t, s.ports[1]))
	}
	settled(t, s.group)
}

// Reading and writing allocate nothing, nor does refusing.
func TestAllocatesNothing(t *testing.T) {
	netnstest.Needs(t)
	s := newStar(t, 2, 256, false)
	const batch = 32
	in, out, back := make([]frame.Frame, batch), make([]frame.Frame, 0, batch), make([]frame.Frame, batch)
	for i := range batch {
		out = append(out, frame.Frame{Data: wire(i, 300)})
	}
	long := []frame.Frame{{Data: make([]byte, 5000)}}
	n := testing.AllocsPerRun(100, func() {
		if _, err := s.peers[0].WriteFrames(out); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < batch; {
			n, err := s.ports[0].ReadFrames(in)
			if err != nil {
				t.Fatal(err)
			}
			if n > 1 {
				in[0].Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: 9}
			}
			if _, err = s.ports[1].WriteFrames(in[:n]); err != nil {
				t.Fatal(err)
			}
			for at := 0; at < n; {
				k, err := s.peers[1].ReadFrames(back)
				if err != nil {
					t.Fatal(err)
				}
				at += k
			}
			got += n
		}
		if n, err := s.ports[1].WriteFrames(long); n != 0 || err == nil {
			t.Fatal(n, err)
		}
	})
	assert.Zero(t, n)
}
