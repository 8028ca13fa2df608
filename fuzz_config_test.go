package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// FuzzConfig reads bytes as a sequence of configuration calls and frames: ports
// that come and go, links, MTUs, addresses, VLANs, every attribute, FDB requests,
// flushes, limits, the host's cable and time. What must hold after each step,
// computed from the configuration alone, is in fuzz_config_rules_test.go.
func FuzzConfig(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomScript(seed, 300))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) < 2000 {
			runScript(t, script)
		}
	})
}

// The same with random scripts, for a test run without a fuzzer.
func TestConfigScripts(t *testing.T) {
	for seed := range uint64(repetitions(120)) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runScript(t, randomScript(1000+seed, 900)) })
	}
}

func randomScript(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 99))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// A script is bytes, each a decision; when they are used up every decision is 0.
type script struct{ left []byte }

func (s *script) n(n int) int {
	if len(s.left) == 0 {
		return 0
	}
	x := int(s.left[0]) % n
	s.left = s.left[1:]
	return x
}

func (s *script) yes() bool { return s.n(2) == 1 }

func among[T any](s *script, of ...T) T { return of[s.n(len(of))] }

// A fuzzCable is one end of a cable, whose other end can be jammed.
type fuzzCable struct {
	*recorder
	t      testing.TB
	jammed atomic.Bool
	watch  func(dev string, fs []frame.Frame) // sees what is written, before and after; nil: nobody does
	took   func(fs []frame.Frame)             // sees what is taken, where nobody watches
}

func (c *fuzzCable) WriteFrames(fs []frame.Frame) (int, error) {
	if c.isClosed() {
		c.t.Errorf("%s was written to after it was closed", c.name)
	}
	if c.watch != nil {
		c.watch(c.name, fs)
		defer c.watch(c.name, fs)
	}
	if c.jammed.Load() {
		return 0, bridge.ErrQueueFull
	}
	if c.watch == nil {
		c.took(fs)
	}
	return c.recorder.WriteFrames(fs)
}

// A slot is where a port can be: one that is there, one that has left, or none yet.
type slot struct {
	port  *bridge.Port
	cable *fuzzCable
	limit int // its FDBLimit
	there bool
}

const fuzzPorts = 4

// A session is a bridge under a script.
type session struct {
	*script
	t     testing.TB
	b     *bridge.Bridge
	log   *tape
	clock *fakeClock
	limit int                // FDBLimit
	slots [fuzzPorts]slot    // of ports p1 to p4
	host  *fuzzCable         // nil: none is attached
	own   map[frame.MAC]bool // addresses of which a request may have changed local entries
	all   bool               // a flush may have taken any local entry
	table *bridge.HostTable
	rule  rule // of the filter; 0: there is none

	watch  func(dev string, fs []frame.Frame) // of the cables; frames are under way all the time then
	events int                                // told since the last step
	steps  []string                           // what was done, the last few

	tunnels []uint64 // by which what is on the tape left
}

func runScript(t testing.TB, b []byte) {
	s := newSession(t, b, nil)
	defer s.end()
	defer s.b.Watch(func(bridge.Event) { s.events++ })()
	for len(s.left) > 0 && !t.Failed() {
		s.step()
	}
}

// newSession makes the bridge that a script begins with; watch, if it is not nil,
// sees what is written to its cables.
func newSession(t testing.TB, b []byte, watch func(dev string, fs []frame.Frame)) *session {
	s := &session{script: &script{b}, t: t, log: new(tape), clock: newClock(), own: map[frame.MAC]bool{}, table: newNeighbours(), watch: watch}
	s.limit = 3 + s.n(8)
	c := bridge.Config{
		Clock: s.clock.now, Seed: 1, FDBLimit: s.limit, Kernel: bridge.Kernel(s.n(int(bridge.Linux6_18) + 1)),
		VLANFiltering: s.yes(), VLANProtocol: among(s.script, frame.TypeDot1Q, frame.TypeDot1AD),
		VLANDefaultPVID: new(among[frame.VID](s.script, 1, 0, 5)), MSTEnabled: s.n(6) == 5, Down: s.n(8) == 7,
		Host: s.table, WireMode: s.n(4) == 3, McastSnooping: s.yes(), McastQuerier: s.yes(),
	}
	var err error
	s.b, err = bridge.New(c)
	require.NoError(t, err)
	for i := range fuzzPorts {
		require.NoError(t, s.addPort(i))
	}
	require.NoError(t, s.attach())
	if s.yes() {
		s.furnish()
	}
	return s
}

func (s *session) end() {
	require.NoError(s.t, s.b.Close())
	s.ledgers()
}

// step carries out one step and holds all that must be so afterwards.
func (s *session) step() {
	if s.n(4) > 0 {
		s.carry()
		return
	}
	before := s.view()
	s.events = 0
	what, partly, err := s.configure()
	s.note("%s: %v", what, err)
	after := s.view()
	if err != nil && !partly {
		s.equal(before, after, "a refused call changed something")
		s.hold(s.events == 0, "a refused call told of something")
	}
	out := s.log.take()
	s.tunnels = nil
	s.ownOnly(out, before, after)
	s.tables(after)
	s.ledgers()
}

func (s *session) note(format string, args ...any) {
	s.steps = append(s.steps[max(0, len(s.steps)-11):], fmt.Sprintf(format, args...))
}

// hold fails the test, with the last steps, unless ok.
func (s *session) hold(ok bool, format string, args ...any) {
	s.t.Helper()
	if !ok {
		s.fail(fmt.Sprintf(format, args...))
	}
}

func (s *session) fail(why string) {
	s.t.Helper()
	for _, st := range s.steps {
		s.t.Log(st)
	}
	s.t.Fatal(why)
}

// port gives a port to call, most often one that is there.
func (s *session) port() *bridge.Port {
	i := s.n(fuzzPorts)
	if !s.slots[i].there && s.n(4) > 0 {
		for j := range s.slots {
			if s.slots[j].there {
				return s.slots[j].port
			}
		}
	}
	return s.slots[i].port
}

// target is a port, or nil for the bridge itself.
func (s *session) target() *bridge.Port {
	if s.n(4) == 0 {
		return nil
	}
	return s.port()
}

func (s *session) filter() *bridge.VLANFilter {
	if p := s.target(); p != nil {
		return p.VLANs()
	}
	return s.b.VLANs()
}

// configure makes one configuration call. partly: an error may leave a part done.
func (s *session) configure() (what string, partly bool, err error) {
	switch s.n(32) {
	case 0, 1:
		i := s.n(fuzzPorts)
		if s.slots[i].there && s.n(3) == 0 {
			return "remove port", false, s.removePort(i)
		}
		return "add port", false, s.addPort(i)
	case 2:
		p, up, carrier := s.port(), s.yes(), s.yes()
		return fmt.Sprint("link ", p.Name(), up, carrier), false, p.SetLink(up, carrier)
	case 3:
		return "all links up", false, s.allUp()
	case 4:
		p, mtu := s.port(), s.mtu()
		return fmt.Sprint("MTU ", p.Name(), mtu), false, p.SetMTU(mtu)
	case 5:
		p, a := s.port(), s.address()
		return fmt.Sprint("address ", p.Name(), a), false, p.SetAddress(a)
	case 6:
		return s.bridgeDevice()
	case 7, 8:
		f, v := s.filter(), s.vlan()
		return fmt.Sprintf("vlan add %+v", v), false, f.Add(v)
	case 9:
		f, v := s.filter(), s.vlan()
		return fmt.Sprintf("vlan del %d %d", v.VID, v.End), false, f.Delete(v.VID, v.End)
	case 10:
		f, vs := s.filter(), among(s.script, nil, bridge.Access(5), bridge.Trunk(1, 5, 10), bridge.Trunk(0, 5), []bridge.VLAN{s.vlan(), s.vlan()})
		return fmt.Sprintf("vlan set %+v", vs), false, f.Set(vs)
	case 11:
		f, v, st := s.filter(), s.vlan(), s.state()
		return fmt.Sprintf("vlan state %d %d %v", v.VID, v.End, st), false, f.SetState(v.VID, v.End, st)
	case 12, 13, 14:
		a := s.bridgeAttrs()
		return fmt.Sprintf("bridge %s", given(a)), false, s.b.Set(a)
	case 15, 16, 17:
		p, a := s.port(), s.portAttrs()
		return fmt.Sprintf("port %s %s", p.Name(), given(a)), false, p.Set(a)
	case 18, 19:
		return s.fdbRequest()
	case 20, 21:
		return s.cables()
	case 22:
		p, q := s.port(), s.port()
		s.hold(p.Set(bridge.PortAttrs{BackupPort: new(q.Name())}) == nil || p == q || !p.Info().Attached || !q.Info().Attached, "no backup")
		up := s.yes()
		return fmt.Sprint("fail over ", p.Name(), " to ", q.Name(), up), false, p.SetLink(up, !up)
	case 23, 24, 25, 26:
		return s.options()
	case 27, 28, 29:
		return s.mcast()
	default:
		d := among(s.script, time.Millisecond, 100*time.Millisecond, time.Second, 20*time.Second, 400*time.Second)
		s.later(d)
		return fmt.Sprint("later by ", d), false, nil
	}
}

func (s *session) addPort(i int) error {
	c := bridge.PortConfig{
		Address: s.address(), MTU: s.mtu(), FDBLimit: among(s.script, 0, 0, 2), Down: s.n(8) == 7, NoCarrier: s.n(8) == 7,
		Caps: among(s.script, bridge.Caps{}, bridge.Caps{TagAside: true}, bridge.Caps{Checksum: true, TSO: true, TagAside: true}),
	}
	if s.yes() {
		c.VLANs = []bridge.VLAN{s.vlan()}
	}
	if s.yes() {
		c.Attrs = s.portAttrs()
	}
	name := portName(i + 1)
	cable := s.cable(name)
	p, err := s.b.AddPort(name, cable, c)
	if err != nil && s.slots[i].port == nil { // each slot begins with some port
		c = bridge.PortConfig{}
		p, err = s.b.AddPort(name, cable, c)
	}
	if err == nil {
		s.slots[i] = slot{p, cable, c.FDBLimit, true}
	}
	return err
}

// cable makes a cable's end.
func (s *session) cable(name string) *fuzzCable {
	return &fuzzCable{recorder: newRecorder(name, s.log), t: s.t, watch: s.watch, took: func(fs []frame.Frame) {
		for i := range fs {
			s.tunnels = append(s.tunnels, fs[i].Tunnel)
		}
	}}
}

// allUp brings every link and the bridge up, so that a script does not end in
// silence.
func (s *session) allUp() error {
	for i := range s.slots {
		if sl := &s.slots[i]; sl.there {
			if err := sl.port.SetLink(true, true); err != nil {
				return err
			}
		}
	}
	return s.b.SetUp(true)
}

func (s *session) removePort(i int) error {
	sl := &s.slots[i]
	err := s.b.RemovePort(sl.port)
	sl.there = false
	s.hold(sl.cable.isClosed(), "the cable of a port that left is open")
	if s.watch == nil {
		portBalanced(s.t, sl.port)
	}
	return err
}

// bridgeDevice changes the bridge's own device.
func (s *session) bridgeDevice() (string, bool, error) {
	switch on := s.yes(); s.n(8) {
	case 0:
		a := s.address()
		return fmt.Sprint("bridge address ", a), false, s.b.SetAddress(a)
	case 1:
		return "bridge address auto", false, s.b.SetAddressAuto()
	case 2:
		m := s.mtu()
		return fmt.Sprint("bridge MTU ", m), false, s.b.SetMTU(m)
	case 3:
		return fmt.Sprint("bridge up ", on), false, s.b.SetUp(on)
	case 4:
		return fmt.Sprint("wire mode ", on), false, s.b.SetWireMode(on)
	case 5:
		return fmt.Sprint("arp off ", on), false, s.b.SetNoARP(on)
	case 6:
		return fmt.Sprint("allmulti ", on), false, s.b.SetAllMulti(on)
	default:
		return fmt.Sprint("promisc ", on), false, s.b.SetPromisc(on)
	}
}

// cables attaches and detaches the host, jams cables, and sets a trace.
func (s *session) cables() (string, bool, error) {
	switch s.n(5) {
	case 0:
		s.hold(s.b.DetachHost() == nil, "DetachHost")
		s.host = nil
		return "detach host", false, nil
	case 1:
		return "attach host", false, s.attach()
	case 2:
		s.b.SetTrace(among[bridge.Trace](s.script, nil, func(bridge.Step) {}))
		return "trace", false, nil
	default:
		if sl := &s.slots[s.n(fuzzPorts)]; sl.there {
			jam := !sl.cable.jammed.Load()
			sl.cable.jammed.Store(jam)
			return fmt.Sprint("jam ", sl.port.Name(), jam), false, nil
		}
		return "jam nothing", false, nil
	}
}

func (s *session) attach() error {
	c := s.cable("br0")
	err := s.b.AttachHost(c, bridge.HostConfig{Caps: bridge.Caps{TagAside: s.yes()}})
	if err == nil {
		s.host = c
	}
	return err
}

func (s *session) fdbRequest() (what string, partly bool, err error) {
	p, m := s.target(), s.address()
	var vid *frame.VID
	if s.yes() {
		vid = new(among[frame.VID](s.script, 1, 5, 10, 0, 4095))
	}
	switch s.n(4) {
	case 0:
		s.own[m] = true
		return fmt.Sprint("fdb del ", m), false, s.b.FDB().Delete(p, m, vid)
	case 1:
		f := bridge.FDBFlush{
			Port: p, BridgeSelf: s.n(4) == 3, VID: vid, State: bridge.NUDState(s.n(256)), StateMask: among(s.script, 0, bridge.NUDPermanent, bridge.NUDNoARP, 1),
			Flags: bridge.NTFFlags(s.n(256)), FlagsMask: among[bridge.NTFFlags](s.script, 0, bridge.NTFSticky, bridge.NTFUse, bridge.NTFExtLearned, bridge.NTFRouter),
		}
		s.all = true
		_, err := s.b.FDB().Flush(f)
		return fmt.Sprintf("fdb flush %+v", f), false, err
	default:
		s.own[m] = true
		r := bridge.FDBRequest{
			Port: p, MAC: m, VID: vid, Mode: bridge.FDBMode(s.n(4)),
			State: among(s.script, bridge.NUDReachable, bridge.NUDNoARP, bridge.NUDPermanent, bridge.NUDNoARP|bridge.NUDPermanent, bridge.NUDStale),
			Flags: among(s.script, 0, bridge.NTFSticky, bridge.NTFExtLearned, bridge.NTFUse, bridge.NTFSticky|bridge.NTFExtLearned, bridge.NTFExtLocked),
		}
		return fmt.Sprintf("fdb add %s %v state %x flags %x mode %d", m, vid, r.State, r.Flags, r.Mode), vid == nil, s.b.FDB().Update(r)
	}
}

// ledgers holds both ledgers of every port that ever was, and of the host.
func (s *session) ledgers() {
	for i := range s.slots {
		if p := s.slots[i].port; p != nil {
			st := p.Stats()
			s.hold(st.Ingress.Balance() == 0 && st.Egress.Balance() == 0, "%s does not balance: %+v", p.Name(), st)
		}
	}
	st := s.b.Stats()
	s.hold(st.Ingress.Balance() == 0 && st.Egress.Balance() == 0, "the host does not balance: %+v", st)
}

// equal holds that two views are the same.
func (s *session) equal(want, got config, what string) {
	s.t.Helper()
	if !want.equal(got) {
		s.note("%s", what)
		for _, st := range s.steps {
			s.t.Log(st)
		}
		require.Equal(s.t, want, got, what)
		s.t.Fatal(what)
	}
}

func sameEntry(a, b bridge.FDBEntry) bool {
	a.Used, b.Used = 0, 0
	return a == b
}
