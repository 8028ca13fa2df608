// Package leaktest fails a test binary that leaves goroutines behind.
package leaktest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Main runs the tests of a package and then waits up to half a minute for every
// goroutine that a test started to end. Call it from TestMain:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if left := wait(30 * time.Second); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left after the tests:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// wait gives the stacks of the goroutines that are not the runtime's or the
// testing package's own, once there are none or the time is over.
func wait(limit time.Duration) string {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		left := stray()
		if left == "" || time.Now().After(end) {
			return left
		}
	}
}

func stray() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var left []string
	for i, g := range strings.Split(string(buf), "\n\n") {
		own := i == 0 || // the caller
			strings.Contains(g, "testing.(*M).") || strings.Contains(g, "os/signal.signal_recv") ||
			strings.Contains(g, "testing.(*F).Fuzz") || strings.Contains(g, "internal/fuzz.")
		if !own {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}
