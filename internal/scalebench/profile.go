package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/ddfb540f/bridge/internal/workload"
)

// profile is where the time of a unicast frame goes, by function.
func profile(m *meter) (section, error) {
	out := section{
		title: "Where the time of a unicast frame goes",
		text: "Between 8 ports, of 1000 addresses and of a million: two seconds of each under Go's profiler, the functions in which most " +
			"of the time was, with what they call (cum) and without (flat). `go tool pprof -top`; the same by instructions: " +
			"`go run ./internal/instructions -keep .` and `callgrind_annotate unicast`.",
	}
	if m.pretend {
		out.block = "\n"
		return out, nil
	}
	for _, macs := range []int{1000, 1_000_000} {
		w, err := unicast(workload.Config{Ports: 8, Stations: macs}, 64)
		if err != nil {
			return out, err
		}
		top, err := sampled(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for end := threadTime() + 2*time.Second; threadTime() < end; {
				w.run(1 << 16)
			}
		})
		if err != nil {
			return out, err
		}
		out.block += fmt.Sprintf("%d addresses\n  flat    cum\n%s", macs, top)
	}
	return out, nil
}

// sampled runs fn under the profiler, and gives the functions that take most.
func sampled(fn func()) (string, error) {
	dir, err := os.MkdirTemp("", "scalebench")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "cpu")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return "", err
	}
	fn()
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		return "", err
	}
	said, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount=16", name).Output()
	if err != nil {
		return "", err
	}
	return shares(string(said)), nil
}

// shares takes from what pprof prints the columns that are shares, and the functions.
func shares(top string) string {
	var s strings.Builder
	_, rows, _ := strings.Cut(top, "cum%\n")
	for row := range strings.Lines(rows) {
		if c := strings.Fields(row); len(c) >= 6 && c[1] != "0%" {
			name, _, _ := strings.Cut(strings.TrimPrefix(c[5], "github.com/ddfb540f/"), "[") // without type arguments
			fmt.Fprintf(&s, "%6s %6s  %s\n", c[1], c[4], name)
		}
	}
	return s.String()
}
