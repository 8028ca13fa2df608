package qemu

import (
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

const (
	// burst is how many frames one system call takes at most.
	burst = 64

	// short is the length up to which a frame is copied behind its prefix rather
	// than pointed at: the kernel takes a piece in pieces of memory, each of which
	// costs it as much as some hundred bytes.
	short = 256
)

// errLinkOver is what a direct answers when the connection takes no more.
var errLinkOver = errors.New("the connection is over")

// direct writes to a socket without waiting, many frames a system call. The function
// that is called with the descriptor is made once and takes its arguments from
// fields, since a closure made for each call would be an allocation for each.
type direct struct {
	raw  syscall.RawConn
	fn   func(fd uintptr)
	msg  unix.Msghdr
	iov  [2 * burst]unix.Iovec
	n    int   // pieces in iov
	size int   // bytes in them
	sent int   // what the system call took of them
	no   error // why it took none; nil if it took any

	scratch [burst * (prefixLen + short)]byte // prefixes, and what is copied
}

// newDirect gives nil for what is no stream socket of package net.
func newDirect(conn net.Conn) *direct {
	var sock syscall.Conn
	switch c := conn.(type) {
	case *net.TCPConn:
		sock = c
	case *net.UnixConn:
		sock = c
	default:
		return nil
	}
	raw, err := sock.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.fn = d.send
	return d
}

// write gives how many of fs were sent, and how many bytes of the one behind them if
// the socket has no more room. The error is the refusal of fs[n], or errLinkOver.
func (d *direct) write(fs []frame.Frame) (n, gone int, err error) {
	for n < len(fs) {
		k := d.gather(fs[n:])
		if k == 0 {
			return n, 0, refusal(&fs[n], MaxFrame)
		}
		err := d.raw.Control(d.fn)
		clear(d.iov[:d.n])
		if err == nil {
			err = d.no
		}
		switch err {
		case nil:
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
			return n, 0, nil
		default:
			return n, 0, errLinkOver
		}
		if d.sent == d.size {
			n += k
			continue
		}
		for left := d.sent; ; n++ {
			size := prefixLen + fs[n].WireLen()
			if left < size {
				return n, left, nil
			}
			left -= size
		}
	}
	return n, 0, nil
}

// gather makes pieces of the first of fs, up to one that is refused, and gives how
// many frames they are.
func (d *direct) gather(fs []frame.Frame) (k int) {
	d.n, d.size = 0, 0
	scratch := d.scratch[:0]
	for k < min(len(fs), burst) {
		f := &fs[k]
		if refusal(f, MaxFrame) != nil {
			break
		}
		size := f.WireLen()
		from := len(scratch)
		scratch = binary.BigEndian.AppendUint32(scratch, uint32(size))
		var rest []byte
		switch {
		case size <= short:
			scratch = f.AppendWire(scratch)
		case f.Plain():
			rest = f.Data
		default:
			scratch = append(scratch, f.Data[:12]...)
			if f.Tag.Present() {
				scratch = scratch[:len(scratch)+frame.TagLen]
				f.Tag.Put(scratch[len(scratch)-frame.TagLen:])
			}
			rest = f.Rest()
		}
		d.pieceOfScratch(scratch[from:], from)
		if rest != nil {
			d.piece(rest)
		}
		d.size += prefixLen + size
		k++
	}
	return k
}

// pieceOfScratch makes b, which begins at the byte from of scratch, a piece, or a
// part of the one in front of it.
func (d *direct) pieceOfScratch(b []byte, from int) {
	if from > 0 {
		last := &d.iov[d.n-1]
		if uintptr(unsafe.Pointer(last.Base))+uintptr(last.Len) == uintptr(unsafe.Pointer(&b[0])) {
			last.SetLen(int(last.Len) + len(b))
			return
		}
	}
	d.piece(b)
}

func (d *direct) piece(b []byte) {
	d.iov[d.n].Base = &b[0]
	d.iov[d.n].SetLen(len(b))
	d.n++
}

// send is sendmsg and not writev, which would raise SIGPIPE.
func (d *direct) send(fd uintptr) {
	d.msg.Iov = &d.iov[0]
	d.msg.SetIovlen(d.n)
	for {
		n, _, no := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&d.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch no {
		case 0:
			d.sent, d.no = int(n), nil
		case unix.EINTR:
			continue
		default:
			d.sent, d.no = 0, no
		}
		return
	}
}
