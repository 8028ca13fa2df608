package bridge

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolLink is a struct ethtool_cmd, 44 bytes, of which the speed, in two halves, and
// the duplex mode are of interest.
type ethtoolLink struct {
	cmd       uint32
	_         [2]uint32
	speed     uint16
	duplex    uint8
	_         [5]byte
	_         [2]uint32
	speedHigh uint16
	_         [2]byte
	_         [3]uint32
}

const _ = -uint(unsafe.Sizeof(ethtoolLink{}) ^ 44) // else this does not build

const (
	unknownSpeed = 1<<32 - 1 // SPEED_UNKNOWN
	fullDuplex   = 1         // DUPLEX_FULL
)

// linkSpeed asks a driver for the speed of its link, in Mb/s; 0: it does not say
// (ETHTOOL_GSET). fd is a control socket.
func (r *ifreq) linkSpeed(fd uintptr) (mbps int, full bool, no syscall.Errno) {
	v := &ethtoolLink{cmd: unix.ETHTOOL_GSET}
	e := struct {
		name  [unix.IFNAMSIZ]byte
		value *ethtoolLink
		_     [16]byte
	}{name: r.name, value: v}
	_, _, no = unix.Syscall(unix.SYS_IOCTL, fd, unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&e)))
	switch no {
	case 0:
	case unix.EOPNOTSUPP:
		return 0, false, 0
	default:
		return 0, false, no
	}
	speed := uint32(v.speedHigh)<<16 | uint32(v.speed)
	if speed == unknownSpeed || int32(speed) < 0 {
		speed = 0
	}
	return int(speed), v.duplex == fullDuplex, 0
}

func (t *linuxRaw) speed() (mbps int, full bool, err error) {
	err = t.on(func(fd uintptr) syscall.Errno {
		r, no := rawIfreq(fd)
		if no == 0 {
			mbps, full, no = r.linkSpeed(fd)
		}
		return no
	})
	if errors.Is(err, unix.ENODEV) {
		err = errRawGone
	}
	return mbps, full, err
}

func (t *linuxTAP) speed() (mbps int, full bool, err error) {
	r, err := t.flags()
	if err == nil {
		err = t.on(t.ctl, func(fd uintptr) (no syscall.Errno) {
			mbps, full, no = r.linkSpeed(fd)
			return no
		})
	}
	return mbps, full, err
}
