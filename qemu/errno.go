//go:build !plan9

package qemu

import (
	"errors"
	"syscall"
)

// inUse reports an address that is taken.
func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// nobodyThere reports a path that no socket is at, or one that nobody holds.
func nobodyThere(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// noMemory reports a system that has no memory for what is sent, for now.
func noMemory(err error) bool {
	return errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// noRoom reports a queue that is full, of the system's or of the peer.
func noRoom(err error) bool { return errors.Is(err, syscall.EAGAIN) || noMemory(err) }

// tooLong reports a datagram that is longer than the socket takes.
func tooLong(err error) bool { return errors.Is(err, syscall.EMSGSIZE) }
