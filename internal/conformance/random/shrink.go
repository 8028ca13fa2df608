package random

import (
	"maps"
	"slices"

	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// Shrink looks for a smaller scenario for which differs is still true, as it has to
// be for s: with fewer steps, then fewer ports, then settings as a new bridge has
// them, until nothing more can go. It asks differs at most budget times and gives
// the smallest that it found.
func Shrink(s *replay.Scenario, budget int, differs func(*replay.Scenario) bool) *replay.Scenario {
	k := &shrinker{best: live.Clone(s), budget: budget, differs: differs}
	for size := -1; size != k.size() && k.budget > 0; {
		size = k.size()
		k.steps()
		k.ports()
		k.settings()
	}
	return k.best
}

type shrinker struct {
	best    *replay.Scenario
	budget  int
	differs func(*replay.Scenario) bool
}

// size is what shrinks: steps, ports, settings and VLANs.
func (k *shrinker) size() int {
	n := len(k.best.Steps) + len(k.best.SelfVLANs) + unlike(k.best.Bridge, bridgeDefaults)
	for _, t := range k.best.Steps {
		n += len(t.Attrs) + len(t.Flags)
	}
	for _, p := range k.best.Ports {
		n += 1 + len(p.VLANs) + unlike(p.Flags, portDefaults)
	}
	return n
}

func unlike(has, defaults replay.Attrs) (n int) {
	for name, v := range has {
		if d, known := defaults[name]; known && d != v {
			n++
		}
	}
	return n
}

// try keeps what change makes of the best if it differs still.
func (k *shrinker) try(change func(*replay.Scenario)) bool {
	if k.budget <= 0 {
		return false
	}
	k.budget--
	c := live.Clone(k.best)
	change(c)
	if !k.differs(c) {
		return false
	}
	k.best = c
	return true
}

// steps takes out runs of steps, from long ones to single ones, the last first:
// what follows a difference goes at once.
func (k *shrinker) steps() {
	for n := len(k.best.Steps) / 2; n >= 1; n /= 2 {
		for end := len(k.best.Steps); end > 0; end -= n {
			from := max(end-n, 0)
			if k.best.Steps[from].MS >= mcastWait && from > 0 {
				from-- // the wait is for what is before it
			}
			if end-from < len(k.best.Steps) {
				k.try(func(c *replay.Scenario) { c.Steps = slices.Delete(c.Steps, from, end) })
			}
		}
	}
}

// ports takes out ports with all their steps, but for the anchor.
func (k *shrinker) ports() {
	for i := len(k.best.Ports) - 1; i > 0; i-- {
		name := k.best.Ports[i].Name
		k.try(func(c *replay.Scenario) {
			c.Ports = slices.Delete(c.Ports, i, i+1)
			c.Steps = slices.DeleteFunc(c.Steps, func(t replay.Step) bool {
				return t.Port == name || t.Attrs["backup_port"].Word == name
			})
			for _, p := range c.Ports {
				if p.Flags["backup_port"].Word == name {
					p.Flags["backup_port"] = word("")
				}
			}
		})
	}
}

// settings brings settings and VLANs back to those of a new bridge, and takes
// flags out of requests.
func (k *shrinker) settings() {
	for _, name := range slices.Sorted(maps.Keys(bridgeDefaults)) {
		if v, has := k.best.Bridge[name]; has && v != bridgeDefaults[name] {
			k.try(func(c *replay.Scenario) { c.Bridge[name] = bridgeDefaults[name] })
		}
	}
	for i := len(k.best.SelfVLANs) - 1; i >= 0; i-- {
		k.try(func(c *replay.Scenario) { c.SelfVLANs = slices.Delete(c.SelfVLANs, i, i+1) })
	}
	for i, p := range k.best.Ports {
		for _, name := range slices.Sorted(maps.Keys(portDefaults)) {
			if v, has := p.Flags[name]; has && v != portDefaults[name] {
				k.try(func(c *replay.Scenario) { c.Ports[i].Flags[name] = portDefaults[name] })
			}
		}
		for j := len(p.VLANs) - 1; j >= 0; j-- {
			k.try(func(c *replay.Scenario) { c.Ports[i].VLANs = slices.Delete(c.Ports[i].VLANs, j, j+1) })
		}
	}
	for i, t := range k.best.Steps {
		for j := len(t.Flags) - 1; j >= 0; j-- {
			k.try(func(c *replay.Scenario) { c.Steps[i].Flags = slices.Delete(c.Steps[i].Flags, j, j+1) })
		}
		for _, name := range slices.Sorted(maps.Keys(t.Attrs)) {
			if len(t.Attrs) > 1 {
				k.try(func(c *replay.Scenario) { delete(c.Steps[i].Attrs, name) })
			}
		}
	}
}
