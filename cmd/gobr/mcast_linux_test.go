package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

var mcastGroups = []string{"239.5.5.5:5005", "[ff05::5:5]:5005"}

// A watched host sees which packets of these tests come to it, and what asks it for groups.
type watched struct {
	host
	mu       sync.Mutex                // guards the rest
	seen     map[uint64]frame.MAC      // by number: where it was sent to
	queriers map[netip.Addr]bool       // the senders of MLD queries
	conns    map[bool]*net.UDPConn     // of IPv6, or not
	joined   map[string][]*net.UDPConn // by group
}

// watch gives the host its addresses, and a packet socket that listens to its interface.
func (h host) watch(t *testing.T) *watched {
	t.Helper()
	h.address(t)
	h.ip(t, "route add 224.0.0.0/4 dev "+h.dev)
	w := &watched{host: h, seen: map[uint64]frame.MAC{}, queriers: map[netip.Addr]bool{}, conns: map[bool]*net.UDPConn{}, joined: map[string][]*net.UDPConn{}}
	raw, err := bridge.OpenRaw(bridge.RawConfig{Name: h.dev, Netns: h.Path(), NoPromisc: true})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { // ends when raw is closed
		defer close(done)
		for fs := make([]frame.Frame, 64); ; {
			n, err := raw.ReadFrames(fs)
			if err != nil {
				return
			}
			for i := range fs[:n] {
				w.take(fs[i].Data)
			}
		}
	}()
	t.Cleanup(func() {
		_ = raw.Close()
		<-done
		for _, c := range w.conns {
			_ = c.Close()
		}
		for _, cs := range w.joined {
			for _, c := range cs {
				_ = c.Close()
			}
		}
	})
	require.NoError(t, h.Do(func() error {
		for _, six := range []bool{false, true} {
			ip := h.ip4
			if six {
				ip = h.ip6
			}
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
			if err != nil {
				return err
			}
			w.conns[six] = c
		}
		return nil
	}))
	return w
}

const mcastMagic = "gobr tests snooping"

// take looks at a frame that came to the host.
func (w *watched) take(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := strings.Index(string(b), mcastMagic); i >= 0 && len(b) >= i+len(mcastMagic)+8 {
		w.seen[binary.BigEndian.Uint64(b[i+len(mcastMagic):])] = frame.MAC(b[:6])
	}
	const hopByHop, mldQuery = 0, 130
	if len(b) > 62 && b[12] == 0x86 && b[13] == 0xdd && b[20] == hopByHop && b[62] == mldQuery {
		w.queriers[netip.AddrFrom16([16]byte(b[22:38]))] = true
	}
}

func (w *watched) asked(by netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queriers[by]
}

func (w *watched) got(number uint64) (dst frame.MAC, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dst, ok = w.seen[number]
	return dst, ok
}

func (w *watched) send(t *testing.T, to string, number uint64) {
	t.Helper()
	at := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
	_, err := w.conns[at.IP.To4() == nil].WriteTo(binary.BigEndian.AppendUint64([]byte(mcastMagic), number), at)
	require.NoError(t, err)
}

// join has the host join the groups.
func (w *watched) join(t *testing.T) {
	t.Helper()
	require.NoError(t, w.Do(func() error {
		dev, err := net.InterfaceByName(w.dev)
		for _, g := range mcastGroups {
			var c *net.UDPConn
			if err == nil {
				c, err = net.ListenMulticastUDP("udp", dev, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(g)))
			}
			if err == nil {
				w.joined[g] = append(w.joined[g], c)
			}
		}
		return err
	}))
}

func (w *watched) leave(t *testing.T) {
	t.Helper()
	for _, g := range mcastGroups {
		for _, c := range w.joined[g] {
			require.NoError(t, c.Close())
		}
		delete(w.joined, g)
	}
}

// mcastLab is the hosts around a gobr. The first sends.
type mcastLab struct {
	hosts  []*watched
	number uint64
}

// reach gives where a packet to the group comes to. Behind it goes a broadcast, which has
// come to all others when the answer is known.
func (l *mcastLab) reach(t *testing.T, group string) (devs []string, number uint64) {
	t.Helper()
	l.number++
	number = l.number
	l.hosts[0].send(t, group, number)
	for all, end := false, time.Now().Add(patience); !all; {
		require.True(t, time.Now().Before(end), "a broadcast does not come to all")
		l.number++
		l.hosts[0].send(t, "10.55.0.255:9", l.number)
		for again := time.Now().Add(time.Second); !all && time.Now().Before(again); time.Sleep(time.Millisecond) {
			all = !slices.ContainsFunc(l.hosts[1:], func(w *watched) bool { _, ok := w.got(l.number); return !ok })
		}
	}
	for _, w := range l.hosts[1:] {
		if _, ok := w.got(number); ok {
			devs = append(devs, w.dev)
		}
	}
	return devs, number
}

// becomes waits until packets to each of the groups come to these hosts alone.
func (l *mcastLab) becomes(t *testing.T, want ...string) (numbers []uint64) {
	t.Helper()
	for _, g := range mcastGroups {
		var got []string
		var number uint64
		eventually(t, func() bool {
			got, number = l.reach(t, g)
			return slices.Equal(got, want)
		}, func() string { return fmt.Sprintf("%s reaches %v, to be %v", g, got, want) })
		numbers = append(numbers, number)
	}
	return numbers
}

// mcastSoon is times of snooping, but for leaving, which without fast leave takes longer
// than anybody waits.
const mcastSoon = "query_interval=1,startup_query_interval=1,query_response_interval=0.5,last_member_interval=600"

// Without a querier groups go everywhere but where mcast_flood is off.
func TestSnoopingWithoutQuerierThroughGobr(t *testing.T) {
	netnstest.Needs(t, "ip")
	a, b, c := newHost(t, 1, "tap0"), newHost(t, 2, "tap1"), newHost(t, 3, "tap2")
	gobr, first := start(t, "run", "--mcast-snooping", "--tap", "tap0@"+a.Path(), "--tap", "tap1@"+b.Path(), "--tap", "tap2@"+c.Path(), "--port", "tap2=mcast_flood=off")
	require.Contains(t, first, "br0 bridges tap0, tap1, tap2; ", gobr.stderr())
	l := mcastLab{hosts: []*watched{a.watch(t), b.watch(t), c.watch(t)}}
	l.hosts[1].join(t)
	l.becomes(t, "tap1")
	member := regexp.MustCompile(`(?m)^239\.5\.5\.5 +\* +- +tap1 +temp +4m\d+s +-$`)
	eventually(t, func() bool {
		require.NoError(t, gobr.cmd.Process.Signal(syscall.SIGUSR1))
		return member.MatchString(gobr.out.String())
	}, func() string { return "no member of the group: " + gobr.out.String() })
	_, out := gobr.end(t, os.Interrupt)
	balanced(t, out)
	assert.Contains(t, out, "\nIPv4      -     -       -        -\nIPv6      -     -       -        -\n")
}

// With a querier groups go to members, one of them the host, and routers, whatever the
// flags of flooding; fast leave, conversion to unicast and router ports are as the options
// of the ports say. Queries for IPv6 come from the address of the host's TAP, which may
// change, and the tables can be looked at meanwhile.
func TestQuerierThroughGobr(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip")
	br0 := newHost(t, 1, "br0")
	args := []string{"run", "--mcast-querier", "--mcast", mcastSoon, "--host", "br0@" + br0.Path(),
		"--port", "tap1=fastleave", "--port", "tap2=mcast_to_unicast,mcast_flood=off", "--port", "tap3=mcast_router=2"}
	var taps []host
	for i := range 5 {
		taps = append(taps, newHost(t, i+2, fmt.Sprintf("tap%d", i)))
		args = append(args, "--tap", taps[i].dev+"@"+taps[i].Path())
	}
	gobr, first := start(t, args...)
	require.Contains(t, first, "br0 bridges tap0, tap1, tap2, tap3, tap4; ", gobr.stderr())
	var l mcastLab
	for _, h := range append(taps, br0) {
		l.hosts = append(l.hosts, h.watch(t))
	}
	tap1, tap2, host := l.hosts[1], l.hosts[2], l.hosts[5]
	l.becomes(t, "tap3")
	for _, w := range []*watched{tap1, tap2, host} {
		w.join(t)
	}
	for i, number := range l.becomes(t, "tap1", "tap2", "tap3", "br0") {
		dst, _ := tap1.got(number)
		assert.True(t, dst.IsMulticast(), mcastGroups[i])
		dst, _ = tap2.got(number)
		assert.Equal(t, tap2.found(t, "tap2").addr, dst.String(), mcastGroups[i])
	}
	tap1.leave(t)
	l.becomes(t, "tap2", "tap3", "br0")
	tap2.leave(t)
	l.becomes(t, "tap2", "tap3", "br0") // it has no fast leave

	require.NoError(t, gobr.cmd.Process.Signal(syscall.SIGUSR1))
	eventually(t, func() bool { return strings.Contains(gobr.out.String(), "\nIPv6      -     the bridge") }, func() string { return "no tables: " + gobr.out.String() })
	table := gobr.out.String()
	assert.Contains(t, table, "\nForwarding database\n")
	assert.NotContains(t, table, "\nFrames\n")
	assert.Regexp(t, `(?m)^239\.5\.5\.5 +\* +- +the bridge +temp +4m\d+s +-$`, table)
	assert.Regexp(t, `(?m)^ff05::5:5 +\* +- +tap2 +temp +\d+m\d+s +-$`, table)
	assert.Regexp(t, `(?m)^tap3 +- +never +never$`, table)

	before := br0.linkLocal(t)
	eventually(t, func() bool { return l.hosts[4].asked(before) }, func() string { return fmt.Sprintf("no query from %s", before) })
	now := netip.MustParseAddr("fe80::77")
	br0.ip(t, "address add fe80::77/64 dev br0 nodad")
	br0.ip(t, "address del "+before.String()+"/64 dev br0")
	gobr.says(t, "br0: MLD queries come from fe80::77, it was "+before.String())
	eventually(t, func() bool { return l.hosts[4].asked(now) }, func() string { return "no query from fe80::77" })
	_, out := gobr.end(t, os.Interrupt)
	balanced(t, out)
	assert.Equal(t, 2, strings.Count(out, "\nMulticast groups\n"))
}

// linkLocal waits for the link-local address of the host, which it may use by then.
func (h host) linkLocal(t *testing.T) (ip netip.Addr) {
	t.Helper()
	eventually(t, func() bool {
		_, ip = addressesOf(ifSpec{h.dev, h.Path()})
		return ip.IsValid()
	}, func() string { return h.dev + " has no link-local address" })
	return ip
}

// Without a host, queries for IPv6 come from the address that belongs to the bridge's.
func TestQuerierWithoutHostThroughGobr(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip")
	a, b := newHost(t, 1, "tap0"), newHost(t, 2, "tap1")
	gobr, first := start(t, "run", "--address", "52:54:00:12:34:56", "--mcast-querier", "--mcast", mcastSoon+",igmp_version=3,mld_version=2",
		"--tap", "tap0@"+a.Path(), "--tap", "tap1@"+b.Path(), "--port", "tap1=fastleave")
	require.Contains(t, first, "br0 bridges tap0, tap1; ", gobr.stderr())
	l := mcastLab{hosts: []*watched{a.watch(t), b.watch(t)}}
	l.becomes(t)
	l.hosts[1].join(t)
	l.becomes(t, "tap1")
	eventually(t, func() bool { return l.hosts[1].asked(netip.MustParseAddr("fe80::5054:ff:fe12:3456")) }, func() string { return "no query" })
	l.hosts[1].leave(t)
	l.becomes(t)
	_, out := gobr.end(t, os.Interrupt)
	assert.Empty(t, gobr.stderr())
	balanced(t, out)
	assert.Regexp(t, `(?m)^IPv6 +- +the bridge +fe80::5054:ff:fe12:3456 +-$`, out)
}

// More groups than are allowed end snooping, which is told.
func TestTooManyGroupsThroughGobr(t *testing.T) {
	netnstest.Needs(t, "ip")
	a, b := newHost(t, 1, "tap0"), newHost(t, 2, "tap1")
	gobr, _ := start(t, "run", "--mcast", "hash_max=1", "--tap", "tap0@"+a.Path(), "--tap", "tap1@"+b.Path())
	b.watch(t).join(t)
	gobr.says(t, "br0: there are more multicast groups than hash_max allows: ")
	_, out := gobr.end(t, os.Interrupt)
	balanced(t, out)
	assert.NotContains(t, out, "Multicast groups")
}

func TestParseLinkLocal(t *testing.T) {
	const table = `00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000505400fffe000001 02 40 20 40     br0
fe80000000000000505400fffe000002 02 40 20 88     br0
fd550000000000000000000000000001 02 40 00 80     br0
fe80000000000000505400fffe000003 03 40 20 80    br01
fe80000000000000505400fffe000004 02 40 20 80     br0
fe80 02 40 20 80 br9
fe80000000000000505400fffe000005 02 40 20 xx br9
`
	assert.Equal(t, netip.MustParseAddr("fe80::5054:ff:fe00:4"), parseLinkLocal(table, "br0"))
	assert.Equal(t, netip.Addr{}, parseLinkLocal(table, "br9"))
	assert.Equal(t, netip.Addr{}, parseLinkLocal("", "br0"))
}
