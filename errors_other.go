//go:build !linux

package bridge

import "errors"

func isErrno(err error, e Errno) bool { return errors.Is(err, e) }

// Only Linux's numbers are Linux's errors.
func (e Errno) isSyscall(error) bool { return false }
