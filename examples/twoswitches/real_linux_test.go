package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// Over the kernel's interfaces the same happens as in virtual time.
func TestRealIsTheSame(t *testing.T) {
	netnstest.Needs(t, "ip")
	assert.Equal(t, output(t), output(t, "-real"))
}
