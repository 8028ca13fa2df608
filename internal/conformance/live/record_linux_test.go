package live

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// recording gives the recorded scenario of that name.
func recording(t *testing.T, file, name string) *replay.Scenario {
	t.Helper()
	for _, s := range replay.Read("../testdata/" + file) {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no scenario %s", name)
	return nil
}

func open(t *testing.T) *Kernel {
	t.Helper()
	netnstest.Needs(t)
	k, err := Open()
	require.NoError(t, err)
	return k
}

// The running kernel does with a frame what the recorded one did, and what it did is
// written down before the next step: of a thousand broadcasts none is missing in its
// step, and none comes in another.
func TestRecordFrames(t *testing.T) {
	k := open(t)
	s := recording(t, "basic.jsonl.gz", "basic-learn-forward")
	require.Empty(t, k.Features.LeftOut(s))
	got, err := k.Record(s)
	require.NoError(t, err)
	require.Len(t, got.Ports, len(s.Ports))
	first := s.Steps[0]
	require.Equal(t, "inject", first.Op)
	require.NotEmpty(t, first.Out)
	assert.Equal(t, first.Out, got.Steps[0].Out)
	assert.Nil(t, replay.Check(got))

	many := Clone(s)
	many.Steps = nil
	for range 1000 {
		many.Steps = append(many.Steps, first)
	}
	got, err = k.Record(many)
	require.NoError(t, err)
	for i := range got.Steps {
		require.Equal(t, first.Out, got.Steps[i].Out, "step %d", i)
	}
}

// What a kernel is asked for and refuses is a result; what cannot be asked is an error.
func TestRecordRefusal(t *testing.T) {
	k := open(t)
	s := recording(t, "basic.jsonl.gz", "basic-learn-forward")
	s.Steps = []replay.Step{
		{Op: "set-port", Port: "p1", Attrs: replay.Attrs{"priority": {Num: 64}}},
		{Op: "link-down", Port: "p1"},
		{Op: "inject", Port: "p1", Frame: s.Steps[0].Frame},
		{Op: "dump-fdb"},
	}
	got, err := k.Record(s)
	require.NoError(t, err)
	assert.Equal(t, "ERANGE", got.Steps[0].Err)
	assert.Equal(t, "EIO", got.Steps[2].Err)
	assert.Len(t, got.Steps[3].FDB, 1+len(s.Ports), "the addresses of br0 and of the ports")
	assert.Nil(t, replay.Check(got))

	s.Steps = []replay.Step{{Op: "dump-nothing"}}
	_, err = k.Record(s)
	assert.ErrorIs(t, err, errNotHere)
}

// A wait is written down with what a recorder pauses before it: it was not shortened by that.
func TestRecordedWait(t *testing.T) {
	k := open(t)
	s := recording(t, "basic.jsonl.gz", "basic-learn-forward")
	s.Steps = []replay.Step{
		{Op: "link-down", Port: "p1"}, {Op: "inject", Port: "p2", Frame: s.Steps[0].Frame}, {Op: "wait", MS: 7}, {Op: "wait", MS: 3},
	}
	got, err := k.Record(s)
	require.NoError(t, err)
	assert.Equal(t, []int64{22, 3}, []int64{got.Steps[2].MS, got.Steps[3].MS})
	assert.Nil(t, replay.Check(got))
}

// A bridge that does something else is found out.
func TestRecordDiffers(t *testing.T) {
	k := open(t)
	s := recording(t, "basic.jsonl.gz", "basic-learn-forward")
	got, err := k.Record(s)
	require.NoError(t, err)
	require.Nil(t, replay.Check(got))
	got.Ports[1].Flags["bcast_flood"] = replay.Value{}
	d := replay.Check(got)
	require.NotNil(t, d)
	assert.Equal(t, 0, d.Step)
}

// A host with IPv6 has no address, and so nothing to say.
func TestHostHasNoAddress(t *testing.T) {
	k := open(t)
	if !k.Features.IPv6 {
		t.Skip("the kernel has no IPv6")
	}
	l, err := newLab(true, []string{"p1"})
	require.NoError(t, err)
	defer l.close()
	require.NoError(t, l.enslave(l.taps[0]))
	require.NoError(t, l.setFlag(l.br, unix.IFF_UP, true))
	require.NoError(t, l.link(l.taps[0], true))
	require.NoError(t, l.settleBridge())
	require.NoError(t, l.ns.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/if_inet6")
		assert.Empty(t, string(text))
		return err
	}))
}

// While no port forwards the host is without a carrier: the comparison waits for the
// kernel to see to it, and back.
func TestRecordCarrier(t *testing.T) {
	k := open(t)
	s := recording(t, "basic.jsonl.gz", "basic-learn-forward")
	send := replay.Step{Op: "inject", Port: hostName, Frame: "ffffffffffff020000000b0088b500000000"}
	state := func(word string) (steps []replay.Step) {
		for _, p := range s.Ports {
			steps = append(steps, replay.Step{Op: "set-port", Port: p.Name, Attrs: replay.Attrs{"state": {Word: word, Text: true}}})
		}
		return steps
	}
	s.Steps = slices.Concat(state("listening"), []replay.Step{send, {Op: "dump-stats"}}, state("forwarding"), []replay.Step{send})
	got, err := k.Record(s)
	require.NoError(t, err)
	n := len(s.Ports)
	assert.Zero(t, got.Steps[n+1].Stats[hostName]["tx_packets"])
	assert.Len(t, got.Steps[2*n+2].Out, n)
	assert.Nil(t, replay.Check(got))
}

// What snooping does by timers that are due at once is over before the next step: a
// querier has asked at each port, and a group without members is gone.
func TestRecordSnooping(t *testing.T) {
	k := open(t)
	s := recording(t, "basic.jsonl.gz", "basic-learn-forward")
	s.Bridge["mcast_snooping"] = replay.Value{Num: 1}
	group := func(op string) replay.Step {
		return replay.Step{Op: op, Port: "p1", Group: "239.1.1.1", State: new("permanent")}
	}
	s.Steps = []replay.Step{
		{Op: "set-bridge", Attrs: replay.Attrs{"mcast_querier": {Num: 1}, "mcast_hash_max": {Num: 1}}},
		group("mdb-add"), {Op: "dump-mdb"}, group("mdb-del"), {Op: "dump-mdb"}, group("mdb-add"),
	}
	require.Empty(t, k.Features.LeftOut(s))
	for range 5 {
		got, err := k.Record(s)
		require.NoError(t, err)
		assert.Len(t, got.Steps[0].Out, 1+len(s.Ports), "a query at each device")
		require.Len(t, got.Steps[2].MDB, 1)
		assert.Equal(t, "static", got.Steps[2].MDB[0].Proto)
		assert.Empty(t, got.Steps[4].MDB)
		assert.Empty(t, got.Steps[5].Err, "there is room for it again")
		assert.Nil(t, replay.Check(got))
	}
}
