package bridgetest_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// kinds names the frames that reached a host since the last time: A for ARP,
// E for IPv4 (an echo).
func kinds(h *bridgetest.Host) string {
	var s strings.Builder
	for _, f := range h.Received() {
		switch f.Type() {
		case frame.TypeARP:
			s.WriteString("A")
		case frame.TypeIPv4:
			s.WriteString("E")
		default:
			s.WriteString("?")
		}
	}
	return s.String()
}

// learned lists the addresses that a switch learned, as "02:00:00:00:00:01@p1".
func learned(b *bridge.Bridge) (list []string) {
	for e := range b.FDB().All() {
		if e.State != bridge.NUDPermanent {
			list = append(list, fmt.Sprintf("%s@%s", e.MAC, e.Port))
		}
	}
	return list
}

// The first ARP request is flooded, and teaches the switch where h1 is; the reply
// teaches it where h2 is. From then on h3 sees nothing.
func TestPingLearns(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("h1", "h2", "h3"))
	h1, h2, h3 := lab.Host("h1"), lab.Host("h2"), lab.Host("h3")
	assert.Empty(t, learned(lab.Bridge()))

	rtt, err := h1.Ping(h2.IP())
	require.NoError(t, err)
	assert.Equal(t, 80*time.Microsecond, rtt, "eight cables: there and back for ARP, there and back for the echo")
	assert.Equal(t, []string{"02:00:00:00:00:01@p1", "02:00:00:00:00:02@p2"}, learned(lab.Bridge()))
	assert.Equal(t, "AE", kinds(h1))
	assert.Equal(t, "AE", kinds(h2))
	assert.Equal(t, "A", kinds(h3), "the flooded request, not the answer")

	rtt, err = h1.Ping(h2.IP())
	require.NoError(t, err)
	assert.Equal(t, 40*time.Microsecond, rtt)
	assert.Empty(t, kinds(h3))
	assert.Equal(t, []bridgetest.Neighbor{{IP: h2.IP(), MAC: h2.MAC()}}, h1.ARP())
	assert.Equal(t, []bridgetest.Neighbor{{IP: h1.IP(), MAC: h1.MAC()}}, h2.ARP())
	assert.Empty(t, h3.ARP())
}

// Five minutes after the last frame the addresses are gone, and a known neighbour
// is flooded to.
func TestAgeing(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("h1", "h2", "h3"))
	h1, h2, h3 := lab.Host("h1"), lab.Host("h2"), lab.Host("h3")
	_, err := h1.Ping(h2.IP())
	require.NoError(t, err)
	lab.Run(299 * time.Second)
	assert.Len(t, learned(lab.Bridge()), 2)
	lab.Run(2 * time.Second)
	assert.Empty(t, learned(lab.Bridge()))
	assert.Equal(t, 301*time.Second+80*time.Microsecond, lab.Now())

	h3.Received()
	_, err = h1.Ping(h2.IP())
	require.NoError(t, err)
	assert.Equal(t, "E", kinds(h3), "the request was flooded; by then the switch knew h1")
}

func TestAgeingTimeZeroIsAHub(t *testing.T) {
	c := bridgetest.Star("h1", "h2", "h3")
	c.Switches = []bridge.Config{{AgeingTime: new(time.Duration(0))}}
	lab := bridgetest.NewLab(t, c)
	for range 2 {
		_, err := lab.Host("h3").Ping(lab.Host("h1").IP())
		require.NoError(t, err)
	}
	assert.Equal(t, "AAEEEE", kinds(lab.Host("h2")), "everything, the last reply too")
	assert.Empty(t, learned(lab.Bridge()))
}

func TestVLANsSeparate(t *testing.T) {
	port := func(vs []bridge.VLAN) bridge.PortConfig { return bridge.PortConfig{VLANs: vs} }
	lab := bridgetest.NewLab(t, bridgetest.Config{
		Switches: []bridge.Config{{VLANFiltering: true}},
		Hosts: []bridgetest.HostConfig{
			{Name: "a10", Port: port(bridge.Access(10))},
			{Name: "b10", Port: port(bridge.Access(10))},
			{Name: "a20", Port: port(bridge.Access(20))},
			{Name: "t10", VLAN: 10, Port: port(bridge.Trunk(0, 10, 20))},
			{Name: "t20", VLAN: 20, Port: port(bridge.Trunk(0, 10, 20))},
		},
	})
	group := map[string]int{"a10": 10, "b10": 10, "a20": 20, "t10": 10, "t20": 20}
	for _, a := range lab.Hosts() {
		for _, b := range lab.Hosts() {
			if a == b {
				continue
			}
			_, err := a.Ping(b.IP())
			if group[a.Name()] == group[b.Name()] {
				assert.NoError(t, err, "%s to %s", a.Name(), b.Name())
			} else {
				assert.ErrorIs(t, err, bridgetest.ErrNoAnswer, "%s to %s", a.Name(), b.Name())
			}
		}
	}
	for _, h := range []string{"a10", "b10", "a20"} {
		for _, f := range lab.Host(h).Received() {
			assert.NotEqual(t, frame.TypeDot1Q, f.Type(), "an access port sends no tags")
		}
	}
}

// twoSwitches is A, B - s1 === s2 - C, D.
func twoSwitches(trunk bridge.PortConfig) bridgetest.Config {
	return bridgetest.Config{
		Switches: []bridge.Config{{Name: "s1"}, {Name: "s2"}},
		Hosts: []bridgetest.HostConfig{
			{Name: "A", Switch: "s1"}, {Name: "B", Switch: "s1"},
			{Name: "C", Switch: "s2"}, {Name: "D", Switch: "s2"},
		},
		Cables: []bridgetest.Cable{{
			A: bridgetest.End{Switch: "s1", PortName: "trunk1", Port: trunk},
			B: bridgetest.End{Switch: "s2", PortName: "trunk2", Port: trunk},
		}},
	}
}

func TestTwoSwitches(t *testing.T) {
	lab := bridgetest.NewLab(t, twoSwitches(bridge.PortConfig{}))
	a, d := lab.Host("A"), lab.Host("D")
	rtt, err := a.Ping(d.IP())
	require.NoError(t, err)
	assert.Equal(t, 120*time.Microsecond, rtt, "three cables, four times")
	assert.Equal(t, []string{a.MAC().String() + "@p1", d.MAC().String() + "@trunk1"}, learned(lab.Switch("s1")))
	assert.Equal(t, []string{a.MAC().String() + "@trunk2", d.MAC().String() + "@p4"}, learned(lab.Switch("s2")))
	assert.Equal(t, "A", kinds(lab.Host("C")))

	// Between A and B nothing crosses the trunk any more.
	_, err = a.Ping(lab.Host("B").IP())
	require.NoError(t, err)
	before := lab.Switch("s2").Port("trunk2").Stats().RxPackets
	_, err = a.Ping(lab.Host("B").IP())
	require.NoError(t, err)
	assert.Equal(t, before, lab.Switch("s2").Port("trunk2").Stats().RxPackets)
}

func TestTwoSwitchesWithVLANTrunk(t *testing.T) {
	c := twoSwitches(bridge.PortConfig{VLANs: bridge.Trunk(0, 10, 20)})
	for i := range c.Switches {
		c.Switches[i].VLANFiltering = true
	}
	for i, vid := range []frame.VID{10, 20, 10, 20} {
		c.Hosts[i].Port.VLANs = bridge.Access(vid)
	}
	lab := bridgetest.NewLab(t, c)
	_, err := lab.Host("A").Ping(lab.Host("C").IP())
	assert.NoError(t, err)
	_, err = lab.Host("B").Ping(lab.Host("D").IP())
	assert.NoError(t, err)
	_, err = lab.Host("A").Ping(lab.Host("D").IP())
	assert.ErrorIs(t, err, bridgetest.ErrNoAnswer)
}

// Three parallel cables multiply a broadcast without end; the bounds hold, and
// what does not fit is counted.
func TestStormIsBounded(t *testing.T) {
	c := twoSwitches(bridge.PortConfig{})
	c.Cables = []bridgetest.Cable{{B: bridgetest.End{Switch: "s2"}}, {B: bridgetest.End{Switch: "s2"}}, {B: bridgetest.End{Switch: "s2"}}}
	c.QueueLen = 8
	lab := bridgetest.NewLab(t, c)
	a := lab.Host("A")
	require.NoError(t, a.Send(bridgetest.NewFrame(frame.Broadcast, a.MAC(), 0x88b5, nil)))
	lab.Run(5 * time.Millisecond)
	s := lab.Switch("s1").Port("p5").Stats()
	assert.NotZero(t, s.Egress.Refused[bridge.DropQueueFull])
	assert.NotZero(t, s.Egress.Sent)
	assert.LessOrEqual(t, s.Egress.Sent, uint64(8*500), "8 frames each 10 µs")
	assert.NotEmpty(t, lab.Host("B").Received())
	assert.Len(t, lab.Host("C").Received(), 1024, "the last ones")
}

func TestBridgesOwnHost(t *testing.T) {
	c := bridgetest.Star("h1", "h2")
	c.Hosts = append(c.Hosts, bridgetest.HostConfig{Name: "br0", Self: true})
	lab := bridgetest.NewLab(t, c)
	own, h1 := lab.Host("br0"), lab.Host("h1")
	assert.Equal(t, lab.Bridge().Info().Address, own.MAC())
	assert.Nil(t, own.Port())
	_, err := h1.Ping(own.IP())
	require.NoError(t, err)
	_, err = own.Ping(lab.Host("h2").IP())
	require.NoError(t, err)
	assert.Equal(t, "A", kinds(lab.Host("h2"))[:1])

	_, err = lab.AddHost(bridgetest.HostConfig{Name: "second", Self: true})
	assert.ErrorIs(t, err, bridge.EBUSY)
}

// The same Config gives the same run, to the last line.
func TestSameSeedSameTrace(t *testing.T) {
	run := func(seed uint64) string {
		c := twoSwitches(bridge.PortConfig{})
		c.Seed = seed
		lab := bridgetest.NewLab(t, c)
		var text bytes.Buffer
		lab.Trace(&text)
		hosts, r := lab.Hosts(), lab.Rand()
		for range 50 {
			h := hosts[r.IntN(len(hosts))]
			f := bridgetest.NewFrame(frame.MAC{2, 0, 0, 0, 0, byte(r.IntN(8))}, frame.MAC{2, 0, 0, 0, 0, byte(r.IntN(8))}, 0x88b5, nil)
			require.NoError(t, h.Send(f))
			lab.Run(time.Duration(r.Int64N(int64(20 * time.Second))))
		}
		require.NoError(t, lab.WriteTables(&text))
		return text.String()
	}
	first := run(7)
	assert.Equal(t, first, run(7))
	assert.NotEqual(t, first, run(8))
}

func TestEventsOfAnInstantKeepTheirOrder(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Config{})
	var got []string
	note := func(s string) func() { return func() { got = append(got, s+"@"+lab.Now().String()) } }
	lab.After(2*time.Second, note("c"))
	lab.After(time.Second, note("a"))
	lab.After(time.Second, func() {
		note("b")()
		lab.After(-time.Hour, note("b2"))
	})
	lab.After(-1, note("first"))
	lab.Run(0)
	lab.Run(90 * time.Second)
	assert.Equal(t, []string{"first@0s", "a@1s", "b@1s", "b2@1s", "c@2s"}, got)
	assert.Equal(t, 90*time.Second, lab.Now())

	lab.After(0, func() { lab.Run(1) })
	assert.Panics(t, func() { lab.Run(1) })
	_, err := bridgetest.New(bridgetest.Star("h1", "h1"))
	assert.ErrorContains(t, err, `"h1"`)
}

func TestARPCache(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("h1", "h2", "h3"))
	h1, h2, h3 := lab.Host("h1"), lab.Host("h2"), lab.Host("h3")
	_, err := h1.Ping(h2.IP())
	require.NoError(t, err)

	h2.FlushARP()
	h1.Received()
	_, err = h1.Ping(h2.IP())
	require.NoError(t, err)
	assert.Equal(t, "AE", kinds(h1), "h2 asked before it answered")

	// Who says unasked where it is corrects an entry, and makes none.
	moved := frame.MustParseMAC("02:00:00:00:00:99")
	say := bridgetest.ARP{Op: bridgetest.ARPRequest, SenderMAC: moved, SenderIP: h2.IP(), TargetIP: h2.IP()}
	require.NoError(t, h3.Send(bridgetest.NewFrame(frame.Broadcast, moved, frame.TypeARP, say.Append(nil))))
	lab.Run(time.Millisecond)
	assert.Equal(t, []bridgetest.Neighbor{{IP: h2.IP(), MAC: moved}}, h1.ARP())
	assert.Empty(t, h3.ARP())
	_, err = h1.Ping(h2.IP())
	assert.ErrorIs(t, err, bridgetest.ErrNoAnswer)
	assert.ErrorContains(t, err, "echo request")
	_, err = h1.Ping(netip.MustParseAddr("10.9.9.9"))
	assert.ErrorContains(t, err, "ARP request")
	_, err = h1.Ping(netip.MustParseAddr("fe80::1"))
	assert.ErrorContains(t, err, "not an IPv4 address")

	// A flood of neighbours stays within bounds.
	for i := range 3000 {
		say := bridgetest.ARP{Op: bridgetest.ARPRequest, SenderMAC: moved, SenderIP: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), TargetIP: h1.IP()}
		require.NoError(t, h3.Send(bridgetest.NewFrame(h1.MAC(), moved, frame.TypeARP, say.Append(nil))))
		lab.Run(time.Millisecond)
	}
	assert.LessOrEqual(t, len(h1.ARP()), 1024)
}

func TestUnplugged(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("h1", "h2"))
	h1, h2 := lab.Host("h1"), lab.Host("h2")
	require.NoError(t, h2.Port().SetLink(true, false))
	_, err := h1.Ping(h2.IP())
	assert.ErrorIs(t, err, bridgetest.ErrNoAnswer)
	require.NoError(t, h2.Port().SetLink(true, true))
	_, err = h1.Ping(h2.IP())
	assert.NoError(t, err)

	f := bridgetest.NewFrame(h1.MAC(), h2.MAC(), 0x88b5, nil)
	require.NoError(t, h2.Send(f))
	require.NoError(t, lab.Bridge().RemovePort(h2.Port()))
	assert.ErrorIs(t, h2.Send(f), net.ErrClosed)
	lab.Run(time.Millisecond)
	assert.Equal(t, uint64(1), h2.Port().Stats().Ingress.Dropped[bridge.DropNotServed], "it was under way")
	require.NoError(t, lab.Check())
}

func TestCableRefusesMoreThanItHolds(t *testing.T) {
	c := bridgetest.Star("h1", "h2")
	c.QueueLen = 2
	lab := bridgetest.NewLab(t, c)
	h1 := lab.Host("h1")
	f := bridgetest.NewFrame(lab.Host("h2").MAC(), h1.MAC(), 0x88b5, nil)
	require.NoError(t, h1.Send(f))
	require.NoError(t, h1.Send(f))
	assert.ErrorIs(t, h1.Send(f), bridge.ErrQueueFull)
	lab.Run(time.Millisecond)
	assert.NoError(t, h1.Send(f))
}

func TestConfigErrors(t *testing.T) {
	cases := map[string]bridgetest.Config{
		"no switch":   {Hosts: []bridgetest.HostConfig{{Name: "h", Switch: "s9"}}},
		"name of its": {Hosts: []bridgetest.HostConfig{{}}},
		"VLAN":        {Hosts: []bridgetest.HostConfig{{Name: "h", VLAN: 4095}}},
		"IPv4":        {Hosts: []bridgetest.HostConfig{{Name: "h", IP: netip.IPv6Loopback()}}},
		"already":     {Switches: []bridge.Config{{}, {Name: "br0"}}},
		"s8":          {Cables: []bridgetest.Cable{{B: bridgetest.End{Switch: "s8"}}}},
		"s7":          {Cables: []bridgetest.Cable{{A: bridgetest.End{Switch: "s7"}}}},
		"MTU":         {Switches: []bridge.Config{{MTU: 5}}},
	}
	for want, c := range cases {
		_, err := bridgetest.New(c)
		assert.ErrorContains(t, err, want)
	}
	lab := bridgetest.NewLab(t, bridgetest.Config{})
	assert.Panics(t, func() { lab.Host("h9") })
	assert.Panics(t, func() { lab.Switch("s9") })
	assert.Panics(t, func() { bridgetest.NewLab(new(recorder), bridgetest.Star("")) })
}

// recorder is a test that notes what is said of it.
type recorder struct {
	failed   bool
	log      []string
	cleanups []func()
}

func (r *recorder) Helper()                      {}
func (r *recorder) Cleanup(fn func())            { r.cleanups = append(r.cleanups, fn) }
func (r *recorder) Failed() bool                 { return r.failed }
func (r *recorder) Logf(f string, args ...any)   { r.log = append(r.log, fmt.Sprintf(f, args...)) }
func (r *recorder) Errorf(f string, args ...any) { r.failed = true; r.Logf(f, args...) }
func (r *recorder) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func (r *recorder) end() {
	for _, fn := range slices.Backward(r.cleanups) {
		fn()
	}
}

// A test that failed shows its tables, one that passed is silent; either way the
// switches are closed.
func TestNewLabAtTheEndOfATest(t *testing.T) {
	for _, failed := range []bool{false, true} {
		r := &recorder{failed: failed}
		lab := bridgetest.NewLab(r, bridgetest.Star("h1", "h2"))
		_, err := lab.Host("h1").Ping(lab.Host("h2").IP())
		require.NoError(t, err)
		r.end()
		assert.ErrorIs(t, lab.Bridge().SetUp(true), net.ErrClosed)
		if !failed {
			assert.Empty(t, r.log)
			continue
		}
		require.Len(t, r.log, 1)
		assert.Contains(t, r.log[0], "02:00:00:00:00:02  h2")
	}
}

// A switch that says it sent a frame, which its cable never saw, is found out.
func TestCheckFindsAMiscount(t *testing.T) {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2"))
	require.NoError(t, err)
	defer lab.Close()
	require.NoError(t, lab.Check())
	bridgetest.Miscount(lab)
	err = lab.Check()
	assert.ErrorContains(t, err, "p1: 1 frames missing in the cable's ledger")
}
