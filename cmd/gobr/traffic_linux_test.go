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

	"github.com/ddfb540f/bridge"
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
	h.waitRunning(t, h.dev, true) // before that it has no use for an IPv6 address
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

// pingAll has every host ping every other, by IPv4 and IPv6, all at once, until answers
// come back.
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
				all.Go(func() {
					err := from.command("ping", append(args, ip)...)
					for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
						err = from.command("ping", append(args, ip)...)
					}
					assert.NoError(t, err)
				})
			}
		}
	}
	all.Wait()
}

// reaches says whether a ping comes back within two seconds.
func (h host) reaches(ip string) bool {
	return h.command("ping", "-c", "1", "-W", "2", ip) == nil
}

// reachesEventually waits until pings come back, a minute at most.
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

func (l *listening) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
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

// What is sent by UDP.
const (
	udpRate = 4_000_000 // bits a second: a socket's buffer holds them for a third of one, when whoever reads has to wait
	udpSize = 1400      // bytes of a packet
)

// transfer is one run of iperf3.
type transfer struct {
	from, to host
	ip       string // of to
	port     int
	udp      bool // at udpRate
	seconds  int  // 0 is 1
}

func (x transfer) String() string {
	return fmt.Sprintf("iperf3 from %s to %s at %s, port %d, udp %t", x.from.dev, x.to.dev, x.ip, x.port, x.udp)
}

// run carries the transfer out, and answers an error unless enough arrived. Whoever
// receives needs his time too: on a machine that is busy with other things it takes
// three times as long, and that once more. It may be called by any goroutine of the
// test.
func (x transfer) run(t *testing.T) error {
	x.seconds = max(x.seconds, 1)
	for range 2 {
		if out, err := x.once(t); err != nil || x.arrived(out) == nil {
			return err
		}
		x.seconds *= 3
		x.port += 1000 // the last server may still have its
	}
	out, err := x.once(t)
	if err != nil {
		return err
	}
	return x.arrived(out)
}

// once gives the report of iperf3.
func (x transfer) once(t *testing.T) (out []byte, err error) {
	server := &listening{is: make(chan struct{})}
	err = x.to.background(t, server, "iperf3", "-s", "-1", "--forceflush", "-p", fmt.Sprint(x.port))
	if err != nil {
		return nil, err
	}
	select {
	case <-server.is:
	case <-time.After(patience):
		return nil, fmt.Errorf("%s: the server does not listen: %q", x, server)
	}
	args := []string{"-c", x.ip, "-p", fmt.Sprint(x.port), "-t", fmt.Sprint(x.seconds), "-J", "--connect-timeout", "60000"}
	if x.udp {
		args = append(args, "-u", "-b", fmt.Sprint(udpRate), "-l", fmt.Sprint(udpSize))
	}
	err = x.from.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		out, err = exec.CommandContext(ctx, "iperf3", args...).Output()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", x, err, out)
	}
	return out, nil
}

// arrived answers an error unless iperf3 reports that by TCP 1 MB arrived, or by UDP
// more than 95 % of what was sent, which is at least half of what was asked for.
func (x transfer) arrived(out []byte) error {
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
	e := result.End
	enough := e.SumReceived.Bytes >= 1e6
	if x.udp {
		enough = e.Sum.Packets*udpSize*8 >= x.seconds*udpRate/2 && e.Sum.LostPackets*20 < e.Sum.Packets
	}
	if !enough {
		return fmt.Errorf("%s: %d bytes arrived, %d packets were sent of which %d are lost: %s",
			x, e.SumReceived.Bytes, e.Sum.Packets, e.Sum.LostPackets, out)
	}
	return nil
}

// Too little is not enough.
func TestTransferHasToArrive(t *testing.T) {
	tcp, udp := transfer{seconds: 1}, transfer{seconds: 1, udp: true}
	for _, c := range []struct {
		transfer
		out string
		ok  bool
	}{
		{tcp, `{"end": {"sum_received": {"bytes": 1000000}}}`, true},
		{tcp, `{"end": {"sum_received": {"bytes": 999999}}}`, false},
		{tcp, `{"end": {}}`, false},
		{tcp, `iperf3`, false},
		{udp, `{"end": {"sum": {"packets": 357, "lost_packets": 17}}}`, true},
		{udp, `{"end": {"sum": {"packets": 357, "lost_packets": 18}}}`, false},
		{udp, `{"end": {"sum": {"packets": 160, "lost_packets": 0}}}`, false},
		{udp, `{"end": {"sum_received": {"bytes": 2500000}}}`, false},
	} {
		assert.Equal(t, c.ok, c.arrived([]byte(c.out)) == nil, c.out)
	}
}

// runAll carries transfers out, all those by TCP at once, and then those by UDP,
// which would lose what TCP leaves no room for.
func runAll(t *testing.T, xs []transfer) {
	t.Helper()
	var all sync.WaitGroup
	for _, udp := range []bool{false, true} {
		for _, x := range xs {
			if x.udp == udp {
				all.Go(func() { assert.NoError(t, x.run(t)) })
			}
		}
		all.Wait()
	}
}

// neverFull checks the report: none of the ports, a regular expression, refused a
// frame for want of room. A TAP never has to, since the kernel receives a frame while
// it is written; a veth pair has a queue, which much traffic on a busy machine fills.
func neverFull(t *testing.T, report, ports string) {
	t.Helper()
	assert.NotRegexp(t, `(?m)^(`+ports+`) +refused .* `+bridge.DropQueueFull.String(), report)
}

// balanced checks the report: no frame is missing.
func balanced(t *testing.T, report string) {
	t.Helper()
	assert.Contains(t, report, "\nFrames\n")
	assert.Contains(t, report, "\nForwarding database\n")
	assert.NotContains(t, report, "missing")
}
