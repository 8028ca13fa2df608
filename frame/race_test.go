//go:build race

package frame_test

// raceEnabled: slices.Grow allocates twice in programs built with -race.
const raceEnabled = true
