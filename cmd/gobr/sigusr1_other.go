//go:build !unix

package main

import "os"

// notifyTables does nothing where there is no SIGUSR1.
func notifyTables(chan<- os.Signal) {}
