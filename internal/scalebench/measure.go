package main

import (
	"cmp"
	"runtime"
	"slices"
	"time"
)

// A work is what is measured: run does it n times, after prepare, which does not count.
type work struct {
	n       int // how often in a turn; 0: as often as a turn is to be long
	prepare func()
	run     func(n int)
	cost    func(n int) float64 // instead of run: what it cost, found in another way
	per     float64             // what a cost is divided by, such as the ports of a flood; 0: 1
}

// A figure is the cost of one work in that of another, of which each pair of turns gives
// one: the median, and the least and the most.
type figure struct {
	base, this     float64 // ns, the medians: of this machine, and only to illustrate
	ratio, lo, hi  float64
	wallRatio      float64 // the same by the clock on the wall, the median
	wallLo, wallHi float64
}

// A meter measures, or only pretends to: then every figure is zero, and what is made of
// figures shows its shape.
type meter struct {
	pretend bool
	pairs   int
	span    time.Duration // of a turn
}

// A turn is one measurement.
type turn struct{ cpu, wall float64 } // ns each

// compare measures two works by turns, A B A B. Their costs are those of the thread that
// does them: that others use the machine too does not count, but for its caches.
func (m *meter) compare(make func() (base, this work, err error)) (f figure, err error) {
	if m.pretend {
		return f, nil
	}
	base, this, err := make()
	if err != nil {
		return f, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	m.calibrate(&base)
	m.calibrate(&this)
	var a, b, ratios, walls []float64
	for range m.pairs {
		x, y := base.turn(), this.turn()
		a, b = append(a, x.cpu), append(b, y.cpu)
		ratios, walls = append(ratios, y.cpu/x.cpu), append(walls, y.wall/x.wall)
	}
	f.base, f.this = median(a), median(b)
	f.ratio, f.lo, f.hi = median(ratios), slices.Min(ratios), slices.Max(ratios)
	f.wallRatio, f.wallLo, f.wallHi = median(walls), slices.Min(walls), slices.Max(walls)
	return f, nil
}

// calibrate finds how often a work is done in a turn.
func (m *meter) calibrate(w *work) {
	w.per = cmp.Or(w.per, 1)
	if w.n != 0 {
		w.turn()
		return
	}
	for w.n = 1024; ; w.n *= 2 {
		if t := w.turn(); t.cpu*w.per*float64(w.n) >= float64(m.span) {
			return
		}
	}
}

func (w *work) turn() turn {
	if w.prepare != nil {
		w.prepare()
	}
	if w.cost != nil {
		c := w.cost(w.n)
		return turn{c, c}
	}
	cpu, wall := threadTime(), time.Now()
	w.run(w.n)
	t := turn{float64(threadTime() - cpu), float64(time.Since(wall))}
	t.cpu /= float64(w.n) * w.per
	t.wall /= float64(w.n) * w.per
	return t
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	if n := len(xs); n%2 == 0 {
		return (xs[n/2-1] + xs[n/2]) / 2
	}
	return xs[len(xs)/2]
}
