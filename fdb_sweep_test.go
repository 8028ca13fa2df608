package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A dump lists every entry that is there throughout exactly once, while others come
// and go and the table is split and joined around it.
func TestFDBDumpWhileChanging(t *testing.T) {
	l := newLabN(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0))}, 2)
	l.log.forget = true
	const stay, flux = 2000, 6000
	for i := range stay {
		require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(1), MAC: mac(i), State: bridge.NUDNoARP}))
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when the dumps are done
		defer close(done)
		for {
			for i := range flux {
				_ = l.p(2).Receive(ether(linkLocal(14), mac(stay+i)))
			}
			_ = l.p(2).Set(bridge.PortAttrs{FDBFlush: true})
			select {
			case <-over:
				return
			default:
			}
		}
	}()
	for range 20 {
		seen := map[frame.MAC]int{}
		for e := range l.b.FDB().All() {
			seen[e.MAC]++
		}
		for i := range stay {
			if seen[mac(i)] != 1 {
				assert.Equal(t, 1, seen[mac(i)], "entry %d", i)
			}
		}
	}
	close(over)
	<-done
}
