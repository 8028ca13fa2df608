package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/vm"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

// TestMain is what a virtual machine runs too, if the tests need no libraries.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args[1:], vm.GuestFlag) {
		vm.Guest()
		return
	}
	leaktest.Main(m)
}

var update = flag.Bool("update", false, "write the names of the passing scenarios to testdata/passing.txt, and docs/conformance.md")

// floorFile names, one a line and sorted, the scenarios that pass.
const floorFile = "testdata/passing.txt"

// recorded is how many scenarios testdata holds of each family.
var recorded = map[string]int{
	"basic": 86, "fdb": 131, "linklocal": 56, "mcast": 176, "mixed": 270, "mst": 54, "mtu": 21, "nd": 12,
	"newer": 7, "portflags": 155, "stp": 54, "vlan": 176, "vlansnoop": 48,
}

// recordings are all recorded scenarios, read once; nobody changes them.
var recordings = sync.OnceValue(func() []*replay.Scenario { return replay.Read("testdata") })

func readAll(t *testing.T) []*replay.Scenario {
	t.Helper()
	all := recordings()
	for _, s := range all {
		require.Nil(t, s.Damage)
	}
	return all
}

// TestRecordingsComplete guards the guard: no scenario is lost, none is named
// twice.
func TestRecordingsComplete(t *testing.T) {
	families, names := map[string]int{}, map[string]bool{}
	for _, s := range readAll(t) {
		families[s.Family]++
		assert.False(t, names[s.Name], "two scenarios are named %s", s.Name)
		names[s.Name] = true
	}
	assert.Equal(t, recorded, families)
}

// required: the scenarios without which the bridge is no bridge. None of them
// may fail, whatever passing.txt says.
func required(s *replay.Scenario) bool {
	switch s.Family {
	case "basic", "linklocal", "portflags", "mtu", "nd":
		return len(s.Needs()) == 0
	}
	return false
}

// checked are the differences of recordings, found once.
var checked = sync.OnceValue(func() []*replay.Difference { return checkAll(recordings()) })

// checkAll replays all scenarios, as many at a time as there are processors.
func checkAll(all []*replay.Scenario) []*replay.Difference {
	found := make([]*replay.Difference, len(all))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				found[i] = replay.Check(all[i])
			}
		})
	}
	wg.Wait()
	return found
}

// TestRecordings replays every recorded scenario with VLAN tags in the data and
// beside it. The required ones pass without exception. For all others
// testdata/passing.txt holds what passes: one that is listed and fails, and one
// that passes and is not listed, is an error.
func TestRecordings(t *testing.T) {
	all := readAll(t)
	found := checked()
	var passing []string
	passed := map[string]int{}
	needed := 0
	for i, s := range all {
		if required(s) {
			needed++
			assert.Nil(t, found[i], "a required scenario fails: %v", found[i])
		}
		if found[i] == nil {
			passing = append(passing, s.Name)
			passed[s.Family]++
		}
	}
	slices.Sort(passing)
	assert.Equal(t, 304, needed, "required scenarios")
	for _, family := range slices.Sorted(maps.Keys(recorded)) {
		t.Logf("%s %d/%d", family, passed[family], recorded[family])
	}
	if *update {
		require.NoError(t, os.WriteFile(floorFile, []byte(strings.Join(passing, "\n")+"\n"), 0o644))
		return
	}
	compareFloor(t, passing, all, found)
}

func compareFloor(t *testing.T, passing []string, all []*replay.Scenario, found []*replay.Difference) {
	t.Helper()
	text, err := os.ReadFile(floorFile)
	require.NoError(t, err, "make the file with go test ./internal/conformance -update")
	floor := strings.Fields(string(text))
	assert.True(t, slices.IsSorted(floor), "%s is not sorted", floorFile)
	for i, s := range all {
		if _, listed := slices.BinarySearch(floor, s.Name); listed && found[i] != nil {
			t.Errorf("passed once and fails: %v", found[i])
		}
	}
	var news []string
	for _, name := range passing {
		if _, listed := slices.BinarySearch(floor, name); !listed {
			news = append(news, name)
		}
	}
	if len(news) > 0 {
		t.Errorf("%d scenarios pass and are not in %s; hold them there with go test ./internal/conformance -update: %s",
			len(news), floorFile, strings.Join(news[:min(len(news), 10)], " "))
	}
	known := map[string]bool{}
	for _, s := range all {
		known[s.Name] = true
	}
	for _, name := range floor {
		assert.True(t, known[name], fmt.Sprintf("%s names %s, which is not recorded", floorFile, name))
	}
}
