package live

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// What snooping does "at once" it mostly does by a timer that is due at once: it begins
// with queries, and lets go of a group whose last member has left. The kernel runs those
// with its next clock tick, so the comparison waits for it.

// ticks is how long that is waited: three ticks of a kernel that has the fewest (HZ=100)
// of those that the distributions build.
const ticks = 30 * time.Millisecond

// A pause lets the kernel's timers run.
type pause struct{ fds [2]int }

// openPause makes a socket to which nothing comes: a receive with a timeout is a timer
// of the kind, and on the processor, that the bridge's are, so that those which were due
// before have run when it ends.
func openPause() (*pause, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	p := &pause{fds}
	tv := unix.NsecToTimeval(int64(ticks))
	if err := unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pause) close() {
	unix.Close(p.fds[0])
	unix.Close(p.fds[1])
}

// take lets the ticks pass.
func (p *pause) take() error {
	for {
		switch _, err := unix.Read(p.fds[0], make([]byte, 1)); {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("a pause ends with %w", err)
		}
	}
}

// wait lets the timers run that are due, where there may be any.
func (l *lab) wait() error {
	if !l.snoops {
		return nil
	}
	return l.pause.take()
}

// turn picks processors one after the other.
var turn atomic.Uint32

// pinned runs fn on one processor, where the kernel then keeps what timers it starts.
func pinned(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	var one unix.CPUSet
	nth := int(turn.Add(1) % uint32(all.Count()))
	for cpu := range math.MaxInt16 {
		if !all.IsSet(cpu) {
			continue
		}
		if nth--; nth < 0 {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &all)
	return fn()
}

// unsettled reports a step that may leave timers which are due at once: of frames those
// that snooping reads.
func unsettled(t *replay.Step) bool {
	switch t.Op {
	case "inject":
		data, err := hex.DecodeString(t.Frame)
		return err == nil && mayBeSnooped(data)
	case "wait", "mdb-get", "dump-fdb", "dump-vlan", "dump-vlan-global", "dump-mst", "dump-mdb", "dump-port", "dump-bridge", "dump-stats":
		return false
	}
	return true
}

// mayBeSnooped reports a frame to a group that has IP in it, behind up to two tags.
func mayBeSnooped(data []byte) bool {
	if len(data) < frame.HeaderLen || data[0]&1 == 0 {
		return false
	}
	for b := data[12:]; len(b) >= 2 && len(b)+8 >= len(data)-12; b = b[min(4, len(b)):] {
		switch frame.EtherType(binary.BigEndian.Uint16(b)) {
		case frame.TypeIPv4, frame.TypeIPv6:
			return true
		}
	}
	return false
}
