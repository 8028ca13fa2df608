package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// A serveLab is a bridge that serves, inside a bubble, with a Pipe to each port.
type serveLab struct {
	t      *testing.T
	b      *bridge.Bridge
	cables map[string]*bridge.Pipe // the ends that the test holds
	served chan error
	cancel context.CancelFunc
}

func newServeLab(t *testing.T, c bridge.Config, ports int) *serveLab {
	b, err := bridge.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	l := &serveLab{t: t, b: b, cables: map[string]*bridge.Pipe{}, served: make(chan error, 1), cancel: cancel}
	for i := range ports {
		l.add(portName(i + 1))
	}
	go func() { l.served <- b.Serve(ctx) }() // ends with the bridge
	synctest.Wait()
	return l
}

func (l *serveLab) add(name string) *bridge.Port {
	l.t.Helper()
	ours, theirs := bridge.NewPipe(bridge.PipeConfig{})
	p, err := l.b.AddPort(name, ours, bridge.PortConfig{Caps: ours.Caps()})
	require.NoError(l.t, err)
	l.cables[name] = theirs
	return p
}

// send sends a frame into a port, and gives where it came out.
func (l *serveLab) send(name string, f frame.Frame) []string {
	l.t.Helper()
	require.NoError(l.t, l.cables[name].WriteContext(l.t.Context(), f))
	synctest.Wait()
	got := []string{}
	fs := make([]frame.Frame, 4)
	for i := range 16 {
		n := portName(i)
		if c := l.cables[n]; c != nil {
			for range c.TryRead(fs) {
				got = append(got, n)
			}
		}
	}
	return got
}

// drain forgets what came out so far.
func (l *serveLab) drain() {
	fs := make([]frame.Frame, 64)
	for _, c := range l.cables {
		for c.TryRead(fs) > 0 {
		}
	}
}

func (l *serveLab) end() {
	l.t.Helper()
	require.NoError(l.t, l.b.Close())
	synctest.Wait()
	select {
	case err := <-l.served:
		assert.NoError(l.t, err)
	default:
		l.t.Fatal("Serve did not end")
	}
	for _, c := range l.cables {
		_ = c.Close()
	}
}

func bubble(t *testing.T, name string, fn func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

// Serve ends with its context and with Close, and then nothing of it is left: the
// bubble would not end else.
func TestServeEnds(t *testing.T) {
	for name, end := range map[string]func(l *serveLab){
		"context": func(l *serveLab) { l.cancel() },
		"Close":   func(l *serveLab) { assert.NoError(l.t, l.b.Close()) },
		"Close from a handler": func(l *serveLab) {
			l.b.Watch(func(bridge.Event) { _ = l.b.Close() })
			l.send("p1", ether(frame.Broadcast, mac(1)))
		},
		"many at once": func(l *serveLab) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { assert.NoError(l.t, l.b.Close()) })
			}
			l.cancel()
			wg.Wait()
		},
	} {
		bubble(t, name, func(t *testing.T) {
			l := newServeLab(t, bridge.Config{}, 3)
			assert.Equal(t, []string{"p2", "p3"}, l.send("p1", ether(frame.Broadcast, mac(1))))
			assertRefused(t, l.b.Serve(t.Context()), bridge.EBUSY, "br0")
			end(l)
			synctest.Wait()
			assert.NoError(t, <-l.served)
			assert.ErrorIs(t, l.b.Set(bridge.BridgeAttrs{}), net.ErrClosed)
			for name, c := range l.cables {
				_, err := c.ReadFrames(make([]frame.Frame, 1))
				assert.ErrorIs(t, err, io.EOF, "%s: its other end is closed", name)
				assert.NoError(t, c.Close())
			}
			l.cancel()
		})
	}
	bubble(t, "a context that is over", func(t *testing.T) {
		b, err := bridge.New(bridge.Config{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.NoError(t, b.Serve(ctx))
		assert.ErrorIs(t, b.Serve(t.Context()), net.ErrClosed)
	})
}

// Ports join and leave while Serve runs.
func TestServePorts(t *testing.T) {
	bubble(t, "ports", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{}, 1)
		p2 := l.add("p2")
		assert.Equal(t, []string{"p1"}, l.send("p2", ether(frame.Broadcast, mac(2))), "a reader was started")
		require.NoError(t, l.b.RemovePort(p2))
		synctest.Wait()
		assert.ErrorIs(t, l.cables["p2"].WriteContext(t.Context(), ether(frame.Broadcast, mac(2))), net.ErrClosed)
		assert.NoError(t, p2.Info().Failed, "leaving is no failure")
		l.add("p2")
		assert.Equal(t, []string{"p1"}, l.send("p2", ether(frame.Broadcast, mac(2))))
		assert.Equal(t, []string{"p2"}, l.send("p1", ether(mac(2), mac(1))))
		balanced(t, l.b)
		l.end()
	})
	bubble(t, "a handler removes the port that joins", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{}, 1)
		l.b.Watch(func(e bridge.Event) {
			if e.Kind == bridge.EventPortAdd && e.Port == "p2" {
				assert.NoError(t, l.b.RemovePort(l.b.Port("p2")))
			}
		})
		p := l.add("p2")
		synctest.Wait()
		assert.False(t, p.Info().Attached)
		assert.NoError(t, p.Info().Failed)
		l.end()
	})
	bubble(t, "queues", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{}, 2)
		a1, a2 := bridge.NewPipe(bridge.PipeConfig{})
		b1, b2 := bridge.NewPipe(bridge.PipeConfig{})
		p, err := l.b.AddPort("q", a1, bridge.PortConfig{Queues: []bridge.FrameIO{b1}})
		require.NoError(t, err)
		for i, c := range []*bridge.Pipe{a2, b2} {
			require.NoError(t, c.WriteContext(t.Context(), ether(frame.Broadcast, mac(9))))
			synctest.Wait()
			assert.Equal(t, 1, l.cables["p1"].TryRead(make([]frame.Frame, 4)), "queue %d has a reader", i)
		}
		require.NoError(t, l.b.RemovePort(p))
		for _, c := range []*bridge.Pipe{a2, b2} {
			_, err := c.ReadFrames(make([]frame.Frame, 4))
			for err == nil {
				_, err = c.ReadFrames(make([]frame.Frame, 4))
			}
			assert.ErrorIs(t, err, io.EOF, "every queue is closed")
			_ = c.Close()
		}
		l.end()
	})
}

// The host's end, attached before and while Serve runs.
func TestServeHost(t *testing.T) {
	for _, before := range []bool{true, false} {
		bubble(t, fmt.Sprintf("before=%v", before), func(t *testing.T) {
			b, err := bridge.New(bridge.Config{})
			require.NoError(t, err)
			ours, theirs := bridge.NewPipe(bridge.PipeConfig{})
			if before {
				require.NoError(t, b.AttachHost(ours, bridge.HostConfig{Caps: ours.Caps()}))
			}
			l := &serveLab{t: t, b: b, cables: map[string]*bridge.Pipe{"p0": theirs}, served: make(chan error, 1)}
			l.add("p1")
			go func() { l.served <- b.Serve(t.Context()) }() // ends with the bridge
			synctest.Wait()
			if !before {
				require.NoError(t, b.AttachHost(ours, bridge.HostConfig{Caps: ours.Caps()}))
			}
			assert.Equal(t, []string{"p0"}, l.send("p1", ether(frame.Broadcast, mac(1))))
			assert.Equal(t, []string{"p1"}, l.send("p0", ether(mac(1), mac(77))), "what the host sends is read")
			assert.EqualValues(t, 1, b.Stats().TxPackets)
			var failed []string
			b.Watch(func(e bridge.Event) { failed = append(failed, e.String()) })
			require.NoError(t, theirs.Close())
			synctest.Wait()
			require.Len(t, failed, 1)
			assert.Contains(t, failed[0], "port failed: ")
			ours, theirs = bridge.NewPipe(bridge.PipeConfig{})
			require.NoError(t, b.AttachHost(ours, bridge.HostConfig{}))
			l.cables["p0"] = theirs
			assert.Equal(t, []string{"p1"}, l.send("p0", ether(mac(1), mac(77))), "another can be attached")
			balanced(t, b)
			l.end()
		})
	}
}

// Serve runs the timers: ageing, and the forward delay.
func TestServeTimers(t *testing.T) {
	bubble(t, "timers", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{AgeingTime: new(10 * time.Second)}, 2)
		l.send("p1", ether(frame.Broadcast, mac(1)))
		known := func() bool { _, ok := l.b.FDB().Lookup(mac(1), 0); return ok }
		time.Sleep(9 * time.Second)
		assert.True(t, known())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.False(t, known(), "collected")
		l.send("p1", ether(frame.Broadcast, mac(1)))
		require.NoError(t, l.b.Set(bridge.BridgeAttrs{AgeingTime: new(time.Second)}))
		time.Sleep(1050 * time.Millisecond)
		synctest.Wait()
		assert.False(t, known(), "a shorter ageing time wakes the timer")
		p := l.b.Port("p1")
		time.Sleep(5 * time.Second) // the forward delay timer of its joining is over
		require.NoError(t, p.Set(bridge.PortAttrs{State: new(bridge.StateListening)}))
		time.Sleep(40 * time.Second)
		synctest.Wait()
		assert.Equal(t, bridge.StateListening, p.Info().State, "no timer takes it on")
		l.end()
	})
}

// A port that was set to LISTENING while its forward delay timer runs goes on from
// there by the timer.
func TestServeForwardDelay(t *testing.T) {
	bubble(t, "forward delay", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{}, 1)
		p := l.b.Port("p1")
		require.NoError(t, p.Set(bridge.PortAttrs{State: new(bridge.StateListening)}))
		state := func(after time.Duration) bridge.PortState {
			time.Sleep(after)
			synctest.Wait()
			return p.Info().State
		}
		assert.Equal(t, bridge.StateListening, state(14*time.Second))
		assert.Equal(t, bridge.StateLearning, state(2*time.Second))
		assert.Equal(t, bridge.StateLearning, state(13*time.Second))
		assert.Equal(t, bridge.StateForwarding, state(2*time.Second))
		l.end()
	})
}

// What ReadFrames may answer, and what becomes of the port.
func TestReadFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		read func() (int, error)
		want string // in the error of the port, "" if it lives
	}{
		{"panic", func() (int, error) { panic("boom") }, "boom"},
		{"end of file", func() (int, error) { return 0, io.EOF }, "EOF"},
		{"an error", func() (int, error) { return 0, errors.New("boom") }, "boom"},
		{"Close panics", func() (int, error) { return 0, errors.New("boom") }, "boom"},
		{"closed by somebody else", func() (int, error) { return 0, net.ErrClosed }, "closed"},
		{"nothing and no error", func() (int, error) { return 0, nil }, "no data"},
		{"more than there is room for", func() (int, error) { return 1000, nil }, "1000"},
		{"less than nothing", func() (int, error) { return -1, nil }, "-1"},
		{"interface down", func() (int, error) { return 0, fmt.Errorf("read: %w", bridge.ENETDOWN) }, ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			l := newServeLab(t, bridge.Config{}, 2)
			var mu sync.Mutex // guards events
			var events []string
			l.b.Watch(func(e bridge.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch e.Kind {
				case bridge.EventPortFailed, bridge.EventCableDown, bridge.EventCableUp:
					events = append(events, e.Kind.String()+" "+e.Port)
				}
			})
			told := func(want ...string) {
				t.Helper()
				mu.Lock()
				defer mu.Unlock()
				assert.Equal(t, want, events)
			}
			reads, last := 0, 0
			cable := &badIO{recorder: newRecorder("bad", new(tape))}
			if c.name == "Close panics" {
				cable.close = func() { panic("close") }
			}
			cable.read = func(fs []frame.Frame) (int, error) {
				if cable.isClosed() {
					last++
					return 0, net.ErrClosed
				}
				switch reads++; {
				case reads == 1 || reads == 5:
					fs[0] = ether(frame.Broadcast, mac(9))
					return 1, nil
				case reads > 5:
					<-cable.closed
					last++
					return 0, net.ErrClosed
				}
				return c.read()
			}
			p, err := l.b.AddPort("bad", cable, bridge.PortConfig{})
			require.NoError(t, err)
			synctest.Wait()
			if c.want == "" {
				told("cable down bad")
				assert.NoError(t, p.Info().Failed)
				time.Sleep(time.Second)
				synctest.Wait()
				told("cable down bad", "cable up bad")
				assert.EqualValues(t, 2, p.Stats().Ingress.Received)
				require.NoError(t, l.b.RemovePort(p))
			} else {
				told("port failed bad")
				assert.ErrorContains(t, p.Info().Failed, c.want)
				assert.False(t, p.Info().Carrier)
				assert.True(t, cable.isClosed())
				assert.EqualValues(t, 1, p.Stats().Ingress.Received, "what was read before counts")
			}
			synctest.Wait()
			if c.name != "closed by somebody else" {
				assert.Equal(t, 1, last, "the last call, in which a driver gives memory back")
			}
			l.drain()
			assert.Equal(t, []string{"p2"}, l.send("p1", ether(frame.Broadcast, mac(1))), "the others go on")
			balanced(t, l.b)
			l.end()
		})
	}
}

// A peer that goes away takes its port's carrier and what was learned on it.
func TestServePeerGone(t *testing.T) {
	bubble(t, "peer gone", func(t *testing.T) {
		l := newServeLab(t, bridge.Config{}, 3)
		l.send("p1", ether(frame.Broadcast, mac(1)))
		require.NoError(t, l.cables["p1"].Close())
		delete(l.cables, "p1")
		synctest.Wait()
		p := l.b.Port("p1")
		assert.ErrorIs(t, p.Info().Failed, io.EOF)
		assert.Equal(t, bridge.StateDisabled, p.Info().State)
		assert.Equal(t, []string{"p3"}, l.send("p2", ether(mac(1), mac(2))), "its station is unknown again")
		require.NoError(t, p.SetLink(true, true))
		assert.Equal(t, []string{"p3"}, l.send("p2", ether(mac(1), mac(2))))
		balanced(t, l.b)
		l.end()
	})
}

// Two changes at a time while a batch is under way: in a bubble, where time stands
// still until everybody waits, neither may keep it from passing.
func TestChangesInBubble(t *testing.T) {
	within(t, time.Minute, "a bubble with two changes", func() {
		synctest.Test(t, func(t *testing.T) {
			b, err := bridge.New(bridge.Config{})
			require.NoError(t, err)
			slow := &badIO{recorder: newRecorder("slow", new(tape)), write: func(fs []frame.Frame) (int, error) {
				time.Sleep(10 * time.Millisecond)
				return len(fs), nil
			}}
			_, err = b.AddPort("slow", slow, bridge.PortConfig{})
			require.NoError(t, err)
			p, err := b.AddPort("p", newRecorder("p", new(tape)), bridge.PortConfig{})
			require.NoError(t, err)
			var wg sync.WaitGroup
			wg.Go(func() { _ = p.Receive(ether(frame.Broadcast, mac(1))) })
			synctest.Wait() // it writes
			for range 2 {
				wg.Go(func() { assert.NoError(t, b.SetPromisc(true)) })
			}
			wg.Wait()
			require.NoError(t, b.Close())
		})
	})
}

// However AddPort, AttachHost, Serve and Close meet: every cable that was taken is
// closed in the end, and no goroutine is left.
func TestCloseRace(t *testing.T) {
	for range 150 {
		b, err := bridge.New(bridge.Config{})
		require.NoError(t, err)
		var mu sync.Mutex // guards taken
		var taken []*recorder
		take := func(r *recorder, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken = append(taken, r)
			} else {
				assert.ErrorIs(t, err, net.ErrClosed)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.Serve(context.Background()); err != nil {
				assert.ErrorIs(t, err, net.ErrClosed)
			}
		})
		wg.Go(func() {
			r := newRecorder("h", new(tape))
			take(r, b.AttachHost(r, bridge.HostConfig{}))
		})
		for i := range 3 {
			wg.Go(func() {
				r := newRecorder("p", new(tape))
				_, err := b.AddPort(fmt.Sprint("p", i), r, bridge.PortConfig{})
				take(r, err)
			})
		}
		wg.Go(func() { assert.NoError(t, b.Close()) })
		wg.Wait()
		for _, r := range taken {
			require.True(t, r.isClosed())
		}
	}
}
