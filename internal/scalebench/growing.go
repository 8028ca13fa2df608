package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/workload"
)

// growing is what a reader notices of a table that grows to a million addresses: how long
// its batches take in the time of its thread, and how often the thread waited.
func growing(m *meter) (section, error) {
	out := section{
		title: "A reader while the table grows",
		text: "Batches of 64 unicast frames between 4096 stations, in the time of the reader's thread: the middle one, those at 99 % and " +
			"99.9 %, and the longest, in microseconds; and how often the thread gave its processor away of itself in a million batches, as " +
			"one that waits for a lock does. Alone; while another thread computes, and allocates as much as one that learns; and while " +
			"another thread learns a million addresses, from an empty table, in turns. The middle one of the turns.",
		head: []string{"", "50 %", "99 %", "99.9 %", "longest", "waits"},
	}
	for _, x := range []struct {
		name string
		do   func(n *workload.Network) func()
	}{
		{"alone", nil},
		{"beside one that allocates", allocates},
		{"beside one that learns", learns},
	} {
		b, err := m.batches(x.do)
		if err != nil {
			return out, err
		}
		row := []string{x.name}
		for _, v := range b {
			row = append(row, fmt.Sprintf("%.1f", v))
		}
		out.rows = append(out.rows, row)
	}
	return out, nil
}

const million = 1_000_000

// learns has a million addresses learned in a table without them.
func learns(n *workload.Network) func() {
	in, fs := n.Ports[7].Input(), n.Strangers(0, workload.Batch)
	return func() {
		_, _ = n.Bridge.FDB().Flush(bridge.FDBFlush{Port: n.Ports[7], StateMask: bridge.NUDPermanent})
		for at := 0; at < million; {
			for i := range fs {
				a := workload.Address(1<<22 + at)
				copy(fs[i].Data[6:], a[:])
				at++
			}
			_ = in.Receive(fs)
		}
	}
}

// allocates makes as much garbage as learns does, in as many pieces, and as much to do.
func allocates(*workload.Network) func() {
	return func() {
		var keep [4096][]uint64
		for i := range million / 320 {
			s := make([]uint64, 1024*28/8)
			for j := range s {
				s[j] = uint64(j) * s[(j*7)%len(s)]
			}
			keep[i%len(keep)] = s
		}
		runtime.KeepAlive(&keep)
	}
}

// batches gives the figures of a reader's batches, while another goroutine does something
// again and again.
func (m *meter) batches(other func(n *workload.Network) func()) (figures [5]float64, err error) {
	if m.pretend {
		return figures, nil
	}
	n, err := network(workload.Config{Ports: 8, Receiving: 6, Stations: stations, Bridge: bridge.Config{FDBLimit: 2 * million}})
	if err != nil {
		return figures, err
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	if other != nil {
		do := other(n)
		wg.Go(func() { // ends when stop is set
			for !stop.Load() {
				do()
			}
		})
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := n.Load(n.Unicast(64, 1))
	l.Run(1 << 18) // the caches take what they take
	var all [len(figures)][]float64
	took := make([]float64, 1<<16)
	for range m.pairs {
		waits := threadWaits()
		last := threadTime()
		for i := range took {
			l.Run(workload.Batch)
			now := threadTime()
			took[i], last = float64((now-last)/time.Nanosecond)/1e3, now
		}
		waits = threadWaits() - waits
		slices.Sort(took)
		for i, v := range []float64{quantile(took, 0.5), quantile(took, 0.99), quantile(took, 0.999), quantile(took, 1), float64(waits) * million / float64(len(took))} {
			all[i] = append(all[i], v)
		}
	}
	stop.Store(true)
	wg.Wait()
	for i := range all {
		figures[i] = median(all[i])
	}
	return figures, n.Bridge.Close()
}

// quantile is the value below which a part of sorted values are.
func quantile(sorted []float64, part float64) float64 {
	return sorted[int(part*float64(len(sorted)-1))]
}
