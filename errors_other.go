//go:build !linux

package bridge

// Only Linux's numbers are Linux's errors.
func (e Errno) isSyscall(error) bool { return false }
