package bridge_test

import (
	"net"
	"sync"
	"testing"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/frameio/frameiotest"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// rawMerged is all queues of a raw socket as one cable: what any of them gives is
// read, one frame at a time, and they take turns to write.
type rawMerged struct {
	r       *bridge.RawSocket
	queues  []bridge.FrameIO
	given   chan frame.Frame
	release chan struct{} // to the queue whose frame is lent
	lent    bool          // the reader's
	turn    int           // the writer's
	closed  chan struct{}
	once    sync.Once
}

func newRawMerged(r *bridge.RawSocket) *rawMerged {
	m := &rawMerged{r: r, queues: append(r.Queues(), r),
		given: make(chan frame.Frame), release: make(chan struct{}), closed: make(chan struct{})}
	for _, q := range m.queues {
		go m.pump(q) // ends with Close
	}
	return m
}

func (m *rawMerged) pump(q bridge.FrameIO) {
	fs := make([]frame.Frame, 1)
	for {
		if _, err := q.ReadFrames(fs); err != nil {
			return
		}
		select {
		case m.given <- fs[0]:
		case <-m.closed:
			return
		}
		select {
		case <-m.release:
		case <-m.closed:
			return
		}
	}
}

func (m *rawMerged) ReadFrames(fs []frame.Frame) (int, error) {
	if m.lent {
		select {
		case m.release <- struct{}{}:
		case <-m.closed:
		}
		m.lent = false
	}
	select {
	case <-m.closed:
		return 0, net.ErrClosed
	default:
	}
	select {
	case fs[0] = <-m.given:
		m.lent = true
		return 1, nil
	case <-m.closed:
		return 0, net.ErrClosed
	}
}

func (m *rawMerged) WriteFrames(fs []frame.Frame) (int, error) {
	m.turn++
	return m.queues[m.turn%len(m.queues)].WriteFrames(fs)
}

func (m *rawMerged) Close() error {
	m.once.Do(func() { close(m.closed) })
	return m.r.Close()
}

// Two raw sockets at the ends of a veth pair keep the contract of a FrameIO, and so
// does one of several queues.
func TestRawIsAFrameIO(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t)
	ends := func(t *testing.T, queues int) (a, b *bridge.RawSocket) {
		ns := rawVeth(t)
		tapIP(t, ns, "link", "set", "v0", "mtu", "65535")
		tapIP(t, ns, "link", "set", "v1", "mtu", "65535")
		return rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: queues}), rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
	}
	a, _ := ends(t, 1)
	opts := frameiotest.Options{
		Caps: a.Caps(), Full: frameiotest.FullDrops,
		MinFrame: 20,         // a kernel loses what ends right behind a VLAN tag (skb_vlan_untag)
		MaxFrame: 65535 + 14, // of the MTU
	}
	t.Run("one queue", func(t *testing.T) {
		t.Parallel()
		frameiotest.Run(t, func(t *testing.T) (bridge.FrameIO, bridge.FrameIO) {
			a, b := ends(t, 1)
			return a, b
		}, opts)
	})
	t.Run("three queues", func(t *testing.T) {
		t.Parallel()
		opts := opts
		opts.OneSided = true // the other end is the same as before
		frameiotest.Run(t, func(t *testing.T) (bridge.FrameIO, bridge.FrameIO) {
			a, b := ends(t, 3)
			return newRawMerged(a), b
		}, opts)
	})
}
