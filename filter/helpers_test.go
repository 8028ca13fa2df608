package filter_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// A cable takes everything, and writes it down.
type cable struct {
	name   string
	rig    *rig
	closed chan struct{}
	once   sync.Once
}

func (c *cable) ReadFrames([]frame.Frame) (int, error) { <-c.closed; return 0, net.ErrClosed }
func (c *cable) Close() error                          { c.once.Do(func() { close(c.closed) }); return nil }
func (c *cable) WriteFrames(fs []frame.Frame) (int, error) {
	c.rig.mu.Lock()
	defer c.rig.mu.Unlock()
	for i := range fs {
		if c.rig.keep {
			c.rig.got = append(c.rig.got, sent{c.name, fs[i].AppendWire(nil)})
		}
	}
	return len(fs), nil
}

// sent is what a cable took.
type sent struct {
	dev  string
	wire []byte
}

// rig is a bridge with ports p1 to pn, and a clock that stands still.
type rig struct {
	t      testing.TB
	b      *bridge.Bridge
	ports  []*bridge.Port
	events []bridge.Event

	mu   sync.Mutex // guards the rest
	keep bool
	got  []sent
	now  time.Time
}

func newRig(t testing.TB, n int, c bridge.Config) *rig {
	t.Helper()
	return newRigAt(t, time.Unix(1_000_000, 0), n, c)
}

func newRigAt(t testing.TB, now time.Time, n int, c bridge.Config) *rig {
	t.Helper()
	r := &rig{t: t, keep: true, now: now}
	c.Clock, c.Seed = func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now }, 1
	b, err := bridge.New(c)
	require.NoError(t, err)
	r.b = b
	t.Cleanup(func() { _ = b.Close() })
	for i := range n {
		r.add("p"+string(rune('1'+i)), bridge.PortConfig{})
	}
	b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventFilter {
			r.events = append(r.events, e)
		}
	})
	return r
}

func (r *rig) add(name string, c bridge.PortConfig) *bridge.Port {
	r.t.Helper()
	p, err := r.b.AddPort(name, &cable{name: name, rig: r, closed: make(chan struct{})}, c)
	require.NoError(r.t, err)
	r.ports = append(r.ports, p)
	return p
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) filters(fs ...bridge.Filter) { r.t.Helper(); require.NoError(r.t, r.b.SetFilters(fs...)) }

// in has frames come in by port n, and gives what left.
func (r *rig) in(n int, fs ...frame.Frame) []sent {
	r.t.Helper()
	require.NoError(r.t, r.ports[n-1].Receive(fs...))
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// out is in, by the names of the devices.
func (r *rig) out(n int, fs ...frame.Frame) string {
	r.t.Helper()
	var names []string
	for _, s := range r.in(n, fs...) {
		names = append(names, s.dev)
	}
	return strings.Join(names, " ")
}

// reports are the events of filters since the last call, as lines.
func (r *rig) reports() []string {
	var lines []string
	for _, e := range r.events {
		lines = append(lines, e.String())
	}
	r.events = nil
	return lines
}

// balanced asserts that all ledgers balance.
func (r *rig) balanced() {
	r.t.Helper()
	for _, p := range r.ports {
		s := p.Stats()
		assert.Zero(r.t, s.Ingress.Balance(), "%s: %+v", p.Name(), s.Ingress)
		assert.Zero(r.t, s.Egress.Balance(), "%s: %+v", p.Name(), s.Egress)
	}
	s := r.b.Stats()
	assert.Zero(r.t, s.Ingress.Balance())
	assert.Zero(r.t, s.Egress.Balance())
}

func mac(n int) frame.MAC { return frame.MAC{2, 0, 0, 0, byte(n >> 8), byte(n)} }

var group = frame.MAC{1, 0, 0x5e, 1, 2, 3}

// ether is a frame of at least 60 bytes.
func ether(dst, src frame.MAC, t frame.EtherType, payload []byte) frame.Frame {
	d := append(dst[:], src[:]...)
	d = binary.BigEndian.AppendUint16(d, uint16(t))
	d = append(d, payload...)
	return frame.Frame{Data: append(d, make([]byte, max(60-len(d), 0))...)}
}

func plain(dst, src frame.MAC) frame.Frame { return ether(dst, src, 0x88b5, nil) }

// arp is an ARP packet.
func arp(op uint16, sender frame.MAC, ip string, target string) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, op)
	b = append(b, sender[:]...)
	b = append(b, netip.MustParseAddr(ip).AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, netip.MustParseAddr(target).AsSlice()...)
}

func ipv4(src, dst string, proto byte, payload []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	b = append(b, netip.MustParseAddr(src).AsSlice()...)
	b = append(b, netip.MustParseAddr(dst).AsSlice()...)
	return append(b, payload...)
}

func udp(from, to uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	return append(b, 0, 8, 0, 0)
}

// ipv6 is a packet; headers are extension headers, the first of type next.
func ipv6(src, dst string, next byte, payload ...[]byte) []byte {
	var rest []byte
	for _, p := range payload {
		rest = append(rest, p...)
	}
	b := []byte{0x60, 0, 0, 0, 0, 0, next, 255}
	binary.BigEndian.PutUint16(b[4:], uint16(len(rest)))
	b = append(b, netip.MustParseAddr(src).AsSlice()...)
	b = append(b, netip.MustParseAddr(dst).AsSlice()...)
	return append(b, rest...)
}

// nd is a neighbour solicitation or advertisement.
func nd(kind byte, target string, options ...[]byte) []byte {
	b := append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(target).AsSlice()...)
	for _, o := range options {
		b = append(b, o...)
	}
	return b
}

// link is a link-layer address option.
func link(kind byte, m frame.MAC) []byte { return append([]byte{kind, 1}, m[:]...) }

// wrap puts headers between the addresses of a frame and its type: tags, LLC/SNAP.
func wrap(f frame.Frame, headers ...string) frame.Frame {
	d := append([]byte(nil), f.Data[:12]...)
	for _, h := range headers {
		d = append(d, h...)
	}
	return frame.Frame{Data: append(d, f.Data[12:]...)}
}

const (
	prio     = "\x81\x00\x00\x00"                 // a tag with VLAN 0
	tag5     = "\x81\x00\x00\x05"                 // a tag with VLAN 5
	stag5    = "\x88\xa8\x00\x05"                 // a service tag
	snap     = "\x00\x2e\xaa\xaa\x03\x00\x00\x00" // LLC/SNAP behind a length
	snapLie  = "\x05\xff\xaa\xaa\x03\x00\x00\x00" // a length that is not true
	snapH    = "\x00\x2e\xaa\xab\x13\x00\x00\xf8" // 802.1H, with a poll and a response bit
	jumboLLC = "\x88\x70\xaa\xaa\x03\x00\x00\x00"
	oldTag   = "\x91\x00\x00\x07"
)
