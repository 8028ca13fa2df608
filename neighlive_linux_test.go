package bridge_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// kernelLab is a bridge of the running kernel in a namespace of its own, with a TAP on
// each of three ports, and no address but its own.
type kernelLab struct {
	t     *testing.T
	ns    string
	taps  [4]*bridge.TAP
	got   [4]chan []byte // what left by each port
	marks uint32
}

func newKernelLab(t *testing.T) *kernelLab {
	netnstest.Needs(t, "ip", "bridge")
	l := &kernelLab{t: t, ns: netnstest.New(t, true).Path()}
	tapIP(t, l.ns, "link", "add", "br0", "address", hostMAC.String(), "type", "bridge", "mcast_snooping", "0")
	tapIn(t, l.ns, func() error { // without bridge netfilter, which looks into IP packets
		for _, f := range []string{"iptables", "ip6tables", "arptables"} {
			err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+f, []byte("0"), 0)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	})
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	for n := 1; n <= 3; n++ {
		l.got[n] = make(chan []byte, 1024)
		l.taps[n] = tapOpen(t, bridge.TAPConfig{Name: portName(n), Netns: l.ns, Address: portMAC(n), Up: true, NoOffload: true})
		readers.Go(func() { l.read(n) }) // ends when the TAP is closed
		tapIP(t, l.ns, "link", "set", portName(n), "master", "br0")
	}
	tapIP(t, l.ns, "link", "set", "br0", "up")
	for n := 1; n <= 3; n++ {
		l.run("bridge", "fdb", "replace", sinkMAC(n).String(), "dev", portName(n), "master", "static")
	}
	return l
}

func (l *kernelLab) run(name string, args ...string) {
	l.t.Helper()
	tapIn(l.t, l.ns, func() error {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
		}
		return nil
	})
}

func (l *kernelLab) read(n int) {
	fs := make([]frame.Frame, 64)
	for {
		k, err := l.taps[n].ReadFrames(fs)
		if err != nil {
			close(l.got[n])
			return
		}
		for i := range fs[:k] {
			select {
			case l.got[n] <- wireOf(fs[i]):
			default: // the test has failed and reads no more
			}
		}
	}
}

// sinkMAC is a station behind port n that never sends.
func sinkMAC(n int) frame.MAC { return frame.MAC{2, 0, 0, 0, 0x0c, byte(n)} }

func (l *kernelLab) write(n int, f frame.Frame) {
	l.t.Helper()
	_, err := l.taps[n].WriteFrames([]frame.Frame{f})
	require.NoError(l.t, err)
}

// in gives the kernel a frame at port n and tells what left by each port. The kernel
// does all it does about a frame before it takes the next: what left stands in front
// of a mark that is sent to each port after it.
func (l *kernelLab) in(n int, f frame.Frame) (out [4][][]byte) {
	l.t.Helper()
	l.write(n, f)
	l.marks++
	for to := 1; to <= 3; to++ {
		from := to%3 + 1
		m := ether(sinkMAC(to), frame.MAC{2, 0, 0, 0, 0x0d, byte(from)})
		binary.BigEndian.PutUint32(m.Data[14:], l.marks)
		l.write(from, m)
		for {
			var w []byte
			select {
			case w = <-l.got[to]:
			case <-time.After(tapWait):
				l.t.Fatal("the kernel's bridge has lost a mark")
			}
			if bytes.Equal(w, m.Data) {
				break
			}
			if w[10] == 0x0a && bytes.Equal(w[6:10], []byte{2, 0, 0, 0}) { // else the kernel's own
				out[to] = append(out[to], w)
			}
		}
	}
	return out
}

// probesDiffer reports whether the kernel's bridge treats an ARP probe otherwise than
// ours. That changed in an update of a release, and the release alone does not tell.
func (l *kernelLab) probesDiffer(ours *lab) bool {
	l.t.Helper()
	tapIP(l.t, l.ns, "link", "set", "p2", "type", "bridge_slave", "neigh_suppress", "on")
	ours.set(2, bridge.PortAttrs{NeighSuppress: on()})
	probe := arp{src: neighMAC(1), sender: netip.IPv4Unspecified(), target: ip4(2)}.frame()
	return len(l.in(1, probe)[1]) != len(wires(ours.in(1, probe), "p1"))
}

// neighRequests are requests of every kind, with the number of the port that they
// come in by.
func neighRequests() (fs []frame.Frame, from []int) {
	add := func(n int, f frame.Frame) { fs, from = append(fs, f), append(from, n) }
	group := frame.MAC{0x33, 0x33, 0xff, 0, 0, 2}
	for n := 1; n <= 3; n++ {
		for _, target := range []int{1, 2, 3, 7, 9} {
			for _, dst := range []frame.MAC{frame.Broadcast, neighMAC(target), group} {
				for _, sender := range []netip.Addr{ip4(n), ip4(target), netip.IPv4Unspecified(), netip.MustParseAddr("0.1.2.3")} {
					for op := uint16(1); op <= 4; op++ {
						add(n, arp{dst: dst, src: neighMAC(n), op: op, sender: sender, target: ip4(target)}.frame())
					}
				}
				for _, sender := range []netip.Addr{ip6(n), netip.IPv6Unspecified()} {
					for i, opts := range [][]byte{nil, sourceLink(neighMAC(n)), {1, 0, 2, 0, 0, 0, 0x0a, 1}, {14, 1, 1, 2, 3, 4, 5, 6, 1, 1, 2, 0, 0, 0, 0x0a, 0x66}, {1, 1}} {
						m := nd{dst: dst, src: neighMAC(n), from: sender, to: solicitedNode, target: ip6(target), options: opts, class: byte(i * 0x31)}
						add(n, m.frame())
						m.kind, m.flags = 136, 0x20
						add(n, m.frame())
						m.flags = 0x60
						add(n, m.frame())
					}
				}
			}
			add(n, dot1q(whoHas(n, target), 5))
		}
	}
	return fs, from
}

// The running kernel's bridge and this one, with the same ports, neighbours and
// requests.
func TestNeighboursAsRunningKernel(t *testing.T) {
	t.Parallel()
	var uts unix.Utsname
	require.NoError(t, unix.Uname(&uts))
	kernel, err := bridge.ParseKernel(unix.ByteSliceToString(uts.Release[:]))
	require.NoError(t, err)
	k := newKernelLab(t)
	table := new(bridge.HostTable)
	ours := neighLab(t, bridge.Config{Kernel: kernel}, table)
	for _, n := range []int{1, 2, 3, 7} {
		for _, ip := range []netip.Addr{ip4(n), ip6(n)} {
			tapIP(t, k.ns, "neigh", "replace", ip.String(), "lladdr", neighMAC(n).String(), "dev", "br0", "nud", "permanent")
		}
		if n <= 3 {
			k.in(n, ether(frame.Broadcast, neighMAC(n)))
		}
	}
	tapIP(t, k.ns, "neigh", "replace", ip6(3).String(), "lladdr", neighMAC(3).String(), "dev", "br0", "nud", "permanent", "router")
	table.SetNeighbour(0, ip6(3), bridge.Neighbour{MAC: neighMAC(3), Router: true})
	requests, from := neighRequests()
	if k.probesDiffer(ours) {
		t.Logf("%v is not known to treat probes as this kernel does: they are left out", kernel)
		probe := func(f frame.Frame) bool {
			return f.Data[12] == 8 && bytes.Equal(f.Data[28:32], make([]byte, 4)) || f.Data[12] == 0x86 && bytes.Equal(f.Data[22:38], make([]byte, 16))
		}
		for i := len(requests) - 1; i >= 0; i-- {
			if probe(requests[i]) {
				requests, from = slices.Delete(requests, i, i+1), slices.Delete(from, i, i+1)
			}
		}
	}
	words := func(b bool) string { return map[bool]string{true: "on", false: "off"}[b] }
	for _, flags := range [][4]string{ // by port
		{2: "suppress"}, {1: "proxy"}, {3: "wifi"}, {2: "suppress", 3: "wifi"}, {1: "proxy", 2: "suppress"},
		{1: "suppress", 2: "suppress", 3: "suppress"}, {1: "suppress wifi", 3: "proxy wifi"}, {},
	} {
		t.Run(strings.TrimSpace(fmt.Sprintf("%q", flags[1:])), func(t *testing.T) {
			k.t = t
			for n := 1; n <= 3; n++ {
				has := func(word string) bool { return slices.Contains(strings.Fields(flags[n]), word) }
				tapIP(t, k.ns, "link", "set", portName(n), "type", "bridge_slave", "neigh_suppress", words(has("suppress")),
					"proxy_arp", words(has("proxy")), "proxy_arp_wifi", words(has("wifi")))
				ours.set(n, bridge.PortAttrs{NeighSuppress: new(has("suppress")), ProxyARP: new(has("proxy")), ProxyARPWifi: new(has("wifi"))})
			}
			for i, f := range requests {
				got, theirs := ours.in(from[i], f), k.in(from[i], f)
				for n := 1; n <= 3; n++ {
					require.Equal(t, theirs[n], wires(got, portName(n)), "out of %s, of what came in by p%d: %x", portName(n), from[i], f.Data)
				}
			}
		})
	}
}
