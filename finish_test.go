package bridge_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// offloads is what a cable takes that takes everything.
var offloads = bridge.Caps{TagAside: true, Checksum: true, TSO: true, USO: true, Coalesce: true}

// lender is a cable that keeps what it was given, bytes too, as no cable may: to
// see whether two were given the same.
type lender struct {
	*recorder
	got []frame.Frame
}

func (k *lender) WriteFrames(fs []frame.Frame) (int, error) {
	k.got = append(k.got, fs...)
	return len(fs), nil
}

// A frame that owes something is finished for each cable as far as that cable needs
// it, once for all that need the same, and counts as one frame.
func TestFinishesForEachCable(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{})
	caps := map[string]bridge.Caps{
		"plain": {}, "plain2": {}, "aside": {TagAside: true}, "aside2": {TagAside: true},
		"sums": {TagAside: true, Checksum: true}, "all": offloads, "short": {TagAside: true, Checksum: true, TSO: true, MaxFrame: 1500},
		"inline": {Checksum: true, TSO: true},
	}
	cables := map[string]*lender{}
	for name, c := range caps {
		cables[name] = &lender{recorder: newRecorder(name, l.log)}
		_, err := l.b.AddPort(name, cables[name], bridge.PortConfig{Caps: c})
		require.NoError(t, err)
	}
	whole := tcpGSO(mac(100), mac(9), 4000, 1000)
	sent := aside(whole, frame.TypeDot1Q, 5)
	require.NoError(t, l.p(1).Receive(sent))

	same := func(a, b string) {
		for i := range cables[a].got {
			assert.Same(t, &cables[a].got[i].Data[0], &cables[b].got[i].Data[0], "%s and %s", a, b)
		}
	}
	same("plain", "plain2")
	same("aside", "aside2")
	for name, k := range cables {
		owes := caps[name].Checksum
		switch name {
		case "all", "inline":
			require.Len(t, k.got, 1, name)
			assert.Equal(t, sent.AppendWire(nil), k.got[0].AppendWire(nil), name)
			assert.Equal(t, sent.OwedOnWire(), k.got[0].OwedOnWire(), name)
		default:
			require.Len(t, k.got, 4, name)
			stream := []byte{}
			for i := range k.got {
				f := &k.got[i]
				assert.Equal(t, caps[name].TagAside, f.Tag.Present(), name)
				assert.False(t, f.Owed.GSO(), name)
				assert.Equal(t, owes, f.Owes(), name)
				wire := f.AppendWire(nil)
				assert.Equal(t, sent.AppendWire(nil)[:18], wire[:18], name)
				assert.Zero(t, frame.Checksum(wire[18:38], 0), "%s: the IP header's checksum", name)
				assert.EqualValues(t, 100+1000*i, binary.BigEndian.Uint32(wire[42:]), "%s: sequence number", name)
				if !owes {
					assert.Zero(t, frame.Checksum(wire[38:], uint32(^frame.Checksum(wire[30:38], 6+1020))), "%s: TCP's checksum", name)
				}
				stream = append(stream, wire[58:]...)
			}
			assert.True(t, bytes.Equal(whole.Data[54:], stream), name)
		}
	}
	for _, p := range l.b.Ports() {
		if s := p.Stats(); p.Name() != "p1" {
			assert.EqualValues(t, 1, s.TxPackets, p.Name())
			assert.EqualValues(t, sent.WireLen(), s.TxBytes, p.Name())
			assert.Equal(t, bridge.EgressLedger{Offered: 1, Sent: 1}, s.Egress, p.Name())
		}
	}
	balanced(t, l.b)
}

// What cannot be finished so that it fits is refused at that port alone.
func TestTooLongEvenInSegments(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{Caps: bridge.Caps{MaxFrame: 1053}})
	l.add(3, bridge.PortConfig{Caps: bridge.Caps{MaxFrame: 1054}})
	assert.Equal(t, []string{"p3", "p3", "p3", "p3"}, l.out(1, tcpGSO(mac(100), mac(9), 4000, 1000))[:4])
	assert.EqualValues(t, 1, l.p(2).Stats().Egress.Refused[bridge.DropTooLong])
	assert.Equal(t, []string{"p3"}, l.out(1, tcpGSO(mac(100), mac(9), 1000, 0)))
	assert.EqualValues(t, 2, l.p(2).Stats().Egress.Refused[bridge.DropTooLong])
	balanced(t, l.b)
}

// Segments of one frame that are not all taken count as that frame, refused; what
// is behind them goes on where the cable lets it.
func TestSegmentsRefused(t *testing.T) {
	before, big, after := ether(mac(100), mac(9)), tcpGSO(mac(100), mac(9), 4000, 1000), ether(mac(100), mac(9))
	for _, c := range []struct {
		name    string
		err     error
		sent    int // segments, of those that were tried
		refused map[bridge.DropReason]uint64
		wire    int
	}{
		{"one segment", &bridge.FrameError{Reason: bridge.DropTooLong}, 2, map[bridge.DropReason]uint64{bridge.DropTooLong: 1}, 1 + 2 + 1},
		{"one segment, and the rest told", told(refusedFor(bridge.DropTooLong), nil, nil, nil), 1, map[bridge.DropReason]uint64{bridge.DropTooLong: 1}, 1 + 1},
		{"one segment, and some told", told(nil, refusedFor(bridge.DropTooLong), nil), 0, map[bridge.DropReason]uint64{bridge.DropTooLong: 1}, 1 + 1},
		{"none of what is told", told(nil, nil), 1, nil, 1 + 1 + 2},
		{"the frame behind", told(nil, refusedFor(bridge.DropDriver)), 3, map[bridge.DropReason]uint64{bridge.DropDriver: 1}, 1 + 3},
		{"full", bridge.ErrQueueFull, 2, map[bridge.DropReason]uint64{bridge.DropQueueFull: 2}, 1 + 2},
		{"full at once", bridge.ErrQueueFull, 0, map[bridge.DropReason]uint64{bridge.DropQueueFull: 2}, 1},
		{"gone", fmt.Errorf("boom"), 3, map[bridge.DropReason]uint64{bridge.DropPortGone: 2}, 1 + 3},
		{"full behind it", bridge.ErrQueueFull, 4, map[bridge.DropReason]uint64{bridge.DropQueueFull: 1}, 1 + 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 1)
			wire, said := 0, false
			cable := &badIO{recorder: newRecorder("bad", l.log)}
			cable.write = func(fs []frame.Frame) (int, error) {
				if said || len(fs) <= 1+c.sent {
					wire += len(fs)
					return len(fs), nil
				}
				said = true
				wire += 1 + c.sent
				return 1 + c.sent, c.err
			}
			p, err := l.b.AddPort("bad", cable, bridge.PortConfig{})
			require.NoError(t, err)
			_ = l.p(1).Receive(before, big, after)
			assert.Equal(t, c.wire, wire)
			e := p.Stats().Egress
			n := uint64(0)
			for why, want := range c.refused {
				assert.Equal(t, want, e.Refused[why])
				n += want
			}
			assert.Equal(t, 3-n, e.Sent)
			balanced(t, l.b)
		})
	}
}

// Segments that came in small are joined for a cable that asks for it, within a
// batch; the ledgers count what was decided.
func TestJoinsWhatFollows(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{})
	cables := map[string]*keeper{}
	for name, caps := range map[string]bridge.Caps{"joins": offloads, "not": {TagAside: true, Checksum: true, TSO: true}} {
		cables[name] = &keeper{recorder: newRecorder(name, l.log)}
		_, err := l.b.AddPort(name, cables[name], bridge.PortConfig{Caps: caps})
		require.NoError(t, err)
	}
	whole := aside(tcpGSO(mac(100), mac(9), 30_000, 1000), frame.TypeDot1Q, 5)
	parts, _ := whole.AppendFinished(nil, nil, frame.Form{})
	batch := append([]frame.Frame{ether(mac(100), mac(9))}, parts...)
	batch = append(batch, ether(mac(100), mac(9)))
	bytes := uint64(0)
	for i := range batch {
		bytes += uint64(batch[i].WireLen())
	}
	require.NoError(t, l.p(1).Receive(batch...))
	assert.Len(t, cables["not"].got, 32)
	got := cables["joins"].got
	require.Len(t, got, 3)
	assert.Equal(t, whole.AppendWire(nil), got[1].AppendWire(nil))
	assert.Equal(t, whole.OwedOnWire(), got[1].OwedOnWire())
	for _, p := range l.b.Ports() {
		if s := p.Stats(); p.Name() != "p1" {
			assert.Equal(t, bridge.EgressLedger{Offered: 32, Sent: 32}, s.Egress, p.Name())
			assert.Equal(t, bytes, s.TxBytes, p.Name())
		}
	}
	balanced(t, l.b)
}

// A frame that the cable does not take as it is keeps no others from being joined, and
// each is counted once.
func TestJoinsBesideWhatIsCut(t *testing.T) {
	l := newLab(t, bridge.Config{})
	l.add(1, bridge.PortConfig{})
	k := &keeper{recorder: newRecorder("joins", l.log)}
	caps := offloads
	caps.USO, caps.MaxFrame = false, 20_000
	p, err := l.b.AddPort("joins", k, bridge.PortConfig{Caps: caps})
	require.NoError(t, err)
	whole, cut := tcpGSO(mac(100), mac(9), 9000, 1000), tcpGSO(mac(100), mac(8), 30_000, 1000)
	cut.Data[34] = 99 // another port, so another stream
	parts, _ := whole.AppendFinished(nil, nil, frame.Form{})
	batch := append([]frame.Frame{}, parts[:4]...)
	batch = append(batch, cut)
	batch = append(batch, parts[4:]...)
	batch = append(batch, etherN(mac(100), mac(7), 21_000), ether(mac(100), mac(7)))
	require.NoError(t, l.p(1).SetMTU(65000))
	require.NoError(t, p.SetMTU(65000))
	require.NoError(t, l.p(1).Receive(batch...))
	require.Len(t, k.got, 1+30+1)
	assert.Equal(t, whole.Data, k.got[0].Data)
	assert.Equal(t, whole.Owed, k.got[0].Owed)
	e := p.Stats().Egress
	assert.EqualValues(t, 12, e.Offered)
	assert.EqualValues(t, 11, e.Sent)
	assert.EqualValues(t, 1, e.Refused[bridge.DropTooLong])
	balanced(t, l.b)
}

// What follows is joined in two, and refused in one: that many frames are lost.
func TestJoinedRefused(t *testing.T) {
	l := newLabN(t, bridge.Config{}, 1)
	cable := &badIO{recorder: newRecorder("bad", l.log)}
	cable.write = func(fs []frame.Frame) (int, error) {
		if len(fs) == 1 {
			return 1, nil
		}
		return 0, &bridge.FrameError{Reason: bridge.DropBadOffload}
	}
	p, err := l.b.AddPort("bad", cable, bridge.PortConfig{Caps: offloads})
	require.NoError(t, err)
	var batch []frame.Frame
	for _, n := range []int{5000, 3000} {
		whole := tcpGSO(mac(100), mac(9), n, 1000)
		whole.Data[35] = byte(n) // another port
		parts, _ := whole.AppendFinished(nil, nil, frame.Form{Checksum: true})
		batch = append(batch, parts...)
	}
	require.NoError(t, l.p(1).Receive(batch...))
	e := p.Stats().Egress
	assert.EqualValues(t, 5, e.Refused[bridge.DropBadOffload])
	assert.EqualValues(t, 3, e.Sent)
	balanced(t, l.b)
}

// A frame on its way to cables of every kind allocates nothing.
func TestFinishingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	for name, caps := range map[string]bridge.Caps{
		"plain": {}, "aside": {TagAside: true}, "sums": {TagAside: true, Checksum: true}, "all": offloads,
	} {
		_, err := b.AddPort(name, newSink(), bridge.PortConfig{Caps: caps})
		require.NoError(t, err)
	}
	from, err := b.AddPort("from", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	in := from.Input()
	whole := tcpGSO(mac(100), mac(9), 60_000, 1448)
	parts, _ := whole.AppendFinished(nil, nil, frame.Form{})
	many := slices.Repeat([]frame.Frame{whole}, 6) // as many as a packet socket gives at once
	for name, batch := range map[string][]frame.Frame{"cut": many, "filled in": {tcpGSO(mac(100), mac(9), 1000, 0)}, "joined": parts} {
		carry := func() { _ = in.Receive(batch) }
		carry()
		assert.Zero(t, testing.AllocsPerRun(100, carry), name)
	}
}

// What a batch of large frames needed is given back after a while of small ones, and
// slows nothing down until then.
func TestScratchIsGivenBack(t *testing.T) {
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	_, err = b.AddPort("plain", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	from, err := b.AddPort("from", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	in := from.Input()
	hostile := slices.Repeat([]frame.Frame{tcpGSO(mac(100), mac(9), 60_000, 48)}, 64)
	require.NoError(t, in.Receive(hostile))
	bytes, frames := bridge.Scratch(in)
	assert.Greater(t, bytes, 4<<20)
	assert.Greater(t, frames, 50_000)
	for range 256 {
		require.NoError(t, in.Receive([]frame.Frame{ether(mac(100), mac(9))}))
	}
	bytes, frames = bridge.Scratch(in)
	assert.LessOrEqual(t, bytes, 512<<10)
	assert.LessOrEqual(t, frames, 3*1024)
}

// So is what a batch needed of which many views were made, the last ones to be finished.
func TestScratchOfManyIsGivenBack(t *testing.T) {
	b, err := bridge.New(bridge.Config{VLANFiltering: true, VLANDefaultPVID: new(frame.VID(0))})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	in10 := bridge.PortConfig{VLANs: bridge.Trunk(0, 10), Caps: bridge.Caps{TagAside: true}}
	from, err := b.AddPort("from", newSink(), in10)
	require.NoError(t, err)
	in10.Attrs.VLANTunnel = new(true)
	for i := range uint32(80) { // of which each has a view of a frame that is flooded
		p, err := b.AddPort(fmt.Sprint("tunnel", i), newSink(), in10)
		require.NoError(t, err)
		require.NoError(t, p.VLANs().AddTunnel(bridge.VLANTunnel{VID: 10, ID: 1 + i}))
	}
	in := from.Input()
	f, plain := aside(tcpGSO(mac(100), mac(9), 20, 0), frame.TypeDot1Q, 10), aside(ether(mac(100), mac(9)), frame.TypeDot1Q, 10)
	require.NoError(t, in.Receive(append(slices.Repeat([]frame.Frame{plain}, 48), f)))
	bytes, frames := bridge.Scratch(in)
	assert.Greater(t, bytes, 200<<10)
	assert.Greater(t, frames, 3800)
	for range 256 {
		require.NoError(t, in.Receive([]frame.Frame{f}))
	}
	bytes, frames = bridge.Scratch(in)
	assert.LessOrEqual(t, bytes, 64<<10)
	assert.LessOrEqual(t, frames, 1024)
	balanced(t, b)
}

// After a batch nothing holds on to the memory of its frames, in whatever form they
// left by whatever port.
func TestBatchIsForgotten(t *testing.T) {
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	for name, caps := range map[string]bridge.Caps{"all": offloads, "plain": {}, "sums": {TagAside: true, Checksum: true}, "short": {MaxFrame: 60}} {
		_, err := b.AddPort(name, newSink(), bridge.PortConfig{Caps: caps})
		require.NoError(t, err)
	}
	from, err := b.AddPort("from", newSink(), bridge.PortConfig{})
	require.NoError(t, err)
	in := from.Input()
	var held atomic.Int32
	func() {
		whole := aside(tcpGSO(mac(100), mac(9), 8000, 1000), frame.TypeDot1Q, 5)
		other := tcpGSO(mac(100), mac(7), 3000, 1000)
		batch, _ := other.AppendFinished([]frame.Frame{whole, tcpGSO(mac(100), mac(8), 1000, 0), ether(mac(100), mac(9))}, nil, frame.Form{})
		for i := range batch {
			held.Add(1)
			data := new([16 << 10]byte) // an allocation of its own
			batch[i].Data = data[:copy(data[:], batch[i].Data)]
			runtime.AddCleanup(data, func(int) { held.Add(-1) }, 0)
		}
		_ = in.Receive(batch)
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		return held.Load() == 0
	}, time.Minute, time.Millisecond, "%d frames are held", held.Load())
}
