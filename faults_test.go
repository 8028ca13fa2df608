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

// A badIO is a recording cable whose calls can be replaced.
type badIO struct {
	*recorder
	read  func(fs []frame.Frame) (int, error)
	write func(fs []frame.Frame) (int, error)
	close func()
}

func (b *badIO) ReadFrames(fs []frame.Frame) (int, error) {
	if b.read != nil {
		return b.read(fs)
	}
	return b.recorder.ReadFrames(fs)
}

func (b *badIO) WriteFrames(fs []frame.Frame) (int, error) {
	if b.write != nil {
		return b.write(fs)
	}
	return b.recorder.WriteFrames(fs)
}

func (b *badIO) Close() error {
	_ = b.recorder.Close()
	if b.close != nil {
		b.close()
	}
	return nil
}

func (l *lab) addBad(name string, io *badIO, c bridge.PortConfig) *bridge.Port {
	l.t.Helper()
	io.recorder = newRecorder(name, l.log)
	p, err := l.b.AddPort(name, io, c)
	require.NoError(l.t, err)
	return p
}

// failures has the ports that fail written down.
func (l *lab) failures() func() []string {
	var mu sync.Mutex // guards got
	got := []string{}
	l.b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventPortFailed {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e.Port)
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, got...)
	}
}

// ended asserts that a port's cable has ended and that nothing else has: it is
// closed, has no carrier, forgot what it learned, and its ledger balances.
func (l *lab) ended(p *bridge.Port, cable *recorder) {
	l.t.Helper()
	i := p.Info()
	assert.Error(l.t, i.Failed)
	assert.False(l.t, i.Carrier)
	assert.Equal(l.t, bridge.StateDisabled, i.State)
	assert.True(l.t, cable.isClosed())
	for e := range l.b.FDB().All() {
		assert.False(l.t, e.Port == p.Name() && e.State == bridge.NUDReachable, "still learned: %s", e.MAC)
	}
	assert.Equal(l.t, []string{"p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))), "the others go on")
	balanced(l.t, l.b)
	require.NoError(l.t, l.b.RemovePort(p), "it can be removed")
	again := l.add(9, bridge.PortConfig{})
	assert.Equal(l.t, []string{"p9", "p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Equal(l.t, p.Name() == "bad", again.Info().No == 3)
}

// told is what a cable answers that has gone on behind a frame that it refused.
func told(verdicts ...*bridge.FrameError) error { return &bridge.BatchError{Frames: verdicts} }

func refusedFor(why bridge.DropReason) *bridge.FrameError { return &bridge.FrameError{Reason: why} }

// What a cable's WriteFrames may answer, and what becomes of the frames.
func TestWriteFaults(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name    string
		write   func(fs []frame.Frame) (int, error)
		ends    bool
		sent    uint64 // of a batch of 4
		refused map[bridge.DropReason]uint64
	}{
		{"all", func(fs []frame.Frame) (int, error) { return len(fs), nil }, false, 4, nil},
		{"panic", func([]frame.Frame) (int, error) { panic("boom") }, true, 0, map[bridge.DropReason]uint64{bridge.DropPortGone: 4}},
		{"error", func([]frame.Frame) (int, error) { return 1, boom }, true, 1, map[bridge.DropReason]uint64{bridge.DropPortGone: 3}},
		{"closed", func([]frame.Frame) (int, error) { return 0, net.ErrClosed }, true, 0, map[bridge.DropReason]uint64{bridge.DropPortGone: 4}},
		{"end of file", func([]frame.Frame) (int, error) { return 0, io.EOF }, true, 0, map[bridge.DropReason]uint64{bridge.DropPortGone: 4}},
		{"more than there are", func(fs []frame.Frame) (int, error) { return len(fs) + 1, nil }, true, 0, map[bridge.DropReason]uint64{bridge.DropPortGone: 4}},
		{"less than none", func([]frame.Frame) (int, error) { return -1, nil }, true, 0, map[bridge.DropReason]uint64{bridge.DropPortGone: 4}},
		{"queue full", func([]frame.Frame) (int, error) { return 3, bridge.ErrQueueFull }, false, 3, map[bridge.DropReason]uint64{bridge.DropQueueFull: 1}},
		{"queue full, wrapped", func([]frame.Frame) (int, error) { return 0, fmt.Errorf("ring: %w", bridge.ErrQueueFull) }, false, 0, map[bridge.DropReason]uint64{bridge.DropQueueFull: 4}},
		{"some and no reason", func([]frame.Frame) (int, error) { return 2, nil }, false, 2, map[bridge.DropReason]uint64{bridge.DropQueueFull: 2}},
		{"interface down", func([]frame.Frame) (int, error) { return 1, bridge.ENETDOWN }, false, 1, map[bridge.DropReason]uint64{bridge.DropPortDown: 3}},
		{"each one refused", func([]frame.Frame) (int, error) { return 0, &bridge.FrameError{Reason: bridge.DropTooLong} }, false, 0, map[bridge.DropReason]uint64{bridge.DropTooLong: 4}},
		{"refused without a reason", func([]frame.Frame) (int, error) { return 0, &bridge.FrameError{Err: boom} }, false, 0, map[bridge.DropReason]uint64{bridge.DropDriver: 4}},
		{"refused for no reason there is", func([]frame.Frame) (int, error) { return 0, &bridge.FrameError{Reason: 200} }, false, 0, map[bridge.DropReason]uint64{bridge.DropDriver: 4}},
		{"the second of two refused", func(fs []frame.Frame) (int, error) {
			if len(fs) < 2 {
				return len(fs), nil
			}
			return 1, fmt.Errorf("driver: %w", &bridge.FrameError{Reason: bridge.DropNoOffload})
		}, false, 2, map[bridge.DropReason]uint64{bridge.DropNoOffload: 2}},
		{"two refused and what is behind sent", func(fs []frame.Frame) (int, error) {
			return 1, fmt.Errorf("driver: %w", told(refusedFor(bridge.DropTooLong), refusedFor(200), nil))
		}, false, 2, map[bridge.DropReason]uint64{bridge.DropTooLong: 1, bridge.DropDriver: 1}},
		{"one of each two refused", func([]frame.Frame) (int, error) { return 0, told(refusedFor(bridge.DropQueueFull), nil) }, false, 2, map[bridge.DropReason]uint64{bridge.DropQueueFull: 2}},
		{"told of none", func([]frame.Frame) (int, error) { return 1, told() }, true, 1, map[bridge.DropReason]uint64{bridge.DropPortGone: 3}},
		{"told of more than there are", func([]frame.Frame) (int, error) { return 3, told(refusedFor(bridge.DropTooLong), nil) }, true, 3, map[bridge.DropReason]uint64{bridge.DropPortGone: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 2)
			failed := l.failures()
			cable := &badIO{}
			p := l.addBad("bad", cable, bridge.PortConfig{})
			require.NoError(t, p.Receive(ether(groupMAC, mac(9))))
			cable.write = c.write
			l.log.take()
			f := ether(mac(9), mac(1))
			require.NoError(t, l.p(1).Receive(f, f, f, f))
			s := p.Stats().Egress
			assert.Equal(t, c.sent, s.Sent)
			assert.Equal(t, c.sent*60, p.Stats().TxBytes)
			for r := range s.Refused {
				assert.Equal(t, c.refused[bridge.DropReason(r)], s.Refused[r], "%s", bridge.DropReason(r))
			}
			balanced(t, l.b)
			if c.ends {
				assert.Equal(t, []string{"bad"}, failed())
				l.ended(p, cable.recorder)
				assert.Equal(t, []string{"bad"}, failed(), "told once")
			} else {
				assert.NoError(t, p.Info().Failed)
				assert.Empty(t, failed())
				assert.False(t, cable.isClosed())
			}
		})
	}
}

// The host's cable ends by itself, too; the bridge goes on without it, and another
// can be attached.
func TestHostFaults(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	require.NoError(t, l.b.Close())
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	l = &lab{t: t, b: b, log: new(tape), clock: newClock(), ports: map[string]*bridge.Port{}}
	defer b.Close()
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	failed := l.failures()
	assert.Equal(t, []string{"p2"}, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.EqualValues(t, 1, b.Stats().Egress.Refused[bridge.DropNoHost])
	bad := &badIO{recorder: newRecorder("br0", l.log), write: func([]frame.Frame) (int, error) { panic("boom") }}
	require.NoError(t, b.AttachHost(bad, bridge.HostConfig{}))
	assert.Equal(t, []string{"p2"}, l.out(1, ether(frame.Broadcast, mac(1))))
	assert.Equal(t, []string{""}, failed())
	assert.True(t, bad.isClosed())
	assert.Equal(t, []string{"p2"}, l.out(1, ether(frame.Broadcast, mac(1))))
	require.NoError(t, b.AttachHost(newRecorder("br0", l.log), bridge.HostConfig{}))
	assert.Equal(t, []string{"p2", "br0"}, l.out(1, ether(frame.Broadcast, mac(1))))
	balanced(t, b)
}

// A write that comes back from a host's cable that is no longer attached does not
// end the one that is.
func TestHostFaultOfBefore(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	b, err := bridge.New(bridge.Config{Name: "br1"})
	require.NoError(t, err)
	defer b.Close()
	inside, goOn := make(chan struct{}), make(chan struct{})
	first := true
	old := &badIO{recorder: newRecorder("old", l.log), write: func([]frame.Frame) (int, error) {
		if first {
			first = false
			close(inside)
			<-goOn
		}
		return 0, net.ErrClosed
	}}
	require.NoError(t, b.AttachHost(old, bridge.HostConfig{Caps: bridge.Caps{TagAside: true}}))
	p, err := b.AddPort("p", newRecorder("p", l.log), bridge.PortConfig{})
	require.NoError(t, err)
	bc := []frame.Frame{ether(frame.Broadcast, mac(1))}
	done := make(chan struct{})
	go func() { // ends when the write goes on
		defer close(done)
		_ = p.Input().Receive(bc)
	}()
	<-inside
	change := make(chan struct{})
	go func() { // the change waits for the write, and after a second ends its cable
		defer close(change)
		assert.NoError(t, b.SetPromisc(true))
	}()
	eventually(t, "the stuck host cable is closed", old.isClosed)
	fresh := newRecorder("fresh", l.log)
	require.NoError(t, b.AttachHost(fresh, bridge.HostConfig{}))
	close(goOn)
	<-done
	<-change
	assert.False(t, fresh.isClosed())
	require.NoError(t, p.Receive(bc...))
	assert.Equal(t, []string{"fresh"}, devs(l.log.take()))
}

// A callback's panic ends the port whose frame it was, and nothing else.
func TestCallbackPanics(t *testing.T) {
	t.Run("OnPass", func(t *testing.T) {
		l := newLabN(t, bridge.Config{}, 2)
		failed := l.failures()
		cable := &badIO{}
		p := l.addBad("bad", cable, bridge.PortConfig{OnPass: func(*bridge.Port, frame.Frame) { panic("boom") }})
		require.NoError(t, p.Receive(ether(linkLocal(0xe), mac(9)), ether(groupMAC, mac(9))))
		assert.Equal(t, []string{"bad"}, failed())
		assert.ErrorContains(t, p.Info().Failed, "boom")
		l.log.take()
		l.ended(p, cable.recorder)
	})
	t.Run("Trace", func(t *testing.T) {
		l := newLabN(t, bridge.Config{}, 2)
		failed := l.failures()
		cable := &badIO{}
		p := l.addBad("bad", cable, bridge.PortConfig{})
		l.b.SetTrace(func(s bridge.Step) {
			if s.Src == mac(9) {
				panic("boom")
			}
		})
		require.NoError(t, p.Receive(ether(groupMAC, mac(9))))
		assert.Equal(t, []string{"bad"}, failed())
		l.log.take()
		l.ended(p, cable.recorder)
	})
	t.Run("Close", func(t *testing.T) {
		l := newLabN(t, bridge.Config{}, 2)
		for _, how := range []func(p *bridge.Port) error{
			func(p *bridge.Port) error { return l.b.RemovePort(p) },
			func(*bridge.Port) error { return l.b.Close() },
		} {
			p := l.addBad("bad", &badIO{close: func() { panic("boom") }}, bridge.PortConfig{})
			assert.NotPanics(t, func() { assert.NoError(t, how(p)) })
		}
	})
}

// A WriteFrames that does not come back until its cable is closed keeps a change
// waiting for a second: then the cable is closed, and the change goes on. One that does
// not come back even then keeps it waiting for another.
func TestStuckWrite(t *testing.T) {
	for _, c := range []struct {
		name   string
		closes bool // the write comes back when the cable is closed
		host   bool
		change func(l *lab, p *bridge.Port) error
		takes  time.Duration
	}{
		{"another port's flag", true, false, func(l *lab, _ *bridge.Port) error { return l.p(1).Set(bridge.PortAttrs{Hairpin: new(true)}) }, time.Second},
		{"its removal", true, false, func(l *lab, p *bridge.Port) error { return l.b.RemovePort(p) }, time.Second},
		{"the bridge's end", true, false, func(l *lab, _ *bridge.Port) error { return l.b.Close() }, time.Second},
		{"never comes back", false, false, func(l *lab, _ *bridge.Port) error { return l.b.SetPromisc(true) }, 2 * time.Second},
		{"the host's cable", true, true, func(l *lab, _ *bridge.Port) error { return l.b.SetPromisc(true) }, time.Second},
		{"the host's cable never comes back", false, true, func(l *lab, _ *bridge.Port) error { return l.b.Close() }, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stuckWrite(t, c.closes, c.host, c.takes, c.change) })
		})
	}
}

// stuckWrite has a write not come back, or not before its cable is closed, and the
// change take so long meanwhile, by the clock of a bubble.
func stuckWrite(t *testing.T, closes, host bool, takes time.Duration, change func(l *lab, p *bridge.Port) error) {
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	l := &lab{t: t, b: b, log: new(tape), clock: newClock(), ports: map[string]*bridge.Port{}}
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{})
	failed := l.failures()
	inside, stuck, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	cable := &badIO{write: func([]frame.Frame) (int, error) {
		close(inside)
		<-stuck
		return 0, net.ErrClosed
	}}
	if closes {
		cable.close = sync.OnceFunc(func() { close(stuck) })
	}
	var p *bridge.Port
	if host {
		cable.recorder = newRecorder("br0", l.log)
		require.NoError(t, b.AttachHost(cable, bridge.HostConfig{}))
	} else {
		p = l.addBad("bad", cable, bridge.PortConfig{})
	}
	go func() { // ends when the write comes back
		defer close(over)
		_ = l.p(1).Input().Receive([]frame.Frame{ether(frame.Broadcast, mac(1))})
	}()
	<-inside // and stuck there
	l.log.take()
	assert.Equal(t, []string{"p1"}, l.out(2, ether(mac(1), mac(2))), "traffic that does not go there goes on")
	quick := func(what string) {
		begin := time.Now()
		assert.NoError(t, b.SetAllMulti(true))
		assert.Less(t, time.Since(begin), 100*time.Millisecond, "%s", what)
	}
	begin := time.Now()
	require.NoError(t, change(l, p))
	took := time.Since(begin)
	assert.InDelta(t, takes, took, float64(100*time.Millisecond))
	assert.True(t, cable.isClosed())
	closed := errors.Is(b.Set(bridge.BridgeAttrs{}), net.ErrClosed)
	if !closes {
		if !closed {
			quick("what was given up is not waited for again")
		}
		close(stuck)
	}
	<-over
	if !closed {
		quick("the next change does not wait")
		name := ""
		if p != nil {
			name = "bad"
		}
		assert.Equal(t, []string{name}, failed())
		balanced(t, b)
	}
	if p != nil && p.Info().Attached && !closed {
		assert.Error(t, p.Info().Failed)
		assert.False(t, p.Info().Carrier)
	}
	require.NoError(t, b.Close())
}

// A configuration call from inside a batch would wait for itself: it is refused,
// where that can be known.
func TestErrInBatch(t *testing.T) {
	calls := func(l *lab, p *bridge.Port) map[string]func() error {
		return map[string]func() error{
			"Set": func() error { return l.b.Set(bridge.BridgeAttrs{FDBFlush: true}) }, "SetUp": func() error { return l.b.SetUp(false) },
			"RemovePort": func() error { return l.b.RemovePort(p) }, "Close": l.b.Close,
			"AddPort":  func() error { _, err := l.b.AddPort("x", newRecorder("x", l.log), bridge.PortConfig{}); return err },
			"Port.Set": func() error { return p.Set(bridge.PortAttrs{FDBFlush: true}) }, "SetLink": func() error { return p.SetLink(false, false) },
			"FDB.Delete": func() error { return l.b.FDB().Delete(p, p.Info().Address, nil) },
			"FDB.Flush":  func() error { _, err := l.b.FDB().Flush(bridge.FDBFlush{}); return err },
			"VLANs.Add":  func() error { return p.VLANs().Add(bridge.VLAN{VID: 9}) }, "VLANs.Delete": func() error { return l.b.VLANs().Delete(1, 0) },
		}
	}
	try := func(l *lab, p *bridge.Port) (n int) {
		for name, call := range calls(l, p) {
			assert.ErrorIs(l.t, call(), bridge.ErrInBatch, name)
			n++
		}
		return n
	}
	t.Run("OnPass", func(t *testing.T) {
		l := newLabN(t, bridge.Config{}, 1)
		n := 0
		p := l.add(2, bridge.PortConfig{OnPass: func(p *bridge.Port, _ frame.Frame) { n += try(l, p) }})
		before := snap(l.b)
		require.NoError(t, p.Receive(ether(linkLocal(0x10), portMAC(1)), ether(linkLocal(0xe), portMAC(1))))
		assert.Equal(t, 11, n)
		assert.Equal(t, before, snap(l.b))
		assert.NoError(t, p.Set(bridge.PortAttrs{}), "afterwards it is allowed again")
	})
	t.Run("Trace", func(t *testing.T) {
		l := newLabN(t, bridge.Config{}, 2)
		n := 0
		l.b.SetTrace(func(bridge.Step) { n += try(l, l.p(1)) })
		before := snap(l.b)
		require.NoError(t, l.p(1).Receive(ether(frame.Broadcast, portMAC(1))))
		require.NoError(t, l.b.Xmit(ether(frame.Broadcast, mac(77))))
		assert.Greater(t, n, 50)
		assert.Equal(t, before, snap(l.b))
	})
	t.Run("FrameIO under Serve", func(t *testing.T) {
		l := newLabN(t, bridge.Config{}, 1)
		ours, theirs := bridge.NewPipe(bridge.PipeConfig{})
		p, err := l.b.AddPort("pipe", ours, bridge.PortConfig{})
		require.NoError(t, err)
		tried := make(chan int, 1)
		l.addBad("bad", &badIO{write: func(fs []frame.Frame) (int, error) {
			tried <- try(l, p)
			return len(fs), nil
		}}, bridge.PortConfig{})
		served := make(chan error, 1)
		go func() { served <- l.b.Serve(context.Background()) }() // ends with Close
		require.NoError(t, theirs.WriteContext(t.Context(), ether(frame.Broadcast, mac(9))))
		assert.Equal(t, 11, <-tried)
		require.NoError(t, l.b.Close())
		assert.NoError(t, <-served)
	})
}
