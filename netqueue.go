package bridge

import (
	"errors"
	"fmt"

	"github.com/ddfb540f/bridge/frame"
)

// netEnd is one queue of a kernel's interface, as a system brings it. Its errors are
// given their context by a netQueue.
type netEnd interface {
	read(fs []frame.Frame) (int, error)
	write(fs []frame.Frame) (int, error)
	close() error
}

// errLinkDown is what a netEnd answers while its interface is down.
var errLinkDown = errors.New("the interface is down")

// netQueue is a netEnd as a FrameIO.
type netQueue struct {
	dev  interface{ name() string }
	end  netEnd
	wrap func(op, name string, err error) error // gives an error, unless nil, its context

	// While the interface is down, made once: a refusal must not allocate.
	noRead, noWrite error
}

func newNetQueue(dev interface{ name() string }, end netEnd, wrap func(op, name string, err error) error) *netQueue {
	name := dev.name()
	down := fmt.Errorf("%w: its interface is down (ip link set %s up)", ENETDOWN, name)
	return &netQueue{dev: dev, end: end, wrap: wrap, noRead: wrap("read", name, down), noWrite: wrap("write to", name, down)}
}

func (q *netQueue) ReadFrames(fs []frame.Frame) (n int, err error) {
	n, err = q.end.read(fs)
	switch err {
	case nil:
		return n, nil
	case errLinkDown:
		return n, q.noRead
	}
	return n, q.wrap("read", q.dev.name(), err)
}

func (q *netQueue) WriteFrames(fs []frame.Frame) (n int, err error) {
	n, err = q.end.write(fs)
	switch err.(type) {
	case nil, *FrameError, *BatchError:
		return n, err
	}
	switch err {
	case ErrQueueFull:
		return n, err
	case errLinkDown:
		return n, q.noWrite
	}
	return n, q.wrap("write to", q.dev.name(), err)
}

func (q *netQueue) Close() error { return q.wrap("close", q.dev.name(), q.end.close()) }
