package netnstest

import (
	"os"
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
