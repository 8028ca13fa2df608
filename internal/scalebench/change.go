package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/workload"
)

// figures is the row of a figure.
func figures(name string, f figure) []string {
	return []string{name, ratio(f), reach(f), ns(f.base), ns(f.this)}
}

// learning is what new addresses cost, and what they cost others.
func learning(m *meter) (section, error) {
	out := section{
		title: "Learning",
		text: "A frame from an address that is new, in batches of 64 while the table grows from nothing to 32,768 addresses, beside a " +
			"unicast frame between known ones; one for which another address has to go, since FDBLimit is reached, beside one that is " +
			"learned; a unicast frame while another port learns new addresses all the time, beside one without; and the longest " +
			"that one of 4096 batches of such frames took then, by the clock on the wall, in which is also that others had the processor.",
		head: []string{"", "ratio", "min to max", "ns here, before", "ns here"},
	}
	for _, x := range []struct {
		name string
		make func() (base, this work, err error)
	}{{"learn / unicast", learnBesideUnicast}, {"evict / learn", evictBesideLearn}} {
		f, err := m.compare(x.make)
		if err != nil {
			return out, err
		}
		out.rows = append(out.rows, figures(x.name, f))
	}
	learner := func(n *workload.Network) func() {
		in, fs, at := n.Ports[7].Input(), n.Strangers(0, 1<<16), 0
		return func() {
			_ = in.Receive(fs[at : at+workload.Batch])
			if at = (at + workload.Batch) % len(fs); at == 0 {
				_, _ = n.Bridge.FDB().Flush(bridge.FDBFlush{Port: n.Ports[7]})
			}
		}
	}
	for _, x := range []struct {
		name    string
		longest bool
	}{{"unicast beside a learner / alone", false}, {"its longest batch / alone", true}} {
		f, err := m.beside(learner, 0, x.longest)
		if err != nil {
			return out, err
		}
		out.rows = append(out.rows, figures(x.name, f))
	}
	return out, nil
}

const strangers = 32_768

// strange is the work of learning addresses with a limit, from an empty table or a full one.
func strange(limit int, full bool) (work, error) {
	n, err := network(workload.Config{Ports: 8, Bridge: bridge.Config{FDBLimit: limit}})
	if err != nil {
		return work{}, err
	}
	l := n.Load(n.Strangers(0, 2*strangers)) // half of them are new, whatever the other half is
	w := work{n: strangers, run: l.Run}
	if !full {
		w.prepare = func() { _, _ = n.Bridge.FDB().Flush(bridge.FDBFlush{StateMask: bridge.NUDPermanent}) }
	}
	return w, nil
}

func learnBesideUnicast() (base, this work, err error) {
	if base, err = unicast(workload.Config{Ports: 8, Stations: stations}, 64); err == nil {
		this, err = strange(4*strangers, false)
	}
	return base, this, err
}

func evictBesideLearn() (base, this work, err error) {
	if base, err = strange(4*strangers, false); err == nil {
		this, err = strange(strangers, true)
	}
	return base, this, err
}

// beside is the cost of unicast frames while another goroutine does something, beside that
// without: perSecond times a second, or all the time for 0. Instead of the cost of a frame
// it can be the longest that a batch took.
func (m *meter) beside(other func(n *workload.Network) func(), perSecond int, longest bool) (f figure, err error) {
	var on, stop atomic.Bool
	var wg sync.WaitGroup
	f, err = m.compare(func() (base, this work, err error) {
		n, err := network(workload.Config{Ports: 8, Receiving: 6, Stations: stations, Bridge: bridge.Config{FDBLimit: 1 << 20}})
		if err != nil {
			return base, this, err
		}
		do := other(n)
		wg.Go(func() { // ends when stop is set
			for !stop.Load() {
				if !on.Load() {
					time.Sleep(100 * time.Microsecond)
					continue
				}
				began := time.Now()
				for done := 0; on.Load() && !stop.Load(); {
					if perSecond == 0 || done < int(time.Since(began).Seconds()*float64(perSecond)) {
						do()
						done++
					} else {
						time.Sleep(200 * time.Microsecond)
					}
				}
			}
		})
		l := n.Load(n.Unicast(64, 1))
		count := 1 << 18 // tens of milliseconds, in which there are tens of changes
		base = work{n: count, run: l.Run, prepare: func() { on.Store(false); time.Sleep(time.Millisecond) }}
		this = work{n: count, run: l.Run, prepare: func() { on.Store(true) }}
		if longest {
			base.cost, this.cost = longestBatch(l), longestBatch(l)
		}
		return base, this, nil
	})
	stop.Store(true)
	wg.Wait()
	return f, err
}

// longestBatch gives the ns of the longest of so many frames' batches.
func longestBatch(l *workload.Load) func(n int) float64 {
	return func(n int) (worst float64) {
		for ; n > 0; n -= workload.Batch {
			began := time.Now()
			l.Run(workload.Batch)
			worst = max(worst, float64(time.Since(began)))
		}
		return worst
	}
}

// changes is what changes of the configuration cost those who carry frames.
func changes(m *meter) (section, error) {
	out := section{
		title: "1000 changes of the configuration a second",
		text: "A unicast frame between 4096 stations while another goroutine changes a port 1000 times a second, in turns a flag and a " +
			"VLAN, beside one without: by the time of the reader's thread, and by the clock on the wall, in which is also what the " +
			"two take from each other on a machine that has no processor left for the second.",
		head: []string{"", "ratio", "min to max", "ns here, before", "ns here"},
	}
	f, err := m.beside(func(n *workload.Network) func() {
		p, i := n.Ports[7], 0
		return func() {
			switch i++; i % 4 {
			case 0, 2:
				_ = p.Set(bridge.PortAttrs{Isolated: new(i%4 == 0)})
			case 1:
				_ = p.VLANs().Add(bridge.VLAN{VID: 100})
			case 3:
				_ = p.VLANs().Delete(100, 0)
			}
		}
	}, 1000, false)
	if err != nil {
		return out, err
	}
	out.rows = append(out.rows, figures("time of the thread", f))
	f.ratio, f.lo, f.hi = f.wallRatio, f.wallLo, f.wallHi
	out.rows = append(out.rows, []string{"wall", ratio(f), reach(f), "", ""})
	return out, nil
}

// allocated is how many bytes a call of do allocates, in the mean of count.
func (m *meter) allocated(count int, do func(i int) error) (float64, error) {
	if m.pretend {
		return 0, nil
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range count {
		if err := do(i); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(count), nil
}

// changeBytes is what a change allocates on a small bridge and on a large one.
func changeBytes(m *meter) (section, error) {
	out := section{
		title: "Bytes of a change",
		text: "What a change allocates on a bridge of 2 ports in 10 VLANs each that knows 100 addresses, and on one of 512 ports in 4094 " +
			"VLANs each that knows 100,000. A port that changes makes the lists of ports anew, 16 bytes a port.",
		head: []string{"change", "small", "large"},
	}
	var sides [2]*workload.Network
	for i, c := range []workload.Config{{Ports: 2, Stations: 100, VLANs: 10}, {Ports: 512, Stations: 100_000, VLANs: 4094}} {
		if m.pretend {
			break
		}
		c.Bridge.Attrs.FDBLocalVLAN0 = new(true) // else there are two million local entries
		var err error
		if sides[i], err = network(c); err != nil {
			return out, err
		}
	}
	vid := frame.VID(7)
	for _, x := range []struct {
		name string
		do   func(n *workload.Network, i int) error
	}{
		{"of the bridge", func(n *workload.Network, i int) error {
			return n.Bridge.Set(bridge.BridgeAttrs{GroupFwdMask: new(uint16(i % 2 * 8))})
		}},
		{"of a port", func(n *workload.Network, i int) error {
			return n.Ports[0].Set(bridge.PortAttrs{Isolated: new(i%2 == 0)})
		}},
		{"a VLAN of a port", func(n *workload.Network, i int) error {
			if i%2 == 0 {
				return n.Ports[0].VLANs().Delete(vid, 0)
			}
			return n.Ports[0].VLANs().Add(bridge.VLAN{VID: vid})
		}},
		{"a static address", func(n *workload.Network, i int) error {
			if a := workload.Address(1 << 24); i%2 == 0 {
				return n.Bridge.FDB().Update(bridge.FDBRequest{MAC: a, VID: &vid, Port: n.Ports[1], State: bridge.NUDNoARP})
			} else {
				return n.Bridge.FDB().Delete(n.Ports[1], a, &vid)
			}
		}},
	} {
		row := []string{x.name}
		for _, n := range sides {
			b, err := m.allocated(200, func(i int) error { return x.do(n, i) })
			if err != nil {
				return out, err
			}
			row = append(row, fmt.Sprintf("%.1f", b))
		}
		out.rows = append(out.rows, row)
	}
	return out, nil
}
