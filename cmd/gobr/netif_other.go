//go:build !linux

package main

import "net/netip"

// hasInterface says whether there is such an interface: none that could be opened.
func hasInterface(ifSpec) bool { return false }

// addressesOf gives none: there is no interface.
func addressesOf(ifSpec) (ip4, ip6 netip.Addr) { return ip4, ip6 }
