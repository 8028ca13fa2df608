//go:build linux

package main

import "slices"

// A turn is up to three runs, one after the other: ours in the middle, a rival before
// it and one after it, so that each has ours for a neighbour in time.
type turn []int // numbers of contestants

// turns is the order of one round. Contestant 0 is ours. Every other round goes
// backwards, so that who comes first is not who finds the caches cold each time.
func turns(contestants, round int) []turn {
	if contestants == 1 {
		return []turn{{0}}
	}
	var order []turn
	for i := 1; i < contestants; i += 2 {
		t := turn{i, 0}
		if i+1 < contestants {
			t = append(t, i+1)
		}
		if round%2 == 1 {
			slices.Reverse(t)
		}
		order = append(order, t)
	}
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}
