package bridge_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// rawCounter counts the frames that are still to be cut, of each kind, and those
// with a tag aside, on their way through a cable.
type rawCounter struct {
	bridge.FrameIO
	read, wrote struct{ tcp, udp, tagged atomic.Int64 }
}

func (c *rawCounter) ReadFrames(fs []frame.Frame) (int, error) {
	n, err := c.FrameIO.ReadFrames(fs)
	rawCount(fs[:n], &c.read.tcp, &c.read.udp, &c.read.tagged)
	return n, err
}

func (c *rawCounter) WriteFrames(fs []frame.Frame) (int, error) {
	n, err := c.FrameIO.WriteFrames(fs)
	rawCount(fs[:n], &c.wrote.tcp, &c.wrote.udp, &c.wrote.tagged)
	return n, err
}

func rawCount(fs []frame.Frame, tcp, udp, tagged *atomic.Int64) {
	for i := range fs {
		f := &fs[i]
		if !f.Owed.GSO() || f.Len() <= 1514 {
			continue
		}
		if f.Owed.GSOType == frame.GSOUDP {
			udp.Add(1)
		} else {
			tcp.Add(1)
		}
		if f.Tag.Present() {
			tagged.Add(1)
		}
	}
}

// rawHosts is two hosts, each in a namespace of its own with an address, whose
// cables end in a third one, at u0 and u1.
type rawHosts struct {
	t       testing.TB
	a, b, u string // namespaces
}

func newRawHosts(t testing.TB) *rawHosts {
	t.Helper()
	h := &rawHosts{t, tapNetns(t), tapNetns(t), tapNetns(t)}
	h.host(h.a, "u0", "10.9.0.1/24")
	h.host(h.b, "u1", "10.9.0.2/24")
	return h
}

func (h *rawHosts) host(ns, ours, address string) {
	h.t.Helper()
	rawCable(h.t, ns, h.u, "e0", ours)
	tapIP(h.t, ns, "address", "add", address, "dev", "e0")
}

// serve runs a bridge until the test ends, which then holds the ledgers of its
// ports against each other.
func (h *rawHosts) serve(c bridge.Config) *bridge.Bridge {
	h.t.Helper()
	b, err := bridge.New(c)
	require.NoError(h.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx) }() // ends with the test
	h.t.Cleanup(func() {
		ports := b.Ports()
		cancel()
		assert.NoError(h.t, <-served)
		for _, p := range ports {
			s := p.Stats()
			assert.Zero(h.t, s.Ingress.Balance(), p.Name())
			assert.Zero(h.t, s.Egress.Balance(), p.Name())
		}
	})
	return b
}

// plug makes an interface a port of a bridge.
func (h *rawHosts) plug(b *bridge.Bridge, name string, vlans []bridge.VLAN, queues int) *rawCounter {
	h.t.Helper()
	r := rawOpen(h.t, bridge.RawConfig{Name: name, Netns: h.u, Queues: queues})
	require.Empty(h.t, r.Warnings())
	c := &rawCounter{FrameIO: r}
	_, err := b.AddPort(name, c, bridge.PortConfig{Caps: r.Caps(), Queues: r.Queues(), Lost: r.Lost, VLANs: vlans})
	require.NoError(h.t, err)
	return c
}

// tcp is tcpTo by b's address.
func (h *rawHosts) tcp(size int) {
	h.t.Helper()
	h.tcpTo("10.9.0.2", size)
}

// tcpTo sends size random bytes from a to b and back, over one connection to an
// address of b's, and sees that they arrive as they were.
func (h *rawHosts) tcpTo(ip string, size int) {
	h.t.Helper()
	var l net.Listener
	var there, here net.Conn
	tapIn(h.t, h.b, func() (err error) {
		l, err = net.Listen("tcp4", ip+":0")
		return err
	})
	defer l.Close()
	tapIn(h.t, h.a, func() (err error) {
		here, err = net.DialTimeout("tcp4", l.Addr().String(), tapWait)
		return err
	})
	defer here.Close()
	there, err := l.Accept()
	require.NoError(h.t, err)
	defer there.Close()
	end := time.Now().Add(60 * time.Second)
	require.NoError(h.t, here.SetDeadline(end))
	require.NoError(h.t, there.SetDeadline(end))

	want := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	var all sync.WaitGroup
	all.Go(func() {
		_, err := here.Write(want)
		assert.NoError(h.t, err)
	})
	all.Go(func() { // back what comes
		got := make([]byte, size)
		_, err := io.ReadFull(there, got)
		assert.NoError(h.t, err)
		assert.True(h.t, bytes.Equal(want, got), "the bytes from a arrive changed")
		_, err = there.Write(got)
		assert.NoError(h.t, err)
	})
	got := make([]byte, size)
	_, err = io.ReadFull(here, got)
	all.Wait()
	require.NoError(h.t, err)
	require.True(h.t, bytes.Equal(want, got), "the bytes from b arrive changed")
}

// udp has a send one buffer that its kernel is to cut into datagrams (UDP_SEGMENT),
// and sees b get them.
func (h *rawHosts) udp(count, size int) {
	h.t.Helper()
	var there net.PacketConn
	tapIn(h.t, h.b, func() (err error) {
		there, err = net.ListenPacket("udp4", "10.9.0.2:0")
		return err
	})
	defer there.Close()
	want := make([]byte, count*size)
	for i := range want {
		want[i] = byte(i*7 + i/size)
	}
	rawSegmentedUDP(h.t, h.a, "10.9.0.1:0", there.LocalAddr(), want, size)
	require.NoError(h.t, there.SetDeadline(time.Now().Add(tapWait)))
	got := make([]byte, size+1)
	for i := range count {
		n, _, err := there.ReadFrom(got)
		require.NoError(h.t, err, "after %d of %d datagrams", i, count)
		require.Equal(h.t, want[i*size:(i+1)*size], got[:n], "datagram %d", i)
	}
}

// TCP and UDP cross a bridge between two hosts that leave checksums and cutting to
// their network cards, as they do unless told otherwise: whole, in and out.
func TestRawBridgeCarriesOffloads(t *testing.T) {
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d queues", queues), func(t *testing.T) {
			h := newRawHosts(t)
			b := h.serve(bridge.Config{})
			p0, p1 := h.plug(b, "u0", nil, queues), h.plug(b, "u1", nil, queues)
			h.tcp(4 << 20)
			if rawUSO(t) {
				h.udp(20, 1200)
			}
			if queues > 1 {
				return // whichever queue has the flow
			}
			for _, c := range []*rawCounter{p0, p1} {
				assert.Positive(t, c.read.tcp.Load(), "frames to be cut came in whole")
				assert.Positive(t, c.wrote.tcp.Load(), "frames to be cut left whole")
			}
			if rawUSO(t) {
				assert.Positive(t, p0.read.udp.Load())
				assert.Positive(t, p1.wrote.udp.Load())
			}
		})
	}
}

// rawUSO reports whether the kernel hands over UDP that is still to be cut.
func rawUSO(t testing.TB) bool {
	return rawOpen(t, bridge.RawConfig{Name: "v0", Netns: rawVeth(t)}).Caps().USO
}

// The same between access ports of two bridges that are joined by a trunk: the tag
// goes into the bytes in front of what is owed, and comes aside at the other end.
func TestRawBridgeCarriesOffloadsOverATrunk(t *testing.T) {
	for _, proto := range []frame.EtherType{frame.TypeDot1Q, frame.TypeDot1AD} {
		t.Run(proto.String(), func(t *testing.T) {
			h := newRawHosts(t)
			rawCable(t, h.u, h.u, "t0", "t1")
			if proto == frame.TypeDot1AD { // for which the MTU has to have room
				tapIP(t, h.u, "link", "set", "t0", "mtu", "1504")
				tapIP(t, h.u, "link", "set", "t1", "mtu", "1504")
			}
			vlan := bridge.Config{VLANFiltering: true, VLANProtocol: proto}
			left, right := h.serve(vlan), h.serve(vlan)
			h.plug(left, "u0", bridge.Access(10), 1)
			h.plug(right, "u1", bridge.Access(10), 1)
			t0, t1 := h.plug(left, "t0", bridge.Trunk(0, 10), 1), h.plug(right, "t1", bridge.Trunk(0, 10), 1)
			h.tcp(4 << 20)
			if rawUSO(t) {
				h.udp(20, 1200)
				assert.Positive(t, t1.read.udp.Load())
			}
			for _, c := range []*rawCounter{t0, t1} {
				assert.Positive(t, c.read.tcp.Load())
				assert.Equal(t, c.read.tcp.Load()+c.read.udp.Load(), c.read.tagged.Load())
				assert.Equal(t, c.wrote.tcp.Load()+c.wrote.udp.Load(), c.wrote.tagged.Load())
			}
		})
	}
}

// Super-frames of a tunnel between the hosts, which no cable can be told of, are cut on
// their way.
func TestRawBridgeCarriesTunnels(t *testing.T) {
	h := newRawHosts(t)
	for ns, ends := range map[string][3]string{h.a: {"10.9.0.1", "10.9.0.2", "10.10.0.1/24"}, h.b: {"10.9.0.2", "10.9.0.1", "10.10.0.2/24"}} {
		tapIP(t, ns, "link", "add", "vx0", "type", "vxlan", "id", "5", "local", ends[0], "remote", ends[1], "dstport", "4789", "dev", "e0")
		tapIP(t, ns, "address", "add", ends[2], "dev", "vx0")
		tapIP(t, ns, "link", "set", "vx0", "up")
	}
	b := h.serve(bridge.Config{})
	one, two := h.plug(b, "u0", nil, 1), h.plug(b, "u1", nil, 1)
	h.tcpTo("10.10.0.2", 8<<20)
	for _, c := range []*rawCounter{one, two} {
		assert.Positive(t, c.read.tcp.Load(), "nothing came in one piece")
		assert.Zero(t, c.wrote.tcp.Load(), "a super-frame of a tunnel was written")
	}
	for _, p := range b.Ports() {
		s := p.Stats()
		assert.Zero(t, s.Ingress.Dropped[bridge.DropBadOffload])
		assert.Zero(t, s.Egress.Refused)
	}
}

// A TAP and a raw socket on one bridge, also if the TAP takes complete frames alone,
// which the bridge then makes.
func TestRawBridgeWithATAP(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoOffload %v", plain), func(t *testing.T) {
			h := &rawHosts{t, tapNetns(t), tapNetns(t), tapNetns(t)}
			h.host(h.a, "u0", "10.9.0.1/24")
			b := h.serve(bridge.Config{})
			raw := h.plug(b, "u0", nil, 1)
			tap := tapOpen(t, bridge.TAPConfig{Netns: h.b, Name: "e0", Up: true, NoOffload: plain})
			c := &rawCounter{FrameIO: tap}
			_, err := b.AddPort("tap", c, bridge.PortConfig{Caps: tap.Caps()})
			require.NoError(t, err)
			tapIP(t, h.b, "address", "add", "10.9.0.2/24", "dev", "e0")
			h.tcp(2 << 20)
			if rawUSO(t) {
				h.udp(20, 1200)
			}
			assert.Positive(t, raw.read.tcp.Load())
			assert.Equal(t, !plain, c.wrote.tcp.Load() > 0)
			assert.Equal(t, !plain, c.read.tcp.Load() > 0)
		})
	}
}

// A port's interface goes down and comes up again: the bridge says so, the port
// has no carrier meanwhile, and traffic goes on.
func TestRawBridgeFollowsTheLink(t *testing.T) {
	h := newRawHosts(t)
	b := h.serve(bridge.Config{})
	events := make(chan bridge.EventKind, 64)
	b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventCableDown || e.Kind == bridge.EventCableUp || e.Kind == bridge.EventPortFailed {
			events <- e.Kind
		}
	})
	await := func(want bridge.EventKind) {
		t.Helper()
		select {
		case got := <-events:
			require.Equal(t, want, got)
		case <-time.After(tapWait):
			t.Fatalf("no event %v", want)
		}
	}
	h.plug(b, "u0", nil, 1)
	h.plug(b, "u1", nil, 2)
	h.tcp(1 << 10)
	tapIP(t, h.u, "link", "set", "u1", "down")
	await(bridge.EventCableDown)
	tapIP(t, h.u, "link", "set", "u1", "up")
	await(bridge.EventCableUp)
	rawAwaitUp(t, h.u, "u1")
	rawAwaitUp(t, h.b, "e0")
	h.tcp(1 << 10)
	tapIP(t, h.u, "link", "del", "u1")
	require.Eventually(t, func() bool { return b.Port("u1").Info().Failed != nil }, tapWait, time.Millisecond)
	assert.ErrorIs(t, b.Port("u1").Info().Failed, bridge.ENODEV)
}
