package bridge_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tidyCable has nothing to read, and takes its time to tidy up when it is closed.
type tidyCable struct {
	closing, tidy chan struct{}
	once          sync.Once
}

func (c *tidyCable) ReadFrames([]frame.Frame) (int, error) {
	<-c.closing
	return 0, net.ErrClosed
}

func (c *tidyCable) WriteFrames(fs []frame.Frame) (int, error) { return len(fs), nil }

func (c *tidyCable) Close() error {
	c.once.Do(func() {
		close(c.closing)
		time.Sleep(100 * time.Millisecond)
		close(c.tidy)
	})
	return nil
}

// When Serve returns, cables have been closed to the end: who leaves the program then
// leaves nothing behind, such as the file of a socket.
func TestServeWaitsForCables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := bridge.New(bridge.Config{})
		require.NoError(t, err)
		c := &tidyCable{closing: make(chan struct{}), tidy: make(chan struct{})}
		_, err = b.AddPort("p1", c, bridge.PortConfig{})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, b.Serve(ctx))
		select {
		case <-c.tidy:
		default:
			assert.Fail(t, "Serve has returned, and the cable is not closed")
		}
	})
}
