package main

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hasInterface says whether there is such an interface. If that cannot be known
// there is none.
func hasInterface(s ifSpec) bool {
	found := func() bool {
		_, err := net.InterfaceByName(s.name)
		return err == nil
	}
	return s.where(found)
}

// where asks in the network namespace of the interface.
func (s ifSpec) where(found func() bool) bool {
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

// addressesOf gives the first IPv4 address of an interface, and its first IPv6 address of
// link-local scope that is in use; the zero Addr where there is none.
func addressesOf(s ifSpec) (ip4, ip6 netip.Addr) {
	s.where(func() bool {
		i, err := net.InterfaceByName(s.name)
		if err != nil {
			return false
		}
		all, _ := i.Addrs()
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !ip4.IsValid() {
				ip4 = p.Addr()
			}
		}
		table, _ := os.ReadFile("/proc/thread-self/net/if_inet6") // none without IPv6
		ip6 = parseLinkLocal(string(table), s.name)
		return true
	})
	return ip4, ip6
}

// parseLinkLocal finds it in the kernel's table: address, number, length, scope and flags
// in hexadecimal, name. An address that may be somebody else's yet, or is, is not in use.
func parseLinkLocal(table, name string) (ip netip.Addr) {
	const notUsed = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) != 6 || words[5] != name {
			continue
		}
		b, err := hex.DecodeString(words[0])
		flags, ferr := strconv.ParseUint(words[4], 16, 32)
		if a, ok := netip.AddrFromSlice(b); err == nil && ferr == nil && ok && a.Is6() && a.IsLinkLocalUnicast() && flags&notUsed == 0 {
			return a
		}
	}
	return ip
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
