package bridge

import (
	"errors"
	"fmt"

	"github.com/ddfb540f/bridge/frame"
)

// tapDevice is what a system has to bring. Its errors are given their context
// here.
type tapDevice interface {
	ends() []netEnd // the queues, one at least
	carries() tapCarrying
	uring() error
	close() error // of all queues
	name() string
	address() (frame.MAC, error)
	setAddress(frame.MAC) error
	mtu() (int, error)
	setMTU(int) error
	setUp(bool) error
	link() (up, carrier bool, err error)
	speed() (mbps int, full bool, err error)
	lost() uint64
}

// tapCarrying is what frames may owe on their way through a TAP, in both directions.
type tapCarrying struct {
	offload bool // checksums, and the segmentation of TCP
	uso     bool // of UDP too
}

// What a TAP answers while it lives, made once: a refusal must not allocate.
var (
	errTAPForm    = &FrameError{Reason: DropDriver, Err: errors.New("shorter than its header and tag")}
	errTAPOffload = &FrameError{Reason: DropNoOffload, Err: errors.New("owes a checksum or a segmentation, and this TAP carries complete frames alone")}
	errTAPOwed    = &FrameError{Reason: DropNoOffload, Err: fmt.Errorf("%w: the kernel cannot do what the frame owes", EINVAL)}
	errTAPLong    = &FrameError{Reason: DropTooLong, Err: errors.New("longer than a TAP takes")}
	errTAPKernel  = &FrameError{Reason: DropDriver, Err: EINVAL}
)

var errTAPNoUring = errors.New("TAPConfig.NoUring is set")

// tapRefusal is why a TAP does not take f, nil if it does.
func tapRefusal(f *frame.Frame, offload bool) error {
	switch {
	case !f.WellFormed():
		return errTAPForm
	case !offload && f.Owes():
		return errTAPOffload
	case f.WireLen() > MaxTAPFrame:
		return errTAPLong
	}
	return nil
}

// ReadFrames waits until the kernel sends a frame on the interface and takes what
// there is, one system call a frame, as many as fs has room for and 256 KB hold:
// 3 of the longest, more than 100 of 1514 bytes. Tags are in the Data. Unless the
// TAP is without offloads, a frame may owe its checksum and, then longer than the
// MTU, its segmentation. The debt is as whoever sent the frame stated it, which may
// be anything: the kernel checks no more of it than it needs itself, and
// Frame.CheckOwed tells whether it can be paid. Frames that nobody reads in time the
// kernel drops (see Lost).
//
// Linux does not tell a reader that the interface is down, so ReadFrames waits
// until a write has met it. Then it answers an error matching ENETDOWN, at once and
// in every call until the interface is up; frames that are still in the queue come
// after that. It never waits itself meanwhile: pause between calls. The error matches
// net.ErrClosed after Close, and ENODEV once the interface is deleted.
func (t *TAP) ReadFrames(fs []frame.Frame) (n int, err error) { return t.queues[0].ReadFrames(fs) }

// WriteFrames gives fs to the kernel, which handles each frame before the next: when it
// returns, they have been received, forwarded or dropped there. Four and more frames of
// up to 2048 bytes that follow one another go with one system call where there is
// io_uring (see Uring), else each frame has its own. A frame is answered with a
// *FrameError if it is longer than MaxTAPFrame or shorter than its header and tag, if it
// owes something and the TAP is without offloads, or if the kernel cannot do what it
// owes. ErrQueueFull is a kernel without memory. Where frames went together, and some behind a refused one were sent,
// it is a *BatchError. The error matches ENETDOWN while the interface is down (the kernel
// counts an rx_dropped for each frame that was tried), net.ErrClosed after Close, and
// ENODEV once the interface is deleted. The MTU is not looked at: a kernel takes
// longer frames from a TAP than it sends.
func (t *TAP) WriteFrames(fs []frame.Frame) (n int, err error) { return t.queues[0].WriteFrames(fs) }

// Uring tells whether WriteFrames of every queue writes many frames with one system call,
// by io_uring: nil if that could be set up when the TAP was opened, else why not. It needs Linux 6.4; many containers, and the sysctl
// kernel.io_uring_disabled, forbid it (EPERM).
func (t *TAP) Uring() error { return tapError("use io_uring for", t.dev.name(), t.dev.uring()) }

// Close ends all queues; the interface vanishes unless it is persistent, and one
// that was there before is as it was found (see TAP; where that cannot be done the
// error says what is left, but an interface that is deleted, or has left the
// namespace, is not missed). A ReadFrames that waits answers at once. A second
// Close does nothing.
func (t *TAP) Close() error { return tapError("close", t.dev.name(), t.dev.close()) }

// Queues gives the queues beside the first, which is the TAP itself, for
// PortConfig.Queues: nil unless TAPConfig.Queues is more than 1.
// Each is a FrameIO like the TAP, with 300 KB of memory of its own. All are to be
// read: the kernel chooses a queue whether anybody reads it or not. Closing one takes
// it out of the choice; closing the TAP closes all.
//
// The kernel chooses a queue for a frame that it sends by the flow: addresses,
// protocol and ports, the same for both directions (tun_automq_select_queue). A flow
// stays in one queue, at first by a hash and then where WriteFrames last wrote a frame
// of the flow, until 3 seconds have passed without one. So each queue keeps the order
// of its flows, and two TAPs with as many queues each keep a flow of one in the same
// queue of the other. When a flow changes its queue, because it is answered on another,
// frames of it that are in the old queue may come behind those in the new one.
func (t *TAP) Queues() []FrameIO {
	var more []FrameIO
	for _, q := range t.queues[1:] {
		more = append(more, q)
	}
	return more
}

// Caps is what a TAP takes, for PortConfig.Caps: tags held aside, frames up to
// MaxTAPFrame bytes and, unless it is without offloads, frames that owe a checksum or
// a segmentation (that of UDP since Linux 6.2), which it would rather have in one
// piece than in small ones.
func (t *TAP) Caps() Caps {
	c := t.dev.carries()
	return Caps{
		TagAside: true, MaxFrame: MaxTAPFrame, XmitProbe: "tun_net_xmit",
		Checksum: c.offload, TSO: c.offload, USO: c.uso, Coalesce: c.offload,
	}
}

// Lost is how many frames the kernel has dropped since OpenTAP instead of keeping them
// for ReadFrames, of any queue, for PortConfig.Lost: most often because a queue was
// full (the interface's tx_dropped, which counts what others make it drop as well,
// such as a filter on the interface). Of an interface that is deleted, has left the
// namespace in which it was opened, or was closed, it is what was known last.
func (t *TAP) Lost() uint64 { return t.dev.lost() }

// Link tells whether the interface is up (IFF_UP), and whether it also has a carrier.
func (t *TAP) Link() (up, carrier bool, err error) {
	up, carrier, err = t.dev.link()
	return up, carrier, tapError("read the link of", t.dev.name(), err)
}

// Speed is that of the link, in Mb/s, as the driver of the interface says (ethtool);
// 0 if it does not. full: it runs full duplex. It is for PortConfig.Speed.
func (t *TAP) Speed() (mbps int, full bool, err error) {
	mbps, full, err = t.dev.speed()
	return mbps, full, tapError("read the speed of", t.dev.name(), err)
}
