package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// found is what gobr can change about an interface that was there before.
type found struct {
	mtu  int
	addr string
	up   bool
}

func (ns netns) found(t *testing.T, name string) (f found) {
	t.Helper()
	require.NoError(t, ns.Do(func() error {
		i, err := net.InterfaceByName(name)
		if err == nil {
			f = found{i.MTU, i.HardwareAddr.String(), i.Flags&net.FlagUp != 0}
		}
		return err
	}))
	return f
}

// persistent makes a TAP in the namespace that outlives gobr.
func (ns netns) persistent(t *testing.T, name, mtu, up string) found {
	t.Helper()
	require.NoError(t, ns.command("ip", "tuntap", "add", "dev", name, "mode", "tap"))
	require.NoError(t, ns.command("ip", "link", "set", name, "mtu", mtu, up))
	return ns.found(t, name)
}

// Persistent TAPs, of ports and of the host, are left as they were found: after a
// signal, and after a failure.
func TestLeavesPersistentTAPsAsFound(t *testing.T) {
	netnstest.Needs(t, "ip")
	for says, last := range map[string]string{"": "made", "is no TAP": "lo"} {
		ns := newNetns(t)
		before := map[string]found{
			"host": ns.persistent(t, "host", "1500", "down"),
			"idle": ns.persistent(t, "idle", "1500", "down"),
			"busy": ns.persistent(t, "busy", "1400", "up"),
		}
		gobr, first := start(t, "run", "--mtu", "9000", "--host", "host@"+ns.Path(),
			"--tap", "idle@"+ns.Path(), "--tap", "busy@"+ns.Path(), "--tap", last+"@"+ns.Path())
		if says == "" {
			require.Contains(t, first, "br0 bridges idle, busy, made; the host is at host", gobr.stderr())
			for name := range before {
				assert.Equal(t, found{9000, before[name].addr, true}, ns.found(t, name), name)
			}
		}
		if says == "" {
			status, _ := gobr.end(t, syscall.SIGTERM)
			assert.Equal(t, exitOK, status)
			assert.Empty(t, gobr.stderr())
		} else {
			status, _ := gobr.end(t, nil)
			assert.Equal(t, exitFailure, status)
			assert.Contains(t, gobr.stderr(), says)
		}
		for name := range before {
			assert.Equal(t, before[name], ns.found(t, name), name)
		}
		assert.ElementsMatch(t, []string{"host", "idle", "busy"}, ns.interfaces(t))
	}
}

// Once nobody reads the standard output, gobr ends with status 1 and one line,
// and leaves nothing behind: at the first line, at the report, and with a trace at
// the next step of a frame.
func TestEndsWithItsOutput(t *testing.T) {
	netnstest.Needs(t, "ip")
	for _, c := range []struct {
		name  string
		lines int // that are read before the pipe is closed
		flags []string
		end   func(ns netns, p *os.Process) error
	}{
		{"at once", 0, nil, func(netns, *os.Process) error { return nil }},
		{"at the report", 1, nil, func(_ netns, p *os.Process) error { return p.Signal(os.Interrupt) }},
		{"at a step", 1, []string{"--trace"}, func(ns netns, _ *os.Process) error {
			return ns.command("ip", "address", "add", "fd55::9/64", "dev", "found") // solicits
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := newNetns(t)
			before := ns.persistent(t, "found", "1500", "down")
			exe, err := os.Executable()
			require.NoError(t, err)
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			var stderr strings.Builder
			args := append([]string{"run", "--mtu", "4000", "--tap", "found@" + ns.Path(), "--tap", "made@" + ns.Path()}, c.flags...)
			cmd := exec.Command(exe, args...)
			cmd.Env = append(os.Environ(), asGobr+"=1", "GORACE=atexit_sleep_ms=0")
			cmd.Stdout, cmd.Stderr = w, &stderr
			if c.lines == 0 {
				r.Close()
			}
			require.NoError(t, cmd.Start())
			w.Close()
			watchdog := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			defer watchdog.Stop()
			if c.lines > 0 {
				n, err := r.Read(make([]byte, 4096))
				assert.NoError(t, err)
				assert.NotZero(t, n)
				r.Close()
			}
			assert.NoError(t, c.end(ns, cmd.Process))
			_ = cmd.Wait() // what it says is in the exit status
			assert.Equal(t, exitFailure, cmd.ProcessState.ExitCode(), "%s", cmd.ProcessState)
			assert.Regexp(t, "^gobr: the standard output takes no more.*: broken pipe\n$", stderr.String())
			assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			assert.Equal(t, before, ns.found(t, "found"))
			assert.Equal(t, []string{"found"}, ns.interfaces(t))
		})
	}
}
