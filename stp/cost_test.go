package stp

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCost(t *testing.T) {
	for mbps, want := range map[int]int{
		-1: 100, 0: 100, 9: 100, 10: 100, 54: 100, 100: 19, 1000: 5, 2500: 4, 5000: 3, 10000: 2, 10001: 1, 400000: 1,
	} {
		assert.Equal(t, want, Cost(mbps), mbps)
	}
}
