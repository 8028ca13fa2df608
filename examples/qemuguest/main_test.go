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
const asProgram = "QEMUGUEST_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	leaktest.Main(m)
}

func TestArguments(t *testing.T) {
	t.Setenv(kernelVariable, "")
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, options{models: models, kernel: "/"}, o)

	t.Setenv(kernelVariable, "/somewhere")
	o, err = parse([]string{"-model", "virtio-net", "-accel=tcg", "-overflow"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, options{models: []string{"virtio-net"}, accel: guest.TCG, kernel: "/somewhere", overflow: true}, o)

	o, err = parse([]string{"-kernel", "/elsewhere"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, "/elsewhere", o.kernel)

	for _, args := range [][]string{{"-model", "ne2000"}, {"-model", ""}, {"-accel", "xen"}, {"more"}, {"-nonsense"}} {
		assert.Error(t, run(context.Background(), args, io.Discard), "%q", args)
	}
	var help strings.Builder
	require.NoError(t, run(context.Background(), []string{"-h"}, &help))
	assert.Contains(t, help.String(), "-overflow")
}
