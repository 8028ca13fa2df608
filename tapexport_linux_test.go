package bridge

import (
	"os"

	"golang.org/x/sys/unix"
)

// DetachTAP takes a TAP's first queue out of the kernel's choice.
func DetachTAP(t *TAP) error {
	var r ifreq
	*r.short() = unix.IFF_DETACH_QUEUE
	return t.dev.(*linuxTAP).onFile(unix.TUNSETQUEUE, &r)
}

// SameInterface is what OpenTAP says of descriptors of which each was to be another
// queue of one interface.
func SameInterface(files ...*os.File) error {
	var a tapAttached
	for _, f := range files {
		a.fds = append(a.fds, int(f.Fd()))
	}
	return a.sameInterface()
}
