package replay

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		in   int64
		d    time.Duration
		dump int64
	}{
		{0, 0, 0}, {1, 8 * time.Millisecond, 0}, {2, 20 * time.Millisecond, 2},
		{99, 988 * time.Millisecond, 98}, {100, time.Second, 100}, {125, 1248 * time.Millisecond, 124},
		{1050, 10500 * time.Millisecond, 1050}, {3125, 31248 * time.Millisecond, 3124},
		{30000, 300 * time.Second, 30000}, {100_000_000, 1_000_000 * time.Second, 100_000_000},
	} {
		assert.Equal(t, c.d, duration(c.in), "%d", c.in)
		assert.Equal(t, c.dump, clock(duration(c.in)), "%d", c.in)
	}
	assert.Equal(t, int64(3124), clock(31250*time.Millisecond), "the default of a bridge that has no ticks")
}

func TestNeeds(t *testing.T) {
	s := &Scenario{
		Bridge: Attrs{"mcast_snooping": {Num: 1}, "stp_state": {}},
		Ports: []Port{
			{Flags: Attrs{"backup_port": word(""), "learning": {Num: 1}, "vlan_tunnel": {}}},
			{Flags: Attrs{"backup_port": word("p1")}},
		},
		Steps: []Step{
			{Op: "set-port", Attrs: Attrs{"vlan_tunnel": {}}},
			{Op: "set-bridge", Attrs: Attrs{"ageing_time": {Num: 1}}},
		},
	}
	assert.Equal(t, []string{"backup_port", "mcast_snooping", "vlan_tunnel"}, s.Needs())
	assert.Empty(t, new(Scenario).Needs())
}

func TestRefusals(t *testing.T) {
	wrapped := fmt.Errorf("deep: %w", &bridge.OpError{Op: "x", Errno: bridge.EBUSY})
	assert.NoError(t, sameRefusal("", nil))
	assert.NoError(t, sameRefusal("EBUSY", wrapped))
	assert.ErrorContains(t, sameRefusal("EBUSY", nil), "expected the refusal EBUSY, came success")
	assert.ErrorContains(t, sameRefusal("", wrapped), "expected success, came the refusal EBUSY")
	assert.ErrorContains(t, sameRefusal("EINVAL", wrapped), "expected the refusal EINVAL, came EBUSY")
	assert.ErrorContains(t, sameRefusal("EINVAL", errors.New("x")), "without Errno")
	assert.ErrorContains(t, sameRefusal("", errors.New("x")), "without Errno")
}

func station(dst, src byte, rest ...byte) []byte {
	return append([]byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src}, rest...)
}

func TestDiffFrames(t *testing.T) {
	a, b := station(1, 2, 0x88, 0xb5, 1), station(1, 2, 0x88, 0xb5, 2)
	assert.Empty(t, diffFrames(nil, nil))
	assert.Empty(t, diffFrames([][]byte{a, b}, [][]byte{a, b}))
	assert.Contains(t, diffFrames([][]byte{a, b}, [][]byte{b, a}), "frame 1 of 2: expected 02000000000102000000000288b501")
	assert.Contains(t, diffFrames([][]byte{a, b}, [][]byte{a}), "missing is 02000000000102000000000288b502")
	assert.Contains(t, diffFrames([][]byte{a}, [][]byte{a, b}), "not expected is 02000000000102000000000288b502")
	assert.Contains(t, diffFrames([][]byte{a}, [][]byte{a[:13]}), "13 bytes")
}

// query is an IGMPv2 general query in a VLAN.
func query(vid byte) []byte {
	ip := []byte{0x46, 0xc0, 0, 32, 0, 0, 0x40, 0, 1, 2, 0, 0, 0, 0, 0, 0, 224, 0, 0, 1, 0x94, 4, 0, 0}
	return slices.Concat(station(1, 2, 0x81, 0x00, 0, vid, 0x08, 0x00), ip, []byte{0x11, 100, 0, 0, 0, 0, 0, 0})
}

func TestQueriesAsASet(t *testing.T) {
	q1, q2, other := query(1), query(2), station(1, 2, 0x88, 0xb5)
	require.True(t, isQuery(q1))
	require.False(t, isQuery(other))
	for i := range q1 {
		isQuery(q1[:i]) // whatever is cut off: no panic
	}
	report := slices.Clone(q1)
	report[18+24] = 0x16
	assert.False(t, isQuery(report))
	one := func(fs ...[]byte) map[string][][]byte { return map[string][][]byte{"p1": fs} }
	assert.NoError(t, diffDevices(one(q1, q2), one(q2, q1), isQuery))
	assert.Error(t, diffDevices(one(q1, q2), one(q2, q1), nil))
	assert.Error(t, diffDevices(one(q1, q2), one(q1, q1), isQuery))
	assert.Error(t, diffDevices(one(q1, q2), one(q1), isQuery))
	assert.Error(t, diffDevices(one(other, report), one(report, other), isQuery), "all else keeps its order")
}

func mldQuery() []byte {
	ip := make([]byte, 40, 80)
	ip[0], ip[6] = 0x60, 0
	ip = append(ip, 0x3a, 0, 5, 2, 0, 0, 1, 0, 130, 0, 0, 0)
	return append(station(1, 2, 0x86, 0xdd), ip...)
}

func TestMLDQuery(t *testing.T) {
	q := mldQuery()
	assert.True(t, isQuery(q))
	q[14+48] = 131
	assert.False(t, isQuery(q), "a report")
}

// configBPDU gives a configuration BPDU with the given first bytes of the root's
// and the bridge's identifiers and message age.
func configBPDU(root, bridge byte, age uint16) []byte {
	b := make([]byte, bpduLen)
	copy(b, []byte{0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38, 0x42, 0x42, 0x03})
	b[bpduRoot], b[bpduBridge] = root, bridge
	b[bpduAge], b[bpduAge+1] = byte(age>>8), byte(age)
	return b
}

func TestMessageAge(t *testing.T) {
	relayed := configBPDU(1, 2, 300)
	assert.True(t, sameFrame(relayed, configBPDU(1, 2, 326)))
	assert.True(t, sameFrame(relayed, configBPDU(1, 2, 274)))
	assert.False(t, sameFrame(relayed, configBPDU(1, 2, 327)))
	assert.False(t, sameFrame(relayed, configBPDU(1, 2, 273)))
	assert.False(t, sameFrame(relayed, configBPDU(1, 3, 300)), "another bridge")
	assert.False(t, sameFrame(configBPDU(2, 2, 300), configBPDU(2, 2, 301)), "a root's own BPDU has no measured age")
	late := configBPDU(1, 2, 300)
	late[bpduLen-1] = 1
	assert.False(t, sameFrame(relayed, late), "another forward delay")
	tcn := configBPDU(1, 2, 300)
	tcn[bpduType] = 0x80
	other := slices.Clone(tcn)
	other[bpduAge]++
	assert.False(t, sameFrame(tcn, other))
}

func TestDiffLines(t *testing.T) {
	assert.NoError(t, diffLines([]string{"a", "b"}, []string{"a", "b"}))
	assert.ErrorContains(t, diffLines([]string{"a", "b"}, []string{"b", "a"}), "the order differs")
	assert.ErrorContains(t, diffLines([]string{"a", "b"}, []string{"a", "c"}), `expected "b", which is not there; came "c"`)
	assert.ErrorContains(t, diffLines([]string{"a", "b"}, []string{"b"}), `expected "a", which is not there`)
	assert.ErrorContains(t, diffLines([]string{"b"}, []string{"a", "b"}), `came "a", which is not expected`)
	assert.ErrorContains(t, diffLines([]string{"a", "b"}, []string{"a"}), `missing is "b"`)
	assert.ErrorContains(t, diffLines([]string{"a"}, []string{"a", "b"}), `not expected is "b"`)
}

func TestAside(t *testing.T) {
	tagged := station(1, 2, 0x81, 0x00, 0x60, 10, 0x88, 0xb5, 1, 2)
	f := aside(frame.Frame{Data: tagged})
	assert.Equal(t, frame.Tag{TPID: frame.TypeDot1Q, TCI: 0x600a}, f.Tag)
	assert.False(t, f.Lifted)
	assert.Equal(t, tagged, f.AppendWire(nil))
	for _, data := range [][]byte{nil, tagged[:5], tagged[:18], station(1, 2, 0x88, 0xb5)} {
		assert.Equal(t, frame.Frame{Data: data}, aside(frame.Frame{Data: data}), "%x", data)
	}
}

// TestLedgers: a ledger that does not balance, or tells of frames that the cable
// has not got, is a difference.
func TestLedgers(t *testing.T) {
	c := newCable(true)
	in := bridge.IngressLedger{Received: 6, Used: 1, Passed: 1, Consumed: 1}
	in.Dropped[1], in.Dropped[2] = 1, 2
	out := bridge.EgressLedger{Offered: 3}
	out.Refused[1] = 3
	require.NoError(t, balanced("p1", in, out, c))
	in.Received++
	assert.ErrorContains(t, balanced("p1", in, out, c), "ingress ledger does not balance")
	in.Received--
	out.Offered++
	assert.ErrorContains(t, balanced("p1", in, out, c), "egress ledger does not balance")
	out.Sent++
	assert.ErrorContains(t, balanced("p1", in, out, c), "1 frames counted as sent, 0 reached the cable")
	_, err := c.WriteFrames([]frame.Frame{{Data: station(1, 2, 0x88, 0xb5)}})
	require.NoError(t, err)
	assert.NoError(t, balanced("p1", in, out, c))
}

// TestForetelling: an explanation that foretells other frames than those that
// left is a difference.
func TestForetelling(t *testing.T) {
	f := frame.Frame{Data: station(1, 2, 0x88, 0xb5)}
	b, err := bridge.New(bridge.Config{Address: frame.MAC{2, 0, 0, 0, 0x0b}})
	require.NoError(t, err)
	defer b.Close()
	r := &run{b: b, host: newCable(true), devs: []*device{{name: "p1", cable: newCable(true)}}}
	said := func(devs ...string) (e bridge.Explanation) {
		for _, d := range devs {
			e.Out = append(e.Out, bridge.Emission{Dev: d, Frame: f})
		}
		return e
	}
	assert.NoError(t, r.left(said()))
	assert.ErrorContains(t, r.left(said("p1")), "p1: expected 1 frames, came 0")
	assert.ErrorContains(t, r.left(said("p7")), "no device")
	_, err = r.host.WriteFrames([]frame.Frame{f})
	require.NoError(t, err)
	assert.NoError(t, r.left(said(hostName)))
	assert.ErrorContains(t, r.left(said()), "br0: expected 0 frames, came 1")
	assert.ErrorContains(t, r.left(said("p1", hostName)), "p1: ")

	query, err := hex.DecodeString("01005e000001020000000b00080046c00020000040000102041700000000e000000194040000110cfef0ef010101")
	require.NoError(t, err)
	_, err = r.devs[0].cable.WriteFrames([]frame.Frame{{Data: query}})
	require.NoError(t, err)
	assert.NoError(t, r.left(said(hostName)), "a query of the bridge's own need not be foretold")
	query[6] = 6
	_, err = r.devs[0].cable.WriteFrames([]frame.Frame{{Data: query}})
	require.NoError(t, err)
	assert.ErrorContains(t, r.left(said(hostName)), "p1: expected 0 frames, came 1", "one of another's is a frame like others")
}

// TestCable holds the bridge's side of the FrameIO contract.
func TestCable(t *testing.T) {
	tagged := frame.Frame{Data: station(1, 2, 0x88, 0xb5), Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 1}}
	c := newCable(false)
	n, err := c.WriteFrames([]frame.Frame{tagged})
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Empty(t, c.fault)
	assert.Equal(t, [][]byte{tagged.AppendWire(nil)}, c.take())
	assert.Empty(t, c.take())

	plain := newCable(true)
	plain.WriteFrames([]frame.Frame{tagged})
	assert.Contains(t, plain.fault, "tag beside the data")
	short := newCable(false)
	short.WriteFrames([]frame.Frame{{Data: []byte{1}}})
	assert.Contains(t, short.fault, "not well formed")
	owing := newCable(false)
	owing.WriteFrames([]frame.Frame{{Data: tagged.Data, Owed: frame.Offload{Flags: 1}}})
	assert.Contains(t, owing.fault, "owes")

	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	_, err = c.WriteFrames([]frame.Frame{tagged})
	assert.Error(t, err)
	_, err = c.ReadFrames(make([]frame.Frame, 1))
	assert.Error(t, err)
}

// TestPanicIsADifference: a library that panics fails the scenario, and the next
// one is replayed.
func TestPanicIsADifference(t *testing.T) {
	s := clone(t, readAll(t)[0])
	s.Steps[0] = Step{Op: "inject", Port: "p99", Frame: "00", Out: map[string][]string{}}
	d := Run(s, Options{})
	require.NotNil(t, d)
	assert.Contains(t, d.Text, "panic: no device p99: replay.go:")
}
