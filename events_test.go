package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// watch has a lab's events written down, as lines.
func (l *lab) watch() (take func() []string) {
	var mu sync.Mutex // guards got
	var got []string
	stop := l.b.Watch(func(e bridge.Event) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, e.String())
	})
	l.t.Cleanup(stop)
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := got
		got = nil
		return out
	}
}

// What each thing that happens tells, in order. A plain refresh tells nothing.
func TestEvents(t *testing.T) {
	l := newLabN(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0)), Address: mac(77), AgeingTime: new(time.Minute)}, 2)
	take := l.watch()
	m9, m8 := mac(9).String(), mac(8).String()
	req := func(n int, m frame.MAC, s bridge.NUDState, mode bridge.FDBMode) func() {
		return func() {
			require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(n), MAC: m, State: s, Mode: mode}))
		}
	}
	for _, c := range []struct {
		name string
		do   func()
		want []string
	}{
		{"learn", func() { l.learn(1, mac(9)) }, []string{"fdb add p1 " + m9}},
		{"refresh", func() { l.clock.add(time.Second); l.learn(1, mac(9)) }, nil},
		{"move", func() { l.learn(2, mac(9)) }, []string{"fdb move p2 " + m9}},
		{"a batch, in order", func() { l.in(1, ether(groupMAC, mac(8)), ether(groupMAC, mac(9)), ether(groupMAC, mac(8))) }, []string{"fdb add p1 " + m8, "fdb move p1 " + m9}},
		{"own address", func() { l.learn(1, portMAC(2)) }, nil},
		{"request changes", req(1, mac(9), bridge.NUDNoARP, bridge.FDBReplace), []string{"fdb change p1 " + m9}},
		{"request changes nothing", req(1, mac(9), bridge.NUDNoARP, bridge.FDBReplace), nil},
		{"request moves", req(2, mac(9), bridge.NUDNoARP, bridge.FDBReplace), []string{"fdb change p2 " + m9}},
		{"delete", func() { require.NoError(t, l.b.FDB().Delete(l.p(2), mac(9), nil)) }, []string{"fdb delete p2 " + m9}},
		{"ageing", func() { l.tickTo(2 * time.Minute) }, []string{"fdb delete p1 " + m8}},
		{"flush", func() { l.learn(1, mac(8)); l.set(1, bridge.PortAttrs{FDBFlush: true}) }, []string{"fdb add p1 " + m8, "fdb delete p1 " + m8}},
		{"link down", func() { l.learn(1, mac(8)); require.NoError(t, l.p(1).SetLink(true, false)) }, []string{"fdb add p1 " + m8, "port state p1 disabled", "fdb delete p1 " + m8}},
		{"link up", func() { require.NoError(t, l.p(1).SetLink(true, true)) }, []string{"port state p1 blocking", "port state p1 forwarding"}},
		{"state", func() { l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)}) }, []string{"port state p1 learning"}},
		{"the state it has", func() { l.set(1, bridge.PortAttrs{State: new(bridge.StateLearning)}) }, nil},
		{"address", func() { require.NoError(t, l.b.SetAddress(mac(78))) }, []string{
			"fdb add " + mac(78).String(), "fdb delete " + mac(77).String(), "address " + mac(78).String()}},
		{"bridge down", func() { require.NoError(t, l.b.SetUp(false)) }, []string{"port state p2 disabled", "port state p1 disabled"}},
		{"Explain", func() { l.p(1).Explain(ether(groupMAC, mac(50))) }, nil},
		{"refused", func() { assert.Error(t, l.b.SetMTU(1)) }, nil},
	} {
		c.do()
		assert.Equal(t, c.want, take(), c.name)
	}
}

// Everything about a port lies between its joining and its leaving, and bears its
// name.
func TestEventsOfPort(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	take := l.watch()
	p := l.add(2, bridge.PortConfig{})
	a := portMAC(2).String()
	joined := take()
	assert.Equal(t, "port add p2", joined[0])
	assert.ElementsMatch(t, []string{"port add p2", "fdb add p2 " + a, "fdb add p2 " + a + " vlan 1", "port state p2 blocking", "port state p2 forwarding"}, joined)
	l.learn(2, mac(9))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: p, MAC: mac(8), State: bridge.NUDNoARP, VID: new(frame.VID(1))}))
	take()
	require.NoError(t, l.b.RemovePort(p))
	left := take()
	assert.Equal(t, "port remove p2", left[len(left)-1])
	assert.ElementsMatch(t, []string{
		"fdb delete p2 " + a, "fdb delete p2 " + a + " vlan 1", "fdb delete p2 " + mac(9).String(), "fdb delete p2 " + mac(8).String() + " vlan 1", "port state p2 disabled", "port remove p2",
	}, left)
	again := l.add(3, bridge.PortConfig{})
	require.Equal(t, 2, again.Info().No, "another port under the same number")
	for _, e := range take() {
		assert.NotContains(t, e, "p2")
	}
}

// A handler may call anything of the Bridge: it runs outside of batches, with no
// lock held.
func TestEventsCallBack(t *testing.T) {
	within(t, time.Minute, "a handler that calls back", func() {
		l := newLabN(t, bridge.Config{}, 3)
		var seen []string
		var added *bridge.Port
		l.b.Watch(func(e bridge.Event) {
			seen = append(seen, e.String())
			if e.Kind != bridge.EventFDBAdd {
				return
			}
			switch e.MAC {
			case mac(1):
				assert.NoError(t, l.p(1).Receive(ether(frame.Broadcast, mac(2))), "the port whose frame it was")
			case mac(2):
				assert.NoError(t, l.b.Xmit(ether(mac(1), mac(77))))
				assert.NoError(t, l.b.RemovePort(l.p(3)))
			case mac(4):
				var err error
				added, err = l.b.AddPort("p9", newRecorder("p9", l.log), bridge.PortConfig{})
				assert.NoError(t, err)
				assert.NoError(t, l.b.SetPromisc(true))
				assert.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 99}))
				assert.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(2), MAC: mac(5), State: bridge.NUDNoARP}))
				_, err = l.b.FDB().Flush(bridge.FDBFlush{Port: l.p(1)})
				assert.NoError(t, err)
				l.b.Tick(l.clock.now())
			case mac(6):
				assert.NoError(t, l.b.Close())
			}
		})
		l.learn(1, mac(1))
		assert.Nil(t, l.b.Port("p3"))
		assert.Equal(t, "p1", l.where(mac(2), 0))
		first, second := slices.Index(seen, "fdb add p1 "+mac(1).String()), slices.Index(seen, "fdb add p1 "+mac(2).String())
		assert.True(t, first == 0 && second > 0, "%q", seen)
		l.learn(1, mac(4))
		assert.Equal(t, added, l.b.Port("p9"))
		assert.Contains(t, seen, "port add p9")
		l.learn(2, mac(6))
		assert.Error(t, l.b.SetPromisc(false))
	})
}

// What an event tells of can be seen by then, whoever delivers it: here a goroutine
// that looks for something to deliver all the time, beside the one that adds ports.
func TestEventsTellWhatIsThere(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	told := make(chan bool, 1) // whether the port that joined, or left, was there
	l.b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventPortAdd || e.Kind == bridge.EventPortRemove {
			told <- l.b.Port(e.Port) != nil
		}
	})
	done := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				l.b.Tick(l.clock.now())
			}
		}
	})
	hidden := 0
	for range 500 {
		p := l.add(2, bridge.PortConfig{})
		if !<-told {
			hidden++
		}
		require.NoError(t, l.b.RemovePort(p))
		require.False(t, <-told, "it has left")
	}
	close(done)
	ticking.Wait()
	assert.Zero(t, hidden, "ports were told of before they were there")
}

// Several watchers see the same in the same order, the first watcher first; one
// that has stopped sees nothing more, nor does one that stops itself.
func TestEventsWatchers(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	var seen []string
	note := func(who string) func(bridge.Event) {
		return func(e bridge.Event) { seen = append(seen, fmt.Sprint(who, e.MAC[5])) }
	}
	stopA := l.b.Watch(note("a"))
	stopB := l.b.Watch(note("b"))
	var stopC func()
	stopC = l.b.Watch(func(e bridge.Event) { note("c")(e); stopC() })
	l.in(1, ether(groupMAC, mac(1)), ether(groupMAC, mac(2)))
	assert.Equal(t, "a1 b1 c1 a2 b2", strings.Join(seen, " "))
	stopA()
	stopA()
	seen = nil
	l.learn(1, mac(3))
	assert.Equal(t, []string{"b3"}, seen)
	stopB()
	l.learn(1, mac(4))
	assert.Equal(t, []string{"b3"}, seen)
	defer l.b.Watch(note("d"))()
	l.learn(1, mac(5))
	assert.Equal(t, []string{"b3", "d5"}, seen, "nothing of what happened before")
}

// While a handler takes its time others go on; what does not fit in the queue is
// lost and counted.
func TestEventsLost(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 2)
	busy, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	added, lost := 0, 0
	l.b.Watch(func(e bridge.Event) {
		once.Do(func() { close(busy); <-goOn })
		switch e.Kind {
		case bridge.EventFDBAdd:
			assert.Zero(t, lost, "the loss is told behind what came before it")
			added++
		case bridge.EventLost:
			lost += e.Lost
		}
	})
	done := make(chan struct{})
	go func() { // ends when the handler goes on
		defer close(done)
		_ = l.p(1).Receive(ether(groupMAC, mac(1)))
	}()
	<-busy
	const n = 10_000
	in := l.p(2).Input()
	for i := range n {
		require.NoError(t, in.Receive([]frame.Frame{ether(groupMAC, mac(2+i))}))
	}
	assert.Equal(t, n+1, l.b.FDB().Learned(), "the bridge goes on")
	close(goOn)
	<-done
	assert.Equal(t, n+1, added+lost)
	assert.Equal(t, 4096+1, added, "one under way, and a full queue")
}

// Whoever follows the events knows the FDB, however many goroutines change it.
func TestEventsTellTheFDB(t *testing.T) {
	l := newLabN(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0))}, 4)
	follow := map[frame.MAC]string{}
	var mu sync.Mutex // guards follow
	count := 0
	l.b.Watch(func(e bridge.Event) {
		mu.Lock()
		defer mu.Unlock()
		count++
		was, known := follow[e.MAC]
		switch e.Kind {
		case bridge.EventFDBAdd:
			assert.False(t, known, "%s, but it is on %s", e, was)
			follow[e.MAC] = e.Port
		case bridge.EventFDBMove:
			assert.True(t, known && was != e.Port, "%s, but it is on %q", e, was)
			follow[e.MAC] = e.Port
		case bridge.EventFDBDelete:
			assert.Equal(t, was, e.Port, "%s", e)
			delete(follow, e.MAC)
		case bridge.EventLost:
			t.Errorf("%s", e)
		}
	})
	var wg sync.WaitGroup
	for n := 1; n <= 4; n++ {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 3))
			in := l.p(n).Input()
			for range 800 { // so that no event is lost, even if none is delivered meanwhile
				_ = in.Receive([]frame.Frame{ether(groupMAC, mac(r.IntN(40)))})
				switch r.IntN(300) {
				case 0:
					_, _ = l.b.FDB().Flush(bridge.FDBFlush{Port: l.p(1 + r.IntN(4)), StateMask: bridge.NUDPermanent})
				case 1:
					_ = l.b.FDB().Delete(l.p(1+r.IntN(4)), mac(r.IntN(40)), nil)
				}
			}
		})
	}
	wg.Wait()
	l.b.Tick(l.clock.now()) // delivers, should one of the above still have been delivering when the last one posted
	mu.Lock()
	defer mu.Unlock()
	table := map[frame.MAC]string{}
	for e := range l.b.FDB().All() {
		if e.State == bridge.NUDReachable {
			table[e.MAC] = e.Port
		}
	}
	assert.Equal(t, table, follow)
	assert.Greater(t, count, 100, "the test looked at something")
}

// A port whose MTU is not that of the others joins with a warning.
func TestWarnsWhereMTUsDiffer(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	var got []string
	l.b.Watch(func(e bridge.Event) {
		if e.Kind == bridge.EventWarning {
			got = append(got, e.Port+": "+e.Err.Error())
		}
	})
	l.add(2, bridge.PortConfig{})
	assert.Empty(t, got)
	l.add(3, bridge.PortConfig{MTU: 9000})
	assert.Equal(t, []string{"p3: its MTU is 9000, that of p2 is 1500: longer frames are dropped there without a word; give all ports one MTU"}, got)
	require.NoError(t, l.p(3).SetMTU(1500))
	assert.Len(t, got, 1)
	require.NoError(t, l.p(2).SetMTU(1400))
	assert.Len(t, got, 2)
}
