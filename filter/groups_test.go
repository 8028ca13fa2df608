package filter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// Who hears whom in a private VLAN: p1 promiscuous, p2 and p3 isolated, p4 and p5 one
// community, p6 another.
func TestIsolation(t *testing.T) {
	i, err := filter.NewIsolation(map[string]filter.Group{"p2": filter.Isolated, "p3": filter.Isolated, "p4": 1, "p5": 1, "p6": 2})
	require.NoError(t, err)
	r := newRig(t, 6, bridge.Config{Filters: []bridge.Filter{i.Filter()}})
	for n, want := range []string{"p6 p5 p4 p3 p2", "p1", "p1", "p5 p1", "p4 p1", "p1"} {
		assert.Equal(t, want, r.out(n+1, plain(frame.Broadcast, mac(n+1))), "from p%d", n+1)
	}
	assert.Empty(t, r.reports(), "that a broadcast does not go everywhere is no violation")
	for from := range 6 {
		for to := range 6 {
			f := plain(mac(to+1), mac(from+1))
			heard := r.out(from+1, f) != ""
			back := r.out(to+1, plain(mac(from+1), mac(to+1))) != ""
			assert.Equal(t, heard, back, "p%d p%d", from+1, to+1)
		}
	}
	assert.Equal(t, "filter p2 "+mac(2).String()+": isolation: the ports may not speak to each other: p3", r.reports()[0])
	require.NoError(t, r.ports[1].Set(bridge.PortAttrs{Hairpin: new(true)}))
	assert.Equal(t, "p1", r.out(2, plain(frame.Broadcast, mac(2))), "no hairpin for an isolated port")
	dropped := i.Dropped()
	assert.NotZero(t, dropped)
	r.ports[1].Explain(plain(mac(3), mac(2)))
	assert.Equal(t, dropped, i.Dropped())
	require.NoError(t, r.b.Xmit(plain(frame.Broadcast, mac(99))))
	assert.Equal(t, uint64(1), r.b.Stats().Ingress.Used)
	r.balanced()

	for _, bad := range []map[string]filter.Group{{"": 1}, {"p1": -2}} {
		_, err := filter.NewIsolation(bad)
		assert.ErrorContains(t, err, "filter: ")
	}
}

// An address that jumps is held where it was first, for a while.
func TestFlap(t *testing.T) {
	fl, err := filter.NewFlap(filter.Flapping{Moves: 3, Within: time.Second, Hold: 10 * time.Second})
	require.NoError(t, err)
	r := newRig(t, 3, bridge.Config{Filters: []bridge.Filter{fl.Filter()}})
	f := plain(frame.Broadcast, mac(1))
	at := func() (port string) {
		for e := range r.b.FDB().All() {
			if e.MAC == mac(1) {
				port = e.Port
			}
		}
		return port
	}
	for _, from := range []int{1, 1, 2, 2, 1} { // two moves
		assert.NotEmpty(t, r.out(from, f))
	}
	assert.Equal(t, bridge.DropFilter, r.ports[1].Explain(f).Reason, "the third would be one too many")
	assert.Empty(t, r.reports())
	assert.Empty(t, r.out(2, f))
	assert.Equal(t, "p1", at())
	assert.Equal(t, []string{
		"filter p2 " + mac(1).String() + ": flap: the address jumps between ports: 3 times, last from p1",
		"filter p2 " + mac(1).String() + ": flap: the address jumps between ports: it is held at p1",
	}, r.reports())
	for range 20 {
		assert.Empty(t, r.out(3, f))
		assert.NotEmpty(t, r.out(1, f), "where it belongs it may speak")
		assert.NotEmpty(t, r.out(2, plain(frame.Broadcast, mac(2))), "another address")
	}
	r.pass(9 * time.Second)
	assert.Empty(t, r.out(2, f))
	r.pass(2 * time.Second)
	assert.NotEmpty(t, r.out(2, f), "the hold is over")
	assert.Equal(t, "p2", at())
	assert.Equal(t, uint64(22), fl.Dropped())
	r.balanced()
}

// Moves that are far apart are a station that roams; what the bridge does not learn
// does not move; local addresses do not flap.
func TestFlapNot(t *testing.T) {
	fl, err := filter.NewFlap(filter.Flapping{Moves: 2, Within: time.Second})
	require.NoError(t, err)
	r := newRig(t, 3, bridge.Config{Filters: []bridge.Filter{fl.Filter()}})
	f := plain(frame.Broadcast, mac(1))
	for i := range 20 {
		assert.NotEmpty(t, r.out(1+i%2, f))
		r.pass(1100 * time.Millisecond)
	}
	require.NoError(t, r.ports[2].Set(bridge.PortAttrs{Learning: new(false)}))
	for range 20 {
		assert.NotEmpty(t, r.out(3, f))
	}
	own := plain(frame.Broadcast, r.b.Info().Address)
	for i := range 20 {
		assert.NotEmpty(t, r.out(1+i%2, own))
	}
	assert.Empty(t, r.reports())
	assert.Zero(t, fl.Dropped())

	only, err := filter.NewFlap(filter.Flapping{Moves: 2, Hold: -1})
	require.NoError(t, err)
	r.filters(only.Filter())
	for i := range 20 {
		assert.NotEmpty(t, r.out(1+i%2, f), "reported only")
	}
	assert.NotEmpty(t, r.reports())
	_, err = filter.NewFlap(filter.Flapping{Moves: -1})
	assert.ErrorContains(t, err, "filter: ")
}

// The one that holds the address while it flaps does not win it: home is where it was
// before. What is remembered is bounded, and what is held is forgotten last.
func TestFlapHome(t *testing.T) {
	fl, err := filter.NewFlap(filter.Flapping{Moves: 2, Addresses: 10})
	require.NoError(t, err)
	r := newRig(t, 3, bridge.Config{Filters: []bridge.Filter{fl.Filter()}})
	victim := plain(frame.Broadcast, mac(1))
	r.in(1, victim)
	r.in(2, victim)
	assert.NotEmpty(t, r.out(1, victim), "the second move is back home")
	assert.Empty(t, r.out(2, victim))
	for i := range 100 {
		f := plain(frame.Broadcast, mac(1000+i))
		r.in(2, f)
		r.in(3, f)
	}
	assert.Empty(t, r.out(2, victim), "still held")
	assert.NotEmpty(t, r.out(1, victim))
	for i := range 100 {
		f := plain(frame.Broadcast, mac(2000+i))
		r.in(2, f)
		r.in(3, f)
		r.in(2, f)
	}
	held := 0
	for i := range 100 {
		if r.out(3, plain(frame.Broadcast, mac(2000+i))) == "" {
			held++
		}
	}
	assert.LessOrEqual(t, held, 10)
	assert.NotZero(t, held)
	r.balanced()
}

// Frames that move nothing in the forwarding database are no jumps, from however many
// ports they come.
func TestFlapOfWhatStays(t *testing.T) {
	fl, err := filter.NewFlap(filter.Flapping{Moves: 2})
	require.NoError(t, err)
	r := newRig(t, 4, bridge.Config{Filters: []bridge.Filter{fl.Filter()}})
	f := plain(frame.Broadcast, mac(1))
	r.in(1, f)
	for _, p := range r.ports[1:3] {
		require.NoError(t, p.Set(bridge.PortAttrs{Learning: new(false)}))
	}
	static := plain(frame.Broadcast, mac(2))
	require.NoError(t, r.b.FDB().Update(bridge.FDBRequest{MAC: mac(2), Port: r.ports[0], State: bridge.NUDNoARP, Flags: bridge.NTFSticky, Mode: bridge.FDBAdd}))
	for i := range 20 {
		assert.NotEmpty(t, r.out(2+i%2, f), "neither port learns")
		assert.NotEmpty(t, r.out(2+i%3, static), "the entry is static")
	}
	assert.Empty(t, r.reports())
	assert.NotEmpty(t, r.out(4, f), "one move")
	assert.NotEmpty(t, r.out(1, f), "the second, back home")
	assert.Empty(t, r.out(4, f), "held")
	r.balanced()
}
