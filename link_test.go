package bridge_test

import (
	"fmt"
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

// downIO is a cable whose interface can be down: reading says so again and again,
// and waits without a word once it is up.
type downIO struct {
	*recorder
	mu   sync.Mutex // guards down
	down chan struct{}
}

func (d *downIO) set(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if down {
		close(d.down)
	} else {
		d.down = make(chan struct{})
	}
}

func (d *downIO) ReadFrames([]frame.Frame) (int, error) {
	d.mu.Lock()
	down := d.down
	d.mu.Unlock()
	select {
	case <-d.closed:
		return 0, net.ErrClosed
	case <-down:
		return 0, fmt.Errorf("read: %w", bridge.ENETDOWN)
	}
}

// A port follows its interfaces: down, it is disabled and forgets what it learned,
// with however many queues; up again, it forwards, though no frame has come yet.
func TestPortFollowsItsInterface(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{}, 2)
		var mu sync.Mutex // guards told
		var told []string
		l.b.Watch(func(e bridge.Event) {
			if e.Kind == bridge.EventCableDown || e.Kind == bridge.EventCableUp || e.Kind == bridge.EventPortState {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, e.String())
			}
		})
		tellsNext := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, want, told)
			told = nil
		}
		cables := make([]*downIO, 2)
		for i := range cables {
			cables[i] = &downIO{recorder: newRecorder(fmt.Sprint("c", i), new(tape)), down: make(chan struct{})}
		}
		p, err := l.b.AddPort("nic", cables[0], bridge.PortConfig{Queues: []bridge.FrameIO{cables[1]}})
		require.NoError(t, err)
		tellsNext("port state nic blocking", "port state nic forwarding")
		require.NoError(t, p.Receive(ether(frame.Broadcast, mac(9))))
		isLearned := func() bool {
			_, ok := l.b.FDB().Lookup(mac(9), 0)
			return ok
		}
		assert.True(t, isLearned())

		cables[0].set(true)
		tellsNext("cable down nic: read: network is down", "port state nic disabled")
		assert.False(t, p.Info().Carrier)
		assert.False(t, isLearned())
		cables[1].set(true)
		time.Sleep(time.Second)
		cables[0].set(false)
		time.Sleep(time.Second)
		tellsNext()
		cables[1].set(false)
		time.Sleep(250 * time.Millisecond)
		tellsNext("cable up nic", "port state nic blocking", "port state nic forwarding")
		assert.True(t, p.Info().Carrier)

		// What the user says of the link counts besides.
		require.NoError(t, p.SetLink(true, false))
		tellsNext("port state nic disabled")
		cables[0].set(true)
		time.Sleep(time.Second)
		cables[0].set(false)
		time.Sleep(time.Second)
		tellsNext("cable down nic: read: network is down", "cable up nic")
		require.NoError(t, p.SetLink(true, true))
		tellsNext("port state nic blocking", "port state nic forwarding")

		cables[0].set(true)
		synctest.Wait()
		require.NoError(t, l.b.RemovePort(p))
		l.end()
	})
}

// A cable that is down keeps nobody from ending another one whose driver is stuck.
func TestStuckCableBesideOneThatIsDown(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{AgeingTime: new(300 * time.Millisecond)}, 2)
		down := &downIO{recorder: newRecorder("down", new(tape)), down: make(chan struct{})}
		down.set(true)
		_, err := l.b.AddPort("down", down, bridge.PortConfig{})
		require.NoError(t, err)
		stuck := &badIO{recorder: newRecorder("stuck", new(tape))}
		stuck.write = func([]frame.Frame) (int, error) {
			<-stuck.closed
			return 0, net.ErrClosed
		}
		p, err := l.b.AddPort("stuck", stuck, bridge.PortConfig{})
		require.NoError(t, err)
		l.send("p1", ether(frame.Broadcast, mac(1)))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		assert.Error(t, p.Info().Failed)
		assert.Equal(t, []string{"p2"}, l.send("p1", ether(frame.Broadcast, mac(1)))[:1])
		l.end()
	})
}

// The frames by which an interface tells that it is up again are not lost.
func TestFirstFramesAfterDown(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{}, 2)
		cable := &badIO{recorder: newRecorder("nic", new(tape))}
		reads := 0
		cable.read = func(fs []frame.Frame) (int, error) {
			switch reads++; reads {
			case 1:
				return 0, bridge.ENETDOWN
			case 2:
				fs[0] = ether(frame.Broadcast, mac(9))
				return 1, nil
			}
			<-cable.closed
			return 0, net.ErrClosed
		}
		p, err := l.b.AddPort("nic", cable, bridge.PortConfig{})
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.EqualValues(t, 1, p.Stats().Ingress.Used)
		l.end()
	})
}
