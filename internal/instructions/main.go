// Command instructions counts the instructions of a frame on the main paths through
// the bridge, under valgrind, and compares them with what is written down in
// instructions.txt:
//
//	go run ./internal/instructions          # fails if a case takes 5 % more
//	go run ./internal/instructions -update  # writes the counts of now down
//	go run ./internal/instructions -keep .  # and callgrind_annotate unicast says where they are
//
// A time is noise on a machine that others use too; the number of instructions is not.
// With a fixed clock and seed, one thread, no garbage collector, no preemption and no
// instruction sets beyond the processor's oldest, it is the same from run to run to
// a fraction of a percent. What instructions do not show is memory that is slow to come:
// for that there are the benchmarks.
//
// It counts by callgrind, which writes its counters to a file whenever the function
// mark is called: so what is counted is just what lies between two calls, and only on
// the thread that carries the frames.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed instructions.txt
var written string

// where is the file that written is made of, as seen from the root of the module.
var where = filepath.Join("internal", "instructions", "instructions.txt")

// margin is by how much a count may be above what is written down.
const margin = 0.05

// The frames are carried by the goroutine of main, and that stays on the first thread,
// whose instructions callgrind tells from those of others.
func init() { runtime.LockOSThread() }

func main() {
	update := flag.Bool("update", false, "write the counts down in "+where)
	keep := flag.String("keep", "", "keep callgrind's files in this `directory`, one a case, for callgrind_annotate")
	carry := flag.Bool("carry", false, "carry the frames and count nothing: what runs under valgrind")
	flag.Parse()
	err := error(nil)
	if *carry {
		err = run(mark)
	} else {
		err = check(*update, *keep)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
}

// mark does nothing; that it is called is what counts.
//
//go:noinline
func mark() {}

// check counts, prints, and compares or writes down.
func check(update bool, keep string) error {
	old, err := parseTable(written)
	if err != nil && !update {
		return err
	}
	if here := toolchain(); !update && here != old.toolchain {
		fmt.Printf("left out: %s is of %s, and this is %s; another compiler makes other instructions\n", where, old.toolchain, here)
		return nil
	}
	counts, err := countAll(keep)
	if err != nil {
		return err
	}
	now := table{toolchain(), counts}
	if update {
		return os.WriteFile(where, []byte(now.String()), 0o644)
	}
	report, err := compare(old, now)
	fmt.Print(report)
	return err
}

// toolchain names what decides which instructions a program is made of. Releases that
// only mend a version compile alike.
func toolchain() string {
	version := strings.SplitN(strings.Fields(runtime.Version())[0], ".", 3)
	return strings.Join(version[:min(2, len(version))], ".") + " " + runtime.GOOS + "/" + runtime.GOARCH
}

// countAll builds this program again, with the names of its functions, which go run leaves
// out, runs it under valgrind, and gives the instructions a frame of each case.
func countAll(keep string) ([]count, error) {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		return nil, fmt.Errorf("%w: it comes with the package valgrind", err)
	}
	dir, err := os.MkdirTemp("", "instructions")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	self, out := filepath.Join(dir, "carry"), filepath.Join(dir, "out")
	if said, err := exec.Command("go", "build", "-o", self, "github.com/ddfb540f/bridge/internal/instructions").CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(said)))
	}
	c := exec.Command(valgrind, "--tool=callgrind", "--separate-threads=yes", "--dump-before=main.mark",
		"--callgrind-out-file="+out, self, "-carry")
	c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1,cpu.all=off")
	if said, err := c.CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(said)))
	}
	var counts []count
	for i, tc := range cases {
		// The first thread's counters between the calls 2i+1 and 2i+2 of mark.
		data, err := os.ReadFile(fmt.Sprintf("%s.%d-01", out, 2*i+2))
		if err != nil {
			return nil, err
		}
		n, err := summary(string(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tc.name, err)
		}
		counts = append(counts, count{tc.name, float64(n) / counted})
		if keep == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(keep, strings.ReplaceAll(tc.name, "/", "-")), data, 0o644); err != nil {
			return nil, err
		}
	}
	return counts, nil
}
