package xdp

import (
	"errors"
	"fmt"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// errLinkDown is what an end answers while its interface is down.
var errLinkDown = errors.New("the interface is down")

// What a port answers for frames that it does not take, made once: a refusal must
// not allocate.
var (
	errForm = &bridge.FrameError{Reason: bridge.DropDriver, Err: errors.New("shorter than its header and tag")}
	errLong = &bridge.FrameError{Reason: bridge.DropTooLong, Err: errors.New("longer than a chunk of the group's memory")}
	errOwed = &bridge.FrameError{Reason: bridge.DropNoOffload, Err: errors.New("owes a checksum or a segmentation, of which an AF_XDP socket knows nothing")}
)

// refusal is why f is not sent by chunks of 1<<shift bytes, nil if it is.
func refusal(f *frame.Frame, shift uint) error {
	switch {
	case !f.WellFormed():
		return errForm
	case f.WireLen() > 1<<shift:
		return errLong
	case !f.Owed.None():
		return errOwed
	}
	return nil
}

// queue is an end as a FrameIO.
type queue struct {
	dev device
	end end

	// While the interface is down, made once: a refusal must not allocate.
	noRead, noWrite error
}

func newQueue(dev device, e end) *queue {
	name := dev.control().Name()
	down := fmt.Errorf("%w: its interface is down (ip link set %s up)", bridge.ENETDOWN, name)
	return &queue{dev: dev, end: e, noRead: portError("read", name, down), noWrite: portError("write to", name, down)}
}

func (q *queue) ReadFrames(fs []frame.Frame) (n int, err error) {
	n, err = q.end.read(fs)
	switch err {
	case nil:
		return n, nil
	case errLinkDown:
		return n, q.noRead
	}
	return n, portError("read", q.dev.control().Name(), err)
}

func (q *queue) WriteFrames(fs []frame.Frame) (n int, err error) {
	n, err = q.end.write(fs)
	switch err.(type) {
	case nil, *bridge.FrameError:
		return n, err
	}
	switch err {
	case bridge.ErrQueueFull:
		return n, err
	case errLinkDown:
		return n, q.noWrite
	}
	return n, portError("write to", q.dev.control().Name(), err)
}

func (q *queue) Close() error {
	return portError("close a queue of", q.dev.control().Name(), q.end.close())
}
