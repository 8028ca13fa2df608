//go:build !plan9

package frameio

import (
	"errors"
	"os"
	"syscall"
)

// passes reports faults of the moment: a queue or buffer without room, a signal,
// a deadline.
func passes(err error) bool {
	return interrupted(err) || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOBUFS) ||
		errors.Is(err, os.ErrDeadlineExceeded)
}

// interrupted reports that nothing was done, and is to be tried again at once.
func interrupted(err error) bool { return errors.Is(err, syscall.EINTR) }

// tooLongForMedium reports that this frame, and maybe no other, does not fit.
func tooLongForMedium(err error) bool { return errors.Is(err, syscall.EMSGSIZE) }

// netDown reports an interface that is down, and may come up again.
func netDown(err error) bool { return errors.Is(err, syscall.ENETDOWN) }
