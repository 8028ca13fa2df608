//go:build linux

package main

import (
	"math"
	"slices"
)

// A spread is what a number of measurements of one thing come to.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf is the zero spread of nothing.
func spreadOf(xs []float64) spread {
	if len(xs) == 0 {
		return spread{}
	}
	xs = slices.Sorted(slices.Values(xs))
	return spread{(xs[len(xs)/2] + xs[(len(xs)-1)/2]) / 2, xs[0], xs[len(xs)-1]}
}

// ratios divides what belongs together; a pair whose divisor is 0 says nothing.
func ratios(above, below []float64) []float64 {
	var rs []float64
	for i := range min(len(above), len(below)) {
		if r := above[i] / below[i]; below[i] != 0 && !math.IsNaN(r) {
			rs = append(rs, r)
		}
	}
	return rs
}

// percentile is the value that a share of p of the sorted xs does not exceed (the
// nearest rank); 0 of nothing.
func percentile(sorted []int64, p float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
