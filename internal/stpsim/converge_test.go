package main

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Networks of all kinds converge, whatever happens to them, half of them with each
// protocol. A failure prints its seed and the command that shows it again.
func TestNetworksConverge(t *testing.T) {
	o := options{seed: 1, n: 150, jobs: runtime.GOMAXPROCS(0)}
	if testing.Short() {
		o.n = 15
	}
	for _, name := range []string{"stp", "rstp"} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			assert.Zero(t, playMany(protocols[name], &o, &out, io.Discard))
			t.Logf("%s", &out)
		})
		o.seed += uint64(o.n)
	}
}
