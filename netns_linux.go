package bridge

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// openNetns opens the network namespace behind path.
func openNetns(path string) (*os.File, error) {
	ns, err := os.Open(path)
	if err == nil {
		return ns, nil
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		hint := "make it (ip netns add NAME), or name another"
		if !errors.Is(no, os.ErrNotExist) {
			hint = "run as root, or name another"
		}
		return nil, &hintedErrno{no, "the network namespace " + path + " cannot be opened: " + hint}
	}
	return nil, err
}

// inNetns runs fn on a thread that is in the network namespace ns, and gives its
// error. What fn opens stays in that namespace.
func inNetns(ns *os.File, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- onNetnsThread(ns, fn) }() // ends when fn does
	return <-done
}

// onNetnsThread is inNetns in a goroutine of its own. That goroutine ends with
// its thread locked to it if the way back fails, which ends the thread too: no
// other goroutine ever runs in the wrong namespace.
func onNetnsThread(ns *os.File, fn func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := enterNetns(ns); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = fn()
	if enterNetns(home) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// enterNetns moves the thread into ns.
func enterNetns(ns *os.File) error {
	err := onDescriptor(ns, func(fd uintptr) syscall.Errno {
		_, _, errno := unix.Syscall(unix.SYS_SETNS, fd, unix.CLONE_NEWNET, 0)
		return errno
	})
	switch {
	case errors.Is(err, unix.EPERM):
		return &hintedErrno{unix.EPERM, "entering a network namespace needs CAP_SYS_ADMIN (run as root)"}
	case errors.Is(err, unix.EINVAL):
		return &hintedErrno{unix.EINVAL, ns.Name() + " is no network namespace: name one such as /run/netns/NAME or /proc/PID/ns/net"}
	}
	return err
}
