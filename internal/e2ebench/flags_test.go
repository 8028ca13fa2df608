//go:build linux

package main

import (
	"flag"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFlags(t *testing.T) {
	o, err := parseFlags(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, defaultPairs, o.pairs)
	assert.Equal(t, "tap, raw", names(o.cables, cableName))
	assert.Len(t, o.workloads, len(workloads))
	assert.Len(t, o.peers, len(peers))
	for _, w := range o.workloads {
		assert.Equal(t, w.length, o.lengthOf(w), w.name)
	}

	o, err = parseFlags([]string{"-quick", "-cable", "stream", "-workload", "rtt, tcp1", "-peer", "cable"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, quickPairs, o.pairs)
	assert.Equal(t, quickLength, o.lengthOf(o.workloads[0]))
	assert.Equal(t, "stream", names(o.cables, cableName))
	assert.Equal(t, "rtt, tcp1", names(o.workloads, workloadName), "in the order that was asked for")
	assert.Equal(t, "cable", names(o.peers, peerName))

	o, err = parseFlags([]string{"-quick", "-n", "20", "-length", "2s", "-json"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 20, o.pairs)
	assert.Equal(t, 2*time.Second, o.length)
	assert.True(t, o.json)
}

func TestFlagsRefuse(t *testing.T) {
	for want, args := range map[string][]string{
		`no cable is called "string": there are tap, raw`:   {"-cable", "string"},
		`no workload is called "udp": there are tcp1, tcp4`: {"-workload", "tcp1,udp"},
		`no peer is called "ours": there are kernel, cable`: {"-peer", "ours"},
		"have to be positive":                               {"-n", "-1"},
		`what is "tap"`:                                     {"tap"},
		"-cpuprofile is for one cable":                      {"-cpuprofile", "x"},
		"flag provided but not defined":                     {"-bridge"},
	} {
		_, err := parseFlags(args, io.Discard)
		assert.ErrorContains(t, err, want, "%q", args)
	}
	_, err := parseFlags([]string{"-h"}, io.Discard)
	assert.ErrorIs(t, err, flag.ErrHelp)
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{oursName: true}
	for _, p := range peers {
		assert.False(t, seen[p.name], p.name)
		seen[p.name] = true
		for _, on := range p.on {
			_, err := choose("cable", on, cables, cableName)
			assert.NoError(t, err, p.name)
		}
	}
	for _, w := range workloads {
		assert.False(t, seen[w.name], w.name)
		seen[w.name] = true
		assert.NotEmpty(t, w.metrics, w.name)
	}
}

func TestMissing(t *testing.T) {
	p := peer{needs: map[string]string{"no-such-program": "no-such-package"}}
	assert.Equal(t, "needs no-such-program: apt-get install no-such-package", p.missing())
	p = peer{needs: map[string]string{"sh": "dash"}}
	assert.Empty(t, p.missing())
}
