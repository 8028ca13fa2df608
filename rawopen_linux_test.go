package bridge_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

func TestRawConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		cfg    bridge.RawConfig
		reason string
	}{
		{bridge.RawConfig{}, "Name"},
		{bridge.RawConfig{Name: "longer-than-15-b"}, "15 bytes"},
		{bridge.RawConfig{Name: "eth0:1"}, "colon"},
		{bridge.RawConfig{Name: "eth0\x00"}, "zero byte"},
		{bridge.RawConfig{Name: "eth0", RcvBuf: -1}, "RcvBuf"},
		{bridge.RawConfig{Name: "eth0", SndBuf: 1 << 30}, "SndBuf"},
		{bridge.RawConfig{Name: "eth0", Queues: -1}, "Queues"},
		{bridge.RawConfig{Name: "eth0", Queues: 257}, "256"},
	} {
		r, err := bridge.OpenRaw(c.cfg)
		assert.Nil(t, r)
		assert.ErrorIs(t, err, bridge.EINVAL)
		assert.ErrorContains(t, err, "bridge: open raw socket")
		assert.ErrorContains(t, err, c.reason)
	}
}

func TestRawOpenErrors(t *testing.T) {
	ns := rawVeth(t)
	_, err := bridge.OpenRaw(bridge.RawConfig{Name: "v2", Netns: ns})
	assert.ErrorIs(t, err, bridge.ENODEV)
	assert.ErrorIs(t, err, unix.ENODEV)
	assert.ErrorContains(t, err, "bridge: open raw socket v2: ")
	assert.ErrorContains(t, err, "there is no interface v2 in that namespace")
	_, err = bridge.OpenRaw(bridge.RawConfig{Name: "lo", Netns: ns})
	assert.ErrorIs(t, err, bridge.EINVAL)
	assert.ErrorContains(t, err, "no Ethernet: its hardware type is 772")
	_, err = bridge.OpenRaw(bridge.RawConfig{Name: "v0", Netns: "/nowhere"})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "the network namespace /nowhere cannot be opened")
}

// Without rights the error says which one is missing; CAP_NET_RAW alone is enough.
func TestRawWithoutRights(t *testing.T) {
	ns := rawVeth(t)
	tapIP(t, ns, "link", "set", "v0", "down")
	rawWithout(t, ns, 1<<unix.CAP_NET_RAW, func() {
		_, err := bridge.OpenRaw(bridge.RawConfig{Name: "v0"})
		assert.ErrorIs(t, err, fs.ErrPermission)
		assert.ErrorIs(t, err, bridge.EPERM)
		assert.ErrorContains(t, err, "needs CAP_NET_RAW")
	})
	rawWithout(t, ns, 1<<unix.CAP_NET_ADMIN, func() {
		_, err := bridge.OpenRaw(bridge.RawConfig{Name: "v0", Up: true})
		assert.ErrorIs(t, err, bridge.EPERM)
		assert.ErrorContains(t, err, "bring it up: ")
		assert.ErrorContains(t, err, "needs CAP_NET_ADMIN")
		r, err := bridge.OpenRaw(bridge.RawConfig{Name: "v0"})
		if assert.NoError(t, err) {
			assert.NoError(t, r.Close())
		}
	})
}

// rawWithout runs fn in a namespace, on a thread that lacks capabilities.
func rawWithout(t testing.TB, ns string, lacks uint32, fn func()) {
	t.Helper()
	tapIn(t, ns, func() error {
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var all [2]unix.CapUserData
		if err := unix.Capget(&h, &all[0]); err != nil {
			return err
		}
		some := all
		some[0].Effective &^= lacks
		if err := unix.Capset(&h, &some[0]); err != nil {
			return err
		}
		fn()
		return unix.Capset(&h, &all[0])
	})
}

func TestRawTellsOfItsInterface(t *testing.T) {
	ns := rawVeth(t)
	tapIP(t, ns, "link", "set", "v0", "mtu", "1400", "address", "02:00:00:00:12:34")
	r := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns})
	assert.Equal(t, "v0", r.Name())
	a, err := r.Address()
	assert.NoError(t, err)
	assert.Equal(t, frame.MustParseMAC("02:00:00:00:12:34"), a)
	mtu, err := r.MTU()
	assert.NoError(t, err)
	assert.Equal(t, 1400, mtu)
	assert.Empty(t, r.Queues())
	assert.Empty(t, r.Warnings())
	want := bridge.Caps{TagAside: true, Checksum: true, TSO: true, Coalesce: true, MaxFrame: 65557, XmitProbe: "dev_queue_xmit"}
	got := r.Caps()
	got.USO = false
	assert.Equal(t, want, got)

	link := func(wantUp, wantCarrier bool) { // the kernel takes its time for the carrier
		t.Helper()
		var got [2]bool
		for end := time.Now().Add(tapWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
			up, carrier, err := r.Link()
			require.NoError(t, err)
			if got = [2]bool{up, carrier}; got == [2]bool{wantUp, wantCarrier} {
				return
			}
		}
		t.Errorf("up and carrier: %v", got)
	}
	link(true, true)
	tapIP(t, ns, "link", "set", "v1", "down")
	link(true, false)
	tapIP(t, ns, "link", "set", "v0", "down")
	link(false, false)
}

// rawPromiscuity counts those who want an interface to be promiscuous.
func rawPromiscuity(t testing.TB, ns, name string) string {
	t.Helper()
	return regexp.MustCompile(`promiscuity \d+`).FindString(tapIP(t, ns, "-d", "link", "show", name))
}

func TestRawPromiscuityIsUndone(t *testing.T) {
	ns := rawVeth(t)
	assert.Equal(t, "promiscuity 0", rawPromiscuity(t, ns, "v0"))
	shy := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, NoPromisc: true})
	assert.Equal(t, "promiscuity 0", rawPromiscuity(t, ns, "v0"))
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: 3})
	assert.Equal(t, "promiscuity 1", rawPromiscuity(t, ns, "v0"))
	tapIP(t, ns, "link", "set", "v0", "down")
	tapIP(t, ns, "link", "set", "v0", "up")
	assert.Equal(t, "promiscuity 1", rawPromiscuity(t, ns, "v0"))
	require.NoError(t, a.Queues()[1].Close())
	assert.Equal(t, "promiscuity 1", rawPromiscuity(t, ns, "v0"))
	require.NoError(t, a.Close())
	require.NoError(t, shy.Close())
	assert.Equal(t, "promiscuity 0", rawPromiscuity(t, ns, "v0"))
}

func TestRawUpIsUndone(t *testing.T) {
	ns := rawVeth(t)
	isUp := func() bool { return tapInterface(t, ns, "v0").Flags&net.FlagUp != 0 }
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Up: true})
	require.NoError(t, a.Close())
	assert.True(t, isUp(), "it was up before")

	tapIP(t, ns, "link", "set", "v0", "down")
	a = rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Up: true})
	assert.True(t, isUp())
	require.NoError(t, a.Close())
	assert.False(t, isUp())

	a = rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Up: true})
	tapIP(t, ns, "link", "del", "v0")
	assert.NoError(t, a.Close(), "an interface that is gone is not missed")
}

func TestRawWarnings(t *testing.T) {
	ns := rawVeth(t)
	tapIP(t, ns, "address", "add", "10.1.2.3/24", "dev", "v0")
	tapIP(t, ns, "address", "add", "169.254.1.2/16", "dev", "v1")
	tapIP(t, ns, "link", "add", "br7", "type", "bridge")
	warnings := func(name string) []string { return rawOpen(t, bridge.RawConfig{Name: name, Netns: ns}).Warnings() }
	assert.Empty(t, warnings("v1"))
	w := warnings("v0")
	require.Len(t, w, 1)
	assert.Contains(t, w[0], "v0 has the address 10.1.2.3/24")
	assert.Contains(t, w[0], "ip address del 10.1.2.3/24 dev v0")
	tapIP(t, ns, "link", "set", "v0", "master", "br7")
	w = warnings("v0")
	require.Len(t, w, 2)
	assert.Contains(t, w[1], "v0 is a port of br7")
	assert.Contains(t, w[1], "ip link set v0 nomaster")
}

// rawReadError reads until an error comes.
func rawReadError(t testing.TB, r bridge.FrameIO) error {
	t.Helper()
	for {
		if _, err := rawRead(t, r, make([]frame.Frame, 8)); err != nil {
			return err
		}
	}
}

// An interface that is down can be opened; each read and write says so at once,
// and when it is up frames pass.
func TestRawOpenedDown(t *testing.T) {
	ns := rawVeth(t)
	tapIP(t, ns, "link", "set", "v0", "down")
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns})
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
	fs := []frame.Frame{{Data: tapWire(1, 64)}, {Data: tapWire(2, 64)}}
	for range 3 {
		_, err := rawRead(t, a, make([]frame.Frame, 4))
		assert.ErrorIs(t, err, bridge.ENETDOWN)
		assert.ErrorIs(t, err, unix.ENETDOWN)
		assert.ErrorContains(t, err, "bridge: read raw socket v0: ")
		assert.ErrorContains(t, err, "(ip link set v0 up)")
		n, err := a.WriteFrames(fs)
		assert.Zero(t, n)
		assert.ErrorIs(t, err, bridge.ENETDOWN)
		assert.ErrorContains(t, err, "bridge: write to raw socket v0: ")
	}
	tapIP(t, ns, "link", "set", "v0", "up")
	rawAwaitUp(t, ns, "v0")
	rawAwaitUp(t, ns, "v1")
	n, err := a.WriteFrames(fs)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, fs, rawCollect(t, b, 2))
	rawSend(t, b, fs[0])
	assert.Equal(t, fs[:1], rawCollect(t, a, 1))
}

// Several queues of an interface that is down need a kernel that allows it, or Up.
func TestRawQueuesOpenedDown(t *testing.T) {
	ns := rawVeth(t)
	tapIP(t, ns, "link", "set", "v0", "down")
	a, err := bridge.OpenRaw(bridge.RawConfig{Name: "v0", Netns: ns, Queues: 2})
	if err != nil {
		assert.ErrorIs(t, err, bridge.ENETDOWN)
		assert.ErrorContains(t, err, "set Up")
	} else {
		assert.ErrorIs(t, rawReadError(t, a.Queues()[0]), bridge.ENETDOWN)
		require.NoError(t, a.Close())
	}
	a = rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: 2, Up: true})
	rawAwaitUp(t, ns, "v0")
	rawAwaitUp(t, ns, "v1")
	rawSend(t, rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns}), frame.Frame{Data: tapWire(1, 64)})
	assert.Equal(t, tapWire(1, 64), rawFirst(t, a).Data)
}

// Taking the interface down wakes each queue's reader, and each waits again once
// it is up.
func TestRawDownAndUpUnderReaders(t *testing.T) {
	ns := rawVeth(t)
	a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: 2})
	b := rawOpen(t, bridge.RawConfig{Name: "v1", Netns: ns})
	for round := range 5 {
		errs := make(chan error)
		for _, q := range append(a.Queues(), a) {
			go func() { errs <- rawReadError(t, q) }()
		}
		time.Sleep(time.Duration(round) * 5 * time.Millisecond) // from the second round on most likely both wait
		tapIP(t, ns, "link", "set", "v0", "down")
		for range 2 {
			require.ErrorIs(t, <-errs, bridge.ENETDOWN)
		}
		assert.ErrorIs(t, rawReadError(t, a), bridge.ENETDOWN, "again, at once")
		tapIP(t, ns, "link", "set", "v0", "up")
		rawAwaitUp(t, ns, "v0")
		rawAwaitUp(t, ns, "v1")
		rawSend(t, b, frame.Frame{Data: tapWire(byte(round), 64)})
		got := make(chan byte)
		for _, q := range append(a.Queues(), a) {
			go func() {
				fs := make([]frame.Frame, 1)
				for {
					if _, err := q.ReadFrames(fs); err != nil {
						errs <- err
						return
					}
					if tapOurs(fs[0].Data) {
						got <- fs[0].Data[11]
					}
				}
			}()
		}
		select {
		case mark := <-got:
			assert.Equal(t, byte(round), mark)
		case <-time.After(tapWait):
			t.Fatal("nothing came after it was up again")
		}
		tapIP(t, ns, "link", "set", "v0", "down")
		for range 2 {
			require.ErrorIs(t, <-errs, bridge.ENETDOWN)
		}
		tapIP(t, ns, "link", "set", "v0", "up")
		rawAwaitUp(t, ns, "v0")
		rawAwaitUp(t, ns, "v1")
	}
}

// Frames that came before the interface went down are still given.
func TestRawFramesBeforeDown(t *testing.T) {
	ns, a, b := rawPair(t)
	rawSend(t, b, frame.Frame{Data: tapWire(1, 64)})
	tapIP(t, ns, "link", "set", "v0", "down")
	assert.Equal(t, tapWire(1, 64), rawCollect(t, a, 1)[0].Data)
	assert.ErrorIs(t, rawReadError(t, a), bridge.ENETDOWN)
}

// A renamed interface is the same one; another that gets its name is not.
func TestRawRenamed(t *testing.T) {
	ns, a, b := rawPair(t)
	tapIP(t, ns, "link", "set", "v0", "down")
	tapIP(t, ns, "link", "set", "v0", "name", "w0")
	tapIP(t, ns, "link", "add", "v0", "mtu", "1300", "type", "veth", "peer", "name", "x1")
	assert.ErrorIs(t, rawReadError(t, a), bridge.ENETDOWN)
	tapIP(t, ns, "link", "set", "w0", "up")
	rawAwaitUp(t, ns, "w0")
	rawAwaitUp(t, ns, "v1")
	assert.Equal(t, "w0", a.Name())
	mtu, err := a.MTU()
	assert.NoError(t, err)
	assert.Equal(t, 1500, mtu)
	rawSend(t, a, frame.Frame{Data: tapWire(1, 64)})
	assert.Equal(t, tapWire(1, 64), rawCollect(t, b, 1)[0].Data)
	rawSend(t, b, frame.Frame{Data: tapWire(2, 64)})
	assert.Equal(t, tapWire(2, 64), rawCollect(t, a, 1)[0].Data)
}

// An interface that is given one name after the other is there all the time, although
// the kernel knows it by none for a moment each time.
func TestRawRenamedOftenIsThere(t *testing.T) {
	ns, a, _ := rawPair(t)
	tapIP(t, ns, "link", "set", "v0", "down")
	renamed := make(chan struct{})
	go func() { // ends by itself
		defer close(renamed)
		for range 20 {
			tapIP(t, ns, "link", "set", "v0", "name", "w0")
			tapIP(t, ns, "link", "set", "w0", "name", "v0")
		}
	}()
	for over := false; !over; {
		select {
		case <-renamed:
			over = true
		default:
		}
		mtu, err := a.MTU()
		if !assert.NoError(t, err) || !assert.Equal(t, 1500, mtu) || !assert.ErrorIs(t, rawReadError(t, a), bridge.ENETDOWN) {
			<-renamed
			return
		}
	}
}

// Deleting the interface, or moving it to another namespace, ends whoever reads
// and whoever writes, also if it was down before.
func TestRawGone(t *testing.T) {
	for _, down := range []bool{false, true} {
		for name, leave := range map[string]func(t *testing.T, ns string){
			"deleted": func(t *testing.T, ns string) { tapIP(t, ns, "link", "del", "v0") },
			"moved":   func(t *testing.T, ns string) { rawMove(t, ns, tapNetns(t), "v0") },
		} {
			t.Run(fmt.Sprintf("%s, down before: %v", name, down), func(t *testing.T) {
				ns := rawVeth(t)
				a := rawOpen(t, bridge.RawConfig{Name: "v0", Netns: ns, Queues: 2})
				if down {
					tapIP(t, ns, "link", "set", "v0", "down")
				}
				read := make(chan error)
				for _, q := range append(a.Queues(), a) {
					go func() {
						for {
							err := rawReadError(t, q)
							if !errors.Is(err, bridge.ENETDOWN) {
								read <- err
								return
							}
							time.Sleep(time.Millisecond)
						}
					}()
				}
				time.Sleep(20 * time.Millisecond)
				leave(t, ns)
				for range 2 {
					err := <-read
					assert.ErrorIs(t, err, bridge.ENODEV)
					assert.ErrorIs(t, err, unix.ENODEV)
					assert.ErrorContains(t, err, "v0: ")
					assert.ErrorContains(t, err, "was deleted or has left its network namespace")
				}
				n, err := a.WriteFrames([]frame.Frame{{Data: tapWire(1, 64)}})
				assert.Zero(t, n)
				assert.ErrorIs(t, err, bridge.ENODEV)
				_, err = a.MTU()
				assert.ErrorIs(t, err, bridge.ENODEV)
				_, err = a.Address()
				assert.ErrorIs(t, err, bridge.ENODEV)
				_, _, err = a.Link()
				assert.ErrorIs(t, err, bridge.ENODEV)
				assert.Equal(t, "v0", a.Name())
				assert.NoError(t, a.Close())
			})
		}
	}
}
