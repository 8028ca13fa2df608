package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

var rewrite = flag.Bool("rewrite", false, "renew what README.md shows")

// needsGuests skips a test on a machine that cannot run guests, and fails it where
// BRIDGE_REQUIRE_PRIVILEGED=1 promises that it can. It gives the kernel's directory.
func needsGuests(t *testing.T) string {
	t.Helper()
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	switch _, err := missing(o.kernel); {
	case err == nil:
	case os.Getenv("BRIDGE_REQUIRE_PRIVILEGED") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return o.kernel
}

// session is a fenced block of README.md: a command, and what it prints.
var session = regexp.MustCompile("(?s)```console\n# go run ./examples/qemuguest([^\n]*)\n(.*?)```\n")

// varying is what differs from run to run and from machine to machine.
var varying = []struct {
	re   *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(`after [0-9.]+ (ms|s)\b`), "after N $1"},
	{regexp.MustCompile(`QEMU's (kvm|tcg)`), "QEMU's N"},
	{regexp.MustCompile(`[0-9]+ frames of [0-9]+ bytes`), "N frames of N bytes"},
	{regexp.MustCompile(`tx_dropped [0-9]+`), "tx_dropped N"},
	{regexp.MustCompile(`received [0-9]+ datagrams; [0-9]+ \+ [0-9]+`), "received N datagrams; N + N"},
	{regexp.MustCompile(`(?m)^ +[0-9][0-9 ]+$`), "N"},              // of ip -s link
	{regexp.MustCompile(`(?m)^ +TX: .*dropped.*$`), "TX: dropped"}, // whose columns its version decides
}

func masked(s string) []string {
	for _, v := range varying {
		s = v.re.ReplaceAllString(s, v.mask)
	}
	return strings.Split(s, "\n")
}

// README.md shows what the program prints, all of it but times and sizes to the
// letter.
func TestReadmeIsTrue(t *testing.T) {
	needsGuests(t)
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var shown []string
	text = session.ReplaceAllFunc(text, func(block []byte) []byte {
		m := session.FindSubmatch(block)
		flags := strings.TrimSpace(string(m[1]))
		shown = append(shown, flags)
		var out strings.Builder
		require.NoError(t, run(t.Context(), strings.Fields(flags), &out), "with the flags %q, after\n%s", flags, &out)
		if *rewrite {
			return []byte("```console\n# go run ./examples/qemuguest" + string(m[1]) + "\n" + out.String() + "```\n")
		}
		compare(t, flags, masked(out.String()), masked(string(m[2])))
		if strings.Contains(flags, "-overflow") {
			overflowed(t, out.String())
		}
		return block
	})
	assert.Equal(t, []string{"", "-overflow -model virtio-net"}, shown)
	if *rewrite {
		require.NoError(t, os.WriteFile("README.md", text, 0o644))
	}
}

// compare shows the first line that differs.
func compare(t *testing.T, flags string, got, shown []string) {
	t.Helper()
	for i := range max(len(got), len(shown)) {
		if i >= len(got) || i >= len(shown) || got[i] != shown[i] {
			t.Errorf("with the flags %q, line %d of the output is not what README.md shows:\n%q\n%q\n"+
				"go test ./examples/qemuguest -rewrite renews it", flags, i+1, got[min(i, len(got)-1)], shown[min(i, len(shown)-1)])
			return
		}
	}
}

// overflowed holds the numbers of an overflow against each other: the bridge has
// sent all, and what the guest did not get the kernel has counted.
func overflowed(t *testing.T, out string) {
	t.Helper()
	m := regexp.MustCompile(`(?s)offered 3000, sent 3000, refused 0\n.*tx_dropped ([0-9]+),.* received ([0-9]+) datagrams; `).FindStringSubmatch(out)
	require.NotNil(t, m, "%s", out)
	lost, err := strconv.Atoi(m[1])
	require.NoError(t, err)
	got, err := strconv.Atoi(m[2])
	require.NoError(t, err)
	assert.Equal(t, burst, lost+got)
	assert.Greater(t, lost, 1900, "the queue holds 1000 frames")
	assert.Greater(t, got, 900)
}

// children gives the QEMUs that this process, or the one of that number, has
// started: by the names of processes in /proc.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var pid, ppid int
		var state string
		name, rest, _ := strings.Cut(string(stat), ") ")
		pidText, name, _ := strings.Cut(name, " (")
		if n, _ := fmt.Sscan(pidText, &pid); n == 1 && strings.HasPrefix(name, "qemu-system") {
			if n, _ := fmt.Sscan(rest, &state, &ppid); n == 2 && (ppid == parent || parent == 0) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// eventually waits half a minute at most.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "not within half a minute: %s", what)
	}
}

// Interrupted while the guests start, the program leaves nothing behind.
func TestInterrupt(t *testing.T) {
	needsGuests(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-accel", "tcg"}, io.Discard) }() // ends when ctx does
	eventually(t, "two guests", func() bool { return len(children(t, os.Getpid())) == 2 })
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
	assert.Empty(t, children(t, os.Getpid()))
}

// Killed, it can leave nothing behind either: what it made has no name, and the
// guests end with it.
func TestKill(t *testing.T) {
	needsGuests(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-accel", "tcg", "-model", "e1000")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill() // does nothing to one that has ended
		_ = cmd.Wait()
	}()
	var guests []int
	eventually(t, "two guests", func() bool {
		guests = children(t, cmd.Process.Pid)
		return len(guests) == 2
	})
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // says that it was killed
	eventually(t, "the end of the guests", func() bool {
		for _, pid := range guests {
			if cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(cmdline) > 0 {
				return false // neither gone nor a zombie
			}
		}
		return true
	})
}

// The host answers the PC by br0 alone, not by the interfaces that are ports.
func TestHostAnswers(t *testing.T) {
	netnstest.Needs(t, "ip", "ping")
	w, err := newWorld(t.Context(), "", "", 0, nil)
	require.NoError(t, err)
	defer w.close()
	seen, err := w.watch(func() error {
		_, err := w.pc.ping(w.host.ip)
		return err
	})
	require.NoError(t, err)
	var enter []string
	for _, s := range seen {
		if s.enters {
			enter = append(enter, s.what)
		}
		assert.NotContains(t, s.text, eth0MAC.String())
	}
	assert.Contains(t, enter, "ARP: 10.0.0.1 is at "+br0MAC.String())
	assert.Contains(t, enter, "ICMP echo reply, 10.0.0.1 > 10.0.0.2")
}
