package snoop

import "errors"

// Errors of [Machine.Handle]: the frame is dropped.
var (
	// ErrHashFull: a new group would be one more than the table may hold
	// ([Machine.SetHashMax]). The bridge has stopped snooping.
	ErrHashFull = errors.New("snoop: the table of groups is full")

	// ErrTooManyGroups: the port is in as many groups as it may be.
	ErrTooManyGroups = errors.New("snoop: the port is in as many groups as it may")
)

// Errno is an error number with Linux's value.
type Errno uint16

// The numbers that requests are refused with.
const (
	ENOENT Errno = 2
	E2BIG  Errno = 7
	ENOMEM Errno = 12
	EEXIST Errno = 17
	EINVAL Errno = 22
	ENOSPC Errno = 28
	ERANGE Errno = 34
)

// Name is Linux's name of the number.
func (e Errno) Name() string {
	switch e {
	case ENOENT:
		return "ENOENT"
	case E2BIG:
		return "E2BIG"
	case ENOMEM:
		return "ENOMEM"
	case EEXIST:
		return "EEXIST"
	case EINVAL:
		return "EINVAL"
	case ENOSPC:
		return "ENOSPC"
	case ERANGE:
		return "ERANGE"
	}
	return "errno"
}

// Refusal is why a request or a setting was not taken. Nothing has changed then,
// unless the request says otherwise.
type Refusal struct {
	Errno  Errno
	Reason string
}

// Error gives "snoop: EINVAL: ...".
func (r *Refusal) Error() string { return "snoop: " + r.Errno.Name() + ": " + r.Reason }

func refusal(no Errno, reason string) error { return &Refusal{Errno: no, Reason: reason} }
