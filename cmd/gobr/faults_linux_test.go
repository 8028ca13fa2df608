package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// lab is a gobr with the host, a persistent TAP and a raw socket on a veth pair as
// its ports, each with a station behind it.
type lab struct {
	mid            netns // holds the raw socket's end of the pair
	br0, tap0, eth host
	gobr           *program
}

func (l *lab) hosts() []host { return []host{l.br0, l.tap0, l.eth} }

func newLab(t *testing.T, flags ...string) *lab {
	t.Helper()
	netnstest.Needs(t, "ip", "ping")
	l := &lab{mid: newNetns(t), br0: newHost(t, 1, "br0"), tap0: newHost(t, 2, "tap0"), eth: newHost(t, 3, "eth0")}
	for _, h := range []host{l.br0, l.tap0} {
		h.tap(t)
	}
	l.eth.plug(t, l.mid, "veth0")
	var first string
	l.gobr, first = start(t, append([]string{"run", "--host", "br0@" + l.br0.Path(), "--tap", "tap0@" + l.tap0.Path(),
		"--raw", "veth0@" + l.mid.Path()}, flags...)...)
	require.Contains(t, first, "br0 bridges tap0, veth0; the host is at br0", l.gobr.stderr())
	for _, h := range l.hosts() {
		h.address(t)
	}
	pingAll(t, l.hosts())
	return l
}

// end ends gobr, whose ledgers have to come out even.
func (l *lab) end(t *testing.T) (report string) {
	t.Helper()
	status, report := l.gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	balanced(t, report)
	return report
}

// Interfaces that are deleted and made again are attached again, with the settings
// of their ports; what was counted before stays counted. gobr makes no TAP of its
// own accord.
func TestReattach(t *testing.T) {
	t.Parallel()
	l := newLab(t, "--reattach", "--port", "tap0=backup_port=veth0", "--port", "veth0=hairpin,cost=7", "--mtu", "1600")
	l.mid.ip(t, "link del veth0")
	l.gobr.says(t, "port failed veth0: ")
	pingAll(t, []host{l.br0, l.tap0})
	l.eth.plug(t, l.mid, "veth0")
	l.gobr.says(t, "gobr: veth0 is attached again\n")
	l.eth.address(t)
	pingAll(t, l.hosts())

	for _, h := range []host{l.tap0, l.br0} {
		h.ip(t, "link del "+h.dev)
		l.gobr.says(t, map[host]string{l.tap0: "gobr: port failed tap0: ", l.br0: "gobr: host failed: "}[h])
		assert.Empty(t, h.interfaces(t))
		h.tap(t)
		l.gobr.says(t, "gobr: "+h.dev+" is attached again\n")
		assert.True(t, h.found(t, h.dev).up)
		h.address(t)
		pingAll(t, l.hosts())
	}
	assert.Equal(t, 1600, l.tap0.found(t, "tap0").mtu)
	report := l.end(t)
	for _, dev := range []string{"br0", "tap0", "veth0"} { // 3 pings to each of 4 addresses, answered, and that four times
		assert.Regexp(t, `(?m)^ +`+dev+` +([0-9]{3,}|4[89]|[5-9][0-9]) `, report)
	}
	assert.Equal(t, 3, strings.Count(l.gobr.stderr(), "is attached again"), l.gobr.stderr())
	for _, h := range []host{l.tap0, l.br0} {
		assert.Equal(t, []string{h.dev}, h.interfaces(t)) // it is not gobr's
	}
}

// A TAP of the name that somebody else holds is waited for, which is said once.
func TestReattachWaitsForOthers(t *testing.T) {
	netnstest.Needs(t, "ip")
	h := newHost(t, 1, "tap0")
	gobr, first := start(t, "run", "--reattach", "--tap", "tap0@"+h.Path())
	require.Contains(t, first, "br0 bridges tap0", gobr.stderr())
	h.ip(t, "link del tap0")
	gobr.says(t, "gobr: port failed tap0: ")
	other, err := bridge.OpenTAP(bridge.TAPConfig{Name: "tap0", Netns: h.Path()})
	require.NoError(t, err)
	defer other.Close()
	gobr.says(t, "gobr: tap0 is not attached again yet: .*in use")
	time.Sleep(3 * followEvery)
	require.NoError(t, other.Close())
	// Gobr looks for the TAP all the time, and may have made one of the name itself, if it
	// saw the other's a moment before that went.
	eventually(t, func() bool {
		_ = h.command("ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
		return strings.Contains(gobr.stderr(), "gobr: tap0 is attached again\n")
	}, gobr.stderr)
	gobr.says(t, "gobr: tap0 is attached again\n")
	gobr.end(t, os.Interrupt)
	assert.Equal(t, 1, strings.Count(gobr.stderr(), "not attached again yet"), gobr.stderr())
}

// Without --reattach a port that has lost its interface stays without one.
func TestNoReattachUnlessAsked(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.mid.ip(t, "link del veth0")
	l.gobr.says(t, "port failed veth0: ")
	l.eth.plug(t, l.mid, "veth0")
	l.eth.address(t)
	pingAll(t, []host{l.br0, l.tap0})
	assert.False(t, l.tap0.reaches(l.eth.ip4))
	l.end(t)
	assert.NotContains(t, l.gobr.stderr(), "again")
}

// Interfaces that go down and up, lose their carrier, or get another name, go on.
func TestLinksAndNames(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.tap0.ip(t, "link set tap0 down")
	l.gobr.says(t, "gobr: tap0: down, it was up\n")
	l.tap0.ip(t, "link set tap0 up")
	l.gobr.says(t, "gobr: tap0: up, it was down\n")
	l.eth.ip(t, "link set eth0 down")
	l.gobr.says(t, "gobr: veth0: up, without a carrier, it was up\n")
	l.eth.ip(t, "link set eth0 up")
	l.gobr.says(t, "gobr: veth0: up, it was up, without a carrier\n")
	l.mid.ip(t, "link set veth0 down")
	l.gobr.says(t, "gobr: veth0: down, it was up\n")
	l.mid.ip(t, "link set veth0 name uplink")
	l.mid.ip(t, "link set uplink up")
	l.gobr.says(t, "gobr: veth0: up, it was (down|up, without a carrier)\n")
	l.br0.ip(t, "link set br0 down")
	l.gobr.says(t, "gobr: br0: down, it was up\n")
	assert.False(t, l.tap0.reaches(l.eth.ip4), "a bridge that is down bridges")
	l.br0.ip(t, "link set br0 name lan")
	l.br0.ip(t, "link set lan up")
	l.gobr.says(t, "gobr: lan: up, it was down\n")

	l.br0.dev = "lan"
	for _, h := range l.hosts() { // IPv6 addresses go with the link
		h.ip(t, "-6 address flush dev "+h.dev)
		h.ip(t, "address add "+h.ip6+"/64 dev "+h.dev+" nodad")
		if h != l.tap0 {
			h.reachesEventually(t, l.tap0.ip4)
		}
	}
	pingAll(t, l.hosts())
	l.end(t)
	assert.NotContains(t, l.gobr.stderr(), "failed")
}

// The bridge follows MTUs, of ports under load, and addresses.
func TestMTUsAndAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	netnstest.Needs(t, "iperf3")
	done := make(chan error, 1)
	go func() { done <- transfer{from: l.tap0, to: l.eth, ip: l.eth.ip4, port: 5201, seconds: 2}.run(t) }()
	go func() { done <- transfer{from: l.eth, to: l.br0, ip: l.br0.ip6, port: 5202, seconds: 2}.run(t) }()
	l.mid.ip(t, "link set veth0 mtu 1400")
	l.eth.ip(t, "link set eth0 mtu 1400")
	l.gobr.says(t, "gobr: veth0: MTU 1400, it was 1500\n")
	l.gobr.says(t, "gobr: br0: MTU 1400, it was 1500\n")
	assert.Equal(t, 1400, l.br0.found(t, "br0").mtu)
	l.tap0.ip(t, "link set tap0 mtu 1400")
	l.gobr.says(t, "gobr: tap0: MTU 1400, it was 1500\n")
	for range 2 {
		assert.NoError(t, <-done)
	}
	pingAll(t, l.hosts(), "-M", "do", "-s", "1352") // 1400 with the headers of IPv6

	l.mid.ip(t, "link set veth0 address 02:00:00:00:00:e0")
	l.gobr.says(t, "gobr: veth0: address 02:00:00:00:00:e0, it was ")
	l.br0.ip(t, "link set br0 mtu 1300")
	l.gobr.says(t, "gobr: br0: MTU 1300, it was 1400\n")
	l.br0.ip(t, "link set br0 address 02:00:00:00:00:b0")
	l.gobr.says(t, "gobr: br0: address 02:00:00:00:00:b0, it was ")
	l.br0.reachesEventually(t, l.tap0.ip4) // whose neighbour table is out of date
	l.mid.ip(t, "link set veth0 mtu 1200")
	l.gobr.says(t, "gobr: veth0: MTU 1200, it was 1400\n")
	assert.Equal(t, 1300, l.br0.found(t, "br0").mtu, "an MTU that was set follows the ports")
	report := l.end(t)
	assert.Regexp(t, `(?m)^02:00:00:00:00:b0 +- +the bridge +permanent `, report)
	assert.Regexp(t, `(?m)^02:00:00:00:00:e0 +- +veth0 +permanent `, report)
}

// An interface that leaves for another network namespace: a raw socket's port ends
// with a line, a TAP's goes on.
func TestMovedInterfaces(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	elsewhere := newHost(t, 2, "tap0")
	l.mid.ip(t, "link set veth0 netns "+elsewhere.Path())
	l.gobr.says(t, "gobr: port failed veth0: ")
	pingAll(t, []host{l.br0, l.tap0})
	l.tap0.ip(t, "link set tap0 netns "+elsewhere.Path())
	elsewhere.ip(t, "link set tap0 up")
	elsewhere.address(t)
	elsewhere.reachesEventually(t, l.br0.ip4)
	pingAll(t, []host{l.br0, elsewhere})
	l.end(t)
	assert.Equal(t, 1, strings.Count(l.gobr.stderr(), "failed"), l.gobr.stderr())
}

// TAPs that are down when they leave for another network namespace pass frames once
// they are up there: a port's, and the host's, without which nothing passes.
func TestMovedWhileDown(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	moved := []host{newHost(t, 1, "br0"), newHost(t, 2, "tap0")}
	for i, h := range []host{l.br0, l.tap0} {
		h.ip(t, "link set "+h.dev+" down")
		l.gobr.says(t, "gobr: "+h.dev+": down, it was up\n")
		h.ip(t, "link set "+h.dev+" netns "+moved[i].Path())
		l.gobr.says(t, "gobr: "+h.dev+": not in its network namespace any more, taken for up\n")
		l.gobr.says(t, "gobr: "+h.dev+": up, it was down\n")
		moved[i].ip(t, "link set "+h.dev+" up")
		moved[i].address(t)
		moved[i].reachesEventually(t, l.eth.ip4)
	}
	pingAll(t, append(moved, l.eth))

	moved[1].ip(t, "link set tap0 down") // which its cable tells
	assert.False(t, l.eth.reaches(moved[1].ip4))
	moved[1].ip(t, "link set tap0 up")
	moved[1].reachesEventually(t, l.eth.ip4)

	moved[1].ip(t, "link set tap0 down") // back home it is followed again
	moved[1].ip(t, "link set tap0 netns "+l.tap0.Path())
	l.gobr.says(t, "gobr: tap0: down, it was up\n")
	l.tap0.ip(t, "link set tap0 up")
	l.gobr.says(t, "gobr: tap0: up, it was down\n")
	l.tap0.address(t)
	l.tap0.reachesEventually(t, l.eth.ip4)
	l.end(t)
	assert.Equal(t, 2, strings.Count(l.gobr.stderr(), "any more"), l.gobr.stderr())
	assert.NotContains(t, l.gobr.stderr(), "failed")
}

// A host's TAP that is deleted while it is down does not leave the bridge down: not
// while it is away, and not once there is another.
func TestHostDeletedWhileDown(t *testing.T) {
	t.Parallel()
	l := newLab(t, "--reattach")
	l.br0.ip(t, "link set br0 down")
	l.gobr.says(t, "gobr: br0: down, it was up\n")
	l.br0.ip(t, "link del br0")
	l.gobr.says(t, "gobr: host failed: ")
	l.gobr.says(t, "gobr: br0: up without a host\n")
	l.tap0.reachesEventually(t, l.eth.ip4)
	l.br0.tap(t)
	l.gobr.says(t, "gobr: br0 is attached again\n")
	l.br0.address(t)
	l.br0.reachesEventually(t, l.eth.ip4)
	pingAll(t, l.hosts())
	l.end(t)
}

// A host's cable that ends while it is plugged in has ended, and one that cannot be
// plugged in is tried again.
func TestHostEndsWhilePluggedIn(t *testing.T) {
	var h hostTAP
	h.failed.Store(true)
	assert.NoError(t, h.plugIn(func() error { return nil }))
	assert.False(t, h.failed.Load())
	assert.NoError(t, h.plugIn(func() error { h.failed.Store(true); return nil }))
	assert.True(t, h.failed.Load())
	h.failed.Store(false)
	assert.Error(t, h.plugIn(func() error { return bridge.ENODEV }))
	assert.True(t, h.failed.Load())
}

// A look that fails now and then is no reason to think that the interface has left.
func TestOutOfSight(t *testing.T) {
	var n outOfSight
	for i, c := range []struct {
		err  error
		left bool
	}{{bridge.ENODEV, false}, {nil, false}, {bridge.ENODEV, false}, {bridge.ENODEV, true}, {bridge.ENODEV, false}, {nil, false}, {bridge.ENODEV, false}, {bridge.ENODEV, true}} {
		assert.Equal(t, c.left, n.left(c.err), i)
	}
}

// What is missing is said in one line, and what is likely to be a mistake too.
func TestSaysWhatIsWrong(t *testing.T) {
	netnstest.Needs(t, "ip")
	mid := newNetns(t)
	eth := newHost(t, 1, "eth0")
	eth.plug(t, mid, "veth0")
	gobr, _ := start(t, "run", "--tap", "tap0@"+mid.Path(), "--raw", "none@"+mid.Path())
	status, _ := gobr.end(t, nil)
	assert.Equal(t, exitFailure, status)
	assert.Regexp(t, `^gobr: [^\n]*none[^\n]*: there is no interface [^\n]*\n$`, gobr.stderr())
	assert.Equal(t, []string{"veth0"}, mid.interfaces(t))

	mid.ip(t, "address add 10.55.1.1/24 dev veth0")
	mid.ip(t, "link set veth0 mtu 1400 down")
	gobr, first := start(t, "run", "--tap", "tap0@"+mid.Path(), "--raw", "veth0@"+mid.Path())
	assert.Contains(t, first, "br0 bridges")
	for _, says := range []string{"its MTU is 1400, that of tap0 is 1500", "10.55.1.1", "veth0 is down: ip link set veth0 up"} {
		gobr.says(t, `(?m)^gobr: warning: .*`+says)
	}
	gobr.end(t, os.Interrupt)

	mid.ip(t, "link set veth0 up")
	eth.ip(t, "link set eth0 down")
	mid.waitRunning(t, "veth0", false)
	gobr, _ = start(t, "run", "--raw", "veth0@"+mid.Path())
	gobr.says(t, "gobr: warning: veth0 has no carrier: ")
	gobr.end(t, os.Interrupt)

	mid.ip(t, "link set veth0 down")
	gobr, first = start(t, "run", "--raw", "veth0@"+mid.Path(), "--port", "veth0=up")
	assert.Contains(t, first, "br0 bridges")
	assert.True(t, mid.found(t, "veth0").up)
	gobr.end(t, os.Interrupt)
	assert.False(t, mid.found(t, "veth0").up, "it is not left as found")
}

// gobr leaves no goroutine behind, as TestMain sees.
func TestEndsWhatItStarted(t *testing.T) {
	netnstest.Needs(t, "ip")
	ns := newNetns(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout lockedBuffer
	var stderr strings.Builder
	args := []string{"run", "--reattach", "--host", "br0@" + ns.Path(), "--tap", "tap0@" + ns.Path()}
	var waiting sync.WaitGroup
	waiting.Go(func() { // ends with patience
		defer cancel()
		for end := time.Now().Add(patience); !strings.Contains(stdout.String(), "bridges") && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2*followEvery + followEvery/2) // it has looked
	})
	defer waiting.Wait()
	assert.Equal(t, exitOK, run(ctx, args, &stdout, &stderr), stderr.String())
	assert.Contains(t, stdout.String(), "br0 bridges tap0; the host is at br0")
	balanced(t, stdout.String())
	assert.Empty(t, stderr.String())
	assert.Empty(t, ns.interfaces(t))
}
