package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// playMany plays o.n topologies, o.jobs at a time, and says how many failed.
func playMany(p *protocol, o *options, stdout, stderr io.Writer) (failed int) {
	jobs := o.jobs
	var trace io.Writer
	if o.trace {
		jobs, trace = 1, stdout
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards the rest
		done  int
		total result
	)
	seeds := make(chan uint64)
	start := time.Now()
	told := start
	for range min(jobs, o.n) {
		wg.Go(func() { // ends when seeds is closed
			for seed := range seeds {
				r := play(p, seed, trace)
				mu.Lock()
				done++
				total.add(&r)
				if r.err != nil {
					failed++
				}
				if r.err != nil || o.verbose {
					r.print(stdout, p, seed)
				}
				if time.Since(told) > 10*time.Second {
					told = time.Now()
					fmt.Fprintf(stderr, "%s: %d of %d, %d failed, %v\n", p.name, done, o.n, failed, time.Since(start).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	for i := range o.n {
		seeds <- o.seed + uint64(i)
	}
	close(seeds)
	wg.Wait()
	fmt.Fprintf(stdout, "%s: %d topologies, seeds %d to %d, %d failed; %v of virtual time in %v\n",
		p.name, o.n, o.seed, o.seed+uint64(o.n)-1, failed, total.virtual.Round(time.Second), time.Since(start).Round(time.Millisecond))
	fmt.Fprintf(stdout, "  converged %d times; %d BPDUs and %d other frames in cables between bridges, at most %d under way\n",
		len(total.phases), total.bpdus, total.frames, total.peak)
	fmt.Fprintf(stdout, "  on the way: %v with a loop, %d frames held back by storm control, %d arrived twice; then %d to silent hosts went astray\n",
		total.looped.Round(time.Millisecond), total.stormed, total.doubles, total.astray)
	return failed
}

// add sums results up.
func (r *result) add(x *result) {
	r.phases = append(r.phases, x.phases...)
	r.looped += x.looped
	r.astray += x.astray
	r.doubles += x.doubles
	r.stormed += x.stormed
	r.frames += x.frames
	r.bpdus += x.bpdus
	r.virtual += x.virtual
	r.peak = max(r.peak, x.peak)
}

// print tells what a topology did, and how to see that again.
func (r *result) print(w io.Writer, p *protocol, seed uint64) {
	var s strings.Builder
	fmt.Fprintf(&s, "%s, seed %d: %s\n", p.name, seed, r.topo)
	for _, x := range r.phases {
		fmt.Fprintf(&s, "  %-44s tree after %9.3f s, quiet after %9.3f s", x.name, x.ok.Seconds(), x.quiet.Seconds())
		if x.looped > 0 {
			fmt.Fprintf(&s, ", a loop for %v", x.looped)
		}
		s.WriteByte('\n')
	}
	if r.err != nil {
		fmt.Fprintf(&s, "  FAILED: %v\n  again: go run ./internal/stpsim -protocol %s -seed %d -n 1 -v -trace\n", r.err, p.name, seed)
	}
	_, _ = io.WriteString(w, s.String()) // as good as it gets
}
