//go:build linux

// Command wirebench measures the bridge's real cables beside the Linux bridge, with
// iperf3 over TCP:
//
//	go run ./internal/wirebench -pairs 5 -seconds 1
//
// Two network namespaces are the stations. The Linux bridge joins them by veth pairs;
// this bridge by the same veth pairs and packet sockets (raw), by TAPs (tap), or by
// one of each (mixed). Every figure is the median ratio of pairs of runs, one by the
// Linux bridge and one by this, taken in turns: this machine's speed falls out. It
// needs root, iproute2, iperf3 and ethtool, and takes about two seconds a run.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns"
)

func main() {
	pairs := flag.Int("pairs", 5, "pairs of runs a line")
	seconds := flag.Int("seconds", 1, "how long iperf3 sends in a run")
	which := flag.String("lines", "", "only the line of this name, or if there is none those whose names have this in them")
	flag.IntVar(&datagram, "udp", 0, "send datagrams of so many bytes instead of a stream of TCP, as fast as they go")
	flag.StringVar(&profiled, "cpuprofile", "", "write a profile of the last run of this bridge to this file")
	flag.Parse()
	if why := netns.Missing("ip", "iperf3", "ethtool"); why != "" {
		fmt.Fprintln(os.Stderr, "wirebench:", why)
		os.Exit(1)
	}
	if err := measure(*pairs, *seconds, *which); err != nil {
		fmt.Fprintln(os.Stderr, "wirebench:", err)
		os.Exit(1)
	}
}

// What all runs do alike.
var (
	datagram int    // the payload of a UDP datagram; 0: TCP
	profiled string // where the profile of a run of this bridge goes; "": nowhere
)

// A line is one measurement: how each station is attached, and whether the senders'
// offloads are on.
type line struct {
	name string
	a, b cable
	off  bool // the stations finish frames themselves
}

// A cable attaches a station to a bridge, and gives the interface in its namespace.
type cable func(s *station, b *bridge.Bridge, port string) error

var lines = []line{
	{"tap-tap", byTAP(false), byTAP(false), false},
	{"raw-raw", byRaw, byRaw, false},
	{"tap-raw", byTAP(false), byRaw, false},
	{"raw-tap", byRaw, byTAP(false), false},
	{"tap-tap, senders' offloads off", byTAP(false), byTAP(false), true},
	{"raw-raw, senders' offloads off", byRaw, byRaw, true},
	{"tap-raw, senders' offloads off", byTAP(false), byRaw, true},
	{"plain tap-plain tap", byTAP(true), byTAP(true), false},
	{"plain tap-tap: joined on the way", byTAP(true), byTAP(false), false},
	{"tap-plain tap: cut on the way", byTAP(false), byTAP(true), false},
}

func measure(pairs, seconds int, which string) error {
	fmt.Printf("%-36s %9s %9s   %s\n", "one stream, Gbit/s", "Linux", "this", "ratio: median (least-most)")
	exact := slices.ContainsFunc(lines, func(l line) bool { return l.name == which })
	for _, l := range lines {
		if !strings.Contains(l.name, which) || exact && l.name != which {
			continue
		}
		var kernel, ours, ratios []float64
		for range pairs {
			k, err := run(line{a: byKernel, b: byKernel, off: l.off}, seconds)
			if err != nil {
				return fmt.Errorf("the Linux bridge: %w", err)
			}
			o, err := run(l, seconds)
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			kernel, ours, ratios = append(kernel, k), append(ours, o), append(ratios, o/k)
		}
		slices.Sort(ratios)
		fmt.Printf("%-36s %9.3f %9.3f   %.2f (%.2f-%.2f)\n", l.name, median(kernel), median(ours),
			median(ratios), ratios[0], ratios[len(ratios)-1])
	}
	return nil
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return (xs[len(xs)/2] + xs[(len(xs)-1)/2]) / 2
}

// A station is a namespace with one interface, eth0.
type station struct {
	ns  *netns.NS
	mid *netns.NS // the bridge's
}

// run measures one line once, in Gbit/s.
func run(l line, seconds int) (gbits float64, err error) {
	var spaces [3]*netns.NS
	for i := range spaces {
		if spaces[i], err = netns.New(false); err != nil {
			return 0, err
		}
		defer spaces[i].Close()
	}
	b, err := bridge.New(bridge.Config{})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx) }() // ends with ctx
	defer func() {
		cancel()
		err = errors.Join(err, <-served)
	}()
	if _, err := spaces[2].Run("ip", "link", "add", "br0", "up", "type", "bridge", "forward_delay", "0"); err != nil {
		return 0, err
	}
	for i, attach := range []cable{l.a, l.b} {
		s := &station{spaces[i], spaces[2]}
		if err := attach(s, b, fmt.Sprint("port", i)); err != nil {
			return 0, err
		}
		if err := s.configure(fmt.Sprintf("10.9.9.%d/24", i+1), l.off); err != nil {
			return 0, err
		}
	}
	if profiled != "" && l.name != "" {
		f, err := os.Create(profiled)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return 0, err
		}
		defer pprof.StopCPUProfile()
	}
	return transfer(spaces[0], spaces[1], "10.9.9.2", seconds)
}

// configure gives the station its address.
func (s *station) configure(ip string, off bool) error {
	steps := [][]string{{"ip", "link", "set", "eth0", "up"}, {"ip", "address", "add", ip, "dev", "eth0"}}
	if off {
		steps = append(steps, []string{"ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"})
	}
	for _, c := range steps {
		if _, err := s.ns.Run(c[0], c[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// veth makes a pair between the station and the bridge's namespace.
func (s *station) veth(port string) error {
	for _, c := range [][]string{
		{"link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", s.ns.Path()},
		{"link", "set", port, "up"},
	} {
		if _, err := s.mid.Run("ip", c...); err != nil {
			return err
		}
	}
	return nil
}

func byKernel(s *station, _ *bridge.Bridge, port string) error {
	if err := s.veth(port); err != nil {
		return err
	}
	_, err := s.mid.Run("ip", "link", "set", port, "master", "br0")
	return err
}

func byRaw(s *station, b *bridge.Bridge, port string) error {
	if err := s.veth(port); err != nil {
		return err
	}
	raw, err := bridge.OpenRaw(bridge.RawConfig{Name: port, Netns: s.mid.Path()})
	if err != nil {
		return err
	}
	_, err = b.AddPort(port, raw, bridge.PortConfig{Caps: raw.Caps()})
	return err
}

func byTAP(plain bool) cable {
	return func(s *station, b *bridge.Bridge, port string) error {
		tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: "eth0", Netns: s.ns.Path(), NoOffload: plain, Up: true})
		if err != nil {
			return err
		}
		_, err = b.AddPort(port, tap, bridge.PortConfig{Caps: tap.Caps()})
		return err
	}
}

// transfer has the first station send to the other, and gives what arrived a second.
func transfer(from, to *netns.NS, ip string, seconds int) (gbits float64, err error) {
	server := exec.Command("iperf3", "-s", "-1")
	if err := to.Start(server); err != nil {
		return 0, err
	}
	defer func() {
		_ = server.Process.Kill() // does nothing to one that has ended
		_ = server.Wait()
	}()
	// Until the server listens, the client fails, and says so in its report alone.
	for end := time.Now().Add(10 * time.Second); err == nil && gbits == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return 0, errors.New("iperf3 transferred nothing")
		}
		var out string
		args := []string{"-c", ip, "-t", fmt.Sprint(seconds), "-J"}
		if datagram > 0 {
			args = append(args, "-u", "-b", "0", "-l", fmt.Sprint(datagram))
		}
		if out, err = from.Run("iperf3", args...); err == nil {
			gbits, err = received(out)
		}
	}
	return gbits, err
}

// received reads iperf3's report: the rate at the receiver, 0 where there was none.
func received(report string) (gbits float64, err error) {
	var r struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	err = json.Unmarshal([]byte(report), &r)
	return r.End.Received.Bits / 1e9, err
}
