package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/stp"
)

// A tree is bridges of whatever make, numbered from 1, the lower the better a root, and
// the cables between them, with a host behind the first and one behind the second. All
// bridges are in one namespace. Cable i, from 0, between bridges 1 and 2 has the ends
// p1a and p2a for i = 0, p1b and p2b for 1, and so on.
type tree struct {
	name    string
	t       *testing.T
	mid     netns
	cables  [][2]int
	down    map[int]bool // cables that are cut
	hosts   [2]host
	bridges []treeBridge

	whole time.Time         // when the last bridge was added
	last  map[string]string // the states when they were looked at last
	since time.Time         // since when they are these, and a tree's; zero: they are none
}

// A treeBridge is one of the bridges.
type treeBridge interface {
	// states gives the state of each port by its name, in the words of bridge(8).
	states(t *testing.T) map[string]string
}

// newTree lays the cables. Bridges are added with add.
func newTree(t *testing.T, name string, cables ...[2]int) *tree {
	t.Helper()
	netnstest.Needs(t, "ip", "bridge", "ping")
	tr := &tree{name: name, t: t, mid: netns{netnstest.New(t, false)}, cables: cables, down: map[int]bool{}}
	for i, c := range cables {
		a, b := treePort(c[0], i), treePort(c[1], i)
		tr.mid.ip(t, fmt.Sprintf("link add %s address %s type veth peer name %s address %s", a, treeMAC(c[0], i), b, treeMAC(c[1], i)))
		tr.mid.ip(t, "link set "+a+" up")
		tr.mid.ip(t, "link set "+b+" up")
	}
	for n := range tr.hosts {
		h := newHost(t, n+1, "eth0")
		h.plug(t, tr.mid, treeHostPort(n+1))
		h.address(t)
		h.askOften(t)
		tr.hosts[n] = h
	}
	for i, c := range cables {
		tr.mid.waitRunning(t, treePort(c[0], i), true)
		tr.mid.waitRunning(t, treePort(c[1], i), true)
	}
	return tr
}

// askOften has the host ask all for the addresses of its neighbours again and again. What
// a bridge of the kernel has learned may stay for minutes after the tree has changed, since
// the collector is not due earlier, and leads nowhere until the station is heard by
// another port.
func (h host) askOften(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"base_reachable_time_ms": "500", "delay_first_probe_time": "0", "retrans_time_ms": "200", "ucast_solicit": "0", "mcast_solicit": "1000",
	} {
		require.NoError(t, h.Do(func() error {
			return os.WriteFile("/proc/sys/net/ipv4/neigh/"+h.dev+"/"+name, []byte(value), 0)
		}))
	}
}

func treePort(n, cable int) string { return fmt.Sprintf("p%d%c", n, 'a'+cable) }
func treeHostPort(n int) string    { return fmt.Sprintf("h%d", n) }
func treeMAC(n, cable int) string  { return fmt.Sprintf("02:00:00:00:%02x:%02x", n, cable+1) }
func treeBridgeMAC(n int) string   { return fmt.Sprintf("02:00:00:00:%02x:ff", n) }
func treePriority(n int) int       { return n << 12 }
func treeBridgeID(n int) string    { return fmt.Sprintf("%04x.%s", treePriority(n), treeBridgeMAC(n)) }
func (tr *tree) ports(n int) (names []string) {
	for i, c := range tr.cables {
		if c[0] == n || c[1] == n {
			names = append(names, treePort(n, i))
		}
	}
	if n <= len(tr.hosts) {
		names = append(names, treeHostPort(n))
	}
	return names
}

// states are those of the ports between bridges.
func (tr *tree) states() map[string]string {
	all := map[string]string{}
	for _, b := range tr.bridges {
		maps.Copy(all, b.states(tr.t))
	}
	maps.DeleteFunc(all, func(port, _ string) bool { return port[0] != 'p' })
	return all
}

// isTree reports whether the states are those of a tree at rest: the ports of cut
// cables disabled, no cable blocked at both ends, all others forwarding, and as many
// cables open as it takes to connect all bridges.
func (tr *tree) isTree(states map[string]string) bool {
	open := 0
	for i, c := range tr.cables {
		a, b := states[treePort(c[0], i)], states[treePort(c[1], i)]
		switch {
		case tr.down[i] && a == "disabled" && b == "disabled":
		case tr.down[i]:
			return false
		case a == "forwarding" && b == "forwarding":
			open++
		case a == "forwarding" && b == "blocking", a == "blocking" && b == "forwarding":
		default:
			return false
		}
	}
	return open == len(tr.bridges)-1
}

// settled reports whether the states have been those of one tree for longer than a
// hello takes.
func (tr *tree) settled() bool {
	states := tr.states()
	if !tr.isTree(states) {
		tr.last = states
		tr.since = time.Time{}
	} else if tr.since.IsZero() || !maps.Equal(states, tr.last) {
		tr.last, tr.since = states, time.Now()
	}
	return !tr.since.IsZero() && time.Since(tr.since) > 2500*time.Millisecond
}

// settle waits until all trees are settled.
func settle(t *testing.T, trees []*tree) {
	t.Helper()
	for _, tr := range trees {
		tr.since = time.Time{}
	}
	var restless *tree
	eventually(t, func() bool {
		restless = nil
		for _, tr := range trees { // each is looked at, so that since is right
			if !tr.settled() {
				restless = tr
			}
		}
		return restless == nil
	}, func() string { return fmt.Sprintf("%s: no tree but %v", restless.name, restless.last) })
}

// cut takes a cable away, at the end of its first bridge, or puts it back.
func (tr *tree) cut(cable int, down bool) {
	tr.t.Helper()
	tr.down[cable] = down
	word := "up"
	if down {
		word = "down"
	}
	tr.mid.ip(tr.t, "link set "+treePort(tr.cables[cable][0], cable)+" "+word)
}

// kernelBridge is a bridge of the kernel.
type kernelBridge struct {
	tr   *tree
	name string
}

// Timers as short as 802.1D has them.
const (
	treeHello        = 1
	treeMaxAge       = 6
	treeForwardDelay = 2
)

// addKernel adds a bridge of the kernel, whose spanning tree is its own in a namespace
// that is not the machine's first.
func (tr *tree) addKernel() {
	n := len(tr.bridges) + 1
	b := kernelBridge{tr, fmt.Sprintf("br%d", n)}
	tr.mid.ip(tr.t, fmt.Sprintf("link add %s address %s type bridge stp_state 1 priority %d hello_time %d max_age %d forward_delay %d",
		b.name, treeBridgeMAC(n), treePriority(n), treeHello*100, treeMaxAge*100, treeForwardDelay*100))
	for _, p := range tr.ports(n) {
		tr.mid.ip(tr.t, "link set "+p+" master "+b.name)
	}
	tr.mid.ip(tr.t, "link set "+b.name+" up")
	tr.add(b)
}

// add adds a bridge, the next one.
func (tr *tree) add(b treeBridge) {
	tr.bridges = append(tr.bridges, b)
	tr.whole = time.Now()
}

func (b kernelBridge) states(t *testing.T) map[string]string {
	t.Helper()
	out, err := b.tr.mid.Run("bridge", "link", "show")
	require.NoError(t, err)
	states := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\d+: ([^:@]+)[@:].* master (\S+) state (\S+)`).FindAllStringSubmatch(out, -1) {
		if m[2] == b.name {
			states[m[1]] = m[3]
		}
	}
	return states
}

// gobrBridge is a gobr.
type gobrBridge struct{ *program }

// addGobr adds a gobr with such a spanning tree.
func (tr *tree) addGobr(kind string, more ...string) *gobrBridge {
	tr.t.Helper()
	n := len(tr.bridges) + 1
	args := []string{"run", "--stp", kind, "--name", fmt.Sprintf("br%d", n), "--address", treeBridgeMAC(n), "--priority", strconv.Itoa(treePriority(n))}
	for _, p := range tr.ports(n) {
		args = append(args, "--raw", p+"@"+tr.mid.Path())
	}
	gobr, first := start(tr.t, append(args, more...)...)
	require.Contains(tr.t, first, "bridges", gobr.stderr())
	b := &gobrBridge{gobr}
	tr.add(b)
	return b
}

var gobrState = regexp.MustCompile(`(?m)^gobr: port state (\S+) (\S+)$`)

// states: what gobr said last of each.
func (b *gobrBridge) states(*testing.T) map[string]string {
	states := map[string]string{}
	for _, m := range gobrState.FindAllStringSubmatch(b.stderr(), -1) {
		states[m[1]] = m[2]
	}
	return states
}

// pinging is a ping that goes on.
type pinging struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (p *pinging) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// pingOn has the first host ping the second from now on, ten times a second.
func (tr *tree) pingOn() *pinging {
	tr.t.Helper()
	tr.hosts[0].reachesEventually(tr.t, tr.hosts[1].ip4)
	p := new(pinging)
	require.NoError(tr.t, tr.hosts[0].background(tr.t, p, "ping", "-D", "-i", "0.1", tr.hosts[1].ip4))
	return p
}

var pingReply = regexp.MustCompile(`(?m)^\[(\d+\.\d+)\] \d+ bytes from .*time=`)

// replies are when they came.
func (p *pinging) replies() (at []time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range pingReply.FindAllStringSubmatch(p.text.String(), -1) {
		s, _ := strconv.ParseFloat(m[1], 64)
		at = append(at, time.UnixMicro(int64(s*1e6)))
	}
	return at
}

// gap waits for a reply later than settled, and gives the longest time without one
// around the moment and later.
func (p *pinging) gap(t *testing.T, moment, settled time.Time) (longest time.Duration) {
	t.Helper()
	var at []time.Time
	eventually(t, func() bool {
		at = p.replies()
		return len(at) > 0 && at[len(at)-1].After(settled)
	}, func() string { return "no reply after the tree was whole again" })
	for i := 1; i < len(at); i++ {
		if at[i].After(moment) {
			longest = max(longest, at[i].Sub(at[i-1]))
		}
	}
	return longest
}

// listen collects the BPDUs that come in at a port, whole frames, until the end.
func (tr *tree) listen(port string) func() [][]byte {
	tr.t.Helper()
	raw, err := bridge.OpenRaw(bridge.RawConfig{Name: port, Netns: tr.mid.Path()})
	require.NoError(tr.t, err)
	var mu sync.Mutex // guards heard
	var heard [][]byte
	var reading sync.WaitGroup
	reading.Go(func() { // ends when raw is closed
		fs := make([]frame.Frame, 16)
		for {
			n, err := raw.ReadFrames(fs)
			mu.Lock()
			for i := range fs[:n] {
				if fs[i].WellFormed() && fs[i].Dst().IsLinkLocal() {
					heard = append(heard, fs[i].AppendWire(nil))
				}
			}
			mu.Unlock()
			if err != nil && strings.Contains(err.Error(), net.ErrClosed.Error()) {
				return
			} else if err != nil {
				time.Sleep(10 * time.Millisecond) // the port is down
			}
		}
	})
	tr.t.Cleanup(func() {
		_ = raw.Close()
		reading.Wait()
	})
	return func() [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(heard)
	}
}

// parseBPDU takes a frame apart that holds a BPDU, and checks every byte around it.
func parseBPDU(t *testing.T, wire []byte) stp.BPDU {
	t.Helper()
	require.Greater(t, len(wire), 17)
	assert.Equal(t, "0180c2000000", fmt.Sprintf("%x", wire[:6]))
	assert.Equal(t, "424203", fmt.Sprintf("%x", wire[14:17]))
	p, err := stp.Parse(wire[17:])
	require.NoError(t, err, "% x", wire)
	again := p.Append(nil)
	assert.Equal(t, len(again)+3, int(wire[12])<<8|int(wire[13]), "the 802.3 length")
	assert.Equal(t, again, wire[17:17+len(again)])
	return p
}

// A life is the states of a tree when it has come to be, after its first cable was cut,
// and after it was put back.
type life [3]map[string]string

// live takes trees through that, all at once: most of the time is spent waiting.
func live(t *testing.T, trees []*tree) []life {
	t.Helper()
	lives, pings := make([]life, len(trees)), make([]*pinging, len(trees))
	settle(t, trees)
	for i, tr := range trees {
		lives[i][0] = tr.last
		t.Logf("%s: from the start a tree after %.1f s: %v", tr.name, tr.since.Sub(tr.whole).Seconds(), tr.last)
		pings[i] = tr.pingOn()
	}
	for phase, what := range []string{"the first cable is cut", "the cable is back"} {
		began := time.Now()
		for _, tr := range trees {
			tr.cut(0, phase == 0)
		}
		settle(t, trees)
		for i, tr := range trees {
			lives[i][phase+1] = tr.last
			t.Logf("%s: %s: a tree after %.1f s: %v; no answer to ping for %.1f s", tr.name, what,
				tr.since.Sub(began).Seconds(), tr.last, pings[i].gap(t, began, tr.since).Seconds())
		}
	}
	return lives
}

// report has a gobr end, and checks what it says.
func (b *gobrBridge) report(t *testing.T) string {
	t.Helper()
	status, out := b.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status, b.stderr())
	balanced(t, out)
	return out
}
