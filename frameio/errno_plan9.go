package frameio

import (
	"errors"
	"os"
	"syscall"
)

// Plan 9 has no numbers for a full queue, a message too long, an interface that
// is down, or a datagram that did not arrive.

func passes(err error) bool {
	return interrupted(err) || errors.Is(err, os.ErrDeadlineExceeded)
}

func interrupted(err error) bool { return errors.Is(err, syscall.EINTR) }

func tooLongForMedium(error) bool { return false }

func netDown(error) bool { return false }

func notDelivered(error) bool { return false }
