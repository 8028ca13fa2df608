package filter_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// everyFilter is one of each, with rules for p1 to p3; to is the mirror's port.
func everyFilter(t testing.TB, to *bridge.Port) (all []bridge.Filter, isolated *filter.Isolation) {
	t.Helper()
	a, err := filter.NewAddresses(map[string]filter.Allowed{"p1": {MACs: []frame.MAC{mac(1), mac(2), mac(3)}, IPs: prefixes("10.0.0.0/24", "2001:db8::/64")}})
	require.NoError(t, err)
	s, err := filter.NewStorm(nil, filter.Rates{{Frames: 1e6}, {Frames: 1e6, Bytes: 1e9}, {Frames: 1e6}})
	require.NoError(t, err)
	fl, err := filter.NewFlap(filter.Flapping{Moves: 50, Hold: time.Millisecond, Addresses: 4})
	require.NoError(t, err)
	i, err := filter.NewIsolation(map[string]filter.Group{"p1": filter.Isolated, "p2": filter.Isolated})
	require.NoError(t, err)
	m, err := filter.NewMirror(filter.Mirrored{Ingress: []string{"p1", "p2"}, Egress: []string{"p3"}, To: to})
	require.NoError(t, err)
	l, err := filter.NewLoop(filter.Probing{})
	require.NoError(t, err)
	return []bridge.Filter{m.Filter(), a.Filter(), s.Filter(), fl.Filter(), i.Filter(), l.Filter()}, i
}

// All filters at work on several readers at once, while their list is changed: the
// ledgers balance, and while the list has the isolation no frame passes it.
func TestUnderTraffic(t *testing.T) {
	r := newRig(t, 3, bridge.Config{})
	r.keep = false
	span := r.add("span", filter.MirrorPort(bridge.Caps{TagAside: true}))
	all, isolated := everyFilter(t, span)
	r.filters(all...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 3 {
		in := r.ports[n].Input()
		random := rand.New(rand.NewPCG(1, uint64(n)))
		wg.Go(func() {
			fs := make([]frame.Frame, 16)
			for {
				select {
				case <-stop:
					return
				default:
				}
				for i := range fs {
					src, dst := mac(1+random.IntN(6)), []frame.MAC{frame.Broadcast, group, mac(1 + random.IntN(9))}[random.IntN(3)]
					fs[i] = ether(dst, src, frame.TypeARP, arp(1, src, "10.0.0.1", "10.0.0.2"))
				}
				_ = in.Receive(fs)
			}
		})
	}
	var before, during uint64
	for range 30 {
		r.filters(all[4])
		before = isolated.Dropped()
		for isolated.Dropped() == before {
			r.ports[0].Explain(plain(frame.Broadcast, mac(1)))
			time.Sleep(10 * time.Microsecond)
		}
		r.filters(all...)
		r.pass(time.Millisecond)
		r.filters(all[1:4]...)
		during = isolated.Dropped()
		r.ports[1].Explain(plain(frame.Broadcast, mac(2)))
		assert.Equal(t, during, isolated.Dropped(), "it is no longer asked")
	}
	close(stop)
	wg.Wait()
	r.balanced()
	assert.NotZero(t, span.Stats().TxPackets)
}

// No filter allocates for a frame.
func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRig(t, 3, bridge.Config{})
	r.keep = false
	all, _ := everyFilter(t, r.add("span", filter.MirrorPort(bridge.Caps{TagAside: true})))
	r.filters(all...)
	fs := []frame.Frame{
		ether(frame.Broadcast, mac(1), frame.TypeARP, arp(1, mac(1), "10.0.0.1", "10.0.0.2")),
		ether(mac(9), mac(1), frame.TypeIPv6, ipv6("2001:db8::1", "ff02::1", 58, nd(136, "2001:db8::1", link(2, mac(1))))),
		wrap(ether(group, mac(1), frame.TypeIPv4, ipv4("10.0.0.1", "10.0.0.2", 17, udp(1, 2))), prio, snap),
		plain(frame.Broadcast, mac(66)),
	}
	in := r.ports[0].Input()
	for range 20 {
		require.NoError(t, in.Receive(fs)) // the vectors take their size, and the events that are told are told
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = in.Receive(fs) }))
	r.balanced()
}
