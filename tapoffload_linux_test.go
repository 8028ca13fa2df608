package bridge_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tapOwingForms is a frame of every kind that can owe something.
func tapOwingForms() map[string]frame.Frame {
	return map[string]frame.Frame{
		"nothing":           {Data: tapWire(1, 64)},
		"a checksum":        tapOwing(0, 1000, 0),
		"TCP over IPv4":     tapOwing(frame.GSOTCPv4, 4321, 1000),
		"TCP over IPv6":     tapOwing(frame.GSOTCPv6, 4321, 1000),
		"TCP with ECN":      tapOwing(frame.GSOTCPv4|frame.GSOECN, 4321, 1000),
		"TCPv6 with ECN":    tapOwing(frame.GSOTCPv6|frame.GSOECN, 4321, 1000),
		"UDP":               tapOwing(frame.GSOUDP, 4321, 1000),
		"the longest there": tapOwing(frame.GSOTCPv4, 65535-14-40, 1448),
	}
}

// tapRead1 reads the next frame of these tests, which stays in the TAP's memory.
func tapRead1(t testing.TB, tap *bridge.TAP) frame.Frame {
	t.Helper()
	fs := make([]frame.Frame, 1)
	for {
		_, err := tapRead(t, tap, fs)
		require.NoError(t, err)
		if tapTests(&fs[0]) {
			return fs[0]
		}
	}
}

// What a frame owes is told in both directions, wherever its tag is.
func TestTAPCarriesWhatIsOwed(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Up: true})
	rig := newTAPRig(t, ns, tap.Name())
	caps := tap.Caps()
	assert.Equal(t, bridge.Caps{
		TagAside: true, Checksum: true, TSO: true, USO: caps.USO, Coalesce: true, MaxFrame: 65557, XmitProbe: "tun_net_xmit",
	}, caps)
	for name, f := range tapOwingForms() {
		if f.Owed.GSOType == frame.GSOUDP && !caps.USO {
			continue // before Linux 6.2
		}
		for _, tag := range []frame.Tag{{}, {TPID: frame.TypeDot1Q, TCI: 0x600a}, {TPID: frame.TypeDot1AD, TCI: 20}} {
			sent := f
			sent.Tag = tag
			wire, owed := sent.AppendWire(nil), sent.OwedOnWire()
			inData := frame.Frame{Data: wire, Owed: owed}
			lifted := frame.Frame{Data: wire, Owed: owed, Tag: tag, Lifted: tag.Present()}
			for form, sent := range map[string]frame.Frame{"aside": sent, "in the data": inData, "lifted": lifted} {
				n, err := tap.WriteFrames([]frame.Frame{sent})
				require.NoError(t, err, "%s, tag %v %s", name, tag, form)
				require.Equal(t, 1, n)
				got := rig.next(t)
				tapSame(t, wire, owed, got, "%s written, tag %v %s", name, tag, form)
			}
			if len(wire) > 65535 {
				continue // the kernel sends no longer one that is not in segments (gso_max_size)
			}
			rig.send(t, sent)
			got := tapRead1(t, tap)
			assert.True(t, got.Plain())
			tapSame(t, wire, owed, got, "%s read, tag %v", name, tag)
		}
	}
}

// tapSame holds a frame against a wire form and what that owes. How much of it is
// headers the kernel reckons anew.
func tapSame(t testing.TB, wire []byte, owed frame.Offload, got frame.Frame, what string, args ...any) {
	t.Helper()
	o := got.OwedOnWire()
	o.HdrLen = owed.HdrLen
	assert.Equal(t, owed, o, append([]any{what}, args...)...)
	assert.Equal(t, wire, got.AppendWire(nil), append([]any{what}, args...)...)
}

// The longest frames cross in one piece, and Data begins on a cache line.
func TestTAPLongestOffloads(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Up: true})
	rig := newTAPRig(t, ns, tap.Name())
	tag := frame.Tag{TPID: frame.TypeDot1Q, TCI: 7}
	inner := frame.Tag{TPID: frame.TypeDot1Q, TCI: 8}
	for _, f := range []frame.Frame{tapOwing(frame.GSOTCPv4, 65535-40, 1448), tapOwing(frame.GSOTCPv6, 65535-20, 1428)} {
		f.Tag = inner
		f = frame.Frame{Data: f.AppendWire(nil), Owed: f.OwedOnWire(), Tag: tag}
		if gap := bridge.MaxTAPFrame - f.WireLen(); assert.GreaterOrEqual(t, 0, gap) && gap < 0 {
			_, err := tap.WriteFrames([]frame.Frame{f}) // IPv6 does not count its header
			var fe *bridge.FrameError
			require.ErrorAs(t, err, &fe)
			assert.Equal(t, bridge.DropTooLong, fe.Reason)
			continue
		}
		_, err := tap.WriteFrames([]frame.Frame{f})
		require.NoError(t, err)
		tapSame(t, f.AppendWire(nil), f.OwedOnWire(), rig.next(t), "written")
	}

	const longest = 65535 // of what the kernel sends in one piece
	f := tapOwing(frame.GSOTCPv4, longest-14-40, 1448)
	for range 5 {
		rig.send(t, f)
	}
	fs := make([]frame.Frame, 8)
	for read := 0; read < 5; {
		n, err := tapRead(t, tap, fs)
		require.NoError(t, err)
		for i := range fs[:n] {
			tapSame(t, f.Data, f.Owed, fs[i], "read")
			assert.Zero(t, tapAddress(fs[i].Data)%64)
		}
		read += n
	}
}

// What the kernel cannot do for a frame is that frame's refusal; the next passes.
func TestTAPRefusesWhatTheKernelCannotDo(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Up: true})
	rig := newTAPRig(t, ns, tap.Name())
	good := tapOwing(frame.GSOTCPv4, 4000, 1000)
	for name, spoil := range map[string]func(o *frame.Offload){
		"a kind that there is not":   func(o *frame.Offload) { o.GSOType = 2 },
		"UDP's for TCP":              func(o *frame.Offload) { o.GSOType = frame.GSOUDP },
		"IPv6's for IPv4":            func(o *frame.Offload) { o.GSOType = frame.GSOTCPv6 },
		"ECN alone":                  func(o *frame.Offload) { o.GSOType = frame.GSOECN },
		"segments of no bytes":       func(o *frame.Offload) { o.GSOSize = 0 },
		"a sum behind the end":       func(o *frame.Offload) { o.CsumStart = 5000 },
		"a sum far behind":           func(o *frame.Offload) { o.CsumStart = 65535 },
		"a sum in the header":        func(o *frame.Offload) { o.CsumStart = 3 },
		"a sum at a place behind":    func(o *frame.Offload) { o.CsumOffset = 65535 },
		"more headers than bytes":    func(o *frame.Offload) { o.HdrLen = 65535 },
		"a checksum behind the end":  func(o *frame.Offload) { o.GSOType, o.CsumStart = 0, 4060 },
		"a checksum of other places": func(o *frame.Offload) { *o = frame.Offload{Flags: 1, CsumStart: 65535, CsumOffset: 65535} },
	} {
		bad := good
		spoil(&bad.Owed)
		fs := []frame.Frame{good, bad, good}
		n, err := tap.WriteFrames(fs)
		var fe *bridge.FrameError
		require.ErrorAs(t, err, &fe, name)
		assert.Equal(t, bridge.DropNoOffload, fe.Reason, name)
		assert.ErrorIs(t, err, bridge.EINVAL, name)
		require.Equal(t, 1, n, name)
		n, err = tap.WriteFrames(fs[2:])
		require.NoError(t, err, name)
		require.Equal(t, 1, n, name)
		for range 2 {
			tapSame(t, good.Data, good.Owed, rig.next(t), name)
		}
	}
}

// tapFile opens a descriptor as another program would that has its own ideas of the
// virtio header, blocking.
func tapFile(t testing.TB, ns, name string, headerLen int) *os.File {
	t.Helper()
	file := tapRaw(t, ns, name, unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
	fd := int(file.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, headerLen))
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1))
	err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETBE, 1) // few kernels know it
	require.True(t, err == nil || errors.Is(err, unix.EINVAL), "%v", err)
	require.NoError(t, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4))
	return file
}

// A descriptor that has a virtio header of whatever form is a TAP with offloads, or
// without if that is wanted; it may be in blocking mode.
func TestTAPFromFileWithHeader(t *testing.T) {
	for _, length := range []int{10, 12, 20, 24} {
		ns := tapNetns(t)
		file := tapFile(t, ns, "given", length)
		flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
		require.NoError(t, err)
		require.Zero(t, flags&unix.O_NONBLOCK)
		tap := tapOpen(t, bridge.TAPConfig{File: file, Up: true})
		rig := newTAPRig(t, ns, "given")
		assert.True(t, tap.Caps().Checksum && tap.Caps().TSO && tap.Caps().Coalesce)
		for name, f := range tapOwingForms() {
			if f.Owed.GSOType == frame.GSOUDP && !tap.Caps().USO {
				continue
			}
			_, err := tap.WriteFrames([]frame.Frame{f})
			require.NoError(t, err, name)
			tapSame(t, f.Data, f.Owed, rig.next(t), "%s, header of %d bytes", name, length)
			rig.send(t, f)
			tapSame(t, f.Data, f.Owed, tapRead1(t, tap), "%s, header of %d bytes", name, length)
		}
		fs, ended := make([]frame.Frame, 1), make(chan error)
		go func() {
			_, err := tap.ReadFrames(fs)
			ended <- err
		}()
		require.NoError(t, tap.Close())
		assert.Error(t, <-ended)
	}
}

// Without offloads frames arrive complete and in segments, whatever was asked of the
// kernel before, and none that owes something is taken.
func TestTAPWithoutOffloads(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, ns string) *bridge.TAP{
		"no header": func(t *testing.T, ns string) *bridge.TAP {
			before := tapFile(t, ns, "used", 12)
			require.NoError(t, unix.IoctlSetInt(int(before.Fd()), unix.TUNSETPERSIST, 1))
			require.NoError(t, before.Close())
			return tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "used", NoOffload: true, Up: true})
		},
		"a header that says nothing": func(t *testing.T, ns string) *bridge.TAP {
			return tapOpen(t, bridge.TAPConfig{File: tapFile(t, ns, "used", 12), NoOffload: true, Up: true})
		},
		"a file without header": func(t *testing.T, ns string) *bridge.TAP {
			file := tapRaw(t, ns, "used", unix.IFF_TAP|unix.IFF_NO_PI)
			require.NoError(t, unix.IoctlSetInt(int(file.Fd()), unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4))
			return tapOpen(t, bridge.TAPConfig{File: file, Up: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := tapNetns(t)
			tap := open(t, ns)
			rig := newTAPRig(t, ns, "used")
			assert.Equal(t, bridge.Caps{TagAside: true, MaxFrame: 65557, XmitProbe: "tun_net_xmit"}, tap.Caps())

			rig.send(t, tapOwing(0, 1000, 0))
			assert.True(t, tapComplete(tapRead1(t, tap)))
			whole := tapOwing(frame.GSOTCPv4, 4000, 1000)
			rig.send(t, whole)
			for at := 0; at < 4000; at += 1000 {
				f := tapRead1(t, tap)
				require.Len(t, f.Data, 14+40+1000)
				assert.True(t, tapComplete(f))
				assert.Equal(t, whole.Data[54+at:][:1000], f.Data[54:])
			}

			_, err := tap.WriteFrames([]frame.Frame{whole})
			var fe *bridge.FrameError
			require.ErrorAs(t, err, &fe)
			assert.Equal(t, bridge.DropNoOffload, fe.Reason)
			plain := frame.Frame{Data: tapWire(1, 64), Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}}
			_, err = tap.WriteFrames([]frame.Frame{plain})
			require.NoError(t, err)
			assert.Equal(t, plain.AppendWire(nil), tapWireOf(rig.next(t)))
		})
	}
}

func tapWireOf(f frame.Frame) []byte { return f.AppendWire(nil) }

// tapComplete reports whether the TCP checksum of a frame over IPv4 is right and
// nothing is owed.
func tapComplete(f frame.Frame) bool {
	ip := f.Data[14:]
	sum := tapSum(ip[12:20]) + uint32(ip[9]) + uint32(len(ip)-20) + tapSum(ip[20:])
	return f.Owed.None() && tapFold(sum) == 0xffff
}

// A frame that the kernel cannot hand over, here because somebody changed the form
// of the header, is lost by itself, and counted.
func TestTAPUnreadableFrames(t *testing.T) {
	ns := tapNetns(t)
	file := tapFile(t, ns, "given", 10)
	dup, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(dup)
	tap := tapOpen(t, bridge.TAPConfig{File: file, Up: true})
	rig := newTAPRig(t, ns, "given")
	require.NoError(t, unix.IoctlSetPointerInt(dup, unix.TUNSETVNETHDRSZ, 1<<20))
	for range 3 {
		rig.send(t, frame.Frame{Data: tapWire(1, 64)})
	}
	got := make(chan []byte, 1)
	go func() {
		defer close(got)
		fs := make([]frame.Frame, 2) // more than one call of the driver's own
		if n, err := tap.ReadFrames(fs); err == nil && n == 1 {
			got <- tapWireOf(fs[0])
		}
	}()
	assert.Eventually(t, func() bool { return tap.Lost() == 3 }, tapWait, tapTick)
	require.NoError(t, unix.IoctlSetPointerInt(dup, unix.TUNSETVNETHDRSZ, 10))
	rig.send(t, frame.Frame{Data: tapWire(2, 64)})
	assert.Equal(t, tapWire(2, 64), <-got)
	assert.Equal(t, uint64(3), tap.Lost())
}
