//go:build !linux

package main

import "time"

var start = time.Now()

// threadTime is the time since the program started: what a thread has used is not known
// here.
func threadTime() time.Duration { return time.Since(start) }

// threadWaits is not known here.
func threadWaits() int { return 0 }
