package bridge_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// tapCounter reads a counter of an interface as ip -s link shows it.
func tapCounter(t testing.TB, ns, ifname, counter string) uint64 {
	t.Helper()
	var text []byte
	tapIn(t, ns, func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	column := map[string]int{"rx_packets": 1, "rx_errors": 2, "rx_dropped": 3, "tx_packets": 9, "tx_dropped": 11}[counter]
	for line := range strings.Lines(string(text)) {
		name, numbers, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == ifname {
			n, err := strconv.ParseUint(strings.Fields(numbers)[column], 10, 64)
			require.NoError(t, err)
			return n
		}
	}
	t.Fatalf("no interface %s in %s", ifname, text)
	return 0
}

// tapInterface is what the namespace knows under the name, nil if nothing.
func tapInterface(t testing.TB, ns, ifname string) *net.Interface {
	t.Helper()
	var found *net.Interface
	tapIn(t, ns, func() error {
		all, err := net.Interfaces()
		for i := range all {
			if all[i].Name == ifname {
				found = &all[i]
			}
		}
		return err
	})
	return found
}

func TestTAPConfigIsChecked(t *testing.T) {
	open, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer open.Close()
	big := func(n int64) int { // a number that 32 bits would make a good one
		if strconv.IntSize == 32 {
			return -1
		}
		return int(n)
	}
	for _, cfg := range []bridge.TAPConfig{
		{Name: "sixteen-bytes-xx"}, {Name: "a/b"}, {Name: "a b"}, {Name: "a:b"}, {Name: "a\n"}, {Name: "."}, {Name: ".."},
		{Name: "a%d%d"}, {Name: "a%s"}, {Name: "%"}, {MTU: -1}, {MTU: 67}, {MTU: 65522}, {MTU: big(1<<32 + 1500)}, {QueueLen: -1},
		{QueueLen: big(1<<32 + 100)}, {Address: frame.Broadcast},
		{File: open, Name: "a"}, {File: open, Netns: "/a"}, {File: open, Persist: true}, {File: open, Queues: 1},
		{Queues: -1}, {Queues: 257},
		{File: open}, // no TAP
	} {
		tap, err := bridge.OpenTAP(cfg)
		assert.ErrorIs(t, err, bridge.EINVAL, "%+v", cfg)
		assert.Nil(t, tap)
	}
	_, err = open.Stat()
	assert.NoError(t, err, "a File that is refused stays the caller's")
}

func TestTAPNames(t *testing.T) {
	ns := tapNetns(t)
	for _, c := range []struct{ name, want string }{
		{"", "tap0"}, {"", "tap1"}, {"vm%d", "vm0"}, {"vm%d", "vm1"}, {"fifteen-bytes-x", "fifteen-bytes-x"},
	} {
		tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: c.name})
		assert.Equal(t, c.want, tap.Name())
		assert.NotNil(t, tapInterface(t, ns, c.want))
	}
}

func TestTAPVanishesOnClose(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "gone"})
	require.NotNil(t, tapInterface(t, ns, "gone"))
	require.NoError(t, tap.Close())
	assert.Nil(t, tapInterface(t, ns, "gone"))
}

func TestTAPSettings(t *testing.T) {
	ns := tapNetns(t)
	want := frame.MustParseMAC("02:00:00:00:be:ef")
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "set", MTU: 9000, Address: want, Up: true})
	dev := tapInterface(t, ns, "set")
	require.NotNil(t, dev)
	assert.Equal(t, 9000, dev.MTU)
	assert.Equal(t, want.String(), dev.HardwareAddr.String())
	assert.NotZero(t, dev.Flags&net.FlagUp)
	mtu, err := tap.MTU()
	assert.NoError(t, err)
	assert.Equal(t, 9000, mtu)
	mac, err := tap.Address()
	assert.NoError(t, err)
	assert.Equal(t, want, mac)

	require.NoError(t, tap.SetMTU(68))
	require.NoError(t, tap.SetAddress(frame.MustParseMAC("02:00:00:00:be:e0")))
	require.NoError(t, tap.SetUp(false))
	dev = tapInterface(t, ns, "set")
	assert.Equal(t, 68, dev.MTU)
	assert.Equal(t, "02:00:00:00:be:e0", dev.HardwareAddr.String())
	assert.Zero(t, dev.Flags&net.FlagUp)

	assert.ErrorIs(t, tap.SetMTU(67), bridge.EINVAL)
	assert.ErrorIs(t, tap.SetMTU(65522), bridge.EINVAL)
	assert.ErrorIs(t, tap.SetMTU(-1), bridge.EINVAL)
	assert.ErrorIs(t, tap.SetAddress(frame.Broadcast), bridge.EADDRNOTAVAIL)
	assert.ErrorIs(t, tap.SetAddress(frame.MAC{}), bridge.EADDRNOTAVAIL)
	assert.Equal(t, 68, tapInterface(t, ns, "set").MTU)
}

func TestTAPBusy(t *testing.T) {
	ns := tapNetns(t)
	tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "one"})
	_, err := bridge.OpenTAP(bridge.TAPConfig{Netns: ns, Name: "one"})
	assert.ErrorIs(t, err, bridge.EBUSY)
	assert.ErrorIs(t, err, unix.EBUSY)
	assert.ErrorContains(t, err, "open TAP one: ")
	assert.ErrorContains(t, err, "in use by another program")

	_, err = bridge.OpenTAP(bridge.TAPConfig{Netns: ns, Name: "lo"})
	assert.ErrorIs(t, err, bridge.EINVAL)
	assert.ErrorContains(t, err, "no TAP")
}

func TestTAPPersistent(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "stay", MTU: 1400, Persist: true})
	mac, err := tap.Address()
	require.NoError(t, err)
	require.NoError(t, tap.Close())
	require.NotNil(t, tapInterface(t, ns, "stay"))

	tap = tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "stay", Up: true})
	assert.NotZero(t, tapInterface(t, ns, "stay").Flags&net.FlagUp)
	again, err := tap.Address()
	assert.NoError(t, err)
	assert.Equal(t, mac, again)
	mtu, err := tap.MTU()
	assert.NoError(t, err)
	assert.Equal(t, 1400, mtu, "zero leaves what it finds")
	peer := newTAPPeer(t, ns, "stay")
	peer.send(tapWire(1, 64))
	assert.Equal(t, tapWire(1, 64), tapCollect(t, tap, 1)[0])
	require.NoError(t, tap.Close())
	assert.NotNil(t, tapInterface(t, ns, "stay"), "false leaves it persistent")
}

// A TAP that was there before is as it was found once it is closed, whichever way
// it was changed.
func TestTAPFoundIsLeftAsItWas(t *testing.T) {
	before, other := frame.MustParseMAC("02:00:00:00:be:ef"), frame.MustParseMAC("02:00:00:00:be:e0")
	change := bridge.TAPConfig{Name: "found", MTU: 9000, Address: other, QueueLen: 77, Up: true}
	for name, up := range map[string]string{"found down": "down", "found up": "up"} {
		t.Run(name, func(t *testing.T) {
			ns := tapNetns(t)
			tapIP(t, ns, "tuntap", "add", "dev", "found", "mode", "tap")
			tapIP(t, ns, "link", "set", "found", "mtu", "1400", "address", before.String(), "txqueuelen", "55", up)
			was := tapState(t, ns, "found")

			cfg := change
			cfg.Netns = ns
			tap := tapOpen(t, cfg)
			assert.Equal(t, "9000 "+other.String()+" 77 up", tapState(t, ns, "found"))
			require.NoError(t, tap.Close())
			assert.Equal(t, was, tapState(t, ns, "found"), "after TAPConfig")

			tap = tapOpen(t, bridge.TAPConfig{Name: "found", Netns: ns, Persist: true})
			for _, n := range []int{2000, 3000} {
				require.NoError(t, tap.SetMTU(n))
			}
			require.NoError(t, tap.SetAddress(other))
			require.NoError(t, tap.SetUp(up == "down"))
			assert.NotEqual(t, was, tapState(t, ns, "found"))
			require.NoError(t, tap.Close())
			assert.Equal(t, was, tapState(t, ns, "found"), "after the methods")

			cfg.QueueLen = 1<<31 - 1 // refused, after the address and the MTU were set
			_, err := bridge.OpenTAP(cfg)
			require.Error(t, err)
			assert.Equal(t, was, tapState(t, ns, "found"), "after a failure")

			file := tapRaw(t, ns, "found", unix.IFF_TAP|unix.IFF_NO_PI)
			tap = tapOpen(t, bridge.TAPConfig{File: file, MTU: 9000, Up: true})
			require.NoError(t, tap.Close())
			assert.Equal(t, was, tapState(t, ns, "found"), "after File")
		})
	}
}

// What somebody else has changed meanwhile stays, and so does what a TAP that was
// made to persist was given.
func TestTAPLeavesTheChangesOfOthers(t *testing.T) {
	ns := tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "made", MTU: 1400, QueueLen: 55, Up: true, Persist: true})
	require.NoError(t, tap.Close())
	assert.Contains(t, tapState(t, ns, "made"), "1400 ")
	assert.Contains(t, tapState(t, ns, "made"), " 55 up")

	tap = tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "made", MTU: 9000, QueueLen: 77})
	tapIP(t, ns, "link", "set", "made", "mtu", "2000")
	require.NoError(t, tap.Close())
	assert.Contains(t, tapState(t, ns, "made"), "2000 ", "somebody else's")
	assert.Contains(t, tapState(t, ns, "made"), " 55 up")

	tap = tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "made", MTU: 9000})
	tapIP(t, ns, "link", "set", "made", "mtu", "3000")
	require.NoError(t, tap.SetMTU(4000))
	require.NoError(t, tap.Close())
	assert.Contains(t, tapState(t, ns, "made"), "3000 ", "what it was when the TAP changed it last")

	tap = tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "made", MTU: 9000})
	tapIP(t, ns, "link", "del", "made")
	assert.NoError(t, tap.Close())
}

// tapState is what a TAP can change about an interface, as ip(8) shows it.
func tapState(t testing.TB, ns, ifname string) string {
	t.Helper()
	dev := tapInterface(t, ns, ifname)
	require.NotNil(t, dev)
	_, after, _ := strings.Cut(tapIP(t, ns, "link", "show", ifname), " qlen ")
	up := "down"
	if dev.Flags&net.FlagUp != 0 {
		up = "up"
	}
	return fmt.Sprint(dev.MTU, " ", dev.HardwareAddr, " ", strings.Fields(after)[0], " ", up)
}

// A TAP whose setting fails is not left behind, not even a persistent one.
func TestTAPFailureLeavesNothing(t *testing.T) {
	ns := tapNetns(t)
	// Linux allocates the queue in one piece, and refuses one of this length.
	_, err := bridge.OpenTAP(bridge.TAPConfig{Netns: ns, Name: "fail", QueueLen: 1<<31 - 1, Persist: true})
	require.Error(t, err)
	assert.ErrorContains(t, err, "set the queue length")
	assert.Nil(t, tapInterface(t, ns, "fail"))
}

func TestTAPNetnsErrors(t *testing.T) {
	netnstest.Needs(t)
	_, err := bridge.OpenTAP(bridge.TAPConfig{Netns: filepath.Join(t.TempDir(), "none")})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, err, bridge.ENOENT)
	assert.ErrorContains(t, err, "network namespace")
	_, err = bridge.OpenTAP(bridge.TAPConfig{Netns: os.DevNull})
	assert.ErrorIs(t, err, bridge.EINVAL)
	assert.ErrorContains(t, err, "no network namespace")
	_, err = bridge.OpenTAP(bridge.TAPConfig{Netns: "/proc/self/ns/uts"})
	assert.ErrorIs(t, err, bridge.EINVAL)
}

// Opening in another namespace leaves the thread in its own.
func TestTAPNetnsIsLeftAgain(t *testing.T) {
	ns := tapNetns(t)
	for range 50 {
		tapOpen(t, bridge.TAPConfig{Netns: ns})
	}
	home, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, task := range tasks {
		is, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if errors.Is(err, fs.ErrNotExist) {
			continue // a thread that has ended
		}
		require.NoError(t, err)
		assert.Equal(t, home, is)
	}
}

// A descriptor that somebody else opened, in blocking mode and in another
// namespace, is a TAP like any other.
func TestTAPFromFile(t *testing.T) {
	ns := tapNetns(t)
	file := tapRaw(t, ns, "given", unix.IFF_TAP|unix.IFF_NO_PI)
	tap := tapOpen(t, bridge.TAPConfig{File: file, MTU: 4000, Up: true})
	_, err := file.Stat()
	assert.ErrorIs(t, err, os.ErrClosed, "a File that is taken over is closed")
	assert.Equal(t, "given", tap.Name())
	dev := tapInterface(t, ns, "given")
	assert.Equal(t, 4000, dev.MTU)
	assert.NotZero(t, dev.Flags&net.FlagUp)

	peer := newTAPPeer(t, ns, "given")
	peer.send(tapWire(1, 64))
	assert.Equal(t, tapWire(1, 64), tapCollect(t, tap, 1)[0])
	_, err = tap.WriteFrames([]frame.Frame{{Data: tapWire(2, 64)}})
	require.NoError(t, err)
	assert.Equal(t, tapWire(2, 64), peer.receive())

	read := make(chan error)
	go func() {
		_, err := tap.ReadFrames(make([]frame.Frame, 1))
		read <- err
	}()
	require.NoError(t, tap.Close())
	assert.ErrorIs(t, <-read, net.ErrClosed)
	assert.Nil(t, tapInterface(t, ns, "given"))
}

func TestTAPFromWrongFile(t *testing.T) {
	ns := tapNetns(t)
	unattached, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	require.NoError(t, err)
	defer unattached.Close()
	closed, err := os.Open(os.DevNull)
	require.NoError(t, err)
	closed.Close()
	for says, file := range map[string]*os.File{
		"is a TUN":                             tapRaw(t, ns, "tun0", unix.IFF_TUN|unix.IFF_NO_PI),
		"packet information":                   tapRaw(t, ns, "pi0", unix.IFF_TAP),
		`"pi1", but it has packet information`: tapRaw(t, ns, "pi1", unix.IFF_TAP|unix.IFF_VNET_HDR),
		"in fragments":                         tapRaw(t, ns, "frag0", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_NAPI|unix.IFF_NAPI_FRAGS),
		"not attached":                         unattached,
		"closed":                               closed,
	} {
		_, err := bridge.OpenTAP(bridge.TAPConfig{File: file})
		require.ErrorContains(t, err, says, says)
		if file == closed {
			continue
		}
		flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
		require.NoError(t, err, "a File that is refused stays the caller's")
		assert.Zero(t, flags&unix.O_NONBLOCK, "and stays as it was")
	}
}

func TestTAPRenamedAndMoved(t *testing.T) {
	ns, other := tapNetns(t), tapNetns(t)
	tap := tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "old"})
	tapIP(t, ns, "link", "set", "old", "name", "new")
	assert.Equal(t, "new", tap.Name())
	require.NoError(t, tap.SetMTU(1300))
	assert.Equal(t, 1300, tapInterface(t, ns, "new").MTU)

	tapIP(t, ns, "link", "set", "new", "netns", other)
	_, err := tap.MTU()
	assert.ErrorIs(t, err, bridge.ENODEV)
	tapOpen(t, bridge.TAPConfig{Netns: ns, Name: "new", MTU: 1200})
	assert.ErrorIs(t, tap.SetMTU(1500), bridge.ENODEV)
	assert.Equal(t, 1200, tapInterface(t, ns, "new").MTU, "a namesake is not touched")
	_, err = tap.Address()
	assert.NoError(t, err)
	tapIP(t, other, "link", "set", "new", "up")
	peer := newTAPPeer(t, other, "new")
	peer.send(tapWire(1, 64))
	assert.Equal(t, tapWire(1, 64), tapCollect(t, tap, 1)[0], "frames pass all the same")
}

// tapForbidDevices has the kernel answer EACCES to whoever opens a device file in
// the folder, in the mount namespace of this process.
func tapForbidDevices(t testing.TB, folder string) {
	t.Helper()
	var at unix.Statfs_t
	require.NoError(t, unix.Statfs(folder, &at))
	keep := uintptr(at.Flags) & (unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_RDONLY) // may not be given up
	require.NoError(t, unix.Mount(folder, folder, "", unix.MS_BIND, ""))
	require.NoError(t, unix.Mount("", folder, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NODEV|keep, ""))
}

// Without rights the error says which one is missing. The test runs itself in a
// user namespace of its own, where root has no rights over the network.
func TestTAPWithoutRights(t *testing.T) {
	const inside = "BRIDGE_TEST_TAP_WITHOUT_RIGHTS"
	if os.Getenv(inside) != "" {
		_, err := bridge.OpenTAP(bridge.TAPConfig{Name: "denied"})
		assert.ErrorIs(t, err, fs.ErrPermission)
		assert.ErrorIs(t, err, bridge.EPERM)
		assert.ErrorContains(t, err, "open TAP denied: ")
		assert.ErrorContains(t, err, "needs CAP_NET_ADMIN")
		_, err = bridge.OpenTAP(bridge.TAPConfig{Netns: "/proc/self/ns/net"})
		assert.ErrorIs(t, err, bridge.EPERM)
		assert.ErrorContains(t, err, "needs CAP_SYS_ADMIN")

		tap := tapOpen(t, bridge.TAPConfig{Name: "mine", MTU: 1400, Up: true})
		assert.NoError(t, tap.SetMTU(1400), "what is so already")
		err = tap.SetMTU(1500)
		assert.ErrorIs(t, err, bridge.EPERM)
		assert.ErrorContains(t, err, "needs CAP_NET_ADMIN")
		require.NoError(t, tap.Close())

		tapForbidDevices(t, "/dev/net")
		_, err = bridge.OpenTAP(bridge.TAPConfig{})
		assert.ErrorIs(t, err, unix.EACCES)
		assert.ErrorIs(t, err, fs.ErrPermission)
		assert.ErrorContains(t, err, "/dev/net/tun: run as root, or give this user read and write access to it")
		require.NoError(t, unix.Mount("none", "/dev/net", "tmpfs", 0, ""))
		_, err = bridge.OpenTAP(bridge.TAPConfig{})
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorContains(t, err, "modprobe tun")
		return
	}
	ns := tapNetns(t)
	tapIP(t, ns, "tuntap", "add", "dev", "mine", "mode", "tap", "user", "0")
	tapIP(t, ns, "link", "set", "mine", "mtu", "1400", "up")
	exe, err := os.Executable()
	require.NoError(t, err)
	self := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v")
	self.Env = append(os.Environ(), inside+"=1")
	id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	self.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: id, GidMappings: id,
	}
	var out []byte
	tapIn(t, ns, func() error {
		out, err = self.CombinedOutput()
		return nil // err is looked at below
	})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("this machine lets nobody make a user namespace: %v", err)
	}
	assert.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: "+t.Name())
}
