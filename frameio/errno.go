//go:build !plan9

package frameio

import (
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
)

// passes reports faults of the moment: a queue or buffer without room, a signal,
// a deadline.
func passes(err error) bool {
	return interrupted(err) || isAny(err, noRoom) || errors.Is(err, os.ErrDeadlineExceeded)
}

// interrupted reports that nothing was done, and is to be tried again at once.
func interrupted(err error) bool { return errors.Is(err, syscall.EINTR) }

// tooLongForMedium reports that this frame, and maybe no other, does not fit.
func tooLongForMedium(err error) bool { return isAny(err, tooLong) }

// netDown reports an interface that is down, and may come up again.
func netDown(err error) bool { return isAny(err, down) }

// notDelivered reports that a datagram, maybe an earlier one, did not arrive. Such
// news comes from the network (RFC 1122 4.1.3.3: ICMP errors are passed to the
// user of UDP), so that whoever is out there may cause it, and none of it says
// that the next datagram will not arrive. On a stream the same numbers are final.
func notDelivered(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return isAny(err, unreached)
	}
	switch op.Net {
	case "tcp", "tcp4", "tcp6", "unix", "unixpacket":
		return false
	}
	return isAny(err, unreached) || isAny(err, hearsay)
}

func isAny(err error, of []error) bool {
	return slices.ContainsFunc(of, func(e error) bool { return errors.Is(err, e) })
}
