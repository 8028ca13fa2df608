package qemu_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
)

// What UDP loses because nobody reads is told by the kernel.
func TestDgramLost(t *testing.T) {
	a, b := udpDgrams(t)
	require.NoError(t, a.ShrinkReadBuffer())
	sent := 0
	for b.Lost() == 0 && a.Lost() == 0 {
		_, err := b.WriteFrames([]frame.Frame{{Data: data(1000)}})
		require.NoError(t, err)
		sent++
	}
	got := uint64(0)
	fs := make([]frame.Frame, 64)
	for got+a.Lost() < uint64(sent) {
		n, err := a.ReadFrames(fs)
		require.NoError(t, err)
		got += uint64(n)
	}
	assert.Equal(t, uint64(sent), got+a.Lost())
	assert.NotZero(t, a.Lost())
}

// A name in the abstract namespace leaves nothing behind.
func TestDgramAbstract(t *testing.T) {
	both(t, func(t *testing.T, open func(qemu.DgramConfig) *qemu.Dgram) {
		name := "@" + unixPath(t)
		a := open(qemu.DgramConfig{Local: "unix:" + name})
		b := open(qemu.DgramConfig{Local: "unix:" + name + "-guest", Remote: "unix:" + name})
		ra, rb := read(t, a), read(t, b)
		_, err := b.WriteFrames([]frame.Frame{{Data: data(60)}})
		require.NoError(t, err)
		assert.Equal(t, data(60), ra.next(t))
		_, err = a.WriteFrames([]frame.Frame{{Data: data(61)}})
		require.NoError(t, err)
		assert.Equal(t, data(61), rb.next(t))
	})
}
