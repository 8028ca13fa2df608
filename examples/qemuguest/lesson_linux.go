package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ddfb540f/bridge/internal/guest"
)

// missing says all that the machine lacks, in one error, and finds the kernel.
func missing(root string) (*guest.Kernel, error) {
	var others []string
	if os.Geteuid() != 0 {
		others = append(others, "root: run it with sudo, which forgets "+guest.KernelVariable+": say -kernel DIRECTORY there")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		others = append(others, "/dev/net/tun: modprobe tun; mkdir -p /dev/net; mknod /dev/net/tun c 10 200")
	}
	return guest.Needs(root, []guest.Program{{Name: "ip", Package: "iproute2"}, {Name: "ping", Package: "iputils-ping"}}, others...)
}

// lesson runs what the command line asks for.
func lesson(ctx context.Context, o options, out io.Writer) error {
	// Who reads the output may leave, as head does: that ends it as an interrupt does.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stop()
	k, err := missing(o.kernel)
	if err != nil {
		return err
	}
	s, err := guest.Prepare(k)
	if err != nil {
		return err
	}
	defer s.Close()
	if o.accel == "" {
		o.accel = guest.BestAccel(ctx)
	}
	for i, model := range o.models {
		if err := o.chapter(ctx, model, i == 0, s, out); err != nil {
			return err
		}
	}
	return nil
}

// chapter is the lesson with one model of network card. The first shows the paths.
func (o *options) chapter(ctx context.Context, model string, first bool, s *guest.Software, out io.Writer) error {
	guests := 2
	if o.overflow {
		guests = 1
	}
	began := time.Now()
	w, err := newWorld(ctx, model, o.accel, guests, s)
	if err != nil {
		return err
	}
	defer w.close()
	g := w.guests[0]
	if !first {
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "== Guests with %s\n", model)
	fmt.Fprintf(out, "by QEMU's %s, ready after %.1f s\n", o.accel, time.Since(began).Seconds())
	fmt.Fprintf(out, "pc      %-10s %s\nhost    %-10s %s on br0\n", w.pc.ip, pcMAC, w.host.ip, br0MAC)
	for _, g := range w.guests {
		fmt.Fprintf(out, "%-7s %-10s %s behind %s\n", g.Name, g.IP, g.MAC, g.tap)
	}
	shown := first && !o.overflow
	if shown {
		fmt.Fprint(out, key)
	}
	if err := w.pings(ctx, g, shown, out); err != nil {
		return err
	}
	if o.overflow {
		return w.overflow(ctx, g, out)
	}
	fmt.Fprint(out, "\n== TCP\n")
	for _, p := range []place{w.pc, w.host} {
		if err := w.tcp(ctx, p, g, out); err != nil {
			return err
		}
	}
	return w.neighbours(ctx, out)
}

// key is how to read the paths.
const key = `
== How to read the paths
What the kernel did, packet sockets on the host's interfaces have seen. What the
bridge did it says itself, under the names of the functions in the kernel's own.
eth0, tap0 and tap1 it has joined by raw sockets: it gets a frame right behind
netif_receive_skb, and gives it back to dev_queue_xmit. br0 is a TAP of its own:
what the host sends on br0 it reads, and what it writes br0 receives.
Behind tun_net_xmit dev: tap0 a frame waits, in a queue of 1000 in the kernel, until
QEMU takes it for the guest: that is the queue that can overflow (-overflow).
`

// pings has the PC and the guest ping each other, and the host the guest.
func (w *world) pings(ctx context.Context, g *vm, shown bool, out io.Writer) error {
	for _, p := range []struct {
		title string
		ping  func() (string, error)
	}{
		{"pc pings " + g.Name, func() (string, error) { return w.pc.ping(g.IP) }},
		{g.Name + " pings pc", func() (string, error) { return g.Ping(ctx, w.pc.ip) }},
		{"host pings " + g.Name, func() (string, error) { return w.host.ping(g.IP) }},
	} {
		fmt.Fprintf(out, "\n== %s\n", p.title)
		var text string
		seen, err := w.watch(func() (err error) {
			text, err = p.ping()
			return err
		})
		if err != nil {
			return err
		}
		if shown {
			printPaths(out, seen)
		}
		fmt.Fprint(out, text)
	}
	return ctx.Err()
}

// neighbours has two guests ping each other.
func (w *world) neighbours(ctx context.Context, out io.Writer) error {
	for i, g := range w.guests {
		other := w.guests[1-i]
		fmt.Fprintf(out, "\n== %s pings %s\n", g.Name, other.Name)
		text, err := g.Ping(ctx, other.IP)
		if err != nil {
			return err
		}
		fmt.Fprint(out, text)
	}
	return nil
}
