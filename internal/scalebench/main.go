// Command scalebench measures what a frame costs as a bridge grows, in process, and writes
// the tables and charts of docs/performance.md:
//
//	go run ./internal/scalebench                # prints them
//	go run ./internal/scalebench -write         # renews docs/performance.md, in a few minutes
//	go run ./internal/scalebench -run ports     # only what has this in its name
//
// Frames come in by Input.Receive in batches of 64 and leave by cables that discard them,
// with VLAN filtering, learning and all counters on, a Trace set and taken away again.
// Every figure that claims something is a ratio of two costs that were measured by turns.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// An experiment measures one thing.
type experiment struct {
	name string
	do   func(*meter) (section, error)
}

var experiments = []experiment{
	{"ports", ports}, {"idle", idle}, {"addresses", addresses}, {"vlans", vlans}, {"groups", groups},
	{"sizes", sizes}, {"learning", learning}, {"growing", growing}, {"changes", changes},
	{"change-bytes", changeBytes}, {"memory", memory}, {"new", newAndAddPort}, {"profile", profile},
}

// measure runs the experiments whose name has part in it.
func measure(m *meter, part string, say func(format string, args ...any)) (all []section, err error) {
	for _, e := range experiments {
		if !strings.Contains(e.name, part) {
			continue
		}
		began := time.Now()
		s, err := e.do(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		all = append(all, s)
		say("%s: %.1f s\n", e.name, time.Since(began).Seconds())
	}
	return all, nil
}

func main() {
	renew := flag.Bool("write", false, "renew docs/performance.md and its charts; needs all experiments")
	part := flag.String("run", "", "only experiments whose name has this in it")
	pairs := flag.Int("pairs", 15, "pairs of turns a figure, 10 at least")
	span := flag.Duration("span", 8*time.Millisecond, "how long a turn is")
	flag.Parse()
	err := func() error {
		if *pairs < 10 || *renew && *part != "" {
			flag.Usage()
			os.Exit(2)
		}
		all, err := measure(&meter{pairs: *pairs, span: *span}, *part, func(f string, args ...any) { fmt.Fprintf(os.Stderr, f, args...) })
		if err != nil {
			return err
		}
		if *renew {
			return write("docs", all)
		}
		fmt.Println(markdown(all))
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scalebench:", err)
		os.Exit(1)
	}
}
