package xdp_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// A lane is a bridge of two ports, with packet sockets at the other ends of their
// cables.
type lane struct {
	in, out  *bridge.RawSocket
	first    bridge.FrameIO
	port     *bridge.Port
	fs, came []frame.Frame
}

// newLane makes one whose ports are packet sockets too, or xdp ports in some mode.
func newLane(b *testing.B, raw, generic bool) *lane {
	b.Helper()
	s := newStar(b, 2, 0, generic)
	l := &lane{in: s.peers[0], out: s.peers[1], fs: make([]frame.Frame, 64), came: make([]frame.Frame, 64)}
	br, err := bridge.New(bridge.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { br.Close() })
	if !raw {
		join(b, br, s.ports...)
		l.first, l.port = s.ports[0], br.Port("p0")
		return l
	}
	require.NoError(b, s.group.Close())
	for _, name := range []string{"p1", "p0"} {
		r, err := bridge.OpenRaw(bridge.RawConfig{Name: name, Netns: s.hub.Path()})
		require.NoError(b, err)
		b.Cleanup(func() { r.Close() })
		l.port, err = br.AddPort(name, r, bridge.PortConfig{Caps: r.Caps()})
		require.NoError(b, err)
		l.first = r
	}
	return l
}

// carry sends 64 frames through, and gives the CPU time that the bridge's part took,
// which is reading, deciding and writing, and that of all, with the packet sockets at
// both ends and what the kernel does between.
func (l *lane) carry(b *testing.B, batch []frame.Frame) (spent, all time.Duration) {
	began := cpu()
	if n, err := l.in.WriteFrames(batch); err != nil {
		b.Fatal(n, err)
	}
	for at := 0; at < len(batch); {
		before := cpu()
		n, err := l.first.ReadFrames(l.fs)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.port.Receive(l.fs[:n]...); err != nil {
			b.Fatal(err)
		}
		spent += cpu() - before
		at += n
	}
	for at := 0; at < len(batch); {
		n, err := l.out.ReadFrames(l.came)
		if err != nil {
			b.Fatal(err)
		}
		at += n
	}
	return spent, cpu() - began
}

// cpu is the time that the process has computed, in the kernel too.
func cpu() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now) // it is there
	return time.Duration(now.Nano())
}

// BenchmarkBesideRaw carries frames by two xdp ports and by two packet sockets in turn.
// It reports the ratio of their CPU times, of the bridge's part (part) and of all: of
// rounds in turn the median, the least and the greatest.
func BenchmarkBesideRaw(b *testing.B) {
	netnstest.Needs(b)
	for name, generic := range modes {
		for _, size := range []int{64, 1514} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				lanes := [2]*lane{newLane(b, true, false), newLane(b, false, generic)}
				batch := make([]frame.Frame, 64)
				for i := range batch {
					batch[i].Data = wire(i, size)
				}
				var part, all []float64
				for b.Loop() {
					var p, a [2]time.Duration
					for range 50 {
						for i, l := range lanes {
							spent, whole := l.carry(b, batch)
							p[i] += spent
							a[i] += whole
						}
					}
					part = append(part, float64(p[1])/float64(p[0]))
					all = append(all, float64(a[1])/float64(a[0]))
				}
				report(b, "part", part)
				report(b, "all", all)
			})
		}
	}
}

func report(b *testing.B, name string, ratios []float64) {
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], name+"-xdp/raw")
	b.ReportMetric(ratios[0], name+"-least")
	b.ReportMetric(ratios[len(ratios)-1], name+"-greatest")
}
