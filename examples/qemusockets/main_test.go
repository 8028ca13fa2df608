package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/guest"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

// asProgram in the environment makes the test binary the program itself.
const asProgram = "QEMUSOCKETS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	leaktest.Main(m)
}

func TestArguments(t *testing.T) {
	t.Setenv(guest.KernelVariable, "")
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, options{kernel: "/"}, o)

	t.Setenv(guest.KernelVariable, "/somewhere")
	o, err = parse([]string{"-dgram", "-accel=tcg", "-gobr", "./gobr"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, options{dgram: true, accel: guest.TCG, gobr: "./gobr", kernel: "/somewhere"}, o)

	for _, args := range [][]string{{"-accel", "xen"}, {"more"}, {"-nonsense"}} {
		assert.Error(t, run(context.Background(), args, io.Discard), "%q", args)
	}
	var help strings.Builder
	require.NoError(t, run(context.Background(), []string{"-h"}, &help))
	assert.Contains(t, help.String(), "-dgram")
}
