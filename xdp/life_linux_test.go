package xdp_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// descriptors is how many descriptors this process has open of the kinds that a group
// needs.
func descriptors(t testing.TB) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, d := range all {
		to, _ := os.Readlink("/proc/self/fd/" + d.Name()) // it may be closed by now
		if strings.Contains(to, "socket:") || strings.Contains(to, "bpf") {
			n++
		}
	}
	return n
}

// Close ends a ReadFrames that waits, takes the program off, and leaves no descriptor.
func TestCloseLeavesNothing(t *testing.T) {
	netnstest.Needs(t)
	ns := netnstest.New(t, false)
	ip(t, ns, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ip(t, ns, "link", "set", "v0", "up")
	ip(t, ns, "link", "set", "v1", "up")
	awaitUp(t, ns, "v0")
	before := descriptors(t)
	for i := range 4 {
		g := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "v0", Netns: ns.Path(), Generic: i%2 == 1}, {Name: "v1", Netns: ns.Path()}}})
		assert.Contains(t, ip(t, ns, "link", "show", "v0"), "prog/xdp")
		assert.Contains(t, ip(t, ns, "-d", "link", "show", "v0"), "promiscuity 1")
		assert.Equal(t, before+2*8, descriptors(t), "of each port: four sockets, a link, a program, a map, and one to ask by")
		ended := make(chan error, 2)
		for _, p := range g.Ports() {
			go func() { // ends with Close
				for {
					if _, err := p.ReadFrames(make([]frame.Frame, 4)); err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		time.Sleep(10 * time.Millisecond) // most often both wait by now
		require.NoError(t, g.Close())
		require.NoError(t, g.Close())
		for range g.Ports() {
			require.ErrorIs(t, <-ended, net.ErrClosed)
		}
		assert.True(t, xdp.Unmapped(g))
		assert.NotContains(t, ip(t, ns, "link", "show", "v0"), "prog/xdp")
		assert.NotContains(t, ip(t, ns, "-d", "link", "show", "v0"), "promiscuity 1")
		assert.Eventually(t, func() bool { return descriptors(t) == before }, time.Minute, time.Millisecond, "descriptors are left")
	}
}

// childEnv names the namespace in which TestMain's process is to open a port and wait.
const childEnv = "XDP_TEST_CHILD"

func child(path string) {
	_, err := xdp.Open(xdp.Config{Ports: []xdp.PortConfig{{Name: "v0", Netns: path}}})
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("open\n")
	select {}
}

// A process that is killed leaves no program at its interface.
func TestKilled(t *testing.T) {
	netnstest.Needs(t)
	ns := netnstest.New(t, false)
	ip(t, ns, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+ns.Path())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := make([]byte, 5)
	_, err = out.Read(line)
	require.NoError(t, err)
	assert.Contains(t, ip(t, ns, "link", "show", "v0"), "prog/xdp")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	require.Eventually(t, func() bool { return !strings.Contains(ip(t, ns, "link", "show", "v0"), "prog/xdp") }, time.Minute, time.Millisecond)
}

// An interface that goes down says so to a reader that waits and to a writer, and
// carries frames again when it is up; one that is deleted ends the port.
func TestDownUpDeleted(t *testing.T) {
	netnstest.Needs(t)
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			s := newStar(t, 2, 64, generic)
			p := s.ports[0]
			type answer struct {
				f   []byte
				err error
			}
			read := make(chan answer)
			go func() { // ends with the port
				fs := make([]frame.Frame, 1)
				for {
					_, err := p.ReadFrames(fs)
					switch a := (answer{err: err}); {
					case err != nil && !errors.Is(err, bridge.ENETDOWN):
						read <- a
						return
					case err != nil:
						read <- a
					case numberOf(fs[0].Data) >= 0:
						read <- answer{f: slices.Clone(fs[0].Data)}
					}
				}
			}()
			one := []frame.Frame{{Data: wire(1, 80)}}
			for range 3 {
				ip(t, s.hub, "link", "set", "p0", "down")
				a := <-read
				for a.err == nil {
					a = <-read // that came before
				}
				require.ErrorIs(t, a.err, bridge.ENETDOWN)
				require.ErrorIs(t, a.err, syscall.ENETDOWN)
				require.ErrorContains(t, a.err, "ip link set p0 up")
				_, err := p.WriteFrames(one)
				require.ErrorIs(t, err, bridge.ENETDOWN)
				up, _, err := p.Link()
				require.NoError(t, err)
				require.False(t, up)
				ip(t, s.hub, "link", "set", "p0", "up")
				awaitUp(t, s.hub, "p0")
				for came := false; !came; {
					_, _ = s.peers[0].WriteFrames(one) // until the reader has seen that it is up
					select {
					case a := <-read:
						came = a.err == nil
					case <-time.After(10 * time.Millisecond):
					}
				}
				n, err := p.WriteFrames(one)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				require.Equal(t, 1, numberOf(next(t, s.peers[0]).Data))
			}
			ip(t, s.hub, "link", "delete", "p0")
			for {
				a := <-read
				if a.err == nil || errors.Is(a.err, bridge.ENETDOWN) {
					continue // it goes down first
				}
				require.ErrorIs(t, a.err, bridge.ENODEV)
				require.ErrorIs(t, a.err, syscall.ENODEV)
				break
			}
			_, err := p.WriteFrames(one)
			require.ErrorIs(t, err, bridge.ENODEV)
			_, err = p.MTU()
			require.ErrorIs(t, err, bridge.ENODEV)
			assert.Equal(t, "p0", p.Name())
			require.NoError(t, p.Close())
			send(t, s.peers[1], frame.Frame{Data: wire(9, 70)}) // the other goes on
			require.Equal(t, 9, numberOf(next(t, s.ports[1]).Data))
		})
	}
}

// A bridge sees its port go down and come up, and lose its interface.
func TestBridgeFollowsLink(t *testing.T) {
	netnstest.Needs(t, "ping", "ethtool")
	hub := netnstest.New(t, false)
	a := newStation(t, hub, "p0", "192.0.2.1", true)
	b := newStation(t, hub, "p1", "192.0.2.2", true)
	g := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "p0", Netns: hub.Path()}, {Name: "p1", Netns: hub.Path()}}})
	br, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	events := make(chan bridge.Event, 1000)
	br.Watch(func(e bridge.Event) { events <- e })
	join(t, br, g.Ports()...)
	serve(t, br)
	await := func(kind bridge.EventKind) {
		t.Helper()
		for timeout := time.After(time.Minute); ; {
			select {
			case e := <-events:
				if e.Kind == kind {
					return
				}
			case <-timeout:
				t.Fatalf("no %v", kind)
			}
		}
	}
	a.ping(t, b)
	ip(t, hub, "link", "set", "p0", "down")
	await(bridge.EventCableDown)
	ip(t, hub, "link", "set", "p0", "up")
	awaitUp(t, hub, "p0")
	await(bridge.EventCableUp)
	a.ping(t, b)
	ip(t, hub, "link", "delete", "p0")
	await(bridge.EventPortFailed)
}

// Open says what is missing.
func TestOpenErrors(t *testing.T) {
	netnstest.Needs(t)
	ns := netnstest.New(t, false)
	ip(t, ns, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ip(t, ns, "link", "add", "big", "mtu", "9000", "type", "veth", "peer", "name", "big1", "mtu", "9000")
	ip(t, ns, "address", "add", "198.51.100.1/24", "dev", "big")
	path := ns.Path()
	port := func(names ...string) (cfg xdp.Config) {
		for _, n := range names {
			cfg.Ports = append(cfg.Ports, xdp.PortConfig{Name: n, Netns: path})
		}
		return cfg
	}
	before := descriptors(t)
	refused := func(cfg xdp.Config, like error, text string) {
		t.Helper()
		_, err := xdp.Open(cfg)
		require.ErrorIs(t, err, like)
		require.ErrorContains(t, err, text)
	}
	refused(xdp.Config{}, bridge.EINVAL, "Ports")
	refused(port("v0", "v0"), bridge.EINVAL, "twice")
	refused(port("v0", ""), bridge.EINVAL, "Name")
	refused(xdp.Config{Ports: port("v0").Ports, Ring: 100}, bridge.EINVAL, "power of two")
	refused(xdp.Config{Ports: port("v0").Ports, ChunkSize: 3000}, bridge.EINVAL, "ChunkSize")
	refused(port("v0", "none"), bridge.ENODEV, "there is no interface none")
	refused(port("lo"), bridge.EINVAL, "no Ethernet")
	refused(xdp.Config{Ports: []xdp.PortConfig{{Name: "v0", Netns: "/nowhere"}}}, fs.ErrNotExist, "cannot be opened")

	g := open(t, port("v0"))
	refused(port("v1", "v0"), bridge.EBUSY, "another XDP program")
	assert.NotContains(t, ip(t, ns, "link", "show", "v1"), "prog/xdp", "an Open that fails leaves nothing")
	assert.Empty(t, g.Ports()[0].Warnings())
	require.NoError(t, g.Close())
	closeAll(t, g)

	g = open(t, port("v0", "big")) // an MTU that the driver does not take
	p := g.Ports()[1]
	assert.Equal(t, xdp.Native, g.Ports()[0].Mode())
	assert.Equal(t, xdp.Generic, p.Mode())
	assert.Contains(t, p.Why(), "the MTU 9000, of this interface or of its peer, is too large")
	assert.False(t, p.ZeroCopy())
	require.Len(t, p.Warnings(), 2)
	assert.Contains(t, p.Warnings()[0], "ip address del 198.51.100.1/24 dev big")
	assert.Contains(t, p.Warnings()[1], "ip link set big mtu 3818")
	assert.Equal(t, 4096, p.Caps().MaxFrame)
	require.NoError(t, g.Close())
	closeAll(t, g)
	assert.Eventually(t, func() bool { return descriptors(t) == before }, time.Minute, time.Millisecond, "descriptors are left")
}

// closeAll makes the last call of each reader.
func closeAll(t testing.TB, g *xdp.Group) {
	t.Helper()
	for _, p := range g.Ports() {
		_, err := p.ReadFrames(make([]frame.Frame, 1))
		require.ErrorIs(t, err, net.ErrClosed)
	}
}

// Open brings an interface up that is down, and Close takes it down again.
func TestUp(t *testing.T) {
	netnstest.Needs(t)
	ns := netnstest.New(t, false)
	ip(t, ns, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ip(t, ns, "link", "set", "v1", "up")
	g := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "v0", Netns: ns.Path(), Up: true}}})
	awaitUp(t, ns, "v0")
	r, err := bridge.OpenRaw(bridge.RawConfig{Name: "v1", Netns: ns.Path()})
	require.NoError(t, err)
	defer r.Close()
	send(t, r, frame.Frame{Data: wire(3, 60)})
	require.Equal(t, 3, numberOf(next(t, g.Ports()[0]).Data))
	require.NoError(t, g.Close())
	assert.Contains(t, ip(t, ns, "link", "show", "v0"), "state DOWN")
}
