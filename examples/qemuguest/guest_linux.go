package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns"
)

// patience is how long a guest may take for anything, its start included.
const patience = 90 * time.Second

// guestSpec is what tells guests apart.
type guestSpec struct {
	name, tap, model string
	ip               string
	mac              frame.MAC
}

// guest is a virtual machine that runs.
type guest struct {
	guestSpec
	serial io.WriteCloser
	lines  chan string   // what it says on its serial line; closed at its end
	leave  chan struct{} // closed by close: nobody listens any more
	ended  chan error    // gets what QEMU's end was
	kill   func() error
	qmp    *monitor
}

// startGuest starts QEMU in the namespace ns, on a TAP that is there. The guest is
// not ready before await says so.
func startGuest(ns *netns.NS, spec guestSpec, accel string, s *software) (*guest, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(qemu, spec.arguments(accel)...)
	cmd.ExtraFiles = []*os.File{s.kernel, s.initramfs, theirs}
	// An interrupt from the keyboard is for this program, which ends QEMU; and if it
	// is killed itself, the kernel does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	g := &guest{
		guestSpec: spec, lines: make(chan string, 64), leave: make(chan struct{}), ended: make(chan error, 1),
		qmp: &monitor{conn: ours, in: json.NewDecoder(ours)},
	}
	if err := g.live(ns, cmd); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start %s: %w", qemu, err)
	}
	g.kill = cmd.Process.Kill
	return g, nil
}

// arguments are QEMU's. Its descriptors 3, 4 and 5 are the kernel, the initramfs and
// the monitor; what the kernel does not know, the first program finds in its
// environment.
func (s *guestSpec) arguments(accel string) []string {
	device := s.model
	if device == "virtio-net" {
		device = "virtio-net-pci"
	}
	return []string{
		"-accel", accel, "-m", "128", "-nodefaults", "-no-user-config", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-kernel", "/dev/fd/3", "-initrd", "/dev/fd/4",
		"-append", "console=ttyS0 quiet panic=-1 ipv6.disable=1 mitigations=off GUEST_IP=" + s.ip,
		"-netdev", "tap,id=net,ifname=" + s.tap + ",script=no,downscript=no",
		"-device", fmt.Sprintf("%s,netdev=net,mac=%s,romfile=", device, s.mac),
		"-chardev", "socket,id=qmp,fd=5", "-mon", "chardev=qmp,mode=control",
	}
}

// live starts QEMU, on a thread that stays for as long as QEMU does: the end of the
// thread that started it would be its own (Pdeathsig).
func (g *guest) live(ns *netns.NS, cmd *exec.Cmd) (err error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if g.serial, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() { // ends when QEMU does
		err := ns.Do(func() error {
			if err := cmd.Start(); err != nil {
				return err
			}
			started <- nil
			g.listen(out)
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("%w\n%s", err, &stderr)
			}
			return errors.New("exit status 0") // a guest never ends of its own accord, but in a panic
		})
		select {
		case started <- err: // if it has not even begun
		default:
		}
		g.ended <- err
		close(g.lines)
	}()
	return <-started
}

// listen passes lines on until the serial line ends.
func (g *guest) listen(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		select {
		case g.lines <- strings.TrimRight(line, "\r\n"):
		case <-g.leave:
		}
	}
}

// await waits until the guest can be asked.
func (g *guest) await(ctx context.Context) error {
	_, err := g.until(ctx, "the guest is ready")
	return err
}

// run has the guest's shell run a line, and gives what that printed.
func (g *guest) run(ctx context.Context, line string) (string, error) {
	if _, err := io.WriteString(g.serial, line+"\n"); err != nil {
		return "", fmt.Errorf("%s: %w", g.name, err)
	}
	out, err := g.until(ctx, "status ")
	if err != nil {
		return out, err
	}
	text, status, _ := strings.Cut(out, "status ")
	if status != "0\n" {
		return text, fmt.Errorf("%s: %s: exit status %s%s", g.name, line, status, text)
	}
	return text, nil
}

// until collects what the guest says up to a line that begins with mark.
func (g *guest) until(ctx context.Context, mark string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text strings.Builder
	for {
		select {
		case line, ok := <-g.lines:
			if !ok {
				err := <-g.ended
				g.ended <- err
				return "", fmt.Errorf("%s: QEMU has ended: %w, after\n%s", g.name, err, &text)
			}
			text.WriteString(line + "\n")
			if strings.HasPrefix(line, mark) {
				return text.String(), nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("%s: waiting for %q: %w, after\n%s", g.name, mark, ctx.Err(), &text)
		}
	}
}

// close ends the guest and waits for its end.
func (g *guest) close() {
	close(g.leave)
	_ = g.kill() // that it has ended already is fine too
	for range g.lines {
	}
	g.qmp.conn.Close()
	g.serial.Close()
}

// monitor speaks to QEMU itself (QMP, docs/interop/qmp-spec.rst).
type monitor struct {
	conn  net.Conn
	in    *json.Decoder
	ready bool
}

// command has QEMU do something that needs no arguments, such as "stop".
func (m *monitor) command(name string) error {
	if err := m.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if !m.ready {
		m.ready = true
		if err := m.command("qmp_capabilities"); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(m.conn, "{\"execute\": %q}\n", name); err != nil {
		return err
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		switch err := m.in.Decode(&answer); {
		case err != nil:
			return fmt.Errorf("QEMU's monitor: %s: %w", name, err)
		case answer.Error != nil:
			return fmt.Errorf("QEMU's monitor: %s: %s", name, answer.Error.Desc)
		case answer.Return != nil: // else it is the greeting or an event
			return nil
		}
	}
}

// socketPair makes a socket for this program, and its other end for another.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "monitor"), os.NewFile(uintptr(fds[1]), "monitor")
	defer ours.Close() // the connection has a duplicate
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
	}
	return conn, theirs, err
}
