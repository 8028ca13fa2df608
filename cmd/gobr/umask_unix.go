//go:build unix

package main

import "syscall"

// privateSockets has every socket that gobr makes be for its own user alone, from the
// moment when it is made: who may write to a socket may connect, and nobody asks more.
func privateSockets() { syscall.Umask(0o177) }
