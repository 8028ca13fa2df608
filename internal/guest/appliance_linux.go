package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An Appliance is a guest whose first program is one of ours and the only one: there is
// no busybox. The two speak by a stream, a virtio console.
type Appliance struct {
	net.Conn // to the program
	console  console
	kill     func() error
	ended    chan struct{} // closed when QEMU has ended
}

// channel is the name of the console's port.
const channel = "program"

// channelDrivers are what the stream needs.
var channelDrivers = []string{"virtio_pci", "virtio_console"}

// StartAppliance boots a kernel with init, the bytes of a static program, which is
// called with args and has modules loaded by Enter. accel is KVM or TCG.
func StartAppliance(k *Kernel, init []byte, args []string, modules []string, accel string) (*Appliance, error) {
	s, err := prepareAppliance(k, init, modules)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(QEMU, "-accel", accel, "-m", "512", "-nodefaults", "-no-user-config", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-kernel", "/dev/fd/3", "-initrd", "/dev/fd/4",
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off -- "+strings.Join(args, " "),
		"-device", "virtio-serial-pci", "-chardev", "socket,id=stream,fd=5",
		"-device", "virtserialport,chardev=stream,name="+channel)
	cmd.ExtraFiles = []*os.File{s.kernel, s.initramfs, theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Appliance{Conn: ours, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.console, &p.console
	started := make(chan error, 1)
	go func() { // ends when QEMU does; the end of its thread would be QEMU's
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			ours.Close() // who waits for an answer need not go on
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		<-p.ended
		ours.Close()
		return nil, fmt.Errorf("start %s: %w", QEMU, err)
	}
	p.kill = cmd.Process.Kill
	return p, nil
}

func prepareAppliance(k *Kernel, init []byte, names []string) (*Software, error) {
	image, err := k.boot()
	if err != nil {
		return nil, err
	}
	modules, err := k.load(append(channelDrivers[:len(channelDrivers):len(channelDrivers)], names...))
	if err != nil {
		return nil, err
	}
	var a archive
	for _, d := range []string{"dev", "proc", "sys"} {
		a.dir(d)
	}
	a.file("init", 0o755, init)
	var order strings.Builder
	for _, m := range modules {
		a.file("modules/"+m.name+".ko", 0o644, m.data)
		order.WriteString(m.name + ".ko\n")
	}
	a.file("modules/order", 0o644, []byte(order.String()))
	return hold(image, &a)
}

// Close ends the guest and waits for its end.
func (p *Appliance) Close() error {
	_ = p.kill()
	<-p.ended
	return nil
}

// Console is the end of what the guest's kernel has said, and QEMU.
func (p *Appliance) Console() string { return p.console.String() }

// console keeps the last kilobytes that are written to it.
type console struct {
	mu sync.Mutex // guards b
	b  []byte
}

func (c *console) Write(b []byte) (int, error) {
	const keep = 4 << 10
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b = append(c.b, b...)
	if n := len(c.b) - keep; n > keep {
		c.b = append(c.b[:0], c.b[n:]...)
	}
	return len(b), nil
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(bytes.TrimSpace(c.b))
}

// Enter is for the program in the guest: it mounts what a system has, loads the
// modules, and gives the stream to who started the guest.
func Enter(ctx context.Context) (*os.File, error) {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	order, err := os.ReadFile("/modules/order")
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Fields(string(order)) {
		if err := insert(filepath.Join("/modules", name)); err != nil {
			return nil, fmt.Errorf("insert %s: %w", name, err)
		}
	}
	for {
		if f, err := openChannel(); f != nil || err != nil {
			return f, err
		}
		select { // the kernel finds the port some time after its driver
		case <-ctx.Done():
			return nil, errors.New("the virtio console has no port " + channel)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// openChannel gives the port of that name, nil while there is none.
func openChannel() (*os.File, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, path := range names {
		if name, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(name)) == channel {
			return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(path))), os.O_RDWR, 0)
		}
	}
	return nil, nil
}

// PowerOff ends the guest, from within.
func PowerOff() { _ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }
