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
