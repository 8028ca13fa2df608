package bridge_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

var (
	rawQ    = frame.Tag{TPID: frame.TypeDot1Q, TCI: 0xa00a}
	rawAD   = frame.Tag{TPID: frame.TypeDot1AD, TCI: 0x0014}
	rawZero = frame.Tag{TPID: frame.TypeDot1Q}
)

// rawTagged is a frame of these tests in wire form, with the tags in its data.
func rawTagged(mark byte, length int, tags ...frame.Tag) []byte {
	w := tapWire(mark, length)
	for i := len(tags) - 1; i >= 0; i-- {
		w = (&frame.Frame{Data: w, Tag: tags[i]}).AppendWire(nil)
	}
	return w
}

// rawPair is a raw socket at each end of a pair of interfaces.
func rawPair(t testing.TB) (ns string, a, b *bridge.RawSocket) {
	t.Helper()
	ns = rawVeth(t)
	return ns, rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns}), rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
}

// rawSend writes one frame, which has to be taken.
func rawSend(t testing.TB, io bridge.FrameIO, f frame.Frame) {
	t.Helper()
	n, err := io.WriteFrames([]frame.Frame{f})
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestRawFramesBothWays(t *testing.T) {
	_, a, b := rawPair(t)
	var want []frame.Frame
	for i := range 150 { // more than one system call takes
		want = append(want, frame.Frame{Data: tapWire(byte(i), 60+14*i%1400)})
	}
	for _, ends := range [][2]*bridge.RawSocket{{a, b}, {b, a}} {
		n, err := ends[0].WriteFrames(want)
		require.NoError(t, err)
		require.Equal(t, len(want), n)
		assert.Equal(t, want, rawCollect(t, ends[1], len(want)))
	}
}

func TestRawReadsNoMoreThanAskedAndKeepsTheRest(t *testing.T) {
	_, a, b := rawPair(t)
	n, err := b.ReadFrames(nil)
	assert.NoError(t, err)
	assert.Zero(t, n)
	for i := range 12 {
		rawSend(t, a, frame.Frame{Data: tapWire(byte(i), 64)})
	}
	at := 0
	for _, ask := range []int{3, 1, 7, 64} {
		fs := make([]frame.Frame, ask)
		n, err := rawRead(t, b, fs)
		require.NoError(t, err)
		require.Equal(t, min(ask, 12-at), n)
		for _, f := range fs[:n] {
			assert.Equal(t, frame.Frame{Data: tapWire(byte(at), 64)}, f)
			assert.Equal(t, len(f.Data), cap(f.Data), "an append would run into the next frame")
			at++
		}
	}
	assert.Equal(t, 12, at)
}

// Frames that a slot of the ring has room for are given many at a time, longer ones
// six, and any mixture in order.
func TestRawReadsAsMuchAsFits(t *testing.T) {
	ns, a, b := rawPair(t)
	tapIP(t, ns, "link", "set", "v0", "mtu", "9000")
	tapIP(t, ns, "link", "set", "v1", "mtu", "9000")
	for name, c := range map[string]struct {
		size  func(i int) int
		first int // frames of the first reading
	}{
		"short":       {func(i int) int { return 60 + i }, 100},
		"full":        {func(i int) int { return 1514 }, 100},
		"just short":  {func(i int) int { return 1588 }, 100},
		"just long":   {func(i int) int { return 1589 }, 6},
		"long":        {func(i int) int { return 9000 }, 6},
		"some long":   {func(i int) int { return 100 + 8000*(i%10/9) }, 69},
		"pairs":       {func(i int) int { return 100 + 8000*(i/2%2) }, 14},
		"long at end": {func(i int) int { return 100 + 8000*(i/99) }, 100},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 100 {
				rawSend(t, a, frame.Frame{Data: tapWire(byte(i), c.size(i))})
			}
			fs := make([]frame.Frame, 100)
			for at := 0; at < 100; {
				n, err := rawRead(t, b, fs)
				require.NoError(t, err)
				if at == 0 {
					assert.Equal(t, c.first, n)
				}
				for i := range fs[:n] {
					require.Equal(t, frame.Frame{Data: tapWire(byte(at), c.size(at))}, fs[i])
					at++
				}
			}
		})
	}
	assert.Zero(t, b.Lost())
}

// Every way in which a frame can hold tags arrives as the bytes that AppendWire
// gives, with the outer tag held aside, VID 0 and 802.1ad included.
func TestRawTags(t *testing.T) {
	_, a, b := rawPair(t)
	foreign := frame.Tag{TPID: 0x9100, TCI: 30}
	datas := [][]byte{
		tapWire(7, 80), rawTagged(7, 80, rawQ), rawTagged(7, 80, rawAD), rawTagged(7, 80, rawZero),
		rawTagged(7, 80, rawAD, rawQ), rawTagged(7, 80, rawQ, rawQ),
	}
	for _, data := range datas {
		for _, tag := range []frame.Tag{{}, rawQ, rawAD, rawZero, foreign} {
			for _, lifted := range []bool{false, true} {
				sent := frame.Frame{Data: data, Tag: tag, Lifted: lifted}
				wire := sent.AppendWire(nil)
				if plain := (&frame.Frame{Data: data, Lifted: lifted}).AppendWire(nil); !tapOurs(plain) {
					continue // leaving bytes out of an untagged frame makes another frame
				}
				want := frame.Frame{Data: wire}
				if want.Lift() && want.Lifted {
					want = frame.Frame{Data: append(wire[:12:12], wire[16:]...), Tag: want.Tag}
				}
				rawSend(t, a, sent)
				what := fmt.Sprintf("tag %v, lifted %v, data % x", tag, lifted, data[:22])
				if tag == foreign {
					fs := make([]frame.Frame, 1)
					_, err := rawRead(t, b, fs)
					require.NoError(t, err)
					assert.Equal(t, want, fs[0], what)
					continue
				}
				assert.Equal(t, want, rawCollect(t, b, 1)[0], what)
			}
		}
	}
}

// What an interface takes of its MTU: an Ethernet header, and 4 bytes more for a
// tag of TPID 0x8100 alone.
func TestRawLongestFrames(t *testing.T) {
	ns, a, b := rawPair(t)
	for _, mtu := range []int{1500, 9000, 65535} {
		for _, name := range []string{"v0", "v1"} {
			tapIP(t, ns, "link", "set", name, "mtu", fmt.Sprint(mtu))
		}
		longest := mtu + frame.HeaderLen
		for _, c := range []struct {
			f    frame.Frame
			fits bool
		}{
			{frame.Frame{Data: tapWire(1, longest)}, true},
			{frame.Frame{Data: tapWire(1, longest+1)}, false},
			{frame.Frame{Data: tapWire(1, longest), Tag: rawQ}, true},
			{frame.Frame{Data: tapWire(1, longest), Tag: rawZero}, true},
			{frame.Frame{Data: rawTagged(1, longest, rawQ)}, true},
			{frame.Frame{Data: tapWire(1, longest+1), Tag: rawQ}, false},
			{frame.Frame{Data: tapWire(1, longest), Tag: rawAD}, false},
			{frame.Frame{Data: tapWire(1, longest-4), Tag: rawAD}, true},
			{frame.Frame{Data: rawTagged(1, longest, rawQ, rawQ)}, false},
			{frame.Frame{Data: rawTagged(1, longest-4, rawQ, rawQ)}, true},
			{frame.Frame{Data: rawTagged(1, longest-4, rawQ), Tag: rawAD}, false},
		} {
			n, err := a.WriteFrames([]frame.Frame{c.f, {Data: tapWire(2, 60)}})
			what := fmt.Sprintf("MTU %d, %d bytes, tag %v", mtu, c.f.WireLen(), c.f.Tag)
			if c.fits {
				require.NoError(t, err, what)
				require.Equal(t, 2, n, what)
				got := rawCollect(t, b, 2)
				assert.Equal(t, c.f.AppendWire(nil), got[0].AppendWire(nil), what)
				continue
			}
			var fe *bridge.FrameError
			require.ErrorAs(t, err, &fe, what)
			assert.Equal(t, bridge.DropTooLong, fe.Reason, what)
			assert.Zero(t, n, what)
		}
	}
	assert.Zero(t, b.Lost())
}

// rawSuper is an IPv4 TCP frame that owes its checksum and segmentation, of an IP
// packet of length bytes.
func rawSuper(length int, tags ...frame.Tag) frame.Frame {
	w := make([]byte, frame.HeaderLen+length)
	copy(w, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6})
	binary.BigEndian.PutUint16(w[16:], uint16(length))
	copy(w[26:], []byte{10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0x30, 0x3a, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0x20, 0})
	for i := 54; i < len(w); i++ {
		w[i] = byte(i * 7)
	}
	o := frame.Offload{Flags: frame.NeedsCsum, GSOType: frame.GSOTCPv4, GSOSize: 1448, HdrLen: 54, CsumStart: 34, CsumOffset: 16}
	for i := len(tags) - 1; i >= 0; i-- {
		f := frame.Frame{Data: w, Tag: tags[i], Owed: o}
		w, o = f.AppendWire(nil), f.OwedOnWire()
	}
	return frame.Frame{Data: w, Owed: o}
}

// Frames that are still to be cut cross whole under up to two tags, up to the length
// at which the device has the kernel cut them (gso_max_size), and what they owe
// points at the same bytes. The longest are taken, and cut on their way.
func TestRawSuperFrames(t *testing.T) {
	_, a, b := rawPair(t)
	for _, tags := range [][]frame.Tag{nil, {rawQ}, {rawAD, rawQ}} {
		for _, length := range []int{4000, 65535 - frame.HeaderLen - frame.TagLen*len(tags)} {
			sent := rawSuper(length, tags...)
			rawSend(t, a, sent)
			fs := make([]frame.Frame, 8)
			n, err := rawRead(t, b, fs)
			require.NoError(t, err)
			require.Equal(t, 1, n, "it was cut")
			got := fs[0]
			require.Equal(t, sent.AppendWire(nil), got.AppendWire(nil))
			assert.Equal(t, len(tags) > 0, got.Tag.Present())
			want, have := sent.Owed, got.OwedOnWire()
			have.HdrLen = want.HdrLen // a hint
			assert.Equal(t, want, have, "tags %v", tags)
		}
		sent := rawSuper(65535, tags...)
		require.Equal(t, len(tags) == 2, sent.WireLen() == bridge.MaxRawFrame)
		rawSend(t, a, sent)
		fs := make([]frame.Frame, 8)
		headers := sent.WireLen() - 65535 + 40
		for got := 0; got < 65535-40; {
			n, err := rawRead(t, b, fs)
			require.NoError(t, err)
			for _, f := range fs[:n] {
				got += f.WireLen() - headers
				require.False(t, f.Owed.GSO())
			}
		}
	}
	assert.Zero(t, b.Lost())
}

// A segmentation inside a tunnel comes as one whose checksum begins at the inner
// header, and is refused when sent: the kernel would have to cut it, and no longer
// knows of the tunnel.
func TestRawTunnelledSuperFrames(t *testing.T) {
	ns, nsB := tapNetns(t), tapNetns(t)
	rawCable(t, ns, nsB, "v0", "v1")
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: nsB})
	if !b.Caps().USO {
		t.Skip("the kernel hands over no UDP that is still to be cut")
	}
	tapIP(t, ns, "link", "add", "vx0", "type", "vxlan", "id", "5", "remote", "10.8.0.2", "dstport", "4789", "dev", "v0")
	tapIP(t, ns, "link", "set", "vx0", "up")
	for dev, net := range map[string]string{"v0": "10.8.0.", "vx0": "10.7.0."} {
		tapIP(t, ns, "address", "add", net+"1/24", "dev", dev)
		tapIP(t, ns, "neigh", "add", net+"2", "lladdr", "02:00:00:00:00:02", "dev", dev)
	}
	rawSegmentedUDP(t, ns, "10.7.0.1:0", &net.UDPAddr{IP: net.IPv4(10, 7, 0, 2), Port: 9}, make([]byte, 10000), 1000)

	const outer, inner = 14 + 20 + 8 + 8, 14 + 20 + 8 // Ethernet, IP, UDP, and VXLAN of the outer
	fs := make([]frame.Frame, 1)
	for len(fs[0].Data) != outer+inner+10000 { // after what the kernel has to say of its own
		_, err := rawRead(t, b, fs)
		require.NoError(t, err)
	}
	assert.Equal(t, frame.GSOUDP, fs[0].Owed.GSOType)
	assert.Equal(t, uint16(outer+34), fs[0].Owed.CsumStart)

	n, err := b.WriteFrames([]frame.Frame{fs[0].Clone(), {Data: tapWire(1, 64)}})
	assert.Zero(t, n)
	var fe *bridge.FrameError
	require.ErrorAs(t, err, &fe)
	assert.Equal(t, bridge.DropNoOffload, fe.Reason)
}

// A TAP that another program holds: what that program writes is read here, and what
// is written here it reads, finished by the kernel if it takes nothing else.
func TestRawOnATAP(t *testing.T) {
	for _, plain := range []bool{false, true} {
		ns := tapNetns(t)
		tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "held", Up: true, NoOffload: plain})
		r := rawOpen(t, bridge.RawConfig{Name: "held", Netns: ns})
		rawSend(t, tap, frame.Frame{Data: rawTagged(1, 64, rawAD)})
		assert.Equal(t, frame.Frame{Data: tapWire(1, 64), Tag: rawAD}, rawCollect(t, r, 1)[0])
		rawSend(t, r, frame.Frame{Data: tapWire(2, 64), Tag: rawQ})
		assert.Equal(t, rawTagged(2, 64, rawQ), tapCollect(t, tap, 1)[0])

		sent := rawSuper(4000, rawQ)
		rawSend(t, r, sent)
		got, frames := 0, 0
		for fs := make([]frame.Frame, 8); got < 4000-40; {
			n, err := tapRead(t, tap, fs)
			require.NoError(t, err)
			for _, f := range fs[:n] {
				require.Equal(t, !plain, f.Owed.GSO())
				got += f.WireLen() - 58
				frames++
			}
		}
		assert.Equal(t, 4000-40, got)
		assert.Equal(t, plain, frames > 1, "%d frames", frames)
	}
}

// Neither what is written comes back, nor is seen what the host itself sends on
// the interface; both arrive at the other end.
func TestRawOwnFramesAreNotSeen(t *testing.T) {
	for _, kernelTells := range []bool{true, false} {
		for _, queues := range []int{1, 2} {
			t.Run(fmt.Sprintf("PACKET_IGNORE_OUTGOING %v, %d queues", kernelTells, queues), func(t *testing.T) {
				ns := rawVeth(t)
				a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: queues})
				b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
				if !kernelTells {
					require.NoError(t, bridge.SeeOutgoing(a))
				}
				host := newTAPPeer(t, ns, "v0")
				host.send(tapWire(1, 64))
				rawSend(t, a, frame.Frame{Data: tapWire(2, 64)})
				for _, q := range a.Queues() {
					rawSend(t, q, frame.Frame{Data: tapWire(3, 64)})
				}
				rawCollect(t, b, queues+1)
				rawSend(t, b, frame.Frame{Data: tapWire(4, 64)})
				assert.Equal(t, tapWire(4, 64), rawFirst(t, a).Data)
			})
		}
	}
}

// rawFirst is the first frame of these tests that any queue of a gives.
func rawFirst(t testing.TB, a *bridge.RawSocket) frame.Frame {
	t.Helper()
	got := make(chan frame.Frame, 256)
	var readers sync.WaitGroup
	for _, q := range append(a.Queues(), a) {
		readers.Go(func() {
			fs := make([]frame.Frame, 64)
			for {
				n, err := q.ReadFrames(fs)
				if err != nil {
					return
				}
				for i := range fs[:n] {
					if tapOurs(fs[i].AppendWire(nil)) {
						got <- fs[i].Clone()
					}
				}
			}
		})
	}
	defer readers.Wait()
	defer a.Close()
	select {
	case f := <-got:
		return f
	case <-time.After(tapWait):
		t.Fatal("no frame came")
	}
	return frame.Frame{}
}

func TestRawCloseEndsAReader(t *testing.T) {
	_, a, b := rawPair(t)
	rawSend(t, a, frame.Frame{Data: tapWire(1, 1500)})
	fs := make([]frame.Frame, 8)
	n, err := rawRead(t, b, fs)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	read := make(chan error)
	go func() {
		_, err := a.ReadFrames(make([]frame.Frame, 8))
		read <- err
	}()
	time.Sleep(20 * time.Millisecond) // most likely waits by now; either way it has to end
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { assert.NoError(t, a.Close()) })
		both.Go(func() { assert.NoError(t, b.Close()) })
	}
	both.Wait()
	select {
	case err := <-read:
		assert.ErrorIs(t, err, net.ErrClosed)
	case <-time.After(tapWait):
		t.Fatal("Close did not end the reader")
	}
	runtime.GC()
	assert.Equal(t, tapWire(1, 1500), fs[0].Data, "what was lent stays until the next read begins")

	assert.NoError(t, a.Close())
	assert.Equal(t, "v0", a.Name())
	_, err = a.ReadFrames(fs)
	assert.ErrorIs(t, err, net.ErrClosed)
	n, err = a.WriteFrames([]frame.Frame{{Data: tapWire(1, 64)}})
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorContains(t, err, "write to raw socket v0: ")
	assert.Zero(t, n)
	_, err = a.MTU()
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = a.Address()
	assert.ErrorIs(t, err, net.ErrClosed)
	_, _, err = a.Link()
	assert.ErrorIs(t, err, net.ErrClosed)
}

// A reader, a writer and those who look at the interface run side by side, and
// Close ends them all.
func TestRawSideBySide(t *testing.T) {
	_, a, b := rawPair(t)
	var all sync.WaitGroup
	all.Go(func() {
		fs := make([]frame.Frame, 16)
		for {
			if _, err := a.ReadFrames(fs); err != nil {
				assert.ErrorIs(t, err, net.ErrClosed)
				return
			}
		}
	})
	all.Go(func() {
		fs := []frame.Frame{{Data: tapWire(1, 64)}, {Data: tapWire(2, 64), Tag: rawQ}, rawSuper(4000)}
		for {
			if _, err := a.WriteFrames(fs); err != nil && err != bridge.ErrQueueFull {
				assert.ErrorIs(t, err, net.ErrClosed)
				return
			}
		}
	})
	for range 2 {
		all.Go(func() {
			for {
				if _, err := a.MTU(); err != nil {
					assert.ErrorIs(t, err, net.ErrClosed)
					return
				}
				_, _ = a.Lost(), a.Name()
			}
		})
	}
	for i := range 500 {
		_, err := b.WriteFrames([]frame.Frame{{Data: tapWire(byte(i), 64)}})
		if err != bridge.ErrQueueFull {
			require.NoError(t, err)
		}
	}
	require.NoError(t, a.Close())
	all.Wait()
}

func TestRawDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ns, a, b := rawPair(t)
	plain := []frame.Frame{{Data: tapWire(1, 64)}, {Data: tapWire(1, 64), Tag: rawQ}}
	in := make([]frame.Frame, 8)
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		_, _ = a.WriteFrames(plain)
		_, _ = b.ReadFrames(in)
	}), "reading")

	w := rawTagged(1, 64, rawAD)
	out := []frame.Frame{{Data: w}, {Data: w, Tag: rawQ}, {Data: w, Tag: rawQ, Lifted: true}, {Data: w, Lifted: true}, rawSuper(4000)}
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = a.WriteFrames(out) }), "writing")
	refused := []frame.Frame{{Data: tapWire(1, 1515)}}
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = a.WriteFrames(refused) }), "refusing")
	tapIP(t, ns, "link", "set", "v0", "down")
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = a.WriteFrames(plain) }), "while the interface is down")
}

// What a device hands over joined, its checksum known to be right, can be cut again: a
// TAP stands in for a network card with LRO.
func TestRawJoinedByTheDevice(t *testing.T) {
	ns := tapNetns(t)
	card := tapOpen(t, bridge.TAPConfig{Netns: ns, Up: true})
	r := rawOpen(t, bridge.RawConfig{Name: card.Name(), Netns: ns})
	want := tcpGSO(frame.MAC{2, 0, 0, 0, 0, 2}, frame.MAC{2, 0, 0, 0, 0, 1}, 4000, 1000)
	whole := want
	whole.Owed.GSOType = 0
	joined, _ := whole.AppendFinished(nil, nil, frame.Form{})
	joined[0].Owed = frame.Offload{GSOType: frame.GSOTCPv4, GSOSize: 1000, HdrLen: 54}
	n, err := card.WriteFrames(joined)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	fs := make([]frame.Frame, 1)
	_, err = rawRead(t, r, fs)
	require.NoError(t, err)
	require.NoError(t, fs[0].CheckOwed())
	assert.Equal(t, want, fs[0])
}
