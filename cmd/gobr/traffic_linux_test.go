package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// host is a namespace with an interface and addresses.
type host struct {
	netns
	dev, ip4, ip6 string
}

// newHost is the nth host, whose interface is still to come; n is 1 to 255.
func newHost(t *testing.T, n int, dev string) host {
	t.Helper()
	return host{newNetns(t), dev, fmt.Sprintf("10.55.0.%d", n), fmt.Sprintf("fd55::%d", n)}
}

// mac is the same for an interface of the host that is made anew, so that the
// neighbours of the one before find it.
func (h host) mac() string {
	return "02:00:00:00:00:" + fmt.Sprintf("%02x", net.ParseIP(h.ip4).To4()[3])
}

// plug lays a cable from the host's interface to port, which stands in the
// namespace mid. Both ends are up.
func (h host) plug(t *testing.T, mid netns, port string) {
	t.Helper()
	mid.ip(t, "link add "+port+" type veth peer name "+h.dev+" address "+h.mac()+" netns "+h.Path())
	mid.ip(t, "link set "+port+" up")
	h.ip(t, "link set "+h.dev+" up")
	mid.waitRunning(t, port, true)
}

// waitRunning waits until the kernel has seen whether the interface has a carrier,
// for which it takes its time.
func (ns netns) waitRunning(t *testing.T, name string, want bool) {
	t.Helper()
	running := func() (is bool) {
		require.NoError(t, ns.Do(func() error {
			i, err := net.InterfaceByName(name)
			is = err == nil && i.Flags&net.FlagRunning != 0
			return err
		}))
		return is
	}
	eventually(t, func() bool { return running() == want }, func() string { return name + " does not see its carrier come or go" })
}

// tap makes the host's interface, a TAP that outlives who attaches it.
func (h host) tap(t *testing.T) {
	t.Helper()
	h.ip(t, "tuntap add dev "+h.dev+" mode tap")
	h.ip(t, "link set "+h.dev+" address "+h.mac())
}

// address gives the host's interface its addresses.
func (h host) address(t *testing.T) {
	t.Helper()
	require.NoError(t, h.command("ip", "address", "add", h.ip4+"/24", "dev", h.dev))
	require.NoError(t, h.command("ip", "address", "add", h.ip6+"/64", "dev", h.dev, "nodad"))
}

// pingArgs is three pings in a row.
var pingArgs = []string{"-c", "3", "-i", "0.2", "-W", "5"}

// pingAll has every host ping every other, by IPv4 and IPv6, all at once.
func pingAll(t *testing.T, hosts []host, extra ...string) {
	t.Helper()
	var all sync.WaitGroup
	for _, from := range hosts {
		for _, to := range hosts {
			if from == to {
				continue
			}
			for _, ip := range []string{to.ip4, to.ip6} {
				args := append(pingArgs[:len(pingArgs):len(pingArgs)], extra...)
				all.Go(func() { assert.NoError(t, from.command("ping", append(args, ip)...)) })
			}
		}
	}
	all.Wait()
}

// reaches says whether a ping comes back within two seconds.
func (h host) reaches(ip string) bool {
	return h.command("ping", "-c", "1", "-W", "2", ip) == nil
}

// reachesEventually waits until pings come back, ten seconds at most.
func (h host) reachesEventually(t *testing.T, ip string) {
	t.Helper()
	eventually(t, func() bool { return h.command("ping", "-c", "1", "-W", "1", ip) == nil },
		func() string { return h.dev + " does not reach " + ip })
}

// listening is a buffer that tells when a server listens.
type listening struct {
	mu   sync.Mutex // guards text
	text strings.Builder
	once sync.Once
	is   chan struct{} // closed once it does
}

func (l *listening) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if strings.Contains(l.text.String(), "Server listening") {
		l.once.Do(func() { close(l.is) })
	}
	return len(b), nil
}

// transfer is one run of iperf3.
type transfer struct {
	from, to host
	ip       string // of to
	port     int
	udp      bool // 20 Mbit/s, of which some may be lost
	seconds  int  // 0 is 1
}

func (x transfer) String() string {
	return fmt.Sprintf("iperf3 from %s to %s at %s, port %d, udp %t", x.from.dev, x.to.dev, x.ip, x.port, x.udp)
}

// run carries the transfer out, and answers an error unless something arrived. It
// may be called by any goroutine of the test.
func (x transfer) run(t *testing.T) error {
	server := &listening{is: make(chan struct{})}
	err := x.to.background(t, server, "iperf3", "-s", "-1", "--forceflush", "-p", fmt.Sprint(x.port))
	if err != nil {
		return err
	}
	select {
	case <-server.is:
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s: the server does not listen", x)
	}
	args := []string{"-c", x.ip, "-p", fmt.Sprint(x.port), "-t", fmt.Sprint(max(x.seconds, 1)), "-J", "--connect-timeout", "5000"}
	if x.udp {
		args = append(args, "-u", "-b", "20M", "-l", "1400")
	}
	var out []byte
	err = x.from.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		out, err = exec.CommandContext(ctx, "iperf3", args...).Output()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %s", x, err, out)
	}
	var result struct {
		End struct {
			SumReceived struct{ Bytes int } `json:"sum_received"` // TCP
			Sum         struct {            // UDP
				Packets     int
				LostPackets int `json:"lost_packets"`
			}
		}
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return fmt.Errorf("%s: %w: %s", x, err, out)
	}
	if e := result.End; !x.udp && e.SumReceived.Bytes <= 0 || x.udp && e.Sum.Packets <= e.Sum.LostPackets {
		return fmt.Errorf("%s: nothing arrived: %s", x, out)
	}
	return nil
}

// runAll carries transfers out, all at once.
func runAll(t *testing.T, xs []transfer) {
	t.Helper()
	var all sync.WaitGroup
	for _, x := range xs {
		all.Go(func() { assert.NoError(t, x.run(t)) })
	}
	all.Wait()
}

// balanced checks the report: no frame is missing.
func balanced(t *testing.T, report string) {
	t.Helper()
	assert.Contains(t, report, "\nFrames\n")
	assert.Contains(t, report, "\nForwarding database\n")
	assert.NotContains(t, report, "missing")
}
