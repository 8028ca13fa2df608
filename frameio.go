package bridge

import "github.com/ddfb540f/bridge/frame"

// A FrameIO is one end of an Ethernet cable. ReadFrames is called by one
// goroutine at a time and so is WriteFrames, but the two run side by side. Close
// may come at any time, from anyone, more than once; both then fail with an
// error matching net.ErrClosed.
//
// Faults that pass (EINTR, EAGAIN, ENOBUFS) are absorbed by the FrameIO. An
// interface that is down ends nothing: ReadFrames answers an error matching ENETDOWN,
// each time and at once while it is down, and the port has no carrier until frames
// come or ReadFrames waits for some (for a tenth of a second, to be told from a
// ReadFrames that is slow).
// Package frameio/frameiotest holds the suite that every FrameIO has to pass.
type FrameIO interface {
	// ReadFrames waits for at least one frame, sets fs[:n] and returns n. It sets
	// Data to memory of the driver's own, which stays valid and unchanged until
	// the next ReadFrames begins, Close or not: memory mapped from the kernel is
	// released by the ReadFrames that answers net.ErrClosed (a reader always makes
	// that last call), else when the FrameIO is unreachable.
	ReadFrames(fs []frame.Frame) (n int, err error)

	// WriteFrames sends fs in order; n is how many it consumed. It keeps and
	// changes nothing, waits for no slow peer, and never calls into a Bridge.
	// ErrQueueFull: fs[n:] were not taken. *FrameError: fs[n] was refused (too
	// long, bad offload); the bridge counts it and goes on behind it. *BatchError:
	// fs[n] was refused or some behind it, and others were sent; the bridge counts
	// each as it says and goes on behind them. An error matching ENETDOWN: the
	// interface is down, fs[n:] are lost. Any other error ends the port.
	WriteFrames(fs []frame.Frame) (n int, err error)

	Close() error
}

// Caps is what a cable can take, said once when its port is added. The zero Caps
// is the promise of a FrameIO of ten lines: it gets complete frames whose Data
// is the wire form, of any length that the port's MTU allows.
type Caps struct {
	// TagAside: Tag and Lifted are understood. Without it the bridge puts the
	// wire form together in scratch memory first.
	TagAside bool

	// Checksum, TSO and USO: frames that owe a checksum, and besides the
	// segmentation of TCP or of UDP, are taken as they are. TSO and USO need
	// Checksum. What is not taken the bridge finishes first.
	Checksum, TSO, USO bool

	// Coalesce: TCP segments that come in small and follow one another are joined
	// into one frame that owes its segmentation. It needs TSO and TagAside.
	Coalesce bool

	// MaxFrame is the longest wire form taken, in bytes; 0 is no limit but the
	// port's MTU. A longer frame is refused with DropTooLong.
	MaxFrame int

	// XmitProbe is the name under which traces show a frame handed to the cable;
	// "" is "dev_queue_xmit".
	XmitProbe string
}
