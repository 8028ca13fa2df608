package netnstest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ddfb540f/bridge/internal/netns"
)

// Needs skips a test on a machine that lacks root, /dev/net/tun or one of the
// programs, and fails it where BRIDGE_REQUIRE_PRIVILEGED=1 promises them.
func Needs(t testing.TB, programs ...string) {
	t.Helper()
	switch why := netns.Missing(programs...); {
	case why == "":
	case os.Getenv("BRIDGE_REQUIRE_PRIVILEGED") == "1":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

// SharedDir makes a directory that every user may search, for what a test runs as
// another one, and which the end of the test removes: below os.TempDir, or where not
// everybody gets there, below /tmp. Its path is short enough for sockets in it.
func SharedDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(shared(os.TempDir()), "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask says
		t.Fatal(err)
	}
	return dir
}

// shared is a directory, or /tmp if its path is long or leads through one that not
// every user may search.
func shared(dir string) string {
	if !filepath.IsAbs(dir) || len(dir) > 60 {
		return "/tmp"
	}
	for d := dir; ; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err != nil || info.Mode()&0o001 == 0 {
			return "/tmp"
		}
		if d == "/" {
			return dir
		}
	}
}

// New makes a network namespace that the end of the test closes, or skips or fails
// the test as Needs does.
func New(t testing.TB, ipv6 bool) *netns.NS {
	t.Helper()
	Needs(t)
	ns, err := netns.New(ipv6)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}
