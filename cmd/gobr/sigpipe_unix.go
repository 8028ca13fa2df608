//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreBrokenPipe has a write to a pipe that nobody reads answer EPIPE. Without
// it the write would end the program on the spot, with TAPs left changed.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }
