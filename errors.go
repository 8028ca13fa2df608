package bridge

import (
	"errors"
	"strconv"
	"strings"
)

// Errno is the error number that Linux gives for the same request. It has
// Linux's names and values on every system, so a caller can match
//
//	errors.Is(err, bridge.EBUSY)
//
// anywhere; on Linux errors.Is also matches the syscall.Errno of that name.
type Errno uint16

// The numbers that Linux's bridge answers with; not each is answered here yet.
const (
	EPERM           Errno = 1
	ENOENT          Errno = 2
	EIO             Errno = 5
	E2BIG           Errno = 7
	ENOMEM          Errno = 12
	EBUSY           Errno = 16
	EEXIST          Errno = 17
	ENODEV          Errno = 19
	EINVAL          Errno = 22
	ENOSPC          Errno = 28
	ERANGE          Errno = 34
	ELOOP           Errno = 40
	EXFULL          Errno = 54
	EMSGSIZE        Errno = 90
	EPROTONOSUPPORT Errno = 93
	EOPNOTSUPP      Errno = 95
	EADDRNOTAVAIL   Errno = 99
	ENETDOWN        Errno = 100
	ENOTSUPP        Errno = 524
)

var errnoText = map[Errno][2]string{
	EPERM:           {"EPERM", "operation not permitted"},
	ENOENT:          {"ENOENT", "no such entry"},
	EIO:             {"EIO", "input/output error"},
	E2BIG:           {"E2BIG", "argument list too long"},
	ENOMEM:          {"ENOMEM", "out of memory"},
	EBUSY:           {"EBUSY", "device or resource busy"},
	EEXIST:          {"EEXIST", "already exists"},
	ENODEV:          {"ENODEV", "no such device"},
	EINVAL:          {"EINVAL", "invalid argument"},
	ENOSPC:          {"ENOSPC", "no space left on device"},
	ERANGE:          {"ERANGE", "numerical result out of range"},
	ELOOP:           {"ELOOP", "too many levels"},
	EXFULL:          {"EXFULL", "exchange full"},
	EMSGSIZE:        {"EMSGSIZE", "message too long"},
	EPROTONOSUPPORT: {"EPROTONOSUPPORT", "protocol not supported"},
	EOPNOTSUPP:      {"EOPNOTSUPP", "operation not supported"},
	EADDRNOTAVAIL:   {"EADDRNOTAVAIL", "cannot assign requested address"},
	ENETDOWN:        {"ENETDOWN", "network is down"},
	ENOTSUPP:        {"ENOTSUPP", "operation not supported"},
}

// Name is Linux's name of the number, "EINVAL".
func (e Errno) Name() string { return errnoText[e][0] }

// Error gives the number in words, "invalid argument".
func (e Errno) Error() string {
	if t := errnoText[e][1]; t != "" {
		return t
	}
	return "errno " + strconv.Itoa(int(e))
}

// Is makes errors.Is(e, errors.ErrUnsupported) true for the two numbers that say
// so, and on Linux matches the syscall.Errno of the same name.
func (e Errno) Is(target error) bool {
	if target == errors.ErrUnsupported {
		return e == EOPNOTSUPP || e == ENOTSUPP
	}
	return e.isSyscall(target)
}

// OpError is what every configuration call of the package returns when it
// refuses. The refused call has changed nothing.
type OpError struct {
	Op     string // what was asked for, "add port"
	Dev    string // the port it was asked of, or the bridge's own name
	Errno  Errno  // what Linux answers to the same request
	Reason string // what is wrong, and where known what to do; may be empty
}

// Error gives "bridge: add port tap0: device or resource busy: ...".
func (e *OpError) Error() string {
	var s strings.Builder
	s.WriteString("bridge: " + e.Op)
	if e.Dev != "" {
		s.WriteString(" " + e.Dev)
	}
	s.WriteString(": " + e.Errno.Error())
	if e.Reason != "" {
		s.WriteString(": " + e.Reason)
	}
	return s.String()
}

// Unwrap gives the Errno.
func (e *OpError) Unwrap() error { return e.Errno }

func refuse(op, dev string, no Errno, reason string) error {
	return &OpError{Op: op, Dev: dev, Errno: no, Reason: reason}
}

// Errors that are no answer of Linux's.
var (
	// ErrQueueFull is WriteFrames's answer when the peer's queue has no room.
	ErrQueueFull = errors.New("bridge: queue full")

	// ErrInBatch is returned by a call that would wait for a batch to end when it
	// is made from inside that batch: by a Trace, a Filter, an OnPass or a FrameIO.
	ErrInBatch = errors.New("bridge: call from inside a batch would wait for itself")
)

// FrameError is WriteFrames's answer when it refuses one frame and would take
// those behind it.
type FrameError struct {
	Reason DropReason // what the frame is counted under; 0 is DropDriver
	Err    error      // why, for people
}

// Error gives the cause.
func (e *FrameError) Error() string {
	if e.Err != nil {
		return "bridge: frame refused: " + e.Err.Error()
	}
	return "bridge: frame refused: " + e.Reason.String()
}

// Unwrap gives Err.
func (e *FrameError) Unwrap() error { return e.Err }

// reason is what the frame is counted under.
func (e *FrameError) reason() DropReason {
	if e.Reason == NotDropped || e.Reason >= numDropReasons {
		return DropDriver
	}
	return e.Reason
}

// BatchError is WriteFrames's answer when it refuses a frame and has sent others behind
// that already, as a cable does that hands many frames over at once. It matches no
// FrameError, since going on right behind the first refused frame would send some twice.
type BatchError struct {
	// Frames has the verdicts on fs[n] and the frames behind it, one at least: nil for
	// one that was sent, else why not. Nothing was done yet with what is behind them.
	Frames []*FrameError
}

// tells says whether there are verdicts, and no more than there are frames left.
func (e *BatchError) tells(left int) bool { return 0 < len(e.Frames) && len(e.Frames) <= left }

// Error gives the first cause.
func (e *BatchError) Error() string {
	for _, f := range e.Frames {
		if f != nil {
			return f.Error() + " (others behind it were sent)"
		}
	}
	return "bridge: no frame refused"
}
