package frameiotest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// recorder is a tb that notes what a check finds.
type recorder struct {
	mu       sync.Mutex
	found    []string
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// findings runs a check and gives what it would have told a *testing.T.
func findings(c check, opts Options, mk func() (a, b bridge.FrameIO)) []string {
	r := new(recorder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(newSuite(r, opts, mk))
	}()
	<-done
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	return r.found
}

func newPipe(queue int) func() (a, b bridge.FrameIO) {
	return func() (a, b bridge.FrameIO) {
		return bridge.NewPipe(bridge.PipeConfig{QueueLen: queue})
	}
}

var pipeCaps = (*bridge.Pipe)(nil).Caps()

func TestPipe(t *testing.T) {
	for _, queue := range []int{1, 8, 1000} {
		t.Run(fmt.Sprint("QueueLen=", queue), func(t *testing.T) {
			Run(t, func(*testing.T) (a, b bridge.FrameIO) { return newPipe(queue)() },
				Options{Caps: pipeCaps, OwedCarried: true, Settle: 5 * time.Millisecond})
		})
	}
}

// A driver's options may ask for less than it can do, and the zero Options, which
// offer plain frames only, fit every driver.
func TestPipeUnderLaxOptions(t *testing.T) {
	for name, opts := range map[string]Options{
		"zero":       {},
		"OneSided":   {Caps: pipeCaps, OneSided: true},
		"Unreliable": {Caps: pipeCaps, Unreliable: true},
		"FullDrops":  {Full: FullDrops, Fill: 100},
		"MinFrame":   {Caps: pipeCaps, MinFrame: 60, MaxFrame: 9018},
	} {
		opts.Settle = 2 * time.Millisecond
		t.Run(name, func(t *testing.T) {
			Run(t, func(*testing.T) (a, b bridge.FrameIO) { return newPipe(0)() }, opts)
		})
	}
}

// TestBrokenDrivers runs checks on drivers with one fault each, and wants each
// check named to find it, for the reason given.
func TestBrokenDrivers(t *testing.T) {
	for _, d := range faults {
		for name, because := range d.caught {
			t.Run(d.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				opts := d.opts
				opts.Settle = 3 * time.Millisecond
				if opts.Caps == (bridge.Caps{}) {
					opts.Caps = pipeCaps
				}
				waits := []time.Duration{20 * time.Second}
				if timedOut(because) { // and if that is not enough for all else, longer
					waits = []time.Duration{300 * time.Millisecond, 2 * time.Second, 20 * time.Second}
				}
				var found []string
				for _, opts.Wait = range waits {
					found = findings(checkNamed(t, name), opts, d.cable(t))
					if strings.Contains(strings.Join(found, "\n"), because) {
						return
					}
				}
				if len(found) == 0 {
					t.Fatalf("%s does not find it", name)
				}
				t.Errorf("%s finds something else than %q:\n%s", name, because, strings.Join(found, "\n"))
			})
		}
	}
}

// timedOut reports whether a finding is that something did not happen in time, so
// that it is no use to wait for long.
func timedOut(finding string) bool {
	return slices.ContainsFunc([]string{"come back", "arrive", "no room", "of 5"}, func(s string) bool {
		return strings.Contains(finding, s)
	})
}

// TestGoroutineLeak stands apart from the other faults because its goroutines end
// with the test only.
func TestGoroutineLeak(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	mk := func() (a, b bridge.FrameIO) {
		go func() { <-release }()
		return newPipe(0)()
	}
	found := findings(checkNamed(t, "Goroutines"), Options{Wait: 100 * time.Millisecond}, mk)
	if len(found) != 1 || !strings.Contains(found[0], "goroutines are left") {
		t.Errorf("four goroutines that outlive their cables: %q", found)
	}
}

// No check is one that nothing can fail.
func TestEachCheckFindsAFault(t *testing.T) {
	for _, c := range checks {
		catches := c.name == "Goroutines" // TestGoroutineLeak
		for _, d := range faults {
			_, ok := d.caught[c.name]
			catches = catches || ok
		}
		if !catches {
			t.Errorf("no broken driver is caught by %s", c.name)
		}
	}
}

func checkNamed(t *testing.T, name string) check {
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no check %q", name)
	}
	return checks[i]
}
