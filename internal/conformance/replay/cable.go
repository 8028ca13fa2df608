package replay

import (
	"fmt"
	"net"
	"sync"

	"github.com/ddfb540f/bridge/frame"
)

// cable is a FrameIO that keeps what the bridge writes to it. Frames reach the
// bridge through Receive and Xmit, never through ReadFrames.
type cable struct {
	plain bool // no frame may come with its tag beside the data

	out   [][]byte // wire forms since take
	total uint64   // all frames taken since the cable was made
	fault string   // the first breach of the FrameIO contract by the bridge

	once sync.Once
	done chan struct{}
}

func newCable(plain bool) *cable { return &cable{plain: plain, done: make(chan struct{})} }

// ReadFrames waits for Close.
func (c *cable) ReadFrames([]frame.Frame) (int, error) {
	<-c.done
	return 0, net.ErrClosed
}

// WriteFrames takes all of fs.
func (c *cable) WriteFrames(fs []frame.Frame) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	for i := range fs {
		f := &fs[i]
		switch {
		case !f.WellFormed():
			c.breach(fmt.Sprintf("a frame that is not well formed was written: %d bytes, lifted %v", len(f.Data), f.Lifted))
			continue
		case c.plain && !f.Plain():
			c.breach("a frame with its tag beside the data was written to a cable that does not take one")
		case !f.Owed.None():
			c.breach("a frame that owes a checksum or a segmentation was written")
		}
		c.out = append(c.out, f.AppendWire(nil))
		c.total++
	}
	return len(fs), nil
}

func (c *cable) breach(text string) {
	if c.fault == "" {
		c.fault = text
	}
}

// take gives the frames written since the last take.
func (c *cable) take() [][]byte {
	out := c.out
	c.out = nil
	return out
}

// Close ends the cable.
func (c *cable) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}
