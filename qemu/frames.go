package qemu

import (
	"errors"
	"fmt"
	"net"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// MaxFrame is the longest frame that QEMU takes on a socket, in bytes; it ends a
// connection that announces a longer one (NET_BUFSIZE).
const MaxFrame = 4096 + 65536

// maxUDPFrame is what is left of an IPv4 packet of 65535 bytes behind the headers.
const maxUDPFrame = 65535 - 20 - 8

// What a cable answers while it lives, made once: a refusal must not allocate.
var (
	errRunt       = &bridge.FrameError{Reason: bridge.DropRunt, Err: errors.New("shorter than an Ethernet header")}
	errTaggedRunt = &bridge.FrameError{Reason: bridge.DropTaggedRunt, Err: errors.New("shorter than its header and tag")}
	errOwes       = &bridge.FrameError{Reason: bridge.DropNoOffload, Err: errors.New("owes a checksum or a segmentation, and QEMU's sockets carry complete frames alone")}
	errTooLong    = &bridge.FrameError{Reason: bridge.DropTooLong, Err: errors.New("longer than the cable takes")}
)

var errClosed = fmt.Errorf("qemu: the cable is closed: %w", net.ErrClosed)

// refusal is why a cable whose longest frame has most bytes does not take f, nil if
// it does.
func refusal(f *frame.Frame, most int) error {
	switch {
	case len(f.Data) < frame.HeaderLen:
		return errRunt
	case !f.WellFormed():
		return errTaggedRunt
	case !f.Owed.None():
		return errOwes
	case f.WireLen() > most:
		return errTooLong
	}
	return nil
}
