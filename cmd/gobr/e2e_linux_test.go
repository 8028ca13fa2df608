package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
)

// needs skips a test on a machine that lacks rights or programs for it, or fails
// it where such a machine is promised.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	why := ""
	if _, err := os.Stat("/dev/net/tun"); err != nil || os.Geteuid() != 0 {
		why = "needs root and /dev/net/tun"
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			why = "needs the program " + p
		}
	}
	switch {
	case why == "":
	case os.Getenv("BRIDGE_REQUIRE_PRIVILEGED") == "1":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

// onThread runs fn on a thread that may leave its network namespace, and brings
// the thread back or ends it.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		err = fn()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// netns is a network namespace that nothing but the test holds.
type netns struct{ file *os.File }

func newNetns(t *testing.T) netns {
	t.Helper()
	var ns netns
	require.NoError(t, onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		ns.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	}))
	t.Cleanup(func() { ns.file.Close() })
	return ns
}

func (ns netns) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd()) }

func (ns netns) do(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

// command runs a program in the namespace, for twenty seconds at most.
func (ns netns) command(name string, args ...string) error {
	return ns.do(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
		}
		return nil
	})
}

// interfaces lists the names of what is in the namespace besides the loopback.
func (ns netns) interfaces(t *testing.T) (names []string) {
	t.Helper()
	require.NoError(t, ns.do(func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			if i.Flags&net.FlagLoopback == 0 {
				names = append(names, i.Name)
			}
		}
		return err
	}))
	return names
}

// program is a gobr that runs.
type program struct {
	cmd    *exec.Cmd
	out    bytes.Buffer  // what follows the first line of the standard output
	copied chan struct{} // closed at the end of the standard output
	mu     sync.Mutex    // guards errs
	errs   bytes.Buffer
}

// Write takes the standard error.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.Write(b)
}

func (p *program) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.String()
}

// start starts gobr and waits for its first line, which it gives.
func start(t *testing.T, args ...string) (*program, string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &program{cmd: exec.Command(exe, args...), copied: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asGobr+"=1")
	p.cmd.Stderr = p
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // does nothing to one that has ended
	lines := bufio.NewReader(stdout)
	first := make(chan string, 1)
	go func() { // ends with the standard output
		defer close(p.copied)
		line, _ := lines.ReadString('\n')
		first <- line
		_, _ = lines.WriteTo(&p.out)
	}()
	select {
	case line := <-first:
		return p, line
	case <-time.After(20 * time.Second):
		t.Fatal("gobr does not start: ", p.stderr())
	}
	return nil, ""
}

// end waits for gobr to end by itself or after sig, and gives its exit status and
// its standard output.
func (p *program) end(t *testing.T, sig os.Signal) (int, string) {
	t.Helper()
	if sig != nil {
		require.NoError(t, p.cmd.Process.Signal(sig))
	}
	watchdog := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer watchdog.Stop()
	<-p.copied
	_ = p.cmd.Wait() // what it says is in the exit status
	return p.cmd.ProcessState.ExitCode(), p.out.String()
}

// host is a namespace with an interface and addresses.
type host struct {
	netns
	dev, ip4, ip6 string
}

func (h host) address(t *testing.T) {
	t.Helper()
	require.NoError(t, h.command("ip", "address", "add", h.ip4+"/24", "dev", h.dev))
	require.NoError(t, h.command("ip", "address", "add", h.ip6+"/64", "dev", h.dev, "nodad"))
}

// pingAll has every host ping every other, by IPv4 and IPv6, all at once.
func pingAll(t *testing.T, hosts []host, extra ...string) {
	t.Helper()
	var all sync.WaitGroup
	for _, from := range hosts {
		for _, to := range hosts {
			if from == to {
				continue
			}
			for _, ip := range []string{to.ip4, to.ip6} {
				args := append([]string{"-c", "3", "-i", "0.2", "-W", "5"}, extra...)
				all.Go(func() { assert.NoError(t, from.command("ping", append(args, ip)...)) })
			}
		}
	}
	all.Wait()
}

// Two guests and the host, each in a namespace of its own, reach each other
// through gobr, which after an interrupt accounts for every frame and leaves
// nothing behind.
func TestBridgesRealTAPs(t *testing.T) {
	needs(t, "ip", "ping")
	hosts := []host{
		{newNetns(t), "br0", "10.55.0.1", "fd55::1"},
		{newNetns(t), "tap0", "10.55.0.2", "fd55::2"},
		{newNetns(t), "tap1", "10.55.0.3", "fd55::3"},
	}
	before, err := net.Interfaces()
	require.NoError(t, err)
	gobr, first := start(t, "run", "--name", "br0", "--host", "br0@"+hosts[0].path(),
		"--tap", "tap0@"+hosts[1].path(), "--tap", "tap1@"+hosts[2].path(), "--mtu", "4000", "--trace")
	require.Contains(t, first, "br0 bridges tap0, tap1; the host is at br0, address ", gobr.stderr())
	for _, h := range hosts {
		assert.Equal(t, []string{h.dev}, h.interfaces(t))
		h.address(t)
	}
	pingAll(t, hosts)
	pingAll(t, hosts[:2], "-M", "do", "-s", "3900") // as long as the MTU lets them

	status, out := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	assert.Empty(t, gobr.stderr())
	trace, table, _ := strings.Cut(out, "\nFrames\n")
	for _, step := range []string{"br_handle_frame dev: tap0 ", "br_forward to dev: tap1 ", "br_flood dev: tap0 ",
		"tun_net_xmit dev: tap0 ", "br_pass_frame_up dev: br0 ", "br_dev_xmit dev: br0 "} {
		assert.Contains(t, "\n"+trace, "\n"+step)
	}
	assert.Contains(t, table, "\nForwarding database\n")
	assert.NotContains(t, table, "missing")
	for _, dev := range []string{"tap0", "tap1"} {
		assert.Regexp(t, `(?m)^[0-9a-f:]{17}  -     `+dev+` +dynamic `, table)
	}
	for _, h := range hosts {
		assert.Empty(t, h.interfaces(t))
	}
	after, err := net.Interfaces()
	require.NoError(t, err)
	assert.Equal(t, len(before), len(after))
}

// Without host and trace, and ended by a SIGTERM.
func TestBridgesTwoTAPs(t *testing.T) {
	needs(t, "ip", "ping")
	hosts := []host{
		{newNetns(t), "tap0", "10.55.0.2", "fd55::2"},
		{newNetns(t), "tap1", "10.55.0.3", "fd55::3"},
	}
	gobr, first := start(t, "run", "--vlan-filtering", "--tap", "tap%d@"+hosts[0].path(), "--tap", "tap1@"+hosts[1].path())
	require.Equal(t, "br0 bridges tap0, tap1; interrupt ends it\n", first, gobr.stderr())
	for _, h := range hosts {
		h.address(t)
	}
	pingAll(t, hosts)
	status, out := gobr.end(t, syscall.SIGTERM)
	assert.Equal(t, exitOK, status)
	assert.Empty(t, gobr.stderr())
	assert.True(t, strings.HasPrefix(out, "\nFrames\n"), out)
	assert.NotContains(t, out, "missing")
	assert.Regexp(t, `(?m)^[0-9a-f:]{17}  1     tap0 +dynamic `, out)
}

// A TAP that is deleted ends its port and nothing else.
func TestTAPDeletedUnderGobr(t *testing.T) {
	needs(t, "ip")
	ns := newNetns(t)
	gobr, _ := start(t, "run", "--tap", "tap0@"+ns.path(), "--tap", "tap1@"+ns.path())
	require.NoError(t, ns.command("ip", "link", "del", "tap0"))
	const said = "gobr: port failed tap0: "
	for end := time.Now().Add(10 * time.Second); !strings.Contains(gobr.stderr(), said); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "no word of the deletion: %q", gobr.stderr())
	}
	assert.Equal(t, []string{"tap1"}, ns.interfaces(t))
	status, out := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	assert.NotContains(t, out, "missing")
	assert.Equal(t, 1, strings.Count(gobr.stderr(), "\n"), gobr.stderr())
}

// Where the last TAP cannot be had, those opened before it vanish.
func TestFailureLeavesNothing(t *testing.T) {
	needs(t)
	ns := newNetns(t)
	taken, err := bridge.OpenTAP(bridge.TAPConfig{Name: "taken", Netns: ns.path()})
	require.NoError(t, err)
	defer taken.Close()
	for says, args := range map[string][]string{
		"no TAP":        {"--host", "br0@" + ns.path(), "--tap", "tap0@" + ns.path(), "--tap", "lo@" + ns.path()},
		"in use":        {"--tap", "tap0@" + ns.path(), "--tap", "taken@" + ns.path()},
		"cannot be ope": {"--tap", "tap0@" + ns.path(), "--tap", "tap1@" + filepath.Join(t.TempDir(), "none")},
	} {
		gobr, first := start(t, append([]string{"run"}, args...)...)
		status, out := gobr.end(t, nil)
		assert.Equal(t, exitFailure, status, args)
		assert.Empty(t, first+out)
		assert.Contains(t, gobr.stderr(), says)
		assert.Equal(t, 1, strings.Count(gobr.stderr(), "\n"), gobr.stderr())
		assert.Equal(t, []string{"taken"}, ns.interfaces(t))
	}
}
