package bridge

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
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

// JudgeBurst is what the first queue of a TAP answers for frames that it wrote together,
// if done became of them.
func JudgeBurst(t *TAP, fs []frame.Frame, done ...syscall.Errno) (n int, err error) {
	q := t.dev.(*linuxTAP).queues[0]
	q.writing.fs, q.writing.n, q.writing.err = fs, 0, nil
	q.judge(done)
	return q.writing.n, q.writing.err
}

// BreakUring has the ring of a TAP's first queue fail from now on; the answer puts it
// right again, and Close needs it so.
func BreakUring(t *TAP) (repair func()) {
	b := &t.dev.(*linuxTAP).queues[0].burst
	fd := b.ring.fd
	b.ring.fd = -1
	return func() { b.ring.fd = fd }
}

// UringBroken says whether a TAP's first queue has given its ring up.
func UringBroken(t *TAP) bool { return !t.dev.(*linuxTAP).queues[0].burst.on.Load() }
