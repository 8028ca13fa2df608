package live

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

	s.Steps = []replay.Step{{Op: "mdb-add", Port: "p1"}}
	_, err = k.Record(s)
	assert.ErrorIs(t, err, errNotHere)
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
