package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/guest/guesttest"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// needsGuests skips a test on a machine that cannot run guests, and fails it where
// BRIDGE_REQUIRE_PRIVILEGED=1 promises that it can.
func needsGuests(t *testing.T) {
	t.Helper()
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	_, err = missing(o.kernel)
	guesttest.Needs(t, err)
}

// varying is what differs from run to run and from machine to machine.
var varying = []guesttest.Mask{
	guesttest.Varies(`after [0-9.]+ (ms|s)\b`, "after N $1"),
	guesttest.Varies(`QEMU's (kvm|tcg)`, "QEMU's N"),
	guesttest.Varies(`[0-9]+ frames of [0-9]+ bytes`, "N frames of N bytes"),
	guesttest.Varies(`tx_dropped [0-9]+`, "tx_dropped N"),
	guesttest.Varies(`received [0-9]+ datagrams; [0-9]+ \+ [0-9]+`, "received N datagrams; N + N"),
	guesttest.Varies(`(?m)^ +[0-9][0-9 ]+$`, "N"),              // of ip -s link
	guesttest.Varies(`(?m)^ +TX: .*dropped.*$`, "TX: dropped"), // whose columns its version decides
}

// README.md shows what the program prints, all of it but times and sizes to the
// letter.
func TestReadmeIsTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("guests take a minute to boot and to be shown around")
	}
	needsGuests(t)
	shown := guesttest.Readme(t, "qemuguest", varying, func(flags []string) string {
		var out strings.Builder
		require.NoError(t, run(t.Context(), flags, &out), "with the flags %q, after\n%s", flags, &out)
		if slices.Contains(flags, "-overflow") {
			overflowed(t, out.String())
		}
		return out.String()
	})
	assert.Equal(t, []string{"", "-overflow -model virtio-net"}, shown)
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

// Interrupted while the guests start, the program leaves nothing behind.
func TestInterrupt(t *testing.T) {
	needsGuests(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-accel", "tcg"}, io.Discard) }() // ends when ctx does
	guesttest.Eventually(t, "two guests", func() bool { return len(guesttest.Children(t, os.Getpid(), "qemu-system")) == 2 })
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
	assert.Empty(t, guesttest.Children(t, os.Getpid(), "qemu-system"))
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
	guesttest.Eventually(t, "two guests", func() bool {
		guests = guesttest.Children(t, cmd.Process.Pid, "qemu-system")
		return len(guests) == 2
	})
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // says that it was killed
	guesttest.Eventually(t, "the end of the guests", func() bool { return guesttest.Gone(guests) })
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
