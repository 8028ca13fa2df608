package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

func TestMain(m *testing.M) {
	if playRole() {
		return
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // for the children, who end one after the other
	leaktest.Main(m)
}

// What is measured over cables of a driver each is not asserted, but that there is
// something, and that nothing is left of it.
func TestLive(t *testing.T) {
	netnstest.Needs(t, "ip")
	t.Setenv("TMPDIR", t.TempDir())
	held := namespaces(t)
	for _, c := range []string{"tap", "raw", "xdp"} {
		t.Run(c, func(t *testing.T) {
			o, err := parseFlags([]string{"-cable", c, "-workload", "rtt,pps", "-peer", "kernel,cable", "-n", "1", "-length", "50ms"}, t.Output())
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			missing := "nothing was measured"
			for try := 0; try < 10 && missing != ""; try++ { // a machine that is busy may have let none through
				missing = ""
				b := bench{opts: o, log: t.Output()}
				tables := 0
				err := b.run(ctx, func(tab *table) {
					tables++
					tab.write(t.Output())
					missing += without(tab)
				})
				require.NoError(t, err)
				assert.Equal(t, 2, tables)
			}
			assert.Empty(t, missing)
		})
	}
	assert.Empty(t, children(t), "processes")
	assert.Equal(t, held, namespaces(t), "namespaces")
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left, "files")
}

// without names the contestants with nothing in the metric that counts.
func without(tab *table) (names string) {
	if len(tab.Rows) != 3 {
		return fmt.Sprintf("%s: %d contestants; ", tab.Workload, len(tab.Rows))
	}
	for _, r := range tab.Rows {
		if r.Figures[0].Value.Median <= 0 {
			names += fmt.Sprintf("%s: %s; ", tab.Workload, r.Peer)
		}
	}
	return names
}

// A signal in the middle ends everything at once.
func TestLiveIsInterrupted(t *testing.T) {
	netnstest.Needs(t, "ip")
	t.Setenv("TMPDIR", t.TempDir())
	held := namespaces(t)
	o, err := parseFlags([]string{"-cable", "tap", "-workload", "tcp1", "-peer", "kernel", "-length", "1h"}, t.Output())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := bench{opts: o, log: t.Output()}
	done := make(chan error, 1)
	go func() { done <- b.run(ctx, func(*table) { t.Error("an hour is over") }) }() // ends with ctx
	deadline := time.Now().Add(2 * time.Minute)
	running := 0
	// Looked at once: a program of iproute2, which may be the fifth, ends by itself.
	for running < 5 && time.Now().Before(deadline) { // four stations and ours, or that program
		time.Sleep(10 * time.Millisecond)
		running = len(children(t))
	}
	assert.GreaterOrEqual(t, running, 5)
	cancel()
	assert.ErrorIs(t, <-done, context.Canceled)
	assert.Empty(t, children(t), "processes")
	assert.Equal(t, held, namespaces(t), "namespaces")
}

// children are the processes that this one has started and that have not ended.
func children(t *testing.T) (pids []string) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	for _, list := range lists {
		if b, err := os.ReadFile(list); err == nil { // else the thread has ended
			pids = append(pids, strings.Fields(string(b))...)
		}
	}
	return pids
}

// namespaces is how many network namespaces this process keeps alive.
func namespaces(t *testing.T) (n int) {
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "net:[") {
			n++
		}
	}
	return n
}
