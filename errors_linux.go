package bridge

import (
	"errors"
	"syscall"
)

// The numbers differ between architectures, the names do not.
var sysErrno = map[Errno]syscall.Errno{
	EPERM: syscall.EPERM, ENOENT: syscall.ENOENT, EIO: syscall.EIO, E2BIG: syscall.E2BIG, ENOSPC: syscall.ENOSPC, ENOMEM: syscall.ENOMEM,
	EBUSY: syscall.EBUSY, EEXIST: syscall.EEXIST, ENODEV: syscall.ENODEV, EINVAL: syscall.EINVAL,
	ERANGE: syscall.ERANGE, ELOOP: syscall.ELOOP, EXFULL: syscall.EXFULL, EMSGSIZE: syscall.EMSGSIZE,
	EPROTONOSUPPORT: syscall.EPROTONOSUPPORT, EOPNOTSUPP: syscall.EOPNOTSUPP,
	EADDRNOTAVAIL: syscall.EADDRNOTAVAIL, ENETDOWN: syscall.ENETDOWN, ENOTSUPP: syscall.Errno(ENOTSUPP),
}

// isErrno matches err with e or with the system's number of that name, which a
// driver may pass on as it got it.
func isErrno(err error, e Errno) bool { return errors.Is(err, e) || errors.Is(err, sysErrno[e]) }

func (e Errno) isSyscall(target error) bool {
	t, ok := target.(syscall.Errno)
	return ok && t == sysErrno[e]
}
