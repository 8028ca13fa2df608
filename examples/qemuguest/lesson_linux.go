package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

const qemu = "qemu-system-x86_64"

// needed are the programs and the Debian packages that have them.
var needed = [][2]string{
	{"ip", "iproute2"}, {"ping", "iputils-ping"}, {qemu, "qemu-system-x86"}, {"busybox", "busybox"},
}

// missing says all that the machine lacks, in one error, and finds the kernel.
func missing(root string) (*guestKernel, error) {
	var lacks, packages []string
	for _, n := range needed {
		if _, err := exec.LookPath(n[0]); err != nil {
			lacks, packages = append(lacks, n[0]), append(packages, n[1])
		}
	}
	k, err := findKernel(root)
	if err != nil {
		lacks, packages = append(lacks, err.Error()), append(packages, "linux-image-amd64")
	}
	var text strings.Builder
	if runtime.GOARCH != "amd64" {
		text.WriteString("\n  an amd64 processor: the guest is a PC, and runs programs of this machine")
	}
	if os.Geteuid() != 0 {
		text.WriteString("\n  root: run it with sudo")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		text.WriteString("\n  /dev/net/tun: modprobe tun; mkdir -p /dev/net; mknod /dev/net/tun c 10 200")
	}
	if len(lacks) > 0 {
		fmt.Fprintf(&text, "\n  %s:\n    apt-get install --no-install-recommends %s", strings.Join(lacks, ", "), strings.Join(packages, " "))
	}
	if err != nil {
		text.WriteString(kernelAside)
	}
	if text.Len() > 0 {
		return nil, fmt.Errorf("missing on this machine%s", &text)
	}
	return k, nil
}

// kernelAside is how to have a kernel without installing it.
const kernelAside = `
  or, not to install a kernel, unpack one into an empty directory:
    apt-get download $(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p')
    dpkg -x linux-image-*.deb . && export ` + kernelVariable + `=$PWD`

// lesson runs what the command line asks for.
func lesson(ctx context.Context, o options, out io.Writer) error {
	k, err := missing(o.kernel)
	if err != nil {
		return err
	}
	s, err := prepare(k)
	if err != nil {
		return err
	}
	defer s.close()
	if o.accel == "" {
		o.accel = accelTCG
		if accelWorks(ctx, accelKVM, fullSpeed) {
			o.accel = accelKVM
		}
	}
	for i, model := range o.models {
		if err := o.chapter(ctx, model, i == 0, s, out); err != nil {
			return err
		}
	}
	return nil
}

// chapter is the lesson with one model of network card. The first shows the paths.
func (o *options) chapter(ctx context.Context, model string, first bool, s *software, out io.Writer) error {
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
		fmt.Fprintf(out, "%-7s %-10s %s behind %s\n", g.name, g.ip, g.mac, g.tap)
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
func (w *world) pings(ctx context.Context, g *guest, shown bool, out io.Writer) error {
	for _, p := range []struct {
		title string
		ping  func() (string, error)
	}{
		{"pc pings " + g.name, func() (string, error) { return w.pc.ping(g.ip) }},
		{g.name + " pings pc", func() (string, error) { return g.ping(ctx, w.pc.ip) }},
		{"host pings " + g.name, func() (string, error) { return w.host.ping(g.ip) }},
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
		fmt.Fprintf(out, "\n== %s pings %s\n", g.name, other.name)
		text, err := g.ping(ctx, other.ip)
		if err != nil {
			return err
		}
		fmt.Fprint(out, text)
	}
	return nil
}
