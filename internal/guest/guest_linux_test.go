package guest

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// needsQEMU skips a test on a machine without QEMU, and fails it where
// BRIDGE_REQUIRE_PRIVILEGED=1 promises that there is one.
func needsQEMU(t *testing.T) {
	t.Helper()
	switch _, err := exec.LookPath(QEMU); {
	case err == nil:
	case os.Getenv("BRIDGE_REQUIRE_PRIVILEGED") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// A QEMU that ends before its time is reported with what it said.
func TestQEMUEnds(t *testing.T) {
	needsQEMU(t)
	var s Software
	var err error
	s.kernel, err = inMemory("kernel", []byte("no kernel"))
	require.NoError(t, err)
	s.initramfs, err = inMemory("initramfs", nil)
	require.NoError(t, err)
	defer s.Close()
	g, err := Start(Config{Name: "guest1", Netdev: "user", Model: "e1000", Accel: TCG}, &s)
	require.NoError(t, err)
	defer g.Close()
	err = g.Await(t.Context())
	require.ErrorContains(t, err, "guest1: QEMU has ended: exit status 1")
	assert.ErrorContains(t, err, "\nqemu", "what QEMU said")
}

// An accelerator that is none does not pass for one that works, nor does one that is
// too slow; translation works.
func TestAccelWorks(t *testing.T) {
	needsQEMU(t)
	assert.True(t, accelWorks(t.Context(), TCG, time.Minute))
	assert.False(t, accelWorks(t.Context(), "none", time.Minute))
	assert.False(t, accelWorks(t.Context(), TCG, time.Millisecond))
}

// Both pings are understood: that of iputils and that of busybox.
func TestPinged(t *testing.T) {
	for _, out := range []string{
		"64 bytes from 10.0.0.11: icmp_seq=1 ttl=64 time=2.5 ms\n", "64 bytes from 10.0.0.11: seq=0 ttl=64 time=2.5 ms\n",
	} {
		text, err := Pinged("10.0.0.11", out)
		require.NoError(t, err)
		assert.Equal(t, "10.0.0.11 has answered after 2.5 ms\n", text)
	}
	_, err := Pinged("10.0.0.11", "1 packets transmitted, 0 received\n")
	assert.ErrorContains(t, err, "no answer from 10.0.0.11")
}
