package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A pinger sends datagrams one at a time and notes how long each took to come back.
// It has a thread of its own and sockets that block: what is measured is to be the
// network, not the scheduler of Go.
type pinger struct {
	mu      sync.Mutex // guards what follows
	tripsNS []int64
	lost    int
}

// pingPatience is after how long a datagram counts as lost.
const pingPatience = 100 * time.Millisecond

func (p *pinger) mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tripsNS, p.lost = p.tripsNS[:0], 0
}

func (p *pinger) trips() trips {
	p.mu.Lock()
	ns := slices.Sorted(slices.Values(p.tripsNS))
	lost := p.lost
	p.mu.Unlock()
	return trips{N: len(ns), Lost: lost, P50: percentile(ns, .5), P99: percentile(ns, .99), P999: percentile(ns, .999)}
}

func (p *pinger) note(ns int64, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lost {
		p.lost++
		return
	}
	p.tripsNS = append(p.tripsNS, ns)
}

// run pings until ctx ends.
func (p *pinger) run(ctx context.Context, address string) error {
	to, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := udpSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: echoPort, Addr: to.As4()}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	out, in := make([]byte, pingLen), make([]byte, pingLen)
	for n := uint64(1); ctx.Err() == nil; n++ {
		binary.NativeEndian.PutUint64(out, n)
		began := monotonic()
		if _, err := unix.Write(fd, out); err != nil && err != unix.ENOBUFS && err != unix.EINTR {
			return fmt.Errorf("send: %w", err)
		}
		lost := false
		for { // an answer that is late is not this one's
			got, err := unix.Read(fd, in)
			if err == nil && got == pingLen && binary.NativeEndian.Uint64(in) == n {
				break
			}
			if err != nil && err != unix.EINTR || monotonic()-began > int64(pingPatience) {
				lost = true
				break
			}
		}
		p.note(monotonic()-began, lost)
	}
	return nil
}

// udpSocket gives one whose reads wait for pingPatience at most.
func udpSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	patience := unix.NsecToTimeval(int64(pingPatience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("SO_RCVTIMEO: %w", err)
	}
	return fd, nil
}

// startEcho answers datagrams, as long as the process lives.
func startEcho(port int) error {
	fd, err := udpSocket()
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("bind: %w", err)
	}
	go func() { // ends with the process
		runtime.LockOSThread()
		buf := make([]byte, 2048)
		for {
			if n, from, err := unix.Recvfrom(fd, buf, 0); err == nil {
				_ = unix.Sendto(fd, buf[:n], 0, from)
			}
		}
	}()
	return nil
}
