package guesttest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "renew what README.md shows")

// Needs skips a test on a machine that lacks what err says, and fails it where
// BRIDGE_REQUIRE_PRIVILEGED=1 promises that it lacks nothing.
func Needs(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("BRIDGE_REQUIRE_PRIVILEGED") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// A Mask is what differs from run to run and from machine to machine, and what is
// compared in its place.
type Mask struct {
	varying *regexp.Regexp
	mask    string
}

// Varies masks what a regular expression matches.
func Varies(expression, mask string) Mask { return Mask{regexp.MustCompile(expression), mask} }

// Readme holds README.md against what an example prints, a line at a time and but for
// masks: in each block of it behind "# go run ./examples/NAME FLAGS" (or $ for #).
// run runs the example. It gives the FLAGS of all blocks. The test's flag -rewrite
// renews the blocks instead.
func Readme(t *testing.T, name string, masks []Mask, run func(flags []string) string) (shown []string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	session := regexp.MustCompile("(?s)(```console\n[#$] go run ./examples/" + name + "([^\n]*)\n)(.*?)```\n")
	text = session.ReplaceAllFunc(text, func(block []byte) []byte {
		m := session.FindSubmatch(block)
		flags := strings.TrimSpace(string(m[2]))
		shown = append(shown, flags)
		out := run(strings.Fields(flags))
		if *rewrite {
			return []byte(string(m[1]) + out + "```\n")
		}
		compare(t, name, flags, masked(masks, out), masked(masks, string(m[3])))
		return block
	})
	if *rewrite {
		if err := os.WriteFile("README.md", text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return shown
}

func masked(masks []Mask, s string) []string {
	for _, m := range masks {
		s = m.varying.ReplaceAllString(s, m.mask)
	}
	return strings.Split(s, "\n")
}

// compare shows the first line that differs.
func compare(t *testing.T, name, flags string, got, shown []string) {
	t.Helper()
	for i := range max(len(got), len(shown)) {
		if i >= len(got) || i >= len(shown) || got[i] != shown[i] {
			t.Errorf("with the flags %q, line %d of the output is not what README.md shows:\n%q\n%q\n"+
				"go test ./examples/%s -rewrite renews it", flags, i+1, got[min(i, len(got)-1)], shown[min(i, len(shown)-1)], name)
			return
		}
	}
}

// Children gives the processes that another has started and whose names begin with
// name, as /proc has them.
func Children(t *testing.T, parent int, name string) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var pid, ppid int
		var state string
		head, rest, _ := strings.Cut(string(stat), ") ")
		pidText, comm, _ := strings.Cut(head, " (")
		if n, _ := fmt.Sscan(pidText, &pid); n == 1 && strings.HasPrefix(comm, name) {
			if n, _ := fmt.Sscan(rest, &state, &ppid); n == 2 && ppid == parent {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Gone says that processes are no more: neither there, nor more than zombies.
func Gone(pids []int) bool {
	for _, pid := range pids {
		if cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(cmdline) > 0 {
			return false
		}
	}
	return true
}

// Eventually waits a minute at most.
func Eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: " + what)
		}
	}
}
