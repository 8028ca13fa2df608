package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// NS is a network namespace. All methods may be called by any goroutine.
type NS struct{ file *os.File }

// New makes a network namespace, its loopback interface down, in which no interface
// sends IPv6 of its own accord unless ipv6 is true. It needs CAP_SYS_ADMIN.
func New(ipv6 bool) (*NS, error) {
	var ns NS
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace (as root): %w", err)
		}
		if !ipv6 {
			err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		ns.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ns, nil
}

// Open gives the namespace behind a path such as /run/netns/blue.
func Open(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &NS{f}, nil
}

// Close lets go of the namespace. What still runs in it, or holds a socket of it,
// keeps it.
func (ns *NS) Close() error { return ns.file.Close() }

// Path names the namespace for other programs while this one lives, and for Open
// calls of this one.
func (ns *NS) Path() string {
	self, err := os.Readlink("/proc/self") // not os.Getpid where /proc is that of another PID namespace
	if err != nil {
		self = strconv.Itoa(os.Getpid())
	}
	return fmt.Sprintf("/proc/%s/fd/%d", self, ns.file.Fd())
}

// Do runs fn in the namespace, on a thread of its own. Sockets and programs that fn
// opens and starts stay there; goroutines that it starts do not.
func (ns *NS) Do(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

// Start starts a program in the namespace.
func (ns *NS) Start(cmd *exec.Cmd) error { return ns.Do(cmd.Start) }

// Run runs a program in the namespace to its end, for a minute at most, and
// gives what it printed. The error has that too.
func (ns *NS) Run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out []byte
	err := ns.Do(func() (err error) {
		out, err = exec.CommandContext(ctx, name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// onThread runs fn on a thread that may leave its namespace, and brings the thread
// back or ends it.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() { // ends when fn does
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

// Missing says what a machine lacks for privileged tests and measurements: root,
// /dev/net/tun or one of the programs; "" if nothing.
func Missing(programs ...string) string {
	if os.Geteuid() != 0 {
		return "needs root"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return "needs /dev/net/tun"
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return "needs the program " + p
		}
	}
	return ""
}
