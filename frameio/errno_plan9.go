package frameio

import (
	"errors"
	"os"
	"syscall"
)

// Plan 9 has no numbers for a full queue or a message too long.

func passes(err error) bool {
	return interrupted(err) || errors.Is(err, os.ErrDeadlineExceeded)
}

func interrupted(err error) bool { return errors.Is(err, syscall.EINTR) }

func tooLongForMedium(error) bool { return false }
