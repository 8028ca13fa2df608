//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyTables has a SIGUSR1 ask for the tables.
func notifyTables(asked chan<- os.Signal) { signal.Notify(asked, syscall.SIGUSR1) }
