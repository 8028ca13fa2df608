package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// One message names all that is missing, and the command that gets it.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := run(t.Context(), []string{"-kernel", t.TempDir()}, new(strings.Builder))
	require.Error(t, err)
	for _, word := range []string{
		"ip, ping, qemu-system-x86_64, busybox, no kernel with the modules",
		"apt-get install --no-install-recommends iproute2 iputils-ping qemu-system-x86 busybox linux-image-amd64\n",
		"dpkg -x",
	} {
		assert.ErrorContains(t, err, word)
	}
}

// A frame's path stays in one piece while answers overtake its last steps, and an
// answer never goes before what it answers.
func TestPaths(t *testing.T) {
	a, b := frame.MAC{2, 1}, frame.MAC{2, 2}
	var r recorder
	r.trace(bridge.Step{Probe: bridge.ProbeNetifReceive, Dev: "br0", Src: a, Dst: frame.Broadcast})
	require.Len(t, r.steps, 1)
	assert.Contains(t, r.steps[0].text, "tun_get_user dev: br0", "the bridge writes to the TAP br0")

	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	seen := []sight{ // as the sources give them, not in the order of time
		{at: at(1), text: "request enters", src: a, dst: frame.Broadcast, enters: true},
		{at: at(3), text: "request to b", src: a, dst: frame.Broadcast},
		{at: at(4), text: "reply enters", src: b, dst: a, enters: true},
		{at: at(6), text: "reply leaves", src: b, dst: a},
		{at: at(7), text: "data enter", src: a, dst: b, enters: true},
		{at: at(9), text: "data reply enters", src: b, dst: a, enters: true},
		{at: at(2), text: "request decided", src: a, dst: frame.Broadcast},
		{at: at(5), text: "request to all", src: a, dst: frame.Broadcast},
		{at: at(8), text: "data decided", src: a, dst: b},
		{at: at(10), text: "data reply decided", src: b, dst: a},
	}
	var order []string
	for _, s := range paths(seen) {
		order = append(order, s.text)
	}
	assert.Equal(t, []string{
		"request enters", "request decided", "request to b", "request to all", "reply enters", "reply leaves",
		"data enter", "data decided", "data reply enters", "data reply decided",
	}, order)
}
