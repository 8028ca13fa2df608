package guest

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
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// patience is how long a guest may take for anything, its start included.
const patience = 2 * time.Minute

// Config is how a guest is started.
type Config struct {
	Name   string    // for errors
	Netdev string    // QEMU's -netdev, less its id: what the network card is plugged into
	Model  string    // of the network card: e1000 or virtio-net
	MAC    frame.MAC // of the network card
	IP     string    // an IPv4 address in a network of 24 bits
	IP6    string    // an IPv6 address in one of 64 bits; "": the guest speaks no IPv6
	Accel  string    // KVM or TCG
	Dir    string    // where QEMU runs, as seen by paths in Netdev; "": where this program does

	// Do is what QEMU is started in, such as a network namespace; nil: here. It runs
	// its argument to the end, on a thread that does nothing else.
	Do func(func() error) error
}

// A Guest is a virtual machine that runs.
type Guest struct {
	Config
	serial io.WriteCloser
	lines  chan string   // what it says on its serial line; closed at its end
	leave  chan struct{} // closed by Close: nobody listens any more
	ended  chan error    // gets what QEMU's end was
	kill   func() error
	qmp    *monitor
}

// Start starts QEMU. The guest is not ready before Await says so.
func Start(cfg Config, s *Software) (*Guest, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(QEMU, cfg.arguments()...)
	cmd.Dir = cfg.Dir
	cmd.ExtraFiles = []*os.File{s.kernel, s.initramfs, theirs}
	// An interrupt from the keyboard is for this program, which ends QEMU; and if it
	// is killed itself, the kernel does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	g := &Guest{
		Config: cfg, lines: make(chan string, 64), leave: make(chan struct{}), ended: make(chan error, 1),
		qmp: &monitor{conn: ours, in: json.NewDecoder(ours)},
	}
	if err := g.live(cmd); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start %s: %w", QEMU, err)
	}
	g.kill = cmd.Process.Kill
	return g, nil
}

// arguments are QEMU's. Its descriptors 3, 4 and 5 are the kernel, the initramfs and
// the monitor; what the kernel does not know, the first program finds in its
// environment.
func (cfg *Config) arguments() []string {
	boot := "console=ttyS0 quiet panic=-1 mitigations=off GUEST_IP=" + cfg.IP
	if cfg.IP6 == "" {
		boot += " ipv6.disable=1"
	} else {
		boot += " GUEST_IP6=" + cfg.IP6
	}
	return append([]string{
		"-accel", cfg.Accel, "-m", "128", "-nodefaults", "-no-user-config", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-kernel", "/dev/fd/3", "-initrd", "/dev/fd/4",
		"-append", boot, "-chardev", "socket,id=qmp,fd=5", "-mon", "chardev=qmp,mode=control",
	}, cfg.Network()...)
}

// Network is those of QEMU's arguments that are about the network.
func (cfg *Config) Network() []string {
	device := cfg.Model
	if device == "virtio-net" {
		device = "virtio-net-pci"
	}
	return []string{
		"-netdev", cfg.Netdev + ",id=net",
		"-device", fmt.Sprintf("%s,netdev=net,mac=%s,romfile=", device, cfg.MAC),
	}
}

// live starts QEMU, on a thread that stays for as long as QEMU does: the end of the
// thread that started it would be its own (Pdeathsig).
func (g *Guest) live(cmd *exec.Cmd) (err error) {
	do := g.Do
	if do == nil {
		do = onThread
	}
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
		err := do(func() error {
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

// onThread runs fn on a thread that does nothing else meanwhile.
func onThread(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return fn()
}

// listen passes lines on until the serial line ends.
func (g *Guest) listen(r io.Reader) {
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

// Await waits until the guest can be asked.
func (g *Guest) Await(ctx context.Context) error {
	_, err := g.until(ctx, "the guest is ready")
	return err
}

// Run has the guest's shell run a line, and gives what that printed.
func (g *Guest) Run(ctx context.Context, line string) (string, error) {
	if _, err := io.WriteString(g.serial, line+"\n"); err != nil {
		return "", fmt.Errorf("%s: %w", g.Name, err)
	}
	out, err := g.until(ctx, "status ")
	if err != nil {
		return out, err
	}
	text, status, _ := strings.Cut(out, "status ")
	if status != "0\n" {
		return text, fmt.Errorf("%s: %s: exit status %s%s", g.Name, line, status, text)
	}
	return text, nil
}

// until collects what the guest says up to a line that begins with mark.
func (g *Guest) until(ctx context.Context, mark string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text strings.Builder
	for {
		select {
		case line, ok := <-g.lines:
			if !ok {
				err := <-g.ended
				g.ended <- err
				return "", fmt.Errorf("%s: QEMU has ended: %w, after\n%s", g.Name, err, &text)
			}
			text.WriteString(line + "\n")
			if strings.HasPrefix(line, mark) {
				return text.String(), nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("%s: waiting for %q: %w, after\n%s", g.Name, mark, ctx.Err(), &text)
		}
	}
}

// Close ends the guest and waits for its end.
func (g *Guest) Close() {
	close(g.leave)
	_ = g.kill() // that it has ended already is fine too
	for range g.lines {
	}
	g.qmp.conn.Close()
	g.serial.Close()
}

// Command has QEMU do something that needs no arguments, such as "stop".
func (g *Guest) Command(name string) error { return g.qmp.command(name) }

// monitor speaks to QEMU itself (QMP, docs/interop/qmp-spec.rst).
type monitor struct {
	conn  net.Conn
	in    *json.Decoder
	ready bool
}

func (m *monitor) command(name string) error {
	if err := m.conn.SetDeadline(time.Now().Add(patience)); err != nil {
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
