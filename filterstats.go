package bridge

import (
	"slices"
	"sync/atomic"
)

// FilterStats is what a filter of the bridge has done to frames, and to copies of them.
type FilterStats struct {
	Name    string
	Dropped uint64 // FilterDrop
	Stolen  uint64 // FilterSteal
	Passed  uint64 // FilterPass, where it means something
	Copied  uint64 // Passage.CopyTo, also what p then did not take
}

// FilterStats gives the counters of the filters, in the order of their list. A filter
// goes on counting where one of its name in the list before stopped.
func (b *Bridge) FilterStats() []FilterStats {
	cfg := b.cfg.Load()
	all := make([]FilterStats, len(cfg.filters))
	for i, n := range cfg.filterCounters {
		all[i] = FilterStats{cfg.filters[i].Name, n.dropped.Load(), n.stolen.Load(), n.passed.Load(), n.copied.Load()}
	}
	return all
}

// filterCounters is FilterStats, of the filter of the same number in config.filters.
// Rulings that accept, which are most of them, count nothing.
type filterCounters struct {
	dropped, stolen, passed, copied atomic.Uint64
}

func (c *filterCounters) count(a FilterAction) {
	switch a {
	case FilterDrop:
		c.dropped.Add(1)
	case FilterSteal:
		c.stolen.Add(1)
	case FilterPass:
		c.passed.Add(1)
	}
}

// countersFor gives the counters for a filter that is put in the list of cfg: those of
// the first of its name in the list before that no other has taken, else new ones.
func (cfg *config) countersFor(name string, old *config) *filterCounters {
	if old != nil {
		for i, c := range old.filterCounters {
			if old.filters[i].Name == name && !slices.Contains(cfg.filterCounters, c) {
				return c
			}
		}
	}
	return new(filterCounters)
}
