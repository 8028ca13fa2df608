package main

import (
	"cmp"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ddfb540f/bridge/internal/guest"
	"github.com/ddfb540f/bridge/internal/guest/guesttest"
)

// Ours does what the bridge of a Debian kernel does, VLAN filtering and all: in
// scenarios of a seed that is another each time, and is told. They are without queries:
// Linux dumps neighbouring VLANs of equal options as one range, and tells the querier of
// the first of them alone.
func TestCommandVM(t *testing.T) {
	_, err := guest.Needs(cmp.Or(os.Getenv(guest.KernelVariable), "/"), nil)
	guesttest.Needs(t, err)
	status, out, errs := command("-vm", "-random", "10", "-without", "query")
	assert.Equal(t, 0, status, "%s%s", out, errs)
	assert.Regexp(t, `(?s)^kernel \d.*\n10 random scenarios, -seed \d+\n.*10 passed, 0 failed\n$`, out)
	t.Log(out)
}
