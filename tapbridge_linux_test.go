package bridge_test

import (
	"bytes"
	"context"
	"crypto/sha256"
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
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// tapMeter counts what passes a FrameIO.
type tapMeter struct {
	bridge.FrameIO
	read, wrote struct {
		frames, tcp, udp atomic.Int64 // all; those that owe a segmentation
		long             atomic.Int64 // longer than 1514 bytes
	}
	owesNonsense atomic.Int64 // of those read
}

func (m *tapMeter) ReadFrames(fs []frame.Frame) (int, error) {
	n, err := m.FrameIO.ReadFrames(fs)
	for i := range fs[:n] {
		m.read.frames.Add(1)
		tapCount(&fs[i], &m.read.tcp, &m.read.udp, &m.read.long)
		if fs[i].CheckOwed() != nil {
			m.owesNonsense.Add(1)
		}
	}
	return n, err
}

func (m *tapMeter) WriteFrames(fs []frame.Frame) (int, error) {
	n, err := m.FrameIO.WriteFrames(fs)
	for i := range fs[:n] {
		m.wrote.frames.Add(1)
		tapCount(&fs[i], &m.wrote.tcp, &m.wrote.udp, &m.wrote.long)
	}
	return n, err
}

func tapCount(f *frame.Frame, tcp, udp, long *atomic.Int64) {
	switch {
	case f.Owed.GSOType == frame.GSOUDP:
		udp.Add(1)
	case f.Owed.GSO():
		tcp.Add(1)
	}
	if f.WireLen() > 1514 {
		long.Add(1)
	}
}

// tapServed is a bridge that serves, with a TAP in a namespace of its own on each
// port: with the address 10.9.0.1, 10.9.0.2 and so on.
type tapServed struct {
	b      *bridge.Bridge
	ns     []string
	taps   []*bridge.TAP
	meters []*tapMeter // of the first queue
}

func tapServe(t *testing.T, cfgs ...bridge.TAPConfig) *tapServed {
	t.Helper()
	netnstest.Needs(t)
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	s := &tapServed{b: b}
	for i, cfg := range cfgs {
		ns := tapNetns(t)
		cfg.Netns, cfg.Name, cfg.Up = ns, "eth0", true
		tap := tapOpen(t, cfg)
		tapIP(t, ns, "address", "add", fmt.Sprintf("10.9.0.%d/24", i+1), "dev", "eth0")
		m := &tapMeter{FrameIO: tap}
		_, err := b.AddPort(fmt.Sprintf("p%d", i+1), m, bridge.PortConfig{Caps: tap.Caps(), Queues: tap.Queues(), Lost: tap.Lost})
		require.NoError(t, err)
		s.ns, s.taps, s.meters = append(s.ns, ns), append(s.taps, tap), append(s.meters, m)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-done)
	})
	return s
}

// tcp sends size bytes each way between the first two namespaces, and holds what
// arrives against what was sent.
func (s *tapServed) tcp(t *testing.T, size int64) {
	t.Helper()
	var l net.Listener
	tapIn(t, s.ns[1], func() (err error) {
		l, err = net.Listen("tcp4", "10.9.0.2:0")
		return err
	})
	defer l.Close()
	var ends [2]net.Conn
	tapIn(t, s.ns[0], func() (err error) {
		d := net.Dialer{Timeout: tapWait}
		ends[0], err = d.Dial("tcp4", l.Addr().String())
		return err
	})
	var err error
	ends[1], err = l.Accept()
	require.NoError(t, err)
	var all sync.WaitGroup
	var sums [2][2][]byte // sent and received, of each direction
	for i, c := range ends {
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(60*time.Second)))
		all.Go(func() {
			h := sha256.New()
			data := io.LimitReader(rand.NewChaCha8([32]byte{byte(i)}), size)
			_, err := io.CopyBuffer(struct{ io.Writer }{c}, io.TeeReader(data, h), make([]byte, 1<<18))
			assert.NoError(t, err)
			assert.NoError(t, c.(*net.TCPConn).CloseWrite())
			sums[i][0] = h.Sum(nil)
		})
		all.Go(func() {
			h := sha256.New()
			n, err := io.Copy(h, c)
			assert.NoError(t, err)
			assert.Equal(t, size, n)
			sums[1-i][1] = h.Sum(nil)
		})
	}
	all.Wait()
	for i := range sums {
		assert.Equal(t, sums[i][0], sums[i][1], "direction %d", i)
	}
}

// TCP between the stacks of two namespaces crosses in frames of many segments, which
// nobody cuts, and UDP too where the kernel knows how.
func TestTAPBridgesSuperFrames(t *testing.T) {
	s := tapServe(t, bridge.TAPConfig{}, bridge.TAPConfig{})
	s.tcp(t, 16<<20)
	s.udp(t)
	require.NoError(t, s.b.Close()) // once what is under way is counted
	for i, m := range s.meters {
		assert.Positive(t, m.read.tcp.Load(), "port %d", i+1)
		assert.Zero(t, m.owesNonsense.Load(), "port %d", i+1)
		other := s.meters[1-i]
		assert.Equal(t, m.read.long.Load(), m.read.tcp.Load()+m.read.udp.Load())
		assert.Equal(t, m.read.tcp.Load(), other.wrote.tcp.Load(), "port %d: as many leave as came", i+1)
		assert.Equal(t, m.read.udp.Load(), other.wrote.udp.Load(), "port %d: as many leave as came", i+1)
	}
	if s.taps[0].Caps().USO {
		assert.Positive(t, s.meters[0].read.udp.Load())
	}
	for _, p := range s.b.Ports() {
		assert.Zero(t, p.Stats().Egress.Refused, "%s", p.Name())
	}
}

// udp sends datagrams from the first namespace to the second, ten with one call of
// the kernel's (UDP_SEGMENT).
func (s *tapServed) udp(t *testing.T) {
	t.Helper()
	var from, to *net.UDPConn
	tapIn(t, s.ns[1], func() (err error) {
		to, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 2)})
		return err
	})
	defer to.Close()
	tapIn(t, s.ns[0], func() (err error) {
		from, err = net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
		return err
	})
	defer from.Close()
	raw, err := from.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1000)
	}))
	require.NoError(t, err)
	data := make([]byte, 10_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	_, err = from.Write(data)
	require.NoError(t, err)
	var got []byte
	require.NoError(t, to.SetReadDeadline(time.Now().Add(tapWait)))
	for buf := make([]byte, 65536); len(got) < len(data); {
		n, err := to.Read(buf)
		require.NoError(t, err, "after %d bytes", len(got))
		require.Equal(t, 1000, n)
		got = append(got, buf[:n]...)
	}
	assert.True(t, bytes.Equal(data, got))
}

// Flows between TAPs of two queues each, in both directions at once: whichever queue
// a flow takes, its frames stay in order.
func TestTAPQueuesKeepTheOrderOfFlows(t *testing.T) {
	const flows, frames = 16, 50 // 800 fit into one queue of the kernel's
	s := tapServe(t, bridge.TAPConfig{Queues: 2}, bridge.TAPConfig{Queues: 2})
	rigs := [2]*tapRig{newTAPRig(t, s.ns[0], "eth0"), newTAPRig(t, s.ns[1], "eth0")}
	var all sync.WaitGroup
	for i, rig := range rigs {
		all.Go(func() {
			for number := range uint16(frames) {
				for flow := range uint16(flows) {
					_, err := rig.WriteFrames([]frame.Frame{tapFlow(flow, number, i == 1)})
					assert.NoError(t, err)
				}
			}
		})
	}
	all.Wait()
	for i, rig := range rigs {
		var next [flows]uint16
		for range flows * frames {
			f := tapNextFlow(t, rig)
			flow, number, _ := tapFlowOf(&f)
			require.Less(t, flow, uint16(flows))
			require.Equal(t, next[flow], number, "flow %d at port %d", flow, i+1)
			next[flow]++
		}
	}
	require.NoError(t, s.b.Close()) // once what is under way is counted
	for i, m := range s.meters {
		if first := m.read.frames.Load(); assert.Positive(t, first) {
			assert.Less(t, first, int64(flows*frames), "port %d: all flows took one queue", i+1)
		}
		assert.Zero(t, s.taps[i].Lost())
	}
}

// A queue of the kernel's that overflows is in the port's statistics.
func TestTAPLostIsInTheStatistics(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Up: true, QueueLen: 16})
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	defer b.Close()
	p, err := b.AddPort("p1", tap, bridge.PortConfig{Caps: tap.Caps(), Lost: tap.Lost})
	require.NoError(t, err)
	peer := newTAPPeer(t, ns, tap.Name())
	for i := range 40 {
		peer.send(tapWire(byte(i), 64))
	}
	assert.Equal(t, uint64(24), p.Stats().Ingress.Lost)
}

// A port follows its TAP's interface down and up, though nobody writes to the TAP
// that would find out.
func TestTAPBridgeFollowsTheInterface(t *testing.T) {
	s := tapServe(t, bridge.TAPConfig{}, bridge.TAPConfig{})
	carrier := func(want bool) {
		t.Helper()
		assert.Eventually(t, func() bool { return s.b.Port("p2").Info().Carrier == want }, tapWait, tapTick)
	}
	rig := newTAPRig(t, s.ns[0], "eth0")
	require.NoError(t, s.taps[1].SetUp(false))
	rig.send(t, frame.Frame{Data: tapWire(1, 64)}) // is flooded, and meets it
	carrier(false)
	require.NoError(t, s.taps[1].SetUp(true))
	carrier(true)
	peer := newTAPPeer(t, s.ns[1], "eth0")
	rig.send(t, frame.Frame{Data: tapWire(2, 64)})
	assert.Equal(t, tapWire(2, 64), peer.receive())
}
