package main

import (
	"fmt"
	"math/bits"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blastBatch is how many frames one system call sends.
const blastBatch = 64

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	unix.Msghdr
	len uint32
}

// blast sends f out of an interface until halt, rate times a second, or as often as it
// takes it. It goes around the queueing discipline: on a TAP a full ring has the sender
// wait, on a veth it is the other end that drops.
func (s *station) blast(ifindex int, f []byte, rate int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := packetSocket(ifindex)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	iov := unix.Iovec{Base: &f[0]}
	iov.SetLen(len(f))
	msgs := make([]mmsghdr, blastBatch)
	for i := range msgs {
		msgs[i].Iov = &iov
		msgs[i].SetIovlen(1)
	}
	pace := newPace(rate)
	for s.ctx.Err() == nil {
		n := pace.wait()
		sent, _, no := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(n), 0, 0, 0)
		switch no {
		case 0:
			s.sent.Add(uint64(sent))
			pace.sent += int64(sent)
		case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
			_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		default:
			return fmt.Errorf("sendmmsg: %w", no)
		}
	}
	return nil
}

// packetSocket gives one that sends only.
func packetSocket(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex})
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	return fd, nil
}

// A pace says when to send how much. It sleeps rather than spins: on few processors a
// generator that spins measures itself.
type pace struct {
	rate  int64
	began int64
	sent  int64
}

// paceSleep is how long it sleeps at a time.
const paceSleep = 200 * time.Microsecond

func newPace(rate int) *pace {
	if rate > 0 {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // of this thread, in ns
	}
	return &pace{rate: int64(rate), began: monotonic()}
}

// wait returns once frames are due, and says how many: up to a batch.
func (p *pace) wait() int {
	if p.rate == 0 {
		return blastBatch
	}
	for {
		due := p.due(monotonic()) - p.sent
		if due > 0 {
			if due > 16*blastBatch { // too late: do not make up for it by a flood
				p.sent += due - blastBatch
			}
			return int(min(due, blastBatch))
		}
		t := unix.NsecToTimespec(int64(paceSleep))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil)
	}
}

// due is how many frames are to be sent by now, since the beginning.
func (p *pace) due(now int64) int64 {
	hi, lo := bits.Mul64(uint64(now-p.began), uint64(p.rate))
	q, _ := bits.Div64(hi, lo, 1e9)
	return int64(q)
}
