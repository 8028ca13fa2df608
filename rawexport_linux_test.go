package bridge

import "golang.org/x/sys/unix"

// SeeOutgoing has the kernel give a raw socket what the host sends, as kernels do
// that cannot leave it out.
func SeeOutgoing(r *RawSocket) error {
	for _, q := range r.dev.(*linuxRaw).qs {
		q.reading.ownToo = true
		err := q.onRecv(func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 0)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// RefuseSlot has the kernel answer EINVAL for the frame that would fill a slot, and
// let go of it, as it does when it has no words for what a frame owes; undo ends it.
func RefuseSlot(r *RawSocket, slot int) (undo func()) {
	iov := &r.dev.(*linuxRaw).qs[0].reading.iov[slot]
	was := *iov
	iov.SetLen(virtioLen - 1)
	return func() { *iov = was }
}
