package xdp_test

import (
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// What the kernel leaves in a TX ring is sent later, by nobody's call, in order and
// once; until then a full ring is said to be full.
func TestLeftInRing(t *testing.T) {
	netnstest.Needs(t)
	s := newStar(t, 2, 64, false)
	p := s.ports[0]
	var reader sync.WaitGroup
	reader.Go(func() { drain(p) })
	ip(t, s.hub, "link", "set", "p0", "down")
	one := []frame.Frame{{Data: wire(0, 100)}}
	for err := error(nil); !errors.Is(err, bridge.ENETDOWN); {
		if _, err = p.WriteFrames(one); err != nil {
			require.ErrorIs(t, err, bridge.ENETDOWN)
		}
	}
	xdp.TakeForUp(p)
	taken := 0
	for full := false; !full; {
		n, err := p.WriteFrames([]frame.Frame{{Data: wire(taken+1, 100)}, {Data: wire(taken+2, 100)}})
		taken += n
		full = errors.Is(err, bridge.ErrQueueFull)
		if !full {
			require.NoError(t, err)
		}
		require.LessOrEqual(t, taken, 64)
	}
	n, err := p.WriteFrames(one)
	require.Zero(t, n)
	require.ErrorIs(t, err, bridge.ErrQueueFull)
	require.Positive(t, taken)
	ip(t, s.hub, "link", "set", "p0", "up")
	for i := range taken {
		f := next(t, s.peers[0])
		for numberOf(f.Data) == 0 { // from before it was down
			f = next(t, s.peers[0])
		}
		require.Equal(t, wire(i+1, 100), f.Data)
	}
	require.NoError(t, p.Close())
	reader.Wait()
	settled(t, s.group)
}

// as runs fn on a thread of its own in a namespace, with these capabilities alone.
func as(t *testing.T, path string, fn func() error, caps ...uint) (err error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { // ends with fn, and its thread with it
		runtime.LockOSThread()
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		var data [2]unix.CapUserData
		for _, c := range caps {
			data[c/32].Effective |= 1 << (c % 32)
			data[c/32].Permitted |= 1 << (c % 32)
		}
		if err == nil {
			err = unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}

// Without a right, or room to lock memory in, Open says which it is.
func TestMissingRights(t *testing.T) {
	netnstest.Needs(t)
	ns := netnstest.New(t, false)
	ip(t, ns, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	openIt := func() error {
		g, err := xdp.Open(xdp.Config{Ports: []xdp.PortConfig{{Name: "v0"}}})
		if err == nil {
			err = g.Close()
			closeAll(t, g)
		}
		return err
	}
	err := as(t, ns.Path(), openIt)
	require.ErrorIs(t, err, bridge.EPERM)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "CAP_NET_RAW")
	err = as(t, ns.Path(), openIt, unix.CAP_NET_RAW)
	require.ErrorIs(t, err, bridge.EPERM)
	require.ErrorContains(t, err, "CAP_BPF")

	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &was))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 1 << 20, Max: was.Max}))
	err = as(t, ns.Path(), openIt, unix.CAP_NET_RAW, unix.CAP_NET_ADMIN, unix.CAP_BPF)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &was))
	require.ErrorIs(t, err, bridge.ENOMEM)
	require.ErrorContains(t, err, "RLIMIT_MEMLOCK")
	require.NoError(t, as(t, ns.Path(), openIt, unix.CAP_NET_RAW, unix.CAP_NET_ADMIN, unix.CAP_BPF, unix.CAP_IPC_LOCK))
	assert.NotContains(t, ip(t, ns, "link", "show", "v0"), "prog/xdp")
}

// What a driver answers is put into words.
func TestExplain(t *testing.T) {
	for _, no := range []error{unix.EOPNOTSUPP, unix.ERANGE, unix.EINVAL} {
		why, final := xdp.Explain(no, 9000)
		assert.NotEmpty(t, why)
		assert.NoError(t, final, "generic mode may do")
	}
	for no, like := range map[error]error{unix.EBUSY: bridge.EBUSY, unix.EEXIST: bridge.EBUSY, unix.EPERM: bridge.EPERM, unix.ENODEV: bridge.ENODEV} {
		_, final := xdp.Explain(no, 1500)
		assert.ErrorIs(t, final, like)
	}
}
