package bridge

import "syscall"

// The numbers differ between architectures, the names do not.
var sysErrno = map[Errno]syscall.Errno{
	EPERM: syscall.EPERM, ENOENT: syscall.ENOENT, EIO: syscall.EIO, ENOMEM: syscall.ENOMEM,
	EBUSY: syscall.EBUSY, EEXIST: syscall.EEXIST, ENODEV: syscall.ENODEV, EINVAL: syscall.EINVAL,
	ERANGE: syscall.ERANGE, ELOOP: syscall.ELOOP, EXFULL: syscall.EXFULL, EMSGSIZE: syscall.EMSGSIZE,
	EPROTONOSUPPORT: syscall.EPROTONOSUPPORT, EOPNOTSUPP: syscall.EOPNOTSUPP,
	EADDRNOTAVAIL: syscall.EADDRNOTAVAIL, ENETDOWN: syscall.ENETDOWN, ENOTSUPP: syscall.Errno(ENOTSUPP),
}

func (e Errno) isSyscall(target error) bool {
	t, ok := target.(syscall.Errno)
	return ok && t == sysErrno[e]
}
