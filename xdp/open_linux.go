package xdp

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
)

// A groupOpener opens the sockets of a group. They have their memory from the first,
// and what that can do, the others have to.
type groupOpener struct {
	cfg   *Config
	ports []*linuxPort
	mem   *umem
	first *linuxQueue
	copy  bool // no zero-copy
}

func openGroup(cfg Config) ([]device, error) {
	o := &groupOpener{cfg: &cfg, copy: cfg.NoZeroCopy}
	err := o.openPorts()
	if err == nil {
		err = o.openSockets()
	}
	if err == nil {
		err = o.start()
	}
	if err != nil {
		for _, p := range o.ports {
			_ = p.close() // the error that matters is there
		}
		o.discard()
		return nil, err
	}
	devs := make([]device, len(o.ports))
	for i, p := range o.ports {
		devs[i] = p
	}
	return devs, nil
}

// openPorts opens all that has nothing to do with the shared memory.
func (o *groupOpener) openPorts() error {
	for _, pc := range o.cfg.Ports {
		p, err := openPort(pc)
		if err != nil {
			return portError("open", pc.Name, err)
		}
		o.ports = append(o.ports, p)
		if p.at != Native {
			o.copy = true
		}
	}
	return nil
}

// openSockets opens the sockets, all with zero-copy or all without: the kernel has the
// group's memory used one way only.
func (o *groupOpener) openSockets() error {
	p, err := o.trySockets()
	if err != nil && !o.copy {
		if o.first != nil && o.first.port.zeroCopy && o.first.port != p {
			o.say(fmt.Sprintf("no zero-copy: %s cannot, and all ports of a group do or none does: %v", p.cfg.Name, err))
		} else {
			o.say(fmt.Sprintf("no zero-copy: %v", err))
		}
		o.discard()
		o.copy = true
		p, err = o.trySockets()
	}
	if err != nil {
		return portError("open", p.cfg.Name, err)
	}
	return nil
}

// trySockets opens the sockets, or says at which port that failed.
func (o *groupOpener) trySockets() (*linuxPort, error) {
	mtu, queues := 0, 0
	for _, p := range o.ports {
		mtu = max(mtu, p.mtu)
		queues += p.channels
	}
	var err error
	shift := uint(bits.TrailingZeros(uint(o.cfg.chunkFor(mtu))))
	if o.mem, err = newUMEM(queues*(2*o.cfg.Ring+spares), shift, queues); err != nil {
		return o.ports[0], err
	}
	for _, p := range o.ports {
		p.mem = o.mem
		if err := p.inNetns(func() error { return o.socketsOf(p) }); err != nil {
			return p, err
		}
	}
	return nil, nil
}

// discard closes the sockets that there are, and gives back the memory.
func (o *groupOpener) discard() {
	for _, p := range o.ports {
		for _, q := range p.queues {
			_ = q.close() // nothing was sent
		}
		p.queues = nil
	}
	if o.mem != nil && o.mem.users.Load() > 0 {
		o.mem.release()
	}
	o.mem, o.first = nil, nil
}

// say adds to what the ports in native mode say about themselves.
func (o *groupOpener) say(why string) {
	for _, p := range o.ports {
		if p.at == Native {
			p.why = append(p.why, why)
		}
	}
}

// start has frames come in.
func (o *groupOpener) start() error {
	o.mem.seal()
	for _, p := range o.ports {
		if err := p.start(o.cfg.NoZeroCopy); err != nil {
			return portError("open", p.cfg.Name, err)
		}
	}
	return nil
}

// socketsOf opens the sockets of all queues of an interface.
func (o *groupOpener) socketsOf(p *linuxPort) error {
	for i := range p.channels {
		q := &linuxQueue{port: p, mem: o.mem, index: i}
		q.rings.users.Store(1) // close's
		var err error
		if q.recv, err = newSocket("receiving", unix.SOCK_NONBLOCK); err != nil {
			return err
		}
		if q.send, err = newSocket("sending", 0); err != nil {
			return errors.Join(err, q.recv.Close())
		}
		q.prepare(o.cfg.Ring)
		p.queues = append(p.queues, q)
		if err := o.bindQueue(q); err != nil {
			return err
		}
		q.rings.seal()
	}
	return nil
}

// newSocket opens an AF_XDP socket.
func newSocket(name string, flags int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, 0)
	switch err {
	case nil:
		return os.NewFile(uintptr(fd), name+" XDP socket"), nil
	case unix.EPERM, unix.EACCES:
		return nil, &fault{unix.EPERM, "an XDP socket needs CAP_NET_RAW (run as root)"}
	case unix.EAFNOSUPPORT:
		return nil, fmt.Errorf("%w: the kernel has no XDP sockets (CONFIG_XDP_SOCKETS)", errors.ErrUnsupported)
	}
	return nil, os.NewSyscallError("socket", err)
}

// bindQueue gives the two sockets of a queue their rings, and ties them to it.
func (o *groupOpener) bindQueue(q *linuxQueue) (err error) {
	if q.rawRecv, err = q.recv.SyscallConn(); err == nil {
		q.rawSend, err = q.send.SyscallConn()
	}
	if err == nil {
		// Only a descriptor that the runtime polls takes a deadline; without the
		// poller nothing would end a read that waits.
		err = q.recv.SetDeadline(time.Time{})
	}
	if err != nil {
		return err
	}
	recv, err := control(q.rawRecv, func(fd int) error { return o.setUpRecv(q, fd) })
	if err != nil {
		return err
	}
	if _, err = control(q.rawSend, func(fd int) error { return o.setUpSend(q, fd, recv) }); err != nil {
		return err
	}
	if o.first == nil {
		o.first = q
	}
	return nil
}

// control runs fn on a descriptor, which it gives too.
func control(rc syscall.RawConn, fn func(fd int) error) (got int, err error) {
	if e := rc.Control(func(fd uintptr) { got, err = int(fd), fn(int(fd)) }); e != nil {
		return -1, e
	}
	return got, err
}

// setUpRecv prepares the socket for reading, and with it the queue's fill and
// completion rings.
func (o *groupOpener) setUpRecv(q *linuxQueue, fd int) (err error) {
	r, n := &q.reading, o.cfg.Ring
	if o.first == nil {
		if err := registerUMEM(fd, o.mem); err != nil {
			return err
		}
	}
	for _, opt := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING} {
		if err := unix.SetsockoptInt(fd, unix.SOL_XDP, opt, n); err != nil {
			return fmt.Errorf("make a ring: %w", err)
		}
	}
	off, err := ringOffsets(fd)
	if err != nil {
		return err
	}
	if r.fill, err = mapRing[uint64](&q.rings, fd, off.Fr, unix.XDP_UMEM_PGOFF_FILL_RING, n); err != nil {
		return err
	}
	if q.writing.done, err = mapRing[uint64](&q.rings, fd, off.Cr, unix.XDP_UMEM_PGOFF_COMPLETION_RING, n); err != nil {
		return err
	}
	if r.rx, err = mapRing[unix.XDPDesc](&q.rings, fd, off.Rx, unix.XDP_PGOFF_RX_RING, n); err != nil {
		return err
	}
	at := &unix.SockaddrXDP{Ifindex: uint32(q.port.index), QueueID: uint32(q.index)}
	if o.first == nil {
		at.Flags = unix.XDP_USE_NEED_WAKEUP
		if o.copy {
			at.Flags |= unix.XDP_COPY
		}
		err = bindFree(fd, at)
	} else {
		at.Flags = unix.XDP_SHARED_UMEM
		_, err = control(o.first.rawRecv, func(first int) error {
			at.SharedUmemFD = uint32(first)
			return bindFree(fd, at)
		})
	}
	if err != nil {
		return bindFault(err, q)
	}
	q.port.zeroCopy = hasZeroCopy(fd)
	return nil
}

// bindFree binds a socket to a queue. If the queue is taken it tries for two seconds:
// the kernel frees it a while after the socket that it was bound to has been closed.
func bindFree(fd int, at *unix.SockaddrXDP) error {
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if err := unix.Bind(fd, at); err != unix.EBUSY || time.Now().After(end) {
			return err
		}
	}
}

// setUpSend prepares the socket for writing, which shares what the one for reading,
// recv, has been bound to.
func (o *groupOpener) setUpSend(q *linuxQueue, fd, recv int) error {
	// The kernel holds what is under way against this, several times its length.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, o.cfg.Ring*4*largeChunk) // without the right there is less room
	if err := unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_TX_RING, o.cfg.Ring); err != nil {
		return fmt.Errorf("make a ring: %w", err)
	}
	off, err := ringOffsets(fd)
	if err != nil {
		return err
	}
	if q.writing.tx, err = mapRing[unix.XDPDesc](&q.rings, fd, off.Tx, unix.XDP_PGOFF_TX_RING, o.cfg.Ring); err != nil {
		return err
	}
	err = unix.Bind(fd, &unix.SockaddrXDP{
		Flags: unix.XDP_SHARED_UMEM, Ifindex: uint32(q.port.index), QueueID: uint32(q.index), SharedUmemFD: uint32(recv),
	})
	if err != nil {
		return bindFault(err, q)
	}
	return nil
}

// registerUMEM tells the kernel of the memory, which it pins.
func registerUMEM(fd int, m *umem) error {
	reg := unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(m.bytes)))), Len: uint64(len(m.bytes)), Size: 1 << m.shift,
	}
	_, _, no := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	switch no {
	case 0:
		return nil
	case unix.ENOBUFS, unix.ENOMEM:
		return &fault{unix.ENOMEM, fmt.Sprintf("%d bytes cannot be locked in memory: raise RLIMIT_MEMLOCK (ulimit -l), run with CAP_IPC_LOCK, or set a smaller Ring", len(m.bytes))}
	}
	return os.NewSyscallError("register memory", no)
}

// ringOffsets asks where in its mappings the parts of a socket's rings lie.
func ringOffsets(fd int) (off unix.XDPMmapOffsets, err error) {
	if no := getsockopt(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&off), unsafe.Sizeof(off)); no != 0 {
		return off, os.NewSyscallError("ask for ring offsets", no)
	}
	return off, nil
}

// hasZeroCopy asks how a bound socket's memory is used.
func hasZeroCopy(fd int) bool {
	var options uint32
	no := getsockopt(fd, unix.XDP_OPTIONS, unsafe.Pointer(&options), unsafe.Sizeof(options))
	return no == 0 && options&unix.XDP_OPTIONS_ZEROCOPY != 0
}

func getsockopt(fd, opt int, to unsafe.Pointer, size uintptr) syscall.Errno {
	length := uint32(size)
	_, _, no := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt), uintptr(to), uintptr(unsafe.Pointer(&length)), 0)
	return no
}

// bindFault explains why a socket cannot be bound.
func bindFault(err error, q *linuxQueue) error {
	switch no := asErrno(err); no {
	case unix.EBUSY:
		return &fault{no, fmt.Sprintf("another XDP socket serves queue %d of the interface", q.index)}
	case unix.EPERM:
		return &fault{no, "binding an XDP socket needs CAP_NET_RAW (run as root)"}
	case unix.ENODEV:
		return errGone
	default:
		return &fault{no, fmt.Sprintf("bind an XDP socket to queue %d", q.index)}
	}
}

var _ device = (*linuxPort)(nil)
var _ end = (*linuxQueue)(nil)
var _ bridge.FrameIO = (*queue)(nil)
