package bridge_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A delivery is one frame that a cable took, in wire form.
type delivery struct {
	dev  string
	wire []byte
}

// tape is what the cables of one lab took, in the order in which they did.
type tape struct {
	mu     sync.Mutex // guards the rest
	got    []delivery
	forget bool // nothing is written down
}

// take empties the tape.
func (l *tape) take() []delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.got
	l.got = nil
	return got
}

// recorder is a cable that takes everything and writes it down.
type recorder struct {
	name   string
	log    *tape
	once   sync.Once
	closed chan struct{}
}

func newRecorder(name string, log *tape) *recorder {
	return &recorder{name: name, log: log, closed: make(chan struct{})}
}

func (r *recorder) ReadFrames([]frame.Frame) (int, error) { <-r.closed; return 0, net.ErrClosed }

func (r *recorder) WriteFrames(fs []frame.Frame) (int, error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for i := range fs {
		if r.log.forget {
			break
		}
		r.log.got = append(r.log.got, delivery{r.name, fs[i].AppendWire(nil)})
	}
	return len(fs), nil
}

func (r *recorder) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

func (r *recorder) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// fakeClock is a clock that stands still until it is moved.
type fakeClock struct {
	mu sync.Mutex // guards t
	t  time.Time
}

func newClock() *fakeClock { return &fakeClock{t: time.Unix(1_000_000, 0)} }

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// lab is a bridge br0 with recording cables, a recording host, and a clock that
// stands still.
type lab struct {
	t     testing.TB
	b     *bridge.Bridge
	log   *tape
	clock *fakeClock
	ports map[string]*bridge.Port
}

func newLab(t testing.TB, c bridge.Config) *lab {
	t.Helper()
	l := &lab{t: t, log: new(tape), clock: newClock(), ports: map[string]*bridge.Port{}}
	if c.Clock == nil {
		c.Clock = l.clock.now
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	b, err := bridge.New(c)
	require.NoError(t, err)
	l.b = b
	require.NoError(t, b.AttachHost(newRecorder("br0", l.log), bridge.HostConfig{}))
	t.Cleanup(func() { _ = b.Close() })
	return l
}

// newLabN is a lab with n ports p1 to pn, whose addresses are portMAC(1) to
// portMAC(n).
func newLabN(t testing.TB, c bridge.Config, n int) *lab {
	t.Helper()
	l := newLab(t, c)
	for i := range n {
		l.add(i+1, bridge.PortConfig{})
	}
	return l
}

// add adds port number n, named pn, with the address portMAC(n) unless c says
// another.
func (l *lab) add(n int, c bridge.PortConfig) *bridge.Port {
	l.t.Helper()
	name := portName(n)
	if c.Address.IsZero() {
		c.Address = portMAC(n)
	}
	p, err := l.b.AddPort(name, newRecorder(name, l.log), c)
	require.NoError(l.t, err)
	l.ports[name] = p
	return p
}

// forget has the cables write nothing down any more, for tests with much traffic.
func (l *lab) forget() {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	l.log.forget = true
}

func portName(n int) string { return "p" + string([]byte("0123456789abcdef")[n:n+1]) }

// p is port n.
func (l *lab) p(n int) *bridge.Port { return l.ports[portName(n)] }

// set changes port n.
func (l *lab) set(n int, a bridge.PortAttrs) {
	l.t.Helper()
	require.NoError(l.t, l.p(n).Set(a))
}

// in sends frames into port n, 0 being the host, and gives what came out.
func (l *lab) in(n int, fs ...frame.Frame) []delivery {
	l.t.Helper()
	if n == 0 {
		for _, f := range fs {
			require.NoError(l.t, l.b.Xmit(f))
		}
	} else {
		require.NoError(l.t, l.p(n).Receive(fs...))
	}
	return l.log.take()
}

// out is in, by the names of the devices only.
func (l *lab) out(n int, fs ...frame.Frame) []string { return devs(l.in(n, fs...)) }

func devs(ds []delivery) []string {
	names := []string{}
	for _, d := range ds {
		names = append(names, d.dev)
	}
	return names
}

// learn has addresses learned on port n, in the VLAN of untagged frames.
func (l *lab) learn(n int, ms ...frame.MAC) {
	l.t.Helper()
	for _, m := range ms {
		l.in(n, ether(frame.Broadcast, m))
	}
}

// where is the port of an entry, "host" for a local one, "-" if there is none.
func (l *lab) where(m frame.MAC, vid frame.VID) string {
	e, ok := l.b.FDB().Lookup(m, vid)
	switch {
	case !ok:
		return "-"
	case e.State == bridge.NUDPermanent:
		return "host"
	}
	return e.Port
}

func (l *lab) ingress(n int) bridge.IngressLedger {
	if n == 0 {
		return l.b.Stats().Ingress
	}
	return l.p(n).Stats().Ingress
}

// balanced asserts that every ledger of the bridge balances.
func balanced(t testing.TB, b *bridge.Bridge) {
	t.Helper()
	for _, p := range b.Ports() {
		portBalanced(t, p)
	}
	s := b.Stats()
	ledgersBalance(t, "host", s.Ingress, s.Egress)
}

func portBalanced(t testing.TB, p *bridge.Port) {
	t.Helper()
	s := p.Stats()
	ledgersBalance(t, p.Name(), s.Ingress, s.Egress)
}

func ledgersBalance(t testing.TB, dev string, in bridge.IngressLedger, out bridge.EgressLedger) {
	t.Helper()
	assert.Zero(t, in.Balance(), "ingress of %s: %+v", dev, in)
	assert.Zero(t, out.Balance(), "egress of %s: %+v", dev, out)
}

// portMAC is the address of port n's device, mac that of station n.
func portMAC(n int) frame.MAC { return frame.MAC{2, 0, 0, 0, 0xbb, byte(n)} }
func mac(n int) frame.MAC     { return frame.MAC{2, 0, 0, 1, byte(n >> 8), byte(n)} }

var (
	zeroMAC   = frame.MAC{}
	groupMAC  = frame.MAC{0x01, 0, 0x5e, 1, 2, 3}
	testProto = frame.EtherType(0x88b5) // local experimental
)

// linkLocal is 01:80:c2:00:00:0x.
func linkLocal(x byte) frame.MAC { return frame.MAC{1, 0x80, 0xc2, 0, 0, x} }

// ether is an untagged frame of 60 bytes.
func ether(dst, src frame.MAC) frame.Frame { return etherN(dst, src, 60) }

// etherN is an untagged frame of n bytes, 14 or more.
func etherN(dst, src frame.MAC, n int) frame.Frame {
	d := make([]byte, n)
	copy(d, dst[:])
	copy(d[6:], src[:])
	d[12], d[13] = byte(testProto>>8), byte(testProto&0xff)
	for i := 14; i < n; i++ {
		d[i] = byte(i)
	}
	return frame.Frame{Data: d}
}

// tcpGSO is a TCP segment over IPv4 of n bytes of payload that owes its checksum
// and, if size is not 0, its segmentation to size bytes.
func tcpGSO(dst, src frame.MAC, n, size int) frame.Frame {
	f := etherN(dst, src, 54+n)
	h := f.Data[12:]
	copy(h, "\x08\x00\x45\x00\x00\x00\x00\x01\x40\x00\x40\x06\x00\x00\xc0\x00\x02\x01\xc0\x00\x02\x02"+
		"\x30\x39\x30\x3a\x00\x00\x00\x64\x00\x00\x00\xc8\x50\x10\x20\x00\x00\x00\x00\x00")
	ip, tcp := h[2:22], h[22:]
	binary.BigEndian.PutUint16(ip[2:], uint16(40+n))
	binary.BigEndian.PutUint16(ip[10:], frame.Checksum(ip, 0))
	binary.BigEndian.PutUint16(tcp[16:], ^frame.Checksum(ip[12:], 6+20+uint32(n))) // over the pseudo header
	f.Owed = frame.Offload{Flags: frame.NeedsCsum, CsumStart: 34, CsumOffset: 16}
	if size != 0 {
		f.Owed.GSOType, f.Owed.GSOSize, f.Owed.HdrLen = frame.GSOTCPv4, uint16(size), 54
	}
	return f
}

// withType is f with another EtherType.
func withType(f frame.Frame, t frame.EtherType) frame.Frame {
	f = f.Clone()
	f.Data[12], f.Data[13] = byte(t>>8), byte(t)
	return f
}

// tagged is f with a tag in the data.
func tagged(f frame.Frame, tpid frame.EtherType, tci uint16) frame.Frame {
	f.Tag = frame.Tag{TPID: tpid, TCI: tci}
	return frame.Frame{Data: f.AppendWire(nil)}
}

// aside is f with a tag beside the data.
func aside(f frame.Frame, tpid frame.EtherType, tci uint16) frame.Frame {
	f.Tag = frame.Tag{TPID: tpid, TCI: tci}
	return f
}

// dot1q is f with an 802.1Q tag in the data.
func dot1q(f frame.Frame, vid frame.VID) frame.Frame { return tagged(f, frame.TypeDot1Q, uint16(vid)) }

// wireOf is the wire form of f.
func wireOf(f frame.Frame) []byte { return f.AppendWire(nil) }

// wires are the frames that dev took.
func wires(ds []delivery, dev string) [][]byte {
	var ws [][]byte
	for _, d := range ds {
		if d.dev == dev {
			ws = append(ws, d.wire)
		}
	}
	return ws
}

// sameDeliveries says whether two runs gave every device the same frames in the
// same order.
func sameDeliveries(a, b []delivery) bool {
	names := append(devs(a), devs(b)...)
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if !slices.EqualFunc(wires(a, n), wires(b, n), bytes.Equal) {
			return false
		}
	}
	return true
}

// brief is deliveries in lines that can be read, and that differ if any byte does.
func brief(ds []delivery) []string {
	lines := []string{}
	for _, d := range ds {
		lines = append(lines, fmt.Sprintf("%s %d bytes % x.. %08x", d.dev, len(d.wire), d.wire[:22], crc32.ChecksumIEEE(d.wire)))
	}
	return lines
}

// snapshot is everything about a bridge that can be configured or learned.
type snapshot struct {
	Info    bridge.BridgeInfo
	Ports   []bridge.PortInfo
	VLANs   map[string][]bridge.VLANInfo
	MST     map[string][]bridge.MSTInfo
	Globals []bridge.VLANGlobalInfo
	Tunnels map[string][]bridge.VLANTunnel
	Entries []bridge.FDBEntry
	MDB     []bridge.MDBEntry
	Routers []bridge.RouterPort
}

func snap(b *bridge.Bridge) snapshot {
	s := snapshot{
		Info: b.Info(), Entries: slices.Collect(b.FDB().All()),
		VLANs: map[string][]bridge.VLANInfo{"": b.VLANs().All()}, MST: map[string][]bridge.MSTInfo{}, Globals: b.VLANGlobals(),
		Tunnels: map[string][]bridge.VLANTunnel{}, MDB: b.MDB(), Routers: b.RouterPorts(0),
	}
	for _, g := range s.Globals {
		s.Routers = append(s.Routers, b.RouterPorts(g.VID)...)
	}
	for _, p := range b.Ports() {
		s.Ports = append(s.Ports, p.Info())
		s.VLANs[p.Name()], s.MST[p.Name()] = p.VLANs().All(), p.MST()
		s.Tunnels[p.Name()] = p.VLANs().Tunnels()
	}
	return s
}

// within fails the test if fn does not return in time. fn then keeps its
// goroutine, which the leak check of the package shows with its stack.
func within(t testing.TB, d time.Duration, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s did not return within %v", what, d)
	}
}
