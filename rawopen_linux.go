package bridge

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// linuxRaw is the interface under a raw socket.
type linuxRaw struct {
	qs     []*linuxRawQueue
	opened string // the name when opened
	raised bool   // it was down, and brought up
	hints  []string
	closed atomic.Bool
}

func openRaw(cfg RawConfig) (rawDevice, error) {
	t := &linuxRaw{opened: cfg.Name}
	open := func() error { return t.open(&cfg) }
	var err error
	if cfg.Netns == "" {
		err = open()
	} else {
		var ns *os.File
		if ns, err = openNetns(cfg.Netns); err != nil {
			return nil, err
		}
		defer ns.Close()
		err = inNetns(ns, open)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// open opens the interface in the thread's namespace. In its queues nothing is let
// in until all of them share the frames: before that each would get all.
func (t *linuxRaw) open(cfg *RawConfig) error {
	var bound *unix.SockaddrLinklayer
	for range cfg.Queues {
		q, err := openRawQueue(cfg)
		if err != nil {
			return err
		}
		t.qs = append(t.qs, q)
		if bound == nil {
			if bound, err = t.find(cfg.Name); err != nil {
				return err
			}
			if err := t.bringUp(cfg); err != nil {
				return err
			}
		}
		if err := q.bind(bound); err != nil {
			return err
		}
	}
	if len(t.qs) > 1 {
		if err := t.share(); err != nil {
			return err
		}
	}
	if !cfg.NoPromisc {
		// Of the socket that writes: the kernel undoes it when that is closed, and
		// keeps the one that reads as long as its ring is mapped.
		m := unix.PacketMreq{Ifindex: int32(bound.Ifindex), Type: unix.PACKET_MR_PROMISC}
		err := t.qs[0].onSend(func(fd int) error {
			return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m)
		})
		if err != nil {
			return fmt.Errorf("make it promiscuous: %w", err)
		}
	}
	for _, q := range t.qs {
		if err := q.letIn(); err != nil {
			return err
		}
	}
	t.hints = rawWarnings(cfg.Name, bound.Ifindex)
	return nil
}

// openRawQueue opens a queue's two sockets, bound to nothing yet.
func openRawQueue(cfg *RawConfig) (*linuxRawQueue, error) {
	recv, err := packetSocket(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	send, err := packetSocket(0)
	if err != nil {
		unix.Close(recv)
		return nil, err
	}
	q, err := newLinuxRawQueue(recv, send)
	if err != nil {
		return nil, err
	}
	if err := q.configure(cfg); err != nil {
		return nil, errors.Join(err, q.close())
	}
	return q, nil
}

// packetSocket opens a packet socket without a protocol: it gets no frame before
// it is bound.
func packetSocket(flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, 0)
	switch err {
	case nil:
		return fd, nil
	case unix.EPERM, unix.EACCES:
		return -1, &hintedErrno{unix.EPERM, "a packet socket needs CAP_NET_RAW (run as root)"}
	case unix.EAFNOSUPPORT:
		return -1, &hintedErrno{unix.EAFNOSUPPORT, "the kernel has no packet sockets (CONFIG_PACKET)"}
	}
	return -1, os.NewSyscallError("socket", err)
}

// noFrames is a filter that lets nothing in.
var noFrames = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}

// configure sets what has to be so before frames come.
func (q *linuxRawQueue) configure(cfg *RawConfig) error {
	if err := q.keepOut(); err != nil {
		return fmt.Errorf("keep frames out: %w", err)
	}
	err := q.onRecv(func(fd int) error {
		// Linux 4.20 has it. Before, and where a kernel does not do what it
		// says, the frames themselves tell.
		q.reading.ownToo = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) != nil
		if err := rawOptions(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.RcvBuf); err != nil {
			return err
		}
		return q.reading.ring.open(fd, cfg.RcvBuf) // the header has been chosen
	})
	if err != nil {
		return err
	}
	return q.onSend(func(fd int) error { return rawOptions(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SndBuf) })
}

// rawOptions sets what both sockets have: the header that says what a frame owes,
// and the size of the buffer, by force if that is allowed.
func rawOptions(fd, force, ask, size int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("carry checksums and segmentations: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, ask, size); err != nil {
		return fmt.Errorf("set the size of its buffer: %w", err)
	}
	return nil
}

// find looks for the interface, and sees that it is an Ethernet. What it gives is
// to be bound to.
func (t *linuxRaw) find(name string) (*unix.SockaddrLinklayer, error) {
	r := newIfreq(name)
	err := t.on(func(fd uintptr) syscall.Errno { return ioctlIfreq(fd, unix.SIOCGIFHWADDR, r) })
	hatype := *r.short()
	if err == nil {
		err = t.on(func(fd uintptr) syscall.Errno { return ioctlIfreq(fd, unix.SIOCGIFINDEX, r) })
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		return nil, &hintedErrno{unix.ENODEV, "there is no interface " + name + " in that namespace: make it, or name another (ip link)"}
	case err != nil:
		return nil, err
	case hatype != unix.ARPHRD_ETHER:
		return nil, &hintedErrno{unix.EINVAL, fmt.Sprintf("the interface is no Ethernet: its hardware type is %d (ip link)", hatype)}
	}
	all := uint16(unix.ETH_P_ALL)
	return &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: int(*r.long())}, nil
}

// bringUp brings the interface up if that is asked for and it is down.
func (t *linuxRaw) bringUp(cfg *RawConfig) error {
	if !cfg.Up {
		return nil
	}
	r := newIfreq(cfg.Name)
	err := t.on(func(fd uintptr) syscall.Errno {
		if no := ioctlIfreq(fd, unix.SIOCGIFFLAGS, r); no != 0 || *r.short()&unix.IFF_UP != 0 {
			return no
		}
		*r.short() |= unix.IFF_UP
		t.raised = true
		return ioctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	})
	if err == nil {
		return nil
	}
	t.raised = false
	return fmt.Errorf("bring it up: %w", err)
}

// bind has the reading socket get every frame of the interface, and the writing
// one send there.
func (q *linuxRawQueue) bind(a *unix.SockaddrLinklayer) error {
	err := q.onRecv(func(fd int) error { return unix.Bind(fd, a) })
	if err == nil {
		err = q.onSend(func(fd int) error { return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: a.Ifindex}) })
	}
	if err != nil {
		return os.NewSyscallError("bind", err)
	}
	return nil
}

// share has the kernel divide the frames among the queues, in a group that nobody
// else can have joined.
func (t *linuxRaw) share() error {
	const flags = unix.PACKET_FANOUT_FLAG_UNIQUEID
	group := unix.PACKET_FANOUT_HASH<<16 | (flags|unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING)<<16
	for i, q := range t.qs {
		join := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group) }
		err := q.onRecv(join)
		if i == 0 && err == unix.EINVAL {
			// Linux 5.8 has the flag. Before, the frames themselves tell.
			group &^= unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING << 16
			err = q.onRecv(join)
			for _, q := range t.qs {
				q.reading.ownToo = true
			}
		}
		if i == 0 && err == nil {
			err = q.onRecv(func(fd int) (err error) {
				group, err = unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
				return err
			})
		}
		if err != nil {
			return t.shareError(err)
		}
	}
	return nil
}

func (t *linuxRaw) shareError(err error) error {
	if up, _, e := t.link(); e == nil && !up && err == unix.EINVAL {
		return &hintedErrno{unix.ENETDOWN, "this kernel shares frames among queues only if the interface is up: set Up"}
	}
	return fmt.Errorf("share frames among %d queues: %w", len(t.qs), err)
}

// keepOut has a filter let nothing in.
func (q *linuxRawQueue) keepOut() error {
	filter := noFrames
	prog := unix.SockFprog{Len: 1, Filter: &filter}
	return q.onRecv(func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
	})
}

// letIn takes the filter away.
func (q *linuxRawQueue) letIn() error {
	err := q.onRecv(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) })
	if err != nil {
		return fmt.Errorf("let frames in: %w", err)
	}
	return nil
}

// onRecv and onSend run fn on a socket.
func (q *linuxRawQueue) onRecv(fn func(fd int) error) error { return onSocket(q.rawRecv, fn) }
func (q *linuxRawQueue) onSend(fn func(fd int) error) error { return onSocket(q.rawSend, fn) }

func onSocket(rc syscall.RawConn, fn func(fd int) error) (err error) {
	if e := rc.Control(func(fd uintptr) { err = fn(int(fd)) }); e != nil {
		return e
	}
	return err
}

// close takes the interface down if it was brought up here, and ends the queues.
func (t *linuxRaw) close() (err error) {
	if t.closed.Swap(true) {
		return nil
	}
	if t.raised {
		err = t.lower()
	}
	for _, q := range t.qs {
		err = errors.Join(err, q.close())
	}
	return err
}

// lower takes the interface down, unless it is down or gone.
func (t *linuxRaw) lower() error {
	err := t.on(func(fd uintptr) syscall.Errno {
		r, no := rawGet(fd, unix.SIOCGIFFLAGS)
		if no != 0 || *r.short()&unix.IFF_UP == 0 {
			return no
		}
		*r.short() &^= unix.IFF_UP
		return ioctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	})
	if err == nil || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("take it down again: %w", err)
}
