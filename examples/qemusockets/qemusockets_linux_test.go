package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/guest"
	"github.com/ddfb540f/bridge/internal/guest/guesttest"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// nobody is an ordinary user.
const nobody = 65534

// user runs the example as an ordinary user does: as the one who runs the test, and in
// the place of root as nobody.
type user struct {
	home   string // a directory that the user can read
	tmp    string // and one that is the user's
	kernel string
	gobr   string
}

// newUser skips the test on a machine that cannot run guests.
func newUser(t *testing.T) *user {
	t.Helper()
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	_, err = missing(o)
	guesttest.Needs(t, err)
	home := netnstest.SharedDir(t)
	u := &user{home: home, tmp: filepath.Join(home, "tmp"), kernel: o.kernel, gobr: filepath.Join(home, "gobr")}
	require.NoError(t, os.Mkdir(u.tmp, 0o700))
	out, err := exec.Command("go", append(asThisTest(), "-o", u.gobr, "../../cmd/gobr")...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Chmod(u.gobr, 0o755))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(u.tmp, nobody, nobody))
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	program, err := os.ReadFile(exe)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(home, "qemusockets"), program, 0o755))
	require.NoError(t, os.Chmod(filepath.Join(home, "qemusockets"), 0o755))
	return u
}

// asThisTest builds with the race detector, if the test has it.
func asThisTest() []string {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return []string{"build", "-buildvcs=false", "-race"}
	}
	return []string{"build", "-buildvcs=false"} // whoever owns the checkout
}

// command is the example, not yet started.
func (u *user) command(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	args := append([]string{filepath.Join(u.home, "qemusockets"), "-gobr", u.gobr, "-kernel", u.kernel}, flags...)
	if os.Geteuid() == 0 {
		args = u.asNobody(t, args)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+u.tmp, "GORACE=atexit_sleep_ms=0")
	cmd.Dir = u.home
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	return cmd
}

// asNobody has a command run without any rights. The kernel's directory, which may be
// root's alone, is put where all may read it, for the eyes of the command.
func (u *user) asNobody(t *testing.T, args []string) []string {
	t.Helper()
	for _, program := range []string{"mount", "setpriv"} {
		_, err := exec.LookPath(program)
		require.NoError(t, err)
	}
	prelude := ""
	if u.kernel != "/" {
		at := filepath.Join(u.home, "kernel")
		require.NoError(t, os.MkdirAll(at, 0o755))
		prelude = fmt.Sprintf("mount --bind %q %q\n", u.kernel, at)
		for i, a := range args {
			if a == u.kernel {
				args[i] = at
			}
		}
	}
	return append([]string{"sh", "-eu", "-c",
		prelude + fmt.Sprintf(`exec setpriv --reuid %d --regid %d --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"`, nobody, nobody), "sh"}, args...)
}

// varying is what differs from run to run and from machine to machine. Addresses of
// ports are made up, and their place in the table with them.
var varying = []guesttest.Mask{
	guesttest.Varies(`after [0-9.]+ (ms|s)\b`, "after N $1"),
	guesttest.Varies(`by (kvm|tcg)`, "by N"),
	guesttest.Varies(`in [0-9.]+ s, [0-9]+ Mbit/s`, "in N s, N Mbit/s"),
	guesttest.Varies(`(?m)^ +(device|br0|vm1|vm2) [^\n]*$`, "$1 ..."),
	guesttest.Varies(`(?m)^br0 +refused +[0-9]+ +`, "br0 refused N "),
	guesttest.Varies(`(?m)^vm[12] +refused .*\n`, ""), // by a queue that is full, or when nobody is there
	guesttest.Varies(`(?m)^(52:54\S+) +(\d+) +(vm.) +(\S+) +\S+$`, "$1 $2 $3 $4"),
	guesttest.Varies(`(?m)^[0-9a-f:]{17} .* permanent .*\n`, ""),
}

// README.md shows what the program prints to an ordinary user, all of it but times,
// numbers and made-up addresses to the letter.
func TestReadmeIsTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("guests take a minute to boot and to be shown around")
	}
	u := newUser(t)
	type session struct {
		*exec.Cmd
		out, errs strings.Builder
	}
	all := make(map[string]*session) // at the same time: they wait for each other little
	for _, flags := range []string{"", "-dgram"} {
		s := &session{Cmd: u.command(t, strings.Fields(flags)...)}
		s.Stdout, s.Stderr = &s.out, &s.errs
		require.NoError(t, s.Start())
		t.Cleanup(func() { _ = s.Wait() }) // killed, if the test has failed
		all[flags] = s
	}
	shown := guesttest.Readme(t, "qemusockets", varying, func(flags []string) string {
		s := all[strings.Join(flags, " ")]
		require.NotNil(t, s, "with the flags %q", flags)
		require.NoError(t, s.Wait(), "with the flags %q: %s, after\n%s", flags, &s.errs, &s.out)
		accounted(t, s.out.String())
		return s.out.String()
	})
	assert.Equal(t, []string{"", "-dgram"}, shown)
	left, err := os.ReadDir(u.tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// accounted holds the switch's report against what was sent: what one port has
// received the other was offered, in both lives of vm1, and no frame is missing.
func accounted(t *testing.T, out string) {
	t.Helper()
	assert.NotContains(t, out, "missing")
	column := func(dev string) (received, used, offered, sent, refused int) {
		m := regexp.MustCompile(`(?m)^ +` + dev + ` +(\d+) +(\d+) +\d+ +\d+ +\d+ +\d+ +\| +(\d+) +(\d+) +(\d+)$`).FindStringSubmatch(out)
		require.NotNil(t, m, "%s", out)
		var n [5]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		return n[0], n[1], n[2], n[3], n[4]
	}
	const fewest = 2 * (checked + timed) / 1514 / 2 // with an acknowledgement for every other segment, and more
	received1, used1, offered1, sent1, refused1 := column("vm1")
	received2, used2, offered2, sent2, refused2 := column("vm2")
	assert.Greater(t, received1, fewest)
	assert.Greater(t, received2, fewest)
	assert.Equal(t, offered1, sent1+refused1)
	assert.Equal(t, offered2, sent2+refused2)
	assert.LessOrEqual(t, offered2, used1)
	assert.LessOrEqual(t, offered1, used2)
}

// awaitAll starts the example and waits until its switch and its guests run.
func awaitAll(t *testing.T, cmd *exec.Cmd) (pids []int) {
	t.Helper()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // does nothing to one that has ended
		_ = cmd.Wait()
	})
	guesttest.Eventually(t, "the switch and two guests", func() bool {
		gobr := guesttest.Children(t, cmd.Process.Pid, "gobr")
		guests := guesttest.Children(t, cmd.Process.Pid, "qemu-system")
		pids = append(gobr, guests...)
		return len(gobr) == 1 && len(guests) == 2
	})
	return pids
}

// Interrupted, it leaves nothing behind.
func TestInterrupt(t *testing.T) {
	u := newUser(t)
	cmd := u.command(t, "-accel", "tcg")
	pids := awaitAll(t, cmd)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait() // says that it was interrupted
	assert.True(t, guesttest.Gone(pids))
	left, err := os.ReadDir(u.tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// When nobody reads what it prints, it ends, and leaves nothing behind either.
func TestNobodyReads(t *testing.T) {
	u := newUser(t)
	cmd := u.command(t, "-accel", "tcg")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, out.Close())
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 1, exit.ExitCode(), "%v", exit)
	left, err := os.ReadDir(u.tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Killed, it takes all programs with it, and their sockets; the empty directory stays.
func TestKill(t *testing.T) {
	u := newUser(t)
	cmd := u.command(t, "-accel", "tcg")
	pids := awaitAll(t, cmd)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	guesttest.Eventually(t, "the end of the switch and of the guests", func() bool { return guesttest.Gone(pids) })
	left, err := filepath.Glob(filepath.Join(u.tmp, "*", "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// One message names all that is missing, and the command that gets it; root is not.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := run(t.Context(), []string{"-kernel", t.TempDir()}, io.Discard)
	require.Error(t, err)
	for _, word := range []string{
		"go, qemu-system-x86_64, busybox, no kernel with the modules",
		"apt-get install --no-install-recommends golang qemu-system-x86 busybox linux-image-amd64\n",
	} {
		assert.ErrorContains(t, err, word)
	}
	assert.NotContains(t, err.Error(), "root:")
}

// A gobr that does not start is told of with what it said.
func TestGobrFails(t *testing.T) {
	u := newUser(t)
	_, _, err := startGobr(context.Background(), u.gobr, u.tmp, []string{"run", "--qemu", "vm1=unix:none/vm1.sock"})
	require.ErrorContains(t, err, "exit status 1")
	assert.ErrorContains(t, err, "gobr: qemu: listen on unix:none/vm1.sock")
	_, _, err = startGobr(context.Background(), "true", u.tmp, nil)
	assert.ErrorContains(t, err, "gobr has ended: exit status 0")
	_, _, err = startGobr(context.Background(), filepath.Join(u.home, guest.QEMU), u.tmp, nil)
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = program(t.Context(), filepath.Join(u.home, guest.QEMU), u.tmp)
	assert.ErrorIs(t, err, os.ErrNotExist)
	t.Chdir(u.home)
	path, err := program(t.Context(), "./gobr", u.tmp)
	require.NoError(t, err)
	assert.Equal(t, u.gobr, path, "wherever it is run")
}
