package main

import (
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// hasInterface says whether there is such an interface. If that cannot be known
// there is none.
func hasInterface(s ifSpec) bool {
	found := func() bool {
		_, err := net.InterfaceByName(s.name)
		return err == nil
	}
	if s.netns == "" {
		return found()
	}
	answer := make(chan bool, 1)
	go func() { // ends by itself; its thread too, if there is no way back
		runtime.LockOSThread()
		answer <- inNetns(s.netns, found)
	}()
	return <-answer
}

// inNetns asks on the caller's thread, in another network namespace, and releases
// the thread once it is back.
func inNetns(path string, found func() bool) bool {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return false
	}
	defer home.Close()
	ns, err := os.Open(path)
	if err != nil {
		runtime.UnlockOSThread()
		return false
	}
	defer ns.Close()
	ok := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET) == nil && found()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return ok
}
