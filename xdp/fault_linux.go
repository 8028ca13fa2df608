package xdp

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
)

// A fault is an error number of Linux's with what to do about it. errors.Is matches
// the syscall.Errno, the bridge.Errno of the same name, and what the former matches:
// fs.ErrPermission and others.
type fault struct {
	no   syscall.Errno
	hint string
}

func (e *fault) Error() string {
	if e.hint == "" {
		return e.no.Error()
	}
	return e.no.Error() + ": " + e.hint
}

func (e *fault) Is(target error) bool {
	t, ok := target.(bridge.Errno)
	return ok && t.Is(e.no)
}

func (e *fault) Unwrap() error { return e.no }

var errGone = &fault{unix.ENODEV, "the interface was deleted or has left its network namespace: close its group and open another"}

// asErrno gives the number in an answer of package unix, EIO if there is none.
func asErrno(err error) syscall.Errno {
	if no, ok := err.(syscall.Errno); ok {
		return no
	}
	return unix.EIO
}
