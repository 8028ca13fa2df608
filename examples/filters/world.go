package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// A lesson sets filters and has stations speak.
type lesson struct {
	title   string
	filters func(w *world) ([]bridge.Filter, error)
	speak   func(w *world)
}

// run is the lesson, on a switch of its own.
func (l lesson) run(out io.Writer) error {
	w, err := newWorld(out)
	if err != nil {
		return err
	}
	defer w.b.Close()
	fmt.Fprintf(out, "== %s\n", l.title)
	fs, err := l.filters(w)
	if err != nil {
		return err
	}
	if err := w.b.SetFilters(fs...); err != nil {
		return err
	}
	if l.speak(w); w.err != nil {
		return w.err
	}
	for _, s := range w.b.FilterStats() {
		fmt.Fprintf(out, "%s: %d dropped, %d copied\n", s.Name, s.Dropped, s.Copied)
	}
	return nil
}

// A world is a switch with the ports uplink, vm1, vm2 and span, which is for copies
// only, and a clock that goes on when it is told to.
type world struct {
	b     *bridge.Bridge
	out   io.Writer
	now   time.Time
	heard []string // the ports that the last frame left by
	err   error    // the first
}

func newWorld(out io.Writer) (*world, error) {
	w := &world{out: out, now: time.Unix(0, 0)}
	b, err := bridge.New(bridge.Config{Clock: func() time.Time { return w.now }, Seed: 1})
	if err != nil {
		return nil, err
	}
	w.b = b
	b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventFilter {
			fmt.Fprintln(out, "  event:", e)
		}
	})
	for _, name := range []string{"uplink", "vm1", "vm2"} {
		if _, err := b.AddPort(name, newCable(w, name), bridge.PortConfig{}); err != nil {
			return nil, err
		}
	}
	if _, err := b.AddPort("span", newCable(w, "span"), filter.MirrorPort(bridge.Caps{})); err != nil {
		return nil, err
	}
	return w, nil
}

// say has a station at port send f, and prints by which ports it leaves.
func (w *world) say(port, words string, f frame.Frame) {
	fmt.Fprintf(w.out, "%s: %s\n", port, words)
	w.send(port, f)
	if fmt.Fprint(w.out, "  leaves by "); len(w.heard) == 0 {
		fmt.Fprintln(w.out, "no port")
		return
	}
	fmt.Fprintln(w.out, strings.Join(w.heard, ", "))
}

// send has a station at port send f, and reports whether it leaves by any port.
func (w *world) send(port string, f frame.Frame) bool {
	w.heard = nil
	if err := w.b.Port(port).Receive(f); err != nil && w.err == nil {
		w.err = err
	}
	slices.Sort(w.heard)
	return len(w.heard) > 0
}

// A cable notes what is written to it.
type cable struct {
	w    *world
	name string
	done chan struct{}
	once sync.Once
}

func newCable(w *world, name string) *cable {
	return &cable{w: w, name: name, done: make(chan struct{})}
}

// ReadFrames implements bridge.FrameIO; nobody speaks but by world.send.
func (c *cable) ReadFrames([]frame.Frame) (int, error) { <-c.done; return 0, net.ErrClosed }

// WriteFrames implements bridge.FrameIO.
func (c *cable) WriteFrames(fs []frame.Frame) (int, error) {
	for range fs {
		c.w.heard = append(c.w.heard, c.name)
	}
	return len(fs), nil
}

// Close implements bridge.FrameIO.
func (c *cable) Close() error { c.once.Do(func() { close(c.done) }); return nil }

var (
	router  = frame.MustParseMAC("52:54:00:00:00:fe")
	mac1    = frame.MustParseMAC("52:54:00:00:00:01")
	mac2    = frame.MustParseMAC("52:54:00:00:00:02")
	nowhere = frame.MustParseMAC("52:54:00:00:00:99")
)

// ether is a frame with the payload, behind tags.
func ether(dst, src frame.MAC, t frame.EtherType, payload []byte, tags ...frame.Tag) frame.Frame {
	d := append(append([]byte(nil), dst[:]...), src[:]...)
	for _, tag := range tags {
		var b [frame.TagLen]byte
		tag.Put(b[:])
		d = append(d, b[:]...)
	}
	d = append(binary.BigEndian.AppendUint16(d, uint16(t)), payload...)
	return frame.Frame{Data: append(d, make([]byte, max(60-len(d), 0))...)}
}

// data is a frame of a protocol that nobody knows.
func data(dst, src frame.MAC) frame.Frame { return ether(dst, src, 0x88b5, nil) }

// isAt is an ARP reply to everybody: ip is at m.
func isAt(ip string, m frame.MAC, tags ...frame.Tag) frame.Frame {
	a := netip.MustParseAddr(ip).As4()
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, 2}, m[:]...)
	b = append(append(b, a[:]...), frame.Broadcast[:]...)
	return ether(frame.Broadcast, m, frame.TypeARP, append(b, a[:]...), tags...)
}

// advertisement is an ICMPv6 router advertisement from the link-local address of m.
func advertisement(m frame.MAC) frame.Frame {
	b := []byte{0x60, 0, 0, 0, 0, 16, 58, 255}
	b = append(b, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0]^2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5])
	b = append(b, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	return ether(frame.MAC{0x33, 0x33, 0, 0, 0, 1}, m, frame.TypeIPv6, append(b, filter.RouterAdvertisement, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0))
}
