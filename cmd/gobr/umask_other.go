//go:build !unix

package main

// privateSockets has nothing to do where there is no umask.
func privateSockets() {}
