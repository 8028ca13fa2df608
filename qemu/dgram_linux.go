package qemu

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// sockaddr is an address as the kernel takes it.
type sockaddr struct {
	raw unix.RawSockaddrUnix
	len uint32
}

// sockaddrOf is that of a name as package net writes it: one of the abstract namespace
// begins with @, and with a zero byte for the kernel.
func sockaddrOf(name string) (a sockaddr) {
	a.raw.Family = unix.AF_UNIX
	n := min(len(name), len(a.raw.Path))
	for i := range n {
		a.raw.Path[i] = int8(name[i])
	}
	a.len = uint32(unsafe.Offsetof(a.raw.Path)) + uint32(n)
	switch {
	case name[0] == '@':
		a.raw.Path[0] = 0
	case n < len(a.raw.Path):
		a.len++ // the zero byte behind it
	}
	return a
}

// fastDgram is a dgramIO that takes what is there with one system call a frame and
// nothing else in between. The functions that are called with a descriptor are made
// once and take their arguments from fields, since a closure made for each call would
// be an allocation for each.
type fastDgram struct {
	d       *Dgram
	reading struct { // the one reader's
		raw     syscall.RawConn
		fn      func(fd uintptr) bool
		slab    []byte
		fs      []frame.Frame
		n       int
		lent    int // bytes of slab that the caller was given
		errs    int // errors that were met
		from    unix.RawSockaddrAny
		fromLen uint32
	}
	writing struct { // the one writer's
		raw  syscall.RawConn
		fn   func(fd uintptr)
		fs   []frame.Frame
		n    int
		err  error
		peer *peer
		msg  unix.Msghdr
		iov  [3]unix.Iovec
		tag  [frame.TagLen]byte
	}
}

func newDgramIO(d *Dgram) (dgramIO, error) {
	io := &fastDgram{d: d}
	var err error
	if io.reading.raw, err = d.socks.in.SyscallConn(); err != nil {
		return nil, err
	}
	if io.writing.raw, err = d.socks.out.SyscallConn(); err != nil {
		return nil, err
	}
	io.reading.fn, io.writing.fn = io.drain, io.send
	io.reading.slab = make([]byte, dgramSlab)
	return io, nil
}

// lost is the count that the kernel keeps of datagrams that the queue of the socket
// had no room for (SK_MEMINFO_DROPS); 0 once it is closed.
func (io *fastDgram) lost() (n uint64) {
	_ = io.reading.raw.Control(func(fd uintptr) {
		var info [9]uint32 // SK_MEMINFO_VARS
		size := uint32(unsafe.Sizeof(info))
		_, _, no := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if no == 0 {
			n = uint64(info[8])
		}
	})
	return n
}

func (io *fastDgram) read(fs []frame.Frame) (int, error) {
	r := &io.reading
	spoilLent(r.slab[:r.lent])
	r.fs, r.n, r.lent, r.errs = fs, 0, 0, 0
	err := r.raw.Read(r.fn)
	r.fs = nil
	if err == nil && r.errs > 0 {
		err = errNothing
	}
	return r.n, err
}

// drain reads until there is nothing left, the caller's frames are set or the slab is
// full. It answers false, and so is called again when there is something, if there
// was nothing at all.
func (io *fastDgram) drain(fd uintptr) bool {
	r := &io.reading
	for range r.fs {
		at := (r.lent + 63) &^ 63 // Data begins on a cache line
		if len(r.slab)-at < MaxFrame {
			return true
		}
		n, no := io.receive(fd, r.slab[at:at+MaxFrame])
		switch {
		case no == unix.EAGAIN:
			return r.n > 0 || r.errs > 0
		case no == unix.EINTR:
		case no != 0: // such as ECONNREFUSED, for a frame that was sent
			io.d.unreachable.Add(1)
			r.errs++
		case n > MaxFrame:
			io.d.tooLong.Add(1)
		case io.ours() && !isHandshake(r.slab[at:at+n]):
			r.fs[r.n] = frame.Frame{Data: r.slab[at : at+n : at+n]}
			r.n++
			r.lent = at + n
		}
	}
	return true
}

// receive reads one datagram and gives its length, which may be more than there is
// room for.
func (io *fastDgram) receive(fd uintptr, b []byte) (int, syscall.Errno) {
	r := &io.reading
	var from, fromLen unsafe.Pointer
	if kind := io.d.socks.kind; kind == kindGroup || kind == kindLearned {
		r.fromLen = uint32(unsafe.Sizeof(r.from))
		from, fromLen = unsafe.Pointer(&r.from), unsafe.Pointer(&r.fromLen)
	}
	n, _, no := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(from), uintptr(fromLen))
	return int(n), no
}

// ours says whether the last datagram is from whom the cable listens to.
func (io *fastDgram) ours() bool {
	r := &io.reading
	switch io.d.socks.kind {
	case kindGroup:
		from := (*unix.RawSockaddrInet4)(unsafe.Pointer(&r.from))
		port := (*[2]byte)(unsafe.Pointer(&from.Port))
		own := io.d.socks.own
		return from.Addr != own.Addr().As4() || uint16(port[0])<<8|uint16(port[1]) != own.Port()
	case kindLearned:
		return io.d.known(io.name())
	}
	return true
}

// name is the last datagram's sender's, as package net writes it; empty if it has none.
func (io *fastDgram) name() []byte {
	r := &io.reading
	a := (*unix.RawSockaddrUnix)(unsafe.Pointer(&r.from))
	path := (*[len(a.Path)]byte)(unsafe.Pointer(&a.Path))
	n := min(int(r.fromLen)-int(unsafe.Offsetof(a.Path)), len(path))
	if n <= 0 {
		return nil
	}
	if path[0] == 0 {
		path[0] = '@'
		return path[:n]
	}
	for i := range n {
		if path[i] == 0 {
			return path[:i]
		}
	}
	return path[:n]
}

func (io *fastDgram) write(fs []frame.Frame) (int, error) {
	w := &io.writing
	w.fs, w.n, w.err, w.peer = fs, 0, nil, io.d.peer.Load()
	if w.peer == nil && io.d.socks.kind == kindLearned {
		return 0, errNoPeer
	}
	err := w.raw.Control(w.fn)
	w.fs, w.iov = nil, [3]unix.Iovec{}
	if err == nil {
		err = w.err
	}
	return w.n, err
}

// send sends until the caller's frames are sent or one is not taken.
func (io *fastDgram) send(fd uintptr) {
	w := &io.writing
	again := w.peer == nil
	for w.n < len(w.fs) {
		f := &w.fs[w.n]
		if w.err = refusal(f, io.d.most); w.err != nil {
			return
		}
		switch no := io.sendOne(fd, f); no {
		case 0:
			w.n++
			again = w.peer == nil
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
			w.err = bridge.ErrQueueFull
			return
		case unix.EMSGSIZE:
			w.err = errTooLong
			return
		default:
			if again { // UDP tells of a frame that did not arrive when the next is to be sent
				again = false
				io.d.unreachable.Add(1)
				continue
			}
			io.d.forget(w.peer)
			w.err = errNoPeer
			return
		}
	}
}

func (io *fastDgram) sendOne(fd uintptr, f *frame.Frame) syscall.Errno {
	w := &io.writing
	n := 0
	piece := func(b []byte) {
		w.iov[n].Base = &b[0]
		w.iov[n].SetLen(len(b))
		n++
	}
	if f.Plain() {
		piece(f.Data)
	} else {
		piece(f.Data[:12])
		if f.Tag.Present() {
			f.Tag.Put(w.tag[:])
			piece(w.tag[:])
		}
		piece(f.Rest()) // has two bytes at least, since f is well formed
	}
	w.msg.Iov = &w.iov[0]
	w.msg.SetIovlen(n)
	if w.peer != nil {
		w.msg.Name, w.msg.Namelen = (*byte)(unsafe.Pointer(&w.peer.to.raw)), w.peer.to.len
	}
	_, _, no := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&w.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return no
}
