package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setOffload has an interface of this namespace leave checksums and segmentation to
// what is behind it, or do both itself (ethtool -K tx tso gso).
func setOffload(name string, on bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	orders := []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO}
	if !on {
		orders = []uint32{unix.ETHTOOL_SGSO, unix.ETHTOOL_STSO, unix.ETHTOOL_STXCSUM}
	}
	for _, order := range orders {
		value := struct{ cmd, data uint32 }{cmd: order} // struct ethtool_value
		if on {
			value.data = 1
		}
		var r struct { // struct ifreq
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(r.name[:unix.IFNAMSIZ-1], name)
		r.data = unsafe.Pointer(&value)
		if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); no != 0 && no != unix.EOPNOTSUPP {
			return fmt.Errorf("ethtool order 0x%x for %s: %w", order, name, no)
		}
	}
	return nil
}
