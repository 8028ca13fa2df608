package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/guest"
)

const (
	checked = 1 << 20 // bytes of a TCP transfer whose SHA-256 is compared
	timed   = 8 << 20 // bytes of one whose time is taken
)

// missing says all that the machine lacks, in one error, and finds the kernel.
func missing(o options) (*guest.Kernel, error) {
	var programs []guest.Program
	if o.gobr == "" {
		programs = append(programs, guest.Program{Name: "go", Package: "golang"})
	}
	return guest.Needs(o.kernel, programs)
}

// rig is the switch and the guests:
//
//	vm1: eth0 10.0.0.1 fd00::1 -- QEMU -- socket --+
//	                                               +-- gobr
//	vm2: eth0 10.0.0.2 fd00::2 -- QEMU -- socket --+
type rig struct {
	options
	dir      string // of the sockets, where all programs run
	software *guest.Software
	gobr     *gobr
	guests   []*guest.Guest
	out      io.Writer
}

// lesson runs what the command line asks for.
func lesson(ctx context.Context, o options, out io.Writer) (err error) {
	// Who reads the output may leave, as head does: that ends it as an interrupt does.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stop()
	k, err := missing(o)
	if err != nil {
		return err
	}
	r := &rig{options: o, out: out}
	if r.software, err = guest.Prepare(k); err != nil {
		return err
	}
	defer r.software.Close()
	if r.dir, err = os.MkdirTemp("", "qemusockets"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	if r.options.gobr, err = program(ctx, o.gobr, r.dir); err != nil {
		return err
	}
	if r.accel == "" {
		r.accel = guest.BestAccel(ctx)
	}
	defer r.close()
	for _, step := range []func(context.Context) error{r.startSwitch, r.startGuests, r.pings, r.tcp, r.startAnew, r.end} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends what still runs.
func (r *rig) close() {
	for _, g := range r.guests {
		g.Close()
	}
	if r.gobr != nil {
		r.gobr.close()
	}
}

func (r *rig) printf(format string, args ...any) { fmt.Fprintf(r.out, format, args...) }

// startSwitch starts gobr. Its ports are in a VLAN that is not the default, so that
// one sees whether they keep their settings.
func (r *rig) startSwitch(ctx context.Context) error {
	args := []string{"run"}
	var says []string
	for _, vm := range []string{"vm1", "vm2"} {
		if r.dgram {
			args = append(args, "--qemu", fmt.Sprintf("%s=unixgram:%s.gobr,remote=%s.qemu", vm, vm, vm))
			says = append(says, fmt.Sprintf("%s: takes datagrams at unixgram:%s.gobr, and sends to %s.qemu", vm, vm, vm))
		} else {
			args = append(args, "--qemu", fmt.Sprintf("%s=unix:%s.sock", vm, vm))
			says = append(says, fmt.Sprintf("%s: listens at unix:%s.sock", vm, vm))
		}
	}
	for _, vm := range []string{"vm1", "vm2"} {
		args = append(args, "--vlan", vm+"=access:10")
	}
	r.printf("== The switch\n$ gobr %s\n", strings.Join(args, " "))
	var first string
	var err error
	if r.gobr, first, err = startGobr(ctx, r.options.gobr, r.dir, args); err != nil {
		return err
	}
	for _, line := range says {
		if err := r.hear(ctx, line); err != nil {
			return err
		}
	}
	r.printf("%s", first)
	return nil
}

// hear waits until gobr says something, and prints it.
func (r *rig) hear(ctx context.Context, line string) error {
	line, err := r.gobr.says(ctx, line)
	r.printf("%s", line)
	return err
}

// guestConfig is that of guest 1 or 2.
func (r *rig) guestConfig(n int) guest.Config {
	cfg := guest.Config{
		Name: fmt.Sprintf("vm%d", n), Model: []string{"e1000", "virtio-net"}[n-1], MAC: frame.MAC{0x52, 0x54, 0, 0x12, 0x34, byte(0x56 + n)},
		IP: fmt.Sprintf("10.0.0.%d", n), IP6: fmt.Sprintf("fd00::%d", n), Accel: r.accel, Dir: r.dir,
	}
	if r.dgram {
		cfg.Netdev = fmt.Sprintf("dgram,local.type=unix,local.path=vm%d.qemu,remote.type=unix,remote.path=vm%d.gobr", n, n)
	} else {
		cfg.Netdev = fmt.Sprintf("stream,addr.type=unix,addr.path=vm%d.sock", n)
	}
	return cfg
}

// start starts a guest and does not wait for it.
func (r *rig) start(n int) (*guest.Guest, error) {
	cfg := r.guestConfig(n)
	r.printf("$ %s ... %s\n", guest.QEMU, strings.Join(cfg.Network(), " "))
	return guest.Start(cfg, r.software)
}

// ready waits until a guest can be asked.
func (r *rig) ready(ctx context.Context, g *guest.Guest, since time.Time) error {
	if err := g.Await(ctx); err != nil {
		return err
	}
	r.printf("%s  %s  %s  %s, by %s, ready after %.1f s\n", g.Name, g.IP, g.IP6, g.Model, g.Accel, time.Since(since).Seconds())
	return nil
}

// startGuests starts both at once.
func (r *rig) startGuests(ctx context.Context) error {
	r.printf("\n== Two guests\n")
	began := time.Now()
	for n := 1; n <= 2; n++ {
		g, err := r.start(n)
		if err != nil {
			return err
		}
		r.guests = append(r.guests, g)
	}
	for _, g := range r.guests {
		if err := r.come(ctx, g); err != nil {
			return err
		}
	}
	for _, g := range r.guests {
		if err := r.ready(ctx, g, began); err != nil {
			return err
		}
	}
	return nil
}

// come hears that a guest's QEMU has connected. Of datagrams there is nothing to hear.
func (r *rig) come(ctx context.Context, g *guest.Guest) error {
	if r.dgram {
		return nil
	}
	return r.hear(ctx, g.Name+": a peer has come")
}

// pings has the guests ping each other.
func (r *rig) pings(ctx context.Context) error {
	r.printf("\n== Ping\n")
	for i, g := range r.guests {
		other := r.guests[1-i]
		for _, ip := range []string{other.IP, other.IP6} {
			line, err := g.Ping(ctx, ip)
			if err != nil {
				return err
			}
			r.printf("%s: %s", g.Name, line)
		}
	}
	return nil
}

// tcp has the guests send each other bytes, and says how fast.
func (r *rig) tcp(ctx context.Context) error {
	r.printf("\n== TCP\n")
	for i, g := range r.guests {
		other := r.guests[1-i]
		out, err := g.Run(ctx, fmt.Sprintf("head -c %d /dev/urandom >/tmp/data && sha256sum </tmp/data && nc %s 9 </tmp/data; rm /tmp/data", checked, other.IP))
		if err != nil {
			return err
		}
		if sums := strings.Fields(out); len(sums) != 4 || sums[0] != sums[2] {
			return fmt.Errorf("%s has sent something else than %s has received: %q", g.Name, other.Name, out)
		}
		r.printf("%s -> %s: %d bytes, the same SHA-256 at both ends\n", g.Name, other.Name, checked)
		began := time.Now()
		out, err = g.Run(ctx, fmt.Sprintf("head -c %d /dev/zero | nc %s 10", timed, other.IP))
		took := time.Since(began).Seconds()
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) != fmt.Sprint(timed) {
			return fmt.Errorf("%s has sent %d bytes, and %s says %q", g.Name, timed, other.Name, out)
		}
		r.printf("%s -> %s: %d bytes in %.1f s, %.0f Mbit/s\n", g.Name, other.Name, timed, took, timed*8/1e6/took)
	}
	return nil
}

// startAnew ends the first guest and starts another like it, on the same port.
func (r *rig) startAnew(ctx context.Context) error {
	r.printf("\n== vm1 is ended, and started again\n")
	r.guests[0].Close()
	r.guests = r.guests[1:]
	if !r.dgram {
		if err := r.hear(ctx, "vm1: the peer has gone"); err != nil {
			return err
		}
	}
	began := time.Now()
	g, err := r.start(1)
	if err != nil {
		return err
	}
	r.guests = []*guest.Guest{g, r.guests[0]}
	if err := r.come(ctx, g); err != nil {
		return err
	}
	if err := r.ready(ctx, g, began); err != nil {
		return err
	}
	return r.pings(ctx)
}

// end ends the guests and then the switch, which reports.
func (r *rig) end(context.Context) error {
	r.printf("\n== The switch is ended\n")
	report, err := r.gobr.interrupt()
	if err != nil {
		return err
	}
	for line := range r.gobr.rest() {
		r.printf("%s", line)
	}
	r.printf("%s", strings.TrimPrefix(report, "\n"))
	return nil
}
