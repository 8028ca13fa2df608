package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// about says what the scenarios of a family are about.
var about = map[string]string{
	"basic":     "forwarding, learning, links, addresses of the bridge's own device",
	"fdb":       "requests, flushes, ageing and kinds of entries of the forwarding database",
	"linklocal": "the group addresses 01:80:c2:00:00:0X",
	"mcast":     "IGMP and MLD snooping, the multicast database, queriers",
	"mixed":     "settings of every kind at random",
	"mst":       "spanning tree instances",
	"mtu":       "frame lengths and MTUs",
	"nd":        "suppression of neighbour discovery",
	"newer":     "what came after Linux 6.1",
	"portflags": "every flag of a port",
	"stp":       "the kernel's spanning tree",
	"vlan":      "VLAN filtering",
	"vlansnoop": "multicast snooping per VLAN",
}

// fewDifferences is how many scenarios may differ for each to be listed.
const fewDifferences = 40

const pageHead = `# Conformance

This page is generated: ` + "`go test ./internal/conformance -update`" + ` writes it, and a test holds it against the replay.

## What is compared

A scenario is a recorded run of the Linux bridge ([format](../internal/conformance/testdata/README.md)): it builds a
bridge, sends frames, changes settings, lets time pass, and dumps tables. A replay does the same on this bridge, on a
virtual clock, with ` + "`Config.Kernel`" + ` set to the release that was recorded, and compares after every step

- the frames that left each port and the host, byte by byte and in order,
- each refusal, by the name of its error,
- each dump, entry by entry: the FDB, the MDB, router ports and queriers, VLANs and their statistics, ports, the bridge,
  counters; timers to the second.

Each is replayed twice, with VLAN tags in the data and with tags beside it. At each frame Explain must have foretold what
then happens, without touching anything, and after each step both ledgers of every device must balance. One difference
anywhere fails the whole scenario, also one that is meant: [differences.md](differences.md) has the reasons.

## How to repeat

` + "```sh" + `
go run ./internal/conformance internal/conformance/testdata                     # the figures
go run ./internal/conformance -v -family mixed internal/conformance/testdata    # the first difference of each
` + "```" + `

## Beside a kernel

` + "```sh" + `
go run ./internal/conformance -live internal/conformance/testdata    # recordings, on the running kernel
go run ./internal/conformance -live -random 200                      # made by chance; prints the seed
go run ./internal/conformance -vm -random 50                         # on a Debian kernel in QEMU
` + "```" + `

As root, the bridge of the running kernel, or with ` + "`-vm`" + ` that of a kernel in QEMU, which filters VLANs too, performs scenarios in a
network namespace each, with TAPs for ports; what it does is written down as the recordings are, and compared in the same
way. What a kernel has not got, and what depends on time, is left out and counted by name. Multicast snooping
takes part as far as no timer ends: random scenarios give it times that are long, or 0, and timers that are dumped may
differ by as long as the scenario took. Each change has to pass 200 random scenarios on the running kernel and a few in
QEMU, others each time.
[CONTRIBUTING.md](../CONTRIBUTING.md#beside-a-kernel) tells how to follow a difference.
`

// page writes docs/conformance.md. found holds the difference of each scenario, or
// nil.
func page(w io.Writer, scenarios []*replay.Scenario, found []*replay.Difference) {
	fmt.Fprint(w, pageHead)
	figures(w, scenarios, found)
	kernels(w, scenarios)
	differing(w, scenarios, found)
}

// A familyTally counts the scenarios of one family.
type familyTally struct {
	passed, all, hand int
	uses              map[string]int // by those that differ
}

func tallies(scenarios []*replay.Scenario, found []*replay.Difference) (map[string]*familyTally, familyTally) {
	families, sum := map[string]*familyTally{}, familyTally{}
	for i, s := range scenarios {
		t := families[s.Family]
		if t == nil {
			t = &familyTally{uses: map[string]int{}}
			families[s.Family] = t
		}
		for _, c := range []*familyTally{t, &sum} {
			c.all++
			if s.Origin == "hand" {
				c.hand++
			}
			if found[i] == nil {
				c.passed++
			}
		}
		if found[i] != nil {
			for _, name := range uses(s) {
				t.uses[name]++
			}
		}
	}
	return families, sum
}

// uses names what a scenario uses beyond the plain bridge.
func uses(s *replay.Scenario) []string {
	names := s.Needs()
	if s.Bridge["mst_enabled"].Num != 0 || slices.ContainsFunc(s.Steps, func(t replay.Step) bool {
		return t.Op == "mst-set" || t.Op == "vlan-global-set" && t.Attrs["msti"].Num != 0
	}) {
		names = append(names, "mst_enabled")
	}
	if len(names) == 0 {
		names = []string{"none of these"}
	}
	return names
}

func figures(w io.Writer, scenarios []*replay.Scenario, found []*replay.Difference) {
	fmt.Fprint(w, "\n## Figures\n\n| family | about | hand-written | random | without a difference | settings that those use which differ |\n| --- | --- | --- | --- | --- | --- |\n")
	families, sum := tallies(scenarios, found)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		t := families[name]
		fmt.Fprintf(w, "| %s | %s | %d | %d | %d of %d | %s |\n", name, about[name], t.hand, t.all-t.hand, t.passed, t.all, counted(t.uses))
	}
	fmt.Fprintf(w, "| together | | %d | %d | %d of %d | |\n", sum.hand, sum.all-sum.hand, sum.passed, sum.all)
}

// counted gives names with their numbers, the greatest first.
func counted(n map[string]int) string {
	names := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(n[b]-n[a], cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, n[name])
	}
	return strings.Join(names, ", ")
}

func kernels(w io.Writer, scenarios []*replay.Scenario) {
	fmt.Fprint(w, "\n## Kernels\n\n| recorded on Linux | scenarios | families |\n| --- | --- | --- |\n")
	n, families := map[string]int{}, map[string]map[string]bool{}
	for _, s := range scenarios {
		if families[s.Kernel] == nil {
			families[s.Kernel] = map[string]bool{}
		}
		n[s.Kernel]++
		families[s.Kernel][s.Family] = true
	}
	for _, k := range slices.Sorted(maps.Keys(n)) {
		fmt.Fprintf(w, "| %s | %d | %s |\n", k, n[k], strings.Join(slices.Sorted(maps.Keys(families[k])), ", "))
	}
}

// differing lists the scenarios that differ, if they are few.
func differing(w io.Writer, scenarios []*replay.Scenario, found []*replay.Difference) {
	var lines []string
	for i, s := range scenarios {
		if d := found[i]; d != nil {
			lines = append(lines, fmt.Sprintf("- %s, steps[%d] %s: %s", s.Name, d.Step, d.Op, d.Text))
		}
	}
	fmt.Fprint(w, "\n## Differences\n\n")
	switch {
	case len(lines) == 0:
		fmt.Fprintln(w, "None.")
	case len(lines) > fewDifferences:
		fmt.Fprintf(w, "%d scenarios differ; `-v` prints the first difference of each. What they wait for, and what differs on\npurpose, is in [differences.md](differences.md).\n", len(lines))
	default:
		fmt.Fprintln(w, "The first of each scenario that differs; the reasons are in [differences.md](differences.md).")
		fmt.Fprintln(w)
		for _, l := range lines {
			fmt.Fprintln(w, l)
		}
	}
}
