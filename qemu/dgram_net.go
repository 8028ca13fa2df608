package qemu

import (
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// netDgram is a dgramIO of what package net has, a frame a call.
type netDgram struct {
	d       *Dgram
	sender  *sender
	buf     []byte // a byte longer than the longest frame
	lent    int    // bytes of buf that the caller was given
	scratch []byte // the wire form of a frame that is not plain
}

func newNetDgram(d *Dgram) (dgramIO, error) {
	s, err := newSender(d.socks.out)
	return &netDgram{d: d, sender: s, buf: make([]byte, MaxFrame+1)}, err
}

func (io *netDgram) lost() uint64 { return 0 }

func (io *netDgram) read(fs []frame.Frame) (int, error) {
	spoilLent(io.buf[:io.lent])
	io.lent = 0
	n, ours, err := io.readOne()
	switch {
	case err != nil:
		if !errors.Is(err, net.ErrClosed) {
			io.d.unreachable.Add(1)
		}
		return 0, err
	case !ours || isHandshake(io.buf[:n]):
		return 0, nil
	case n > MaxFrame:
		io.d.tooLong.Add(1)
		return 0, nil
	}
	fs[0] = frame.Frame{Data: io.buf[:n:n]}
	io.lent = n
	return 1, nil
}

// readOne says whether the datagram is from whom the cable listens to.
func (io *netDgram) readOne() (n int, ours bool, err error) {
	switch in := io.d.socks.in.(type) {
	case *net.UDPConn:
		var from netip.AddrPort
		n, from, err = in.ReadFromUDPAddrPort(io.buf)
		if err != nil || io.d.socks.kind != kindGroup {
			return n, true, err
		}
		return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != io.d.socks.own, nil
	case *net.UnixConn:
		var from *net.UnixAddr
		n, from, err = in.ReadFromUnix(io.buf)
		if err != nil || io.d.socks.kind != kindLearned {
			return n, true, err
		}
		var name string
		if from != nil {
			name = from.Name
		}
		return n, io.d.known([]byte(name)), nil
	}
	return 0, false, net.ErrClosed
}

func (io *netDgram) write(fs []frame.Frame) (int, error) {
	p := io.d.peer.Load()
	if p == nil && io.d.socks.kind == kindLearned {
		return 0, errNoPeer
	}
	for i := range fs {
		f := &fs[i]
		if err := refusal(f, io.d.most); err != nil {
			return i, err
		}
		wire := f.Data
		if !f.Plain() {
			io.scratch = f.AppendWire(slices.Grow(io.scratch[:0], f.WireLen()))
			wire = io.scratch
		}
		switch err := io.send(wire, p); err {
		case nil:
		case errNoPeer:
			io.d.forget(p)
			return i, err
		default:
			return i, err
		}
	}
	return len(fs), nil
}

// send tries twice, since UDP tells of a frame that did not arrive when the next is to
// be sent.
func (io *netDgram) send(wire []byte, p *peer) error {
	err := io.sender.send(wire, p)
	if err == errNoPeer && p == nil {
		io.d.unreachable.Add(1)
		err = io.sender.send(wire, p)
	}
	return err
}

// judge is what a system's answer to a datagram means.
func judge(err error) error {
	switch {
	case err == nil:
		return nil
	case noRoom(err):
		return bridge.ErrQueueFull
	case tooLong(err):
		return errTooLong
	}
	return errNoPeer
}
